"""PASCAL-5i from VOC and SBD, what is kept on disk, and pictures that break."""

import json
import re
import shutil
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from scipy.io import savemat
from scipy.sparse import csc_matrix

from panet_lite import EpisodeSampler, files
from panet_lite.__main__ import arguments, main
from panet_lite.datasets import DiskBank, ImageBank, Pascal, Tabletop
from panet_lite.datasets import voc as datasets
from panet_lite.datasets.masks import read_label_map
from panet_lite.training import PAPER, training_episodes

SIZE = (40, 30)  # width, height


@pytest.fixture
def copy(tiny_voc, tmp_path):
    """A copy of the tiny data set that a test may spoil."""
    return shutil.copytree(tiny_voc / "tabletop", tmp_path / "tabletop")


def save_mat(path, labels, name="GTcls"):
    """A file as SBD has them: a struct with the map and, beside it, sparse boundaries of each class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), object)
    for i in range(20):
        boundaries[i, 0] = csc_matrix(np.zeros(labels.shape, bool))
    present = np.unique(labels[labels > 0])[:, None]
    savemat(
        path, {name: {"Boundaries": boundaries, "Segmentation": labels, "CategoriesPresent": present}},
        do_compression=True,
    )  # fmt: skip


def block(*values):
    """A label map of equal stripes, (30, 40) uint8."""
    return np.repeat(np.array(values, np.uint8), -(-SIZE[0] // len(values)))[None, : SIZE[0]].repeat(
        SIZE[1], 0
    )


@pytest.fixture
def voc(tmp_path):
    """VOC2012 and SBD in small: a is in VOC train, b in VOC val; SBD has a, b, c (train) and d (val)."""
    root = tmp_path / "data"
    home = root / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"):
        (home / folder).mkdir(parents=True)
    for name in "abcd":
        Image.new("RGB", SIZE, (90, 120, 5 * ord(name) % 256)).save(home / "JPEGImages" / f"{name}.jpg")
        save_mat(root / "SBD" / "cls" / f"{name}.mat", block(0, 3))
        save_mat(root / "SBD" / "inst" / f"{name}.mat", block(0, 1, 2), "GTinst")
    for name in "ab":
        Image.fromarray(block(0, 3, 255)).save(home / "SegmentationClass" / f"{name}.png")
        Image.fromarray(block(0, 1, 255)).save(home / "SegmentationObject" / f"{name}.png")
    for folder, split, names in (
        (home / "ImageSets" / "Segmentation", "train", "a"), (home / "ImageSets" / "Segmentation", "val", "b"),
        (root / "SBD", "train", "bca"), (root / "SBD", "val", "d"),
    ):  # fmt: skip
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


# --- PASCAL-5i -----------------------------------------------------------------------------------------


def test_trainaug_is_voc_and_sbd_without_val(voc):
    dataset = Pascal("trainaug", None, voc)
    assert dataset.ids == ["a", "c", "d"] and dataset.split == "trainaug"
    assert [path.suffix for path in dataset.mask_paths] == [".png", ".mat", ".mat"]  # VOC's own come first
    assert np.array_equal(dataset.label_map(0), block(0, 3, 255))
    assert np.array_equal(dataset.label_map(1), block(0, 3)) and dataset.label_map(1).dtype == torch.uint8
    assert dataset.coverage[:, 3].tolist() == pytest.approx([14 / 40, 1 / 2, 1 / 2])
    assert dataset.images_of(3).tolist() == [0, 1, 2]
    assert np.array_equal(dataset.instances(0), block(0, 1, 255))  # SegmentationObject
    assert np.array_equal(dataset.instances(2), block(0, 1, 2))  # inst/*.mat
    assert Pascal("val", None, voc).ids == ["b"] and Pascal("train", None, voc).ids == ["a"]


def test_masks_of_sbd_are_squashed_like_any_other(voc, tmp_path):
    Image.fromarray(block(0, 3)).save(tmp_path / "same.png")
    assert torch.equal(Pascal("trainaug", 13, voc).label_map(1), read_label_map(tmp_path / "same.png", 13))
    assert Pascal("trainaug", 13, voc).instances(1).shape == (13, 13)


def test_a_list_of_ones_own_is_kept_to(voc):
    (voc / "VOC2012" / "ImageSets" / "Segmentation" / "trainaug.txt").write_text("d\nc\n")
    assert Pascal("trainaug", None, voc).ids == ["d", "c"]


def test_a_list_of_pairs_of_paths_is_one_of_names(voc):
    """As a trainaug.txt of other programs has them."""
    line = "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png\r\n"
    listing = voc / "VOC2012" / "ImageSets" / "Segmentation" / "trainaug.txt"
    listing.write_bytes("".join(map(line.format, "dc")).encode())
    assert Pascal("trainaug", None, voc).ids == ["d", "c"]


def test_a_list_that_is_not_there(voc):
    with pytest.raises(FileNotFoundError, match="no list .*/Segmentation/tset.txt: choose one of train, val"):
        Pascal("tset", None, voc)


def test_a_ready_folder_of_augmented_masks(voc):
    """SegmentationClassAug as others hand it round: PNGs of everything, val too; no list, no SBD."""
    shutil.rmtree(voc / "SBD")
    augmented = voc / "VOC2012" / "SegmentationClassAug"
    augmented.mkdir()
    for name in "abcd":
        Image.fromarray(block(5)).save(augmented / f"{name}.png")
    dataset = Pascal("trainaug", None, voc)
    assert dataset.ids == ["a", "c", "d"] and (dataset.coverage[:, 5] == 1).all()
    assert dataset.instances(1) is None and dataset.instances(0) is not None
    (augmented / "b.png").unlink()  # some copies leave VOC's own out
    assert np.array_equal(Pascal("val", None, voc).label_map(0), block(0, 3, 255))


def test_where_other_programs_put_them(voc):
    """VOC's archive unpacks to VOCdevkit/VOC2012, SBD's to benchmark_RELEASE/dataset."""
    (voc / "VOCdevkit").mkdir()
    (voc / "VOC2012").rename(voc / "VOCdevkit" / "VOC2012")
    (voc / "benchmark_RELEASE").mkdir()
    (voc / "SBD").rename(voc / "benchmark_RELEASE" / "dataset")
    assert Pascal("trainaug", None, voc).ids == ["a", "c", "d"]


def test_sbd_without_its_masks_is_named(voc):
    (voc / "SBD" / "cls" / "c.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"incomplete: 1 files .* first is .*SBD/cls/c.mat. Copy or"):
        Pascal("trainaug", None, voc)


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.95])
def test_a_truncated_mat(voc, share):
    path = voc / "SBD" / "cls" / "c.mat"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"The mask {path} cannot be read \(.*truncated or not SBD's"):
        Pascal("trainaug", None, voc)


def test_a_mat_of_something_else(voc):
    savemat(voc / "SBD" / "cls" / "c.mat", {"x": np.eye(3)})
    with pytest.raises(ValueError, match="c.mat cannot be read"):
        Pascal("trainaug", None, voc)


# --- what is kept on disk ------------------------------------------------------------------------------

OPEN = """
import sys, time
from pathlib import Path
from panet_lite.datasets import voc as datasets
here, name, root = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
datasets.user_cache_path = lambda *_: here / "cache"
count = datasets.label_areas

def slow(*given):
    (here / f"{name}-in").touch()
    for _ in range(int(sys.argv[5])):
        if (here / sys.argv[4]).exists():
            break
        time.sleep(0.01)
    return count(*given)

datasets.label_areas = slow
print(len(datasets.Tabletop("val", root=root).coverage))
"""


def opening(here, name, root, wait_for, patience):
    """A process that opens the data set, and in the middle of counting waits for a file."""
    given = [sys.executable, "-c", OPEN, str(here), name, str(root), wait_for, str(patience)]
    return subprocess.Popen(given, stdout=subprocess.PIPE, text=True)


def wait_for(path, process):
    """Until a file is there; the process that makes it must be alive."""
    while not path.exists():
        assert process.poll() is None


@pytest.mark.slow
def test_of_two_processes_one_counts_and_both_have_it(copy, tmp_path):
    first = opening(tmp_path, "first", copy, "second-in", 200)  # 2 s for the second to get in, were it let
    wait_for(tmp_path / "first-in", first)
    second = opening(tmp_path, "second", copy, "never", 0)
    assert [process.communicate()[0] for process in (first, second)] == ["60\n", "60\n"]
    assert not (tmp_path / "second-in").exists()
    assert [path.suffix for path in sorted((tmp_path / "cache").iterdir())] == [".lock", ".npz"]


@pytest.mark.slow
def test_a_process_that_is_killed_blocks_nobody(copy, tmp_path, monkeypatch):
    process = opening(tmp_path, "first", copy, "never", 10**6)
    wait_for(tmp_path / "first-in", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    monkeypatch.setattr(datasets, "user_cache_path", lambda *_: tmp_path / "cache")
    assert len(Tabletop("val", root=copy)) == 60
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1


def test_where_there_are_no_locks_the_work_is_done_twice(copy, tmp_path, monkeypatch):
    def none(self, *_, **__):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(files.FileLock, "acquire", none)
    monkeypatch.setattr(datasets, "user_cache_path", lambda *_: tmp_path / "cache")
    assert len(Tabletop("val", root=copy)) == 60 and len(list((tmp_path / "cache").glob("*.npz"))) == 1


def test_an_index_that_is_out_of_date_is_replaced_not_kept(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "user_cache_path", lambda *_: tmp_path / "cache")
    for value in (3, 4):
        Image.fromarray(np.full((64, 64), value, np.uint8)).save(copy / "SegmentationClass" / "val_007.png")
        assert Tabletop("val", root=copy).coverage[7, value] == 1
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1


@pytest.fixture
def decoded(monkeypatch):
    """(method, index) of each picture that is decoded."""
    seen = []
    for name in ("image", "label_map", "instances"):
        read = getattr(datasets.SegmentationDataset, name)
        monkeypatch.setattr(
            datasets.SegmentationDataset,
            name,
            lambda self, i, n=name, r=read: seen.append((n, i)) or r(self, i),
        )
    return seen


def test_a_disk_bank_is_the_data_set(voc, tmp_path, decoded):
    dataset = Pascal("trainaug", 13, voc)
    for i in range(2):  # the second is another run
        bank = DiskBank(Pascal("trainaug", 13, voc), tmp_path / "decoded")
        assert len(bank) == 3 and repr(bank) == repr(dataset) and bank.fold(0) == (1, 2, 3, 4, 5)
        before = len(decoded)
        for kind in ("image", "label_map", "instances"):
            kept = [getattr(bank, kind)(np.int64(index)) for index in range(3)]
            assert len(decoded) - before == (3 if i == 0 else 0)
            assert all(torch.equal(a, getattr(dataset, kind)(index)) for index, a in enumerate(kept))
            before = len(decoded)
    other = DiskBank(Pascal("trainaug", 17, voc), tmp_path / "decoded")
    assert other.image(0).shape == (3, 17, 17) and bank.image(0).shape == (3, 13, 13)


def test_a_disk_bank_decodes_again_what_has_changed(voc, tmp_path, decoded):
    bank = DiskBank(Pascal("trainaug", 13, voc), tmp_path / "decoded")
    bank.image(0), bank.label_map(0), bank.image(1)
    Image.new("RGB", SIZE, (255, 0, 0)).save(voc / "VOC2012" / "JPEGImages" / "a.jpg")
    decoded.clear()
    assert bank.image(0)[0].min() > 250 and bank.image(0)[0].min() > 250 and bank.label_map(0).max() == 255
    assert bank.image(1)[0].max() < 250 and decoded == [("image", 0)]


@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b[:50], lambda b: b[:-9], lambda b: b"\xff" * 99])
def test_a_spoilt_file_of_a_disk_bank_is_replaced(voc, tmp_path, decoded, spoil):
    bank = DiskBank(Pascal("trainaug", 13, voc), tmp_path / "decoded")
    right = bank.image(0)
    (path,) = (tmp_path / "decoded").rglob("*.safetensors")
    path.write_bytes(spoil(path.read_bytes()))
    assert torch.equal(bank.image(0), right) and torch.equal(bank.image(0), right) and len(decoded) == 2


def test_a_disk_bank_that_is_full_says_so_once_and_decodes(voc, tmp_path):
    (tmp_path / "decoded").write_text("a file where the folder should be")
    bank = DiskBank(Pascal("trainaug", 13, voc), tmp_path / "decoded")
    with pytest.warns(UserWarning, match="Could not write .*decoded each time") as notes:
        assert all(bank.image(index).shape == (3, 13, 13) for index in (0, 1, 0))
    assert len(notes) == 1


def test_banks_on_top_of_each_other_make_the_same_episodes(tiny, tmp_path):
    dataset = tiny("train")
    bank = ImageBank(DiskBank(dataset, tmp_path / "decoded"))
    plain, other = (EpisodeSampler(d, dataset.fold(1), flip=True).batch(range(3)) for d in (dataset, bank))
    assert torch.equal(plain.query_images, other.query_images)
    assert torch.equal(plain.support_labels, other.support_labels)


# --- pictures that break -------------------------------------------------------------------------------


def truncate(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def test_what_cannot_be_read_is_left_out_only_when_asked(copy):
    whole = Tabletop("train", root=copy)
    truncate(copy / "JPEGImages" / "train_005.jpg")
    truncate(copy / "SegmentationClass" / "train_017.png")
    with pytest.raises(ValueError, match="The mask .*train_017.png cannot be read"):
        Tabletop("train", root=copy)
    for _ in range(2):  # counted, then kept
        with pytest.warns(UserWarning, match=r"Left out of Tabletop\('train', 120 .*_005.jpg, .*_017.jpg\."):
            dataset = Tabletop("train", root=copy, skip_broken=True)
        assert not dataset.coverage[[5, 17]].any() and len(dataset) == 120
        rest = np.setdiff1d(np.arange(120), [5, 17])
        assert np.array_equal(dataset.coverage[rest], whole.coverage[rest])
    sampler = EpisodeSampler(dataset, range(1, 21))
    assert not {5, 17} & {int(i) for pool in sampler.pools.values() for i in pool}


def test_all_are_counted_and_three_are_named(copy):
    for i in range(7):
        truncate(copy / "JPEGImages" / f"val_00{i}.jpg")
    with pytest.warns(UserWarning, match=r"val_000.jpg, .*val_001.jpg, .*val_002.jpg and 4 more\."):
        Tabletop("val", root=copy, skip_broken=True)


def test_a_mask_of_another_size_is_a_mistake_and_never_skipped(copy):
    path = copy / "SegmentationClass" / "val_004.png"
    Image.open(path).crop((0, 0, 64, 60)).save(path)
    with pytest.raises(ValueError, match="64 x 60 pixels, but its image is 64 x 64"):
        Tabletop("val", root=copy, skip_broken=True)


def test_a_truncated_jpeg_in_the_middle_of_an_epoch(copy, tmp_path, capsys):
    """It is named, the steps before it are kept, and the run goes on without it where that is asked for."""
    dataset, recipe, out = Tabletop("train", root=copy), replace(PAPER, seed=4), tmp_path / "run"
    draws = [training_episodes(dataset, 0, recipe).draw(i) for i in range(12)]
    broken = dataset.image_paths[draws[5].queries[0]]  # shown at step 6, and not before
    assert not any(draws[5].queries[0] in (*draw.supports.flat, *draw.queries) for draw in draws[:5])
    truncate(broken)
    train = [
        "train",
        "--root",
        copy,
        "--width",
        "0.0625",
        "--weights",
        "random",
        "--device",
        "cpu",
        "--seed",
        "4",
    ]
    train = [str(x) for x in (*train, "--recipe", "paper", "--iterations", "12", "--out", out)]
    with warnings.catch_warnings():
        assert main(train) == 1
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("panet_lite: ")]
        assert f"The image {broken} cannot be read" in line and "truncated" in line
        assert line.endswith(
            "leave such images out of a data set by --skip-broken (skip_broken=True). 5 steps are kept: the same "
            "command with --resume goes on from there."
        )
        assert json.loads(safe_open(out / "state.safetensors", "pt").metadata()["step"]) == 5
        assert main([*train, "--resume"]) == 1  # not skipped unless asked
        capsys.readouterr()
        assert main([*train, "--resume", "--skip-broken"]) == 0
    notes = capsys.readouterr()
    assert "Note: Left out of Tabletop('train', 120 images" in notes.err and str(broken) in notes.err
    assert "after step 12" in notes.out


def test_the_command_line_keeps_decoded_pictures(tiny_voc, tmp_path, capsys):
    shown = ["evaluate", "--root", str(tiny_voc / "tabletop"), "--width", "0.0625", "--weights", "random"]
    shown += ["--device", "cpu", "--runs", "1", "--episodes", "3", "--shots", "1"]
    with warnings.catch_warnings():
        assert (
            main(shown)
            == main([*shown, "--decoded", str(tmp_path)])
            == main([*shown, "--decoded", str(tmp_path)])
            == 0
        )
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == second == third and list(tmp_path.rglob("*.safetensors"))


def test_the_commands_of_the_appendix_are_ones():
    page = (Path(__file__).resolve().parents[2] / "book" / "appendix_data.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python -m panet_lite (.*)$", page, re.M)
    assert len(commands) >= 10 and {line.split()[0] for line in commands} == {"download", "train", "evaluate"}
    for line in commands:
        assert arguments().parse_args(line.split()).command == line.split()[0]
