"""`data/results/real-photos.py`: it trains and measures what is missing, in the order that its options name."""

import json
import sys
from argparse import Namespace
from types import SimpleNamespace

import pytest
import study
import torch
from running import script

from panet_lite.__main__ import arguments
from panet_lite.backbones import backbone
from panet_lite.datasets import Pascal
from panet_lite.training import save_checkpoint

NETWORK = "lite0"


@pytest.fixture
def photos(tiny_voc, tmp_path, monkeypatch):
    """The script on the tiny data set, nothing of it in the repository; `.weights` are PANet-init's."""
    module = script("results/real-photos.py")
    monkeypatch.setenv("PANET_VOC_ROOT", str(tiny_voc))
    module.RUNS, module.RESULTS = tmp_path / "runs", tmp_path / "real-photos.json"
    module.Pascal = lambda split, size: Pascal("train", size)  # its val is too small for five shots
    torch.manual_seed(0)
    module.weights = tmp_path / "init.safetensors"
    save_checkpoint(module.weights, backbone(NETWORK), {})
    return module


@pytest.fixture
def commands(photos, monkeypatch):
    """The trainings that are started: each only writes what a real one would."""
    found = []

    class Process:
        def __init__(self, command, cwd):
            found.append(arguments().parse_args(command[3:]))  # the command line knows every option
            folder = cwd / found[-1].out
            torch.manual_seed(len(found))
            save_checkpoint(folder / "checkpoint.safetensors", backbone(NETWORK), {})
            (folder / "log.json").write_text('{"log": [{"step": 600}]}')

        def wait(self):
            return 0

    monkeypatch.setattr(study, "subprocess", SimpleNamespace(Popen=Process))
    return found


def run(photos, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["real-photos.py", "--weights", str(photos.weights), *options])
    photos.main()
    return json.loads(photos.RESULTS.read_text())["results"] if photos.RESULTS.exists() else []


SHORT = ("--sizes", "64", "--folds", "2", "--episodes", "2")


@pytest.mark.slow
def test_everything_is_trained_and_measured_once(photos, commands, monkeypatch, capsys):
    entries = run(photos, monkeypatch, *SHORT, "--seeds", "0", "1")
    assert [(c.seed, c.lambda_par) for c in commands] == [(0, 0.0), (0, 1.0), (1, 0.0), (1, 1.0)]
    for c in commands:
        assert (c.dataset, c.backbone, c.size, c.fold) == ("pascal", NETWORK, 64, 2)
        assert (c.recipe, c.iterations, c.ways, c.shots) == ("laptop", None, None, None)
        assert c.drop_unseen and not c.resume and c.weights == str(photos.weights)
    models = [("init", 0), ("without-par", 0), ("par", 0), ("without-par", 1), ("par", 1)]
    expected = {(*m, a, s) for m in models for a in ("dense", "scribble", "box") for s in (1, 5)}
    assert {(e["variant"], e["seed"], e["annotation"], e["shots"]) for e in entries} == expected
    assert len(entries) == 30 and len({e["weights"] for e in entries}) == 5
    assert all(list(e["class_iou"]) == ["12", "13", "15"] for e in entries)  # dog, horse, person
    monkeypatch.setattr(photos, "evaluate", None)  # a second run must not get as far as this
    assert run(photos, monkeypatch, *SHORT, "--seeds", "0", "1") == entries and len(commands) == 4
    last = capsys.readouterr().out.splitlines()[-6:]  # one row for each annotation and number of shots
    [row] = [line for line in last if line.startswith("| 64 px, 2 | dense, 1 ")]
    dense = [e for e in entries if (e["annotation"], e["shots"]) == ("dense", 1)]
    iou = {v: [100 * e["mean_iou"] for e in dense if e["variant"] == v] for v in ("init", *photos.LAMBDA)}
    [(low, high)] = [e["interval_95"] for e in dense if (e["variant"], e["seed"]) == ("par", 0)]
    init, without, par, gains = (cell.strip() for cell in row.split("|")[3:7])
    assert par == f"{iou['par'][0]:.1f} ({100 * low:.1f} to {100 * high:.1f}), {iou['par'][1]:.1f}"
    assert init.startswith(f"{iou['init'][0]:.1f} (") and without.endswith(f", {iou['without-par'][1]:.1f}")
    assert gains == ", ".join(f"{a - b:+.1f}" for a, b in zip(iou["par"], iou["without-par"]))


@pytest.mark.slow
def test_the_head_says_how_and_names_no_folder_of_this_machine(photos, commands, monkeypatch):
    run(photos, monkeypatch, *SHORT, "--seeds", "0")
    text = photos.RESULTS.read_text()
    head = json.loads(text)
    assert {"command", "training", "date", "hardware", "torch", "threads", "classes"} <= head.keys()
    assert "--drop-unseen" in head["training"] and str(photos.weights.parent) not in text


def test_a_stopped_training_is_resumed_and_stops_the_measurement_with_a_sentence(photos, monkeypatch):
    folder = photos.run_folder(64, 2, "par", 0)
    folder.mkdir(parents=True)
    (folder / "log.json").write_text('{"log": [{"step": 500}]}')
    (folder / "state.safetensors").touch()
    started = []

    class Process:
        def __init__(self, command, cwd):
            started.append(command)

        def wait(self):
            return 1

    monkeypatch.setattr(study, "subprocess", SimpleNamespace(Popen=Process))
    with pytest.raises(SystemExit, match="The same command goes on from here"):
        photos.train(64, 2, "par", 0, "imagenet")
    assert "--resume" in started[0]


def test_other_weights_are_measured_anew_and_take_the_place_of_the_old(photos, commands, monkeypatch):
    options = Namespace(weights=str(photos.weights), episodes=2, annotations=("dense", "box"))
    photos.measure(64, 2, 0, options)
    before = photos.entries()
    torch.manual_seed(9)
    save_checkpoint(photos.weights, backbone(NETWORK), {})
    photos.measure(64, 2, 0, options)
    after = photos.entries()
    assert len(before) == len(after) == 4 and not {e["weights"] for e in before} & {
        e["weights"] for e in after
    }
