"""Chapter 4, matching: answers to its exercises."""

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import matching
from ..datasets import VOID
from .harness import Answer, choice, equal, implementation, number, read

# ---- ex-04-match ---------------------------------------------------------------------------------


def unit(vectors: Tensor, dim: int) -> Tensor:
    """The vectors along `dim`, each made one long."""
    return F.normalize(vectors, dim=dim, eps=1e-8)


def dot(features: Tensor, prototypes: Tensor) -> Tensor:
    """Inner products: (C, h, w), (J, C) -> (J, h, w)."""
    return torch.einsum("chw,jc->jhw", features, prototypes)


def cosine(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines: (C, h, w), (J, C) -> (J, h, w)."""
    return dot(unit(features, 0), unit(prototypes, 1))


def logits(features: Tensor, prototypes: Tensor, alpha: float) -> Tensor:
    """The package's `match` on one image: (C, h, w), (J, C) -> (J, h, w)."""
    return matching.match(features[None, None], prototypes[None], alpha)[0, 0]


def matching_inputs() -> tuple[Any, ...]:
    """Features and prototypes of uneven length, and an alpha that is not 1."""
    features = torch.randn(6, 5, 7) * (0.3 + 3 * torch.rand(1, 5, 7)) + 0.5
    prototypes = torch.randn(3, 6) * torch.tensor([[0.5], [1.0], [4.0]])
    return features, prototypes, random.choice([5.0, 10.0, 20.0, 30.0])


MATCH_MISTAKES = (
    (lambda f, p, a: cosine(f, p),
     "these are the cosines: Eq. 3 multiplies them by alpha before the softmax"),
    (lambda f, p, a: -a * cosine(f, p),
     "the sign is turned round: the nearest prototype has the largest cosine and needs the largest logit"),
    (lambda f, p, a: a * (1 - cosine(f, p)),
     "this is alpha times the distance, so the farthest prototype would win: Eq. 3 has -alpha * d"),
    (lambda f, p, a: -a * (1 - cosine(f, p)),
     "this is -alpha * (1 - cos), Eq. 3 to the letter, and its softmax is right; `match` leaves out the "
     "constant -alpha, so do the same here"),
    (lambda f, p, a: a * dot(f, p),
     "these are plain dot products: a cosine divides by the lengths of both vectors"),
    (lambda f, p, a: a * dot(f, unit(p, 1)),
     "the prototypes are normalised, the features are not: divide each pixel's vector by its length too"),
    (lambda f, p, a: a * dot(unit(f, 0), p),
     "the features are normalised, the prototypes are not: long prototypes win pixels they should not"),
    *((lambda f, p, a, wrong=wrong: a * dot(wrong(f), unit(p, 1)),
       f"the features are normalised {where}: the vector of a pixel runs along dim 0, the channels")
      for where, wrong in (
          ("over the pixels", lambda f: unit(f.flatten(1), 1).view_as(f)),
          ("along a row of the map", lambda f: unit(f, 2)),
          ("along a column of the map", lambda f: unit(f, 1)),
      )),
    (lambda f, p, a: a * dot(unit(f, 0), unit(p, 0)),
     "the prototypes are normalised across the classes: the vector of a prototype runs along dim 1, the channels"),
    (lambda f, p, a: (a * cosine(f, p)).softmax(0),
     "this is the probability map; the exercise wants the logits, before the softmax"),
    (lambda f, p, a: cosine(f, p).argmax(0),
     "this is Eq. 4 already, the label map; the exercise wants the logits that the arg max looks at"),
    (lambda f, p, a: -a * torch.cdist(f.flatten(1).T, p).square().T.view(len(p), *f.shape[1:]),
     "this is the squared Euclidean distance: the exercise wants the cosine"),
)  # fmt: skip


def match(answer: Answer) -> bool | None:
    """ex-04-match: features (C, h, w), prototypes (J, C), alpha -> logits (J, h, w)."""
    return implementation(
        answer,
        logits,
        matching_inputs,
        "your logits are those of matching.match: directions only, times alpha",
        MATCH_MISTAKES,
    )


# ---- ex-04-ceiling -------------------------------------------------------------------------------


def best(others: int, low: float = -1.0) -> float:
    """The probability of a cosine of 1 beside `others` cosines of `low`, with alpha = 1."""
    return float(torch.tensor([1.0, *[low] * others]).softmax(0)[0])


def ceiling(answer: Any) -> bool | None:
    """ex-04-ceiling: the largest probability that alpha = 1 allows in a 5-way episode."""
    no = "not that: write the softmax of six logits, one as large and five as small as a cosine can be"
    if equal(read(float, answer), 100 * best(5), 0.01):
        no = "a probability is wanted: divide your percentage by 100"
    return number(
        answer,
        best(5),
        0.006,
        "right: e / (e + 5 / e). One prototype at cosine 1, five at cosine -1, and alpha = 1",
        no,
        [
            (best(4), "almost: five ways make six prototypes, for the background has one as well"),
            (best(1), "this is the bound for two prototypes; here five others share the denominator"),
            (best(5, 0.0), "a cosine can fall below 0: let the five others stand at -1"),
            (1 - best(5), "this is what is left for the five others together"),
            (1 / 6, "1/6 is what the softmax gives when all cosines are equal: the floor of the winner"),
        ],
    )


# ---- ex-04-scaled --------------------------------------------------------------------------------


def scaled(answer: object) -> bool | None:
    """ex-04-scaled: which label maps can change when one prototype is made three times as long?"""
    return choice(
        answer,
        "c",
        {
            "a": "the cosine does not see a length, but the squared distance |f - p|^2 does: its bisector moves",
            "b": "the other way round: the cosine divides by |p|, so a factor of 3 cancels",
            "c": "right: the cosine divides by |p|; the squared distance keeps it, and its boundary moves",
            "d": "only one of them: in the cosine the factor 3 stands above and below the line and cancels",
        },
    )


# ---- ex-04-void ----------------------------------------------------------------------------------


def pixel_losses(
    scores: Tensor, labels: Tensor, mode: str = "bilinear", corners: bool | None = False
) -> Tensor:
    """Cross-entropy (B, H, W) at label size, 0 at void pixels."""
    scores = F.interpolate(scores, labels.shape[-2:], mode=mode, align_corners=corners)
    return F.cross_entropy(scores, labels.long(), ignore_index=VOID, reduction="none")


def by_episode(losses: Tensor, labels: Tensor) -> Tensor:
    """Losses (B, H, W), 0 where the labels are void, to the mean of the episodes' means over valid pixels."""
    return (losses.sum((1, 2)) / (labels != VOID).sum((1, 2)).clamp(min=1)).mean()


def early_softmax(scores: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5 of logits (B, J, h, w) whose softmax is taken before they are enlarged."""
    chances = F.interpolate(scores.softmax(1), labels.shape[-2:], mode="bilinear", align_corners=False)
    losses = F.nll_loss(chances.log(), labels.long(), ignore_index=VOID, reduction="none")
    return by_episode(losses, labels)


def loss_inputs() -> tuple[Any, ...]:
    """Two episodes, one of them mostly void."""
    scores, labels = torch.randn(2, 3, 4, 4) * 3, torch.randint(0, 3, (2, 12, 12))
    void = torch.rand(2, 12, 12) < torch.tensor([0.1, 0.7])[:, None, None]
    return scores, torch.where(void, VOID, labels)


VOID_MISTAKES = (
    (lambda s, y: pixel_losses(s, torch.where(y == VOID, 0, y)).mean(),
     "this is still the broken loss: void pixels are taught to be background, and all pixels are averaged"),
    (lambda s, y: by_episode(pixel_losses(s, torch.where(y == VOID, 0, y)), y),
     "the divisor counts valid pixels only, but void pixels still cost as if they were background"),
    (lambda s, y: pixel_losses(s, y).mean(),
     "void pixels cost nothing now, but they still stand in the divisor: the loss shrinks with their number"),
    (lambda s, y: pixel_losses(s, y).sum() / (y != VOID).sum(),
     "one mean over the pixels of the whole batch: an episode with little void weighs more. Average each "
     "episode first, then the episodes"),
    (lambda s, y: pixel_losses(s, y).sum((1, 2)).mean(),
     "the valid pixels are summed: divide by their number in each episode"),
    (early_softmax,
     "the probabilities are interpolated: interpolate the logits, then take the softmax (inside cross_entropy)"),
    (lambda s, y: by_episode(pixel_losses(s, y, "nearest", None), y),
     "the logits are enlarged by nearest neighbour: use mode='bilinear', align_corners=False"),
    (lambda s, y: by_episode(pixel_losses(s, y, "bilinear", True), y),
     "align_corners=True stretches the map to its corners: the authors and this book use False"),
    (lambda s, y: by_episode(pixel_losses(s.softmax(1), y), y),
     "the softmax is taken twice: cross_entropy wants logits"),
)  # fmt: skip


def void_loss(answer: Answer) -> bool | None:
    """ex-04-void: logits (B, J, h, w), labels (B, H, W) with 255 -> scalar, Eq. 5."""
    return implementation(
        answer,
        lambda s, y: matching.segmentation_loss(s[:, None], y[:, None]),
        loss_inputs,
        "repaired: void pixels neither cost nor count, and every episode weighs the same",
        VOID_MISTAKES,
    )


# ---- ex-04-parts ---------------------------------------------------------------------------------


def summed(values: Tensor, owner: Tensor) -> Tensor:
    """Add the maps (J, h, w) that belong to one class: (classes, h, w)."""
    return torch.zeros(int(owner.max()) + 1, *values.shape[1:]).index_add(0, owner, values)


def count(owner: Tensor) -> Tensor:
    """How many prototypes each class has: (J,) -> (classes, 1, 1)."""
    return torch.bincount(owner)[:, None, None]


def class_probabilities(scores: Tensor, owner: Tensor) -> Tensor:
    """Logits (J, h, w) to the classes' probabilities, each the sum of its parts': (classes, h, w)."""
    return summed(scores.softmax(0), owner)


def nearest_part(scores: Tensor, owner: Tensor) -> Tensor:
    """The largest of each class's maps: (J, h, w) -> (classes, h, w)."""
    return torch.stack([scores[owner == c].amax(0) for c in range(int(owner.max()) + 1)])


def parts_inputs() -> tuple[Any, ...]:
    """Six prototypes of three classes, in no order."""
    owner = torch.tensor([0, 0, 0, 1, 1, 2])[torch.randperm(6)]
    return torch.randn(6, 4, 5) * 2, owner


PARTS_MISTAKES = (
    (lambda s, o: class_probabilities(s, o) / count(o),
     "the parts' probabilities are averaged, so the classes no longer add up to 1: sum them"),
    (lambda s, o: nearest_part(s.softmax(0), o),
     "only the best part of each class is kept, so the classes do not add up to 1: sum all its parts"),
    (lambda s, o: nearest_part(s, o).softmax(0),
     "this gives each class its nearest part, a fair rule, but not the sum asked for: softmax over all "
     "prototypes first, then add"),
    (lambda s, o: (summed(s, o) / count(o)).softmax(0),
     "the logits are averaged before the softmax: that asks for a pixel to be near all parts at once"),
    (lambda s, o: summed(s, o).softmax(0),
     "the logits are added before the softmax: take the softmax over all prototypes first"),
    (lambda s, o: s.softmax(0),
     "these are the probabilities of the single prototypes: add those that belong to one class"),
    (lambda s, o: summed(s.exp(), o),
     "the exponentials are added but not divided by their total over all prototypes"),
)  # fmt: skip


def parts(answer: Answer) -> bool | None:
    """ex-04-parts: logits (J, h, w), owner (J,) -> class probabilities (classes, h, w)."""
    return implementation(
        answer,
        class_probabilities,
        parts_inputs,
        "right: each class gets what its prototypes earn together, and the classes add up to 1",
        PARTS_MISTAKES,
    )
