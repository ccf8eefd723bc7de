"""Shapes drawn on a picture, in a file of labelme or COCO or by hand, as a label map ("Your own pictures")."""

import base64
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage.draw import disk
from torch import Tensor

from .coco import paint
from .masks import VOID
from .outlines import read_annotations, whole
from .pictures import Picture

BACKGROUND = ("background", "_background_", "0")  # names, in lower case
SILENT = ("void", "__ignore__", "255")
STROKE = 1 / 80  # of the picture's long side: how far a point reaches, and half a line's width


@dataclass(frozen=True)
class Marks:
    """labels: uint8 (H, W): 0 background, 1.. `names`, 255 where nothing is said."""

    labels: Tensor
    names: tuple[str, ...]


Shape = tuple[str, np.ndarray, bool]  # a name, a mask (H, W), and whether it says where its class ends


def painted(shapes: Sequence[Shape], size: tuple[int, int], where: str = "") -> Marks:
    """The shapes, one over those before it. Where some say where objects end, and none is background, all else is.
    where: they come from, for what is wrong with them."""
    names = list(dict.fromkeys(name for name, *_ in shapes if name.lower() not in (*BACKGROUND, *SILENT)))
    if not names:
        raise ValueError(f"No object is marked{where}: name a class and say where it is.")
    if len(names) >= VOID:
        raise ValueError(f"{len(names)} classes are marked{where}: a label map tells {VOID - 1} apart.")
    background = any(name.lower() in BACKGROUND for name, *_ in shapes) or not any(
        ends for *_, ends in shapes
    )
    labels = np.full(size, VOID if background else 0, np.uint8)
    for name, mask, _ in shapes:
        if not mask.any():
            raise ValueError(f"The mark of {name!r}{where} lies outside a picture of {size[1]} x {size[0]}.")
        special = 0 if name.lower() in BACKGROUND else VOID
        labels[mask] = names.index(name) + 1 if name in names else special
    return Marks(torch.from_numpy(labels), tuple(names))


def check_points(points: np.ndarray, size: tuple[int, int]) -> None:
    """A ValueError for coordinates that are no numbers, or so far outside that drawing would not end."""
    if not (np.abs(points) <= 4 * max(size)).all():  # nor is NaN
        raise ValueError(
            f"Points from {points.min():g} to {points.max():g} lie far outside a picture of {size[1]} x {size[0]} "
            "pixels: coordinates are pixels, x before y."
        )


def disc_at(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) of discs around points (N, 2), x and y."""
    check_points(points, size)
    mask, radius = np.zeros(size, bool), max(0.6, STROKE * max(size))
    for x, y in points:
        mask[disk((y, x), radius, shape=size)] = True
    return mask


def drawn(kind: str, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) of one of labelme's shapes, given by its points (N, 2), x and y."""
    if kind in ("point", "points"):
        return disc_at(points, size)
    check_points(points, size)
    picture = Image.new("1", (size[1], size[0]))
    pen, corners = ImageDraw.Draw(picture), [(float(x), float(y)) for x, y in points]
    if kind in ("line", "linestrip"):
        pen.line(corners, fill=1, width=max(1, round(2 * STROKE * max(size))))
    elif kind == "rectangle":
        (left, top), (right, bottom) = np.min(points, 0), np.max(points, 0)
        pen.rectangle((float(left), float(top), float(right), float(bottom)), fill=1)
    elif kind == "circle":
        radius = float(np.linalg.norm(points[0] - points[1]))
        x, y = corners[0]
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    else:
        pen.polygon(corners, fill=1)
    return np.array(picture)


def from_json(path: Path, size: tuple[int, int], picture: Picture | None) -> Marks:
    """Marks from a file of labelme ("shapes") or of COCO ("annotations").

    Errors: ValueError where it is neither, or says nothing of the picture.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("no file")  # a pipe would wait for ever
        content = json.loads(path.read_text(encoding="utf-8"))
        coco = isinstance(content, dict) and "annotations" in content
        shapes = [] if coco else [labelme_shape(shape, size) for shape in content["shapes"]]
    except FileNotFoundError as error:
        raise ValueError(f"There is no mask {path}.") from error
    except Exception as error:  # whatever may be wrong with it
        raise ValueError(
            f"{path} is neither labelme's nor COCO's ({type(error).__name__}: {error}): export it again."
        ) from error
    if coco:
        return from_coco(path, size, picture)
    told = (whole(content.get("imageHeight")), whole(content.get("imageWidth")))
    if all(told) and told != size:
        raise ValueError(f"{path} is about a picture of {told[1]} x {told[0]}, not {size[1]} x {size[0]}.")
    return painted(shapes, size, f" in {path}")


def labelme_shape(shape: dict[str, Any], size: tuple[int, int]) -> Shape:
    """One of labelme's shapes: a polygon, rectangle, circle or mask; a point or line does not say where it ends."""
    kind, points = shape.get("shape_type") or "polygon", np.array(shape["points"], float).reshape(-1, 2)
    if kind == "mask":
        check_points(points, size)
        whole = Image.new("1", (size[1], size[0]))
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as inner:
            whole.paste(Image.fromarray(np.array(inner) > 0), (round(points[0, 0]), round(points[0, 1])))
        mask = np.array(whole)
    else:
        mask = drawn(kind, points, size)
    return str(shape["label"]), mask, kind not in ("point", "points", "line", "linestrip")


def from_coco(path: Path, size: tuple[int, int], picture: Picture | None) -> Marks:
    """Marks from a COCO file: those of the image that is called as `picture` is, or of its only one."""
    coco = read_annotations(path)
    name = Path(picture).name if isinstance(picture, (str, Path)) else None
    called = [image for image, (file, *_) in coco.images.items() if Path(file).name == name]
    if len(images := called or list(coco.images)) != 1:
        how = "all" if called else "none"
        raise ValueError(f"{path} tells of {len(images)} images, {how} of them called {name}: call one so.")
    file, *told = coco.images[images[0]]
    if tuple(told) != size:
        raise ValueError(
            f"{path} says that {file} is {told[1]} x {told[0]} pixels, but it is {size[1]} x {size[0]}."
        )
    runs, found = coco.runs(images[0])
    categories = [category for category in coco.names if category in found]
    if not 0 < len(categories) < VOID:
        raise ValueError(
            f"{path} marks {len(categories)} classes in {file}, not 1 to {VOID - 1}. {coco.note()}"
        )
    if note := coco.note():
        warnings.warn(note, stacklevel=2)
    labels = [VOID if category is None else categories.index(category) + 1 for category in found]
    labelled = torch.from_numpy(paint(runs, labels, size).copy("C"))
    return Marks(labelled, tuple(coco.names[category] for category in categories))
