"""Chapter 5's checks: the right answer passes, each known mistake is told by its own sentence."""

import pytest
import torch

from panet_lite import alignment
from panet_lite.check import chapter05 as check

DRAWS = range(12)


def said(capsys):
    """The one line that a check printed."""
    (line,) = capsys.readouterr().out.splitlines()
    return line


def raising(*inputs):
    raise ZeroDivisionError("mine")


def right_prototypes(features, logits, labels):
    return alignment.query_prototypes(features, logits)[0]


def right_loss(query, logits, support, labels):
    return alignment.alignment_loss(query[None], logits[None], support[None], labels[None])


IMPLEMENTATIONS = [
    (check.query_prototypes, right_prototypes, check.PROTOTYPE_MISTAKES),
    (check.way_labels, alignment.way_labels, check.LABEL_MISTAKES),
    (check.repair, right_loss, check.REPAIR_MISTAKES),
]


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


@pytest.mark.parametrize("exercise", [row[0] for row in IMPLEMENTATIONS])
def test_unfilled_and_raising_answers(exercise, capsys):
    for stub in (lambda *inputs: None, lambda *inputs: ...):
        assert exercise(stub) is None
        assert said(capsys) == "… not filled in yet"
    assert exercise(raising) is False
    assert "ZeroDivisionError: mine" in said(capsys)
    assert exercise(lambda *inputs: torch.zeros(1, 17)) is False
    assert said(capsys).startswith("✗ the result should have shape")
    assert exercise(3) is False
    capsys.readouterr()


def straight_through(query, logits, support, labels):
    """The right values, and a gradient through softmax masks all the same."""
    soft = check.variant(query, logits, support, labels, soft=True)
    return soft + (right_loss(query, logits, support, labels) - soft).detach()


def test_repair_looks_at_the_gradient(capsys):
    for _ in DRAWS:
        assert check.repair(straight_through) is False
        assert said(capsys).endswith("reaches the query's logits through the mask")
        assert check.repair(lambda *x: right_loss(*x).detach()) is False
        assert "no gradient arrives" in said(capsys)
        assert check.repair(lambda q, *rest: right_loss(q.detach(), *rest)) is False
        assert "gradient of the query features" in said(capsys)
        assert check.repair(lambda q, m, s, y: right_loss(q, m, s.detach(), y)) is False
        assert "gradient of the support features" in said(capsys)
        assert check.repair(lambda *x: right_loss(*x).item()) is False
        assert "no gradient arrives" in said(capsys)


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        (None, None, "not filled in"),
        (..., None, "not filled in"),
        (1.8 / 6, True, "right"),
        ("0.3", True, "right"),
        (0.6, False, "mean over the three images"),
        (torch.tensor(0.6), False, "mean over the three images"),
        (1.8, False, "is the sum"),
        (0.9, False, "number of ways only"),
        (7, False, "adds nothing to the sum"),
        ("many", False, "a number is wanted"),
    ],
)
def test_divisor(answer, verdict, part, capsys):
    assert check.divisor(answer) is verdict
    assert part in said(capsys)


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        (None, None, "not filled in"),
        ("b", True, "right"),
        ("(B)", True, "right"),
        ("a", False, "not a"),
        ("c", False, "not c"),
        (5, False, "choose one"),
    ],
)
def test_gradient(answer, verdict, part, capsys):
    assert check.gradient(answer) is verdict
    assert part in said(capsys)


def only(*pixels):
    mask = torch.zeros(4, 4, dtype=torch.long)
    for y, x in pixels:
        mask[y, x] = 1
    return mask


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        (None, None, "not filled in"),
        (only((2, 2)), True, "fooled"),
        (only((2, 2)).tolist(), True, "fooled"),
        (only((2, 2)).bool(), True, "fooled"),
        (only(), False, "way was skipped"),
        (check.TRUTH, False, "should be below 0.3"),
        (only((0, 0)), False, "mind the mean's direction"),
        (torch.ones(3, 3), False, "a 4 x 4 tensor"),
        (torch.full((4, 4), 2), False, "a 4 x 4 tensor"),
        ("mask", False, "a 4 x 4 tensor"),
    ],
)
def test_fool(answer, verdict, part, capsys):
    assert check.fool(answer) is verdict
    assert part in said(capsys)
