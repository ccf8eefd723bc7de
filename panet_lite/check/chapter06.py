"""Answers to the exercises of chapter 6, training."""

import contextlib
import copy
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import training
from ..episodes import Episode
from ..model import PANet
from . import harness

# ---- ex-06-step ----------------------------------------------------------------------------------


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
    (lambda w, v, g, rate, mu, decay: (w + mu * v - rate * (g + decay * w), mu * v - rate * (g + decay * w)),
     "this memory holds steps, with rate and sign in it. Here it holds gradients: v = mu * v + g, and the rate "
     "comes in when the weight moves"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, mu * (g + decay * w), rate, mu, 0),
     "mu multiplies today's gradient too: only the old memory fades"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, g + decay * v, rate, mu, 0),
     "you let the momentum decay: the decay is decay * weight"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, g, 1, mu, decay), "the rate is missing"),
    (lambda w, v, g, rate, mu, decay: (reference_step(w, v, g, rate, mu, decay)[0], v),
     "the weight is right, but you return the old momentum: the next step needs the new one"),
    (lambda w, v, g, rate, mu, decay: (reference_step(w, v, g, rate, mu, decay)[0], g + decay * w),
     "the weight is right, but what you return is the gradient: the next step needs the new momentum"),
    (lambda w, v, g, rate, mu, decay: (w - rate * v, velocity(w, v, g, mu, decay)),
     "you step with the old momentum: today's gradient joins it first"),
    (lambda w, v, g, rate, mu, decay: reference_step(w, v, g, -rate, mu, decay),
     "this goes uphill: subtract the step"),
)  # fmt: skip


def draw_step() -> tuple[Any, ...]:
    """Weights, momentum and gradient (3, 4), and exaggerated settings, so that nothing drowns."""
    rate, mu, decay = (0.2 + 0.6 * torch.rand(3)).tolist()
    return torch.randn(3, 4) + 1, torch.randn(3, 4), torch.randn(3, 4), rate, mu, decay


def which_term(answer: harness.Answer, values: list[Any], truths: list[Any]) -> str:
    """Which of the three terms a step has wrong: the rate and gradient alone, the decay, or the memory."""
    if not all(isinstance(value, (tuple, list)) and len(value) == 2 for value in values):
        return harness.unexplained(values, truths)
    w, v, g, rate, mu, decay = draw_step()

    def right(*case: Any) -> bool:
        return harness.equal(harness.attempt(answer, case)[0], reference_step(*case))

    if not right(w, 0 * v, g, rate, 0.0, 0.0):
        return "without momentum and decay the new weight is weight - rate * gradient, and the memory is the gradient"
    if right(w, v, g, rate, mu, 0.0):
        return "without decay it is right: add decay * weight to the gradient, once, and before the memory"
    if right(w, v, g, rate, 0.0, decay):
        return "without memory it is right: the new momentum is mu * momentum + the gradient with its decay"
    same = [all(harness.equal(x[i], y[i]) for x, y in zip(values, truths)) for i in (0, 1)]
    if same[0]:
        return "the weight is right, the momentum that you return is not: the next step needs the new one"
    return "decay and memory both went astray: g = gradient + decay * weight, then mu * momentum + g, then the step"


def step(answer: harness.Answer) -> bool | None:
    """ex-06-step: (weight, momentum, gradient, rate, mu, decay) -> (weight, momentum)."""
    return harness.implementation(
        answer,
        reference_step,
        draw_step,
        "right: the decay joins the gradient, the gradient joins the momentum, the momentum is the step",
        STEP_MISTAKES,
        same=lambda value, truth: harness.equal(
            tuple(value) if isinstance(truth, tuple) and isinstance(value, (Tensor, np.ndarray)) else value,
            truth,
        ),
        otherwise=partial(which_term, answer),
    )


# ---- ex-06-longest -------------------------------------------------------------------------------


def longest(answer: object) -> bool | None:
    """ex-06-longest: the step under a constant gradient with momentum 0.9, in units of rate * gradient."""
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
            (11.0, "one too many: the sum of 1 + 0.9 + 0.81 + ... is 1 / (1 - 0.9)"),
            (0.1, "upside down: 1 - 0.9 stands below the line"),
            (6.513, "these are the first ten steps of the sum: it goes on growing"),
            (
                19.0,
                "19 is (1 + mu) / (1 - mu), which tells how much momentum calms the noise. The step is the plain sum "
                "1 + 0.9 + 0.81 + ...",
            ),
        ],
        slip=2e-3,
    )


# ---- ex-06-rate ----------------------------------------------------------------------------------


def reference_rate(step: int, learning_rate: float, milestones: Sequence[int]) -> float:
    """The package's own schedule."""
    return replace(training.PAPER, learning_rate=learning_rate, milestones=tuple(milestones)).rate(step)


RATE_MISTAKES = (
    (lambda step, rate, milestones: rate * 0.1 ** sum(step >= m for m in milestones),
     "one step early: the step with the milestone's own number is still made at the old rate"),
    (lambda step, rate, milestones: rate * 0.1 ** sum(step > m + 1 for m in milestones),
     "one step late: the first step behind the milestone has the lower rate already (steps count from 1)"),
    (lambda step, rate, milestones: rate * (0.1 if step > min(milestones, default=step) else 1),
     "only the first milestone counts here: each of them divides by ten again"),
    (lambda step, rate, milestones: rate * (1 - 0.1 * sum(step > m for m in milestones)),
     "you take a tenth away. 'Reduced by 0.1' is the paper's way to say: multiplied by 0.1"),
    (lambda step, rate, milestones: rate * 0.1 * sum(step > m for m in milestones),
     "the tenths are added up, and before the first milestone the rate is 0: multiply, once for each milestone"),
    (lambda step, rate, milestones: rate * 0.1 ** len(milestones),
     "every milestone counts from the first step on: only those that lie behind do"),
    (lambda step, rate, milestones: rate * 0.1 ** (step in milestones),
     "the rate falls for the milestone's own step and then comes back: it stays low for all steps behind"),
    (lambda step, rate, milestones: rate * 0.1 ** sum(step > m for m in milestones[:2]),
     "only two milestones count here: the tuple may hold any number, or none"),
    (lambda step, rate, milestones: rate * 0.1 ** sum(step < m for m in milestones),
     "upside down: the rate falls for milestones that lie behind, not ahead"),
    (lambda step, rate, milestones: 0.1 ** sum(step > m for m in milestones),
     "this is the factor: multiply it by the learning rate"),
    (lambda step, rate, milestones: rate * 0.5 ** sum(step > m for m in milestones),
     "you halve the rate: 'reduced by 0.1' means a tenth"),
    (lambda step, rate, milestones: rate * 0.9 ** sum(step > m for m in milestones),
     "you take a tenth away. 'Reduced by 0.1' is the paper's way to say: multiplied by 0.1"),
    (lambda step, rate, milestones: rate * 10 ** sum(step > m for m in milestones), "the rate grows here"),
)  # fmt: skip


WHERE = (
    "at the first milestone's own step", "one step behind the first milestone", "at the second milestone's own step",
    "one step behind the second milestone", "one step behind the third milestone", "at step 2, before all milestones",
    "far behind three milestones", "behind the only milestone", "where there are no milestones",
)  # fmt: skip


def which_step(values: list[Any], truths: list[Any]) -> str:
    """Where a schedule goes wrong first."""
    for where, value, truth in zip(WHERE, values, truths):
        number = harness.read(float, value)
        if number is None:
            return f"one number is wanted, not {type(value).__name__}"
        if not harness.equal(number, truth):
            return f"{where} the rate should be {truth:.4g}, yours is {number:.4g}"
    return harness.unexplained(values, truths)


def rate(answer: harness.Answer) -> bool | None:
    """ex-06-rate: (step, learning_rate, milestones) -> the rate of that step."""

    def cases() -> Iterator[tuple[int, float, tuple[int, ...]]]:
        some = harness.whole(5, 24), harness.whole(40, 59), harness.whole(80, 99)
        for step in (some[0], some[0] + 1, some[1], some[1] + 1, some[2] + 1, 2, some[2] + 30):
            yield step, 2 + 7 * torch.rand(()).item(), some
        yield some[0] + 1, 2.0, some[:1]
        yield some[0], 3.0, ()

    inputs = cases()
    return harness.implementation(
        answer,
        reference_rate,
        lambda: next(inputs),
        "right: a tenth for each milestone that lies behind, and the milestone itself is not behind yet",
        RATE_MISTAKES,
        trials=9,
        otherwise=which_step,
    )


# ---- ex-06-share ---------------------------------------------------------------------------------


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
    (lambda step, rank, ranks, batch: block((step - 1) * ranks * batch + rank, batch),
     "blocks overlap: the next process begins `batch` episodes later, not one"),
    (lambda step, rank, ranks, batch: block(((step - 1) * ranks + rank) * batch + 1, batch),
     "one too far: episodes count from 0"),
    (lambda step, rank, ranks, batch: block(((step - 1) * ranks + rank - 1) * batch, batch),
     "ranks count from 0: the first process takes the first episodes"),
    (lambda step, rank, ranks, batch: block(((step - 1) * ranks + rank) * batch, 1),
     "this is the first of them: return the numbers of all `batch` episodes"),
    (lambda step, rank, ranks, batch: block(((step - 1) * ranks + rank) * batch, batch + 1),
     "one too many: range leaves its end out"),
    (lambda step, rank, ranks, batch: block((step - 1) * ranks + rank, batch),
     "the blocks overlap: a step uses up ranks * batch episodes, a process `batch` of them"),
    (lambda step, rank, ranks, batch: block((rank * 30 + step - 1) * batch, batch),
     "each process has a stretch of its own here, and nobody knows how long the training is: share each step"),
    (lambda step, rank, ranks, batch: block(((step - 1) * ranks + ranks - 1 - rank) * batch, batch),
     "rank 0 takes the first block, here it takes the last"),
)  # fmt: skip


def draw_share() -> tuple[int, int, int, int]:
    """Step, rank, ranks, batch; the rank is not 0, and all numbers differ."""
    ranks, batch = harness.whole(3, 5), harness.whole(6, 8)
    return harness.whole(2, 29), harness.whole(1, ranks - 1), ranks, batch


def plain(values: object) -> object:
    """A range, a generator, an array or a tensor of numbers as a list."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str) else values


def whose(answer: harness.Answer, values: list[Any], truths: list[Any]) -> str:
    """Which episode is taken twice, or never, by three processes of two episodes each in their first four steps."""
    if not all(isinstance(value, list) and len(value) == len(truth) for value, truth in zip(values, truths)):
        return "a process takes `batch` episodes in a step: return a list of so many numbers"
    taken: dict[int, tuple[int, int]] = {}
    for now in ((step, rank) for step in range(1, 5) for rank in range(3)):
        for number in map(int, plain(harness.attempt(answer, (*now, 3, 2))[0]) or ()):  # type: ignore[call-overload]
            if number in taken:
                who = "rank {1} in step {0}".format(*taken[number])
                return f"3 ranks, batch 2: episode {number} is taken by {who}, and again by rank {now[1]} in step {now[0]}"
            taken[number] = now
    if missing := set(range(24)) - set(taken):
        return f"3 ranks, batch 2: nobody takes episode {min(missing)} in the first four steps, whose turn is 0 to 23"
    return "no episode comes twice: but a process should take a block of neighbours, rank 0 the first one"


def share(answer: harness.Answer) -> bool | None:
    """ex-06-share: (step, rank, ranks, batch) -> the numbers of the episodes."""
    return harness.implementation(
        lambda *x: plain(answer(*x)),
        reference_share,
        draw_share,
        "right: no episode twice, none left out, and nobody had to ask anybody",
        SHARE_MISTAKES,
        otherwise=partial(whose, answer),
    )


# ---- ex-06-cost, ex-06-counter, ex-06-calm, ex-06-forgot -----------------------------------------


def cost(answer: object) -> bool | None:
    """ex-06-cost: the multiplications of a 5-shot step, in those of a 1-shot step."""
    return harness.number(
        answer, 3, 0.05,
        "right: six images instead of two, and the backbone is all of the cost",
        "no: count the images that pass the backbone, supports and query, in either step",
        [(5, "5 would be right if only the supports passed the backbone: the query does, too"),
         (6, "6 is the number of images: how many are there in a 1-shot step?"),
         (1, "the prototypes are averaged, but each support image passes the backbone first"),
         (9, "backwards costs twice forwards in both steps: that cancels"),
         *((n, "an episode has one query, whatever its shots: six images against two") for n in (2.5, 10)),
         (1 / 3, "upside down: five shots cost more")],
    )  # fmt: skip


def counter(answer: object) -> bool | None:
    """ex-06-counter: a thousand times + 1 in bfloat16."""
    return harness.number(
        answer, 256, 0.5,
        "right: 257 would need nine binary digits, so 256 + 1 is 256 again",
        "no: up to which whole number do eight binary digits tell neighbours apart? There it stands still",
        [(1000, "1000 needs ten binary digits, and long before it the sum stands still"),
         (255, "255 is the last number of eight digits; 256 is one digit and zeros, and can be reached"),
         (257, "257 needs nine binary digits: it is rounded to 256"),
         (128, "the leading digit counts among the eight: it is 2 to the power of 8, not of 7"),
         (512, "from 256 on, every other number is missing: 256 + 1 is rounded back"),
         (2048, "2048 is where float16 stands still, with eleven digits: bfloat16 has eight"),
         (1024, "1024 needs eleven binary digits, and long before it the sum stands still"),
         (127, "127 has seven digits: the leading one counts among the eight, and 128 has eight"),
         (8, "eight digits, not the number 8: how far can one count with them?"),
         (992, "992 is near 1000 rounded once. The rounding happens after each + 1"),
         (1004, "1004 is near 1000 rounded once. The rounding happens after each + 1")],
    )  # fmt: skip


def calm(answer: object) -> bool | None:
    """ex-06-calm: episodes in a step for half a signal of noise, where one has 4."""
    return harness.number(
        answer, 64, 0.5,
        "right: an eighth of the noise costs 8 * 8 episodes",
        "no: the noise of a mean of n is that of one over the root of n",
        [(8, "8 is how much calmer it should be. Noise falls with the root of the number: square it"),
         (16, "16 episodes bring it down to one signal"),
         (4, "4 episodes halve it, from 4 to 2: go on"),
         (2.83, "the other way round: noise falls with the root of the number, so the number is a square"),
         (1 / 64, "upside down: more episodes are calmer"),
         *((n, "noise falls with the root of the number, no other power: square how much calmer it should be") for n in (128, 256, 512)),
         (2, "2 episodes take not even a third away: noise falls with the root of the number"),
         (32, "not the half of 64, nor 2 to the power of 5: by how much must the noise fall? Square that")],
    )  # fmt: skip


def forgot(answer: object) -> bool | None:
    """ex-06-forgot: what a state lacked whose run looks better after the pause than it is."""
    return harness.choice(
        answer,
        "b",
        {
            "a": "not a: without its memory a run takes short steps at first, and loses ground. Nothing makes it look better",
            "b": "right: it sees again what it has learned from, and praises itself",
            "c": "not c: one line of the log would be a mean of fewer steps, and no weight would know",
        },
    )


# ---- ex-06-gap -----------------------------------------------------------------------------------


def reference_gap(with_par: np.ndarray, without: np.ndarray, low: float, high: float) -> float:
    """The mean difference of L_seg over the entries of steps above `low`, up to `high`."""
    return gap_of(with_par, without, low, high)


def gap_of(
    a: np.ndarray, b: np.ndarray, low: float, high: float, columns: slice = slice(1, 2), left: bool = False,
    right: bool = True,
) -> float:  # fmt: skip
    """The mean over entries of the difference, summed over columns; whether either end of the span is inside."""
    steps = a[:, 0]
    inside = (steps >= low if left else steps > low) & (steps <= high if right else steps < high)
    return float((a - b)[inside, columns].sum(1).mean())


GAP_MISTAKES = (
    (lambda a, b, low, high: gap_of(a, b, low, high, slice(1, 3)),
     "you compared the totals. Without PAR nobody tried to lower L_PAR: compare L_seg, which both did"),
    (lambda a, b, low, high: gap_of(a, np.pad(b[:, :2], ((0, 0), (0, 1))), low, high, slice(1, 3)),
     "you compared what each run minimised, two losses with one: compare L_seg, column 1, of both"),
    (lambda a, b, low, high: gap_of(a, b, low, high, slice(2, 3)),
     "this is L_PAR, which the run without PAR never tried to lower: take column 1"),
    (lambda a, b, low, high: gap_of(b, a, low, high), "the other way round: with minus without, so that lower is below 0"),
    (lambda a, b, low, high: gap_of(a, b, low, high, left=True),
     "the entry of step `low` itself belongs to the span before: take the steps above it"),
    (lambda a, b, low, high: gap_of(a, b, low, high, right=False), "the entry of step `high` belongs to the span"),
    (lambda a, b, low, high: gap_of(a, b, low, high, left=True, right=False),
     "above `low` and at most `high`: yours has the one end and lacks the other"),
    (lambda a, b, low, high: gap_of(a, b, 0, 1e9), "this is the mean over the whole run: keep to the span"),
    (lambda a, b, low, high: gap_of(a, b, low, high) * ((a[:, 0] > low) & (a[:, 0] <= high)).sum(),
     "this is the sum over the entries: divide by their number"),
    (lambda a, b, low, high: gap_of(a, b, low, high) * ((a[:, 0] > low) & (a[:, 0] <= high)).mean(),
     "you divided by the number of all entries: only those of the span count"),
    (lambda a, b, low, high: (a - b)[a[:, 0] <= high, 1][-1], "this is the last entry alone: one entry is noise"),
    (lambda a, b, low, high: abs(gap_of(a, b, low, high)), "the sign is lost: lower is below 0"),
    (lambda a, b, low, high: gap_of(a, b, low, high) / b[(a[:, 0] > low) & (a[:, 0] <= high), 1].mean(),
     "this is the difference as a share of the loss: the difference itself is wanted"),
    (lambda a, b, low, high: np.abs(a - b)[(a[:, 0] > low) & (a[:, 0] <= high), 1].mean(),
     "you took each entry's absolute value: where PAR is behind, that counts against it"),
    (lambda a, b, low, high: gap_of(a, a * 0, low, high), "this is the loss with PAR: take off that of the run without"),
    (lambda a, b, low, high: (a - b)[(a[:, 0] > low) & (a[:, 0] <= high), 1],
     "these are the differences, entry by entry: return their mean"),
    (lambda a, b, low, high: (a - b)[(a[:, 0] > low) & (a[:, 0] <= high)].mean(0)[1:],
     "these are two numbers, L_seg and L_PAR: return the first"),
    (lambda a, b, low, high: np.median((a - b)[(a[:, 0] > low) & (a[:, 0] <= high), 1]),
     "this is the median: the mean is wanted"),
)  # fmt: skip


def draw_logs(factor: float = 0.7) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Two logs of twelve entries, L_seg of the first `factor` times the second's but for noise and one entry, and a span
    whose ends are steps of theirs."""
    random = np.random.default_rng(harness.whole(0, 2**31))
    steps = 50.0 * np.arange(1, 13)
    b = np.column_stack([steps, np.sort(random.uniform(0.2, 0.5, (12, 2)), 0)[::-1]])
    a = b * (1, factor, 0.5) + random.uniform(-0.02, 0.02, (12, 3)) * (0, 1, 1)
    a[-4, 1] = b[-4, 1] * (1.4 if factor < 1 else 0.8)
    return a, b, 50 * harness.whole(2, 4), 50 * harness.whole(9, 11)


def which_entries(answer: harness.Answer, values: list[Any], truths: list[Any]) -> str:
    """What a mean of differences depends on and should not, or the other way round."""
    if any(harness.read(float, value) is None for value in values):
        return "one number is wanted, the mean over the entries of the span"
    a, b, low, high = draw_logs()

    def moves(rows: Any, column: int) -> bool:
        other = a.copy()
        other[rows, column] += 0.3
        return not harness.equal(*(harness.attempt(answer, (x, b, low, high))[0] for x in (a, other)))

    steps = a[:, 0]
    if moves(slice(None), 2):
        return "your number depends on L_PAR: only L_seg is what both have tried to lower"
    if moves((steps <= low) | (steps > high), 1):
        return f"for steps above {low} and up to {high}, your number depends on entries that lie outside"
    if not all(moves(steps == inside, 1) for inside in steps[(steps > low) & (steps <= high)]):
        return f"for steps above {low} and up to {high}, some entry inside does not count: take the mean of them all"
    even = np.column_stack([steps, b[:, 1] - 0.1, b[:, 2]])
    value = harness.read(float, harness.attempt(answer, (even, b, low, high))[0]) or 0.0
    if not harness.equal(value, -0.1):
        return f"where the run with PAR lies 0.1 below the other at every entry, the answer is -0.1, and yours {value:.3g}"
    return harness.unexplained(values, truths)


def gap(answer: harness.Answer) -> bool | None:
    """ex-06-gap: (with_par, without, low, high) -> the mean difference of L_seg."""
    factors = itertools.cycle((0.7, 1.3))  # lower, and higher
    return harness.implementation(
        answer,
        reference_gap,
        lambda: draw_logs(next(factors)),
        "right: one loss, both runs, the same episodes, and lower is below 0",
        GAP_MISTAKES,
        otherwise=partial(which_entries, answer),
    )


# ---- ex-06-repair --------------------------------------------------------------------------------


class Pixelwise(nn.Conv2d):
    """The chapter's tiny backbone: 1 x 1 convolution, colours (3) to features (2)."""

    def preprocess(self, images: Tensor) -> Tensor:
        """The images (N, 3, H, W) as they are."""
        return images


class Recorder:
    """A sampler of random tiny episodes, float64, that writes down which ones are asked for, one by one or several."""

    def __init__(self, seed: int):
        self.seed = seed
        self.asked: list[int] = []

    def episode(self, index: int) -> Episode:
        """Episode `index`: two images of 3 x 4 x 4 and their masks."""
        self.asked.append(int(index))
        generator = torch.Generator().manual_seed(1000 * self.seed + int(index))
        images = torch.rand(2, 1, 3, 4, 4, generator=generator, dtype=torch.float64)
        labels = torch.tensor([0, 1]).repeat(8)[torch.randperm(16, generator=generator)].view(1, 1, 4, 4)
        support = labels[:, :, None].expand(1, 1, 1, 4, 4)
        return Episode(images[:1, None], support, images[1:], labels.flip(-1), torch.tensor([[1]]))

    def batch(self, indices: Iterable[int]) -> Episode:
        """Several of them, as an `EpisodeSampler` gives them."""
        return Episode.cat([self.episode(int(i)) for i in indices])


Trained = tuple[list[int], list[Tensor]]  # the episodes in their order, and the weights in the end
RECIPE = replace(
    training.LAPTOP,
    iterations=4,
    learning_rate=0.3,
    weight_decay=0.05,
    milestones=(2,),
    episodes_per_step=2,
    lambda_par=0.6,
)


def loop(
    model: PANet, sampler: Recorder, recipe: training.Recipe,
    *, zero: bool = True, fall: bool = True, fresh: bool = True, late: int = 0, shift: int = 0, times: float = 1,
) -> None:  # fmt: skip
    """`training.train` in short, with the chosen wrong turns: gradients pile up, the rate never falls, episodes repeat,
    the first `late` steps' are left out, the rate is that of step + `shift`, the loss is multiplied."""
    optimiser = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    batch = recipe.episodes_per_step
    for step in range(1, recipe.iterations + 1):
        first = (step - 1 + late) * batch if fresh else 0
        episode = sampler.batch(range(first, first + batch))
        if fall:
            optimiser.param_groups[0]["lr"] = recipe.rate(step + shift)
        if zero:
            optimiser.zero_grad()
        (times * model.loss(episode, recipe.lambda_par)).backward()
        optimiser.step()


def changed(**settings: Any) -> Callable[[PANet, Recorder, training.Recipe], None]:
    """`loop` by another recipe."""
    return lambda model, sampler, recipe: loop(model, sampler, replace(recipe, **settings))


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
    (changed(lambda_par=0), "L_PAR got lost: model.loss wants recipe.lambda_par"),
    (changed(lambda_par=1), "L_PAR has the weight 1, which is `model.loss`'s own: hand it recipe.lambda_par"),
    (changed(momentum=0), "the momentum is missing. Is the optimiser made anew in each step?"),
    (changed(momentum=0, milestones=()),
     "the momentum is missing, and the rate never falls. Is the optimiser made anew in each step?"),
    (changed(weight_decay=0), "the weight decay is missing: SGD wants weight_decay=recipe.weight_decay"),
    (lambda *x: loop(*x, shift=-1), "the rate falls one step late: steps count from 1"),
    (lambda *x: loop(*x, shift=1), "the rate falls one step early: the milestone's own step keeps the old rate"),
    (lambda *x: loop(*x, times=RECIPE.episodes_per_step),
     "the gradients of a step's episodes are added up: the loss of a step is the mean over its episodes"),
    (lambda *x: loop(*x, times=1 / RECIPE.episodes_per_step),
     "the loss is divided by the number of episodes, and `model.loss` has done that already"),
)  # fmt: skip


def trained(answer: harness.Answer, start: PANet, seed: int, recipe: training.Recipe = RECIPE) -> Trained:
    """What a training loop asks for, and the weights that it leaves."""
    model, sampler = copy.deepcopy(start), Recorder(seed)
    with contextlib.redirect_stdout(io.StringIO()):  # a reader's loop may print its losses
        answer(model, sampler, recipe)
    return sampler.asked, [weight.detach() for weight in model.parameters()]


def steps(asked: list[int]) -> list[list[int]]:
    """The episodes of each step; their order within a step does not matter."""
    batch = RECIPE.episodes_per_step
    return [sorted(asked[i : i + batch]) for i in range(0, len(asked), batch)]


def same(ours: Trained, theirs: Trained) -> bool:
    """The same episodes and the same weights?"""
    return steps(ours[0]) == steps(theirs[0]) and all(map(torch.allclose, ours[1], theirs[1]))


FIRST_WRONG = {
    1: "already its first step is another: is the loss the mean over the step's episodes, with recipe.lambda_par, and are "
    "rate, decay and the number of steps those of the recipe?",
    2: "its first step is right, its second is not: it should remember the first by the momentum, and by nothing else",
    3: "its first two steps are right, its third is not: the rate falls behind step 2",
    4: "its first three steps are right, its fourth is not: does something change at the end?",
}


def untold(
    answer: harness.Answer, model: PANet, seed: int, values: list[Trained], truths: list[Trained]
) -> str:
    """What is wrong with a loop that is none of the known mistakes."""
    (asked, weights), (wanted, _), batch = values[0], truths[0], RECIPE.episodes_per_step
    if all(map(torch.equal, weights, model.parameters())):
        return (
            "the weights are where they were: backward() fills `.grad`, step() goes by it, zero_grad() empties it. "
            "Do they run in an order that leaves step() something?"
        )
    if steps(asked) != steps(wanted) and asked[: len(wanted)] == wanted[: len(asked)]:
        return f"you ask for {len(asked)} episodes in all; {RECIPE.iterations} steps of {batch} want {len(wanted)}"
    if steps(asked) != steps(wanted):
        return (
            f"your first steps ask for the episodes {steps(asked)[:3]}; with {batch} in a step it should be 0 and 1, then "
            "2 and 3, and so on"
        )
    for last, why in FIRST_WRONG.items():
        short = replace(RECIPE, iterations=last)
        if not same(*(trained(one, model, seed, short) for one in (answer, loop))):
            return f"the episodes are right. Of the weights: {why}"
    return "the episodes are right, the weights are not: compare optimiser, rate and loss with Algorithm 1"


def repair(answer: harness.Answer) -> bool | None:
    """ex-06-repair: a training loop (model, sampler, recipe), judged by its episodes and its weights."""
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
        otherwise=partial(untold, answer, model, seed),
    )
