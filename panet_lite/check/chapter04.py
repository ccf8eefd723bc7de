"""Chapter 4, matching: answers to its exercises."""

import random
import re
from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import matching
from ..datasets import VOID
from ..prototypes import EPSILON, adjoint_upsample, support_prototypes
from .chapter03 import borrowed
from .harness import (
    Answer,
    blank,
    choice,
    equal,
    implementation,
    no_gradient,
    number,
    read,
    say,
    unexplained,
    unfilled,
    whole,
)  # fmt: skip

# ---- ex-04-match ---------------------------------------------------------------------------------


def unit(vectors: Tensor, dim: int) -> Tensor:
    """The vectors along `dim`, each made one long."""
    return F.normalize(vectors, dim=dim, eps=1e-8)


def dot(features: Tensor, prototypes: Tensor) -> Tensor:
    """Inner products: (B, Q, C, h, w), (B, J, C) -> (B, Q, J, h, w)."""
    return torch.einsum("bqchw,bjc->bqjhw", features, prototypes)


def cosine(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines: (B, Q, C, h, w), (B, J, C) -> (B, Q, J, h, w)."""
    return dot(unit(features, 2), unit(prototypes, 2))


def squared(features: Tensor, prototypes: Tensor) -> Tensor:
    """Squared Euclidean distances: (B, Q, C, h, w), (B, J, C) -> (B, Q, J, h, w)."""
    return (features[:, :, None] - prototypes[:, None, :, :, None, None]).square().sum(3)


def matching_inputs() -> tuple[Any, ...]:
    """Features and prototypes of uneven length, one of each zero, and an alpha that is not 1."""
    features = torch.randn(2, 3, 6, 5, 7) * (0.3 + 3 * torch.rand(2, 3, 1, 5, 7)) + 0.5
    prototypes = torch.randn(2, 4, 6) * torch.tensor([0.5, 1.0, 2.0, 4.0])[:, None]
    features[0, 1, :, 2, 3], prototypes[1, 2] = 0, 0
    return features, prototypes, random.choice([5.0, 10.0, 30.0])


LOST_AXIS = "an axis of length 1 is lost: the result is {} also where {} is 1, so leave out squeeze"


def without_zeros() -> tuple[Tensor, Tensor]:
    """Features and prototypes, alpha left to its default."""
    return torch.randn(1, 2, 6, 3, 4), torch.randn(1, 3, 6)


def unmatched(values: list[Any], truths: list[Any]) -> str:
    """The sentence for logits that no known mistake explains."""
    if any(isinstance(v, Tensor) and v.is_floating_point() and v.isnan().any() for v in values):
        return "a zero vector gives NaN, 0 / 0: put a small epsilon under the line, or use F.normalize"
    return unexplained(values, truths)


MATCH_MISTAKES = (
    (lambda f, p, a: cosine(f, p),
     "these are the cosines: Eq. 3 multiplies them by alpha before the softmax"),
    (lambda f, p, a: 20 * cosine(f, p),
     "these are 20 times the cosines: the 20 is alpha's default, use the alpha that is given"),
    (lambda f, p, a: cosine(f, p) / a,
     "the cosines are divided by alpha: it is an inverse temperature, so multiply"),
    (lambda f, p, a: -a * cosine(f, p),
     "the sign is turned round: the nearest prototype has the largest cosine and needs the largest logit"),
    (lambda f, p, a: a * (1 - cosine(f, p)),
     "this is alpha times the distance, so the farthest prototype would win: Eq. 3 has -alpha * d"),
    (lambda f, p, a: -a * (1 - cosine(f, p)),
     "this is -alpha * (1 - cos), Eq. 3 to the letter, and its softmax is right; `match` leaves out the "
     "constant -alpha, so do the same here"),
    (lambda f, p, a: a * dot(f, p),
     "these are plain dot products: a cosine divides by the lengths of both vectors"),
    (lambda f, p, a: a * dot(f, unit(p, 2)),
     "the prototypes are normalised, the features are not: divide each pixel's vector by its length too"),
    (lambda f, p, a: a * dot(unit(f, 2), p),
     "the features are normalised, the prototypes are not: long prototypes win pixels they should not"),
    *((lambda f, p, a, wrong=wrong: a * dot(wrong(f), unit(p, 2)),
       f"the features are normalised {where}: the vector of a pixel runs along dim 2, the channels")
      for where, wrong in (
          ("over the pixels", lambda f: unit(f.flatten(3), 3).view_as(f)),
          ("along a row of the map", lambda f: unit(f, 4)),
          ("along a column of the map", lambda f: unit(f, 3)),
          ("over all channels and pixels", lambda f: unit(f.flatten(2), 2).view_as(f)),
          ("across the queries", lambda f: unit(f, 1)),
      )),
    (lambda f, p, a: a * dot(unit(f, 1), unit(p, 1)),
     "both are normalised along dim 1, the default of F.normalize, which is queries here and classes there: the "
     "vectors run along dim 2, the channels"),
    *((lambda f, p, a, wrong=wrong: a * dot(unit(f, 2), unit(p, wrong)),
       "the prototypes are normalised across the classes or episodes: the vector of a prototype runs along dim 2, "
       "the channels")
      for wrong in (0, 1)),
    *((lambda f, p, a, e=e: (a * e(f, p)).softmax(2),
       "this is the probability map; the exercise wants the logits, before the softmax")
      for e in (cosine, lambda f, p: cosine(f, p) - 1)),
    (lambda f, p, a: cosine(f, p).argmax(2),
     "this is Eq. 4 already, the label map; the exercise wants the logits that the arg max looks at"),
    *((lambda f, p, a, s=s: s * a * squared(f, p),
       "this is the squared Euclidean distance: the exercise wants the cosine")
      for s in (-1, 1)),
    (lambda f, p, a: a * torch.einsum("bqchw,njc->bqjhw", unit(f, 2), unit(p, 2)),
     "every query meets the prototypes of all episodes: keep the letter b in both tensors of the einsum"),
    (lambda f, p, a: a * cosine(f, p[:1].expand_as(p)),
     "the first episode's prototypes meet all queries: keep the letter b in both tensors of the einsum"),
    (lambda f, p, a: a * cosine(f, p).softmax(2), "a softmax is taken: the exercise wants the logits, alpha times the cosines"),
    (lambda f, p, a: a * cosine(f, p).clamp(min=0), "cosines below 0 are cut off: leave them"),
    (lambda f, p, a: a * (cosine(f, p) - cosine(f, p)[:, :, :1]), "the background's cosine is taken off: each logit stands for itself"),
    (lambda f, p, a: a * cosine(f, p.flip(1)), "the classes are turned round: logit j belongs to prototype j"),
    (lambda f, p, a: a * cosine(f, p).clamp(-1, 1).acos(), "this is the angle: the exercise wants its cosine, which is large where it is small"),
    (lambda f, p, a: a * a * cosine(f, p), "alpha is in it twice: scale the cosines once"),
    (lambda f, p, a: a * dot(F.normalize(f, p=1, dim=2), unit(p, 2)),
     "the features are divided by the sum of their absolute values: a length is the root of the sum of squares"),
    (lambda f, p, a: a * dot(f / f.norm(), unit(p, 2)), "all features are divided by one length: each pixel's vector has its own"),
    (lambda f, p, a: a * dot(f / (f.norm(dim=2, keepdim=True) + 1), unit(p, 2)),
     "1 is too large an addition to the length, and makes every cosine smaller: 1e-8 is enough"),
    (lambda f, p, a: cosine(f, p) + a, "alpha is a factor, not a summand"),
    (lambda f, p, a: (a * cosine(f, p)).log_softmax(2), "these are log-probabilities: the logits are wanted"),
)  # fmt: skip


def match(answer: Answer) -> bool | None:
    """ex-04-match: features (B, Q, C, h, w), prototypes (B, J, C), alpha -> logits (B, Q, J, h, w)."""

    def lacks() -> str:
        case = without_zeros()
        value = answer(*case)
        if getattr(value, "shape", None) != (1, 2, 3, 3, 4):
            return LOST_AXIS.format("(B, Q, J, h, w)", "B, Q or J")
        if not equal(value, 20 * cosine(*case)):
            return (
                "right where alpha is given; without one it should be 20: write alpha=20.0 in the first line"
            )
        return borrowed(answer, case, matching.match) or no_gradient(answer, case, 2)

    return implementation(
        answer,
        matching.match,
        matching_inputs,
        "your logits are those of matching.match: directions only, times alpha",
        MATCH_MISTAKES,
        lacks=lacks,
        otherwise=unmatched,
    )


# ---- ex-04-slip ----------------------------------------------------------------------------------


def slip(symbol: object, chance: Any) -> bool | None:
    """ex-04-slip: which symbol of the printed Eq. 3 is wrong, and what it gives in a 5-way episode at its word."""
    if blank(symbol, chance):
        return unfilled()
    if re.sub(r"[^a-z]", "", str(symbol).lower()) != "d":
        same = "that symbol is as it should be: in a softmax one term stands above the line, and below it stands "
        why = dict.fromkeys("abce", same + "the sum of all of them. Which terms does the printed sum add?")
        return choice(symbol, "d", why | {"d": ""})
    no = "the symbol is right. Below the line stands the numerator itself, once for each prototype: what is left?"
    if equal(read(float, chance), 100 / 6, 0.03):
        no = "the symbol is right; a probability is wanted: divide your percentage by 100"
    return number(
        chance,
        1 / 6,
        0.004,
        "right: the sum runs over p_i and adds the same term six times, so every class gets 1/6 everywhere",
        no,
        [
            (
                1 / 5,
                "the symbol is right, the number almost: five ways make six prototypes, with the background's",
            ),
            (1.0, "the symbol is right; but the sum adds the numerator once for each prototype, not once"),
            (6.0, "the symbol is right; 6 is how often the numerator stands below the line: divide by it"),
        ],
    )


# ---- ex-04-decision ------------------------------------------------------------------------------


def enlarged(scores: Tensor, size: tuple[int, ...], mode: str = "bilinear") -> Tensor:
    """Maps (B, Q, J, h, w) at another size; "corners" is bilinear with align_corners=True."""
    corners = None if mode == "nearest" else mode == "corners"
    mode = "bilinear" if mode == "corners" else mode
    large = F.interpolate(scores.flatten(0, 1), size, mode=mode, align_corners=corners)
    return large.view(*scores.shape[:3], *size)


def decide(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Eq. 4 at image size: logits (B, Q, J, h, w) enlarged, then their arg max (B, Q, H, W')."""
    return matching.upsample(logits, size).argmax(2)


def early(logits: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """The arg max at feature size, enlarged afterwards as if class numbers were amounts: (B, Q, H, W')."""
    return enlarged(logits.argmax(2, keepdim=True).float(), size, mode)[:, :, 0]


def decision_inputs(count: tuple[int, int] = (2, 3)) -> tuple[Any, ...]:
    """Logits of `count` episodes and queries and four prototypes, and a size that is no multiple of theirs."""
    return torch.randn(*count, 4, 5, 6) * 4, (whole(23, 27), whole(29, 33))


DECISION_MISTAKES = (
    *((lambda z, s, last=last: last(early(z, s, "bilinear")),
       "this is still the broken decision: numbers of classes are averaged, and between 0 and 2 lies 1. Enlarge "
       "the logits, decide afterwards")
      for last in (lambda x: x.round(), lambda x: x.long(), lambda x: x)),
    (lambda z, s: early(z, s, "nearest"),
     "the decision is still taken on the coarse grid, or on nearest neighbours: stairs of a feature cell. Enlarge the "
     "logits bilinearly, decide afterwards"),
    (lambda z, s: enlarged(z, s, "corners").argmax(2),
     "align_corners=True stretches the map to its corners: the authors and this book use False"),
    (lambda z, s: enlarged(z, s, "bicubic").argmax(2),
     "the logits are enlarged bicubically: the authors and this book use mode='bilinear'"),
    (lambda z, s: enlarged(z.softmax(2), s).argmax(2),
     "the probabilities are enlarged: enlarge the logits. After that the softmax is not needed, the arg max is the "
     "same without it"),
    (lambda z, s: enlarged(z, s).argmin(2),
     "this is the farthest prototype: the nearest has the largest logit"),
    *((lambda z, s, dim=dim: enlarged(z, s).argmax(dim),
       "the arg max runs along the wrong axis: the prototypes are dimension 2 of (B, Q, J, H, W')")
      for dim in (0, 1, 3, 4)),
    (lambda z, s: enlarged(z, s).argmax(2, keepdim=True),
     "right labels, with one axis too many: (B, Q, 1, H, W'), leave keepdim out"),
    (lambda z, s: enlarged(z, s).amax(2),
     "this is the largest logit itself; the decision is *which* prototype has it"),
    (lambda z, s: enlarged(z, s),
     "these are the enlarged logits: the decision, an arg max, is missing"),
    (lambda z, s: enlarged(z, s).softmax(2),
     "these are probabilities: the decision, an arg max, is missing"),
    (lambda z, s: z.argmax(2),
     "the labels have the size of the feature map: enlarge the logits to `size` first"),
    (lambda z, s: decide(z, s).squeeze(), LOST_AXIS.format("(B, Q, H, W')", "B or Q")),
    (lambda z, s: F.interpolate(z.argmax(2).float(), s, mode="nearest-exact"),
     "the decision is still taken on the coarse grid, and its labels are copied: enlarge the logits, decide afterwards"),
    (lambda z, s: enlarged(F.one_hot(z.argmax(2), z.shape[2]).movedim(-1, 2).float(), s).argmax(2),
     "the decision is taken on the coarse grid and its masks are enlarged: enlarge the logits, decide afterwards"),
    (lambda z, s: decide(z, s) + 1, "the labels begin with 1: the background is 0, the arg max as it comes"),
    (lambda z, s: decide(z, s).clamp(max=1), "every class became 1: the label is the number of the prototype"),
    (lambda z, s: decide(z[:, :, :2], s), "only background and the first class are compared: all prototypes take part"),
    (lambda z, s: (enlarged(z, s).softmax(2)[:, :, 1] > 0.5).long(),
     "class 1 is held against a half: the label is the prototype with the largest logit, of all"),
    (lambda z, s: enlarged(z.transpose(1, 2).reshape(z.shape), s).argmax(2),
     "queries and prototypes are mixed up: flatten B and Q, dimensions 0 and 1, and leave the prototypes in 2"),
    *((lambda z, s, first=first: first + enlarged(z, s)[:, :, 1:].argmax(2),
       "the background is left out of the decision: it is a prototype like the others")
      for first in (0, 1)),
)  # fmt: skip


def decision(answer: Answer) -> bool | None:
    """ex-04-decision: logits (B, Q, J, h, w), size -> label maps (B, Q, H, W')."""
    counts = cycle(((2, 3), (1, 1)))
    return implementation(
        answer,
        decide,
        lambda: decision_inputs(next(counts)),
        "repaired: the logits are enlarged, and the decision comes last",
        DECISION_MISTAKES,
    )


# ---- ex-04-iou -----------------------------------------------------------------------------------


def pixel_counts(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The valid pixels (N, H, W') in both, and in either."""
    said, true, valid = predicted == 1, truth == 1, truth != VOID
    return said & true & valid, (said | true) & valid


def hits_and_union(predicted: Tensor, truth: Tensor, void: bool = True) -> tuple[Tensor, Tensor]:
    """Of each picture (N, H, W'): pixels in both, and in either; `void` leaves the void pixels out."""
    said, true, valid = predicted == 1, truth == 1, (truth != VOID) | (not void)
    return (said & true & valid).sum((1, 2)), ((said | true) & valid).sum((1, 2))


def counted_iou(predicted: Tensor, truth: Tensor) -> float:
    """IoU of the object, counted over all pictures (N, H, W'), without their void pixels."""
    both, either = hits_and_union(predicted, truth)
    return float(both.sum() / either.sum().clamp(min=1))


def share(predicted: Tensor, truth: Tensor, where: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The hits' share of the valid pixels for which `where(said, true)` holds."""
    said, true, valid = predicted == 1, truth == 1, truth != VOID
    return (said & true & valid).sum() / (where(said, true) & valid).sum()


def iou_inputs() -> tuple[Any, ...]:
    """Six pictures: objects of very different size, none and none seen, none and false alarms; and void pixels."""
    sizes = torch.tensor([0.05, 0.2, 0.5, 0.8, 0.0, 0.0])[:, None, None]
    truth = (torch.rand(6, 12, 10) < sizes).long()
    predicted = torch.where(
        torch.rand(6, 12, 10) < torch.linspace(0.1, 0.5, 6)[:, None, None], 1 - truth, truth
    )
    predicted[4] = 0
    void = torch.rand(6, 12, 10) < 0.2
    void[4] = False
    return predicted, torch.where(void, VOID, truth)


def per_picture(predicted: Tensor, truth: Tensor, void: bool, empty: float | None) -> Tensor:
    """The mean of the pictures' IoUs; a picture with nothing to count gives `empty`, or is left out."""
    both, either = hits_and_union(predicted, truth, void)
    ratio = both / either
    return ratio.nanmean() if empty is None else ratio.nan_to_num(empty).mean()


IOU_MISTAKES = (
    (lambda p, t: per_picture(p, t, False, 0.0) * float("nan"),
     "NaN: a picture without the object, and none seen in it, is 0 / 0. Add the counts of all pictures, then divide"),
    *((lambda p, t, void=void, empty=empty: per_picture(p, t, void, empty),
       "the pictures' IoUs are averaged, so a speck weighs as much as a mug that fills the picture: add the counts of "
       "all pictures first, divide once")
      for void in (True, False) for empty in (None, 0.0, 1.0)),
    (lambda p, t: share(p, torch.where(t == VOID, 0, t), lambda said, true: said | true),
     "counted over all pictures, but a void pixel that was called object is a false alarm: nobody knows what it is, so "
     "leave it out"),
    (lambda p, t: share(p, torch.where(t == VOID, 1, t), lambda said, true: said | true),
     "void pixels are taken for the object: leave them out"),
    (lambda p, t: share(p, t, lambda said, true: true),
     "this is the recall, hits by true pixels: false alarms must stand below the line as well"),
    (lambda p, t: share(p, t, lambda said, true: said),
     "this is the precision, hits by predicted pixels: misses must stand below the line as well"),
    (lambda p, t: (p == t)[t != VOID].double().mean(),
     "this is the share of pixels that are right: the easy background makes it high. Count the object only"),
    (lambda p, t: (p == t).double().mean(),
     "this is the share of pixels that are right, void in the divisor: IoU counts the object only"),
    (lambda p, t: (lambda i: 2 * i / (1 + i))(counted_iou(p, t)),
     "this is the Dice score, 2 TP / (2 TP + FP + FN): IoU is TP / (TP + FP + FN)"),
    (lambda p, t: counted_iou(1 - p, torch.where(t == VOID, t, 1 - t)),
     "this is the background's IoU: the object is label 1"),
    (lambda p, t: (counted_iou(p, t) + counted_iou(1 - p, torch.where(t == VOID, t, 1 - t))) / 2,
     "this is the mean of the object's IoU and the background's, the paper's binary-IoU: the object's alone is wanted"),
    (lambda p, t: 1 - counted_iou(p, t), "this is 1 - IoU"),
    (lambda p, t: 100 * counted_iou(p, t), "this is IoU in per cent: a number from 0 to 1 is wanted"),
    *((lambda p, t, fill=fill: fill(torch.divide(*hits_and_union(p, t))),
       "this is one IoU for each picture: add the counts over all pictures, then divide")
      for fill in (lambda x: x, torch.nan_to_num)),
    (lambda p, t: counted_iou(p[(t == 1).flatten(1).any(1)], t[(t == 1).flatten(1).any(1)]),
     "pictures that do not show the object are left out, and with them their false alarms: add their counts too"),
    (lambda p, t: (lambda i: i / (1 + i))(counted_iou(p, t)),
     "the union counts the hits twice: it is said | true, not the sum of the two"),
    (lambda p, t: hits_and_union(p, t)[0].sum() / (hits_and_union(p, t)[1] - hits_and_union(p, t)[0]).sum(),
     "below the line stand the mistakes alone: the union has the hits too, said | true, not ^"),
    (lambda p, t: hits_and_union(p, t)[0].sum() / (t != VOID).sum(), "you divide by all valid pixels: divide by the union"),
    (lambda p, t: 0.0, "this is 0: `//` divides to whole numbers, take `/`"),
    (lambda p, t: counted_iou(p[:1], t[:1]), "only the first picture is counted: add the counts of all"),
    (lambda p, t: (lambda x: (x[0].sum(0) / x[1].sum(0).clamp(min=1)).mean())(pixel_counts(p, t)),
     "you add over the pictures only, and average over the pixels: add over all three dimensions, then divide"),
    (lambda p, t: (lambda x: x[0].sum() / (x[1] | (t == VOID)).sum())(pixel_counts(p, t)),
     "void pixels are misses: leave them out of the union as well"),
    (lambda p, t: (~(pixel_counts(p, t)[1] & ~pixel_counts(p, t)[0])).double().mean(),
     "this is the share of pixels that are right: IoU counts the object only"),
    (lambda p, t: (hits_and_union(p, t)[0].sum() + 1) / (hits_and_union(p, t)[1].sum() + 1),
     "1 is added above and below the line: add nothing, or only clamp the divisor"),
    (lambda p, t: hits_and_union(p, t)[0].sum(), "these are the hits: divide by the union"),
)  # fmt: skip


def iou(answer: Answer) -> bool | None:
    """ex-04-iou: predicted (N, H, W') of 0 and 1, truth (N, H, W') with 255 -> one IoU."""
    return implementation(
        answer,
        counted_iou,
        iou_inputs,
        "repaired: void is left out, counts are added over all pictures, and one division ends it",
        IOU_MISTAKES,
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
    elif (chance := read(float, answer)) is not None and 0 < chance < 1:
        no = (
            f"{chance:g} would be {chance / (1 - chance):.2g} times the five others together: how large is e^cos of the winner "
            "at most, and of each of the five at least?"
        )
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
            (
                best(6),
                "six others? Five ways and the background make six prototypes, so the winner has five others",
            ),
            (1.0, "that is what alpha = 20 allows: here alpha is 1, and the cosines end at 1 and -1"),
            (
                torch.tensor(1.0).sigmoid().item(),
                "this is the sigmoid of one cosine: a softmax holds it against five others",
            ),
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


def pixel_losses(scores: Tensor, labels: Tensor, mode: str = "bilinear") -> Tensor:
    """Cross-entropy (B, Q, H, W') at label size of logits (B, Q, J, h, w), 0 at void pixels."""
    scores, target = enlarged(scores, labels.shape[-2:], mode).flatten(0, 1), labels.flatten(0, 1).long()
    return F.cross_entropy(scores, target, ignore_index=VOID, reduction="none").view(labels.shape)


def by_episode(losses: Tensor, labels: Tensor, over: tuple[int, ...] = (1, 2, 3)) -> Tensor:
    """Losses (B, Q, H, W'), 0 where the labels are void, to the mean of the means over valid pixels along `over`."""
    return (losses.sum(over) / (labels != VOID).sum(over).clamp(min=1)).mean()


def early_softmax(scores: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5 of logits (B, Q, J, h, w) whose softmax is taken before they are enlarged."""
    chances = enlarged(scores.softmax(2), labels.shape[-2:]).flatten(0, 1)
    losses = F.nll_loss(chances.log(), labels.flatten(0, 1).long(), ignore_index=VOID, reduction="none")
    return by_episode(losses.view(labels.shape), labels)


def small_labels(scores: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5 on the feature grid: the labels are made small instead."""
    small = F.interpolate(labels.float(), scores.shape[-2:], mode="nearest").long()
    return by_episode(pixel_losses(scores, small), small)


def loss_inputs() -> tuple[Any, ...]:
    """Two episodes of two queries, with very different shares of void; labels are uint8, as an episode's are."""
    scores, labels = torch.randn(2, 2, 3, 4, 5) * 3, torch.randint(0, 3, (2, 2, 12, 15))
    void = torch.rand(2, 2, 12, 15) < torch.tensor([[0.1, 0.5], [0.9, 0.6]])[..., None, None]
    return scores, torch.where(void, VOID, labels).to(torch.uint8)


def background_void(labels: Tensor) -> Tensor:
    """Void taken for background."""
    return labels.where(labels != VOID, torch.zeros_like(labels))


def binary_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mistake: a sigmoid loss of class 1 against the rest."""
    large = enlarged(scores, labels.shape[-2:])[:, :, 1]
    losses = F.binary_cross_entropy_with_logits(large, (labels == 1).float(), reduction="none")
    return by_episode(losses * (labels != VOID), labels)


VOID_MISTAKES = (
    (lambda s, y: pixel_losses(s, background_void(y)).mean(),
     "this is still the broken loss: void pixels are taught to be background, and all pixels are averaged"),
    (lambda s, y: by_episode(pixel_losses(s, background_void(y)), y),
     "the divisor counts valid pixels only, but void pixels still cost as if they were background"),
    (lambda s, y: pixel_losses(s, background_void(y)).sum() / (y != VOID).sum(),
     "the divisor counts valid pixels only, but void pixels still cost as if they were background"),
    (lambda s, y: pixel_losses(s, y).mean(),
     "void pixels cost nothing now, but they still stand in the divisor: the loss shrinks with their number"),
    (lambda s, y: pixel_losses(s, y).sum() / (y != VOID).sum(),
     "one mean over the pixels of the whole batch: an episode with little void weighs more. Average each "
     "episode first, then the episodes"),
    (lambda s, y: by_episode(pixel_losses(s, y), y, (2, 3)),
     "each query is averaged by itself: an episode's queries share one mean over all their valid pixels"),
    (lambda s, y: by_episode(pixel_losses(s, y), y) * len(y),
     "the episodes are summed: take their mean"),
    *((lambda s, y, over=over: pixel_losses(s, y).sum(over).mean(),
       "the valid pixels are summed: divide by their number in each episode")
      for over in ((1, 2, 3), (0, 1, 2, 3), (2, 3))),
    (lambda s, y: torch.stack([(p.sum() / (t != VOID).sum()) for p, t in zip(pixel_losses(s, y), y)]),
     "this is one loss for each episode: end with their mean"),
    (lambda s, y: by_episode(pixel_losses(s[:1], y[:1]), y[:1]),
     "only the first episode is counted"),
    (early_softmax,
     "the probabilities are interpolated: interpolate the logits, then take the softmax (inside cross_entropy)"),
    (small_labels,
     "the labels are made small instead of the logits large: thin parts of a mask get lost. Enlarge the logits"),
    (lambda s, y: by_episode(pixel_losses(s, y, "nearest"), y),
     "the logits are enlarged by nearest neighbour: use mode='bilinear', align_corners=False"),
    (lambda s, y: by_episode(pixel_losses(s, y, "corners"), y),
     "align_corners=True stretches the map to its corners: the authors and this book use False"),
    (lambda s, y: by_episode(pixel_losses(s.softmax(2), y), y),
     "the softmax is taken twice: cross_entropy wants logits"),
    (lambda s, y: by_episode(pixel_losses(enlarged(s, y.shape[-2:]).softmax(2), y), y),
     "the softmax is taken twice: cross_entropy wants logits"),
    (lambda s, y: by_episode(-(-pixel_losses(s, y)).exp() * (y != VOID), y), "these are probabilities: the loss is minus their logarithm"),
    (lambda s, y: by_episode(pixel_losses(s, y) * (y != 0), y),
     "the background costs nothing: ignore void (255), not the background (0)"),
    (lambda s, y: (pixel_losses(s, y).sum((1, 2, 3)) / ((y > 0) & (y != VOID)).sum((1, 2, 3)).clamp(min=1)).mean(),
     "you divide by the object's pixels: the background's cost and count as well"),
    (lambda s, y: by_episode(pixel_losses(s, y), y) / torch.tensor(2.0).log(), "the logarithm has base 2: take the natural one"),
    (lambda s, y: by_episode(pixel_losses(20 * s, y), y), "alpha is in it again: the logits have it already"),
    (lambda s, y: by_episode(pixel_losses(s, y.where((y < 2) | (y == VOID), torch.ones_like(y))), y),
     "every class became 1: the labels 0..W stay as they are"),
    (lambda s, y: by_episode(pixel_losses(s[:, :1], y[:, :1]), y[:, :1]), "only the first query is counted"),
    (lambda s, y: by_episode(pixel_losses(s, y.where(y != VOID, torch.full_like(y, s.shape[2] - 1))), y),
     "void pixels are taught to be the last class: leave them out"),
    (lambda s, y: (pixel_losses(s, y) * (y > 0)).sum((1, 2, 3)).div(((y > 0) & (y != VOID)).sum((1, 2, 3)).clamp(min=1)).mean(),
     "only the object's pixels cost and count: the background's do as well"),
    (binary_loss, "a sigmoid on class 1 alone: Eq. 5 is a cross-entropy over all prototypes"),
    (lambda s, y: (pixel_losses(s, y).sum(3) / (y != VOID).sum(3).clamp(min=1)).mean(),
     "each row is averaged by itself: one mean over all valid pixels of an episode"),
    (lambda s, y: -by_episode(pixel_losses(s, y), y),
     "the sign is turned round: a loss falls as the true class becomes more probable"),
)  # fmt: skip


def void_loss(answer: Answer) -> bool | None:
    """ex-04-void: logits (B, Q, J, h, w), labels (B, Q, H, W') with 255 -> scalar, Eq. 5."""
    return implementation(
        answer,
        matching.segmentation_loss,
        loss_inputs,
        "repaired: void pixels neither cost nor count, and every episode weighs the same",
        VOID_MISTAKES,
        lacks=lambda: no_gradient(answer, loss_inputs()),
    )


# ---- ex-04-own -----------------------------------------------------------------------------------


def own(features: Tensor, labels: Tensor) -> Tensor:
    """Prototypes of queries (B, Q, C, h, w) from their own truth (B, Q, H, W'), of one way: (B, 2, C)."""
    return support_prototypes(features[:, None], labels[:, None])


def pooled_by(features: Tensor, masks: tuple[Tensor, ...], divided: bool = True) -> Tensor:
    """Of each query the mean, or the sum, under each mask (B, Q, H, W'), at image size: (B, Q, masks, C)."""
    weights = torch.stack([adjoint_upsample(m.float(), features.shape[-2:]) for m in masks], 2)
    sums = torch.einsum("bqcyx,bqmyx->bqmc", features, weights)
    areas = torch.stack([m.sum((-2, -1)) for m in masks], 2)[..., None]
    return sums / (areas + EPSILON) if divided else sums


def joint(features: Tensor, mask: Tensor) -> Tensor:
    """The mean over all pixels of all queries under a mask (B, Q, H, W'): (B, C)."""
    return pooled_by(features, (mask,), False).sum((1, 2)) / (mask.sum((1, 2, 3))[:, None] + EPSILON)


def own_inputs() -> tuple[Any, ...]:
    """Two tasks of three queries, objects of different size, in one none, void around them; labels are uint8."""
    labels = (torch.rand(2, 3, 16, 20) < torch.tensor([0.1, 0.4, 0.7])[:, None, None]).long()
    labels[1, 2] = 0
    void = torch.rand(2, 3, 16, 20) < 0.2
    return torch.randn(2, 3, 6, 4, 5) + 0.5, torch.where(void, VOID, labels).to(torch.uint8)


def small_masks(features: Tensor, labels: Tensor, mode: str) -> Tensor:
    """As `own`, with masks that are made small."""
    masks = torch.stack([labels == 0, labels == 1], 2).float().flatten(0, 1)
    corners = False if mode == "bilinear" else None
    small = F.interpolate(masks, features.shape[-2:], mode=mode, align_corners=corners)
    small = small.view(*features.shape[:2], 2, *features.shape[-2:])
    sums = torch.einsum("bqcyx,bqmyx->bqmc", features, small)
    return (sums / (small.sum((-2, -1))[..., None] + EPSILON)).mean(1)


OWN_MISTAKES = (
    (lambda f, y: own(f, y).flip(1), "the rows are swapped: the background comes first"),
    (lambda f, y: pooled_by(f, (y != 1, y == 1)).mean(1),
     "void pixels (255) are pooled with the background: nobody knows what they are, so they stay out"),
    (lambda f, y: pooled_by(f, (y == 0, y != 0)).mean(1),
     "void pixels (255) are pooled with the object: nobody knows what they are, so they stay out"),
    *((lambda f, y, mode=mode: small_masks(f, y, mode),
       "the masks are made small; chapter 3 averages at the masks' own size: support_prototypes does")
      for mode in ("nearest", "bilinear", "area")),
    (lambda f, y: support_prototypes(f[:, :, None], y[:, :, None]),
     "the queries are taken for ways: they are shots of one way, so the new axis comes before them"),
    (lambda f, y: torch.stack([joint(f, y == c) for c in (0, 1)], 1),
     "the queries are pooled jointly, by pixels: chapter 3 takes the mean of each picture, then the mean of the means"),
    *((lambda f, y, over=over: getattr(pooled_by(f, (y == 0, y == 1), False), over)(1),
       "the features under the masks are added, but not divided by the masks' areas")
      for over in ("sum", "mean")),
    (lambda f, y: f.mean((1, 3, 4))[:, None].expand(-1, 2, -1),
     "no mask was used: both rows are the mean of the whole picture"),
    (lambda f, y: own(f, y)[:, 1:], "the background's prototype is missing: (B, 2, C)"),
    (lambda f, y: own(f, y)[:, 1], "the background's prototype is missing: (B, 2, C)"),
    (lambda f, y: own(f[:, :1], y[:, :1]), "only the first query is pooled"),
    (lambda f, y: pooled_by(f, (y == 0, y == 1)).sum(1) / torch.stack([y == 0, y == 1], 2).flatten(3).any(3).sum(1)[..., None],
     "a query without the object is left out of the mean: it adds a zero and counts, as an empty mask does in chapter 3"),
    (lambda f, y: own(f, y) * f.shape[1], "the queries are added: take their mean"),
    (lambda f, y: own(f, y).transpose(0, 1), "the axes have changed places: the tasks come first, (B, 2, C)"),
    (lambda f, y: pooled_by(f, (y == 0, y == 1), False).mean(1) / y[0, 0].numel(),
     "you divide by all pixels of the picture: divide by the mask's own"),
    (lambda f, y: pooled_by(f, (y == 0, y == 2)).mean(1), "you look for label 2: in a task of one way the object is 1"),
    (lambda f, y: pooled_by(f, (y >= 0, y == 1)).mean(1), "the background's row is the mean of the whole picture: take the pixels with label 0"),
    (lambda f, y: pooled_by(f, (y == 0, y == 1)).amax(1), "you take the largest of the queries: take their mean"),
    (lambda f, y: own(f[:1].expand_as(f), y), "the first task's features are used for all tasks"),
    (lambda f, y: own(f, y)[:1], "only the first task of the batch is pooled"),
    (lambda f, y: F.normalize(own(f, y), dim=2),
     "the prototypes are made one long: the cosine does not mind, the squared distance does, so leave their lengths"),
)  # fmt: skip


def own_prototypes(answer: Answer) -> bool | None:
    """ex-04-own: features (B, Q, C, h, w), labels (B, Q, H, W') -> (B, 2, C), the queries' own prototypes."""
    return implementation(
        answer,
        own,
        own_inputs,
        "right: what a support would give that looked exactly like the query",
        OWN_MISTAKES,
    )


# ---- ex-04-cause ---------------------------------------------------------------------------------

CAUSES = {22: "support", 24: "background", 16: "one mean"}  # of the chapter's sampler, held by a test
EVIDENCE = {
    22: "of episode 22: exchange the object's prototype alone, and look what is left to mend",
    24: "of episode 24: neither suspect is to be named before both were exchanged, each alone; which lifts it over 0.8?",
    16: "of episode 16: even both right prototypes lift it by next to nothing; what does?",
}


def cause(answer: Any) -> bool | None:
    """ex-04-cause: {22: ..., 24: ..., 16: ...}, each "support", "background", "one mean" or "grid"."""
    if blank(answer) or (isinstance(answer, dict) and blank(*map(answer.get, CAUSES))):
        return unfilled()
    if not isinstance(answer, dict):
        return say(False, "a dictionary is wanted, such as {22: 'grid', 24: 'grid', 16: 'grid'}")
    told = {i: " ".join(re.findall("[a-z]+", str(answer[i]).lower())) for i in CAUSES}
    if unknown := [i for i, word in told.items() if word not in {*CAUSES.values(), "grid"}]:
        return say(False, f"of episode {unknown[0]}: choose 'support', 'background', 'one mean' or 'grid'")
    if wrong := [i for i, word in told.items() if word != CAUSES[i]]:
        innocent = "the grid is innocent: the truth itself, on 24 x 24 cells, gives 0.95 or more; "
        return say(False, innocent * (told[wrong[0]] == "grid") + EVIDENCE[wrong[0]])
    return say(True, "right, by experiment: the support misled in 22, the background in 24, one mean in 16")


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
    (lambda s, o: torch.stack([s[o == c].softmax(0).sum(0) for c in range(int(o.max()) + 1)]),
     "the softmax is taken within each class, so every class gets 1: take it over all prototypes"),
    *((lambda s, o, d=d: summed(s.softmax(d), o), "the softmax runs over places: it runs over the prototypes, dimension 0") for d in (1, 2)),
    (lambda s, o: summed(s.flatten().softmax(0).view_as(s), o), "the softmax runs over all places at once: at each place the classes add up to 1"),
    (lambda s, o: class_probabilities(s, o).flip(0), "the classes are turned round: class c is row c"),
    (summed, "no softmax: turn the logits into probabilities over all prototypes first"),
    (lambda s, o: summed(s.sigmoid(), o), "a sigmoid looks at one prototype alone: take the softmax over all"),
    (lambda s, o: (lambda r: r / r.sum(0))(class_probabilities(s, o) / count(o)),
     "the parts are averaged and scaled up again: add them, they add up to 1 by themselves"),
    (lambda s, o: class_probabilities(20 * s, o), "alpha is in it again: the logits have it already"),
    (lambda s, o: summed(F.one_hot(s.argmax(0), len(s)).movedim(-1, 0).to(s.dtype), o),
     "this is the winner's class, 0 or 1: the probabilities are asked for"),
    (lambda s, o: torch.stack([s.softmax(0)[o == c][0] for c in range(int(o.max()) + 1)]), "only the first part of each class is counted: sum all its parts"),
    (lambda s, o: class_probabilities(-s, o), "the sign is turned round: a large logit means a large probability"),
    (lambda s, o: class_probabilities(s, o).log(), "these are logarithms: the probabilities are asked for"),
    (lambda s, o: class_probabilities(s, o.sort().values), "the parts are taken in blocks: `owner` says which class each belongs to"),
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
