"""Fuzz: pictures and masks in files of any kind, in memory of any type; what words say of masks' values."""

import contextlib
import os

import torch
from fuzzing import fuzz, only_sentences
from hostile import SUFFIXES, arrays, entries, files, folder, names, pictures, put
from hypothesis import example
from hypothesis import strategies as st
from PIL import Image

from panet_lite.datasets.marks import from_pixels, marks_of
from panet_lite.datasets.masks import VOID, labelmap, read_label_map, read_values
from panet_lite.datasets.meaning import values_said
from panet_lite.datasets.pictures import picture_of, picture_size, read_image

SIDE = st.sampled_from([None, 1, 5, 64])
WORDS = st.lists(
    st.one_of(
        st.sampled_from(["0=background", "255=object", "128=void", "1-254=x", "9-3=x", "300=x", "0=", "=x", "0,1=a", "1=a 1=b", "-1=a",
                         "1.5=a", "1e9=a", "\u0663=a", "1==", "01=a", "0-255=all", "999-0=a"]),
        st.text(max_size=12),
    ),
    max_size=4,
)  # fmt: skip


def check_marks(marks, size=None):
    """Labels that are those of the names, each shown."""
    labels = marks.labels
    assert labels.dtype == torch.uint8 and labels.ndim == 2 and size in (None, tuple(labels.shape))
    assert set(labels.unique().tolist()) - {0, VOID} <= set(range(1, len(marks.names) + 1)) and marks.names
    assert all(isinstance(name, str) for name in marks.names)


@fuzz(60, content=entries(files()), name=names, suffix=st.sampled_from(SUFFIXES), side=SIDE)
def test_files(content, name, suffix, side):
    with folder() as home:
        path = home / f"{name}{suffix}"
        put(path, content)
        shapes = set()
        with only_sentences(path):
            image = read_image(path)
            assert image.dtype == torch.uint8 and len(image) == 3
            shapes.add(tuple(image.shape[1:]))
        with only_sentences(path):
            size = picture_size(path)
            shapes = {size[::-1], *shapes}
        with only_sentences(path):
            picture, size = picture_of(path, side)
            assert picture.mode == "RGB" and max(picture.size) <= (side or max(size))
            shapes.add(size)
        with only_sentences(path):
            labels = read_label_map(path)
            assert labels.dtype == torch.uint8
            if suffix != ".mat":
                shapes.add(tuple(labels.shape))
        assert len(shapes) < 2, shapes
        for read in (picture_of, from_pixels):
            with only_sentences(), contextlib.ExitStack() as stack:
                try:
                    opened = stack.enter_context(Image.open(path)) if path.is_file() else None
                except Exception:
                    opened = None  # Pillow's own business
                read(opened)
        with only_sentences(path):
            check_marks(marks_of(path, next(iter(shapes), (6, 8))))


@fuzz(60, source=arrays(), side=SIDE)
def test_arrays(source, side):
    with only_sentences():
        picture, size = picture_of(source, side)
        assert picture.mode == "RGB" and min(size) > 0
    with only_sentences():
        check_marks(marks_of(source, tuple(source.shape[-2:])), tuple(source.shape[-2:]))


@fuzz(40, source=pictures(), side=SIDE, words=WORDS)
def test_pictures_in_memory(source, side, words):
    with only_sentences():
        picture, size = picture_of(source, side)
        assert picture.mode == "RGB" and size == (source.height, source.width)
    with only_sentences():
        check_marks(from_pixels(source, mask_values=values_said(words)), (source.height, source.width))


@fuzz(40, words=WORDS)
def test_words(words):
    with only_sentences("--mask-values"):
        said = values_said(words)
        assert all(isinstance(value, int) and name for value, name in said.items())


@fuzz(30, text=st.one_of(st.binary(max_size=60), st.sampled_from([
    b"a:1,2,3::", b"# x\nbackground:0,0,0::\ncrack:255,0,0::", b"a:1,2::", b"a:999,-1,0::", b"a:1,2,3,4::", b"a:1,2,3\na:1,2,3", b":1,2,3",
    b"background:5,5,5::\na:0,0,0::"])), content=files())  # fmt: skip
def test_a_labelmap(text, content):
    with folder() as home:
        put(home / "labelmap.txt", text)
        put(home / "mask.png", content)
        with only_sentences(home):
            colours = labelmap(home / "mask.png")
            assert all(len(colour) == 3 for colour in colours)
            read_values(home / "mask.png", colours)
        with only_sentences(home):
            check_marks(marks_of(home / "mask.png", (6, 8)))


@fuzz(
    30,
    sources=st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=5), st.binary(max_size=5)), st.lists
    ),
)
@example(sources=os.fsencode("a.png"))
def test_what_is_no_picture(sources):
    for read in (picture_of, from_pixels):
        with only_sentences():
            read(sources)
            assert isinstance(sources, (str, Image.Image)), "a picture of nothing"
