"""Masks, pictures and lists as the world has them: read, with a word where something was decided, or refused."""

import os
import socket
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from panet_lite import Episode, EpisodeSampler, own_episode
from panet_lite.__main__ import main
from panet_lite.datasets import Folder, SegmentationDataset
from panet_lite.datasets.marks import from_pixels, marks_of
from panet_lite.datasets.masks import (
    BORDER,
    has_colours,
    palettes_differ,
    read_label_map,
    read_values,
    voc_palette,
    whole,
)
from panet_lite.datasets.meaning import Meaning, values_said
from panet_lite.datasets.pictures import as_bytes, doubles, picture_of, read_image

H, W = 40, 56
INSIDE = np.zeros((H, W), bool)
INSIDE[10:30, 12:40] = True
EDGE = INSIDE.copy()
EDGE[11:29, 13:39] = False


def mask(inside, outside=0, edge=None, number=0):
    values = np.where(INSIDE, inside, outside).astype(np.uint8)
    if edge is not None:
        values[EDGE] = edge
    return np.roll(values, number, 1)


def folder(tmp_path, masks, names="", save=None):
    """A data set of one's own; every picture differs."""
    root = tmp_path / "own"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for i, values in enumerate(masks):
        size = values.size if isinstance(values, Image.Image) else values.shape[1::-1]
        Image.new("RGB", size, (i, 90, 200)).save(root / "images" / f"p{i}.png")
        picture = values if isinstance(values, Image.Image) else Image.fromarray(values)
        (save or Image.Image.save)(picture, root / "masks" / f"p{i}.png")
    if names:
        (root / "classes.txt").write_text(names)
    return root


def read(root, **given):
    """The data set and what was said while it was opened."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        dataset = Folder(root=root, size=None, **given)
    return dataset, " ".join(str(note.message) for note in notes)


def soft(number, low=8, high=248):
    """Black and white, as a brush or a JPEG would leave it: near 0, near 255, shades on the edge."""
    rng = np.random.default_rng(number)
    values = np.where(INSIDE, rng.integers(high, 256, (H, W)), rng.integers(0, low, (H, W)))
    values[EDGE] = rng.integers(20, 230, EDGE.sum())
    return values.astype(np.uint8)


# --- what values mean -------------------------------------------------------------------------------------


def test_soft_edges_are_void_and_all_of_the_folder_decides(tmp_path):
    """The first mask alone would be one of two classes."""
    dataset, said = read(folder(tmp_path, [mask(255), *(soft(i) for i in range(3))]))
    share = 100 * 3 * EDGE.sum() / (4 * H * W)
    assert (
        dataset.classes == ("object",)
        and f"soft edges; .* {share:.1f} %".split(" .* ")[0] in said
        and f"{share:.1f} %" in said
    )
    for i in range(1, 4):
        labels = dataset.label_map(i).numpy()
        assert (
            (labels[EDGE] == 255).all() and (labels[INSIDE & ~EDGE] == 1).all() and not labels[~INSIDE].any()
        )


REFUSED = {
    "an unsure edge": ([mask(255, edge=128)] * 2, "128=void 255=object"),
    "an unsure edge of 127": ([mask(255, edge=127)] * 2, "127=void 255=object"),
    "0 and 1 beside 0 and 255": ([mask(1), mask(255)], "1=object 255=object"),
    "a photograph": ([np.arange(H * W).reshape(H, W).astype(np.uint8)], "many of them shades"),
    "a depth map": ([(np.arange(H * W).reshape(H, W) % 90 + 3).astype(np.uint8)], "one a class, no shades"),
    "no background": ([mask(1, outside=2)] * 2, "no 0, which is the background"),
    "thin strokes, mostly shades": ([np.where(EDGE, 100 + np.arange(W), np.where(INSIDE & (np.arange(W) == 20), 255, 0)).astype(np.uint8)], "shades"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_where_two_readings_are_possible_none_is_guessed(tmp_path, kind):
    masks, says = REFUSED[kind]
    with pytest.raises(ValueError, match=says) as error:
        read(folder(tmp_path, masks))
    assert "--mask-values " in str(error.value) and str(tmp_path / "own") in str(error.value)


def test_void_outlines_as_pascal_has_them_are_plain(tmp_path):
    dataset, said = read(folder(tmp_path, [mask(5, edge=255), mask(7, edge=255), mask(5)]))
    assert dataset.classes == ("5", "7") and not said
    dataset, said = read(folder(tmp_path, [mask(5, edge=255)] * 3))
    assert dataset.classes == ("5",) and not said


def test_sixty_classes_want_names(tmp_path):
    many = [mask(i) for i in range(1, 61)]
    with pytest.raises(ValueError, match="60 values between 0 and 255"):
        read(folder(tmp_path, many))
    dataset, said = read(folder(tmp_path, many, "\n".join(f"thing {i}" for i in range(1, 61))))
    assert len(dataset.classes) == 60 and not said


def meaning(counts, **given):
    """What masks of so many pixels of each value mean."""
    areas = np.zeros((1, 256), int)
    areas[0, list(counts)] = list(counts.values())
    return Meaning.of(areas, "Masks", **given)


def test_values_near_255_are_the_object_however_few():
    """Two bright values smear; a third value between would be a class of its own beside 255 alone."""
    smeared = meaning({0: 80, 100: 10, 250: 4, 255: 6})
    assert smeared.names == ("object",) and smeared.table.dtype == np.uint8
    assert smeared.table[[0, 7, 8, 247, 248, 255]].tolist() == [0, 0, 255, 255, 1, 1]
    assert smeared.note == (
        "Masks: soft edges; values near 0 and 255 were taken for the background and the object, "
        "those between, 10.0 % of the pixels, for void."
    )
    assert meaning({0: 80, 250: 4, 255: 6}, one="cat").names == ("cat",)
    assert meaning({0: 80, 250: 4, 255: 6}, names=["dog"]).names == ("dog",)
    two = meaning({0: 80, 1: 5, 250: 4, 255: 6}, names=["cat", "dog"])  # named classes: nothing is taken
    assert two.names == ("cat", "dog") and two.table.tolist() == list(range(256)) and not two.note


@pytest.mark.parametrize("counts", [{0: 40, 100: 20, 250: 20, 255: 20}, {0: 990, 100: 10, 250: 4, 255: 5}])
def test_more_shades_than_an_edge_has_are_refused(counts):
    """More than a tenth of all pixels, or more than the object has."""
    with pytest.raises(ValueError) as error:
        meaning(counts)
    assert str(error.value) == (
        "Masks: 4 different values, many of them shades, but a mask has one a class. Say what they mean, "
        "as in --mask-values 0-127=background 128-255=object, or save one value a class."
    )
    meaning(counts | {100: 8})


def test_twenty_values_are_classes_and_more_are_shades():
    twenty = {value: 9 for value in range(0, 42, 2)}
    assert meaning(twenty).names == tuple(str(value) for value in range(2, 42, 2))
    with pytest.raises(ValueError) as error:
        meaning(twenty | {99: 1})
    assert str(error.value) == (
        "Masks: 21 values between 0 and 255 (2, 4, 6, 8, 10, 12, 14, 16, 18, ...), but a mask has one a class, no "
        "shades. Say what they mean, as in --mask-values 0-127=background 128-255=object, or save one value a class."
    )


def test_what_values_mean_can_be_said(tmp_path):
    root = folder(tmp_path, [mask(255, edge=128), mask(128)])
    dataset, said = read(root, mask_values={0: "background", 128: "void", 255: "crack"})
    assert dataset.classes == ("crack",) and not said
    assert dataset.label_map(0).unique().tolist() == [0, 1, 255] and dataset.label_map(
        1
    ).unique().tolist() == [0, 255]
    with pytest.raises(ValueError, match="the value 128 is there, which --mask-values does not name: add it"):
        read(root, mask_values={0: "background", 255: "crack"})
    (root / "classes.txt").write_text("crack")
    with pytest.raises(ValueError, match="classes.txt and --mask-values both say"):
        read(root, mask_values={0: "background"})


def test_what_values_mean_from_the_command_line(tmp_path, capsys):
    root = folder(tmp_path, [mask(255, edge=128, number=i) for i in range(4)])
    command = [
        "evaluate",
        "--dataset",
        "folder",
        "--root",
        str(root),
        "--size",
        "32",
        "--runs",
        "1",
        "--episodes",
        "2",
        "--shots",
        "1",
    ]
    network = ["--weights", "random", "--width", "0.0625", "--device", "cpu"]
    assert (
        main([*command, *network]) == 1
        and "--mask-values 0=background 128=void 255=object" in capsys.readouterr().err
    )
    assert main([*command, *network, "--mask-values", "0=background 128=void", "255=crack"]) == 0
    assert "; crack " in capsys.readouterr().out
    assert main(["evaluate", "--mask-values", "0=background", *network]) == 1
    assert "goes with --dataset folder" in capsys.readouterr().err
    picture, marked, other = (root / part for part in ("images/p0.png", "masks/p0.png", "images/p1.png"))
    command = [
        "segment",
        "--support",
        str(picture),
        str(marked),
        "--query",
        str(other),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*command, *network]) == 1 and "both 128 and 255" in capsys.readouterr().err
    assert main([*command, *network, "--mask-values", "0=background,128=void,255=crack"]) == 0
    assert "crack" in capsys.readouterr().out


def test_words_that_say_what_values_mean():
    assert values_said(["0-2=background", "3=cat,4=dog"]) == {
        0: "background",
        1: "background",
        2: "background",
        3: "cat",
        4: "dog",
    }
    for words in (["cat=1"], ["1"], ["1=a", "1=b"], ["1000=a"], ["-1=a"]):
        with pytest.raises(ValueError, match="--mask-values wants VALUE=NAME"):
            values_said(words)
    with pytest.raises(ValueError, match="values are 0..255, not 256"):
        Meaning.said({255: "cat", 256: "dog"}, np.ones((1, 256), int), "Masks")


def test_names_that_no_map_can_hold(tmp_path):
    for names in ("\n".join(map(str, range(255))), "\n".join(map(str, range(300))), "cat\ndog\ncat"):
        with pytest.raises(
            ValueError, match="classes.txt names .* classes: 1 to 254 can be told apart, each named once"
        ):
            read(folder(tmp_path, [mask(1)], names))


# --- how they are written ---------------------------------------------------------------------------------


def paletted(values, colours):
    picture = Image.fromarray(values).convert("P")
    picture.putdata(values.ravel().tolist())
    picture.putpalette(np.asarray(colours, np.uint8).ravel().tolist())
    return picture


def test_the_palette_of_pascal():
    """As its development kit lists it: background, aeroplane, bicycle, person, TV, void."""
    listed = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: BORDER,
    }
    palette = voc_palette()
    assert palette.dtype == np.uint8 and len(np.unique(palette, axis=0)) == 256
    assert {label: tuple(palette[label].tolist()) for label in listed} == listed


def test_palettes_are_compared(tmp_path):
    """Index 1 is a cat in one file and a dog in the other: PASCAL's colours tell."""
    black, cat, dog = voc_palette()[[0, 8, 12]]
    dataset, said = read(folder(tmp_path, [paletted(mask(1), [black, cat]), paletted(mask(1), [black, dog])]))
    assert dataset.classes == ("8", "12") and "give the value 1 different colours" in said
    assert [dataset.label_map(i).unique().tolist() for i in (0, 1)] == [[0, 1], [0, 2]]
    root = folder(
        tmp_path / "b", [paletted(mask(1), [black, (1, 2, 3)]), paletted(mask(1), [black, (4, 5, 6)])]
    )
    with pytest.raises(ValueError, match=r"p0.png has the colour \(1, 2, 3\)"), pytest.warns(UserWarning):
        Folder(root=root)
    assert read(root, mask_values={0: "background", 1: "cat"})[0].classes == ("cat",)  # indices, as one says
    same = [paletted(mask(1), [black, (1, 2, 3)]), paletted(mask(2), [black, (1, 2, 3), (4, 5, 6)])]
    assert read(folder(tmp_path / "c", same))[0].classes == ("1", "2")


def test_colours_of_a_folder(tmp_path):
    """CVAT names them; else they are PASCAL's."""
    coloured = [voc_palette()[mask(3)], voc_palette()[mask(9, edge=255)]]
    assert read(folder(tmp_path, coloured))[0].classes == ("3", "9")
    root = folder(
        tmp_path / "b", [np.where(INSIDE[..., None], (250, 50, 83), (0, 0, 0)).astype(np.uint8)] * 2
    )
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nmug:250,50,83::\n"
    )
    dataset, _ = read(root)
    assert dataset.classes == ("mug",) and (dataset.label_map(0).numpy() == INSIDE).all()


def alpha(values):
    return Image.merge(
        "LA", [Image.fromarray(values), Image.fromarray(np.where(INSIDE, 255, 0).astype(np.uint8))]
    )


WRITTEN = {
    "16 bits": Image.fromarray(mask(3).astype(np.uint16)),
    "16 bits, the high one first": Image.frombytes("I;16B", (W, H), mask(3).astype(">u2").tobytes()),
    "one bit": Image.fromarray(INSIDE),
    "floats": Image.fromarray(mask(3).astype(np.float32)),
    "32 bits": Image.fromarray(mask(3).astype(np.int32)),
    "grey, transparent outside": alpha(mask(3, outside=9)),
    "three equal channels": Image.fromarray(np.stack([mask(3)] * 3, -1)),
    "and opaque": Image.fromarray(np.dstack([mask(3)] * 3 + [np.full((H, W), 255, np.uint8)])),
    "a palette": paletted(mask(3), [(i, 0, i) for i in range(256)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN)
def test_one_value_a_pixel_however_it_is_written(tmp_path, kind):
    path = tmp_path / ("m.png" if WRITTEN[kind].mode in ("I;16", "LA", "RGB", "RGBA", "P", "1") else "m.tif")
    WRITTEN[kind].save(path)
    np.testing.assert_array_equal(read_label_map(path).numpy(), mask(1 if kind == "one bit" else 3))
    assert has_colours(path) == (kind in ("three equal channels", "and opaque", "a palette"))
    np.testing.assert_array_equal(marks_of(path, (H, W)).labels.numpy(), mask(1))


def test_floats_and_full_depth(tmp_path):
    Image.fromarray(mask(2).astype(np.float32)).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(read_label_map(tmp_path / "m.tif").numpy(), mask(2))
    Image.fromarray(np.where(INSIDE, 65535, 0).astype(np.uint16)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "m.png").numpy(), mask(255))


BROKEN = {
    "a JPEG": (lambda path: Image.fromarray(mask(255)).save(path, "JPEG"), "is a JPEG inside, which smears values"),
    "a film": (lambda path: Image.fromarray(mask(1)).save(path, "TIFF", save_all=True, append_images=[Image.fromarray(mask(2))]), "holds 2 pictures"),
    "more than 255": (lambda path: Image.fromarray(mask(1).astype(np.uint16) * 300).save(path), "from 0 to 300: give"),
    "half a class": (lambda path: Image.fromarray(mask(1) * np.float32(1.5)).save(path, "TIFF"), "whole numbers"),
    "a folder": (lambda path: path.mkdir(), "no file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_mask_is_said(tmp_path, kind):
    write, says = BROKEN[kind]
    write(tmp_path / "m.png")
    with pytest.raises(ValueError, match=says):
        read_label_map(tmp_path / "m.png")


@pytest.mark.parametrize(
    "values, says",
    [
        (np.full((2, 3), 300), "of shape (2, 3) holds values from 300 to 300"),
        (np.array([[-0.5, 2]]), "of shape (1, 2) holds values from -0.5 to 2"),
        (np.zeros((1, 2, 3)), "of shape (1, 2, 3) holds values from 0 to 0"),
        (np.zeros((0, 4)), "of shape (0, 4) is empty"),
    ],
)
def test_what_is_wrong_with_values_is_told_in_full(values, says):
    with pytest.raises(ValueError) as error:
        whole(values, "Mask m.png")
    assert str(error.value) == (
        f"Mask m.png {says}: give (H, W) of whole numbers, 0 for background, 1 to 254 for classes, 255 for what is "
        "not marked."
    )
    edge = whole(np.array([[0, 254, 255, 65535]]), "Mask")
    assert edge.dtype == np.uint8 and edge.tolist() == [[0, 254, 255, 255]]


@pytest.mark.parametrize("read_one", [read_values, has_colours, lambda path: palettes_differ([path])])
def test_what_is_no_picture_is_called_a_mask(tmp_path, read_one):
    (tmp_path / "m.png").write_text("no picture")
    with pytest.raises(ValueError, match=f"^The mask {tmp_path / 'm.png'} cannot be read"):
        read_one(tmp_path / "m.png")


@pytest.mark.parametrize("value", [257.0, 1.7, -1.0, np.nan])
def test_a_mat_with_other_values(tmp_path, value):
    values = mask(3).astype(float)
    values[5, 5] = value
    savemat(tmp_path / "m.mat", {"GTcls": {"Segmentation": values}})
    with pytest.raises(ValueError, match="m.mat of shape .* holds values from .*: give .* whole numbers"):
        read_label_map(tmp_path / "m.mat")


def test_a_mask_turns_as_its_picture_does(tmp_path):
    """A camera held upright: picture and mask are stored lying down, and both say so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = [np.ascontiguousarray(np.rot90(mask(1))), np.ascontiguousarray(np.rot90(mask(1, number=3)))]
    root = folder(tmp_path, lying, save=lambda picture, path: picture.save(path, exif=exif))
    for i, values in enumerate(lying):
        Image.new("RGB", values.shape[::-1], (i, 3, 3)).save(root / "images" / f"p{i}.jpg", exif=exif)
        (root / "images" / f"p{i}.png").unlink()
    dataset, _ = read(root)
    assert dataset.image(0).shape[1:] == (H, W)
    np.testing.assert_array_equal(dataset.label_map(1).numpy(), mask(1, number=3))


# --- pictures of other depths -----------------------------------------------------------------------------

RAMP = np.linspace(0, 1, H * W).reshape(H, W)
DEPTHS = {
    "16 bits": (RAMP * 65535).astype(np.uint16), "12 bits in 16": (RAMP * 4095).astype(np.uint16),
    "12 bits in 32": (RAMP * 4095).astype(np.int32), "8 bits in 16": (RAMP * 255).astype(np.uint16),
    "8 bits in 64": (RAMP * 255).astype(np.int64), "floats": RAMP.astype(np.float32), "NumPy's": RAMP,
    "floats to 255": RAMP * 255, "16 bits in floats": np.floor(RAMP * 65535),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEPTHS)
def test_pictures_are_read_by_their_depth(tmp_path, kind):
    values = DEPTHS[kind]
    assert np.abs(as_bytes(values, "picture").astype(float) - RAMP * 255).max() <= 1
    assert np.abs(np.asarray(picture_of(values)[0]).astype(float) - RAMP[..., None] * 255).max() <= 1
    if values.dtype in (np.uint16, np.int32, np.float32):
        Image.fromarray(values).save(tmp_path / "a.tif")
        assert np.abs(read_image(tmp_path / "a.tif").numpy() - RAMP * 255).max() <= 1


def test_a_convention_goes_without_saying_and_what_is_none_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("16 bits", "floats", "NumPy's"):
            as_bytes(DEPTHS[kind], "picture")
    with pytest.warns(UserWarning, match="type uint16 ends at 4095: it was read as one of 12 bits"):
        as_bytes(DEPTHS["12 bits in 16"], "picture")


@pytest.mark.parametrize(
    "values", [RAMP * 2 - 1, RAMP * 1.3, RAMP * 900, (RAMP * 700).astype(int), INSIDE.astype(int), RAMP * 1e9]
)
def test_what_has_no_depth_is_refused(values):
    with pytest.raises(ValueError, match="holds values from .*: give uint8, .* not normalised yet"):
        as_bytes(values, "picture")


def test_episodes_want_pictures_in_0_to_1():
    picture, labels = torch.rand(3, H, W), torch.from_numpy(mask(1))
    good = own_episode([[(picture, labels)]], [picture])
    for wrong in (picture * 255, (picture - 0.45) / 0.22, (picture * 4000).long()):
        with pytest.raises(ValueError, match="Images of .*: give uint8, or floats in 0..1"):
            own_episode([[(wrong, labels)]], [wrong])
    raw = (good.query_images * 255).byte()
    with pytest.raises(ValueError, match="query images are torch.uint8: give floats in 0..1"):
        Episode(good.support_images, good.support_labels, raw, good.query_labels, good.classes)


# --- the same picture, labels that are none, small objects -------------------------------------------------


def test_the_same_picture_counts_once_by_its_bytes(tmp_path):
    root = folder(tmp_path, [mask(1, number=i) for i in range(5)])
    (root / "images" / "p4.png").write_bytes((root / "images" / "p1.png").read_bytes())
    dataset, said = read(root)
    assert (
        dataset.images_of(1).tolist() == [0, 1, 2, 3]
        and "1 pictures are there twice, such as p1 and p4" in said
    )
    for i in range(40):
        draw = EpisodeSampler(dataset, (1,)).draw(i)
        assert len({*draw.supports.ravel(), *draw.queries}) == 2 and 4 not in (
            *draw.supports.ravel(),
            *draw.queries,
        )


def test_a_name_twice_in_a_list(tmp_path):
    root = folder(tmp_path, [mask(1, number=i) for i in range(3)])
    (root / "val.txt").write_text("p2\np0\np2\n")
    dataset, said = read(root, split="val")
    assert (
        dataset.ids == ["p2", "p0", "p2"] and dataset.images_of(1).tolist() == [0, 1] and "p2 and p2" in said
    )


def test_doubles_are_found_by_all_of_their_bytes(tmp_path):
    """Two that begin alike and are as long are two."""
    contents = [b"a" * 9000, b"a" * 8999 + b"b", b"a" * 9000, b"c", b"a" * 8999 + b"b", b"d"]
    paths = [tmp_path / str(i) for i in range(len(contents))]
    for path, content in zip(paths, contents):
        path.write_bytes(content)
    assert doubles(paths).tolist() == [0, 1, 0, 3, 1, 5]


@pytest.mark.parametrize(
    "label, what",
    [(0, "the background"), (255, "void"), (21, "no class"), (300, "no class"), (-1, "no class")],
)
def test_labels_that_are_none(tiny, label, what):
    for given in ({"classes": (1, label)}, {"classes": (1,), "exclude": (label,)}):
        with pytest.raises(ValueError, match=rf"The label {label} is {what}: those of Tabletop.* are 1..20"):
            EpisodeSampler(tiny("val"), **given)


def test_more_ways_than_a_map_can_hold(tiny):
    with pytest.raises(ValueError, match="tells 254 classes apart, so 255 ways are too many"):
        EpisodeSampler(tiny("val"), range(1, 21), ways=255)


def test_no_object_of_ones_own_is_too_small(tmp_path):
    small = np.zeros((H, W), np.uint8)
    small[3:5, 3:6] = 1
    dataset, _ = read(folder(tmp_path, [np.roll(small, i, 1) for i in range(3)] + [mask(1)] * 2))
    with pytest.warns(
        UserWarning, match=r"3 of 5 images show '1' under 0.9 %, so small that benchmarks leave them out"
    ):
        sampler = EpisodeSampler(dataset, (1,))
    assert sampler.pools[1].tolist() == [0, 1, 2, 3, 4]


# --- names and lists --------------------------------------------------------------------------------------


def test_what_else_lies_in_a_folder(tmp_path):
    """A pipe, a socket, a loop of links and a Mac's shadow of a file: none is a picture, none hangs."""
    root = folder(tmp_path, [mask(1, number=i) for i in range(2)])
    for part in ("images", "masks"):
        os.mkfifo(root / part / "pipe.png")
        (root / part / "loop.png").symlink_to(root / part / "loop.png")
        (root / part / "._p0.png").write_bytes(b"Mac OS X")
        with socket.socket(socket.AF_UNIX) as plug:
            os.chdir(root / part)  # the path of a socket is short
            plug.bind("socket.png")
            os.chdir(tmp_path)
    assert read(root)[0].ids == ["p0", "p1"]
    with pytest.raises(ValueError, match=r"pipe.png cannot be read \(no file\)"):
        read_image(root / "images" / "pipe.png")


def test_names_that_are_not_utf_8(tmp_path):
    root = folder(tmp_path, [mask(1, number=i) for i in range(2)])
    strange = os.fsdecode(b"caf\xe9")
    for part in ("images", "masks"):
        (root / part / "p0.png").rename(root / part / f"{strange}.png")
    renamed = tmp_path / strange
    root.rename(renamed)
    dataset, _ = read(renamed)
    assert dataset.ids == sorted([strange, "p1"]) and dataset.images_of(1).tolist() == [0, 1]
    assert dataset.label_map(0).any()


@pytest.fixture
def voc_like(tmp_path):
    """Four images in PASCAL VOC's layout; gives what lists them."""
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / part).mkdir(parents=True)
    for i, name in enumerate(("2008_1", "2008_2", "2008_3", "a__4")):
        Image.new("RGB", (W, H), (i, 50, 50)).save(
            tmp_path / "JPEGImages" / f"{name}.jpg", comment=name.encode()
        )
        Image.fromarray(mask(i + 1)).save(tmp_path / "SegmentationClass" / f"{name}.png")

    def listing(*lines):
        (tmp_path / "ImageSets" / "Segmentation" / "val.txt").write_text("\n".join(lines))
        return SegmentationDataset(tmp_path, "val", tuple("abcde")).ids

    return listing


def test_lists_of_other_programs(voc_like):
    assert voc_like("2008_1__03", "2008_2__11") == ["2008_1", "2008_2"]
    assert voc_like("2008_1.jpg", "JPEGImages/2008_2.JPG SegmentationClass/2008_2.png", "2008_3.png") == [
        "2008_1",
        "2008_2",
        "2008_3",
    ]
    assert voc_like("a__4") == ["a__4"]  # it is called so
    with pytest.raises(FileNotFoundError, match="2008_9"):
        voc_like("2008_9__01")


def test_marks_of_one_picture_are_judged_alike():
    with pytest.warns(UserWarning, match="A label map: soft edges"):
        assert from_pixels(soft(0)).names == ("1",)
    with pytest.raises(ValueError, match="both 128 and 255 may be the object"):
        from_pixels(mask(255, edge=128))
    marks = from_pixels(mask(255, edge=128), mask_values={0: "background", 128: "void", 255: "mug"})
    assert marks.names == ("mug",) and marks.labels.unique().tolist() == [0, 1, 255]


def test_a_telephones_picture_among_ones_own_is_named(tmp_path, monkeypatch):
    root = folder(tmp_path, [mask(1, number=i) for i in range(2)])
    (root / "images" / "p1.png").rename(root / "images" / "p1.HEIC")
    monkeypatch.setattr("panet_lite.datasets.folders.suffixes", lambda: {".png"})
    with pytest.raises(
        FileNotFoundError, match=r"'p1' has no image .* \(HEIC: pip install pillow-heif\): p1.HEIC\."
    ):
        Folder(root=root)
