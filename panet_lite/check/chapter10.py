"""Answers to the exercises of chapter 10, the embedding space."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..alignment import prototype_distance
from ..prototypes import VOID
from . import harness
from .harness import directions


def unit(vectors: Tensor, dim: int = -1) -> Tensor:
    """Vectors along `dim`, made one long."""
    return F.normalize(vectors, dim=dim)


# ---- ex-10-relative ------------------------------------------------------------------------------


def ratio(own: Tensor, rival: Tensor, other: Tensor) -> Tensor:
    """Of vectors (E, C), as they are: how far `other` is from `own`, as a share of how far it is from `rival`."""
    share: Tensor = (other - own).norm(dim=1) / (other - rival).norm(dim=1)
    return share


def relative_distance(own: Tensor, rival: Tensor, other: Tensor) -> Tensor:
    """The relative distance (E,) of prototypes (E, C): the way to the own class as a share of that to the rival."""
    return ratio(unit(own), unit(rival), unit(other))


def chords(own: Tensor, rival: Tensor, other: Tensor, p: float = 2) -> tuple[Tensor, Tensor]:
    """The ways (E,) on the sphere from `other` to `own` and to `rival`, by the p-norm."""
    return (unit(other) - unit(own)).norm(p, dim=1), (unit(other) - unit(rival)).norm(p, dim=1)


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Radians (E,) between (E, C) and (E, C)."""
    return (unit(a) * unit(b)).sum(1).clamp(-1, 1).acos()


RELATIVE_MISTAKES = (
    (ratio, "these are raw distances: make all three prototypes one long first"),
    (lambda own, rival, other: relative_distance(rival, own, other),
     "upside down: the way to the own class stands above, that to the rival below"),
    (lambda own, rival, other: angle(other, own) / angle(other, rival),
     "these are angles: asked is the straight line between two points of the unit sphere, the chord"),
    (lambda own, rival, other: 1 - (unit(other) * unit(own)).sum(1),
     "this is one minus a cosine, and the rival is missing"),
    (lambda own, rival, other: relative_distance(own, other, rival),
     "you measured the rival's ways: both start at the query's object, the third argument"),
    (lambda own, rival, other: (d := chords(own, rival, other))[0] / (d[0] + d[1]), "this is a share of both ways together: divide by the way to the rival alone"),
    (lambda own, rival, other: (d := chords(own, rival, other))[0] - d[1], "this is a difference of the two ways: their ratio is wanted"),
    (lambda own, rival, other: chords(own, rival, other, 1)[0] / chords(own, rival, other, 1)[1], "you summed absolute differences: a straight line is the root of a sum of squares"),
    (lambda own, rival, other: (unit(other) * unit(own)).sum(1) / (unit(other) * unit(rival)).sum(1), "these are cosines: the straight lines between the points are wanted"),
    (lambda own, rival, other: ratio(*(F.normalize(x, p=1, dim=1) for x in (own, rival, other))), "one long by the sum of absolute values: by the root of the sum of squares, please"),
    (lambda own, rival, other: ratio(own, rival, unit(other)), "only one of the three is made one long: all of them, please"),
    (lambda own, rival, other: ratio(unit(own), unit(rival), other), "`other` is not made one long: all three, please"),
    (lambda own, rival, other: relative_distance(other, rival, own),
     "you measured the rival from the support's object: both ways start at the query's object, which is to be cut"),
    (lambda own, rival, other: relative_distance(own, rival, other).square(), "squared distances (1 - cos is half of one): the roots are missing"),
    (lambda own, rival, other: (unit(other) - unit(own)).norm(dim=1), "the rival is missing: divide by the way to it"),
    (lambda own, rival, other: ratio(unit(own, 0), unit(rival, 0), unit(other, 0)),
     "you made the columns one long: each row is a prototype, normalise along the channels"),
    (lambda own, rival, other: ratio(*(x / x.norm() for x in (own, rival, other))),
     "you divided by the length of the whole table: each row is a prototype with a length of its own"),
    (lambda own, rival, other: (d := chords(own, rival, other))[0] / d[1].mean(), "the ways to the rival are averaged: each episode has its own"),
    (lambda own, rival, other: relative_distance(own, rival, other).mean(), "one number for each episode is asked, not their mean"),
)  # fmt: skip


def relative(answer: harness.Answer) -> bool | None:
    """ex-10-relative: support's object, support's background, query's object, (E, C) each -> (E,)."""
    return harness.implementation(
        answer,
        relative_distance,
        lambda: tuple((torch.randn(7, 5) + 1) * 3 * torch.rand(7, 1).add(0.1) for _ in range(3)),
        "right: two chords that start at the query's object, the own one as a share of the rival's",
        RELATIVE_MISTAKES,
    )


# ---- ex-10-distance ------------------------------------------------------------------------------


def means(features: Tensor, labels: Tensor, over: tuple[int, ...] = ()) -> Tensor:
    """Means of (..., C, h, w) where labels (..., h, w) are 0 and 1: (..., 2, C), jointly along `over`."""
    masks = torch.stack([labels == 0, labels == 1], dim=-3)
    return harness.mean_under(features.unsqueeze(-4), masks, over)


def apart(own: Tensor, other: Tensor, normalised: bool) -> Tensor:
    """Euclidean distance of prototypes (..., C) and (..., C): (...)."""
    if normalised:
        own, other = unit(own), unit(other)
    distances: Tensor = (own - other).norm(dim=-1)
    return distances


def episode_distance(
    support: Tensor, support_labels: Tensor, query: Tensor, query_labels: Tensor, normalised: bool
) -> Tensor:
    """The package's distance on one episode of one way: as `distance` has it, to (2,)."""
    return prototype_distance(
        support[None, None],
        support_labels[None, None],
        query[None, None],
        query_labels[None, None],
        normalised,
    )[0]


def sums(features: Tensor, labels: Tensor) -> Tensor:
    """As `means`, not divided."""
    return means(features, labels) * torch.stack([labels == 0, labels == 1], -3).sum((-2, -1))[..., None]


def cosine(support: Tensor, support_labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
    """The cosines (2,) of the support's and the query's prototypes."""
    return F.cosine_similarity(means(support, support_labels).mean(0), means(query, query_labels), dim=-1)


def unit_pixels(features: Tensor, normalised: bool) -> Tensor:
    """Features (..., C, h, w), each pixel's vector made one long if `normalised`."""
    return unit(features, -3) if normalised else features


DISTANCE_MISTAKES = (
    (lambda s, s_labels, q, q_labels, _: episode_distance(s, s_labels, q, q_labels, False),
     "`normalised` changes nothing: where it is true, make both prototypes one long first"),
    (lambda s, ys, q, yq, _: episode_distance(s, ys, q, yq, True),
     "`normalised` changes nothing: where it is false, leave the prototypes their lengths"),
    (lambda s, ys, q, yq, unit: episode_distance(s, ys, q, yq, not unit), "the wrong way round: one long where `normalised` is true"),
    (lambda s, ys, q, yq, one: (unit(means(s, ys).mean(0)) - means(q, yq)).norm(dim=1) if one else episode_distance(s, ys, q, yq, one),
     "only the support's prototypes are made one long: the query's, too"),
    (lambda s, ys, q, yq, one: 1 - cosine(s, ys, q, yq) if one else episode_distance(s, ys, q, yq, one),
     "this is 1 minus the cosine where `normalised` is true: the straight line between the two is wanted"),
    (lambda s, ys, q, yq, one: cosine(s, ys, q, yq) if one else episode_distance(s, ys, q, yq, one),
     "this is the cosine where `normalised` is true: the straight line between the two is wanted"),
    (lambda s, ys, q, yq, unit: apart(means(s, ys).sum(0), means(q, yq), unit), "the shots are added up: take their mean"),
    (lambda s, ys, q, yq, unit: episode_distance(s, ys.clamp(max=1), q, yq.clamp(max=1), unit), "void pixels (255) went into the object: they stay out of both masks"),
    (lambda s, ys, q, yq, unit: episode_distance(s, ys, q, yq % VOID, unit), "void pixels (255) of the query went into the background: they stay out of both masks"),
    (lambda s, ys, q, yq, unit: apart(sums(s, ys).mean(0), sums(q, yq), unit), "these are sums under the masks: divide by the pixels of the mask"),
    (lambda s, ys, q, yq, unit: apart(sums(s, ys).mean(0) / 20, sums(q, yq) / 20, unit), "you divide by all pixels: divide by those of the mask"),
    (lambda *parts: episode_distance(*parts).square(), "this is the squared distance: the root is missing"),
    (lambda *parts: episode_distance(*parts) / parts[0].shape[1] ** 0.5,
     "you average over the channels: the Euclidean norm sums the squares"),
    (lambda *parts: episode_distance(*parts).flip(0),
     "object and background changed places: the background comes first, as in `support_prototypes`"),
    (lambda s, ys, q, yq, unit: apart(means(s, ys, (0,)), means(q, yq), unit),
     "you pooled all shots' pixels at once: Eq. 1 averages within each image first, then over the images"),
    (lambda s, ys, q, yq, unit: apart(means(unit_pixels(s, unit), ys).mean(0), means(unit_pixels(q, unit), yq), False),
     "you made the pixels one long before you pooled: it is the prototypes that are normalised"),
    (lambda s, ys, q, yq, unit: episode_distance(s, ys % VOID, q, yq % VOID, unit),
     "void pixels (255) went into the background: they say nothing, and stay out of both masks"),
    (lambda s, ys, q, yq, unit: apart(means(s[:1], ys[:1]).mean(0), means(q, yq), unit),
     "only the first shot was used: average the means of all shots"),
    (lambda s, ys, q, yq, one: (means(s, ys).mean(0) - means(q, yq)).abs().sum(1) if not one
     else (unit(means(s, ys).mean(0)) - unit(means(q, yq))).abs().sum(1),
     "you summed absolute differences: the Euclidean distance is the root of the sum of squares"),
    (lambda s, ys, q, yq, one: apart(unit(means(s, ys)).mean(0) if one else means(s, ys).mean(0), means(q, yq), one),
     "you made each shot's mean one long before you averaged the shots: normalise last"),
    (lambda s, ys, q, yq, unit: apart(means(s, ys), means(q, yq), unit).mean(0),
     "you measured each shot's own distance and averaged those: average the shots to one prototype first"),
)  # fmt: skip


def draw_distance(flags: Iterator[bool]) -> tuple[Any, ...]:
    """Three supports and a query with areas, lengths and void pixels that differ from image to image."""
    support = (torch.randn(3, 6, 4, 5) + 3 * torch.randn(6, 1, 1)) * torch.tensor([0.5, 1, 3]).view(
        3, 1, 1, 1
    )
    query = (torch.randn(6, 4, 5) + 3 * torch.randn(6, 1, 1)) * torch.linspace(0.3, 3, 5)
    areas = ([0] * 14 + [1] * 3 + [VOID] * 3, [0] * 9 + [1] * 9 + [VOID] * 2, [0] * 4 + [1] * 12 + [VOID] * 4)
    labels = [torch.tensor(a)[torch.randperm(20)].view(4, 5) for a in (*areas, areas[1])]
    return support, torch.stack(labels[:3]), query, labels[3], next(flags)


def distance(answer: harness.Answer) -> bool | None:
    """ex-10-distance: (K, C, h, w), (K, h, w), (C, h, w), (h, w), bool -> (2,), background first."""
    flags = itertools.cycle([False, True])
    return harness.implementation(
        answer,
        episode_distance,
        lambda: draw_distance(flags),
        "right: the mean of the shots' means on one side, the query's on the other, raw and on the sphere",
        DISTANCE_MISTAKES,
        trials=6,
    )


# ---- ex-10-scaling -------------------------------------------------------------------------------


def scaling(answer: object) -> bool | None:
    """ex-10-scaling: all features times 2."""
    return harness.choice(
        answer,
        "b",
        {
            "a": "not a: prototypes twice as long still have length 1 once they are normalised",
            "b": "right: means scale with what they are means of, directions do not, and Eq. 3 reads directions "
            "only",
            "c": "not c: a cosine divides by both lengths, so the logits stay 20 cos and do not grow",
            "d": "not d: the raw distance is a length in feature units, and those doubled",
        },
    )


# ---- ex-10-reconstruct ---------------------------------------------------------------------------


def rebuilt(features: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
    """(N, C) -> (N, C): the features on the axes (k, C) chosen among their components (C, C)."""
    middle = features.mean(0)
    axes = choose(directions(features - middle))
    return middle + (features - middle) @ axes.T @ axes


def reconstruction(features: Tensor, components: int) -> Tensor:
    """(N, C) -> (N, C): what is left of the features on their first principal components."""
    return rebuilt(features, lambda axes: axes[:components])


def whitened(features: Tensor, components: int) -> Tensor:
    """(N, C) -> (N, C): as `reconstruction`, with all singular values 1."""
    middle = features.mean(0)
    left, _, axes = torch.linalg.svd(features - middle, full_matrices=False)
    rebuilt: Tensor = middle + left[:, :components] @ axes[:components]
    return rebuilt


RECONSTRUCTION_MISTAKES = (
    (lambda x, k: reconstruction(x, k) - x.mean(0),
     "the mean is missing: add it back, or every vector is measured from another origin"),
    (lambda x, k: x @ directions(x)[:k].T @ directions(x)[:k],
     "the mean was not taken off before the SVD: these axes start at the origin, not at the cloud"),
    (lambda x, k: rebuilt(x, lambda axes: axes[-k:]),
     "these are the last components: the singular values come sorted, the largest first"),
    (whitened, "the singular values got lost: U alone has lost how far the cloud reaches along each axis"),
    (lambda x, k: rebuilt(x, lambda axes: axes[:, :k].T),
     "the axes are the rows of V^T (`Vh`), you took its columns"),
    (lambda x, k: reconstruction((x - x.mean(0)) / x.std(0), k) * x.std(0) + x.mean(0),
     "you divided the channels by their spread: that is another cloud, with other axes"),
    (lambda x, k: x, "nothing is lost: keep k axes only"),
    (lambda x, k: x.mean(0).expand_as(x), "this is the mean alone: the k axes are missing"),
    (lambda x, k: reconstruction(x, k) - 2 * x.mean(0), "the mean is taken off once more: add it back"),
    *((lambda x, k, axes=axes: (x - x.mean(0)) @ (v := directions(x if axes else x - x.mean(0))[:k]).T @ v + x.mean(0) if axes else
       x @ (v := directions(x - x.mean(0))[:k]).T @ v + x.mean(0),
       "centre both: the axes are those of the cloud without its mean, and what is projected is the cloud without its mean")
      for axes in (True, False)),
    *((lambda x, k, middle=middle: middle(x) + reconstruction(x - middle(x), 99) * 0 + (z := x - middle(x)) @ (v := directions(z)[:k]).T @ v,
       "another middle: the mean of each channel over all pixels, `mean(0)`, is wanted")
      for middle in (lambda x: x.mean(1, keepdim=True), lambda x: x.mean(), lambda x: x.median(0).values)),
    *((lambda x, k, pick=pick: torch.where(F.one_hot(pick(x, k), x.shape[1]).sum(0) > 0, x, x.mean(0)),
       "you kept k channels: the k best *directions* are seldom channels, use torch.linalg.svd")
      for pick in (lambda x, k: torch.arange(k), lambda x, k: x.var(0).topk(k).indices)),
    (lambda x, k: reconstruction(F.normalize(x, dim=1), k), "you made the pixels one long first: take them as they are"),
    (lambda x, k: reconstruction((x - x.mean(0)) / x.std(0), k) + x.mean(0), "you divided the channels by their spread: that is another cloud, with other axes"),
    (lambda x, k: (x - x.mean(0)) / x.std(0) @ (v := directions(x - x.mean(0))[:k]).T @ v + x.mean(0), "you divided the channels by their spread: leave them as they are"),
    (lambda x, k: reconstruction(x, k - 1), "one component too few"),
    (lambda x, k: reconstruction(x, k + 1), "one component too many: `[:k]` keeps k of them"),
)  # fmt: skip


def reconstruct(answer: harness.Answer) -> bool | None:
    """ex-10-reconstruct: (N, C) features and k -> (N, C)."""
    return harness.implementation(
        answer,
        reconstruction,
        lambda: (torch.randn(30, 8) * torch.linspace(3, 0.5, 8) + 2 * torch.randn(8), harness.whole(2, 6)),
        "right: centre, keep k directions, add the mean back",
        RECONSTRUCTION_MISTAKES,
    )


# ---- ex-10-enough --------------------------------------------------------------------------------


def nearest(features: Tensor, prototypes: Tensor) -> Tensor:
    """Labels (..., N) by cosine."""
    return (F.normalize(features, dim=-1) @ F.normalize(prototypes, dim=1).T).argmax(-1)


def nearest_by_length(features: Tensor, prototypes: Tensor) -> Tensor:
    """Labels (..., N) by Euclidean distance."""
    return torch.cdist(features, prototypes).argmin(-1)


def steps(features: Tensor) -> Tensor:
    """`reconstruction` with 0, 1, ... C components at once: (N, C) -> (C + 1, N, C)."""
    middle = features.mean(0)
    axes = directions(features - middle)
    pieces = ((features - middle) @ axes.T).T[:, :, None] * axes[:, None]  # (C, N, C), one for each axis
    return middle + F.pad(pieces.cumsum(0), (0, 0, 0, 0, 1, 0))


Label = Callable[[Tensor, Tensor], Tensor]


def enough_components(
    features: Tensor, prototypes: Tensor, share: float, *, label: Label = nearest, away: Tensor | float = 0.0
) -> int:
    """The smallest k whose reconstruction, moved by -`away`, gets the full features' labels often enough."""
    agreed = (label(steps(features) - away, prototypes) == label(features, prototypes)).float().mean(1)
    return [*(agreed >= share).tolist(), True].index(True)


def by_variance(features: Tensor, prototypes: Tensor, share: float) -> int:
    """The smallest k whose components hold `share` of the variance of the features (N, C)."""
    values = torch.linalg.svdvals(features - features.mean(0)).square()
    return int((values.cumsum(0) / values.sum() < share).sum()) + 1


def bisected(features: Tensor, prototypes: Tensor, share: float, low: int = 0) -> int:
    """`enough_components` by halving, as if more components never kept fewer labels."""
    agreed = (nearest(steps(features), prototypes) == nearest(features, prototypes)).float().mean(1)
    high = features.shape[1]
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if agreed[middle] >= share else (middle + 1, high)
    return low


def from_above(features: Tensor, prototypes: Tensor, share: float) -> int:
    """The smallest k from which on no k fails."""
    agreed = (nearest(steps(features), prototypes) == nearest(features, prototypes)).float().mean(1)
    return max([k + 1 for k, value in enumerate(agreed.tolist()) if value < share], default=0)


STEADY = "more components can keep fewer labels: halving, or coming from above, misses the first k; try all, from 0 on"
ENOUGH_MISTAKES = (
    (lambda *parts: [enough_components(*parts)], "one number is wanted, not a list"),
    (lambda *parts: enough_components(*parts) - 1, "one too few: yours is the last k that is not enough"),
    (lambda *parts: max(enough_components(*parts), 1), "k = 0 is missing: every pixel at the mean may be enough already"),
    (lambda *parts: enough_components(*parts) + 1, "one too many: count the components, k = 0 keeps none"),
    (bisected, STEADY),
    (lambda x, p, share: bisected(x, p, share, 1), STEADY),
    (from_above, STEADY),
    (by_variance, "you asked for a share of the variance. Asked is the share of pixels that keep their label"),
    (lambda x, p, share: enough_components(x, p, share, away=x.mean(0)),
     "the mean was not added back: a cosine is measured from the origin, so the labels went astray"),
    (lambda *parts: enough_components(*parts, label=nearest_by_length),
     "these labels are by Euclidean distance: the models of this book take the cosine"),
)  # fmt: skip


def steady_cloud() -> tuple[Tensor, Tensor]:
    """Features (120, 12), mostly of one label, and two prototypes that are as far from their mean but not as askew."""
    features = torch.randn(120, 12) * torch.linspace(3, 0.2, 12) + 7 * unit(torch.randn(12))
    middle = features.mean(0)
    along, aside = 3 * unit(middle), 2 * unit(torch.randn(12))
    return features, torch.stack([middle - along + aside, middle + along + aside])


def bumpy_cloud() -> tuple[Tensor, Tensor]:
    """As `steady_cloud`; the second component tells the label, the third misleads, and the fourth puts it right."""
    few = torch.where(torch.rand(120) < 0.2, 2.0, -1.0)  # where the third and fourth pull together
    pull = torch.randn(120) * few.abs()
    side = torch.randint(2, (120,)) * 5 - 2.5
    parts = 3 * torch.randn(120), side, 1.5 * pull, 1.1 * pull * few.sign()
    features = torch.cat([torch.stack(parts, 1), 0.3 * torch.randn(120, 8)], 1)
    features[:, 11] += 4
    towards = F.pad(torch.tensor([0, 1, 3, 3 * 1.5 / 1.1]), (0, 8))
    aside = 4 * torch.eye(12)[11]
    return features, torch.stack([unit(aside - towards), 4 * unit(aside + towards)])


def draw_enough(kinds: Iterator[bool | None]) -> tuple[Tensor, Tensor, float]:
    """Features, prototypes and a share; k = 0 is enough where the next of `kinds` says so, else k = 2, but not k = 3; or all
    pixels must keep their label, and 11 components do it."""
    if (zero := next(kinds)) is None:
        return draw_all()
    share = (72.5 if zero else 94.5) / 120  # which no count of pixels meets to the bit
    while True:
        features, prototypes = steady_cloud() if zero else bumpy_cloud()
        turn = torch.linalg.qr(torch.randn(12, 12))[0]
        case = features @ turn, prototypes @ turn, share
        kept = (nearest(steps(case[0]), case[1]) == nearest(*case[:2])).sum(1)
        if (kept[:5] / 120 - share).abs().min() < 0.02 or enough_components(*case) != (0 if zero else 2):
            continue  # rounding moves a pixel or two
        found = [wrong(*case) for wrong, _ in ENOUGH_MISTAKES[1:]]
        if all(k != 0 for k in found[6:7]) and not {0, 1} & set(found[7:]) if zero else 2 not in found[2:7]:
            return case


def draw_all() -> tuple[Tensor, Tensor, float]:
    """Features, prototypes and the share 1, which 11 of 12 components meet: no pixel lies near the border."""
    while True:
        features, prototypes = torch.randn(120, 12) + torch.randn(12), torch.randn(2, 12)
        agreed = F.normalize(steps(features), dim=-1) @ unit(prototypes).T
        if (agreed[..., 0] - agreed[..., 1]).abs().min() > 1e-4 and enough_components(
            features, prototypes, 1.0
        ) == 11:
            return features, prototypes, 1.0


def enough(answer: harness.Answer) -> bool | None:
    """ex-10-enough: (N, C) features, (J, C) prototypes and a share -> the smallest k."""
    kinds: Iterator[bool | None] = itertools.cycle([True, False, None])
    return harness.implementation(
        answer,
        lambda *parts: torch.tensor(enough_components(*parts)),
        lambda: draw_enough(kinds),
        "right: the smallest number of components with which enough pixels keep their label",
        ENOUGH_MISTAKES,
        trials=3,
    )


# ---- ex-10-cheat ---------------------------------------------------------------------------------


def drawn_cloud() -> tuple[Tensor, Tensor]:
    """Features (2, N, C) of a support and a query whose lengths mean nothing, and labels (2, N)."""
    labels = (torch.arange(160) % 4 == 0).long().expand(2, -1)
    centres = torch.eye(2).repeat_interleave(4, 1)  # (2, C)
    features = centres[labels] + 0.8 * torch.randn(2, 160, 8) + 0.3 * torch.randn(2, 1, 8)
    return features * torch.exp(torch.randn(2, 160, 1)), labels


def cloud() -> tuple[Tensor, Tensor]:
    """A drawn cloud where a cheat makes the prediction worse, and pixels of one length would make it better."""
    while True:
        features, labels = drawn_cloud()
        evened = 0.01 * unit(features) + 1
        before, plain, even = (judged(x, labels)[2] for x in (features, 0.01 * features + 1, evened))
        if plain < before - 0.05 < before + 0.05 < even:
            moved = [judged(0.01 * features + 3 * axis, labels)[2] for axis in torch.eye(8)]
            if max(moved) < before:  # wherever the origin goes
                return features, labels


Judged = tuple[Tensor, Tensor, float]


def judged(features: Tensor, labels: Tensor) -> Judged:
    """Raw and normalised distances (2,) each, background first, and the IoU of the query's object."""
    own, other = (torch.stack([x[y == c].mean(0) for c in (0, 1)]) for x, y in zip(features, labels))
    predicted, truth = nearest(features[1], own) == 1, labels[1] == 1
    iou = ((predicted & truth).sum() / (predicted | truth).sum()).item()
    return apart(own, other, False), apart(own, other, True), iou


def fault(found: Tensor, features: Tensor, before: Judged, after: Judged) -> str:
    """What an attempt at cheating lacks, a sentence; "" if nothing."""
    if len(found.flatten(0, 1).double().unique(dim=0)) < features.shape[0] * features.shape[1]:
        return "different pixels became equal: leave every pixel something of its own"
    for name, a, b in (("raw", before[0], after[0]), ("normalised", before[1], after[1])):
        if (b > a / 10).any():
            ratio = (b / a).max().item()
            hint = ": a common factor does not change a direction" if name == "normalised" else ""
            return f"the {name} distances must fall to a tenth, the larger of yours is {ratio:.2f} of what it was{hint}"
    if after[2] > before[2] + 0.02:
        return f"the distances fell, but the IoU rose from {before[2]:.2f} to {after[2]:.2f}: that was no mere cheating"
    return ""


def cheated(value: list[Any], features: Tensor, labels: Tensor) -> harness.Verdict:
    """What to say of the two changed parts of features (2, N, C)."""
    for i, part in enumerate(value):
        value[i] = part = harness.read(torch.as_tensor, part)
        if part is None or part.shape != features[0].shape or not part.isfinite().all():
            return (
                False,
                f"a finite tensor of shape {tuple(features[0].shape)} is wanted, like the features",
            )
    found = torch.stack(value)
    before, after = judged(features, labels), judged(found.float(), labels)
    why = fault(found, features, before, after)
    right = "cheated: both distances fell to less than a tenth, and the IoU went from "
    return not why, why or f"{right}{before[2]:.2f} to {after[2]:.2f}"


def cheat(answer: harness.Answer) -> bool | None:
    """ex-10-cheat: a function of features (N, C) -> (N, C) that brings prototypes nearer to no avail."""

    def both(features: Tensor, labels: Tensor) -> list[Any] | None:
        parts = [answer(part) for part in features]
        return None if harness.blank(*parts) else parts

    return harness.inspected(both, cheated, cloud, trials=3)


# ---- ex-10-pairs ---------------------------------------------------------------------------------

Scores = Mapping[tuple[int, int], float]  # (seed, fold) -> a score


def seeds_of(*scores: Scores, folds: Callable[..., bool] = all) -> list[int]:
    """The seeds that each of `scores` has on all folds, or on any."""
    seeds = sorted({seed for some in scores for seed, _ in some})
    return [s for s in seeds if folds(all((s, f) in some for some in scores) for f in range(4))]


def differences(par: Scores, without: Scores) -> list[list[float]]:
    """(S, 4): with minus without, a row for each training seed that both have on all four folds."""
    return [[par[s, f] - without[s, f] for f in range(4)] for s in seeds_of(par, without)]


def every_pair(par: Scores, without: Scores) -> list[float]:
    """All pairs of trainings in a row, seed by seed."""
    return [par[key] - without[key] for key in sorted(par) if key in without]


def mean_of(scores: Scores) -> float:
    """The mean of all there is."""
    return sum(scores.values()) / len(scores)


PAIR_MISTAKES = (
    (lambda par, without: differences(without, par), "the sign is wrong: with PAR minus without, so that a gain is above 0"),
    (lambda par, without: [list(column) for column in zip(*differences(par, without))],
     "your rows are folds: `finding` takes a row for a repetition, and only a seed repeats a training"),
    (every_pair, "each pair of trainings became a row of its own, lone folds too: `finding` would take "
     "four folds of one seed for four repetitions"),
    (lambda par, without: [[row] for row in every_pair(par, without)],
     "each pair of trainings became a row of its own, lone folds too: a row is a seed, with its four folds"),
    (lambda par, without: sum(differences(par, without), []), "the rows ran together: keep a row of four for each seed"),
    (lambda par, without: [[par[s, f] - without[s, f] for f in range(4) if (s, f) in par and (s, f) in without]
                           for s in seeds_of(par, without, folds=any)],
     "a seed that lacks a fold is among them: its mean is one over other folds, and no repetition of the same"),
    (lambda par, without: [sum(row) / 4 for row in differences(par, without)],
     "the folds are averaged already: keep them apart, `finding` takes their mean itself"),
    (lambda par, without: mean_of(par) - mean_of(without),
     "a difference of two means over whatever was trained: pair same seed with same seed, same fold with same fold"),
    (lambda par, without: differences(par, without)[:1], "only the first seed: all that are complete count"),
)  # fmt: skip


def draw_pairs(lacking: int = 1) -> tuple[dict[tuple[int, int], float], ...]:
    """Scores of seeds that are complete, that only one fold has, and that lack a fold on one side, in any order."""
    seeds = [
        whole_seed := harness.whole(1, 3),
        *(torch.randperm(6)[:2] + 4).sort().values.tolist(),
        10 * whole_seed + harness.whole(1, 5),
    ]
    whole = [(s, f) for s in seeds for f in range(4)]
    lone, torn = (
        seeds[i] for i in torch.randperm(4 if lacking else 2)[:2].tolist()
    )  # 2: else text has another order
    tables = []
    for side in (0, 1):
        keys = [
            (s, f)
            for s, f in whole
            if not (s == lone and f) and not (s == torn and f == 2 and side == lacking)
        ]
        tables.append({keys[i]: 10 * float(torch.rand(())) for i in torch.randperm(len(keys)).tolist()})
    return tuple(tables)


def rows_equal(a: Any, b: Any) -> bool:
    """Whether two tables agree, whatever their rows are."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping) or not hasattr(value, "__len__") or not getattr(value, "shape", (1,)):
            return float(value)
        return [plain(one) for one in value]

    return harness.equal(harness.read(plain, a), b) if isinstance(b, list) else harness.equal(a, b)


def which_rows(values: list[Any], truths: list[list[list[float]]]) -> str:
    """What is wrong with rows that no known mistake explains: how many, how long, in which order."""
    for value, truth in zip(values, truths):
        rows = harness.read(lambda given: [[float(one) for one in row] for row in given], value)
        if rows is None:
            return "rows of four numbers are wanted, a row for each seed"
        if len(rows) != len(truth):
            return f"{len(truth)} seeds have all four folds in both tables, yours has {len(rows)} rows: a seed that lacks a fold in either stays out"
        if wrong := [len(row) for row in rows if len(row) != 4]:
            return f"a row has four differences, one for each fold, yours has {wrong[0]}"
        if not harness.equal(rows, truth) and harness.equal(sorted(rows), sorted(truth)):
            return "the rows are right, their order is not: the seeds rise, as numbers"
        if not harness.equal(rows, truth) and all(
            harness.equal(sorted(a), sorted(b)) for a, b in zip(rows, truth)
        ):
            return "the rows hold the right differences in another order: folds 0, 1, 2, 3"
    return harness.unexplained(values, truths)


def pairs(answer: harness.Answer) -> bool | None:
    """ex-10-pairs: two tables {(seed, fold): score} -> a row of four differences for each complete seed."""
    sides = itertools.cycle((1, 0))  # which of the two lacks a fold
    return harness.implementation(
        answer,
        differences,
        lambda: draw_pairs(next(sides)),
        "right: same seed, same fold, and only seeds that have all four",
        PAIR_MISTAKES,
        trials=8,
        same=rows_equal,
        otherwise=which_rows,
    )


# ---- ex-10-claim ---------------------------------------------------------------------------------


def claim(answer: object) -> bool | None:
    """ex-10-claim: what 81 and 80 with three seeds each allow to say."""
    return harness.choice(
        answer,
        "c",
        {
            "a": "not a: the interval over the seeds holds zero, so another three seeds might well turn the sign",
            "b": "not b: an interval that holds zero also holds +1.9, and `open` is no proof of `nothing`",
            "c": "right: the interval holds zero, and whatever lies in it has not been ruled out",
            "d": "not d: episodes are drawn from the same two trainings; more of them tell nothing of a third",
        },
    )


# ---- ex-10-neighbours ----------------------------------------------------------------------------


def neighbours_of(cosines: Tensor, itself: float = -float("inf")) -> Tensor:
    """For each row of (N, N) the column of its largest value, with `itself` on the diagonal: (N,)."""
    return cosines.clone().fill_diagonal_(itself).argmax(1)


NEIGHBOUR_MISTAKES: tuple[harness.Mistake, ...] = (
    (lambda x: x.argmax(1), "some class is its own neighbour: leave the diagonal out"),
    (lambda x: x.argsort(1, descending=True)[:, 1],
     "you took the second largest of each row: a class may be nearer to another than to itself, so mask the diagonal"),
    (lambda x: neighbours_of(x, 0.0), "0 on the diagonal, or 1 off it, still wins where all others are below 0: -inf is safe"),
    (lambda x: neighbours_of(-x), "these are the farthest: a large cosine is near"),
    (lambda x: x.clone().fill_diagonal_(-2).amax(1), "these are the cosines: asked is which class, the index"),
    (lambda x: neighbours_of(x.abs()), "you took absolute values: a cosine of -0.9 is far"),
    (lambda x: neighbours_of(x, 1.0), "1 on the diagonal makes each class its own neighbour: it must never win"),
    (lambda x: (i := neighbours_of(x)) - (i > torch.arange(len(x))).long(), "these are places in a row without its own class: behind it, add one"),
    *((lambda x, half=half: neighbours_of(torch.where(half(torch.ones_like(x)) > 0, x, -2.0)), "only half of the matrix was looked at: a row holds all other classes")
      for half in (torch.tril, torch.triu)),
    (lambda x: neighbours_of(x) + 1, "one too high: count classes from 0, as the rows"),
)  # fmt: skip


def draw_cosines() -> tuple[Tensor]:
    """A symmetric matrix (9, 9) with a row below 0, a row nearer to another than to itself, a mild diagonal."""
    while True:
        x = 1.8 * torch.rand(9, 9) - 0.9
        x = (x + x.T) / 2
        x.fill_diagonal_(0.9)
        x[0, 1:] = x[1:, 0] = -0.2 - 0.7 * torch.rand(8)
        x[1, 2], x[2, 1] = 0.97, 0.97
        x = x[order := torch.randperm(9)][:, order]
        found = [wrong(x) for wrong, _ in NEIGHBOUR_MISTAKES]
        if not any(torch.equal(one, neighbours_of(x)) for one in found):
            return (x,)


def neighbours(answer: harness.Answer) -> bool | None:
    """ex-10-neighbours: cosines (N, N) -> the nearest other class of each row, (N,)."""
    return harness.implementation(
        answer,
        neighbours_of,
        draw_cosines,
        "right: the largest of each row, itself left out",
        NEIGHBOUR_MISTAKES,
    )
