"""The beginning of the study, PANet-init: it learns, repeats, and never looks at a test class."""

import json
from dataclasses import replace

import pytest
import running
import torch

from panet_lite import PANet
from panet_lite.backbones import vgg16
from panet_lite.datasets import SegmentationDataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def script():
    return running.script("checkpoints/pretrain.py")


@pytest.fixture
def recipe(script):
    return script.PretrainRecipe(iterations=3, batch=4, width=1 / 16)


@pytest.mark.slow
def test_it_lowers_the_loss(script, recipe, tiny):
    log = []
    recipe = replace(recipe, iterations=100, batch=8, learning_rate=1e-2)
    script.pretrain(tiny("train"), 0, recipe, log.append, CPU)
    assert [entry["step"] for entry in log] == [50, 100]
    assert log[1]["loss"] < 0.8 * log[0]["loss"]


@pytest.mark.parametrize("fold", [0, 2])
def test_no_image_that_shows_a_test_class_is_ever_read(script, recipe, tiny, fold, monkeypatch):
    dataset, seen, read = tiny("train"), [], SegmentationDataset.image
    monkeypatch.setattr(SegmentationDataset, "image", lambda self, i: seen.append(int(i)) or read(self, i))
    script.pretrain(dataset, fold, recipe, lambda entry: None, CPU)
    share = dataset.coverage[:, list(dataset.fold(fold))].sum(1)
    assert seen and (share > 0).sum() > 20 and not share[seen].any()


def test_the_same_seed_gives_the_same_bits_and_plain_weights(script, recipe, tiny):
    a, b, c = (
        script.pretrain(tiny("train"), 0, replace(recipe, seed=seed), lambda entry: None, CPU).state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(a[k], b[k]) for k in a) and not any(torch.equal(a[k], c[k]) for k in a)
    assert a.keys() == vgg16(width=1 / 16).state_dict().keys()  # BatchNorm is folded away


def test_bad_input_is_one_sentence(script, recipe, tiny):
    with pytest.raises(ValueError, match=r"Only \d+ images of .* show no class of fold 0.*batch wants 500"):
        script.pretrain(tiny("train"), 0, replace(recipe, batch=500), print, CPU)
    with pytest.raises(ValueError, match="The loss is not finite before step 3: lower the learning rate"):
        script.pretrain(tiny("train"), 0, replace(recipe, learning_rate=1e20), print, CPU)


def test_the_command_writes_weights_and_log(script, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "Tabletop", tiny)
    out = tmp_path / "init.safetensors"
    monkeypatch.setattr("sys.argv", ["pretrain.py", "--fold", "1", "--iterations", "1", "--out", str(out)])
    script.main()
    written = json.loads(out.with_suffix(".json").read_text())
    assert written["pretrain"]["iterations"] == written["log"][-1]["step"] == 1
    assert PANet(vgg16(out, width=0.25)).backbone.width == 0.25
