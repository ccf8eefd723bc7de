"""Training: Algorithm 1 over episodes, on a CPU, a GPU or several (paper Alg. 1, Sec. 4.1; chapter 6)."""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from tqdm import tqdm

from ..backbones import Backbone, read_weights
from ..datasets import AnyDataset, ImageBank
from ..episodes import EpisodeSampler
from ..files import write_atomically
from ..machine import layout, total, tuned, world
from .step import CUDAGraph, GraphedStep, Recipe, set_rate, sgd, sgd_step

AHEAD = 8  # steps; their images are decoded meanwhile
LOG_EVERY = 50  # steps; only then, and to save, the host waits for the device


PAPER = Recipe()
# The narrow twin on a laptop: a minute counts, so fewer steps, each smoother and therefore longer.
LAPTOP = Recipe(iterations=1_500, learning_rate=3e-3, milestones=(1_000,), episodes_per_step=4)


@dataclass(frozen=True)
class State:
    """All that a stopped run needs to go on as if it had not been stopped.

    step: steps done; as episodes are functions of their number, it is the sampler's position too.
    seconds: time spent on them. tensors: "model.*" weights and buffers, "momentum.*", "losses" (n, 2)
    since the last entry of the log, "rng" of torch.
    """

    step: int
    seconds: float
    tensors: dict[str, Tensor]


def base_classes(dataset: AnyDataset, fold: int) -> list[int]:
    """The labels of the other three folds, on which a model for `fold` is trained (Sec. 4.1)."""
    test = dataset.fold(fold)
    return [c for f in dataset.folds for c in f if c not in test]


def training_episodes(
    dataset: AnyDataset, fold: int, recipe: Recipe = PAPER, preset: str = "standard",
    drop_unseen: bool = False,
) -> EpisodeSampler:  # fmt: skip
    """Episodes of the base classes, each image mirrored with probability 1/2 (Sec. 4.1).

    drop_unseen: leave out every image that shows a class of `fold`, even as background.
    """
    return EpisodeSampler(
        dataset, base_classes(dataset, fold), recipe.ways, recipe.shots, seed=recipe.seed, preset=preset,
        exclude=dataset.fold(fold) if drop_unseen else (), flip=True,
    )  # fmt: skip


def stop_if_not_finite(
    losses: Tensor, model: nn.Module, step: int, sampler: EpisodeSampler, batch: int
) -> None:
    """Raise a ValueError that names the first bad step of the last `len(losses)`, and its images.

    Where all losses are finite but a weight is not, the last step's gradient has just broken it.
    """
    bad = (~losses.isfinite().all(1)).nonzero().flatten().tolist()
    if not bad and all(weight.isfinite().all() for weight in model.parameters()):
        return
    step, shown = step - len(losses) + bad[0] + 1 if bad else step, []
    for index in range((step - 1) * batch, step * batch):
        draw = sampler.draw(index)
        names = (" ".join(sampler.dataset.ids[i] for i in x.flat) for x in (draw.supports, draw.queries))
        shown.append("episode {}: support {}, query {}".format(index, *names))
    raise ValueError(
        f"The loss is not finite at step {step} ({'; '.join(shown)}; seed {sampler.seed}): lower the "
        "learning rate or look at those images. Nothing was written since."
    )


def snapshot(
    step: int, seconds: float, losses: list[Tensor], model: nn.Module, optimizer: Optimizer
) -> State:
    """The state after a step, copied to the CPU."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, weight in model.named_parameters():
        if (momentum := optimizer.state[weight].get("momentum_buffer")) is not None:
            tensors[f"momentum.{name}"] = momentum
    tensors["losses"] = torch.stack(losses) if losses else torch.empty(0, 2)
    tensors["rng"] = torch.get_rng_state()
    plain = {"device": "cpu", "copy": True, "memory_format": torch.contiguous_format}
    return State(step, seconds, {name: value.detach().to(**plain) for name, value in tensors.items()})


def restore(state: State, model: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """Put everything back where `snapshot` took it from; returns the losses not logged yet."""
    tensors = state.tensors
    model.load_state_dict({name: tensors[f"model.{name}"] for name in model.state_dict()})
    for name, weight in model.named_parameters():
        if f"momentum.{name}" in tensors:
            momentum = torch.empty_like(weight).copy_(tensors[f"momentum.{name}"])
            optimizer.state[weight]["momentum_buffer"] = momentum
    torch.set_rng_state(tensors["rng"])
    return list(tensors["losses"].to(next(model.parameters()).device))


def entry(step: int, losses: Tensor, seconds: float) -> dict[str, float]:
    """A line of the log: the mean of the losses (n, 2) since the line before."""
    seg, par = losses.mean(0).tolist()
    return {"step": step, "seg": round(seg, 4), "par": round(par, 4), "seconds": round(seconds, 1)}


class Ledger:
    """What a run has still to tell: its losses since the last entry of the log, and the time it took."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, state: State | None):
        self.model, self.optimizer = model, optimizer
        self.losses = restore(state, model, optimizer) if state else []
        self.started = time.perf_counter() - (state.seconds if state else 0)

    def settle(
        self, step: int, sampler: EpisodeSampler, batch: int,
        log: Callable[[dict[str, float]], None] | None, save: Callable[[State], None] | None,
    ) -> None:  # fmt: skip
        """Check the losses, then tell `log` and `save`: the only time that the host waits for the device."""
        (rank, ranks), weight = world(), next(self.model.parameters())
        recent = total(torch.stack(self.losses) if self.losses else weight.new_empty(0, 2)) / ranks
        seconds = time.perf_counter() - self.started
        stop_if_not_finite(recent, self.model, step, sampler, batch)
        self.losses = [] if log else [*recent]
        if log and rank == 0:
            log(entry(step, recent, seconds))
        if save and rank == 0:
            save(snapshot(step, seconds, self.losses, self.model, self.optimizer))


def episodes_of(step: int, batch: int) -> range:
    """The episodes that this process takes in a step, counted from 1: each process the next `batch`."""
    rank, ranks = world()
    first = ((step - 1) * ranks + rank) * batch
    return range(first, first + batch)


def look_ahead(sampler: EpisodeSampler, episodes: range) -> None:
    """Have the images of episodes to come decoded, where a bank is to keep them."""
    bank = getattr(sampler, "dataset", None)  # a sampler of one's own need not have one
    if isinstance(bank, ImageBank) and len(bank.kept) < 2 * len(bank):
        with contextlib.suppress(ValueError):  # it is said when the episode's turn comes
            draws = [sampler.draw(i) for i in episodes]
            bank.ahead(i for draw in draws for i in (*draw.supports.flat, *draw.queries))


@tuned()
def train(
    model: nn.Module, sampler: EpisodeSampler, recipe: Recipe, log: Callable[[dict[str, float]], None] = print,
    save: Callable[[State], None] | None = None, save_every: int = 500, state: State | None = None,
    stop: Callable[[], bool] = lambda: False, graph: bool = False,
) -> int:  # fmt: skip
    """Algorithm 1, first loop: a step of SGD for each (S_i, Q_i). Returns the number of the last step.

    model: anything whose output for an Episode has `.losses(episode)`, the scalars of Eq. 5 and 7.
    log: gets their means every 50 steps. save: gets a state every `save_every` steps and at the end;
    `state` goes on from one. stop: asked after each step. graph: repeat the step as a `CUDAGraph`. Under
    torchrun, R processes share steps of R times the episodes. Errors: ValueError where a loss is not finite.
    """
    (rank, ranks), batch = world(), recipe.episodes_per_step
    if graph and ranks > 1:
        raise ValueError("A CUDA graph holds the step of one process: leave --cuda-graph out under torchrun.")
    device = next(model.parameters()).device
    model.train().to(memory_format=layout(device))
    optimizer, take = sgd(model, recipe), GraphedStep(CUDAGraph(device)) if graph else sgd_step
    ledger, step = Ledger(model, optimizer, state), state.step if state else 0
    parallel = DistributedDataParallel(model) if ranks > 1 else model
    steps = range(step + 1, recipe.iterations + 1)
    for step in tqdm(steps, "training", leave=False, disable=rank > 0 or None):
        if step + AHEAD <= recipe.iterations:
            look_ahead(sampler, episodes_of(step + AHEAD, batch))
        try:
            episode = sampler.batch(episodes_of(step, batch)).to(device)
        except ValueError:  # a picture that cannot be read: the steps before it are not lost
            if ranks == 1 and step > steps[0]:
                ledger.settle(step - 1, sampler, batch, None, save)
            raise
        set_rate(optimizer, recipe.rate(step))
        ledger.losses.append(take(parallel, episode, optimizer, recipe))
        end, stopping = step == recipe.iterations, bool(total(torch.tensor(int(stop()))))
        telling, saving = end or step % LOG_EVERY == 0, end or stopping or step % save_every == 0
        if telling or saving:
            ledger.settle(step, sampler, ranks * batch, log if telling else None, save if saving else None)
        if stopping:
            break
    return step


def save_checkpoint(path: str | Path, backbone: Backbone, about: dict[str, object]) -> None:
    """Write the weights as float16 safetensors, atomically; `about` travels in the file's header."""
    halved = dict(backbone.named_parameters())  # statistics of BatchNorm may pass float16's range
    state = {
        name: (value.half() if name in halved else value).detach().cpu().contiguous()
        for name, value in backbone.state_dict().items()
    }
    about = {"backbone": backbone.name, "width": backbone.width, **about}
    header = {key: json.dumps(value) for key, value in about.items()}
    write_atomically(path, lambda temporary: temporary.write_bytes(to_bytes(state, metadata=header)))


def save_state(path: str | Path, state: State, settings: dict[str, object]) -> None:
    """Write a state as float32 safetensors, atomically, with what `load_state` compares in the header."""
    facts = {"step": state.step, "seconds": state.seconds, "settings": settings}
    header = {key: json.dumps(value) for key, value in facts.items()}
    write_atomically(path, lambda temporary: temporary.write_bytes(to_bytes(state.tensors, metadata=header)))


def load_state(path: str | Path, settings: dict[str, object]) -> State:
    """Read a state. Errors: ValueError names the first of the settings that it was not made with."""
    tensors = read_weights(path)
    with safe_open(path, "pt") as file:
        header = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    if "settings" not in header:
        raise ValueError(f"{path} is not the state of a training: train into another folder.")
    for key, now in json.loads(json.dumps(settings)).items():  # tuples become lists, as in the file
        if (then := header["settings"].get(key)) != now:
            raise ValueError(
                f"The run in {Path(path).parent} was started with {key} {then}, not {now}: resume it with the "
                "options it was started with, or train into another folder."
            )
    return State(header["step"], header["seconds"], tensors)
