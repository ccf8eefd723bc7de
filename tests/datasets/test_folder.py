"""Your own data: a folder of images and a folder of masks."""

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from panet_lite import EpisodeSampler
from panet_lite.__main__ import main
from panet_lite.datasets import TABLETOP_CLASSES
from panet_lite.datasets.folders import Folder
from panet_lite.training import training_episodes


def save(root, name, mask, suffix="jpg"):
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    mask = np.array(mask, np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    colour = (200, 10, len(list((root / "images").iterdir())) * 20)  # each picture has bytes of its own
    Image.new("RGB", mask.shape[::-1], colour).save(root / "images" / f"{name}.{suffix}")


@pytest.fixture
def root(tmp_path):
    """Four images of two classes; their names in classes.txt."""
    for name, value in (("a", 1), ("b", 2), ("c", 1), ("d", 2)):
        save(tmp_path / "own", name, [[0, value, value], [0, 0, 255]], "png" if name == "b" else "jpg")
    (tmp_path / "own" / "classes.txt").write_text("crack\ndry rot\n\n")
    return tmp_path / "own"


@pytest.fixture
def large(tiny_voc, tmp_path):
    """The tiny data set as a folder of one's own: 20 classes."""
    root, tiny = tmp_path / "large", tiny_voc / "tabletop"
    for folder, other in (("images", "JPEGImages"), ("masks", "SegmentationClass")):
        shutil.copytree(tiny / other, root / folder)
    return root


def test_images_masks_and_names(root):
    dataset = Folder(root=root, size=None)
    assert (
        dataset.ids == list("abcd") and dataset.classes == ("crack", "dry rot") and dataset.fold(0) == (1, 2)
    )
    assert dataset.images_of(2).tolist() == [1, 3] and dataset.labels_of(["dry rot"]) == (2,)
    assert dataset.image(1).shape == (3, 16, 24) and dataset.label_map(1).unique().tolist() == [0, 2, 255]
    assert dataset.coverage[0, [0, 1, 2, 255]].tolist() == pytest.approx([1 / 2, 1 / 3, 0, 1 / 6])
    assert dataset.instances(0) is None and Folder(root=root).image(0).shape == (3, 417, 417)
    assert EpisodeSampler(Folder(root=root, size=32), (1, 2), ways=2).episode(0).ways == 2


def test_objects_are_told_apart_where_there_is_a_folder_for_them(root):
    (root / "objects").mkdir()
    Image.fromarray(np.full((16, 24), 3, np.uint8)).save(root / "objects" / "c.png")
    dataset = Folder(root=root, size=8)
    assert dataset.instances(2).unique().tolist() == [3] and dataset.instances(0) is None


def test_lists_as_people_write_them(root):
    """Names with blanks, with or without suffix, lines of Windows, and the mark that its editor puts in front."""
    save(root, "my photo 2", [[0, 1]])
    (root / "train.txt").write_bytes("\ufeffmy photo 2\r\na\r\n\r\nb.png\r\n".encode())
    (root / "classes.txt").write_bytes("\ufeffcrack\r\nPorös\r\n".encode())
    dataset = Folder("train", None, root)
    assert dataset.ids == ["my photo 2", "a", "b"] and dataset.classes == ("crack", "Porös")
    (root / "classes.txt").write_bytes("crack\nPorös\n".encode("latin-1"))
    with pytest.raises(ValueError, match="own/classes.txt is no text in UTF-8: save it as such"):
        Folder("train", None, root)


def test_without_names_the_values_are_the_classes(root):
    """With gaps, and over the whole folder, so that every split has the same labels."""
    (root / "classes.txt").unlink()
    save(root, "e", [[0, 40, 7]])
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("e\n")
    for split, ids in (("train", ["a", "b"]), ("val", ["e"]), ("trainaug", ["a", "b"])):
        dataset = Folder(split, None, root)
        assert dataset.ids == ids and dataset.classes == ("1", "2", "7", "40")
    assert Folder("val", None, root).label_map(0).unique().tolist() == [0, 3, 4]
    assert Folder("val", None, root).coverage[0, :5].tolist() == pytest.approx([1 / 3, 0, 0, 1 / 3, 1 / 3])


@pytest.mark.parametrize("names", [None, "mole"])
def test_masks_of_0_and_255_have_one_class(tmp_path, names):
    for name in "ab":
        save(tmp_path, name, [[0, 255]])
    if names:
        (tmp_path / "classes.txt").write_text(names)
    with pytest.warns(UserWarning, match="only 0 and 255, so 255 was taken for the object"):
        dataset = Folder(root=tmp_path, size=None)
    assert dataset.classes == (names or "object",) and dataset.label_map(0).unique().tolist() == [0, 1]
    assert dataset.coverage[:, 1].tolist() == [1 / 2] * 2 and not dataset.coverage[:, 255].any()
    episode = EpisodeSampler(dataset, [1]).episode(0)
    assert set(episode.query_labels.unique().tolist()) == {0, 1}


def test_folds(large):
    dataset = Folder(root=large, size=None, folds=4)
    assert dataset.folds == tuple(tuple(range(i, i + 5)) for i in (1, 6, 11, 16))
    assert Folder(root=large, size=None, folds=3).fold(2) == tuple(range(15, 21))
    named = Folder(root=large, size=None, folds=[["3", "20"], ["7"]])
    assert named.folds[:2] == ((3, 20), (7,)) and sorted(sum(named.folds, ())) == list(range(1, 21))
    every = [[str(i) for i in range(1, 21)]]
    assert Folder(root=large, size=None, folds=every).folds == (tuple(range(1, 21)),)
    for folds in (0, 21):
        with pytest.raises(ValueError, match=f"20 classes make 1 to 20 folds, not {folds}"):
            Folder(root=large, size=None, folds=folds)
    with pytest.raises(ValueError, match="'zebra' is no class of this data set: choose from 1, 2, 3"):
        Folder(root=large, size=None, folds=[["zebra"]])


def test_the_index_is_counted_once_and_again_when_a_mask_changes(root, monkeypatch):
    from panet_lite.datasets import folders

    seen, count = [], folders.label_areas
    monkeypatch.setattr(folders, "label_areas", lambda *given: seen.append(1) or count(*given))
    for _ in range(2):
        Folder(root=root), Folder("train", root=root)
    assert len(seen) == 1
    save(root, "a", [[2]])
    assert Folder(root=root).coverage[0, 2] == 1 and len(seen) == 2


# --- what can be wrong ---------------------------------------------------------------------------------


def test_no_folder_at_all(tmp_path):
    with pytest.raises(ValueError, match="Say where your data lie, .*: --root FOLDER"):
        Folder()
    with pytest.raises(
        FileNotFoundError, match=rf"no data set at {tmp_path}: it needs .* {tmp_path}/images is"
    ):
        Folder(root=tmp_path)
    (tmp_path / "images" / "train").mkdir(parents=True)
    Image.new("RGB", (24, 16)).save(tmp_path / "images" / "train" / "a.jpg")
    with pytest.raises(
        FileNotFoundError, match=rf"no picture in {tmp_path}/images: put them there, not into"
    ):
        Folder(root=tmp_path)
    (tmp_path / "images" / "train" / "a.jpg").rename(tmp_path / "images" / "a.jpg")
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/masks is missing"):
        Folder(root=tmp_path)


@pytest.mark.parametrize("folder, missing", [("masks", "mask"), ("images", "image")])
def test_an_image_without_mask_or_a_mask_without_image(root, folder, missing):
    next((root / folder).glob("c.*")).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"'c' has no {missing} in {root}/{missing}s: each image needs"
    ):
        Folder(root=root)


def test_a_list_names_what_is_not_there(root):
    (root / "train.txt").write_text("a\nzz\n")
    with pytest.raises(FileNotFoundError, match="'zz' has no image in"):
        Folder("train", root=root)
    with pytest.raises(
        FileNotFoundError, match=rf"{root} has no list val.txt: write one, or name another split"
    ):
        Folder("val", root=root)
    with pytest.raises(FileNotFoundError, match="no list test.txt"):
        Folder("test", root=root)
    (root / "val.txt").write_text("")
    assert len(Folder("val", root=root)) == 0


def test_two_images_of_one_name(root):
    Image.new("RGB", (24, 16)).save(root / "images" / "a.png")
    with pytest.raises(ValueError, match=r"images/a.jpg and .*images/a.png share a name"):
        Folder(root=root)


def test_a_mask_saved_as_jpeg(root):
    """Whatever its name says."""
    Image.open(root / "masks" / "a.png").save(root / "masks" / "a.png", "JPEG")
    with pytest.raises(ValueError, match="masks/a.png is a JPEG inside, which smears values: save it as PNG"):
        Folder(root=root)


def test_a_value_without_a_name(root):
    save(root, "c", [[0, 9]])
    with pytest.raises(ValueError, match=r"masks/c.png holds the value 9, but .*classes.txt names 2 classes: labels are 0..2 "):  # fmt: skip
        Folder(root=root)


@pytest.mark.parametrize("first", ["background\n", "__ignore__\n_background_\n", "Background\n"])
def test_names_that_are_no_classes(root, first):
    """They would give every class the name of the one before it."""
    (root / "classes.txt").write_text(f"{first}crack\ndry rot\n")
    with pytest.warns(UserWarning, match=r"classes.txt begins with '.*', which is no class: left out"):
        assert Folder(root=root).classes == ("crack", "dry rot")


def test_masks_that_show_nothing(tmp_path):
    save(tmp_path, "a", [[0, 0]])
    with pytest.raises(ValueError, match="No mask in .*masks shows a class: all of them are 0 or void"):
        Folder(root=tmp_path)


def test_masks_in_colours_and_of_another_size(root):
    mask = Image.open(root / "masks" / "a.png")
    Image.new("RGB", mask.size, (1, 2, 3)).save(root / "masks" / "a.png")
    with pytest.raises(
        ValueError, match=r"a.png has the colour \(1, 2, 3\), which the palette of PASCAL VOC does not know"
    ):
        Folder(root=root)
    mask.resize((9, 9), 0).save(root / "masks" / "a.png")
    with pytest.raises(ValueError, match="a.png is 9 x 9 pixels, but its image is 24 x 16"):
        Folder(root=root)


def test_a_truncated_image_is_left_out_when_asked(root):
    path = root / "images" / "b.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.warns(UserWarning, match=rf"Left out of Folder.*{path}\."):
        assert Folder(root=root, skip_broken=True).images_of(2).tolist() == [3]


def test_what_is_no_picture_is_no_image(root):
    (root / "images" / "Thumbs.db").write_text("x")
    (root / "images" / ".a.jpg").write_text("x")
    (root / "masks" / "notes.txt").write_text("x")
    assert len(Folder(root=root)) == 4


# --- the command line ----------------------------------------------------------------------------------


@pytest.fixture
def cli(capsys):
    def run(command, *more):
        common = [
            "--dataset",
            "folder",
            "--size",
            64,
            "--width",
            0.0625,
            "--weights",
            "random",
            "--device",
            "cpu",
        ]
        with warnings.catch_warnings():
            code = main([str(x) for x in (command, *common, *more)])
        out, err = capsys.readouterr()
        return (
            code,
            out,
            [line for line in err.replace("\r", "\n").splitlines() if line and "it/s" not in line],
        )

    return run


SHORT = ("--runs", 1, "--episodes", 3, "--shots", 1)


def test_training_and_testing_on_ones_own_classes(large, tmp_path, cli):
    """No episode of the training shows a class that is named for the test; the test shows no other."""
    code, out, _ = cli(
        "train", "--root", large, "--classes", 3, 20, "--iterations", 1, "--out", tmp_path / "run"
    )
    assert code == 0 and "after step 1" in out
    named = Folder("train", 64, large, folds=[["3", "20"]])
    assert set(training_episodes(named, 0).pools) == set(range(1, 21)) - {3, 20}
    code, out, _ = cli("evaluate", "--root", large, "--classes", 3, 20, *SHORT)
    assert code == 0 and "; 3 " in out and ", 20 " in out
    code, out, _ = cli("evaluate", "--root", large, "--folds", 4, "--fold", 1, *SHORT)
    assert code == 0 and "; 6 " in out
    code, out, _ = cli("evaluate", "--root", large, *SHORT)  # one fold of all
    assert code == 0 and "; 1 " in out and ", 20 " in out


def test_the_same_images_give_the_same_numbers(tiny_voc, large, cli):
    """A data set of the book, copied into a folder of one's own: the same episodes, the same line."""
    shutil.copy(tiny_voc / "tabletop" / "ImageSets" / "Segmentation" / "val.txt", large)
    (large / "classes.txt").write_text("\n".join(TABLETOP_CLASSES))
    own = cli("evaluate", "--root", large, "--folds", 4, "--fold", 1, *SHORT)
    book = cli("evaluate", "--dataset", "tabletop", "--root", tiny_voc / "tabletop", "--fold", 1, *SHORT)
    assert own[:2] == book[:2] and "chess pawn" in own[1]


def test_a_run_goes_on_with_the_classes_it_was_started_with(large, tmp_path, cli):
    run = ("train", "--root", large, "--iterations", 1, "--out", tmp_path / "run", "--classes")
    assert cli(*run, 3)[0] == 0
    code, _, err = cli(*run, 4, "--resume")
    assert code == 1 and "was started with classes ['3'], not ['4']" in err[-1]


def test_what_the_command_line_says_when_it_is_wrong(large, tmp_path, cli):
    out = ("--out", tmp_path / "out")
    assert cli("evaluate")[2] == [
        "panet_lite: Say where your data lie, with their folders images/ and masks/: --root FOLDER."
    ]
    for more in ((), ("--folds", 1), ("--classes", *range(1, 21))):
        code, _, err = cli("train", "--root", large, *more, *out)
        assert code == 1 and err == [
            "panet_lite: Training wants classes to learn from beside those to test on: name the test classes by "
            "--classes, not all there are, or split all classes by --folds NUMBER."
        ]
    code, _, err = cli("evaluate", "--root", large, "--classes", 3, "--folds", 4)
    assert code == 1 and err == [
        "panet_lite: --classes and --folds both say how classes are split: give one of them."
    ]
    assert "make 1 to 20 folds, not 0" in cli("evaluate", "--root", large, "--folds", 0)[2][0]
    for more in (("--folds", "A"), ("--folds", "²"), ("--dataset", "tabletop", "--folds", 4)):
        code, _, err = cli("evaluate", "--root", large, *more)
        assert code == 1 and err == [
            "panet_lite: --folds is A or B for --dataset coco, and a number for folder; others have theirs."
        ]
    code, _, err = cli("train", "--dataset", "tabletop", "--classes", "mug", *out)
    assert code == 1 and err == [
        "panet_lite: --classes names test classes for --dataset folder; others are trained by --fold."
    ]
    assert not (tmp_path / "out").exists()
