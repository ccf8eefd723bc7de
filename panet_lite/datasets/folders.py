"""Your own data: a folder of pictures and a folder of masks (chapter 11; appendix on data)."""

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files import cached, lines_of
from .pictures import HEIC, SMEARED, label_areas, suffixes
from .voc import VOID, SegmentationDataset, cache_file


def pictures_in(folder: Path, without: Collection[Path] = ()) -> dict[str, Path]:
    """The pictures of a folder by their names without suffix, but for those in `without`, resolved paths.

    Errors: ValueError where two share a name, FileNotFoundError where there is none.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no data set at {folder.parent}: it needs the folders images/ and masks/, and {folder} is "
            "missing."
        )
    found: dict[str, Path] = {}
    known = suffixes()
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in known and path.name[0] != "." and path.resolve() not in without:
            if path.stem in found:
                raise ValueError(f"{found[path.stem]} and {path} share a name: give each image its own.")
            found[path.stem] = path
    if not found:
        raise FileNotFoundError(f"There is no picture in {folder}: put them there, not into folders of it.")
    return found


def pictures_among(queries: Sequence[Path], marked: Sequence[Path]) -> list[Path]:
    """The files among `queries`, and the pictures in the folders among them, without the pictures and masks that are
    marked; notes say what is left out. Errors: ValueError where nothing is left, or two pictures share a name."""
    found: dict[str, Path] = {}
    known = {path.resolve() for path in marked}
    for query in queries:
        inside = pictures_in(query, known) if query.is_dir() else {query.stem: query}
        others = [p for p in sorted(query.glob("[!.]*")) if p.is_file() and p.resolve() not in known]
        if names := [p.name for p in others if inside.get(p.stem) != p]:
            hint = " (HEIC: pip install pillow-heif)" if any(n.lower().endswith(HEIC) for n in names) else ""
            text = f"Left out of {query}, as Pillow reads no such files{hint}: {', '.join(names[:9])}."
            warnings.warn(text, stacklevel=2)
        for name, path in inside.items():
            if found.setdefault(name, path) != path:
                raise ValueError(f"{found[name]} and {path} share a name: rename one.")
    if not found:
        raise ValueError("There is no picture to segment: --query names pictures, or folders that hold some.")
    return list(found.values())


class Folder(SegmentationDataset):
    """Your own data: root/images/ holds pictures of any kind, root/masks/ a PNG of the same name for each.

    A mask has one channel: 0 background, 255 void, and a value for each class. root/classes.txt names the
    classes 1, 2, ... on a line each; without it, each value found is a class, named by its number. Where
    masks hold only 0 and 255, 255 is the one class. root/objects/, if there, tells objects apart.
    split: root/<split>.txt lists names; with neither train.txt nor val.txt, every split is all of it.
    folds: how many, of consecutive classes (default 1: fold 0 has all), or the names of each fold's classes;
    those without a fold are one more.
    size, skip_broken: as in `SegmentationDataset`.
    Errors: FileNotFoundError where files are missing, ValueError where they cannot be used.
    """

    def __init__(
        self, split: str = "val", size: int | None = 417, root: str | Path | None = None,
        folds: int | Sequence[Sequence[str]] = 1, skip_broken: bool = False,
    ):  # fmt: skip
        if root is None:
            raise ValueError("Say where your data lie, with their folders images/ and masks/: --root FOLDER.")
        self.root, self.split, self.size = Path(root).expanduser(), split, size
        images, masks = pictures_in(self.root / "images"), pictures_in(self.root / "masks")
        every = sorted(images.keys() | masks.keys())
        names = every if (listed := self.split_list()) is None else listed
        self.ids = [name if name in images else Path(name).stem for name in names]
        for name in (*every, *self.ids):
            if name not in images or name not in masks:
                kind = "image" if name not in images else "mask"
                raise FileNotFoundError(
                    f"{name!r} has no {kind} in {self.root / kind}s: each image needs a mask of the same name, "
                    "all 0 where it shows nothing."
                )
        row = {name: i for i, name in enumerate(every)}
        self.image_paths, self.mask_paths = ([d[name] for name in self.ids] for d in (images, masks))
        areas = self.count([images[n] for n in every], [masks[n] for n in every], skip_broken)
        self.classes, self.table = self.named(areas, [masks[n] for n in every])
        self.folds = self.divided(folds)
        by_label = np.zeros_like(areas)
        np.add.at(by_label.T, self.table, areas.T)
        self.cover(by_label[[row[name] for name in self.ids]])

    def split_list(self) -> list[str] | None:
        """The names in <split>.txt; None where the folder is not split up at all."""
        split = "train" if self.split == "trainaug" else self.split
        lists = {name: self.root / f"{name}.txt" for name in ("train", "val", split)}
        if lists[split].is_file():
            return lines_of(lists[split])
        if split in ("train", "val") and not any(path.is_file() for path in lists.values()):
            return None
        raise FileNotFoundError(f"{self.root} has no list {split}.txt: write one, or name another split.")

    def count(self, images: list[Path], masks: list[Path], skip_broken: bool) -> np.ndarray:
        """Pixels of each value in each mask, (N, 256), computed once."""
        if smeared := [path for path in masks if path.suffix.lower() in SMEARED]:
            raise ValueError(f"The mask {smeared[0]} is a JPEG or WebP, which smears values: save it as PNG.")
        file = cache_file(f"folder {self.root.resolve()} {skip_broken}")
        found = cached(file, (*images, *masks), lambda: {"areas": label_areas(images, masks, skip_broken)})
        return found["areas"]

    def named(self, areas: np.ndarray, masks: list[Path]) -> tuple[tuple[str, ...], np.ndarray]:
        """The classes' names, and a table (256,) from the masks' values to labels."""
        listing, table = self.root / "classes.txt", np.arange(256)
        values = [int(value) for value in np.flatnonzero(areas.any(0)) if 0 < value < VOID]
        names = lines_of(listing) if listing.is_file() else []
        if names and names[0].strip("_").lower() == "background":
            raise ValueError(f"{listing} names the background: it has no name here, so delete that line.")
        if not values and areas[:, VOID].any() and len(names) < 2:
            warnings.warn(
                f"The masks of {self.root} hold only 0 and 255: 255 is taken for the object.", stacklevel=3
            )
            table[VOID] = 1
            return tuple(names) or ("object",), table
        if not values:
            raise ValueError(f"No mask in {self.root / 'masks'} shows a class: all of them are 0 or void.")
        if not names:
            table[values] = np.arange(1, len(values) + 1)
            return tuple(map(str, values)), table
        if values[-1] > len(names):
            path = masks[np.flatnonzero(areas[:, values[-1]])[0]]
            raise ValueError(
                f"The mask {path} holds the value {values[-1]}, but {listing} names {len(names)} classes: labels "
                f"are 0..{len(names)} and {VOID} for void."
            )
        return tuple(names), table

    def divided(self, folds: int | Sequence[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
        """The labels of each fold; those that no fold names are one more, to learn from."""
        labels = list(range(1, len(self.classes) + 1))
        if isinstance(folds, int):
            if not 1 <= folds <= len(labels):
                raise ValueError(f"{len(labels)} classes make 1 to {len(labels)} folds, not {folds}.")
            return tuple(tuple(part.tolist()) for part in np.array_split(labels, folds))
        named = [self.labels_of(names) for names in folds]
        rest = tuple(label for label in labels if not any(label in fold for fold in named))
        return tuple(fold for fold in (*named, rest) if fold)

    def label_map(self, index: int) -> Tensor:
        """uint8 (H, W): 0 background, 1.. the classes, 255 void."""
        return torch.from_numpy(self.table.astype(np.uint8))[super().label_map(index).long()]

    def object_path(self, name: str) -> Path:
        """Where its instance map lies, if there is one."""
        return self.root / "objects" / f"{name}.png"
