"""Chapter 10's checks: right answers of all kinds pass, each known mistake is told by its own sentence, and wrong
answers that were written from the exercises' texts are refused."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checking import DRAWS, answers, mistakes_are_told, right_passes, said, stubs_and_errors

from panet_lite.check import chapter10 as check


def by_loops(support, support_labels, query, query_labels, normalised):
    """ex-10-distance without the package."""
    found = []
    for c in (0, 1):
        own = torch.stack([f[:, y == c].mean(1) for f, y in zip(support, support_labels)]).mean(0)
        other = query[:, query_labels == c].mean(1)
        if normalised:
            own, other = own / own.norm(), other / other.norm()
        found.append((own - other).norm())
    return torch.stack(found)


def by_eigenvectors(features, k):
    """ex-10-reconstruct by another road: the covariance's eigenvectors."""
    middle = features.mean(0)
    _, vectors = torch.linalg.eigh((features - middle).T @ (features - middle))
    axes = vectors[:, len(vectors) - k :]
    return middle + (features - middle) @ axes @ axes.T


def labels_of(x, prototypes):
    return F.cosine_similarity(x[:, None], prototypes, dim=2).argmax(1)


def agreements(features, prototypes, rebuild=by_eigenvectors):
    """The share of labels that stay, for k = 0, 1, ... C."""
    full = labels_of(features, prototypes)
    kept = [labels_of(rebuild(features, k), prototypes) == full for k in range(features.shape[1] + 1)]
    return [same.float().mean().item() for same in kept]


def counted(features, prototypes, share):
    """ex-10-enough with `by_eigenvectors`."""
    return next(k for k, value in enumerate(agreements(features, prototypes)) if value >= share)


def relative_by_loops(own, rival, other):
    found = []
    for a, b, c in zip(own, rival, other):
        a, b, c = (v / v.square().sum().sqrt() for v in (a, b, c))
        found.append(((c - a) ** 2).sum() ** 0.5 / ((c - b) ** 2).sum() ** 0.5)
    return torch.stack(found)


def pairs_by_loops(par, without):
    rows = []
    for seed in sorted({seed for seed, _ in par}):
        places = [(seed, fold) for fold in range(4)]
        if all(p in par and p in without for p in places):
            rows.append([par[p] - without[p] for p in places])
    return rows


def masked(cosines):
    return cosines.masked_fill(torch.eye(len(cosines), dtype=torch.bool), -torch.inf).argmax(1)


IMPLEMENTATIONS = [
    (check.relative, relative_by_loops, check.RELATIVE_MISTAKES),
    (check.distance, by_loops, check.DISTANCE_MISTAKES),
    (check.reconstruct, by_eigenvectors, check.RECONSTRUCTION_MISTAKES),
    (check.enough, counted, check.ENOUGH_MISTAKES),
    (check.pairs, pairs_by_loops, check.PAIR_MISTAKES),
    (check.neighbours, masked, check.NEIGHBOUR_MISTAKES),
]


test_right_answer_passes = right_passes(IMPLEMENTATIONS)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS, lambda exercise: range(5))


test_unfilled_and_raising_answers = stubs_and_errors(
    *(row[0] for row in IMPLEMENTATIONS), check.cheat, nonsense=[lambda *inputs: torch.zeros(1, 17)]
)


# ---- right answers of other kinds ----------------------------------------------------------------


def unit(x, dim=-1):
    return F.normalize(x, dim=dim)


def relative_in_place(own, rival, other):
    for p in (own, rival, other):
        p /= p.norm(dim=1, keepdim=True)
    return torch.linalg.norm(other - own, dim=1).div_(torch.linalg.norm(other - rival, dim=1))


def relative_in_numpy(own, rival, other):
    own, rival, other = (
        p.numpy() / np.linalg.norm(p.numpy(), axis=1, keepdims=True) for p in (own, rival, other)
    )
    return np.linalg.norm(other - own, axis=1) / np.linalg.norm(other - rival, axis=1)


def relative_by_cosines(own, rival, other):
    def chord(a, b):
        return (2 - 2 * torch.einsum("ec,ec->e", unit(a.double()), unit(b.double()))).sqrt()

    return chord(other, own) / chord(other, rival)


def relative_by_angles(own, rival, other):
    def half(a, b):
        return torch.sin(F.cosine_similarity(a, b).clamp(-1, 1).acos() / 2)

    return half(own, other) / half(rival, other)


def relative_by_cdist(own, rival, other):
    own, rival, other = unit(own), unit(rival), unit(other)
    return torch.cdist(other, own).diagonal() / torch.cdist(other, rival).diagonal()


def distance_by_einsum(support, support_labels, query, query_labels, normalised):
    def pooled(f, y):  # (K, C, h, w), (K, h, w) -> (2, C)
        m = torch.stack([y == 0, y == 1], 1).to(f)
        return (torch.einsum("kchw,kjhw->kjc", f, m) / (m.sum((2, 3))[..., None] + 1e-5)).mean(0)

    own, other = pooled(support, support_labels), pooled(query[None], query_labels[None])
    return (unit(own) - unit(other) if normalised else own - other).norm(dim=1)


def distance_in_numpy(support, support_labels, query, query_labels, normalised):
    s, q = support.numpy().astype(float), query.numpy().astype(float)
    found = []
    for c in (0, 1):
        own = np.mean([f[:, y.numpy() == c].mean(1) for f, y in zip(s, support_labels)], axis=0)
        other = q[:, query_labels.numpy() == c].mean(1)
        if normalised:
            own, other = own / np.linalg.norm(own), other / np.linalg.norm(other)
        found.append(np.linalg.norm(own - other))
    return np.array(found)


def distance_as_floats(*inputs):
    return tuple(by_loops(*inputs).tolist())


def distance_in_place(support, support_labels, query, query_labels, normalised):
    result = torch.zeros(2, dtype=torch.float64)
    for c in (0, 1):
        means = torch.zeros(2, support.shape[1])
        for f, y in zip(support, support_labels):
            means[0] += (f * (y == c)).sum((1, 2)) / (y == c).sum() / len(support)
        means[1] += (query * (query_labels == c)).sum((1, 2)) / (query_labels == c).sum()
        if normalised:
            means /= means.norm(dim=1, keepdim=True)
        result[c] = F.pairwise_distance(means[0], means[1], eps=0)
    return result


def distance_by_cdist(support, support_labels, query, query_labels, normalised):
    own = check.means(support, support_labels).mean(0)
    other = check.means(query, query_labels)
    both = (unit(own), unit(other)) if normalised else (own, other)
    return torch.cdist(*both, compute_mode="donot_use_mm_for_euclid_dist").diagonal()


def rebuilt_by_values(features, k):
    middle = features.mean(0, keepdim=True)
    left, values, axes = torch.linalg.svd(features - middle, full_matrices=False)
    values[k:] = 0
    return left @ torch.diag(values) @ axes + middle


def rebuilt_in_numpy(features, k):
    x = features.numpy().astype(float)
    _, vectors = np.linalg.eigh(np.cov(x.T))
    axes = vectors[:, ::-1][:, :k]
    return (x - x.mean(0)) @ axes @ axes.T + x.mean(0)


def rebuilt_by_loop(features, k):
    middle = features.mean(0)
    _, _, axes = torch.linalg.svd(features - middle)
    result = middle.expand_as(features).clone()
    for axis in axes[:k]:
        result += ((features - middle) @ axis)[:, None] * axis
    return result


def rebuilt_in_float64(features, k):
    return by_eigenvectors(features.double(), k)


def rebuilt_by_covariance(features, k):
    middle = features.mean(0)
    axes = torch.linalg.svd(torch.cov(features.T)).Vh[:k]
    return middle + torch.einsum("nc,kc,kd->nd", features - middle, axes, axes)


def enough_as_tensor(features, prototypes, share):
    agreed = torch.tensor(agreements(features, prototypes))
    return (agreed >= share).int().argmax()


def enough_in_numpy(features, prototypes, share):
    agreed = np.array(agreements(features, prototypes, rebuilt_by_values))
    return np.flatnonzero(agreed >= share)[0]


def enough_while(features, prototypes, share):
    k, agreed = 0, agreements(features.double(), prototypes.double())
    while agreed[k] < share:
        k += 1
    return k


def enough_as_float(*inputs):
    return float(counted(*inputs))


def enough_at_once(features, prototypes, share):
    return check.enough_components(features, prototypes, share)


def pairs_in_numpy(par, without):
    return np.array(pairs_by_loops(par, without))


def pairs_as_tensor(par, without):
    return torch.tensor(pairs_by_loops(par, without), dtype=torch.float64)


def pairs_as_tuples(par, without):
    return tuple(tuple(row) for row in pairs_by_loops(par, without))


def pairs_by_seed_sets(par, without):
    def whole(scores):
        return {s for s, _ in scores if all((s, f) in scores for f in range(4))}

    return [
        np.array([par[s, f] for f in range(4)]) - np.array([without[s, f] for f in range(4)])
        for s in sorted(whole(par) & whole(without))
    ]


def pairs_by_groups(par, without):
    both = sorted((key, par[key] - without[key]) for key in par.keys() & without.keys())
    rows = [[gap for _, gap in group] for _, group in itertools.groupby(both, lambda item: item[0][0])]
    return [torch.tensor(row) for row in rows if len(row) == 4]


def neighbours_by_loops(cosines):
    found = []
    for i, row in enumerate(cosines.tolist()):
        found.append(max((j for j in range(len(row)) if j != i), key=lambda j: row[j]))
    return found


def neighbours_in_place(cosines):
    cosines.fill_diagonal_(-2)
    return cosines.max(dim=1).indices


def neighbours_in_numpy(cosines):
    x = cosines.numpy()
    np.fill_diagonal(x, -np.inf)
    return x.argmax(1)


def neighbours_by_topk(cosines):
    return (cosines - 10 * torch.eye(len(cosines))).topk(1).indices.squeeze(1)


def neighbours_by_columns(cosines):
    return masked(cosines.T).double()


RIGHT = {
    check.relative: [relative_in_place, relative_in_numpy, relative_by_cosines, relative_by_angles, relative_by_cdist],
    check.distance: [distance_by_einsum, distance_in_numpy, distance_as_floats, distance_in_place, distance_by_cdist],
    check.reconstruct: [rebuilt_by_values, rebuilt_in_numpy, rebuilt_by_loop, rebuilt_in_float64, rebuilt_by_covariance],
    check.enough: [enough_as_tensor, enough_in_numpy, enough_while, enough_as_float, enough_at_once],
    check.pairs: [pairs_in_numpy, pairs_as_tensor, pairs_as_tuples, pairs_by_seed_sets, pairs_by_groups],
    check.neighbours: [neighbours_by_loops, neighbours_in_place, neighbours_in_numpy, neighbours_by_topk, neighbours_by_columns],
}  # fmt: skip


@pytest.mark.parametrize(
    "exercise, answer", [(check_, one) for check_, some in RIGHT.items() for one in some]
)
def test_right_answers_of_other_kinds_pass(exercise, answer, capsys):
    for _ in range(5):
        assert exercise(answer) is True
        assert said(capsys).startswith("✓ right")


# ---- wrong answers written from the exercises' texts ---------------------------------------------


def bisect_up_to_one_more(features, prototypes, share):
    agreed, low, high = agreements(features, prototypes), 0, features.shape[1] + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if agreed[min(middle, high - 1)] >= share else (middle + 1, high)
    return low


def agreeing(change):
    """ex-10-enough with another list of agreements."""
    return lambda x, p, share: next(k for k, value in enumerate(change(x, p)) if value >= share)


WRONG = {
    check.relative: [
        (lambda own, rival, other: (other - own).norm(dim=1) / (other - rival).norm(dim=1), "raw"),
        (lambda own, rival, other: relative_by_loops(rival, own, other), "upside down"),
        (lambda own, rival, other: relative_by_loops(own, other, rival), ""),
        (lambda own, rival, other: relative_by_loops(other, rival, own), "from the support's object"),
        (lambda own, rival, other: relative_by_loops(own, rival, other) ** 2, "squared"),
        (lambda own, rival, other: relative_by_loops(own, rival, other).mean(), "each episode"),
        (lambda own, rival, other: (unit(other) - unit(own)).norm(dim=1), "rival is missing"),
        (lambda own, rival, other: F.cosine_similarity(own, other) / F.cosine_similarity(rival, other), ""),
        (lambda own, rival, other: 1 - F.cosine_similarity(own, other), "rival is missing"),
        (lambda own, rival, other: unit(other - own).norm(dim=1) / unit(other - rival).norm(dim=1), ""),
        (lambda own, rival, other: relative_by_loops(own, rival, other)[:, None], "shape"),
        (lambda own, rival, other: (unit(other) - unit(own)).norm() / (unit(other) - unit(rival)).norm(), ""),
        (lambda own, rival, other: relative_by_loops(own, rival, other).clamp(max=1), ""),
    ],
    check.distance: [
        (lambda s, ys, q, yq, n: by_loops(s, ys, q, yq, False), "changes nothing"),
        (lambda s, ys, q, yq, n: by_loops(s, ys, q, yq, True), ""),
        (lambda s, ys, q, yq, n: by_loops(s, ys, q, yq, not n), ""),
        (lambda *inputs: by_loops(*inputs).flip(0), "changed places"),
        (lambda *inputs: by_loops(*inputs)[1], "shape"),
        (lambda *inputs: by_loops(*inputs) ** 2, "squared"),
        (lambda s, ys, q, yq, n: by_loops(s, ys.clamp(max=1), q, yq.clamp(max=1), n), ""),
        (lambda s, ys, q, yq, n: by_loops(s, (ys == 1).long(), q, (yq == 1).long(), n), "void"),
        (lambda s, ys, q, yq, n: by_loops(s[:1], ys[:1], q, yq, n), "first shot"),
        (lambda s, ys, q, yq, n: by_loops(s.mean(0)[None], ys[:1], q, yq, n), ""),
        (lambda s, ys, q, yq, n: by_loops(unit(s, 1) if n else s, ys, unit(q, 0) if n else q, yq, False), "pixels"),
        (lambda *inputs: by_loops(*inputs).mean(), "shape"),
        (lambda s, ys, q, yq, n: torch.stack([by_loops(s[k:k + 1], ys[k:k + 1], q, yq, n) for k in range(3)]).mean(0),
         "each shot's own"),
    ],
    check.reconstruct: [
        (lambda x, k: by_eigenvectors(x, k) - x.mean(0), "mean is missing"),
        (lambda x, k: by_eigenvectors(x, k - 1), "too few"),
        (lambda x, k: by_eigenvectors(x, k + 1), "too many"),
        (lambda x, k: x, ""),
        (lambda x, k: torch.cat([x[:, :k], 0 * x[:, k:]], 1), ""),
        (lambda x, k: (x - x.mean(0)) @ check.directions(x - x.mean(0))[:k].T, "shape"),
        (lambda x, k: x.mean(0) + 0 * x, ""),
        (lambda x, k: by_eigenvectors(unit(x), k), ""),
        (lambda x, k: by_eigenvectors(x.T, k).T, ""),
        (lambda x, k: check.rebuilt(x, lambda axes: axes[-k:]), "last components"),
        (lambda x, k: check.rebuilt(x, lambda axes: axes[torch.randperm(len(axes))[:k]]), ""),
        (lambda x, k: x @ check.directions(x)[:k].T @ check.directions(x)[:k], "not taken off"),
    ],
    check.enough: [
        (lambda x, p, s: max(counted(x, p, s), 1), "k = 0"),
        (lambda x, p, s: 1 + next(k for k, v in enumerate(agreements(x, p)[1:]) if v >= s), "k = 0"),
        (check.bisected, "halving"),
        (lambda *inputs: check.bisected(*inputs, low=1), "halving"),
        (bisect_up_to_one_more, ""),
        (check.from_above, "from above"),
        (check.by_variance, "variance"),
        (lambda *inputs: counted(*inputs) + 1, "too many"),
        (lambda *inputs: counted(*inputs) - 1, "too few"),
        (agreeing(lambda x, p: [0, *agreements(x, p)]), ""),
        (agreeing(lambda x, p: agreements(x - x.mean(0), p - x.mean(0))), ""),
        (agreeing(lambda x, p: [np.mean(np.cumsum(v)) for v in agreements(x, p)[1:]]), ""),
        (lambda x, p, s: x.shape[1], ""),
        (lambda x, p, s: int(s * x.shape[1]), ""),
        (lambda x, p, s: agreements(x, p)[-1], ""),
        (lambda x, p, s: torch.tensor(agreements(x, p)).argmax(), ""),
    ],
    check.pairs: [
        (lambda par, without: pairs_by_loops(without, par), "sign"),
        (lambda par, without: [[par[k] - without[k]] for k in par if k in without], ""),
        (lambda par, without: [par[k] - without[k] for k in sorted(par) if k in without], "own"),
        (lambda par, without: np.array(pairs_by_loops(par, without)).T, "rows are folds"),
        (lambda par, without: np.array(pairs_by_loops(par, without)).mean(1), "averaged"),
        (lambda par, without: np.array(pairs_by_loops(par, without)).ravel(), "ran together"),
        (lambda par, without: np.mean([*par.values()]) - np.mean([*without.values()]), "two means"),
        (lambda par, without: pairs_by_loops(par, without)[::-1], ""),
        (lambda par, without: pairs_by_loops(par, without)[:1], "first seed"),
        (lambda par, without: dict(enumerate(pairs_by_loops(par, without))), ""),
        (lambda par, without: [[par.get((s, f), 0) - without.get((s, f), 0) for f in range(4)]
                               for s in sorted({s for s, _ in par})], ""),
        (lambda par, without: [[par[s, f] - without[s, f] for f in range(3)]
                               for s in sorted({s for s, _ in par}) if (s, 3) in par and (s, 2) in without], ""),
        (lambda par, without: [[par[s, f] - without[s, f] for f in range(4)] for s in range(3)], "KeyError"),
    ],
    check.neighbours: [
        (lambda x: x.argmax(1), "own neighbour"),
        (lambda x: x.topk(2).indices[:, 1], "second"),
        (lambda x: x.argsort(1)[:, -2], "second"),
        (lambda x: (x - x.diag().diag()).argmax(1), "0 on the diagonal"),
        (lambda x: (x * (1 - torch.eye(len(x)))).argmax(1), "0 on the diagonal"),
        (lambda x: (x - torch.eye(len(x))).argmax(1), ""),
        (lambda x: masked(-x), "farthest"),
        (lambda x: x.masked_fill(torch.eye(len(x)).bool(), -2).amax(1), "index"),
        (lambda x: masked(x.abs()), "absolute"),
        (lambda x: masked(x) + 1, "one too high"),
        (lambda x: x.masked_fill(torch.eye(len(x)).bool(), -2).argmax(), "shape"),
        (lambda x: x.fill_diagonal_(-2).argsort(1, descending=True), "shape"),
        (lambda x: F.one_hot(masked(x)), "shape"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "exercise, answer, part", [(check_, *one) for check_, some in WRONG.items() for one in some]
)
def test_wrong_answers_are_refused(exercise, answer, part, capsys):
    for _ in range(5):
        assert exercise(answer) is False
        assert part in said(capsys)


# ---- choices -------------------------------------------------------------------------------------

test_scaling = answers(
    check.scaling,
    (None, None, "not filled in"),
    (..., None, "not filled in"),
    ("b", True, "right"),
    ("(B)", True, "right"),
    ("a", False, "not a"),
    ("c", False, "not c"),
    ("d", False, "not d"),
    (2, False, "choose one"),
)


test_claim = answers(
    check.claim,
    (None, None, "not filled in"),
    ("c", True, "right"),
    ("C.", True, "right"),
    ("a", False, "not a"),
    ("b", False, "not b"),
    ("d", False, "not d"),
    ("cd", False, "choose one"),
)


# ---- the cheat -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, verdict, part",
    [
        (lambda f: 0.01 * f + 1, True, "cheated"),
        (lambda f: (f / 100).double() + 1, True, "cheated"),
        (lambda f: f.mul_(0.005).sub_(1), True, "cheated"),
        (lambda f: torch.stack([0.01 * row + 1 for row in f]), True, "cheated"),
        (lambda f: 0.01 * f + 3 * torch.eye(8)[0], True, "cheated"),
        (lambda f: f + 1000, False, "the raw distances"),
        (lambda f: 0.01 * f, False, "does not change a direction"),
        (lambda f: F.normalize(f, dim=1), False, "distances"),
        (lambda f: F.normalize(f, dim=1) / 100 + 1, False, "no mere cheating"),
        (lambda f: f - f.mean(0), False, "distances"),
        (lambda f: f.clamp(min=0), False, "distances"),
        (lambda f: f, False, "the raw distances"),
        (lambda f: 0.1 * f + 0.1, False, "distances"),
        (torch.ones_like, False, "became equal"),
        (lambda f: f.clamp(-0.1, 0.1) * 0, False, "became equal"),
        (lambda f: f / 0, False, "a finite tensor"),
        (lambda f: f[:, :2], False, "a finite tensor"),
        (lambda f: f.tolist(), False, "the raw distances"),
        (lambda f: f.mean(0), False, "a finite tensor"),
    ],
)
def test_cheat(answer, verdict, part, capsys):
    for _ in DRAWS:
        assert check.cheat(answer) is verdict
        assert part in said(capsys)


def test_the_cheat_s_last_condition_is_at_stake():
    """In each cloud the plain cheat spoils the prediction, and one that also evens the lengths mends it."""
    for _ in range(5):
        features, labels = check.cloud()
        iou = [check.judged(x, labels)[2] for x in (features, 0.01 * features + 1, 0.01 * unit(features) + 1)]
        assert iou[1] < iou[0] - 0.05 < iou[0] + 0.05 < iou[2]


# ---- strangers' answers that a check once let pass, or refused -----------------------------------


def first_k(ks, enough):
    def answer(features, prototypes, share):
        kept = (
            (check.nearest(check.steps(features), prototypes) == check.nearest(features, prototypes))
            .float()
            .mean(1)
        )
        return next((k for k in ks if enough(float(kept[k]), share)), None)

    return answer


def paired(seeds, complete):
    def answer(par, without):
        return [[par.get((s, f), 0) - without.get((s, f), 0) for f in range(4)]
                for s in seeds({s for s, _ in par}) if all((s, f) in complete(par, without) for f in range(4))]  # fmt: skip

    return answer


@pytest.mark.parametrize(
    "exercise, wrong",
    [
        (check.enough, first_k(range(13), lambda kept, share: kept > share)),
        (check.enough, first_k(range(11), lambda kept, share: kept >= share)),
        (check.enough, first_k(range(0, 13, 2), lambda kept, share: kept >= share)),
        (
            check.pairs,
            paired(lambda seeds: sorted(seeds, key=str), lambda par, without: par.keys() & without),
        ),
        (check.pairs, paired(sorted, lambda par, without: without)),
        (check.pairs, paired(sorted, lambda par, without: par)),
    ],
)
def test_strangers_answers_are_refused(exercise, wrong, capsys):
    for _ in DRAWS:
        assert exercise(wrong) is False
        assert said(capsys).startswith("✗ ")


def test_a_cheat_may_be_numpy(capsys):
    assert check.cheat(lambda features: 1 + 1e-4 * np.asarray(features)) is True
    assert said(capsys).startswith("✓ ")
