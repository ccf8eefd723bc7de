"""What is marked on one's own pictures, in whatever form it comes ("Your own pictures").

A mark says which class is where: as a label map in pixels, as PASCAL VOC has them, as masks, boxes or points in a
dictionary, or in a file of labelme or COCO.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .pictures import SMEARED, Picture, array_of, opened
from .shapes import Marks, disc_at, drawn, from_json, painted
from .voc import VOID

BORDER = (224, 224, 192)  # the colour of void in PASCAL VOC's masks
MANY = 20  # classes in one mask: more values than these are the soft edges of a brush, or no mask at all


def marks_of(source: Any, size: tuple[int, int], picture: Picture | None = None) -> Marks:
    """What is marked on a picture of this size (H, W').

    source: a dictionary {class: mark}, where a mark is a mask (H, W), as an array, a picture or a path, a box (left,
    top, right, bottom) or points [(x, y), ...], and "background" and "void" are what they say; the path of a JSON
    file of labelme or COCO (there the file name of `picture` says which image); else a label map, see `from_pixels`.
    Errors: ValueError where it cannot be read, is of another size or marks nothing.
    """
    what = f"The mask {source}" if isinstance(source, (str, Path)) else "A label map"
    if isinstance(source, Mapping):
        return painted([(str(name), *mask_of(str(name), mark, size)) for name, mark in source.items()], size)
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".json":
        return from_json(Path(source), size, picture)
    marks = from_pixels(source, what)
    if marks.labels.shape != size:
        height, width = marks.labels.shape
        turned = " It looks turned: save picture and mask the same way up." if (width, height) == size else ""
        raise ValueError(
            f"{what} is {width} x {height} pixels, but its picture is {size[1]} x {size[0]}: they must be of one "
            f"size.{turned}"
        )
    return marks


def mask_of(name: str, mark: Any, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """A mark of a dictionary as a mask (H, W), and whether it says where its class ends."""
    if isinstance(mark, (list, tuple)) or (
        isinstance(mark, (np.ndarray, Tensor)) and tuple(mark.shape) != size
    ):
        numbers = np.asarray(mark, dtype=float)
        if numbers.shape == (4,):
            return drawn("rectangle", numbers.reshape(2, 2), size), True
        if numbers.ndim == 2 and numbers.shape[1] == 2 and len(numbers):
            return disc_at(numbers, size), False
        raise ValueError(
            f"The mark of {name!r} is of shape {numbers.shape}: give a mask {size}, a box (left, top, right, bottom) "
            "or points [(x, y), ...], in pixels."
        )
    labels = marks_of(mark, size).labels.numpy()
    return (labels > 0) & (labels < VOID), True


def from_pixels(source: Any, what: str = "A label map") -> Marks:
    """A label map (H, W) from a path, a PIL image, an array or a tensor.

    Values are classes, named by their numbers, 0 is background, 255 void; where there are only 0 and 255, 255 is
    class 1, also with soft edges between, which become void, as a warning says. Booleans are class 1. Of a picture
    in colours, those of PASCAL VOC's palette are its classes; what is transparent is background.
    Errors: ValueError for anything else.
    """
    if isinstance(source, (str, Path)):
        if Path(source).suffix.lower() in SMEARED:
            raise ValueError(f"{what} is a JPEG or WebP, which smears values: save it as PNG.")
        with opened(source, "mask") as file:
            source = ImageOps.exif_transpose(file)
            source.load()
    if isinstance(source, Image.Image):
        if source.mode in ("LA", "PA", "RGBA"):
            source = Image.alpha_composite(Image.new("RGBA", source.size, "black"), source.convert("RGBA"))
        source = np.array(
            source if source.mode in ("P", "L", "1", "F", "I", "I;16") else source.convert("RGB")
        )
    if not isinstance(source, (np.ndarray, Tensor)):
        raise ValueError(f"A {type(source).__name__} is no label map: give a path, an array or a dictionary.")
    values = array_of("label map", source)
    if values.ndim == 3 and values.shape[-1] == 3:
        values = by_colour(values, what)
    if values.ndim != 2 or (values != np.round(values)).any() or values.min() < 0 or values.max() > VOID:
        raise ValueError(
            f"{what} of shape {values.shape} holds values from {values.min()} to {values.max()}: give (H, W) of whole "
            f"numbers, 0 for background, 1 to {VOID - 1} for classes, {VOID} for what is not marked."
        )
    values = hardened(values, what)
    found = set(np.unique(values).tolist())
    if not (classes := sorted(int(value) for value in found - {0, VOID})):
        raise ValueError(f"{what} marks no object: all of it is {' and '.join(map(str, sorted(found)))}.")
    table = np.zeros(256, np.uint8)
    table[[*classes, VOID]] = [*range(1, len(classes) + 1), VOID]
    return Marks(torch.from_numpy(table[values.astype(np.uint8)]), tuple(map(str, classes)))


def hardened(values: np.ndarray, what: str) -> np.ndarray:
    """A mask of 0 and 255 as one of 0 and 1; soft edges between them become void, and a warning says so."""
    between = (values > 0) & (values < VOID)
    kinds, share = len(np.unique(values[between])), between.mean()
    if kinds > MANY and share > 0.1:
        raise ValueError(f"{what} holds {kinds + 2} different values: a mask has one a class, no shades.")
    if kinds > MANY:
        warnings.warn(
            f"{what} has soft edges: 255 was taken for class 1, and what lies between 0 and 255, {100 * share:.1f} % "
            "of the pixels, for void.",
            stacklevel=2,
        )
    elif kinds or not {0, VOID} <= set(np.unique(values).tolist()):
        return values
    return np.where(between, VOID, values == VOID)


def by_colour(values: np.ndarray, what: str) -> np.ndarray:
    """Pixels (H, W, 3) as labels (H, W): grey ones as they are, others by PASCAL VOC's palette."""
    values = values.astype(np.uint8)
    if (values[..., :1] == values).all():
        return values[..., 0]
    flat, where = np.unique(values.reshape(-1, 3), axis=0, return_inverse=True)
    palette = {tuple(colour): label for label, colour in reversed(list(enumerate(voc_palette().tolist())))}
    palette[BORDER] = VOID
    if wrong := [colour for colour in map(tuple, flat.tolist()) if colour not in palette]:
        raise ValueError(
            f"{what} has the colour {wrong[0]}, which PASCAL VOC's palette does not know: save it with one channel "
            "(palette or grey), whose values are the classes."
        )
    labels = np.array([palette[colour] for colour in map(tuple, flat.tolist())])
    return labels[where.ravel()].reshape(values.shape[:2])


def voc_palette() -> np.ndarray:
    """The colours (256, 3) of PASCAL VOC's masks: the bits of a label, dealt out to red, green and blue."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    weights = np.zeros((8, 3), int)
    weights[np.arange(8), np.arange(8) % 3] = 128 >> np.arange(8) // 3
    return (bits @ weights).astype(np.uint8)
