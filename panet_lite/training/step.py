"""One step of training: its recipe, its precision, and its repetition by a CUDA graph (paper Sec. 4.1; chapter 6)."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ..episodes import Episode
from ..machine import reduced_precision


@dataclass(frozen=True)
class Recipe:
    """How to train on episodes; the defaults are the paper's (Sec. 4.1)."""

    iterations: int = 30_000  # steps of SGD; the last weights count, none are selected
    learning_rate: float = 1e-3  # small: ImageNet's weights are to be bent, not replaced
    momentum: float = 0.9  # averages some ten steps, as one episode alone is a noisy judge
    weight_decay: float = 5e-4  # what VGG-16 itself was trained with
    milestones: tuple[int, ...] = (10_000, 20_000, 30_000)  # the rate falls to a tenth behind each
    lambda_par: float = 1.0  # weight of Eq. 7, "different values give little improvement"; 0: no PAR
    ways: int = 1  # the shape of the episodes, the same as in the test (Sec. 3.1)
    shots: int = 1
    episodes_per_step: int = 1  # in each process; the paper's batch size. More: smoother, slower steps
    seed: int = 0  # of the episodes, and of weights that are drawn
    precision: str = "auto"  # of the backbone's arithmetic, see `machine.reduced_precision`

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 1."""
        return self.learning_rate * 0.1 ** sum(step > milestone for milestone in self.milestones)


def sgd(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """The optimiser of Sec. 4.1. On CUDA one kernel updates all weights (fused), by a rate that lies there too.

    Errors: ValueError where the model has nothing to train.
    """
    values = list(model.parameters())
    if not any(value.requires_grad for value in values):
        raise ValueError("This backbone is frozen: there is nothing to train. Evaluate it as it is.")
    gpu, plain = values[0].is_cuda, recipe.learning_rate
    rate = torch.tensor(plain, device=values[0].device) if gpu else plain  # a graph would keep a mere number
    return torch.optim.SGD(values, rate, recipe.momentum, weight_decay=recipe.weight_decay, fused=gpu or None)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step, without waiting for the device."""
    group = optimizer.param_groups[0]
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def lay_alike(optimizer: torch.optim.Optimizer) -> None:
    """Lay gradients in memory as their weights do: the fused kernel refuses others.

    Those of 1 x 1 convolutions differ at times, in strides that mean nothing (PyTorch's issue 106951).
    """
    for weight in optimizer.param_groups[0]["params"]:
        if weight.grad is not None and weight.grad.stride() != weight.stride():
            weight.grad = torch.empty_like(weight).copy_(weight.grad)


def sgd_step(model: nn.Module, episode: Episode, optimizer: torch.optim.Optimizer, recipe: Recipe) -> Tensor:
    """One step down the gradient of L_seg + lambda L_PAR; returns both losses (2,), still on the device.

    With lambda 0 only the value of L_PAR is computed, for the log.
    """
    with reduced_precision(episode.query_images.device, recipe.precision):
        segmentation, alignment = model(episode).losses(episode)
    loss = segmentation + recipe.lambda_par * alignment if recipe.lambda_par else segmentation
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if optimizer.param_groups[0].get("fused"):
        lay_alike(optimizer)
    optimizer.step()
    return torch.stack([segmentation, alignment]).detach()


class CUDAGraph:
    """Work of a GPU, recorded once and then repeated as one launch, on the same tensors.

    A step of PANet is some hundred small kernels: launched one by one by Python, they keep a fast GPU
    waiting for most of the time.
    """

    result: Tensor  # where each repetition leaves what the work gives

    def __init__(self, device: torch.device):
        if device.type != "cuda":
            raise ValueError(f"There are no CUDA graphs on {device}: leave --cuda-graph out.")
        self.stream, self.graph = torch.cuda.Stream(device), torch.cuda.CUDAGraph()

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """Do the work, on the stream that will record it: libraries set themselves up there."""
        here = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            result = work()
        here.wait_stream(self.stream)
        return result

    def record(self, work: Callable[[], Tensor]) -> None:
        """Note down what the work does, without doing it. Other threads may go on using the GPU."""
        with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
            self.result = work()

    def replay(self) -> Tensor:
        """Do what was recorded; returns what it gave."""
        self.graph.replay()
        return self.result.clone()


class GraphedStep:
    """`sgd_step` for the same model and optimiser again and again, recorded after its first steps.

    Episodes are copied to where the recorded one lay. The learning rate lies on the device and is read
    anew by each repetition. An episode of another shape takes a step as usual.
    """

    WARM_UP = 3  # steps, which count as any

    def __init__(self, graph: CUDAGraph):
        self.graph, self.taken = graph, 0
        self.episode: Episode | None = None

    def __call__(
        self, model: nn.Module, episode: Episode, optimizer: torch.optim.Optimizer, recipe: Recipe
    ) -> Tensor:
        """As `sgd_step`."""
        if self.taken < self.WARM_UP:
            self.taken += 1
            return self.graph.warm_up(lambda: sgd_step(model, episode, optimizer, recipe))
        new = [getattr(episode, field.name) for field in fields(episode)]
        if self.episode is None:
            self.episode = first = Episode(*(tensor.clone() for tensor in new))
            self.graph.record(lambda: sgd_step(model, first, optimizer, recipe))
        kept = [getattr(self.episode, field.name) for field in fields(episode)]
        if any(a.shape != b.shape for a, b in zip(kept, new)):
            return sgd_step(model, episode, optimizer, recipe)
        for a, b in zip(kept, new):
            a.copy_(b)
        return self.graph.replay()
