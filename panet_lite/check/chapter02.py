"""Answers to the exercises of chapter 2, features."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones import BLOCKS, VGG16
from . import harness

Layer = tuple[int, int, int, int]  # kernel, stride, padding, dilation


# ---- sizes and receptive fields ----------------------------------------------------------------


def side(answer: object) -> bool | None:
    """ex-02-side: the side of the feature map of a 321 x 321 image."""
    right = VGG16(width=1 / 64)(torch.zeros(1, 3, 321, 321)).shape[-1]
    return harness.number(
        answer,
        right,
        0,
        "right: 321 -> 161 -> 81 -> 41, and the fourth pool keeps 41",
        "not yet: put 321 through the formula once for each pool with stride 2; what else changes the size?",
        [
            (21, "21 is what a fourth pool of stride 2 would leave: maxpool4 has stride 1 here"),
            (40, "321 / 8 rounded down is 40, but a pool with kernel 3 and padding 1 rounds its halves up"),
            (39, "39 is what pools with kernel 2 and no padding leave: ours have kernel 3 and padding 1"),
            (11, "11 is the side behind five halvings: maxpool4 has stride 1, and maxpool5 is gone"),
        ],
    )


def looks_at_reference(index: int, layers: Sequence[Layer]) -> tuple[int, int]:
    """First and last input position that output `index` of the layers depends on."""
    first = last = index
    for kernel, stride, padding, dilation in reversed(layers):
        first = first * stride - padding
        last = last * stride - padding + dilation * (kernel - 1)
    return first, last


def looks_at_inputs() -> tuple[int, tuple[Layer, ...]]:
    """The number of a feature, and three to five layers in which each known mistake shows."""
    whole = harness.whole
    layers = tuple((whole(2, 5), whole(1, 3), whole(1, 4), whole(2, 3)) for _ in range(whole(3, 5)))
    return whole(3, 20), layers


def changed(change: Callable[[Layer], Layer]) -> harness.Answer:
    """The reference on layers that were read wrongly."""
    return lambda index, layers: looks_at_reference(index, tuple(change(layer) for layer in layers))


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
)  # fmt: skip


def looks_at(answer: harness.Answer) -> bool | None:
    """ex-02-looks-at: the first and last input position behind one feature."""
    return harness.implementation(
        answer,
        looks_at_reference,
        looks_at_inputs,
        "right: one walk from the feature back to the image, two numbers carried along",
        LOOKS_AT_MISTAKES,
        tolerance=0,
    )


def dilation(answer: object) -> bool | None:
    """ex-02-dilation: the receptive field with dilation 4 in conv5."""
    return harness.number(
        answer,
        307,
        0,
        "right: 115 behind pool4, then three times 2 * 4 * 8 = 64",
        "not yet: start from 115 behind pool4; each of three convolutions adds 2 taps * dilation * step",
        [
            (211, "211 is the receptive field with dilation 2"),
            (422, "doubling the dilation does not double the whole: the 115 pixels behind pool4 stay"),
            (139, "you forgot the step: neighbours of the feature map are 8 pixels of the image apart"),
            (243, "243 widens one convolution only: all three of conv5 gain 2 * 2 * 8 = 32 over dilation 2"),
        ],
    )


# ---- parameters and BatchNorm ------------------------------------------------------------------


def half_width(answer: object) -> bool | None:
    """ex-02-half-width: the number of parameters at width 0.5, to within one per cent."""
    right = sum(p.numel() for p in VGG16(width=0.5).parameters())
    return harness.number(
        answer,
        right,
        right * 0.01,
        f"right: {right:,}, a quarter and a little: a kernel has inputs and outputs, and both are halved",
        "not yet: a kernel has in x out x 9 weights; which of the three factors depend on the width?",
        [
            (14_714_688 / 2, "half is what the biases do; a kernel has in x out channels, and both shrink"),
            (14_714_688 / 8, "an eighth is too few: the 3 x 3 window does not shrink, only the channels do"),
            (14_714_688 / 16, "a sixteenth is width 0.25"),
        ],
    )


def fold_reference(
    weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that equals a convolution and its BatchNorm."""
    scale = gamma / (var + eps).sqrt()
    return weight * scale.view(-1, 1, 1, 1), (bias - mean) * scale + beta


def fold_inputs() -> tuple[Any, ...]:
    """Weight (4, 4, 3, 3), then bias, gamma, beta, mean and variance (4,), and an eps that is felt."""
    vectors = [torch.randn(4) for _ in range(4)]  # bias, gamma, beta, mean
    return torch.randn(4, 4, 3, 3), *vectors, torch.rand(4) + 0.2, 0.1


FOLD_MISTAKES = (
    (lambda w, b, g, bt, m, v, e: fold_reference(w, b, g, bt, m, v, 0.0),
     "eps is missing: BatchNorm divides by the root of (var + eps)"),
    (lambda w, b, g, bt, m, v, e: fold_reference(w, b, g, bt, m, (v + e) ** 2 - e, e),
     "you divide by the variance: BatchNorm divides by its square root"),
    (lambda w, b, g, bt, m, v, e: fold_reference(w, 0 * b, g, bt, m, v, e),
     "the convolution's own bias got lost: BatchNorm sees w * x + b, so b is shifted and scaled too"),
    (lambda w, b, g, bt, m, v, e: fold_reference(w, b, g, bt, 0 * m, v, e),
     "the running mean is missing: it is taken off before the scaling"),
    (lambda w, b, g, bt, m, v, e: (fold_reference(w, b, g, bt, m, v, e)[0], b - m + bt),
     "the bias must be scaled as well: (bias - mean) * scale + beta"),
    (lambda w, b, g, bt, m, v, e: (w * (g / (v + e).sqrt()).view(1, -1, 1, 1), fold_reference(w, b, g, bt, m, v, e)[1]),
     "you scale the input channels: BatchNorm acts on the outputs, the kernel's first axis"),
    (lambda w, b, g, bt, m, v, e: fold_reference(w, b, g, 0 * bt, m, v, e),
     "beta is missing: BatchNorm adds it at the very end"),
)  # fmt: skip


def fold(answer: harness.Answer) -> bool | None:
    """ex-02-fold: BatchNorm merged into the convolution before it."""
    return harness.implementation(
        answer,
        fold_reference,
        fold_inputs,
        "right: scale the outputs' kernels, and push the mean through the bias",
        FOLD_MISTAKES,
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


def compared(network: object) -> harness.Verdict:
    """What a backbone's convolutions and features say of it, once it has the weights of the package's."""
    if not isinstance(network, nn.Module):
        return False, f"return the network, an nn.Sequential, not {type(network).__name__}"
    truth, images = VGG16(WIDTH), torch.randn(2, 3, SIZE, SIZE)
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
        if features.shape != right.shape:
            general = f"features {tuple(features.shape)} for a 128-pixel image, wanted {tuple(right.shape)}"
            return False, SIDES.get(features.shape[-1], general)
        if features.min() >= 0:
            return False, "no feature is negative: a ReLU still stands behind conv5_3, take it away"
        if harness.equal(features, right):
            return True, "right: it has the sides, the signs and, weight for weight, the values"
        for convolution in convolutions(truth)[-len(BLOCKS[-1]) :]:
            convolution.dilation = convolution.padding = (1, 1)
        if harness.equal(features, truth(images)):
            return False, "the size is right, but conv5 is not dilated: dilation=2, padding=2"
    return False, "the size is right, the values are not: conv, ReLU, conv, ReLU, then a pool with kernel 3"


def backbone(build: harness.Answer) -> bool | None:
    """ex-02-repair: a builder of the paper's feature extractor, judged by what it builds does."""
    return harness.inspected(lambda: build(WIDTH), compared)
