"""COCO-20i: MS COCO 2014 for episodes (paper Sec. 4.1, Table 4; chapter 11).

Its 82,783 training images come with outlines, not with label maps. They are read once, with pycocotools,
into run lengths and areas that the user's cache folder keeps; label maps are painted when asked for.
"""

import os
import warnings
from pathlib import Path

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ..files import cached
from .masks import VOID, resized
from .outlines import Run, read_annotations, tools
from .pictures import doubles, picture_size, readable
from .voc import SegmentationDataset, cache_file

TRAIN, VAL = ("train2014", "train2017"), ("val2014", "val2017")
SPLITS = {"train": TRAIN, "trainaug": TRAIN, "val": VAL}  # where 2014 is missing, 2017


def paint(runs: list[Run], values: list[int] | np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A label map (H, W), uint8: each mask, given by its run lengths, over those before it."""
    labels = np.zeros(shape, np.uint8, order="F")  # run lengths go down the columns
    for run, value in zip(runs, values):
        np.copyto(labels, value, where=tools().decode(run).view(bool))
    return labels


def index(path: Path) -> dict[str, np.ndarray]:
    """All that a COCO file says, as arrays: names and sizes of the images, run lengths, areas by label.

    Label k is the k-th category in the order of their ids, which have gaps. Image i has the masks
    starts[i] .. starts[i + 1], mask m the bytes ends[m] .. ends[m + 1] of `runs`. `note` tells of the rest.
    """
    coco = read_annotations(path)
    if len(coco.names) >= VOID:
        raise ValueError(f"{path} lists more categories than a label map tells apart, {VOID - 1}.")
    labels = {category: label for label, category in enumerate(coco.names, start=1)}
    areas, runs, values, starts = np.zeros((len(coco.images), 256), np.int32), [], [], [0]
    for row, image in enumerate(tqdm(coco.images, "first look", leave=False, delay=2, disable=None)):
        own, categories = coco.runs(image)
        labelled = [VOID if category is None else labels[category] for category in categories]
        painted = paint(own, labelled, coco.images[image][1:])
        areas[row] = np.bincount(painted.ravel("K"), minlength=256)
        runs += [run["counts"] for run in own]
        values += labelled
        starts.append(len(values))
    if not values:
        raise ValueError(f"Nothing is marked in {path}, so it is not COCO's instances: {coco.note()}")
    return {
        "names": np.array([name for name, *_ in coco.images.values()]),
        "sizes": np.array([size for _, *size in coco.images.values()]),
        "classes": np.array(list(coco.names.values())), "note": np.array(coco.note()),
        "areas": areas, "starts": np.array(starts), "values": np.array(values, np.uint8),
        "ends": np.cumsum([0, *map(len, runs)]), "runs": np.frombuffer(b"".join(runs), np.uint8),
    }  # fmt: skip


class Coco(SegmentationDataset):
    """COCO-20i (Sec. 4.1, Table 4): MS COCO 2014, 80 classes in 4 folds; or what lies as it does.

    split: "train" or "val" (of 2017 where 2014 is missing), or another name for which there are
    annotations/instances_<name>.json and the folder <name>/. root: the folder that holds them, by default what
    PANET_COCO_ROOT names. folds: "A", consecutive by category id (paper), or "B", interleaved: fold i holds
    labels i + 1 + 4v (later work). Crowds are void. Annotations that cannot be used are left out, with a note
    of how many and why. size, skip_broken: as in `SegmentationDataset`.
    Errors: FileNotFoundError where files are missing, ValueError where they cannot be used.
    """

    def __init__(
        self, split: str = "val", size: int | None = 417, root: str | Path | None = None, folds: str = "A",
        skip_broken: bool = False,
    ):  # fmt: skip
        root = root or os.environ.get("PANET_COCO_ROOT")
        if root is None:
            raise FileNotFoundError(
                "MS COCO does not come with the book: set PANET_COCO_ROOT to the folder of annotations/ and "
                "train2014/, or get it by `python -m panet_lite download coco --root FOLDER`."
            )
        if folds not in ("A", "B"):
            raise ValueError(f"COCO-20i has folds A and B, not {folds!r}.")
        self.root, self.size = Path(os.path.expanduser(root)), size
        files = [self.root / "annotations" / f"instances_{name}.json" for name in SPLITS.get(split, (split,))]
        self.annotations = next(filter(Path.is_file, files), files[0])
        self.split = self.annotations.stem.removeprefix("instances_")
        self.arrays = self.read()
        if self.annotations != files[0]:
            other = f"{self.split} is used. Take train and val of one year: between years they overlap."
            warnings.warn(f"There is no {files[0]}: {other}", stacklevel=2)
        if note := str(self.arrays["note"]):
            warnings.warn(note, stacklevel=2)
        names = [name.removeprefix(f"{self.split}/") for name in self.arrays["names"].tolist()]
        stems = [Path(name).stem for name in names]
        self.ids = stems if len(set(stems)) == len(stems) else names
        self.classes = tuple(map(str, self.arrays["classes"]))
        labels = range(1, len(self.classes) + 1)
        parts = [labels[i::4] for i in range(4)] if folds == "B" else np.array_split(labels, 4)
        self.folds = tuple(tuple(int(label) for label in part) for part in parts if len(part))
        self.image_paths = [self.root / self.split / name for name in names]
        self.check_files(self.image_paths, f"instances_{self.split}.json")
        self.cover(*self.areas(skip_broken))

    def read(self) -> dict[str, np.ndarray]:
        """What `index` finds in the annotations, now or earlier."""
        path = self.annotations
        if not path.is_file():
            there = ", ".join(sorted(file.name for file in path.parent.glob("instances_*.json")))
            raise FileNotFoundError(
                f"There is no COCO at {self.root}: {path} is missing{there and f' ({there} is there)'}. Get it "
                "by `python -m panet_lite download coco --root FOLDER`, or set PANET_COCO_ROOT to the folder that "
                "holds annotations/."
            )
        return cached(cache_file(f"coco joined {path.resolve()}"), [path], lambda: index(path))

    def areas(self, skip_broken: bool) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of each label in each image, (N, 256), zeros for an image left out; and the first of equal ones, (N,)."""
        images, areas = self.image_paths, self.arrays.pop("areas")
        file = cache_file(f"doubles {self.root.resolve()} {self.split}")
        first = cached(file, images, lambda: {"first": doubles(images)})["first"]
        if skip_broken:
            name = f"readable {self.root.resolve()} {self.split}"
            areas[~cached(cache_file(name), images, lambda: readable(images))["all"]] = 0
        return areas, first

    def source(self, kind: str, index: int) -> Path:
        """The file that the method `kind` (image, label_map or instances) reads for an image."""
        return self.image_paths[index] if kind == "image" else self.annotations

    def image(self, index: int) -> Tensor:
        """RGB, uint8 (3, H, W). Errors: ValueError where it is not as large as the annotations say."""
        image, path = super().image(index), self.image_paths[index]
        size, wanted = (f"{w} x {h}" for w, h in (picture_size(path), self.arrays["sizes"][index, ::-1]))
        if size != wanted:
            raise ValueError(
                f"The image {path} is {size} pixels, but {self.annotations} says {wanted}: copy it again."
            )
        return image

    def masks(self, index: int) -> tuple[list[Run], np.ndarray]:
        """Run lengths and labels of an image's masks, in the order they are painted in."""
        first, last = self.arrays["starts"][index : index + 2]
        ends, size = self.arrays["ends"][first : last + 1], self.arrays["sizes"][index].tolist()
        runs = [self.arrays["runs"][a:b].tobytes() for a, b in zip(ends, ends[1:])]
        return [{"size": size, "counts": run} for run in runs], self.arrays["values"][first:last]

    def painted(self, index: int, runs: list[Run], values: np.ndarray) -> Tensor:
        """`paint` at the data set's size."""
        return resized(paint(runs, values, self.arrays["sizes"][index]), self.size)

    def label_map(self, index: int) -> Tensor:
        """uint8 (H, W): 0 background, 1.. the data set's classes, 255 crowds."""
        return self.painted(index, *self.masks(index))

    def instances(self, index: int) -> Tensor:
        """uint8 (H, W): 1.. the objects of the image, 255 crowds."""
        runs, values = self.masks(index)
        numbers = np.cumsum(values != VOID) % VOID  # of more than 254 objects, some would share a number
        return self.painted(index, runs, np.where(values == VOID, VOID, numbers).astype(np.uint8))
