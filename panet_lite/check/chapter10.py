"""Answers to the exercises of chapter 10, the embedding space."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..alignment import prototype_distance
from ..prototypes import VOID
from . import harness
from .harness import directions

# ---- exercise 1: the distance of Sec. 4.3 --------------------------------------------------------


def means(features: Tensor, labels: Tensor, over: tuple[int, ...] = ()) -> Tensor:
    """Means of (..., C, h, w) where labels (..., h, w) are 0 and 1: (..., 2, C), jointly along `over`."""
    masks = torch.stack([labels == 0, labels == 1], dim=-3)
    return harness.mean_under(features.unsqueeze(-4), masks, over)


def apart(own: Tensor, other: Tensor, normalised: bool) -> Tensor:
    """Euclidean distance of prototypes (..., C) and (..., C): (...)."""
    if normalised:
        own, other = F.normalize(own, dim=-1), F.normalize(other, dim=-1)
    distances: Tensor = (own - other).norm(dim=-1)
    return distances


def reference(
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


def unit_pixels(features: Tensor, normalised: bool) -> Tensor:
    """Features (..., C, h, w), each pixel's vector made one long if `normalised`."""
    return F.normalize(features, dim=-3) if normalised else features


DISTANCE_MISTAKES = (
    (lambda s, s_labels, q, q_labels, _: reference(s, s_labels, q, q_labels, False),
     "`normalised` changes nothing: where it is true, make both prototypes one long first"),
    (lambda *parts: reference(*parts).square(), "this is the squared distance: the root is missing"),
    (lambda *parts: reference(*parts) / parts[0].shape[1] ** 0.5,
     "you average over the channels: the Euclidean norm sums the squares"),
    (lambda *parts: reference(*parts).flip(0),
     "object and background changed places: the background comes first, as in `support_prototypes`"),
    (lambda s, ys, q, yq, unit: apart(means(s, ys, (0,)), means(q, yq), unit),
     "you pooled all shots' pixels at once: Eq. 1 averages within each image first, then over the images"),
    (lambda s, ys, q, yq, unit: apart(means(unit_pixels(s, unit), ys).mean(0), means(unit_pixels(q, unit), yq), False),
     "you made the pixels one long before you pooled: it is the prototypes that are normalised"),
    (lambda s, ys, q, yq, unit: reference(s, ys % VOID, q, yq % VOID, unit),
     "void pixels (255) went into the background: they say nothing, and stay out of both masks"),
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
    """Exercise 1: (K, C, h, w), (K, h, w), (C, h, w), (h, w), bool -> (2,), background first."""
    flags = itertools.cycle([False, True])
    return harness.implementation(
        answer,
        reference,
        lambda: draw_distance(flags),
        "right: the mean of the shots' means on one side, the query's on the other, raw and on the sphere",
        DISTANCE_MISTAKES,
        trials=6,
    )


# ---- exercise 2: twice as long --------------------------------------------------------------------


def scaling(answer: object) -> bool | None:
    """Exercise 2: all features times 2."""
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


# ---- exercise 3: there and back through k components ----------------------------------------------


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
)  # fmt: skip


def reconstruct(answer: harness.Answer) -> bool | None:
    """Exercise 3: (N, C) features and k -> (N, C)."""
    return harness.implementation(
        answer,
        reconstruction,
        lambda: (torch.randn(30, 8) * torch.linspace(3, 0.5, 8) + 2 * torch.randn(8), 3),
        "right: centre, keep k directions, add the mean back",
        RECONSTRUCTION_MISTAKES,
    )


# ---- exercise 4: how many components does the prediction need? ------------------------------------


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


ENOUGH_MISTAKES = (
    (lambda *parts: enough_components(*parts) - 1, "one too few: yours is the last k that is not enough"),
    (lambda *parts: enough_components(*parts) + 1,
     "one too many: count the components, and try k = 0 (every pixel at the mean) too"),
    (by_variance,
     "you asked for a share of the variance. Asked is the share of pixels that keep their label"),
    (lambda x, p, share: enough_components(x, p, share, away=x.mean(0)),
     "the mean was not added back: a cosine is measured from the origin, so the labels went astray"),
    (lambda *parts: enough_components(*parts, label=nearest_by_length),
     "these labels are by Euclidean distance: the models of this book take the cosine"),
)  # fmt: skip


def draw_enough() -> tuple[Tensor, Tensor, float]:
    """A cloud of decaying spread and two prototypes for which the known mistakes give other answers."""
    while True:
        turn = torch.linalg.qr(torch.randn(12, 12))[0]
        spread = torch.tensor([4.0, 3, 2.5, 2, 1.5, 1.2, 1, 0.8, 0.6, 0.4, 0.2, 0.1])
        features = (torch.randn(300, 12) * spread) @ turn + 2 * torch.randn(12)
        case = features, torch.randn(2, 12) * torch.tensor([[1.0], [4.0]]) + features.mean(0), 0.95
        found = [enough_components(*case), *(wrong(*case) for wrong, _ in ENOUGH_MISTAKES)]
        if found[0] > 1 and len(set(found)) == len(found):
            return case


def enough(answer: harness.Answer) -> bool | None:
    """Exercise 4: (N, C) features, (J, C) prototypes and a share -> the smallest k."""
    return harness.implementation(
        answer,
        lambda *parts: torch.tensor(enough_components(*parts)),
        draw_enough,
        "right: the smallest number of components with which enough pixels keep their label",
        ENOUGH_MISTAKES,
        trials=3,
    )


# ---- exercise 5: cheat the yardstick --------------------------------------------------------------


def cloud() -> tuple[Tensor, Tensor]:
    """Features (2, N, C) of a support and a query whose lengths mean nothing, and labels (2, N)."""
    labels = (torch.arange(160) % 4 == 0).long().expand(2, -1)
    centres = torch.stack(
        [torch.cat([torch.ones(4), torch.zeros(4)]), torch.cat([torch.zeros(4), torch.ones(4)])]
    )
    features = centres[labels] + 0.25 * torch.randn(2, 160, 8) + 0.3 * torch.randn(2, 1, 8)
    return features * torch.exp(torch.randn(2, 160, 1)), labels


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
        return f"the distances fell, but the IoU rose from {before[2]:.2f} to {after[2]:.2f}: that was no cheating"
    return ""


def cheated(value: list[Any], features: Tensor, labels: Tensor) -> harness.Verdict:
    """What to say of the two changed parts of features (2, N, C)."""
    for part in value:
        if not isinstance(part, Tensor) or part.shape != features[0].shape or not part.isfinite().all():
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
    """Exercise 5: a function of features (N, C) -> (N, C) that brings prototypes nearer to no avail."""

    def both(features: Tensor, labels: Tensor) -> list[Any] | None:
        parts = [answer(part) for part in features]
        return None if harness.blank(*parts) else parts

    return harness.inspected(both, cheated, cloud)
