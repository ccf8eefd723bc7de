"""Training: it learns, it never looks at a test class, it repeats to the bit, and its files can be trusted."""

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from panet_lite import EpisodeSampler, PANet, datasets
from panet_lite.__main__ import main
from panet_lite.backbones import VGG16, vgg16
from panet_lite.datasets import SegmentationDataset
from panet_lite.training import (
    LAPTOP,
    PAPER,
    PretrainRecipe,
    base_classes,
    pretrain,
    save_checkpoint,
    train,
    training_batches,
)

NARROW = 1 / 16
SHORT = replace(LAPTOP, iterations=4, episodes_per_step=2, learning_rate=1e-2)
FIRST = PretrainRecipe(iterations=4, batch=8)


def ignore(entry):
    """A log for nobody."""


@pytest.fixture
def looked_at(monkeypatch):
    """(split, index) of each image that is read."""
    seen, read = [], SegmentationDataset.image
    monkeypatch.setattr(
        SegmentationDataset, "image", lambda self, i: seen.append((self.split, int(i))) or read(self, i)
    )
    return seen


def backbone(seed=0, **kwargs):
    torch.manual_seed(seed)
    return VGG16(NARROW, **kwargs)


def episodes(dataset, fold=0, **kwargs):
    return EpisodeSampler(
        dataset, base_classes(dataset, fold), exclude=dataset.fold(fold), flip=True, **kwargs
    )


# --- recipes and batches -----------------------------------------------------------------------------


def test_the_papers_recipe():
    """Sec. 4.1: SGD, 30,000 iterations, 1e-3 falling tenfold every 10,000, momentum 0.9, decay 5e-4."""
    assert (PAPER.iterations, PAPER.learning_rate, PAPER.momentum, PAPER.weight_decay) == (
        30_000,
        1e-3,
        0.9,
        5e-4,
    )
    assert PAPER.milestones[:2] == (10_000, 20_000) and PAPER.lambda_par == 1
    assert (PAPER.ways, PAPER.shots, PAPER.episodes_per_step) == (1, 1, 1)


@pytest.mark.parametrize("fold", range(4))
def test_base_classes_and_test_classes_divide_the_20(tiny, fold):
    dataset = tiny("train")
    assert sorted([*base_classes(dataset, fold), *dataset.fold(fold)]) == list(range(1, 21))


def test_batches_are_labelled_with_the_base_classes(tiny, looked_at):
    dataset = tiny("train")
    torch.manual_seed(0)
    batches = training_batches(dataset, 1, replace(FIRST, scale=(1.0, 1.0), jitter=0.0))
    values = set()
    for _ in range(8):
        images, labels = next(batches)
        assert images.shape == (8, 3, 64, 64) and images.dtype == torch.uint8 and labels.shape == (8, 64, 64)
        values |= set(labels.unique().tolist())
    assert values == {*range(16), 255}
    shows_test_class = dataset.coverage[:, list(dataset.fold(1))].sum(1) > 0
    assert shows_test_class.sum() > 20 and not any(shows_test_class[i] for _, i in looked_at)


def test_too_few_images_is_one_sentence(tiny):
    with pytest.raises(ValueError, match=r"Only \d+ images of .* show no class of fold 0.*batch wants 500"):
        next(training_batches(tiny("train"), 0, replace(FIRST, batch=500)))


# --- learning ----------------------------------------------------------------------------------------


def test_pretraining_lowers_the_loss(tiny):
    log = []
    pretrain(
        backbone(batch_norm=True),
        tiny("train"),
        0,
        PretrainRecipe(iterations=100, batch=8, learning_rate=1e-2),
        log.append,
    )
    assert [entry["step"] for entry in log] == [50, 100] and log[0].keys() == {
        "phase",
        "step",
        "loss",
        "seconds",
    }
    assert log[1]["loss"] < 0.8 * log[0]["loss"]


def test_episodes_lower_the_loss_of_fresh_episodes(tiny):
    dataset = tiny("train")
    model = PANet(backbone())
    fresh = episodes(dataset, seed=99).batch(range(24))

    def loss():
        with torch.no_grad():
            return model(fresh).losses(fresh)

    before, log = loss(), []
    train(model, episodes(dataset), replace(SHORT, iterations=60), log.append)
    after = loss()
    assert after[0] < 0.8 * before[0] and after[1] < 0.8 * before[1]
    assert [entry["step"] for entry in log] == [50, 60]
    assert log[0].keys() == {"phase", "step", "seg", "par", "seconds"}


def test_lambda_weighs_the_alignment_loss(tiny):
    """Without PAR the weights go elsewhere; one step is SGD on L_seg + lambda L_PAR."""
    dataset = tiny("train")
    weights = []
    for lam in (0.0, 1.0, 3.0):
        model = PANet(backbone())
        recipe = replace(SHORT, iterations=1, momentum=0, weight_decay=0, milestones=(), lambda_par=lam)
        train(model, episodes(dataset), recipe, ignore)
        weights.append(model.backbone.features[0].weight.detach() - backbone().features[0].weight.detach())
    none, one, three = weights
    assert none.abs().max() > 0 and (one - none).abs().max() > 0
    torch.testing.assert_close(three - none, 3 * (one - none), rtol=0.05, atol=1e-4)


def test_the_rate_falls_at_the_milestones(tiny):
    model, rates = PANet(backbone()), []
    sgd = torch.optim.SGD

    class Watched(sgd):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "SGD", Watched)
        train(model, episodes(tiny("train")), replace(SHORT, milestones=(2, 3)), ignore)
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4])


def test_each_step_takes_the_next_episodes(tiny):
    sampler, asked = episodes(tiny("train")), []
    draw = sampler.draw
    sampler.draw = lambda i: asked.append(i) or draw(i)
    train(PANet(backbone()), sampler, replace(SHORT, iterations=3), ignore)
    assert asked == list(range(6))


@pytest.mark.parametrize("fold", [0, 2])
def test_no_image_that_shows_a_test_class_is_ever_read(tiny, looked_at, fold):
    dataset = tiny("train")
    pretrain(backbone(batch_norm=True), dataset, fold, FIRST, ignore)
    after_first = len(looked_at)
    train(PANet(backbone()), episodes(dataset, fold), SHORT, ignore)
    assert len(looked_at) > after_first > 0
    test_share = dataset.coverage[:, list(dataset.fold(fold))].sum(1)
    assert (test_share > 0).sum() > 20
    assert not any(test_share[i] > 0 for _, i in looked_at)


def test_the_same_seed_gives_the_same_bits(tiny):
    dataset = tiny("train")

    def run(seed):
        twin = backbone(seed, batch_norm=True)
        torch.seed()  # whatever state the generator is in
        pretrain(twin, dataset, 0, replace(FIRST, seed=seed), ignore)
        model = PANet(twin.folded())
        train(model, episodes(dataset, seed=seed), SHORT, ignore)
        return model.state_dict()

    a, b, c = run(1), run(1), run(2)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not any(torch.equal(a[k], c[k]) for k in a)


@pytest.mark.filterwarnings("ignore:.*lr_scheduler")
def test_a_loss_that_is_not_finite_stops_and_names_the_episodes(tiny):
    dataset, log = tiny("train"), []
    with pytest.raises(
        ValueError,
        match=r"The loss is not finite in episodes 0 to 7 of seed 3: lower the learning rate or look at those images",
    ):
        train(PANet(backbone()), episodes(dataset, seed=3), replace(SHORT, learning_rate=1e25), log.append)
    broken = backbone(batch_norm=True)
    broken.features[0].weight.data[0] = float("inf")
    with pytest.raises(ValueError, match="The loss is not finite in pre-training before step 4"):
        pretrain(broken, dataset, 0, FIRST, log.append)
    assert log == []


# --- checkpoints and the command line ----------------------------------------------------------------


def test_checkpoint_is_float16_and_predicts_the_same(tiny, tmp_path):
    dataset = tiny("train")
    model = PANet(backbone())
    train(model, episodes(dataset), SHORT, ignore)
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, model.backbone, {"fold": 0, "note": ["a", 1]})
    assert {v.dtype for v in load_file(path).values()} == {torch.float16}
    assert path.stat().st_size < 2 * sum(p.numel() for p in model.parameters()) + 10_000
    with safe_open(path, "pt") as file:
        header = {k: json.loads(v) for k, v in file.metadata().items()}
    assert header == {"width": NARROW, "fold": 0, "note": ["a", 1]}
    loaded = PANet(vgg16(path, NARROW)).eval()
    episode = EpisodeSampler(tiny("val"), dataset.fold(0)).batch(range(8))
    with torch.no_grad():
        before, after = model.eval()(episode).labels(), loaded(episode).labels()
    assert 0.05 < before.float().mean() < 0.95  # both classes are there to be mistaken
    assert (before == after).float().mean() > 0.998


@pytest.fixture
def cli(tiny_voc, monkeypatch):
    """Runs a command on the tiny data set and expects exit code 0."""
    monkeypatch.setattr(datasets, "DATA", tiny_voc)
    monkeypatch.setenv("PANET_VOC_ROOT", str(tiny_voc))

    def run(*argv):
        with warnings.catch_warnings():
            assert main([str(a) for a in argv]) == 0

    return run


SMALL = ("--width", NARROW, "--device", "cpu", "--fold", 1)
TRAIN = ("train", *SMALL, "--pretrain", 2, "--iterations", 2)
EVALUATE = ("evaluate", *SMALL, "--runs", 2, "--episodes", 4, "--shots", 1, 2)


@pytest.mark.parametrize("dataset", ["tabletop", "pascal"])
def test_train_then_evaluate(cli, tmp_path, capsys, looked_at, dataset):
    out = tmp_path / "run"
    size = () if dataset == "tabletop" else ("--size", 48)
    cli(*TRAIN, "--dataset", dataset, *size, "--out", out)
    assert sorted(p.name for p in out.iterdir()) == [
        "checkpoint.safetensors",
        "log.json",
        "pretrained.safetensors",
    ]
    log = json.loads((out / "log.json").read_text())
    assert [entry["phase"] for entry in log["log"]] == ["start", "pretrain", "episodes"]
    assert log["fold"] == 1 and log["episodes"]["iterations"] == 2 and log["pretrain"]["iterations"] == 2
    assert {"torch", "python", "threads", "command"} <= log.keys()
    printed = capsys.readouterr().out
    assert str(out / "checkpoint.safetensors") in printed and '"phase": "episodes"' in printed
    assert {split for split, _ in looked_at} == {"train"}
    first, last = (load_file(out / name) for name in ("pretrained.safetensors", "checkpoint.safetensors"))
    assert first.keys() == last.keys() == VGG16(NARROW).state_dict().keys()
    assert not torch.equal(first["features.0.weight"], last["features.0.weight"])

    looked_at.clear()
    cli(
        *EVALUATE,
        "--dataset",
        dataset,
        *size,
        "--weights",
        out / "checkpoint.safetensors",
        "--out",
        tmp_path / "n.json",
    )
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert {split for split, _ in looked_at} == {"val"}
    for shots in (1, 2):
        summary = numbers[f"1-way {shots}-shot"]
        low, high = summary["interval_95"]
        assert (
            0 <= low <= summary["mean_iou"] <= high <= 1 and summary["runs"] == 2 and summary["episodes"] == 4
        )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["1-shot", "2-shot"]
    assert f"mean-IoU {100 * numbers['1-way 1-shot']['mean_iou']:.1f}" in lines[0]


def test_training_from_weights_skips_pretraining_and_keeps_to_the_options(cli, tmp_path, looked_at, tiny):
    """Images that show a test class stay in the episodes (the paper's way) unless --drop-unseen is given."""
    save_file(backbone().state_dict(), tmp_path / "start.safetensors")
    shown = tiny("train").coverage[:, list(tiny("train").fold(1))].sum(1) > 0
    options = [
        "--weights",
        tmp_path / "start.safetensors",
        "--iterations",
        15,
        "--recipe",
        "paper",
        "--lambda-par",
        0,
    ]
    for name, more, some in (("stay", [], True), ("dropped", ["--drop-unseen"], False)):
        looked_at.clear()
        cli("train", *SMALL, *options, *more, "--out", tmp_path / name)
        assert len(looked_at) == 30 and any(shown[i] for _, i in looked_at) == some
    log = json.loads((tmp_path / "dropped" / "log.json").read_text())
    assert [e["phase"] for e in log["log"]] == ["start", "episodes"] and "pretrain" not in log
    assert log["episodes"]["lambda_par"] == 0 and log["episodes"]["episodes_per_step"] == 1


def test_the_command_repeats_to_the_bit(cli, tmp_path):
    for name in "ab":
        cli(*TRAIN, "--seed", 5, "--out", tmp_path / name)
    a, b = (load_file(tmp_path / name / "checkpoint.safetensors") for name in "ab")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_evaluate_classes_and_preset(cli, tmp_path, capsys, looked_at):
    save_file(backbone().state_dict(), tmp_path / "w.safetensors")
    cli(
        *EVALUATE, "--weights", tmp_path / "w.safetensors", "--classes", "pear", "donut",
        "--preset", "paper", "--ways", 2, "--out", tmp_path / "n.json",
    )  # fmt: skip
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert list(numbers["2-way 1-shot"]["class_iou"]) == ["9", "8"]
    assert numbers["2-way 1-shot"]["preset"] == "paper"
    assert {split for split, _ in looked_at} == {"train"}  # the paper tests on its training pool
    assert "donut" in capsys.readouterr().out


def test_the_real_command_finds_the_data_that_the_variable_names(tiny_voc, tmp_path):
    save_file(backbone().state_dict(), tmp_path / "w.safetensors")
    environment = {**os.environ, "PANET_LITE_DATA": str(tiny_voc), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [*EVALUATE, "--weights", tmp_path / "w.safetensors", "--out", tmp_path / "n.json"]
    done = subprocess.run(
        [sys.executable, "-m", "panet_lite", *map(str, command)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["dataset"] == "Tabletop('val', 60 images, 20 classes)"
    assert np.isfinite(numbers["1-way 2-shot"]["binary_iou"])
