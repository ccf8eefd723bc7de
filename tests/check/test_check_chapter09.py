"""Chapter 9's checks: the right answer passes, each known mistake is told by its own sentence."""

import numpy as np
from checking import DRAWS, mistakes_are_told, right_passes, said, stubs_and_errors

from panet_lite.check import chapter09 as check

IMPLEMENTATIONS = [
    (check.update, check.updated, check.UPDATE_MISTAKES),
    (check.channels, check.few_channel_cosines, check.CHANNEL_MISTAKES),
]


def right_click(predicted, truth):
    depth = check.depth_of_errors(predicted, truth)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return y, x, truth[y, x]


test_right_answer_passes = right_passes(IMPLEMENTATIONS)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS)


test_unfilled_and_raising_answers = stubs_and_errors(check.update, check.channels, check.click)


def test_what_is_computed_again(capsys):
    assert check.again(None) is None
    assert [check.again(letter) for letter in "abcd"] == [False, True, False, False]
    assert len(set(capsys.readouterr().out.splitlines())) == 5


def first_wrong(predicted, truth):
    y, x = (predicted != truth).nonzero()[0].tolist()
    return y, x, truth[y, x]


CLICKS = {
    "deepest": first_wrong,
    "label is not": lambda p, t: (*right_click(p, t)[:2], 1 - int(right_click(p, t)[2])),
    "right already": lambda p, t: (*(p == t).nonzero()[0].tolist(), 0),
    "three whole numbers": lambda p, t: (99, 0, 1),
}


def test_clicks(capsys):
    for _ in DRAWS:
        assert check.click(right_click) is True
        assert said(capsys).startswith("✓ right")
        for sentence, wrong in CLICKS.items():
            assert check.click(wrong) is False
            assert sentence in said(capsys)
    for wrong in (lambda p, t: (-1, 0, 1), lambda p, t: "here", lambda p, t: (0, 1)):
        assert check.click(wrong) is False
        assert "three whole numbers" in said(capsys)
