"""The exercises of chapter 3: right answers pass, every listed mistake is told by its own sentence.

Further down are answers that were written from the exercises' text alone: wrong ones, of which none may pass and
most must be told what is wrong with them, and right ones in many forms, of which none may be refused.
"""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from panet_lite.check import chapter03 as check
from panet_lite.prototypes import (
    VOID,
    adjoint_upsample,
    interpolation_matrix,
    masked_average_pool,
    support_prototypes,
)

DRAWS = 12


def right_pool(features, mask):
    weights = adjoint_upsample(mask, features.shape[-2:])[:, None]
    return (features * weights).sum((-2, -1)) / (mask.sum((-2, -1))[:, None] + 1e-5)


def right_nearest(mask, factor):
    height, width = mask.shape
    return mask.view(height // factor, factor, width // factor, factor).sum((1, 3))


def right_gradient(mask, size):
    small = torch.zeros(1, 1, *size, requires_grad=True)
    large = F.interpolate(small, size=mask.shape, mode="bilinear", align_corners=False)
    (large[0, 0] * mask).sum().backward()
    return small.grad[0, 0]


def right_prototypes(features, labels):
    ways = torch.arange(1, labels.shape[1] + 1).view(-1, 1, 1, 1)

    def means(mask):
        return masked_average_pool(features.flatten(0, 2), mask.flatten(0, 2)).unflatten(0, labels.shape[:3])

    background = means(labels == 0).mean((1, 2))
    return torch.cat([background[:, None], means(labels == ways).mean(2)], dim=1)


def right_shots(vectors, shots):
    return vectors.var(0).sum() * (1 / shots - 1 / len(vectors))


def right_won(features, cells, prototypes):
    cosines = F.cosine_similarity(features[None], prototypes[:, :, None, None], dim=1)
    return torch.bincount(cosines.argmax(0)[cells], minlength=len(prototypes))


EXERCISES = {
    "pool": (check.pool, right_pool, check.POOL_MISTAKES),
    "nearest": (check.nearest_adjoint, right_nearest, check.NEAREST_MISTAKES),
    "gradient": (check.gradient, right_gradient, check.GRADIENT_MISTAKES),
    "prototypes": (check.prototypes, right_prototypes, check.PROTOTYPE_MISTAKES),
    "shots": (check.shots, right_shots, check.LAW_MISTAKES),
    "won": (check.won, right_won, check.WON_MISTAKES),
}
MISTAKES = [
    pytest.param(function, wrong, why, id=f"{name}-{i}")
    for name, (function, _, mistakes) in EXERCISES.items()
    for i, (wrong, why) in enumerate(mistakes)
]


def said(capsys):
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answer_passes(name, capsys):
    function, right, _ = EXERCISES[name]
    for _ in range(DRAWS):
        assert function(right) is True
        assert said(capsys).startswith("✓ ")


@pytest.mark.parametrize("function, wrong, why", MISTAKES)
def test_mistake_is_recognised(function, wrong, why, capsys):
    for _ in range(2):
        assert function(wrong) is False
        assert said(capsys) == f"✗ {why}"


@pytest.mark.parametrize("name", EXERCISES)
def test_unfilled_and_raising(name, capsys):
    function = EXERCISES[name][0]
    assert function(lambda *_: None) is None
    assert said(capsys) == "… not filled in yet"

    def stumble(*_):
        raise KeyError("oops")

    assert function(stumble) is False
    assert "KeyError" in said(capsys)
    assert function(lambda *_: "prototype") is False
    assert said(capsys).startswith("✗ ")


# ---- answers written from the exercises' text ------------------------------------------------------


def grown(features, mask, **how):
    return F.interpolate(features, size=mask.shape[-2:], **({"mode": "bilinear"} | how))


def pool_by_pixels(features, mask):
    rows = []
    for one, where in zip(grown(features, mask), mask):
        total, area = torch.zeros(len(one)), 1e-5
        for y, x in where.nonzero().tolist():
            total = total + one[:, y, x]
            area += 1
        rows.append(total / area)
    return torch.stack(rows)


def pool_in_place(features, mask):
    large = grown(features, mask)
    large *= mask[:, None]
    area = mask.sum((1, 2), keepdim=True).add_(1e-5)
    return large.sum((2, 3)).div_(area[:, :, 0])


def pool_by_selection(features, mask):
    large = grown(features, mask)
    return torch.stack(
        [
            one[:, where > 0].mean(1) if where.any() else torch.zeros(len(one)) * one.sum()
            for one, where in zip(large, mask)
        ]
    )


def pool_by_matrices(features, mask):
    rows = interpolation_matrix(features.shape[2], mask.shape[1], mask)
    columns = interpolation_matrix(features.shape[3], mask.shape[2], mask)
    sums = torch.einsum("nchw,Hh,Ww,nHW->nc", features, rows, columns, mask)
    return sums / mask.sum((1, 2)).clamp(min=1)[:, None]


def pool_of_doubles(features, mask):
    features, mask = features.double(), mask.double()
    return (grown(features, mask) * mask[:, None]).sum((2, 3)) / (mask.sum((1, 2))[:, None] + 1e-5)


def prototypes_by_loop(features, labels):
    B, W, K = labels.shape[:3]
    result = torch.zeros(B, W + 1, features.shape[3])
    for b, c, k in itertools.product(range(B), range(W), range(K)):
        one = features[b, c, k][None]
        for row, mask, share in ((0, labels[b, c, k] == 0, W * K), (c + 1, labels[b, c, k] == c + 1, K)):
            result[b, row] = result[b, row] + pool_in_place(one.clone(), mask[None].float())[0] / share
    return result


def prototypes_by_einsum(features, labels):
    B, W = labels.shape[:2]
    large = grown(features.flatten(0, 2), labels.flatten(0, 2)).unflatten(0, labels.shape[:3])
    masks = F.one_hot(torch.where(labels > W, W + 1, labels).long(), W + 2).to(large)  # 255 to the last
    sums = torch.einsum("bwkcyx,bwkyxj->bwkjc", large, masks)
    means = sums / (masks.sum((3, 4))[..., None] + 1e-5)
    classes = torch.stack([means[:, w, :, w + 1].mean(1) for w in range(W)], 1)
    return torch.cat([means[:, :, :, 0].mean((1, 2))[:, None], classes], 1)


def every_subset(vectors, shots):
    sets = itertools.combinations(range(len(vectors)), shots)
    centre = vectors.double().mean(0)
    return torch.stack([(vectors.double()[list(s)].mean(0) - centre).square().sum() for s in sets]).mean()


def shots_in_numpy(vectors, shots):
    spread = vectors.numpy().astype(float).var(axis=0, ddof=1).sum()
    return float(spread * (len(vectors) - shots) / (len(vectors) * shots))


def won_by_loop(features, cells, prototypes):
    counts = [0] * len(prototypes)
    for y, x in cells.nonzero().tolist():
        scores = [float(F.cosine_similarity(features[:, y, x], p, dim=0)) for p in prototypes]
        counts[scores.index(max(scores))] += 1
    return counts


def won_in_numpy(features, cells, prototypes):
    vectors = features.numpy()[:, cells.numpy()].T.astype(float)
    stars = prototypes.numpy().astype(float)
    cosines = (vectors / np.linalg.norm(vectors, axis=1)[:, None]) @ (
        stars / np.linalg.norm(stars, axis=1)[:, None]
    ).T
    return np.bincount(cosines.argmax(1), minlength=len(stars))


def won_by_comparison(features, cells, prototypes):
    cosines = torch.einsum("chw,jc->jhw", F.normalize(features, dim=0), F.normalize(prototypes, dim=1))
    return ((cosines == cosines.max(0).values) & cells).sum((1, 2))


def gradient_by_jacobian(mask, size):
    def loss(small):
        return (grown(small[None, None], mask)[0, 0] * mask).sum()

    return torch.autograd.functional.jacobian(loss, torch.randn(size))


def gradient_by_vjp(mask, size):
    _, back = torch.func.vjp(lambda small: grown(small[None, None], mask)[0, 0], torch.ones(size))
    return back(mask)[0]


def gradient_of_doubles(mask, size):
    small = torch.randn(1, 1, *size, dtype=torch.float64, requires_grad=True)
    large = grown(small, mask, align_corners=False)
    (slope,) = torch.autograd.grad(large, small, grad_outputs=mask[None, None].double())
    return slope.squeeze()


def gradient_of_a_leaf_of_two(mask, size):
    small = torch.randn(*size).requires_grad_()
    grown(small.view(1, 1, *size), mask).mul(mask).sum().backward()
    return small.grad


def nearest_by_loop(mask, factor):
    h, w = (n // factor for n in mask.shape)
    result = torch.zeros(h, w)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            result[y // factor, x // factor] += mask[y, x]
    return result


RIGHT = {
    check.pool: [pool_by_pixels, pool_in_place, pool_by_selection, pool_by_matrices, pool_of_doubles],
    check.prototypes: [prototypes_by_loop, prototypes_by_einsum],
    check.nearest_adjoint: [
        nearest_by_loop,
        lambda m, s: F.conv2d(m[None, None], torch.ones(1, 1, s, s), stride=s)[0, 0],
        lambda m, s: m.double().unfold(0, s, s).unfold(1, s, s).sum((-2, -1)),
    ],
    check.gradient: [gradient_by_jacobian, gradient_by_vjp, gradient_of_doubles, gradient_of_a_leaf_of_two],
    check.shots: [
        every_subset,
        shots_in_numpy,
        lambda v, k: ((v - v.mean(0)) ** 2).sum() / (len(v) - 1) * (1 / k - 1 / len(v)),
    ],
    check.won: [won_by_loop, won_in_numpy, won_by_comparison],
}
VARIANTS = [
    pytest.param(function, right, id=f"{function.__name__}-{i}")
    for function, many in RIGHT.items()
    for i, right in enumerate(many)
]


@pytest.mark.parametrize("function, right", VARIANTS)
def test_no_right_variant_is_refused(function, right, capsys):
    for _ in range(6):
        assert function(right) is True, capsys.readouterr().out
        said(capsys)


def means_of(f, y, where, eps=1e-5):
    """(W, K, C, H, W') under masks (W, K, H, W'): (W, K, C)."""
    mask = where[:, :, None].float()
    return (f * mask).sum((3, 4)) / (mask.sum((3, 4)) + eps)


def mine(y):
    return torch.stack([y[w] == w + 1 for w in range(len(y))])


def of_episodes(background, classes):
    """Prototypes from two functions of (features, labels) at one resolution."""

    def both(features, labels):
        rows = []
        for f, y in zip(features, labels):
            f = grown(f.flatten(0, 1), y).unflatten(0, y.shape[:2])
            rows.append(torch.cat([background(f, y)[None], classes(f, y)]))
        return torch.stack(rows)

    return both


def bg(f, y):
    return means_of(f, y, y == 0).mean((0, 1))


def cl(f, y):
    return means_of(f, y, mine(y)).mean(1)


def nan_where_empty(features, mask):
    return (grown(features, mask) * mask[:, None]).sum((2, 3)) / mask.sum((1, 2))[:, None]


def detached(features, mask):
    return right_pool(features.detach(), mask)


def pool_in_numpy(features, mask):
    large = grown(features, mask).numpy()
    sums = (large * mask.numpy()[:, None]).sum((2, 3))
    return torch.from_numpy(sums / (mask.numpy().sum((1, 2))[:, None] + 1e-5))


def thresholded(features, mask):
    small = F.interpolate(mask[:, None], features.shape[-2:], mode="bilinear") > 0.5
    return (features * small).sum((2, 3)) / (small.sum((2, 3)) + 1e-5)


def pooled_by_max(features, mask):
    small = F.adaptive_max_pool2d(mask[:, None], features.shape[-2:])
    return (features * small).sum((2, 3)) / (small.sum((2, 3)) + 1e-5)


WRONG = {
    check.pool: [
        masked_average_pool,
        lambda f, m: masked_average_pool(f, m),
        lambda f, m: support_prototypes(f[:, None, None], m[:, None, None].long())[:, 1],
        nan_where_empty,
        detached,
        pool_in_numpy,
        thresholded,
        pooled_by_max,
        lambda f, m: f.mean((2, 3)),
        lambda f, m: (f * m).sum((2, 3)) / m.sum(),
        lambda f, m: (grown(f, m) * m).sum((2, 3)) / m.sum((1, 2)),
        lambda f, m: (grown(f, m) * m[:, None]).mean((2, 3)),
        lambda f, m: (grown(f, m) * m[:, None]).sum((2, 3)),
        lambda f, m: (grown(f, m) * m[:, None]).sum((2, 3)) / (m.sum() + 1e-5),
        lambda f, m: right_pool(f, m).mean(0),
        lambda f, m: right_pool(f, 1 - m),
        lambda f, m: (f * adjoint_upsample(m, f.shape[-2:])[:, None]).mean((2, 3)),
        lambda f, m: (f * adjoint_upsample(m, f.shape[-2:])[:, None]).sum((2, 3)),
        lambda f, m: (grown(f, m, mode="nearest") * m[:, None]).sum((2, 3)) / (m.sum((1, 2))[:, None] + 1e-5),
        lambda f, m: (
            (grown(f, m, align_corners=True) * m[:, None]).sum((2, 3)) / (m.sum((1, 2))[:, None] + 1e-5)
        ),
        lambda f, m: (grown(f, m) * m[:, None]).amax((2, 3)),
        lambda f, m: right_pool(f, m) * m.sum((1, 2))[:, None] / m[0].numel(),
        lambda f, m: right_pool(f, m) + 0.01,
        lambda f, m: (grown(f, m) * m[:, None]).sum((2, 3)) / (m.sum((1, 2))[:, None] + 1),
    ],
    check.prototypes: [
        support_prototypes,
        lambda f, y: support_prototypes(f, y),
        lambda f, y: support_prototypes(f.detach(), y),
        lambda f, y: right_prototypes(f.detach(), y),
        lambda f, y: right_prototypes(f, y)[:, 1:],
        lambda f, y: right_prototypes(f, y).roll(-1, 1),
        lambda f, y: right_prototypes(f, y)[0],
        lambda f, y: right_prototypes(f[:1], y[:1]),
        of_episodes(lambda f, y: means_of(f, y, y == 0, 0).mean((0, 1)), cl),
        of_episodes(bg, lambda f, y: means_of(f, y, mine(y), 0).mean(1)),
        of_episodes(
            lambda f, y: means_of(f, y, y == 0, 0).mean((0, 1)),
            lambda f, y: means_of(f, y, mine(y), 0).mean(1),
        ),
        of_episodes(lambda f, y: means_of(f, y, y == 0, 0).nanmean((0, 1)), cl),
        of_episodes(bg, lambda f, y: means_of(f, y, mine(y), 0).nanmean(1)),
        of_episodes(lambda f, y: means_of(f, y, ~mine(y)).mean((0, 1)), cl),
        of_episodes(lambda f, y: means_of(f, y, (y == 0) | (y == VOID)).mean((0, 1)), cl),
        of_episodes(lambda f, y: means_of(f, y, y == 0)[0].mean(0), cl),
        of_episodes(lambda f, y: means_of(f, y, y == 0).sum((0, 1)), cl),
        of_episodes(bg, lambda f, y: means_of(f, y, mine(y)).sum(1)),
        of_episodes(bg, lambda f, y: means_of(f, y, mine(y))[:, 0]),
        of_episodes(bg, lambda f, y: means_of(f, y, y == 1).mean(1)),
        of_episodes(bg, lambda f, y: means_of(f, y, (y > 0) & (y < VOID)).mean(1)),
        of_episodes(
            bg, lambda f, y: torch.stack([means_of(f, y, y == w + 1).mean((0, 1)) for w in range(2)])
        ),
        of_episodes(
            bg,
            lambda f, y: (f * mine(y)[:, :, None]).sum((1, 3, 4)) / (mine(y).sum((1, 2, 3))[:, None] + 1e-5),
        ),
        of_episodes(lambda f, y: f.mean((0, 1, 3, 4)), cl),
        of_episodes(bg, lambda f, y: f.mean((1, 3, 4))),
    ],
    check.gradient: [
        adjoint_upsample,
        lambda m, s: adjoint_upsample(m, s),
        lambda m, s: (
            interpolation_matrix(s[0], m.shape[0], m).T @ m @ interpolation_matrix(s[1], m.shape[1], m)
        ),
        lambda m, s: F.interpolate(m[None, None], s, mode="bilinear")[0, 0],
        lambda m, s: F.adaptive_avg_pool2d(m[None], s)[0],
        lambda m, s: F.adaptive_avg_pool2d(m[None], s)[0] * m.numel() / (s[0] * s[1]),
        lambda m, s: right_gradient(torch.ones_like(m), s),
        lambda m, s: right_gradient(m, s) / m.numel(),
        lambda m, s: right_gradient(m, s) / m.sum(),
        lambda m, s: right_gradient(m, s)[None, None],
        lambda m, s: torch.zeros(s),
        lambda m, s: right_gradient(m, s).T,
        lambda m, s: 2 * right_gradient(m, s),
        lambda m, s: torch.autograd.grad(
            grown(small := torch.zeros(1, 1, *s, requires_grad=True), m, align_corners=True),
            small,
            m[None, None],
        )[0][0, 0],
        lambda m, s: torch.autograd.grad(
            grown(small := torch.zeros(1, 1, *s, requires_grad=True), m, mode="nearest"), small, m[None, None]
        )[0][0, 0],
        lambda m, s: torch.autograd.grad(
            (grown(small := torch.ones(1, 1, *s, requires_grad=True), m) * m).mean(), small
        )[0][0, 0],
        lambda m, s: grown(torch.ones(1, 1, *s), m)[0, 0] * m,
    ],
    check.shots: [
        lambda v, k: v.var(0).sum() / k,
        lambda v, k: v.var(0).sum() * (1 / k - 1 / len(v)) ** 0.5,
        lambda v, k: (v.var(0).sum() * (1 / k - 1 / len(v))) ** 0.5,
        lambda v, k: v.var(0, unbiased=False).sum() * (1 / k - 1 / len(v)),
        lambda v, k: v.var(0) * (1 / k - 1 / len(v)),
        lambda v, k: v.var(0).mean() * (1 / k - 1 / len(v)),
        lambda v, k: v.var() * (1 / k - 1 / len(v)),
        lambda v, k: v.std(0).sum() * (1 / k - 1 / len(v)),
        lambda v, k: v.var(0).sum() * (1 / len(v) - 1 / k),
        lambda v, k: v.var(0).sum() * (1 / k + 1 / len(v)),
        lambda v, k: v.var(0).sum() * (1 / k - 1 / v.shape[1]),
        lambda v, k: v.var(0).sum() * (1 / k**0.5 - 1 / len(v) ** 0.5),
        lambda v, k: (v[:k].mean(0) - v.mean(0)).square().sum(),
        lambda v, k: v.var(1).sum() * (1 / k - 1 / len(v)),
        lambda v, k: v.var(0).sum(),
        lambda v, k: 1 / k - 1 / len(v),
        lambda v, k: v.square().sum() / (len(v) - 1) * (1 / k - 1 / len(v)),
    ],
    check.won: [
        lambda f, c, p: right_won(f, torch.ones_like(c), p),
        lambda f, c, p: right_won(f, ~c, p),
        lambda f, c, p: torch.bincount((p @ f.flatten(1)).argmax(0)[c.flatten()], minlength=len(p)),
        lambda f, c, p: torch.bincount(
            torch.cdist(f.flatten(1).T, p).argmin(1)[c.flatten()], minlength=len(p)
        ),
        lambda f, c, p: torch.bincount(
            F.cosine_similarity(f[None], p[:, :, None, None], dim=1).argmin(0)[c], minlength=len(p)
        ),
        lambda f, c, p: right_won(f, c, p) / c.sum(),
        lambda f, c, p: right_won(f, c, p).float() / right_won(f, c, p).sum() * 100,
        lambda f, c, p: torch.bincount(F.cosine_similarity(f[None], p[:, :, None, None], dim=1).argmax(0)[c]),
        lambda f, c, p: F.cosine_similarity(f[None], p[:, :, None, None], dim=1).argmax(0),
        lambda f, c, p: F.cosine_similarity(f[None], p[:, :, None, None], dim=1)[:, c].mean(1),
        lambda f, c, p: (F.cosine_similarity(f[None], p[:, :, None, None], dim=1)[:, c] > 0.5).sum(1),
        lambda f, c, p: right_won(f * c, torch.ones_like(c), p),
        lambda f, c, p: right_won(f, c, p)[1:],
        lambda f, c, p: right_won(f, c, p).sum(),
        lambda f, c, p: torch.tensor([c.sum()] * len(p)),
        lambda f, c, p: right_won(f, c, p).argmax(),
        lambda f, c, p: dict(enumerate(right_won(f, c, p).tolist())),
    ],
}
SLIPS = [
    pytest.param(function, wrong, id=f"{function.__name__}-{i}")
    for function, many in WRONG.items()
    for i, wrong in enumerate(many)
]


@pytest.mark.parametrize("function, wrong", SLIPS)
def test_no_wrong_answer_passes(function, wrong, capsys):
    for _ in range(10):
        assert function(wrong) is False
        said(capsys)


@pytest.mark.parametrize("function", WRONG, ids=lambda function: function.__name__)
def test_most_wrong_answers_are_named(function, capsys):
    assert len(WRONG[function]) >= 10
    lines = []
    for wrong in WRONG[function]:
        function(wrong)
        lines.append(said(capsys))
    vague = [line for line in lines if "the numbers are not" in line or "function raised" in line]
    assert len(vague) <= 0.2 * len(lines), vague


def test_pool_explains_unlike_sizes(capsys):
    assert check.pool(lambda f, m: (f * m[:, None]).sum((-2, -1)) / m.sum()) is False
    assert "upsample the features" in said(capsys)


@pytest.mark.parametrize(
    "function, answer, name",
    [
        (check.pool, masked_average_pool, "masked_average_pool"),
        (check.prototypes, support_prototypes, "support_prototypes"),
        (check.gradient, adjoint_upsample, "adjoint_upsample"),
    ],
)
def test_the_module_is_no_answer(function, answer, name, capsys):
    """Nor is it in a wrapping; and whoever watches a program's calls goes on to do so."""
    import sys

    calls = []

    def watch(frame, event, _):
        calls.append(event)

    sys.setprofile(watch)
    try:
        for wrapped in (answer, lambda *inputs: [answer][0](*inputs)):
            assert function(wrapped) is False
        assert sys.getprofile() is watch
    finally:
        sys.setprofile(None)
    assert all("made them" in line for line in capsys.readouterr().out.splitlines())
    assert check.calls(answer, (3, 3), answer) == name and check.calls(len, ((1, 2),), answer) == ""


def test_pool_asks_for_zeros_under_an_empty_mask(capsys):
    assert check.pool(nan_where_empty) is False
    assert "empty mask" in said(capsys)


@pytest.mark.parametrize(
    "function, answer",
    [(check.pool, detached), (check.prototypes, lambda f, y: right_prototypes(f.detach(), y))],
)
def test_gradients_must_pass(function, answer, capsys):
    with torch.no_grad():  # as in a chapter's cell
        assert function(answer) is False
        assert "no gradient passes" in said(capsys)
        assert function({check.pool: right_pool, check.prototypes: right_prototypes}[function]) is True


def test_wrong_shape_is_named(capsys):
    assert check.pool(lambda f, m: right_pool(f, m)[None]) is False
    assert "shape (2, 3)" in said(capsys)


@pytest.mark.parametrize("shots", [1, 2, 3, 5])
def test_the_law_is_the_mean_over_all_sets(shots):
    vectors = torch.randn(6, 3, dtype=torch.float64)
    assert torch.isclose(check.law(vectors, shots), every_subset(vectors, shots))


# ---- predictions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        ((1, 3), True, "11 / 11"),
        ([1.0, 3.0], True, "11 / 11"),
        (torch.tensor([1.0, 3.0]), True, "11 / 11"),
        (np.array([1, 3]), True, "11 / 11"),
        ((torch.tensor(1.0), 3), True, "11 / 11"),
        ((4, 1), False, "the class's"),
        ((3, 1), False, "changed places"),
        ((11, 33), False, "the sums"),
        ((0.69, 2.06), False, "all 16"),
        ((0.6875, 2.0625), False, "all 16"),
        ((2.2, 6.6), False, "by the 5"),
        ((1.94, 2.38), False, "all 16 positions"),
        ((1, 2.9), False, "add up the eleven"),
        ((1, 3, 0), False, "two numbers"),
        (1, False, "two numbers"),
        (2.0, False, "two numbers"),
        ("1, 3", False, "two numbers"),
        ([[1, 3]], False, "two numbers"),
        ((float("nan"), 3), False, "add up"),
        ((None, None), None, "not filled in yet"),
        ((1, ...), None, "not filled in yet"),
        (None, None, "not filled in yet"),
    ],
)
def test_pencil(answer, verdict, part, capsys):
    assert check.pencil(answer) is verdict
    assert part in said(capsys)


@pytest.mark.parametrize(
    "length, degrees, verdict, part",
    [
        (0.75, 0, True, "not turned"),
        (3 / 4, 0.0, True, "not turned"),
        ("0.75", "0", True, "not turned"),
        (torch.tensor(0.75), torch.tensor(0.02), True, "not turned"),
        (1, 0, False, "stays K = 4"),
        (3, 0, False, "Eq. 1 divides"),
        (0, 0, False, "adds a zero"),
        (0.25, 0, False, "three are left"),
        (0.5, 0, False, "four times 0.5"),
        (float("nan"), 0, False, "finite"),
        ("much", 0, False, "a number is wanted"),
        (0.75, 90, False, "keeps its direction"),
        (0.75, 41.4, False, "keeps its direction"),
        (0.75, 0.75, False, "keeps its direction"),
        (0.75, float("nan"), False, "finite"),
        (0.75, "none", False, "a number is wanted"),
        (0.75, None, None, "not filled in yet"),
        (None, 0, None, "not filled in yet"),
    ],
)
def test_empty_shot(length, degrees, verdict, part, capsys):
    assert check.empty_shot(length, degrees) is verdict
    assert part in said(capsys)


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        (4, True, "quarter"),
        (4.0, True, "quarter"),
        ("4", True, "quarter"),
        (2, False, "squared distance"),
        (1.41, False, "whole"),
        (0.25, False, "share"),
        (8, False, "eighth"),
        (16, False, "sixteenth"),
        (3, False, "which K"),
        (1, False, "which K"),
        (5, False, "which K"),
        (-4, False, "below 0"),
        (float("nan"), False, "finite"),
        ("two", False, "a number"),
        (None, None, "not filled in yet"),
    ],
)
def test_halve(answer, verdict, part, capsys):
    assert check.halve(answer) is verdict
    assert part in said(capsys)


def best_fool():
    mask = torch.ones(192, 192)
    mask[::8, ::8] = 0
    return mask


def small_fool():
    mask = torch.zeros(192, 192)
    mask[1:8, 1:8] = 1
    return mask


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        (best_fool(), True, "98.4%"),
        (best_fool().bool(), True, "98.4%"),
        (best_fool().numpy(), True, "98.4%"),
        (torch.ones(192, 192), False, "576 of the 576"),
        (small_fool(), False, "90 % is asked for"),
        (2 * best_fool(), False, "0 and 1 only"),
        (torch.ones(24, 24), False, "(24, 24)"),
        ("a mask", False, "str"),
        (None, None, "not filled in yet"),
        (..., None, "not filled in yet"),
    ],
)
def test_fool_nearest(answer, verdict, part, capsys):
    assert check.fool_nearest(answer) is verdict
    assert part in said(capsys)


def test_inputs_hold_what_the_mistakes_need():
    for _ in range(DRAWS):
        _, labels = check.episode_inputs()
        assert not (labels[:, 0, 0] == 0).any() and not (labels[:, 1, 1] == 2).any()
        assert {0, 1, 2, VOID} <= set(labels[0].unique().tolist())
        features, cells, prototypes = check.won_inputs()
        assert cells.any() and check.counts(features, cells, prototypes)[-1] == 0


def test_what_a_stranger_got_accepted(capsys):
    kept = {}

    def leaf(mask, size):
        z = kept.setdefault(tuple(size), torch.zeros(1, 1, *size, requires_grad=True))
        (check.up(z, mask.shape)[0, 0] * mask).sum().backward()
        return z.grad[0, 0]

    def mended(features, mask):
        large = check.up(features, mask.shape)
        return torch.nan_to_num((large * mask[:, None]).sum((-2, -1)) / mask.sum((-2, -1))[:, None])

    for function, wrong, says in (
        (check.gradient, leaf, "added up"),
        (check.pool, mended, "gradient holds NaN"),
    ):
        assert function(wrong) is False and says in said(capsys)
