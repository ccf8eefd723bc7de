"""COCO-20i from a COCO file in small, against masks drawn by hand."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from panet_lite import EpisodeSampler
from panet_lite.__main__ import main
from panet_lite.datasets import DiskBank, ImageBank, coco
from panet_lite.datasets import voc as datasets
from panet_lite.datasets.coco import Coco

pytest.importorskip("pycocotools", reason="pycocotools is not installed")
SIZE = (32, 24)  # width, height


def rectangle(left, top, right, bottom):
    """The outline of the pixels left..right - 1, top..bottom - 1."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def run_lengths(mask):
    """COCO's uncompressed run lengths of a mask (H, W): down the columns, zeros first."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, len(flat)]).tolist()
    return {"counts": counts if not flat[0] else [0, *counts], "size": list(mask.shape)}


def annotation(number, image, category, segmentation, crowd=0):
    return {
        "id": number, "image_id": image, "category_id": category, "segmentation": segmentation,
        "iscrowd": crowd, "area": 1.0, "bbox": [0, 0, 1, 1],
    }  # fmt: skip


# COCO's ids have gaps, and come in any order.
CATEGORIES = [{"id": i, "name": f"thing {i}"} for i in (90, 1, 13, 2, 15, 44, 67, 70)]
LABEL = {1: 1, 2: 2, 13: 3, 15: 4, 44: 5, 67: 6, 70: 7, 90: 8}


def content():
    """Image 7: a cup (44) on a table (67), listed cup first, and a crowd of 13 under both. Image 3: nothing.
    Images 10..: a rectangle of each category in turn, three times."""
    crowd = np.zeros(SIZE[::-1], np.uint8)
    crowd[0:20, 0:10] = 1
    annotations = [
        annotation(1, 7, 44, rectangle(8, 8, 12, 12)), annotation(2, 7, 67, rectangle(4, 4, 28, 20)),
        annotation(3, 7, 13, run_lengths(crowd), crowd=1),
    ]  # fmt: skip
    numbers = [7, 3]
    for i in range(24):
        numbers.append(10 + i)
        annotations.append(annotation(100 + i, 10 + i, sorted(LABEL)[i % 8], rectangle(2, 2, 16, 14)))
    images = [
        {"id": n, "file_name": f"COCO_val2014_{n:012d}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for n in numbers
    ]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def save(root, what):
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "val2014").mkdir(exist_ok=True)
    path = root / "annotations" / "instances_val2014.json"
    path.write_text(json.dumps(what))
    for image in what.get("images", []):
        picture, path_of = (
            Image.new("RGB", SIZE, (image["id"], 100, 30)),
            root / "val2014" / image["file_name"],
        )
        picture.save(path_of, comment=str(image["id"]).encode())  # each picture has bytes of its own
    return path


@pytest.fixture
def root(tmp_path):
    save(tmp_path / "coco", content())
    return tmp_path / "coco"


def truth():
    """Image 7 by hand: the crowd is void, the table is over it, the cup on the table."""
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[0:20, 0:10] = 255
    labels[4:20, 4:28] = LABEL[67]
    labels[8:12, 8:12] = LABEL[44]
    return labels


def test_label_maps_and_instances(root):
    dataset = Coco("val", None, root)
    index = dataset.ids.index("COCO_val2014_000000000007")
    assert index == 1 and len(dataset) == 26  # in the order of their ids: 3, 7, 10, ...
    assert np.array_equal(dataset.label_map(index), truth())
    numbers = dataset.instances(index).numpy()
    assert np.array_equal(numbers == 255, truth() == 255)
    assert {tuple(np.unique(numbers[truth() == LABEL[c]])) for c in (67, 44)} == {(1,), (2,)}
    assert not dataset.label_map(0).any() and not dataset.instances(0).any()
    assert abs(int(dataset.image(index)[0, 0, 0]) - 7) <= 4 and dataset.image(0).shape == (3, 24, 32)


def test_squashed_to_a_size(root):
    dataset, whole = Coco("val", 13, root), Coco("val", None, root)
    expected = Image.fromarray(whole.label_map(1).numpy()).resize((13, 13), Image.Resampling.NEAREST)
    assert np.array_equal(dataset.label_map(1), np.array(expected)) and dataset.image(1).shape == (3, 13, 13)
    assert dataset.instances(1).shape == (13, 13) and dataset.label_map(1).is_contiguous()


def test_categories_with_gaps_become_labels_without(root):
    dataset = Coco("val", None, root)
    assert dataset.classes == tuple(f"thing {i}" for i in sorted(LABEL))
    for i in range(24):
        assert dataset.label_map(2 + i).unique().tolist() == [0, i % 8 + 1]
    assert dataset.labels_of(["thing 90"]) == (8,) and dataset.images_of(8).tolist() == [9, 17, 25]


def test_coverage_is_that_of_the_label_maps(root):
    dataset = Coco("val", None, root)
    for i in range(len(dataset)):
        counts = np.bincount(dataset.label_map(i).numpy().ravel(), minlength=256)
        np.testing.assert_allclose(dataset.coverage[i], counts / counts.sum(), rtol=0, atol=1e-12)


def many(root):
    """80 categories with COCO's own gaps: ids 1..90 without ten of them."""
    ids = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
    what = content()
    what["categories"] = [{"id": i, "name": f"thing {i}"} for i in ids]
    save(root, what)
    return ids


def test_folds_of_coco(root):
    ids = many(root)
    a, b = Coco("val", None, root), Coco("val", None, root, "B")
    assert len(a.classes) == 80 and [len(fold) for fold in (*a.folds, *b.folds)] == [20] * 8
    assert a.fold(0) == tuple(range(1, 21)) and a.fold(3) == tuple(range(61, 81))
    assert [b.fold(i)[v] for i in range(4) for v in range(20)] == [
        i + 1 + 4 * v for i in range(4) for v in range(20)
    ]
    for dataset in (a, b):
        assert sorted(sum(dataset.folds, ())) == list(range(1, 81))
    assert a.classes[a.fold(1)[0] - 1] == f"thing {ids[20]}"
    with pytest.raises(ValueError, match="COCO-20i has folds A and B, not 'C'"):
        Coco("val", None, root, "C")


def test_episodes_of_coco(root):
    dataset = Coco("val", 16, root)
    episode = EpisodeSampler(dataset, range(1, 9), ways=2, shots=2).episode(0)
    assert episode.support_images.shape == (1, 2, 2, 3, 16, 16)
    bank = EpisodeSampler(ImageBank(dataset), range(1, 9), ways=2, shots=2).episode(0)
    assert torch.equal(bank.support_labels, episode.support_labels)
    boxes = EpisodeSampler(dataset, range(1, 9), annotation="box").episode(0)
    assert boxes.support_labels.unique().tolist() == [0, 1]


def test_decoded_label_maps_are_kept(root, tmp_path, monkeypatch):
    bank = DiskBank(Coco("val", 16, root), tmp_path / "decoded")
    right = [bank.label_map(i) for i in range(3)]
    monkeypatch.setattr(Coco, "label_map", lambda *_: pytest.fail("decoded again"))
    assert all(
        torch.equal(DiskBank(Coco("val", 16, root), tmp_path / "decoded").label_map(i), right[i])
        for i in range(3)
    )
    assert (
        len({str(labels.tolist()) for labels in right}) == 3
    )  # one file of annotations, a map for each image


def test_outlines_are_read_once_and_again_when_the_file_changes(root, monkeypatch):
    read, seen = coco.read_annotations, []
    monkeypatch.setattr(coco, "read_annotations", lambda path: seen.append(path) or read(path))
    for _ in range(2):
        assert Coco("val", None, root).label_map(1).max() == 255
    assert len(seen) == 1
    what = content()
    what["annotations"][0]["category_id"] = 1
    save(root, what)
    assert Coco("val", None, root).label_map(1)[9, 9] == 1 and len(seen) == 2


def test_nothing_is_decoded_before_it_is_asked_for(root, monkeypatch):
    Coco("val", None, root)
    monkeypatch.setattr(coco, "paint", lambda *_: pytest.fail("painted"))
    assert len(Coco("val", None, root)) == 26


# --- what can be wrong ---------------------------------------------------------------------------------


def test_no_coco_at_all(tmp_path, monkeypatch):
    monkeypatch.delenv("PANET_COCO_ROOT", raising=False)
    with pytest.raises(FileNotFoundError, match="set PANET_COCO_ROOT .* download coco --root FOLDER"):
        Coco("val")
    monkeypatch.setenv("PANET_COCO_ROOT", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=rf"{tmp_path}/annotations/instances_train2014.json is missing. Get"
    ):
        Coco("trainaug")


def test_the_environment_names_the_folder(root, monkeypatch):
    monkeypatch.setenv("PANET_COCO_ROOT", str(root))
    assert Coco().size == 417 and len(Coco("val2014")) == 26


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_truncated_annotations(root, share):
    path = root / "annotations" / "instances_val2014.json"
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(
        ValueError, match=rf"The annotations {path} cannot be read .* Download or extract it again"
    ):
        Coco("val", None, root)
    path.write_text(text)  # mended: nothing of the failure was kept
    assert len(Coco("val", None, root)) == 26


@pytest.mark.parametrize(
    "what", [[], {}, {"images": [], "annotations": [], "categories": []}, {"info": 3}, 7]
)
def test_other_files_of_json(root, what):
    (root / "annotations" / "instances_val2014.json").write_text(json.dumps(what))
    with pytest.raises(ValueError, match="not COCO's instances"):
        Coco("val", None, root)


def test_captions_are_no_outlines(root):
    what = content()
    what["annotations"] = [{"id": 1, "image_id": 7, "caption": "A cup on a table."}]
    save(root, what)
    with pytest.raises(ValueError, match="not COCO's instances"):
        Coco("val", None, root)


def test_more_categories_than_a_label_map_has_values(root):
    what = content()
    what["categories"] = [{"id": i, "name": f"thing {i}"} for i in range(1, 256)]
    save(root, what)
    with pytest.raises(ValueError, match="instances_val2014.json lists more categories than .*, 254"):
        Coco("val", None, root)


def test_an_image_without_its_size(root):
    what = content()
    del what["images"][3]["height"]
    save(root, what)
    with pytest.raises(
        ValueError, match=r"val2014.json cannot be used: images.3. is .*'id': 11.*needs id,.*height"
    ):
        Coco("val", None, root)


def test_an_image_of_another_size_than_its_outlines(root):
    Image.new("RGB", SIZE[::-1]).save(root / "val2014" / "COCO_val2014_000000000007.jpg")
    dataset = Coco("val", 13, root)
    assert dataset.image(0).shape == (3, 13, 13)
    with pytest.raises(ValueError, match=r"0007.jpg is 24 x 32 pixels, but .*2014.json says 32 x 24: copy"):
        dataset.image(1)


def test_missing_images(root):
    (root / "val2014" / "COCO_val2014_000000000012.jpg").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"incomplete: 1 files that instances_val2014.json lists .*0012.jpg"
    ):
        Coco("val", None, root)


def test_a_truncated_image_is_named_and_left_out_when_asked(root):
    path = root / "val2014" / "COCO_val2014_000000000012.jpg"
    path.write_bytes(path.read_bytes()[:300])
    dataset = Coco("val", None, root)
    with pytest.raises(ValueError, match=rf"The image {path} cannot be read .*--skip-broken"):
        dataset.image(4)
    for _ in range(2):
        with pytest.warns(UserWarning, match=rf"Left out of Coco.*: {path}\."):
            dataset = Coco("val", None, root, skip_broken=True)
        assert dataset.images_of(3).tolist() == [12, 20]  # not 4


def test_without_pycocotools(root, monkeypatch):
    for name in ("pycocotools", "pycocotools.coco", "pycocotools.mask"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"COCO-20i needs pycocotools .*: pip install pycocotools\."):
        Coco("val", None, root)


def test_from_the_command_line(root, capsys):
    common = ["evaluate", "--dataset", "coco", "--root", str(root), "--size", "32", "--width", "0.0625"]
    common += ["--weights", "random", "--device", "cpu", "--runs", "1", "--episodes", "4", "--shots", "1"]
    assert main([*common, "--fold", "1"]) == 0
    assert main([*common, "--fold", "1", "--folds", "B"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "thing 13 " in first and "thing 15 " in first and "thing 2 " in second and "thing 67 " in second
    assert main([*common, "--folds", "C"]) == 1
    assert capsys.readouterr().err == "panet_lite: COCO-20i has folds A and B, not 'C'.\n"


def test_the_cache_is_where_the_others_are(root, own_cache):
    Coco("val", None, root)
    assert any(path.name.startswith("coco-") for path in own_cache.glob("*.npz"))
    assert datasets.cache_file("coco x").parent == own_cache


@pytest.mark.parametrize("spoil", ["missing", "truncated"])
def test_the_command_line_says_what_is_wrong_with_the_annotations(root, capsys, spoil):
    path = root / "annotations" / "instances_val2014.json"
    path.unlink() if spoil == "missing" else path.write_text(path.read_text()[:-30])
    assert main(["evaluate", "--dataset", "coco", "--root", str(root), "--device", "cpu"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line.startswith("panet_lite: ")
        and str(path) in line
        and ("Get it by" in line) == (spoil == "missing")
    )
