"""The checks of chapter 1 know the right answer, and each wrong turn by its own sentence."""

import numpy as np
import pytest

from panet_lite.check import chapter01 as check
from panet_lite.episodes import episode_labels

again = pytest.mark.parametrize("_", range(12))


def verdict(capsys, check_function, answer):
    passed = check_function(answer)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return passed, lines[0]


# ---- numbers --------------------------------------------------------------------------------------

NUMBERS = {
    check.count: (232_560, check.COUNT_MISTAKES),
    check.lost: (0.6, check.LOST_MISTAKES),
    check.enough: (2500, check.ENOUGH_MISTAKES),
}
each_number = pytest.mark.parametrize("function", NUMBERS, ids=lambda f: f.__name__)


@each_number
def test_number(function, capsys):
    right, mistakes = NUMBERS[function]
    assert verdict(capsys, function, right)[0] is True
    for value, why in mistakes:
        assert verdict(capsys, function, value) == (False, "✗ " + why)
    assert len({why for _, why in mistakes}) == len(mistakes)
    passed, line = verdict(capsys, function, -7)
    assert passed is False and line.startswith("✗ not that")


@each_number
@pytest.mark.parametrize("answer", [None, ...])
def test_number_unfilled(function, answer, capsys):
    assert verdict(capsys, function, answer) == (None, "… not filled in yet")


@each_number
@pytest.mark.parametrize("answer", ["many", [1, 2], {}])
def test_number_of_another_kind(function, answer, capsys):
    assert verdict(capsys, function, answer)[0] is False


def test_lost_takes_both_readings(capsys):
    assert verdict(capsys, check.lost, 675 / 1130)[0] is True
    assert verdict(capsys, check.lost, 685 / 1140)[0] is True


# ---- relabelling ----------------------------------------------------------------------------------


@again
def test_relabel(_, capsys):
    assert verdict(capsys, check.relabel, episode_labels)[0] is True
    for wrong, why in check.RELABEL_MISTAKES:
        assert verdict(capsys, check.relabel, wrong) == (False, "✗ " + why)


# ---- samplers -------------------------------------------------------------------------------------


def good_draw(pools, ways, shots, rng, twice=False):
    classes = rng.choice(list(pools), ways, replace=twice)
    asked, used, supports = rng.integers(ways), [], []
    for way, label in enumerate(classes):
        chosen = rng.choice(np.setdiff1d(pools[label], used), shots + (way == asked), replace=False)
        used += chosen.tolist()
        supports.append(chosen[:shots])
        if way == asked:
            query = chosen[shots]
    return classes, supports, query


def twice_a_class(pools, ways, shots, rng):
    return good_draw(pools, ways, shots, rng, twice=True)


def foreign_class(pools, ways, shots, rng):
    classes, supports, query = good_draw(pools, ways, shots, rng)
    return classes + 100, supports, query


def with_supports(draw_supports):
    """A sampler that is right but for its supports: draw_supports(pool, shots, rng) for each way."""

    def draw(pools, ways, shots, rng):
        classes = rng.choice(list(pools), ways, replace=False)
        supports = [draw_supports(pools[c], shots, rng) for c in classes]
        return classes, supports, rng.choice(np.setdiff1d(pools[rng.choice(classes)], supports))

    return draw


foreign_support = with_supports(lambda pool, shots, rng: rng.choice(14, shots, replace=False))
with_replacement = with_supports(lambda pool, shots, rng: rng.choice(pool, shots))
shared = with_supports(lambda pool, shots, rng: rng.choice(pool, shots, replace=False))


def query_leaks(pools, ways, shots, rng):
    classes, supports, _ = good_draw(pools, ways, shots, rng)
    return classes, supports, rng.choice(pools[classes[rng.integers(ways)]])


def query_of_no_class(pools, ways, shots, rng):
    classes, supports, _ = good_draw(pools, ways, shots, rng)
    return classes, supports, rng.choice(np.setdiff1d(np.arange(14), supports))


def global_generator(pools, ways, shots, rng):
    return good_draw(pools, ways, shots, np.random.default_rng())


def first_classes(pools, ways, shots, rng):
    return good_draw({c: pools[c] for c in list(pools)[:ways]}, ways, shots, rng)


def first_images(pools, ways, shots, rng):
    return good_draw({c: pool[: ways * shots + 1] for c, pool in pools.items()}, ways, shots, rng)


def one_way_asks(pools, ways, shots, rng):
    classes, supports, _ = good_draw(pools, ways, shots, rng)
    return classes, supports, rng.choice(np.setdiff1d(pools[classes[0]], supports))


SAMPLERS = {
    twice_a_class: "one class takes two ways",
    foreign_class: "has no pool",
    foreign_support: "a support does not show",
    with_replacement: "a way shows one image twice",
    shared: "two ways share an image",
    query_leaks: "the query is among the supports",
    query_of_no_class: "the query shows none",
    global_generator: "the same generator gives another episode",
    first_classes: "some classes are never drawn",
    first_images: "some images are never supports",
    one_way_asks: "the query always comes from the same way",
    lambda pools, ways, shots, rng: ([1], [2], 3): "classes should have shape",
    lambda pools, ways, shots, rng: "an episode": "return three things",
}


@again
def test_sampler(_, capsys):
    passed, line = verdict(capsys, check.sampler, good_draw)
    assert passed is True, line
    for wrong, why in SAMPLERS.items():
        passed, line = verdict(capsys, check.sampler, wrong)
        assert passed is False and why in line, (wrong, line)


def tight_draw(shows, seen, shots, rng):
    unseen = [c for c in range(1, shows.shape[1]) if c not in seen]
    label = rng.choice(seen)
    chosen = rng.choice(np.flatnonzero(shows[:, label] & ~shows[:, unseen].any(1)), shots + 1, replace=False)
    return label, chosen[:shots], chosen[shots]


def leaky_class(shows, seen, shots, rng):
    label = rng.integers(1, shows.shape[1])
    return tight_draw(shows, [label] if label not in seen else seen, shots, rng)


def leaky_query(shows, seen, shots, rng):
    label, supports, query = tight_draw(shows, seen, shots, rng)
    return label, supports, rng.choice([*supports, query])


def leaky_images(shows, seen, shots, rng):
    label = rng.choice(seen)
    chosen = rng.choice(np.flatnonzero(shows[:, label]), shots + 1, replace=False)
    return label, chosen[:shots], chosen[shots]


def wrong_images(shows, seen, shots, rng):
    _, supports, query = tight_draw(shows, seen, shots, rng)
    return rng.choice(seen), supports, query


def repeated(shows, seen, shots, rng):
    label, supports, query = tight_draw(shows, seen, shots, rng)
    return label, supports[:1].repeat(shots), query


def too_strict(shows, seen, shots, rng):
    alone = shows & (shows[:, 1:].sum(1) == 1)[:, None]
    return tight_draw(alone, seen, shots, rng)


def one_class(shows, seen, shots, rng):
    unseen = [c for c in range(1, shows.shape[1]) if c not in seen]
    pool = np.flatnonzero(shows[:, seen[0]] & ~shows[:, unseen].any(1))
    chosen = rng.choice(pool, shots + 1, replace=False)
    return seen[0], chosen[:shots], chosen[shots]


LEAKS = {
    leaky_class: "leak: a test class is drawn",
    leaky_query: "leak: the query is among",
    leaky_images: "leak: an image shows a test class",
    wrong_images: "an image does not show",
    repeated: "one image is used twice",
    too_strict: "tight, but too strict",
    one_class: "tight, but some seen classes",
    lambda shows, seen, shots, rng: tight_draw(
        shows, seen, shots, np.random.default_rng()
    ): "the same generator",
    lambda shows, seen, shots, rng: (seen[0], [1], 2): "return one class and 2 supports",
    lambda shows, seen, shots, rng: 5: "return three things",
}


@again
def test_leak(_, capsys):
    passed, line = verdict(capsys, check.leak, tight_draw)
    assert passed is True, line
    for wrong, why in LEAKS.items():
        passed, line = verdict(capsys, check.leak, wrong)
        assert passed is False and line.startswith("✗ " + why), (wrong, line)


def stub(*arguments): ...


def raising(*arguments):
    return 1 // 0


@pytest.mark.parametrize("function", [check.relabel, check.sampler, check.leak], ids=lambda f: f.__name__)
def test_unfilled_and_raising(function, capsys):
    assert verdict(capsys, function, stub) == (None, "… not filled in yet")
    passed, line = verdict(capsys, function, raising)
    assert passed is False and "ZeroDivisionError" in line
