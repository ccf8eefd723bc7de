"""Training: Algorithm 1 over episodes, on a CPU, a GPU or several (paper Alg. 1, Sec. 4.1; chapter 6)."""

import contextlib
import time
import traceback
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from tqdm import tqdm

from ..datasets import AnyDataset, ImageBank
from ..episodes import EpisodeSampler
from ..machine import layout, total, tuned, world
from .states import State, restore, snapshot
from .step import CUDAGraph, GraphedStep, Recipe, set_rate, sgd, sgd_step

AHEAD = 8  # steps; their images are decoded meanwhile
LOG_EVERY = 50  # steps; only then, and to save, the host waits for the device


PAPER = Recipe()
# Lite0 on a laptop: a minute counts, so fewer steps, each smoother and therefore longer.
LAPTOP = Recipe(iterations=600, learning_rate=1e-2, milestones=(400,), episodes_per_step=4)


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


def entry(step: int, losses: Tensor, seconds: float) -> dict[str, float]:
    """A line of the log: the mean of the losses (n, 2) since the line before."""
    seg, par = losses.mean(0).tolist()
    return {"step": step, "seg": round(seg, 4), "par": round(par, 4), "seconds": round(seconds, 1)}


class Ledger:
    """How far a run has come, and what it has still to tell and to save: its losses since the last entry of the log."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, sampler: EpisodeSampler, batch: int,
        log: Callable[[dict[str, float]], None], save: Callable[[State], None] | None, state: State | None,
    ):  # fmt: skip
        self.model, self.optimizer, self.sampler, self.batch = model, optimizer, sampler, batch
        self.log, self.save = log, save
        self.losses = restore(state, model, optimizer) if state else []
        self.step = self.saved = state.step if state else 0
        self.started = time.perf_counter() - (state.seconds if state else 0)
        optimizer.register_step_pre_hook(self.begin)
        self.rng, self.whole = torch.get_rng_state(), True

    def begin(self, *_: object) -> None:
        """From here to the step's end, the weights are those of no step."""
        self.whole = False

    def add(self, losses: Tensor) -> None:
        """A step is done."""
        self.losses.append(losses)
        self.step, self.rng, self.whole = self.step + 1, torch.get_rng_state(), True

    def settle(self, telling: bool, saving: bool) -> None:
        """Check the losses, then log and save: the only time that the host waits for the device."""
        (rank, ranks), weight = world(), next(self.model.parameters())
        recent = total(torch.stack(self.losses) if self.losses else weight.new_empty(0, 2)) / ranks
        seconds = time.perf_counter() - self.started
        stop_if_not_finite(recent, self.model, self.step, self.sampler, ranks * self.batch)
        if telling and rank == 0:
            self.log(entry(self.step, recent, seconds))
        self.losses = [] if telling else [*recent]
        if saving and self.save and rank == 0:
            self.save(snapshot(self.step, seconds, self.losses, self.model, self.optimizer, self.rng))
            self.saved = self.step

    def rescue(self, error: Exception) -> None:
        """Save the steps before an error, whatever it is; not weights of which only some have made the last one."""
        if self.save and self.whole and self.step > self.saved and world()[1] == 1:
            traceback.clear_frames(error.__traceback__)  # memory that the step holds may be what is short
            self.settle(telling=False, saving=True)


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
    torchrun, R processes share steps of R times the episodes. Errors: ValueError where a loss is not finite,
    or the state is of another model; whatever else comes up, `save` gets the steps before it first.
    """
    (rank, ranks), batch = world(), recipe.episodes_per_step
    if graph and ranks > 1:
        raise ValueError("A CUDA graph holds the step of one process: leave --cuda-graph out under torchrun.")
    device = next(model.parameters()).device
    model.train().to(memory_format=layout(device))
    optimizer, take = sgd(model, recipe), GraphedStep(CUDAGraph(device)) if graph else sgd_step
    ledger = Ledger(model, optimizer, sampler, batch, log, save, state)
    parallel = DistributedDataParallel(model) if ranks > 1 else model
    steps = range(ledger.step + 1, recipe.iterations + 1)
    try:
        for step in tqdm(steps, "training", leave=False, disable=rank > 0 or None):
            if step + AHEAD <= recipe.iterations:
                look_ahead(sampler, episodes_of(step + AHEAD, batch))
            episode = sampler.batch(episodes_of(step, batch)).to(device)
            set_rate(optimizer, recipe.rate(step))
            ledger.add(take(parallel, episode, optimizer, recipe))
            end, stopping = step == recipe.iterations, bool(total(torch.tensor(int(stop()))))
            telling, saving = end or step % LOG_EVERY == 0, end or stopping or step % save_every == 0
            if telling or saving:
                ledger.settle(telling, saving)
            if stopping:
                break
    except Exception as error:
        ledger.rescue(error)
        raise
    return ledger.step
