"""Pictures in files, of any kind and depth (Sec. 4.1; chapters 1, 11)."""

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

Picture = str | Path | Image.Image | np.ndarray | Tensor
HEIC = (".heic", ".heif")  # what telephones save
ADVICE = "Copy it again, or leave such images out of a data set by --skip-broken (skip_broken=True)."


def suffixes() -> set[str]:
    """Those of the files that Pillow reads here; HEIC too, where its plug-in is installed."""
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return set(Image.registered_extensions())


@contextlib.contextmanager
def decoding(what: str) -> Iterator[None]:
    """Whatever goes wrong with a picture meanwhile is a ValueError that names it."""
    try:
        yield
    except Exception as error:  # a broken file shows as any of a dozen kinds
        raise ValueError(
            f"The {what} cannot be read ({error}): it is missing, truncated or no picture. {ADVICE}"
        ) from error


@contextlib.contextmanager
def opened(path: str | Path, what: str) -> Iterator[Image.Image]:
    """The file as a picture; whatever goes wrong with it meanwhile is a ValueError that names it."""
    suffix = Path(path).suffix.lower()
    if suffix in HEIC and suffix not in suffixes():
        raise ValueError(f"The {what} {path} is HEIC: pip install pillow-heif, or save it as JPEG.")
    with decoding(f"{what} {path}"):
        if Path(path).exists() and not Path(path).is_file():  # a folder, or a pipe, which would wait for ever
            raise OSError("no file")
        with Image.open(path) as picture:
            yield picture


def read_image(path: str | Path, size: int | None = None) -> Tensor:
    """A picture of any kind as RGB, uint8 (3, H, W); squashed to (size, size) if given.

    Grey, palette, RGBA, CMYK and 16-bit pictures are converted; a camera's EXIF rotation is applied.
    Errors: ValueError where the file is truncated or no picture.
    """
    with opened(path, "image") as picture:
        picture = upright_rgb(picture)
        if size is not None:
            picture = picture.resize((size, size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def turned(picture: Image.Image) -> bool:
    """Whether its EXIF has it stand upright where the file has it lie."""
    upright = picture.format == "TIFF"  # Pillow turns it by itself
    return not upright and picture.getexif().get(0x0112) in (5, 6, 7, 8)  # a camera may write anything


def upright_rgb(picture: Image.Image) -> Image.Image:
    """A picture as RGB, turned as its EXIF says."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":  # 16 or 32 bits a pixel; PIL would clip them to white
        picture = Image.fromarray(as_bytes(np.asarray(picture), "picture"))
    return picture.convert("RGB")


def as_bytes(values: np.ndarray, what: str) -> np.ndarray:
    """Brightness of any depth as uint8: floats from 0 to 1 or to 255, whole numbers of 8, 12 or 16 bits.

    A note tells of what is no convention. Errors: ValueError for what is none of these, such as normalised pictures.
    """
    if values.dtype in (np.uint8, bool):
        return np.where(values, np.uint8(255), np.uint8(0)) if values.dtype == bool else values
    low, high = float(values.min()), float(values.max())
    floats = values.dtype.kind == "f" and not (high > 1 and (values == np.floor(values)).all())
    bits = next((n for n, least in ((8, 0), (12, 2**10), (16, 2**12)) if least <= high < 2**n), 0)  # 0: doubt
    if low < 0 or not bits or (floats and (1 < high < 2 or bits > 8)) or (not floats and high == 1):
        raise ValueError(
            f"A {what} of type {values.dtype} holds values from {low:g} to {high:g}: give uint8, whole numbers of 8, 12 "
            "or 16 bits or floats from 0 to 1, not normalised yet."
        )
    if floats and high <= 1:
        return (values * 255).round().astype(np.uint8)
    if (values.dtype.kind, values.dtype.itemsize, bits) != ("u", 2, 16):
        note = f"A {what} of type {values.dtype} ends at {high:g}: it was read as one of {bits} bits."
        warnings.warn(note, stacklevel=3)
    result: np.ndarray = (values / 2 ** (bits - 8)).astype(np.uint8)
    return result


def array_of(what: str, picture: Any) -> np.ndarray:
    """The values on the CPU, as they are. Errors: ValueError where there are none, or some are not finite."""
    try:
        if isinstance(picture, Tensor):
            narrow = picture.is_floating_point() and picture.dtype.itemsize < 4  # NumPy has no bfloat16
            picture = (picture.float() if narrow else picture).detach().cpu().numpy()
        values = np.asarray(picture)
    except (RuntimeError, TypeError, ValueError) as error:  # sparse, empty, rows of several lengths
        raise ValueError(f"The {what} is no array of numbers ({error}): give it as one.") from error
    if not values.size or values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise ValueError(
            f"The {what} of shape {values.shape} and type {values.dtype} is empty, or holds other things than "
            "finite numbers: give numbers only."
        )
    return values


def picture_of(source: Picture, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """A picture as RGB, the right way up, and its own size (H, W'); shrunk until no side is longer than `side`.

    source: a path, a PIL image, an array (H, W', 3) or (H, W') or a tensor (3, H, W') or (H, W'), in uint8 or as
    `as_bytes` reads it. Errors: ValueError where it is none of these or cannot be read.
    """
    if isinstance(source, (str, Path)):
        with opened(source, "image") as file:
            width, height = file.size
            if side is not None:
                file.draft("RGB", (side, side))  # a large JPEG is decoded at a half, a quarter, an eighth
            size, picture = (width, height) if turned(file) else (height, width), upright_rgb(file)
    elif isinstance(source, Image.Image):
        with decoding("picture"):  # Pillow opens a file and reads it later
            picture = upright_rgb(source)
        size = picture.height, picture.width
    elif isinstance(source, (np.ndarray, Tensor)):
        values = array_of("picture", source)
        if isinstance(source, Tensor) and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 2:
            values = values[..., None].repeat(3, -1)
        if values.ndim != 3 or values.shape[-1] != 3:
            order = "(3, H, W)" if isinstance(source, Tensor) else "(H, W, 3)"
            raise ValueError(
                f"A picture of shape {tuple(source.shape)} is not understood: give {order}, RGB."
            )
        picture = Image.fromarray(as_bytes(values, "picture"))
        size = picture.height, picture.width
    else:
        raise ValueError(f"A {type(source).__name__} is no picture: give a path, an array or a tensor.")
    if side is not None and max(size) > side:
        shrunk = [max(1, round(n * side / max(size))) for n in (size[1], size[0])]
        picture = picture.resize((shrunk[0], shrunk[1]), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return picture, size


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) as shown, EXIF rotation applied; reads the header only."""
    with opened(path, "image") as picture:
        return picture.size[::-1] if turned(picture) else picture.size


def readable(images: list[Path]) -> dict[str, np.ndarray]:
    """Which of the images can be decoded, as {"all": (N,) bool}."""
    found = np.ones(len(images), bool)
    for row, path in enumerate(tqdm(images, "first look", leave=False, delay=2, disable=None)):
        try:
            read_image(path)
        except ValueError:
            found[row] = False
    return {"all": found}


def doubles(images: list[Path]) -> np.ndarray:
    """For each picture the first that is the same file or holds the same bytes, (N,) indices."""

    def digest(path: Path, most: int = -1) -> bytes:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(most)).digest()

    keys: tuple[Callable[[Path], object], ...] = (
        lambda path: path.stat().st_size, lambda path: digest(path, 4096), digest,
    )  # fmt: skip
    groups = [list(range(len(images)))]
    for key in keys:  # the cheap ones first: few pictures need be read as a whole
        finer: dict[tuple[int, object], list[int]] = {}
        for number, group in enumerate(groups):
            for row in group:
                finer.setdefault((number, key(images[row])), []).append(row)
        groups = [group for group in finer.values() if len(group) > 1]
    first = np.arange(len(images))
    for group in groups:
        first[group] = group[0]
    return first
