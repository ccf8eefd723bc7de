"""Chapter 6's checks: right answers of all kinds pass, each known mistake is told by its own sentence, and wrong
answers that were written from the exercises' texts are refused."""

import bisect
from dataclasses import replace

import numpy as np
import pytest
import torch
from checking import answers, mistakes_are_told, one_of_three, right_passes, said, stubs_and_errors

from panet_lite.alignment import alignment_loss
from panet_lite.check import chapter06 as check
from panet_lite.episodes import Episode
from panet_lite.matching import match, segmentation_loss
from panet_lite.prototypes import support_prototypes
from panet_lite.training import sgd_step, train
from panet_lite.training.step import set_rate, sgd

DRAWS = {
    check.step: range(12),
    check.rate: range(12),
    check.share: range(12),
    check.gap: range(12),
    check.repair: range(3),
}  # the last trains, which takes longer


IMPLEMENTATIONS = [
    (check.step, check.reference_step, check.STEP_MISTAKES),
    (check.rate, check.reference_rate, check.RATE_MISTAKES),
    (check.share, check.reference_share, check.SHARE_MISTAKES),
    (check.gap, check.reference_gap, check.GAP_MISTAKES),
    (check.repair, check.loop, check.LOOP_MISTAKES),
]


test_right_answer_passes = right_passes(IMPLEMENTATIONS, DRAWS.get)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS, DRAWS.get)


test_unfilled_and_raising_answers = stubs_and_errors(*(row[0] for row in IMPLEMENTATIONS))


def test_the_references_are_torchs_own():
    """ex-06-step and ex-06-rate against torch.optim, not against ourselves."""
    weight = torch.nn.Parameter(torch.randn(5))
    mine, momentum = weight.detach().clone(), torch.zeros(5)
    optimiser = torch.optim.SGD([weight], lr=0.3, momentum=0.8, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [2, 5])
    for step in range(1, 9):
        weight.grad, now = torch.randn(5), check.reference_rate(step, 0.3, (2, 5))
        assert now == pytest.approx(optimiser.param_groups[0]["lr"])
        mine, momentum = check.reference_step(mine, momentum, weight.grad, now, 0.8, 0.1)
        optimiser.step()
        schedule.step()
        torch.testing.assert_close(mine, weight.detach())


@pytest.mark.parametrize(
    "kind", [range, lambda a, b: torch.arange(a, b), np.arange, lambda a, b: tuple(range(a, b))]
)
def test_share_takes_any_kind_of_numbers(kind, capsys):
    def answer(step, rank, ranks, batch):
        first = ((step - 1) * ranks + rank) * batch
        return kind(first, first + batch)

    assert check.share(answer) is True
    assert check.share(lambda *x: "ab") is False
    assert check.share(lambda *x: 7) is False


def test_the_short_loop_is_train():
    """ex-06-repair is judged by `loop`, so `loop` has to be what the package does."""
    start = check.PANet(check.Pixelwise(3, 2, 1).double()).train()

    def package(model, sampler, recipe):
        train(model, sampler, recipe, log=lambda entry: None)

    assert check.same(check.trained(package, start, 5), check.trained(check.loop, start, 5))


# ---- right answers of other kinds ----------------------------------------------------------------


def step_in_place(weight, momentum, gradient, rate, mu, decay):
    momentum *= mu
    momentum += gradient + decay * weight
    weight -= rate * momentum
    return weight, momentum


def step_by_numpy(weight, momentum, gradient, rate, mu, decay):
    w, v, g = (x.numpy() for x in (weight, momentum, gradient))
    v = mu * v + g + decay * w
    return w - rate * v, v


def step_in_double(weight, momentum, gradient, rate, mu, decay):
    return check.reference_step(*(x.double() for x in (weight, momentum, gradient)), rate, mu, decay)


def step_by_loop(weight, momentum, gradient, rate, mu, decay):
    new = [
        [m * mu + g + decay * w for w, m, g in zip(*rows)]
        for rows in zip(weight.tolist(), momentum.tolist(), gradient.tolist())
    ]
    return weight - rate * torch.tensor(new), torch.tensor(new)


def step_by_torch(weight, momentum, gradient, rate, mu, decay):
    parameter = torch.nn.Parameter(weight)
    optimiser = torch.optim.SGD([parameter], rate, mu, weight_decay=decay)
    optimiser.state[parameter]["momentum_buffer"] = momentum
    parameter.grad = gradient
    optimiser.step()
    return parameter.detach(), momentum


def step_in_two_terms(weight, momentum, gradient, rate, mu, decay):
    return [
        (1 - rate * decay) * weight - rate * (gradient + mu * momentum),
        torch.add(gradient, momentum, alpha=mu) + decay * weight,
    ]


def rate_by_schedule(step, learning_rate, milestones):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], learning_rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones)
    for _ in range(step - 1):
        optimiser.step()
        schedule.step()
    return schedule.get_last_lr()[0]


def rate_by_division(step, learning_rate, milestones):
    for milestone in milestones:
        learning_rate /= 10 if milestone < step else 1
    return torch.tensor(learning_rate)


def share_one_by_one(step, rank, ranks, batch):
    return (i for i in range(step * ranks * batch) if i // batch == (step - 1) * ranks + rank)


def share_by_counting(step, rank, ranks, batch):
    first = 0
    for s in range(1, step + 1):
        for r in range(ranks):
            if (s, r) == (step, rank):
                return [first + i for i in range(batch)]
            first += batch


def gap_by_loop(with_par, without, low, high):
    found = []
    for (step, seg, _), (_, other, _) in zip(with_par, without):
        if low < step <= high:
            found.append(seg - other)
    return sum(found) / len(found)


def gap_of_means(with_par, without, low, high):
    inside = np.logical_and(with_par[:, 0] > low, with_par[:, 0] <= high)
    return with_par[inside][:, 1].mean() - without[inside][:, 1].mean()


def gap_by_torch(with_par, without, low, high):
    a, b = torch.tensor(with_par).float(), torch.tensor(without).float()
    inside = (a[:, 0] > low) * (a[:, 0] <= high)
    return ((a[:, 1] - b[:, 1]) * inside).sum() / inside.sum()


def gap_weighted(with_par, without, low, high):
    weights = (with_par[:, 0] > low) & ~(with_par[:, 0] > high)
    return np.average(with_par[:, 1] - without[:, 1], weights=weights)


def gap_sliced(with_par, without, low, high):
    first, last = (bisect.bisect_right(list(with_par[:, 0]), edge) for edge in (low, high))
    return np.subtract(with_par, without)[first:last, 1].mean(keepdims=True)[0]


def optimiser_of(model, recipe):
    return torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )


def accumulating(model, sampler, recipe):
    """One episode at a time, a step after each few."""
    optimiser, n = optimiser_of(model, recipe), recipe.episodes_per_step
    for index in range(recipe.iterations * n):
        optimiser.param_groups[0]["lr"] = recipe.rate(index // n + 1)
        (model.loss(sampler.episode(index), recipe.lambda_par) / n).backward()
        if (index + 1) % n == 0:
            optimiser.step()
            optimiser.zero_grad()


def joining(model, sampler, recipe):
    """Episodes one by one, joined by `Episode.cat`, the second first."""
    optimiser, n = optimiser_of(model, recipe), recipe.episodes_per_step
    for step in range(recipe.iterations):
        episode = Episode.cat([sampler.episode(step * n + i) for i in reversed(range(n))])
        optimiser.param_groups[0]["lr"] = recipe.rate(step + 1)
        optimiser.zero_grad()
        model.loss(episode, recipe.lambda_par).backward()
        optimiser.step()


def scheduled(model, sampler, recipe):
    """PyTorch's scheduler, all episodes drawn in advance, both losses by name."""
    optimiser, n = optimiser_of(model, recipe), recipe.episodes_per_step
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, recipe.milestones)
    episodes = [sampler.batch([step * n + i for i in range(n)]) for step in range(recipe.iterations)]
    for episode in episodes:
        seg, par = model(episode).losses(episode)
        model.zero_grad()
        torch.autograd.backward(seg + recipe.lambda_par * par)
        optimiser.step()
        schedule.step()


def by_hand(model, sampler, recipe):
    """No optimiser at all."""
    weights, n = list(model.parameters()), recipe.episodes_per_step
    momenta = [torch.zeros_like(w) for w in weights]
    for step in range(1, recipe.iterations + 1):
        episode = sampler.batch(np.arange((step - 1) * n, step * n))
        support, query = model.features(episode)
        logits = match(query, support_prototypes(support, episode.support_labels))
        loss = segmentation_loss(logits, episode.query_labels)
        loss = loss + recipe.lambda_par * alignment_loss(query, logits, support, episode.support_labels)
        for w, v, g in zip(weights, momenta, torch.autograd.grad(loss, weights)):
            v.mul_(recipe.momentum).add_(g + recipe.weight_decay * w.detach())
            w.data -= recipe.rate(step) * v


def by_steps(model, sampler, recipe):
    """The module's step."""
    optimiser = sgd(model, recipe)
    for step, first in enumerate(range(0, 10**9, recipe.episodes_per_step), start=1):
        if step > recipe.iterations:
            break
        set_rate(optimiser, recipe.rate(step))
        sgd_step(model, sampler.batch(range(first, first + recipe.episodes_per_step)), optimiser, recipe)


RIGHT = [
    *((check.step, f) for f in (
        step_in_place, step_by_numpy, step_in_double, step_by_loop, step_by_torch, step_in_two_terms
    )),
    *((check.rate, f) for f in (
        rate_by_schedule, rate_by_division,
        lambda step, rate, milestones: rate / 10 ** bisect.bisect_left(milestones, step),
        lambda step, rate, milestones: rate * 0.1 ** int(np.sum(np.array(milestones) < step)),
        lambda step, rate, milestones: np.float64(rate) * np.prod([0.1 for m in milestones if step > m]),
        lambda step, rate, milestones: rate if not [m for m in milestones if m < step] else rate * 10.0 ** -len([m for m in milestones if m < step]),
    )),
    *((check.share, f) for f in (
        share_one_by_one, share_by_counting,
        lambda step, rank, ranks, batch: range((step - 1) * ranks * batch + rank * batch, (step - 1) * ranks * batch + (rank + 1) * batch),
        lambda step, rank, ranks, batch: torch.arange(step * ranks * batch).view(step, ranks, batch)[-1, rank],
        lambda step, rank, ranks, batch: np.array_split(np.arange(ranks * batch), ranks)[rank] + (step - 1) * ranks * batch,
    )),
    *((check.gap, f) for f in (gap_by_loop, gap_of_means, gap_by_torch, gap_weighted, gap_sliced)),
    *((check.repair, f) for f in (accumulating, joining, scheduled, by_hand, by_steps)),
]  # fmt: skip


@pytest.mark.parametrize("exercise, right", RIGHT)
def test_right_answers_of_other_kinds_pass(exercise, right, capsys):
    for _ in range(3):
        assert exercise(right) is True, said(capsys)


# ---- wrong answers, written from the exercises' texts --------------------------------------------


def loose(change):
    """`accumulating` with one thing changed: (optimiser, step from 0, episode's place in its step) -> None."""

    def wrong(model, sampler, recipe):
        optimiser, n = optimiser_of(model, recipe), recipe.episodes_per_step
        for step in range(recipe.iterations):
            optimiser.param_groups[0]["lr"] = recipe.rate(step + 1)
            change(model, sampler, recipe, optimiser, step, n)

    return wrong


def take(model, sampler, recipe, optimiser, numbers, zero=True):
    if zero:
        optimiser.zero_grad()
    model.loss(sampler.batch(numbers), recipe.lambda_par).backward()
    optimiser.step()


def between(model, sampler, recipe, optimiser, step, n):
    """`zero_grad` between backward and step."""
    model.loss(sampler.batch(range(step * n, step * n + n)), recipe.lambda_par).backward()
    optimiser.zero_grad()
    optimiser.step()


def each(model, sampler, recipe, optimiser, step, n):
    """A step for each episode."""
    for i in range(step * n, step * n + n):
        take(model, sampler, recipe, optimiser, [i])


def summed(model, sampler, recipe, optimiser, step, n):
    """Gradients of the episodes added and not averaged."""
    optimiser.zero_grad()
    for i in range(step * n, step * n + n):
        model.loss(sampler.episode(i), recipe.lambda_par).backward()
    optimiser.step()


def noisy(model, sampler, recipe, optimiser, step, n):
    """Numbers drawn at random."""
    take(model, sampler, recipe, optimiser, torch.randint(1000, (n,)).tolist())


WRONG = [
    *((check.step, f) for f in (
        lambda w, v, g, rate, mu, decay: (w - rate * g, v),
        lambda w, v, g, rate, mu, decay: (w - rate * (g + decay * w), mu * v + g),
        lambda w, v, g, rate, mu, decay: (w - rate * (mu * v + g), mu * v + g),
        lambda w, v, g, rate, mu, decay: (w * (1 - decay) - rate * (mu * v + g), mu * v + g),
        lambda w, v, g, rate, mu, decay: check.reference_step(w, v, g, rate, mu, decay)[::-1],
        lambda w, v, g, rate, mu, decay: (w - (mu * v + rate * (g + decay * w)), mu * v + rate * (g + decay * w)),
        lambda w, v, g, rate, mu, decay: (w - rate * (mu * v + g + decay * w.abs()), mu * v + g + decay * w.abs()),
        lambda w, v, g, rate, mu, decay: (w - rate * (mu * v + g + decay), mu * v + g + decay),
        lambda w, v, g, rate, mu, decay: (w - rate * (mu * v - g + decay * w), mu * v - g + decay * w),
        lambda w, v, g, rate, mu, decay: (w - rate * (mu * v + (1 - mu) * g + decay * w), mu * v + (1 - mu) * g + decay * w),
        lambda w, v, g, rate, mu, decay: w - rate * (mu * v + g + decay * w),
        lambda w, v, g, rate, mu, decay: torch.stack(check.reference_step(w, v, g, rate, mu, decay)).sum(0),
        lambda w, v, g, rate, mu, decay: check.reference_step(w, v, g, rate, decay, mu),
    )),
    *((check.rate, f) for f in (
        lambda step, rate, milestones: rate,
        lambda step, rate, milestones: rate - 0.1 * sum(step > m for m in milestones),
        lambda step, rate, milestones: rate * 0.1 ** sum(step >= m for m in milestones),
        lambda step, rate, milestones: rate * 0.1 ** (step // (milestones or (999,))[0]),
        lambda step, rate, milestones: rate * (0.1 if any(step > m for m in milestones) else 1),
        lambda step, rate, milestones: rate * (0.1 if all(step > m for m in milestones) else 1),
        lambda step, rate, milestones: rate * np.exp(-sum(step > m for m in milestones)),
        lambda step, rate, milestones: rate * 0.1 ** sum(step > m for m in milestones[1:]),
        lambda step, rate, milestones: rate * 0.01 ** sum(step > m for m in milestones),
        lambda step, rate, milestones: [rate * 0.1 ** sum(s > m for m in milestones) for s in range(step)],
        lambda step, rate, milestones: milestones[0] * rate,
        lambda step, rate, milestones: sum(step > m for m in milestones),
    )),
    *((check.share, f) for f in (
        lambda step, rank, ranks, batch: list(range(batch)),
        lambda step, rank, ranks, batch: list(range(step * batch, step * batch + batch)),
        lambda step, rank, ranks, batch: list(range(rank * batch, rank * batch + batch)),
        lambda step, rank, ranks, batch: [(step - 1) * ranks + rank],
        lambda step, rank, ranks, batch: list(range(rank, batch * ranks, ranks)),
        lambda step, rank, ranks, batch: list(range((step * ranks + rank) * batch, (step * ranks + rank + 1) * batch)),
        lambda step, rank, ranks, batch: list(range(((step - 1) * batch + rank) * ranks, ((step - 1) * batch + rank) * ranks + batch)),
        lambda step, rank, ranks, batch: (((step - 1) * ranks + rank) * batch, ((step - 1) * ranks + rank + 1) * batch),
        lambda step, rank, ranks, batch: list(range(((step - 1) * ranks + rank) * batch, ((step - 1) * ranks + rank + 1) * batch - 1)),
        lambda step, rank, ranks, batch: torch.randint(100, (batch,)),
        lambda step, rank, ranks, batch: [i % 10 for i in range(((step - 1) * ranks + rank) * batch, ((step - 1) * ranks + rank + 1) * batch)],
        lambda step, rank, ranks, batch: "all of them",
    )),
    *((check.gap, f) for f in (
        lambda a, b, low, high: (a[:, 1] - b[:, 1]).mean(),
        lambda a, b, low, high: a[-1, 1] - b[-1, 1],
        lambda a, b, low, high: (a - b)[:, 1][(a[:, 0] >= low) & (a[:, 0] <= high)].mean(),
        lambda a, b, low, high: (a - b)[low:high, 1].sum(),
        lambda a, b, low, high: -abs(check.reference_gap(a, b, low, high)),
        lambda a, b, low, high: (a - b)[low // 50 - 1 : high // 50, 1].mean(),
        lambda a, b, low, high: (a[:, 1:].sum(1) - b[:, 1:].sum(1))[(a[:, 0] > low) & (a[:, 0] <= high)].mean(),
        lambda a, b, low, high: (a[:, 1:].sum(1) - b[:, 1])[(a[:, 0] > low) & (a[:, 0] <= high)].mean(),
        lambda a, b, low, high: (b - a)[(a[:, 0] > low) & (a[:, 0] <= high), 1].mean(),
        lambda a, b, low, high: (a - b)[(a[:, 0] > low) & (a[:, 0] <= high)].mean(),
        lambda a, b, low, high: 100 * (a - b)[(a[:, 0] > low) & (a[:, 0] <= high), 1].mean(),
        lambda a, b, low, high: a[(a[:, 0] > low) & (a[:, 0] <= high), 1].mean() / b[(a[:, 0] > low) & (a[:, 0] <= high), 1].mean(),
        lambda a, b, low, high: ((a - b)[(a[:, 0] > low) & (a[:, 0] <= high), 1] < 0).mean(),
        lambda a, b, low, high: (a - b)[(a[:, 0] > low) & (a[:, 0] <= high), 1].min(),
        lambda a, b, low, high: np.trapezoid((a - b)[(a[:, 0] > low) & (a[:, 0] <= high), 1]),
    )),
    *((check.repair, f) for f in (
        loose(between), loose(each), loose(summed), loose(noisy),
        loose(lambda m, s, r, o, step, n: take(m, s, r, o, range(step * n, step * n + n), zero=False)),
        loose(lambda m, s, r, o, step, n: take(m, s, r, o, range(step, step + n))),
        loose(lambda m, s, r, o, step, n: take(m, s, r, o, range(step * n + 1, step * n + n + 1))),
        loose(lambda m, s, r, o, step, n: take(m, s, r, o, [step * n])),
        loose(lambda m, s, r, o, step, n: take(m, s, r, optimiser_of(m, r), range(step * n, step * n + n))),
        loose(lambda m, s, r, o, step, n: take(m, s, check.replace(r, lambda_par=0.5), o, range(step * n, step * n + n))),
        check.changed(iterations=3), check.changed(iterations=5), check.changed(milestones=(3,)),
        check.changed(milestones=()), check.changed(momentum=0.99), check.changed(learning_rate=0.03),
        lambda m, s, r: [s.batch(range(2 * i, 2 * i + 2)) for i in range(4)],
        lambda m, s, r: check.loop(m, s, r, fall=False, fresh=False),
    )),
]  # fmt: skip


@pytest.mark.parametrize("exercise, wrong", WRONG)
def test_wrong_answers_from_the_texts_are_refused(exercise, wrong, capsys):
    for _ in range(3):
        assert exercise(wrong) is False, said(capsys)
        assert said(capsys).startswith("✗ ")


UNNAMED = ("the numbers are not: try it by hand", "the weights are not: compare", "both went astray")


def test_most_of_them_are_named(capsys):
    """At least four of five wrong answers are told what their mistake is."""
    unnamed = []
    for exercise, wrong in WRONG:
        exercise(wrong)
        line = said(capsys)
        unnamed += [line] if any(part in line for part in UNNAMED) else []
    assert len(unnamed) <= len(WRONG) / 5


def test_repair_looks_at_episodes_and_weights(capsys):
    def backwards(model, sampler, recipe):
        for step in range(recipe.iterations, 0, -1):
            check.loop(model, sampler, check.replace(recipe, iterations=1), late=step - 1)

    def no_step(model, sampler, recipe):
        sampler.batch(range(2))

    def other_optimiser(model, sampler, recipe):
        check.loop(model, sampler, check.replace(recipe, momentum=0.1))

    def loud(model, sampler, recipe):
        print("a loss")
        check.loop(model, sampler, recipe)

    for answer, part in (
        (backwards, "ask for the episodes [[6, 7], [4, 5]"),
        (no_step, "the weights are where they were"),
        (other_optimiser, "it should remember the first by the momentum"),
        (loud, "right"),
    ):
        assert check.repair(answer) is (part == "right")
        assert part in said(capsys)


test_longest = answers(
    check.longest,
    (None, None, "not filled in"),
    (..., None, "not filled in"),
    (10, True, "right"),
    (1 / (1 - 0.9), True, "right"),
    ("10", True, "right"),
    (1, False, "the first step"),
    (0.9, False, "left of yesterday's"),
    (1.9, False, "the second step"),
    (9, False, "what the past adds"),
    (19, False, "calms the noise"),
    *((wrong, False, "add up 1 + 0.9") for wrong in (3, 5, 11, 90, 100, 0, 2.71, 1000)),
    ("many", False, "a number is wanted"),
)


test_cost = answers(
    check.cost,
    (None, None, "not filled in"),
    (3, True, "right"),
    (6 / 2, True, "right"),
    (torch.tensor(3), True, "right"),
    (np.int64(3), True, "right"),
    ("3.0", True, "right"),
    *((wrong, False, "no: count the images") for wrong in (2, 2.5, 4, 7, 10, 15, 0)),
    (5, False, "the query does, too"),
    (6, False, "how many are there in a 1-shot"),
    (1, False, "each support image passes"),
    (9, False, "that cancels"),
    (1 / 3, False, "upside down"),
    ("three", False, "a number is wanted"),
)


test_counter = answers(
    check.counter,
    (None, None, "not filled in"),
    (256, True, "right"),
    (2**8, True, "right"),
    (256.0, True, "right"),
    (torch.tensor(256, dtype=torch.bfloat16), True, "right"),
    (np.float32(256), True, "right"),
    *(
        (wrong, False, "no: up to which whole number")
        for wrong in (8, 7, 127.5 / 2, 100, 500, 1024, 65536, 0)
    ),
    (1000, False, "needs ten binary digits"),
    (255, False, "255 is the last number of eight digits"),
    (257, False, "it is rounded to 256"),
    (128, False, "not of 7"),
    (512, False, "every other number is missing"),
    (992, False, "after each + 1"),
    (float("inf"), False, "finite"),
    ([], False, "a number is wanted"),
)


test_calm = answers(
    check.calm,
    (None, None, "not filled in"),
    (64, True, "right"),
    ((4 / 0.5) ** 2, True, "right"),
    (torch.tensor(64.0), True, "right"),
    ("64", True, "right"),
    (np.array(64), True, "right"),
    *((wrong, False, "no: the noise of a mean") for wrong in (1, 12, 128, 256, 100, 4096, 63, 0.25)),
    (8, False, "square it"),
    (16, False, "down to one signal"),
    (4, False, "go on"),
    (2, False, "not even a third"),
    (32, False, "Square that"),
    ("many", False, "a number is wanted"),
)


test_forgot = one_of_three(check.forgot, "b")


# ---- strangers' answers --------------------------------------------------------------------------


def test_a_step_may_be_one_stacked_tensor():
    assert check.step(lambda *x: torch.stack(check.reference_step(*x))) is True


def test_lambda_is_handed_on(capsys):
    assert (
        check.repair(lambda model, sampler, recipe: check.loop(model, sampler, replace(recipe, lambda_par=1)))
        is False
    )
    assert "hand it recipe.lambda_par" in said(capsys)
