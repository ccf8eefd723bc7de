"""The checks of chapter 4: right answers pass, each known mistake is told by its own sentence."""

import pytest
import torch
import torch.nn.functional as F

from panet_lite.check import chapter04 as check


def my_match(features, prototypes, alpha):
    features = features / features.norm(dim=0)
    prototypes = prototypes / prototypes.norm(dim=1, keepdim=True)
    return alpha * torch.einsum("chw,jc->jhw", features, prototypes)


def my_loss(logits, labels):
    means = []
    for scores, target in zip(logits, labels.long()):
        scores = F.interpolate(scores[None], target.shape, mode="bilinear", align_corners=False)
        means.append(F.cross_entropy(scores, target[None], ignore_index=255))
    return torch.stack(means).mean()


def my_parts(logits, owner):
    return torch.stack([logits.softmax(0)[owner == c].sum(0) for c in range(owner.max() + 1)])


IMPLEMENTATIONS = [
    (check.match, my_match, check.MATCH_MISTAKES),
    (check.void_loss, my_loss, check.VOID_MISTAKES),
    (check.parts, my_parts, check.PARTS_MISTAKES),
]
MISTAKES = [(f, wrong, why) for f, _, mistakes in IMPLEMENTATIONS for wrong, why in mistakes]


@pytest.mark.parametrize("function, right, _", IMPLEMENTATIONS)
def test_right_answer_passes(function, right, _, capsys):
    for _ in range(12):
        assert function(right) is True
        assert capsys.readouterr().out.startswith("✓ ")


@pytest.mark.parametrize("function, wrong, why", MISTAKES, ids=[why[:40] for _, _, why in MISTAKES])
def test_mistake_is_recognised(function, wrong, why, capsys):
    for _ in range(12):
        assert function(wrong) is False
        assert capsys.readouterr().out == f"✗ {why}\n"


@pytest.mark.parametrize("function, _, __", IMPLEMENTATIONS)
def test_unfilled_raising_and_other_answers(function, _, __, capsys):
    def raising(*inputs):
        raise KeyError("no such thing")

    assert function(lambda *inputs: ...) is None
    assert function(lambda *inputs: None) is None
    assert capsys.readouterr().out.count("… not filled in yet\n") == 2
    assert function(raising) is False
    assert "KeyError" in capsys.readouterr().out
    assert function(lambda *inputs: torch.zeros(2)) is False
    assert function(lambda *inputs: "words") is False
    assert function(lambda x, *rest: x.sum() * 0 + 7.5) is False


@pytest.mark.parametrize(
    "answer, verdict, says",
    [
        (0.5964, True, "right"),
        (0.6, True, "right"),
        (0.649, False, "almost"),
        (0.8808, False, "two prototypes"),
        (0.352, False, "below 0"),
        (0.404, False, "left for"),
        (1 / 6, False, "1/6"),
        (59.6, False, "percentage"),
        (0.99, False, "softmax of six"),
        ("much", False, "a number is wanted"),
        (torch.tensor([1.0, 2.0]), False, "a number is wanted"),
        (None, None, "not filled in"),
        (..., None, "not filled in"),
    ],
)
def test_ceiling(answer, verdict, says, capsys):
    assert check.ceiling(answer) is verdict
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, verdict, says",
    [
        ("c", True, "right"),
        ("(C)", True, "right"),
        ("a", False, "bisector"),
        ("b", False, "other way round"),
        ("d", False, "only one"),
        ("z", False, "choose one of"),
        (3, False, "choose one of"),
        (None, None, "not filled in"),
    ],
)
def test_scaled(answer, verdict, says, capsys):
    assert check.scaled(answer) is verdict
    assert says in capsys.readouterr().out


def test_the_answer_to_scaled_is_true():
    """Three times as long: the cosine's label map stays, that of the squared distance changes."""
    torch.manual_seed(0)
    features, prototypes = torch.randn(1, 1, 4, 16, 16), torch.randn(1, 2, 4)
    longer = prototypes * torch.tensor([1.0, 3.0]).view(1, 2, 1)
    for distance, changes in (("cosine", False), ("euclidean", True)):
        before, after = (
            check.matching.match(features, p, distance=distance).argmax(2) for p in (prototypes, longer)
        )
        assert bool((before != after).any()) is changes
