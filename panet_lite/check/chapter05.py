"""Answers to the exercises of chapter 5, prototype alignment regularisation."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import alignment
from ..alignment import alignment_loss
from ..matching import episode_losses, match
from ..prototypes import EPSILON, VOID
from . import harness

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


# ---- exercise 1 ----------------------------------------------------------------------------------


def pooled(features: Tensor, masks: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Means of (B, Q, C, h, w) under masks (B, Q, J, h, w): (B, J, C), jointly over the queries."""
    return harness.mean_under(features[:, :, None], masks, (1,), epsilon)


def hard(choice: Tensor, labels: int) -> Tensor:
    """Label maps (B, Q, h, w) as masks (B, Q, J, h, w)."""
    return F.one_hot(choice, labels).movedim(-1, 2).float()


def found(logits: Tensor) -> Tensor:
    """The hard masks (B, Q, J, h, w) of what logits (B, Q, J, h, w) predict."""
    return hard(logits.argmax(2), logits.shape[2])


PROTOTYPE_MISTAKES = (
    (lambda features, logits, labels: pooled(features, logits.softmax(2)),
     "these are soft masks: the probabilities weigh the pixels, and a gradient would leak through them. "
     "PAR takes the hard arg max"),
    (lambda features, logits, labels: harness.mean_under(features[:, :, None], found(logits)).mean(1),
     "you average each query first and then the averages: here the pixels of all queries are pooled "
     "jointly, so a query with more of the class weighs more"),
    (lambda features, logits, labels: pooled(features, hard(labels, logits.shape[2])),
     "you pooled under the truth (labels). PAR pools under what the model predicted, the arg max of the "
     "logits"),
    (lambda features, logits, labels: pooled(features, found(logits), 0.0),
     "a class that is predicted nowhere gives 0 / 0: add the small epsilon 1e-5 to the area"),
    (lambda features, logits, labels: (features[:, :, None] * found(logits)[:, :, :, None]).mean((1, 4, 5)),
     "you divided by the number of all pixels, not by the area of each class"),
    (lambda features, logits, labels: (features[:, :, None] * found(logits)[:, :, :, None]).sum((1, 4, 5)),
     "these are sums: divide by the area of each class, plus 1e-5"),
)  # fmt: skip


def draw_prototypes() -> tuple[Tensor, Tensor, Tensor]:
    """Two episodes, three queries, four classes, the last of which is predicted nowhere."""
    logits = 3 * torch.randn(2, 3, 4, 5, 6)
    logits[:, :, 3] = logits.amin() - 1
    logits[:, 0, 1] += 3  # the first query has more of class 1 than the others
    return torch.randn(2, 3, 5, 5, 6) + 2, logits, torch.randint(0, 4, (2, 3, 5, 6))


def query_prototypes(answer: harness.Answer) -> bool | None:
    """Exercise 1: (features, logits, labels) -> (B, J, C)."""
    return harness.implementation(
        answer,
        lambda features, logits, labels: alignment.query_prototypes(features, logits)[0],
        draw_prototypes,
        "right: a hard mask, one mean over all queries, and a finite answer where a class was never predicted",
        PROTOTYPE_MISTAKES,
    )


# ---- exercise 2 ----------------------------------------------------------------------------------


def own(labels: Tensor) -> Tensor:
    """Where label maps (B, W, K, H, W') hold the class of their way: bool, of the same shape."""
    return labels == torch.arange(1, labels.shape[1] + 1).view(1, -1, 1, 1, 1)


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
    (lambda y: torch.where(y == 0, 0, torch.where(own(y + 1), 1, VOID)),
     "ways count from 1 in a label map (0 is background), but from 0 along its dimension"),
    (lambda y: torch.where(own(y), 1, VOID), "the background was lost: where the label is 0 it stays 0"),
)  # fmt: skip


def draw_labels() -> tuple[Tensor]:
    """Label maps of two episodes, three ways, two shots, with every value in every image."""
    values = torch.tensor([0, 1, 2, 3, VOID])
    order = torch.argsort(torch.rand(2, 3, 2, 20), dim=-1)
    return (values.repeat(4)[order].view(2, 3, 2, 4, 5),)


def way_labels(answer: harness.Answer) -> bool | None:
    """Exercise 2: (B, W, K, H, W') -> the same shape of 0, 1 and 255."""
    return harness.implementation(
        answer,
        alignment.way_labels,
        draw_labels,
        "right: 1 for the image's own class, 0 for background, 255 for other classes and void",
        LABEL_MISTAKES,
    )


# ---- exercises 3 and 4 ---------------------------------------------------------------------------


def divisor(answer: object) -> bool | None:
    """Exercise 3: L_PAR with losses 0.3, 0.6, 0.9 of way 1, and way 2 never predicted."""
    return harness.number(
        answer,
        0.3,
        1e-3,
        "right: 1.8 / 6. The lost way adds nothing and still counts",
        "no: a lost way adds nothing to the sum, then the sum is divided by ways x shots as ever",
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
    """Exercise 4: which tensors get a gradient from L_PAR."""
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


# ---- exercise 5 ----------------------------------------------------------------------------------


def reference(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 7 of one episode: (Q, C, h, w), (Q, J, h, w), (W, K, C, h, w), (W, K, H, W') -> scalar."""
    return alignment_loss(query[None], logits[None], support[None], labels[None])


def variant(
    query: Tensor, logits: Tensor, support: Tensor, labels: Tensor,
    *, soft: bool = False, shrink: bool = False, skip: bool = True, other: int = VOID,
) -> Tensor:  # fmt: skip
    """Eq. 7 with the chosen wrong turns: soft masks, a divisor that shrinks, no skipping, others' label."""
    ways, shots = labels.shape[:2]
    choice = logits.argmax(1)
    masks = logits.softmax(1)[None] if soft else hard(choice[None], 1 + ways)
    means = pooled(query[None], masks)[0]
    pairs = torch.stack([means[:1].expand(ways, -1), means[1:]], dim=1)
    scores = match(support, pairs).flatten(0, 1).unsqueeze(1)
    targets = alignment.way_labels(labels[None])[0]
    strangers = (labels != VOID) & (targets == VOID)
    targets = torch.where(strangers, other, targets)
    losses = episode_losses(scores, targets.flatten(0, 1).unsqueeze(1)).view(ways, shots)
    found = torch.stack([(choice == way).any() for way in range(1, ways + 1)])
    losses = losses[found] if skip else losses
    return losses.mean() if shrink else losses.sum() / (ways * shots)


REPAIR_MISTAKES = (
    (lambda *x: variant(*x, soft=True, shrink=True),
     "both faults are still there: look at the masks, and at what the sum is divided by"),
    (lambda *x: variant(*x, soft=True),
     "the divisor is right now. The other fault is in the masks: they should be the hard arg max"),
    (lambda *x: variant(*x, shrink=True),
     "the masks are hard now. The other fault is the divisor: a skipped way still counts in ways x shots"),
    (lambda *x: variant(*x, skip=False),
     "a class that was never predicted must add nothing: yours is judged by its zero prototype"),
    (lambda *x: variant(*x, other=0),
     "the episode's other classes became background: the two-class question leaves them out"),
)  # fmt: skip


def draw_episode(lost: bool) -> tuple[Tensor, ...]:
    """An episode of 3 ways, 2 shots and 2 queries; class 2 is predicted nowhere if `lost`."""
    logits = torch.randn(2, 4, 4, 5)
    if lost:
        logits[:, 2] -= 100
    labels = torch.tensor([0, 1, 2, 3, VOID]).repeat(24)[torch.argsort(torch.rand(3, 2, 120), dim=-1)]
    return torch.randn(2, 6, 4, 5), logits, torch.randn(3, 2, 6, 4, 5), labels.view(3, 2, 10, 12)


def leaks(answer: harness.Answer) -> str:
    """What is wrong with the gradient of an answer whose values are right; "" if nothing."""
    query, logits, support, labels = draw_episode(lost=False)
    wanted = [query.requires_grad_(), logits.requires_grad_(), support.requires_grad_()]
    loss = torch.as_tensor(answer(query, logits, support, labels))
    if not loss.requires_grad:
        return (
            "the values are right, but no gradient arrives anywhere: something was detached or made a number"
        )
    ours = torch.autograd.grad(loss, wanted, allow_unused=True)
    theirs = torch.autograd.grad(reference(query, logits, support, labels), wanted, allow_unused=True)
    if ours[1] is not None and ours[1].abs().max() > 1e-8:
        return "the values are right, but a gradient still reaches the query's logits through the mask"
    for name, a, b in (("query", ours[0], theirs[0]), ("support", ours[2], theirs[2])):
        if a is None or not harness.equal(a, b):
            return f"the values are right, but the gradient of the {name} features is not: was something detached?"
    return ""


def repair(answer: harness.Answer) -> bool | None:
    """Exercise 5: one episode's alignment loss, values and gradients."""
    cases = iter([draw_episode(lost) for lost in (True, False, True, False, True)])
    right = "right: hard masks, a divisor that stays, and a gradient that reaches the features only"
    return harness.implementation(
        answer, reference, lambda: next(cases), right, REPAIR_MISTAKES, lacks=lambda: leaks(answer)
    )


# ---- exercise 6 ----------------------------------------------------------------------------------


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
    """Exercise 6: a query mask with a poor IoU and a low L_PAR."""
    return harness.inspected(lambda: answer, fooled)
