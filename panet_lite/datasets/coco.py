"""COCO-20i: MS COCO 2014 for episodes (paper Sec. 4.1, Table 4; chapter 11).

Its 82,783 training images come with outlines, not with label maps. They are read once, with pycocotools,
into run lengths and areas that the user's cache folder keeps; label maps are painted when asked for.
"""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ..files import cached
from .pictures import picture_size, readable, resized
from .voc import VOID, SegmentationDataset, cache_file

SPLITS = {"train": "train2014", "trainaug": "train2014", "val": "val2014"}
Run = dict[str, Any]  # of a mask: its "size" and "counts", pixels outside and inside in turn


def tools() -> tuple[Any, Any]:
    """pycocotools' `coco` and `mask`; a ValueError says how to get them."""
    try:
        from pycocotools import coco, mask
    except ImportError as error:
        raise ValueError(f"COCO-20i needs pycocotools ({error}): pip install pycocotools.") from error
    return coco, mask


def read_annotations(path: Path) -> Any:
    """A COCO file of instances, by pycocotools; a ValueError where it is truncated or something else."""
    reader = tools()[0]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of its progress
            coco = reader.COCO(str(path))
        for image in coco.imgs.values():
            image["file_name"], image["width"], image["height"]  # are needed
        if coco.cats and coco.imgs and coco.anns:
            return coco
        error = "no categories, images or annotations in it"
    except (ValueError, KeyError, TypeError, AssertionError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    raise ValueError(
        f"The annotations {path} cannot be read ({error}): the file is truncated or not COCO's instances. "
        "Download or extract it again."
    )


def paint(runs: list[Run], values: list[int] | np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A label map (H, W), uint8: each mask, given by its run lengths, over those before it."""
    labels = np.zeros(shape, np.uint8, order="F")  # run lengths go down the columns
    for run, value in zip(runs, values):
        np.copyto(labels, value, where=tools()[1].decode(run).view(bool))
    return labels


def runs_of(coco: Any, image: dict[str, Any], labels: dict[int, int]) -> tuple[list[Run], list[int]]:
    """The run lengths of an image's annotations and their labels, in the order they are painted in.

    Crowds come first, as void; then the large before the small, so that what lies on a table is seen.
    """
    found = []
    for annotation in coco.imgToAnns[image["id"]]:
        where = f"Annotation {annotation.get('id')} of image {image['file_name']}"
        if annotation["category_id"] not in labels:
            raise ValueError(
                f"{where} is of category {annotation['category_id']}, which the file does not list: mend it or "
                "download it again."
            )
        try:
            run, crowd = coco.annToRLE(annotation), bool(annotation.get("iscrowd"))
            area = int(tools()[1].area(run))
        except Exception as error:  # pycocotools raises what it comes across
            raise ValueError(f"{where} has no outline that pycocotools reads ({error}): mend it.") from error
        if isinstance(run["counts"], str):
            run = {**run, "counts": run["counts"].encode()}
        found.append((not crowd, -area, run, VOID if crowd else labels[annotation["category_id"]]))
    found.sort(key=lambda item: item[:2])
    return [item[2] for item in found], [item[3] for item in found]


def index(path: Path) -> dict[str, np.ndarray]:
    """All that a COCO file says, as arrays: names and sizes of the images, run lengths, areas by label.

    Label k is the k-th category in the order of their ids, which have gaps. Image i has the masks
    starts[i] .. starts[i + 1], mask m the bytes ends[m] .. ends[m + 1] of `runs`.
    """
    coco = read_annotations(path)
    categories = sorted(coco.cats)
    if len(categories) >= VOID:
        raise ValueError(f"{path} lists more categories than a label map tells apart, {VOID - 1}.")
    labels = {category: label for label, category in enumerate(categories, start=1)}
    images = [coco.imgs[number] for number in sorted(coco.imgs)]
    areas, runs, values, starts = np.zeros((len(images), 256), np.int32), [], [], [0]
    for row, image in enumerate(tqdm(images, "first look", leave=False, delay=2, disable=None)):
        own, labelled = runs_of(coco, image, labels)
        painted = paint(own, labelled, (image["height"], image["width"]))
        areas[row] = np.bincount(painted.ravel("K"), minlength=256)
        runs += [run["counts"] for run in own]
        values += labelled
        starts.append(len(values))
    return {
        "names": np.array([image["file_name"] for image in images]),
        "sizes": np.array([(image["height"], image["width"]) for image in images]),
        "classes": np.array([coco.cats[category]["name"] for category in categories]),
        "areas": areas, "starts": np.array(starts), "values": np.array(values, np.uint8),
        "ends": np.cumsum([0, *map(len, runs)]), "runs": np.frombuffer(b"".join(runs), np.uint8),
    }  # fmt: skip


class Coco(SegmentationDataset):
    """COCO-20i (Sec. 4.1, Table 4): MS COCO 2014, 80 classes in 4 folds.

    split: "train" or "val", or another name for which annotations/instances_<name>.json and the folder
    <name>/ exist. root: the folder that holds them, by default what PANET_COCO_ROOT names. folds: "A",
    consecutive by category id (paper), or "B", interleaved: fold i holds labels i + 1 + 4v (later work).
    Crowds are void. size, skip_broken: as in `SegmentationDataset`.
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
        self.root, self.split, self.size = Path(root).expanduser(), SPLITS.get(split, split), size
        self.annotations = self.root / "annotations" / f"instances_{self.split}.json"
        self.arrays = self.read()
        self.ids = [Path(str(name)).stem for name in self.arrays["names"]]
        self.classes = tuple(map(str, self.arrays["classes"]))
        labels = range(1, len(self.classes) + 1)
        parts = [labels[i::4] for i in range(4)] if folds == "B" else np.array_split(labels, 4)
        self.folds = tuple(tuple(int(label) for label in part) for part in parts)
        self.image_paths = [self.root / self.split / str(name) for name in self.arrays["names"]]
        self.check_files(self.image_paths, f"instances_{self.split}.json")
        self.cover(self.areas(skip_broken))

    def read(self) -> dict[str, np.ndarray]:
        """What `index` finds in the annotations, now or earlier."""
        path = self.annotations
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no COCO at {self.root}: {path} is missing. Get it by `python -m panet_lite download "
                "coco --root FOLDER`, or set PANET_COCO_ROOT to the folder that holds annotations/."
            )
        return cached(cache_file(f"coco {path.resolve()}"), [path], lambda: index(path))

    def areas(self, skip_broken: bool) -> np.ndarray:
        """Pixels of each label in each image, (N, 256); zeros for an image left out."""
        areas = self.arrays.pop("areas")
        if skip_broken:
            name = f"readable {self.root.resolve()} {self.split}"
            areas[~cached(cache_file(name), self.image_paths, lambda: readable(self.image_paths))["all"]] = 0
        return areas

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
