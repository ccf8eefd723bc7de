"""The image bank: the data set it wraps, bit for bit, each file opened once, within its limit."""

import copy
import multiprocessing
import os
import pickle
import shutil
import threading

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from panet_lite import EpisodeSampler
from panet_lite.datasets import DiskBank, ImageBank, SegmentationDataset, Tabletop
from panet_lite.datasets.banks import free_memory, must_fit
from panet_lite.files import stamp_of

PAIR = 64 * 64 * (3 + 1)  # bytes of an image and its label map


@pytest.fixture
def opened(monkeypatch):
    """(method, index) of each file that is decoded."""
    seen = []
    for name in ("image", "label_map", "instances"):
        read = getattr(SegmentationDataset, name)
        monkeypatch.setattr(
            SegmentationDataset, name, lambda self, i, n=name, r=read: seen.append((n, i)) or r(self, i)
        )
    return seen


def test_it_is_the_data_set(tiny):
    dataset = tiny("train")
    bank = ImageBank(dataset)
    assert len(bank) == len(dataset) == 120 and repr(bank) == repr(dataset)
    assert bank.coverage is dataset.coverage and bank.classes == dataset.classes and bank.ids == dataset.ids
    assert bank.fold(2) == dataset.fold(2) and np.array_equal(bank.images_of(3), dataset.images_of(3))
    with pytest.raises(AttributeError, match="no_such_thing"):
        bank.no_such_thing  # noqa: B018
    for i in (0, 7):
        assert torch.equal(bank.image(i), dataset.image(i)) and bank.image(i).dtype == torch.uint8
        assert torch.equal(bank.label_map(i), dataset.label_map(i))
        assert bank.instances(i) is dataset.instances(i) is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_it_can_be_copied_and_sent_to_another_process(tiny, copied):
    bank = ImageBank(tiny("train"))
    assert torch.equal(copied(bank).image(3), bank.image(3))


def test_every_file_is_opened_once(tiny, opened):
    bank = ImageBank(tiny("train"))
    for _ in range(3):
        for i in (4, np.int64(4), 9):
            bank.image(i), bank.label_map(i), bank.instances(i)
    assert sorted(opened) == sorted((n, i) for n in ("image", "label_map", "instances") for i in (4, 9))


@pytest.mark.parametrize("pairs, kept", [(0, 0), (1, 1), (2.9, 2), (100, 5)])
def test_what_does_not_fit_is_streamed(tiny, opened, pairs, kept):
    bank, dataset = ImageBank(tiny("train"), limit=int(pairs * PAIR)), tiny("train")
    for _ in range(3):
        for i in range(5):
            assert torch.equal(bank.image(i), dataset.image(i))
            assert torch.equal(bank.label_map(i), dataset.label_map(i))
    whole = sum(1 for i in range(5) if {("image", i), ("label_map", i)} <= bank.kept.keys())
    assert whole == kept and sum(value.nbytes for value in bank.kept.values()) <= pairs * PAIR
    if kept == 5:
        assert len(opened) == 2 * 5 + 2 * 3 * 5  # the bank's once each, the data set's every time


def test_what_is_small_enough_still_fits_behind_what_is_not(tiny):
    bank = ImageBank(tiny("train"), limit=64 * 64)
    bank.image(0), bank.label_map(0)
    assert list(bank.kept) == [("label_map", 0)]


def test_instances_are_kept_too(tiny_voc, tmp_path):
    root = tmp_path / "tabletop"
    root.mkdir()
    for entry in (tiny_voc / "tabletop").iterdir():
        (root / entry.name).symlink_to(entry, target_is_directory=True)
    (root / "SegmentationObject").mkdir()
    bank = ImageBank(Tabletop("val", root=root))
    Image.fromarray(np.full((64, 64), 3, np.uint8)).save(root / "SegmentationObject" / f"{bank.ids[1]}.png")
    assert bank.instances(0) is None and bank.instances(1).unique().tolist() == [3]
    (root / "SegmentationObject" / f"{bank.ids[1]}.png").unlink()
    assert bank.instances(1).unique().tolist() == [3]


@pytest.mark.parametrize("annotation, limit", [("dense", None), ("dense", 0), ("point", 5 * PAIR)])
def test_episodes_are_the_same_with_and_without_it(tiny, limit, annotation):
    shape = {"ways": 2, "shots": 2, "flip": True, "annotation": annotation}
    dataset = tiny("train")
    plain = EpisodeSampler(dataset, dataset.fold(1), **shape).batch(range(3))
    bank = EpisodeSampler(ImageBank(dataset, limit=limit), dataset.fold(1), **shape)
    for _ in range(2):  # decoded, then kept
        episode = bank.batch(range(3))
        for name in ("support_images", "support_labels", "query_images", "query_labels", "classes"):
            assert torch.equal(getattr(plain, name), getattr(episode, name)), name


def test_half_of_the_free_memory_is_filled_at_most(tiny, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 8000})())
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert free_memory(torch.device("cpu")) == 8000 and ImageBank(tiny("val")).room == 4000
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # torchrun has started four on this machine
    assert ImageBank(tiny("val")).room == 1000


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
@pytest.mark.parametrize("limit", [None, 0])
def test_episodes_are_made_on_the_gpu_without_waiting_for_it(tiny, limit):
    dataset = tiny("train")
    bank = ImageBank(dataset, "cuda", limit)
    plain, sampler = (EpisodeSampler(d, dataset.fold(1), flip=True) for d in (dataset, bank))
    torch.cuda.set_sync_debug_mode("error")
    try:
        episode = sampler.batch(range(4))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert episode.query_images.is_cuda and episode.support_labels.is_cuda
    same = plain.batch(range(4))
    assert torch.equal(episode.query_labels.cpu(), same.query_labels)
    torch.testing.assert_close(episode.support_images.cpu(), same.support_images)


# --- decoding ahead ----------------------------------------------------------------------------------


def test_what_is_decoded_ahead_is_decoded_once_and_the_same(tiny, opened):
    bank, dataset = ImageBank(tiny("train")), tiny("train")
    bank.image(3)
    bank.ahead(np.array([3, 4, 5, 4]))
    bank.ahead([5])
    expected = [
        ("image", 3),
        *((kind, i) for i in (4, 5) for kind in ("image", "label_map")),
        ("label_map", 3),
    ]
    for i in (3, 4, 5):
        found = bank.image(i), bank.label_map(i)
        assert all(torch.equal(a, b) for a, b in zip(found, (bank.image(i), bank.label_map(i))))
    assert sorted(opened) == sorted(expected) and not bank.coming and len(bank.kept) == 6
    assert all(torch.equal(bank.image(i), dataset.image(i)) for i in (3, 4, 5))


def test_it_is_decoded_by_another_thread_while_this_one_goes_on(tiny):
    """The file can be read only after `ahead` has returned: a thread that did both would wait in vain."""
    bank, gate, names = ImageBank(tiny("train")), threading.Event(), []
    read = bank.dataset.image

    def slow(index):
        names.append(threading.current_thread())
        assert gate.wait(60)
        return read(index)

    bank.dataset.image = slow
    bank.ahead([0])
    gate.set()
    assert torch.equal(bank.image(0), read(0)) and threading.main_thread() not in names


def test_a_broken_picture_is_named_when_it_is_asked_for(tiny):
    bank = ImageBank(tiny("train"))

    def broken(index):
        raise ValueError(f"picture {index} cannot be read")

    bank.dataset.image = broken
    bank.ahead([7])
    assert bank.label_map(7).shape == (64, 64)
    for _ in range(2):
        with pytest.raises(ValueError, match="picture 7 cannot be read"):
            bank.image(7)


def test_a_bank_that_decodes_ahead_can_be_copied(tiny):
    bank = ImageBank(tiny("train"))
    bank.ahead([1])
    again = pickle.loads(pickle.dumps(bank))
    assert not again.coming and torch.equal(again.image(1), bank.image(1))


# --- other processes ---------------------------------------------------------------------------------


def in_a_fork(work, *given):
    """What `work` gives in a forked process, which must not hang."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=lambda: theirs.send(work(*given)), daemon=True)
    process.start()
    try:
        assert ours.poll(60), "the fork hangs"
        return ours.recv()
    finally:
        process.kill()


@pytest.mark.parametrize("then", ["asks", "looks ahead"])
def test_a_fork_does_not_wait_for_threads_that_it_has_not(tiny, then):
    """They are at work, or wait for their turn, in the process that it comes from."""
    bank, gate, read = ImageBank(tiny("train")), threading.Event(), tiny("train").image
    bank.dataset.image = lambda index: gate.wait(60) and read(index)
    bank.ahead(range(40))
    bank.dataset.image = read

    def work():
        if then == "looks ahead":
            bank.ahead(range(20, 50))
        return [bank.image(i).sum().item() for i in range(45)]

    found = in_a_fork(work)
    gate.set()
    assert found == [bank.image(i).sum().item() for i in range(45)]


def test_workers_of_a_data_loader_share_a_bank_that_has_looked_ahead(tiny):
    bank, plain = ImageBank(tiny("train")), tiny("train")
    bank.ahead(range(30))
    bank.image(0)

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return 30

        def __getitem__(self, index):
            bank.ahead([index, (index + 1) % 30])
            return bank.image(index)

    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=10, num_workers=2, timeout=60, multiprocessing_context="fork"
    )
    assert torch.equal(torch.cat(list(loader)), torch.stack([plain.image(i) for i in range(30)]))
    assert torch.equal(bank.image(29), plain.image(29))


# --- on disk -----------------------------------------------------------------------------------------


@pytest.fixture
def disk(tiny, tmp_path):
    """A bank on disk with image 3 in it, and the file that holds it."""
    bank = DiskBank(tiny("train"), tmp_path / "decoded")
    bank.image(3)
    (path,) = (tmp_path / "decoded").rglob("*.safetensors")
    return bank, path


ODD_PIXELS = {
    "shape": lambda pixels: pixels[:, :9].clone(), "kind": lambda pixels: pixels.float(),
    "a map": lambda pixels: pixels[0].clone(), "bytes": lambda pixels: 255 - pixels, "none": lambda pixels: pixels[:0],
}  # fmt: skip


@pytest.mark.parametrize("seal", ["its own", "the file's"])
@pytest.mark.parametrize("change", ODD_PIXELS.values(), ids=ODD_PIXELS)
def test_pixels_that_are_not_what_was_written_are_decoded_again(disk, opened, change, seal):
    bank, path = disk
    with safe_open(path, "pt") as file:
        texts = file.metadata()
    if seal == "the file's":  # as an earlier version wrote it
        texts = {"stamp": stamp_of([bank.source("image", 3)])}
    save_file({"pixels": change(bank.dataset.image(3))}, path, texts)
    opened.clear()
    pixels = [bank.image(3) for _ in range(3)]
    assert len(opened) == 1 and all(torch.equal(found, bank.dataset.image(3)) for found in pixels)


def test_a_picture_with_other_bytes_of_the_same_size_and_time_is_decoded_again(tiny_voc, tmp_path):
    root = shutil.copytree(tiny_voc / "tabletop", tmp_path / "tabletop")
    dataset = Tabletop("train", root=root)
    bank, path = DiskBank(dataset, tmp_path / "decoded"), dataset.image_paths[3]
    before, times = bank.image(3), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    other = bytearray(path.read_bytes())
    other[len(other) // 2] ^= 85  # in the middle of its pixels
    path.write_bytes(other)
    os.utime(path, ns=times)
    assert torch.equal(bank.image(3), dataset.image(3)) and not torch.equal(bank.image(3), before)


def test_must_fit():
    device = torch.device("cpu")
    must_fit("A crumb", free_memory(device) // 4, device)
    with pytest.raises(
        ValueError, match=r"^A mountain takes 1,000,000,000,000\.0 GB or more, and .* GB are free"
    ):
        must_fit("A mountain", 10**21, device)
