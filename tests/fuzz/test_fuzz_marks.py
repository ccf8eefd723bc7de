"""Fuzz: what is marked on a picture, as dictionaries, as JSON of labelme and COCO; and the segmenter that learns from it."""

import base64
import functools
import io

import numpy as np
import torch
from fuzzing import fuzz, only_sentences
from hostile import HOSTILE, arrays, as_json, entries, files, folder, names, pictures, put
from hypothesis import strategies as st
from PIL import Image
from test_fuzz_pictures import check_marks

from panet_lite import PANet, Segmenter
from panet_lite.backbones import VGG16
from panet_lite.datasets.marks import marks_of

SIZES = st.sampled_from([(1, 1), (1, 9), (9, 1), (24, 16), (48, 64)])
numbers = st.one_of(
    st.integers(-3, 70),
    st.floats(-10, 80),
    st.sampled_from([1e9, -1e300, 10**400, float("nan"), float("inf"), None, "3", "x", True]),
)
CLASSES = st.one_of(
    st.sampled_from(["a", "b", "background", "void", "__ignore__", "_background_", "0", "255", "1", ""]), st.text(max_size=4)
)  # fmt: skip
VALUES = [(0, 1), (0, 255), (1,), (0, 1, 255)]  # what masks mostly hold, or nothing would be learnt


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@st.composite
def points(draw, least=0, most=6):
    """A list of points, most of them numbers."""
    if draw(st.integers(0, 9)):
        return draw(
            st.lists(st.tuples(st.integers(-3, 70), st.integers(-3, 70)), min_size=least, max_size=most)
        )
    return draw(st.lists(st.lists(numbers, max_size=3), max_size=most))


hand_marks = st.one_of(
    points(), st.lists(numbers, max_size=5), arrays(), pictures(VALUES), st.sampled_from(HOSTILE),
    st.tuples(*[st.integers(0, 30)] * 4), st.builds(np.array, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1)),
)  # fmt: skip


@st.composite
def labelme(draw):
    """A file of labelme, whole."""
    inner = base64.b64encode(png(draw(pictures([(0, 1), (0, 255)], modes=["1", "L", "RGB"])))).decode()
    kinds = st.sampled_from(
        ["polygon", "rectangle", "circle", "line", "linestrip", "point", "points", "mask", None, "oval"]
    )
    shapes = st.fixed_dictionaries(
        {
            "label": CLASSES,
            "points": points(2),
            "shape_type": kinds,
            "group_id": st.none(),
            "mask": st.just(inner),
        }
    )
    return {
        "version": "5.2", "flags": {}, "shapes": draw(st.lists(shapes, max_size=4)), "imagePath": "a.png",
        "imageHeight": draw(st.sampled_from([None, 16, 48, 9])), "imageWidth": draw(st.sampled_from([None, 24, 64, 1])),
    }  # fmt: skip


@st.composite
def coco(draw):
    """A file of COCO's instances, whole."""
    size = draw(SIZES)
    outlines = st.lists(
        st.lists(st.floats(-2, 70), min_size=6, max_size=12).map(lambda x: x[: len(x) // 2 * 2]),
        min_size=1,
        max_size=2,
    )
    runs = st.fixed_dictionaries(
        {
            "size": st.just(list(size)),
            "counts": st.one_of(
                st.just([0, size[0] * size[1]]), st.lists(st.integers(0, 40)), st.text(max_size=9)
            ),
        }
    )
    annotations = st.fixed_dictionaries(
        {"id": st.integers(1, 9), "image_id": st.integers(1, 2), "category_id": st.integers(1, 3), "iscrowd": st.integers(0, 1),
         "segmentation": st.one_of(outlines, outlines, runs), "bbox": st.just([0, 0, 5, 5]), "area": st.just(25)}
    )  # fmt: skip
    images = [
        {"id": n, "file_name": f"{name}.png", "height": size[0], "width": size[1]}
        for n, name in ((1, "a"), (2, "b"))
    ]
    return {
        "info": {}, "images": images[: draw(st.integers(0, 2))], "annotations": draw(st.lists(annotations, max_size=4)),
        "categories": [{"id": n, "name": draw(CLASSES)} for n in range(1, draw(st.integers(1, 4)))],
    }  # fmt: skip


@fuzz(
    60,
    marks=st.dictionaries(st.one_of(CLASSES, st.none(), st.integers()), hand_marks, max_size=3),
    size=SIZES,
)
def test_dictionaries(marks, size):
    with only_sentences():
        check_marks(marks_of(marks, size), size)


@fuzz(60, content=entries(as_json(labelme())), size=SIZES)
def test_labelme(content, size):
    with folder() as home:
        put(home / "a.json", content)
        with only_sentences(home / "a.json"):
            check_marks(marks_of(home / "a.json", size), size)


@fuzz(
    60,
    content=entries(as_json(coco())),
    size=SIZES,
    picture=st.sampled_from(["a.png", "b.png", "c.png", None]),
)
def test_coco(content, size, picture):
    with folder() as home:
        put(home / "a.json", content)
        with only_sentences(home / "a.json"):
            check_marks(marks_of(home / "a.json", size, picture), size)


@functools.cache
def network():
    """The smallest there is."""
    torch.manual_seed(0)
    return PANet(VGG16(1 / 16))


@st.composite
def marked(draw):
    """A picture, what is marked on it, and whether both are of one size."""
    size = draw(st.sampled_from([(1, 1), (1, 9), (24, 16), (40, 64), (300, 7)]))
    picture = draw(pictures(size=st.just(size[::-1])))
    mask = draw(pictures(VALUES, size=st.just(size[::-1]), modes=["1", "L", "P", "RGB", "I;16", "LA"]))
    mark = draw(st.one_of(
        st.just(mask), st.just(np.array(mask.convert("L"))), st.just({"a": mask}), st.dictionaries(CLASSES, hand_marks, min_size=1, max_size=3),
        st.just({"a": (0, 0, 5, 5)}), st.just({"a": [(1, 1)], "background": [(0, 0)]}), arrays(),
    ))  # fmt: skip
    return picture if draw(st.booleans()) else np.array(picture.convert("RGB")), mark


@fuzz(30, supports=st.lists(marked(), max_size=3), query=st.one_of(pictures(), arrays(), files()), tiled=st.booleans(),
      called=st.one_of(st.none(), st.none(), st.lists(CLASSES, max_size=3)),
      values=st.one_of(st.none(), st.none(), st.dictionaries(st.integers(-1, 300), CLASSES, max_size=4)))  # fmt: skip
def test_a_segmenter(supports, query, tiled, called, values):
    segmenter = Segmenter(network(), 192, tiled)
    with folder() as home:
        if isinstance(query, bytes):
            put(home / "q.png", query)
            query = home / "q.png"
        with only_sentences():
            segmenter.fit(
                [picture for picture, _ in supports], [mark for _, mark in supports], called, values
            )
            assert segmenter.prototypes.isfinite().all() and len(segmenter.prototypes) == 1 + len(
                segmenter.names
            )
        if segmenter.prototypes is None:
            segmenter.fit([np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)], [{"a": (0, 0, 9, 9)}])
        with only_sentences():
            (result,) = segmenter.predict([query])
            assert result.labels.shape == result.size and all(
                0 <= score <= 1 for score in result.scores.values()
            )
            assert result.labels.max() <= len(segmenter.names)
            result.save(home / "out" / "q.png")
            with Image.open(home / "out" / "q.png") as saved:
                assert saved.size == result.size[::-1]


@fuzz(
    20,
    name=names,
    suffix=st.sampled_from([".json", ".png", ".JSON"]),
    content=entries(st.one_of(as_json(labelme()), files())),
)
def test_names_of_marks(name, suffix, content):
    with folder() as home:
        path = home / f"{name}{suffix}"
        put(path, content)
        with only_sentences(path):
            check_marks(marks_of({"a": str(path)}, (16, 24)), (16, 24))
