"""Fuzz: folders of one's own data and trees of PASCAL VOC's layout; lists, names of classes, links, pipes, spoilt files."""

import io
import os
from collections import Counter

import numpy as np
import torch
from fuzzing import fuzz, only_sentences
from hostile import HOSTILE, arrays, encoded, entries, files, folder, names, pictures, put, spoilt
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from panet_lite import EpisodeSampler
from panet_lite.datasets import DiskBank, Folder, Pascal, Tabletop
from panet_lite.datasets.folders import pictures_among

SIZE = (24, 16)
MASKS = [(0, 1), (0, 1, 2), (0, 255), (0, 1, 255), (0, 3, 250, 255), (0, 128, 255)]
LINES = st.one_of(
    st.lists(st.sampled_from([b"a", b"b", b"a.png", b"images/b.jpg", b"c", b"a__05", b"", b"  ", b"a b", b"\xff", b"__ignore__", b"background",
                              b"_background_", b"x", "\ufeffa".encode()]), max_size=4).map(b"\n".join),
    st.binary(max_size=20), st.just(b"a\r\nb\r\n"), st.just(b"\n".join(b"n%d" % n for n in range(300))),
    st.just("a\nb".encode("utf-16")),
)  # fmt: skip
SMALL = st.sampled_from([SIZE, SIZE, SIZE, SIZE, (1, 1)])


@st.composite
def pairs(draw, suffixes=(".png", ".jpg", ".tif", "")):
    """{(kind, name with suffix): content} of a few images and masks, most of which belong together."""
    tree, kind = {}, draw(st.sampled_from(MASKS))
    for name in draw(
        st.lists(st.one_of(st.sampled_from(["a", "b", "c", "d"]), names), max_size=5, unique=True)
    ):
        for what, values, whole, modes in (("images", None, ("PNG", "JPEG", "TIFF"), ["L", "RGB", "P", "RGBA", "I;16"]),
                                           ("masks", kind, ("PNG", "PNG", "TIFF", "GIF"), ["L", "L", "P", "1", "RGB", "LA"])):  # fmt: skip
            if draw(st.integers(0, 30)) == 0:
                continue
            modes = modes if draw(st.integers(0, 9)) == 0 else modes[:1]
            content = encoded(
                draw(pictures([values], modes, SMALL)),
                draw(st.sampled_from(whole)),
                draw(st.sampled_from([0, 0, 0, 0, 6])),
                1,
            )
            if draw(st.integers(0, 15)) == 0:
                content = draw(entries(st.one_of(spoilt(st.just(content)), files(size=SMALL))))
            suffix = draw(
                st.sampled_from([suffixes[0] if what == "masks" else suffixes[1]] * 9 + list(suffixes))
            )
            tree[what, f"{name}{suffix}"] = content
    return tree


def use(dataset, home, seed=0):
    """All that is asked of a data set: pixels, masks, objects, classes, episodes; of one that could be opened."""
    assert len(dataset.ids) == len(dataset) == len(dataset.coverage) and repr(dataset)
    for index in range(len(dataset)):
        shapes = set()
        for kind in ("image", "label_map", "instances"):
            with only_sentences(home):
                if (value := getattr(dataset, kind)(index)) is not None:
                    assert value.dtype == torch.uint8
                    shapes.add(tuple(value.shape[-2:]))
                    if kind == "label_map":
                        assert set(value.unique().tolist()) <= {255, *range(len(dataset.classes) + 1)}
        assert len(shapes) < 2 or "objects" in os.listdir(home), shapes
    for fold in range(len(dataset.folds)):
        with only_sentences():
            sampler = EpisodeSampler(dataset, dataset.fold(fold), seed=seed)
            episode = sampler.episode(seed)
            support = episode.support_labels
            assert set(support.unique().tolist()) <= {0, 1, 255} and episode.support_images.max() <= 1
            draw = sampler.draw(seed)
            assert max(Counter([*draw.supports.ravel(), *draw.queries]).values()) == 1


@fuzz(
    50, tree=pairs(), lists=st.dictionaries(st.sampled_from(["train.txt", "val.txt", "test.txt", "classes.txt", "classes.txt", "labelmap.txt"]),
                                            entries(LINES), max_size=2),
    objects=st.one_of(st.none(), entries(files(size=SMALL))), split=st.sampled_from(["val", "val", "train", "trainaug", "test", "x/../y", "\udcff"]),
    size=st.sampled_from([None, 1, 33]), folds=st.sampled_from([1, 1, 2, 0, -1, 10**9, [["x"]], [["a"], ["b"]], [["1"]], [[]], []]),
    skip=st.booleans(), decoded=st.booleans(),
    values=st.sampled_from([None] * 6 + [{0: "background", 1: "x", 2: "y"}, {0: "background", 255: "x"}, {999: "x"}, {0: "void"}, {}]),
)  # fmt: skip
def test_a_folder(tree, lists, objects, split, size, folds, skip, values, decoded):
    with folder() as home:
        for (kind, name), content in tree.items():
            put(home / kind / name, content)
        for name, content in lists.items():
            put(home / name, content)
        if objects is not None:
            put(home / "objects" / "a.png", objects)
        dataset = None
        with only_sentences():
            dataset = Folder(split, size, home, folds, skip, values)
        if dataset is not None:
            use(dataset, home)
            if decoded:
                use(DiskBank(dataset, home / "decoded"), home)


@fuzz(30, tree=pairs((".png", ".jpg")), lists=st.lists(entries(LINES), min_size=1, max_size=3), split=st.sampled_from(["val", "train", "trainaug"]),
      sbd=st.booleans(), mat=st.one_of(st.none(), arrays(), st.sampled_from(HOSTILE)), broken=st.booleans(), skip=st.booleans())  # fmt: skip
def test_trees_of_pascal(tree, lists, split, sbd, mat, broken, skip):
    with folder() as home:
        root = home / "VOC2012"
        kinds = {"images": "JPEGImages", "masks": "SegmentationClass"}
        for (kind, name), content in tree.items():
            put(root / kinds[kind] / name, content)
        stems = "\n".join(sorted({name.rpartition(".")[0] for _, name in tree})).encode(errors="replace")
        for name, content in zip(("val", "train", "trainaug"), [*lists, stems, stems][-3:]):
            put(root / "ImageSets" / "Segmentation" / f"{name}.txt", content)
        if sbd:
            file = io.BytesIO()
            try:
                savemat(file, {"GTcls": {"Segmentation": np.asarray(mat)}})
            except Exception:
                file.write(b"no mat")
            put(home / "SBD" / "cls" / "a.mat", file.getvalue()[:200] if broken else file.getvalue())
            put(home / "SBD" / "train.txt", lists[0])
        for kind, where in ((Pascal, home), (Tabletop, root)):
            dataset = None
            with only_sentences():
                dataset = kind(split, root=where, skip_broken=skip)
            if dataset is not None:
                use(dataset, home)


@fuzz(30, inside=st.dictionaries(names.flatmap(lambda n: st.sampled_from([n, f"{n}.png", f"{n}.HEIC"])), entries(files(size=SMALL)), max_size=5),
      more=st.lists(names, max_size=2))  # fmt: skip
def test_what_is_to_be_segmented(inside, more):
    with folder() as home:
        for name, content in inside.items():
            put(home / name, content)
        with only_sentences():
            found = pictures_among(
                [home, *(home / name for name in more)], [home / name for name in list(inside)[:1]]
            )
            assert found and len({path.stem for path in found}) == len(found)


def test_the_strategies_reach_what_can_be_used():
    """Not all that is tried is refused at the door."""
    with folder() as home:
        for name in "ab":
            for kind, values in (("images", np.arange(384)), ("masks", np.arange(384) % 24 > 12)):
                (home / kind).mkdir(exist_ok=True)
                Image.fromarray((values + (name == "b")).astype(np.uint8).reshape(16, 24)).save(
                    home / kind / f"{name}.png"
                )
        dataset = Folder("val", None, home)
        assert dataset.ids == ["a", "b"]
        use(dataset, home)
