"""Pictures and label maps in files: PNG, JPEG and their like, and SBD's .mat (Sec. 4.1; chapters 1, 11)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy.io import loadmat
from torch import Tensor
from tqdm import tqdm

Picture = str | Path | Image.Image | np.ndarray | Tensor
HEIC = (".heic", ".heif")  # what telephones save
SMEARED = (".jpg", ".jpeg", ".webp")  # no mask survives these
ADVICE = "Copy it again, or leave such images out of a data set by --skip-broken (skip_broken=True)."


def suffixes() -> set[str]:
    """Those of the files that Pillow reads here; HEIC too, where its plug-in is installed."""
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    return set(Image.registered_extensions())


@contextlib.contextmanager
def opened(path: str | Path, what: str) -> Iterator[Image.Image]:
    """The file as a picture; whatever goes wrong with it meanwhile is a ValueError that names it."""
    suffix = Path(path).suffix.lower()
    if suffix in HEIC and suffix not in suffixes():
        raise ValueError(f"The {what} {path} is HEIC: pip install pillow-heif, or save it as JPEG.")
    try:
        with Image.open(path) as picture:
            yield picture
    except Exception as error:  # a broken file shows as any of a dozen kinds
        raise ValueError(
            f"The {what} {path} cannot be read ({error}): it is missing, truncated or no picture. {ADVICE}"
        ) from error


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


def upright_rgb(picture: Image.Image) -> Image.Image:
    """A picture as RGB, turned as its EXIF says."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits a pixel; PIL would clip them to white
        picture = Image.fromarray((np.asarray(picture, dtype=np.int64) >> 8).astype(np.uint8))
    return picture.convert("RGB")


def array_of(what: str, picture: np.ndarray | Tensor) -> np.ndarray:
    """The values on the CPU, as they are. Errors: ValueError where there are none, or some are not finite."""
    values = picture.detach().cpu().numpy() if isinstance(picture, Tensor) else np.asarray(picture)
    if not values.size or values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise ValueError(
            f"The {what} of shape {values.shape} and type {values.dtype} is empty, or holds other things than "
            "finite numbers: give the pixels of a picture."
        )
    return values


def picture_of(source: Picture, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """A picture as RGB, the right way up, and its own size (H, W'); shrunk until no side is longer than `side`.

    source: a path, a PIL image, an array (H, W', 3) or (H, W') or a tensor (3, H, W') or (H, W'), in uint8 or in
    floats from 0 to 1. Errors: ValueError where it is none of these or cannot be read.
    """
    if isinstance(source, (str, Path)):
        with opened(source, "image") as file:
            width, height = file.size
            if side is not None:
                file.draft("RGB", (side, side))  # a large JPEG is decoded at a half, a quarter, an eighth
            turned = file.getexif().get(0x0112, 1) >= 5
            size, picture = (width, height) if turned else (height, width), upright_rgb(file)
    elif isinstance(source, Image.Image):
        picture = upright_rgb(source)
        size = picture.height, picture.width
    elif isinstance(source, (np.ndarray, Tensor)):
        values = array_of("picture", source)
        if isinstance(source, Tensor) and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 2:
            values = values[..., None].repeat(3, -1)
        floats = values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1
        if values.ndim != 3 or values.shape[-1] != 3 or not (floats or values.dtype == np.uint8):
            order = "(3, H, W)" if isinstance(source, Tensor) else "(H, W, 3)"
            raise ValueError(
                f"A picture of shape {tuple(source.shape)} and type {source.dtype} from {values.min()} to "
                f"{values.max()} is not understood: give {order}, uint8 or floats from 0 to 1."
            )
        picture = Image.fromarray((values * 255).round().astype(np.uint8) if floats else values)
        size = picture.height, picture.width
    else:
        raise ValueError(f"A {type(source).__name__} is no picture: give a path, an array or a tensor.")
    if side is not None and max(size) > side:
        shrunk = [max(1, round(n * side / max(size))) for n in (size[1], size[0])]
        picture = picture.resize((shrunk[0], shrunk[1]), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return picture, size


def read_label_map(path: str | Path, size: int | None = None) -> Tensor:
    """A label map, uint8 (H, W), from a palette or grey PNG or a .mat; nearest neighbour to (size, size)."""
    if Path(path).suffix == ".mat":
        return resized(read_mat(path), size)
    with opened(path, "mask") as picture:
        mode, labels = picture.mode, np.array(picture)
    if mode not in ("P", "L", "1"):
        raise ValueError(
            f"The mask {path} is a picture of mode {mode}, not a label map: save it with one channel (palette "
            "or grey) whose values are class indices."
        )
    return resized(labels.astype(np.uint8), size)


def read_mat(path: str | Path) -> np.ndarray:
    """The label map (H, W) of a .mat file in SBD's cls/, or the instance map of one in its inst/, uint8.

    Errors: ValueError where the file is truncated or holds something else.
    """
    try:
        content = loadmat(path, variable_names=["GTcls", "GTinst"])
        (name,) = {"GTcls", "GTinst"} & content.keys()
        labels: np.ndarray = content[name]["Segmentation"][0, 0]
        return labels.astype(np.uint8)
    except Exception as error:  # a truncated file shows as any of a dozen kinds
        raise ValueError(
            f"The mask {path} cannot be read ({type(error).__name__}): it is truncated or not SBD's. {ADVICE}"
        ) from error


def resized(labels: np.ndarray, size: int | None) -> Tensor:
    """A label map (H, W), uint8, as a tensor; squashed to (size, size), nearest neighbour, if given."""
    if size is not None:
        labels = np.array(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))
    return torch.from_numpy(np.ascontiguousarray(labels))


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) as shown, EXIF rotation applied; reads the header only."""
    with opened(path, "image") as picture:
        turned = picture.getexif().get(0x0112, 1) >= 5
        return picture.size[::-1] if turned else picture.size


def label_areas(images: list[Path], masks: list[Path], skip_broken: bool = False) -> np.ndarray:
    """Pixels of each label in each mask, int32 (N, 256); every pair is checked once.

    skip_broken: images are decoded, too, and a pair that cannot be read gets a row of zeros.
    Errors: ValueError names the first mask that cannot be read or whose size is not its image's.
    """
    areas = np.zeros((len(masks), 256), np.int32)
    pairs = zip(images, masks)
    for row, (image, path) in enumerate(tqdm(pairs, "first look", len(masks), False, delay=2, disable=None)):
        try:
            labels, size = read_label_map(path).numpy(), picture_size(image)
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


def readable(images: list[Path]) -> dict[str, np.ndarray]:
    """Which of the images can be decoded, as {"all": (N,) bool}."""
    found = np.ones(len(images), bool)
    for row, path in enumerate(tqdm(images, "first look", leave=False, delay=2, disable=None)):
        try:
            read_image(path)
        except ValueError:
            found[row] = False
    return {"all": found}
