"""Your own data: a folder of pictures and a folder of masks (chapter 11; appendix on data)."""

import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ..files import cached, lines_of
from .masks import (
    VOID,
    Colours,
    has_colours,
    label_areas,
    labelmap,
    palettes_differ,
    read_values,
    resized,
    voc_palette,
)
from .meaning import Meaning, refuse
from .pictures import HEIC, doubles, suffixes
from .voc import SegmentationDataset, cache_file


def pictures_in(folder: Path, without: Collection[Path] = ()) -> dict[str, Path]:
    """The pictures of a folder by their names without suffix, but for those in `without`, resolved paths.

    Errors: ValueError where two share a name, FileNotFoundError where there is none.
    """
    if not os.path.isdir(folder):  # which knows no error, unlike Path's
        raise FileNotFoundError(
            f"There is no data set at {folder.parent}: it needs the folders images/ and masks/, and {folder} is "
            "missing."
        )
    found: dict[str, Path] = {}
    known = suffixes()
    for path in sorted(folder.iterdir()):
        named = path.suffix.lower() in known and path.name[0] != "."
        if named and path.is_file() and path.resolve() not in without:
            if path.stem in found:
                raise ValueError(f"{found[path.stem]} and {path} share a name: give each image its own.")
            found[path.stem] = path
    if not found:
        raise FileNotFoundError(f"There is no picture in {folder}: put them there, not into folders of it.")
    return found


def hint(files: Sequence[Path]) -> str:
    """That files are no pictures here, and what may help."""
    heic = " (HEIC: pip install pillow-heif)" if any(f.suffix.lower() in HEIC for f in files) else ""
    return f" Pillow reads no such files{heic}: {', '.join(f.name for f in files[:9])}."


def pictures_among(queries: Sequence[Path], marked: Sequence[Path]) -> list[Path]:
    """The files among `queries`, and the pictures in the folders among them, without the pictures and masks that are
    marked; notes say what is left out. Errors: ValueError where nothing is left, or two pictures share a name."""
    found: dict[str, Path] = {}
    known = {Path(os.path.realpath(path)) for path in marked}
    for query in queries:
        inside = pictures_in(query, known) if os.path.isdir(query) else {query.stem: query}
        others = [
            p for p in sorted(query.glob("[!.]*")) if p.is_file() and Path(os.path.realpath(p)) not in known
        ]
        if names := [p.name for p in others if inside.get(p.stem) != p]:
            warnings.warn(f"Left out of {query}:{hint([query / name for name in names])}", stacklevel=2)
        for name, path in inside.items():
            if found.setdefault(name, path) != path:
                raise ValueError(f"{found[name]} and {path} share a name: rename one.")
    if not found:
        raise ValueError("There is no picture to segment: --query names pictures, or folders that hold some.")
    return list(found.values())


class Folder(SegmentationDataset):
    """Your own data: root/images/ holds pictures of any kind, root/masks/ a PNG of the same name for each.

    A mask has a value for each class, 0 for background and 255 for void, or PASCAL VOC's colours, or those of CVAT's
    labelmap.txt. root/classes.txt names the classes 1, 2, ... on a line each; without it, each value found is a class,
    named by its number. Where masks hold only 0 and 255, 255 is the one class, see `meaning.Meaning`.
    mask_values: what the values mean, {value: name}, with "background" and "void". root/objects/, if there, tells
    objects apart. No object is too small for an episode.
    split: root/<split>.txt lists names; with neither train.txt nor val.txt, every split is all of it.
    folds: how many, of consecutive classes (default 1: fold 0 has all), or the names of each fold's classes;
    those without a fold are one more.
    size, skip_broken: as in `SegmentationDataset`.
    Errors: FileNotFoundError where files are missing, ValueError where they cannot be used.
    """

    def __init__(
        self, split: str = "val", size: int | None = 417, root: str | Path | None = None,
        folds: int | Sequence[Sequence[str]] = 1, skip_broken: bool = False,
        mask_values: Mapping[int, str] | None = None,
    ):  # fmt: skip
        if root is None:
            raise ValueError("Say where your data lie, with their folders images/ and masks/: --root FOLDER.")
        self.root, self.split, self.size = Path(os.path.expanduser(root)), split, size
        images, masks = pictures_in(self.root / "images"), pictures_in(self.root / "masks")
        every = sorted(images.keys() | masks.keys())
        names = every if (listed := self.split_list()) is None else listed
        self.ids = [name if name in images else Path(name).stem for name in names]
        for name in (*every, *self.ids):
            if name not in images or name not in masks:
                kind = "image" if name not in images else "mask"
                unread = next((p for p in (self.root / f"{kind}s").iterdir() if p.stem == name), None)
                raise FileNotFoundError(
                    f"{name!r} has no {kind} in {self.root / kind}s: each image needs a mask of the same name, "
                    f"all 0 where it shows nothing.{'' if unread is None else hint([unread])}"
                )
        row = {name: i for i, name in enumerate(every)}
        self.image_paths, self.mask_paths = ([d[name] for name in self.ids] for d in (images, masks))
        files = [images[n] for n in every], [masks[n] for n in every]
        self.colours = {} if mask_values else self.palette(files[1])
        areas, first = self.count(*files, skip_broken)
        meaning = self.meaning(areas, files[1], mask_values)
        self.classes, self.table = meaning.names, meaning.table
        self.folds = self.divided(folds)
        by_label = np.zeros_like(areas)
        np.add.at(by_label.T, self.table, areas.T)
        rows = [row[name] for name in self.ids]
        self.cover(by_label[rows], first[rows])

    def split_list(self) -> list[str] | None:
        """The names in <split>.txt; None where the folder is not split up at all."""
        split = "train" if self.split == "trainaug" else self.split
        lists = {name: self.root / f"{name}.txt" for name in ("train", "val", split)}
        if os.path.isfile(lists[split]):
            return lines_of(lists[split])
        if split in ("train", "val") and not any(map(os.path.isfile, lists.values())):
            return None
        raise FileNotFoundError(f"{self.root} has no list {split}.txt: write one, or name another split.")

    def palette(self, masks: list[Path]) -> Colours:
        """The colours of labels 0, 1, ... where colours tell classes apart, not indices; else none."""
        if (found := labelmap(masks[0])) and has_colours(masks[0]):
            return found
        what = f"palettes {self.root.resolve()}"
        kept = cached(cache_file(what), masks, lambda: {"differ": np.array(palettes_differ(masks))})
        if not (differ := str(kept["differ"])):
            return {}
        note = f"{differ}: their colours were taken for classes, as PASCAL VOC has them."
        warnings.warn(note, stacklevel=3)
        return {tuple(c): str(label) for label, c in enumerate(voc_palette().tolist()[:VOID])}

    def count(
        self, images: list[Path], masks: list[Path], skip_broken: bool
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Pixels of each value in each mask, (N, 256), and the first of equal images, (N,), computed once."""
        name, colours = f"folder {self.root.resolve()} {skip_broken} {self.colours}", self.colours or None

        def make() -> dict[str, np.ndarray]:
            return {"areas": label_areas(images, masks, skip_broken, colours), "first": doubles(images)}

        found = cached(cache_file(name), (*images, *masks), make)
        return found["areas"], found["first"]

    def meaning(self, areas: np.ndarray, masks: list[Path], given: Mapping[int, str] | None) -> Meaning:
        """The classes' names, and a table (256,) from the masks' values to labels."""
        listing, what = self.root / "classes.txt", f"The masks of {self.root}"
        names = lines_of(listing) if listing.is_file() else []
        if names and given:
            raise ValueError(f"{listing} and --mask-values both say what the values mean: give one of them.")
        if given:
            return Meaning.said(given, areas, what)
        while names and names[0].strip("_").lower() in ("ignore", "background"):  # labelme's 255 and 0
            warnings.warn(
                f"{listing} begins with {names.pop(0)!r}, which is no class: left out.", stacklevel=4
            )
        if len(names) >= VOID or len(set(names)) < len(names):
            raise ValueError(
                f"{listing} names {len(names)} classes: 1 to {VOID - 1} can be told apart, each named once."
            )
        if not names and "1" not in self.colours.values():  # but labelmap.txt's
            names = [*self.colours.values()][1:]
        found = Meaning.of(areas, what, names)
        if found.note:
            warnings.warn(found.note, stacklevel=4)
        by_label = np.bincount(found.table, areas.sum(0), 256)
        values = np.flatnonzero(by_label[:VOID])
        if not values.any():
            raise ValueError(f"No mask in {self.root / 'masks'} shows a class: all of them are 0 or void.")
        if values[-1] > len(names) > 0:
            path = masks[np.flatnonzero(areas[:, values[-1]])[0]]
            raise ValueError(
                f"The mask {path} holds the value {values[-1]}, but {listing} names {len(names)} classes: labels "
                f"are 0..{len(names)} and {VOID} for void."
            )
        if values[0] and not names:
            refuse(f"{what}: no 0, which is the background", " 1=object 2=background")
        return found

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
        return resized(self.table[read_values(self.mask_paths[index], self.colours or None)], self.size)

    def object_path(self, name: str) -> Path:
        """Where its instance map lies, if there is one."""
        return self.root / "objects" / f"{name}.png"

    def images_of(self, label: int, least: float = 0.0) -> np.ndarray:
        """All images that show the class: nothing of one's own is too small, but a note tells of what is."""
        found, small = (
            super().images_of(label),
            len(super().images_of(label)) - len(super().images_of(label, least)),
        )
        if small:
            warnings.warn(
                f"{small} of {len(found)} images show {self.classes[label - 1]!r} under {100 * least:.1f} %, so small that "
                f"benchmarks leave them out. They stay in; at {self.size} px, little may be left of it.",
                stacklevel=4,
            )
        return found
