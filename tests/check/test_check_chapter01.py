"""The checks of chapter 1 know the right answer, and each wrong turn by its own sentence."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from panet_lite.check import chapter01 as check
from panet_lite.episodes import Draw, Episode, EpisodeSampler, episode_labels

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
    assert verdict(capsys, function, -7) == (False, "✗ a number below 0 cannot be right here: check the sign")
    assert verdict(capsys, function, 7.7)[0] is False


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


def by_comparison(labels, classes):
    out = labels * 0
    for way, label in enumerate(classes, start=1):
        out[labels == label] = way
    out[labels == 255] = 255
    return out


def by_pixel(labels, classes):
    known = {255: 255, **{label: way for way, label in enumerate(classes, 1)}}
    return [[known.get(int(label), 0) for label in row] for row in labels]


def in_numpy(labels, classes):
    labels = labels.numpy()
    return sum((way * (labels == c) for way, c in enumerate(classes, 1)), 255 * (labels == 255).astype(int))


def where_by_where(labels, classes):
    out = torch.where(labels == 255, 255.0, 0.0).double()
    for way, label in enumerate(classes):
        out = torch.where(labels == label, way + 1, out)
    return out


RELABELLED_WRONGLY = [
    lambda labels, classes: labels,
    lambda labels, classes: torch.zeros_like(labels),
    lambda labels, classes: (labels == classes[0]).long(),
    lambda labels, classes: episode_labels(labels, classes[::-1]),
    lambda labels, classes: episode_labels(labels, [c + 1 for c in classes]),
    lambda labels, classes: episode_labels(labels, classes) % 255,
    lambda labels, classes: episode_labels(labels, classes).T,
    lambda labels, classes: episode_labels(labels, classes) * 2,
    lambda labels, classes: episode_labels(labels, classes[:2]),
    lambda labels, classes: torch.stack([labels == c for c in classes]),
    lambda labels, classes: by_comparison(labels, sorted(classes)),
    lambda labels, classes: torch.where(labels == 255, 255, (labels > 0).long()),
]


@again
def test_relabel_in_other_ways(_, capsys):
    for right in (by_comparison, by_pixel, in_numpy, where_by_where):
        assert verdict(capsys, check.relabel, right)[0] is True, right
    for wrong in RELABELLED_WRONGLY:
        assert verdict(capsys, check.relabel, wrong)[0] is False


# ---- samplers -------------------------------------------------------------------------------------


def fresh(sampler, index):
    return np.random.default_rng([sampler.seed, index])


def good_draw(sampler, index, twice=False, rng=None):
    rng = fresh(sampler, index) if rng is None else rng
    classes = rng.choice(list(sampler.pools), sampler.ways, replace=twice)
    asked, used, supports = rng.integers(sampler.ways), [], []
    for way, label in enumerate(classes):
        chosen = rng.choice(
            np.setdiff1d(sampler.pools[label], used), sampler.shots + (way == asked), replace=False
        )
        used += chosen.tolist()
        supports.append(chosen[: sampler.shots])
        if way == asked:
            query = chosen[sampler.shots]
    return classes, supports, query


def query_first(sampler, index):
    """The query is drawn first, and lists are returned."""
    rng = fresh(sampler, index)
    classes = rng.permutation(list(sampler.pools))[: sampler.ways].tolist()
    query = rng.choice(sampler.pools[rng.choice(classes)])
    used, supports = [query], []
    for label in classes:
        left = [i for i in rng.permutation(sampler.pools[label]) if i not in used]
        supports.append(left[: sampler.shots])
        used += supports[-1]
    return classes, supports, [query]


def by_torch(sampler, index):
    """Another generator, seeded by both numbers."""
    generator = torch.Generator().manual_seed(100_003 * sampler.seed + index)

    def shuffled(things):
        return torch.as_tensor(things)[torch.randperm(len(things), generator=generator)]

    classes = shuffled(list(sampler.pools))[: sampler.ways]
    used, supports = set(), []
    for label in classes.tolist():
        left = [i for i in shuffled(sampler.pools[label]).tolist() if i not in used]
        supports.append(left[: sampler.shots])
        used |= set(supports[-1])
    asked = shuffled(classes)[0].item()
    query = next(i for i in shuffled(sampler.pools[asked]).tolist() if i not in used)
    return classes, torch.tensor(supports), query


def twice_a_class(sampler, index):
    return good_draw(sampler, index, twice=True)


def foreign_class(sampler, index):
    classes, supports, query = good_draw(sampler, index)
    return classes + 100, supports, query


def with_supports(draw_supports):
    """A sampler that is right but for its supports: draw_supports(pool, shots, rng) for each way."""

    def draw(sampler, index):
        rng = fresh(sampler, index)
        classes = rng.choice(list(sampler.pools), sampler.ways, replace=False)
        supports = [draw_supports(sampler.pools[c], sampler.shots, rng) for c in classes]
        return classes, supports, rng.choice(np.setdiff1d(sampler.pools[rng.choice(classes)], supports))

    return draw


foreign_support = with_supports(lambda pool, shots, rng: rng.choice(14, shots, replace=False))
with_replacement = with_supports(lambda pool, shots, rng: rng.choice(pool, shots))
shared = with_supports(lambda pool, shots, rng: rng.choice(pool, shots, replace=False))


def query_leaks(sampler, index):
    classes, supports, _ = good_draw(sampler, index)
    rng = fresh(sampler, index + 10**6)
    return classes, supports, rng.choice(sampler.pools[classes[rng.integers(sampler.ways)]])


def query_of_no_class(sampler, index):
    classes, supports, _ = good_draw(sampler, index)
    return (
        classes,
        supports,
        fresh(sampler, index).choice(np.setdiff1d(check.FIRST + np.arange(14), supports)),
    )


def global_generator(sampler, index):
    return good_draw(sampler, index, rng=np.random.default_rng())


STREAM = np.random.default_rng(0)


def one_stream(sampler, index):
    return good_draw(sampler, index, rng=STREAM)


def without_the_seed(sampler, index):
    return good_draw(sampler, index, rng=np.random.default_rng(index))


def without_the_index(sampler, index):
    return good_draw(sampler, index, rng=np.random.default_rng(sampler.seed))


def sum_of_both(sampler, index):
    return good_draw(sampler, index, rng=np.random.default_rng(sampler.seed + index))


def sorted_classes(sampler, index):
    classes, supports, query = good_draw(sampler, index)
    order = np.argsort(classes)
    return classes[order], np.array(supports)[order], query


def in_the_order_of_the_pools(sampler, index):
    classes, supports, query = good_draw(sampler, index)
    order = np.argsort([-list(sampler.pools).index(c) for c in classes])
    return classes[order], np.array(supports)[order], query


def other_pools(sampler, pools):
    return EpisodeSampler(check.Scenes(pools), pools, sampler.ways, sampler.shots, seed=sampler.seed)


def first_classes(sampler, index):
    pools = {c: sampler.pools[c] for c in list(sampler.pools)[: sampler.ways]}
    return good_draw(other_pools(sampler, pools), index)


def first_images(sampler, index):
    least = sampler.ways * sampler.shots + 1
    return good_draw(other_pools(sampler, {c: pool[:least] for c, pool in sampler.pools.items()}), index)


def first_left(sampler, index):
    classes, supports, _ = good_draw(sampler, index)
    label = fresh(sampler, index + 10**6).choice(classes)
    return classes, supports, np.setdiff1d(sampler.pools[label], supports)[0]


def one_way_asks(sampler, index):
    classes, supports, _ = good_draw(sampler, index)
    rng = fresh(sampler, index + 10**6)
    return classes, supports, rng.choice(np.setdiff1d(sampler.pools[classes[0]], supports))


SAMPLERS = {
    twice_a_class: "one class takes two ways",
    foreign_class: "has no pool",
    foreign_support: "a support does not show",
    with_replacement: "a way shows one image twice",
    shared: "two ways share an image",
    query_leaks: "the query is among the supports",
    query_of_no_class: "the query shows none",
    global_generator: "the same (seed, index) gives another episode",
    one_stream: "the same (seed, index) gives another episode",
    without_the_seed: "another seed gives the same episodes",
    without_the_index: "every index gives the same episode",
    sum_of_both: "at other places",
    sorted_classes: "some classes always come in the same order",
    in_the_order_of_the_pools: "some classes always come in the same order",
    first_classes: "some classes are never drawn",
    first_images: "some images are never supports",
    first_left: "some images are never queries",
    one_way_asks: "the query always comes from the same way",
    lambda sampler, index: ([1], [2], 3): "classes should have shape",
    lambda sampler, index: good_draw(sampler, index)[:2]: "return three things",
    lambda sampler, index: "an episode": "return three things",
}


@pytest.mark.parametrize("_", range(3))
def test_sampler(_, capsys):
    for right in (good_draw, query_first, by_torch, EpisodeSampler.draw):
        passed, line = verdict(capsys, check.sampler, right)
        assert passed is True, (right, line)
    for wrong, why in SAMPLERS.items():
        passed, line = verdict(capsys, check.sampler, wrong)
        assert passed is False and why in line, (wrong, line)


# ---- an episode's tensors -------------------------------------------------------------------------


def stacked(sampler, draw):
    """As the exercise's solution has it."""
    data, classes = sampler.dataset, draw.classes

    def images(indices):
        return torch.stack([data.image(i) / 255 for i in indices])

    def maps(indices):
        return torch.stack([episode_labels(data.label_map(i), classes) for i in indices])

    return Episode(
        torch.stack([images(row) for row in draw.supports])[None],
        torch.stack([maps(row) for row in draw.supports])[None],
        images(draw.queries)[None],
        maps(draw.queries)[None],
        torch.as_tensor(classes)[None],
    )


def filled(sampler, draw):
    """Empty tensors, filled in place, in double precision."""
    ways, shots = draw.supports.shape
    _, height, width = sampler.dataset.image(0).shape
    images = torch.zeros(1, ways, shots, 3, height, width, dtype=torch.float64)
    maps = torch.zeros(1, ways, shots, height, width, dtype=torch.int64)
    for way in range(ways):
        for shot in range(shots):
            images[0, way, shot] = sampler.dataset.image(draw.supports[way, shot]) / 255.0
            labels = sampler.dataset.label_map(draw.supports[way, shot])
            for number, label in enumerate(draw.classes, 1):
                maps[0, way, shot][labels == label] = number
            maps[0, way, shot][labels == 255] = 255
    rest = stacked(sampler, draw)
    return replace(rest, support_images=images, support_labels=maps)


def by_numpy(sampler, draw):
    episode = stacked(sampler, draw)
    images = np.array([[sampler.dataset.image(i).numpy() for i in row] for row in draw.supports])
    return replace(episode, support_images=torch.from_numpy(images / 255)[None])


def changed(**changes):
    """The right episode, but for some of its tensors: name=function of the tensor."""

    def load(sampler, draw):
        right = stacked(sampler, draw)
        return replace(right, **{name: change(getattr(right, name)) for name, change in changes.items()})

    return load


def both(part, change):
    """The same change to the images and the label maps of the supports or the queries."""
    return changed(**{f"{part}_images": change, f"{part}_labels": change})


def of_maps(relabel):
    """The right episode with other support maps: relabel(map, classes, way)."""

    def load(sampler, draw):
        maps = [
            torch.stack([relabel(sampler.dataset.label_map(i), draw.classes, way) for i in row])
            for way, row in enumerate(draw.supports)
        ]
        return replace(stacked(sampler, draw), support_labels=torch.stack(maps)[None])

    return load


def binary(labels, classes, way):
    return torch.where(labels == 255, 255, (labels == classes[way]).long())


def own_way(labels, classes, way):
    return torch.where(labels == 255, 255, (labels == classes[way]).long() * (way + 1))


def raw_query(sampler, draw):
    maps = torch.stack([sampler.dataset.label_map(i) for i in draw.queries])
    return replace(stacked(sampler, draw), query_labels=maps[None])


def queries_as_supports(sampler, draw):
    first = np.resize(draw.queries, draw.supports.shape)
    return stacked(sampler, Draw(draw.classes, first, draw.queries))


def bytes_as_they_are(sampler, draw):
    images = torch.stack([sampler.dataset.image(i) for i in draw.queries])
    return replace(stacked(sampler, draw), query_images=images[None])


def nonsense(sampler, draw):
    return draw


LOADS = {
    both("support", lambda x: x[0]): "the axis of the batch is missing",
    both("support", lambda x: x.transpose(1, 2)): "ways come before shots",
    both("support", lambda x: x.flatten(1, 2)): "support_images should have shape (1, W, K, 3, H, W')",
    both("query", lambda x: x[:, 0]): "one query a list of 1",
    both("support", lambda x: x.flip(2)): "support_images has the right shape and other pixels",
    both("support", lambda x: x.flip(1)): "support_images has the right shape and other pixels",
    changed(support_images=lambda x: 255 * x): "divide by 255",
    changed(query_images=lambda x: x - x.mean()): "normalising",
    changed(classes=lambda x: x[0]): "classes should have shape (1, W)",
    changed(classes=lambda x: torch.arange(1, 1 + x.shape[1])[None]): "classes holds the data set's labels",
    changed(support_labels=lambda x: torch.where(x == 255, 0, x)): "support_labels lose the void pixels",
    changed(query_labels=lambda x: torch.where(x == 255, 0, x)): "query_labels lose the void pixels",
    changed(query_labels=lambda x: torch.full_like(x, 255)): "query_labels has the right shape and other numbers",
    changed(support_labels=lambda x: x.flip(-1)): "support_labels has the right shape and other numbers",
    of_maps(lambda labels, classes, way: labels): "support_labels hold the data set's labels",
    of_maps(binary): "support_labels know one class each",
    of_maps(own_way): "support_labels leave out the other ways",
    of_maps(lambda labels, classes, way: episode_labels(labels, sorted(classes))): "in another order",
    raw_query: "query_labels hold the data set's labels",
    queries_as_supports: "other pixels",
    bytes_as_they_are: "ValueError",
    nonsense: "return an Episode",
    lambda sampler, draw: draw.missing: "AttributeError",
}  # fmt: skip


@again
def test_load(_, capsys):
    for right in (stacked, filled, by_numpy, EpisodeSampler.load):
        passed, line = verdict(capsys, check.load, right)
        assert passed is True, (right, line)
    for wrong, why in LOADS.items():
        passed, line = verdict(capsys, check.load, wrong)
        assert passed is False and why in line, (why, line)


# ---- what decisions cost --------------------------------------------------------------------------


def costs_by_loop(coverage, unseen, least):
    useful = spoilt = tiny = all_of_them = 0
    for row in coverage:
        there = [c for c in range(1, 21) if row[c] > 0]
        useful += any(c not in unseen for c in there)
        spoilt += any(c not in unseen for c in there) and any(c in unseen for c in there)
        tiny += sum(row[c] < least for c in there)
        all_of_them += len(there)
    return [spoilt / useful, tiny / all_of_them, sum(row[255] for row in coverage) / len(coverage)]


def costs_by_torch(coverage, unseen, least):
    table = torch.from_numpy(coverage)
    seen = [c for c in range(1, 21) if c not in unseen]
    useful = (table[:, seen] > 0).any(1)
    there = table[:, 1:21][table[:, 1:21] > 0]
    dropped = (table[useful][:, list(unseen)].sum(1) > 0).double().mean()
    return dropped, (there < least).float().mean(), table[:, 255].mean()


def of_costs(place, change):
    """The right three shares, but for one of them: change(coverage, unseen, least)."""

    def costs(coverage, unseen, least):
        right = list(check.decision_costs(coverage, unseen, least))
        right[place] = change(coverage, unseen, least)
        return tuple(right)

    return costs


def seen_of(unseen):
    return [c for c in range(1, 21) if c not in unseen]


COSTS = {
    of_costs(0, lambda t, u, m: (t[:, u] > 0).any(1).mean()): "the first share (dropped images) counts every image with",
    of_costs(0, lambda t, u, m: 1 - check.decision_costs(t, u, m)[0]): "is what stays",
    of_costs(0, lambda t, u, m: ((t[:, u] > 0).any(1) & (t[:, seen_of(u)] > 0).any(1)).mean()): "counts among all images",
    of_costs(0, lambda t, u, m: (t[:, u] > 0).any(1).sum() / (t[:, seen_of(u)] > 0).any(1).sum()): "counts images without any seen class",
    of_costs(0, lambda t, u, m: t[:, u].sum(1).mean()): "the first share (dropped images) is not right",
    of_costs(0, lambda t, u, m: 0.25): "the first share (dropped images) is not right",
    of_costs(1, lambda t, u, m: (t[:, 1:21] < m).mean()): "a class that is not there",
    of_costs(1, lambda t, u, m: (t[:, 1:21][t[:, 1:21] > 0] <= m).mean()): "an object of just `least`",
    of_costs(1, lambda t, u, m: (t[t > 0] < m).mean()): "counts background and void as classes",
    of_costs(1, lambda t, u, m: ((t[:, 1:21] < m) & (t[:, 1:21] > 0)).any(1).mean()): "counts images, not appearances",
    of_costs(1, lambda t, u, m: ((t[:, 1:21] < m) & (t[:, 1:21] > 0)).mean()): "divides by all images and classes",
    of_costs(1, lambda t, u, m: (t[:, u][t[:, u] > 0] < m).mean()): "the second share (tiny objects) counts the unseen",
    of_costs(2, lambda t, u, m: (t[:, 255] > 0).mean()): "the third share (void pixels) is the share of the images",
    of_costs(2, lambda t, u, m: t[:, 0].mean()): "is the background",
    of_costs(2, lambda t, u, m: t[:, 255].sum()): "is a sum over images",
    of_costs(2, lambda t, u, m: t[:, 255]): "return three shares",
    lambda t, u, m: [100 * c for c in check.decision_costs(t, u, m)]: "is in per cent",
    lambda t, u, m: check.decision_costs(t, u, m)[::-1]: "the first share (dropped images) is not right",
    lambda t, u, m: check.decision_costs(t, u, m)[:2]: "return three shares",
    lambda t, u, m: 0.1: "return three shares",
    lambda t, u, m: check.decision_costs(t, seen_of(u), m): "the first share (dropped images)",
}  # fmt: skip


@again
def test_costs(_, capsys):
    for right in (check.decision_costs, costs_by_loop, costs_by_torch):
        assert verdict(capsys, check.costs, right)[0] is True, right
    for wrong, why in COSTS.items():
        passed, line = verdict(capsys, check.costs, wrong)
        assert passed is False and why in line, (why, line)


# ---- leaks ----------------------------------------------------------------------------------------


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


FUNCTIONS = [check.relabel, check.sampler, check.load, check.costs, check.leak]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_unfilled_and_raising(function, capsys):
    assert verdict(capsys, function, stub) == (None, "… not filled in yet")
    passed, line = verdict(capsys, function, raising)
    assert passed is False and "ZeroDivisionError" in line


# ---- found by a stranger ----------------------------------------------------------------------------


def with_seed(make):
    def wrong(sampler, index):
        return good_draw(sampler, index, rng=np.random.default_rng(make(sampler.seed, index)))

    return wrong


SEEDS = {
    "give default_rng the pair": [lambda s, i: s ^ i, lambda s, i: abs(s - i), lambda s, i: 100 * s + i, lambda s, i: 2 * s + i],
    "every index gives the same episode": [lambda s, i: s, lambda s, i: s * i],
    "another seed gives the same": [lambda s, i: [s % 2, i]],
    "the episodes repeat themselves": [lambda s, i: [s, i % 250]],
}  # fmt: skip


@pytest.mark.parametrize("says, make", [(says, make) for says, all_ in SEEDS.items() for make in all_])
def test_every_seed_has_a_run_of_its_own(says, make, capsys):
    passed, line = verdict(capsys, check.sampler, with_seed(make))
    assert passed is False and says in line


def emptied(sampler, index):
    draw = good_draw(sampler, index)
    for label in sampler.pools:
        sampler.pools[label] = np.setdiff1d(sampler.pools[label], draw[2])
    return draw


def class_as_query(sampler, index):
    classes, supports, _ = good_draw(sampler, index)
    return classes, supports, classes[0]


@pytest.mark.parametrize(
    "wrong, says", [(emptied, "changes `sampler.pools`"), (class_as_query, "no image of the pools")]
)
def test_a_stranger_at_the_sampler(wrong, says, capsys):
    passed, line = verdict(capsys, check.sampler, wrong)
    assert passed is False and says in line


def drawn_tightly(table, seen, shots, rng, unseen=None, first=False):
    unseen = [c for c in range(1, table.shape[1]) if c not in seen] if unseen is None else unseen(table, seen)
    label = rng.choice(seen)
    pool = np.flatnonzero(table[:, label] & ~table[:, unseen].any(1))
    chosen = pool[: shots + 1] if first else rng.choice(pool, shots + 1, replace=False)
    return label, chosen[:shots], chosen[shots]


LOOSE = [
    (lambda *x: drawn_tightly(*x, unseen=lambda t, s: [c for c in range(1, t.shape[1] - 1) if c not in s]), "shows a test class"),
    (lambda *x: drawn_tightly(*x, unseen=lambda t, s: s), "no image is left to draw from"),
    (lambda *x: drawn_tightly(*x, first=True), "choose at random"),
    (lambda t, s, k, r: drawn_tightly(t, s, k, np.random.default_rng(0)), "every generator gives the same episode"),
]  # fmt: skip


@again
@pytest.mark.parametrize("wrong, says", LOOSE)
def test_a_stranger_at_the_leak(wrong, says, capsys, _):
    assert verdict(capsys, check.leak, drawn_tightly)[0] is True
    passed, line = verdict(capsys, check.leak, wrong)
    assert passed is False and says in line


def returns_nothing(*inputs):
    inputs[0]


@pytest.mark.parametrize(
    "function", [check.sampler, check.load, check.costs, check.leak], ids=lambda f: f.__name__
)
def test_a_forgotten_return(function, capsys):
    passed, line = verdict(capsys, function, returns_nothing)
    assert passed is False and "gives nothing back" in line
