"""Answers to the exercises of chapter 11, full scale."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from ..datasets import VOID
from . import harness

# ---- exercise 1: what a larger episode costs -----------------------------------------------------


def cost(answer: object) -> bool | None:
    """Exercise 1: a 5-way 5-shot step in units of a 1-way 1-shot step."""
    no = "no: count the images that pass the backbone in either step; nothing else costs anything to speak of"
    for value, why in (
        (25.0, "25 is the ratio of the supports: each step has a query as well"),
        (26.0, "26 is the number of images: divide by those of the 1-way 1-shot step"),
        (12.5, "12.5 leaves out the query of the large step: it passes the backbone as the supports do"),
        (15.0, "15 would be a query for each way: an episode has one query, whatever its ways"),
        (5.0, "5 is the ratio of the ways, or of the shots: here each of five ways has five shots of its own"),
        (3.0, "3 is a 1-way 5-shot step, or a 5-way 1-shot one: here five ways have five shots each"),
        (5.5, "5.5 is a 2-way 5-shot step: here there are five ways"),
    ):  # fmt: skip
        if harness.equal(answer, value, 1e-3):
            no = why
    return harness.number(
        answer, 13, 0.05, "right: 5 x 5 + 1 images instead of 1 x 1 + 1, and 26 / 2 is 13", no
    )


# ---- exercise 2: the folds of COCO-20i -----------------------------------------------------------


def fold_ids(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    """The categories tested in a fold, A or B; their ids may come in any order and have gaps."""
    known, size = sorted(ids), len(ids) // 4
    return known[fold::4] if kind == "B" else known[fold * size : (fold + 1) * size]


def by_value(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    size = len(ids) // 4
    return sorted(i for i in ids if (i - 1 if kind == "B" else (i - 1) // size) % 4 == fold)


def b_by_value(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    return by_value(ids, fold, kind) if kind == "B" else fold_ids(ids, fold, kind)


def a_by_value(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    size = len(ids) // 4
    inside = sorted(i for i in ids if fold * size < i <= (fold + 1) * size)
    return fold_ids(ids, fold, kind) if kind == "B" else inside


def as_listed(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    size = len(ids) // 4
    return sorted(ids[fold::4] if kind == "B" else ids[fold * size : (fold + 1) * size])


def swapped(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    return fold_ids(ids, fold, "B" if kind == "A" else "A")


def trained_on(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    return sorted({*ids} - {*fold_ids(ids, fold, kind)})


def from_one(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    return fold_ids(ids, (fold - 1) % 4, kind)


def always_a(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    return fold_ids(ids, fold, "A")


def always_b(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    return fold_ids(ids, fold, "B")


def places(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    return fold_ids(range(1, len(ids) + 1), fold, kind)


GAPS = "ids have gaps, so counting by their values makes folds of unequal size: sort them, count places"
FOLD_MISTAKES = (
    (by_value, GAPS),
    (b_by_value, f"folds A are right, B are not: {GAPS}"),
    (a_by_value, f"folds B are right, A are not: {GAPS}"),
    (as_listed, "you took the ids in the order of the list: folds go by rising ids, so sort them first"),
    (swapped, "A and B are exchanged: A has consecutive classes, B every fourth"),
    (trained_on, "these are the classes that one trains on: the fold names those that are tested"),
    (from_one, "folds are counted from 0 here: fold 0 begins with the smallest id"),
    (always_a, "folds A are right, but B look the same: what is asked for stands in `kind`"),
    (always_b, "folds B are right, but A look the same: what is asked for stands in `kind`"),
    (places, "these are places in the order of the ids: give the ids that stand there"),
)


def draw_categories() -> tuple[list[int], int, str]:
    """Twelve ids with gaps, shuffled; a fold and a kind."""
    gaps = torch.randint(1, 4, (12,))
    gaps[torch.randint(0, 4, ())] += 2  # an early gap, so that places and values part soon
    ids = gaps.cumsum(0)[torch.randperm(12)].tolist()
    return ids, int(torch.randint(0, 4, ())), "AB"[int(torch.randint(0, 2, ()))]


def folds(answer: harness.Answer) -> bool | None:
    """Exercise 2: (category ids, fold 0..3, "A" or "B") -> the ids that are tested, in any order."""

    def in_order(ids: list[int], fold: int, kind: str) -> Any:
        value = answer(list(ids), fold, kind)
        try:
            return sorted(int(i) for i in value)
        except (TypeError, ValueError):  # no ids: judged below
            return value

    def of_another_size(ids: list[int], fold: int, kind: str) -> Any:
        value = in_order(ids, fold, kind)
        return value if len(value) != len(ids) // 4 else None

    value, error = harness.attempt(in_order, draw_categories())
    if not (error or value is None or value is Ellipsis or isinstance(value, list)):
        return harness.say(False, f"a list of ids is wanted, not {type(value).__name__}")
    others = (
        (of_another_size, "a fold has a quarter of the ids, however many there are: yours has more or fewer"),
        (in_order, "these are not the fold's ids: sort eight of them by hand and take two in a row, or every fourth"),
    )  # fmt: skip
    return harness.implementation(
        in_order,
        fold_ids,
        draw_categories,
        "right: by place among the sorted ids, in blocks (A) or every fourth (B)",
        (*FOLD_MISTAKES, *others),
        trials=16,
    )


# ---- exercise 3: what three seeds can tell -------------------------------------------------------


def paired(a: Tensor, b: Tensor, quantile: float = 0.975, ddof: int = 1) -> tuple[float, float]:
    """Mean of the seeds' differences and half of its 95 % interval, by Student's t."""
    gaps = (a - b).double()
    error = gaps.std(correction=ddof).item() / len(gaps) ** 0.5
    return gaps.mean().item(), float(stats.t.ppf(quantile, len(gaps) - 1)) * error


def normal(a: Tensor, b: Tensor) -> tuple[float, float]:
    gaps = (a - b).double()
    return gaps.mean().item(), 1.959964 * gaps.std().item() / len(gaps) ** 0.5


def without_root(a: Tensor, b: Tensor) -> tuple[float, float]:
    mean, half = paired(a, b)
    return mean, half * len(a) ** 0.5


def unpaired(
    a: Tensor, b: Tensor, freedom: Callable[[int], int] = lambda n: 2 * n - 2
) -> tuple[float, float]:
    n, error = len(a), ((a.double().var() + b.double().var()) / len(a)).sqrt().item()
    return (a - b).double().mean().item(), float(stats.t.ppf(0.975, freedom(n))) * error


def freedom_off(a: Tensor, b: Tensor) -> tuple[float, float]:
    mean, half = paired(a, b)
    return mean, half / float(stats.t.ppf(0.975, len(a) - 1)) * float(stats.t.ppf(0.975, len(a)))


def ends(a: Tensor, b: Tensor) -> tuple[float, float]:
    mean, half = paired(a, b)
    return mean - half, mean + half


def standard_error(a: Tensor, b: Tensor) -> tuple[float, float]:
    gaps = (a - b).double()
    return gaps.mean().item(), gaps.std().item() / len(gaps) ** 0.5


def by_n(a: Tensor, b: Tensor) -> tuple[float, float]:
    mean, half = paired(a, b)
    return mean, half / len(a) ** 0.5


UNPAIRED = (
    "you added the spreads of the two lists: seed s gave both trainings the same episodes, so take the "
    "difference seed by seed first"
)
SEED_MISTAKES = (
    (normal, "1.96 is for many seeds, or a spread that is known: with n seeds take Student's t of n - 1 degrees"),
    (freedom_off, "n differences have n - 1 degrees of freedom, as their mean was estimated too"),
    (lambda a, b: paired(a, b, ddof=0), "the spread of a few numbers wants n - 1 below: ddof=1, or torch's std"),
    (without_root, "this is how far a single seed strays: the mean of n strays less, by the root of n"),
    (unpaired, UNPAIRED),
    (lambda a, b: unpaired(a, b, lambda n: n - 1), UNPAIRED),
    (lambda a, b: paired(a, b, 0.95), "5 % are left on one side: of 95 % in the middle, 2.5 % lie on either side"),
    (lambda a, b: (-paired(a, b)[0], paired(a, b)[1]), "the sign is turned: with PAR minus without"),
    (lambda a, b: (paired(a, b)[0], 2 * paired(a, b)[1]), "this is the whole interval: return half of it"),
    (ends, "these are the ends of the interval: return its middle and half of its length"),
    (standard_error, "this is the standard error: the interval is Student's quantile times as wide on each side"),
    (by_n, "divide the spread by the root of n, not by n"),
)  # fmt: skip


def draw_scores() -> tuple[Tensor, Tensor]:
    """Points with and without PAR of three to six seeds that share what is easy about a seed."""
    n = int(torch.randint(3, 7, ()))
    seeds = 45 + 4 * torch.randn(n, dtype=torch.float64)
    with_par, without = (seeds + shift + torch.randn(n, dtype=torch.float64) for shift in (1.0, 0.0))
    return with_par, without


def seeds(answer: harness.Answer) -> bool | None:
    """Exercise 3: two tensors of scores, seed by seed -> (mean difference, half of its 95 % interval)."""
    value, error = harness.attempt(answer, draw_scores())
    if not (error or value is None or value is Ellipsis) and np.shape(value) != (2,):
        return harness.say(False, "two numbers are wanted: the mean difference, and half of its interval")

    def pair(a: Tensor, b: Tensor) -> Any:
        value = answer(a, b)
        return value if value is None or value is Ellipsis else tuple(value)

    half = "half of its interval is not: the spread of the differences, by the root of n, times Student's quantile"
    others = (
        (lambda a, b: (paired(a, b)[0], pair(a, b)[1]), f"the mean difference is right, {half}"),
        (lambda a, b: (pair(a, b)[0], paired(a, b)[1]), "the interval is right, the mean difference is not"),
        (pair, f"the mean difference is not right, and {half}"),
    )
    return harness.implementation(
        pair, paired, draw_scores,
        "right: the difference seed by seed, its standard error, and Student's t for so few",
        (*SEED_MISTAKES, *others), trials=8,
    )  # fmt: skip


# ---- exercise 4: a mask made smaller -------------------------------------------------------------

SMALL = 24  # a mask of 96 x 144 becomes 24 x 24: one pixel for 4 x 6


def squashed(labels: np.ndarray, size: int) -> np.ndarray:
    """The label map (H, W) at (size, size), each pixel the nearest one of the old map."""
    rows, columns = ((np.arange(size) + 0.5) * side / size for side in labels.shape)
    return labels[np.ix_(rows.astype(int), columns.astype(int))]


def void_lost(labels: np.ndarray, size: int) -> np.ndarray:
    small = squashed(labels, size)
    return np.where(small == VOID, 0, small)


def classes_lost(labels: np.ndarray, size: int) -> np.ndarray:
    small = squashed(labels, size)
    return np.where((small > 0) & (small < VOID), 1, small)


def stretched(labels: np.ndarray, size: int) -> np.ndarray:
    """As is done to make a mask visible: the largest class becomes white."""
    classes = labels[labels != VOID]
    bright: np.ndarray = np.minimum(squashed(labels, size).astype(int) * (255 // classes.max()), 255)
    return bright


def cropped(labels: np.ndarray, size: int) -> np.ndarray:
    return labels[:size, :size]


def turned(labels: np.ndarray, size: int) -> np.ndarray:
    return squashed(labels, size).T


MASK_MISTAKES = (
    (void_lost, "255 became background: it means that nobody should be judged there, so keep it"),
    (classes_lost, "all classes became one: keep their numbers"),
    (stretched, "the values were stretched: a label is a name, do no arithmetic with it"),
    (cropped, "this is a corner cut out: the image is squashed as a whole, and its mask with it"),
    (turned, "rows and columns are exchanged"),
)


def draw_mask() -> tuple[np.ndarray, int]:
    """Blocks of 0, 2, 5 and 255: (96, 144), uint8, and the size to come to.

    A new pixel's first and middle old one always lie in one block, so that all ways to be nearest agree, and
    at a block's edge its last one lies in the next, so that a mean is no label.
    """
    values = np.array([0, 2, 5, VOID], np.uint8)[torch.randint(0, 4, (12, 12)).numpy()]
    return np.roll(values.repeat(8, 0).repeat(12, 1), (-1, -1), (0, 1)), SMALL


def mask(answer: harness.Answer) -> bool | None:
    """Exercise 4: (label map (H, W) uint8, size) -> the label map at (size, size)."""
    labels, size = draw_mask()
    value, error = harness.attempt(lambda old, n: answer(old.copy(), n), (labels, size))
    if error:
        return harness.say(False, error)
    if value is None or value is Ellipsis:
        return harness.unfilled()
    why = judged(np.asarray(value), labels, size)
    return harness.say(not why, why or "right: the nearest pixel, and every number still a name")


def judged(value: np.ndarray, labels: np.ndarray, size: int) -> str:
    """What is wrong with a smaller mask, or nothing."""
    if harness.equal(value, squashed(labels, size)):
        return ""
    for wrong, why in MASK_MISTAKES:
        if harness.equal(value, wrong(labels, size)):
            return why
    if value.shape != (size, size):
        return f"the result should have shape {(size, size)}, yours has {value.shape}"
    if value.dtype == object or (new := sorted({*value.ravel().tolist()} - {*labels.ravel().tolist()})):
        found = "no number" if value.dtype == object else f"a {new[0]:g}"
        return f"there is {found} where no pixel was: between a 2 and a 5 lies no 3, so take the nearest pixel, mix none"
    return (
        "all values are labels, but not the nearest ones: squash the whole map, each side by its own factor"
    )
