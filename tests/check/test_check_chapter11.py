"""Chapter 11's checks: the right answer passes, each known mistake is told by its own sentence."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from checking import answers, mistakes_are_told, right_passes, said, stubs_and_errors
from PIL import Image
from scipy import stats
from torch.nn.functional import interpolate as resize

from panet_lite.__main__ import arguments
from panet_lite.check import chapter11 as check

IMPLEMENTATIONS = [
    (check.idle, check.milliseconds, check.IDLE_MISTAKES),
    (check.stride, check.cost_at, check.STRIDE_MISTAKES),
    (check.folds, check.fold_ids, check.FOLD_MISTAKES),
    (check.seeds, check.paired, check.SEED_MISTAKES),
    (check.mask, check.squashed, check.MASK_MISTAKES),
]
EXERCISES = [row[0] for row in IMPLEMENTATIONS]


test_right_answer_passes = right_passes(IMPLEMENTATIONS)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS)


test_unfilled_and_raising_answers = stubs_and_errors(
    *EXERCISES, nonsense=[lambda *inputs: "here", lambda *inputs: {}, lambda *inputs: torch.rand(3, 3)]
)


test_cost_tells_each_wrong_count_apart = answers(
    check.cost,
    (26 / 2, True, "26 / 2 is 13"),
    ("13", True, "right"),
    (13, True, "right"),
    (torch.tensor(13.0), True, "right"),
    (np.float32(13), True, "right"),
    (None, None, "not filled in yet"),
    (25, False, "a query as well"),
    (26, False, "divide by those"),
    (12.5, False, "leaves out the query"),
    (15, False, "one query"),
    (5, False, "five shots of its own"),
    (3, False, "five ways have five shots each"),
    (5.5, False, "five ways"),
    (7, False, "count the images"),
    (-13, False, "below 0"),
    (float("nan"), False, "finite"),
    ("many", False, "a number is wanted"),
)


# ---- what is right in many ways -------------------------------------------------------------------


def with_an_if(operations, floor, episodes, graph):
    asking = 0.01 if graph else 0.01 * operations
    step = floor * episodes
    if asking > step:
        step = asking
    return step / episodes


def by_loop(stages, side):
    total = 0
    for macs, own in stages:
        total += macs * (side / own) ** 2 if own < side else macs
    return total


def folds_by_loop(ids, fold, kind):
    ids, size, found = sorted(ids), len(ids) // 4, []
    for place, one in enumerate(ids):
        if (place % 4 if kind == "B" else place // size) == fold:
            found.append(one)
    return found


def by_scipy(a, b):
    half = stats.ttest_rel(a.numpy(), b.numpy()).confidence_interval(0.95)
    return (half.low + half.high) / 2, (half.high - half.low) / 2


def by_sum(a, b):
    gaps = [float(x - y) for x, y in zip(a, b)]
    n, mean = len(gaps), sum(gaps) / len(gaps)
    error = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / (n - 1) / n)
    return mean, stats.t.ppf(0.975, n - 1) * error


def in_place(a, b):
    a -= b
    return a.mean(), stats.t.ppf(0.975, len(a) - 1) * a.std(correction=1) / len(a) ** 0.5


def resized_by_pil(resampling):
    return lambda labels, size: np.array(Image.fromarray(labels).resize((size, size), resampling))


def smaller_by_torch(mode):
    return lambda labels, size: resize(torch.from_numpy(labels)[None, None], (size, size), mode=mode)[0, 0]


def smoothed(labels, size):
    """Bilinear, of the two pixels in the middle only, and rounded."""
    picture = torch.from_numpy(labels)[None, None].float()
    return resize(picture, (size, size), mode="bilinear")[0, 0].round().byte()


def smaller_by_loop(labels, size):
    result = np.zeros((size, size), np.uint8)
    height, width = labels.shape
    for y in range(size):
        for x in range(size):
            result[y, x] = labels[int((y + 0.5) * height / size), int((x + 0.5) * width / size)]
    return result


@pytest.mark.parametrize(
    "exercise, right",
    [
        (check.idle, with_an_if),
        (check.idle, lambda n, ms, e, graph: np.maximum([0.01 * n, 0.01][graph], ms * e) / e),
        (check.idle, lambda n, ms, e, graph: torch.tensor([0.01 * (1 if graph else n), ms * e]).max() / e),
        (check.idle, lambda n, ms, e, graph: max(ms, 0.01 / e if graph else 0.01 * n / e)),
        (check.stride, by_loop),
        (check.stride, lambda stages, side: sum(m * max(1, (side / s) ** 2) for m, s in stages)),
        (check.stride, lambda stages, side: sum(m * max(side, s) ** 2 / s**2 for m, s in stages)),
        (check.stride, lambda stages, side: np.dot(*np.array([(m, max(1, side / s) ** 2) for m, s in stages]).T)),
        (check.stride, lambda stages, side: torch.tensor([m * max(side / s, 1) ** 2 for m, s in stages]).sum()),
        (check.folds, folds_by_loop),
        (check.folds, lambda *inputs: {*check.fold_ids(*inputs)}),
        (check.folds, lambda *inputs: tuple(check.fold_ids(*inputs))),
        (check.folds, lambda *inputs: np.array(check.fold_ids(*inputs))[::-1]),
        (check.folds, lambda *inputs: torch.tensor(check.fold_ids(*inputs))),
        (check.folds, lambda ids, fold, kind: ids.sort() or check.cut(ids, fold, kind)),
        (check.folds, lambda ids, f, kind: np.array(sorted(ids)).reshape(*((4, -1) if kind == "A" else (-1, 4)))[
            (f, slice(None)) if kind == "A" else (slice(None), f)]),
        (check.seeds, by_scipy),
        (check.seeds, by_sum),
        (check.seeds, in_place),
        (check.seeds, lambda a, b: list(check.paired(a, b))),
        (check.seeds, lambda a, b: torch.tensor(check.paired(a, b))),
        (check.seeds, lambda a, b: np.array(check.paired(a, b))),
        (check.seeds, lambda a, b: check.paired(a.double(), b.double())),
        (check.mask, resized_by_pil(Image.Resampling.NEAREST)),
        (check.mask, smaller_by_torch("nearest")),
        (check.mask, smaller_by_torch("nearest-exact")),
        (check.mask, smaller_by_loop),
        (check.mask, lambda labels, size: check.squashed(labels.astype(float), size).astype(np.uint8)),
        (check.mask, lambda labels, size: labels[::4, ::6].copy()),
    ],
)  # fmt: skip
def test_every_right_variant_passes(exercise, right):
    for _ in range(12):
        assert exercise(right) is True


# ---- what no known mistake explains ---------------------------------------------------------------


@pytest.mark.parametrize(
    "exercise, wrong, part",
    [
        (check.idle, lambda n, ms, e, graph: (max(0.01 * n, ms * e) / e, graph), "one number"),
        (check.idle, lambda n, ms, e, graph: float("nan"), "NaN"),
        (check.idle, lambda n, ms, e, graph: e * max(0.01 * n, ms), "✗ "),
        (check.stride, lambda stages, side: [m * (side / s) ** 2 for m, s in stages], "one number"),
        (check.stride, lambda stages, side: side, "numbers are not"),
        # COCO's own numbers, where there may be others:
        (check.folds, lambda ids, fold, kind: sorted(ids)[fold * 20 : fold * 20 + 20], "a quarter of the ids"),
        (check.folds, lambda ids, fold, kind: range(fold, 80, 4), "a quarter of the ids"),
        (check.folds, lambda ids, fold, kind: len(ids) // 4, "a list of ids is wanted"),
        (check.folds, lambda ids, fold, kind: check.fold_ids([-i for i in ids], fold, kind), "not the fold's ids"),
        (check.seeds, lambda a, b: (a - b).mean(), "two numbers are wanted"),
        (check.seeds, lambda a, b: ((a - b).mean(), (a - b).var()), "✗ the mean difference is right, half"),
        (check.seeds, lambda a, b: ((a - b).median(), check.paired(a, b)[1]), "the mean difference is not"),
        (check.seeds, lambda a, b: ((a - b).median(), 1), "✗ the mean difference is not right, and half"),
        (check.seeds, lambda a, b: (check.paired(a, b)[0], 4.302653 * (a - b).std() / 3), "half of its interval is not"),
        (check.mask, resized_by_pil(Image.Resampling.BILINEAR), "where no pixel was"),
        (check.mask, resized_by_pil(Image.Resampling.BOX), "where no pixel was"),
        (check.mask, resized_by_pil(Image.Resampling.LANCZOS), "where no pixel was"),
        (check.mask, smoothed, "where no pixel was"),
        (check.mask, lambda labels, size: labels, "(24, 24), yours has (96, 144)"),
        (check.mask, lambda labels, size: labels[::4, ::4], "(24, 24), yours has (24, 36)"),
        (check.mask, lambda labels, size: check.squashed(labels, size)[::-1], "mirrored"),
        (check.mask, lambda labels, size: check.squashed(labels, size).astype(float), "as float64"),
        (check.mask, lambda labels, size: torch.from_numpy(check.squashed(labels, size)).float(), "as float32"),
        (check.mask, lambda labels, size: check.squashed(labels, size).astype(int), "as int64"),
        (check.mask, lambda labels, size: check.squashed(labels, size) / 255, "where no pixel was"),
    ],
)  # fmt: skip
def test_what_no_known_mistake_explains(exercise, wrong, part, capsys):
    for _ in range(12):
        assert exercise(wrong) is False
        assert part in said(capsys)


# ---- the command ----------------------------------------------------------------------------------

TRAIN = (
    "train --dataset pascal --root ~/photos --fold 2 --shots 5 --width 1 --weights imagenet --recipe paper"
)
WHOLE = f"{TRAIN} --preset paper --lambda-par 0 --out runs/here"


def command(answer):
    return check.command(answer, arguments().parse_args)


test_the_command_is_read_by_the_program = answers(
    command,
    (WHOLE, True, "right"),
    (f"python -m panet_lite {WHOLE}", True, "right"),
    (f"!{'/usr/bin/python3'} -m panet_lite {WHOLE} --seed 1 --cuda-graph", True, "right"),
    (f"{TRAIN} \\\n  --preset paper --lambda-par 0.0 --ways 1 --out x", True, "right"),
    (WHOLE.replace("--weights imagenet", "--backbone vgg16 --iterations 30000 --size 417"), True, "right"),
    (" ".join(reversed(" --".join(["", *WHOLE.split(" --")[1:]]).replace(" --", "|--").split("|")[1:])).join(
        ["train ", ""]), True, "right"),
    (None, None, "not filled in yet"),
    (..., None, "not filled in yet"),
    (["train"], False, "a line of text is wanted"),
    (WHOLE.replace("train", "evaluate", 1), False, "does not understand it: unrecognized arguments"),
    ("evaluate --dataset pascal --out x", False, "needs a network of its own"),
    (WHOLE.replace("pascal", "coco"), False, "Table 5 is of PASCAL-5i"),
    (WHOLE.replace("--fold 2", "--fold 3"), False, "split-3 is --fold 2"),
    (WHOLE.replace("--fold 2 ", ""), False, "split-3 is --fold 2"),
    (WHOLE.replace("--width 1", "--backbone resnet50"), False, "the paper's backbone is VGG-16"),
    (WHOLE.replace("--width 1", "--backbone vgg16"), False, "without a width"),
    (WHOLE.replace("--width 1 ", ""), False, "without a width"),
    (WHOLE.replace("imagenet", "random"), False, "starts from ImageNet"),
    (WHOLE.replace("--recipe paper", ""), False, "the laptop's 600 steps"),
    (WHOLE.replace("--preset paper", ""), False, "runs under --preset paper"),
    (WHOLE + " --ways 2", False, "Table 5 is 1-way"),
    (WHOLE.replace("--shots 5", "--shots 1"), False, "5-shot"),
    (WHOLE.replace("--lambda-par 0", "--lambda-par 1"), False, "PAR is still in the loss"),
    (WHOLE.replace("--lambda-par 0", ""), False, "PAR is still in the loss"),
    (WHOLE + " --iterations 3000", False, "30,000 steps"),
    (WHOLE + " --episodes-per-step 4", False, "another optimisation"),
    (WHOLE + " --size 241", False, "417 pixels"),
    (WHOLE + " --drop-unseen", False, "leaves images out"),
    (WHOLE.replace("--out runs/here", ""), False, "required: --out"),
    (WHOLE + " --split-3", False, "unrecognized arguments: --split-3"),
    (WHOLE + " 'open", False, "does not understand it: No closing quotation"),
    ("", False, "required: command"),
)  # fmt: skip


def asking(graph_asks):
    return lambda n, ms, e, graph: max(0.01 * (graph_asks(e) if graph else n), ms * e) / e


@pytest.mark.parametrize(
    "exercise, wrong, part",
    [
        (check.idle, asking(lambda episodes: 0), "one request, not none"),
        (check.idle, asking(lambda episodes: episodes), "one request, however many"),
        (check.idle, lambda n, ms, e, graph: ms if graph else max(0.01 * n, ms * e) / e, "not none"),
        (
            check.seeds,
            lambda a, b: (abs(check.paired(a, b)[0]), check.paired(a, b)[1]),
            "the sign of the mean",
        ),
    ],
)
def test_strangers_answers_are_told(exercise, wrong, part, capsys):
    """Answers written from the text alone that these checks once let pass."""
    for _ in range(12):
        assert exercise(wrong) is False
        assert part in said(capsys)


def test_fractions_are_numbers():
    def exact(stages, side):
        return sum(Fraction(m) * Fraction(max(side, s), s) ** 2 for m, s in stages)

    assert check.stride(exact) is True
