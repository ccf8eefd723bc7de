"""Chapter 6's checks: the right answer passes, each known mistake is told by its own sentence."""

import numpy as np
import pytest
import torch
from checking import answers, mistakes_are_told, one_of_three, right_passes, said, stubs_and_errors

from panet_lite.check import chapter06 as check
from panet_lite.training import train

DRAWS = {
    check.step: range(12),
    check.rate: range(12),
    check.share: range(12),
    check.repair: range(3),
}  # the last trains, which takes longer


IMPLEMENTATIONS = [
    (check.step, check.reference_step, check.STEP_MISTAKES),
    (check.rate, check.reference_rate, check.RATE_MISTAKES),
    (check.share, check.reference_share, check.SHARE_MISTAKES),
    (check.repair, check.loop, check.LOOP_MISTAKES),
]


test_right_answer_passes = right_passes(IMPLEMENTATIONS, DRAWS.get)


test_each_mistake_is_told_by_its_own_sentence = mistakes_are_told(IMPLEMENTATIONS, DRAWS.get)


test_unfilled_and_raising_answers = stubs_and_errors(*(row[0] for row in IMPLEMENTATIONS))


def test_the_references_are_torchs_own():
    """Exercises 1 and 3 against torch.optim, not against ourselves."""
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
    """Exercise 6 is judged by `loop`, so `loop` has to be what the package does."""
    start = check.PANet(check.Pixelwise(3, 2, 1).double()).train()

    def package(model, sampler, recipe):
        train(model, sampler, recipe, log=lambda entry: None)

    assert check.same(check.trained(package, start, 5), check.trained(check.loop, start, 5))


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
        (other_optimiser, "the weights are not: compare optimiser"),
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
    (3, False, "add up 1 + 0.9"),
    ("many", False, "a number is wanted"),
)


test_arrows = one_of_three(check.arrows, "b")
