"""The checks of chapter 4: right answers pass, each known mistake is told by its own sentence."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import panet_lite
from panet_lite import EpisodeSampler
from panet_lite.check import chapter04 as check
from panet_lite.datasets import Tabletop
from panet_lite.matching import match, segmentation_loss, upsample
from panet_lite.prototypes import masked_average_pool, support_prototypes


def my_match(features, prototypes, alpha=20.0):
    features = features / features.norm(dim=2, keepdim=True).clamp(min=1e-8)
    prototypes = prototypes / prototypes.norm(dim=2, keepdim=True).clamp(min=1e-8)
    return alpha * torch.einsum("bqchw,bjc->bqjhw", features, prototypes)


def my_labels(logits, size):
    scores = F.interpolate(logits.flatten(0, 1), size, mode="bilinear", align_corners=False)
    return scores.unflatten(0, logits.shape[:2]).argmax(2)


def my_iou(predicted, truth):
    valid = truth != 255
    said, true = (predicted == 1) & valid, (truth == 1) & valid
    return float((said & true).sum() / (said | true).sum().clamp(min=1))


def my_loss(logits, labels):
    means = []
    for scores, target in zip(logits, labels.long()):
        scores = F.interpolate(scores, target.shape[-2:], mode="bilinear", align_corners=False)
        means.append(F.cross_entropy(scores, target, ignore_index=255))
    return torch.stack(means).mean()


def my_own(features, labels):
    return support_prototypes(features[:, None], labels[:, None])


def my_parts(logits, owner):
    return torch.stack([logits.softmax(0)[owner == c].sum(0) for c in range(owner.max() + 1)])


IMPLEMENTATIONS = [
    (check.match, my_match, check.MATCH_MISTAKES),
    (check.decision, my_labels, check.DECISION_MISTAKES),
    (check.iou, my_iou, check.IOU_MISTAKES),
    (check.void_loss, my_loss, check.VOID_MISTAKES),
    (check.own_prototypes, my_own, check.OWN_MISTAKES),
    (check.parts, my_parts, check.PARTS_MISTAKES),
]
MISTAKES = [(f, wrong, why) for f, _, mistakes in IMPLEMENTATIONS for wrong, why in mistakes]


@pytest.mark.parametrize("function, right, _", IMPLEMENTATIONS)
def test_right_answer_passes(function, right, _, capsys):
    for _ in range(12):
        assert function(right) is True
        assert capsys.readouterr().out.startswith("✓ ")


@pytest.mark.parametrize("function, wrong, why", MISTAKES, ids=[why[:40] for _, _, why in MISTAKES])
def test_mistake_is_recognised(function, wrong, why, capsys):
    for _ in range(12):
        assert function(wrong) is False
        assert capsys.readouterr().out == f"✗ {why}\n"


@pytest.mark.parametrize("function, _, __", IMPLEMENTATIONS)
def test_unfilled_raising_and_other_answers(function, _, __, capsys):
    def raising(*inputs):
        raise KeyError("no such thing")

    assert function(lambda *inputs: ...) is None
    assert function(lambda *inputs: None) is None
    assert capsys.readouterr().out.count("… not filled in yet\n") == 2
    assert function(raising) is False
    assert "KeyError" in capsys.readouterr().out
    assert function(lambda *inputs: torch.zeros(2)) is False
    assert function(lambda *inputs: "words") is False
    assert function(lambda x, *rest: x.sum() * 0 + 7.5) is False


# ---- answers written from the exercises' text ----------------------------------------------------


def match_in_a_loop(features, prototypes, alpha=20.0):
    out = torch.zeros(*features.shape[:2], prototypes.shape[1], *features.shape[3:])
    for j in range(prototypes.shape[1]):
        p = prototypes[:, j][:, None, :, None, None]
        lengths = features.norm(dim=2) * p.norm(dim=2)
        out[:, :, j] = alpha * (features * p).sum(2) / (lengths + 1e-8)
    return out


def match_by_cosine_similarity(features, prototypes, alpha=20.0):
    return alpha * F.cosine_similarity(features[:, :, None], prototypes[:, None, :, :, None, None], dim=3)


def match_by_matmul(features, prototypes, alpha=20.0):
    flat = F.normalize(features, dim=2).flatten(3)
    return (alpha * F.normalize(prototypes, dim=-1)[:, None] @ flat).unflatten(3, features.shape[3:])


def match_with_exactness(features, prototypes, alpha=20.0):
    return my_match(features.double(), prototypes.double(), alpha)


def match_of_own_tensors_in_place(features, prototypes, alpha=20.0):
    logits = torch.einsum("bqchw,bjc->bqjhw", F.normalize(features, dim=2), F.normalize(prototypes, dim=2))
    logits *= alpha
    return logits


def labels_with_numpy(logits, size):
    return upsample(logits, size).numpy().argmax(2)


def labels_by_probability(logits, size):
    return upsample(logits, size).softmax(2).max(2).indices


def labels_in_a_loop(logits, size):
    return torch.stack([F.interpolate(z, size, mode="bilinear").argmax(1) for z in logits.double()])


def iou_with_numpy(predicted, truth):
    predicted, truth = predicted.numpy()[truth.numpy() != 255], truth.numpy()[truth.numpy() != 255]
    return np.logical_and(predicted, truth).sum() / np.logical_or(predicted, truth).sum()


def iou_in_a_loop(predicted, truth):
    tp = fp = fn = 0
    for p, t in zip(predicted, truth):
        tp += ((p == 1) & (t == 1)).sum()
        fp += ((p == 1) & (t == 0)).sum()
        fn += ((p == 0) & (t == 1)).sum()
    return tp / (tp + fp + fn + 1e-8)


def iou_in_place(predicted, truth):
    predicted[truth == 255] = 0
    truth[truth == 255] = 0
    return (predicted * truth).sum() / ((predicted + truth) > 0).sum()


def loss_by_log_softmax(logits, labels):
    chances = upsample(logits, labels.shape[-2:]).log_softmax(2)
    valid = labels != 255
    picked = -chances.gather(2, (labels.long() * valid)[:, :, None])[:, :, 0] * valid
    return (picked.flatten(1).sum(1) / valid.flatten(1).sum(1)).mean()


def loss_in_double(logits, labels):
    return my_loss(logits.double(), labels)


def loss_keeping_axes(logits, labels):
    wide = F.interpolate(logits.flatten(0, 1), labels.shape[-2:], mode="bilinear")
    losses = F.cross_entropy(wide, labels.flatten(0, 1).long(), ignore_index=255, reduction="none")
    losses = losses.unflatten(0, labels.shape[:2]).sum((1, 2, 3), keepdim=True)
    return (losses / (labels != 255).sum((1, 2, 3), keepdim=True)).mean()


def own_by_pooling(features, labels):
    rows = []
    for one, maps in zip(features, labels):
        rows.append(torch.stack([masked_average_pool(one, maps == c).mean(0) for c in (0, 1)]))
    return torch.stack(rows)


def own_at_image_size(features, labels):
    wide = upsample(features, labels.shape[-2:])
    masks = torch.stack([labels == 0, labels == 1], 2).float()
    sums = torch.einsum("bqchw,bqmhw->bqmc", wide, masks)
    return (sums / (masks.sum((-2, -1))[..., None] + 1e-5)).mean(1)


def own_in_double(features, labels):
    return my_own(features.double(), labels.long())


VARIANTS = [
    (check.match, match_in_a_loop), (check.match, match_by_cosine_similarity), (check.match, match_by_matmul),
    (check.match, match_with_exactness), (check.match, match_of_own_tensors_in_place),
    (check.decision, labels_with_numpy), (check.decision, labels_by_probability), (check.decision, labels_in_a_loop),
    (check.iou, iou_with_numpy), (check.iou, iou_in_a_loop),
    (check.void_loss, loss_by_log_softmax), (check.void_loss, loss_in_double), (check.void_loss, loss_keeping_axes),
    (check.void_loss, segmentation_loss), (check.own_prototypes, own_by_pooling),
    (check.own_prototypes, own_at_image_size), (check.own_prototypes, own_in_double),
]  # fmt: skip


@pytest.mark.parametrize("function, variant", VARIANTS, ids=lambda f: f.__name__)
def test_right_variants_pass(function, variant):
    for _ in range(3):
        assert function(variant) is True


def no_epsilon(features, prototypes, alpha=20.0):
    unit_f = features / features.norm(dim=2, keepdim=True)
    return alpha * torch.einsum("bqchw,bjc->bqjhw", unit_f, prototypes / prototypes.norm(dim=2, keepdim=True))


def no_epsilon_for_prototypes(features, prototypes, alpha=20.0):
    unit = prototypes / prototypes.norm(dim=2, keepdim=True)
    return alpha * torch.einsum("bqchw,bjc->bqjhw", F.normalize(features, dim=2), unit)


def detached(features, prototypes, alpha=20.0):
    return my_match(features.detach(), prototypes, alpha)


def match_with_numpy(features, prototypes, alpha=20.0):
    return my_match(torch.from_numpy(features.numpy()), prototypes, alpha)


def no_default(features, prototypes, alpha):
    return my_match(features, prototypes, alpha)


def other_default(features, prototypes, alpha=1.0):
    return my_match(features, prototypes, alpha)


def all_of_the_map(features, prototypes, alpha=20.0):
    return alpha * torch.einsum(
        "bqchw,bjc->bqjhw",
        F.normalize(features.flatten(2), dim=2).view_as(features),
        F.normalize(prototypes, dim=2),
    )


def default_normalize(features, prototypes, alpha=20.0):
    return alpha * torch.einsum("bqchw,bjc->bqjhw", F.normalize(features), F.normalize(prototypes))


def one_more_axis(features, prototypes, alpha=20.0):
    return my_match(features, prototypes, alpha)[:, :, None]


def channels_last(features, prototypes, alpha=20.0):
    return my_match(features, prototypes, alpha).permute(0, 1, 3, 4, 2)


def alpha_squared(features, prototypes, alpha=20.0):
    return alpha * alpha * my_match(features, prototypes, 1.0)


def rounded_down(logits, size):
    return F.interpolate(logits.argmax(2).float(), size, mode="bilinear", align_corners=False).long()


def stairs(logits, size):
    return F.interpolate(logits.argmax(2).float(), size, mode="nearest").long()


def nearest_logits(logits, size):
    return F.interpolate(logits.flatten(0, 1), size).unflatten(0, logits.shape[:2]).argmax(2)


def softmax_first(logits, size):
    return upsample(logits.softmax(2), size).argmax(2)


def over_the_queries(logits, size):
    return upsample(logits, size).argmax(1)


def first_query_only(logits, size):
    return upsample(logits[:, :1], size).argmax(2)


def without_batch(logits, size):
    return upsample(logits, size).argmax(2)[0]


def turned(logits, size):
    return upsample(logits, size[::-1]).argmax(2)


def halved(logits, size):
    return (upsample(logits, size).softmax(2)[:, :, 1] > 0.5).long()


def foreground_only(logits, size):
    return upsample(logits, size)[:, :, 1:].argmax(2)


def undecided(logits, size):
    return upsample(logits, size).softmax(2)


def broken_labels(logits, size):
    return F.interpolate(logits.argmax(2).float(), size, mode="bilinear", align_corners=False).round().long()


def broken_iou(predicted, truth):
    said, true = predicted == 1, truth == 1
    return ((said & true).sum((1, 2)) / (said | true).sum((1, 2))).mean()


def broken_iou_with_epsilon(predicted, truth):
    said, true = predicted == 1, truth == 1
    return ((said & true).sum((1, 2)) / ((said | true).sum((1, 2)) + 1e-8)).mean()


def per_picture_without_void(predicted, truth):
    return broken_iou_with_epsilon(predicted * (truth != 255), truth)


def per_picture_where_any(predicted, truth):
    said, true = (predicted == 1) & (truth != 255), truth == 1
    return ((said & true).sum((1, 2)) / (said | true).sum((1, 2)))[:-1].mean()


def void_in_the_union(predicted, truth):
    said, true = predicted == 1, truth == 1
    return (said & true).sum() / (said | true).sum()


def void_is_a_miss(predicted, truth):
    said, true = predicted == 1, truth > 0
    return (said & true).sum() / (said | true).sum()


def sensitivity(predicted, truth):
    return ((predicted == 1) & (truth == 1)).sum() / (truth == 1).sum()


def accuracy(predicted, truth):
    return (predicted == truth)[truth != 255].float().mean()


def dice(predicted, truth):
    valid = truth != 255
    said, true = (predicted == 1) & valid, (truth == 1) & valid
    return 2 * (said & true).sum() / (said.sum() + true.sum())


def only_the_hits(predicted, truth):
    return ((predicted == 1) & (truth == 1)).sum()


def without_misses(predicted, truth):
    said = (predicted == 1) & (truth != 255)
    return (said & (truth == 1)).sum() / said.sum()


def broken_loss(logits, labels):
    labels = torch.where(labels == 255, 0, labels).long().flatten(0, 1)
    wide = F.interpolate(logits.flatten(0, 1), labels.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(wide, labels, reduction="none").mean()


def one_mean(logits, labels):
    wide = upsample(logits, labels.shape[-2:]).flatten(0, 1)
    return F.cross_entropy(wide, labels.flatten(0, 1).long(), ignore_index=255)


def mean_of_queries(logits, labels):
    return my_loss(logits.flatten(0, 1)[:, None], labels.flatten(0, 1)[:, None])


def void_in_the_divisor(logits, labels):
    wide = upsample(logits, labels.shape[-2:]).flatten(0, 1)
    return F.cross_entropy(wide, labels.flatten(0, 1).long(), ignore_index=255, reduction="none").mean()


def sum_of_episodes(logits, labels):
    return my_loss(logits, labels) * len(logits)


def first_episode(logits, labels):
    return my_loss(logits[:1], labels[:1])


def twice_softmax(logits, labels):
    return my_loss(logits.softmax(2), labels)


def on_the_grid(logits, labels):
    small = F.interpolate(labels.float(), logits.shape[-2:], mode="nearest").long()
    return my_loss(logits, small)


def not_a_mean(logits, labels):
    return torch.stack([my_loss(z[None], y[None]) for z, y in zip(logits, labels)])


def detached_loss(logits, labels):
    return my_loss(logits.detach(), labels)


def loss_as_a_number(logits, labels):
    return my_loss(logits, labels).item()


def void_rewritten(logits, labels):
    loss = my_loss(logits, labels)
    labels[labels == 255] = 0
    return loss


def queries_as_ways(features, labels):
    return support_prototypes(features[:, :, None], labels[:, :, None])


def void_as_background(features, labels):
    return my_own(features, torch.where(labels == 255, 0, labels))


def object_first(features, labels):
    return my_own(features, labels).flip(1)


def object_only(features, labels):
    return my_own(features, labels)[:, 1:]


def small_masks(features, labels):
    small = F.interpolate(labels.float(), features.shape[-2:], mode="nearest")
    return my_own(features, small.long())


def no_masks(features, labels):
    return features.mean((1, 3, 4))[:, None].repeat(1, 2, 1)


def jointly_pooled(features, labels):
    wide = upsample(features, labels.shape[-2:])
    masks = torch.stack([labels == 0, labels == 1], 2).float()
    return torch.einsum("bqchw,bqmhw->bmc", wide, masks) / masks.sum((1, 3, 4))[..., None]


def sums(features, labels):
    wide = upsample(features, labels.shape[-2:])
    masks = torch.stack([labels == 0, labels == 1], 2).float()
    return torch.einsum("bqchw,bqmhw->bmc", wide, masks)


def one_query(features, labels):
    return my_own(features[:, :1], labels[:, :1])


def one_task(features, labels):
    return my_own(features[:1], labels[:1])


def for_each_query(features, labels):
    return my_own(features.flatten(0, 1)[:, None], labels.flatten(0, 1)[:, None])


def of_unit_length(features, labels):
    return F.normalize(my_own(features, labels), dim=2)


WRONG = {
    check.match: [
        (no_epsilon, "epsilon"), (no_epsilon_for_prototypes, "epsilon"),
        (detached, "no gradient"), (match_with_numpy, "no gradient"), (no_default, "alpha"),
        (other_default, "should be 20"), (all_of_the_map, "over all channels"), (default_normalize, "default of F.normalize"),
        (one_more_axis, "shape"), (channels_last, "shape"), (alpha_squared, ""),
    ],
    check.decision: [
        (broken_labels, "broken"), (rounded_down, "broken"), (stairs, "stairs"), (nearest_logits, "stairs"),
        (softmax_first, "probabilities are enlarged"), (over_the_queries, "wrong axis"), (first_query_only, "shape"),
        (without_batch, "shape"), (turned, "shape"), (halved, ""), (foreground_only, "background is left out"),
        (undecided, "arg max, is missing"),
    ],
    check.iou: [
        (broken_iou, "NaN"), (broken_iou_with_epsilon, "averaged"), (per_picture_without_void, "averaged"),
        (per_picture_where_any, "0 / 0"), (void_in_the_union, "void"), (void_is_a_miss, "void"),
        (sensitivity, "recall"), (accuracy, "easy background"), (dice, "Dice"), (only_the_hits, "divide"),
        (without_misses, "precision"),
    ],
    check.void_loss: [
        (broken_loss, "broken"), (one_mean, "one mean"), (mean_of_queries, "each query"),
        (void_in_the_divisor, "divisor"), (sum_of_episodes, "summed"), (first_episode, "first episode"),
        (twice_softmax, "twice"), (on_the_grid, "made small"), (not_a_mean, "end with their mean"),
        (detached_loss, "no gradient"), (loss_as_a_number, "no gradient"),
    ],
    check.own_prototypes: [
        (queries_as_ways, "taken for ways"), (void_as_background, "void"), (object_first, "swapped"),
        (object_only, "missing"), (small_masks, "made small"), (no_masks, "no mask"), (jointly_pooled, "jointly"),
        (sums, "not divided"), (one_query, "first query"), (one_task, "first task"), (for_each_query, "shape"),
        (of_unit_length, "one long"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "function, wrong, says",
    [(f, *case) for f, cases in WRONG.items() for case in cases],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_wrong_answers_are_refused_and_named(function, wrong, says, capsys):
    for _ in range(4):
        assert function(wrong) is False
        assert says in capsys.readouterr().out


# ---- answers that are numbers, letters, a dictionary ---------------------------------------------


@pytest.mark.parametrize(
    "answer, verdict, says",
    [
        (0.5964, True, "right"),
        (0.6, True, "right"),
        (0.649, False, "almost"),
        (0.8808, False, "two prototypes"),
        (0.352, False, "below 0"),
        (0.404, False, "left for"),
        (1 / 6, False, "1/6"),
        (59.6, False, "percentage"),
        (0.99, False, "times the five others"),
        ("much", False, "a number is wanted"),
        (torch.tensor([1.0, 2.0]), False, "a number is wanted"),
        (None, None, "not filled in"),
        (..., None, "not filled in"),
    ],
)
def test_ceiling(answer, verdict, says, capsys):
    assert check.ceiling(answer) is verdict
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    "symbol, chance, verdict, says",
    [
        ("d", 1 / 6, True, "right"),
        ("(D)", 0.167, True, "right"),
        ("d", torch.tensor(1 / 6), True, "right"),
        ("a", 1 / 6, False, "as it should be"),
        ("b", 1 / 6, False, "as it should be"),
        ("c", 1 / 6, False, "as it should be"),
        ("e", 0.2, False, "as it should be"),
        ("p_j", 1 / 6, False, "choose one of"),
        (7, 1 / 6, False, "choose one of"),
        ("d", 0.2, False, "background's"),
        ("d", 1, False, "not once"),
        ("d", 16.7, False, "percentage"),
        ("d", 6, False, "divide by it"),
        ("d", 0.5, False, "what is left"),
        ("d", 0, False, "what is left"),
        ("d", "a sixth", False, "a number is wanted"),
        ("d", None, None, "not filled in"),
        (None, 1 / 6, None, "not filled in"),
        (None, None, None, "not filled in"),
    ],
)
def test_slip(symbol, chance, verdict, says, capsys):
    assert check.slip(symbol, chance) is verdict
    out = capsys.readouterr().out
    assert says in out and out.count("\n") == 1


def causes(of_22="support", of_24="background", of_16="one mean"):
    return {22: of_22, 24: of_24, 16: of_16}


@pytest.mark.parametrize(
    "answer, verdict, says",
    [
        (causes(), True, "right"),
        (causes("Support", " background ", "one_mean"), True, "right"),
        (causes("the support", "background", "one mean"), False, "choose"),
        (causes("background"), False, "episode 22"),
        (causes("one mean"), False, "episode 22"),
        (causes("grid"), False, "grid is innocent"),
        (causes(of_24="support"), False, "episode 24"),
        (causes(of_24="one mean"), False, "episode 24"),
        (causes(of_24="grid"), False, "grid is innocent"),
        (causes(of_16="support"), False, "episode 16"),
        (causes(of_16="background"), False, "episode 16"),
        (causes(of_16="grid"), False, "grid is innocent"),
        (causes("background", "support"), False, "episode 22"),
        (causes(7), False, "choose"),
        (["support", "background", "one mean"], False, "a dictionary is wanted"),
        ("support", False, "a dictionary is wanted"),
        (causes(of_16=None), None, "not filled in"),
        (causes(None, None, None), None, "not filled in"),
        ({22: "support"}, None, "not filled in"),
        (None, None, "not filled in"),
    ],
)
def test_cause(answer, verdict, says, capsys):
    assert check.cause(answer) is verdict
    out = capsys.readouterr().out
    assert says in out and out.count("\n") == 1


def test_the_causes_are_true():
    """The first oracle that lifts the IoU over 0.8: own object, own background, a mean for each thing."""
    val, model = Tabletop("val"), panet_lite.pretrained(0)
    sampler = EpisodeSampler(val, val.fold(0), ways=1, shots=1, seed=0)
    for index, cause in check.CAUSES.items():
        episode = sampler.episode(index)
        with torch.no_grad():
            p = model(episode)
        features, truth = p.features.query, episode.query_labels
        whole = val.label_map(int(sampler.draw(index).queries[0]))
        others = [c for c in whole.unique() if c not in (255, *episode.classes[0])]
        maps = [torch.where(whole == 255, 255, (whole == c).long())[None, None] for c in others]
        own = check.own(features, truth)
        parts = torch.cat([own[:, 1:], *(check.own(features, m)[:, 1:] for m in maps)], 1)

        def score(prototypes, features=features, truth=truth):
            return check.counted_iou(check.decide(match(features, prototypes), truth.shape[-2:])[0], truth[0])

        tried = {
            "support": score(torch.cat([p.prototypes[:, :1], own[:, 1:]], 1)),
            "background": score(torch.cat([own[:, :1], p.prototypes[:, 1:]], 1)),
            "one mean": check.counted_iou(
                (check.decide(match(features, parts), truth.shape[-2:])[0] == 0).long(), truth[0]
            ),
        }
        assert next(name for name, value in tried.items() if value > 0.8) == cause


@pytest.mark.parametrize(
    "answer, verdict, says",
    [
        ("c", True, "right"),
        ("(C)", True, "right"),
        ("a", False, "bisector"),
        ("b", False, "other way round"),
        ("d", False, "only one"),
        ("z", False, "choose one of"),
        (3, False, "choose one of"),
        (None, None, "not filled in"),
    ],
)
def test_scaled(answer, verdict, says, capsys):
    assert check.scaled(answer) is verdict
    assert says in capsys.readouterr().out


def test_the_answer_to_scaled_is_true():
    """Three times as long: the cosine's label map stays, that of the squared distance changes."""
    torch.manual_seed(0)
    features, prototypes = torch.randn(1, 1, 4, 16, 16), torch.randn(1, 2, 4)
    longer = prototypes * torch.tensor([1.0, 3.0]).view(1, 2, 1)
    for distance, changes in (("cosine", False), ("euclidean", True)):
        before, after = (
            check.matching.match(features, p, distance=distance).argmax(2) for p in (prototypes, longer)
        )
        assert bool((before != after).any()) is changes


def without_empty_pictures(predicted, truth):
    shows = (truth == 1).flatten(1).any(1)
    return check.counted_iou(predicted[shows], truth[shows])


@pytest.mark.parametrize("function, wrong, says", [
    (check.match, match, "of the module made them"),
    (check.match, lambda *x: my_match(*x).squeeze(), "axis of length 1"),
    (check.decision, lambda *x: check.decide(*x).squeeze(), "axis of length 1"),
    (check.iou, without_empty_pictures, "false alarms"),
])  # fmt: skip
def test_what_a_stranger_got_accepted(function, wrong, says, capsys):
    assert function(wrong) is False and says in capsys.readouterr().out


@pytest.mark.parametrize("function, right", [
    (check.void_loss, void_rewritten), (check.iou, iou_in_place),
])  # fmt: skip
def test_in_place_is_right_and_said(function, right, capsys):
    assert function(right) is True and "writes into its inputs" in capsys.readouterr().out
