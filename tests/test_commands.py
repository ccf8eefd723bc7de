"""What the command line makes of its options."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from panet_lite import commands
from panet_lite.__main__ import arguments, main
from panet_lite.backbones import VGG16
from panet_lite.datasets import voc as datasets
from panet_lite.datasets.downloads import ARCHIVES
from panet_lite.training import LAPTOP, PAPER


def parsed(*given):
    return arguments().parse_args([str(x) for x in given])


def test_a_recipe_is_changed_only_where_asked():
    train = ("train", "--out", "x")
    assert commands.recipe_asked_for(parsed(*train)) == LAPTOP
    assert commands.recipe_asked_for(parsed(*train, "--recipe", "paper", "--seed", 3)) == replace(
        PAPER, seed=3
    )
    changes = {
        "iterations": 7, "episodes_per_step": 2, "ways": 3, "shots": 5, "lambda_par": 0.0, "precision": "bfloat16"
    }  # fmt: skip
    options = [x for name, value in changes.items() for x in ("--" + name.replace("_", "-"), value)]
    assert commands.recipe_asked_for(parsed(*train, *options)) == replace(LAPTOP, **changes)


def test_what_a_run_is_resumed_with_are_options():
    assert set(commands.SETTINGS) <= vars(parsed("train", "--out", "x")).keys()


@pytest.fixture
def opened(tiny_voc, monkeypatch):
    """(name, weights, width) of every backbone that a command asks for; it gets a narrow one."""
    asked = []
    monkeypatch.setattr(commands, "backbone", lambda *given: asked.append(given) or VGG16(1 / 16))
    monkeypatch.setattr(datasets, "DATA", tiny_voc)
    return asked


COMMON = ("--weights", "random", "--device", "cpu")
SHORT = ("evaluate", *COMMON, "--runs", "1", "--episodes", "2", "--shots", "1")


def test_only_vgg16_is_narrow_by_itself(opened):
    for given in (
        (),
        ("--width", "1"),
        ("--backbone", "resnet18"),
        ("--backbone", "resnet18", "--width", "0.5"),
    ):
        assert main([*SHORT, *given]) == 0
    narrow = [("vgg16", None, 0.25), ("vgg16", None, 1.0), ("resnet18", None, 1.0), ("resnet18", None, 0.5)]
    assert opened == narrow


def test_the_backbone_is_part_of_a_run(opened, tmp_path, capsys):
    run = ["train", *COMMON, "--iterations", "1", "--episodes-per-step", "1", "--out", str(tmp_path)]
    assert main(run) == 0
    log = json.loads((tmp_path / "log.json").read_text())
    assert (log["backbone"], log["width"], log["shots"]) == ("vgg16", 0.25, 1)
    assert main([*run, "--resume", "--backbone", "resnet18", "--width", "0.25"]) == 1
    assert "was started with backbone vgg16, not resnet18: resume it" in capsys.readouterr().err


def test_numbers_say_what_they_were_measured_with(opened, tmp_path):
    assert main([*SHORT, "--precision", "bfloat16", "--out", str(tmp_path / "a.json")]) == 0
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert (numbers["backbone"], numbers["precision"], numbers["annotation"]) == (
        "vgg16",
        "bfloat16",
        "dense",
    )


def test_numbers_are_kept_as_they_come(opened, tmp_path, capsys):
    """What breaks later takes nothing away: neither an earlier run's numbers nor those before the break."""
    path = tmp_path / "a.json"
    path.write_text("old")
    assert main([*SHORT, "--shots", "500", "--out", str(path)]) == 1 and path.read_text() == "old"
    assert main([*SHORT, "--shots", "1", "500", "--out", str(path)]) == 1
    assert "1-way 1-shot" in json.loads(path.read_text()) and "of 500 shots" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_cuda_graph_without_a_gpu(opened, tmp_path, capsys):
    assert main(["train", *COMMON, "--cuda-graph", "--iterations", "1", "--out", str(tmp_path)]) == 1
    assert "panet_lite: There are no CUDA graphs on cpu: leave --cuda-graph out." in capsys.readouterr().err


@pytest.mark.parametrize("preset, split", [("standard", "val"), ("paper", "train")])
def test_on_which_images_of_coco_a_preset_tests(tmp_path, capsys, preset, split):
    given = ("--dataset", "coco", "--root", str(tmp_path), "--preset", preset)
    assert main([*SHORT, *given]) == 1
    assert f"annotations/instances_{split}2014.json is missing" in capsys.readouterr().err


def test_the_names_of_downloads_are_those_of_their_module():
    """The parser names them without importing torchvision, which takes seconds."""
    assert commands.DOWNLOADS == tuple(ARCHIVES)
    code = "import sys, panet_lite.__main__; print(sorted({'torchvision', 'timm', 'matplotlib'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
