"""The feature bank: one pass for each image, bounded memory, interruptions, several processes, the benchmark."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from panet_lite import PANet
from panet_lite.annotations import KINDS
from panet_lite.backbones import vgg16
from panet_lite.datasets import ImageBank
from panet_lite.evaluation import bank as feature_bank
from panet_lite.evaluation import evaluate
from panet_lite.evaluation.bank import FeatureBank, Rows

ROOT = Path(__file__).resolve().parents[2]


class Counting(PANet):
    """The narrowest twin; counts the images it embeds and may be told to be interrupted."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(vgg16(width=1 / 16))
        self.embedded, self.interrupt_at = 0, None

    def embed(self, images):
        if self.interrupt_at is not None and self.embedded + len(images) > self.interrupt_at:
            raise KeyboardInterrupt
        self.embedded += len(images)
        return super().embed(images)


@pytest.fixture
def model():
    return Counting()


def counts(model, dataset, **options):
    return evaluate(model, dataset, 1, runs=1, **{"episodes": 12, **options}).confusions


def test_one_bank_serves_every_shape_preset_and_annotation(tiny, model):
    """Passes do not grow with episodes, and a shared bank changes no count."""
    dataset, options = tiny(), dict(ways=2, episodes=6)
    bank = FeatureBank(model, dataset)
    bank.add(np.concatenate([dataset.images_of(c) for c in dataset.fold(1)]))
    embedded = model.embedded
    assert embedded == len(bank.position) < len(dataset)
    different = []
    for more in (
        dict(episodes=60),
        dict(shots=2, preset="paper"),
        *(dict(annotation=kind) for kind in KINDS),
    ):
        different.append(counts(model, dataset, bank=bank, **options | more))
        assert model.embedded == embedded
        assert np.array_equal(different[-1], counts(Counting(), dataset, **options | more)), more
    assert len({c.tobytes() for c in different}) == len(different)


def test_more_images_are_added_to_those_there(tiny, model):
    dataset = tiny()
    bank = FeatureBank(model, dataset)
    bank.add([3, 1, 3], batch=2)
    few = bank[[1, 3]].clone()
    assert model.embedded == 2
    bank.add(range(10))
    assert model.embedded == 10 and torch.equal(bank[[1, 3]], few)
    assert bank[np.array([[1], [7]])].shape == (2, 1, *few.shape[1:]) and model.embedded == 10
    assert torch.equal(
        bank[[30]], FeatureBank(model, dataset)[[30, 31]][:1]
    )  # not there: made when asked for


def test_features_do_not_depend_on_what_is_embedded_with_them(tiny, model):
    """PyTorch convolves a batch of one small image in another way, which rounds differently."""
    dataset = tiny()
    pairs = [model.eval().embed(torch.stack([dataset.image(i)] * 2) / 255)[0] for i in range(9)]
    for batch, images in ((8, range(9)), (4, range(9)), (8, [5])):
        bank = FeatureBank(model, dataset)
        bank.add(images, batch)
        assert all(torch.equal(bank[[i]][0], pairs[i]) for i in images)


def test_images_decoded_in_memory_give_the_same(tiny, model):
    dataset = tiny()
    assert np.array_equal(counts(model, dataset), counts(model, ImageBank(dataset)))


def test_float16_takes_half_the_memory_and_moves_few_pixels(tiny, model):
    dataset = tiny()
    half = FeatureBank(model, dataset, dtype=torch.float16)
    exact, rounded = counts(model, dataset, episodes=60), counts(model, dataset, episodes=60, bank=half)
    assert half.features.table.element_size() == 2 and half[[0]].dtype == torch.float32
    assert 0 < np.abs(exact - rounded).sum() < 1e-3 * exact.sum()


# --- memory and disk --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_spilled_bank_is_the_same_bank(tiny, model, tmp_path, dtype):
    dataset, folder = tiny(), tmp_path / "new" / "folder"
    spilled = FeatureBank(model, dataset, dtype, spill=folder)
    expected = counts(model, dataset, bank=FeatureBank(model, dataset, dtype))
    assert np.array_equal(counts(model, dataset, bank=spilled), expected)
    size = sum(os.fstat(rows.file.fileno()).st_size for rows in (spilled.features, spilled.labels))
    assert size == spilled.features.table.nbytes + spilled.labels.table.nbytes > 0
    del spilled
    assert list(folder.iterdir()) == []


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.booleans(), st.integers(0, 9))
def test_rows_keep_what_was_put(tmp_path_factory, sizes, spill, room):
    folder = tmp_path_factory.getbasetemp() / "rows" if spill else None
    rows, expected = Rows(torch.device("cpu"), torch.float32, folder), torch.randn(sum(sizes), 2, 3)
    for end, size in zip(np.cumsum(sizes).tolist(), sizes):
        rows.put(end - size, expected[end - size : end], room)
    index = torch.randint(len(expected), (2, 4))
    assert torch.equal(rows[index], expected[index])


def test_a_full_disk_is_one_sentence_and_loses_nothing(tiny, model, tmp_path):
    resource = pytest.importorskip("resource")
    dataset = tiny()
    bank = FeatureBank(model, dataset, spill=tmp_path)
    bank.add(range(8))
    before, (soft, hard) = bank[range(8)].clone(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bank.features.table.nbytes + 1000, hard))
    try:
        with pytest.raises(
            OSError, match=r"cannot be kept in .*free some space or give `spill` another"
        ) as e:
            bank.add(range(30))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path) in str(e.value) and len(bank.position) == 8
    assert torch.equal(bank[range(8)], before)
    assert np.array_equal(counts(model, dataset, bank=bank), counts(model, dataset))


def test_a_folder_that_cannot_be_is_one_sentence(tiny, model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be kept in .*file.*another folder"):
        FeatureBank(model, tiny(), spill=tmp_path / "file")


def test_too_little_memory_is_one_sentence(tiny, model, monkeypatch, tmp_path):
    monkeypatch.setattr(feature_bank, "free_memory", lambda device: 1000)
    with pytest.raises(ValueError, match=r"of 20 images take .* GB, 0.0 GB are free: .*float16.*spill="):
        FeatureBank(model, tiny()).add(range(20))
    assert model.embedded <= 8  # said at the first batch, not at the last


# --- interruptions and mistakes ---------------------------------------------------------------------


def test_an_interrupted_bank_goes_on(tiny, model):
    dataset = tiny()
    bank = FeatureBank(model, dataset)
    model.interrupt_at = 10
    with pytest.raises(KeyboardInterrupt):
        counts(model, dataset, bank=bank)
    assert len(bank.position) == model.embedded > 0
    model.interrupt_at = None
    assert np.array_equal(counts(model, dataset, bank=bank), counts(Counting(), dataset))
    assert model.embedded == len(bank.position)


def test_a_bank_of_something_else_is_refused(tiny, model):
    dataset = tiny()
    bank = FeatureBank(model, dataset)
    counts(model, dataset, bank=bank)
    for other in ((Counting(), dataset), (model, tiny())):
        with pytest.raises(ValueError, match="another model or data set"):
            counts(*other, bank=bank)
    with torch.no_grad():
        model.backbone.features[0].weight += 1  # a training step
    with pytest.raises(ValueError, match="before its weights changed: make a new FeatureBank"):
        counts(model, dataset, bank=bank)


def test_what_cannot_be_drawn_is_said_before_anything_is_computed(tiny, model):
    """Images that show two classes: 5 ways of many shots may run out of images in a late episode."""
    dataset = tiny()
    with pytest.raises(ValueError, match="Episode .* wants .* more images of .*use fewer ways or shots"):
        counts(model, dataset, ways=5, shots=3, episodes=200)
    with pytest.raises(ValueError, match="no class to score"):
        counts(model, dataset, classes=[])
    assert model.embedded == 0


# --- several processes, devices -------------------------------------------------------------------

WORKER = """
import sys, numpy as np, torch, torch.distributed as dist
from panet_lite import PANet
from panet_lite.backbones import vgg16
from panet_lite.datasets import Tabletop
from panet_lite.evaluation import evaluate
root, rank, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=2)
torch.manual_seed(0)
model = PANet(vgg16(width=1 / 16))
for n, (ways, episodes) in enumerate([(2, 7), (1, 1)]):
    result = evaluate(model, Tabletop(root=root), 1, ways, 2, runs=1, episodes=episodes)
    np.save(f"{out}/{n}-{rank}.npy", result.confusions)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_equal_one(tiny, tiny_voc, model, tmp_path):
    """Also with fewer episodes than processes."""
    cache = {"XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", WORKER, tiny_voc / "tabletop"]
    workers = [
        subprocess.Popen([*map(str, (*command, rank, tmp_path))], env=os.environ | cache, cwd=ROOT)
        for rank in range(2)
    ]
    try:
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    for n, (ways, episodes) in enumerate([(2, 7), (1, 1)]):
        alone = counts(model, tiny(), ways=ways, shots=2, episodes=episodes)
        for rank in range(2):
            assert np.array_equal(np.load(tmp_path / f"{n}-{rank}.npy"), alone)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("spill", [False, True])
def test_a_bank_on_the_gpu(tiny, model, tmp_path, spill):
    dataset = tiny()
    expected = counts(model, dataset, episodes=40)
    bank = FeatureBank(model.cuda(), ImageBank(dataset, "cuda"), spill=tmp_path if spill else None)
    found = counts(model, bank.dataset, episodes=40, bank=bank)
    assert bank[[0]].is_cuda and np.abs(found - expected).sum() < 1e-2 * expected.sum()  # TensorFloat-32
