"""The checks of chapter 2 know the right answer, and every wrong turn by its own sentence."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from panet_lite.backbones import BLOCKS, VGG16, vgg16
from panet_lite.check import chapter02 as check

DRAWS = 12


def verdict(capsys, function, answer):
    """What a check returns and says; always one line."""
    result = function(answer)
    (line,) = capsys.readouterr().out.splitlines()
    assert line[0] == {True: "✓", False: "✗", None: "…"}[result]
    return result, line[2:]


IMPLEMENTATIONS = [
    (check.looks_at, check.looks_at_reference, check.LOOKS_AT_MISTAKES),
    (check.finer, check.finer_reference, check.FINER_MISTAKES),
    (check.fold, check.fold_reference, check.FOLD_MISTAKES),
    (check.separation, check.area_under_curve, check.SEPARATION_MISTAKES),
]


@pytest.mark.parametrize("function, reference, mistakes", IMPLEMENTATIONS)
def test_implementations(function, reference, mistakes, capsys):
    for _ in range(DRAWS):
        assert verdict(capsys, function, reference)[0] is True
        for wrong, why in mistakes:
            assert verdict(capsys, function, wrong) == (False, why)


PREDICTIONS = [
    (check.side, 41, [21, 40, 39, 11]),
    (check.half_width, 3_680_160, [7_357_344, 1_839_336, 919_668]),
]


@pytest.mark.parametrize("function, right, slips", PREDICTIONS)
def test_predictions(function, right, slips, capsys):
    assert verdict(capsys, function, right)[0] is True
    sentences = [verdict(capsys, function, slip) for slip in slips]
    other = verdict(capsys, function, 5)
    assert other[0] is False and other[1]
    assert all(passed is False for passed, _ in sentences)
    assert len({why for _, why in [*sentences, other]}) == len(slips) + 1


def test_half_width_wants_one_per_cent(capsys):
    assert verdict(capsys, check.half_width, 14_714_688 / 4)[0] is True
    assert verdict(capsys, check.half_width, 3_500_000)[0] is False


@pytest.mark.parametrize("function", [check.side, check.half_width])
@pytest.mark.parametrize("odd", ["many", [1, 2], float("nan"), float("inf"), torch.ones(3)])
def test_odd_predictions_become_a_sentence(function, odd, capsys):
    assert verdict(capsys, function, odd)[0] is False


FUNCTIONS = [
    check.convolution, check.looks_at, check.finer, check.fold, check.separation, check.backbone
]  # fmt: skip


@pytest.mark.parametrize("function", [check.side, check.half_width, *FUNCTIONS])
def test_unfilled(function, capsys):
    stub = None if function in (check.side, check.half_width) else lambda *inputs: ...
    assert verdict(capsys, function, stub) == (None, "not filled in yet")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_answer_that_raises_becomes_a_sentence(function, capsys):
    passed, line = verdict(capsys, function, lambda *inputs: 1 / 0)
    assert passed is False and "ZeroDivisionError" in line


def build(width, last_stride=1, dilation=2, padding=2, pool=3, last=False, bias=True, tail=None):
    """A backbone with anything one may get wrong."""
    layers, channels = [], 3
    for block, widths in enumerate(BLOCKS):
        for out in widths:
            d, p = (dilation, padding) if block == 4 else (1, 1)
            out = int(out * width)
            layers += [nn.Conv2d(channels, out, 3, padding=p, dilation=d, bias=bias), nn.ReLU()]
            channels = out
        if block < 4:
            layers.append(nn.MaxPool2d(pool, 2 if block < 3 else last_stride, padding=pool // 3))
    layers = layers if last else layers[:-1]
    return nn.Sequential(*layers, *([tail] if tail else []))


@pytest.mark.parametrize(
    "wrong, word",
    [
        (dict(last_stride=2, padding=1, last=True), "maxpool4"),
        (dict(last_stride=2), "one pool halves too many"),
        (dict(tail=nn.MaxPool2d(2)), "maxpool5 is gone"),
        (dict(padding=1), "wants padding 2"),
        (dict(padding=1, last=True), "wants padding 2"),
        (dict(pool=2), "kernel 3"),
        (dict(last=True), "no feature is negative"),
        (dict(dilation=1, padding=1), "dilation is 2"),
        (dict(bias=False), "bias"),
        (dict(padding=4), "wanted"),
        (dict(tail=nn.Conv2d(32, 32, 1)), "13 convolutions"),
        (dict(tail=nn.Tanh()), "the values are not"),
        (dict(tail=nn.Bilinear(1, 1, 1)), "raised"),
    ],
)
def test_backbone_names_what_is_wrong(wrong, word, capsys):
    for _ in range(3):
        passed, line = verdict(capsys, check.backbone, lambda width: build(width, **wrong))
        assert passed is False and word in line, line


@pytest.mark.parametrize("right", [build, vgg16, VGG16])
def test_backbone_is_right(right, capsys):
    build = (lambda width: vgg16(width=width)) if right is vgg16 else right
    assert verdict(capsys, check.backbone, build)[0] is True


@pytest.mark.parametrize("odd", [3, "network", torch.ones(3), nn.Conv2d(3, 4, 3)])
def test_odd_backbones_become_a_sentence(odd, capsys):
    assert verdict(capsys, check.backbone, lambda width: odd)[0] is False


# ---- answers as somebody would write them who has read the exercise only ------------------------------


def each_draw(answers):
    return pytest.mark.parametrize("answer", answers, ids=[f"{i}" for i in range(len(answers))])


def refused(capsys, function, answer):
    for _ in range(DRAWS):
        assert verdict(capsys, function, answer)[0] is False


def passes(capsys, function, answer):
    for _ in range(DRAWS):
        assert verdict(capsys, function, answer)[0] is True


def convolve(
    image, kernel, bias, stride=1, padding=0, dilation=1, pad=F.pad, end=1, start=0, reach=None,
    total=lambda w: w.sum((1, 2, 3)), transposed=False,
):  # fmt: skip
    """By loops, with anything one may get wrong."""
    image = pad(image, [padding] * 4)
    k = kernel.shape[-1]
    reach = reach(k, dilation) if reach else dilation * (k - 1) + 1
    rows = range(start, image.shape[1] - reach + end, stride)
    columns = range(start, image.shape[2] - reach + end, stride)
    out = []
    for y in rows:
        line = []
        for x in columns:
            window = image[:, y : y + reach : dilation, x : x + reach : dilation]
            line.append(total(kernel * window) + bias)
        out.append(torch.stack(line, -1))
    found = torch.stack(out, -2)
    return found.mT if transposed else found


def convolve_in_numpy(image, kernel, bias, stride, padding, dilation):
    image = np.pad(image.numpy(), ((0, 0), (padding, padding), (padding, padding)))
    reach = dilation * (kernel.shape[-1] - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(image, (reach, reach), (1, 2))
    windows = windows[:, ::stride, ::stride, ::dilation, ::dilation]
    return np.einsum("cyxab,ocab->oyx", windows, kernel.numpy()) + bias.numpy()[:, None, None]


def convolve_by_unfold(image, kernel, bias, stride, padding, dilation):
    columns = F.unfold(image[None], kernel.shape[-1], dilation, padding, stride)[0]
    h = (image.shape[1] + 2 * padding - dilation * (kernel.shape[-1] - 1) - 1) // stride + 1
    return (kernel.flatten(1) @ columns + bias[:, None]).unflatten(1, (h, -1))


def convolve_in_place(image, kernel, bias, stride, padding, dilation):
    image, taps = F.pad(image, [padding] * 4).double(), range(kernel.shape[-1])
    h, w = ((n - dilation * taps[-1] - 1) // stride + 1 for n in image.shape[1:])
    out = torch.zeros(len(kernel), h, w, dtype=torch.float64)
    for a in taps:
        for b in taps:
            rows, columns = (
                slice(dilation * t, dilation * t + stride * (n - 1) + 1, stride) for t, n in ((a, h), (b, w))
            )
            out += torch.einsum("oc,cyx->oyx", kernel[:, :, a, b].double(), image[:, rows, columns])
    out += bias[:, None, None]
    return out


@each_draw([convolve, convolve_in_numpy, convolve_by_unfold, convolve_in_place])
def test_convolution_is_right(answer, capsys):
    passes(capsys, check.convolution, answer)


WRONG_CONVOLUTIONS = [
    lambda i, k, b, s, p, d: convolve(i, k, 0 * b, s, p, d),
    lambda i, k, b, s, p, d: convolve(i, k, b, 1, p, d),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, 0, d),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, 1),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, end=0),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, start=1),
    lambda i, k, b, s, p, d: convolve(i, k.flip(-1, -2), b, s, p, d),
    lambda i, k, b, s, p, d: convolve(i, k.mT, b, s, p, d),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, transposed=True),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, total=lambda w: w.mean((1, 2, 3))),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, total=lambda w: w[:, 0].sum((1, 2))),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, total=lambda w: w.sum((2, 3)).mean(1)),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, pad=lambda x, n: F.pad(x, n, mode="replicate")),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, pad=lambda x, n: F.pad(x, n, value=1.0)),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d, pad=lambda x, n: F.pad(x, n[:2])),
    lambda i, k, b, s, p, d: convolve(i, k, b * len(i), s, p, d),
    lambda i, k, b, s, p, d: convolve(i, k, b, d, p, s),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p * d, d),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d)[0],
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d)[None],
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d).sum(0),
    lambda i, k, b, s, p, d: convolve(i, k, b, s, p, d).relu(),
    lambda i, k, b, s, p, d: torch.full_like(convolve(i, k, b, s, p, d), float("nan")),
    lambda i, k, b, s, p, d: i,
    F.conv2d,
    lambda *inputs: F.conv2d(*inputs),
    lambda i, k, b, s, p, d: torch.conv2d(i, k, b, s, p, d),
]  # fmt: skip


@each_draw(WRONG_CONVOLUTIONS)
def test_convolution_is_wrong(answer, capsys):
    refused(capsys, check.convolution, answer)


@pytest.mark.parametrize("wrong, why", check.CONVOLUTION_MISTAKES)
def test_convolutions_mistakes_are_told(wrong, why, capsys, monkeypatch):
    """They are written with PyTorch's convolution, which a reader may not use."""
    monkeypatch.setattr(
        check.NoConvolution, "__torch_function__", lambda _, f, t, a=(), k=None: f(*a, **(k or {}))
    )
    for _ in range(DRAWS):
        assert verdict(capsys, check.convolution, wrong) == (False, why)


def test_convolution_tells_of_missing_positions(capsys):
    for _ in range(DRAWS):
        _, line = verdict(capsys, check.convolution, lambda *x: convolve(*x)[:, :-1, :-1])
        # without padding on the lower right side the last positions are missing, too
        assert "positions are missing" in line or "upper and left side only" in line
    assert "your own" not in line and "PyTorch's own" in verdict(capsys, check.convolution, F.conv2d)[1]


@each_draw([
    lambda i, layers: list(check.looks_at_reference(i, layers)),
    lambda i, layers: np.array(check.looks_at_reference(i, layers)),
    lambda i, layers: torch.tensor(check.looks_at_reference(i, layers)),
    lambda i, layers: tuple(map(float, check.looks_at_reference(i, layers))),
    lambda i, layers: tuple(np.int64(n) for n in check.looks_at_reference(i, layers)),
])  # fmt: skip
def test_looks_at_takes_any_pair(answer, capsys):
    passes(capsys, check.looks_at, answer)


def ends(change):
    return lambda i, layers: change(*check.looks_at_reference(i, layers))


@each_draw([
    ends(lambda a, b: (max(a, 0), b)), ends(lambda a, b: (abs(a), b)), ends(lambda a, b: (a, b + 1)),
    ends(lambda a, b: (a + 1, b)), ends(lambda a, b: (b, a)), ends(lambda a, b: b - a + 1),
    ends(lambda a, b: (a, b - a)), ends(lambda a, b: a), ends(lambda a, b: (a, b, 0)),
    ends(lambda a, b: ((a + b) / 2, (a + b) / 2)), ends(lambda a, b: "far"), ends(lambda a, b: {a, b}),
    lambda i, layers: check.looks_at_reference(i + 1, layers), lambda i, layers: (i, i),
    lambda i, layers: check.looks_at_reference(i, layers[1:]),
    lambda i, layers: check.looks_at_reference(i, layers[::-1]),
])  # fmt: skip
def test_looks_at_is_wrong(answer, capsys):
    refused(capsys, check.looks_at, answer)


def finer(layers, most, spread=1, own=0, keep=lambda total, most: total <= most):
    """Written anew: by the product of the strides before each layer."""
    result, total, gone = [], 1, 1
    for kernel, stride, padding, dilation in layers:
        total *= stride
        kept = keep(total, most)
        if own and not kept:
            gone *= stride
        result.append([kernel, stride if kept else 1, padding * gone, dilation * gone * spread])
        if not own and not kept:
            gone *= stride
    return result


def answers_by(network, signal, weights):
    for weight, (_, stride, padding, dilation) in zip(weights, network):
        signal = F.conv1d(signal, weight, None, stride, padding, dilation)
    return signal


def test_finer_keeps_every_feature():
    """The reference is right: random weights give the old features among the new ones."""
    for _ in range(DRAWS):
        layers, most = check.finer_inputs()
        weights = [torch.randn(1, 1, layer[0], dtype=torch.float64) for layer in layers]
        signal = torch.randn(1, 1, 400, dtype=torch.float64)
        new = check.finer_reference(layers, most)
        assert math.prod(layer[1] for layer in new) == most
        taken = math.prod(layer[1] for layer in layers) // most
        old, dense = (answers_by(network, signal, weights) for network in (layers, new))
        assert torch.allclose(dense[..., ::taken][..., : old.shape[-1]], old)


@each_draw([
    finer,
    lambda layers, most: tuple(map(tuple, finer(layers, most))),
    lambda layers, most: np.array(finer(layers, most)),
    lambda layers, most: torch.tensor(finer(layers, most)),
])  # fmt: skip
def test_finer_is_right(answer, capsys):
    passes(capsys, check.finer, answer)


def altered(change):
    return lambda layers, most: [change(*pair) for pair in zip(layers, finer(layers, most))]


@each_draw([
    lambda layers, most: layers,
    lambda layers, most: finer(layers, most, own=1),
    lambda layers, most: finer(layers, most, spread=2),
    lambda layers, most: finer(layers, most, keep=lambda total, most: total < most),
    lambda layers, most: finer(layers, most, keep=lambda total, most: False),
    lambda layers, most: finer(layers, most, keep=lambda total, most: True),
    altered(lambda old, new: (*new[:3], old[3])),
    altered(lambda old, new: (*new[:2], old[2], new[3])),
    altered(lambda old, new: (*new[:2], *old[2:])),
    altered(lambda old, new: (old[0], old[1], *new[2:])),
    altered(lambda old, new: (*new[:3], 2 if new[3] != old[3] else old[3])),
    altered(lambda old, new: (*new[:2], min(2, new[2]), min(2, new[3]))),
    altered(lambda old, new: (2 * new[0] - 1, *new[1:])),
    altered(lambda old, new: (*new[:2], new[3] * (old[0] - 1) // 2, new[3])),
    lambda layers, most: finer(layers, most)[:-1],
    lambda layers, most: finer(layers[::-1], most)[::-1],
    lambda layers, most: [layer[1:] for layer in finer(layers, most)],
    lambda layers, most: most,
    lambda layers, most: "dilate",
])  # fmt: skip
def test_finer_is_wrong(answer, capsys):
    refused(capsys, check.finer, answer)


def fold(weight, bias, mean, var, eps, gamma, beta):
    weight, bias = weight.clone(), bias.clone()
    scale = [g / math.sqrt(v + eps) for g, v in zip(gamma.tolist(), var.tolist())]
    for o, s in enumerate(scale):
        weight[o] *= s
        bias[o] = (bias[o] - mean[o]) * s + beta[o]
    return weight, bias


@each_draw([
    fold, lambda *x: list(fold(*x)), lambda *x: tuple(v.numpy() for v in fold(*x)),
    lambda *x: fold(*(v.double() if isinstance(v, torch.Tensor) else v for v in x)),
    torch.nn.utils.fusion.fuse_conv_bn_weights,
])  # fmt: skip
def test_fold_is_right(answer, capsys):
    passes(capsys, check.fold, answer)


@each_draw([
    lambda w, b, m, v, e, g, bt: fold(w, b, m, v, 0, g, bt),
    lambda w, b, m, v, e, g, bt: fold(w, b, m, v**2, e, g, bt),
    lambda w, b, m, v, e, g, bt: fold(w, b, m, v.sqrt(), e, g, bt),
    lambda w, b, m, v, e, g, bt: fold(w, b, -m, v, e, g, bt),
    lambda w, b, m, v, e, g, bt: fold(w, b, 0 * m, v, e, g, bt),
    lambda w, b, m, v, e, g, bt: fold(w, 0 * b, m, v, e, g, bt),
    lambda w, b, m, v, e, g, bt: fold(w, b, m, v, e, 0 * g + 1, bt),
    lambda w, b, m, v, e, g, bt: fold(w, b, m, v, e, g, 0 * bt),
    lambda w, b, m, v, e, g, bt: fold(w, b, m, v, e, bt, g),
    lambda w, b, m, v, e, g, bt: (w, fold(w.clone(), b, m, v, e, g, bt)[1]),
    lambda w, b, m, v, e, g, bt: (fold(w, b.clone(), m, v, e, g, bt)[0], b),
    lambda w, b, m, v, e, g, bt: (w * g / (v + e).sqrt(), b) if w.shape[-1] == 4 else (w, b),
    lambda *x: fold(*x)[0], lambda *x: fold(*x)[::-1],
])  # fmt: skip
def test_fold_is_wrong(answer, capsys):
    refused(capsys, check.fold, answer)


def pairwise(likeness, inside, outside):
    won = total = 0.0
    for v, a in zip(likeness.flatten().tolist(), inside.flatten().tolist()):
        for u, b in zip(likeness.flatten().tolist(), outside.flatten().tolist()):
            won += a * b * (1.0 if v > u else 0.5 if v == u else 0.0)
            total += a * b
    return won / total


def by_sorting(likeness, inside, outside):
    v, a, b = (np.asarray(x, dtype=np.float64).ravel() for x in (likeness, inside, outside))
    below = np.array([b[v < x].sum() + 0.5 * b[v == x].sum() for x in v])
    return (a * below).sum() / (a.sum() * b.sum())


@each_draw([
    pairwise, by_sorting,
    lambda *maps: torch.tensor(pairwise(*maps)), lambda *maps: torch.tensor(pairwise(*maps)).float(),
    lambda v, a, b: torch.einsum("i,j,ij->", a.flatten(), b.flatten(), (torch.sign(
        v.flatten()[:, None] - v.flatten()) + 1) / 2) / (a.sum() * b.sum()),
])  # fmt: skip
def test_separation_is_right(answer, capsys):
    passes(capsys, check.separation, answer)


@each_draw([
    lambda v, a, b: pairwise(v, b, a), lambda v, a, b: pairwise(-v, a, b), lambda v, a, b: pairwise(v, a, 1 - a),
    lambda v, a, b: pairwise(v, a.round(), b.round()), lambda v, a, b: pairwise(v, a > 0, b > 0),
    lambda v, a, b: pairwise(v, a, torch.ones_like(b)), lambda v, a, b: pairwise(v, torch.ones_like(a), b),
    lambda v, a, b: pairwise(v, a, a), lambda v, a, b: pairwise(v * a, a, b),
    lambda v, a, b: ((v * a).sum() / a.sum() > v * b).float().mean(),
    lambda v, a, b: (v * a).sum() / a.sum() - (v * b).sum() / b.sum(),
    lambda v, a, b: (v * a).sum() / a.sum(), lambda v, a, b: F.cosine_similarity(v.flatten(), a.flatten(), dim=0),
    lambda v, a, b: pairwise(v + 1e-3 * torch.arange(30.0).view(5, 6), a, b),
    lambda v, a, b: pairwise(v, a, b) * a.sum() * b.sum(), lambda v, a, b: 100 * pairwise(v, a, b),
    lambda v, a, b: 2 * pairwise(v, a, b) - 1, lambda v, a, b: pairwise(v.round(), a, b),
    lambda v, a, b: (v > 0.5).float().mean(), lambda v, a, b: 0.5, lambda v, a, b: float("nan"), lambda v, a, b: v,
])  # fmt: skip
def test_separation_is_wrong(answer, capsys):
    refused(capsys, check.separation, answer)


OVERTURNED = [
    ([1, -3], [0, -1], [1, 1]), (torch.tensor([1.0, -3]), np.array([-0.1, -1]), (1, 0.5)),
    ([2.0, -9], [-0.5, -5], [3, -1]),
]  # fmt: skip


@pytest.mark.parametrize("vectors", OVERTURNED)
def test_relu_is_right(vectors, capsys):
    assert verdict(capsys, lambda v: check.relu(*v), vectors)[0] is True


@pytest.mark.parametrize(
    "vectors, word",
    [
        (([1, 2], [2, 4], [3, 1]), "still wins"),  # nothing negative
        (([1, -3], [1, 1], [0, -1]), "must be nearer the mug"),  # prototypes swapped
        (([1, 1], [-1, -1], [1, 1]), "must be nearer the mug"),
        (([1, -3], [1, -3], [1, -3]), "must be nearer the mug"),  # a tie before
        (([-1, -3], [-1, -2], [1, 1]), "tie"),  # nothing is left of the feature
        (([1, -3], [0, -1], [0, -1]), "must be nearer"),
        (([1, -3], [0, -1], [-1, 1]), "tie"),
        (([1, -3], [1, -3], [1, 1]), "still wins"),
        (([1, -3], [2, -6], [0, 1]), "still wins"),
        (([3, -1], [1, 0], [-1, -3]), "still wins"),
        (([0, 0], [0, -1], [1, 1]), "not all of them zero"),
        (([1, -3], [0, -1], [1, 1, 1]), "two numbers each"),
        (([1, -3], [0, -1], 1), "three vectors"),
        (([1, -3], [0, float("nan")], [1, 1]), "three vectors"),
        (("1, -3", "0, -1", "1, 1"), "three vectors"),
        (([[1, -3]], [[0, -1]], [[1, 1]]), "three vectors"),
        (([float("inf"), -3], [0, -1], [1, 1]), "three vectors"),
    ],
)
def test_relu_is_wrong(vectors, word, capsys):
    passed, line = verdict(capsys, lambda v: check.relu(*v), vectors)
    assert passed is False and word in line, line


@pytest.mark.parametrize("vectors", [(None, None, None), ([1, -3], [0, -1], ...)])
def test_relu_is_unfilled(vectors, capsys):
    assert verdict(capsys, lambda v: check.relu(*v), vectors) == (None, "not filled in yet")


def test_a_forgotten_return(capsys):
    def forgotten(*inputs):
        inputs[0]

    for function in (check.convolution, check.backbone):
        assert function(forgotten) is False and "gives nothing back" in capsys.readouterr().out


def test_likeness_below_a_half_and_close_together(capsys):
    for wrong in (lambda *x: max(a := check.area_under_curve(*x), 1 - a),
                  lambda v, a, b: check.area_under_curve(v.round(decimals=1), a, b)):  # fmt: skip
        for _ in range(5):
            assert check.separation(wrong) is False


def test_a_backbone_of_one_width(capsys):
    assert check.backbone(lambda width: check.VGG16(check.WIDTH)) is False
    assert check.backbone(check.VGG16) is True
