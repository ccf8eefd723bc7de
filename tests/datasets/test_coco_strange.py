"""COCO files that are not COCO's own: a note of what is left out, or a sentence that says what cannot be used."""

import copy
import json
import warnings

import numpy as np
import pytest
from fuzzing import fuzz
from hypothesis import strategies as st
from PIL import Image

from panet_lite.__main__ import main
from panet_lite.datasets import DiskBank
from panet_lite.datasets import coco as coco_module
from panet_lite.datasets.coco import Coco
from panet_lite.datasets.marks import marks_of

pycocotools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
COLUMNS, ROWS = 40, 20
BOX = [[4, 3, 20, 3, 20, 15, 4, 15]]  # columns 4..19, rows 3..14


def box_mask():
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[3:15, 4:20] = 1
    return mask


def run_lengths(mask):
    flat = mask.T.ravel()
    lengths = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def packed(mask):
    return pycocotools.encode(np.asfortranarray(mask))["counts"].decode()


def plain():
    """Eight images, an object each, of four categories in turn."""
    sizes = {"width": COLUMNS, "height": ROWS}
    return {
        "images": [{"id": i, "file_name": f"{i}.png", **sizes} for i in range(1, 9)],
        "categories": [{"id": c, "name": f"kind {c}", "supercategory": "all"} for c in (1, 2, 3, 4)],
        "annotations": [
            {"id": 100 + i, "image_id": i, "category_id": (i - 1) % 4 + 1, "segmentation": copy.deepcopy(BOX)}
            for i in range(1, 9)
        ],
    }


def save(root, what, split="val2014"):
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / split).mkdir(exist_ok=True)
    for i in range(1, 9):
        if not (path := root / split / f"{i}.png").is_file():
            Image.new("RGB", (COLUMNS, ROWS), (20 * i, 9, 9)).save(path)
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(what))
    return path


def notes_of(work):
    """What `work` returns, and its notes."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        result = work()
    return result, [str(note.message) for note in notes if note.category is UserWarning]


def opened(root, what, **kwargs):
    save(root, what)
    return notes_of(lambda: Coco("val", None, root, **kwargs))


def changed(**values):
    """The plain file with other values in its third annotation."""
    what = plain()
    what["annotations"][2].update(values)
    return what


# --- annotations that are left out, and said -----------------------------------------------------------

FAR = [[4, 3, 1e9, 3, 20, 15]]
LEFT_OUT = {
    "no outline of three points": [[], [[]], None, [[4, 3, 20, 15]], [[4, 3, 20, 15], []], "", 7, True,
                                   [[1, 2, 3, 4, 5, 6, 7]]],  # fmt: skip
    "something else than a list of numbers": [[["a"] * 6], [[None, []] * 3], BOX[0], [[[4, 3], [20, 3], [20, 15]]],
                                              [{"x": 1}], [[10**400] * 6]],  # fmt: skip
    "points far outside its image, or nowhere": [FAR, [[-v for v in FAR[0]]], [[float("nan")] * 6], [[1e308] * 6],
                                                 [[4, 3, float("inf"), 3, 20, 15]], [*BOX, *FAR], [[2e9] * 6],
                                                 [[0, 0, 39, 19] * 60_000]],  # fmt: skip
    "no pixel in its image": [[[100, 3, 120, 3, 120, 15]], [[4, 3, 20, 3, 4, 3]],
                              {"size": [ROWS, COLUMNS], "counts": [ROWS * COLUMNS]}],  # fmt: skip
    "run lengths of another size": [{"size": s, "counts": run_lengths(box_mask())} for s in (
        [COLUMNS, ROWS], [ROWS], None, 5, [None, COLUMNS], [2**31, 2**31], [-ROWS, COLUMNS], {}, ["x", "y"])],  # fmt: skip
    "run lengths that do not add up": [{"size": [ROWS, COLUMNS], "counts": c} for c in (
        [], [5], [ROWS * COLUMNS, 1], [900, -100], [2.5, 797.5], [float("nan"), 800], [1e300, 1e300], packed(
            np.ones((ROWS, COLUMNS + 1), np.uint8)), "0")],  # fmt: skip
    "run lengths that are spoilt": [{"size": [ROWS, COLUMNS], "counts": c} for c in (
        "", "o", "P", "o" * 5000, packed(box_mask()) + "o", "\0", "é", "!", packed(box_mask())[:-1] + "P")],  # fmt: skip
}  # fmt: skip
CASES = [(why, value) for why, values in LEFT_OUT.items() for value in values]


@pytest.mark.parametrize("why, value", CASES, ids=range(len(CASES)))
def test_a_mask_that_cannot_be_used_is_left_out(tmp_path, why, value):
    dataset, notes = opened(tmp_path, changed(segmentation=value))
    (note,) = notes
    assert note.startswith(
        f"Left out of {dataset.annotations}: 1 of 8 annotations; what they mark counts as back"
    )
    assert f"They have {why}" in note and note.endswith(" (1, first annotation 103 of image 3.png).")
    assert not dataset.label_map(2).any() and dataset.images_of(3).tolist() == [6] and len(dataset) == 8
    for other in (0, 1, *range(3, 8)):
        assert np.array_equal(dataset.label_map(other).numpy() > 0, box_mask())


@pytest.mark.parametrize(
    "values, why, where",
    [
        ({"image_id": 99}, "an image that is not listed", "annotation 103 of image 99"),
        ({"image_id": None}, "an image that is not listed", "annotation 103 of image None"),
        ({"image_id": [1]}, "an image that is not listed", "annotation 103 of image None"),
        ({"category_id": 12, "id": "c"}, "a category that is not listed", "annotation 'c' of image 3.png"),
        ({"category_id": {}}, "a category that is not listed", "annotation 103 of image 3.png"),
        ({"iscrowd": "no"}, "an iscrowd that is neither 0 nor 1", "annotation 103 of image 3.png"),
        ({"iscrowd": 2}, "an iscrowd that is neither 0 nor 1", "annotation 103 of image 3.png"),
        ({"iscrowd": float("nan")}, "an iscrowd that is neither 0 nor 1", "annotation 103 of image 3.png"),
    ],
)
def test_an_annotation_that_belongs_nowhere_is_left_out(tmp_path, values, why, where):
    dataset, (note,) = opened(tmp_path, changed(**values))
    assert f"They have {why} (1, first {where})." in note and dataset.images_of(3).tolist() == [6]


def test_an_annotation_that_is_none(tmp_path):
    what = plain()
    what["annotations"] += [None, 3, "x", []]
    dataset, (note,) = opened(tmp_path, what)
    assert ": 4 of 12 annotations;" in note and len(dataset.arrays["values"]) == 8


def test_the_note_counts_by_reason_and_is_given_again_from_the_cache(tmp_path, monkeypatch):
    what = plain()
    for i, value in ((0, []), (1, None), (2, FAR)):
        what["annotations"][i]["segmentation"] = value
    dataset, (first,) = opened(tmp_path, what)
    assert ": 3 of 8 annotations;" in first
    assert (
        "no outline of three points or more, x and y in turn (2, first annotation 101 of image 1.png), "
        in first
    )
    assert first.endswith(
        "points far outside its image, or nowhere (1, first annotation 103 of image 3.png)."
    )
    monkeypatch.setattr(coco_module, "index", lambda *_: pytest.fail("read again"))
    assert notes_of(lambda: Coco("val", None, tmp_path))[1] == [first]


def test_a_sound_file_says_nothing(tmp_path):
    assert opened(tmp_path, plain())[1] == []


def test_nothing_left_is_no_data_set(tmp_path):
    what = plain()
    for annotation in what["annotations"]:
        annotation["segmentation"] = []
    save(tmp_path, what)
    with pytest.raises(
        ValueError, match=r"Nothing is marked in .*json.*: 8 of 8 annotations.*no outline of three"
    ):
        Coco("val", None, tmp_path)


# --- what says the same in another way is read -----------------------------------------------------------


@pytest.mark.parametrize(
    "segmentation",
    [
        [[str(v) for v in BOX[0]]], [*BOX, [], [1, 2, 3, 4]], [[1, 2, 3, 4], *BOX],
        {"size": [ROWS, COLUMNS], "counts": run_lengths(box_mask())},
        {"size": [float(ROWS), str(COLUMNS)], "counts": [float(n) for n in run_lengths(box_mask())]},
        {"size": [ROWS, COLUMNS], "counts": packed(box_mask())},
    ],
)  # fmt: skip
def test_one_mask_in_many_forms(tmp_path, segmentation):
    dataset, notes = opened(tmp_path, changed(segmentation=segmentation))
    assert notes == [] and np.array_equal(dataset.label_map(2).numpy(), 3 * box_mask())


@pytest.mark.parametrize("seed", range(5))
def test_masks_are_those_of_pycocotools(tmp_path, seed):
    rng = np.random.default_rng(seed)
    scattered = (rng.random((ROWS, COLUMNS)) < rng.random()).astype(np.uint8)
    polygons = [(rng.random(2 * rng.integers(3, 9)) * 80 - 20).tolist() for _ in range(3)]
    expected = [
        scattered, scattered, pycocotools.decode(pycocotools.merge(pycocotools.frPyObjects(polygons, ROWS, COLUMNS)))
    ]  # fmt: skip
    size, what = [ROWS, COLUMNS], plain()
    forms = (
        {"size": size, "counts": run_lengths(scattered)},
        {"size": size, "counts": packed(scattered)},
        polygons,
    )
    for annotation, form in zip(what["annotations"], forms):
        annotation["segmentation"] = form
    dataset, _ = opened(tmp_path, what)
    for i, mask in enumerate(expected):
        assert np.array_equal(dataset.label_map(i).numpy() > 0, mask)


def test_long_run_lengths_are_unpacked(tmp_path):
    """Differences of both signs, of up to four characters."""
    side = 1200
    mask = np.zeros((side, side), np.uint8)
    mask[:, 3:900], mask[5:40, 901], mask[0, 0] = 1, 1, 1
    what = changed(segmentation={"size": [side, side], "counts": packed(mask)})
    what["images"][2].update(width=side, height=side)
    dataset, notes = opened(tmp_path, what)
    assert notes == [] and np.array_equal(dataset.label_map(2).numpy() > 0, mask)


@pytest.mark.parametrize("width, height", [(40.0, 20.0), ("40", "20"), ("40.0", "20.0"), ("40", 20)])
def test_sizes_as_floats_and_texts(tmp_path, width, height):
    what = plain()
    for image in what["images"]:
        image.update(width=width, height=height)
    dataset, notes = opened(tmp_path, what)
    assert (
        notes == []
        and dataset.label_map(0).shape == (ROWS, COLUMNS)
        and dataset.image(0).shape == (3, ROWS, COLUMNS)
    )


@pytest.mark.parametrize("value, crowd", [("0", 0), ("1", 1), (False, 0), (True, 1), (None, 0), (1.0, 1), ("", 0), ("0.0", 0)])  # fmt: skip
def test_crowds_by_other_words(tmp_path, value, crowd):
    dataset, notes = opened(tmp_path, changed(iscrowd=value))
    assert notes == [] and dataset.label_map(2).unique().tolist() == [0, 255 if crowd else 3]


def test_ids_as_texts_and_names(tmp_path):
    what = plain()
    for annotation in what["annotations"]:
        annotation["image_id"], annotation["category_id"] = (
            str(annotation["image_id"]),
            float(annotation["category_id"]),
        )
    what["images"][4]["id"] = what["annotations"][4]["image_id"] = "five"
    dataset, notes = opened(tmp_path, what)
    assert notes == [] and dataset.ids == ["1", "2", "3", "4", "6", "7", "8", "5"]  # numbers, then names
    assert all(dataset.label_map(i).any() for i in range(8))


def test_annotations_with_one_id_are_two(tmp_path):
    what = changed(id=101, image_id=1, segmentation=[[30, 3, 38, 3, 38, 15, 30, 15]])
    dataset, notes = opened(tmp_path, what)
    assert notes == [] and dataset.label_map(0).unique().tolist() == [0, 1, 3]


def test_the_same_entry_twice_is_one(tmp_path):
    what = plain()
    what["images"].append(what["images"][3])
    what["categories"].append(what["categories"][0])
    what["annotations"].append(what["annotations"][5])
    dataset, notes = opened(tmp_path, what)
    assert notes == [] and len(dataset) == 8 and len(dataset.classes) == 4
    assert np.array_equal(dataset.label_map(5).numpy(), 2 * box_mask())


def test_a_picture_under_two_ids_is_one(tmp_path):
    """What either of them marks is there."""
    what = changed(image_id=99, segmentation=[[30, 3, 38, 3, 38, 15, 30, 15]])
    image = next(image for image in what["images"] if image["id"] == 3)
    what["images"].append({**image, "id": 99})
    dataset, notes = opened(tmp_path, what)
    alone, _ = opened(tmp_path, changed(image_id=3, segmentation=[[30, 3, 38, 3, 38, 15, 30, 15]]))
    assert notes == [] and dataset.ids == alone.ids
    assert all((dataset.label_map(i) == alone.label_map(i)).all() for i in range(len(alone)))


@pytest.mark.parametrize("folder", ["val2014/", "val2014\\", "deep/er/", "deep\\er\\"])
def test_file_names_with_folders(tmp_path, folder):
    what = plain()
    save(tmp_path, what)
    (tmp_path / "val2014" / "deep").mkdir()
    (tmp_path / "val2014" / "deep" / "er").symlink_to(tmp_path / "val2014")
    for image in what["images"]:
        image["file_name"] = folder + image["file_name"]
    dataset, notes = opened(tmp_path, what)
    assert notes == [] and dataset.ids == list("12345678") and dataset.image(0).shape == (3, ROWS, COLUMNS)


def test_one_name_in_two_folders_is_two_images(tmp_path):
    """Kept decoded, one would be taken for the other if they had one name."""
    what = changed(segmentation=[[30, 3, 38, 3, 38, 15, 30, 15]])
    save(tmp_path, what)
    for folder, image in zip("ab", (what["images"][0], what["images"][2])):
        (tmp_path / "val2014" / folder).mkdir()
        image["file_name"] = f"{folder}/same.png"
        Image.new("RGB", (COLUMNS, ROWS), folder == "a" and "red" or "blue").save(
            tmp_path / "val2014" / image["file_name"]
        )
    bank = DiskBank(opened(tmp_path, what)[0], tmp_path / "decoded")
    assert bank.label_map(0).unique().tolist() == [0, 1] and bank.label_map(2).unique().tolist() == [0, 3]


# --- images, categories and files that cannot be used ------------------------------------------------------


@pytest.mark.parametrize(
    "key, value",
    [(key, value) for key in ("width", "height") for value in (
        0, -20, None, "wide", 20.5, [20], float("nan"), float("inf"), 10**400, 200_000_000, "-20")]
    + [("file_name", value) for value in (None, "", " ", 7, ["1.png"], {})]
    + [("id", value) for value in (None, [], {}, 5.5)],
)  # fmt: skip
def test_an_image_that_cannot_be_used(tmp_path, key, value):
    what = plain()
    what["images"][4][key] = value
    path = save(tmp_path, what)
    with pytest.raises(
        ValueError, match=r"but needs id, file_name, height, width, 1 to 178,956,970 pixels. Mend"
    ) as e:
        Coco("val", None, tmp_path)
    assert str(e.value).startswith(f"{path} cannot be used: images[4] is {{")
    del what["images"][4][key]
    save(tmp_path, what)
    with pytest.raises(ValueError, match=r"images.4. is .* but needs"):
        Coco("val", None, tmp_path)


def test_an_image_of_80_000_pixels_a_side(tmp_path):
    what = plain()
    what["images"][4].update(width=80_000, height=80_000)
    save(tmp_path, what)
    with pytest.raises(ValueError, match=r"images.4. is .*80000.* 1 to 178,956,970 pixels"):
        Coco("val", None, tmp_path)


@pytest.mark.parametrize("entry", [None, 3, "x", [], {"id": 9}, {"name": "no id"}, {"id": 9, "name": ""}, {"id": 9, "name": 5}])  # fmt: skip
def test_a_category_that_cannot_be_used(tmp_path, entry):
    what = plain()
    what["categories"].insert(1, entry)
    path = save(tmp_path, what)
    with pytest.raises(ValueError) as error:
        Coco("val", None, tmp_path)
    expected = (
        f"{path} cannot be used: categories[1] is {entry!r}, but needs id, name. Mend it or export it again."
    )
    assert str(error.value) == expected


@pytest.mark.parametrize("kind, name", [("images", "'1.png'"), ("categories", "'kind 1'")])
def test_an_id_of_two(tmp_path, kind, name):
    what = plain()
    what[kind][1]["id"] = "1"
    save(tmp_path, what)
    with pytest.raises(ValueError, match=rf"{kind}.1., '.*', has the id 1 of {name}. Give it its own"):
        Coco("val", None, tmp_path)


def test_a_name_of_two_categories(tmp_path):
    what = plain()
    what["categories"][3]["name"] = "kind 2"
    save(tmp_path, what)
    with pytest.raises(ValueError, match=r"json cannot be used: two categories are called 'kind 2'. Rename"):
        Coco("val", None, tmp_path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "\x00\x01", '{"images": [1], "annotations": 3, "categories": [1]}', "é"]
)
def test_other_texts(tmp_path, text):
    save(tmp_path, plain()).write_text(text, encoding="latin-1")
    with pytest.raises(
        ValueError, match=r"cannot be read .* not COCO's instances. Download or extract it again"
    ):
        Coco("val", None, tmp_path)


def test_a_mark_of_an_editor_in_front(tmp_path):
    path = save(tmp_path, plain())
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(Coco("val", None, tmp_path)) == 8


# --- categories and folds ------------------------------------------------------------------------------------


def roboflow(root_is="fish", above=True):
    what = plain()
    what["categories"] = [
        {"id": 0, "name": root_is, "supercategory": "none"},
        *({"id": c, "name": n, "supercategory": root_is if above else "none"} for c, n in enumerate(
            ("fish", "crab", "shrimp", "snail"), start=1)),
    ]  # fmt: skip
    return what


@pytest.mark.parametrize("name", ["animals", "fish"])  # it may be called as one of its classes
def test_the_root_of_roboflow_is_no_class(tmp_path, name):
    dataset, (note,) = opened(tmp_path, roboflow(name))
    assert dataset.classes == ("fish", "crab", "shrimp", "snail") and dataset.folds == (
        (1,),
        (2,),
        (3,),
        (4,),
    )
    assert note == f"'{name}' in {dataset.annotations} is above the others and marks nothing: it is no class."


def test_a_first_class_is_no_root(tmp_path):
    """Where it marks something, or where none of the categories has one above it."""
    what = roboflow("animals")
    what["annotations"][0]["category_id"] = 0
    dataset, notes = opened(tmp_path / "a", what)
    assert notes == [] and dataset.classes[0] == "animals" and len(dataset.classes) == 5
    dataset, notes = opened(tmp_path / "b", roboflow("animals", above=False))
    assert notes == [] and dataset.classes[0] == "animals" and len(dataset.classes) == 5


@pytest.mark.parametrize("folds", "AB")
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_fewer_classes_than_folds(tmp_path, classes, folds):
    what = plain()
    what["categories"] = what["categories"][:classes]
    dataset, _ = opened(tmp_path, what, folds=folds)
    assert dataset.folds == tuple((label,) for label in range(1, classes + 1))
    with pytest.raises(ValueError, match=rf"There is no fold {classes}: folds are 0..{classes - 1},"):
        dataset.fold(classes)


# --- COCO 2017 ---------------------------------------------------------------------------------------------------


def tree(root, *splits):
    for split in splits:
        save(root, plain(), split)
    return root


def test_2017_where_2014_is_missing(tmp_path):
    root = tree(tmp_path, "train2017", "val2017")
    for split, year in (("train", "train2017"), ("trainaug", "train2017"), ("val", "val2017")):
        dataset, (note,) = notes_of(lambda split=split: Coco(split, 8, root))
        assert dataset.split == year and dataset.image(0).shape == (3, 8, 8) and year in repr(dataset)
        assert note.startswith(
            f"There is no {root}/annotations/instances_{year[:-4]}2014.json: {year} is used. Take"
        )
    tree(root, "val2014")
    assert Coco("val", 8, root).split == "val2014" and Coco("val2017", 8, root).split == "val2017"


def test_other_years_are_named(tmp_path):
    root = tree(tmp_path, "tiny", "val2014")
    with pytest.raises(
        FileNotFoundError,
        match=r"instances_train2014.json is missing .instances_tiny.json, instances_val2014.json is",
    ):
        Coco("train", 8, root)
    assert Coco("tiny", 8, root).split == "tiny"


def test_2017_from_the_command_line(tmp_path, capsys):
    root = tree(tmp_path / "coco", "train2017", "val2017")
    common = [
        "--dataset",
        "coco",
        "--root",
        str(root),
        "--size",
        "32",
        "--width",
        "0.0625",
        "--weights",
        "random",
    ]
    common += ["--device", "cpu"]
    assert main(["train", *common, "--iterations", "1", "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", *common, "--runs", "1", "--episodes", "2", "--shots", "1"]) == 0
    said = capsys.readouterr().err
    assert "Note: There is no" in said and "train2017 is used" in said and "val2017 is used" in said


# --- one's own picture, with a mask in such a file ------------------------------------------------------------------


def test_marks_of_a_picture_from_a_strange_file(tmp_path):
    what = plain()
    what["images"][1].update(width="40.0", height=20.0, file_name="some\\where\\b.png")
    what["annotations"][0].update(image_id=2, segmentation=[])
    path = save(tmp_path, what)
    marks, (note,) = notes_of(lambda: marks_of(path, (ROWS, COLUMNS), "b.png"))
    assert marks.names == ("kind 2",) and np.array_equal(marks.labels.numpy(), box_mask())
    assert (
        note.startswith(f"Left out of {path}: 1 of 8") and "annotation 101 of image some/where/b.png" in note
    )


def test_a_picture_with_nothing_that_can_be_used(tmp_path):
    path = save(tmp_path, changed(segmentation=FAR))
    with pytest.raises(ValueError, match=r"marks 0 classes in 3.png, not 1 to 254. Left out .*far outside"):
        marks_of(path, (ROWS, COLUMNS), "3.png")


def test_a_picture_that_is_there_twice(tmp_path):
    what = plain()
    what["images"][1]["file_name"] = "other/1.png"
    with pytest.raises(ValueError, match="tells of 2 images, all of them called 1.png"):
        marks_of(save(tmp_path, what), (ROWS, COLUMNS), "1.png")


@pytest.mark.parametrize(
    "shapes", [["x"], [None], 5, [{"label": "a", "points": [[10**400, 1]] * 3}], [{"label": "a", "points": {}}],
               [{"label": "a", "shape_type": "mask", "points": [[0, 0]], "mask": "!"}]],
)  # fmt: skip
def test_shapes_that_are_none(tmp_path, shapes):
    (tmp_path / "a.json").write_text(json.dumps({"shapes": shapes}))
    with pytest.raises(ValueError, match="a.json is neither labelme's nor COCO's"):
        marks_of(tmp_path / "a.json", (ROWS, COLUMNS))


# --- whatever else --------------------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")
VALUES = [
    None, "", "x", "7", "640.0", -1, 0, 1, 2.5, 1e9, -1e9, 2**31, 2**63, 10**400, 1e308, NAN, INF, -INF, [], {}, [[]],
    [None], True, "\0", "\ud800", "a/b", 80_000, "0" * 50, "o" * 50, "P", [1] * 6, [[1e9] * 6], [[0] * 7],
    {"size": [ROWS, COLUMNS], "counts": "oo"}, {"size": [2**20, 2**20], "counts": [2**40]},
]  # fmt: skip


def places(what):
    """(container, key) of everything in a JSON value."""
    for key in list(what) if isinstance(what, dict) else range(len(what)):
        yield what, key
        if isinstance(what[key], (dict, list)):
            yield from places(what[key])


@st.composite
def spoilt(draw):
    """The plain file after one to four changes: a value replaced, dropped, or there twice."""
    what, size = plain(), [ROWS, COLUMNS]
    what["annotations"][1]["segmentation"] = {"size": size, "counts": packed(box_mask())}
    what["annotations"][2]["segmentation"] = {"size": size, "counts": run_lengths(box_mask())}
    for _ in range(draw(st.integers(1, 4))):
        if not (every := list(places(what))):
            break
        where, key = every[draw(st.integers(0, len(every) - 1))]
        how = draw(st.sampled_from(["replace", "replace", "drop", "again"]))
        if how == "drop":
            del where[key]
        elif how == "again" and isinstance(where, list):
            where.append(copy.deepcopy(where[key]))
        else:
            where[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return what


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("spoilt")


@fuzz(80, what=spoilt())
def test_a_spoilt_file_is_used_or_said(folder, what):
    path = save(folder, what)
    for read in (lambda: whole_of(folder), lambda: marks_of(path, (ROWS, COLUMNS), "1.png")):
        try:
            notes_of(read)
        except (ValueError, FileNotFoundError) as error:
            said = str(error)
            assert len(said) > 30 and str(folder) in said and "\n" not in said


def whole_of(root):
    dataset = Coco("val", None, root)
    for i in range(len(dataset)):
        labels = dataset.label_map(i)
        assert set(labels.unique().tolist()) <= {0, *range(1, len(dataset.classes) + 1), 255}
        dataset.instances(i)
