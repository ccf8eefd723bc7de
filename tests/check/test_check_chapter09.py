"""Chapter 9's checks: right answers of all kinds pass, each known mistake is told by its own sentence, and wrong
answers that were written from the exercises' texts are refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checking import DRAWS, answers, mistakes_are_told, right_passes, said, stubs_and_errors
from scipy.ndimage import distance_transform_cdt, distance_transform_edt, label

from panet_lite.check import chapter09 as check
from panet_lite.datasets import VOID

IMPLEMENTATIONS = [
    (check.update, check.updated, check.UPDATE_MISTAKES),
    (check.cross, check.crossed, check.CROSS_MISTAKES),
    (check.channels, check.few_channel_cosines, check.CHANNEL_MISTAKES),
    (check.dab, check.dabbed, check.DAB_MISTAKES),
]
test_right_answer_passes = right_passes(IMPLEMENTATIONS)
test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS)
test_unfilled_and_raising_answers = stubs_and_errors(*(row[0] for row in IMPLEMENTATIONS), check.click)


# ---- right answers of other kinds ----------------------------------------------------------------


def update_by_loop(mean, area, features):
    total = mean * area
    for f in features:
        total = total + f
        area += 1
    return total / area


def update_in_place(mean, area, features):
    mean *= area
    mean += features.sum(0)
    return mean.div_(area + len(features))


def cross_by_loop(mean, area, features, painted, dab):
    total = mean * area
    for y, x in dab.nonzero().tolist():
        if not painted[y, x]:
            total, area = total + features[:, y, x], area + 1
    return [total / area, area]


def cross_afresh(mean, area, features, painted, dab):
    mask = (painted | dab).double()
    return torch.einsum("chw,hw->c", features.double(), mask) / mask.sum(), mask.sum()


def cross_by_numpy(mean, area, features, painted, dab):
    new = features.numpy()[:, dab.numpy() > painted.numpy()]
    n = area + new.shape[1]
    return (mean.numpy() * area + new.sum(1)) / n, n


def channels_by_eigenvectors(vectors, k):
    axes = torch.linalg.eigh(vectors.T @ vectors).eigenvectors[:, -k:]
    small = vectors @ axes
    lengths = small.norm(dim=1, keepdim=True)
    return (small @ small.T) / (lengths * lengths.T)


def channels_by_loop(vectors, k):
    small = vectors @ torch.linalg.svd(vectors).Vh[:k].T
    return torch.stack([F.cosine_similarity(v[None], small) for v in small])


def channels_by_numpy(vectors, k):
    u, s, _ = np.linalg.svd(vectors.numpy().astype(float), full_matrices=False)
    small = u[:, :k] * s[:k]
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    return small @ small.T


def channels_put_back(vectors, k):
    axes = torch.linalg.svd(vectors, full_matrices=False).Vh[:k]
    return F.cosine_similarity((vectors @ axes.T @ axes)[:, None], (vectors @ axes.T @ axes)[None], dim=-1)


def dab_by_loop(labels, y, x, value, radius):
    new = labels.clone()
    for row in range(labels.shape[0]):
        for column in range(labels.shape[1]):
            if (row - y) ** 2 + (column - x) ** 2 <= radius**2:
                new[row, column] = value
    return new


def dab_by_numpy(labels, y, x, value, radius):
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    return np.where((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, value, labels.numpy())


def dab_by_index(labels, y, x, value, radius):
    rows, columns = torch.meshgrid(*map(torch.arange, labels.shape), indexing="ij")
    new = labels.clone()
    new[torch.hypot((rows - y).double(), (columns - x).double()) <= radius] = value
    return new


def dab_by_masked_fill(labels, y, x, value, radius):
    rows = torch.arange(labels.shape[0])[:, None] - y
    return labels.masked_fill(rows**2 + (torch.arange(labels.shape[1]) - x) ** 2 <= radius**2, value).long()


def click_by_distances(predicted, truth):
    wrong = F.pad(predicted != truth, (1, 1, 1, 1))
    bad, good = wrong.nonzero().double(), (~wrong).nonzero().double()
    y, x = (bad[torch.cdist(bad, good).amin(1).argmax()] - 1).long()
    return y, x, truth[y, x]


def click_by_parts(predicted, truth):
    both = []
    for value in (0, 1):
        where = np.pad(((predicted != truth) & (truth == value)).numpy(), 1)
        depth = distance_transform_edt(where)[1:-1, 1:-1]
        both.append((depth.max(), *np.unravel_index(depth.argmax(), depth.shape), value))
    return max(both)[1:]


RIGHT = [
    (check.update, lambda m, a, f: m + (f.mean(0) - m) * len(f) / (a + len(f))),
    (check.update, lambda m, a, f: torch.cat([m.expand(a, -1), f]).mean(0)),
    (check.update, lambda m, a, f: (m.double() * a + f.double().sum(0)) / (a + f.shape[0])),
    (check.update, lambda m, a, f: (m.numpy() * a + f.numpy().sum(0)) / (a + len(f))),
    (check.update, lambda m, a, f: (a * m + torch.einsum("nc->c", f)) / torch.tensor(a + len(f))),
    (check.update, update_by_loop),
    (check.update, update_in_place),
    (check.cross, cross_by_loop),
    (check.cross, cross_afresh),
    (check.cross, cross_by_numpy),
    (check.cross, lambda m, a, f, p, d: (f[:, p | d].mean(1), int((p | d).sum()))),
    (
        check.cross,
        lambda m, a, f, p, d: ((m * a + (f * (d & ~p)).sum((1, 2))) / (p | d).sum(), (p | d).sum()),
    ),
    (check.channels, channels_by_eigenvectors),
    (check.channels, channels_by_loop),
    (check.channels, channels_by_numpy),
    (check.channels, channels_put_back),
    (check.channels, lambda x, k: check.few_channel_cosines(x.double(), k)),
    (check.dab, dab_by_loop),
    (check.dab, dab_by_numpy),
    (check.dab, dab_by_index),
    (check.dab, dab_by_masked_fill),
    (check.dab, lambda m, *rest: check.dabbed(m.double(), *rest)),
    (check.click, check.deepest_click),
    (check.click, click_by_distances),
    (check.click, click_by_parts),
    (check.click, lambda p, t: list(check.deepest_click(p, t))),
    (check.click, lambda p, t: torch.tensor(check.deepest_click(p, t))),
    (check.click, lambda p, t: np.array(check.deepest_click(p, t), float)),
]


@pytest.mark.parametrize("exercise, right", RIGHT)
def test_right_answers_of_all_kinds(exercise, right, capsys):
    for _ in DRAWS:
        assert exercise(right) is True, said(capsys)
        assert said(capsys).startswith("✓ right")


# ---- wrong answers from the exercises' texts -----------------------------------------------------

NAMED = None  # any sentence but the two that name no mistake
PLACED = (
    "are right; not so at",
    "the right numbers, all times",
    "the numbers are not",
)  # where it parts from the right
DUMB = "the shapes are right", "the result should have shape"
WRONG = [
    (check.update, lambda m, a, f: (m * a + f.sum()) / (a + len(f)), PLACED),
    (check.update, lambda m, a, f: (m * a + f.sum(1)[0]) / (a + len(f)), PLACED),
    (check.update, lambda m, a, f: (m * a + f.sum(0)) / (a + f.shape[1]), "shape[0]"),
    (check.update, lambda m, a, f: (m + f.mean(0).mul(len(f))) / (a + len(f)), "multiply it by them"),
    (check.update, lambda m, a, f: torch.stack([m, f.mean(0)]).mean(0), "weigh by pixels"),
    (check.update, lambda m, a, f: m * a + f.sum(0), "divide by the number of all"),
    (check.update, lambda m, a, f: f.mean(0), "forgotten"),
    (check.update, lambda m, a, f: m, "old mean"),
    (check.update, lambda m, a, f: (m * a + f) / (a + len(f)), "should have shape"),
    (check.update, lambda m, a, f: ((m * a + f.sum(0)) / (a + len(f)), a + len(f)), "tuple"),
    (check.update, lambda m, a, f: float("nan") * m, "NaN"),
    (check.update, lambda m, a, f: f.median(0).values, PLACED),
    (check.cross, lambda m, a, f, p, d: (f[:, d].mean(1), d.sum()), "forgotten"),
    (check.cross, lambda m, a, f, p, d: ((m * a + f[:, d].sum(1)) / (a + d.sum()), a + d.sum()), "crosses"),
    (check.cross, lambda m, a, f, p, d: ((m * a + f[:, p ^ d].sum(1)) / (a + (p ^ d).sum()), a + (p ^ d).sum()), "in the mean before"),
    (check.cross, lambda m, a, f, p, d: (f[:, p | d].mean(1), a), "old one"),
    (check.cross, lambda m, a, f, p, d: (f[:, p | d].mean(1), a + d.sum()), "twice"),
    (check.cross, lambda m, a, f, p, d: (f[:, p | d].sum(1) / (a + d.sum()), a + d.sum()), "the same pixels"),
    (check.cross, lambda m, a, f, p, d: f[:, p | d].mean(1), "give back the new area"),
    (check.cross, lambda m, a, f, p, d: ((p | d).sum(), f[:, p | d].mean(1)), "another order"),
    (check.cross, lambda m, a, f, p, d: (f[:, p & d].mean(1), (p & d).sum()), NAMED),
    (check.cross, lambda m, a, f, p, d: (m, a), NAMED),
    (check.cross, lambda m, a, f, p, d: (f[:, p | d].sum(1), (p | d).sum()), NAMED),
    (check.channels, lambda x, k: check.cosines(x - x.mean(1, keepdim=True)), PLACED),
    (check.channels, lambda x, k: torch.corrcoef(x), PLACED),
    (check.channels, lambda x, k: check.cosines(torch.pca_lowrank(x, 8)[0][:, :k]), PLACED),
    (check.channels, lambda x, k: check.cosines((x - x.mean(0)) @ torch.linalg.svd(x - x.mean(0)).Vh[:k].T), "mean alone"),
    (check.channels, lambda x, k: check.cosines(x @ torch.linalg.svd(x).Vh[-k:].T), "weakest"),
    (check.channels, lambda x, k: check.cosines(x @ torch.linalg.svd(x).Vh[:, :k]), "rows"),
    (check.channels, lambda x, k: check.cosines(x), "all channels"),
    (check.channels, lambda x, k: check.cosines(x[:, -k:]), PLACED),
    (check.channels, lambda x, k: check.cosines(x[:k]), "should have shape"),
    (check.channels, lambda x, k: x @ torch.linalg.svd(x).Vh[:k].T, "reduced vectors"),
    (check.channels, lambda x, k: check.cosines(torch.linalg.svd(x, full_matrices=False).U[:, :k]), "U alone"),
    (check.channels, lambda x, k: torch.cdist(x, x), PLACED),
    (check.dab, lambda m, y, x, v, r: m.index_fill(0, torch.arange(max(0, y - r), min(22, y + r + 1)), v), PLACED),
    (check.dab, lambda m, y, x, v, r: check.dabbed(m, y, x, v, r + 1), "too wide"),
    (check.dab, lambda m, y, x, v, r: check.dabbed(m, y, x, v, r - 1), PLACED),
    (check.dab, lambda m, y, x, v, r: check.dabbed(m, y + 1, x + 1, v, r), PLACED),
    (check.dab, lambda m, y, x, v, r: check.dabbed(torch.zeros_like(m), y, x, v, r), "start from"),
    (check.dab, lambda m, y, x, v, r: torch.full_like(m, VOID), NAMED),
    (check.dab, lambda m, y, x, v, r: m, PLACED),
    (check.dab, lambda m, y, x, v, r: check.dabbed(m.T, y, x, v, r).T, "exchanged"),
    (check.dab, lambda m, y, x, v, r: check.dabbed(m, y, x, v, r)[None], "should have shape"),
    (check.dab, lambda m, y, x, v, r: check.dabbed(m, y, x, v, r) == v, PLACED),
    (check.dab, lambda m, y, x, v, r: check.dabbed(m, y, x, r, v), PLACED),
    (check.dab, lambda m, *rest: m.copy_(check.dabbed(m, *rest)), "Undo"),
]  # fmt: skip


@pytest.mark.parametrize("exercise, wrong, part", WRONG)
def test_wrong_answers_are_refused(exercise, wrong, part, capsys):
    for _ in DRAWS:
        assert exercise(wrong) is False
        line = said(capsys)
        assert line.startswith("✗ ") and any(
            one in line for one in (part if isinstance(part, tuple) else (part or "",))
        )


# ---- where to click ------------------------------------------------------------------------------


def first_wrong(predicted, truth):
    y, x = (predicted != truth).nonzero()[0].tolist()
    return y, x, truth[y, x]


def deepest_of(depth, truth):
    y, x = np.unravel_index(int(np.asarray(depth).argmax()), depth.shape)
    return y, x, truth[y, x]


def largest(predicted, truth):
    """The robot of this chapter's first edition."""
    parts, _ = label(np.pad((predicted != truth).numpy(), 1))
    where = parts == np.bincount(parts[parts > 0]).argmax()
    return deepest_of(distance_transform_edt(where)[1:-1, 1:-1], truth)


def middle(where, truth):
    y, x = where.nonzero().double().mean(0).round().long().tolist()
    return y, x, truth[y, x]


def frameless(predicted, truth):
    return deepest_of(distance_transform_edt((predicted != truth).numpy()), truth)


def of_object(predicted, truth):
    """Deep in the object, wherever the mistakes are."""
    return deepest_of(distance_transform_edt(np.pad((truth == 1).numpy(), 1))[1:-1, 1:-1], truth)


def swapped(predicted, truth):
    y, x, value = check.deepest_click(predicted, truth)
    return x, y, value


CLICKS = {
    "first wrong pixel": (first_wrong, "deepest"),
    "largest for thickest": (largest, "*largest*"),
    "the frame": (frameless, "frame"),
    "what was predicted": (lambda p, t: (*check.deepest_click(p, t)[:2], p[check.deepest_click(p, t)[:2]]), "label is not"),
    "always the object": (lambda p, t: (*check.deepest_click(p, t)[:2], 1), "label is not"),
    "right already": (lambda p, t: (*(p == t).nonzero()[0].tolist(), 0), "right already"),
    "deep in what is right": (lambda p, t: deepest_of(distance_transform_edt((p == t).numpy()), t), "right already"),
    "deep in the object": (of_object, ""),
    "the middle of all mistakes": (lambda p, t: middle(p != t, t), ""),
    "the last wrong pixel": (lambda p, t: (*(p != t).nonzero()[-1].tolist(), 1), "deepest"),
    "one beside": (lambda p, t: (check.deepest_click(p, t)[0] + 1, *check.deepest_click(p, t)[1:]), "deepest"),
    "the padded place": (lambda p, t: (*(v + 1 for v in check.deepest_click(p, t)[:2]), t[check.deepest_click(p, t)[:2]]), "padding off"),
    "off the map": (lambda p, t: (99, 0, 1), "three whole numbers"),
    "negative": (lambda p, t: (-1, 0, 1), "three whole numbers"),
    "a word": (lambda p, t: "here", "three whole numbers"),
    "the place alone": (lambda p, t: (0, 1), "three whole numbers"),
    "halves": (lambda p, t: (3.5, 4, 1), "three whole numbers"),
    "no number": (lambda p, t: (float("nan"), 4, 1), "three whole numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLICKS)
def test_clicks(name, capsys):
    wrong, part = CLICKS[name]
    for _ in DRAWS:
        assert check.click(wrong) is False
        assert part in said(capsys)


def test_row_and_column_exchanged(capsys):
    told = []
    for _ in DRAWS:
        assert check.click(swapped) is False
        told.append("row comes first" in said(capsys))
    assert all(told)


# ---- numbers and letters -------------------------------------------------------------------------

test_cost = answers(
    check.cost,
    (None, None, "not filled in"),
    (2304, True, "right"),
    (9 * 512 * 512 / (2 * 512), True, "right"),
    (torch.tensor(2304), True, "right"),
    (np.float64(2304), True, "right"),
    ("2304", True, "right"),
    (4608, False, "two prototypes"),
    (256, False, "3 x 3"),
    (4.5, False, "512 of them"),
    (2359296, False, "divide"),
    (1024, False, "how many times"),
    (1 / 2304, False, "other way round"),
    (0, False, "count at one place"),
    (-2304, False, "below 0"),
    (512, False, "count at one place"),
    (1417, False, "count at one place"),
    (float("nan"), False, "finite"),
    ("many", False, "a number is wanted"),
)


@pytest.mark.parametrize("question, right", [(check.again, "b"), (check.tool, "c")])
def test_letters(question, right, capsys):
    assert question(None) is None
    assert [question(letter) for letter in "abcd"] == [letter == right for letter in "abcd"]
    assert question(f"({right.upper()})") is True and question("e") is False and question(3) is False
    assert len(set(capsys.readouterr().out.splitlines())) == 6


# ---- strangers' answers that a check once let pass -----------------------------------------------


def nan_of_none(mean, area, features, painted, dab):
    new = features[:, dab & ~painted]
    return (mean * area + new.mean(1) * new.shape[1]) / (area + new.shape[1]), area + new.shape[1]


def in_steps(metric):
    def click(predicted, truth):
        wrong = np.pad(np.asarray(predicted) != np.asarray(truth), 1)
        depth = torch.from_numpy(distance_transform_cdt(wrong, metric)[1:-1, 1:-1])
        return deepest_of(depth, truth)

    return click


@pytest.mark.parametrize(
    "exercise, wrong, part",
    [
        (check.cross, nan_of_none, "wholly on older paint"),
        (check.click, in_steps("chessboard"), "one counts steps"),
        (check.click, in_steps("taxicab"), "one counts steps"),
    ],
)
def test_strangers_answers_are_told(exercise, wrong, part, capsys):
    for _ in DRAWS:
        assert exercise(wrong) is False
        assert part in said(capsys)
