"""Your own pictures: fit on a few that are marked, segment others (Sec. 3.6; "Your own pictures").

The same late fusion as in episodes: a picture passes the network once, whatever is marked on it later.
"""

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cosine_similarity

from .annotations import complete_strokes
from .backbones import lite0, seen_among
from .datasets import VOID
from .datasets.marks import marks_of
from .datasets.masks import voc_palette
from .datasets.pictures import Picture, picture_of
from .datasets.shapes import Marks
from .files import write_atomically
from .machine import device_named
from .matching import match, upsample
from .model import PANet
from .prototypes import masked_average_pool

KEPT = 64  # pictures whose features are kept
MARGIN = 64  # pixels that a tile sees beyond its edge


@dataclass(frozen=True)
class Segmentation:
    """What is where in a picture. logits: (1 + W, h, w) at feature size, background first. size: (H, W') of the
    picture. scores: of each class, how alike what was found is to what was marked: the cosine of their mean
    features, 0..1, 0 where nothing was found. A low one says "probably not in this picture"."""

    logits: Tensor
    size: tuple[int, int]
    scores: dict[str, float]

    @cached_property
    def labels(self) -> Tensor:
        """Eq. 4 at the picture's size: uint8 (H, W'), 0 background, 1.. the classes."""
        return upsample(self.logits, self.size).max(0).indices.to(torch.uint8)

    @property
    def probabilities(self) -> Tensor:
        """Eq. 3 at the picture's size: (1 + W, H, W')."""
        return upsample(self.logits, self.size).softmax(0)

    def save(self, path: str | Path) -> None:
        """Write the label map as a palette PNG, as PASCAL VOC's masks are. Errors: OSError."""
        picture = Image.fromarray(self.labels.cpu().numpy())
        picture.putpalette(voc_palette().tobytes())
        write_atomically(path, lambda file: picture.save(file, "PNG", compress_level=1))


class Segmenter:
    """Segments pictures of any size after having seen a few that are marked.

    model: a PANet; by default EfficientNet-Lite0 with its ImageNet weights, PANet-init (Sec. 4.2). size: the longest
    side, in pixels, that the network sees: larger pictures are shrunk to it or, if `tiled`, looked at in tiles of
    that size. device: as torch calls it.
    """

    def __init__(self, model: PANet | None = None, size: int = 320, tiled: bool = False, device: str = "cpu"):
        if size < 2 * MARGIN + 64:
            raise ValueError(f"{size} pixels are too small to see anything: take {2 * MARGIN + 64} or more.")
        self.device = device_named(device)
        self.model = (PANet(lite0("imagenet")) if model is None else model).eval().to(self.device)
        self.size, self.tiled = size, tiled
        self.names: tuple[str, ...] = ()
        self.prototypes: Tensor | None = None  # (1 + W, C), background first
        self.kept: OrderedDict[str, Tensor] = OrderedDict()

    def fit(
        self, images: Iterable[Picture], label_maps: Sequence[Any], names: Sequence[str] | None = None,
        mask_values: Mapping[int, str] | None = None,
    ) -> "Segmenter":  # fmt: skip
        """Learn classes from pictures and what is marked on them: a prototype each (Eq. 1-2).

        images: see `datasets.pictures.picture_of`. label_maps: one for each, see `datasets.marks.marks_of`; they may be
        dense or not, and show several classes. names: of classes 1, 2, ..., where label maps have numbers; without,
        classes are called as in the marks, in the order of their numbers or of their first appearance. mask_values: what
        the values of label maps mean, where it is not plain, {value: name}, see `datasets.meaning`.
        Errors: ValueError for pictures and marks that cannot be read, are not of one size or contradict each other.
        """
        images = several(images)
        if len(images) != len(label_maps) or not images:
            raise ValueError(f"{len(images)} images and {len(label_maps)} label maps: give one for each.")
        pictures = [self.picture(image) for image in images]
        given = zip(label_maps, images, pictures)
        marks = [marks_of(m, size, image, mask_values) for m, image, (_, size) in given]
        classes = names_of(marks, names)
        if seen := seen_among(self.model, classes):
            note = f"The weights were trained on {', '.join(seen)}: a score on it is no test of few shots."
            warnings.warn(note, stacklevel=2)
        maps = [renumbered(mark, classes) for mark in marks]
        check_agreement([digest(picture) for picture, _ in pictures], maps)
        found = [
            self.means(self.features(picture), complete_strokes(labels), len(classes))
            for (picture, _), labels in zip(pictures, maps)
        ]
        prototypes = torch.stack(found).nanmean(0)  # over the pictures that show a class
        for name, prototype in zip(("the background", *map(repr, classes)), prototypes):
            if prototype.isnan().any():
                raise ValueError(f"No picture shows {name}: mark some of it in one of them.")
        self.names, self.prototypes = classes, prototypes
        return self

    def means(self, features: Tensor, labels: Tensor, ways: int) -> Tensor:
        """The mean feature under each label, (1 + W, C); NaN for one that the picture does not show."""
        found = []
        for label in range(ways + 1):  # one after the other: a large picture's masks take memory
            mask = (labels == label)[None].to(self.device)
            mean = masked_average_pool(features[None], mask)[0]
            found.append(mean if mask.any() else torch.full_like(mean, torch.nan))
        return torch.stack(found)

    def predict(self, images: Iterable[Picture]) -> list[Segmentation]:
        """Segment pictures, each at its own size. Errors: ValueError before `fit`, or where one cannot be read."""
        if self.prototypes is None:
            raise ValueError("Nothing is known yet: call fit with marked pictures first.")
        results = []
        for image in several(images):
            picture, size = self.picture(image)
            features = self.features(picture)[None, None]
            logits = match(features, self.prototypes[None], self.model.alpha, self.model.distance)[0, 0]
            found = self.means(features[0, 0], logits.argmax(0), len(self.names))
            alike = cosine_similarity(found, self.prototypes)[1:].nan_to_num(0).clamp(0, 1)
            results.append(Segmentation(logits, size, dict(zip(self.names, alike.tolist()))))
        return results

    def picture(self, source: Picture) -> tuple[Image.Image, tuple[int, int]]:
        """A picture as the network sees it, and its own size (H, W')."""
        return picture_of(source, None if self.tiled else self.size)

    def features(self, picture: Image.Image) -> Tensor:
        """Features (C, h, w) of what `picture` gives, kept: new marks on it cost no pass through the network."""
        key = digest(picture)
        if key not in self.kept:
            pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
            with torch.inference_mode():
                self.kept[key] = self.in_tiles(pixels) if self.tiled else self.embed(pixels)
        self.kept.move_to_end(key)
        if len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return self.kept[key]

    def embed(self, pixels: Tensor) -> Tensor:
        """uint8 (3, H, W') to features (C, h, w)."""
        return self.model.embed(pixels[None].to(self.device).float() / 255)[0]

    def in_tiles(self, pixels: Tensor) -> Tensor:
        """`embed` of a picture of any size, tile by tile: each sees `MARGIN` pixels beyond what it gives."""
        (height, width), stride = pixels.shape[-2:], getattr(self.model.backbone, "stride", 8)
        if getattr(self.model.backbone, "patch", 1) > 1:
            raise ValueError("Tiles are for convolutional networks: leave out tiled, and take a larger size.")
        step, edge = (self.size - 2 * MARGIN) // stride * stride, MARGIN // stride
        rows = []
        for top in range(0, height, step):
            row = []
            for left in range(0, width, step):
                y, x = max(0, top - MARGIN), max(0, left - MARGIN)
                tile = self.embed(pixels[:, y : top + step + MARGIN, x : left + step + MARGIN])
                inner = tile[:, edge if top else 0 :, edge if left else 0 :]
                row.append(inner[:, : step // stride, : step // stride])
            rows.append(torch.cat(row, -1))
        return torch.cat(rows, -2)


def several(images: Iterable[Picture]) -> list[Picture]:
    """The pictures; a ValueError for one that stands alone, which would be taken apart."""
    if isinstance(images, (str, Path, Image.Image)) or getattr(images, "ndim", 4) < 4:
        raise ValueError("A list of pictures is wanted, also for a single one: [picture].")
    return list(images)


def names_of(marks: Sequence[Marks], names: Sequence[str] | None) -> tuple[str, ...]:
    """The classes of all marks: as `names` says, else numbers in their order, else as they first appear."""
    found = list(dict.fromkeys(name for mark in marks for name in mark.names))
    if (many := max(len(found), len(names or ()))) >= VOID:
        raise ValueError(f"{many} classes are marked: a label map tells {VOID - 1} apart.")
    if not names:
        return tuple(sorted(found, key=int) if all(name.isdecimal() for name in found) else found)
    allowed = {*names, *map(str, range(1, len(names) + 1))}
    if wrong := [name for name in found if name not in allowed]:
        raise ValueError(f"{wrong[0]!r} is marked, but the names are {', '.join(names)}: name all, or none.")
    return tuple(names)


def renumbered(mark: Marks, names: tuple[str, ...]) -> Tensor:
    """A label map in the numbers that the classes have among `names`, by name or, where it has none, by number."""
    table = torch.zeros(256, dtype=torch.uint8)
    table[VOID] = VOID
    for label, name in enumerate(mark.names, start=1):
        table[label] = names.index(name) + 1 if name in names else int(name)
    return table[mark.labels.long()]


def digest(picture: Image.Image) -> str:
    """What tells a picture from others: its pixels."""
    return hashlib.sha256(picture.tobytes()).hexdigest() + str(picture.size)


def check_agreement(pictures: Sequence[str], maps: Sequence[Tensor]) -> None:
    """A ValueError where a picture is given twice and marked as different things."""
    for (i, a), (j, b) in combinations(enumerate(maps, start=1), 2):
        same = pictures[i - 1] == pictures[j - 1] and a.shape == b.shape
        if same and ((a != b) & (a != VOID) & (b != VOID)).any():
            raise ValueError(f"Pictures {i} and {j} are one; their marks contradict each other: drop one.")
