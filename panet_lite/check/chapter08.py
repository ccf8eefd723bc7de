"""Answers to the exercises of chapter 8, weak annotations."""

import itertools
import warnings

import torch
from torch import Tensor

from ..annotations import complete_strokes
from ..datasets import VOID
from . import harness

# ---- exercise 1: a box ---------------------------------------------------------------------------


def corners(mask: Tensor) -> tuple[slice, slice]:
    """The bounding box of a mask as slices of rows and columns."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)


def boxed(instances: Tensor, order: list[int], number: int, short: int = 0) -> Tensor:
    """(H, W), boxes of the objects in `order` over 0: 1 for `number`, else void; `short` pixels too small."""
    labels = torch.zeros_like(instances)
    for other in order:
        rows, columns = corners(instances == other)
        place = slice(rows.start, rows.stop - short), slice(columns.start, columns.stop - short)
        labels[place] = 1 if other == number else VOID
    return labels


def others(instances: Tensor, number: int) -> list[int]:
    """The numbers of all objects in the map (H, W) but one."""
    return [other for other in instances.unique().tolist() if other not in (0, number)]


def box_label_map(instances: Tensor, number: int, short: int = 0) -> Tensor:
    """1 in the box of object `number`, 255 in the boxes of the others, 0 outside all of them."""
    return boxed(instances, [*others(instances, number), number], number, short)


BOX_MISTAKES = (
    (lambda i, n: box_label_map(i, n, short=1),
     "the last row and column of the box are missing: a slice ends before its stop, so add 1"),
    (lambda i, n: (box_label_map(i, n) == 1).long(),
     "the other objects' boxes became background: they hold more of the same class, so they are neither "
     "(255)"),
    (lambda i, n: (box_label_map(i, n) != 0).long(),
     "the other objects' boxes became 1: only one object was annotated, the rest is 255"),
    (lambda i, n: boxed(i, [n, *others(i, n)], n),
     "where two boxes overlap, yours says nothing: the annotated box was drawn on purpose, so draw it last"),
    (lambda i, n: boxed((i > 0).long(), [1], 1),
     "this is one box around all objects: box the one that `number` names"),
    (lambda i, n: torch.where(box_label_map(i, n) == 1, 1, VOID),
     "everything outside the box became 255, so nothing is background and its prototype would be zero: "
     "outside all boxes write 0"),
    (lambda i, n: torch.where(i == n, 1, box_label_map(i, n).where(box_label_map(i, n) != 1, VOID)),
     "this is still the object's mask: a box is filled, corner to corner"),
    (lambda i, n: torch.where(box_label_map(i, n) == 1, n, box_label_map(i, n)),
     "the box holds the object's number: in a label map it is class 1, whichever object it was"),
)  # fmt: skip


def draw_instances() -> tuple[Tensor, int]:
    """Three L-shaped objects of a class: two with overlapping boxes, one apart."""
    instances = torch.zeros(16, 22, dtype=torch.long)
    y, x, tall, wide = (harness.whole(low, low + 2) for low in (1, 1, 5, 5))
    first = harness.whole(2, 3)  # never 1: a box that keeps its number must differ from class 1
    names = [first, *(n for n in (1, 2, 3) if n != first)]
    instances[y : y + tall, x] = instances[y + tall - 1, x : x + wide] = names[0]
    instances[y + 1 : y + tall - 2, x + wide - 2 : x + wide + 3] = names[1]
    instances[y + 1, x + wide + 2 : x + wide + 4] = names[1]
    instances[13:15, 12 : 14 + x] = names[2]
    instances[12, 12] = names[2]
    return instances, names[0]


def box(answer: harness.Answer) -> bool | None:
    """Exercise 1: (instances (H, W), number) -> the label map of that object's box."""
    return harness.implementation(
        answer,
        box_label_map,
        draw_instances,
        "right: a filled box, silence in the boxes of the others, background outside all of them",
        BOX_MISTAKES,
    )


# ---- exercises 2 and 3: what is in a box ---------------------------------------------------------


def mixture(answer: object) -> bool | None:
    """Exercise 2: object features (1, 0), table features (0, 1), the object fills 3/4 of its box."""
    return harness.number(
        answer,
        3 / 10**0.5,
        2e-3,
        "right: 3 over the root of 10. A quarter of foreign pixels costs 0.05",
        "no: the box's mean is 3/4 of (1, 0) plus 1/4 of (0, 1). What is its cosine with (1, 0)?",
        [
            (
                0.75,
                "0.75 is the object's share of the box: divide by the length of (3/4, 1/4) for the cosine",
            ),
            (1.0, "1 would be the mean of the object alone: the box holds a quarter of table as well"),
            (0.25, "0.25 is the table's share: the cosine is with the object"),
            (0.3162, "this is the cosine with the table (0, 1): wanted is the one with the object (1, 0)"),
        ],
    )


def shots(answer: object) -> bool | None:
    """Exercise 3: what five boxes instead of one cannot mend."""
    return harness.choice(
        answer,
        "b",
        {
            "a": "not a: that differs from box to box, and a mean over five has less of it",
            "b": "right: every box holds some table, and the mean of five such means still does. Averaging "
            "removes chance, not bias",
            "c": "not c: one unusual mug among five weighs a fifth",
        },
    )


# ---- exercise 4: strokes without a background ----------------------------------------------------


def completed(labels: Tensor) -> Tensor:
    """`complete_strokes` of (H, W) without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return complete_strokes(labels)


def filled(labels: Tensor) -> Tensor:
    """Strokes (H, W) whose void is made background, whatever was marked."""
    return torch.where(labels == VOID, 0, labels)


STROKE_MISTAKES = (
    (filled,
     "you filled maps that have a background stroke, too: there the reader said what is background, and the "
     "rest says nothing"),
    (lambda y: y if (y == 0).any() else filled(y),
     "a map without any stroke says nothing at all: leave it as it is"),
    (lambda y: y, "nothing changed: where no pixel is 0, the background's prototype stays zero"),
    (lambda y: filled(y) if (y == 0).any() else y,
     "the wrong way round: fill the maps that have no background stroke"),
    (lambda y: torch.where(completed(y) == 0, torch.where(y == 0, 0, 1), y),
     "you filled with the class: what is unpainted becomes background, 0"),
    (lambda y: torch.where(completed(y) == VOID, VOID, (y == 1).long()),
     "every stroke but that of class 1 was lost: keep all numbers as they are"),
)  # fmt: skip


def draw_strokes(kind: str) -> tuple[Tensor]:
    """Strokes (7, 9): of one class, of two, of class and background, or none."""
    labels = torch.full((7, 9), VOID)
    values = {"class": [1], "two": [1, 2], "background": [2, 0], "none": []}[kind]
    for row, value in zip(torch.randperm(7).tolist(), values):
        start = harness.whole(0, 4)
        labels[row, start : start + 4] = value
    return (labels,)


def strokes(answer: harness.Answer) -> bool | None:
    """Exercise 4: strokes (H, W) -> strokes with a background."""
    kinds = itertools.cycle(("class", "background", "two", "none"))
    return harness.implementation(
        answer,
        completed,
        lambda: draw_strokes(next(kinds)),
        "right: filled where nobody marked the background, untouched everywhere else",
        STROKE_MISTAKES,
        trials=8,
    )
