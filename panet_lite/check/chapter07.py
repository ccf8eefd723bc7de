"""Answers to the exercises of chapter 7, evaluation."""

from functools import partial
from typing import Any

import numpy as np
from scipy.special import stdtrit

from ..datasets import VOID
from ..evaluation import Result, divide, finding
from . import harness

TEST_CLASSES = (6, 7, 8, 9, 10)  # of another fold than the first, so that no label is its own place


def draw_counts(episodes: int = 60, idle: bool = True) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """TP, FP, FN (E, 3) and classes (E,) of one run: sizes and difficulty differ, one class may stay undrawn.

    Else all are drawn equally often, so that none is lost to a resample, where its IoU would be 0/0.
    """
    rng = np.random.default_rng()
    classes = rng.permutation(np.resize(TEST_CLASSES, episodes))
    if idle:
        drawn = rng.permutation(TEST_CLASSES)[1:]
        classes = rng.choice(drawn, episodes, p=[0.5, 0.3, 0.1, 0.1])
    size = np.where(rng.random(episodes) < 0.5, 20, 2000) * rng.uniform(1, 2, episodes) * (classes - 5) ** 2
    found = np.clip(rng.uniform(0.2, 0.6, episodes) + 0.3 * (size > 100) + 0.08 * (classes - 8), 0.02, 0.98)
    tp = (size * found).round()
    return (
        np.stack([tp, size * rng.uniform(0.05, 0.4, episodes), size - tp], -1).astype(int),
        classes,
        TEST_CLASSES,
    )


# ---- ex-07-meaniou -------------------------------------------------------------------------------


def class_ious(counts: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...]) -> np.ndarray:
    """(T,): summed over the episodes of a class, then divided; NaN for a class that was not drawn."""
    return divide(np.stack([counts[classes == c].sum(0) for c in test_classes]))


def of_drawn(counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """`class_ious` of the classes that were drawn."""
    return class_ious(counts, classes, tuple(np.unique(classes).tolist()))


def right_mean_iou(counts: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...]) -> float:
    """The mean over the classes that were drawn, of counts (E, 3) and classes (E,)."""
    return float(np.nanmean(class_ious(counts, classes, test_classes)))


def ratio(counts: np.ndarray, classes: np.ndarray, weights: tuple[int, int, int]) -> Any:
    """The mean over drawn classes of weighted TP among weighted TP, FP and FN, of counts (E, 3)."""
    sums = np.stack([counts[classes == c].sum(0) for c in np.unique(classes)])
    return (weights[0] * sums[:, 0] / (sums @ weights)).mean()


MEAN_IOU_MISTAKES: tuple[harness.Mistake, ...] = (
    (lambda n, c, tests: divide(n).mean(),
     "this is the per-image mean: you divide in each episode and average then. Add up TP, FP and FN first"),
    (lambda n, c, tests: np.mean([divide(n)[c == k].mean() for k in np.unique(c)]),
     "you average over classes, but inside a class you average IoUs of single episodes: add up the counts of a "
     "class, then divide once"),
    (lambda n, c, tests: divide(n.sum(0)),
     "you added up all classes: that is the foreground half of binary-IoU. Divide for each class, then average"),
    (lambda n, c, tests: np.nan_to_num(class_ious(n, c, tests)).mean(),
     "a class that no episode drew counts as 0 in your mean: nobody asked for it, so leave it out"),
    (lambda n, c, tests: class_ious(n, c, tests).mean(),
     "0 / 0 of a class that no episode drew spoils your mean (NaN): leave the class out"),
    (lambda n, c, tests: np.nan_to_num(class_ious(n, c, tests), nan=1.0).mean(),
     "a class that no episode drew counts as 1 in your mean: leave it out"),
    (lambda n, c, tests: ratio(n, c, (2, 1, 1)),
     "this is the Dice score, 2 TP / (2 TP + FP + FN): the union counts TP once"),
    (lambda n, c, tests: ratio(n, c, (1, 0, 1)),
     "this is the recall, TP / (TP + FN): false positives belong to the union too"),
    (lambda n, c, tests: ratio(n, c, (1, 1, 0)),
     "this is the precision, TP / (TP + FP): what was missed belongs to the union too"),
    (lambda n, c, tests: 100 * right_mean_iou(n, c, tests), "as a share, please, not in per cent"),
    (lambda n, c, tests: np.mean([right_mean_iou(n[c == k], c[c == k], tests) for k in c]),
     "a class that was drawn often weighs more in your mean: one vote for each class, not for each episode"),
    (lambda n, c, tests: class_ious(n, c, tests), "these are the classes' IoUs: one number is wanted, their mean"),
    (lambda n, c, tests: of_drawn(n, c), "these are the classes' IoUs: one number is wanted, their mean"),
    *((lambda n, c, tests, i=i: np.mean([divide(n[c == k][i]) for k in np.unique(c)]),
       "one episode of each class is all that counts here: add up all of a class") for i in (0, -1)),
    (lambda n, c, tests: np.nansum(class_ious(n, c, tests)),
     "this is the sum over the classes: divide by the number of those that were drawn"),
    (lambda n, c, tests: np.nanmedian(class_ious(n, c, tests)), "this is the classes' median: their mean is wanted"),
    (lambda n, c, tests: np.median(divide(n)), "this is the median over episodes: add up, divide for each class, average"),
    (lambda n, c, tests: np.average(of_drawn(n, c), weights=[n[c == k][:, ::2].sum() for k in np.unique(c)]),
     "classes with large objects weigh more in your mean: one vote for each class"),
    (lambda n, c, tests: of_drawn(n, c)[0],
     "only the first class counts: does your `return` stand inside the loop?"),
)  # fmt: skip


def mean_iou(answer: harness.Answer) -> bool | None:
    """ex-07-meaniou: (counts (E, 3), classes (E,), test classes) -> number."""
    return harness.implementation(
        answer,
        right_mean_iou,
        draw_counts,
        "right: pixels are summed over a run, classes are averaged, and a class nobody drew is left out",
        MEAN_IOU_MISTAKES,
        tolerance=1e-6,
    )


# ---- ex-07-repair --------------------------------------------------------------------------------


def counted(predicted: np.ndarray, truth: np.ndarray, void: int | None = None) -> np.ndarray:
    """TP, FP, FN (E, 3) of maps (E, H, W'); void pixels count as the label `void`, or not at all."""
    valid = (truth != VOID) | (void is not None)
    real, guess = np.where(truth == VOID, void or 0, truth) == 1, predicted == 1
    return np.stack([(pair & valid).sum((1, 2)) for pair in (guess & real, guess & ~real, ~guess & real)], -1)


def right_score(
    predicted: np.ndarray, truth: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...]
) -> float:
    """mean-IoU of label maps (E, H, W') of 0, 1 and, in the truth, 255."""
    return right_mean_iou(counted(predicted, truth), classes, test_classes)


def of_void(counts: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Counts (E, 3) with every void pixel missed."""
    missed: np.ndarray = counts + np.array([0, 0, 1]) * (~valid).sum((1, 2))[:, None]
    return missed


def mean_share(of: np.ndarray, among: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...]) -> Any:
    """The share of pixels (E, H, W') among others, summed over a class, and its mean over classes."""
    return np.mean([of[classes == c].sum() / among[classes == c].sum() for c in test_classes])


VOID_RIGHT = "void pixels count as right in yours: they count nowhere, neither as right nor as wrong"
SCORE_MISTAKES: tuple[harness.Mistake, ...] = (
    (lambda p, y, c, t: MEAN_IOU_MISTAKES[1][0](counted(p, y, 0), c, t),
     "this is the colleague's number still. What happens to a void pixel, and what is averaged inside a class?"),
    (lambda p, y, c, t: MEAN_IOU_MISTAKES[1][0](counted(p, y), c, t),
     "void is mended. But inside a class you still average the IoUs of single images: add up, then divide once"),
    (lambda p, y, c, t: right_mean_iou(counted(p, y, 0), c, t),
     "the sums are mended. But a void pixel (255) that was called object still counts in the union"),
    (lambda p, y, c, t: right_mean_iou(counted(p, y, 1), c, t), "void pixels (255) became object: they say nothing"),
    (lambda p, y, c, t: right_mean_iou(of_void(counted(p, y), y != VOID), c, t),
     "every void pixel (255) is in your union, whatever was predicted: it counts nowhere"),
    (lambda p, y, c, t: right_mean_iou(counted(1 - p, np.where(y == VOID, y, 1 - y)), c, t),
     "this is the background's IoU: the object's label is 1"),
    (lambda p, y, c, t: mean_share((p == y) & (y != VOID), y != VOID, c, t),
     "this is the share of pixels that are right: the background must not help the object"),
    (lambda p, y, c, t: mean_share(p == y, y <= VOID, c, t),
     "this is the share of pixels that are right: the background must not help the object"),
    (lambda p, y, c, t: divide(counted(p, y)).mean(),
     "you average over all images: add up inside each class, divide once, then average the classes"),
    (lambda p, y, c, t: divide(counted(p, y).sum(0)), "you added up all classes: divide for each class, then average"),
    (lambda p, y, c, t: divide(counted(p, y, 0).sum(0)),
     "you added up all classes, and void still counts: divide for each class, then average"),
    (lambda p, y, c, t: divide(counted(p, y, 0)).mean(), "you average over all images, and void still counts"),
    (lambda p, y, c, t: (right_score(p, y, c, t) + right_score(1 - p, np.where(y == VOID, y, 1 - y), c, t)) / 2,
     "the background's IoU is in your mean: the object's alone is wanted"),
    (lambda p, y, c, t: np.mean([np.median(divide(counted(p, y))[c == k]) for k in t]),
     "inside a class you take the median of single images: add up, then divide once"),
    (lambda p, y, c, t: right_score(np.where(y == VOID, 1, p), np.where(y == VOID, 1, y), c, t), VOID_RIGHT),
    (lambda p, y, c, t: right_score(p, p * (y == VOID) + y * (y != VOID), c, t), VOID_RIGHT),
    *((partial(lambda wrong, p, y, c, t: wrong(counted(p, y), c, t), wrong), why) for wrong, why in MEAN_IOU_MISTAKES[6:]),
)  # fmt: skip


def draw_maps() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, ...]]:
    """Predictions and truths (E, H, W') of three classes in 24 episodes: small and large objects, and void."""
    rng = np.random.default_rng()
    classes = rng.permutation(np.repeat((2, 5, 7), (4, 8, 12)))
    truth = np.zeros((24, 12, 14), np.uint8)
    for image, label in zip(truth, classes):
        h, w = rng.integers(2, 5, 2) if rng.random() < 0.5 else rng.integers(7, 11, 2)
        image[1 : h + 1, 1 : w + 1] = 1
        image[h + 1 : h + 2 + label % 3, : w + 1] = VOID
    miss = rng.uniform(0.03, 0.1, (24, 1, 1)) * classes[:, None, None]
    wrong = rng.random(truth.shape) < np.where(truth == 1, miss, miss / 6)
    return ((truth > 0) ^ wrong).astype(np.uint8), truth, classes, (2, 5, 7)


def repair(answer: harness.Answer) -> bool | None:
    """ex-07-repair: (predicted (E, H, W'), truth (E, H, W'), classes, test classes) -> number."""
    right = "right: void counts nowhere, and a class is divided once"
    return harness.implementation(answer, right_score, draw_maps, right, SCORE_MISTAKES, tolerance=1e-6)


# ---- ex-07-fold ----------------------------------------------------------------------------------


def right_gap(mine: dict[int, float], reported: list[float]) -> float:
    """The mean over the folds in `mine` of how far they are above the same folds as reported."""
    return sum(score - reported[fold] for fold, score in mine.items()) / len(mine)


def against_the_mean(mine: dict[int, float], reported: list[float]) -> float:
    """The mean of the folds in `mine`, compared with the mean of all that were reported."""
    return sum(mine.values()) / len(mine) - sum(reported) / len(reported)


GAP_MISTAKES = (
    (against_the_mean,
     "you compare your folds with the mean of all four: this is the confusion of '41, not 48'. Compare each fold "
     "with itself"),
    (lambda mine, reported: -right_gap(mine, reported),
     "the sign: positive is when `mine` is above what was reported"),
    (lambda mine, reported: right_gap(mine, [reported[-1], *reported[:-1]]),
     "fold 0 is the first entry of `reported`: folds are counted from 0, splits from 1"),
    (lambda mine, reported: right_gap(dict(enumerate(mine.values())), reported),
     "you pair the scores in their order: fold 2 must be compared with reported[2], whichever folds are missing"),
    (lambda mine, reported: (sum(mine.values()) - sum(reported)) / len(reported),
     "a fold that was not trained counts as a score of 0 here: leave it out on both sides"),
    (lambda mine, reported: right_gap(mine, reported) * len(mine),
     "this is the sum of the gaps: divide by the number of folds you have"),
    (lambda mine, reported: right_gap(mine, reported) * len(mine) / len(reported),
     "you divide by all four folds: divide by the number of those you have"),
    (lambda mine, reported: abs(right_gap(mine, reported)),
     "the size is right, the sign is lost: negative is when `mine` is below what was reported"),
    (lambda mine, reported: -against_the_mean(mine, reported),
     "you compare your folds with the mean of all four, and the sign is turned: compare each fold with itself"),
    (lambda mine, reported: sum(abs(score - reported[fold]) for fold, score in mine.items()) / len(mine),
     "you average the sizes of the gaps: a fold above and a fold below must cancel"),
    (lambda mine, reported: max(score - reported[fold] for fold, score in mine.items()),
     "this is the best fold's gap: the mean is wanted"),
    (lambda mine, reported: (against_the_mean(mine, reported) * 4 - right_gap(mine, reported) * len(mine)) / (4 - len(mine)),
     "you compare your folds with those that you have not trained: compare each fold with itself"),
    (lambda mine, reported: right_gap(mine, [*reported[1:], reported[0]]),
     "fold 0 is the first entry of `reported`: yours is compared with the next one"),
    *((lambda mine, reported, i=i: (values := list(mine.items()))[i][1] - reported[values[i][0]],
       "one fold is all that counts here: take the mean over all folds in `mine`") for i in (0, -1)),
    (lambda mine, reported: sum((score - reported[fold]) / reported[fold] for fold, score in mine.items()) / len(mine),
     "this is the gap as a share of what was reported: the points themselves are wanted"),
    (lambda mine, reported: float(np.median([score - reported[fold] for fold, score in mine.items()])),
     "this is the median of the gaps: the mean is wanted"),
    (lambda mine, reported: sum(mine.values()) / len(mine), "this is the mean of `mine`: take off what was reported"),
)  # fmt: skip


def draw_gap() -> tuple[dict[int, float], list[float]]:
    """Two or three folds, never the first ones only, and four reported scores that differ."""
    rng = np.random.default_rng()
    folds = [(0, 2), (1, 3), (0, 3), (0, 2, 3), (1, 2, 3)][rng.integers(5)]
    reported = (rng.permutation([35.0, 42.0, 51.0, 60.0]) + rng.uniform(-2, 2, 4)).tolist()
    return {f: float(reported[f] + rng.uniform(1, 4) * rng.choice([-1, 1])) for f in folds[::-1]}, reported


def gap(answer: harness.Answer) -> bool | None:
    """ex-07-fold: ({fold: score}, four scores) -> how far above."""
    return harness.implementation(
        answer,
        right_gap,
        draw_gap,
        "right: fold against the same fold, and the missing ones left out on both sides",
        GAP_MISTAKES,
        trials=20,
        tolerance=1e-5,
    )


# ---- ex-07-flaw ----------------------------------------------------------------------------------

STANDARD, FLAWED = 15 / (15 + 15 + 5), 15 / (15 + 0 + 5)
FLAW_MISTAKES = (
    ((FLAWED, STANDARD),
     "the two are interchanged: the paper's counting overlooks pixels, so its IoU is the higher one"),
    *(((share, share),
       "the two cannot be equal: which false positives of carrot are in a picture without a carrot?")
      for share in (STANDARD, FLAWED)),
    ((STANDARD, 15 / (15 + 10 + 5)),
     "the five pear pixels called carrot are not counted as carrot's either: in that picture the paper's counting "
     "never looks at carrot"),
    ((STANDARD, 15 / (15 + 5 + 5)),
     "the ten background pixels are forgiven, and so are the five of the pear: in that picture the paper's counting "
     "never looks at carrot"),
    (((0 + 15 / 20) / 2, FLAWED),
     "you averaged the IoUs of the two episodes for `standard`: add up the counts first, then divide"),
    ((15 / (15 + 15), 1.0), "false negatives are missing: five carrot pixels were called background"),
    ((30 / 50, 30 / 35), "these are Dice scores: the union counts TP once"),
    ((15 / (15 + 5 + 5), FLAWED),
     "in `standard` the ten background pixels called carrot are false positives as well: 10 + 5"),
    ((15 / (15 + 10 + 5), FLAWED),
     "in `standard` the five pear pixels called carrot are false positives as well: 10 + 5"),
)  # fmt: skip


def shares(answer: tuple[Any, Any]) -> harness.Verdict:
    """What to say of IoUs counted by the standard and the paper's way."""
    if (values := harness.read(lambda given: [float(value) for value in given], answer)) is None:
        return False, "two numbers are wanted"
    if not all(np.isfinite(values)):
        return False, "two finite numbers are wanted"
    if max(values) > 1:
        return False, "as shares, please: numbers between 0 and 1"
    if np.allclose(values, (STANDARD, FLAWED), atol=0.006):
        return True, "right: 3/7 and 3/4. Fifteen phantoms, and the paper's counting sees none of them"
    for wrong, why in FLAW_MISTAKES:
        if np.allclose(values, wrong, atol=0.006):
            return False, why
    parts = [
        name for name, v, r in zip(("standard", "flawed"), values, (STANDARD, FLAWED)) if abs(v - r) > 0.006
    ]
    return False, f"not {' and '.join(parts)}: write down TP, FP and FN of carrot for each episode, then add"


def flaw(standard: Any, flawed: Any) -> bool | None:
    """ex-07-flaw: IoU of carrot, all false positives counted and counted the paper's way."""
    given = None if harness.blank(standard, flawed) else (standard, flawed)
    return harness.inspected(lambda: given, shares)


# ---- ex-07-bootstrap -----------------------------------------------------------------------------


Interval = tuple[float, float]  # low, high


def drawn(
    episodes: int, rng: np.random.Generator, size: int | None = None, resamples: int = 1000
) -> np.ndarray:
    """Weights (B, E): how often each episode is in each of B resamples of `size` episodes."""
    picked = rng.integers(episodes, size=(resamples, size or episodes))
    cells = picked + episodes * np.arange(resamples)[:, None]
    return (
        np.bincount(cells.ravel(), minlength=resamples * episodes).reshape(resamples, episodes).astype(float)
    )


def resampled(
    counts: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...], weights: np.ndarray
) -> np.ndarray:
    """mean-IoU (B,) of weighted episodes, weights (B, E)."""
    own = counts[:, None] * (classes[:, None] == np.array(test_classes))[..., None]  # (E, T, 3)
    sums = weights @ own.reshape(len(own), -1)
    scores: np.ndarray = np.nanmean(divide(sums.reshape(len(weights), -1, 3)), 1)
    return scores


def ends(scores: Any, level: float = 0.95) -> Interval:
    """The middle `level` of scores (B,)."""
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def right_interval(
    counts: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...], rng: np.random.Generator
) -> Interval:
    """With 10,000 resamples, so that only the reader's own thousand scatter."""
    return ends(resampled(counts, classes, test_classes, drawn(len(counts), rng, resamples=10_000)))


def middle_and_half(interval: Interval) -> Interval:
    """An interval written otherwise."""
    return (interval[0] + interval[1]) / 2, (interval[1] - interval[0]) / 2


ENDS = "the two ends are wanted, (low, high), not the middle and half of the width"
INTERVAL_MISTAKES = (
    (lambda *case: right_interval(*case)[::-1], "low comes first, then high"),
    (lambda n, c, tests, rng: (right_mean_iou(n, c, tests),) * 2,
     "your interval has no width: without replacement each resample holds the same episodes. Draw *with* "
     "replacement"),
    (lambda n, c, tests, rng: ends(divide(n)),
     "these are quantiles of the episodes' own IoUs. The question is how the *mean* scatters: resample, compute the "
     "score, a thousand times"),
    (lambda n, c, tests, rng: ends(drawn(len(n), rng) @ divide(n) / len(n)),
     "you bootstrap the per-image mean. Compute the class-accumulated mean-IoU of each resample"),
    (lambda n, c, tests, rng: ends(divide(drawn(len(n), rng) @ n)),
     "your classes are mixed up: divide for each class, then take the mean; and draw an episode's counts and its class "
     "with one index"),
    (lambda n, c, tests, rng: ends(resampled(n, c, tests, drawn(len(n), rng)), 0.6827),
     "this is the middle 68 % (one standard deviation to either side): take the quantiles 0.025 and 0.975"),
    (lambda n, c, tests, rng: ends(rng.choice(class_ious(n, c, tests), (1000, len(tests))).mean(1)),
     "you resample the classes. That is an honest interval too, for another question: here it is the episodes"),
    (lambda n, c, tests, rng: ends(resampled(n, c, tests, drawn(len(n), rng, 1000))),
     "your interval is too narrow: each resample must hold as many episodes as the test has, not 1,000; 1,000 is the "
     "number of resamples"),
    (lambda *case: middle_and_half(right_interval(*case)), ENDS),
    (lambda n, c, tests, rng: ends([ratio(n[i], c[i], (2, 1, 1)) for i in rng.integers(len(n), size=(1000, len(n)))]),
     "you bootstrap the Dice score: the union counts TP once"),
    (lambda n, c, tests, rng: tuple(100 * end for end in right_interval(n, c, tests, rng)),
     "as shares, please, not in per cent"),
)  # fmt: skip
EPISODES = 100


def draw_interval() -> tuple[np.ndarray, np.ndarray, tuple[int, ...], np.random.Generator]:
    """A long run, on which the mistakes' intervals are clearly others."""
    counts, classes, test_classes = draw_counts(EPISODES, idle=False)
    return counts, classes, test_classes, np.random.default_rng()


def near(a: tuple[float, ...], b: Interval) -> bool:
    """Two intervals agree within what 1,000 resamples leave: a sixth of the width of b, at both ends."""
    slack = 0.16 * abs(b[1] - b[0]) + 1e-6
    return len(a) == 2 and abs(a[0] - b[0]) <= slack and abs(a[1] - b[1]) <= slack


def two_numbers(value: Any) -> Interval:
    """The reader's answer as (low, high)."""
    low, high = (float(v) for v in value)
    return low, high


QUANTILES = "the middle 95 % of the thousand scores lies between the quantiles 0.025 and 0.975 (0.05 and 0.95 leave 90 %)"


def no_interval(values: list[tuple[float, ...]], truths: list[Interval]) -> str:
    """What to say of intervals that no known mistake explains."""
    if () in values:
        return "return two numbers, (low, high)"
    low, high = truths[-1]
    yours = "[{:.3f}, {:.3f}]".format(*values[-1])
    ours, right = np.array(values), np.array(truths)
    width, off = np.ptp(ours, 1) / np.ptp(right, 1), (ours - right).mean(1) / np.ptp(right, 1)
    if width.max() < 1e-6:
        return "your interval has no width: each of the thousand resamples must be drawn anew"
    if abs(off).max() < 0.15 and abs(width.mean() - 1) > 0.1:
        return f"your intervals are {width.mean():.0%} as wide as they should be: {QUANTILES}"
    return f"on one of the tests about [{low:.3f}, {high:.3f}] is right, yours is {yours}"


class Pair:
    """A reader's function whose result is read as two numbers; () where it is nothing of the kind."""

    def __init__(self, answer: harness.Answer):
        self.answer, self.__code__ = answer, getattr(answer, "__code__", None)

    def __call__(self, *case: Any) -> tuple[float, ...] | None:
        """The function's two numbers."""
        value = self.answer(*case)
        return None if harness.blank(value) else harness.read(two_numbers, value) or ()


def other_level(answer: harness.Answer) -> str:
    """Whether intervals that look right are of another level: their widths, as a share of the right ones; "" if not."""
    widths = []
    for case in [draw_interval() for _ in range(8)]:
        (low, high), truth = two_numbers(answer(*map(harness.copied, case))), right_interval(*case)
        widths.append((high - low) / (truth[1] - truth[0]))
    if 0.92 < (share := np.mean(widths)) < 1.08:
        return ""
    return f"your intervals are {share:.0%} as wide as they should be: {QUANTILES}"


def interval(answer: harness.Answer) -> bool | None:
    """ex-07-bootstrap: (counts, classes, test classes, rng) -> (low, high)."""
    return harness.implementation(
        Pair(answer),
        right_interval,
        draw_interval,
        "right: episodes with replacement, the score of each resample, the middle 95 %",
        INTERVAL_MISTAKES,
        trials=3,
        same=near,
        lacks=lambda: other_level(answer),
        otherwise=no_interval,
    )


# ---- ex-07-trust ---------------------------------------------------------------------------------


def trust(answer: object) -> bool | None:
    """ex-07-trust: what an interval over episodes of one training each allows to say."""
    return harness.choice(
        answer,
        "b",
        {
            "a": "not a: a method is more than one training. Trained again, both would be other networks",
            "b": "right: other episodes of the same images, classes and networks. Nothing else was resampled",
            "c": "not c: two scores' own intervals may overlap where the paired difference is clear: what both find hard "
            "cancels",
            "d": "not d: episodes were resampled, not pictures. The interval over pictures is several times as wide",
        },
    )


# ---- ex-07-found ---------------------------------------------------------------------------------


def right_found(differences: np.ndarray) -> Interval:
    """The 95 % interval of differences (S, F) over training seeds, by the book's one rule."""
    return finding(differences.tolist())[1:3]


def student(gaps: np.ndarray, t: float | None = None, ddof: int = 1, root: float = 0.5) -> Interval:
    """The interval of numbers (n,), or what becomes of it with another quantile, divisor or root."""
    n = gaps.size
    half = (stdtrit(n - 1, 0.975) if t is None else t) * gaps.std(ddof=ddof) / n**root
    return float(gaps.mean() - half), float(gaps.mean() + half)


FOUND_MISTAKES = (
    (lambda d: student(d), "each fold counts as a repeat here: only training seeds are. Take the mean over folds first"),
    (lambda d: student(d.mean(0)), "you repeat over folds: take the mean over the folds, axis 1, and repeat over seeds"),
    (lambda d: student(d.mean(1), 1.96),
     "1.96 is the normal distribution's, for many numbers: with so few seeds Student's t is wanted"),
    (lambda d: student(d.mean(1), ddof=0), "the standard deviation has n - 1 below the line: ddof=1"),
    (lambda d: student(d.mean(1), root=0), "this is the scatter of single seeds: divide by the root of their number"),
    (lambda d: student(d.mean(1), root=1), "divide by the *root* of the number of seeds"),
    (lambda d: student(d.mean(1), stdtrit(len(d), 0.975)), "n numbers have n - 1 degrees of freedom: stdtrit(n - 1, ...)"),
    (lambda d: student(d.mean(1), stdtrit(d.size - 1, 0.975)),
     "the t is of all cells, seeds times folds: n is the number of seeds"),
    (lambda d: student(d.mean(1), stdtrit(len(d) - 1, 0.95)),
     "0.95 leaves 5 % at either end, so 90 % between: take stdtrit(n - 1, 0.975)"),
    (lambda d: student(d.sum(1)), "you add up the folds: their mean counts"),
    (lambda d: right_found(d)[::-1], "low comes first, then high"),
    (lambda d: middle_and_half(right_found(d)), ENDS),
    (lambda d: student(d.mean(1), 1.0), "this is one standard error to either side: multiply by t"),
    (lambda d: student(d.mean(1), stdtrit(len(d) - 1, 0.995)), "this is 99 %: take stdtrit(n - 1, 0.975)"),
    (lambda d: student(d.mean(1), 1.96, root=0), "this is the scatter of single seeds, by the normal distribution: divide by "
     "the root of their number, and take Student's t"),
    (lambda d: student(d[:, 0]), "this is the first fold alone: take the mean over the folds"),
    (lambda d: (d.mean(1).min(), d.mean(1).max()), "these are the least and the largest seed: Student's t is wanted"),
    (lambda d: (d.min(), d.max()), "these are the least and the largest cell: mean over folds, then Student's t"),
    (lambda d: ends(d), "quantiles of all cells: take the mean over folds, then Student's t over the seeds"),
    (lambda d: finding(d)[:2], "these are the mean and the lower end: return (low, high)"),
    (lambda d: ends(d.mean(1)), "with three seeds quantiles say nothing: Student's t is wanted"),
)  # fmt: skip


def draw_differences() -> tuple[np.ndarray]:
    """Three to five seeds, four folds: folds and seeds differ."""
    rng = np.random.default_rng()
    seeds = rng.integers(3, 6)
    each = rng.normal(1, 3, 4) + rng.normal(0, 1, (seeds, 1)) + rng.normal(0, 0.5, (seeds, 4))
    return (each,)


def no_found(values: list[tuple[float, ...]], truths: list[Interval]) -> str:
    """As `no_interval`, in points."""
    if () in values:
        return "return two numbers, (low, high)"
    (low, high), (mine, to) = truths[-1], values[-1]
    wide, middle = (to - mine) / (high - low), (mine + to - low - high) / 2
    if abs(middle) < 1e-4:
        return f"the middle is right, the width is {wide:.0%} of what it should be: t, the spread of the seeds, and the root of their number"
    if abs(wide - 1) < 1e-4:
        return (
            f"the width is right, the middle is off by {middle:+.2f}: it is the mean over all seeds and folds"
        )
    return f"where {low:+.2f} to {high:+.2f} is right, yours is {values[-1][0]:+.2f} to {values[-1][1]:+.2f}: which numbers repeat, and how many are they?"


def found(answer: harness.Answer) -> bool | None:
    """ex-07-found: differences (S, F) -> (low, high)."""
    return harness.implementation(
        Pair(answer), right_found, draw_differences, "right: seeds are the repeats, and three of them need a wide t",
        FOUND_MISTAKES, otherwise=no_found,
    )  # fmt: skip


# ---- ex-07-bank ----------------------------------------------------------------------------------


def passes(answer: object) -> bool | None:
    """ex-07-bank: what needs new passes through the network?"""
    return harness.choice(
        answer,
        "d",
        {
            "a": "not a: the mask enters after the network. Boxes only make other rows in the table of means",
            "b": "not b: other episodes of the same images. Five shots are a mean over five rows of the table",
            "c": "not c: the distance is taken between features that are there already",
            "d": "right: other weights, other features. All the rest happens behind the network",
        },
    )


# ---- ex-07-rank ----------------------------------------------------------------------------------


def matrices_of(answer: Any) -> np.ndarray:
    """A model's two confusion matrices as (1, 2, 2, 2); a ValueError where it is something else."""
    matrices = np.asarray(answer, dtype=float)
    if matrices.shape != (2, 2, 2) or not (np.isfinite(matrices).all() and (matrices >= 0).all()):
        raise ValueError
    return matrices[None]


def ranked(answer: tuple[Any, Any]) -> harness.Verdict:
    """Whether of two models' matrices (2, 2, 2) the first has the higher mean-IoU, the second binary-IoU."""
    a, b = (harness.read(matrices_of, model) for model in answer)
    if a is None or b is None:
        return False, "each model is an array of shape (2, 2, 2) of counts, none of them negative"
    if not np.allclose(a.sum(-1), b.sum(-1)):
        return False, "this is not the same test: in each episode the rows of A and B must have the same sums"
    if (a.sum(-1) <= 0).any():
        return False, "every episode must show some object and some background: a row is empty"
    ours, theirs = (Result(m, np.array([[[1], [2]]]), (1, 2)) for m in (a, b))
    scores = ", ".join(
        f"{n} {r.mean_iou:.2f} mean-IoU and {r.binary_iou:.2f} binary-IoU"
        for n, r in (("A", ours), ("B", theirs))
    )
    if ours.mean_iou > theirs.mean_iou and ours.binary_iou < theirs.binary_iou:
        return True, f"right: {scores}. The ranking is the metric's choice"
    if ours.mean_iou < theirs.mean_iou and ours.binary_iou > theirs.binary_iou:
        return False, f"nearly: {scores}. Give A the name of B, and B that of A"
    return False, f"{scores}: make one object large and the other tiny, and let each model be good at one"


def ranking(model_a: object, model_b: object) -> bool | None:
    """ex-07-rank: A has the higher mean-IoU, B the higher binary-IoU, on one test."""
    given = None if harness.blank(model_a, model_b) else (model_a, model_b)
    return harness.inspected(lambda: given, ranked)
