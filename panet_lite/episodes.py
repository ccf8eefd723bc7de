"""Episodes: small segmentation tasks drawn from a data set (paper Sec. 3.1; chapter 1)."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .annotations import annotate, complete_strokes, kind_named
from .datasets import VOID, AnyDataset


@dataclass(frozen=True)
class Preset:
    """Where the paper's experiments and common sense differ, in the data and in the counting."""

    least: float  # an object must cover this share of the image
    support_void_is_background: bool
    query_way_per_run: bool  # or drawn for every episode
    test_split: dict[str, str]  # of each data set
    count_absent: bool  # count false positives of classes that the query does not show
    merge_for_binary: bool  # merge the classes to one foreground before counting binary-IoU
    largest_box: bool  # a box is that of the largest object of a class, or of a random one


PRESETS = {
    # the authors' behaviour, which the published tables rest on
    "paper": Preset(0.0, True, True, {"pascal": "trainaug", "tabletop": "train"}, False, False, True),
    # what later work uses: 2 * 32 * 32 pixels at 473 x 473
    "standard": Preset(2048 / 473**2, False, False, {"pascal": "val", "tabletop": "val"}, True, True, False),
}


def preset_named(name: str) -> Preset:
    """The preset of that name; a ValueError lists the names."""
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


@dataclass(frozen=True)
class Episode:
    """B few-shot tasks of one shape: W ways, K shots, Q queries (Sec. 3.1).

    Images are RGB in 0..1; label maps hold 0 for background, 1..W for the episode's classes, 255 for
    "says nothing". Dense masks, scribbles, boxes and brush strokes are all label maps.
    """

    support_images: Tensor  # (B, W, K, 3, H, W')
    support_labels: Tensor  # (B, W, K, H, W')
    query_images: Tensor  # (B, Q, 3, H, W')
    query_labels: Tensor  # (B, Q, H, W')
    classes: Tensor  # (B, W): the data set's label behind each way

    def __post_init__(self) -> None:
        for images, labels, name in (
            (self.support_images, self.support_labels, "support"),
            (self.query_images, self.query_labels, "query"),
        ):
            if images.shape[:-3] != labels.shape[:-2] or images.shape[-2:] != labels.shape[-2:]:
                raise ValueError(
                    f"The {name} images {tuple(images.shape)} and label maps {tuple(labels.shape)} do not "
                    "belong together: a label map has its image's height and width, and there is one for each."
                )
            if not images.is_floating_point():
                raise ValueError(f"The {name} images are {images.dtype}: give floats in 0..1, bytes / 255.")

    @property
    def ways(self) -> int:
        """W, the number of classes."""
        return self.support_images.shape[1]

    @property
    def shots(self) -> int:
        """K, the number of annotated images of each class."""
        return self.support_images.shape[2]

    def __len__(self) -> int:
        return len(self.classes)

    def to(self, device: str | torch.device) -> "Episode":
        """The same tasks on another device."""
        return Episode(*(getattr(self, f.name).to(device) for f in fields(self)))

    @staticmethod
    def cat(episodes: Sequence["Episode"]) -> "Episode":
        """Several episodes of one shape as one batch."""
        return Episode(*(torch.cat([getattr(e, f.name) for e in episodes]) for f in fields(Episode)))


class Draw(NamedTuple):
    """Which classes and images an episode is made of: labels (W,), image indices (W, K) and (Q,)."""

    classes: np.ndarray
    supports: np.ndarray
    queries: np.ndarray


class EpisodeSampler:
    """Draws episodes from the images of `classes` (Sec. 3.1): an endless, repeatable sequence.

    Episode i is a function of (seed, i) alone, so any of them can be drawn at any time, in any process.
    classes: labels of the data set. exclude: labels whose images are left out altogether, such as the
    test classes in training. flip: mirror each image with probability 1/2 (Sec. 4.1, training).
    annotation: what the supports come with, one of `annotations.KINDS`; a function of image and classes.
    Errors: ValueError where there are too few classes or images for the ways and shots.
    """

    def __init__(
        self, dataset: AnyDataset, classes: Iterable[int], ways: int = 1, shots: int = 1, queries: int = 1,
        seed: int = 0, preset: str = "standard", exclude: Iterable[int] = (), flip: bool = False,
        annotation: str = "dense",
    ):  # fmt: skip
        self.dataset, self.ways, self.shots, self.queries = dataset, ways, shots, queries
        self.seed, self.preset, self.flip = seed, preset_named(preset), flip
        self.annotation = kind_named(annotation)
        if min(ways, shots, queries) < 1:
            raise ValueError(f"An episode needs a way, a shot and a query, not {ways}, {shots}, {queries}.")
        if ways >= VOID:
            raise ValueError(f"A label map tells {VOID - 1} classes apart, so {ways} ways are too many.")
        shown = [i for c in exclude for i in dataset.images_of(c)]
        pools = {c: np.setdiff1d(dataset.images_of(c, self.preset.least), shown) for c in classes}
        self.pools = {c: pool for c, pool in pools.items() if len(pool) >= shots + queries}
        self.missing = tuple(c for c in pools if c not in self.pools)
        names = ", ".join(f"{dataset.classes[c - 1]} ({len(pools[c])})" for c in self.missing)
        few = f" Classes with fewer than {shots + queries} images: {names}." if names else ""
        if len(self.pools) < ways:
            raise ValueError(
                f"{ways} ways of {shots} shots and {queries} queries cannot be drawn: {len(self.pools)} of "
                f"{len(pools)} classes have images enough in {dataset!r}.{few}"
            )
        if few:
            warnings.warn(f"Some classes are left out of the episodes.{few}", stacklevel=2)
        self.run_ways = np.random.default_rng(seed).integers(ways, size=queries)

    def draw(self, index: int) -> Draw:
        """Classes and images of episode `index`; no image appears twice in an episode."""
        rng = np.random.default_rng([self.seed, index])
        classes = rng.choice(list(self.pools), self.ways, replace=False)
        asked = self.run_ways if self.preset.query_way_per_run else rng.integers(self.ways, size=self.queries)
        used: list[int] = []
        supports, queries = [], []
        for way, label in enumerate(classes):
            wanted = self.shots + (asked == way).sum()
            pool = np.setdiff1d(self.pools[label], used)
            if len(pool) < wanted:
                raise ValueError(
                    f"Episode {index} wants {wanted} more images of {self.dataset.classes[label - 1]}, but only "
                    f"{len(pool)} are left that it does not show already: use fewer ways or shots."
                )
            chosen = rng.choice(pool, wanted, replace=False)
            used.extend(chosen)
            supports.append(chosen[: self.shots])
            queries.extend(chosen[self.shots :])
        return Draw(classes, np.stack(supports), np.array(queries))

    def episode(self, index: int) -> Episode:
        """Episode `index` with its pixels, B = 1."""
        return self.load(self.draw(index), np.random.default_rng([self.seed, index, 1]))

    def batch(self, indices: Iterable[int]) -> Episode:
        """Several episodes as one; their images must have one size."""
        return Episode.cat([self.episode(i) for i in indices])

    def load(self, draw: Draw, rng: np.random.Generator | None = None) -> Episode:
        """Read the pixels of a draw; `rng` decides the flips."""
        pairs = [self.pair(i, self.support_map, draw.classes, rng) for i in draw.supports.ravel()]
        pairs += [self.pair(i, self.query_map, draw.classes, rng) for i in draw.queries]
        if len({image.shape for image, _ in pairs}) > 1:
            raise ValueError(
                f"The images of an episode have different sizes in {self.dataset!r}: give the data set a size, as in size=417."
            )
        images, labels = (torch.stack(list(items)) for items in zip(*pairs))
        supports = draw.supports.size
        return Episode(
            images[:supports].unflatten(0, draw.supports.shape)[None],
            labels[:supports].unflatten(0, draw.supports.shape)[None],
            images[None, supports:],
            labels[None, supports:],
            torch.from_numpy(draw.classes)[None].to(images.device, non_blocking=True),
        )

    def pair(
        self, index: int, relabel: Callable[[int, np.ndarray], Tensor], classes: np.ndarray,
        rng: np.random.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """One image in 0..1 and its label map in the episode's labels, perhaps mirrored."""
        image, labels = self.dataset.image(index).float() / 255, relabel(index, classes)
        mirror = self.flip and rng is not None and rng.random() < 0.5
        return (image.flip(-1), labels.flip(-1)) if mirror else (image, labels)

    def support_map(self, index: int, classes: Sequence[int] | np.ndarray) -> Tensor:
        """What is annotated in support image `index`: a label map (H, W) in the episode's labels."""
        labels = self.query_map(index, classes)
        if self.preset.support_void_is_background:
            labels = torch.where(labels == VOID, 0, labels)
        instances = None if self.annotation == "dense" else self.dataset.instances(index)
        return annotate(labels, self.annotation, instances, int(index), self.preset.largest_box)

    def query_map(self, index: int, classes: Sequence[int] | np.ndarray) -> Tensor:
        """The truth of query image `index`: a label map (H, W) in the episode's labels."""
        return episode_labels(self.dataset.label_map(index), classes)


def episode_labels(labels: Tensor, classes: Sequence[int] | np.ndarray) -> Tensor:
    """The data set's labels (H, W) to the episode's: classes[0] becomes 1, and so on, others 0."""
    table = torch.zeros(256, dtype=torch.uint8)
    table[VOID] = VOID
    for way, label in enumerate(classes):
        table[int(label)] = way + 1
    return table.to(labels.device, non_blocking=True)[labels.long()]  # a GPU is not waited for


def own_episode(supports: Sequence[Sequence[tuple[Tensor, Tensor]]], queries: Sequence[Tensor]) -> Episode:
    """An episode from your own pictures: `supports[way][shot]` = (image, label map), and the queries.

    Images: (3, H, W'), uint8 or floats in 0..1, all of one size. Label maps: (H, W') with 0, 255 and the
    number of the way, 1..W. The query's truth is unknown: its label map is all 255. Warnings: a map
    without a 0 takes its 255 for background; one without its own way has a zero prototype.
    """
    ways = len(supports)
    for way, shots in enumerate(supports, start=1):
        for shot, (image, labels) in enumerate(shots, start=1):
            where = f"The label map of way {way}, shot {shot}"
            if image.shape[-2:] != labels.shape:
                sizes = f"{tuple(labels.shape)}, its image {tuple(image.shape[-2:])}"
                raise ValueError(f"{where} is {sizes}: make them one size.")
            values = set(labels.unique().tolist())
            if wrong := sorted(values - {0, VOID, *range(1, ways + 1)}):
                raise ValueError(f"{where} holds {wrong[0]}, which is no class: use 0, 1..{ways} and {VOID}.")
            if way not in values:
                text = f"{where} has no pixel of class {way}: it adds nothing to the prototype."
                warnings.warn(text, stacklevel=2)
    pictures = [image for shots in supports for image, _ in shots] + list(queries)
    if len({tuple(p.shape) for p in pictures}) > 1 or len({len(shots) for shots in supports}) > 1:
        raise ValueError("All images must be of one size, and all ways must have the same number of shots.")
    if pictures[0].shape[0] != 3:
        raise ValueError(f"Images must be RGB, (3, H, W'), not {tuple(pictures[0].shape)}.")
    for low, high, most in ((*p.aminmax(), 1 if p.is_floating_point() else 255) for p in pictures):
        if low < 0 or high > most:
            raise ValueError(f"Images of {low:g} to {high:g}: give uint8, or floats in 0..1, not normalised.")
    images = torch.stack([p if p.is_floating_point() else p.float() / 255 for p in pictures])[None]
    labels = torch.stack([complete_strokes(m).to(torch.uint8) for shots in supports for _, m in shots])
    support, query = images.split([len(labels), len(queries)], dim=1)
    unknown = torch.full_like(query[:, :, 0], VOID, dtype=torch.uint8)
    support, labels = support.unflatten(1, (ways, -1)), labels.unflatten(0, (ways, -1))[None]
    return Episode(support, labels, query, unknown, torch.arange(1, ways + 1)[None])
