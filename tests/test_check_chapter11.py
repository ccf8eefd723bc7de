"""Chapter 11's checks: the right answer passes, each known mistake is told by its own sentence."""

import numpy as np
import pytest
from PIL import Image

from panet_lite.check import chapter11 as check

DRAWS = range(12)
IMPLEMENTATIONS = [
    (check.folds, check.fold_ids, check.FOLD_MISTAKES),
    (check.seeds, check.paired, check.SEED_MISTAKES),
    (check.mask, check.squashed, check.MASK_MISTAKES),
]


def said(capsys):
    """The one line that a check printed."""
    (line,) = capsys.readouterr().out.splitlines()
    return line


def raising(*inputs):
    raise ZeroDivisionError("mine")


@pytest.mark.parametrize("exercise, right, mistakes", IMPLEMENTATIONS)
def test_right_answer_passes(exercise, right, mistakes, capsys):
    for _ in DRAWS:
        assert exercise(right) is True
        assert said(capsys).startswith("✓ right")


@pytest.mark.parametrize(
    "exercise, wrong, why",
    [(exercise, wrong, why) for exercise, _, mistakes in IMPLEMENTATIONS for wrong, why in mistakes],
)
def test_each_mistake_is_told_by_its_own_sentence(exercise, wrong, why, capsys):
    for _ in DRAWS:
        assert exercise(wrong) is False
        assert said(capsys) == f"✗ {why}"


@pytest.mark.parametrize("exercise", [check.folds, check.seeds, check.mask])
def test_unfilled_and_raising_answers(exercise, capsys):
    for stub in (lambda *inputs: None, lambda *inputs: ...):
        assert exercise(stub) is None
        assert said(capsys) == "… not filled in yet"
    assert exercise(raising) is False
    assert "ZeroDivisionError: mine" in said(capsys)
    for nonsense in (3, lambda *inputs: "here", lambda *inputs: {}):
        assert exercise(nonsense) is False
        capsys.readouterr()


def test_cost_tells_each_wrong_count_apart(capsys):
    assert check.cost(None) is None and check.cost(11 / 2) is True
    capsys.readouterr()
    assert not any(check.cost(value) for value in (10, 11, 6, 5, 3, 1))
    assert len(set(capsys.readouterr().out.splitlines())) == 6


def test_folds_may_be_any_collection(capsys):
    assert check.folds(lambda *inputs: {*check.fold_ids(*inputs)}) is True
    assert check.folds(lambda *inputs: np.array(check.fold_ids(*inputs))[::-1]) is True


def resized_by_pil(resampling):
    return lambda labels, size: np.array(Image.fromarray(labels).resize((size, size), resampling))


def test_masks_are_judged_by_what_they_hold(capsys):
    for _ in DRAWS:
        assert check.mask(resized_by_pil(Image.Resampling.NEAREST)) is True
        assert check.mask(resized_by_pil(Image.Resampling.BILINEAR)) is False
        assert "where no pixel was" in capsys.readouterr().out.splitlines()[-1]
    assert check.mask(lambda labels, size: labels) is False
    assert "(48, 48), yours has (96, 128)" in said(capsys)
    assert check.mask(lambda labels, size: check.squashed(labels, size)[::-1]) is False
    assert "they lie elsewhere" in said(capsys)
