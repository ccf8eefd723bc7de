"""Chapter 7's checks: the right answer passes, each known mistake is told by its own sentence."""

import numpy as np
import pytest
import torch
from checking import answers, mistakes_are_told, right_passes, said, stubs_and_errors

from panet_lite.check import chapter07 as check
from panet_lite.evaluation import Result


def by_module(counts, classes, test_classes):
    """Exercise 1 by the package's own Result."""
    tp, fp, fn = counts.T
    matrices = np.stack([0 * tp, fp, fn, tp], -1).reshape(1, -1, 2, 2)
    return Result(matrices, classes.reshape(1, -1, 1), test_classes).mean_iou


def one_by_one(counts, classes, test_classes, rng):
    """Exercise 4 with indices in place of weights."""
    scores = []
    for _ in range(1000):
        picked = rng.integers(len(counts), size=len(counts))
        scores.append(check.right_mean_iou(counts[picked], classes[picked], test_classes))
    return np.quantile(scores, [0.025, 0.975])


def gap_by_loop(mine, reported):
    return np.mean([mine[f] - reported[f] for f in range(4) if f in mine])


EXERCISES = [
    (check.mean_iou, by_module, check.MEAN_IOU_MISTAKES),
    (check.gap, gap_by_loop, check.GAP_MISTAKES),
    (check.interval, check.right_interval, check.INTERVAL_MISTAKES),
]


test_right_answer_passes = right_passes(EXERCISES)


def test_a_bootstrap_by_loop_passes(capsys):
    assert check.interval(one_by_one) is True
    assert said(capsys).startswith("✓ right")


def test_a_thousand_resamples_are_enough(capsys):
    """Their scatter is a 46th of the width at either end; the check allows a sixth."""
    for _ in range(40):
        assert (
            check.interval(lambda *x: check.ends(check.resampled(*x[:3], check.drawn(len(x[0]), x[3]))))
            is True
        )
        capsys.readouterr()


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(EXERCISES)


test_unfilled_and_raising_answers = stubs_and_errors(
    *(row[0] for row in EXERCISES), nonsense=[lambda *inputs: "many", lambda *inputs: torch.zeros(7)]
)


def test_interval_the_wrong_way_round_or_elsewhere(capsys):
    assert check.interval(lambda *x: check.right_interval(*x)[::-1]) is False
    assert said(capsys) == "✗ low comes first, then high"
    assert check.interval(lambda *x: (0.0, 0.001)) is False
    assert "yours is [0.000, 0.001]" in said(capsys)


def test_the_student_of_the_text():
    """41.0 and 49.5 on folds 0 and 2: 1.45 below the paper; fold 0 alone: 1.3 below, not 7.1."""
    splits = [42.3, 58.0, 51.1, 41.2]
    assert check.right_gap({0: 41.0, 2: 49.5}, splits) == pytest.approx(-1.45)
    assert check.right_gap({0: 41.0}, splits) == pytest.approx(-1.3)
    assert check.against_the_mean({0: 41.0, 2: 49.5}, splits) == pytest.approx(-2.9)
    assert check.against_the_mean({0: 41.0}, splits) == pytest.approx(-7.15)


def test_the_flaws_numbers_are_those_of_the_module():
    matrices = [[[[70, 0, 10], [0, 15, 5], [0, 0, 0]], [[80, 0, 0], [0, 0, 0], [5, 0, 15]]]]
    for preset, carrot in (("standard", check.STANDARD), ("paper", check.FLAWED)):
        result = Result(np.array(matrices), np.array([[[1, 2], [1, 2]]]), (1, 2), preset)
        assert result.class_iou.tolist() == pytest.approx([15 / 20, carrot])


test_flaw = answers(
    check.flaw,
    ((None, None), None, "not filled in"),
    ((0.43, None), None, "not filled in"),
    ((..., 1), None, "not filled in"),
    ((3 / 7, 3 / 4), True, "right: 3/7"),
    ((0.43, "0.75"), True, "right"),
    ((torch.tensor(0.4286), np.float64(0.75)), True, "right"),
    ((43, 75), False, "between 0 and 1"),
    (("many", 1), False, "two numbers"),
    ((0.1, 0.75), False, "not standard:"),
    ((0.1, 0.2), False, "not standard and flawed:"),
)


@pytest.mark.parametrize("answer, why", check.FLAW_MISTAKES)
def test_each_wrong_prediction_of_the_flaw_is_told(answer, why, capsys):
    assert check.flaw(*answer) is False
    assert said(capsys) == f"✗ {why}"


test_passes = answers(
    check.passes,
    (None, None, "not filled in"),
    ("d", True, "right"),
    ("(D)", True, "right"),
    ("a", False, "not a"),
    ("b", False, "not b"),
    ("c", False, "not c"),
    (4, False, "choose one"),
)


GOOD_AT_SMALL = [[[2000, 0], [400, 600]], [[2990, 0], [0, 10]]]
GOOD_AT_LARGE = [[[2000, 0], [100, 900]], [[2990, 0], [10, 0]]]
EMPTY = [[[2000, 0], [0, 0]], [[2990, 0], [0, 10]]]


@pytest.mark.parametrize(
    "a, b, verdict, part",
    [
        (None, None, None, "not filled in"),
        (GOOD_AT_SMALL, None, None, "not filled in"),
        (GOOD_AT_SMALL, GOOD_AT_LARGE, True, "right: A 0.80"),
        (torch.tensor(GOOD_AT_SMALL), np.array(GOOD_AT_LARGE), True, "right"),
        (GOOD_AT_LARGE, GOOD_AT_SMALL, False, "Give A the name of B"),
        (GOOD_AT_SMALL, GOOD_AT_SMALL, False, "make one object large"),
        (GOOD_AT_SMALL, [[[1, 0], [0, 1]]] * 2, False, "not the same test"),
        (EMPTY, EMPTY, False, "a row is empty"),
        ([[1, 2], [3, 4]], GOOD_AT_LARGE, False, "shape (2, 2, 2)"),
        ((-np.array(GOOD_AT_SMALL)).tolist(), GOOD_AT_LARGE, False, "none of them negative"),
        ("A", "B", False, "shape (2, 2, 2)"),
    ],
)
def test_ranking(a, b, verdict, part, capsys):
    assert check.ranking(a, b) is verdict
    assert part in said(capsys)
