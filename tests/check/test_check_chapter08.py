"""Chapter 8's checks: right answers pass in every form, wrong ones are told what is wrong."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checking import DRAWS, answers, mistakes_are_told, right_passes, said, stubs_and_errors

from panet_lite.annotations import annotate, box_map, complete_strokes
from panet_lite.check import chapter08 as check

IMPLEMENTATIONS = [
    (check.box, check.box_label_map, check.BOX_MISTAKES),
    (check.stroke, check.stroke_map, check.STROKE_MISTAKES),
    (check.errors, check.errors_of, check.ERROR_MISTAKES),
    (check.strokes, check.completed, check.STROKE_RULE_MISTAKES),
]


test_right_answer_passes = right_passes(IMPLEMENTATIONS)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS)


test_unfilled_and_raising_answers = stubs_and_errors(
    *(row[0] for row in IMPLEMENTATIONS),
    nonsense=[lambda *inputs: torch.zeros(1, 17), lambda *inputs: "words"],
)


def test_the_box_is_the_package_s():
    """The exercise's label map is what `annotate` makes of the same objects, drawn by some seed."""
    for draw in DRAWS:
        instances, number = check.draw_instances(1 + draw % 3)
        mine = check.box_label_map(instances, number)
        masks = [instances.numpy() == n for n in (1, 2, 3)]
        dense = (instances > 0).to(torch.uint8)
        assert np.array_equal(mine, box_map(dense.numpy(), {1: masks}, {1: masks[number - 1]}))
        drawn = [annotate(dense, "box", instances.to(torch.uint8), seed=seed) for seed in range(20)]
        assert any(torch.equal(mine.to(torch.uint8), weak) for weak in drawn)


# ---- answers written from the exercises' text ----------------------------------------------------


def box_by_loops(instances, number):
    labels = [[0] * instances.shape[1] for _ in range(instances.shape[0])]
    numbers = sorted({int(v) for v in instances.flatten()} - {0, number})
    for n in [*numbers, number]:
        places = [
            (y, x)
            for y in range(instances.shape[0])
            for x in range(instances.shape[1])
            if instances[y, x] == n
        ]
        ys, xs = [y for y, _ in places], [x for _, x in places]
        for y in range(min(ys), max(ys) + 1):
            for x in range(min(xs), max(xs) + 1):
                labels[y][x] = 1 if n == number else 255
    return torch.tensor(labels)


def box_by_any(instances, number):
    def fill(n):
        mask = instances == n
        return mask.any(1, keepdim=True) & mask.any(0)

    labels = torch.zeros(instances.shape, dtype=torch.uint8)
    for n in range(1, int(instances.max()) + 1):
        labels[fill(n)] = 255
    labels[fill(number)] = 1
    return labels


def box_in_numpy(instances, number):
    array = instances.numpy()
    labels = np.zeros_like(array)
    for n in sorted(np.unique(array[array > 0]), key=lambda n: n == number):
        y, x = np.nonzero(array == n)
        labels[y.min() : y.max() + 1, x.min() : x.max() + 1] = 1 if n == number else 255
    return labels


def box_in_place(instances, number):
    out = box_by_any(instances, number).long()
    instances[:] = out
    return instances


def box_in_float64(instances, number):
    return box_by_any(instances, number).double()


def box_by_outer_products(instances, number):
    masks = {n: (instances == n).float() for n in instances.unique().tolist() if n}
    fills = {n: torch.einsum("y,x->yx", m.amax(1), m.amax(0)) for n, m in masks.items()}
    rest = sum(fill for n, fill in fills.items() if n != number) > 0
    return fills[number] + 255 * (rest & (fills[number] == 0))


def stroke_by_loops(mask, path):
    labels = torch.full(mask.shape, 255)
    for y, x in path.tolist():
        for v in (y - 1, y, y + 1):
            for u in (x - 1, x, x + 1):
                if mask[v, u]:
                    labels[v, u] = 1
    return labels


def stroke_by_dilation(mask, path):
    from scipy.ndimage import binary_dilation

    line = np.zeros(mask.shape, bool)
    line[tuple(path.numpy().T)] = True
    return np.where(binary_dilation(line, np.ones((3, 3))) & mask.numpy(), 1, 255)


def stroke_by_convolution(mask, path):
    line = torch.zeros(mask.shape, dtype=torch.float64)
    line[path[:, 0], path[:, 1]] = 1
    near = F.conv2d(line[None, None], torch.ones(1, 1, 3, 3).double(), padding=1)[0, 0] > 0
    return torch.where(near & mask, 1.0, 255.0)


def stroke_in_place(mask, path):
    labels = stroke_by_loops(mask, path)
    labels[~mask] = 255
    return labels.byte()


def stroke_by_distance(mask, path):
    places = torch.cartesian_prod(torch.arange(mask.shape[0]), torch.arange(mask.shape[1])).float()
    near = torch.cdist(places, path.float()).amin(1).view(mask.shape) <= 1.5
    return 255 - 254 * (near & mask).long()


def errors_by_loops(weak, dense):
    rows = [(w - d).tolist() for w, d in zip(weak, dense)]
    mean = [sum(column) / len(rows) for column in zip(*rows)]
    chance = sum(sum((a - b) ** 2 for a, b in zip(row, mean)) for row in rows) / len(rows)
    return sum(value**2 for value in mean), chance


def errors_in_numpy(weak, dense):
    error = (weak - dense).numpy().astype(float)
    return np.array([(error.mean(0) ** 2).sum(), error.var(0).sum()])


def errors_by_difference(weak, dense):
    error = weak.double() - dense.double()
    bias = error.mean(0).norm() ** 2
    return [bias, error.norm(dim=1).square().mean() - bias]


def errors_by_einsum(weak, dense):
    error = weak - dense
    mean = error.mean(0, keepdim=True)
    rest = error - mean
    return torch.stack(
        [torch.einsum("nc,nc->", mean, mean), torch.einsum("nc,nc->", rest, rest) / len(error)]
    )


def errors_in_place(weak, dense):
    weak -= dense
    bias = weak.mean(0).pow(2).sum().item()
    weak -= weak.mean(0)
    return bias, weak.pow(2).sum().item() / len(weak)


def errors_by_variance(weak, dense):
    error = weak - dense
    return error.mean(0) @ error.mean(0), error.var(0, unbiased=False).sum()


def rule_by_numpy(labels):
    array = labels.numpy()
    if 0 in array or not (array != 255).any():
        return array
    return np.where(array == 255, 0, array)


def rule_in_place(labels):
    if (labels != 0).all() and labels.min() < 255:
        labels[labels == 255] = 0
    return labels


def rule_by_loops(labels):
    values = [v for row in labels.tolist() for v in row]
    if 0 in values or set(values) == {255}:
        return labels
    return torch.tensor([[0 if v == 255 else v for v in row] for row in labels.tolist()])


def rule_by_minimum(labels):
    lowest = int(labels.min())
    return labels * (labels != 255) if 0 < lowest < 255 else labels


def rule_in_float64(labels):
    return rule_by_minimum(labels.double())


VARIANTS = [
    *((check.box, f) for f in (box_by_loops, box_by_any, box_in_numpy, box_in_place, box_in_float64, box_by_outer_products)),
    *((check.stroke, f) for f in (stroke_by_loops, stroke_by_dilation, stroke_by_convolution, stroke_in_place, stroke_by_distance)),
    *((check.errors, f) for f in (errors_by_loops, errors_in_numpy, errors_by_difference, errors_by_einsum, errors_in_place, errors_by_variance)),
    *((check.strokes, f) for f in (rule_by_numpy, rule_in_place, rule_by_loops, rule_by_minimum, rule_in_float64)),
]  # fmt: skip


@pytest.mark.parametrize("exercise, variant", VARIANTS, ids=lambda f: f.__name__)
def test_right_variants_pass(exercise, variant, capsys):
    for _ in DRAWS:
        assert exercise(variant) is True, said(capsys)
        assert said(capsys).startswith("✓ right")


def painted(labels, value=0):
    return torch.where(labels == 255, value, labels)


def frame(labels):
    inner = F.max_pool2d(-(labels == 1).float()[None], 3, 1, 1)[0] == -1
    return torch.where(inner, 0, labels)


WRONG = {
    check.box: [
        lambda i, n: (i == n).long(),
        lambda i, n: torch.where(i == n, 1, torch.where(i > 0, 255, 0)),
        lambda i, n: (box_by_any(i, n) == 1).long(),
        lambda i, n: torch.where(box_by_any(i, n) == 1, 1, 255),
        lambda i, n: box_by_any(i, n).clamp(max=1),
        lambda i, n: box_by_any((i > 0).long(), 1),
        lambda i, n: box_by_any(i, n) == 1,
        lambda i, n: box_by_any(i, n).long() * (1 if n == 1 else n),
        lambda i, n: frame(box_by_any(i, n).long()),
        lambda i, n: box_by_any(i, n).roll(1, 0),
        lambda i, n: box_by_any(i.T, n).T.flip(1),
        lambda i, n: box_by_any(i, n)[1:, 1:],
        lambda i, n: box_by_any(i, 1),
        lambda i, n: check.boxed(i, [n, *check.others(i, n)], n),
        lambda i, n: check.box_label_map(i, n, 0, -1),
        lambda i, n: check.box_label_map(i, n, 1, 1),
        lambda i, n: check.box_label_map(i, n, -1, 1),
        lambda i, n: torch.where(i == n, box_by_any(i, n), 255),
    ],
    check.stroke: [
        lambda m, p: check.near(p, m.shape).long(),
        lambda m, p: torch.where(check.near(p, m.shape), 1, 255),
        lambda m, p: (stroke_by_loops(m, p) == 1).long(),
        lambda m, p: torch.where(m, stroke_by_loops(m, p), 0),
        lambda m, p: torch.where(m & (stroke_by_loops(m, p) == 255), 0, stroke_by_loops(m, p)),
        lambda m, p: torch.where(check.near(p, m.shape, 1), 1, 255),
        lambda m, p: torch.where(check.near(p, m.shape, 5) & m, 1, 255),
        lambda m, p: torch.where(check.near(p, m.shape, 7) & m, 1, 255),
        lambda m, p: torch.where(m, 1, 255),
        lambda m, p: 256 - stroke_by_loops(m, p),
        lambda m, p: stroke_by_loops(m, p) == 1,
        lambda m, p: stroke_by_loops(m, p[1:]),
        lambda m, p: stroke_by_loops(m, p).roll(1, 1),
        lambda m, p: stroke_by_loops(m.T, p).T,
        lambda m, p: torch.where(check.cross(p, m.shape) & m, 1, 255),
        lambda m, p: stroke_by_loops(m, p)[None],
    ],
    check.errors: [
        lambda w, d: (errors_by_loops(w, d)[1], errors_by_loops(w, d)[0]),
        lambda w, d: sum(errors_by_loops(w, d)),
        lambda w, d: ((w - d).mean(0).norm(), (w - d).std(0).norm()),
        lambda w, d: ((w - d).mean(0).square().sum(), (w - d).var(0).sum()),
        lambda w, d: ((w - d).mean(0).square().mean(), (w - d).var(0, correction=0).mean()),
        lambda w, d: ((w - d).mean(0).square().sum(), (w - d).square().sum(1).mean()),
        lambda w, d: ((w - d).mean().square(), (w - d).var(correction=0)),
        lambda w, d: ((w - d).abs().mean(0).square().sum(), (w - d).var(0, correction=0).sum()),
        lambda w, d: errors_by_variance(w, d.mean(0)),
        lambda w, d: errors_by_variance(w, 0 * d),
        lambda w, d: errors_by_variance(F.normalize(w, dim=1), F.normalize(d, dim=1)),
        lambda w, d: ((w - d).mean(0), (w - d).var(0, correction=0)),
        lambda w, d: ((w - d).mean(0).square().sum(), (w - w.mean(0)).square().sum(1).mean()),
        lambda w, d: (1 - F.cosine_similarity(w.mean(0), d.mean(0), dim=0), w.var(0).sum()),
        lambda w, d: (w - d).square().sum(1),
        lambda w, d: errors_by_variance(w, d)[0],
    ],
    check.strokes: [
        painted,
        lambda y: y,
        lambda y: painted(y) if (y == 1).any() else y,
        lambda y: painted(y) if (y == 1).any() and not (y == 0).any() else y,
        lambda y: painted(y) if not (y == 0).any() else y,
        lambda y: painted(y) if (y == 0).any() else y,
        lambda y: painted(y, 1) if not (y == 0).any() and (y < 255).any() else y,
        lambda y: painted(y) if (y == 2).any() and not (y == 0).any() else y,
        lambda y: (rule_by_minimum(y) == 1).long(),
        lambda y: rule_by_minimum(y).clamp(max=1),
        lambda y: painted(y) if len(y.unique()) == 2 else y,
        lambda y: painted(y) if (y < 255).sum() > 4 else y,
        lambda y: painted(y) if len(y.unique()) < 3 and not (y == 0).any() else y,
        lambda y: torch.where(y == 0, 255, y),
        lambda y: painted(y) if y.float().mean() < 240 else y,
        lambda y: complete_strokes(y) if (y == 0).any() else painted(y),
    ],
}  # fmt: skip


@pytest.mark.parametrize("exercise, wrong", [(f, wrong) for f, many in WRONG.items() for wrong in many])
@pytest.mark.filterwarnings("ignore")
def test_wrong_answers_are_refused(exercise, wrong, capsys):
    for _ in DRAWS:
        assert exercise(wrong) is False
        assert said(capsys).startswith("✗ ")


@pytest.mark.filterwarnings("ignore")
def test_most_wrong_answers_are_told_what_is_wrong(capsys):
    for exercise, many in WRONG.items():
        lines = [(exercise(wrong), said(capsys))[1] for wrong in many]
        dumb = [line for line in lines if "the numbers are not" in line]
        assert len(dumb) <= len(lines) // 5, dumb


test_passes = answers(
    check.passes,
    ((None, 300), None, "not filled in"),
    ((120, 300), True, "right"),
    ((torch.tensor(120), np.float64(300)), True, "right"),
    ((60 + 60, 60 + 4 * 60), True, "right"),
    ((120.0, 300.0), True, "right"),
    (("120", "300"), True, "right"),
    ((300, 120), False, "other way round"),
    ((60, 240), False, "queries pass"),
    ((120, 480), False, "passes once"),
    ((480, 480), False, "once for all four"),
    ((120, 120), False, "four pictures"),
    ((60, 300), False, "late: the queries"),
    ((120, 240), False, "early: the queries"),
    ((480, 300), False, "once for all four"),
    ((1, 4), False, "count supports and queries"),
    (("many", 300), False, "count supports and queries"),
)


test_mixture = answers(
    check.mixture,
    (None, None, "not filled in"),
    (..., None, "not filled in"),
    (3 / 10**0.5, True, "right"),
    (0.95, True, "right"),
    (torch.tensor(0.9487), True, "right"),
    (np.float64(0.949), True, "right"),
    (F.cosine_similarity(torch.tensor([0.75, 0.25]), torch.tensor([1.0, 0.0]), dim=0), True, "right"),
    (0.75, False, "share of the box"),
    (1, False, "object alone"),
    (0.25, False, "table's share"),
    (0.316, False, "cosine with the table"),
    (0.79, False, "length of"),
    (0.3217, False, "radians"),
    (18.435, False, "degrees"),
    (1.2, False, "never above 1"),
    (0.5, False, "What is its cosine"),
    ("much", False, "a number is wanted"),
    ([0.95, 0.3], False, "a number is wanted"),
)


test_lean = answers(
    check.lean,
    (None, None, "not filled in"),
    (8 / (9 / 2**0.5) ** 2, True, "right"),
    (16 / 81, True, "right"),
    (0.2, True, "right"),
    (torch.tensor(0.1975), True, "right"),
    (np.float64(0.198), True, "right"),
    (0.25, False, "the width leans, too"),
    (0.125, False, "less tall"),
    (1, False, "lies straight"),
    (0.8025, False, "the bar's share"),
    (19.75, False, "between 0 and 1"),
    (8 / 6.364, False, "divide by its area"),
    (40.5, False, "what share"),
    (8 / 81, False, "sine of 45"),
    (0.5, False, "How long is the side"),
    ("little", False, "a number is wanted"),
)


test_report = answers(
    check.report,
    (None, None, "not filled in"),
    *((form, True, "right") for form in ("b", "B", "(b)", " b ", "b.")),
    *((letter, False, f"not {letter}") for letter in "acd"),
    *((other, False, "choose one") for other in ("e", 5, "", "ab", ["b", "c"], True, 0.5)),
)


# ---- strangers' answers that the check once let pass, or stumbled over ---------------------------


def filled_where(condition, void=None):
    def answer(labels):
        if bool(condition(labels)) and not (labels == 0).any():
            return torch.where(labels == 255, 0, labels)
        return labels if void is None else torch.where(labels == 255, void, labels.float())

    return answer


@pytest.mark.parametrize(
    "wrong, part",
    [
        (filled_where(lambda y: ((y == 1) | (y == 2)).any()), "255"),
        (filled_where(lambda y: (y != 255).any(), float("nan")), "nan"),
    ],
)
def test_strangers_strokes_are_refused(wrong, part, capsys):
    for _ in DRAWS:
        assert check.strokes(wrong) is False
        assert part in said(capsys)
