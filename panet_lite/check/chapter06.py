"""Answers to the exercises of chapter 6, training."""

import contextlib
import copy
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .. import training
from ..episodes import Episode
from ..model import PANet
from . import harness

# ---- exercise 1 ----------------------------------------------------------------------------------


def velocity(weight: Tensor, momentum: Tensor, gradient: Tensor, mu: float, decay: float) -> Tensor:
    """torch.optim.SGD's new momentum: decay joins the gradient, the gradient joins the memory."""
    return mu * momentum + gradient + decay * weight


def reference_step(
    weight: Tensor, momentum: Tensor, gradient: Tensor, rate: float, mu: float, decay: float
) -> tuple[Tensor, Tensor]:
    """torch.optim.SGD: the weight after the step, which is the new momentum, and this momentum."""
    new = velocity(weight, momentum, gradient, mu, decay)
    return weight - rate * new, new


STEP_MISTAKES = (
    (lambda *x: reference_step(*x)[0],
     "the weight is right: return the momentum as well, the next step needs it"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, g, rate, mu, 0),
     "the weight decay is missing: decay * weight joins the gradient before anything else"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, g, rate, mu, -decay),
     "the decay has the wrong sign: added to the gradient it makes the weight smaller"),
    (lambda w, v, g, rate, mu, decay: (
         reference_step(w, v, g, rate, mu, 0)[0] - rate * decay * w,
         velocity(w, v, g, mu, 0),
     ),
     "this decay goes past the momentum, straight to the weight. That is a good idea with a name (decoupled "
     "decay, as in AdamW), but SGD in torch and in the paper lets it join the gradient"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, g, rate, 0, decay),
     "the momentum is missing: the new one is mu times the old one plus the gradient"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, (1 - mu) * (g + decay * w), rate, mu, 0),
     "you weigh the gradient by 1 - mu, a running mean. SGD's momentum is a running sum: with mu = 0.9 its "
     "steps are ten times as long"),
    (lambda w, v, g, rate, mu, decay: (
         reference_step(w, velocity(w, v, g, mu, decay), g, rate, mu, decay)[0],
         velocity(w, v, g, mu, decay),
     ),
     "this is Nesterov's momentum, which looks one step ahead: here the step is just the new momentum"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, rate * (g + decay * w), 1, mu, 0),
     "the rate is inside your momentum. While the rate stays the same nobody sees a difference; when it falls, "
     "old gradients still count with the old rate"),
    (lambda w, v, g, rate, mu, decay: (w - rate * v, velocity(w, v, g, mu, decay)),
     "you step with the old momentum: today's gradient joins it first"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, g, -rate, mu, decay),
     "this goes uphill: subtract the step"),
)  # fmt: skip


def draw_step() -> tuple[Any, ...]:
    """Weights, momentum and gradient (3, 4), and exaggerated settings, so that nothing drowns."""
    rate, mu, decay = (0.2 + 0.6 * torch.rand(3)).tolist()
    return torch.randn(3, 4) + 1, torch.randn(3, 4), torch.randn(3, 4), rate, mu, decay


def step(answer: harness.Answer) -> bool | None:
    """Exercise 1: (weight, momentum, gradient, rate, mu, decay) -> (weight, momentum)."""
    return harness.implementation(
        answer,
        reference_step,
        draw_step,
        "right: the decay joins the gradient, the gradient joins the momentum, the momentum is the step",
        STEP_MISTAKES,
    )


# ---- exercise 2 ----------------------------------------------------------------------------------


def longest(answer: object) -> bool | None:
    """Exercise 2: the step under a constant gradient with momentum 0.9, in units of rate * gradient."""
    return harness.number(
        answer,
        10,
        0.05,
        "right: 1 / (1 - 0.9). The paper's rate of 0.001 is in effect one of 0.01",
        "no: add up 1 + 0.9 + 0.81 + ..., which never ends and yet has a sum",
        [
            (1.0, "1 is the first step. The second one is 1 + 0.9, and it goes on growing"),
            (0.9, "0.9 is what is left of yesterday's step. Today's gradient comes on top, every day"),
            (1.9, "1.9 is the second step: go on, 1 + 0.9 + 0.81 + ..."),
            (9.0, "9 is what the past adds; today's gradient comes on top"),
            (
                19.0,
                "19 is (1 + mu) / (1 - mu), which tells how much momentum calms the noise. The step is the plain sum "
                "1 + 0.9 + 0.81 + ...",
            ),
        ],
        slip=2e-3,
    )


# ---- exercise 3 ----------------------------------------------------------------------------------


def reference_rate(step: int, learning_rate: float, milestones: Sequence[int]) -> float:
    """The package's own schedule."""
    return replace(training.PAPER, learning_rate=learning_rate, milestones=tuple(milestones)).rate(step)


RATE_MISTAKES = (
    (lambda step, rate, milestones: rate * 0.1 ** sum(step >= m for m in milestones),
     "one step early: the step with the milestone's own number is still made at the old rate"),
    (lambda step, rate, milestones: rate * 0.1 ** sum(step > m + 1 for m in milestones),
     "one step late: the first step behind the milestone has the lower rate already (steps count from 1)"),
    (lambda step, rate, milestones: rate * (0.1 if step > milestones[0] else 1),
     "only the first milestone counts here: each of them divides by ten again"),
    (lambda step, rate, milestones: rate * (1 - 0.1 * sum(step > m for m in milestones)),
     "you take a tenth away. 'Reduced by 0.1' is the paper's way to say: multiplied by 0.1"),
    (lambda step, rate, milestones: rate * 0.1 * sum(step > m for m in milestones),
     "the tenths are added up, and before the first milestone the rate is 0: multiply, once for each milestone"),
    (lambda step, rate, milestones: rate * 0.1 ** len(milestones),
     "every milestone counts from the first step on: only those that lie behind do"),
)  # fmt: skip


def rate(answer: harness.Answer) -> bool | None:
    """Exercise 3: (step, learning_rate, milestones) -> the rate of that step."""

    def cases() -> Iterator[tuple[int, float, tuple[int, int]]]:
        first, second = harness.whole(5, 24), harness.whole(40, 59)
        for step in (first, first + 1, second, second + 1, 2, second + 30):
            yield step, 2 + 7 * torch.rand(()).item(), (first, second)

    inputs = cases()
    return harness.implementation(
        answer,
        reference_rate,
        lambda: next(inputs),
        "right: a tenth for each milestone that lies behind, and the milestone itself is not behind yet",
        RATE_MISTAKES,
        trials=6,
    )


# ---- exercise 4 ----------------------------------------------------------------------------------


def arrows(answer: object) -> bool | None:
    """Exercise 4: what lambda = 0 makes of the gradient on the support's feature map."""
    return harness.choice(
        answer,
        "b",
        {
            "a": "not a: the prototypes are made of support features, so the query's loss reaches them",
            "b": "right: L_seg knows the support only as two means, and a mean passes the same to all its pixels. "
            "With PAR each support pixel is judged for itself",
            "c": "not c: that is lambda = 1. Through what does L_seg reach a support pixel?",
        },
    )


# ---- exercise 5 ----------------------------------------------------------------------------------


def block(first: int, batch: int) -> list[int]:
    """The numbers of `batch` neighbours, from `first` on."""
    return list(range(first, first + batch))


def reference_share(step: int, rank: int, ranks: int, batch: int) -> list[int]:
    """Which episodes `training.train` gives to a process."""
    return block(((step - 1) * ranks + rank) * batch, batch)


SHARE_MISTAKES = (
    (lambda step, rank, ranks, batch: block((step - 1) * batch, batch),
     "all processes get the same episodes: they would compute one gradient several times"),
    (lambda step, rank, ranks, batch: block((step - 1 + rank) * batch, batch),
     "the next process gets now what this one gets in the next step: a step uses up ranks * batch episodes"),
    (lambda step, rank, ranks, batch: block((step * ranks + rank) * batch, batch),
     "steps count from 1, episodes from 0: the first ones are never used"),
    (lambda step, rank, ranks, batch: [(step - 1) * ranks * batch + rank + i * ranks for i in range(batch)],
     "a fair deal, one card at a time. `train` gives each process a block of neighbours, and the numbers must "
     "agree"),
    (lambda step, rank, ranks, batch: block(((step - 1) * ranks + rank) * batch, batch * ranks),
     "too many: a process takes `batch` episodes, all of them together ranks * batch"),
)  # fmt: skip


def draw_share() -> tuple[int, int, int, int]:
    """Step, rank, ranks, batch; the rank is not 0, and all numbers differ."""
    ranks, batch = harness.whole(3, 5), harness.whole(6, 8)
    return harness.whole(2, 29), harness.whole(1, ranks - 1), ranks, batch


def plain(values: object) -> object:
    """A range, an array or a tensor of numbers as a list."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str) else values


def share(answer: harness.Answer) -> bool | None:
    """Exercise 5: (step, rank, ranks, batch) -> the numbers of the episodes."""
    return harness.implementation(
        lambda *x: plain(answer(*x)),
        reference_share,
        draw_share,
        "right: no episode twice, none left out, and nobody had to ask anybody",
        SHARE_MISTAKES,
    )


# ---- exercise 6 ----------------------------------------------------------------------------------


class Pixelwise(nn.Conv2d):
    """The chapter's tiny backbone: 1 x 1 convolution, colours (3) to features (2)."""

    def preprocess(self, images: Tensor) -> Tensor:
        """The images (N, 3, H, W) as they are."""
        return images


class Recorder:
    """A sampler of random tiny episodes, float64, that writes down which ones are asked for."""

    def __init__(self, seed: int):
        self.seed = seed
        self.asked: list[list[int]] = []

    def episode(self, index: int) -> Episode:
        """Episode `index`: two images of 3 x 4 x 4 and their masks."""
        generator = torch.Generator().manual_seed(1000 * self.seed + int(index))
        images = torch.rand(2, 1, 3, 4, 4, generator=generator, dtype=torch.float64)
        labels = torch.tensor([0, 1]).repeat(8)[torch.randperm(16, generator=generator)].view(1, 1, 4, 4)
        return Episode(
            images[:1, None],
            labels[:, :, None].expand(1, 1, 1, 4, 4),
            images[1:],
            labels.flip(-1),
            torch.tensor([[1]]),
        )

    def batch(self, indices: Iterable[int]) -> Episode:
        """Several of them, as an `EpisodeSampler` gives them."""
        numbers = [int(i) for i in indices]
        self.asked.append(numbers)
        return Episode.cat([self.episode(i) for i in numbers])


Trained = tuple[list[list[int]], list[Tensor]]  # the episodes of each step, and the weights in the end
RECIPE = replace(
    training.LAPTOP, iterations=4, learning_rate=0.3, weight_decay=0.05, milestones=(2,), episodes_per_step=2
)


def loop(
    model: PANet, sampler: Recorder, recipe: training.Recipe,
    *, zero: bool = True, fall: bool = True, fresh: bool = True, late: int = 0,
) -> None:  # fmt: skip
    """`training.train` in short, with the chosen wrong turns: gradients pile up, the rate never falls, episodes repeat,
    the first episodes are left out."""
    optimiser = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    batch = recipe.episodes_per_step
    for step in range(1, recipe.iterations + 1):
        first = (step - 1 + late) * batch if fresh else 0
        episode = sampler.batch(range(first, first + batch))
        if fall:
            optimiser.param_groups[0]["lr"] = recipe.rate(step)
        if zero:
            optimiser.zero_grad()
        model.loss(episode, recipe.lambda_par).backward()
        optimiser.step()


LOOP_MISTAKES = (
    (lambda *x: loop(*x, zero=False, fall=False, fresh=False),
     "all three faults are still there: which episodes are asked for, what is in `.grad`, and the rate"),
    (lambda *x: loop(*x, zero=False, fresh=False),
     "the rate falls now. Still wrong: the episodes repeat, and the gradients of all steps pile up in `.grad`"),
    (lambda *x: loop(*x, zero=False, fall=False),
     "the episodes are new in each step now. Still wrong: gradients pile up in `.grad`, and the rate never falls"),
    (lambda *x: loop(*x, fall=False, fresh=False),
     "`.grad` is emptied now. Still wrong: every step sees the same episodes, and the rate never falls"),
    (lambda *x: loop(*x, zero=False),
     "one fault is left: backward() adds to `.grad`, so yesterday's gradient is still in it"),
    (lambda *x: loop(*x, fresh=False),
     "one fault is left: every step asks for the same episodes, so the model learns two of them by heart"),
    (lambda *x: loop(*x, fall=False),
     "one fault is left: the learning rate never falls, ask recipe.rate(step)"),
    (lambda *x: loop(*x, late=1), "the first episodes are never used: steps count from 1, episodes from 0"),
    (lambda model, sampler, recipe: loop(model, sampler, replace(recipe, lambda_par=0)),
     "L_PAR got lost: model.loss wants recipe.lambda_par"),
)  # fmt: skip


def trained(answer: harness.Answer, start: PANet, seed: int) -> Trained:
    """What a training loop asks for, and the weights that it leaves."""
    model, sampler = copy.deepcopy(start), Recorder(seed)
    with contextlib.redirect_stdout(io.StringIO()):  # a reader's loop may print its losses
        answer(model, sampler, RECIPE)
    return sampler.asked, [weight.detach() for weight in model.parameters()]


def same(ours: Trained, theirs: Trained) -> bool:
    """The same episodes and the same weights?"""
    return ours[0] == theirs[0] and all(map(torch.allclose, ours[1], theirs[1]))


def untold(ours: Trained, theirs: Trained, start: list[Tensor]) -> str:
    """What is wrong with a loop that is none of the known mistakes, from weights `start`."""
    if all(map(torch.equal, ours[1], start)):
        return (
            "the weights are where they were: backward() fills `.grad`, step() goes by it, zero_grad() empties it. "
            "Do they run in an order that leaves step() something?"
        )
    if ours[0] != theirs[0]:
        return (
            f"your first steps ask for the episodes {ours[0][:3]}; with {RECIPE.episodes_per_step} in a step it "
            "should be 0 and 1, then 2 and 3, and so on"
        )
    return "the episodes are right, the weights are not: compare optimiser, rate and loss with Algorithm 1"


def repair(answer: harness.Answer) -> bool | None:
    """Exercise 6: a training loop (model, sampler, recipe), judged by its episodes and its weights."""
    seed = harness.whole(0, 999)
    model = PANet(Pixelwise(3, 2, 1).double()).train()
    start = [weight.detach() for weight in model.parameters()]

    def ours() -> Trained | None:
        asked, weights = trained(answer, model, seed)
        return (asked, weights) if asked or not all(map(torch.equal, weights, start)) else None

    return harness.implementation(
        ours,
        lambda: trained(loop, model, seed),
        lambda: (),
        "right: new episodes, fresh gradients, a falling rate. These are the weights that `train` finds",
        [(partial(trained, wrong, model, seed), why) for wrong, why in LOOP_MISTAKES],
        trials=1,
        same=same,
        otherwise=lambda values, truths: untold(values[0], truths[0], start),
    )
