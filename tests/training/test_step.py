"""A step of training: its precision, its optimiser, its repetition by a CUDA graph, its memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from panet_lite import PANet, machine
from panet_lite.backbones import VGG16
from panet_lite.datasets import ImageBank
from panet_lite.episodes import Episode
from panet_lite.evaluation import FeatureBank, evaluate
from panet_lite.machine import layout, reduced_precision, tuned
from panet_lite.training import loop as training
from panet_lite.training import train, training_episodes
from panet_lite.training.step import CUDAGraph, GraphedStep, Recipe, lay_alike, set_rate, sgd, sgd_step

CPU = torch.device("cpu")
FLOAT32 = Recipe(learning_rate=1e-2, milestones=(3, 6), precision="float32")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")


def model(seed=0, width=1 / 16):
    torch.manual_seed(seed)
    return PANet(VGG16(width)).train()


def episode(ways=1, shots=1, size=48, seed=0, batch=1):
    """Coarse noise with label maps that follow its brightness, so that there is something to learn."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, ways * shots + 1, 3, 4, 4, generator=g)
    images = coarse.repeat_interleave(size // 4, -1).repeat_interleave(size // 4, -2)
    labels = (images.mean(2) * (ways + 1)).floor().clamp(0, ways).to(torch.uint8)
    labels[..., 0] = 255
    support, query = slice(0, -1), slice(-1, None)
    return Episode(
        images[:, support].unflatten(1, (ways, shots)), labels[:, support].unflatten(1, (ways, shots)),
        images[:, query], labels[:, query], torch.arange(1, ways + 1).expand(batch, -1),
    )  # fmt: skip


def weights(model):
    return torch.cat([weight.detach().flatten().cpu() for weight in model.parameters()])


# --- precision ---------------------------------------------------------------------------------------


def both_precisions(ways, shots, seed, lambda_par):
    """(losses, gradient) of a step in float32, then in bfloat16."""
    for precision in ("float32", "bfloat16"):
        start = model(seed % 7)
        recipe = replace(FLOAT32, lambda_par=lambda_par, precision=precision)
        losses = sgd_step(start, episode(ways, shots, seed=seed), sgd(start, recipe), recipe)
        yield losses, torch.cat([w.grad.flatten() for w in start.parameters()])


@settings(max_examples=15, deadline=None)
@given(ways=st.integers(1, 3), shots=st.integers(1, 3), seed=st.integers(0, 1000))
def test_a_step_in_bfloat16_is_near_that_in_float32(ways, shots, seed):
    """Eq. 5 to 0.03, its gradient to an angle of 25 degrees, in the smallest of networks; never the same bits."""
    (exact, gradient), (rounded, other) = both_precisions(ways, shots, seed, lambda_par=0)
    assert not torch.equal(exact, rounded)
    assert (exact - rounded)[0].abs() < 0.03
    assert torch.cosine_similarity(gradient, other, dim=0) > 0.9
    assert 0.85 < other.norm() / gradient.norm() < 1.15


def test_with_alignment_bfloat16_is_as_near_for_most_episodes():
    """Eq. 7 pools under a hard prediction: where a pixel flips, both are right, and it jumps. Hence the median."""
    apart, angles = [], []
    for seed in range(15):
        (exact, gradient), (rounded, other) = both_precisions(1 + seed % 3, 1, seed, lambda_par=1)
        apart.append(float((exact - rounded).abs().max()))
        angles.append(float(torch.cosine_similarity(gradient, other, dim=0)))
    assert 0 < np.median(apart) < 0.01 and np.median(angles) > 0.98


@pytest.mark.parametrize("precision, dtype", [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_precision_asked_for(precision, dtype):
    with reduced_precision(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with pytest.raises(ValueError, match="no precision 'float16': choose one of auto, float32, bfloat16"):
        reduced_precision(CPU, "float16")


@pytest.mark.parametrize("capability, gains", [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bfloat16_and_channels_last_are_for_gpus_that_gain(monkeypatch, capability, gains):
    """Colab's T4 (7.5) has no tensor cores for bfloat16: it would be slower, not faster."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    device = torch.device("cuda:0")
    assert machine.gains_by_bfloat16(device) == gains
    assert layout(device) == (torch.channels_last if gains else torch.contiguous_format)


def test_cudnn_is_tuned_meanwhile():
    before = torch.backends.cudnn.benchmark
    with pytest.raises(KeyError), tuned():
        assert torch.backends.cudnn.benchmark
        raise KeyError
    assert torch.backends.cudnn.benchmark == before


def test_a_bank_in_bfloat16(tiny):
    """Other features, nearly the same prediction."""
    dataset, start = tiny(), model().eval()
    plain, rounded = (FeatureBank(start, dataset, precision=p) for p in ("float32", "bfloat16"))
    assert not torch.equal(plain[[0]], rounded[[0]]) and rounded[[0]].dtype == torch.float32
    a, b = (evaluate(start, dataset, 0, runs=1, episodes=30, bank=bank) for bank in (plain, rounded))
    moved = abs(a.confusions - b.confusions).sum() / 2
    assert 0 < moved < 0.02 * a.confusions.sum()


# --- the optimiser -----------------------------------------------------------------------------------


def test_fused_with_a_rate_on_the_device_is_the_same_optimiser():
    """What `sgd` makes on CUDA, here on the CPU, through a fall of the rate and a saved momentum."""
    plain, fused = model(), model()
    one = sgd(plain, FLOAT32)
    two = torch.optim.SGD(
        fused.parameters(),
        torch.tensor(1e-2),
        FLOAT32.momentum,
        weight_decay=FLOAT32.weight_decay,
        fused=True,
    )
    held = two.param_groups[0]["lr"]
    for step in range(1, 9):
        for start, optimizer in ((plain, one), (fused, two)):
            set_rate(optimizer, FLOAT32.rate(step))
            sgd_step(start, episode(seed=step), optimizer, FLOAT32)
    assert two.param_groups[0]["lr"] is held and held.item() == pytest.approx(
        1e-4
    )  # written to, not replaced
    torch.testing.assert_close(weights(fused), weights(plain), rtol=1e-5, atol=1e-6)
    assert (weights(plain) - weights(model())).abs().max() > 1e-4


def test_gradients_lie_in_memory_as_their_weights_do():
    """A 1 x 1 convolution's may have other strides, which CUDA's fused kernel refuses."""
    layer = torch.nn.Conv2d(6, 4, 1)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, fused=True)
    gradient = torch.arange(24.0).view(4, 6, 1, 1)
    layer.weight.grad = gradient.as_strided((4, 6, 1, 1), (6, 1, 6, 6))
    assert layer.weight.grad.stride() != layer.weight.stride()
    lay_alike(optimizer)
    assert layer.weight.grad.stride() == layer.weight.stride() and layer.bias.grad is None
    assert torch.equal(layer.weight.grad, gradient)
    kept = layer.weight.grad
    lay_alike(optimizer)
    assert layer.weight.grad is kept


def test_a_frozen_backbone_is_one_sentence(tiny):
    frozen = model()
    frozen.requires_grad_(False)
    with pytest.raises(ValueError, match="This backbone is frozen: there is nothing to train"):
        train(frozen, training_episodes(tiny("train"), 0), FLOAT32)


# --- the CUDA graph ----------------------------------------------------------------------------------


class Replayed:
    """In place of a CUDA graph: what was recorded is done again, on the same tensors, each time."""

    def __init__(self):
        self.warm, self.recorded, self.replays = 0, None, 0

    def warm_up(self, work):
        self.warm += 1
        return work()

    def record(self, work):
        assert self.recorded is None
        self.recorded = work

    def replay(self):
        self.replays += 1
        return self.recorded()


def test_a_graphed_step_is_the_same_step():
    """Other episodes, a falling rate, and in between an episode of another shape: to the bit."""
    plain, graphed, graph = model(), model(), Replayed()
    optimizers, step = (sgd(plain, FLOAT32), sgd(graphed, FLOAT32)), GraphedStep(graph)
    for number in range(1, 10):
        task = episode(seed=number, shots=2 if number == 6 else 1)
        before = [t.clone() for t in (task.query_images, task.support_labels)]
        for optimizer in optimizers:
            set_rate(optimizer, FLOAT32.rate(number))
        expected = sgd_step(plain, task, optimizers[0], FLOAT32)
        assert torch.equal(step(graphed, task, optimizers[1], FLOAT32), expected)
        assert all(torch.equal(a, b) for a, b in zip(before, (task.query_images, task.support_labels)))
    assert torch.equal(weights(plain), weights(graphed))
    assert (graph.warm, graph.replays) == (3, 5)


def test_train_can_repeat_its_step_as_a_graph(tiny, monkeypatch):
    """The loop's rate, log and state are those of the plain steps."""

    graph, found = Replayed(), []
    monkeypatch.setattr(training, "CUDAGraph", lambda device: graph)
    recipe = replace(FLOAT32, iterations=8)
    for graphed in (False, True):
        start, log, saved = model(), [], []
        sampler = training_episodes(ImageBank(tiny("train")), 0, recipe)
        train(start, sampler, recipe, log.append, saved.append, graph=graphed)
        found.append((weights(start), [(e["seg"], e["par"]) for e in log], saved[0].tensors))
    (a, log, state), (b, other, again) = found
    assert torch.equal(a, b) and log == other and all(torch.equal(state[k], again[k]) for k in state)
    assert graph.replays == 5


def test_a_graph_without_a_gpu_is_one_sentence(tiny):
    with pytest.raises(ValueError, match="no CUDA graphs on cpu: leave --cuda-graph out"):
        train(model(), training_episodes(tiny("train"), 0), FLOAT32, graph=True)


def test_a_graph_of_several_processes_is_one_sentence(tiny, monkeypatch):
    monkeypatch.setattr(training, "world", lambda: (0, 2))
    with pytest.raises(ValueError, match="leave --cuda-graph out under torchrun"):
        train(model(), training_episodes(tiny("train"), 0), FLOAT32, graph=True)


# --- memory ------------------------------------------------------------------------------------------


def test_two_ways_of_five_shots_fit_16_gb():
    """VGG-16 at 417 px in float32: what autograd keeps, twice (for what passes by), the weights four times."""
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with FakeTensorMode() as mode:
        start = PANet(VGG16()).train()
        task = Episode(*(mode.from_tensor(t) for t in vars(episode(2, 5, size=416)).values()))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = start.loss(task)
        assert loss.requires_grad
    size = sum(w.numel() for w in start.parameters()) * 4
    assert 2e9 < sum(kept.values()) < 4e9  # 11 images of 0.28 GB; bfloat16 halves most of it
    assert 2 * sum(kept.values()) + 4 * size < 16e9


# --- on a GPU ----------------------------------------------------------------------------------------


@pytest.mark.cuda
@gpu
def test_on_a_gpu_the_optimiser_is_fused_and_its_rate_lies_there():
    start = model().cuda()
    optimizer = sgd(start, FLOAT32)
    rate = optimizer.param_groups[0]["lr"]
    assert optimizer.param_groups[0]["fused"] and rate.is_cuda
    torch.cuda.set_sync_debug_mode("error")
    try:
        set_rate(optimizer, 0.25)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert rate.item() == 0.25


def states_on_the_gpu(dataset, recipe, every, graph, seed=0, **kwargs):
    """The states that a training saves, and of each the weights as one vector."""
    saved, sampler = [], training_episodes(ImageBank(dataset, "cuda"), 0, recipe)
    train(model(seed).cuda(), sampler, recipe, lambda entry: None, saved.append, every, graph=graph, **kwargs)
    return saved, [vector(state, "model.") for state in saved]


def vector(state, kind):
    return torch.cat([v.flatten() for k, v in sorted(state.tensors.items()) if k.startswith(kind)])


@pytest.mark.cuda
@gpu
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_cuda_graph_trains_as_the_plain_steps_do(tiny, precision):
    """A GPU adds in any order, so not to the bit. Steps 1 to 3 are plain in both, 4 to 9 are compared."""
    recipe = replace(FLOAT32, iterations=9, milestones=(), momentum=0.5, precision=precision)
    _, plain = states_on_the_gpu(tiny("train"), recipe, 3, graph=False)
    _, graphed = states_on_the_gpu(tiny("train"), recipe, 3, graph=True)
    expected, found = plain[2] - plain[0], graphed[2] - graphed[0]
    assert (found - expected).norm() < 0.5 * expected.norm()  # with the recorded episode it is 1 and more


@pytest.mark.cuda
@gpu
def test_a_cuda_graph_reads_the_rate_anew(tiny):
    """It falls to a tenth after steps 3 and 6; the graph is recorded at step 4."""
    saved, weights = states_on_the_gpu(tiny("train"), replace(FLOAT32, iterations=9), 3, graph=True)
    assert [state.step for state in saved] == [3, 6, 9]
    second, third = ((b - a).norm() for a, b in zip(weights, weights[1:]))
    assert 0 < third < second / 2  # with the recorded rate, momentum would make it grow


@pytest.mark.cuda
@gpu
def test_a_resumed_cuda_graph_goes_on(tiny):
    """The momentum that a state brings is the one that the graph updates."""
    recipe = replace(FLOAT32, iterations=8, milestones=())
    (half, whole), _ = states_on_the_gpu(tiny("train"), recipe, 4, graph=True)
    (again,), _ = states_on_the_gpu(tiny("train"), recipe, 4, graph=True, seed=1, state=half)
    assert half.step == 4 and again.step == whole.step == 8
    for kind in ("model.", "momentum."):
        expected, found, before = (vector(state, kind) for state in (whole, again, half))
        assert (found - expected).norm() < 0.5 * (expected - before).norm()


@pytest.mark.cuda
@gpu
def test_a_replayed_step_does_not_wait_for_the_gpu():
    start, step = model().cuda(), GraphedStep(CUDAGraph(torch.device("cuda", torch.cuda.current_device())))
    optimizer, tasks = sgd(start, FLOAT32), [episode(seed=n).to("cuda") for n in range(6)]
    for task in tasks[:4]:  # three to warm up, the fourth is recorded and replayed
        step(start, task, optimizer, FLOAT32)
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [step(start, task, optimizer, FLOAT32) for task in tasks[4:]]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.stack(losses).isfinite().all() and not torch.equal(*losses)


@pytest.mark.cuda
@gpu
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_step_of_two_ways_and_five_shots_takes_less_than_16_gb(precision):
    start = PANet(VGG16()).cuda().train().to(memory_format=layout(torch.device("cuda")))
    recipe = replace(Recipe(), precision=precision)
    optimizer, task = sgd(start, recipe), episode(2, 5, size=416).to("cuda")
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        losses = sgd_step(start, task, optimizer, recipe)
    assert losses.isfinite().all() and torch.cuda.max_memory_allocated() < 14e9
