"""`data/results/presence.py`: a picture with the thing against one without, by the score of `Segmenter`."""

import json
import sys

import numpy as np
import pytest
import torch
from running import script

from panet_lite import segmenter
from panet_lite.backbones import Lite0
from panet_lite.datasets import Pascal
from panet_lite.model import PANet


class Colours(torch.nn.Module):
    """Features that are colours, a cell for each 8 x 8 pixels."""

    def __init__(self):
        super().__init__()
        self.none = torch.nn.Parameter(torch.zeros(1))

    def preprocess(self, images):
        return images

    def forward(self, images):
        return torch.nn.functional.avg_pool2d(images, 8)


class Plain:
    """Twelve grey pictures with a square: red in the first six, green in the others."""

    classes = ("red", "green")

    def image(self, index):
        image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
        image[:, 16:48, 16:48] = torch.tensor([250, 10, 10] if index < 6 else [10, 250, 10])[:, None, None]
        return image

    def label_map(self, index):
        labels = torch.zeros(64, 64, dtype=torch.uint8)
        labels[16:48, 16:48] = 1 if index < 6 else 2
        return labels

    def images_of(self, label, least=0.0):
        return np.arange(6) if label == 1 else np.arange(6, 12)


@pytest.fixture
def presence():
    return script("results/presence.py")


@pytest.mark.parametrize("shots", [1, 2])
def test_colours_tell_a_red_square_from_a_green_one(presence, shots):
    assert presence.told_apart(PANet(Colours()), Plain(), [1, 2], shots, 10).tolist() == [1.0] * 10


def test_a_network_that_sees_nothing_is_right_in_half_of_the_pairs(presence):
    class Blind(Colours):
        def forward(self, images):
            return torch.ones_like(super().forward(images))

    assert presence.told_apart(PANet(Blind()), Plain(), [1, 2], 1, 10).tolist() == [0.5] * 10


def test_the_program_writes_every_question_once(presence, tiny, tiny_voc, tmp_path, monkeypatch):
    monkeypatch.setenv("PANET_VOC_ROOT", str(tiny_voc))
    monkeypatch.setattr(segmenter, "KEPT", segmenter.KEPT)  # given back
    presence.RESULTS, presence.SHOTS = tmp_path / "presence.json", (1,)
    presence.Tabletop = lambda split: tiny("train")
    presence.Pascal = lambda split, size: Pascal("train", size)
    presence.pretrained = lambda fold, variant: PANet(Lite0(1)).eval()
    monkeypatch.setattr(sys, "argv", ["presence.py", "--pairs", "3"])
    presence.main()
    found = json.loads(presence.RESULTS.read_text())["results"]
    asked = [(e["pictures"], e["fold"], e["variant"]) for e in found]
    assert asked == [("tabletop", f, v) for f in range(4) for v in ("init", "par")] + [
        ("photographs", f, "init") for f in (1, 2)
    ]
    assert all(0 <= e["right"] <= 1 and e["pairs"] <= 3 for e in found)


def test_the_page_says_what_was_measured(presence):
    results = json.loads(presence.RESULTS.read_text())["results"]
    page = " ".join((presence.DATA.parent / "book" / "your_pictures.md").read_text(encoding="utf-8").split())

    def said(ends, number):
        return f"{100 * number:.0f} ({100 * ends[0]:.0f} to {100 * ends[1]:.0f}"

    rows = []
    for pictures, fold in (("photographs", 1), ("photographs", 2), ("tabletop", None)):
        cells = []
        for shots in (1, 5):
            mine = [
                e for e in results if (e["pictures"], e["variant"], e["shots"]) == (pictures, "init", shots)
            ]
            if fold:
                (one,) = (e for e in mine if e["fold"] == fold)
                cells.append(said(one["interval_95"], one["right"]) + ")")
            else:
                each = [e["right"] for e in mine]
                cells.append(said((min(each), max(each)), np.mean(each)) + ", by fold)")
        rows.append(" | ".join(cells))
    assert [row for row in rows if f"| {row} |" not in page] == []
