"""Images and label maps on disk, in the layout of PASCAL VOC (paper Sec. 4.1; chapters 1 and 11).

One reader serves every data set: Tabletop-5i, which comes with the book; `pascal`, `coco` and `folders` build on it.
A data set knows its images, classes and folds; it knows nothing of episodes.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path
from torch import Tensor

from ..files import cached, first_there, lines_of
from .masks import VOID, label_areas, read_label_map
from .pictures import doubles, read_image

HERE = Path(__file__).resolve().parents[1]  # installed, the data lie in it; in a checkout, beside it
NAMED = os.environ.get("PANET_LITE_DATA", "").strip()
OWN = first_there(HERE / "data", HERE.parent / "data", HERE / "data")
DATA = Path(os.path.abspath(os.path.expanduser(NAMED))) if NAMED else OWN
REMEDY = (  # where a file of DATA is missing
    f"PANET_LITE_DATA is set to {NAMED!r}: unset it, or let it name" if NAMED
    else "It comes with panet_lite: install that again, or set PANET_LITE_DATA to"
) + " a folder that holds tabletop/ and checkpoints/."  # fmt: skip

TABLETOP_CLASSES = (
    "mug", "bottle", "bowl", "wine glass", "candle", "chess pawn", "die", "donut", "pear", "carrot",
    "mushroom", "fir tree", "snowman", "house", "table", "chair", "lamp", "gear", "screw", "book",
)  # fmt: skip


def cache_file(name: str) -> Path:
    """Where the user's cache folder keeps what `name` says: its first word, and a digest of all of it."""
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]  # names of files need not be UTF-8
    return user_cache_path("panet_lite") / f"{name.split()[0]}-{digest}.npz"


class SegmentationDataset:
    """Images and label maps in VOC layout: what PASCAL VOC and Tabletop-5i have in common.

    root: the folder with JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/<split>.txt; masks in
    SegmentationClassAug/ come first. classes: the names of labels 1, 2, ... size: squash everything to
    (size, size), the paper's way (417 for VGG-16); None keeps each file's own size. skip_broken: decode
    every image once, and let no episode have one that cannot be read; they are named. Fold i holds labels
    5i + 1 .. 5i + 5 (Sec. 4.1).
    Errors: FileNotFoundError where files are missing, ValueError for a mask that is no label map.
    """

    def __init__(
        self, root: str | Path, split: str, classes: tuple[str, ...], size: int | None = None,
        skip_broken: bool = False,
    ):  # fmt: skip
        self.root, self.split, self.classes, self.size = Path(root), split, classes, size
        self.folds = tuple(tuple(range(i + 1, i + 6)) for i in range(0, len(classes), 5))
        self.ids = self.listed()
        self.image_paths = [self.image_path(name) for name in self.ids]
        self.mask_paths = [self.mask_path(name) for name in self.ids]
        self.check_files((*self.image_paths, *self.mask_paths), f"{self.split}.txt")
        self.cover(*self.areas(skip_broken))

    def check_files(self, paths: Iterable[Path], listing: str) -> None:
        """A FileNotFoundError names the first file that is missing, and how many are."""
        if missing := [path for path in paths if not os.path.isfile(path)]:
            advice = REMEDY if self.root == DATA / "tabletop" else "Copy or extract it again."
            raise FileNotFoundError(
                f"The data set at {self.root} is incomplete: {len(missing)} files that {listing} lists are "
                f"missing, the first is {missing[0]}. {advice}"
            )

    def listed(self) -> list[str]:
        """The names of the split's images."""
        return self.read_list(self.split)

    def read_list(self, split: str) -> list[str]:
        """The names in ImageSets/Segmentation/<split>.txt, without what other programs put around them: folders,
        .jpg, and HSNet's __05, the class."""
        listing = self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        if not os.path.isfile(listing):
            if there := sorted(path.stem for path in listing.parent.glob("*.txt")):
                raise FileNotFoundError(f"There is no list {listing}: choose one of {', '.join(there)}.")
            other = "For PASCAL VOC, PANET_VOC_ROOT or --root names the folder that holds VOC2012/."
            advice = REMEDY if self.root == DATA / "tabletop" else other
            raise FileNotFoundError(f"There is no data set at {self.root}: {listing} is missing. {advice}")
        firsts = [Path(line.split()[0]).name for line in lines_of(listing)]
        names = [re.sub(r"\.(jpe?g|png|mat)$", "", first, flags=re.I) for first in firsts]
        return [n if os.path.isfile(self.image_path(n)) else re.sub(r"__\d+$", "", n) for n in names]

    def image_path(self, name: str) -> Path:
        """Where an image lies."""
        return self.root / "JPEGImages" / f"{name}.jpg"

    def mask_path(self, name: str) -> Path:
        """Where its label map lies."""
        folders = "SegmentationClassAug", "SegmentationClass"
        return first_there(*(self.root / folder / f"{name}.png" for folder in folders))

    def object_path(self, name: str) -> Path:
        """Where its instance map lies, if there is one."""
        return self.root / "SegmentationObject" / f"{name}.png"

    def areas(self, skip_broken: bool) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of each label in each image, (N, 256), zeros for an image left out; and, (N,), the first of the images
        that are one picture. Computed once."""
        name = f"areas {self.root.resolve()} {self.split} {len(self.classes)} {skip_broken}"
        images, masks, classes = self.image_paths, self.mask_paths, len(self.classes)

        def make() -> dict[str, np.ndarray]:
            areas = label_areas(images, masks, skip_broken)
            for path, row in zip(masks, areas):
                if wrong := [value for value in np.flatnonzero(row) if classes < value < VOID]:
                    raise ValueError(
                        f"The mask {path} holds the value {wrong[0]}, which is no class: labels are "
                        f"0..{classes} and {VOID} for void."
                    )
            return {"areas": areas, "first": doubles(images)}

        found = cached(cache_file(name), (*images, *masks), make)
        return found["areas"], found["first"]

    def cover(self, areas: np.ndarray, pictures: np.ndarray) -> None:
        """Set `coverage` (N, 256), the share of the image by label, and name the images left out.

        pictures: (N,), equal where images are one picture. Only the first counts: else it might be a query's own support.
        """
        pixels = areas.sum(1, keepdims=True)
        self.coverage = areas / np.maximum(pixels, 1)
        _, first, where = np.unique(pictures, return_index=True, return_inverse=True)
        if len(again := np.setdiff1d(np.arange(len(self)), first)):
            self.coverage[again] = 0
            one, other = self.ids[first[where[again[0]]]], self.ids[again[0]]
            warnings.warn(
                f"In {self!r} {len(again)} pictures are there twice, such as {one} and {other}, which hold the same bytes: "
                "each counts once, with the first mask.",
                stacklevel=3,
            )
        if broken := [path for path, n in zip(self.image_paths, pixels) if not n]:
            more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
            warnings.warn(
                f"Left out of {self!r}, as they or their masks cannot be read: "
                f"{', '.join(map(str, broken[:3]))}{more}.",
                stacklevel=3,
            )

    def source(self, kind: str, index: int) -> Path:
        """The file that the method `kind` (image, label_map or instances) reads for an image."""
        if kind == "instances":
            return self.object_path(self.ids[index])
        return (self.image_paths if kind == "image" else self.mask_paths)[index]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.split!r}, {len(self)} images, {len(self.classes)} classes)"

    def image(self, index: int) -> Tensor:
        """RGB, uint8 (3, H, W)."""
        return read_image(self.image_paths[index], self.size)

    def label_map(self, index: int) -> Tensor:
        """uint8 (H, W): 0 background, 1.. the data set's classes, 255 void."""
        return read_label_map(self.mask_paths[index], self.size)

    def instances(self, index: int) -> Tensor | None:
        """uint8 (H, W): 1.. the objects of the image, 255 void; None where no file says so."""
        path = self.object_path(self.ids[index])
        return read_label_map(path, self.size) if path.is_file() else None

    def images_of(self, label: int, least: float = 0.0) -> np.ndarray:
        """Indices of the images in which the class covers more than nothing and at least `least`."""
        if label not in range(1, len(self.classes) + 1):
            what = {0: "the background", VOID: "void"}.get(label, "no class")
            raise ValueError(f"The label {label} is {what}: those of {self!r} are 1..{len(self.classes)}.")
        share = self.coverage[:, label]
        return np.flatnonzero((share > 0) & (share >= least))

    def fold(self, index: int) -> tuple[int, ...]:
        """The labels of a fold, counted from 0: fold i is the paper's split-(i + 1)."""
        if index not in range(len(self.folds)):
            raise ValueError(
                f"There is no fold {index!r}: folds are 0..{len(self.folds) - 1}, the paper's split-1 is fold 0."
            )
        return self.folds[int(index)]

    def labels_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """Class names to labels."""
        if unknown := [name for name in names if name not in self.classes]:
            raise ValueError(
                f"{unknown[0]!r} is no class of this data set: choose from {', '.join(self.classes)}."
            )
        return tuple(self.classes.index(name) + 1 for name in names)


class Tabletop(SegmentationDataset):
    """Tabletop-5i: rendered everyday objects, 20 classes, 4 folds; comes with the package."""

    def __init__(
        self, split: str = "val", size: int | None = None, root: str | Path | None = None,
        skip_broken: bool = False,
    ):  # fmt: skip
        super().__init__(root or DATA / "tabletop", split, TABLETOP_CLASSES, size, skip_broken)
