"""What is marked on one's own pictures, in whatever form it comes ("Your own pictures").

A mark says which class is where: as a label map in pixels, as PASCAL VOC has them, as masks, boxes or points in a
dictionary, or in a file of labelme or COCO. And what was found, drawn over a picture.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageColor
from torch import Tensor

from .masks import VOID, by_colour, has_colours, labelmap, read_values, values_of, whole
from .meaning import Meaning
from .pictures import Picture, array_of, decoding
from .shapes import Marks, disc_at, drawn, from_json, painted

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # of ways 1, 2, ...
BACKGROUND = "#999999"  # the background's colour where it is drawn as a class of its own


def marks_of(
    source: Any, size: tuple[int, int], picture: Picture | None = None, mask_values: Mapping[int, str] | None = None
) -> Marks:  # fmt: skip
    """What is marked on a picture of this size (H, W').

    source: a dictionary {class: mark}, where a mark is a mask (H, W), as an array, a picture or a path, a box (left,
    top, right, bottom) or points [(x, y), ...], and "background" and "void" are what they say; the path of a JSON
    file of labelme or COCO (there the file name of `picture` says which image); else a label map, see `from_pixels`,
    for which `mask_values` says what its values mean.
    Errors: ValueError where it cannot be read, is of another size or marks nothing.
    """
    what = f"The mask {source}" if isinstance(source, (str, Path)) else "A label map"
    if isinstance(source, Mapping):
        return painted(
            [(str(n), *mask_of(str(n), mark, size, mask_values)) for n, mark in source.items()], size
        )
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".json":
        return from_json(Path(source), size, picture)
    marks = from_pixels(source, what, mask_values)
    if marks.labels.shape != size:
        height, width = marks.labels.shape
        turned = " It looks turned: save picture and mask the same way up." if (width, height) == size else ""
        raise ValueError(
            f"{what} is {width} x {height} pixels, but its picture is {size[1]} x {size[0]}: they must be of one "
            f"size.{turned}"
        )
    return marks


def mask_of(
    name: str, mark: Any, size: tuple[int, int], mask_values: Mapping[int, str] | None = None
) -> tuple[np.ndarray, bool]:  # fmt: skip
    """A mark of a dictionary as a mask (H, W), and whether it says where its class ends."""
    if isinstance(mark, (list, tuple)) or (
        isinstance(mark, (np.ndarray, Tensor)) and tuple(mark.shape) != size
    ):
        numbers = array_of(f"mark of {name!r}", mark).astype(float)
        if numbers.shape == (4,):
            return drawn("rectangle", numbers.reshape(2, 2), size), True
        if numbers.ndim == 2 and numbers.shape[1] == 2 and len(numbers):
            return disc_at(numbers, size), False
        raise ValueError(
            f"The mark of {name!r} is of shape {numbers.shape}: give a mask {size}, a box (left, top, right, bottom) "
            "or points [(x, y), ...], in pixels."
        )
    labels = marks_of(mark, size, mask_values=mask_values).labels.numpy()
    return (labels > 0) & (labels < VOID), True


def from_pixels(
    source: Any, what: str = "A label map", mask_values: Mapping[int, str] | None = None
) -> Marks:
    """A label map (H, W) from a path, a PIL image, an array or a tensor.

    Values are classes, named by their numbers, 0 is background, 255 void; see `Meaning` for others. mask_values: what
    they mean, {value: name}. Booleans are class 1. Of a picture in colours, those of PASCAL VOC's palette are classes,
    or those of CVAT's labelmap.txt beside it. Errors: ValueError for anything else.
    """
    if isinstance(source, (str, Path)):
        colours = labelmap(Path(source)) if not mask_values and has_colours(source) else {}
        values = read_values(source, colours or None)
    elif isinstance(source, Image.Image):
        with decoding("label map"):
            source.load()
        colours, values = {}, values_of(source, what)
    elif isinstance(source, (np.ndarray, Tensor)):
        colours, values = {}, array_of("label map", source)
        if values.ndim == 3 and values.shape[-1] == 3:
            values = by_colour(values.astype(np.uint8), what, {}, np.zeros(values.shape[:2], bool))
        values = whole(values, what)
    else:
        raise ValueError(f"A {type(source).__name__} is no label map: give a path, an array or a dictionary.")
    areas = np.bincount(values.ravel(), minlength=256)[None]
    if mask_values:
        meaning = Meaning.said(mask_values, areas, what)
    elif colours:
        meaning = Meaning(np.arange(256, dtype=np.uint8), tuple(colours.values())[1:])
    else:
        meaning = Meaning.of(areas, what, one="1")
    if meaning.note and np.count_nonzero(areas) > 2:  # that 255 is an object goes without saying here
        warnings.warn(meaning.note, stacklevel=2)
    labels = meaning.table[values]
    shown = [label for label in np.unique(labels).tolist() if label not in (0, VOID)]
    if not shown:
        found = " and ".join(map(str, np.flatnonzero(areas[0]).tolist()))
        raise ValueError(f"{what} marks no object: all of it is {found}.")
    table = np.zeros(256, np.uint8)
    table[[*shown, VOID]] = [*range(1, len(shown) + 1), VOID]
    return Marks(torch.from_numpy(table[labels]), tuple(meaning.names[label - 1] for label in shown))


def way_colour(way: int) -> str:
    """The colour of an episode's class 1, 2, ...; 0 is the background."""
    return COLOURS[(way - 1) % len(COLOURS)] if way else BACKGROUND


def overlay(image: np.ndarray, labels: np.ndarray, strength: float = 0.45, line: int = 2) -> np.ndarray:
    """A picture (H, W, 3), uint8, with its label map (H, W) tinted, and outlined `line` pixels wide inside."""
    edge = np.zeros(labels.shape, bool)
    for part, border in ((labels, edge), (labels.T, edge.T)):
        for step in range(1, line + 1):
            other = part[step:] != part[:-step]
            border[step:] |= other
            border[:-step] |= other
    colours = np.array([ImageColor.getrgb(way_colour(way)) for way in range(256)], np.float32)[labels]
    share = np.where(edge, 1, np.float32(strength)) * ((labels != 0) & (labels != VOID))
    drawn: np.ndarray = (image + share[..., None] * (colours - image)).round().astype(np.uint8)
    return drawn
