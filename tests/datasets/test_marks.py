"""Pictures and marks in whatever form they come: one label map each, or a sentence."""

import base64
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from panet_lite.datasets.marks import from_pixels, marks_of, overlay
from panet_lite.datasets.masks import voc_palette
from panet_lite.datasets.pictures import picture_of

SIZE = (30, 40)  # height, width
MASK = np.zeros(SIZE, np.uint8)
MASK[10:20, 5:25] = 1


def values(marks):
    return set(marks.labels.unique().tolist())


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


# --- pictures ---------------------------------------------------------------------------------------


def forms(colours, folder):
    Image.fromarray(colours).save(folder / "a.png")
    return {
        "path": folder / "a.png", "text": str(folder / "a.png"), "pil": Image.fromarray(colours), "uint8": colours,
        "floats": colours / 255, "tensor": torch.from_numpy(colours).permute(2, 0, 1),
        "float tensor": torch.from_numpy(colours).permute(2, 0, 1) / 255,
        "rgba": Image.fromarray(colours).convert("RGBA"),
    }  # fmt: skip


def test_a_picture_is_the_same_in_every_form(colours, tmp_path):
    for form, source in forms(colours, tmp_path).items():
        picture, size = picture_of(source)
        assert size == SIZE, form
        np.testing.assert_array_equal(np.array(picture), colours, err_msg=form)


def test_a_picture_is_shrunk_but_never_enlarged(colours):
    picture, size = picture_of(np.tile(colours, (10, 10, 1)), 100)
    assert picture.size == (100, 75) and size == (300, 400)
    assert picture_of(colours, 100)[0].size == (40, 30)
    assert picture_of(np.zeros((1, 5000, 3), np.uint8), 100)[0].size == (100, 1)


def test_a_camera_that_was_turned(colours, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.tile(colours, (20, 20, 1))).save(tmp_path / "a.jpg", exif=exif)
    picture, size = picture_of(tmp_path / "a.jpg", 100)
    assert size == (800, 600) and picture.size == (75, 100)


@pytest.mark.parametrize(
    "source, why",
    [
        (np.zeros((4, 5, 2), np.uint8), "not understood"), (np.full((4, 5, 3), 300), "from 300 to 300"),
        (torch.rand(4, 5, 3), r"\(3, H, W\)"), (np.full((4, 5, 3), np.nan), "finite"), (np.zeros((0, 3, 3)), "empty"),
        (np.full((4, 5, 3), -0.5), "not normalised yet"), (7, "no picture"), ("nothing.jpg", "cannot be read"),
        (np.array([["a"]]), "finite"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_said(source, why):
    with pytest.raises(ValueError, match=why):
        picture_of(source)


def test_a_telephones_picture_wants_a_plug_in(tmp_path, monkeypatch, colours):
    Image.fromarray(colours).save(tmp_path / "a.heic", "PNG")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match="is HEIC: pip install pillow-heif, or save it as JPEG"):
        picture_of(tmp_path / "a.heic")
    known = dict(Image.registered_extensions())
    monkeypatch.setattr(Image, "registered_extensions", lambda: known)
    plug_in = SimpleNamespace(register_heif_opener=lambda: known.update({".heic": "HEIF"}))
    monkeypatch.setitem(sys.modules, "pillow_heif", plug_in)
    assert picture_of(tmp_path / "a.heic")[1] == SIZE


# --- label maps in pixels -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode", ["L", "P", "1", "I;16", "RGB", "RGBA", "array", "bool", "tensor", "floats", "0/255"]
)
def test_a_label_map_is_the_same_in_every_form(mode, tmp_path):
    path = tmp_path / "m.png"
    if mode in ("L", "P"):
        picture = Image.fromarray(MASK, mode)
        if mode == "P":
            picture.putpalette(voc_palette().tobytes())
        picture.save(path)
    elif mode == "1":
        Image.fromarray(MASK == 1).save(path)
    elif mode == "I;16":
        Image.fromarray(MASK.astype(np.uint16)).save(path)
    elif mode in ("RGB", "RGBA"):
        Image.fromarray(voc_palette()[MASK]).convert(mode).save(path)
    elif mode == "0/255":
        Image.fromarray(MASK * 255).save(path)
    else:
        path = {"array": MASK.astype(np.int64), "bool": MASK == 1, "tensor": torch.from_numpy(MASK), "floats": MASK * 1.0}[mode]  # fmt: skip
    marks = marks_of(path, SIZE)
    assert marks.names == ("1",) and marks.labels.dtype == torch.uint8
    np.testing.assert_array_equal(marks.labels.numpy(), MASK)


def test_numbers_are_names_and_255_is_void_beside_classes():
    labels = MASK * 7
    labels[0, 0], labels[1] = 3, 255
    marks = from_pixels(labels)
    assert marks.names == ("3", "7") and values(marks) == {0, 1, 2, 255}
    assert marks.labels[0, 0] == 1 and marks.labels[12, 12] == 2


def test_a_scribble_says_nothing_elsewhere():
    labels = np.full(SIZE, 255)
    labels[3, 3:20], labels[20, 3:20] = 1, 0
    assert values(from_pixels(labels)) == {0, 1, 255}


def test_soft_edges_are_void_and_said():
    soft = np.zeros((200, 200), np.uint8)
    soft[50:150, 50:150] = 255
    soft[50:150, 48] = np.arange(100, 200)  # a brush's shades
    with pytest.warns(
        UserWarning,
        match=r"soft edges; .* taken for the background and the object, .* 0\.2 % of the pixels, for void",
    ):
        marks = from_pixels(soft)
    assert (
        marks.names == ("1",) and (marks.labels == 1).sum() == 10_000 and (marks.labels == 255).sum() == 100
    )


def test_a_photograph_is_no_mask(colours):
    with pytest.raises(ValueError, match="different values, many of them shades, but a mask has one a class"):
        from_pixels(colours[..., 0])


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "webp"])
def test_a_mask_that_smears_is_refused(tmp_path, suffix):
    Image.fromarray(MASK * 255).save(tmp_path / f"m.{suffix}")
    with pytest.raises(ValueError, match="is a (JPEG|WEBP) inside, which smears values: save it as PNG"):
        marks_of(tmp_path / f"m.{suffix}", SIZE)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_background(tmp_path, mode):
    """A white object on nothing, where nothing has a colour that is not seen."""
    white = Image.new("RGBA", SIZE[::-1], "white")
    white.putalpha(Image.fromarray(MASK * 255))
    white.convert(mode).save(tmp_path / "m.png")
    np.testing.assert_array_equal(marks_of(tmp_path / "m.png", SIZE).labels.numpy(), MASK)


def test_the_palette_is_pascals():
    assert voc_palette()[[0, 1, 2, 3, 12, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [64, 0, 128], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip
    coloured = voc_palette()[MASK * 12]
    coloured[0] = (224, 224, 192)
    assert from_pixels(coloured).names == ("12",) and values(from_pixels(coloured)) == {0, 1, 255}


@pytest.mark.parametrize(
    "labels, why",
    [
        (MASK * 0, "marks no object: all of it is 0"), (MASK * 0 + 255, "marks no object: all of it is 255"),
        (MASK * 300.0, "from 0 to 300"), (MASK * 0.5, "whole numbers"), (MASK - 2.0, "from -2"),
        (np.zeros((3, 4, 5), np.uint8), "holds values"), (np.stack([MASK * 200, MASK, MASK], -1), "palette"),
        ("no.png", "cannot be read"), (None, "no label map"), (MASK[:-1], "40 x 29 pixels, but its picture is 40 x 30"),
        (MASK.T, "looks turned"),
    ],
)  # fmt: skip
def test_what_is_no_label_map_is_said(labels, why):
    with pytest.raises(ValueError, match=why):
        marks_of(labels, SIZE)


def test_a_mask_is_turned_as_its_picture_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(MASK * 255).save(tmp_path / "m.png", exif=exif)
    assert marks_of(tmp_path / "m.png", SIZE[::-1]).labels.shape == SIZE[::-1]


# --- dictionaries -----------------------------------------------------------------------------------------


def test_boxes_and_masks_end_where_they_end(tmp_path):
    Image.fromarray(MASK * 255).save(tmp_path / "m.png")
    marks = marks_of({"cup": (2, 3, 8, 9), "dog": tmp_path / "m.png"}, SIZE)
    assert marks.names == ("cup", "dog") and values(marks) == {0, 1, 2}
    assert (marks.labels == 1).sum() == 49 and (marks.labels == 2).sum() == 200


def test_points_say_nothing_elsewhere():
    marks = marks_of({"cup": [(10, 5), (30, 20)]}, SIZE)
    assert values(marks) == {1, 255} and marks.labels[5, 10] == marks.labels[20, 30] == 1
    marks = marks_of({"cup": [(10, 5)], "background": [(30, 20)]}, SIZE)
    assert values(marks) == {0, 1, 255} and marks.labels[20, 30] == 0


def test_void_is_silent():
    marks = marks_of({"cup": (2, 3, 8, 9), "void": (20, 20, 25, 25)}, SIZE)
    assert marks.names == ("cup",) and marks.labels[22, 22] == 255 and marks.labels[29, 0] == 0


@pytest.mark.parametrize(
    "mark, why",
    [
        ({}, "No object is marked"), ({"background": MASK}, "No object is marked"), ({"a": (1, 2, 3)}, "give a mask"),
        ({"a": [(100, 100)]}, "lies outside"), ({"a": (100, 100, 120, 120)}, "lies outside"), ({"a": []}, "is empty"),
        ({"a": (0, 0, 1e9, 5)}, "far outside"), ({"a": [(float("nan"), 3)]}, "finite numbers"),
        ({str(n) + "x": MASK for n in range(255)}, "255 classes are marked"),
    ],
)  # fmt: skip
def test_what_a_dictionary_cannot_hold_is_said(mark, why):
    with pytest.raises(ValueError, match=why):
        marks_of(mark, SIZE)


# --- other programs' files ----------------------------------------------------------------------------------


def labelme(folder, *shapes, **more):
    path = folder / "a.json"
    path.write_text(json.dumps({"version": "5.4", "imageHeight": SIZE[0], "imageWidth": SIZE[1], "shapes": list(shapes), **more}))  # fmt: skip
    return path


@pytest.mark.parametrize("kind", ["polygon", "circle", "line", "rectangle", "mask"])
@pytest.mark.parametrize("far", [1e9, -1e9, float("nan"), float("inf")])
def test_labelmes_points_far_outside_are_said(tmp_path, kind, far):
    corners = [[1, 1], [far, 5], [5, 5]][: 3 if kind == "polygon" else 2]
    path = labelme(tmp_path, {"label": "a", "shape_type": kind, "points": corners})
    with pytest.raises(ValueError, match="far outside a picture of 40 x 30 pixels"):
        marks_of(path, SIZE)


def test_labelmes_masks_may_jut_out(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.full((10, 10), 255, np.uint8)).save(buffer, "PNG")
    code = base64.b64encode(buffer.getvalue()).decode()
    shapes = [
        {"label": "a", "shape_type": "mask", "points": [[x, y], [x + 9, y + 9]], "mask": code}
        for x, y in ((-4, -3), (35, 25))
    ]
    labels = marks_of(labelme(tmp_path, *shapes), SIZE).labels
    assert (labels[:7, :6] == 1).all() and (labels[25:, 35:] == 1).all() and (labels == 1).sum() == 42 + 25


def test_labelme(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.ones((4, 5), np.uint8) * 255).save(buffer, "PNG")
    path = labelme(
        tmp_path,
        {"label": "dog", "shape_type": "polygon", "points": [[5, 10], [24, 10], [24, 19], [5, 19]]},
        {"label": "cup", "shape_type": "rectangle", "points": [[38, 8], [30, 2]]},
        {"label": "ball", "shape_type": "circle", "points": [[10, 25], [13, 25]]},
        {"label": "key", "shape_type": "mask", "points": [[30, 20], [35, 24]],
         "mask": base64.b64encode(buffer.getvalue()).decode()},
        {"label": "__ignore__", "shape_type": "rectangle", "points": [[0, 0], [3, 3]]},
    )  # fmt: skip
    marks = marks_of(path, SIZE)
    assert marks.names == ("dog", "cup", "ball", "key") and values(marks) == {0, 1, 2, 3, 4, 255}
    np.testing.assert_array_equal((marks.labels == 1).numpy(), MASK == 1)
    assert (marks.labels == 2).sum() == 9 * 7 and (marks.labels == 4).sum() == 20
    assert marks.labels[25, 10] == 3 and 25 <= (marks.labels == 3).sum() <= 45


def test_labelme_strokes_say_nothing_elsewhere(tmp_path):
    marks = marks_of(
        labelme(
            tmp_path,
            {"label": "dog", "shape_type": "linestrip", "points": [[5, 5], [20, 5], [20, 15]]},
            {"label": "_background_", "shape_type": "point", "points": [[35, 25]]},
        ), SIZE,
    )  # fmt: skip
    assert marks.names == ("dog",) and values(marks) == {0, 1, 255} and marks.labels[5, 10] == 1


def coco(folder, images, annotations):
    path = folder / "c.json"
    categories = [{"id": 7, "name": "dog"}, {"id": 9, "name": "cup"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def test_coco_finds_the_picture_by_its_name(tmp_path):
    images = [
        {"id": i, "file_name": f"{n}.jpg", "height": SIZE[0], "width": SIZE[1]}
        for i, n in ((1, "a"), (2, "b"))
    ]
    box = [[5, 10, 25, 10, 25, 20, 5, 20]]
    annotations = [
        {"id": 1, "image_id": 2, "category_id": 9, "segmentation": box, "area": 200, "bbox": [5, 10, 20, 10], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 7, "segmentation": box, "area": 200, "bbox": [5, 10, 20, 10], "iscrowd": 0},
    ]  # fmt: skip
    path = coco(tmp_path, images, annotations)
    marks = marks_of(path, SIZE, tmp_path / "b.jpg")
    assert marks.names == ("cup",)
    np.testing.assert_array_equal(marks.labels.numpy(), MASK)
    with pytest.raises(ValueError, match="none of them called z.jpg"):
        marks_of(path, SIZE, "z.jpg")
    with pytest.raises(ValueError, match="but it is 30 x 40"):
        marks_of(path, SIZE[::-1], "b.jpg")


@pytest.mark.parametrize(
    "text, why",
    [
        ("{", "neither labelme's nor COCO's"), ("[]", "neither"), ("{}", "neither"), ('{"shapes": 3}', "neither"),
        ('{"shapes": []}', "No object is marked"), ('{"shapes": [{"label": "a"}]}', "neither"),
        ('{"shapes": [{"label": "a", "points": [[1]]}]}', "neither"),
        ('{"imageHeight": 3, "imageWidth": 4, "shapes": [{"label": "a", "points": [[1,1],[5,1],[5,5]]}]}', "about a picture of 4 x 3, not 40 x 30"),
        ('{"annotations": []}', "cannot be read"),
    ],
)  # fmt: skip
def test_a_file_of_another_program_that_is_none_is_said(tmp_path, text, why):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=why):
        marks_of(tmp_path / "a.json", SIZE)
    with pytest.raises(ValueError, match="There is no mask"):
        marks_of(tmp_path / "b.json", SIZE)


# --- CVAT's masks, whose colours labelmap.txt explains ---------------------------------------------------------


CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nmug:250,50,83::\nspoon:51,221,255::\n"


def cvat(folder, mode="RGB", text=CVAT):
    """An export: labelmap.txt above a folder of masks, a mug at the left and a spoon at the right."""
    (folder / "SegmentationClass").mkdir()
    (folder / "labelmap.txt").write_text(text, encoding="utf-8")
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[1:3, 1:3], pixels[3:5, 5:8] = (250, 50, 83), (51, 221, 255)
    picture = Image.fromarray(pixels)
    picture = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=4) if mode == "P" else picture
    picture.save(folder / "SegmentationClass" / "a.png")
    return folder / "SegmentationClass" / "a.png"


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_masks_of_cvat_are_read_by_their_labelmap(tmp_path, mode):
    marks = marks_of(cvat(tmp_path, mode), (6, 8))
    assert marks.names == ("mug", "spoon")
    assert (marks.labels == 1).sum() == 4 and (marks.labels == 2).sum() == 6 and marks.labels[0, 0] == 0


def test_a_labelmap_that_is_none_and_a_colour_that_is_not_in_it(tmp_path):
    path = cvat(tmp_path, text="mug;red\n")
    with pytest.raises(ValueError, match=r"labelmap.txt is not CVAT's: its lines are name:red,green,blue"):
        marks_of(path, (6, 8))
    for broken in ("mug:250,50\n".encode("utf-16"), b"m\xfcg:250,50,83::\n", b"mug:red,50,83::\n"):
        (tmp_path / "labelmap.txt").write_bytes(broken)
        with pytest.raises(ValueError, match="labelmap.txt is not CVAT's"):
            marks_of(path, (6, 8))
    (tmp_path / "labelmap.txt").write_text(CVAT, encoding="utf-8-sig")  # as Windows writes it
    assert marks_of(path, (6, 8)).names == ("mug", "spoon")
    (tmp_path / "labelmap.txt").write_text(CVAT.replace("51,221", "51,220"))
    with pytest.raises(
        ValueError, match=r"has the colour \(51, 221, 255\), which labelmap.txt does not know"
    ):
        marks_of(path, (6, 8))


def test_a_grey_mask_beside_a_labelmap_is_read_by_its_values(tmp_path):
    path = cvat(tmp_path)
    Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8)).save(path)
    assert marks_of(path, (2, 2)).names == ("1", "2")


def test_what_was_found_is_tinted_and_outlined():
    image, labels = np.full((20, 20, 3), 100, np.uint8), np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15], labels[0, 0] = 2, 255
    drawn, colour = overlay(image, labels, strength=0.5), np.array([230, 159, 0])  # the second way is orange
    np.testing.assert_array_equal(
        drawn[5:7, 5:15], np.broadcast_to(colour, (2, 10, 3))
    )  # the outline, inside
    np.testing.assert_allclose(drawn[9, 9], (100 + colour) / 2, atol=1)
    outside = labels == 0
    assert (drawn[outside] == 100).all() and (drawn[0, 0] == 100).all()  # void stays as it is
