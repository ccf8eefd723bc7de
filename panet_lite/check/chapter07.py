"""Answers to the exercises of chapter 7, evaluation."""

from typing import Any

import numpy as np

from ..evaluation import Result, divide
from . import harness

TEST_CLASSES = (1, 2, 3, 4, 5)


def draw_counts(episodes: int = 60, idle: bool = True) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """TP, FP, FN (E, 3) and classes (E,) of one run: sizes and difficulty differ, one class may stay undrawn."""
    rng = np.random.default_rng()
    missing = rng.choice(TEST_CLASSES) if idle else 0
    classes = rng.choice(
        [c for c in TEST_CLASSES if c != missing],
        episodes,
        p=rng.permutation([0.5, 0.3, 0.1, 0.1]) if idle else None,
    )
    size = np.where(rng.random(episodes) < 0.5, 20, 2000) * rng.uniform(1, 2, episodes) * classes**2
    found = np.clip(rng.uniform(0.2, 0.6, episodes) + 0.3 * (size > 100) + 0.08 * (classes - 3), 0.02, 0.98)
    tp = (size * found).round()
    return (
        np.stack([tp, size * rng.uniform(0.05, 0.4, episodes), size - tp], -1).astype(int),
        classes,
        TEST_CLASSES,
    )


# ---- exercise 1 ----------------------------------------------------------------------------------


def class_ious(counts: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...]) -> np.ndarray:
    """(T,): summed over the episodes of a class, then divided; NaN for a class that was not drawn."""
    return divide(np.stack([counts[classes == c].sum(0) for c in test_classes]))


def right_mean_iou(counts: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...]) -> float:
    """The mean over the classes that were drawn, of counts (E, 3) and classes (E,)."""
    return float(np.nanmean(class_ious(counts, classes, test_classes)))


def ratio(counts: np.ndarray, classes: np.ndarray, weights: tuple[int, int, int]) -> Any:
    """The mean over drawn classes of weighted TP among weighted TP, FP and FN, of counts (E, 3)."""
    sums = np.stack([counts[classes == c].sum(0) for c in np.unique(classes)])
    return (weights[0] * sums[:, 0] / (sums @ weights)).mean()


MEAN_IOU_MISTAKES = (
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
    (lambda n, c, tests: ratio(n, c, (2, 1, 1)),
     "this is the Dice score, 2 TP / (2 TP + FP + FN): the union counts TP once"),
    (lambda n, c, tests: ratio(n, c, (1, 0, 1)),
     "this is the recall, TP / (TP + FN): false positives belong to the union too"),
)  # fmt: skip


def mean_iou(answer: harness.Answer) -> bool | None:
    """Exercise 1: (counts (E, 3), classes (E,), test classes) -> number."""
    return harness.implementation(
        answer,
        right_mean_iou,
        draw_counts,
        "right: pixels are summed over a run, classes are averaged, and a class nobody drew is left out",
        MEAN_IOU_MISTAKES,
        tolerance=1e-6,
    )


# ---- exercise 2 ----------------------------------------------------------------------------------


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
)  # fmt: skip


def draw_gap() -> tuple[dict[int, float], list[float]]:
    """Two or three folds, never the first ones only, and four reported scores that differ."""
    rng = np.random.default_rng()
    folds = [(0, 2), (1, 3), (0, 3), (0, 2, 3), (1, 2, 3)][rng.integers(5)]
    reported = (rng.permutation([35.0, 42.0, 51.0, 60.0]) + rng.uniform(-2, 2, 4)).tolist()
    return {f: float(reported[f] + rng.uniform(1, 4) * rng.choice([-1, 1])) for f in folds[::-1]}, reported


def gap(answer: harness.Answer) -> bool | None:
    """Exercise 2: ({fold: score}, four scores) -> how far above."""
    return harness.implementation(
        answer,
        right_gap,
        draw_gap,
        "right: fold against the same fold, and the missing ones left out on both sides",
        GAP_MISTAKES,
        tolerance=1e-6,
    )


# ---- exercise 3 ----------------------------------------------------------------------------------

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
    ((15 / (15 + 5 + 5), FLAWED),
     "in `standard` the ten background pixels called carrot are false positives as well: 10 + 5"),
    ((15 / (15 + 10 + 5), FLAWED),
     "in `standard` the five pear pixels called carrot are false positives as well: 10 + 5"),
)  # fmt: skip


def shares(answer: tuple[Any, Any]) -> harness.Verdict:
    """What to say of IoUs counted by the standard and the paper's way."""
    if (values := harness.read(lambda given: [float(value) for value in given], answer)) is None:
        return False, "two numbers are wanted"
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
    """Exercise 3: IoU of carrot, all false positives counted and counted the paper's way."""
    given = None if harness.blank(standard, flawed) else (standard, flawed)
    return harness.inspected(lambda: given, shares)


# ---- exercise 4 ----------------------------------------------------------------------------------


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


def ends(scores: np.ndarray, level: float = 0.95) -> Interval:
    """The middle `level` of scores (B,)."""
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def right_interval(
    counts: np.ndarray, classes: np.ndarray, test_classes: tuple[int, ...], rng: np.random.Generator
) -> Interval:
    """With 10,000 resamples, so that only the reader's own thousand scatter."""
    return ends(resampled(counts, classes, test_classes, drawn(len(counts), rng, resamples=10_000)))


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
     "you add up all classes in a resample: divide for each class, then take the mean"),
    (lambda n, c, tests, rng: ends(resampled(n, c, tests, drawn(len(n), rng)), 0.6827),
     "this is the middle 68 % (one standard deviation to either side): take the quantiles 0.025 and 0.975"),
    (lambda n, c, tests, rng: ends(rng.choice(class_ious(n, c, tests), (1000, len(tests))).mean(1)),
     "you resample the classes. That is an honest interval too, for another question: here it is the episodes"),
    (lambda n, c, tests, rng: ends(resampled(n, c, tests, drawn(len(n), rng, 1000))),
     "your interval is too narrow: each resample must hold as many episodes as the test has, not 1,000; 1,000 is the "
     "number of resamples"),
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


def no_interval(values: list[tuple[float, ...]], truths: list[Interval]) -> str:
    """What to say of intervals that no known mistake explains."""
    if () in values:
        return "return two numbers, (low, high)"
    low, high = truths[-1]
    yours = "[{:.3f}, {:.3f}]".format(*values[-1])
    return f"on one of the tests about [{low:.3f}, {high:.3f}] is right, yours is {yours}"


def interval(answer: harness.Answer) -> bool | None:
    """Exercise 4: (counts, classes, test classes, rng) -> (low, high)."""

    def pair(*case: Any) -> tuple[float, ...] | None:
        value = answer(*case)
        return None if harness.blank(value) else harness.read(two_numbers, value) or ()

    return harness.implementation(
        pair,
        right_interval,
        draw_interval,
        "right: episodes with replacement, the score of each resample, the middle 95 %",
        INTERVAL_MISTAKES,
        trials=3,
        same=near,
        otherwise=no_interval,
    )


# ---- exercise 5 ----------------------------------------------------------------------------------


def passes(answer: object) -> bool | None:
    """Exercise 5: what needs new passes through the network?"""
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


# ---- exercise 6 ----------------------------------------------------------------------------------


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
    """Exercise 6: A has the higher mean-IoU, B the higher binary-IoU, on one test."""
    given = None if harness.blank(model_a, model_b) else (model_a, model_b)
    return harness.inspected(lambda: given, ranked)
