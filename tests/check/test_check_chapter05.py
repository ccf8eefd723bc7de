"""Chapter 5's checks: right answers of all kinds pass, each known mistake is told by its own sentence, and wrong
answers that were written from the exercises' texts are refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checking import DRAWS, answers, mistakes_are_told, one_of_three, right_passes, said, stubs_and_errors

from panet_lite import alignment
from panet_lite.check import chapter05 as check
from panet_lite.matching import match, segmentation_loss, upsample
from panet_lite.prototypes import support_prototypes


def right_prototypes(features, logits, labels):
    return alignment.query_prototypes(features, logits)[0]


def right_oracle(query_features, query_labels, support_features, support_labels):
    means = support_prototypes(query_features[:, None], query_labels[:, None])
    return segmentation_loss(match(support_features[:, 0], means), support_labels[:, 0])


IMPLEMENTATIONS = [
    (check.query_prototypes, right_prototypes, check.PROTOTYPE_MISTAKES),
    (check.way_labels, alignment.way_labels, check.LABEL_MISTAKES),
    (check.my_alignment, alignment.alignment_loss, check.ALIGNMENT_MISTAKES),
    (check.oracle, right_oracle, check.ORACLE_MISTAKES),
]


test_right_answer_passes = right_passes(IMPLEMENTATIONS, lambda exercise: range(6))


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS, lambda exercise: range(3))


test_unfilled_and_raising_answers = stubs_and_errors(
    *(row[0] for row in IMPLEMENTATIONS),
    nonsense=[lambda *inputs: torch.zeros(1, 17)],
    begins="✗ the result should have shape",
)


# ---- right answers of other kinds ----------------------------------------------------------------


def prototypes_by_loops(features, logits, labels):
    rows = []
    for b, chosen in enumerate(logits.argmax(2)):
        for c in range(logits.shape[2]):
            inside = [features[b, q, :, y, x] for q, y, x in (chosen == c).nonzero().tolist()]
            rows.append(sum(inside, torch.zeros(features.shape[2])) / (len(inside) + 1e-5))
    return torch.stack(rows).view(*logits.shape[:1], logits.shape[2], -1)


def prototypes_by_numpy(features, logits, labels):
    f, chosen = features.numpy(), logits.numpy().argmax(2)
    masks = (chosen[:, :, None] == np.arange(logits.shape[2])[:, None, None]).astype(np.float64)
    return np.einsum("bqchw,bqjhw->bjc", f, masks) / (masks.sum((1, 3, 4))[..., None] + 1e-5)


def prototypes_in_double(features, logits, labels):
    return right_prototypes(features.double(), logits, labels)


def prototypes_flat(features, logits, labels):
    masks = F.one_hot(logits.max(2).indices, logits.shape[2]).float().flatten(1, 3)  # (B, QN, J)
    sums = masks.mT @ features.movedim(2, -1).flatten(1, 3)
    return sums / masks.sum(1).add_(1e-5)[..., None]


def prototypes_kept(features, logits, labels):
    means = []
    for c in range(logits.shape[2]):
        inside = (logits.argmax(2, keepdim=True) == c).float()
        means.append((features * inside).sum((1, 3, 4)) / (inside.sum((1, 3, 4)) + 1e-5))
    return torch.stack(means, 1)


def labels_in_place(labels):
    for way in range(labels.shape[1]):
        image = labels[:, way].clone()
        labels[:, way][image == way + 1] = 1
        labels[:, way][(image != way + 1) & (image != 0)] = 255
    return labels


def labels_by_numpy(labels):
    own = labels.numpy() == np.arange(1, labels.shape[1] + 1)[:, None, None, None]
    return np.where(own, 1, np.where(labels.numpy() == 0, 0, 255))


def labels_by_pixel(labels):
    out = [
        [1 if v == way + 1 else 0 if v == 0 else 255 for v in labels[b, way].flatten().tolist()]
        for b in range(labels.shape[0])
        for way in range(labels.shape[1])
    ]
    return torch.tensor(out).view(labels.shape)


def labels_masked(labels):
    ways = torch.arange(1, 1 + labels.shape[1])[None, :, None, None, None]
    return labels.long().masked_fill((labels != ways) & (labels > 0), 255).masked_fill(labels == ways, 1)


def alignment_by_loops(query_features, query_logits, support_features, support_labels):
    batch, ways, shots = support_labels.shape[:3]
    total = 0.0
    for b in range(batch):
        chosen = query_logits[b].argmax(1)
        for way in range(1, ways + 1):
            if not (chosen == way).any():
                continue
            pair = []
            for c in (0, way):
                inside = (chosen == c).float()[:, None]
                pair.append((query_features[b] * inside).sum((0, 2, 3)) / (inside.sum() + 1e-5))
            for shot in range(shots):
                f, labels = support_features[b, way - 1, shot], support_labels[b, way - 1, shot]
                scores = torch.stack([20 * F.cosine_similarity(f, p[:, None, None], dim=0) for p in pair])
                scores = F.interpolate(scores[None], labels.shape, mode="bilinear", align_corners=False)
                target = torch.full(labels.shape, 255)
                target[labels == 0], target[labels == way] = 0, 1
                total = total + F.cross_entropy(scores, target[None], ignore_index=255)
    return total / (batch * ways * shots)


def alignment_in_double(query_features, query_logits, support_features, support_labels):
    return alignment.alignment_loss(
        query_features.double(), query_logits, support_features.double(), support_labels
    )


def alignment_by_episodes(query_features, query_logits, support_features, support_labels):
    rows = zip(query_features, query_logits, support_features, support_labels)
    return sum(map(alignment.alignment_loss, *zip(*[[t[None] for t in row] for row in rows]))) / len(
        query_features
    )


def alignment_by_shares(query_features, query_logits, support_features, support_labels):
    """Probabilities written out, distances instead of cosines, and a mask of what was predicted."""
    means, seen = alignment.query_prototypes(query_features, query_logits)
    losses = []
    for way in range(support_labels.shape[1]):
        unit = F.normalize(support_features[:, way], dim=2)
        pair = F.normalize(means[:, [0, way + 1]], dim=2)
        scores = upsample(-20 * (1 - torch.einsum("bkchw,bjc->bkjhw", unit, pair)), support_labels.shape[-2:])
        log = scores - scores.logsumexp(2, keepdim=True)
        y = support_labels[:, way]
        own, ground = (y == way + 1).float(), (y == 0).float()
        lost = -(log[:, :, 1] * own + log[:, :, 0] * ground).sum((2, 3)) / (own + ground).sum((2, 3))
        losses.append(lost * seen[:, way + 1, None])
    return torch.stack(losses, 1).mean()


def oracle_by_hand(query_features, query_labels, support_features, support_labels):
    wide = F.interpolate(query_features[:, 0], query_labels.shape[-2:], mode="bilinear", align_corners=False)
    pair = [
        (wide * (query_labels == c)).sum((2, 3)) / ((query_labels == c).sum((2, 3)) + 1e-5) for c in (0, 1)
    ]
    scores = torch.stack(
        [20 * F.cosine_similarity(support_features[:, 0, 0], p[..., None, None], dim=1) for p in pair], 1
    )
    scores = F.interpolate(scores, support_labels.shape[-2:], mode="bilinear", align_corners=False)
    rows = [
        F.cross_entropy(s[None], y[None], ignore_index=255)
        for s, y in zip(scores, support_labels[:, 0, 0].long())
    ]
    return torch.stack(rows).mean()


def oracle_in_double(query_features, query_labels, support_features, support_labels):
    return right_oracle(query_features.double(), query_labels, support_features.double(), support_labels)


def oracle_by_alignment(query_features, query_labels, support_features, support_labels):
    """The module's own way back, with the query as support and back again."""
    means = support_prototypes(query_features.unsqueeze(1), query_labels.unsqueeze(1))
    return torch.stack([
        segmentation_loss(match(f[:, 0], m), y[:, 0])
        for f, m, y in zip(support_features.split(1), means.split(1), support_labels.split(1))
    ]).mean()  # fmt: skip


def pool_by_loops(features, mask):
    wide = F.interpolate(features, mask.shape[-2:], mode="bilinear", align_corners=False)
    return torch.stack([(f * m).sum((1, 2)) / (m.sum() + 1e-5) for f, m in zip(wide, mask)])


def prototypes_by_pool(features, labels):
    masks = [labels == 0, labels == torch.arange(1, labels.shape[1] + 1).view(-1, 1, 1, 1)]
    ground, own = (
        pool_by_loops(features.flatten(0, 2), m.flatten(0, 2).float()).unflatten(0, labels.shape[:3])
        for m in masks
    )
    return torch.cat([ground.mean((1, 2))[:, None], own.mean(2)], 1)


def match_by_normalize(features, prototypes, alpha=20.0):
    features, prototypes = F.normalize(features, dim=2), F.normalize(prototypes, dim=2)
    return alpha * (features[:, :, None] * prototypes[:, None, :, :, None, None]).sum(3)


def match_by_similarity(features, prototypes, alpha=20.0):
    return alpha * F.cosine_similarity(features[:, :, None], prototypes[:, None, :, :, None, None], dim=3)


def loss_by_episodes(logits, labels):
    losses = []
    for scores, target in zip(logits, labels):
        scores = F.interpolate(scores, target.shape[-2:], mode="bilinear", align_corners=False)
        losses.append(F.cross_entropy(scores, target.long(), ignore_index=255))
    return torch.stack(losses).mean()


def loss_by_hand(logits, labels):
    chances = upsample(logits, labels.shape[-2:]).log_softmax(2)
    valid = labels != 255
    target = torch.where(valid, labels, 0).long()
    own = -chances.gather(2, target[:, :, None])[:, :, 0] * valid
    return (own.sum((1, 2, 3)) / valid.sum((1, 2, 3))).mean()


RIGHT = [
    *((check.query_prototypes, f) for f in (
        prototypes_by_loops, prototypes_in_double, prototypes_flat, prototypes_kept
    )),
    *((check.way_labels, f) for f in (labels_by_numpy, labels_by_pixel, labels_masked)),
    *((check.my_alignment, f) for f in (
        alignment_by_loops, alignment_in_double, alignment_by_episodes, alignment_by_shares
    )),
    *((check.oracle, f) for f in (oracle_by_hand, oracle_in_double, oracle_by_alignment)),
    (check.my_pool, pool_by_loops),
    (check.my_prototypes, prototypes_by_pool),
    (check.my_match, match_by_normalize),
    (check.my_match, match_by_similarity),
    (check.my_loss, loss_by_episodes),
    (check.my_loss, loss_by_hand),
]  # fmt: skip


@pytest.mark.parametrize("exercise, right", RIGHT)
def test_right_answers_of_other_kinds_pass(exercise, right, capsys):
    for _ in range(3):
        assert exercise(right) is True, said(capsys)


# ---- wrong answers, written from the exercises' texts --------------------------------------------


WRONG_PROTOTYPES = [
    lambda f, s, y: prototypes_by_loops(f, s.softmax(2) * 0 + s.mean(1, keepdim=True), y),  # queries' mean logits
    lambda f, s, y: prototypes_by_loops(f, -s, y),  # the least likely class
    lambda f, s, y: right_prototypes(f, s.sigmoid() * (s > 0), y) * 2,
    lambda f, s, y: torch.nan_to_num(right_prototypes(f, s, y)).mean(0, keepdim=True).expand(2, -1, -1),
    lambda f, s, y: F.normalize(right_prototypes(f, s, y), dim=2),
    lambda f, s, y: torch.einsum("bqchw,bqjhw->bjc", f, (s > 0).float()) / ((s > 0).sum((1, 3, 4))[..., None] + 1e-5),
    lambda f, s, y: right_prototypes(f.flip(1), s, y),  # another query's features
    lambda f, s, y: prototypes_by_loops(f.mean(1, keepdim=True), s.mean(1, keepdim=True), y),
    lambda f, s, y: right_prototypes(f, s, y).flip(1),
    lambda f, s, y: f.mean((1, 3, 4))[:, None].expand(-1, s.shape[2], -1),  # no mask at all
    lambda f, s, y: right_prototypes(f, s[:, :, 1:], y),
    lambda f, s, y: alignment.query_prototypes(f, s),  # the pair
    lambda f, s, y: torch.einsum(
        "bqchw,bqhwj->bjc", f, F.one_hot(y.long(), s.shape[2]).float()
    ),  # raises: 255 is no class
    lambda f, s, y: right_prototypes(f, s, y).float() * torch.tensor(float("nan")),
]  # fmt: skip


WRONG_LABELS = [
    lambda y: y,
    lambda y: (y == 1).long(),
    lambda y: torch.where(y > 1, 255, y),  # right for way 1 alone
    lambda y: torch.where(y == 255, 255, torch.where(y > 0, 1, 0)),
    lambda y: torch.where(y == torch.arange(y.shape[1]).view(-1, 1, 1, 1), 1, torch.where(y == 0, 0, 255)),
    lambda y: torch.where(y == torch.arange(1, y.shape[2] + 1).view(-1, 1, 1), 1, torch.where(y == 0, 0, 255)),
    lambda y: 1 - alignment.way_labels(y),
    lambda y: torch.where(alignment.way_labels(y) == 255, -1, alignment.way_labels(y)),
    lambda y: alignment.way_labels(y)[0],
    lambda y: alignment.way_labels(y) == 1,
    lambda y: torch.where(alignment.way_labels(y) == 255, 0, alignment.way_labels(y)),
    lambda y: torch.zeros_like(y),
]  # fmt: skip


def back(query, logits, support, labels, *, judge=None, start=None, scale=20.0, other=255):
    """A loop over episodes, ways and shots with one thing changed; from the text of the exercise."""
    total = 0.0
    for b in range(len(labels)):
        chosen = (start or (lambda b: logits[b].argmax(1)))(b)
        for way in range(1, labels.shape[1] + 1):
            if not (chosen == way).any():
                continue
            pair = [
                (query[b] * (chosen == c)[:, None]).sum((0, 2, 3)) / ((chosen == c).sum() + 1e-5)
                for c in (0, way)
            ]
            for f, y in zip(support[b, way - 1], labels[b, way - 1]):
                scores = torch.stack([scale * F.cosine_similarity(f, p[:, None, None], dim=0) for p in pair])
                target = torch.full(y.shape, other)
                target[y == 0], target[y == way], target[y == 255] = 0, 1, 255
                total = total + (judge or plain)(scores, target)
    return total / labels.shape[:3].numel()


def plain(scores, target, mode="bilinear", corners=False):
    scores = F.interpolate(scores[None], target.shape, mode=mode, align_corners=corners)
    return F.cross_entropy(scores, target[None], ignore_index=255)


def doubly(scores, target):
    return plain(scores.softmax(0), target)


def squared(scores, target):
    wide = F.interpolate(scores[None], target.shape, mode="bilinear", align_corners=False).softmax(1)[0, 1]
    return (wide - target)[target != 255].square().mean()


def swapped(scores, target):
    return plain(scores.flip(0), target)


def all_pixels(scores, target):
    wide = F.interpolate(scores[None], target.shape, mode="bilinear", align_corners=False)
    return F.cross_entropy(wide, target[None], ignore_index=255, reduction="none").mean()


def wrong_way(query, logits, support, labels):
    """The supports of one way asked about the next."""
    return alignment.alignment_loss(query, logits, support.roll(1, 1), labels)


def background_only(query, logits, support, labels):
    """The background's prototype from the first query alone."""
    means, seen = alignment.query_prototypes(query, logits)
    first, _ = alignment.query_prototypes(query[:, :1], logits[:, :1])
    pairs = torch.stack([first[:, :1].expand_as(means[:, 1:]), means[:, 1:]], 2)
    losses = check.image_losses(
        match(support.flatten(0, 1), pairs.flatten(0, 1)).unflatten(0, labels.shape[:2]),
        alignment.way_labels(labels),
    )
    return torch.where(seen[:, 1:, None], losses, 0).mean()


def query_again(query, logits, support, labels):
    """Eq. 7 to the letter: the query's own probabilities, against what was predicted."""
    return F.cross_entropy(logits.flatten(0, 1), logits.argmax(2).flatten(0, 1))


WRONG_ALIGNMENT = [
    query_again,
    wrong_way,
    background_only,
    lambda *x: back(*x, judge=lambda s, t: plain(s, t, "nearest", None)),
    lambda *x: back(*x, judge=lambda s, t: plain(s, t, corners=True)),
    lambda *x: back(*x, judge=doubly),
    lambda *x: back(*x, judge=squared),
    lambda *x: back(*x, judge=swapped),
    lambda *x: back(*x, judge=all_pixels),
    lambda *x: back(*x, scale=1.0),
    lambda *x: back(*x, scale=10.0),
    lambda *x: back(*x, other=0),
    lambda *x: back(*x, start=lambda b: x[1][b].mean(0, keepdim=True).argmax(1).expand(2, -1, -1)),
    lambda *x: back(*x) * 6,
    lambda *x: back(*x[:3], torch.where(x[3] == 255, 0, x[3])),
    lambda *x: alignment.alignment_loss(*x).detach(),
    lambda *x: alignment.alignment_loss(*x).item(),
    lambda q, s, f, y: alignment.alignment_loss(q.detach(), s, f, y),
    lambda *x: -alignment.alignment_loss(*x),
    lambda *x: alignment.alignment_loss(*x, distance="euclidean"),
]  # fmt: skip


WRONG_ORACLE = [
    lambda q, t, s, y: alignment.alignment_loss(q, q[:, :, :2], s, y),  # some prediction
    lambda q, t, s, y: segmentation_loss(match(s[:, 0], support_prototypes(s, y)), y[:, 0]),
    lambda q, t, s, y: segmentation_loss(match(q, support_prototypes(s, y)), t),
    lambda q, t, s, y: segmentation_loss(match(q, support_prototypes(q[:, None], t[:, None])), t),
    lambda q, t, s, y: segmentation_loss(match(s[:, 0], support_prototypes(q[:, None], t[:, None]), 1.0), y[:, 0]),
    lambda q, t, s, y: segmentation_loss(-match(s[:, 0], support_prototypes(q[:, None], t[:, None])), y[:, 0]),
    lambda q, t, s, y: segmentation_loss(match(s[:, 0], support_prototypes(q[:, None], t[:, None])).softmax(2), y[:, 0]),
    lambda q, t, s, y: match(s[:, 0], support_prototypes(q[:, None], t[:, None])),
    lambda q, t, s, y: right_oracle(q, torch.where(t == 255, 0, t), s, y),
    lambda q, t, s, y: right_oracle(q, torch.where(t == 255, 1, t), s, y),
    lambda q, t, s, y: right_oracle(q, t, s, torch.where(y == 255, 0, y)),
    lambda q, t, s, y: right_oracle(q, 1 - t.clamp(max=1), s, y),
    lambda q, t, s, y: right_oracle(q, y[:, 0], s, y),  # the support's mask on the query
    lambda q, t, s, y: right_oracle(q, t, s, t[:, None]),  # the query's mask as judge
    lambda q, t, s, y: right_oracle(q.flip(0), t, s, y),
    lambda q, t, s, y: segmentation_loss(match(s[:, 0], support_prototypes(q[:, None], t[:, None]), None, "euclidean"), y[:, 0]),
    lambda q, t, s, y: F.cross_entropy(
        upsample(match(s[:, 0], support_prototypes(q[:, None], t[:, None])), y.shape[-2:])[:, 0], y[:, 0, 0].long(), ignore_index=255
    ),  # one mean over the batch
]  # fmt: skip


WRONG_POOL = [
    lambda f, m: (f.mean((2, 3)) * m.mean((1, 2))[:, None]),
    lambda f, m: (F.interpolate(f, m.shape[-2:]) * m[:, None]).sum((2, 3)) / (m.sum((1, 2))[:, None] + 1e-5),
    lambda f, m: pool_by_loops(f, 1 - m),
    lambda f, m: pool_by_loops(f, m).mean(0),
    lambda f, m: pool_by_loops(f, m).mean(1),
    lambda f, m: pool_by_loops(f, m).detach(),
    lambda f, m: pool_by_loops(f, m).numpy() if not f.requires_grad else pool_by_loops(f, m).detach().numpy(),
    lambda f, m: pool_by_loops(f, m.roll(1, 0)),
    lambda f, m: F.normalize(pool_by_loops(f, m), dim=1),
    lambda f, m: (F.interpolate(f, m.shape[-2:], mode="bilinear") * m[:, None]).amax((2, 3)),
]  # fmt: skip


WRONG_SUPPORT = [
    lambda f, y: support_prototypes(f, torch.where(y == 255, 0, y)),
    lambda f, y: support_prototypes(f.flip(1), y),
    lambda f, y: support_prototypes(f, y).detach(),
    lambda f, y: support_prototypes(f, y)[:, [0, 2, 1]],
    lambda f, y: support_prototypes(f, y) * y.shape[2],
    lambda f, y: F.normalize(support_prototypes(f, y), dim=2),
    lambda f, y: support_prototypes(f, y).mean(0, keepdim=True),
    lambda f, y: torch.cat([support_prototypes(f[:, :1], y[:, :1])[:, :1], support_prototypes(f, y)[:, 1:]], 1),
    lambda f, y: torch.stack([
        torch.stack([prototypes_by_pool(f, torch.where(y == c, w + 1, 254))[:, w + 1] for w in range(2)]).mean(0)
        for c in range(3)
    ], 1),  # a class in the images of all ways
    lambda f, y: support_prototypes(f, alignment.way_labels(y)),
]  # fmt: skip


WRONG_MATCH = [
    lambda f, p, alpha=20.0: match(f, p, 20.0),
    lambda f, p, alpha=20.0: match(f, p, alpha).argmax(2),
    lambda f, p, alpha=20.0: match(f, p, alpha, "euclidean"),
    lambda f, p, alpha=20.0: match(f, p, alpha).detach(),
    lambda f, p, alpha=20.0: match(f, p, alpha)[:, 0],
    lambda f, p, alpha=20.0: match(f, p, alpha).transpose(2, 1),
    lambda f, p, alpha=20.0: alpha * torch.einsum("bqchw,bjc->bqjhw", F.normalize(f, dim=1), F.normalize(p, dim=2)),
    lambda f, p, alpha=20.0: alpha * torch.einsum("bqchw,bjc->bqjhw", F.normalize(f, dim=2), F.normalize(p, dim=1)),
    lambda f, p, alpha=20.0: match(f, p, 1.0) + alpha,
    lambda f, p, alpha=20.0: match(f, p, alpha).log_softmax(2),
]  # fmt: skip


WRONG_LOSS = [
    lambda s, y: loss_by_episodes(s, torch.where(y == 255, 0, y)),
    lambda s, y: F.cross_entropy(upsample(s, y.shape[-2:]).flatten(0, 1), y.flatten(0, 1).long(), ignore_index=255),
    lambda s, y: loss_by_episodes(s, y) * len(s),
    lambda s, y: -loss_by_episodes(s, y),
    lambda s, y: loss_by_episodes(s.softmax(2), y),
    lambda s, y: loss_by_episodes(s.log_softmax(2) / 2, y),
    lambda s, y: loss_by_episodes(s, y).detach(),
    lambda s, y: loss_by_episodes(s, y).item(),
    lambda s, y: loss_by_episodes(s[:1], y[:1]),
    lambda s, y: torch.stack([
        F.cross_entropy(F.interpolate(a, b.shape[-2:]), b.long(), ignore_index=255) for a, b in zip(s, y)
    ]).mean(),
]  # fmt: skip


WRONG = [
    (check.query_prototypes, WRONG_PROTOTYPES),
    (check.way_labels, WRONG_LABELS),
    (check.my_alignment, WRONG_ALIGNMENT),
    (check.oracle, WRONG_ORACLE),
    (check.my_pool, WRONG_POOL),
    (check.my_prototypes, WRONG_SUPPORT),
    (check.my_match, WRONG_MATCH),
    (check.my_loss, WRONG_LOSS),
]


@pytest.mark.parametrize("exercise, wrong", [(exercise, wrong) for exercise, many in WRONG for wrong in many])
def test_wrong_answers_are_refused(exercise, wrong, capsys):
    for _ in range(2):
        assert exercise(wrong) is False
        assert said(capsys).startswith("✗")


@pytest.mark.parametrize("exercise, many", WRONG)
def test_most_wrong_answers_are_named(exercise, many, capsys):
    """What the check says is more than that the numbers differ."""
    told = []
    for wrong in many:
        exercise(wrong)
        told.append("the numbers are not" not in said(capsys))
    assert np.mean(told) >= 0.7, told


def test_pooling_under_the_truth_is_told_where_it_raises(capsys):
    def under_truth(features, logits, labels):
        masks = F.one_hot(labels.long(), logits.shape[2]).float()
        return torch.einsum("bqchw,bqhwj->bjc", features, masks) / (masks.sum((1, 2, 3))[..., None] + 1e-5)

    assert check.query_prototypes(under_truth) is False
    assert "you pooled under the truth" in said(capsys)


# ---- gradients -----------------------------------------------------------------------------------


def test_without_a_wrong_turn_the_variant_is_right():
    for lost in (False, True):
        case = check.draw_episodes(lost)
        assert torch.allclose(check.variant(*case), alignment.alignment_loss(*case), rtol=1e-4)


def straight_through(query, logits, support, labels):
    """The right values, and a gradient through softmax masks all the same."""
    soft = check.variant(query, logits, support, labels, soft=True)
    return soft + (alignment.alignment_loss(query, logits, support, labels) - soft).detach()


def test_the_gradient_is_looked_at(capsys):
    exercise, right = check.my_alignment, alignment.alignment_loss
    for _ in DRAWS:
        assert exercise(straight_through) is False
        assert said(capsys).endswith("reaches the query's logits through the mask")
        assert exercise(lambda *x: right(*x).detach()) is False
        assert "no gradient arrives" in said(capsys)
        assert exercise(lambda q, *rest: right(q.detach(), *rest)) is False
        assert "gradient of the query features" in said(capsys)
        assert exercise(lambda q, m, s, y: right(q, m, s.detach(), y)) is False
        assert "gradient of the support features" in said(capsys)
        assert exercise(lambda *x: right(*x).item()) is False
        assert "no gradient arrives" in said(capsys)


@pytest.mark.parametrize("exercise, right", RIGHT[-6:])
def test_pasted_functions_must_pass_a_gradient(exercise, right, capsys):
    """They are held to what chapters 3 and 4 ask, by answers that were not written for those."""
    assert exercise(lambda *x: right(*x).detach()) is False
    assert "no gradient" in said(capsys)
    assert exercise(lambda *x: right(*x).detach().numpy()) is False
    assert "no gradient" in said(capsys)


# ---- answers that are no functions ---------------------------------------------------------------


test_slips = answers(
    check.slips,
    (None, None, "not filled in"),
    (..., None, "not filled in"),
    ("adef", True, "right"),
    ("A, D, E and F", True, "right"),
    (["a", "f", "d", "e"], True, "right"),
    ({"a", "d", "e", "f"}, True, "right"),
    ("a d e f", True, "right"),
    ("ade", False, "set under the inner sum"),
    ("def", False, "the letter that names the class"),
    ("aef", False, "whose annotation"),
    ("adf", False, "which image did Eq. 6 cut"),
    ("de", False, "and 2 more"),
    ("abdef", False, "not b"),
    ("acdef", False, "not c"),
    ("adefg", False, "not g"),
    ("abcdefg", False, "not b"),
    ("bcg", False, "not b"),
    ("a", False, "and 3 more"),
    ("M_q", False, "name the letters"),
    ("", False, "name the letters"),
    (4, False, "name the letters"),
    ([], False, "name the letters"),
)


test_repair = answers(
    check.repair,
    (None, None, "not filled in"),
    (..., None, "not filled in"),
    ("af", True, "right"),
    ("F and A", True, "right"),
    (["f", "a"], True, "right"),
    ({"a", "f"}, True, "right"),
    ("a, f", True, "right"),
    ("a", False, "by how many does it divide"),
    ("f", False, "does a gradient pass"),
    ("abf", False, "not b"),
    ("acf", False, "not c"),
    ("d", False, "not d"),
    ("aef", False, "not e"),
    ("abcdef", False, "not b"),
    ("softmax", False, "name the letters"),
    ("", False, "name the letters"),
    (2, False, "name the letters"),
    ([], False, "name the letters"),
)


test_divisor = answers(
    check.divisor,
    (None, None, "not filled in"),
    (..., None, "not filled in"),
    (1.8 / 6, True, "right"),
    ("0.3", True, "right"),
    (0.6, False, "mean over the three images"),
    (torch.tensor(0.6), False, "mean over the three images"),
    (1.8, False, "is the sum"),
    (0.9, False, "number of ways only"),
    (7, False, "adds nothing to the sum"),
    ("many", False, "a number is wanted"),
)


test_gradient = one_of_three(check.gradient, "b")


def only(*pixels):
    mask = torch.zeros(4, 4, dtype=torch.long)
    for y, x in pixels:
        mask[y, x] = 1
    return mask


test_fool = answers(
    check.fool,
    (None, None, "not filled in"),
    (only((2, 2)), True, "fooled"),
    (only((2, 2)).tolist(), True, "fooled"),
    (only((2, 2)).bool(), True, "fooled"),
    (only(), False, "way was skipped"),
    (check.TRUTH, False, "should be below 0.3"),
    (only((0, 0)), False, "mind the mean's direction"),
    (torch.ones(3, 3), False, "a 4 x 4 tensor"),
    (torch.full((4, 4), 2), False, "a 4 x 4 tensor"),
    ("mask", False, "a 4 x 4 tensor"),
)


def detached(features, logits, labels):
    return check.alignment.query_prototypes(features.detach(), logits)[0]


def soft_underneath(features, logits, labels):
    soft = logits.softmax(2)
    return check.pooled(features, check.found(logits) + soft - soft.detach())


@pytest.mark.parametrize("function, wrong, says", [
    (check.query_prototypes, detached, "no gradient arrives"),
    (check.query_prototypes, prototypes_by_numpy, "no gradient arrives"),
    (check.query_prototypes, soft_underneath, "reaches the query's logits"),
])  # fmt: skip
def test_what_a_stranger_got_accepted(function, wrong, says, capsys):
    assert function(wrong) is False and says in said(capsys)


def test_in_place_is_right_and_said(capsys):
    assert check.way_labels(labels_in_place) is True and "writes into its inputs" in said(capsys)
