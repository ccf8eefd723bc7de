"""The checks of chapter 2 know the right answer, and every wrong turn by its own sentence."""

import pytest
import torch
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
    (check.fold, check.fold_reference, check.FOLD_MISTAKES),
]


@pytest.mark.parametrize("function, reference, mistakes", IMPLEMENTATIONS)
def test_implementations(function, reference, mistakes, capsys):
    for _ in range(DRAWS):
        assert verdict(capsys, function, reference)[0] is True
        for wrong, why in mistakes:
            assert verdict(capsys, function, wrong) == (False, why)


PREDICTIONS = [
    (check.side, 41, [21, 40, 39, 11]),
    (check.dilation, 307, [211, 422, 139, 243]),
    (check.half_width, 3_680_160, [7_357_344, 1_839_336, 919_668]),
]


@pytest.mark.parametrize("function, right, slips", PREDICTIONS)
def test_predictions(function, right, slips, capsys):
    assert verdict(capsys, function, right)[0] is True
    sentences = [verdict(capsys, function, slip) for slip in slips]
    other = verdict(capsys, function, 5)
    assert other[0] is False and other[1].startswith("not yet")
    assert all(passed is False for passed, _ in sentences)
    assert len({why for _, why in [*sentences, other]}) == len(slips) + 1


def test_half_width_wants_one_per_cent(capsys):
    assert verdict(capsys, check.half_width, 14_714_688 / 4)[0] is True
    assert verdict(capsys, check.half_width, 3_500_000)[0] is False


@pytest.mark.parametrize("function", [check.side, check.dilation, check.half_width])
@pytest.mark.parametrize("odd", ["many", [1, 2], float("nan"), float("inf"), torch.ones(3)])
def test_odd_predictions_become_a_sentence(function, odd, capsys):
    assert verdict(capsys, function, odd)[0] is False


ALL = [check.side, check.dilation, check.half_width, check.looks_at, check.fold, check.backbone]


@pytest.mark.parametrize("function", ALL)
def test_unfilled(function, capsys):
    stub = None if function in (check.side, check.dilation, check.half_width) else lambda *inputs: ...
    assert verdict(capsys, function, stub) == (None, "not filled in yet")


@pytest.mark.parametrize("function", ALL[3:])
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
        (dict(dilation=1, padding=1), "not dilated"),
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
