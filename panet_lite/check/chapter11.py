"""Answers to the exercises of chapter 11, full scale."""

import contextlib
import io
import itertools
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import stdtrit  # quantiles of Student's t
from torch import Tensor

from ..datasets import VOID
from . import harness

# ---- exercise 1: what a larger episode costs -----------------------------------------------------


def cost(answer: object) -> bool | None:
    """Exercise 1: a 5-way 5-shot step in units of a 1-way 1-shot step."""
    return harness.number(
        answer, 13, 0.05,
        "right: 5 x 5 + 1 images instead of 1 x 1 + 1, and 26 / 2 is 13",
        "no: count the images that pass the backbone in either step; nothing else costs anything to speak of",
        (
            (25.0, "25 is the ratio of the supports: each step has a query as well"),
            (26.0, "26 is the number of images: divide by those of the 1-way 1-shot step"),
            (12.5, "12.5 leaves out the query of the large step: it passes the backbone as the supports do"),
            (15.0, "15 would be a query for each way: an episode has one query, whatever its ways"),
            (5.0, "5 is the ratio of the ways, or of the shots: here each of five ways has five shots of its own"),
            (3.0, "3 is a 1-way 5-shot step, or a 5-way 1-shot one: here five ways have five shots each"),
            *((n, "each way has shots of its own, 5 x 5 supports and a query; and the 1-way step has two images") for n in (6.0, 10.0, 50.0)),
            (12.0, "12 leaves the query out in one of the two steps: count 26 images against two"),
            (39.0, "backwards costs twice forwards in both steps: that cancels"),
            (1 / 13, "upside down: the larger episode costs more"),
            (5.5, "5.5 is a 2-way 5-shot step: here there are five ways"),
        ),
        slip=2e-3,
    )  # fmt: skip


# ---- exercise 2: what an episode takes on a fast chip ----------------------------------------------

LAUNCH = 0.01  # milliseconds that a request takes


def takes(
    slower: Callable[..., float] = max, grows: bool = False, launch: float = LAUNCH, graphs: bool = True,
    batch: bool = True, shared: bool = True, request: Callable[[int], int] = lambda episodes: 1,
) -> Callable[..., float]:  # fmt: skip
    """A model of a step: milliseconds an episode, or its wrong turns by the options."""

    def milliseconds(operations: int, floor: float, episodes: int, graph: bool) -> float:
        asking = launch * (request(episodes) if graph and graphs else operations * (episodes if grows else 1))
        return slower(asking, floor * (episodes if batch else 1)) / (episodes if shared else 1)

    return milliseconds


milliseconds = takes()
IDLE_MISTAKES = (
    (takes(request=lambda n: 0), "a graph is one request, not none: 0.01 ms, which counts on a chip that is fast enough"),
    (takes(request=lambda n: n), "a graph holds the whole step: one request, however many episodes"),
    (takes(grows=True, request=lambda n: n), "a step of several episodes asks no more often than one: share what it asks"),
    (takes(launch=0.001), "10 microseconds are 0.01 milliseconds, not 0.001"),
    (takes(launch=0.1), "10 microseconds are 0.01 milliseconds, not 0.1"),
    (lambda operations, floor, episodes, graph: milliseconds(operations, floor, episodes, graph) * episodes**2, "multiplied by the episodes: what one of them takes is the step, divided"),
    (lambda operations, floor, episodes, graph: milliseconds(operations, floor, episodes, graph) // 1, "divide by /, not by //"),
    (takes(lambda *both: sum(both)), "asking and computing go on at the same time: a step takes the longer of the two, not both"),
    (takes(min), "the step waits for the slower of the two: take the larger"),
    (takes(shared=False), "these are the milliseconds of a step: divide by its episodes"),
    (takes(grows=True), "a step of several episodes asks no more often than one, and computes all of them: share the longer of the two"),
    (takes(graphs=False), "with a graph there is one request, not one for each operation"),
    (takes(batch=False), "a step of several episodes computes them all: the arithmetic grows with their number"),
    (takes(launch=10), "10 microseconds are 0.01 milliseconds: `floor` is in milliseconds, so all is"),
    (takes(lambda asking, _: asking), "the arithmetic is missing: where it takes longer than asking, it counts"),
    (lambda operations, floor, episodes, graph: LAUNCH / episodes if graph else milliseconds(operations, floor, episodes, graph),
     "with a graph the arithmetic still takes its time: the longer of the two"),
    (lambda operations, floor, episodes, graph: milliseconds(operations, floor, episodes, not graph), "with and without a graph are exchanged: with one there is a single request"),
    (lambda operations, floor, episodes, graph: max(LAUNCH * (1 if graph else operations), floor / episodes), "`floor` is what each episode takes: a step of several takes as many times that"),
    (takes(lambda _, chip: chip), "the asking is missing, or in seconds: 0.01 ms for each operation counts where it takes longer than the arithmetic"),
)  # fmt: skip


def draw_step() -> tuple[int, float, int, bool]:
    """Operations, the arithmetic of an episode in milliseconds, episodes and whether there is a graph."""
    floor, graph = 0.1 + 0.7 * torch.rand(()).item(), harness.whole(0, 1) == 0
    floor = floor / 200 if harness.whole(0, 1) == 0 else floor  # so fast that even one request counts
    return harness.whole(20, 400), floor, harness.whole(2, 4), graph


def idle(answer: harness.Answer) -> bool | None:
    """Exercise 2: (operations, ms of arithmetic an episode, episodes, graph) -> ms an episode."""
    return harness.implementation(
        answer, milliseconds, draw_step, "right: the longer of asking and computing, shared by the episodes",
        IDLE_MISTAKES, trials=80,
    )  # fmt: skip


# ---- exercise 3: the folds of COCO-20i -----------------------------------------------------------


def cut(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    """Every fourth of the ids (B), or a quarter in a row (A), as they are listed."""
    size = len(ids) // 4
    return list(ids[fold::4] if kind == "B" else ids[fold * size : (fold + 1) * size])


def fold_ids(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    """The categories tested in a fold, A or B; their ids may come in any order and have gaps."""
    return cut(sorted(ids), fold, kind)


def by_value(ids: Sequence[int], fold: int, kind: str) -> list[int]:
    """The ids whose own values, not places, belong to the fold."""
    size = len(ids) // 4
    return sorted(i for i in ids if (i - 1 if kind == "B" else (i - 1) // size) % 4 == fold)


GAPS = "ids have gaps, so counting by their values makes folds of unequal size: sort them, count places"
FOLD_MISTAKES = (
    (by_value, GAPS),
    (lambda ids, fold, kind: (by_value if kind == "B" else fold_ids)(ids, fold, kind), f"folds A are right, B are not: {GAPS}"),
    (
        lambda ids, fold, kind: (
            fold_ids(ids, fold, kind)
            if kind == "B"
            else sorted(i for i in ids if (i - 1) // (len(ids) // 4) == fold)
        ),
        f"folds B are right, A are not: {GAPS}",
    ),
    (lambda ids, fold, kind: sorted(cut(ids, fold, kind)), "you took the ids in the order of the list: folds go by rising ids, so sort them first"),
    (lambda ids, fold, kind: fold_ids(ids, fold, "BA"[kind == "B"]), "A and B are exchanged: A has consecutive classes, B every fourth"),
    (lambda ids, fold, kind: sorted({*ids} - {*fold_ids(ids, fold, kind)}), "these are the classes that one trains on: the fold names those that are tested"),
    (lambda ids, fold, kind: fold_ids(ids, (fold - 1) % 4, kind), "folds are counted from 0 here: fold 0 begins with the smallest id"),
    (lambda ids, fold, kind: fold_ids(ids, fold, "A"), "folds A are right, but B look the same: what is asked for stands in `kind`"),
    (lambda ids, fold, kind: fold_ids(ids, fold, "B"), "folds B are right, but A look the same: what is asked for stands in `kind`"),
    (lambda ids, fold, kind: fold_ids(ids, (fold + 1) % 4, kind), "this is the next fold: the first one is fold 0, and begins with the smallest id"),
    (lambda ids, fold, kind: sorted(cut(sorted(ids)[::-1], fold, kind)), "folds go by rising ids: yours go by falling ones"),
    (lambda ids, fold, kind: cut(range(len(ids)), fold, kind), "these are places, counted from 0, in the order of the ids: give the ids that stand there"),
    (lambda ids, fold, kind: cut(range(1, len(ids) + 1), fold, kind), "these are places in the order of the ids: give the ids that stand there"),
)  # fmt: skip


def draw_categories() -> tuple[list[int], int, str]:
    """Twelve ids with gaps, shuffled; a fold and a kind."""
    gaps = torch.randint(1, 4, (12,))
    gaps[torch.randint(0, 4, ())] += 2  # an early gap, so that places and values part soon
    ids = gaps.cumsum(0)[torch.randperm(12)].tolist()
    return ids, harness.whole(0, 3), "AB"[harness.whole(0, 1)]


def no_fold(values: list[Any], truths: list[list[int]]) -> str:
    """What to say of sorted ids, or what came for them, that no known mistake explains."""
    if odd := [value for value in values if not isinstance(value, list)]:
        return f"a list of ids is wanted, not {type(odd[0]).__name__}"
    if any(len(value) != len(truth) for value, truth in zip(values, truths)):
        return "a fold has a quarter of the ids, however many there are: yours has more or fewer"
    value, truth = next((v, t) for v, t in zip(values, truths) if not harness.equal(v, t))
    return f"these are not the fold's ids: where {truth} is right, yours is {value}: sort eight of them by hand and take two in a row, or every fourth"


def folds(answer: harness.Answer) -> bool | None:
    """Exercise 3: (category ids, fold 0..3, "A" or "B") -> the ids that are tested, in any order."""

    def in_order(ids: list[int], fold: int, kind: str) -> Any:
        value = answer(ids, fold, kind)
        found = harness.read(lambda given: sorted(int(i) for i in given), value)
        return value if found is None else found  # no ids: judged by `no_fold`

    return harness.implementation(
        in_order,
        fold_ids,
        draw_categories,
        "right: by place among the sorted ids, in blocks (A) or every fourth (B)",
        FOLD_MISTAKES,
        trials=16,
        otherwise=no_fold,
    )


# ---- exercise 4: a mask made smaller -------------------------------------------------------------

SMALL = 24  # a mask of 96 x 144 becomes 24 x 24: one pixel for 4 x 6


def squashed(labels: np.ndarray, size: int) -> np.ndarray:
    """The label map (H, W) at (size, size), each pixel the nearest one of the old map."""
    rows, columns = ((np.arange(size) + 0.5) * side / size for side in labels.shape)
    return labels[np.ix_(rows.astype(int), columns.astype(int))]


def stretched(labels: np.ndarray, size: int) -> np.ndarray:
    """As is done to make a mask visible: the largest class becomes white."""
    classes = labels[labels != VOID]
    bright: np.ndarray = np.minimum(squashed(labels, size).astype(int) * (255 // classes.max()), 255)
    return bright


MASK_MISTAKES: tuple[harness.Mistake, ...] = (
    (lambda y, size: squashed(y, size) % VOID, "255 became background: it means that nobody should be judged there, so keep it"),
    (lambda y, size: np.where(squashed(y, size) % VOID > 0, 1, squashed(y, size)), "all classes became one: keep their numbers"),
    (stretched, "the values were stretched: a label is a name, do no arithmetic with it"),
    (lambda y, size: y[:size, :size], "this is a corner cut out: the image is squashed as a whole, and its mask with it"),
    *((lambda y, size, axis=axis: np.flip(squashed(y, size), axis).copy(), "the mask is mirrored: its image is not") for axis in (0, 1, (0, 1))),
    *((lambda y, size, step=step: np.roll(squashed(y, size), step, (0, 1)), "the mask is moved by a pixel: its image is not")
      for step in itertools.product((-1, 0, 1), repeat=2) if any(step)),
    (lambda y, size: 0 * squashed(y, size), "all labels are lost: the result is 0 everywhere"),
    (lambda y, size: y.reshape(size, y.shape[0] // size, size, -1).max((1, 3)), "these are the largest labels of each block: a label's size means nothing, take the nearest"),
    (lambda y, size: squashed(y, size).T, "rows and columns are exchanged"),
)  # fmt: skip


def draw_mask() -> tuple[np.ndarray, int]:
    """Blocks of 0, 2, 5 and 255, with thin lines across them: (96, 144), uint8, and the size to come to.

    A new pixel's first and middle old one always lie in one block, so that all ways to be nearest agree; between
    them runs a line, and at a block's edge its last one lies in the next, so that no mean is a label.
    """
    values = np.array([0, 2, 5, VOID], np.uint8)[torch.randint(0, 4, (12, 12)).numpy()]
    labels = np.roll(values.repeat(8, 0).repeat(12, 1), (-1, -1), (0, 1))
    labels[1::4] = np.where(labels[1::4] == VOID, 0, VOID)
    return labels, SMALL


def mask(answer: harness.Answer) -> bool | None:
    """Exercise 4: (label map (H, W) uint8, size) -> the label map at (size, size)."""

    def judge(value: Any, labels: np.ndarray, size: int) -> harness.Verdict:
        why = judged(np.ascontiguousarray(value), labels, size)
        return not why, why or "right: the nearest pixel, and every number still a name"

    return harness.inspected(answer, judge, draw_mask)


def judged(value: np.ndarray, labels: np.ndarray, size: int) -> str:
    """What is wrong with a smaller mask, or nothing."""
    if harness.equal(value, squashed(labels, size)):
        kind = value.dtype
        return (
            ""
            if kind == np.uint8
            else f"every label is right, but as {kind}: a mask is saved as uint8, so return that"
        )
    for wrong, why in MASK_MISTAKES:
        if harness.equal(value, wrong(labels, size)):
            return why
    if value.shape != (size, size):
        return f"the result should have shape {(size, size)}, yours has {value.shape}"
    if value.dtype == object or (new := sorted({*value.ravel().tolist()} - {*labels.ravel().tolist()})):
        found = "no number" if value.dtype == object else f"a {new[0]:g}"
        return f"there is {found} where no pixel was: between a 2 and a 5 lies no 3, so take the nearest pixel, mix none"
    return (
        f"all values are labels, but not the nearest ones ({(value == squashed(labels, size)).mean():.0%} are): squash the whole map, "
        "each side by its own factor"
    )


# ---- exercise 5: a network without its last strides ------------------------------------------------


def at_side(
    scale: Callable[[float], float] = lambda ratio: max(ratio, 1.0) ** 2,
) -> Callable[[list[tuple[float, int]], int], float]:
    """MACs of stages (MACs, side at their own strides) where none is smaller than `side`; or by another scale."""

    def cost_at(stages: list[tuple[float, int]], side: int) -> float:
        return sum(macs * scale(side / own) for macs, own in stages)

    return cost_at


cost_at = at_side()
ONE = "this is one stage alone: all of them are paid, so add"
STRIDE_MISTAKES = (
    (at_side(lambda ratio: 1.0), "this is what it costs with its own strides: a stage that keeps more positions computes more"),
    (at_side(lambda ratio: max(ratio, 1.0)), "you took the sides' ratio: positions are side x side, so square it"),
    (at_side(lambda ratio: ratio**2), "the early stages keep their size: only those behind `side` grow, so nothing gets cheaper"),
    (at_side(lambda ratio: ratio), "you took the sides' ratio, and made the early stages cheaper: square it, and let only small sides grow"),
    (at_side(lambda ratio: min(ratio, 1.0) ** 2), "the wrong stages: those smaller than `side` grow, the larger ones stay"),
    (at_side(lambda ratio: max(ratio, 1.0) ** -2), "upside down: more positions cost more, so divide `side` by the stage's own"),
    (at_side(lambda ratio: ratio**2 if ratio > 1 else 0.0), "the early stages are missing: they cost what they did"),
    (lambda stages, side: sum(m for m, _ in stages[:-1]) + cost_at(stages[-1:], side), "only the last stage grows in yours: all that are smaller than `side` do"),
    (lambda stages, side: sum(m for m, _ in stages) * max(side / stages[-1][1], 1.0) ** 2, "only the last stage grows by the last ratio: each stage has a ratio of its own"),
    (at_side(lambda ratio: max(1 / ratio, 1.0) ** 2), "upside down: take `side` over the stage's own side, so that the small ones grow"),
    (at_side(lambda ratio: max(ratio, 1.0) ** 4), "squared twice: there are side x side positions, no more"),
    (at_side(lambda ratio: max(ratio // 1, 1.0) ** 2), "the ratio was rounded down: divide by /, not by //"),
    (at_side(lambda ratio: max(ratio, 1.0) ** 3), "the ratio's cube: there are side x side positions, so square it"),
    (at_side(lambda ratio: 1.0 if ratio <= 1 else 4.0), "a stage that is two strides smaller grows by more than 4: take the ratio of the sides"),
    (at_side(lambda ratio: 1.0 if ratio <= 1 else 0.0), "the small stages are missing: they cost more now, not nothing"),
    (at_side(lambda ratio: 1.0 if ratio <= 1 else 1 + ratio**2), "the old cost is still in: a stage costs its new one alone"),
    (lambda stages, side: sum(own * max(side / macs, 1.0) ** 2 if macs < side else own for macs, own in stages), "each pair is (MACs, side), in this order"),
    (lambda stages, side: sum(m * ((stages[i - 1][1] if i and stages[i - 1][1] < side else side) / s) ** 2 if s < side else m for i, (m, s) in enumerate(stages)),
     "each stage grows from its own side up to `side`: not from that of the stage before"),
    (lambda stages, side: sum(m * (stages[0][1] / s) ** 2 if s < side else m for m, s in stages), "they grow up to `side`, not to the first stage's"),
    (lambda stages, side: stages[-1][0] * max(side / stages[-1][1], 1.0) ** 2, ONE),
    (lambda stages, side: max(cost_at([stage], side) for stage in stages), ONE),
    (lambda stages, side: cost_at(stages, side) / len(stages), "this is the mean of the stages: all of them are paid, so add"),
    (lambda stages, side: cost_at(stages, side) / sum(m for m, _ in stages), "this is how many times its own cost: give the MACs themselves"),
)  # fmt: skip


def draw_stages() -> tuple[list[tuple[float, int]], int]:
    """Four or five stages (MACs, side), each of half the side before it, and the side to keep."""
    side, first = 2 * harness.whole(10, 30) + 1, harness.whole(1, 2)
    sides = [-(-side * 2**first // 2**k) for k in range(first + 3)]
    return [(float(1 + 5 * torch.rand(())), own) for own in sides], side


def stride(answer: harness.Answer) -> bool | None:
    """Exercise 5: ([(MACs, side), ...] of the stages, side) -> MACs where no stage is smaller than side."""
    return harness.implementation(
        answer, cost_at, draw_stages, "right: each stage by its own ratio of positions, and none gets cheaper",
        STRIDE_MISTAKES,
    )  # fmt: skip


# ---- exercise 6: what three seeds can tell -------------------------------------------------------


def student(freedom: int, quantile: float = 0.975) -> float:
    """The quantile of Student's t."""
    return float(stdtrit(freedom, quantile))


def wide(factor: Callable[[int], float]) -> Callable[[Tensor, Tensor], tuple[float, float]]:
    """Mean of the seeds' differences (n,), and `factor(n)` times its standard error."""

    def interval(a: Tensor, b: Tensor) -> tuple[float, float]:
        gaps = (a - b).double()
        return gaps.mean().item(), factor(len(gaps)) * gaps.std().item() / len(gaps) ** 0.5

    return interval


def paired(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Mean of the seeds' differences (n,) and half of its 95 % interval, by Student's t."""
    return wide(lambda n: student(n - 1))(a, b)


def unpaired(a: Tensor, b: Tensor, freedom: int) -> tuple[float, float]:
    """As `paired`, of two lists of seeds (n,) that have nothing to do with each other."""
    error = ((a.double().var() + b.double().var()) / len(a)).sqrt().item()
    return (a - b).double().mean().item(), student(freedom) * error


UNPAIRED = (
    "you added the spreads of the two lists: seed s gave both trainings the same episodes, so take the "
    "difference seed by seed first"
)
SEED_MISTAKES = (
    (wide(lambda n: 1.959964), "1.96 is for many seeds, or a spread that is known: with n seeds take Student's t of n - 1 degrees"),
    (wide(student), "n differences have n - 1 degrees of freedom, as their mean was estimated too"),
    (wide(lambda n: student(n - 1) * (1 - 1 / n) ** 0.5), "the spread of a few numbers wants n - 1 below: ddof=1, or torch's std"),
    (wide(lambda n: student(n - 1) * n**0.5), "this is how far a single seed strays: the mean of n strays less, by the root of n"),
    *((lambda a, b, n=n: unpaired(a, b, n * (len(a) - 1)), UNPAIRED) for n in (2, 1)),
    (wide(lambda n: student(n - 1, 0.95)), "5 % are left on one side: of 95 % in the middle, 2.5 % lie on either side"),
    (lambda a, b: paired(b, a), "the sign is turned: with PAR minus without"),
    (lambda a, b: (abs(paired(a, b)[0]), paired(a, b)[1]), "the sign of the mean is lost: PAR may be the worse one"),
    (lambda a, b: (paired(a, b)[0], -paired(a, b)[1]), "half of an interval is a length: above zero"),
    (lambda a, b: (paired(a, b)[0], (a - b).std().item()), "this is the spread of the differences: by the root of n, times Student's quantile"),
    (lambda a, b: (paired(a, b)[0], paired(a.sort().values, b.sort().values)[1]), "you sorted the scores: seed s belongs to seed s"),
    (lambda a, b: (paired(a, b)[0], (a - b).max().sub((a - b).min()).item() / 2), "half of the range is no interval: take Student's t"),
    (wide(lambda n: student(2) * (n / 3) ** 0.5), "n is the number of seeds, not always three"),
    (wide(lambda n: student(max(n - 2, 1))), "n differences have n - 1 degrees of freedom"),
    (wide(lambda n: 2 * student(n - 1)), "this is the whole interval: return half of it"),
    (lambda a, b: (paired(a, b)[0] - paired(a, b)[1], sum(paired(a, b))), "these are the ends of the interval: return its middle and half of its length"),
    (wide(lambda n: 1), "this is the standard error: the interval is Student's quantile times as wide on each side"),
    (wide(lambda n: student(n - 1) / n**0.5), "divide the spread by the root of n, not by n"),
    (wide(lambda n: student(n - 1) * (n / (n - 1)) ** 0.5), "divide by the root of n: the standard deviation has taken its n - 1 already"),
    (wide(lambda n: student(n - 1, 0.995)), "of 95 % in the middle, 2.5 % lie on either side: the quantile is 0.975"),
    (lambda a, b: paired(a, b)[::-1], "both numbers are right, in another order: first the mean, then half of the interval"),
    (lambda a, b: (paired(a, b)[0], paired(a, b)[1] * (a - b).std().item()), "this takes the variance of the differences: the spread is its root"),
    (lambda a, b: (paired(a, b)[0], student(len(a) - 1) * (a.std() + b.std()).item() / len(a) ** 0.5), UNPAIRED),
)  # fmt: skip


def draw_scores() -> tuple[Tensor, Tensor]:
    """Points with and without PAR of three to six seeds that share what is easy about a seed."""
    n = harness.whole(3, 6)
    seeds = 45 + 4 * torch.randn(n, dtype=torch.float64)
    gain = 1.0 if harness.whole(0, 1) else -1.0
    with_par, without = (seeds + shift + torch.randn(n, dtype=torch.float64) for shift in (gain, 0.0))
    return with_par, without


def no_interval(values: list[Any], truths: list[tuple[float, float]]) -> str:
    """What to say of pairs (mean difference, half interval) that no known mistake explains."""
    if any(harness.read(np.shape, value) != (2,) for value in values):
        return "two numbers are wanted: the mean difference, and half of its interval"
    mean, half = (all(harness.equal(v[i], t[i]) for v, t in zip(values, truths)) for i in (0, 1))
    if half:
        return "the interval is right, the mean difference is not"
    told = "the mean difference is right, " if mean else "the mean difference is not right, and "
    return f"{told}half of its interval is not: the spread of the differences, by the root of n, times Student's quantile"


def seeds(answer: harness.Answer) -> bool | None:
    """Exercise 6: two tensors of scores, seed by seed -> (mean difference, half of its 95 % interval)."""

    def pair(a: Tensor, b: Tensor) -> Any:
        value = answer(a, b)
        found = harness.read(lambda given: tuple(float(v) for v in given), value)
        return value if found is None else found  # no pair: judged by `no_interval`

    return harness.implementation(
        pair, paired, draw_scores,
        "right: the difference seed by seed, its standard error, and Student's t for so few",
        SEED_MISTAKES, trials=16, otherwise=no_interval,
    )  # fmt: skip


# ---- exercise 7: the command of a row --------------------------------------------------------------

OPTIONS: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("command", ("train",), "this row needs a network of its own, so the command is `train`"),
    ("dataset", ("pascal",), "Table 5 is of PASCAL-5i: --dataset pascal"),
    ("fold", (2,), "the paper counts its splits from 1, the program its folds from 0: split-3 is --fold 2"),
    ("backbone", (None, "vgg16"), "the paper's backbone is VGG-16, whole: --width 1"),
    ("width", (1,), "the paper's VGG-16 is --width 1: without a width it is the book's network, or VGG-16's narrow twin"),
    ("weights", ("imagenet", "pretrained"), "the paper starts from ImageNet: --weights imagenet"),
    ("recipe", ("paper",), "this trains by the laptop's 600 steps: --recipe paper takes 30,000"),
    ("preset", ("paper",), "what is put beside a number of the paper runs under --preset paper"),
    ("ways", (None, 1), "Table 5 is 1-way, so --ways 1, or none"),
    ("shots", (5,), "the row's column is 5-shot: --shots 5"),
    ("lambda_par", (0,), "PAR is still in the loss: --lambda-par 0 takes it out"),
    ("iterations", (None, 30_000), "the paper takes 30,000 steps, and --recipe paper knows it"),
    ("episodes_per_step", (None, 1), "the paper's batch is one episode: more of them are another optimisation"),
    ("size", (None, 417), "the paper's images are 417 pixels wide, and so are the program's without --size"),
    ("drop_unseen", (False,), "--drop-unseen leaves images out that the authors' code trains on"),
)  # fmt: skip


def command(answer: Any, parse: Callable[[list[str]], Any]) -> bool | None:
    """Exercise 7: the training of Table 5, PANet without PAR, 5-shot, split-3; `parse` is the program's own parser."""
    if harness.blank(answer):
        return harness.unfilled()
    if not isinstance(answer, str):
        return harness.say(False, f"a line of text is wanted, in quotes, not {type(answer).__name__}")
    said = io.StringIO()
    try:
        words = shlex.split(re.sub(r"\\\s*\n", " ", answer))
        if "panet_lite" in words:
            words = words[words.index("panet_lite") + 1 :]
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            given = parse(words)
    except (SystemExit, ValueError) as error:
        last = (said.getvalue().strip() or str(error)).splitlines()[-1]
        return harness.say(
            False, f"the program does not understand it: {last.partition('error: ')[2] or last}"
        )
    why = (why for name, values, why in OPTIONS if getattr(given, name, None) not in values)
    return harness.verdict(
        next(why, ""), "right: the paper's network, recipe and preset, on fold 2, without PAR"
    )
