"""Chapter 11's checks: the right answer passes, each known mistake is told by its own sentence."""

import numpy as np
import pytest
import torch
from checking import answers, mistakes_are_told, right_passes, said, stubs_and_errors
from PIL import Image
from torch.nn.functional import interpolate as resize

from panet_lite.check import chapter11 as check

IMPLEMENTATIONS = [
    (check.folds, check.fold_ids, check.FOLD_MISTAKES),
    (check.seeds, check.paired, check.SEED_MISTAKES),
    (check.mask, check.squashed, check.MASK_MISTAKES),
]
EXERCISES = [row[0] for row in IMPLEMENTATIONS]


test_right_answer_passes = right_passes(IMPLEMENTATIONS)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS)


test_unfilled_and_raising_answers = stubs_and_errors(
    *EXERCISES, nonsense=[lambda *inputs: "here", lambda *inputs: {}, lambda *inputs: torch.rand(3, 3)]
)


test_cost_tells_each_wrong_count_apart = answers(
    check.cost,
    (26 / 2, True, "26 / 2 is 13"),
    ("13", True, "right"),
    (None, None, "not filled in yet"),
    (25, False, "a query as well"),
    (26, False, "divide by those"),
    (12.5, False, "leaves out the query"),
    (15, False, "one query"),
    (5, False, "five shots of its own"),
    (3, False, "five ways have five shots each"),
    (5.5, False, "five ways"),
    (7, False, "count the images"),
    ("many", False, "a number is wanted"),
)


def test_folds_may_be_any_collection():
    assert check.folds(lambda *inputs: {*check.fold_ids(*inputs)}) is True
    assert check.folds(lambda *inputs: np.array(check.fold_ids(*inputs))[::-1]) is True
    assert check.folds(lambda *inputs: torch.tensor(check.fold_ids(*inputs))) is True


@pytest.mark.parametrize(
    "wrong, part",
    [
        (
            lambda ids, fold, kind: sorted(ids)[fold * 20 : fold * 20 + 20],
            "a quarter of the ids",
        ),  # COCO's own
        (lambda ids, fold, kind: range(fold, 80, 4), "a quarter of the ids"),
        (lambda ids, fold, kind: len(ids) // 4, "a list of ids is wanted"),
        (lambda ids, fold, kind: check.fold_ids([-i for i in ids], fold, kind), "not the fold's ids"),
    ],
)
def test_folds_that_no_known_mistake_explains(wrong, part, capsys):
    assert check.folds(wrong) is False
    assert part in said(capsys)


@pytest.mark.parametrize("kind", [tuple, list, torch.tensor, np.array])
def test_seeds_takes_any_pair(kind):
    assert check.seeds(lambda a, b: kind(check.paired(a, b))) is True


@pytest.mark.parametrize(
    "wrong, part",
    [
        (lambda a, b: (a - b).mean(), "two numbers are wanted"),
        (lambda a, b: ((a - b).mean(), (a - b).var()), "✗ the mean difference is right, half"),
        (lambda a, b: ((a - b).median(), check.paired(a, b)[1]), "the mean difference is not"),
        (lambda a, b: ((a - b).median(), 1), "✗ the mean difference is not right, and half"),
    ],
)
def test_seeds_that_no_known_mistake_explains(wrong, part, capsys):
    assert check.seeds(wrong) is False
    assert part in said(capsys)


def resized_by_pil(resampling):
    return lambda labels, size: np.array(Image.fromarray(labels).resize((size, size), resampling))


@pytest.mark.parametrize(
    "wrong, part",
    [
        (resized_by_pil(Image.Resampling.BILINEAR), "where no pixel was"),
        (resized_by_pil(Image.Resampling.BOX), "where no pixel was"),
        (lambda labels, size: labels, "(24, 24), yours has (96, 144)"),
        (lambda labels, size: labels[::4, ::4], "(24, 24), yours has (24, 36)"),
        (lambda labels, size: check.squashed(labels, size)[::-1], "not the nearest ones"),
    ],
)
def test_masks_are_judged_by_what_they_hold(wrong, part, capsys):
    for _ in range(12):
        assert check.mask(wrong) is False
        assert part in said(capsys)


@pytest.mark.parametrize(
    "nearest",
    [
        resized_by_pil(Image.Resampling.NEAREST),
        lambda labels, size: resize(torch.from_numpy(labels)[None, None], (size, size))[0, 0],
        lambda labels, size: resize(torch.from_numpy(labels)[None, None], (size, size), mode="nearest-exact")[
            0, 0
        ],
    ],
    ids=["the middle one, Pillow", "the first one, torch", "the middle one, torch"],
)
def test_all_ways_to_be_nearest_pass(nearest):
    for _ in range(12):
        assert check.mask(nearest) is True
