"""Training: it learns, it never looks at a test class, it repeats to the bit, stopped or not, and its files
can be trusted."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from running import steps_saved
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from panet_lite import EpisodeSampler, PANet
from panet_lite.__main__ import main
from panet_lite.backbones import VGG16, vgg16
from panet_lite.datasets import ImageBank, SegmentationDataset
from panet_lite.datasets import voc as datasets
from panet_lite.machine import asked_to_stop, reduced_precision
from panet_lite.matching import segmentation_loss
from panet_lite.training import loop as training
from panet_lite.training import step as steps
from panet_lite.training.loop import (
    LAPTOP,
    PAPER,
    base_classes,
    sgd_step,
    train,
    training_episodes,
)
from panet_lite.training.states import load_state, save_checkpoint, save_state

NARROW = 1 / 16
SHORT = replace(LAPTOP, iterations=4, episodes_per_step=2, learning_rate=1e-2)
LONG = replace(SHORT, iterations=17, milestones=(6, 12), episodes_per_step=1)


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


def episodes(dataset, fold=0, seed=0, **kwargs):
    return training_episodes(dataset, fold, replace(SHORT, seed=seed), drop_unseen=True, **kwargs)


def same(a, b):
    """Two state dicts, or two states' tensors, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Constant(torch.nn.Module):
    """The least that can be trained on episodes: it predicts the same share of foreground for each."""

    def __init__(self):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.zeros(()))

    def forward(self, episode):
        share = (episode.query_labels == 1).float().mean()
        losses = (self.logit - share) ** 2, self.logit * 0
        return SimpleNamespace(losses=lambda _: losses)


# --- recipes and episodes ----------------------------------------------------------------------------


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
    rates = [PAPER.rate(step) for step in (1, 10_000, 10_001, 20_000, 20_001, 30_000)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


@pytest.mark.parametrize("fold", range(4))
def test_base_classes_and_test_classes_divide_the_20(tiny, fold):
    dataset = tiny("train")
    assert sorted([*base_classes(dataset, fold), *dataset.fold(fold)]) == list(range(1, 21))


def test_training_episodes_are_of_the_base_classes_and_mirrored(tiny):
    dataset = tiny("train")
    recipe = replace(SHORT, ways=2, shots=3, seed=5)
    sampler = training_episodes(dataset, 1, recipe, "paper")
    assert set(sampler.pools) | set(sampler.missing) == set(base_classes(dataset, 1))
    assert (sampler.ways, sampler.shots, sampler.seed, sampler.flip) == (2, 3, 5, True)
    assert sampler.preset.support_void_is_background
    shows_test_class = dataset.coverage[:, list(dataset.fold(1))].sum(1) > 0

    def drawn(sampler):
        return {int(i) for n in range(200) for i in sampler.draw(n).supports.flat}

    assert any(shows_test_class[i] for i in drawn(sampler))
    assert not any(shows_test_class[i] for i in drawn(training_episodes(dataset, 1, drop_unseen=True)))


# --- learning ----------------------------------------------------------------------------------------


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
    assert log[0].keys() == {"step", "seg", "par", "seconds"}


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
    model, rates = Constant(), []
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
    train(Constant(), sampler, replace(SHORT, iterations=3), ignore)
    assert asked == list(range(6))


def test_lambda_0_leaves_the_alignment_out_of_the_gradient_but_not_of_the_log(tiny):
    dataset, log = tiny("train"), []
    recipe = replace(SHORT, iterations=1, momentum=0.9, weight_decay=0, milestones=(), lambda_par=0)
    model, by_hand = PANet(backbone()), PANet(backbone()).train().to(memory_format=torch.channels_last)
    train(model, episodes(dataset), recipe, log.append)
    episode = episodes(dataset).batch(range(2))
    with reduced_precision(torch.device("cpu")):
        loss = segmentation_loss(by_hand(episode).logits, episode.query_labels)
    loss.backward()
    for weight, old in zip(model.parameters(), by_hand.parameters()):
        torch.testing.assert_close(weight.data, old.data - 1e-2 * old.grad, rtol=1e-5, atol=1e-7)
    assert log[0]["seg"] == pytest.approx(loss.item(), abs=1e-4) and log[0]["par"] > 0


def test_lambda_0_does_not_differentiate_the_alignment(tiny):
    """0 times a gradient that is not a number would be none either: the square root's at 0."""

    class Steep(Constant):
        def forward(self, episode):
            losses = (self.logit - 1) ** 2, (self.logit * 0).sqrt()
            return SimpleNamespace(losses=lambda _: losses)

    model, recipe = Steep(), replace(PAPER, iterations=1, learning_rate=0.1, lambda_par=0)
    train(model, episodes(tiny("train")), recipe, ignore)
    assert model.logit.item() == pytest.approx(0.2)
    with pytest.raises(ValueError, match="not finite at step 1"):
        train(Steep(), episodes(tiny("train")), replace(recipe, lambda_par=1), ignore)


def test_any_model_whose_output_has_losses(tiny):
    """The loop knows nothing of PANet: here a constant learns how much foreground there is."""
    model, log = Constant(), []
    recipe = replace(PAPER, iterations=60, learning_rate=0.1, weight_decay=0, milestones=())
    assert train(model, episodes(tiny("train")), recipe, log.append) == 60
    assert 0.01 < model.logit.item() < 0.3 and log[1]["seg"] < log[0]["seg"]


@pytest.mark.parametrize("fold", [0, 2])
def test_no_image_that_shows_a_test_class_is_ever_read(tiny, looked_at, fold):
    dataset = tiny("train")
    train(PANet(backbone()), episodes(dataset, fold), replace(SHORT, iterations=12), ignore)
    assert len(looked_at) == 12 * 2 * 2
    test_share = dataset.coverage[:, list(dataset.fold(fold))].sum(1)
    assert (test_share > 0).sum() > 20
    assert not any(test_share[i] > 0 for _, i in looked_at)


def test_the_same_seed_gives_the_same_bits(tiny):
    dataset = tiny("train")

    def run(seed):
        model = PANet(backbone(seed))
        torch.seed()  # whatever state the generator is in
        train(model, episodes(dataset, seed=seed), SHORT, ignore)
        return model.state_dict()

    a, b, c = run(1), run(1), run(2)
    assert same(a, b) and not any(torch.equal(a[k], c[k]) for k in a)


# --- the device is not waited for --------------------------------------------------------------------


def test_a_step_never_waits_for_the_device(tiny):
    """Tensors without values: whatever the host wanted to read from them would raise."""
    bank = ImageBank(tiny("train"))
    sampler = episodes(bank)
    sampler.batch(range(2))
    with FakeTensorMode() as mode:
        bank.kept = {
            key: value if value is None else mode.from_tensor(value) for key, value in bank.kept.items()
        }
        model = PANet(VGG16(NARROW)).train()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, 0.9, weight_decay=5e-4)
        episode = sampler.batch(range(2))
        losses = sgd_step(model, episode, optimizer, PAPER)
        assert losses.shape == (2,) and not losses.requires_grad
        with pytest.raises(DataDependentOutputException):
            losses[0].item()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_a_gpu_waits_at_the_log_only(tiny, monkeypatch):
    """Between two entries of the log, any wait of the host for the GPU is an error."""
    model, bank, log = PANet(backbone()).cuda(), ImageBank(tiny("train"), "cuda"), []
    for i in range(len(bank)):
        bank.image(i), bank.label_map(i)
    step = training.sgd_step

    def watched(*args):
        torch.cuda.set_sync_debug_mode("error")
        return step(*args)

    def settled(*args):
        torch.cuda.set_sync_debug_mode("default")
        return stop(*args)

    stop = training.stop_if_not_finite
    monkeypatch.setattr(training, "sgd_step", watched)
    monkeypatch.setattr(training, "stop_if_not_finite", settled)
    try:
        train(model, episodes(bank), replace(SHORT, iterations=60), log.append)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [entry["step"] for entry in log] == [50, 60] and log[1]["seg"] < log[0]["seg"]


# --- images decoded ahead ----------------------------------------------------------------------------


def test_images_of_the_next_steps_are_decoded_meanwhile(tiny, looked_at):
    """The same bits, each file once, none that no step shows."""
    recipe, found = replace(SHORT, iterations=14), []
    for bank in (tiny("train"), ImageBank(tiny("train"))):
        looked_at.clear()
        model = PANet(backbone())
        train(model, episodes(bank), recipe, ignore)
        found.append((model.state_dict(), [i for _, i in looked_at]))
    (plain, shown), (banked, read) = found
    assert same(plain, banked) and sorted(read) == sorted(set(shown)) and not bank.coming
    assert training.AHEAD < 14


def test_a_picture_that_cannot_be_read_loses_no_step(tiny):
    """The state before it is saved, and a run that resumes with the picture mended is that of no accident."""
    recipe = replace(LONG, iterations=12)
    whole, model = [], PANet(backbone())
    train(model, episodes(tiny("train")), recipe, ignore, whole.append)
    bank = ImageBank(tiny("train"))
    sampler = episodes(bank)
    before = {int(i) for n in range(9) for i in (*sampler.draw(n).supports.flat, *sampler.draw(n).queries)}
    (bad, *_) = {*sampler.draw(9).supports.flat, *sampler.draw(9).queries} - before
    read = bank.dataset.image

    def broken(index):
        if index == bad:
            raise ValueError(f"picture {bad} cannot be read")
        return read(index)

    bank.dataset.image, saved, log = broken, [], []
    with pytest.raises(ValueError, match=f"picture {bad} cannot be read"):
        train(PANet(backbone()), sampler, recipe, log.append, saved.append, save_every=4)
    assert [state.step for state in saved] == [4, 8, 9] and log == []
    bank.dataset.image, again = read, PANet(backbone(1))
    train(again, sampler, recipe, log.append, saved.append, state=saved[-1])
    assert same(saved[-1].tensors, whole[0].tensors) and [entry["step"] for entry in log] == [12]


def test_an_episode_that_cannot_be_drawn_is_said_in_its_turn(tiny, monkeypatch):
    sampler, steps_taken = episodes(ImageBank(tiny("train"))), []
    draw = sampler.draw

    def scarce(index):
        if index >= 10:  # of step 6; the look-ahead meets it first
            raise ValueError("Episode 10 wants more images")
        return draw(index)

    sampler.draw, real = scarce, training.sgd_step
    monkeypatch.setattr(training, "sgd_step", lambda *args: steps_taken.append(1) or real(*args))
    with pytest.raises(ValueError, match="Episode 10"):
        train(PANet(backbone()), sampler, replace(SHORT, iterations=20), ignore)
    assert len(steps_taken) == 5


# --- a loss that is not finite -----------------------------------------------------------------------


def images_of(sampler, step, batch):
    """The sentence's list of what a step looked at."""
    ids, draws = sampler.dataset.ids, {i: sampler.draw(i) for i in range((step - 1) * batch, step * batch)}
    return "; ".join(
        f"episode {i}: support {ids[d.supports[0, 0]]}, query {ids[d.queries[0]]}" for i, d in draws.items()
    )


def poisoned(monkeypatch, step, what):
    """sgd_step, of which a step goes wrong."""
    real, count = training.sgd_step, iter(range(1, 1000))

    def wrong(model, *args):
        losses = real(model, *args)
        if next(count) == step:
            if what == "weight":
                next(model.parameters()).data.fill_(float("nan"))
            else:
                losses[what] = float("inf")
        return losses

    monkeypatch.setattr(training, "sgd_step", wrong)


@pytest.mark.parametrize("save_every", [1, 2, 500])
@pytest.mark.parametrize("what, bad", [(0, 5), (1, 6), (0, 8), (0, 1)])
def test_a_loss_that_is_not_finite_names_the_images_and_saves_nothing(
    tiny, monkeypatch, save_every, what, bad
):
    sampler, log, saved = episodes(tiny("train"), seed=3), [], []
    poisoned(monkeypatch, bad, what)
    with pytest.raises(ValueError) as error:
        train(Constant(), sampler, replace(SHORT, iterations=8), log.append, saved.append, save_every)
    assert str(error.value) == (
        f"The loss is not finite at step {bad} ({images_of(sampler, bad, 2)}; seed 3): lower the learning rate "
        "or look at those images. Nothing was written since."
    )
    assert log == [] and [state.step for state in saved] == [n for n in range(1, bad) if n % save_every == 0]


def test_a_weight_that_is_not_finite_is_not_saved(tiny, monkeypatch):
    sampler, saved = episodes(tiny("train")), []
    poisoned(monkeypatch, 4, "weight")
    with pytest.raises(ValueError, match="not finite at step 4 .*" + images_of(sampler, 4, 2)):
        train(Constant(), sampler, SHORT, ignore, saved.append, save_every=2)
    assert [state.step for state in saved] == [2]


def test_a_rate_that_is_too_high(tiny):
    with pytest.raises(ValueError, match="The loss is not finite at step 2 .*lower the learning rate"):
        train(PANet(backbone()), episodes(tiny("train", size=32)), replace(SHORT, learning_rate=1e25), ignore)


# --- stopping and going on ---------------------------------------------------------------------------


@pytest.fixture
def short_log(monkeypatch):
    """A log every 5 steps."""
    monkeypatch.setattr(training, "LOG_EVERY", 5)


def without_seconds(log):
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in log]


class Dropping(PANet):
    """PANet with a layer that draws from torch's generator and one with buffers, as other backbones have."""

    def __init__(self):
        super().__init__(backbone(batch_norm=True))

    def embed(self, images):
        return torch.nn.functional.dropout(super().embed(images), 0.2, self.training)


@pytest.mark.parametrize(
    "make, stops",
    [
        (lambda: PANet(backbone()), (1,)),
        (lambda: PANet(backbone()), (5, 16)),
        (lambda: PANet(backbone()), (3, 4, 12)),
        (Dropping, (7,)),
    ],
)
def test_stopped_and_resumed_is_the_same_to_the_bit(tiny, tmp_path, short_log, make, stops):
    dataset, log, saved = ImageBank(tiny("train", size=32)), [], []
    torch.manual_seed(1)
    model = make()
    torch.manual_seed(2)
    assert train(model, episodes(dataset), LONG, log.append, saved.append) == 17
    (whole,) = saved

    parts, state = [], None
    torch.manual_seed(2)
    for stop in (*stops, None):
        counter = iter(range(state.step + 1 if state else 1, 99))
        again = make()
        if state is None:
            torch.manual_seed(2)
        step = train(
            again, episodes(dataset), LONG, parts.append,
            lambda s: save_state(tmp_path / "state.safetensors", s, {"fold": 0}),
            state=state, stop=lambda c=counter, s=stop: next(c) == s,
        )  # fmt: skip
        assert step == (stop or 17)
        torch.seed()
        state = load_state(tmp_path / "state.safetensors", {"fold": 0})
        assert state.step == step
    assert same(again.state_dict(), model.state_dict())
    assert same(state.tensors, whole.tensors) and without_seconds(parts) == without_seconds(log)
    seconds = [entry["seconds"] for entry in parts]
    assert [entry["step"] for entry in parts] == [5, 10, 15, 17] and seconds == sorted(seconds)


def test_a_state_holds_weights_momentum_and_losses_in_full(tiny, short_log):
    saved, model = [], PANet(backbone())
    train(model, episodes(tiny("train", size=32)), LONG, ignore, saved.append, save_every=3)
    assert [state.step for state in saved] == [3, 6, 9, 12, 15, 17]
    assert [len(state.tensors["losses"]) for state in saved] == [3, 1, 4, 2, 0, 0]
    tensors = saved[-1].tensors
    names = [name for name, _ in model.named_parameters()]
    assert tensors.keys() == {"losses", "rng", *(f"{k}.{n}" for n in names for k in ("model", "momentum"))}
    assert all(tensors[f"{k}.{n}"].dtype == torch.float32 for n in names for k in ("model", "momentum"))
    earlier = saved[-2].tensors  # a copy, not what training goes on to change
    assert not any(torch.equal(tensors[f"model.{n}"], earlier[f"model.{n}"]) for n in names)


def test_resuming_a_finished_run_does_nothing(tiny):
    saved, model, log = [], PANet(backbone()), []
    train(model, episodes(tiny("train")), SHORT, ignore, saved.append)
    again = PANet(backbone(1))
    assert train(again, episodes(tiny("train")), SHORT, log.append, saved.append, state=saved[0]) == 4
    assert same(again.state_dict(), model.state_dict()) and log == [] and len(saved) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_ends(number):
    before, ends = signal.getsignal(number), []
    signal.signal(number, lambda *_: ends.append(1))
    mine = signal.getsignal(number)
    try:
        with asked_to_stop() as stop:
            assert not stop()
            os.kill(os.getpid(), number)
            assert stop() and ends == []
            os.kill(os.getpid(), number)
            assert ends == [1]
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)


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
    assert header == {"backbone": "vgg16", "width": NARROW, "fold": 0, "note": ["a", 1]}
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
TRAIN = ("train", *SMALL, "--weights", "random", "--iterations", 4)
EVALUATE = ("evaluate", *SMALL, "--runs", 2, "--episodes", 4, "--shots", 1, 2)


@pytest.mark.parametrize("dataset", ["tabletop", "pascal"])
def test_train_then_evaluate(cli, tmp_path, capsys, looked_at, dataset):
    out = tmp_path / "run"
    size = () if dataset == "tabletop" else ("--size", 48)
    cli(*TRAIN, "--dataset", dataset, *size, "--out", out)
    assert sorted(p.name for p in out.iterdir()) == [
        "checkpoint.safetensors",
        "log.json",
        "state.safetensors",
    ]
    log = json.loads((out / "log.json").read_text())
    (entry,) = log["log"]
    assert entry["step"] == log["iterations"] == 4 and log["fold"] == 1 and log["weights"] == "random"
    with safe_open(out / "checkpoint.safetensors", "pt") as file:
        about = {k: json.loads(v) for k, v in file.metadata().items()}
    assert about == {**{k: v for k, v in log.items() if k != "log"}, "step": 4}
    assert {"command", "torch", "python", "threads", "hardware", "date", "seed", "lambda_par"} <= about.keys()
    printed = capsys.readouterr().out
    assert str(out / "checkpoint.safetensors") in printed and json.loads(printed.splitlines()[0]) == entry
    assert {split for split, _ in looked_at} == {"train"}
    state, last = (load_file(out / name) for name in ("state.safetensors", "checkpoint.safetensors"))
    assert last.keys() == VGG16(NARROW).state_dict().keys()
    assert all(torch.equal(state[f"model.backbone.{name}"].half(), last[name]) for name in last)

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


def test_training_keeps_to_the_options(cli, tmp_path, looked_at, tiny):
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
        indices = [i for _, i in looked_at]
        assert len(indices) == len(set(indices)) > 20  # each file is decoded once
        assert any(shown[i] for i in indices) == some
    log = json.loads((tmp_path / "dropped" / "log.json").read_text())
    assert log["lambda_par"] == 0 and log["episodes_per_step"] == 1 and log["drop_unseen"]
    cli("train", *SMALL, *options, "--episodes-per-step", 3, "--preset", "paper", "--out", tmp_path / "three")
    log = json.loads((tmp_path / "three" / "log.json").read_text())
    assert log["episodes_per_step"] == 3 and log["preset"] == "paper"


def test_the_command_repeats_to_the_bit(cli, tmp_path):
    for name in "ab":
        cli(*TRAIN, "--seed", 5, "--out", tmp_path / name)
    assert same(*(load_file(tmp_path / name / "state.safetensors") for name in "ab"))


def test_what_a_training_starts_from(cli, tiny_voc, tmp_path, monkeypatch):
    """`pretrained` is the narrow twin's twin-fold0-init.safetensors, and torchvision's ImageNet weights at width 1."""
    init = tmp_path / "checkpoints" / "twin-fold0-init.safetensors"
    save_checkpoint(init, VGG16(0.25), {})
    (tmp_path / "tabletop").symlink_to(tiny_voc / "tabletop")
    monkeypatch.setattr(datasets, "DATA", tmp_path)
    asked = []
    monkeypatch.setattr(
        "panet_lite.commands.given.backbone", lambda *args: asked.append(args) or VGG16(NARROW)
    )
    for width, weights in ((0.25, None), (1, None), (1, "imagenet"), (0.5, "random"), (0.5, "some.pt")):
        out = tmp_path / str(len(asked))
        given = ("--weights", weights) if weights else ()
        cli("train", "--device", "cpu", "--width", width, *given, "--iterations", 1, "--out", out)
    weights = [(init, 0.25), ("pretrained", 1), ("imagenet", 1), (None, 0.5), ("some.pt", 0.5)]
    assert asked == [("vgg16", *what) for what in weights]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="no compiler")
def test_a_compiled_backbone_trains_the_same(tmp_path, cli, monkeypatch):
    """In float32; and the files are those of any run, to be resumed with or without --compile.

    Of the network two blocks are enough: a compiler takes seconds for each layer.
    """
    monkeypatch.setattr("panet_lite.backbones.vgg.BLOCKS", ((64,), (128,)))
    plain = torch.autocast("cpu", enabled=False)
    monkeypatch.setattr(steps, "reduced_precision", lambda *_: plain)
    for name, more in (("plain", []), ("compiled", ["--compile"])):
        cli(*TRAIN, *more, "--size", 32, "--out", tmp_path / name)
    plain, compiled = (load_file(tmp_path / name / "state.safetensors") for name in ("plain", "compiled"))
    assert plain.keys() == compiled.keys()
    for name in plain:
        torch.testing.assert_close(compiled[name], plain[name], rtol=1e-3, atol=1e-4)


# --- a real process, killed --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bits(tiny_voc, tmp_path):
    """Killed at three random moments, in three ways, then resumed to the end: weights, momentum and log."""
    options = [*TRAIN[:-1], 70, "--save-every", 7, "--recipe", "paper", "--size", 32, "--resume", "--out"]
    own = {
        "PANET_LITE_DATA": str(tiny_voc),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }

    def start(name):
        command = [sys.executable, "-m", "panet_lite", *map(str, options), str(tmp_path / name)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env={**os.environ, **own}, **pipes)

    whole, state, rng, before = start("whole"), tmp_path / "parts" / "state.safetensors", random.Random(0), 0
    for number, low, high in ((signal.SIGTERM, 0, 14), (signal.SIGKILL, 21, 28), (signal.SIGINT, 35, 48)):
        process, least = start("parts"), rng.randrange(low, high)
        while process.poll() is None and steps_saved(state) <= least:
            time.sleep(rng.random() / 50)
        process.send_signal(number)
        error, reached = process.communicate()[1], steps_saved(state)
        assert before < reached < 70
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL and reached % 7 == 0
        else:
            assert process.returncode == 1 and error.splitlines()[-1] == (
                f"panet_lite: Stopped after step {reached} of 70: the same command with --resume goes on from there."
            )
        before = reached
    for process in (whole, start("parts")):
        error = process.communicate()[1]
        assert process.returncode == 0, error
    whole, parts = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "parts"))
    assert same(whole, parts)
    logs = [json.loads((tmp_path / name / "log.json").read_text())["log"] for name in ("whole", "parts")]
    assert without_seconds(logs[0]) == without_seconds(logs[1]) and [e["step"] for e in logs[1]] == [50, 70]


# --- evaluation from the command line ----------------------------------------------------------------


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
