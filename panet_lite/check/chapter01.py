"""Answers to the exercises of chapter 1, episodes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..datasets import VOID
from ..episodes import Draw, Episode, EpisodeSampler, episode_labels
from .harness import (
    Answer,
    attempt,
    blank,
    equal,
    gave_nothing,
    implementation,
    number,
    read,
    untouched,
    verdict,
    whole,
)

# ---- numbers to predict ---------------------------------------------------------------------------

IMAGES, SHOTS = 20, 5
COUNT_MISTAKES = (
    (math.comb(IMAGES, SHOTS) * IMAGES, "here the query may be one of its own supports: choose it from the 15 images that are left"),
    (math.comb(IMAGES, SHOTS + 1), "6 images are chosen, yes, but which of the 6 is the query makes a difference"),
    (math.perm(IMAGES, SHOTS + 1), "this counts the supports in order, but a prototype is a mean: their order makes no new episode"),
    (math.comb(IMAGES, SHOTS), "these are the support sets; each still wants a query"),
    (IMAGES * (IMAGES - 1), "that is the number of 1-shot episodes; here are 5 supports"),
    (math.perm(IMAGES, SHOTS), "these are the supports in order: their order makes no new episode, and each set still wants a query"),
    (IMAGES**SHOTS * (IMAGES - SHOTS), "here an image may be drawn twice, and in order: count the sets, C(20, 5)"),
    (IMAGES ** (SHOTS + 1), "here every image may be drawn again and again: count the sets of 5, C(20, 5), then what is left"),
    *((math.comb(IMAGES, SHOTS) * (IMAGES - k), f"{IMAGES - k} images for the query? Of 20, 5 are supports: count those that are left") for k in (1, 4, 6)),
    (math.comb(IMAGES, SHOTS) + IMAGES - SHOTS, "each set of supports goes with each query: multiply by 15, do not add"),
    (math.comb(IMAGES - SHOTS, SHOTS) * IMAGES, "C(15, 5) sets of 15 images? The supports come from all 20, C(20, 5), the query from the 15 left"),
    (math.comb(IMAGES, SHOTS) * SHOTS, "5 is the number of supports; the query comes from the 15 images that are not among them"),
    (IMAGES * SHOTS, "that is 20 times 5; the sets of 5 among 20 are C(20, 5) = 15,504"),
    (IMAGES, "that is the number of images; of them, C(20, 5) sets of supports can be made"),
)  # fmt: skip


def triples(answer: object) -> str:
    """The sentence for a share of images that no known mistake explains: how many triples it would be."""
    share = read(float, answer)
    if share is None or not 0 < share < 1:
        return "not that: of all ways to choose 3 of 20 classes, how many avoid the 5 unseen ones? A share lies between 0 and 1"
    return f"{share:.3g} would be {1140 * share:.0f} of the 1,140 triples of classes: how many of them avoid the 5 unseen ones?"


def left_error(answer: object) -> str:
    """The sentence for a number of episodes that no known mistake explains: the error that it leaves."""
    many = read(float, answer)
    if many is None or not many > 0:
        return "not that: solve 0.25 / sqrt(n) = 0.005 for n"
    return f"{many:g} episodes leave a standard error of {25 / many**0.5:.3g} points, not 0.5: solve 0.25 / sqrt(n) = 0.005"


def count(answer: object) -> bool | None:
    """How many different 1-way 5-shot episodes are there for a class with 20 images?"""
    return number(
        answer,
        math.comb(IMAGES, SHOTS) * (IMAGES - SHOTS),
        1e-3,
        "232,560: C(20, 5) support sets, and 15 images left to be the query of each",
        "not that: first count the sets of 5 supports among 20 images, then the images left for the query",
        COUNT_MISTAKES,
    )


LOST_MISTAKES = (
    (0.25, "that is the share lost with one object in each image; here are three chances to meet an unseen class"),
    (0.75, "3 times 1/4 counts images with two unseen classes twice; go by the images that show none"),
    (1 - 0.75**3, "close, but this lets a class stand in the image twice; after a seen class, 14 of 19 are seen"),
    (math.comb(15, 3) / math.comb(20, 3), "this is the share of images without any unseen class, those that stay"),
    (0.75**3, "this is what stays, and with a class twice in an image; after a seen class, 14 of 19 are seen"),
    (5 * math.comb(15, 2) / math.comb(20, 3), "these images show exactly one unseen class: two or three of them are lost as well"),
    (math.comb(5, 3) / math.comb(20, 3), "these images show unseen classes only: one among three is enough to lose the image"),
    (0.25 * 4 / 19 * 3 / 18, "these images show unseen classes only: one among three is enough to lose the image"),
    (1 - 15 / 20 * 14 / 19, "this is for two classes in an image: here are three"),
    *((percent, "that is in per cent: a share from 0 to 1 is wanted") for percent in (60, 60.1)),
    (685, "that is the number of triples that are lost: divide it by all 1,140"),
    *((0.15 if lost else 0.85, "3 of 20 classes are in an image, but the question is whether one of the 5 unseen ones is among them") for lost in (0, 1)),
)  # fmt: skip


def lost(answer: object) -> bool | None:
    """What share of the training images goes if images with an unseen class are dropped?"""
    return number(
        answer,
        1 - math.comb(15, 3) / math.comb(20, 3),
        0.008,  # 0.597 is right as well: the share among images that show a seen class
        "about 60 %: only 455 of the 1,140 triples hold no unseen class. Such data cannot afford to drop",
        triples(answer),
        LOST_MISTAKES,
    )


ENOUGH_MISTAKES = (
    (50, "the error falls with the square root of the number of episodes: square this"),
    (0.25, "0.5 points are 0.005 on the scale of the scores, not 0.5"),
    (625, "this is the answer for 1 point; half the error wants four times the episodes"),
    (10_000, "this is the answer for 0.25 points: did you halve once too often?"),
    (5000, "that is twice too many: this is one mean, not a difference of two"),
    *((n, "you have an interval of 95 % in mind: one standard error of 0.005 is wanted, without the 1.96") for n in (9604, 9600)),
    (12.5, "the spread is squared, the error is not: square the whole ratio, 0.25 / 0.005"),
    (0.02, "the ratio is upside down, and not squared yet: (0.25 / 0.005) squared"),
)  # fmt: skip


def enough(answer: object) -> bool | None:
    """How many episodes until the mean of scores with spread 0.25 has a standard error of 0.5 points?"""
    return number(
        answer,
        2500,
        0.01,
        "2,500: (0.25 / 0.005) squared",
        left_error(answer),
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
    (lambda y, classes: episode_labels(y, list(classes)[::-1]), "the ways keep the order of `classes`; yours is reversed"),
    (changed(lambda ways, y: torch.where((ways > 0) & (ways != 255), 1, ways)), "every class became 1: the second class of the episode is 2, the third 3"),
    (lambda y, classes: episode_labels(y, classes[:1]), "only the first class was relabelled: does `return` stand inside the loop?"),
    (changed(lambda ways, y: torch.where(ways == 0, 255, ways)), "what belongs to no class of the episode became 255: background is 0"),
    (changed(lambda ways, y: (ways > 0).long()), "true and false, or 0 and 1, are too few: 1, 2, ... for the ways, 0 for the rest, 255 for void"),
    (changed(lambda ways, y: y), "these are the labels as they came: write the ways into a fresh map and return that"),
    (changed(lambda ways, y: torch.where((ways > 0) & (ways != 255), ways + 1, ways)), "ways are counted from 1: your first class has become 2"),
    (lambda y, classes: torch.where(episode_labels(y, classes) == 255, len(classes) + 1, episode_labels(y, classes)), "void pixels became a class of their own: 255 stays 255"),
    (lambda y, classes: sum((label * (y == way) for way, label in enumerate(classes, 1)), 255 * (y == 255)), "you look for the way and write the label: look for the label, write the way"),
    (changed(lambda ways, y: ways.to(torch.int8)), "int8 ends at 127, so void, 255, became -1: keep the labels' own uint8"),
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


def drawn(value: Any) -> Drawn | None:
    """What a reader's sampler returned, as a draw; None where it is nothing of the kind."""
    try:
        label, supports, query = value
        (image,) = np.ravel(query)
        return np.atleast_1d(label), np.asarray(supports), int(image)
    except (TypeError, ValueError, RuntimeError):
        return None


def diagnose(
    call: Callable[[int], tuple[Any, str]],
    draws: int,
    faults: Callable[[Drawn], str],
    lacks: Callable[[list[Drawn]], str],
    elsewhere: str,
) -> str | None:
    """The first fault of the episodes 0, 1, ... of `call(index)`; None where nothing is filled in.

    faults: what is wrong with a draw, or "". lacks: what is wrong with all of them together, or "". elsewhere: the
    sentence for an episode that is another when it is drawn again.
    """
    found: list[Drawn] = []
    for index in range(draws):
        value, error = call(index)
        if error or blank(value):
            return error or None
        if (one := drawn(value)) is None:
            return "return three things: class or classes, the supports' images, and the query's image"
        try:
            fault = faults(one)
        except (TypeError, ValueError, IndexError):
            fault = "classes and images are whole numbers: labels, and indices of images"
        if fault:
            return fault
        found.append(one)
    for index in (draws - 1, 0, draws // 2):
        again = drawn(call(index)[0])
        if again is None or not same_draw(found[index], again):
            return elsewhere
    return lacks(found)


def same_draw(one: Drawn, other: Drawn) -> bool:
    """Whether two draws are one."""
    return all(np.array_equal(np.asarray(a).ravel(), np.asarray(b).ravel()) for a, b in zip(one, other))


def fingerprint(draw: Drawn) -> tuple[Any, ...]:
    """A draw as something that a set can hold."""
    return *map(int, draw[0]), *map(int, draw[1].ravel()), draw[2]


def toy_generator() -> np.random.Generator:
    """A fresh NumPy generator, seeded by torch's."""
    return np.random.default_rng(whole(0, 2**31 - 1))


FIRST = 140  # the toy images' first number, which is neither a label nor a position in a pool


def toy_pools(classes: int = 4, images: int = 14) -> dict[int, np.ndarray]:
    """Random pools of 7 to 9 images for each of `classes` labels; images show several classes."""
    rng = toy_generator()
    labels = rng.choice(np.arange(1, 21), classes, replace=False)
    return {int(c): FIRST + np.sort(rng.choice(images, rng.integers(7, 10), replace=False)) for c in labels}


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
    if query < FIRST:
        return "the query is no image of the pools: did you return its class, or its place in the pool?"
    if query in supports:
        return "the query is among the supports: the exam question was in the lesson"
    if not any(query in pools[int(c)] for c in classes):
        return "the query shows none of the episode's classes: draw it from the pool of one of its ways"
    return ""


def sampler_lacks(draws: list[Drawn], pools: dict[int, np.ndarray], ways: int) -> str:
    """What draws that keep the rules never do, as a sentence; "" where each thing has its turn."""
    if all(same_draw(one, draws[0]) for one in draws):
        return "every index gives the same episode: make the generator from seed and index"
    if len({c for classes, _, _ in draws for c in classes}) < len(pools):
        return "some classes are never drawn: every class should have its turn"
    if ways > 1:
        orders = {tuple(classes.tolist()) for classes, _, _ in draws}
        if any(tuple(reversed(order)) not in orders for order in orders):
            return "some classes always come in the same order, as if sorted: a class should have its turn in each way"
    seen = {
        (int(c), int(i)) for classes, supports, _ in draws for c, row in zip(classes, supports) for i in row
    }
    if any((c, int(i)) not in seen for c, pool in pools.items() for i in pool):
        return "some images are never supports: choose at random, not the first of the pool"
    if len({query for _, _, query in draws}) < len({int(i) for pool in pools.values() for i in pool}):
        return "some images are never queries: choose the query at random, too"
    places = {way for classes, _, q in draws for way, c in enumerate(classes)
              if all((q in pools[int(d)]) == (d == c) for d in classes)}  # fmt: skip
    if len(places) < ways:
        return "the query always comes from the same way: draw the way that supplies it for each episode"
    if len({fingerprint(one) for one in draws}) < 0.8 * len(draws):
        return "the episodes repeat themselves: each index has an episode of its own"
    return ""


class Scenes:
    """Enough of a data set for `EpisodeSampler`: pools, and noise with label maps where there are pixels."""

    def __init__(self, pools: dict[int, np.ndarray], size: tuple[int, int] = (0, 0)):
        self.pools, self.classes = pools, tuple(f"class {c}" for c in range(1, 21))
        self.images = torch.randint(256, (14, 3, *size), dtype=torch.uint8)
        known = torch.tensor([0, VOID, *pools], dtype=torch.uint8)
        self.maps = known[torch.randint(len(known), (14, *size))]

    def images_of(self, label: int, least: float = 0.0) -> np.ndarray:
        """The pool of a class."""
        return self.pools[label]

    def image(self, index: int) -> Tensor:
        """An image, uint8 (3, H, W')."""
        return self.images[index % len(self.images)]

    def label_map(self, index: int) -> Tensor:
        """Its label map (H, W') in the data set's labels."""
        return self.maps[index % len(self.maps)]


def toy_sampler(ways: int, shots: int, seed: int, size: tuple[int, int] = (0, 0)) -> EpisodeSampler:
    """A sampler on random pools that share images."""
    scenes: Any = Scenes(toy_pools(), size)
    return EpisodeSampler(scenes, scenes.pools, ways, shots, seed=seed)


def seed_fault(answer: Answer, sampler: EpisodeSampler, draws: list[Drawn]) -> str:
    """Whether other seeds give the draws of this one, as a sentence; "" where they do not."""
    scenes: Any = sampler.dataset
    known = set(map(fingerprint, draws))
    for step in (1, 2):
        other = EpisodeSampler(scenes, scenes.pools, sampler.ways, sampler.shots, seed=sampler.seed + step)
        ones = [one for i in range(30) if (one := drawn(attempt(answer, (other, i))[0]))]
        if all(map(same_draw, draws, ones)):
            return "another seed gives the same episodes: make the generator from seed and index"
        if sum(fingerprint(one) in known for one in ones) > 15:
            return (
                "the run of the next seed has this run's episodes, at other places: give default_rng the pair "
                "[seed, index], not one number made of both"
            )
    return ""


def sampler(answer: Answer) -> bool | None:
    """`draw(sampler, index)` -> classes (W,), supports (W, K), the query's image."""
    again = (
        "the same (seed, index) gives another episode each time: draw from a fresh generator made from both"
    )
    for ways, shots, seed in ((1, 3, 0), (2, 2, whole(1, 10**6))):
        toy = toy_sampler(ways, shots, seed)
        pools = {label: images.copy() for label, images in toy.pools.items()}

        def call(index: int, toy: EpisodeSampler = toy, pools: Any = pools) -> tuple[Any, str]:
            found = attempt(answer, (toy, index))
            return (
                found
                if untouched(toy.pools, pools)
                else (None, "your function changes `sampler.pools`: leave them as they are")
            )

        def lacks(draws: list[Drawn], toy: EpisodeSampler = toy, pools: Any = pools) -> str:
            return sampler_lacks(draws, pools, toy.ways) or seed_fault(answer, toy, draws)

        fault = diagnose(
            call, 500, partial(sampler_faults, pools=pools, ways=ways, shots=shots), lacks, again
        )
        if fault is None:
            return gave_nothing(answer)
        if fault:
            return verdict(fault, "")
    return verdict("", "1,000 episodes on fresh toy data, and not one breaks a rule")


# ---- an episode's tensors -------------------------------------------------------------------------

AXES = {
    "support_images": "(1, W, K, 3, H, W')", "support_labels": "(1, W, K, H, W')", "query_images": "(1, Q, 3, H, W')",
    "query_labels": "(1, Q, H, W')", "classes": "(1, W)",
}  # fmt: skip
MAPS = (
    (lambda y, classes, way: y, "hold the data set's labels: `episode_labels` makes 1..W of them"),
    (lambda y, classes, way: episode_labels(y, [classes[way]]), "know one class each, as 1: all maps of an episode use the same numbers, so relabel with all its classes"),
    (lambda y, classes, way: torch.where((z := episode_labels(y, classes)) % VOID == way + 1, z, torch.where(z == VOID, z, 0)), "leave out the other ways: a support that shows two of the episode's classes is labelled with both"),
    (lambda y, classes, way: episode_labels(y, sorted(classes)), "number the classes in another order than `classes`"),
    (lambda y, classes, way: torch.where((z := episode_labels(y, classes)) == VOID, 0, z), "lose the void pixels: 255 stays 255"),
    (lambda y, classes, way: episode_labels(y, classes) / 255, "are divided by 255: only images are, a label map holds numbers of classes"),
    (lambda y, classes, way: torch.where((z := episode_labels(y, classes)) % VOID > 0, z - 1, z), "count the ways from 0: the first class of an episode is 1, 0 is the background"),
    (lambda y, classes, way: torch.where((z := episode_labels(y, classes)) == VOID, z, (z > 0).to(z.dtype)), "call every class 1: the second way is 2"),
)  # fmt: skip


def stacked(scenes: Any, rows: np.ndarray) -> Tensor:
    """The images of rows (W, K) of indices: (1, W, K, 3, H, W'), or (1, Q, 3, H, W') of rows (Q, 1)."""
    images = torch.stack([torch.stack([scenes.image(int(i)) for i in row]) for row in rows])[None] / 255
    return images


PIXELS: tuple[tuple[Callable[[Tensor, Any, np.ndarray], Tensor], str], ...] = (
    (lambda x, scenes, rows: 255 * x, "run from 0 to 255: divide by 255, an episode holds 0..1"),
    (lambda x, scenes, rows: 255 * x / 256, "are divided by 256: the largest byte is 255, divide by that"),
    (lambda x, scenes, rows: (x == 1).float(), "are whole numbers: divide by `/`, not `//`"),
    (lambda x, scenes, rows: 2 * x - 1, "run from -1 to 1: an episode holds 0..1"),
    (lambda x, scenes, rows: x.flip(-3), "have their colours in reverse order: leave them as the data set gives them, red first"),
    (lambda x, scenes, rows: x.mT, "are mirrored at their diagonal: rows come before columns"),
    (lambda x, scenes, rows: stacked(scenes, np.repeat(rows[:, :1], rows.shape[1], 1)).view_as(x),
     "repeat the first shot of each way: every support has its place"),
    (lambda x, scenes, rows: stacked(scenes, rows.T.reshape(rows.shape)).view_as(x),
     "have the right images in another order: the shots of way 1 come first, draw.supports.ravel()"),
    (lambda x, scenes, rows: stacked(scenes, rows + 1).view_as(x), "are those of the next index: an image and its label map share one"),
)  # fmt: skip


def shape_fault(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What is wrong with the shape of an episode's tensor, as a sentence; "" where nothing is."""
    if found == wanted:
        return ""
    why = ""
    if name.startswith("query") and found == wanted[1:]:
        why = ": an axis is missing, one episode is a batch of 1 and one query a list of 1"
    elif found == wanted[1:]:
        why = ": the axis of the batch is missing, one episode is a batch of 1"
    elif name.startswith("support") and found == (1, wanted[2], wanted[1], *wanted[3:]):
        why = ": ways come before shots"
    elif "images" in name and found == (*wanted[:-3], *wanted[-2:], 3):
        why = ": the colours come before height and width, as PyTorch wants them"
    return f"{name} should have shape {AXES[name]}, here {wanted}, yours has {found}{why}"


def map_fault(name: str, maps: Tensor, scenes: Any, images: np.ndarray, classes: np.ndarray) -> str:
    """What is wrong with label maps (1, ..., H, W') of some images, as a sentence."""
    rows = np.atleast_2d(images) if name == "support_labels" else images[:, None]
    for wrong, why in MAPS:
        made = [
            wrong(scenes.label_map(int(i)), classes.tolist(), way)
            for way, row in enumerate(rows)
            for i in row
        ]
        if equal(torch.as_tensor(maps).flatten(0, -3), torch.stack(made)):
            return f"{name} {why}"
    return f"{name} has the right shape and other numbers: are these the label maps of the images drawn, in their order?"


def load_fault(value: Any, toy: EpisodeSampler, draw: Draw) -> str:
    """What is wrong with the episode that a reader made of a draw, as a sentence; "" where nothing is."""
    if not isinstance(value, Episode):
        return f"return an Episode of the five tensors, not {type(value).__name__}"
    truth = toy.load(draw)
    for field in fields(Episode):
        found, wanted = getattr(value, field.name), getattr(truth, field.name)
        if not isinstance(found, Tensor):
            return f"{field.name} should be a tensor, yours is {type(found).__name__}"
        if fault := shape_fault(field.name, tuple(found.shape), tuple(wanted.shape)):
            return fault
    for name in ("support_images", "query_images"):
        found, wanted = getattr(value, name), getattr(truth, name)
        rows = draw.supports if name == "support_images" else draw.queries[:, None]
        for wrong, why in () if equal(found, wanted) else PIXELS:
            if equal(found, wrong(wanted, toy.dataset, rows)):
                return f"{name} {why}"
        if not equal(found, wanted):
            if name == "query_images" and any(
                equal(found[0, 0], one) for one in truth.support_images.flatten(0, 2)
            ):
                return "query_images shows a support: the query is draw.queries"
            if not 0 <= found.min() <= found.max() <= 1:
                return f"{name} run from {found.min():.2f} to {found.max():.2f}: an episode holds 0..1, normalising comes in the network"
            return f"{name} has the right shape and other pixels: are these the images drawn, in their order?"
    for name, images in (("support_labels", draw.supports), ("query_labels", draw.queries)):
        if not equal(found := getattr(value, name), getattr(truth, name)):
            return map_fault(name, found, toy.dataset, images, draw.classes)
    return (
        ""
        if equal(value.classes, truth.classes)
        else "classes holds the data set's labels in the draw's order"
    )


def load(answer: Answer) -> bool | None:
    """`load(sampler, draw)` -> the Episode of a draw, with its pixels."""
    for ways, shots in ((2, 3), (1, 1), (3, 2)):
        toy = toy_sampler(ways, shots, whole(0, 10**6), (whole(4, 6), whole(7, 9)))
        for index in range(
            50
        ):  # the first two-way draw whose classes are not in order, so that an order shows
            draw = toy.draw(index)
            if ways == 1 or (np.diff(draw.classes) < 0).any():
                break
        value, error = attempt(answer, (toy, draw))
        if blank(value) and not error:
            return gave_nothing(answer)
        if fault := error or load_fault(value, toy, draw):
            return verdict(fault, "")
    return verdict("", "right: five tensors, images in 0..1, all maps in the episode's own numbers")


# ---- what decisions cost --------------------------------------------------------------------------


def decision_costs(coverage: np.ndarray, unseen: Sequence[int], least: float) -> tuple[float, float, float]:
    """Of a data set's table `coverage` (N, 256), three shares that a decision costs.

    Of the images that show a seen class (of 1..20, not in `unseen`) those that show an unseen one too; of all
    appearances of a class those below `least`; and of all pixels the void ones.
    """
    share = np.asarray(coverage)[:, 1:21]
    shown = share > 0
    hidden = np.isin(np.arange(1, 21), list(unseen))
    void = np.asarray(coverage)[:, VOID].mean()
    return both_of(shown, hidden), float((share[shown] < least).mean()), float(void)


def toy_coverage() -> tuple[np.ndarray, list[int], float]:
    """A random table of 60 images of 20 classes, 5 unseen classes, and a least share that is met exactly once."""
    rng = toy_generator()
    table = np.zeros((60, 256))
    table[:, 1:21] = np.where(rng.random((60, 20)) < 0.08, rng.choice([0.01, 0.02, 0.04, 0.08], (60, 20)), 0)
    unseen = sorted(int(c) for c in rng.choice(np.arange(1, 21), 5, replace=False))
    seen = next(c for c in range(1, 21) if c not in unseen)
    table[:4, 1:21] = 0
    table[0, unseen[0]], table[1, [unseen[1], seen]], table[2, seen] = (
        0.04,
        0.08,
        0.01,
    )  # and the fourth shows nothing
    table[:, VOID] = rng.choice([0, 0.01, 0.03, 0.05], 60)
    table[:, 0] = 1 - table[:, 1:].sum(1)
    return table, unseen, 0.02


def both_of(shown: np.ndarray, hidden: np.ndarray) -> float:
    """Of the images that show (N, J) a class which is not hidden (J,), the share that show a hidden one too."""
    useful, spoilt = shown[:, ~hidden].any(1), shown[:, hidden].any(1)
    return float((useful & spoilt).sum() / useful.sum())


def tiny_mistakes(table: np.ndarray, hidden: np.ndarray, least: float) -> list[tuple[float, str]]:
    """Numbers of known wrong turns to the share of tiny appearances, each with its sentence."""
    share = table[:, 1:21]
    shown = share > 0
    return [((share < least).mean(), "takes a class that is not there for a tiny one: an appearance covers more than 0"),
        ((share[shown] < least).sum() / share.size, "divides by all images and classes: divide by the appearances"),
        ((share[shown] <= least).mean(), "drops an object of just `least`: it is big enough"),
        ((share[shown] >= least).mean(), "is what stays: the tiny ones are wanted"),
        (((share < least) & shown).any(1).mean(), "counts images, not appearances"),
        ((share[shown] > least).mean(), "is what stays: the tiny ones are wanted"),
        ((table[:, :21][table[:, :21] > 0] < least).mean(), "counts background as a class: classes are columns 1 to 20"),
        ((table[:, :20][table[:, :20] > 0] < least).mean(), "counts columns 0 to 19: classes are columns 1 to 20"),
        ((share[:, :19][shown[:, :19]] < least).mean(), "leaves out class 20: classes are columns 1 to 20"),
        ((share[:, ~hidden][shown[:, ~hidden]] < least).mean(), "counts the seen classes only: all appearances are asked for"),
        ((share[:, hidden][shown[:, hidden]] < least).mean(), "counts the unseen classes only: all appearances are asked for"),
        ((share[shown] < 255 * least).mean(), "takes the table for numbers of pixels: it holds shares, as `least` is one"),
        ((share[shown] < 2048 / 473**2).mean(), "has a least share of its own: use `least`, which is given"),
        ((table[table > 0] < least).mean(), "counts background and void as classes: classes are columns 1 to 20"),
        ((table[:, 1:][table[:, 1:] > 0] < least).mean(), "counts void as a class: classes are columns 1 to 20"),
        (float((share[shown] < least).sum()), "is a number of appearances: a share is wanted")]  # fmt: skip


def void_mistakes(table: np.ndarray) -> list[tuple[float, str]]:
    """The same of the share of void."""
    void = table[:, VOID]
    return [((void > 0).mean(), "is the share of the images with a void pixel: the share of the pixels is wanted"),
        (void.sum(), "is a sum over images: all have one size, so take the mean"),
        (float(np.median(void)), "is a median: the share of all pixels is the mean over images of one size"),
        (table[:, 254].mean(), "is column 254: void is column 255"),
        (table[:, 0].mean(), "is the background, column 0: void is column 255"),
        (float(void[void > 0].mean()), "leaves out the images without void")]  # fmt: skip


def cost_mistakes(table: np.ndarray, unseen: list[int], least: float) -> list[list[tuple[float, str]]]:
    """For each of the three shares, the numbers of known wrong turns, each with its sentence."""
    share = table[:, 1:21]
    shown = share > 0
    hidden = np.isin(np.arange(1, 21), unseen)
    useful, spoilt = shown[:, ~hidden].any(1), shown[:, hidden].any(1)

    def among(columns: Sequence[int]) -> float:
        shows = (table[:, [c for c in columns if c not in unseen]] > 0).any(1)
        return float((shows & spoilt).sum() / shows.sum())

    both, tiny = useful & spoilt, (share[shown] < least).mean()
    return [
        [(1 - both.sum() / useful.sum(), "is what stays, not what is dropped"),
         (both.mean(), "counts among all images: only those that show a seen class would be used at all"),
         (spoilt.mean(), "counts every image with an unseen class: only one with a seen class, too (the background is none), is a loss to training"),
         (spoilt.sum() / useful.sum(), "counts images without any seen class as dropped: they would not be drawn anyway"),
         (both.sum() / spoilt.sum(), "divides by the images with an unseen class: divide by those with a seen one"),
         (float(both.sum()), "is a number of images: a share is wanted"),
         ((useful | spoilt).mean() * len(table) / useful.sum(), "counts images with one *or* the other: drop those that show both, seen and unseen"),
         *((among(columns), "takes other columns than 1 to 20 for classes") for columns in (range(21), range(1, 256), range(1, 20))),
         (both_of(share > least, hidden), "asks for more than `least`: a class is shown from the first pixel on"),
         ((useful & shown[:, hidden].all(1)).sum() / useful.sum(), "drops an image that shows all unseen classes: one is enough, any(1)"),
         ((useful & (table[:, np.asarray(unseen) - 1] > 0).any(1)).sum() / useful.sum(),
          "reads the unseen classes one column too far to the left: class c is column c of the table"),
         (tiny, "and the second have changed places: dropped images come first")],
        tiny_mistakes(table, hidden, least),
        void_mistakes(table),
    ]  # fmt: skip


def costs(answer: Answer) -> bool | None:
    """`costs(coverage, unseen, least)` -> the shares that dropping images, a least size and void pixels cost."""
    names = (
        "the first share (dropped images)",
        "the second share (tiny objects)",
        "the third share (void pixels)",
    )
    found: list[tuple[Any, tuple[float, ...], list[list[tuple[float, str]]]]] = []
    for _ in range(4):
        case = toy_coverage()
        value, error = attempt(answer, case)
        if error:
            return verdict(error, "")
        if blank(value):
            return gave_nothing(answer)
        try:
            value = [float(v) for v in value]
        except (TypeError, ValueError, RuntimeError):
            value = []
        if len(value) != 3:
            return verdict("return three shares: dropped images, tiny objects, void pixels", "")
        found.append((value, decision_costs(*case), cost_mistakes(*case)))
    for k, name in enumerate(names):
        if all(equal(value[k], truth[k]) for value, truth, _ in found):
            continue
        if all(equal(value[k], 100 * truth[k]) for value, truth, _ in found):
            return verdict(f"{name} is in per cent: give a number from 0 to 1", "")
        for turn, (_, why) in enumerate(found[0][2][k]):
            if all(equal(value[k], mistakes[k][turn][0]) for value, _, mistakes in found):
                return verdict(f"{name} {why}", "")
        return verdict(f"{name} is not right: count it by hand in a table of three images", "")
    return verdict("", "right: three shares, on fresh tables")


# ---- leaks ----------------------------------------------------------------------------------------


def toy_shows(images: int = 60) -> tuple[np.ndarray, list[int]]:
    """A random table (images, 1 + 6), which image shows which label, and the 4 seen labels of 1..6."""
    rng = toy_generator()
    shows = np.ones((images, 7), bool)  # the background is everywhere
    shows[:, 1:] = rng.random((images, 6)) < 0.3
    seen = sorted(int(c) for c in rng.choice(np.arange(1, 6), 4, replace=False))  # the last label is unseen
    alone = [c for c in range(1, 7) if c not in seen] * 4  # 4 images of each unseen class by itself
    pairs = [(c, seen[(k + turn % 2) % 4]) for turn in range(6) for k, c in enumerate(seen)]
    leaky = [(6, c) for c in seen]  # the last label beside each seen one
    together: list[tuple[int, int] | int] = [*pairs, *alone, *leaky]
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
    if all(same_draw(one, draws[0]) for one in draws):
        return "every generator gives the same episode: draw from `rng` only, not from one of your own"
    if len({int(c) for label, _, _ in draws for c in label}) < len(seen):
        return "tight, but some seen classes are never drawn"
    if never := clean - {i for _, supports, query in draws for i in (*supports.tolist(), query)}:
        if all(shows[i, seen].sum() > 1 for i in never):
            return "tight, but too strict: images that show several seen classes may stay"
        return "tight, but some images are never drawn: choose at random among all clean images of the class, by `rng`"
    return ""


EMPTY = (
    "no image is left to draw from: leave out those that show an *unseen* class (not a seen one, nor the "
    "background, column 0), and draw the episode's class from `seen`"
)


def leak(answer: Answer) -> bool | None:
    """`tight_draw(shows, seen, shots, rng)` -> label, supports (K,), query; nothing of a test class."""
    shows, seen = toy_shows()
    seed = whole(0, 2**31 - 1)

    def call(index: int) -> tuple[Any, str]:
        value, error = attempt(answer, (shows, seen, 2, np.random.default_rng([seed, index])))
        empty = "a cannot be empty" in error or "larger sample than population" in error
        return value, EMPTY if empty else error

    fault = diagnose(
        call,
        400,
        partial(leak_faults, shows=shows, seen=seen, shots=2),
        partial(leak_lacks, shows=shows, seen=seen),
        "the same generator gives another episode each time: draw from `rng` only",
    )
    return (
        gave_nothing(answer)
        if fault is None
        else verdict(
            fault, "tight: 400 training episodes on fresh toy data, no test class and no repeated image"
        )
    )
