"""Images and label maps on disk, in the layout of PASCAL VOC (paper Sec. 4.1; chapters 1 and 11).

One reader serves every data set: Tabletop-5i, which comes with the book, and PASCAL-5i, made of
PASCAL VOC 2012. A data set knows its images, classes and folds; it knows nothing of episodes.
"""

import contextlib
import hashlib
import os
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from platformdirs import user_cache_path
from torch import Tensor

VOID = 255  # the label PASCAL VOC gives to pixels nobody should be judged by
DATA = Path(os.environ.get("PANET_LITE_DATA", Path(__file__).resolve().parents[1] / "data"))

PASCAL_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
TABLETOP_CLASSES = (
    "mug", "bottle", "bowl", "wine glass", "candle", "chess pawn", "die", "donut", "pear", "carrot",
    "mushroom", "fir tree", "snowman", "house", "table", "chair", "lamp", "gear", "screw", "book",
)  # fmt: skip


def write_atomically(path: str | Path, write: Callable[[Path], None]) -> None:
    """Call `write` on a file beside `path`, then rename it: readers see the old file or the new one.

    Any error leaves the old file as it was, removes what was half-written, and names `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"Could not write {path} ({error.strerror or error}): nothing was changed there. Free some "
            "space or choose a folder you may write to."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_image(path: str | Path, size: int | None = None) -> Tensor:
    """A picture of any kind as RGB, uint8 (3, H, W); squashed to (size, size) if given.

    Grey, palette, RGBA, CMYK and 16-bit pictures are converted; a camera's EXIF rotation is applied.
    Errors: ValueError where the file is truncated or no picture.
    """
    try:
        with Image.open(path) as picture:
            picture = ImageOps.exif_transpose(picture)
            if picture.mode.startswith("I"):  # 16 bits a pixel; PIL would clip them to white
                picture = Image.fromarray((np.asarray(picture, dtype=np.int64) >> 8).astype(np.uint8))
            picture = picture.convert("RGB")
            if size is not None:
                picture = picture.resize((size, size), Image.Resampling.BILINEAR)
            return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"The image {path} cannot be read ({error}): it is truncated or no picture."
        ) from error


def read_label_map(path: str | Path, size: int | None = None) -> Tensor:
    """A label map, uint8 (H, W), from a palette or grey PNG; nearest neighbour to (size, size)."""
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L", "1"):
                raise ValueError(
                    f"The mask {path} is a picture of mode {picture.mode}, not a label map: save it with "
                    "one channel (palette or grey) whose values are class indices."
                )
            if size is not None:
                picture = picture.resize((size, size), Image.Resampling.NEAREST)
            return torch.from_numpy(np.array(picture, dtype=np.uint8))
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"The mask {path} cannot be read ({error}): it is truncated or no picture."
        ) from error


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) as shown, EXIF rotation applied; reads the header only."""
    try:
        with Image.open(path) as picture:
            turned = picture.getexif().get(0x0112, 1) >= 5
            return picture.size[::-1] if turned else picture.size
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} cannot be read ({error}): it is truncated or no picture.") from error


def class_areas(images: list[Path], masks: list[Path], classes: int) -> np.ndarray:
    """Pixels of each label in each mask, int64 (N, 256); every pair is checked once.

    Errors: ValueError names the first mask that holds a value that is no class (0..classes, 255), or
    whose size is not its image's.
    """
    areas = np.zeros((len(masks), 256), np.int64)
    for row, (image, path) in enumerate(zip(images, masks)):
        labels = read_label_map(path).numpy()
        areas[row] = np.bincount(labels.ravel(), minlength=256)
        if picture_size(image) != labels.shape[::-1]:
            raise ValueError(
                f"The mask {path} is {labels.shape[1]} x {labels.shape[0]} pixels, but its image is "
                "{} x {}: they must be of one size.".format(*picture_size(image))
            )
        if wrong := [v for v in np.flatnonzero(areas[row]) if classes < v < VOID]:
            raise ValueError(
                f"The mask {path} holds the value {wrong[0]}, which is no class: labels are 0..{classes} "
                f"and {VOID} for void."
            )
    return areas


def cached_class_areas(images: list[Path], masks: list[Path], classes: int) -> np.ndarray:
    """`class_areas`, kept in the user's cache folder until one of the files changes."""
    key = hashlib.sha256(str(classes).encode())
    for path in (*images, *masks):
        status = path.stat()
        key.update(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}\n".encode())
    cache = user_cache_path("panet_lite") / f"areas-{key.hexdigest()[:32]}.npy"
    with contextlib.suppress(Exception):  # not there yet, or spoilt in whatever way
        areas = np.load(cache)
        if areas.shape == (len(masks), 256):
            return areas
    areas = class_areas(images, masks, classes)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        write_atomically(cache, lambda path: np.save(path, areas))
    return areas


class SegmentationDataset:
    """Images and label maps in VOC layout: what PASCAL VOC and Tabletop-5i have in common.

    root: the folder with JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/<split>.txt.
    classes: the names of labels 1, 2, ... size: squash everything to (size, size), the paper's way
    (417 for VGG-16); None keeps each file's own size. Fold i holds labels 5i + 1 .. 5i + 5 (Sec. 4.1).
    """

    def __init__(self, root: str | Path, split: str, classes: tuple[str, ...], size: int | None = None):
        self.root, self.split, self.classes, self.size = Path(root), split, classes, size
        self.folds = tuple(tuple(range(i + 1, i + 6)) for i in range(0, len(classes), 5))
        listing = self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        if not listing.is_file():
            raise FileNotFoundError(
                f"There is no data set at {self.root}: {listing} is missing. Tabletop-5i comes with the "
                "repository in data/tabletop; for PASCAL VOC set PANET_VOC_ROOT to the folder that holds "
                "VOC2012/."
            )
        self.ids = listing.read_text().split()
        augmented = self.root / "SegmentationClassAug"
        masks = augmented if augmented.is_dir() else self.root / "SegmentationClass"
        self.image_paths = [self.root / "JPEGImages" / f"{name}.jpg" for name in self.ids]
        self.mask_paths = [masks / f"{name}.png" for name in self.ids]
        if missing := [p for p in (*self.image_paths, *self.mask_paths) if not p.is_file()]:
            raise FileNotFoundError(
                f"The data set at {self.root} is incomplete: {len(missing)} files that {split}.txt lists "
                f"are missing, the first is {missing[0]}. Copy or extract it again."
            )
        areas = cached_class_areas(self.image_paths, self.mask_paths, len(classes))
        self.coverage = areas / areas.sum(1, keepdims=True)  # (N, 256): share of the image, by label

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
        path = self.root / "SegmentationObject" / f"{self.ids[index]}.png"
        return read_label_map(path, self.size) if path.is_file() else None

    def images_of(self, label: int, least: float = 0.0) -> np.ndarray:
        """Indices of the images in which the class covers more than nothing and at least `least`."""
        share = self.coverage[:, label]
        return np.flatnonzero((share > 0) & (share >= least))

    def fold(self, index: int) -> tuple[int, ...]:
        """The labels of a fold, counted from 0: fold i is the paper's split-(i + 1)."""
        if not 0 <= index < len(self.folds):
            raise ValueError(
                f"There is no fold {index}: folds are 0..{len(self.folds) - 1}, the paper's split-1 is fold 0."
            )
        return self.folds[index]

    def labels_of(self, names: list[str] | tuple[str, ...]) -> tuple[int, ...]:
        """Class names to labels."""
        if unknown := [name for name in names if name not in self.classes]:
            raise ValueError(
                f"{unknown[0]!r} is no class of this data set: choose from {', '.join(self.classes)}."
            )
        return tuple(self.classes.index(name) + 1 for name in names)


class Tabletop(SegmentationDataset):
    """Tabletop-5i: rendered everyday objects, 20 classes, 4 folds; lies in data/tabletop."""

    def __init__(self, split: str = "val", size: int | None = None, root: str | Path | None = None):
        super().__init__(root or DATA / "tabletop", split, TABLETOP_CLASSES, size)


class Pascal(SegmentationDataset):
    """PASCAL-5i (Sec. 4.1): PASCAL VOC 2012, with SBD's masks where SegmentationClassAug/ is there.

    root: the folder that holds VOC2012/, by default what PANET_VOC_ROOT names. The split "trainaug"
    falls back to "train" where it has no list, and says so.
    """

    def __init__(self, split: str = "val", size: int | None = 417, root: str | Path | None = None):
        root = root or os.environ.get("PANET_VOC_ROOT")
        if root is None:
            raise FileNotFoundError(
                "PASCAL VOC does not come with the book: set PANET_VOC_ROOT to the folder of VOC2012/."
            )
        root = Path(root).expanduser() / "VOC2012"
        lists = root / "ImageSets" / "Segmentation"
        if split == "trainaug" and not (lists / "trainaug.txt").is_file() and (lists / "train.txt").is_file():
            warnings.warn(f"{lists} has no trainaug.txt: using train.txt instead.", stacklevel=2)
            split = "train"
        super().__init__(root, split, PASCAL_CLASSES, size)


DATASETS = {"tabletop": Tabletop, "pascal": Pascal}
