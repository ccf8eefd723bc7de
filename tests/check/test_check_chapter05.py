"""Chapter 5's checks: the right answer passes, each known mistake is told by its own sentence."""

import torch
from checking import DRAWS, answers, mistakes_are_told, one_of_three, right_passes, said, stubs_and_errors

from panet_lite import alignment
from panet_lite.check import chapter05 as check


def right_prototypes(features, logits, labels):
    return alignment.query_prototypes(features, logits)[0]


def right_loss(query, logits, support, labels):
    return alignment.alignment_loss(query[None], logits[None], support[None], labels[None])


IMPLEMENTATIONS = [
    (check.query_prototypes, right_prototypes, check.PROTOTYPE_MISTAKES),
    (check.way_labels, alignment.way_labels, check.LABEL_MISTAKES),
    (check.repair, right_loss, check.REPAIR_MISTAKES),
]


test_right_answer_passes = right_passes(IMPLEMENTATIONS)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS)


test_unfilled_and_raising_answers = stubs_and_errors(
    *(row[0] for row in IMPLEMENTATIONS),
    nonsense=[lambda *inputs: torch.zeros(1, 17)],
    begins="✗ the result should have shape",
)


def test_without_a_wrong_turn_the_variant_is_right():
    for lost in (False, True):
        case = check.draw_episode(lost)
        assert torch.allclose(check.variant(*case), right_loss(*case), rtol=1e-4)


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


test_divisor = answers(
    check.divisor,
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
)


test_gradient = one_of_three(check.gradient, "b")


def only(*pixels):
    mask = torch.zeros(4, 4, dtype=torch.long)
    for y, x in pixels:
        mask[y, x] = 1
    return mask


test_fool = answers(
    check.fool,
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
)
