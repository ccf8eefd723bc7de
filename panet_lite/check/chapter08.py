"""Answers to the exercises of chapter 8, weak annotations."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..annotations import complete_strokes
from ..datasets import VOID
from . import harness


def label_map(ones: str, silence: str) -> Callable[[list[Any], list[Any]], str]:
    """What is wrong with a label map that no known mistake explains: `ones` and `silence` say where 1 and 255 belong."""

    def told(values: list[Any], truths: list[Any]) -> str:
        for value, truth in zip(values, truths):
            found = harness.read(torch.as_tensor, value)
            if found is None or found.shape != truth.shape or harness.equal(found, truth):
                continue
            if strange := set(found.unique().tolist()) - set(truth.unique().tolist()):
                return f"your label map holds {min(strange):g}, which has no business here: {silence}"
            for which, rule in ((1, ones), (VOID, silence)):
                mine, true = int((found == which).sum()), int((truth == which).sum())
                if mine and true and corners(found == which) != (place := corners(truth == which)):
                    ours, right = ("rows {0.start} to {0.stop}, columns {1.start} to {1.stop}".format(*at)
                                   for at in (corners(found == which), place))  # fmt: skip
                    return f"your {which}s span {ours} (each end left out), where {right} is right: {rule}"
                if not torch.equal(found == which, truth == which):
                    return f"{mine} pixels are {which} in one trial, {true} should be: {rule}"
        return harness.unexplained(values, truths)

    return told


# ---- ex-08-box -----------------------------------------------------------------------------------


def corners(mask: Tensor) -> tuple[slice, slice]:
    """The bounding box of a mask as slices of rows and columns."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)


def boxed(instances: Tensor, order: list[int], number: int, low: int = 0, high: int = 0) -> Tensor:
    """(H, W), boxes of the objects in `order` over 0: 1 for `number`, else void; moved at the top left by `low` pixels, at
    the bottom right by `high`."""
    labels = torch.zeros_like(instances)
    for other in order:
        place = tuple(slice(max(s.start + low, 0), s.stop + high) for s in corners(instances == other))
        labels[place] = 1 if other == number else VOID
    return labels


def others(instances: Tensor, number: int) -> list[int]:
    """The numbers of all objects in the map (H, W) but one."""
    return [other for other in instances.unique().tolist() if other not in (0, number)]


def box_label_map(instances: Tensor, number: int, low: int = 0, high: int = 0) -> Tensor:
    """1 in the box of object `number`, 255 in the boxes of the others, 0 outside all of them."""
    return boxed(instances, [*others(instances, number), number], number, low, high)


def alone(instances: Tensor, number: int) -> Tensor:
    """The box of one object, bool (H, W)."""
    return box_label_map(instances, number) == 1


SHORT = "a row and a column of the box are missing: both ends of the object belong to it, and a slice ends before its stop"
BOX_MISTAKES = (
    (lambda i, n: box_label_map(i, n, high=-1), SHORT),
    (lambda i, n: box_label_map(i, n, low=1), SHORT),
    (lambda i, n: box_label_map(i, n, high=1), "the box is a row and a column too large: a slice ends before its stop, so add 1 once"),
    (lambda i, n: box_label_map(i, n, -1, 1), "the box has a margin of a pixel: it ends with the object"),
    (lambda i, n: alone(i, n).long(),
     "the other objects' boxes became background: they hold more of the same class, so they are neither "
     "(255)"),
    (lambda i, n: (box_label_map(i, n) != 0).long(),
     "the other objects' boxes became 1: only one object was annotated, the rest is 255"),
    (lambda i, n: boxed(i, [n, *others(i, n)], n),
     "where two boxes overlap, yours says nothing: the annotated box was drawn on purpose, so draw it last"),
    (lambda i, n: boxed((i > 0).long(), [1], 1),
     "this is one box around all objects: box the one that `number` names"),
    (lambda i, n: torch.where(alone(i, n), 1, VOID),
     "everything outside the box became 255, so nothing is background and its prototype would be zero: "
     "outside all boxes write 0"),
    (lambda i, n: torch.tensor([VOID, 1, 0])[torch.where(box_label_map(i, n) == VOID, 2, alone(i, n).long())],
     "0 and 255 have changed places: outside all boxes is background (0), the other boxes say nothing (255)"),
    (lambda i, n: torch.where(i == n, 1, box_label_map(i, n).where(box_label_map(i, n) != 1, VOID)),
     "this is still the object's mask: a box is filled, corner to corner"),
    (lambda i, n: torch.where(alone(i, n), (i == n).long(), box_label_map(i, n)),
     "this is still the object's mask: a box is filled, corner to corner"),
    (lambda i, n: torch.where(alone(i, n), 1, boxed(i, others(i, n), 0, high=-1)),
     "a row and a column are missing in the other objects' boxes: a slice ends before its stop"),
    (lambda i, n: torch.where(alone(i, n), 1, VOID * boxed((i * (i != n) > 0).long(), [1], 1)),
     "this is one box around all other objects: each has its own"),
    (lambda i, n: torch.where((i > 0) & (box_label_map(i, n) == VOID), 1, box_label_map(i, n)),
     "the other objects are 1 in yours: only one object was annotated, the rest is 255"),
    (lambda i, n: torch.where(i == n, 1, torch.where(i > 0, VOID, 0)),
     "these are still the objects' masks: a box is filled, corner to corner"),
    (lambda i, n: torch.where(alone(i, n), 1, torch.where(i > 0, VOID, 0)),
     "of the other objects only the masks say nothing: their boxes are wanted"),
    (lambda i, n: torch.where(i * (i != n) > 0, VOID, alone(i, n).long()),
     "other objects' pixels under the box became 255: the annotated box lies on top, and it is 1 all over"),
    (lambda i, n: torch.where(alone(i, n), n, box_label_map(i, n)),
     "the box holds the object's number: in a label map it is class 1, whichever object it was"),
)  # fmt: skip


def draw_instances(first: int) -> tuple[Tensor, int]:
    """Three L-shaped objects of a class, and one's number: its box overlaps with another's, the third lies apart."""
    instances = torch.zeros(16, 22, dtype=torch.long)
    y, x, tall, wide = (harness.whole(low, low + 2) for low in (1, 1, 5, 5))
    names = [first, *(n for n in (1, 2, 3) if n != first)]
    instances[y : y + tall, x] = instances[y + tall - 1, x : x + wide] = names[0]
    instances[y + 1 : y + tall - 2, x + wide - 2 : x + wide + 3] = names[1]
    instances[y + 1, x + wide + 2 : x + wide + 4] = names[1]
    instances[13:15, 12 : 14 + x] = names[2]
    instances[12, 12] = names[2]
    return instances, first


def box(answer: harness.Answer) -> bool | None:
    """ex-08-box: (instances (H, W), number) -> the label map of that object's box."""
    numbers = itertools.cycle((2, 3, 1))
    return harness.implementation(
        answer,
        box_label_map,
        lambda: draw_instances(next(numbers)),
        "right: a filled box, silence in the boxes of the others, background outside all of them",
        BOX_MISTAKES,
        trials=6,
        otherwise=label_map(
            "1 fills the box of object `number`", "255 is for the other boxes, 0 for all outside"
        ),
    )


# ---- ex-08-stroke --------------------------------------------------------------------------------


def near(path: Tensor, shape: torch.Size, wide: int = 3) -> Tensor:
    """Whether a pixel lies in a square of `wide` pixels round one of `path` (N, 2): bool (H, W)."""
    line = torch.zeros(shape)
    line[tuple(path.T)] = 1
    return F.max_pool2d(line[None], wide, 1, wide // 2)[0] > 0


def cross(path: Tensor, shape: torch.Size) -> Tensor:
    """Whether a pixel lies on the path or beside, above or below one of its pixels."""
    steps = torch.tensor([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
    return near((path[:, None] + steps).flatten(0, 1), shape, 1)


def stroke_map(mask: Tensor, path: Tensor) -> Tensor:
    """1 on the path and its eight neighbours where they are object, else void: (H, W), (N, 2) -> (H, W)."""
    return torch.where(near(path, mask.shape) & mask, 1, VOID)


STROKE_MISTAKES = (
    (lambda m, p: near(p, m.shape).long(),
     "both faults are still there: what does the annotator say beside the stroke, and what lies under it?"),
    (lambda m, p: torch.where(near(p, m.shape), 1, VOID),
     "255 is right now. The other fault: where the object is thin, the stroke spills over its outline"),
    (lambda m, p: (near(p, m.shape) & m).long(),
     "the stroke stays inside now. The other fault: 0 says background, also to the rest of the mug; silence is 255"),
    (lambda m, p: torch.where(near(p, m.shape) & m, 1, torch.where(m, VOID, 0)),
     "outside the object you say background: the annotator, who drew one stroke, said nothing there either"),
    (lambda m, p: torch.where(near(p, m.shape) & m, 1, torch.where(m, 0, VOID)),
     "the rest of the object became background: nobody said so, it is 255"),
    (lambda m, p: torch.where(near(p, m.shape), torch.where(m, 1, 0), VOID),
     "where the stroke spilled over you say background: nothing was said there, it is 255"),
    (lambda m, p: torch.where(near(p, m.shape) & ~m, VOID, near(p, m.shape).long()),
     "the spilled pixels are 255 now, but so is all that the annotator left out: only the stroke speaks"),
    (lambda m, p: torch.where(near(p, m.shape, 1), 1, VOID), "this is the middle line alone: the stroke is three pixels wide"),
    (lambda m, p: torch.where(cross(p, m.shape) & m, 1, VOID), "the diagonal neighbours are missing: a pixel has eight"),
    (lambda m, p: torch.where(near(p[:-1], m.shape) & m, 1, VOID), "the last pixel of the path is missing"),
    (lambda m, p: torch.where(near(p, m.shape) | m, 1, VOID), "`and`, not `or`: 1 where the wide line *and* the object are"),
    (lambda m, p: torch.where(near(p, m.shape, 5) & m, 1, VOID), "the stroke is five pixels wide: one on either side of the path"),
    (lambda m, p: torch.where(m, 1, VOID), "this is the whole mask: only the stroke is 1"),
    (lambda m, p: torch.where(near(p, m.shape) & m, VOID, 1), "1 and 255 have changed places"),
    (lambda m, p: torch.where(near(p, m.shape) & m, 1, -1), "what says nothing is 255 in this book, not -1"),
)  # fmt: skip


def draw_stroke() -> tuple[Tensor, Tensor]:
    """A mask (H, W), two pixels thin at one end, and a path (N, 2) inside, with a diagonal step, away from the frame."""
    y, x, long = harness.whole(4, 6), harness.whole(3, 5), harness.whole(6, 9)
    mask = torch.zeros(14, 22, dtype=torch.bool)
    mask[y - 3 : y + 4, x - 1 : x + 5] = mask[y : y + 2, x : x + long + 2] = True
    path = [(y - 1, x + 1), *((y, x + 2 + step) for step in range(long - 2))]
    return mask, torch.tensor(path)


def stroke(answer: harness.Answer) -> bool | None:
    """ex-08-stroke: (mask (H, W), path (N, 2)) -> the label map of the stroke."""
    right = "right: the stroke speaks, inside the object, and all else is silent"
    told = label_map("1 is on the path and its eight neighbours, on the object", "all but the stroke is 255")
    return harness.implementation(answer, stroke_map, draw_stroke, right, STROKE_MISTAKES, otherwise=told)


# ---- ex-08-passes, ex-08-mixture, ex-08-lean -----------------------------------------------------


def passes(late: Any, early: Any) -> bool | None:
    """ex-08-passes: pictures through the backbone for 60 supports in four annotations, and 60 queries."""
    if harness.blank(late, early):
        return harness.unfilled()
    once = "late fusion embeds a picture before it looks at the annotation, so once for all four"
    told: dict[tuple[float | None, ...], str] = {
        (120, 300): "right: 60 queries, and 60 supports once or four times",
        (300, 120): "the other way round: early fusion makes a new picture of every annotation",
        (60, 240): "the queries pass through the backbone, too",
        (120, 480): "early fusion lays the annotation over the *support*: a query passes once",
        (120, 120): "early fusion changes the picture: four annotations of a support are four pictures",
        (60, 300): "late: the queries pass through the backbone, too",
        (120, 240): "early: the queries pass through the backbone, too",
        **dict.fromkeys([(480, 480), (300, 300), (480, 300)], once),
    }
    why = "no: count supports and queries apart. Which of them does the backbone see in four versions?"
    values = tuple(harness.read(float, one) for one in (late, early))
    if why_not := [
        name for name, value, right in zip(("late", "early"), values, (120, 300)) if value != right
    ][:1]:
        why = (
            f"{why_not[0]} is not right yet, {'early is' if values[1] == 300 else 'late is'}: {why[4:]}"
            if 300 in values or 120 in values
            else why
        )
    return harness.say(values == (120, 300), told.get(values, why))


def mixture(answer: object) -> bool | None:
    """ex-08-mixture: object features (1, 0), table features (0, 1), the object fills 3/4 of its box."""
    return harness.number(
        answer,
        3 / 10**0.5,
        2e-3,
        "right: 3 over the root of 10. A quarter of foreign pixels costs 0.05",
        "no: the box's mean is 3/4 of (1, 0) plus 1/4 of (0, 1). What is its cosine with (1, 0)?",
        [
            (0.75, "0.75 is the object's share of the box: divide by the length of (3/4, 1/4) for the cosine"),
            (1.0, "1 would be the mean of the object alone: the box holds a quarter of table as well"),
            (0.25, "0.25 is the table's share: the cosine is with the object"),
            (0.9, "this is the squared cosine: take its root"),
            (94.87, "in per cent; a cosine lies between -1 and 1"),
            (0.3536, "this is the way between the two prototypes: the cosine of their angle is wanted"),
            *((n, "a root or a square of the share, 3/4: divide 3/4 by the length of (3/4, 1/4) instead") for n in (0.866, 0.5625)),
            (0.3162, "this is the cosine with the table (0, 1): wanted is the one with the object (1, 0)"),
            (0.7906, "this is the length of (3/4, 1/4): divide 3/4 by it"),
            (0.3217, "this is the angle in radians: its cosine is wanted"),
            (18.435, "this is the angle in degrees: its cosine is wanted"),
            (1.2, "you divided by the squared length of (3/4, 1/4): a cosine is never above 1"),
        ],
    )  # fmt: skip


def lean(answer: object) -> bool | None:
    """ex-08-lean: how full is the box of a bar, 8 by 1, that lies at 45 degrees?"""
    side = 9 / 2**0.5
    return harness.number(
        answer,
        8 / side**2,
        3e-3,
        "right: 8 of 40.5. Lying straight it would be full",
        "no: the bar covers 8 square centimetres. How long is the side of its box, when length and width both lean?",
        [
            (0.25, "nearly: the width leans, too, and makes each side of the box longer by 1 over the root of 2"),
            (0.125, "this box has sides of 8: a leaning bar is less tall than it is long"),
            (1.0, "this is the bar that lies straight"),
            (0.8025, "this is the empty part: the bar's share is wanted"),
            (19.75, "a share is wanted, between 0 and 1"),
            (8 / side, "you divided by the side of the box: divide by its area"),
            (5.0625, "upside down: the bar's area stands above, the box's below"),
            (9 / 2**0.5, "this is the side of the box: which share of its area is bar?"),
            (8.0, "this is the area of the bar: divide by that of its box"),
            (4 / 9, "this is the root of the share, a ratio of lengths: divide areas"),
            (40.5, "this is the area of the box: what share of it is bar?"),
            (8 / 81, "the sides are (8 + 1) times the sine of 45 degrees, not 8 + 1"),
        ],
    )  # fmt: skip


# ---- ex-08-errors --------------------------------------------------------------------------------


def errors_of(weak: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
    """Squared length of the mean error of prototypes (N, C), and the mean squared length of what differs from it."""
    error = weak - dense
    return error.mean(0).square().sum(), (error - error.mean(0)).square().sum(1).mean()


def altered(change: Callable[[Tensor, Tensor, Tensor], tuple[object, object]]) -> harness.Answer:
    """A wrong turn of `errors_of`: `change` gets the errors (N, C), and bias and chance."""
    return lambda weak, dense: change(weak - dense, *errors_of(weak, dense))


ERROR_MISTAKES = (
    (altered(lambda e, b, c: (b, b + c)), "the chance still holds the bias: first take the mean error away from each error"),
    (altered(lambda e, b, c: (b + c, c)), "the bias is the mean squared error: average the errors first, and square the mean"),
    (altered(lambda e, b, c: (b.sqrt(), c.sqrt())), "these are lengths: squared lengths are wanted, they add up"),
    (altered(lambda e, b, c: (b.sqrt(), c)), "the bias is a length: squared lengths are wanted, they add up"),
    (altered(lambda e, b, c: (b, c.sqrt())), "the chance is a length: squared lengths are wanted, they add up"),
    (altered(lambda e, b, c: (b / e.shape[1], c / e.shape[1])), "you average over the channels: a squared length is their sum"),
    (altered(lambda e, b, c: (b / e.shape[1], c)), "the bias is averaged over the channels: a squared length is their sum"),
    (altered(lambda e, b, c: (b, c / e.shape[1])), "the chance is averaged over the channels: a squared length is their sum"),
    (altered(lambda e, b, c: (b, c * len(e) / (len(e) - 1))), "you divide by N - 1 (`var` and `std` do): a plain mean is wanted"),
    (altered(lambda e, b, c: (b / e.shape[1], c * len(e) / (len(e) - 1) / e.shape[1])),
     "you average over the channels and divide by N - 1: squared lengths are sums over channels, the mean is over N"),
    (altered(lambda e, b, c: (b, c * len(e))), "the chance is summed over the supports: their mean is wanted"),
    (altered(lambda e, b, c: (e.sum(0).square().sum(), c)), "the errors are summed for the bias: their mean is wanted"),
    (altered(lambda e, b, c: (e.abs().mean(0).square().sum(), c)), "you took the errors without their signs: opposite ones should cancel"),
    (altered(lambda e, b, c: (e.norm(dim=1).mean() ** 2, c)), "you averaged the errors' lengths: average the errors, then take the length"),
    (altered(lambda e, b, c: (e.mean(0), e.var(0, correction=0))), "these are vectors: add their squared channels up, two numbers are wanted"),
    (lambda w, d: errors_of(w, -d), "you added the two: the error is weak minus dense"),
    (altered(lambda e, b, c: (b / (b + c), c / (b + c))), "these are shares of their sum: the two themselves are wanted"),
    (altered(lambda e, b, c: (e.mean(0).abs().sum(), c)), "the bias is a sum of absolute values: of squares, please"),
    (altered(lambda e, b, c: (b, (e - e.mean(0)).norm(dim=1).mean())), "you averaged lengths for the chance: square each length first"),
    (altered(lambda e, b, c: (b.sqrt(), (e - e.mean(0)).norm(dim=1).mean())), "these are lengths: squared lengths are wanted, they add up"),
    (altered(lambda e, b, c: (b, (e - e.mean(0)).norm(dim=1).mean() ** 2)), "you averaged lengths and then squared: square each length first"),
    (altered(lambda e, b, c: (b, (e - e.mean(0)).square().sum(1).median())), "this is the median of the supports: their mean is wanted"),
    (lambda w, d: errors_of(w, torch.zeros_like(d)), "the dense prototypes were not taken away: the error is weak minus dense"),
    (lambda w, d: errors_of(w, d.mean(0)), "the error is of each support against its own dense prototype, not against their mean"),
    (lambda w, d: errors_of(F.normalize(w, dim=1), F.normalize(d, dim=1)), "you made the prototypes one long: take them as they are"),
    (lambda w, d: errors_of(w.T, d.T), "mean and sum have changed axes: rows are supports, columns are channels"),
)  # fmt: skip


def paired(value: object, truth: object) -> bool:
    """Whether two numbers, in whatever holds two, are the true ones."""
    whole = isinstance(value, (Tensor, np.ndarray)) and value.ndim == 1
    return harness.equal(tuple(value) if whole else value, truth)  # type: ignore[arg-type]


def errors(answer: harness.Answer) -> bool | None:
    """ex-08-errors: prototypes (N, C) weak and dense -> squared bias, chance."""

    def which(values: list[Any], truths: list[Any]) -> str:
        told = harness.unexplained(values, truths)
        alike = [
            told == harness.NUMBERS and all(harness.equal(v[i], t[i]) for v, t in zip(values, truths))
            for i in (0, 1)
        ]
        if any(alike):
            return "the {} is right, the {} is not: read its sentence again".format(
                *("bias", "chance")[:: 1 if alike[0] else -1]
            )
        return told

    return harness.implementation(
        answer,
        errors_of,
        lambda: (torch.randn(7, 5) + torch.randn(5), torch.randn(7, 5)),
        "right: what all supports have in common, and what differs; together they are the mean squared error",
        ERROR_MISTAKES,
        same=paired,
        otherwise=which,
    )


# ---- ex-08-report --------------------------------------------------------------------------------


def report(answer: object) -> bool | None:
    """ex-08-report: which sentence may stand in a report on the photographs."""
    return harness.choice(
        answer,
        "b",
        {
            "a": "not a: with one shot the interval of the difference holds zero, so that is open",
            "b": "right: found, in the sense of this book, and only for this network and these photographs",
            "c": "not c: 'open' means that three seeds cannot tell, not that there is no difference",
            "d": "not d: the photographs were measured with another, older network, so two things differ at once",
        },
    )


# ---- ex-08-strokes -------------------------------------------------------------------------------


def completed(labels: Tensor) -> Tensor:
    """`complete_strokes` of (H, W) without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return complete_strokes(labels)


def filled(labels: Tensor, value: int = 0) -> Tensor:
    """Strokes (H, W) whose void is made `value`, whatever was marked."""
    return torch.where(labels == VOID, value, labels)


def only_where(condition: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The rule with another condition."""
    return lambda y: filled(y) if bool(condition(y)) else y


STROKE_RULE_MISTAKES = (
    (filled,
     "you filled maps that have a background stroke, too: there the reader said what is background, and the "
     "rest says nothing"),
    (only_where(lambda y: (y != 0).all()),
     "a map without any stroke says nothing at all: leave it as it is"),
    (lambda y: y, "nothing changed: where no pixel is 0, the background's prototype stays zero"),
    (only_where(lambda y: (y == 0).any()),
     "the wrong way round: fill the maps that have no background stroke"),
    (only_where(lambda y: (y == 1).any() & (y != 0).all()),
     "you fill where class 1 is painted: a stroke of any class, 2 or 3 as well, wants a background"),
    (only_where(lambda y: (y == 1).any()),
     "you fill where class 1 is painted, whatever else is: a stroke of any class wants a background, if it has none"),
    (only_where(lambda y: (y != VOID).any()), "you filled maps that have a background stroke, too: there the rest says nothing"),
    (only_where(lambda y: y.unique().numel() == 2),
     "you fill where one kind of stroke was painted: two classes without a background want one as well, and a stroke of the "
     "background alone does not"),
    (only_where(lambda y: (y != 0).all() & (y.unique().numel() == 2)),
     "you fill where one class was painted: two classes without a background want one as well"),
    (lambda y: filled(y, 1) if 0 not in y and (y != VOID).any() else y,
     "you filled with the class: what is unpainted becomes background, 0"),
    (lambda y: torch.where(completed(y) == VOID, VOID, (y == 1).long()),
     "every stroke but that of class 1 was lost: keep all numbers as they are"),
    (lambda y: torch.where((completed(y) != VOID) & (y != VOID) & (y != 0), 1, completed(y)),
     "all classes became 1: keep all numbers as they are"),
    (lambda y: filled(y, -1) if 0 not in y and (y != VOID).any() else y, "background is 0, not -1"),
)  # fmt: skip


def draw_strokes(values: list[int]) -> tuple[Tensor]:
    """Strokes (7, 9), a row of four pixels for each of `values`."""
    labels = torch.full((7, 9), VOID)
    for row, value in zip(torch.randperm(7).tolist(), values):
        start = harness.whole(0, 4)
        labels[row, start : start + 4] = value
    return (labels,)


def strokes(answer: harness.Answer) -> bool | None:
    """ex-08-strokes: strokes (H, W) -> strokes with a background."""
    kinds = itertools.cycle(([1], [2, 0], [harness.whole(3, 4)], [1, 2], [], [0], [3, 2], [1, 0], [1, 2, 0]))
    return harness.implementation(
        answer,
        completed,
        lambda: draw_strokes(next(kinds)),
        "right: filled where nobody marked the background, untouched everywhere else",
        STROKE_RULE_MISTAKES,
        trials=9,
        otherwise=label_map(
            "a stroke stays as it is", "255 becomes 0 where there are strokes and none is 0, else it stays"
        ),
    )
