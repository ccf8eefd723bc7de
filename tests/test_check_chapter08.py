"""Chapter 8's checks: the right answer passes, each known mistake is told by its own sentence."""

import numpy as np
import pytest
import torch

from panet_lite.annotations import annotate, box_map
from panet_lite.check import chapter08 as check

DRAWS = range(12)
IMPLEMENTATIONS = [
    (check.box, check.box_label_map, check.BOX_MISTAKES),
    (check.strokes, check.completed, check.STROKE_MISTAKES),
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


def test_the_box_is_the_package_s():
    """The exercise's label map is what `annotate` makes of the same objects, drawn by some seed."""
    for _ in DRAWS:
        instances, number = check.draw_instances()
        mine = check.box_label_map(instances, number)
        masks = [instances.numpy() == n for n in (1, 2, 3)]
        dense = (instances > 0).to(torch.uint8)
        assert np.array_equal(mine, box_map(dense.numpy(), {1: masks}, {1: masks[number - 1]}))
        drawn = [annotate(dense, "box", instances.to(torch.uint8), seed=seed) for seed in range(20)]
        assert any(torch.equal(mine.to(torch.uint8), weak) for weak in drawn)


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        (None, None, "not filled in"),
        (..., None, "not filled in"),
        (3 / 10**0.5, True, "right"),
        (0.95, True, "right"),
        (torch.tensor(0.9487), True, "right"),
        (0.75, False, "share of the box"),
        (1, False, "object alone"),
        (0.25, False, "table's share"),
        (0.316, False, "cosine with the table"),
        (0.5, False, "What is its cosine"),
        ("much", False, "a number is wanted"),
    ],
)
def test_mixture(answer, verdict, part, capsys):
    assert check.mixture(answer) is verdict
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
def test_shots(answer, verdict, part, capsys):
    assert check.shots(answer) is verdict
    assert part in said(capsys)
