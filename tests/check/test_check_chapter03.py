"""The exercises of chapter 3: right answers pass, every listed mistake is told by its own sentence."""

import pytest
import torch

from panet_lite.check import chapter03 as check
from panet_lite.prototypes import VOID, adjoint_upsample, masked_average_pool

DRAWS = 12


def right_pool(features, mask):
    weights = adjoint_upsample(mask, features.shape[-2:])
    return (features * weights).sum((-2, -1)) / (mask.sum() + 1e-5)


def right_background(features, labels):
    means = masked_average_pool(features.flatten(0, 1), labels.flatten(0, 1) == 0)
    return means.mean(0)


def right_nearest(mask, factor):
    height, width = mask.shape
    return mask.view(height // factor, factor, width // factor, factor).sum((1, 3))


def right_repair(features, labels):
    rows = []
    for way in range(len(labels)):
        rows.append(masked_average_pool(features[way], labels[way] == way + 1).mean(0))
    return torch.stack(rows)


EXERCISES = {
    "pool": (check.pool, right_pool, check.POOL_MISTAKES),
    "background": (check.background, right_background, check.BACKGROUND_MISTAKES),
    "nearest": (check.nearest_adjoint, right_nearest, check.NEAREST_MISTAKES),
    "repair": (check.repair, right_repair, check.REPAIR_MISTAKES),
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
    for _ in range(DRAWS):
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


def test_pool_explains_unlike_sizes(capsys):
    assert check.pool(lambda f, m: (f * m).sum((-2, -1)) / m.sum()) is False
    assert "upsample the features" in said(capsys)


def test_pool_asks_for_zeros_under_an_empty_mask(capsys):
    assert check.pool(lambda f, m: (check.up(f, m.shape) * m).sum((-2, -1)) / m.sum()) is False
    assert "empty mask" in said(capsys)


def test_wrong_shape_is_named(capsys):
    assert check.pool(lambda f, m: right_pool(f, m)[None]) is False
    assert "shape (3,)" in said(capsys)


@pytest.mark.parametrize(
    "answer, verdict", [("b", True), ("a", False), (" C ", False), ("z", False), (None, None)]
)
def test_doubled_mask(answer, verdict, capsys):
    assert check.doubled_mask(answer) is verdict
    assert said(capsys)[0] == {True: "✓", False: "✗", None: "…"}[verdict]


@pytest.mark.parametrize(
    "answer, verdict",
    [(0.75, True), (3 / 4, True), ("0.75", True), (1, False), ("much", False), (None, None)],
)
def test_empty_shot(answer, verdict, capsys):
    assert check.empty_shot(answer) is verdict
    assert said(capsys)[0] == {True: "✓", False: "✗", None: "…"}[verdict]


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
        _, labels = check.support_inputs()
        assert all({0, 1, 2, VOID} <= set(image.unique().tolist()) for image in labels.flatten(0, 1)[1:])
        _, labels = check.repair_inputs()
        assert not any((labels[way, 2] == way + 1).any() for way in range(2))
