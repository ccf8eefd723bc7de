"""Strategies of hostile input: pictures of all kinds, bytes that were spoilt, names, JSON, arrays."""

import contextlib
import io
import json
import os
import socket
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image

MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "HSV", "LAB", "RGBX"]
FORMATS = ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "TGA", "ICO", "PCX", "SGI", "JPEG2000", "DDS", "IM", "MPO",
           "ICNS", "SPIDER", "MSP", "XBM", "EPS", "AVIF", "BLP", "DIB"]  # fmt: skip
SUFFIXES = [
    ".png",
    ".jpg",
    ".tif",
    ".gif",
    ".bmp",
    ".webp",
    ".ppm",
    ".tga",
    ".mat",
    ".PNG",
    ".heic",
    ".txt",
    ".json",
    "",
]
SIZES = [(1, 1), (1, 9), (9, 1), (8, 6), (24, 16), (1, 400), (400, 1), (64, 48)]
VALUES = [
    (0,),
    (255,),
    (0, 255),
    (0, 1),
    (0, 1, 2),
    (0, 128, 255),
    (0, 1, 255),
    (0, 3, 7, 250, 255),
    (1, 2),
    (0, 300, 65535),
]
FORBIDDEN = {b"", b".", b".."}

sizes = st.sampled_from(SIZES)


def pixels(size, kind, seed):
    """Values (H, W), uint16: few that a mask may hold, or noise where `kind` is None."""
    rng = np.random.default_rng(seed)
    if kind is None:
        return rng.integers(0, 65536 if seed % 2 else 256, size[::-1]).astype(np.uint16)
    blocks = rng.choice(kind, (4, 4))
    rows, columns = (np.arange(n) * 4 // n for n in size[::-1])
    return blocks[rows[:, None], columns].astype(np.uint16)


def picture_of_mode(mode, size, kind, seed):
    """A picture of any of Pillow's modes."""
    values = pixels(size, kind, seed)
    if mode == "I;16":
        return Image.fromarray(values)
    if mode in ("I", "F"):
        return Image.fromarray(values.astype({"I": np.int32, "F": np.float32}[mode]) - (seed % 5 == 1))
    grey = Image.fromarray(values.astype(np.uint8))
    if mode == "P":
        grey.putpalette(np.random.default_rng(seed).integers(0, 256, 768, np.uint8).tobytes())
        return grey
    for steps in ((mode,), ("RGB", mode), ("P", mode), ("RGB", "LAB")):
        with contextlib.suppress(ValueError, OSError):
            made = grey
            for step in steps:
                made = made.convert(step)
            return made
    return grey


def encoded(picture, kind, orientation, frames):
    """The bytes of a file of this format, else of a PNG."""
    file, options = io.BytesIO(), {}
    if orientation:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    if frames > 1 and kind in ("GIF", "TIFF", "WEBP", "PNG", "MPO"):
        options |= {"save_all": True, "append_images": [picture] * (frames - 1)}
    for what in (picture, picture.convert("RGB")):
        with contextlib.suppress(Exception):  # not every format knows every mode
            what.save(file, kind, **options)
            return file.getvalue()
    file = io.BytesIO()
    picture.convert("RGB").save(file, "PNG")
    return file.getvalue()


def huge(width, height, mode=2):
    """A small PNG that says it is large."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@st.composite
def pictures(draw, kinds=(None, *VALUES), modes=MODES, size=sizes):
    """A picture that Pillow holds."""
    return picture_of_mode(
        draw(st.sampled_from(modes)), draw(size), draw(st.sampled_from(kinds)), draw(st.integers(0, 99))
    )


@st.composite
def encodings(draw, kinds=(None, *VALUES), size=sizes):
    """The bytes of a whole file."""
    return encoded(
        draw(pictures(kinds, size=size)),
        draw(st.sampled_from(FORMATS)),
        draw(st.integers(0, 9)),
        draw(st.integers(1, 3)),
    )


@st.composite
def spoilt(draw, contents):
    """Contents that were cut off, changed in places, given another head or repeated."""
    content = bytearray(draw(contents))
    for _ in range(draw(st.integers(0, 3))):
        at = int(draw(st.floats(0, 1)) * len(content))
        match draw(st.sampled_from(["flip", "flip", "head flip", "cut", "swap", "insert", "twice"])):
            case "flip" if at < len(content):
                content[at] = draw(st.integers(0, 255))
            case "head flip" if content:
                content[at % min(64, len(content))] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
            case "cut":
                del content[at:]
            case "swap":
                content[:16] = draw(contents)[:16]
            case "insert":
                content[at:at] = draw(st.binary(max_size=9))
            case "twice":
                content += content[at:]
    return bytes(content)


def files(kinds=(None, *VALUES), size=sizes):
    """The bytes of a picture's file: whole, spoilt, or none at all."""
    whole = encodings(kinds, size)
    bombs = st.builds(
        huge,
        st.sampled_from([0, 1, 10**5, 2**31 - 1]),
        st.sampled_from([0, 1, 10**5, 2**31 - 1]),
        st.integers(0, 7),
    )
    return st.one_of(whole, whole, spoilt(whole), spoilt(whole), st.binary(max_size=200), bombs)


def plain(name):
    """A name that a file may have, in bytes."""
    return name.replace(b"/", b"_").replace(b"\0", b"_")[:240]


names = st.one_of(
    st.sampled_from([b"a", b"b", b"c 1", b".hidden", b"._mac", b"a.b.c", b"\xff\xfe", "\u4e2d\u6587\u00e9".encode(), b"a\nb", b"-x", b"~",
                     b"x" * 240, b"%s{}", b"a:b", b"name__05", b" lead", b"trail "]),
    st.binary(min_size=1, max_size=8),
).map(plain).filter(lambda name: name not in FORBIDDEN).map(os.fsdecode)  # fmt: skip


@contextlib.contextmanager
def folder():
    """A temporary folder, as a path."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)


ODDITIES = ["pipe", "socket", "folder", "loop", "dangling", "directory link"]


def put(path, content):
    """A file of these bytes, or one of ODDITIES; where the system refuses the name, nothing."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        match content:
            case bytes():
                path.write_bytes(content)
            case "pipe":
                os.mkfifo(path)
            case "socket":
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(str(path))
            case "folder":
                path.mkdir()
            case "loop":
                path.symlink_to(path)
            case "dangling":
                path.symlink_to(path.with_name("nowhere"))
            case "directory link":
                path.symlink_to(path.parent)


def entries(contents):
    """What may lie where a file is looked for."""
    return st.one_of(*[contents] * 9, st.sampled_from(ODDITIES))


DEEP: list = []
for _ in range(50):
    DEEP = [DEEP]
HOSTILE = [None, "", -1, 0, 1e9, -1e9, 1e308, 10**30, 10**400, float("nan"), float("inf"), [], {}, [[]], [{}], {"a": {}}, True,
           "text", "1", "nan", "\ud800", [1, [2]], [None], ["a", "b"], 2**31, 2**63, 0.5, DEEP, [[0, 0]], [[1, 2], [3, 4], [5]],
           "x" * 1000, [0] * 500]  # fmt: skip


def places(document, path=()):
    """The paths of all values in a JSON document."""
    yield path
    if isinstance(document, (dict, list)):
        for key in document if isinstance(document, dict) else range(len(document)):
            yield from places(document[key], (*path, key))


@st.composite
def mutated(draw, documents):
    """A JSON document, some of whose values are replaced, left out or repeated."""
    document = json.loads(json.dumps(draw(documents)))
    for _ in range(draw(st.integers(0, 3))):
        *path, last = draw(st.sampled_from([p for p in places(document) if p] or [(None,)]))
        if last is None:
            return document
        owner = document
        for key in path:
            owner = owner[key]
        match draw(st.sampled_from(["replace", "replace", "replace", "drop", "twice"])):
            case "replace":
                owner[last] = json.loads(json.dumps(draw(st.sampled_from(HOSTILE))))
            case "drop":
                del owner[last]
            case "twice" if isinstance(owner, list):
                owner.append(owner[last])
    return draw(st.sampled_from([document] * 20 + HOSTILE))


def as_json(documents):
    """Bytes of JSON, at times spoilt, in another encoding or nested too deep."""
    whole = mutated(documents).map(lambda document: json.dumps(document).encode())
    return st.one_of(
        whole, whole, whole, spoilt(whole), whole.map(lambda c: b"\xef\xbb\xbf" + c), st.just(b"[" * 10**5),
        whole.map(lambda c: c.decode().encode("utf-16")), st.just(b'{"shapes": ' + b"9" * 5000 + b"}"),
    )  # fmt: skip


DTYPES = ["?", "u1", "i1", "<u2", ">u2", "i2", "u4", "i4", ">i4", "i8", "u8", "f2", "f4", ">f4", "f8", "g", "c8", "O", "S1", "U1", "M8[s]",
          "m8[s]", "u1,u1"]  # fmt: skip
SHAPES = [(), (0,), (5,), (0, 4), (4, 0, 3), (1, 1), (6, 8), (6, 8, 3), (3, 6, 8), (6, 8, 1), (1, 6, 8), (6, 8, 4), (4, 6, 8), (6, 8, 2),
          (1, 3, 6, 8), (8, 6), (1, 200), (3, 3, 3), (2, 2, 2, 2, 2)]  # fmt: skip
TORCH = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64, torch.uint64, torch.float16, torch.bfloat16,
         torch.float32, torch.float64, torch.complex64, torch.float8_e4m3fn]  # fmt: skip


@st.composite
def arrays(draw):
    """An array or a tensor of any type and shape, that may be a picture, a mask or neither."""
    shape, top = (
        draw(st.sampled_from(SHAPES)),
        draw(st.sampled_from([0, 0.5, 1, 2, 255, 256, 4095, 65535, 1e9, -1, -2.5])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    values = rng.random(shape) * top
    if draw(st.booleans()):
        values = np.where(rng.random(shape) < 0.5, 0, np.floor(np.asarray(top)))
    with np.errstate(all="ignore"):
        if draw(st.booleans()):
            tensor = torch.from_numpy(np.asarray(values, float)).to(draw(st.sampled_from(TORCH)))
            how = draw(st.sampled_from(["plain"] * 6 + ["sparse", "meta", "grad", "view"]))
            with contextlib.suppress(RuntimeError, NotImplementedError):
                if how == "sparse":
                    return tensor.to_sparse()
                if how == "meta":
                    return tensor.to("meta")
                if how == "grad":
                    return tensor.requires_grad_()
                if how == "view" and tensor.ndim:
                    return tensor.flip(0)[::1].transpose(0, -1)
            return tensor
        kind = draw(st.sampled_from(DTYPES))
        array = np.asarray(values)
        if kind[0] in "uifg<>?" and kind != "u1,u1" and array.size and draw(st.booleans()):
            array = array.astype(float).reshape(-1)
            array[0] = draw(st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e300]))
            array = array.reshape(shape)
        with contextlib.suppress(ValueError, TypeError):
            array = array.astype(kind)
    how = draw(st.sampled_from(["plain"] * 6 + ["flipped", "turned", "masked", "read-only"]))
    if how == "flipped" and array.ndim:
        return array[::-1]
    if how == "turned":
        return array.T
    if how == "masked":
        return np.ma.masked_array(array)
    if how == "read-only":
        array.flags.writeable = False
    return array
