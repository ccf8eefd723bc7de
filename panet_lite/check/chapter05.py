"""Answers to the exercises of chapter 5, prototype alignment regularisation."""

import re
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import alignment
from ..alignment import alignment_loss
from ..matching import episode_losses, match, segmentation_loss, upsample
from ..prototypes import EPSILON, VOID, support_prototypes
from . import chapter03, chapter04, harness

# The chapter's tiny episode: (C, h, w) features and (h, w) masks.
SUPPORT = torch.tensor(
    [
        [[3.0, 3, 2, 1], [3, 3, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]],
        [[1.0, 0, 2, 3], [0, 1, 3, 2], [3, 2, 2, 3], [2, 3, 2, 3]],
    ]
)
MASK = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
QUERY = torch.tensor(
    [
        [[0.0, 1, 0, 1], [1, 0, 2, 0], [0, 1, 3, 2], [1, 0, 2, 3]],
        [[3.0, 2, 3, 2], [2, 3, 1, 3], [3, 2, 0, 1], [2, 3, 1, 0]],
    ]
)
TRUTH = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]])


# ---- ex-05-queryprototypes -----------------------------------------------------------------------


def pooled(features: Tensor, masks: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Means of (B, Q, C, h, w) under masks (B, Q, J, h, w): (B, J, C), jointly over the queries."""
    return harness.mean_under(features[:, :, None], masks, (1,), epsilon)


def hard(choice: Tensor, labels: int) -> Tensor:
    """Label maps (B, Q, h, w) as masks (B, Q, J, h, w)."""
    return F.one_hot(choice, labels).movedim(-1, 2).float()


def found(logits: Tensor) -> Tensor:
    """The hard masks (B, Q, J, h, w) of what logits (B, Q, J, h, w) predict."""
    return hard(logits.argmax(2), logits.shape[2])


def unvoided(labels: Tensor, masks: Tensor) -> Tensor:
    """Masks (B, Q, J, h, w) without the pixels where labels (B, Q, h, w) are void."""
    return masks * (labels != VOID)[:, :, None]


def truth_masks(labels: Tensor, count: int) -> Tensor:
    """Label maps (B, Q, h, w) that may hold 255 as masks (B, Q, J, h, w); void pixels are in none."""
    return hard(torch.where(labels == VOID, count, labels.long()), count + 1)[:, :, :-1]


PROTOTYPE_MISTAKES = (
    (lambda features, logits, labels: pooled(features, logits.softmax(2)),
     "these are soft masks: the probabilities weigh the pixels, and a gradient would leak through them. "
     "PAR takes the hard arg max"),
    (lambda features, logits, labels: harness.mean_under(features[:, :, None], found(logits)).mean(1),
     "you average each query first and then the averages: here the pixels of all queries are pooled "
     "jointly, so a query with more of the class weighs more"),
    (lambda features, logits, labels: pooled(features, truth_masks(labels, logits.shape[2])),
     "you pooled under the truth (labels). PAR pools under what the model predicted, the arg max of the "
     "logits"),
    (lambda features, logits, labels: pooled(features, unvoided(labels, found(logits))),
     "you left out the pixels that the truth calls void (255). PAR asks what the model's own answer is worth: "
     "it never looks at the query's labels"),
    (lambda features, logits, labels: pooled(features, found(logits), 0.0),
     "a class that is predicted nowhere gives 0 / 0: add the small epsilon 1e-5 to the area"),
    (lambda features, logits, labels: (features[:, :, None] * found(logits)[:, :, :, None]).mean((1, 4, 5)),
     "you divided by the number of all pixels, not by the area of each class"),
    (lambda features, logits, labels: (features[:, :, None] * found(logits)[:, :, :, None]).sum((1, 4, 5)),
     "these are sums: divide by the area of each class, plus 1e-5"),
    (lambda features, logits, labels: pooled(features, found(logits))[:, 1:],
     "the background's prototype is missing: it comes first, before the classes'"),
    (lambda features, logits, labels: pooled(features, found(logits)).mT,
     "the last two dimensions have changed places: (B, J, C) is wanted, a vector for each class"),
    (lambda features, logits, labels: pooled(features[:, :1], found(logits)[:, :1]),
     "you used the first query only: the pixels of all queries are pooled jointly"),
    (lambda features, logits, labels: pooled(features, found(-logits)),
     "you took the least likely class: arg max, not arg min"),
    (lambda features, logits, labels: pooled(features, (logits > 0).float()),
     "you took every class whose logit is above 0: a pixel belongs to one class, that of its largest logit"),
    (lambda features, logits, labels: pooled(features, found(logits.mean(1, keepdim=True).expand_as(logits))),
     "you averaged the queries, or their logits: each query has a prediction of its own"),
    (lambda features, logits, labels: pooled(features, found(logits)).flip(1),
     "the classes stand in reverse: the background comes first"),
    (lambda features, logits, labels: F.normalize(pooled(features, found(logits)), dim=2),
     "you made the prototypes one long: a prototype is a mean as it is, match sees to its length"),
    (lambda features, logits, labels: pooled(features, torch.ones_like(logits)),
     "this is the mean over all pixels, for every class: the prediction plays no part yet"),
    (lambda features, logits, labels: pooled(features, truth_masks(torch.where(labels == VOID, 0, labels), logits.shape[2])),
     "you pooled under the truth (labels), with void as background. PAR pools under the arg max of the logits"),
    (lambda features, logits, labels: pooled(features, hard(torch.where(labels == VOID, 0, logits.argmax(2)), logits.shape[2])),
     "the pixels that the truth calls void (255) became background: PAR never looks at the query's labels"),
    (lambda features, logits, labels: pooled(features, found(logits) * (logits.argmax(2) == labels)[:, :, None]),
     "only pixels that are rightly predicted are pooled: PAR never looks at the query's labels"),
    (lambda features, logits, labels: pooled(features, hard(logits.argmax(1), logits.shape[2])[:, :1].expand_as(logits)),
     "the arg max runs along the wrong axis: the classes are dimension 2 of (B, Q, J, h, w)"),
    (lambda features, logits, labels: pooled(features[:, -1:], found(logits)[:, -1:]),
     "you used the last query only: the pixels of all queries are pooled jointly"),
    (lambda features, logits, labels: pooled(features, found(logits)).roll(-1, 1), "the background comes first, then the classes"),
    (lambda features, logits, labels: pooled(features, hard(logits.argmax(2).clamp(max=1), logits.shape[2])),
     "every class became 1: each has a mask of its own"),
    (lambda features, logits, labels: pooled(F.normalize(features, dim=2), found(logits)),
     "you made the features one long first: leave their lengths, match sees to them"),
    (lambda features, logits, labels: pooled(features, found(logits), 1.0), "1 is too much to add to an area: 1e-5"),
    (lambda features, logits, labels: pooled(features, (logits.softmax(2) > 0.5).float()),
     "only pixels with more than a half are pooled: the arg max takes each pixel, for the class of its largest logit"),
    (lambda features, logits, labels: torch.where((m := pooled(features, found(logits))).any(2, keepdim=True), m, m[:, :1]),
     "a class that is predicted nowhere got the background's prototype: it gives zeros, and the caller skips it"),
    (lambda features, logits, labels: pooled(features.flatten(0, 1)[None], found(logits).flatten(0, 1)[None])
        .expand(len(logits), -1, -1), "you pooled the episodes together: each has prototypes of its own"),
)  # fmt: skip


def draw_prototypes() -> tuple[Tensor, Tensor, Tensor]:
    """Two episodes, three queries, four classes, the last of which is predicted nowhere; void in the truth."""
    logits = 3 * torch.randn(2, 3, 4, 5, 6)
    logits[:, :, 3] = logits.amin() - 1
    logits[:, 0, 1] += 3  # the first query has more of class 1 than the others
    labels = torch.tensor([0, 1, 2, 3, VOID], dtype=torch.uint8)[torch.randint(5, (2, 3, 5, 6))]
    return torch.randn(2, 3, 5, 5, 6) + 2, logits, labels


def from_prediction(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """What is asked for: features (B, Q, C, h, w), logits (B, Q, J, h, w) and labels, not used -> (B, J, C)."""
    return alignment.query_prototypes(features, logits)[0]


def query_prototypes(answer: harness.Answer) -> bool | None:
    """ex-05-queryprototypes: (features, logits, labels) -> (B, J, C)."""
    _, error = harness.attempt(answer, draw_prototypes())
    if "Class values must be" in error or "index 255" in error:
        return harness.say(False, f"{PROTOTYPE_MISTAKES[2][1]} ({error})")
    return harness.implementation(
        answer,
        from_prediction,
        draw_prototypes,
        "right: a hard mask, one mean over all queries, and a finite answer where a class was never predicted",
        PROTOTYPE_MISTAKES,
        lacks=lambda: leaks(answer, from_prediction, draw_prototypes(), {0: "features"}),
    )


# ---- ex-05-slips ---------------------------------------------------------------------------------

SYMBOLS = {  # of the printed equations: whether each has slipped, and what is to be said of it
    "a": (True, "look at the sum below the line of Eq. 6: the letter that names the class on the left is used up"),
    "b": (False, "alpha is right: it is the 20 of chapter 4, above and below the line"),
    "c": (False, "F_(c,k) is right: Eq. 6 cuts the support image, so its features belong there"),
    "d": (True, "look at M_q once more: whose annotation should the way back be compared with?"),
    "e": (True, "look at the probability behind the log: which image did Eq. 6 cut?"),
    "f": (True, "look at the set under the inner sum: between how many prototypes does Eq. 6 choose, and whose are they?"),
    "g": (False, "1 / (CKN) is right: C ways, K shots, N pixels"),
}  # fmt: skip


def letters(answer: object, why: dict[str, tuple[bool, str]], right: str, verb: str) -> bool | None:
    """Check letters against `why`: of each whether it is to be named, and what is said where it is not so."""
    if harness.blank(answer):
        return harness.unfilled()
    text = "".join(map(str, answer)) if isinstance(answer, (list, tuple, set, frozenset)) else str(answer)
    named = set(re.sub(r"[^a-z]", "", text.lower().replace("and", "")))
    if not named or not named <= why.keys():
        return harness.say(False, f'name the letters of those that {verb}, as "bg"')
    for letter, (wrong, hint) in why.items():
        if letter in named and not wrong:
            return harness.say(False, f"not {letter}: {hint}")
    missed = [letter for letter, (wrong, _) in why.items() if wrong and letter not in named]
    if missed:
        return harness.say(False, f"all of these {verb}, and {len(missed)} more: {why[missed[0]][1]}")
    return harness.say(True, right)


def slips(answer: object) -> bool | None:
    """ex-05-slips: the letters of the symbols that slipped in Eq. 6 and Eq. 7 as printed."""
    return letters(
        answer,
        SYMBOLS,
        "right: an index used twice, two letters of the query's, and the wrong set",
        "slipped",
    )


# ---- ex-05-waylabels -----------------------------------------------------------------------------


def own(labels: Tensor) -> Tensor:
    """Where label maps (B, W, K, H, W') hold the class of their way: bool, of the same shape."""
    return labels == way_of(labels)


def way_of(labels: Tensor) -> Tensor:
    """The class of each image of label maps (B, W, K, H, W'), in a shape that fits them."""
    return torch.arange(1, labels.shape[1] + 1).view(1, -1, 1, 1, 1)


LABEL_MISTAKES = (
    (lambda y: torch.where(y == VOID, VOID, own(y).long()),
     "the episode's other classes became background (0). Eq. 6 compares only this class with background, "
     "and they are neither: make them 255"),
    (lambda y: torch.where(y == VOID, 0, alignment.way_labels(y).long()),
     "void pixels (255) became background: they say nothing, and must stay 255"),
    (lambda y: own(y).long(),
     "other classes and void pixels became background: only label 0 is background, the rest is 255"),
    (lambda y: torch.where(y == VOID, VOID, (y > 0).long()),
     "every class became 1: only the image's own way is 1, the other classes are 255"),
    (lambda y: torch.where(own(y) | (y == 0), y, VOID),
     "the class kept its number: this is a two-class question, so each way's own class is 1, whatever "
     "its number"),
    (lambda y: torch.where(y == 0, 0, torch.where(own(y.long() + 1), 1, VOID)),
     "ways count from 1 in a label map (0 is background), but from 0 along its dimension"),
    (lambda y: torch.where(own(y), 1, VOID), "the background was lost: where the label is 0 it stays 0"),
    (lambda y: y, "these are the label maps as they came"),
    (lambda y: torch.where(y > 1, VOID, y),
     "right for the first way alone: in the images of way 2 the own class has label 2"),
    (lambda y: (y == 1).long(), "you looked for class 1 in the images of every way: way 2's own class has label 2"),
    (lambda y: torch.where(own(y.long() + 1), 1, torch.where(y == 0, 0, VOID)),
     "ways count from 1 in a label map (0 is background), but from 0 along its dimension"),
    (lambda y: 1 - alignment.way_labels(y), "object and background have changed places"),
    *((lambda y, other=other: torch.where(alignment.way_labels(y) == VOID, other, alignment.way_labels(y).long()),
       f"what is not asked about is 255 in this book, not {other}") for other in (-1, -100, 254, 2)),
    (lambda y: torch.where(alignment.way_labels(y) == VOID, VOID, 1 - alignment.way_labels(y)),
     "object and background have changed places"),
    (lambda y: torch.where(y == 0, 0, VOID), "the way's own class got lost: it is 1"),
    (lambda y: torch.where(own(y.flip(1)).flip(1), 1, torch.where(y == 0, 0, VOID)), "the ways are turned round: in the images of way c the class is c"),
    (lambda y: torch.where((y < way_of(y)) | (y == 0), 0, alignment.way_labels(y)),
     "classes below the way's own became background: all other classes are 255"),
    (lambda y: torch.where((y > way_of(y)) & (y != VOID), 0, alignment.way_labels(y)),
     "classes above the way's own became background: all other classes are 255"),
    *((lambda y, cut=cut: torch.full_like(y, VOID).index_copy(cut[0], torch.arange(cut[1]), alignment.way_labels(y).to(y.dtype).narrow(cut[0], 0, cut[1])),
       f"only the first {name} is relabelled, the rest is all 255: go through all of them")
      for cut, name in (((0, 1), "episode"), ((1, 1), "way"), ((1, 2), "two ways"), ((2, 1), "shot"))),
    (lambda y: torch.where(own(y) | (y == 1), 1, torch.where(y == 0, 0, VOID)),
     "class 1 counts as the own class in the images of other ways: was it replaced within the map that is read?"),
    (lambda y: torch.zeros_like(y), "everything became background"),
    (lambda y: torch.where(own(y.transpose(1, 2)).transpose(1, 2), 1, torch.where(y == 0, 0, VOID)),
     "you compared with the number of the shot: the ways are dimension 1"),
)  # fmt: skip


def draw_labels() -> tuple[Tensor]:
    """Label maps of two episodes, three ways, two shots, with every value in every image."""
    values = torch.tensor([0, 1, 2, 3, VOID], dtype=torch.uint8)
    order = torch.argsort(torch.rand(2, 3, 2, 20), dim=-1)
    return (values.repeat(4)[order].view(2, 3, 2, 4, 5),)


def way_labels(answer: harness.Answer) -> bool | None:
    """ex-05-waylabels: (B, W, K, H, W') -> the same shape of 0, 1 and 255."""
    return harness.implementation(
        answer,
        alignment.way_labels,
        draw_labels,
        "right: 1 for the image's own class, 0 for background, 255 for other classes and void",
        LABEL_MISTAKES,
    )


# ---- ex-05-divisor, ex-05-gradient ---------------------------------------------------------------


def divisor(answer: object) -> bool | None:
    """ex-05-divisor: L_PAR with losses 0.3, 0.6, 0.9 of way 1, and way 2 never predicted."""
    mine = harness.read(float, answer) or 0.0
    no = "a lost way adds nothing to the sum, then the sum is divided by ways x shots as ever"
    return harness.number(
        answer,
        0.3,
        1e-3,
        "right: 1.8 / 6. The lost way adds nothing and still counts",
        f"{mine:.3g} would be 1.8 divided by {1.8 / mine:.3g}: {no}" if mine > 0 else f"no: {no}",
        [
            (
                0.6,
                "0.6 is the mean over the three images that count. The divisor stays ways x shots = 6, whoever is "
                "skipped",
            ),
            (1.8, "1.8 is the sum: Eq. 7 divides by C x K"),
            (0.9, "0.9 divides by the number of ways only: Eq. 7 divides by ways x shots"),
        ],
    )


def gradient(answer: object) -> bool | None:
    """ex-05-gradient: which tensors get a gradient from L_PAR."""
    return harness.choice(
        answer,
        "b",
        {
            "a": "not a: the mask is hard, but what is averaged under it are query features, and a mean passes "
            "its gradient to each of them",
            "b": "right: through the pixels that are cut and through those that are averaged, and nowhere else",
            "c": "not c: the chain breaks at the arg max, whose result is whole numbers without a gradient",
        },
    )


# ---- ex-05-alignment -----------------------------------------------------------------------------


def questions(labels: Tensor, other: int = VOID, void: int = VOID) -> Tensor:
    """`way_labels` with the chosen wrong turns: the label of the episode's other classes, and of void pixels."""
    targets = torch.where((labels != VOID) & ~own(labels) & (labels > 0), other, alignment.way_labels(labels))
    return torch.where(labels == VOID, void, targets)


def pairs_of(means: Tensor) -> Tensor:
    """Prototypes (B, 1 + W, C) to those of each way's two-class question: (B, W, 2, C)."""
    return torch.stack([means[:, :1].expand_as(means[:, 1:]), means[:, 1:]], dim=2)


def predicted(logits: Tensor) -> Tensor:
    """Which ways were predicted anywhere: (B, Q, 1 + W, h, w) -> (B, W, 1)."""
    return found(logits).sum((1, 3, 4))[:, 1:, None] > 0


def means_of(query: Tensor, logits: Tensor) -> Tensor:
    """The prototypes (B, 1 + W, C) of the query's hard masks."""
    return pooled(query, found(logits))


def image_losses(scores: Tensor, targets: Tensor) -> Tensor:
    """Scores (B, W, K, J, h, w), targets (B, W, K, H, W') -> the loss of each support image, (B, W, K)."""
    losses = episode_losses(scores.flatten(0, 2)[:, None], targets.flatten(0, 2)[:, None])
    return losses.view(targets.shape[:3])


def cut_back(support: Tensor, means: Tensor, alpha: float = 20.0) -> Tensor:
    """The supports (B, W, K, C, h, w) against their way's pair: scores (B, W, K, 2, h, w)."""
    scores: Tensor = match(support.flatten(0, 1), pairs_of(means).flatten(0, 1), alpha)
    shaped: Tensor = scores.unflatten(0, support.shape[:2])
    return shaped


def variant(
    query: Tensor, logits: Tensor, support: Tensor, labels: Tensor, *, soft: bool = False,
    shrink: bool = False, skip: bool = True, other: int = VOID, void: int = VOID, alpha: float = 20.0,
    apart: bool = False, masks: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Eq. 7 with the chosen wrong turns: soft masks, a divisor that shrinks, no skipping, others' and void's
    label, another alpha, queries that are averaged one by one, other masks."""
    masks = masks if masks is not None else logits.softmax(2) if soft else found(logits)
    means = harness.mean_under(query[:, :, None], masks).mean(1) if apart else pooled(query, masks)
    losses = image_losses(cut_back(support, means, alpha), questions(labels, other, void))
    counts = predicted(logits).expand_as(losses) if skip else torch.ones_like(losses, dtype=torch.bool)
    sums = torch.where(counts, losses, 0).sum((1, 2))
    each: Tensor = sums / (counts.sum((1, 2)).clamp(min=1) if shrink else losses[0].numel())
    return each.mean()


def partly(keep: Callable[[Tensor], Tensor]) -> harness.Answer:
    """What `keep` makes of the images' losses (B, W, K), 0 where a way was never predicted."""

    def wrong(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        losses = image_losses(cut_back(support, means_of(query, logits)), questions(labels))
        return keep(torch.where(predicted(logits), losses, 0))

    return wrong


def own_supports(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 7 with the support's prototypes where a class was predicted."""
    losses = image_losses(cut_back(support, support_prototypes(support, labels)), questions(labels))
    return torch.where(predicted(logits), losses, 0).mean()


def one_list(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 7 with one mean over the images that count, of all episodes."""
    losses = image_losses(cut_back(support, means_of(query, logits)), questions(labels))
    return losses[predicted(logits).expand_as(losses)].mean()


def one_too_low(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 7 with the prototype of class c - 1 for way c."""
    means = means_of(query, logits)
    losses = image_losses(cut_back(support, means[:, [0, *range(means.shape[1] - 1)]]), questions(labels))
    return torch.where(predicted(logits), losses, 0).mean()


def small(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 7 on the feature grid: the label maps are made small."""
    reduced = F.interpolate(labels.flatten(0, 1).float(), size=support.shape[-2:]).long()
    return variant(query, logits, support, reduced.unflatten(0, labels.shape[:2]))


def all_classes(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 7 with all 1 + W prototypes in each softmax."""
    scores = match(support.flatten(1, 2), means_of(query, logits)).unflatten(1, support.shape[1:3])
    return torch.where(predicted(logits), image_losses(scores, labels), 0).mean()


def by_pixels(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 7 with one mean over the valid pixels of all shots of a way."""
    scores = cut_back(support, means_of(query, logits))
    losses = episode_losses(scores.flatten(0, 1), alignment.way_labels(labels).flatten(0, 1))
    return torch.where(predicted(logits)[..., 0], losses.view(labels.shape[:2]), 0).mean()


def judged(judge: Callable[[Tensor, Tensor], Tensor]) -> harness.Answer:
    """Eq. 7 with another judge of a support image: scores (N, 2, h, w), targets (N, H, W') -> (N,)."""

    def wrong(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
        scores = cut_back(support, means_of(query, logits)).flatten(0, 2)
        losses = judge(scores, alignment.way_labels(labels).flatten(0, 2)).view(labels.shape[:3])
        return torch.where(predicted(logits), losses, 0).mean()

    return wrong


def entropy(scores: Tensor, targets: Tensor, divisor: Tensor | None = None) -> Tensor:
    """Cross-entropy of maps that have the targets' size: (N, 2, H, W'), (N, H, W') -> (N,)."""
    losses = F.cross_entropy(scores, targets, ignore_index=VOID, reduction="none").sum((1, 2))
    return losses / ((targets != VOID).sum((1, 2)) if divisor is None else divisor)


def resized(scores: Tensor, targets: Tensor, mode: str = "bilinear", corners: bool | None = False) -> Tensor:
    """Scores (N, 2, h, w) at the targets' size."""
    return F.interpolate(scores, targets.shape[-2:], mode=mode, align_corners=corners)


def never_back(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Supports cut by their own prototypes: the way back is never walked."""
    return image_losses(
        cut_back(support, support_prototypes(support, labels)), alignment.way_labels(labels)
    ).mean()


SOFT = "the masks should be the hard arg max"
ALIGNMENT_MISTAKES = (
    (lambda *x: variant(*x, soft=True), f"you pool under the softmax: {SOFT}, or a gradient leaks through them"),
    (lambda *x: variant(*x, shrink=True),
     "you divide by the support images that count: a skipped way still counts in ways x shots"),
    (lambda *x: variant(*x, skip=False),
     "a class that was never predicted must add nothing: yours is judged by its zero prototype"),
    (lambda *x: variant(*x, other=0),
     "the episode's other classes became background: the two-class question leaves them out"),
    (lambda *x: variant(*x, other=0, void=0),
     "whatever is not the way's own class became background: other classes and void are left out (255)"),
    (lambda *x: variant(*x, void=0), "void pixels became background: they are left out (255)"),
    (lambda *x: variant(*x, other=1), "every class of the episode became 1: only the way's own class is"),
    (lambda *x: variant(*x, alpha=1.0), "these are bare cosines: Eq. 6 multiplies them by alpha, 20"),
    (lambda *x: variant(*x, apart=True),
     "you average each query first and then the averages: the pixels of all queries are pooled jointly"),
    (small, "you make the label maps small: the logits are upsampled to the label maps' size"),
    (all_classes,
     "you let all 1 + W prototypes compete: Eq. 6 asks each support image about its own class and background"),
    (by_pixels,
     "one mean over the pixels of all shots: each support image is a mean of its own, then they are averaged"),
    (lambda *x: variant(*x) * x[3].shape[1] * x[3].shape[2], "this is the sum: Eq. 7 divides by C x K"),
    (lambda *x: variant(*x) * x[3].shape[2], "you divide by the ways only: Eq. 7 divides by C x K"),
    (lambda *x: variant(*x) * x[3].shape[1], "you divide by the shots only: Eq. 7 divides by C x K"),
    (never_back, "you cut the supports with their own prototypes: the way back starts from the query's prediction"),
    (judged(lambda s, y: entropy(resized(s, y, "nearest", None), y)),
     "the logits are enlarged by nearest neighbour: bilinear, align_corners=False"),
    (judged(lambda s, y: entropy(resized(s, y, "bilinear", True), y)),
     "align_corners=True stretches the map to its corners: this book uses False"),
    (judged(lambda s, y: entropy(resized(s.softmax(1), y), y)), "the softmax is taken twice: cross-entropy wants logits"),
    (judged(lambda s, y: entropy(resized(s.flip(1), y), y)),
     "background and object have changed places: the background comes first"),
    (judged(lambda s, y: entropy(resized(s, y), y, torch.tensor(y[0].numel()))),
     "void pixels still stand in the divisor: each image is a mean over its valid pixels"),
    (judged(lambda s, y: entropy(resized(s, y), y, torch.tensor(1.0))),
     "the pixels are summed: each image is a mean over its valid pixels"),
    (judged(lambda s, y: -entropy(resized(s, y), y)), "the sign is turned round: a loss is minus a log-probability"),
    (lambda q, s, f, y: alignment_loss(q, s, f, y, None, "euclidean"), "this is the Euclidean distance: the cosine is wanted"),
    (lambda q, s, f, y: alignment_loss(q, s, f.roll(1, 1), y),
     "the supports have changed places: the images of way c are cut with the prototype of class c"),
    (lambda q, s, f, y: alignment_loss(q, s.mean(1, keepdim=True).expand_as(s), f, y),
     "you averaged the queries' logits: each query has a prediction of its own"),
    (lambda q, s, f, y: F.cross_entropy(s.flatten(0, 1), s.argmax(2).flatten(0, 1)),
     "this never looks at the support: Eq. 7 at its word"),
    (partly(lambda x: x[:, :, :1].mean() / x.shape[2]), "only the first shot of each way is cut: all K are"),
    (partly(lambda x: x[:, :1].mean() / x.shape[1]), "only the first way is cut: all C are"),
    (lambda q, s, f, y: variant(q[:, :1], s[:, :1], f, y), "only the first query is used: the pixels of all are pooled jointly"),
    (lambda *x: variant(*x) + (~predicted(x[1])).float().mean() * torch.tensor(2.0).log(), "a lost class costs ln 2: it adds nothing at all"),
    (judged(lambda s, y: entropy(resized(s, y).softmax(1), y)), "the softmax is taken twice: cross-entropy wants logits"),
    (lambda q, s, f, y: alignment_loss(q, s, f.flip(1), y), "the supports are turned round: the images of way c are cut with the prototype of class c"),
    (one_too_low, "the prototypes are one too low: way 1 is class 1, and row 0 is the background"),
    (own_supports, "the prototypes are the support's: the way back starts from the query's prediction"),
    (lambda *x: variant(*x, masks=(x[1].softmax(2) > 0.5).float()),
     "only pixels with more than a half are pooled: the arg max takes each pixel"),
    (one_list, "one mean over the images of all episodes that count: an episode's sum is divided by C x K, lost ways or not"),
    (partly(lambda x: x.sum()), "this is the sum over all episodes: Eq. 7 divides by C x K, and the episodes are averaged"),
    *((partly(keep), "only the first episode is counted: take the mean of all") for keep in (lambda x: x[:1].mean(), lambda x: x[:1].mean() / len(x))),
    (lambda *x: variant(*x) * len(x[3]), "you add the episodes up: the loss is their mean"),
)  # fmt: skip


def draw_episodes(lost: bool, count: int = 4) -> tuple[Tensor, ...]:
    """Episodes of 3 ways, 2 shots and 2 queries; class 2 is predicted nowhere in the first if `lost`."""
    logits = torch.randn(count, 2, 4, 4, 5)
    logits[:, 0, 1] += 2  # the first query has more of class 1
    if lost:
        logits[0, :, 2] -= 100
    labels = torch.tensor([0, 1, 2, 3, VOID]).repeat(24)[torch.argsort(torch.rand(count, 3, 2, 120), dim=-1)]
    labels[:, :, 0, :40] = VOID  # the shots' valid pixels differ in number
    return (
        torch.randn(count, 2, 6, 4, 5), logits, torch.randn(count, 3, 2, 6, 4, 5),
        labels.view(count, 3, 2, 10, 12).byte(),
    )  # fmt: skip


def leaks(
    answer: harness.Answer, truth: Callable[..., Tensor], inputs: tuple[Tensor, ...], names: dict[int, str]
) -> str:
    """What is wrong with the gradient of an answer whose values are right; "" if nothing.

    names: the inputs that get one. The second input, the logits, gets none, and they are small here, so that even a
    softmax of a thousand times them is soft.
    """
    features, logits, *others = inputs
    leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in (features, logits / 1000, *others)]
    result = harness.read(torch.as_tensor, harness.attempt(answer, tuple(leaves))[0])
    if result is None or not result.requires_grad:
        return (
            "the values are right, but no gradient arrives anywhere: something was detached or made a number"
        )
    weights = torch.randn(result.shape)
    ours, theirs = (
        torch.autograd.grad((weights * value).sum(), [leaves[i] for i in (1, *names)], allow_unused=True)
        for value in (result, truth(*leaves))
    )
    if ours[0] is not None and ours[0].any():
        return "the values are right, but a gradient still reaches the query's logits through the mask"
    for name, mine, right in zip(names.values(), ours[1:], theirs[1:]):
        if mine is None or not harness.equal(mine, right):
            return f"the values are right, but the gradient of the {name} is not: was something detached?"
    return ""


def my_alignment(answer: harness.Answer) -> bool | None:
    """ex-05-alignment: as `alignment_loss`, for a batch of episodes; values with and without a lost class, gradients."""
    cases = iter([draw_episodes(lost) for lost in (True, False, True, False, True)])
    right = "right: hard masks, a divisor that stays, and a gradient that reaches the features only"
    learns = {0: "query features", 2: "support features"}
    lacks = partial(leaks, answer, alignment_loss, draw_episodes(False), learns)
    return harness.implementation(
        answer, alignment_loss, lambda: next(cases), right, ALIGNMENT_MISTAKES, lacks=lacks
    )


# ---- ex-05-repair --------------------------------------------------------------------------------

LINES = {  # of a colleague's loss: whether each is wrong, and what is to be said of it
    "a": (True, "look at the masks: does a gradient pass through them to the logits?"),
    "b": (False, "the sums are divided by the masks' areas, and the 1e-5 keeps an empty mask finite"),
    "c": (False, "255 stands for the other classes and for void, and cross-entropy leaves it out"),
    "d": (False, "background and the way's own class: Eq. 6 asks between these two"),
    "e": (False, "the logits are enlarged to the label maps' size, as in the table"),
    "f": (True, "look at the last line: by how many does it divide where a way was skipped?"),
}  # fmt: skip


def repair(answer: object) -> bool | None:
    """ex-05-repair: the letters of the lines that are wrong in a colleague's loss."""
    right = "right: soft masks let PAR move the mask itself, and a mean over fewer ways hides the one that was lost"
    return letters(answer, LINES, right, "are wrong")


# ---- ex-05-oracle --------------------------------------------------------------------------------


def cut_with(means: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5 of supports (B, 1, K, C, h, w) that prototypes (B, 2, C) cut, against (B, 1, K, H, W')."""
    return segmentation_loss(match(support[:, 0], means), labels[:, 0])


def query_means(features: Tensor, labels: Tensor) -> Tensor:
    """The prototypes (B, 2, C) of a query (B, 1, C, h, w) under its own label map (B, 1, H, W')."""
    return support_prototypes(features[:, None], labels[:, None])


def small_means(features: Tensor, labels: Tensor) -> Tensor:
    """`query_means` with the label map made small by nearest resizing."""
    return query_means(features, F.interpolate(labels.float(), size=features.shape[-2:]).long())


def without_void(labels: Tensor) -> Tensor:
    """Label maps whose void pixels became background."""
    return torch.where(labels == VOID, 0, labels.long())


def oracle_loss(
    query_features: Tensor, query_labels: Tensor, support_features: Tensor, support_labels: Tensor
) -> Tensor:
    """Eq. 7 of 1-way 1-shot episodes whose query's prototypes are pooled under the true mask."""
    return cut_with(query_means(query_features, query_labels), support_features, support_labels)


ORACLE_MISTAKES = (
    (lambda q, t, s, y: cut_with(query_means(s[:, 0], y[:, 0]), s, y),
     "you pool in the support: the prototypes come from the query, under its true mask"),
    (lambda q, t, s, y: segmentation_loss(match(q, support_prototypes(s, y)), t),
     "this is the way there, Eq. 5: the oracle cuts the support"),
    (lambda q, t, s, y: segmentation_loss(match(q, query_means(q, t)), t),
     "you cut the query with its own prototypes: cut the support with them"),
    (lambda q, t, s, y: cut_with(query_means(q, without_void(t)), s, y),
     "the query's void pixels (255) became background: they say nothing"),
    (lambda q, t, s, y: cut_with(query_means(q, t), s, without_void(y)),
     "the support's void pixels (255) became background: they say nothing"),
    (lambda q, t, s, y: cut_with(query_means(q, t).flip(1), s, y),
     "background and object have changed places: the background comes first"),
    (lambda q, t, s, y: cut_with(small_means(q, t), s, y),
     "you make the query's label map small by nearest resizing: chapter 3's pooling takes it as it is"),
    (lambda q, t, s, y: segmentation_loss(match(s[:, 0], query_means(q, t), 1.0), y[:, 0]),
     "these are bare cosines: Eq. 6 multiplies them by alpha, 20"),
    (lambda q, t, s, y: segmentation_loss(match(s[:, 0], query_means(q, t)).softmax(2), y[:, 0]),
     "the softmax is taken twice: segmentation_loss wants logits"),
    (lambda q, t, s, y: cut_with(query_means(q, torch.where(t == VOID, 1, t.long())), s, y),
     "the query's void pixels (255) became object: they say nothing"),
    (lambda q, t, s, y: cut_with(query_means(q, y[:, 0]), s, y),
     "you pool in the query under the support's mask: each image has its own"),
    (lambda q, t, s, y: oracle_loss(q, t, s, y) * len(y), "you add the episodes up: the loss is their mean"),
    (lambda q, t, s, y: oracle_loss(q[:1], t[:1], s[:1], y[:1]), "only the first episode is counted: take the mean of all"),
    (lambda q, t, s, y: -oracle_loss(q, t, s, y), "the sign is turned round: a loss is minus a log-probability"),
    (lambda q, t, s, y: 1 - oracle_loss(q, t, s, y), "this is 1 minus the loss: the loss itself is asked for"),
    (lambda q, t, s, y: alignment_loss(q, match(q, support_prototypes(s, y)), s, y),
     "you pool under the predicted mask, as PAR does: the oracle knows the true one"),
    (lambda q, t, s, y: cut_with(torch.stack([query_means(q, t)[:, 0], support_prototypes(s, y)[:, 1]], 1), s, y),
     "the object's prototype is the support's: both come from the query"),
    (lambda q, t, s, y: cut_with(torch.stack([support_prototypes(s, y)[:, 0], query_means(q, t)[:, 1]], 1), s, y),
     "the background's prototype is the support's: both come from the query"),
    (lambda q, t, s, y: cut_with(query_means(q, t).mean(0, keepdim=True).expand(len(q), -1, -1), s, y),
     "the episodes' prototypes are averaged: each has its own"),
    (lambda q, t, s, y: segmentation_loss(match(s[:, 0], query_means(q, t)), F.interpolate(y[:, 0].float(), s.shape[-2:]).long()),
     "the support's label map is made small: segmentation_loss makes the logits large"),
    (lambda q, t, s, y: entropy(upsample(match(s[:, 0], query_means(q, t)), y.shape[-2:])[:, 0], y[:, 0, 0].long(),
                                torch.tensor(y[0].numel())).mean(),
     "void pixels still stand in the divisor: segmentation_loss leaves them out"),
    (lambda q, t, s, y: cut_with(query_means(q, t), s, t[:, None]),
     "you judge by the query's labels: the support was cut, and its own labels judge"),
    (lambda q, t, s, y: segmentation_loss(match(s[:, 0], query_means(q, t), None, "euclidean"), y[:, 0]),
     "this is the Euclidean distance: the cosine is wanted"),
    (lambda q, t, s, y: entropy(upsample(match(s[:, 0], query_means(q, t)), y.shape[-2:])[:, 0], y[:, 0, 0].long(),
                                (y != VOID).sum()).sum(),
     "one mean over the pixels of the batch: average each episode first, then the episodes"),
)  # fmt: skip


def draw_oracle() -> tuple[Tensor, ...]:
    """Two 1-way 1-shot episodes of features and label maps (uint8) with void."""
    values = torch.tensor([0, 0, 1, 1, VOID], dtype=torch.uint8)
    truth, labels = values[torch.randint(5, (2, 1, 14, 17))], values[torch.randint(5, (2, 1, 1, 14, 17))]
    labels[0, :, :, :9], truth[1, :, 6:] = VOID, VOID
    return torch.randn(2, 1, 6, 4, 5) + 1, truth, torch.randn(2, 1, 1, 6, 4, 5), labels


def oracle(answer: harness.Answer) -> bool | None:
    """ex-05-oracle: query features, query labels, support features, support labels -> the true mask's way back."""
    return harness.implementation(
        answer,
        oracle_loss,
        draw_oracle,
        "right: the query under its true mask is a support like any other, and the support a query",
        ORACLE_MISTAKES,
    )


# ---- ex-05-fool ----------------------------------------------------------------------------------


def tiny_loss(mask: Tensor) -> float:
    """L_PAR of the chapter's tiny episode when the query's predicted mask is `mask` (h, w)."""
    logits = F.one_hot(mask.long(), 2).permute(2, 0, 1)[None, None].float()
    return alignment_loss(QUERY[None, None], logits, SUPPORT[None, None, None], MASK[None, None, None]).item()


def fooled(answer: object) -> harness.Verdict:
    """Whether a query mask (4, 4) of the tiny episode has a poor IoU and a low L_PAR."""
    if (mask := harness.read(torch.as_tensor, answer)) is None:
        return False, f"a 4 x 4 tensor of 0 and 1 is wanted, not {type(answer).__name__}"
    if tuple(mask.shape) != (4, 4) or not ((mask == 0) | (mask == 1)).all():
        return False, "a 4 x 4 tensor of 0 and 1 is wanted"
    mask = mask.long()
    if not mask.any():
        return (
            False,
            "L_PAR is 0 here only since nothing was predicted and the way was skipped: call at least one pixel "
            "object",
        )
    iou = ((mask & TRUTH).sum() / (mask | TRUTH).sum()).item()
    loss, limit = tiny_loss(mask), tiny_loss(TRUTH)
    if iou >= 0.3:
        return False, f"the IoU is {iou:.2f}: it should be below 0.3"
    if loss >= limit:
        return (
            False,
            f"the IoU is low, but L_PAR is {loss:.3f}, and the true mask has {limit:.3f}: mind the mean's direction",
        )
    return True, f"fooled: IoU {iou:.2f}, L_PAR {loss:.3f}, less than the {limit:.3f} of the true mask"


def fool(answer: object) -> bool | None:
    """ex-05-fool: a query mask with a poor IoU and a low L_PAR."""
    if harness.blank(answer):
        return harness.unfilled()
    return harness.inspected(lambda: answer, fooled)


# ---- the reader's own PANet: what was written in chapters 3 and 4, held to what was asked there --

my_pool, my_prototypes, my_match, my_loss = (
    chapter03.pool,
    chapter03.prototypes,
    chapter04.match,
    chapter04.void_loss,
)
