"""Answers to the exercises of chapter 2, features."""

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import cycle
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..backbones import VGG16
from . import harness

Layer = tuple[int, int, int, int]  # kernel, stride, padding, dilation


# ---- a convolution by hand ---------------------------------------------------------------------


class NoConvolution(TorchFunctionMode):
    """While it lasts, PyTorch's own convolutions raise: the reader writes one."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call what is no convolution."""
        if "conv" in getattr(func, "__name__", ""):
            raise RuntimeError("this is PyTorch's own convolution; multiply and add the windows yourself")
        return func(*args, **(kwargs or {}))


def convolution_inputs() -> tuple[Any, ...]:
    """Image (C, H, W), kernel (O, C, k, k), bias (O,), and stride, padding and dilation that are all felt."""
    whole = harness.whole
    channels, out, k = whole(2, 3), whole(2, 4), whole(2, 3)
    image, stride = torch.randn(channels, whole(9, 10), whole(11, 13)), whole(2, 3)
    return image, torch.randn(out, channels, k, k), torch.randn(out), stride, whole(1, 2), 5 - stride


CONVOLUTION_MISTAKES = (
    (lambda i, k, b, s, p, d: F.conv2d(i, k, None, s, p, d),
     "bias is missing: each output channel adds its own number at every position"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b, 1, p, d), "stride is missing: the window moves `stride` pixels at a time"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b, s, 0, d), "padding is missing: surround the image with zeros first"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b, s, p, 1),
     "dilation is missing: neighbouring taps lie `dilation` pixels apart"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k.flip(-1, -2), b, s, p, d),
     "the kernel is turned round: networks do not flip it, tap (0, 0) lies on the window's upper left pixel"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k.mT, b, s, p, d),
     "rows and columns are swapped: kernel[o, c, y, x] has y downwards, as the image has"),
    (lambda i, k, b, s, p, d: F.conv2d(F.pad(i, [p] * 4, mode="replicate"), k, b, s, 0, d),
     "the border is repeated: padding is zeros here"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k / k[0].numel(), b, s, p, d),
     "that is the mean over the window: a convolution adds up"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k / k.shape[1], b, s, p, d),
     "that is the mean over the channels: a convolution adds them up"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b * k.shape[1], s, p, d),
     "bias is added once for each input channel: it belongs to the sum, once"),
    (lambda i, k, b, s, p, d: F.conv2d(i[:1], k[:, :1], b, s, p, d),
     "only the first channel is used: the sum runs over all of them"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b, s, p, d).mT,
     "the result is transposed: rows first, then columns"),
    (lambda i, k, b, s, p, d: F.conv2d(F.pad(i, [p, 0, p, 0]), k, b, s, 0, d),
     "zeros stand on the upper and left side only: padding surrounds the image"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b, d, p, s), "stride and dilation are swapped"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, -b, s, p, d), "bias is taken off: it is added"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b.sum().expand_as(b), s, p, d), "all biases are added to each channel: each has its own"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b[:1].expand_as(b), s, p, d), "the first bias is used for all channels: each has its own"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b * k[0].numel(), s, p, d), "bias is added once for each product: it belongs to the sum, once"),
    (lambda i, k, b, s, p, d: F.conv2d(F.pad(i, [p] * 4, value=1.0), k, b, s, 0, d), "the image is surrounded by ones: padding is zeros here"),
    (lambda i, k, b, s, p, d: F.conv2d(F.pad(i, [p] * 4, mode="reflect"), k, b, s, 0, d), "the border is mirrored: padding is zeros here"),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b, s, p, (d, 1))[..., : F.conv2d(i, k, b, s, p, d).shape[-1]],
     "dilation is missing along the columns: neighbouring taps lie `dilation` pixels apart both ways"),
    *((lambda i, k, b, s, p, d, n=n: F.conv2d(i, k, b, s, p, d)[:1].expand(n or len(k), -1, -1),
       "only the first filter is used: each output channel has its own") for n in (0, 1)),
    (lambda i, k, b, s, p, d: F.conv2d(i, k, b, s, p, d)[None], "an axis of a batch too many: (O, h, w) is wanted"),
)  # fmt: skip


def convolution_shape(values: list[Any], truths: list[Tensor]) -> str:
    """What a wrong size tells: positions are missing at the end, or one is too many."""
    sides: list[tuple[Any, Any]] = [
        (getattr(v, "shape", ())[-2:], t.shape[-2:]) for v, t in zip(values, truths)
    ]
    wrong = [(a[0] - b[0], a[1] - b[1]) for a, b in sides if len(a) == 2 and tuple(a) != tuple(b)]
    if wrong and all(max(pair) <= 0 for pair in wrong):
        return "positions are missing: the last window may end on the very last pixel (of the padding)"
    if wrong or any(len(a) != 2 for a, _ in sides):
        return harness.unexplained(values, truths)
    if not all(torch.as_tensor(v).isfinite().all() for v in values):
        return "the sizes are right, but some numbers are NaN or infinite"
    if all(torch.as_tensor(v).min() >= 0 for v in values):
        return "nothing is negative: a convolution keeps its signs, a ReLU would be another layer"
    last = "the sizes are right, the sums are not: check one window by hand, zeros outside, tap by tap"
    return harness.unexplained(values, truths, last)


def convolution(answer: harness.Answer) -> bool | None:
    """ex-02-convolution: one convolution with bias, stride, padding and dilation, written by the reader."""

    @wraps(answer)
    def guarded(*inputs: Any) -> Any:
        with NoConvolution():
            return answer(*inputs)

    return harness.implementation(
        guarded,
        F.conv2d,
        convolution_inputs,
        "right: windows, products, one sum and a bias; PyTorch's conv2d gives the same numbers",
        CONVOLUTION_MISTAKES,
        otherwise=convolution_shape,
    )


# ---- sizes and receptive fields ----------------------------------------------------------------


SIDE_SLIPS: list[tuple[float, str]] = [
    (21, "21 is what a fourth pool of stride 2 would leave: maxpool4 has stride 1 here"),
    (40, "321 / 8 rounded down is 40, but a pool with kernel 3 and padding 1 rounds its halves up"),
    (39, "39 is what pools with kernel 2 and no padding leave: ours have kernel 3 and padding 1"),
    (11, "11 is the side behind five halvings: maxpool4 has stride 1, and maxpool5 is gone"),
    (161, "161 is the side behind the first pool: the next two have stride 2 as well"),
    (81, "81 is the side behind the second pool: the third has stride 2 as well"),
    (321, "321 is the image's own side, and the convolutions keep it: the first three pools halve it"),
    (42, "42 is one too many: a pool makes floor((side - 1) / 2) + 1 of a side"),
    *((n, f"{n} comes of halves rounded down: a pool with kernel 3 and padding 1 rounds them up") for n in (160, 80)),
    *((n, f"{n} comes of halves rounded down, and of a fourth pool that halves: maxpool4 has stride 1") for n in (20, 10)),
    *((n, "a side is a whole number of positions: round after each pool, as the formula does")
      for n in (321 / 8, 40.1, 41.5, 321 / 16)),
    (41 * 41, "that is the number of positions: the side is asked for"),
]  # fmt: skip


def side(answer: object) -> bool | None:
    """ex-02-side: the side of the feature map of a 321 x 321 image."""
    return harness.number(
        answer,
        VGG16(width=1 / 64)(torch.zeros(1, 3, 321, 321)).shape[-1],
        0,
        "right: 321 -> 161 -> 81 -> 41, and the fourth pool keeps 41",
        "not yet: put 321 through the formula once for each pool with stride 2; what else changes the size?",
        SIDE_SLIPS,
    )


def looks_at_reference(index: int, layers: Sequence[Layer]) -> tuple[int, int]:
    """First and last input position that output `index` of the layers depends on."""
    first = last = index
    for kernel, stride, padding, dilation in reversed(layers):
        first = first * stride - padding
        last = last * stride - padding + dilation * (kernel - 1)
    return first, last


def looks_at_inputs(low: int, high: int) -> tuple[int, tuple[Layer, ...]]:
    """The number of a feature, low..high, and three to five layers in which each known mistake shows."""
    whole = harness.whole
    layers = tuple((whole(2, 5), whole(2, 3), whole(1, 4), whole(2, 3)) for _ in range(whole(3, 5)))
    return whole(low, high), layers


def changed(change: Callable[[Layer], Layer]) -> harness.Answer:
    """The reference on layers that were read wrongly."""
    return lambda index, layers: looks_at_reference(index, tuple(change(layer) for layer in layers))


def padded_once(index: int, layers: Sequence[Layer]) -> tuple[int, int]:
    """Mistake: the sum of all paddings is taken off behind the walk."""
    first, last = looks_at_reference(index, [(k, s, 0, d) for k, s, _, d in layers])
    padding = sum(layer[2] for layer in layers)
    return first - padding, last - padding


LOOKS_AT_MISTAKES = (
    (lambda index, layers: looks_at_reference(index, layers[::-1]),
     "you walk from the image to the feature; the index belongs to the last layer, so start there"),
    (changed(lambda x: (x[0], x[1], 0, x[3])), "padding shifts the window: position 0 begins at -padding"),
    (changed(lambda x: (*x[:3], 1)), "dilation is missing: the last tap sits dilation * (kernel - 1) later"),
    (changed(lambda x: (x[0] + 1, *x[1:])),
     "one tap too many: from the first to the last of `kernel` taps there are kernel - 1 steps"),
    (changed(lambda x: (x[0], 1, *x[2:])),
     "stride is missing: output i begins at input i * stride - padding"),
    (lambda *x: 1 + looks_at_reference(*x)[1] - looks_at_reference(*x)[0],
     "that is the size of the receptive field; wanted are its two ends, (first, last)"),
    (lambda *x: (max(looks_at_reference(*x)[0], 0), looks_at_reference(*x)[1]),
     "first is cut off at 0: positions may be negative, they lie in the padding"),
    (lambda *x: looks_at_reference(*x)[::-1], "the ends are swapped: (first, last)"),
    (lambda *x: (looks_at_reference(*x)[0], looks_at_reference(*x)[1] + 1),
     "one too far: `last` is a position that the feature sees, not the first that it does not see"),
    (changed(lambda x: (x[0], x[2], x[1], x[3])),
     "stride and padding have changed places: a layer is (kernel, stride, padding, dilation)"),
    (lambda index, layers: looks_at_reference(index, layers[-1:]),
     "only the last layer was walked through: does `return` stand inside the loop?"),
    (lambda index, layers: looks_at_reference(index, layers[:-1]), "the last layer is left out: the walk begins in it"),
    (lambda index, layers: looks_at_reference(index, layers[1:]), "the first layer is left out: the walk ends in front of it"),
    (changed(lambda x: (x[0], x[1], x[2] * x[3], x[3])), "padding is multiplied by dilation: it counts pixels as it is"),
    (padded_once, "padding is taken off at the end: each layer's counts pixels of that layer's own input, so take it off within the walk"),
    (changed(lambda x: (x[0], x[1], -x[2], x[3])), "padding has the wrong sign: zeros in front move everything back"),
)  # fmt: skip


def which_end(values: list[Any], truths: list[Any]) -> str:
    """Which of the two ends of a wrong answer is wrong, or that there are no two."""
    found = [harness.read(lambda v: torch.as_tensor(v).double(), value) for value in values]
    if any(v is None or v.shape != (2,) for v in found):
        return f"two numbers are wanted, (first, last), not {values[0]!r}"
    first, last = (all(v[k] == truth[k] for v, truth in zip(found, truths) if v is not None) for k in (0, 1))
    if first or last:
        right, wrong = ("first", "last") if first else ("last", "first")
        return f"{right} is right, {wrong} is not: the first tap lies on i * stride - padding, the last dilation * (kernel - 1) on"
    return (
        f"neither end is right: where {truths[0]} is wanted yours is {tuple(values[0])}; do one layer by hand"
    )


def which_column(values: list[Any], truths: list[Any]) -> str:
    """Which of a layer's four numbers is wrong in a wrong answer, or that the answer has no such numbers."""
    right = [torch.as_tensor(truth) for truth in truths]
    mine = [v for v in (harness.read(torch.as_tensor, value) for value in values) if v is not None]
    if [v.shape for v in mine] != [v.shape for v in right]:
        return "as many layers as were given are wanted, each (kernel, stride, padding, dilation)"
    apart = torch.cat([(a != b).any(0, keepdim=True) for a, b in zip(mine, right)]).any(0)  # (4,)
    wrong = [name for name, odd in zip(("kernel", "stride", "padding", "dilation"), apart) if odd]
    why = {
        "kernel": "kernels must stay, and the layers in their order, from the first: the weights would not fit",
        "stride": "a stride stays while the product so far is at most `most`, else it becomes 1",
        "padding": "padding grows by what was taken out before the layer, as dilation does",
        "dilation": "dilation grows by what was taken out before the layer",
    }
    return f"wrong: {', '.join(wrong)}; {why[wrong[0]]}"


def whole_numbers(mine: Any, truth: Any) -> bool:
    """Whether an answer, in tuples, lists, arrays or tensors, holds the reference's whole numbers."""
    return harness.equal(harness.read(torch.as_tensor, mine), torch.as_tensor(truth), 0)


def looks_at(answer: harness.Answer) -> bool | None:
    """ex-02-looks-at: the first and last input position behind one feature, at the border and inside."""
    ranges = cycle([(0, 1), (5, 20)])
    return harness.implementation(
        answer,
        looks_at_reference,
        lambda: looks_at_inputs(*next(ranges)),
        "right: one walk from the feature back to the image, two numbers carried along",
        LOOKS_AT_MISTAKES,
        trials=6,
        same=whole_numbers,
        otherwise=which_end,
    )


# ---- why weights survive -----------------------------------------------------------------------


def finer_reference(
    layers: Sequence[Layer], most: int, itself: bool = False, padded: bool = True, below: bool = False
) -> tuple[Layer, ...]:
    """The layers at a step of `most` pixels at most, each feature of the old ones among the new ones'.

    itself, padded, below: known mistakes.
    """
    result, step, taken = [], 1, 1
    for kernel, stride, padding, dilation in layers:
        keep = step * stride < most if below else step * stride <= most
        spread = taken if keep or not itself else taken * stride
        result.append((kernel, stride if keep else 1, padding * (spread if padded else 1), dilation * spread))
        step, taken = (step * stride, taken) if keep else (step, taken * stride)
    return tuple(result)


def finer_inputs(kept: int = 2) -> tuple[tuple[Layer, ...], int]:
    """Layers with strides 2 and 1 in turn, and the step that keeps the first `kept` strides, all but two."""
    whole = harness.whole
    strides = [2, 1] * (kept + 2)
    layers = [(whole(2, 4), stride, whole(1, 2), whole(1, 2)) for stride in strides]
    return (*layers[:-1], (*layers[-1][:3], whole(2, 3))), 2**kept


def respread(change: Callable[[Layer, Layer], Layer]) -> harness.Answer:
    """The reference's layers, changed where they differ from the old ones, which are given first."""
    return lambda layers, most: tuple(map(change, layers, finer_reference(layers, most)))


def finer_from_the_front(layers: Sequence[Layer], most: int) -> tuple[Layer, ...]:
    """Mistake: the first strides are taken out, until the step is small enough."""
    total, result, taken = 1, [], 1
    for layer in layers:
        total *= layer[1]
    for kernel, stride, padding, dilation in layers:
        gone = stride if total > most else 1
        total //= gone
        result.append((kernel, stride // gone, padding * taken, dilation * taken))
        taken *= gone
    return tuple(result)


FINER_MISTAKES = (
    (lambda layers, most: layers, "nothing has changed: where the step would grow beyond `most`, the stride becomes 1"),
    (lambda layers, most: finer_reference(layers, most, itself=True),
     "a layer that loses its stride is dilated too: its own neighbours lie where they lay, only later layers spread"),
    (lambda layers, most: finer_reference(layers, most, padded=False),
     "padding stays behind: where the taps lie further apart, the zeros must reach further, too"),
    (lambda layers, most: finer_reference(layers, most, below=True),
     "a step of exactly `most` is allowed: one stride too many is gone"),
    (respread(lambda old, new: (*new[:2], *old[2:])), "nothing is dilated: later layers would look at nearer neighbours"),
    (respread(lambda old, new: (*old[:2], *new[2:])),
     "the strides are still there: set them to 1 where the step would grow beyond `most`"),
    (respread(lambda old, new: (*new[:3], old[3])), "only padding has grown: dilation must, too"),
    (respread(lambda old, new: (*new[:3], new[3] // old[3])),
     "a layer's own dilation gets lost: multiply it, do not replace it"),
    (respread(lambda old, new: (*new[:2], old[2] * min(2, new[3] // old[3]), old[3] * min(2, new[3] // old[3]))),
     "the second stride that is taken out doubles the distances again: 2, then 4"),
    (lambda layers, most: finer_reference(layers, 1), "every stride is gone: those within `most` stay"),
    (finer_from_the_front, "the first strides are gone: keep strides from the first layer on, as long as `most` allows"),
)  # fmt: skip


def finer(answer: harness.Answer) -> bool | None:
    """ex-02-finer: strides taken out of a network, and dilation in their place, so that its weights survive."""
    kept = cycle([1, 2])
    return harness.implementation(
        answer,
        finer_reference,
        lambda: finer_inputs(next(kept)),
        "right: every old feature is among the new ones, so the weights find what they were trained on",
        FINER_MISTAKES,
        same=whole_numbers,
        otherwise=which_column,
    )


# ---- parameters and BatchNorm ------------------------------------------------------------------


def half_width(answer: object) -> bool | None:
    """ex-02-half-width: the number of parameters at width 0.5, to within one per cent."""
    right = sum(p.numel() for p in VGG16(width=0.5).parameters())
    mine = harness.read(float, answer) or 0.0
    return harness.number(
        answer,
        right,
        right * 0.01,
        f"right: {right:,}, a quarter and a little: a kernel has inputs and outputs, and both are halved",
        f"that is {mine / 14_714_688:.3g} of the parameters at width 1: a kernel has in x out x 9 weights; which of the "
        "three factors depend on the width?",
        [
            (14_714_688 / 2, "half is what the biases do; a kernel has in x out channels, and both shrink"),
            (14_714_688 / 8, "an eighth is too few: the 3 x 3 window does not shrink, only the channels do"),
            (14_714_688 / 16, "a sixteenth is width 0.25"),
            (
                0,
                "the parameters are counted one by one, about 14.7 million at width 1: no share, and no number of millions",
            ),
        ],
    )


def fold_reference(
    weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float, gamma: Tensor, beta: Tensor
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that equals a convolution and its BatchNorm."""
    scale = gamma / (var + eps).sqrt()
    return weight * scale.view(-1, 1, 1, 1), (bias - mean) * scale + beta


def fold_inputs() -> tuple[Any, ...]:
    """Weight (4, 4, 3, 3), bias, mean and variance (4,), an eps that is felt, gamma and beta (4,)."""
    bias, mean, gamma, beta = (torch.randn(4) for _ in range(4))
    return torch.randn(4, 4, 3, 3), bias, mean, torch.rand(4) + 0.2, 0.1, gamma, beta


FOLD_MISTAKES = (
    (lambda w, b, m, v, e, g, bt: fold_reference(w, b, m, v, 0.0, g, bt),
     "eps is missing, or a number of your own stands in its place: BatchNorm divides by the root of (var + eps)"),
    (lambda w, b, m, v, e, g, bt: fold_reference(w, b, m, (v + e) ** 2 - e, e, g, bt),
     "you divide by the variance: BatchNorm divides by its square root"),
    (lambda w, b, m, v, e, g, bt: fold_reference(w, 0 * b, m, v, e, g, bt),
     "the convolution's own bias got lost: BatchNorm sees w * x + b, so b is shifted and scaled too"),
    (lambda w, b, m, v, e, g, bt: fold_reference(w, b, 0 * m, v, e, g, bt),
     "the running mean is missing: it is taken off before the scaling"),
    (lambda w, b, m, v, e, g, bt: (fold_reference(w, b, m, v, e, g, bt)[0], b - m + bt),
     "the bias must be scaled as well: (bias - mean) * scale + beta"),
    (lambda w, b, m, v, e, g, bt: (w * (g / (v + e).sqrt()).view(1, -1, 1, 1), fold_reference(w, b, m, v, e, g, bt)[1]),
     "you scale the input channels: BatchNorm acts on the outputs, the kernel's first axis"),
    (lambda w, b, m, v, e, g, bt: fold_reference(w, b, m, v, e, g, 0 * bt),
     "beta is missing: BatchNorm adds it at the very end"),
    (lambda w, b, m, v, e, g, bt: fold_reference(w, b, -m, v, e, g, bt), "the mean is added: BatchNorm takes it off"),
    (lambda w, b, m, v, e, g, bt: fold_reference(w, b, m, v, e, torch.ones_like(g), bt),
     "gamma is missing: the scale is gamma / sqrt(var + eps)"),
    (lambda w, b, m, v, e, g, bt: fold_reference(w, b, m, v, e, bt, g), "gamma and beta are swapped"),
    (lambda w, b, m, v, e, g, bt: fold_reference(w, b, m, (v.sqrt() + e) ** 2 - e, e, g, bt),
     "eps stands outside the root: BatchNorm divides by sqrt(var + eps)"),
    (lambda *x: fold_reference(*x)[::-1], "the two are swapped: return (weight, bias)"),
)  # fmt: skip


def which_part(values: list[Any], truths: list[Any]) -> str:
    """Whether weight or bias is wrong in a wrong answer, or that there are no two."""
    if any(not isinstance(value, (tuple, list)) or len(value) != 2 for value in values):
        return "two tensors are wanted, (weight, bias)"
    weight, bias = (all(harness.equal(v[k], truth[k]) for v, truth in zip(values, truths)) for k in (0, 1))
    if weight or bias:
        return (
            "the weight is right, the bias is not: (bias - mean) * scale + beta"
            if weight
            else (
                "the bias is right, the weight is not: each output channel is multiplied by its scale, once"
            )
        )
    return "neither weight nor bias is right: the scale of an output channel is gamma / sqrt(var + eps)"


def fold(answer: harness.Answer) -> bool | None:
    """ex-02-fold: BatchNorm merged into the convolution before it."""
    return harness.implementation(
        answer,
        fold_reference,
        fold_inputs,
        "right: scale the outputs' kernels, and push the mean through the bias",
        FOLD_MISTAKES,
        otherwise=which_part,
    )


# ---- repairing a backbone ----------------------------------------------------------------------

WIDTH, SIZE = 1 / 16, 128  # small enough to try, large enough that each mistake leaves another side
SIDES = {
    8: "a 128-pixel image leaves 8 x 8 features, it should be 16 x 16: one pool halves too many; "
    "maxpool4 has stride 1 and maxpool5 is gone",
    2: "a 128-pixel image leaves 2 x 2 features, it should be 16 x 16: begin with the pools; maxpool4 has "
    "stride 1",
    10: "10 x 10 features, it should be 16 x 16: conv5 eats its border; dilation 2 wants padding 2",
    15: "15 x 15 features, it should be 16 x 16: the pools want kernel 3 and padding 1",
}


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """The network's convolutions, in the order in which they were put in."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


POOLS = [(3, 2, 1)] * 3 + [(3, 1, 1)]  # kernel, stride and padding of each


def layer_fault(network: nn.Module) -> str:
    """What is wrong with the layers of a network whose features are, as far as the layers tell; else ""."""
    layers = [one for one in network.modules() if not list(one.children())]
    if odd := [one for one in layers if not isinstance(one, (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Identity))]:
        return f"{type(odd[0]).__name__} has no place in it: conv, ReLU, and MaxPool2d between the blocks"

    def first(size: int | tuple[int, ...]) -> int:
        return size if isinstance(size, int) else size[0]

    spread = [first(one.dilation) for one in convolutions(network)]
    if spread != [1] * (len(spread) - 3) + [2] * 3:
        return f"dilation is 2 in the three convolutions of conv5, else 1; yours is {', '.join(map(str, spread))}"
    pools = [
        tuple(map(first, (one.kernel_size, one.stride, one.padding)))
        for one in layers
        if isinstance(one, nn.MaxPool2d)
    ]
    if pools != POOLS:
        return f"the pools' (kernel, stride, padding) should be {POOLS}, yours are {pools}"
    if (relus := sum(isinstance(one, nn.ReLU) for one in layers)) != len(spread) - 1:
        return f"a ReLU stands behind every convolution but the last, {len(spread) - 1} of them; yours has {relus}"
    return ""


def compared(network: object, width: float) -> harness.Verdict:
    """What a backbone's convolutions and features say of it, once it has the weights of the package's."""
    if not isinstance(network, nn.Module):
        return False, f"return the network, an nn.Sequential, not {type(network).__name__}"
    truth, images = VGG16(width), torch.randn(2, 3, SIZE, SIZE)
    wanted = [c.weight.shape for c in convolutions(truth)]
    if [c.weight.shape for c in convolutions(network)] != wanted:
        return (
            False,
            f"it should have {len(wanted)} convolutions 3 x 3 with BLOCKS' channels times the width",
        )
    for mine, theirs in zip(convolutions(network), convolutions(truth)):
        if mine.bias is None:
            return False, "VGG's convolutions have a bias: leave bias at its default"
        mine.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        features, error = harness.attempt(network, (images,))
        right = truth(images)
    if error or not isinstance(features, Tensor):
        return False, error.replace("function", "network") or "it should return a tensor"
    if harness.equal(features, right):
        return True, "right: it has the sides, the signs and, weight for weight, the values"
    why = layer_fault(network)
    if features.shape != right.shape:
        general = f"features {tuple(features.shape)} for a 128-pixel image, wanted {tuple(right.shape)}"
        return False, SIDES.get(features.shape[-1], why or general)
    if features.min() >= 0 and (not why or why.startswith("a ReLU")):
        return False, "no feature is negative: a ReLU still stands behind conv5_3, take it away"
    return (
        False,
        f"the size is right, the values are not: {why or 'conv, ReLU, conv, ReLU, then a pool with kernel 3'}",
    )


def backbone(build: harness.Answer) -> bool | None:
    """ex-02-repair: a builder of the paper's feature extractor, judged by what it builds does."""
    widths = iter((WIDTH, WIDTH / 2))
    return harness.inspected(build, compared, lambda: (next(widths),), trials=2)


# ---- the last ReLU, and judging a backbone -----------------------------------------------------


def overturned(vectors: tuple[Any, ...]) -> harness.Verdict:
    """Whether three vectors, a feature and two prototypes, are decided otherwise after a ReLU."""
    read = [harness.read(lambda v: torch.as_tensor(v, dtype=torch.float64), v) for v in vectors]
    if any(v is None or v.ndim != 1 or not v.isfinite().all() or not v.any() for v in read):
        return False, "three vectors are wanted, each a list of finite numbers and not all of them zero"
    feature, mug, background = (v for v in read if v is not None)
    if not len(feature) == len(mug) == len(background) == 2:
        return False, "three vectors of two numbers each are wanted: they live in one plane"
    (near, far), (kept, lost) = (
        [F.cosine_similarity(f(feature), f(v), dim=0).item() for v in (mug, background)]
        for f in (lambda v: v, torch.relu)
    )
    before, after = f"{near:.2f} against {far:.2f}", f"{kept:.2f} against {lost:.2f}"
    if near <= far + 1e-6:
        return False, f"with signs the feature must be nearer the mug's; the cosines are {before}"
    if abs(kept - lost) <= 1e-6:
        return False, f"after the ReLU it is a tie, {after}: let the background win"
    if kept > lost:
        return False, f"after the ReLU the mug still wins, {after}: let its agreement lie in negative entries"
    return True, f"right: the mug wins with signs, {before}, and loses without, {after}"


def relu(feature: object, mug: object, background: object) -> bool | None:
    """ex-02-relu: a feature and two prototypes that the last ReLU makes one decide wrongly."""
    if harness.blank(feature, mug, background):
        return harness.unfilled()
    return harness.inspected(lambda: (feature, mug, background), overturned)


def area_under_curve(likeness: Tensor, inside: Tensor, outside: Tensor) -> float:
    """P(a pixel inside is more alike than one outside), ties half, from maps (h, w): likeness, and each cell's shares."""
    values, a, b = likeness.flatten(), inside.flatten(), outside.flatten()
    wins = (values[:, None] > values).to(a) + 0.5 * (values[:, None] == values).to(a)
    return (a @ wins @ b / (a.sum() * b.sum())).item()


def separation_inputs(sign: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Likeness with ties, close to one another, and shares of object and rest (5, 6), with void in between."""
    inside = (torch.rand(5, 6) * 1.6 - 0.4).clamp(0, 1)
    outside = (1 - inside) * torch.rand(5, 6).round(decimals=1)
    return sign * (torch.randint(-3, 4, (5, 6)) + 2 * inside.round()) / 32, inside, outside


def hard(likeness: Tensor, inside: Tensor, outside: Tensor) -> float:
    """Mistake: cells count whole or not at all."""
    return area_under_curve(likeness, (inside > 0.5).float(), (outside > 0.5).float())


def counted(sign: float) -> harness.Answer:
    """Mistake: a tie counts half a pixel too little or too much."""

    def wrong(likeness: Tensor, inside: Tensor, outside: Tensor) -> float:
        values, a, b = likeness.flatten(), inside.flatten(), outside.flatten()
        ties = a @ (values[:, None] == values).float() @ b / (a.sum() * b.sum())
        return area_under_curve(likeness, inside, outside) + sign * 0.5 * ties.item()

    return wrong


def without_itself(likeness: Tensor, inside: Tensor, outside: Tensor) -> float:
    """Mistake: a cell's object is not compared with the same cell's rest."""
    a, b = inside.flatten(), outside.flatten()
    all_wins, same = area_under_curve(likeness, inside, outside) * a.sum() * b.sum(), a @ b
    return ((all_wins - same / 2) / (a.sum() * b.sum() - same)).item()


SEPARATION_MISTAKES = (
    (lambda v, a, b: area_under_curve(v, b, a), "the other way round: how often is the *object's* pixel the more alike?"),
    (counted(-1), "a tie counts as lost: give it half a win"),
    (counted(1), "a tie counts as won: give it half a win"),
    (hard, "a cell counts whole or not at all: weigh it by its share of the object, and of the rest"),
    (lambda v, a, b: area_under_curve(v, (a > 0).float(), (b > 0).float()),
     "every cell that the object touches counts whole: weigh it by its share"),
    (lambda v, a, b: area_under_curve(v, a, 1 - a),
     "void is taken for the rest: `rest` says how much of each cell is something else, 1 - object does not"),
    (lambda v, a, b: area_under_curve(v, torch.ones_like(a), torch.ones_like(b)),
     "the shares are not used: every cell is compared with every cell"),
    (lambda v, a, b: area_under_curve(v, a, b) * a.sum() * b.sum(),
     "that is a number of pairs: divide by the weight of all pairs, object.sum() * rest.sum()"),
    (lambda v, a, b: area_under_curve(v, a, b) * a.sum() * b.sum() / v.numel() ** 2,
     "you divide by the pairs of cells: divide by the weight of the pairs, object.sum() * rest.sum()"),
    (lambda v, a, b: (v * a).sum() / a.sum() - (v * b).sum() / b.sum(),
     "that is a difference of two means, which depends on the scale: compare pixel with pixel, and count"),
    (lambda v, a, b: area_under_curve(v, a, torch.ones_like(b)),
     "outside is not used: weigh each cell of the rest by its share"),
    (lambda v, a, b: area_under_curve(v, torch.ones_like(a), b),
     "inside is not used: weigh each cell of the object by its share"),
    (lambda v, a, b: area_under_curve(v, a, (b > 0).float()),
     "the object's cells are weighed, the rest's count whole: weigh both by their shares"),
    (lambda v, a, b: area_under_curve(v, (a > 0).float(), b),
     "the rest's cells are weighed, the object's count whole: weigh both by their shares"),
    (without_itself, "a cell is not compared with itself: where it holds both object and rest, that is a tie, half a win"),
    (lambda v, a, b: max(area_under_curve(v, a, b), 1 - area_under_curve(v, a, b)),
     "a share below a half became one above: it may be below, the likeness is then worse than guessing"),
    (lambda v, a, b: round(area_under_curve(v, a, b), 1), "the right number, rounded: leave it as it is"),
    (lambda v, a, b: area_under_curve(v[0], a[0], b[0]), "only the first row is used: flatten the maps"),
    (lambda v, a, b: area_under_curve(v.flatten().argsort().float(), a, b),
     "argsort gives the places of the numbers, not their ranks: compare the numbers themselves"),
    (lambda v, a, b: area_under_curve(v.flatten().argsort().argsort().float(), a, b),
     "ranks put an order between equal numbers: compare the numbers themselves, a tie is half a win"),
    (lambda v, a, b: area_under_curve(v.round(decimals=1), a, b), "likeness is rounded, which makes ties: leave it as it is"),
    (lambda v, a, b: area_under_curve(v * a, a, b),
     "likeness is multiplied by the share: the share says how often a value is drawn, not how large it is"),
    (lambda v, a, b: (v * a).sum() / a.sum(), "that is the object's mean likeness: compare it with the rest, pixel by pixel"),
    (lambda v, a, b: 2 * area_under_curve(v, a, b) - 1, "wins less defeats: a half, not 0, is guessing; count wins only"),
    (lambda v, a, b: 100 * area_under_curve(v, a, b), "that is in per cent: a number in 0..1 is wanted"),
    (lambda v, a, b: ((v > v.mean()) * a).sum() / a.sum(),
     "that has a threshold: compare each pixel of the object with each of the rest"),
)  # fmt: skip


def which_number(values: list[Any], truths: list[Any]) -> str:
    """What kind of number a wrong answer is, or that it is none."""
    found = [harness.read(float, value) for value in values]
    if any(v is None for v in found):
        return f"one number is wanted, not {type(values[0]).__name__} of several"
    if not all(0 <= v <= 1 for v in found if v is not None):
        return f"the share of wins lies in 0..1, yours is {found[0]:.3g}: divide by the weight of all pairs"
    if len(set(found)) == 1:
        return "the same number for all maps: count the wins of likeness over likeness"
    return "not yet: with one cell of each kind it is 1, 0.5 or 0; then weigh each pair by inside and outside"


def separation(answer: harness.Answer) -> bool | None:
    """ex-02-separation: how often an object's pixel is more alike than another, the area under the ROC curve."""
    signs = cycle((1, -1))
    return harness.implementation(
        answer,
        area_under_curve,
        lambda: separation_inputs(next(signs)),
        "right: no threshold, no scale; a half is guessing, 1 is perfect",
        SEPARATION_MISTAKES,
        otherwise=which_number,
    )
