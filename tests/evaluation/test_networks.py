"""`data/results/networks.py`: each network on all folds that it has not been trained on, and nothing twice."""

import json
import sys

import pytest
import torch
from running import script

from panet_lite.backbones import Lite0
from panet_lite.datasets import Pascal
from panet_lite.model import PANet


@pytest.fixture
def networks(tiny, tiny_voc, tmp_path, monkeypatch):
    """The program on the tiny data set, with small random networks."""
    module = script("results/networks.py")
    monkeypatch.setenv("PANET_VOC_ROOT", str(tiny_voc))
    module.RESULTS, module.SHOTS = tmp_path / "networks.json", (1, 2)
    module.Tabletop = lambda split: tiny("train")
    module.Pascal = lambda split, size: Pascal("train", 32)
    module.pretrained = lambda fold, variant: PANet(Lite0(1)).eval()
    return module


def run(networks, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["networks.py", "--episodes", "2", *options])
    networks.main()
    return json.loads(networks.RESULTS.read_text())["results"]


def test_what_is_scored_on_what(networks, monkeypatch):
    names = ("colour", "twin init", "lite0:2", "lite0:5 par")
    entries = run(networks, monkeypatch, "--names", *names)
    shown = {
        name: {(e["trained_for"], e["pictures"], e["fold"]) for e in entries if e["network"] == name}
        for name in names
    }
    everything = {(None, "tabletop", fold) for fold in range(4)} | {
        (None, "photographs", fold) for fold in (1, 2)
    }
    assert shown["colour"] == shown["lite0:2"] == everything
    assert shown["twin init"] == {(0, "tabletop", 0), (0, "photographs", 1), (0, "photographs", 2)}
    assert shown["lite0:5 par"] == {(f, "tabletop", f) for f in range(4)} | {
        (f, "photographs", p) for f in range(4) for p in (1, 2)
    }  # never on classes that it was trained on
    assert {e["shots"] for e in entries} == {1, 2} and all(e["runs"] == 5 for e in entries)
    monkeypatch.setattr(networks, "evaluate", None)  # a second run must not get as far as this
    assert run(networks, monkeypatch, "--names", *names) == entries


def test_a_class_that_was_trained_on_as_a_rendering_is_said(networks, monkeypatch):
    """Photographs of chairs, by weights that learned rendered ones: scored, and the entry says so."""

    def pretrained(fold, variant):
        model = PANet(Lite0(1)).eval()
        model.backbone.trained_on = {} if fold == 3 else {"chair": "fold.safetensors"}
        return model

    networks.pretrained = pretrained
    found = run(networks, monkeypatch, "--names", "lite0:5 par", "--shots", "1")
    seen = {
        (e["trained_for"], e["pictures"], e["fold"]) for e in found if e.get("seen_in_training") == ["chair"]
    }
    assert seen == {(fold, "photographs", 1) for fold in range(3)}


def test_without_photographs_renderings_are_scored(networks, monkeypatch):
    monkeypatch.delenv("PANET_VOC_ROOT")
    assert {e["pictures"] for e in run(networks, monkeypatch, "--names", "twin random")} == {"tabletop"}


def test_colour_is_the_mean_of_eight_by_eight_pixels():
    images = torch.rand(2, 3, 24, 16)
    features = script("results/networks.py").Colour()
    mean = images[1, 2, 8:16, :8].mean()
    torch.testing.assert_close(features(features.preprocess(images))[1, 2, 1, 0], mean - 0.5)
    assert features(images[..., :17, :9]).shape[-2:] == (3, 2)


def test_how_many_references_and_marked_how(networks, monkeypatch):
    """Into a file of its own; what stands in the other stays."""
    before = run(networks, monkeypatch, "--names", "lite0:5", "--shots", "1")
    monkeypatch.delenv("PANET_VOC_ROOT")
    networks.REFERENCES = {**networks.REFERENCES, "shots": (1, 2)}
    assert run(networks, monkeypatch, "--references") == before
    found = json.loads(networks.RESULTS.with_stem("references").read_text())
    assert found["command"] == "python data/results/networks.py --references"
    kinds = ("dense", "scribble", "box", "point")
    shapes = {(e["network"], e["annotation"], e["shots"]) for e in found["results"]}
    assert shapes == {(n, a, s) for n in ("lite0:5", "lite0:5 par") for a in kinds for s in (1, 2)}
    assert {e["annotation"] for e in before} == {"dense"}
