"""Chapter 7's checks: right answers of all kinds pass, each known mistake is told by its own sentence, and wrong
answers that were written from the exercises' texts are refused."""

import numpy as np
import pytest
import torch
from checking import answers, mistakes_are_told, right_passes, said, stubs_and_errors
from scipy.stats import t, ttest_1samp

from panet_lite.check import chapter07 as check
from panet_lite.evaluation import Result, confusion, divide, finding


def by_module(counts, classes, test_classes):
    """Exercise 1 by the package's own Result."""
    tp, fp, fn = counts.T
    matrices = np.stack([0 * tp, fp, fn, tp], -1).reshape(1, -1, 2, 2)
    return Result(matrices, classes.reshape(1, -1, 1), test_classes).mean_iou


def one_by_one(counts, classes, test_classes, rng):
    """Exercise 4 with indices in place of weights."""
    scores = []
    for _ in range(1000):
        picked = rng.integers(len(counts), size=len(counts))
        scores.append(check.right_mean_iou(counts[picked], classes[picked], test_classes))
    return np.quantile(scores, [0.025, 0.975])


def gap_by_loop(mine, reported):
    return np.mean([mine[f] - reported[f] for f in range(4) if f in mine])


def score_by_module(predicted, truth, classes, test_classes):
    matrices = confusion(torch.from_numpy(predicted), torch.from_numpy(truth), 2)[None]
    return Result(matrices.numpy(), classes[None, :, None], test_classes).mean_iou


EXERCISES = [
    (check.mean_iou, by_module, check.MEAN_IOU_MISTAKES),
    (check.repair, score_by_module, check.SCORE_MISTAKES),
    (check.found, lambda d: finding(d)[1:3], check.FOUND_MISTAKES),
    (check.gap, gap_by_loop, check.GAP_MISTAKES),
    (check.interval, check.right_interval, check.INTERVAL_MISTAKES),
]


test_right_answer_passes = right_passes(EXERCISES)


def test_a_bootstrap_by_loop_passes(capsys):
    assert check.interval(one_by_one) is True
    assert said(capsys).startswith("✓ right")


def test_a_thousand_resamples_are_enough(capsys):
    """Their scatter is a 46th of the width at either end; the check allows a sixth."""
    for _ in range(12):
        assert (
            check.interval(lambda *x: check.ends(check.resampled(*x[:3], check.drawn(len(x[0]), x[3]))))
            is True
        )
        capsys.readouterr()


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(EXERCISES)


test_unfilled_and_raising_answers = stubs_and_errors(
    *(row[0] for row in EXERCISES), nonsense=[lambda *inputs: "many", lambda *inputs: torch.zeros(7)]
)


def test_interval_the_wrong_way_round_or_elsewhere(capsys):
    assert check.interval(lambda *x: check.right_interval(*x)[::-1]) is False
    assert said(capsys) == "✗ low comes first, then high"
    assert check.interval(lambda *x: (0.0, 0.001)) is False
    assert "yours is [0.000, 0.001]" in said(capsys)


# ---- right answers of other kinds ----------------------------------------------------------------


def mean_iou_by_loop(counts, classes, test_classes):
    scores = []
    for c in test_classes:
        tp = fp = fn = 0
        for row, label in zip(counts.tolist(), classes.tolist()):
            if label == c:
                tp, fp, fn = tp + row[0], fp + row[1], fn + row[2]
        if tp + fp + fn:
            scores.append(tp / (tp + fp + fn))
    return sum(scores) / len(scores)


def mean_iou_by_product(counts, classes, test_classes):
    sums = (classes == np.array(test_classes)[:, None]).astype(int) @ counts  # (T, 3)
    with np.errstate(invalid="ignore"):
        return np.nanmean(sums[:, 0] / sums.sum(1))


def mean_iou_by_torch(counts, classes, test_classes):
    n, c = torch.from_numpy(counts), torch.from_numpy(classes)
    sums = torch.zeros(6, 3, dtype=n.dtype).index_add_(0, c, n).double()
    drawn = sums.sum(1) > 0
    return (sums[drawn, 0] / sums[drawn].sum(1)).mean()


def mean_iou_of_those_drawn(counts, classes, test_classes):
    sums = {c: counts[classes == c].sum(axis=0) for c in set(classes.tolist())}
    return np.float32(np.mean([s[0] / s.sum() for s in sums.values()]))


def mean_iou_in_place(counts, classes, test_classes):
    counts[:, 1:] += 0
    order = np.argsort(classes)
    starts = np.flatnonzero(np.diff(classes[order], prepend=-1))
    sums = np.add.reduceat(counts[order], starts)
    return np.einsum("t,t->", sums[:, 0], 1 / sums.sum(1)) / len(sums)


def score_by_pixel(predicted, truth, classes, test_classes):
    sums = {c: [0, 0] for c in test_classes}
    for guess, real, c in zip(predicted.tolist(), truth.tolist(), classes.tolist()):
        for a, b in zip(sum(guess, []), sum(real, [])):
            if b != 255:
                sums[c][0] += a == b == 1
                sums[c][1] += a == 1 or b == 1
    return sum(a / b for a, b in sums.values()) / len(sums)


def score_in_place(predicted, truth, classes, test_classes):
    predicted[truth == 255] = 0
    truth[truth == 255] = 0
    both, either = (f(predicted, truth).sum((1, 2)) for f in (np.minimum, np.maximum))
    return np.mean([both[classes == c].sum() / either[classes == c].sum() for c in test_classes])


def score_by_torch(predicted, truth, classes, test_classes):
    p, y = torch.from_numpy(predicted), torch.from_numpy(truth)
    both, either = ((p == 1) & (y == 1)).sum((1, 2)), (((p == 1) | (y == 1)) & (y < 255)).sum((1, 2))
    own = torch.from_numpy(classes) == torch.tensor(test_classes)[:, None]
    return ((own * both).sum(1) / (own * either).sum(1)).mean()


def score_by_counts(predicted, truth, classes, test_classes):
    return mean_iou_by_loop(check.counted(predicted, truth), classes, test_classes)


def score_flat(predicted, truth, classes, test_classes):
    scores = []
    for c in test_classes:
        guess, real = predicted[classes == c].ravel(), truth[classes == c].ravel()
        guess, real = guess[real != 255] == 1, real[real != 255] == 1
        scores.append((guess & real).sum() / (guess | real).sum())
    return torch.tensor(scores, dtype=torch.float64).mean()


def gap_by_arrays(mine, reported):
    return (np.array(list(mine.values())) - np.array(reported)[list(mine)]).mean()


def gap_of_means(mine, reported):
    return sum(mine.values()) / len(mine) - sum(reported[f] for f in mine) / len(mine)


def gap_by_torch(mine, reported):
    return torch.tensor([mine[f] - reported[f] for f in mine], dtype=torch.float64).mean()


def gap_sorted(mine, reported):
    gaps = [score - reported[fold] for fold, score in sorted(mine.items())]
    return float(np.median(gaps)) if len(gaps) < 3 else sum(gaps) / len(gaps)


def interval_by_weights(counts, classes, test_classes, rng):
    weights = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=1000)
    own = (classes == np.array(test_classes)[:, None]).astype(int)
    sums = np.einsum("be,te,ek->btk", weights, own, counts)
    return np.quantile((sums[..., 0] / sums.sum(-1)).mean(1), (0.025, 0.975)).tolist()


def interval_by_percentiles(counts, classes, test_classes, rng):
    scores = []
    for _ in range(1000):
        picked = rng.choice(len(counts), len(counts))
        scores.append(mean_iou_of_those_drawn(counts[picked], classes[picked], test_classes))
    return tuple(np.percentile(scores, [2.5, 97.5]))


def interval_of_sorted(counts, classes, test_classes, rng):
    scores = sorted(check.resampled(counts, classes, test_classes, check.drawn(len(counts), rng)))
    return torch.tensor([scores[25], scores[974]])


def interval_by_deviation(counts, classes, test_classes, rng):
    scores = check.resampled(counts, classes, test_classes, check.drawn(len(counts), rng))
    return scores.mean() - 1.96 * scores.std(), scores.mean() + 1.96 * scores.std()


def interval_with_its_own_chance(counts, classes, test_classes, rng):
    return by_module_interval(counts, classes, test_classes)


def by_module_interval(counts, classes, test_classes):
    tp, fp, fn = counts.T
    matrices = np.stack([0 * tp, fp, fn, tp], -1).reshape(1, -1, 2, 2)
    return Result(matrices, classes.reshape(1, -1, 1), test_classes).interval()


def found_by_scipy(differences):
    interval = ttest_1samp(differences.mean(1), 0).confidence_interval()
    return [interval.low, interval.high]


def found_by_formula(differences):
    gaps = [sum(row) / len(row) for row in differences.tolist()]
    n, mean = len(gaps), sum(gaps) / len(gaps)
    s = (sum((g - mean) ** 2 for g in gaps) / (n - 1)) ** 0.5
    half = t.ppf(0.975, n - 1) * s / n**0.5
    return mean - half, mean + half


def found_by_torch(differences):
    gaps = torch.from_numpy(differences).mean(1)
    half = t.ppf(0.975, len(gaps) - 1) * gaps.std() / len(gaps) ** 0.5
    return torch.stack([gaps.mean() - half, gaps.mean() + half])


def found_as_array(differences):
    gaps = differences.mean(axis=1)
    return np.array(t.interval(0.95, len(gaps) - 1, gaps.mean(), gaps.std(ddof=1) / np.sqrt(len(gaps))))


def found_with_the_root_elsewhere(differences):
    gaps = differences.mean(1)
    half = t.isf(0.025, len(gaps) - 1) * gaps.std() / (len(gaps) - 1) ** 0.5
    return gaps.mean() + np.array([-half, half])


RIGHT = {
    check.mean_iou: (
        mean_iou_by_loop, mean_iou_by_product, mean_iou_by_torch, mean_iou_of_those_drawn, mean_iou_in_place,
    ),
    check.repair: (score_by_pixel, score_in_place, score_by_torch, score_by_counts, score_flat),
    check.gap: (gap_by_loop, gap_by_arrays, gap_of_means, gap_by_torch, gap_sorted),
    check.interval: (
        interval_by_weights, interval_by_percentiles, interval_of_sorted, interval_by_deviation,
        interval_with_its_own_chance,
    ),
    check.found: (
        found_by_scipy, found_by_formula, found_by_torch, found_as_array, found_with_the_root_elsewhere,
    ),
}  # fmt: skip


@pytest.mark.parametrize("exercise, answer", [(e, a) for e, every in RIGHT.items() for a in every])
def test_other_right_answers_pass(exercise, answer, capsys):
    for _ in range(5):
        assert exercise(answer) is True
        assert said(capsys).startswith("✓ right")


# ---- wrong answers, written from the exercises' texts --------------------------------------------


def resample(statistic, level=0.95, size=None, times=1000, replace=True):
    """A bootstrap with something wrong in it."""

    def answer(counts, classes, test_classes, rng):
        scores = []
        for _ in range(times):
            picked = rng.choice(len(counts), size or len(counts), replace=replace)
            scores.append(statistic(counts[picked], classes[picked], test_classes))
        return tuple(np.nanquantile(scores, [(1 - level) / 2, (1 + level) / 2]))

    return answer


def torn(counts, classes, test_classes, rng):
    """Counts and classes are resampled apart."""
    scores = []
    for _ in range(1000):
        a, b = rng.integers(len(counts), size=(2, len(counts)))
        scores.append(check.right_mean_iou(counts[a], classes[b], test_classes))
    return tuple(np.quantile(scores, [0.025, 0.975]))


def means_of(weigh):
    """Class IoUs, averaged with weights of their counts (n, 3)."""

    def answer(counts, classes, test_classes):
        sums = np.stack([counts[classes == c].sum(0) for c in np.unique(classes)])
        return np.average(divide(sums), weights=weigh(sums))

    return answer


def scored(union, both=lambda p, y: (p == 1) & (y == 1)):
    """Right sums of something else."""

    def answer(p, y, classes, test_classes):
        a, b = both(p, y), union(p, y)
        return np.mean([a[classes == c].sum() / b[classes == c].sum() for c in test_classes])

    return answer


def t_of(gaps, n, quantile=0.975):
    half = t.ppf(quantile, n - 1) * gaps.std(ddof=1) / n**0.5
    return gaps.mean() - half, gaps.mean() + half


WRONG = {
    check.mean_iou: (
        means_of(lambda s: s.sum(1)),
        means_of(lambda s: s[:, 0] + s[:, 2]),
        lambda n, c, tests: n[:, 0].sum() / n.sum(),
        lambda n, c, tests: np.median(divide(n)),
        lambda n, c, tests: np.nanmedian(check.class_ious(n, c, tests)),
        lambda n, c, tests: np.nansum(check.class_ious(n, c, tests)),
        lambda n, c, tests: np.nansum(check.class_ious(n, c, tests)) / len(tests),
        lambda n, c, tests: 100 * np.nanmean(check.class_ious(n, c, tests)),
        lambda n, c, tests: check.ratio(n, c, (1, 1, 0)),
        lambda n, c, tests: np.nanmax(check.class_ious(n, c, tests)),
        lambda n, c, tests: [float(v) for v in check.class_ious(n, c, tests)],
        lambda n, c, tests: check.class_ious(n, c, tests)[0],
        lambda n, c, tests: np.nanmean(check.class_ious(n[:, [0, 2, 2]], c, tests)),
        lambda n, c, tests: n.mean(),
    ),
    check.repair: (
        scored(lambda p, y: (p == 1) | (y == 1)),
        scored(lambda p, y: (p == 1) | (y >= 1)),
        scored(lambda p, y: ((p == 1) & (y != 255)) | (y > 0)),
        scored(lambda p, y: y == 1),
        scored(lambda p, y: (p == 1) & (y != 255)),
        scored(lambda p, y: y != 255, lambda p, y: p == y),
        scored(lambda p, y: np.ones_like(y), lambda p, y: p == y),
        lambda p, y, c, tests: divide(check.counted(p, y)).mean(),
        lambda p, y, c, tests: divide(check.counted(p, y).sum(0)),
        lambda p, y, c, tests: np.median(divide(check.counted(p, y))),
        lambda p, y, c, tests: check.right_score(1 - p, y, c, tests),
        lambda p, y, c, tests: check.right_score(p[y != 255], y[y != 255], c, tests),
        lambda p, y, c, tests: 100 * check.right_score(p, y, c, tests),
    ),
    check.gap: (
        lambda mine, reported: np.mean(list(mine.values())) - np.mean(reported),
        lambda mine, reported: np.mean(reported) - np.mean(list(mine.values())),
        lambda mine, reported: np.mean([abs(s - reported[f]) for f, s in mine.items()]),
        lambda mine, reported: max(s - reported[f] for f, s in mine.items()),
        lambda mine, reported: sum(s - reported[f] for f, s in mine.items()),
        lambda mine, reported: sum(s - reported[f] for f, s in mine.items()) / 4,
        lambda mine, reported: np.mean([s - reported[f - 1] for f, s in mine.items()]),
        lambda mine, reported: np.mean([s - r for s, r in zip(mine.values(), reported)]),
        lambda mine, reported: np.mean([mine.get(f, 0) - reported[f] for f in range(4)]),
        lambda mine, reported: np.mean([s - reported[f + 1] for f, s in mine.items()]),
        lambda mine, reported: np.mean([s / reported[f] for f, s in mine.items()]),
        lambda mine, reported: {f: s - reported[f] for f, s in mine.items()},
        lambda mine, reported: sum(mine.values()) / len(mine),
    ),
    check.interval: (
        resample(check.right_mean_iou, 0.9),
        resample(check.right_mean_iou, 0.99),
        resample(check.right_mean_iou, 0.5),
        resample(check.right_mean_iou, size=20),
        resample(check.right_mean_iou, size=50, replace=False),
        resample(lambda n, c, tests: divide(n).mean()),
        resample(lambda n, c, tests: divide(n.sum(0))),
        resample(lambda n, c, tests: np.median(divide(n))),
        resample(lambda n, c, tests: check.ratio(n, c, (2, 1, 1))),
        torn,
        lambda n, c, tests, rng: tuple(100 * e for e in check.right_interval(n, c, tests, rng)),
        lambda n, c, tests, rng: check.middle_and_half(check.right_interval(n, c, tests, rng)),
        lambda n, c, tests, rng: check.right_interval(n, c, tests, rng)[0],
        lambda n, c, tests, rng: (0.0, 1.0),
        lambda n, c, tests, rng: tuple(np.quantile(check.class_ious(n, c, tests), [0.025, 0.975])),
    ),
    check.found: (
        lambda d: t_of(d.ravel(), d.size),
        lambda d: t_of(d.mean(0), 4),
        lambda d: t_of(d.mean(1), 4) if len(d) != 4 else t_of(d.mean(1), 5),
        lambda d: t_of(d[:, 0], len(d)),
        lambda d: t_of(d.sum(1), len(d)),
        lambda d: t_of(d.mean(1), len(d), 0.95),
        lambda d: t_of(d.mean(1), len(d), 0.99),
        lambda d: (d.mean() - 1.96 * d.mean(1).std(ddof=1), d.mean() + 1.96 * d.mean(1).std(ddof=1)),
        lambda d: (d.mean(1).min(), d.mean(1).max()),
        lambda d: (d.min(), d.max()),
        lambda d: tuple(np.quantile(d, [0.025, 0.975])),
        lambda d: finding(d)[:2],
        lambda d: str(finding(d)),
        lambda d: finding(d)[1] > 0,
    ),
}


@pytest.mark.parametrize("exercise, answer", [(e, a) for e, every in WRONG.items() for a in every])
def test_wrong_answers_are_refused(exercise, answer, capsys):
    for _ in range(4):
        assert exercise(answer) is False
        assert said(capsys).startswith("✗ ")


@pytest.mark.parametrize("level, share", [(0.9, 84), (0.99, 131), (0.98, 119)])
def test_an_interval_of_another_level_is_told(level, share, capsys):
    """A single interval may look right: eight more are drawn, and their widths compared."""
    for _ in range(5):
        assert check.interval(resample(check.right_mean_iou, level)) is False
        assert "as wide as they should be" in (told := said(capsys))
        assert abs(int(told.split("%")[0].split()[-1]) - share) < 12


def test_a_forgotten_return_is_told(capsys):
    def forgets(*case):
        len(case)

    for exercise in (check.interval, check.found):
        assert exercise(forgets) is False
        assert "return" in said(capsys)


test_trust = answers(
    check.trust,
    (None, None, "not filled in"),
    ("b", True, "right"),
    ("(B)", True, "right"),
    ("a", False, "not a"),
    ("c", False, "not c"),
    ("d", False, "not d"),
    (4, False, "choose one"),
)


def test_the_student_of_the_text():
    """41.0 and 49.5 on folds 0 and 2: 1.45 below the paper; fold 0 alone: 1.3 below, not 7.1."""
    splits = [42.3, 58.0, 51.1, 41.2]
    assert check.right_gap({0: 41.0, 2: 49.5}, splits) == pytest.approx(-1.45)
    assert check.right_gap({0: 41.0}, splits) == pytest.approx(-1.3)
    assert check.against_the_mean({0: 41.0, 2: 49.5}, splits) == pytest.approx(-2.9)
    assert check.against_the_mean({0: 41.0}, splits) == pytest.approx(-7.15)


def test_the_flaws_numbers_are_those_of_the_module():
    matrices = [[[[70, 0, 10], [0, 15, 5], [0, 0, 0]], [[80, 0, 0], [0, 0, 0], [5, 0, 15]]]]
    for preset, carrot in (("standard", check.STANDARD), ("paper", check.FLAWED)):
        result = Result(np.array(matrices), np.array([[[1, 2], [1, 2]]]), (1, 2), preset)
        assert result.class_iou.tolist() == pytest.approx([15 / 20, carrot])


test_flaw = answers(
    check.flaw,
    ((None, None), None, "not filled in"),
    ((0.43, None), None, "not filled in"),
    ((..., 1), None, "not filled in"),
    ((3 / 7, 3 / 4), True, "right: 3/7"),
    ((0.43, "0.75"), True, "right"),
    ((torch.tensor(0.4286), np.float64(0.75)), True, "right"),
    ((43, 75), False, "between 0 and 1"),
    (("many", 1), False, "two numbers"),
    ((0.1, 0.75), False, "not standard:"),
    ((0.1, 0.2), False, "not standard and flawed:"),
)


@pytest.mark.parametrize("answer, why", check.FLAW_MISTAKES)
def test_each_wrong_prediction_of_the_flaw_is_told(answer, why, capsys):
    assert check.flaw(*answer) is False
    assert said(capsys) == f"✗ {why}"


test_passes = answers(
    check.passes,
    (None, None, "not filled in"),
    ("d", True, "right"),
    ("(D)", True, "right"),
    ("a", False, "not a"),
    ("b", False, "not b"),
    ("c", False, "not c"),
    (4, False, "choose one"),
)


GOOD_AT_SMALL = [[[2000, 0], [400, 600]], [[2990, 0], [0, 10]]]
GOOD_AT_LARGE = [[[2000, 0], [100, 900]], [[2990, 0], [10, 0]]]
EMPTY = [[[2000, 0], [0, 0]], [[2990, 0], [0, 10]]]


@pytest.mark.parametrize(
    "a, b, verdict, part",
    [
        (None, None, None, "not filled in"),
        (GOOD_AT_SMALL, None, None, "not filled in"),
        (GOOD_AT_SMALL, GOOD_AT_LARGE, True, "right: A 0.80"),
        (torch.tensor(GOOD_AT_SMALL), np.array(GOOD_AT_LARGE), True, "right"),
        (GOOD_AT_LARGE, GOOD_AT_SMALL, False, "Give A the name of B"),
        (GOOD_AT_SMALL, GOOD_AT_SMALL, False, "make one object large"),
        (GOOD_AT_SMALL, [[[1, 0], [0, 1]]] * 2, False, "not the same test"),
        (EMPTY, EMPTY, False, "a row is empty"),
        ([[1, 2], [3, 4]], GOOD_AT_LARGE, False, "shape (2, 2, 2)"),
        ((-np.array(GOOD_AT_SMALL)).tolist(), GOOD_AT_LARGE, False, "none of them negative"),
        ("A", "B", False, "shape (2, 2, 2)"),
    ],
)
def test_ranking(a, b, verdict, part, capsys):
    assert check.ranking(a, b) is verdict
    assert part in said(capsys)


# ---- strangers' answers --------------------------------------------------------------------------


def test_classes_are_not_counted_from_one(capsys):
    """The first fold's labels are 1 to 5: another fold's are not."""
    assert check.mean_iou(lambda n, c, tests: check.right_mean_iou(n, c, tuple(range(1, 6)))) is False
    assert said(capsys).startswith("✗ ")


def test_a_gap_may_be_float32():
    def gap(mine, reported):
        return torch.stack([torch.tensor(mine[fold]) - reported[fold] for fold in mine]).mean()

    for _ in range(12):
        assert check.gap(gap) is True
