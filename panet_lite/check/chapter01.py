"""Answers to the exercises of chapter 1, episodes."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..episodes import episode_labels
from .harness import Answer, attempt, blank, implementation, number, verdict, whole

# ---- numbers to predict ---------------------------------------------------------------------------

IMAGES, SHOTS = 20, 5
COUNT_MISTAKES = (
    (math.comb(IMAGES, SHOTS) * IMAGES, "here the query may be one of its own supports: choose it from the 15 images that are left"),
    (math.comb(IMAGES, SHOTS + 1), "6 images are chosen, yes, but which of the 6 is the query makes a difference"),
    (math.perm(IMAGES, SHOTS + 1), "this counts the supports in order, but a prototype is a mean: their order makes no new episode"),
    (math.comb(IMAGES, SHOTS), "these are the support sets; each still wants a query"),
    (IMAGES * (IMAGES - 1), "that is the number of 1-shot episodes; here are 5 supports"),
)  # fmt: skip


def count(answer: object) -> bool | None:
    """How many different 1-way 5-shot episodes are there for a class with 20 images?"""
    return number(
        answer,
        math.comb(IMAGES, SHOTS) * (IMAGES - SHOTS),
        0.5,
        "232,560: C(20, 5) support sets, and 15 images left to be the query of each",
        "not that: first count the sets of 5 supports among 20 images, then the images left for the query",
        COUNT_MISTAKES,
    )


LOST_MISTAKES = (
    (0.25, "that is the share lost with one object in each image; here are three chances to meet an unseen class"),
    (0.75, "3 times 1/4 counts images with two unseen classes twice; go by the images that show none"),
    (1 - 0.75**3, "close, but this lets a class stand in the image twice; after a seen class, 14 of 19 are seen"),
    (math.comb(15, 3) / math.comb(20, 3), "this is the share of images without any unseen class, those that stay"),
)  # fmt: skip


def lost(answer: object) -> bool | None:
    """What share of the training images goes if images with an unseen class are dropped?"""
    return number(
        answer,
        1 - math.comb(15, 3) / math.comb(20, 3),
        0.008,  # 0.597 is right as well: the share among images that show a seen class
        "about 60 %: only 455 of the 1,140 triples hold no unseen class. Such data cannot afford to drop",
        "not that: of all ways to choose 3 of 20 classes, how many avoid the 5 unseen ones?",
        LOST_MISTAKES,
    )


ENOUGH_MISTAKES = (
    (50, "the error falls with the square root of the number of episodes: square this"),
    (0.25, "0.5 points are 0.005 on the scale of the scores, not 0.5"),
    (625, "this is the answer for 1 point; half the error wants four times the episodes"),
    (10_000, "this is the answer for 0.25 points: did you halve once too often?"),
)  # fmt: skip


def enough(answer: object) -> bool | None:
    """How many episodes until the mean of scores with spread 0.25 has a standard error of 0.5 points?"""
    return number(
        answer,
        2500,
        0.01,
        "2,500: (0.25 / 0.005) squared",
        "not that: solve 0.25 / sqrt(n) = 0.005 for n",
        ENOUGH_MISTAKES,
    )


# ---- relabelling ----------------------------------------------------------------------------------


def label_inputs() -> tuple[Tensor, tuple[int, ...]]:
    """A random label map and three classes in an order in which each known mistake shows."""
    others = [2 + int(i) for i in torch.randperm(9)[:3]]
    classes = (others[0], 1, others[1])  # label 1 after another: replacing in place would catch both
    values = torch.tensor([0, 255, *classes, others[2]], dtype=torch.uint8)
    labels = values[torch.randint(len(values), (6, 8))]
    labels[0, : len(values)] = values  # every value at least once
    return labels, classes


def changed(change: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """A wrong turn: what `change(ways (H, W), labels (H, W))` makes of the right answer and its question."""
    return lambda labels, classes: change(episode_labels(labels, classes), labels)


def in_place(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Labels (H, W) whose classes are renumbered one after the other, within the map that is read."""
    labels = labels.clone()
    for way, label in enumerate(classes, start=1):
        labels[labels == label] = way
    return labels


RELABEL_MISTAKES = (
    (changed(lambda ways, y: torch.where(ways == 255, 0, ways)), "void pixels (255) must stay 255: you make background of what nobody knows"),
    (changed(lambda ways, y: torch.where(ways == 0, 0, y)), "the right pixels, but under the data set's numbers: the first class of the episode is 1, the second 2"),
    (changed(lambda ways, y: torch.where((ways > 0) & (ways != 255), ways - 1, ways)), "ways are counted from 1: your first class has become 0, the background"),
    (lambda y, classes: episode_labels(y, sorted(classes)), "the ways keep the order of `classes`; you have sorted them"),
    (changed(lambda ways, y: torch.where((ways == 0) & (y != 0), 255, ways)), "classes that are not of this episode are background (0) here, not void"),
    (changed(lambda ways, y: torch.where(ways == 0, y, ways)), "the episode's classes are right; other classes keep their number, but must become background (0)"),
    (lambda y, classes: in_place(torch.where(episode_labels(y, classes) == 0, 0, y), classes), "you replace within the map you still read: what has just become 1 is then taken for the data set's class 1. Write into a fresh map"),
    (in_place, "two things: other classes must become 0, and you overwrite the map you still read. Start from a fresh map of zeros"),
)  # fmt: skip


def relabel(answer: Callable[[Tensor, Sequence[int]], Tensor]) -> bool | None:
    """The data set's labels to the episode's, without a loop over pixels."""
    return implementation(
        answer,
        lambda labels, classes: episode_labels(labels, classes).long(),
        label_inputs,
        "right: classes in their order, the rest background, void still void",
        RELABEL_MISTAKES,
    )


# ---- samplers -------------------------------------------------------------------------------------


Drawn = tuple[np.ndarray, np.ndarray, int]  # class or classes, the supports' images, the query's image


def diagnose(
    answer: Answer,
    inputs: tuple[Any, ...],
    draws: int,
    faults: Callable[[Drawn], str],
    lacks: Callable[[list[Drawn]], str],
) -> str | None:
    """The first fault of `draws` episodes, each `answer(*inputs, generator)`; None where nothing is filled in.

    faults: what is wrong with a draw, or "". lacks: what is wrong with all of them together, or "".
    """
    seed = whole(0, 2**31 - 1)
    found: list[Drawn] = []
    for index in range(draws):
        value, error = attempt(answer, (*inputs, np.random.default_rng([seed, index])))
        if error or blank(value):
            return error or None
        try:
            label, supports, query = value
            value = np.atleast_1d(label), np.asarray(supports), int(query)
            fault = faults(value)
        except (TypeError, ValueError, IndexError):
            fault = "return three things: class or classes, the supports' images, and the query's image"
        if fault:
            return fault
        found.append(value)
    last: tuple[Any, ...] = found[-1]
    again, _ = attempt(answer, (*inputs, np.random.default_rng([seed, draws - 1])))
    if again is None or not all(np.array_equal(np.squeeze(a), np.squeeze(b)) for a, b in zip(last, again)):
        return "the same generator gives another episode each time: draw from `rng` only"
    return lacks(found)


def toy_generator() -> np.random.Generator:
    """A fresh NumPy generator, seeded by torch's."""
    return np.random.default_rng(whole(0, 2**31 - 1))


def toy_pools(classes: int = 4, images: int = 14) -> dict[int, np.ndarray]:
    """Random pools of 7 to 9 images for each of `classes` labels; images show several classes."""
    rng = toy_generator()
    labels = rng.choice(np.arange(1, 21), classes, replace=False)
    return {int(c): np.sort(rng.choice(images, rng.integers(7, 10), replace=False)) for c in labels}


def sampler_faults(draw: Drawn, pools: dict[int, np.ndarray], ways: int, shots: int) -> str:
    """The first invariant that a draw breaks, as a sentence; "" where it breaks none."""
    classes, supports, query = draw
    if classes.shape != (ways,) or supports.shape != (ways, shots):
        return f"classes should have shape {(ways,)} and supports {(ways, shots)}, yours are {classes.shape} and {supports.shape}"
    if any(int(c) not in pools for c in classes):
        return "a class was drawn that has no pool: choose among the keys of `pools`"
    if len(set(classes.tolist())) < ways:
        return "one class takes two ways of an episode: draw classes without replacement"
    for label, images in zip(classes, supports):
        if not set(images.tolist()) <= set(pools[int(label)].tolist()):
            return "a support does not show the class of its way: draw it from that class's pool"
    if any(len(set(images.tolist())) < shots for images in supports):
        return "a way shows one image twice: draw supports without replacement"
    if len(set(supports.ravel().tolist())) < supports.size:
        return "two ways share an image: leave out what other ways have used (np.setdiff1d)"
    if query in supports:
        return "the query is among the supports: the exam question was in the lesson"
    if not any(query in pools[int(c)] for c in classes):
        return "the query shows none of the episode's classes: draw it from the pool of one of its ways"
    return ""


def sampler_lacks(draws: list[Drawn], pools: dict[int, np.ndarray], ways: int) -> str:
    """What draws that keep the rules never do, as a sentence; "" where each thing has its turn."""
    if len({c for classes, _, _ in draws for c in classes}) < len(pools):
        return "some classes are never drawn: every class should have its turn"
    seen = {
        (int(c), int(i)) for classes, supports, _ in draws for c, row in zip(classes, supports) for i in row
    }
    if any((c, int(i)) not in seen for c, pool in pools.items() for i in pool):
        return "some images are never supports: choose at random, not the first of the pool"
    places = {way for classes, _, q in draws for way, c in enumerate(classes)
              if all((q in pools[int(d)]) == (d == c) for d in classes)}  # fmt: skip
    if len(places) < ways:
        return "the query always comes from the same way: draw the way that supplies it for each episode"
    return ""


def sampler(answer: Answer) -> bool | None:
    """`my_draw(pools, ways, shots, rng)` -> classes (W,), supports (W, K), query."""
    for ways, shots in ((1, 3), (2, 2)):
        pools = toy_pools()
        faults = partial(sampler_faults, pools=pools, ways=ways, shots=shots)
        lacks = partial(sampler_lacks, pools=pools, ways=ways)
        if (fault := diagnose(answer, (pools, ways, shots), 200, faults, lacks)) != "":
            return verdict(fault, "")
    return verdict("", "400 episodes on fresh toy data, and not one breaks a rule")


def toy_shows(images: int = 60) -> tuple[np.ndarray, list[int]]:
    """A random table (images, 1 + 6), which image shows which label, and the 4 seen labels of 1..6."""
    rng = toy_generator()
    shows = np.ones((images, 7), bool)  # the background is everywhere
    shows[:, 1:] = rng.random((images, 6)) < 0.3
    seen = sorted(int(c) for c in rng.choice(np.arange(1, 7), 4, replace=False))
    alone = [c for c in range(1, 7) if c not in seen] * 4  # 4 images of each unseen class by itself
    pairs = [(c, seen[(k + turn % 2) % 4]) for turn in range(6) for k, c in enumerate(seen)]
    together: list[tuple[int, int] | int] = [*pairs, *alone]
    for row, labels in enumerate(together):  # half of the pairs are two seen classes, half one
        shows[row, 1:] = False
        shows[row, labels] = True
    return shows[rng.permutation(images)], seen


def leak_faults(draw: Drawn, shows: np.ndarray, seen: list[int], shots: int) -> str:
    """The first leak of a training draw, as a sentence; "" where it is tight."""
    label, supports, query = draw
    if label.shape != (1,) or supports.shape != (shots,):
        return f"return one class and {shots} supports, yours have shapes {label.shape} and {supports.shape}"
    images, unseen = [*supports.tolist(), query], [c for c in range(1, shows.shape[1]) if c not in seen]
    if int(label[0]) not in seen:
        return "leak: a test class is drawn as the class to learn; choose among `seen` only"
    if not shows[images, int(label[0])].all():
        return "an image does not show the episode's class: draw from its pool only"
    if len(set(supports.tolist())) < shots:
        return "one image is used twice among the supports: draw without replacement"
    if query in supports:
        return "leak: the query is among the supports, so the answer is shown with the question"
    if shows[np.ix_(images, unseen)].any():
        return "leak: an image shows a test class beside the seen one; leave such images out of the pool"
    return ""


def leak_lacks(draws: list[Drawn], shows: np.ndarray, seen: list[int]) -> str:
    """What tight draws never do, as a sentence; "" where each seen class and clean image has its turn."""
    unseen = [c for c in range(1, shows.shape[1]) if c not in seen]
    clean = set(np.flatnonzero(shows[:, seen].any(1) & ~shows[:, unseen].any(1)).tolist())
    if len({int(c) for label, _, _ in draws for c in label}) < len(seen):
        return "tight, but some seen classes are never drawn"
    if clean - {i for _, supports, query in draws for i in (*supports.tolist(), query)}:
        return "tight, but too strict: images that show several seen classes may stay"
    return ""


def leak(answer: Answer) -> bool | None:
    """`my_draw(shows, seen, shots, rng)` -> label, supports (K,), query; nothing of a test class."""
    shows, seen = toy_shows()
    faults = partial(leak_faults, shows=shows, seen=seen, shots=2)
    lacks = partial(leak_lacks, shows=shows, seen=seen)
    return verdict(
        diagnose(answer, (shows, seen, 2), 400, faults, lacks),
        "tight: 400 training episodes on fresh toy data, no test class and no repeated image",
    )
