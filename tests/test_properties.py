"""What must hold for any episode: brute force in float64, symmetries, gradients, and no host synchronisation."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from panet_lite import Episode, PANet
from panet_lite.alignment import alignment_loss, prototype_distance, query_prototypes, way_labels
from panet_lite.matching import episode_losses, match, segmentation_loss, upsample
from panet_lite.prototypes import adjoint_upsample, masked_average_pool, support_prototypes

settings.register_profile("panet", derandomize=True, max_examples=15, deadline=None, database=None)
settings.load_profile("panet")

sides = st.integers(1, 7)
masks = st.integers(1, 17)
seeds = st.integers(0, 2**31)
counts = st.integers(1, 3)
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- brute force: what the paper and the authors' code say, one image at a time -------------------


def up(x, size):
    """(C, h, w) to (C, H, W), bilinear."""
    return F.interpolate(x[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def pooled(features, mask):
    """Mean of the upsampled features (C, h, w) under a mask (H, W)."""
    return (up(features, mask.shape) * mask).sum((1, 2)) / (mask.sum() + 1e-5)


def plain_prototypes(features, labels):
    """Eq. 1-2, loops over episodes, ways and shots: (B, W, K, C, h, w), (B, W, K, H, W) -> (B, 1+W, C)."""
    result = []
    for episode, maps in zip(features, labels):
        ways, shots = maps.shape[:2]
        background = [
            pooled(episode[c, k], (maps[c, k] == 0).double()) for c in range(ways) for k in range(shots)
        ]
        rows = [sum(background) / (ways * shots)]
        for c in range(ways):
            rows.append(
                sum(pooled(episode[c, k], (maps[c, k] == c + 1).double()) for k in range(shots)) / shots
            )
        result.append(torch.stack(rows))
    return torch.stack(result)


def plain_logits(features, prototypes, alpha, distance):
    """One logit for each pixel and prototype: features (C, h, w), prototypes (J, C) -> (J, h, w)."""
    maps = []
    for p in prototypes:
        if distance == "cosine":
            cosine = (features * p[:, None, None]).sum(0) / (
                features.norm(dim=0).clamp(min=1e-8) * p.norm().clamp(min=1e-8)
            )
            maps.append(alpha * cosine)
        else:
            maps.append(-alpha * (features - p[:, None, None]).square().sum(0))
    return torch.stack(maps)


def plain_cross_entropy(logits, labels):
    """Logits (n, J, h, w) and labels (n, H, W): the mean of -log softmax over all valid pixels."""
    total, valid = logits.new_zeros(()), 0
    for scores, target in zip(logits, labels):
        log = up(scores, target.shape).log_softmax(0)
        for j in range(len(log)):
            total = total - log[j][target == j].sum()
        valid += int((target != 255).sum())
    return total / valid if valid else total


def plain_alignment(query, logits, support, labels, alpha=20.0, distance="cosine"):
    """Eq. 6-7 as the authors run it: a way that the query never shows is skipped, the divisor stays."""
    total = 0.0
    for b in range(len(query)):
        ways, shots = labels.shape[1:3]
        predicted = logits[b].argmax(1)  # (Q, h, w)
        prototypes = []
        for j in range(ways + 1):
            mask = (predicted == j).double()  # (Q, h, w)
            prototypes.append((query[b] * mask[:, None]).sum((0, 2, 3)) / (mask.sum() + 1e-5))
        for c in range(1, ways + 1):
            if not (predicted == c).any():
                continue
            pair = torch.stack([prototypes[0], prototypes[c]])
            for k in range(shots):
                scores = plain_logits(support[b, c - 1, k], pair, alpha, distance)
                truth = labels[b, c - 1, k]
                target = torch.full_like(truth, 255)
                target[truth == 0] = 0
                target[truth == c] = 1
                total = total + plain_cross_entropy(scores[None], target[None]) / (ways * shots)
    return total / len(query)


# --- prototypes ------------------------------------------------------------------------------------


@given(n=counts, c=counts, h=sides, w=sides, height=masks, width=masks, seed=seeds, soft=st.booleans())
def test_masked_average_pool_is_the_upsampled_formula(n, c, h, w, height, width, seed, soft):
    """Any size, not square, the mask larger, equal or smaller, weights or booleans."""
    features, mask = normal(n, c, h, w, seed=seed), uniform(n, height, width, seed=seed)
    mask = mask if soft else mask > 0.4
    expected = torch.stack([pooled(f, m.double()) for f, m in zip(features, mask)])
    close(masked_average_pool(features, mask), expected)


@given(h=sides, w=sides, height=masks, width=masks, seed=seeds)
def test_adjoint_identity(h, w, height, width, seed):
    """<Up F, m> = <F, Up^T m>, and Up^T keeps the mask's mass."""
    features, mask = normal(1, 2, h, w, seed=seed), normal(height, width, seed=seed + 1)
    left = (up(features[0], (height, width)) * mask).sum()
    down = adjoint_upsample(mask, (h, w))
    assert down.shape == (h, w)
    close(left, (features[0] * down).sum())
    close(down.sum(), mask.sum())


def test_masked_average_pool_by_hand():
    features = torch.tensor([[[[2.0, 4.0]]]], dtype=torch.float64)  # upsampled to 4: 2, 2.5, 3.5, 4
    mask = torch.tensor([[[0, 1, 1, 1]]])
    close(masked_average_pool(features, mask), torch.tensor([[10 / 3.00001]], dtype=torch.float64))


@given(batch=counts, ways=counts, shots=counts, seed=seeds, larger=st.booleans())
def test_support_prototypes_equal_loops(head, batch, ways, shots, seed, larger):
    size = (13, 16) if larger else (4, 5)
    e = head(batch, ways, shots, seed=seed, height=size[0], width=size[1])
    close(support_prototypes(e.support, e.labels), plain_prototypes(e.support, e.labels))


def test_empty_mask_counts_as_zero_and_keeps_the_divisor(head):
    e = head(ways=1, shots=2, void=0)
    e.labels[0, 0, 0] = 0
    alone = masked_average_pool(e.support[0, 0, 1:], e.labels[0, 0, 1:] == 1)
    close(support_prototypes(e.support, e.labels)[0, 1], alone[0] / 2)


@given(ways=counts, shots=st.integers(2, 5), seed=seeds)
def test_shot_order_is_irrelevant(head, ways, shots, seed):
    e = head(1, ways, shots, seed=seed)
    order = torch.randperm(shots, generator=torch.Generator().manual_seed(seed))
    close(
        support_prototypes(e.support[:, :, order], e.labels[:, :, order]),
        support_prototypes(e.support, e.labels),
    )


@given(ways=st.integers(2, 4), shots=counts, seed=seeds)
def test_relabelling_classes_permutes_prototypes_logits_and_nothing_else(head, ways, shots, seed):
    e = head(2, ways, shots, seed=seed)
    order = torch.randperm(
        ways, generator=torch.Generator().manual_seed(seed)
    )  # new way i is old way order[i]
    table = torch.full((256,), 255, dtype=torch.uint8)
    table[0] = 0
    table[order + 1] = torch.arange(1, ways + 1, dtype=torch.uint8)
    support, labels = e.support[:, order], table[e.labels[:, order].long()]
    channels = torch.cat([torch.tensor([0]), order + 1])
    old, new = support_prototypes(e.support, e.labels), support_prototypes(support, labels)
    close(new, old[:, channels])
    before, after = match(e.query, old), match(e.query, new)
    close(after, before[:, :, channels])
    close(segmentation_loss(after, table[e.truth.long()]), segmentation_loss(before, e.truth))
    close(
        alignment_loss(e.query, after, support, labels), alignment_loss(e.query, before, e.support, e.labels)
    )


# --- matching --------------------------------------------------------------------------------------


@given(
    batch=counts, queries=counts, ways=counts, seed=seeds, distance=st.sampled_from(["cosine", "euclidean"])
)
def test_match_equals_loops(head, batch, queries, ways, seed, distance):
    e = head(batch, ways, queries=queries, seed=seed)
    prototypes = normal(batch, ways + 1, 5, seed=seed)
    for alpha, used in ((None, 20.0 if distance == "cosine" else 1.0), (3.5, 3.5)):
        logits = match(e.query, prototypes, alpha, distance)
        lengths = e.query.norm(dim=2, keepdim=True)
        assert torch.equal(
            match(e.query, prototypes, alpha, distance, lengths), logits
        )  # as a bank knows them
        for b in range(batch):
            for q in range(queries):
                close(logits[b, q], plain_logits(e.query[b, q], prototypes[b], used, distance))


@given(seed=seeds, scale=st.floats(1e-3, 1e3), other=st.floats(1e-3, 1e3))
def test_cosine_logits_do_not_see_the_scale_of_features(head, seed, scale, other):
    e = head(1, 2, seed=seed)
    prototypes = support_prototypes(e.support, e.labels)
    close(match(e.query * scale, prototypes * other), match(e.query, prototypes))


def test_zero_prototype_and_zero_feature_have_logit_zero():
    prototypes = torch.stack([torch.zeros(3), torch.ones(3)])[None]
    features = torch.ones(1, 1, 3, 1, 2)
    features[..., 1] = 0
    logits = match(features, prototypes)
    assert logits[0, 0, 0].tolist() == [[0, 0]]
    torch.testing.assert_close(logits[0, 0, 1], torch.tensor([[20.0, 0.0]]))


def test_unknown_distance_and_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="'manhattan'.*cosine, euclidean"):
        match(torch.ones(1, 1, 2, 1, 1), torch.ones(1, 2, 2), distance="manhattan")


SHAPES = {  # of a good call, and the whole sentence that any other gets
    match: (
        (1, 1, 2, 3, 3), (1, 2, 2),
        "match wants features (B, Q, C, h, w) and prototypes (B, J, C) with the same C",
    ),
    masked_average_pool: (
        (2, 3, 1, 1), (2, 4, 4),
        "masked_average_pool wants features (N, C, h, w) and a mask (N, H, W) with the same N",
    ),
    support_prototypes: (
        (1, 2, 1, 3, 2, 2), (1, 2, 1, 4, 4),
        "support_prototypes wants features (B, W, K, C, h, w) and labels (B, W, K, H, W') that agree in B, W, K",
    ),
    segmentation_loss: (
        (1, 2, 2, 3, 3), (1, 2, 4, 4),
        "segmentation_loss wants logits (B, Q, J, h, w) and labels (B, Q, H, W') that agree in B, Q",
    ),
}  # fmt: skip


@pytest.mark.parametrize("function", SHAPES, ids=lambda f: f.__name__)
def test_wrong_shapes_are_named(function):
    """A dimension too many or too few on either side, however well the rest agrees; a count that differs."""
    first, second, wants = SHAPES[function]
    function(torch.ones(first), torch.ones(second))
    shared = 2 if function is match else 0
    for a, b in (
        (first, (*second, 1)), (first, second[:-1]), ((*first, 1), second), (first[:-1], second),
        ((*first[:shared], 7, *first[shared + 1 :]), second),
    ):  # fmt: skip
        with pytest.raises(ValueError) as error:
            function(torch.ones(a), torch.ones(b))
        assert str(error.value) == f"{wants}, got {a} and {b}."


@given(batch=counts, queries=counts, ways=counts, seed=seeds, void=st.sampled_from([0.0, 0.3, 0.97]))
def test_segmentation_loss_equals_loops(head, batch, queries, ways, seed, void):
    e = head(batch, ways, queries=queries, seed=seed, void=void)
    logits = normal(batch, queries, ways + 1, 4, 5, seed=seed)
    expected = torch.stack([plain_cross_entropy(x, y) for x, y in zip(logits, e.truth)])
    close(episode_losses(logits, e.truth), expected)
    close(segmentation_loss(logits, e.truth), expected.mean())


def test_a_query_of_void_alone_has_loss_zero_and_gradient_zero(head):
    e = head(2)
    e.truth[1] = 255
    logits = normal(2, 1, 2, 4, 5).requires_grad_()
    losses = episode_losses(logits, e.truth)
    segmentation_loss(logits, e.truth).backward()
    assert losses[1] == 0 and losses[0] > 0
    assert logits.grad.isfinite().all() and not logits.grad[1].any() and logits.grad[0].any()


# --- alignment -------------------------------------------------------------------------------------


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


@given(
    batch=counts, ways=counts, shots=counts, queries=counts, seed=seeds,
    distance=st.sampled_from(["cosine", "euclidean"]),
)  # fmt: skip
def test_alignment_loss_equals_loops_values_and_gradients(head, batch, ways, shots, queries, seed, distance):
    e = head(batch, ways, shots, queries, seed=seed)
    query, support = e.query.requires_grad_(), e.support.requires_grad_()
    alpha = 20.0 if distance == "cosine" else 1.0
    logits = match(query, support_prototypes(support, e.labels), None, distance)
    ours = alignment_loss(query, logits, support, e.labels, None, distance)
    plain = plain_alignment(query, logits, support, e.labels, alpha, distance)
    close(ours, plain)
    for a, b in zip(gradients(ours, query, support), gradients(plain, query, support)):
        close(a, b, rtol=1e-7, atol=1e-9)


def test_alignment_sends_no_gradient_through_the_predicted_mask(head):
    e = head(1, 2, 1)
    logits = normal(1, 1, 3, 4, 5).requires_grad_()
    loss = alignment_loss(e.query.requires_grad_(), logits, e.support, e.labels)
    assert loss.requires_grad
    assert torch.autograd.grad(loss, logits, allow_unused=True) == (None,)


def test_a_way_that_is_never_predicted_adds_nothing_and_the_divisor_stays(head):
    e = head(1, 2, 2)
    support = e.support.requires_grad_()
    logits = normal(1, 1, 3, 4, 5)
    logits[:, :, 2] = -100  # class 2 is nowhere
    both = alignment_loss(e.query, logits, support, e.labels)
    alone = alignment_loss(e.query, logits[:, :, :2], e.support[:, :1], way_labels(e.labels)[:, :1])
    close(both, alone / 2)
    both.backward()
    assert support.grad.isfinite().all() and not support.grad[:, 1].any() and support.grad[:, 0].any()


def test_a_query_that_is_all_one_class_gives_finite_gradients(head):
    """The background is never predicted: its prototype is zero, where the cosine is steepest."""
    e = head(1, 1, 2, dtype=torch.float32)
    query, support = e.query.requires_grad_(), e.support.requires_grad_()
    logits = torch.stack([torch.full((1, 1, 4, 5), -9.0), torch.zeros(1, 1, 4, 5)], dim=2)
    prototypes, predicted = query_prototypes(query, logits)
    assert predicted.tolist() == [[False, True]] and not prototypes[0, 0].any()
    loss = alignment_loss(query, logits, support, e.labels)
    assert loss.isfinite() and all(g.isfinite().all() for g in gradients(loss, query, support))


# --- batches ---------------------------------------------------------------------------------------


def everything(e):
    """Prototypes, logits and both losses of a batch."""
    prototypes = support_prototypes(e.support, e.labels)
    logits = match(e.query, prototypes)
    return (
        prototypes,
        logits,
        segmentation_loss(logits, e.truth),
        alignment_loss(e.query, logits, e.support, e.labels),
    )


@given(batch=st.integers(2, 4), ways=counts, shots=counts, queries=counts, seed=seeds)
def test_a_batch_equals_its_episodes_and_splits_over_processes(head, batch, ways, shots, queries, seed):
    e = head(batch, ways, shots, queries, seed=seed)
    e.truth[0] = 255  # an episode that says nothing weighs as much as the others
    parts = []
    for b in range(batch):
        one = SimpleNamespace(**{name: value[b : b + 1] for name, value in vars(e).items()})
        parts.append(everything(one))
    prototypes, logits, seg, par = everything(e)
    close(prototypes, torch.cat([p[0] for p in parts]))
    close(logits, torch.cat([p[1] for p in parts]))
    close(seg, torch.stack([p[2] for p in parts]).mean())
    close(par, torch.stack([p[3] for p in parts]).mean())


@given(queries=st.integers(2, 4), seed=seeds)
def test_each_query_is_matched_alone_but_the_losses_are_joint(head, queries, seed):
    e = head(1, 2, 1, queries, seed=seed)
    _, logits, seg, _ = everything(e)
    ones = [match(e.query[:, q : q + 1], support_prototypes(e.support, e.labels)) for q in range(queries)]
    close(logits, torch.cat(ones, dim=1))
    valid = (e.truth != 255).sum((0, 2, 3)).double()
    alone = torch.stack([segmentation_loss(x, e.truth[:, q : q + 1]) for q, x in enumerate(ones)])
    close(seg, (alone * valid).sum() / valid.sum())
    _, _, seg, par = everything(
        SimpleNamespace(**{**vars(e), "query": e.query[:, :1], "truth": e.truth[:, :1]})
    )
    e.query, e.truth = (x[:, :1].expand_as(x) for x in (e.query, e.truth))  # the same query several times
    close(everything(e)[2], seg)
    torch.testing.assert_close(everything(e)[3], par, rtol=1e-4, atol=1e-6)  # areas grow, 1e-5 does not


# --- gradients, precision, NaN ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [(5, 7), (3, 2)])
def test_gradcheck_of_pooling(size):
    mask = uniform(2, *size)
    assert torch.autograd.gradcheck(
        masked_average_pool, (normal(2, 3, 3, 2).requires_grad_(), mask.requires_grad_())
    )


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_gradcheck_of_the_head(head, distance):
    e = head(1, 2, 2, channels=3, h=2, w=3, height=4, width=5)
    query, support = e.query.requires_grad_(), e.support.requires_grad_()
    prototypes = normal(1, 3, 3, seed=5).requires_grad_()
    check = torch.autograd.gradcheck
    assert check(lambda f, p: match(f, p, 2.0, distance), (query, prototypes))
    assert check(lambda f: segmentation_loss(match(f, prototypes, 2.0, distance), e.truth), (query,))
    logits = match(query, prototypes, 2.0, distance).detach()
    top = logits.topk(2, dim=2).values
    assert (top[:, :, 0] - top[:, :, 1]).min() > 1e-3  # away from ties: the arg max stays as it is
    assert check(lambda f, s: alignment_loss(f, logits, s, e.labels, 2.0, distance), (query, support))


HALF = [torch.float16, torch.bfloat16]


def head_results(support, query, labels, truth):
    prototypes = support_prototypes(support, labels)
    logits = match(query, prototypes)
    return (
        masked_average_pool(support[0, 0], labels[0, 0] == 1), prototypes, logits,
        match(query, prototypes.to(query.dtype), distance="euclidean"),
        segmentation_loss(logits, truth), alignment_loss(query, logits, support, labels),
    )  # fmt: skip


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [*HALF, torch.float32])
def test_half_precision_features_give_float32_results(head, dtype, autocast):
    """As if the rounded features had been float32 all along; also inside torch.autocast."""
    e = head(2, 2, 2, dtype=dtype)
    expected = head_results(e.support.float(), e.query.float(), e.labels, e.truth)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        results = head_results(e.support, e.query, e.labels, e.truth)
    for ours, exact in zip(results, expected):
        assert ours.dtype == torch.float32
        if ours is not results[3]:
            torch.testing.assert_close(ours, exact, rtol=0, atol=0)
    for half in [] if dtype == torch.float32 else [results[4]]:  # low-precision logits, float32 loss
        loss = segmentation_loss(results[2].to(dtype), e.truth)
        assert loss.dtype == torch.float32 and abs(loss - half) < 0.1


def test_a_float16_sum_over_a_large_mask_does_not_overflow():
    features = torch.full((1, 2, 53, 53), 3.0, dtype=torch.float16)
    mask = torch.ones(1, 417, 417, dtype=torch.float16)  # 173,889 pixels, float16 ends at 65,504
    torch.testing.assert_close(masked_average_pool(features, mask), torch.full((1, 2), 3.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_a_support_without_any_valid_pixel_never_gives_nan(head, dtype):
    e = head(1, 2, 2, dtype=dtype)
    e.labels[0, 0] = 255  # way 1 says nothing at all
    query, support = e.query.requires_grad_(), e.support.requires_grad_()
    prototypes = support_prototypes(support, e.labels)
    assert not prototypes[0, 1].any() and prototypes[0, 0].any()
    logits = match(query, prototypes)
    assert not logits[:, :, 1].any()
    loss = segmentation_loss(logits, e.truth) + alignment_loss(query, logits, support, e.labels)
    loss.backward()
    assert loss.isfinite() and query.grad.isfinite().all() and support.grad.isfinite().all()
    e.labels[:] = 255
    assert not support_prototypes(support, e.labels).any()


# --- one pass: nothing waits, nothing loops ---------------------------------------------------------


def losses_of(support, labels, query, truth):
    logits = match(query, support_prototypes(support, labels))
    return logits, segmentation_loss(logits, truth), alignment_loss(query, logits, support, labels)


@pytest.mark.parametrize("ways", [1, 2, 3])
@pytest.mark.parametrize("shots", [1, 3, 5])
def test_nothing_waits_for_the_values(head, ways, shots):
    """Tensors without values pass the head and its gradient: no .item(), no branch on data."""
    with FakeTensorMode() as fake:
        e = [fake.from_tensor(x) for x in vars(head(2, ways, shots, dtype=torch.float32)).values()]
        e[0].requires_grad_()
        with pytest.raises(Exception, match="_local_scalar_dense"):
            bool(e[0].sum() > 0)  # a fake tensor does object to a host synchronisation
        logits, seg, par = losses_of(*e)
        (seg + par).backward()
        assert logits.shape == (2, 1, ways + 1, 4, 5) and seg.shape == par.shape == ()
        assert e[0].grad.shape == e[0].shape


def test_everything_stays_on_the_device_of_the_features(head):
    """A GPU that nobody has will do: its tensors have a device, but no values."""
    with FakeTensorMode():
        e = [torch.empty_like(x, device="cuda") for x in vars(head(2, 2, 3, dtype=torch.float32)).values()]
        assert {x.device.type for x in losses_of(*e)} == {"cuda"}
        for normalised in (False, True):
            assert prototype_distance(*e, normalised).device.type == "cuda"


class Count(TorchDispatchMode):
    """Counts the operations that reach the device."""

    operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        return func(*args, **(kwargs or {}))


def test_no_loop_over_episodes_ways_shots_or_queries(head):
    """Many small operations would grow with the episode; ours are as many whatever its shape."""

    def operations(*shape):
        with Count() as count:
            losses_of(*vars(head(*shape, dtype=torch.float32)).values())
        with Count() as drawing:
            head(*shape, dtype=torch.float32)
        return count.operations - drawing.operations

    assert operations(2, 2, 2, 2) == operations(5, 3, 4, 3) > 20


def test_the_head_compiles_as_one_graph(head):
    torch._dynamo.reset()
    e = head(2, 2, 3, dtype=torch.float32)
    compiled = torch.compile(losses_of, fullgraph=True, backend="eager", dynamic=False)
    for ours, plain in zip(compiled(*vars(e).values()), losses_of(*vars(e).values())):
        torch.testing.assert_close(ours, plain)


# --- the model composes them ------------------------------------------------------------------------


class Squash(torch.nn.Module):
    """A backbone of one layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Conv2d(3, 4, 3, stride=4, padding=1)

    def preprocess(self, images):
        return images * 2 - 1

    def forward(self, images):
        return self.layer(images)


def test_the_model_is_the_four_modules_in_a_row(head):
    e = head(2, 2, 1, 2)
    images = torch.rand(2, 2, 1, 3, 13, 16), torch.rand(2, 2, 3, 13, 16)
    episode = Episode(images[0], e.labels, images[1], e.truth, torch.tensor([[3, 4], [5, 6]]))
    model = PANet(Squash())
    prediction = model(episode)
    support = torch.stack([model.backbone.layer(x[:, 0] * 2 - 1) for x in images[0]])[:, :, None]
    query = torch.stack([model.backbone.layer(x * 2 - 1) for x in images[1]])
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)
    prototypes = support_prototypes(support, e.labels)
    logits = match(query, prototypes)
    close(prediction.prototypes, prototypes)
    close(prediction.logits, logits)
    seg, par = segmentation_loss(logits, e.truth), alignment_loss(query, logits, support, e.labels)
    close(prediction.losses(episode)[0], seg)
    close(prediction.losses(episode)[1], par)
    close(model.loss(episode, 0.5), seg + 0.5 * par)
    close(model.loss(episode, 0), seg)
    full = upsample(logits, (13, 16))
    close(prediction.probabilities(), full.softmax(2))
    assert prediction.labels().equal(full.argmax(2)) and prediction.labels((3, 3)).shape == (2, 2, 3, 3)


def test_alpha_and_distance_of_the_model_reach_both_losses(head):
    e = head(1, 1, 1)
    images = torch.rand(1, 1, 1, 3, 13, 16), torch.rand(1, 1, 3, 13, 16)
    episode = Episode(images[0], e.labels, images[1], e.truth, torch.tensor([[3]]))
    losses = [PANet(Squash(), *how)(episode).losses(episode) for how in ((), (5.0,), (None, "euclidean"))]
    for part in (0, 1):
        assert len({round(pair[part].item(), 6) for pair in losses}) == 3
