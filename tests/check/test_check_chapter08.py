"""Chapter 8's checks: the right answer passes, each known mistake is told by its own sentence."""

import numpy as np
import torch
from checking import DRAWS, answers, mistakes_are_told, one_of_three, right_passes, stubs_and_errors

from panet_lite.annotations import annotate, box_map
from panet_lite.check import chapter08 as check

IMPLEMENTATIONS = [
    (check.box, check.box_label_map, check.BOX_MISTAKES),
    (check.strokes, check.completed, check.STROKE_MISTAKES),
]


test_right_answer_passes = right_passes(IMPLEMENTATIONS)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS)


test_unfilled_and_raising_answers = stubs_and_errors(
    *(row[0] for row in IMPLEMENTATIONS),
    nonsense=[lambda *inputs: torch.zeros(1, 17)],
    begins="✗ the result should have shape",
)


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


test_mixture = answers(
    check.mixture,
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
)


test_shots = one_of_three(check.shots, "b")
