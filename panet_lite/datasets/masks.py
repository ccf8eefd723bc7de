"""Masks in files: a value for each pixel, however it is written down (Sec. 4.1; chapters 1, 11)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy.io import loadmat
from torch import Tensor
from tqdm import tqdm

from .pictures import ADVICE, opened, picture_size, read_image

VOID = 255  # the label PASCAL VOC gives to pixels nobody should be judged by
BORDER = (224, 224, 192)  # the colour of void in PASCAL VOC's masks
SMEARED = ("JPEG", "MPO", "WEBP")  # no mask survives these, whatever the file is called
Colours = Mapping[tuple[int, ...], str]  # {colour: name}, the background first


def values_of(source: Image.Image, what: str, colours: Colours | None = None) -> np.ndarray:
    """The values (H, W), uint8, of a mask that is a picture, turned as its EXIF says; transparent pixels are 0.

    One channel of 1, 8, 16 or 32 bits, or equal ones, hold the values; other colours are looked up, see `by_colour`.
    colours: those of labels 0, 1, ...: also the colours of a palette are looked up then, not its indices.
    """
    if source.format in SMEARED:
        raise ValueError(f"{what} is a {source.format} inside, which smears values: save it as PNG.")
    picture = ImageOps.exif_transpose(source)
    clear = np.zeros((picture.height, picture.width), bool)
    if picture.mode in ("LA", "PA", "RGBA"):
        clear = np.asarray(picture.getchannel("A")) < 128
        picture = picture.convert({"LA": "L", "PA": "P", "RGBA": "RGB"}[picture.mode])
    plain = ("1", "L", "I", "F", "I;16", "I;16B", *(["P"] if colours is None else []))
    values = np.array(picture if picture.mode in plain else picture.convert("RGB"))
    if values.ndim == 3:
        values = by_colour(values, what, colours or {}, clear)
    return whole(np.where(clear, 0, values), what)


def whole(values: np.ndarray, what: str) -> np.ndarray:
    """Values as uint8. Errors: ValueError where they are not whole numbers from 0 to 255 (65535 counts as 255)."""
    if values.dtype != np.uint8:
        values = np.where(values.astype(float) == 65535, VOID, values)
    fine = (values >= 0) & (values <= VOID) & (values == np.floor(values))
    if values.ndim != 2 or not values.size or not fine.all():
        span = f" holds values from {values.min():g} to {values.max():g}" if values.size else " is empty"
        raise ValueError(
            f"{what} of shape {values.shape}{span}: give (H, W) of whole numbers, 0 for background, 1 to {VOID - 1} "
            f"for classes, {VOID} for what is not marked."
        )
    return values.astype(np.uint8)


def by_colour(values: np.ndarray, what: str, colours: Colours, clear: np.ndarray) -> np.ndarray:
    """Pixels (H, W, 3) as labels (H, W): by the place of their colour among `colours`; without any, grey ones as they
    are, others by PASCAL VOC's palette. Transparent ones, `clear`, may have any."""
    if (values[..., :1] == values).all() and not colours:
        return values[..., 0]
    numbers = np.where(clear[..., None], 0, values).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    flat, where = np.unique(numbers, return_inverse=True)  # rows of 12 megapixels would take a minute
    found = [(n >> 16, n >> 8 & 255, n & 255) for n in flat.tolist()]
    known = list(colours) or [tuple(colour) for colour in voc_palette().tolist()]
    palette = {BORDER: VOID} | {colour: label for label, colour in reversed(list(enumerate(known)))}
    if wrong := [colour for colour in found if colour not in palette]:
        raise ValueError(
            f"{what} has the colour {wrong[0]}, which {'labelmap.txt' if colours else 'the palette of PASCAL VOC'} does "
            "not know: save it with one channel (palette or grey), whose values are the classes."
        )
    return np.array([palette[colour] for colour in found])[where.reshape(values.shape[:2])]


def voc_palette() -> np.ndarray:
    """The colours (256, 3) of PASCAL VOC's masks: the bits of a label, dealt out to red, green and blue."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    weights = np.zeros((8, 3), int)
    weights[np.arange(8), np.arange(8) % 3] = 128 >> np.arange(8) // 3
    return (bits @ weights).astype(np.uint8)


def labelmap(mask: Path) -> Colours:
    """What CVAT says beside its masks, in the same folder or the one above: {colour: name}, the background first."""
    for path in (folder / "labelmap.txt" for folder in mask.absolute().parents[:2]):
        if path.is_file():
            try:
                lines = path.read_text("utf-8-sig").splitlines()
                rows = [line.split(":") for line in lines if line[:1] not in ("", "#")]
                found = {(0, 0, 0): "background"} | {
                    tuple(bytes(map(int, r[1].split(",")))): r[0] for r in rows
                }
                if all(len(colour) == 3 for colour in found):
                    return found
                raise ValueError
            except (ValueError, IndexError) as error:
                says = "its lines are name:red,green,blue:parts:actions, in UTF-8."
                raise ValueError(f"{path} is not CVAT's: {says}") from error
    return {}


def has_colours(path: str | Path) -> bool:
    """Whether a mask in a file is a picture in colours, by a palette or not."""
    with opened(path, "mask") as picture:
        return picture.mode not in ("1", "L", "LA", "I", "F", "I;16", "I;16B")


def read_values(path: str | Path, colours: Colours | None = None) -> np.ndarray:
    """The values (H, W) of a mask in a file, PNG and the like or SBD's .mat, as uint8; see `values_of`.

    Errors: ValueError where it cannot be read or is no mask.
    """
    if Path(path).suffix == ".mat":
        return read_mat(path)
    with opened(path, "mask") as picture:
        loaded, frames = picture, getattr(picture, "n_frames", 1)
        picture.load()
    if frames > 1:
        raise ValueError(f"The mask {path} holds {frames} pictures: save each in a file of its own.")
    return values_of(loaded, f"The mask {path}", colours)


def read_mat(path: str | Path) -> np.ndarray:
    """The label map (H, W) of a .mat file in SBD's cls/, or the instance map of one in its inst/, uint8.

    Errors: ValueError where the file is truncated or holds something else.
    """
    try:
        if not Path(path).is_file():  # a pipe would wait for ever
            raise OSError("no file")
        content = loadmat(path, variable_names=["GTcls", "GTinst"])
        (name,) = {"GTcls", "GTinst"} & content.keys()
        labels: np.ndarray = np.asarray(content[name]["Segmentation"][0, 0], float)
    except Exception as error:  # a truncated file shows as any of a dozen kinds
        raise ValueError(
            f"The mask {path} cannot be read ({type(error).__name__}): it is truncated or not SBD's. {ADVICE}"
        ) from error
    return whole(labels, f"The mask {path}")


def read_label_map(path: str | Path, size: int | None = None) -> Tensor:
    """A label map, uint8 (H, W), whose values are its labels; nearest neighbour to (size, size)."""
    return resized(read_values(path), size)


def resized(labels: np.ndarray, size: int | None) -> Tensor:
    """A label map (H, W), uint8, as a tensor; squashed to (size, size), nearest neighbour, if given."""
    if size is not None:
        labels = np.array(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    return torch.from_numpy(np.ascontiguousarray(labels))


def label_areas(
    images: Sequence[Path], masks: Sequence[Path], skip_broken: bool = False, colours: Colours | None = None
) -> np.ndarray:
    """Pixels of each value in each mask, int32 (N, 256); every pair is checked once.

    skip_broken: images are decoded, too, and a pair that cannot be read gets a row of zeros.
    Errors: ValueError names the first mask that cannot be read or whose size is not its image's.
    """
    areas = np.zeros((len(masks), 256), np.int32)
    pairs = zip(images, masks)
    for row, (image, path) in enumerate(tqdm(pairs, "first look", len(masks), False, delay=2, disable=None)):
        try:
            labels, size = read_values(path, colours), picture_size(image)
            if skip_broken:
                read_image(image)
        except ValueError:
            if not skip_broken:
                raise
            continue
        if size != labels.shape[::-1]:
            raise ValueError(
                f"The mask {path} is {labels.shape[1]} x {labels.shape[0]} pixels, but its image is "
                f"{size[0]} x {size[1]}: they must be of one size."
            )
        areas[row] = np.bincount(labels.ravel(), minlength=256)
    return areas


def palettes_differ(masks: Sequence[Path]) -> str:
    """Two masks whose palettes give an index they both use different colours, as a sentence; "" where none do."""
    seen: dict[int, tuple[tuple[int, ...], Path]] = {}
    for path in masks:
        if path.suffix == ".mat":
            continue
        with opened(path, "mask") as picture:
            if picture.mode != "P":
                continue
            flat = picture.getpalette("RGB") or []
            used = np.unique(np.asarray(picture)).tolist()
        for index in used:
            colour = tuple(flat[3 * index : 3 * index + 3])
            first, where = seen.setdefault(index, (colour, path))
            if first != colour:
                return f"{where} and {path} give the value {index} different colours, {first} and {colour}"
    return ""
