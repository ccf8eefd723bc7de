"""Which network, which layer? PANet with networks that no episode has trained, and with the book's, on two kinds of pictures.

    [PANET_VOC_ROOT=...] python data/results/networks.py [--names lite0:5 ...] [--shots 1 5]

Each is scored on all folds of Tabletop-5i and, where the photographs of real-photos.py are at hand, on those of two
folds of PASCAL, at 241 px: 1 and 5 shots, dense masks. "lite0:5 par" are the book's checkpoints: on photographs
all four are scored, on renderings the one of the fold. Resumable: what networks.json holds is not measured again.
Networks whose weights must be fetched are asked for by name (--names vgg16 resnet50:3), and need a network.

With --references: how many references, and marked how? The book's network, untrained and trained, with 1 to 10 shots and
every kind of annotation, into references.json.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from study import STOPPED

from panet_lite import PANet, pretrained
from panet_lite.annotations import KINDS
from panet_lite.backbones import backbone, vgg16
from panet_lite.datasets import DATA, ImageBank, Pascal, Tabletop
from panet_lite.evaluation import FeatureBank, evaluate
from panet_lite.files import write_atomically
from panet_lite.machine import circumstances

RESULTS = DATA / "results" / "networks.json"
REFERENCES = {"names": ("lite0:5", "lite0:5 par"), "shots": (1, 2, 3, 5, 10), "annotations": KINDS}
CLASSES = importlib.import_module("real-photos").CLASSES
SIZE, SHOTS = 241, (1, 5)
NAMES = (
    "colour", "twin random", "twin init", "twin par",
    "lite0:3", "lite0:4", "lite0:5", "lite0:6", "lite0:7", "lite0:5 without-par", "lite0:5 par",
)  # fmt: skip
QUESTION = ("network", "trained_for", "pictures", "fold", "annotation", "shots")


class Colour(torch.nn.Module):
    """No network: the mean colour of 8 x 8 pixels, less grey, so that a cosine tells hues apart."""

    def __init__(self) -> None:
        super().__init__()
        self.none = torch.nn.Parameter(torch.zeros(1))

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """RGB in 0..1 to -0.5..0.5."""
        return images - 0.5

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 3, h, w)."""
        size = [-(-side // 8) for side in images.shape[-2:]]
        return torch.nn.functional.adaptive_avg_pool2d(images, size)


def models(name: str) -> Iterator[tuple[int | None, PANet]]:
    """(the fold that it was trained for, or None, and the model) of a name."""
    network, _, variant = name.partition(" ")
    if name == "colour":
        yield None, PANet(Colour()).eval()
    elif name == "twin random":
        torch.manual_seed(0)
        yield None, PANet(vgg16(width=0.25)).eval()
    elif network == "twin":
        yield 0, pretrained(0, {"init": "twin-init", "par": "twin"}[variant])
    elif variant:
        yield from ((fold, pretrained(fold, variant)) for fold in range(4))
    else:
        yield None, PANet(backbone(network, "pretrained")).eval()


def entries(path: Path) -> list[dict]:
    """What is measured already."""
    return json.loads(path.read_text())["results"] if path.exists() else []


def keep(entry: dict, path: Path) -> None:
    """Write one more entry down, in place of one for the same question."""
    found = [e for e in entries(path) if any(e[k] != entry[k] for k in QUESTION)] + [entry]
    found.sort(key=lambda e: [e[k] if k == "shots" else str(e[k]) for k in QUESTION])
    option = " --references" * (path != RESULTS)
    about = {"command": f"python data/results/networks.py{option}", **circumstances(torch.device("cpu"))}
    text = json.dumps({**about, "size": SIZE, "results": found}, indent=1)
    write_atomically(path, lambda file: file.write_text(text + "\n"))


def measure(name: str, shapes: list[dict], episodes: int, photos: bool, path: Path) -> None:
    """Score a network on all that is at hand, in every shape of episodes: shots and annotation."""
    data = {("tabletop", fold): ImageBank(Tabletop("val")) for fold in range(4)}
    if photos:
        data |= dict.fromkeys((("photographs", fold) for fold in CLASSES), ImageBank(Pascal("val", SIZE)))
    for trained, model in models(name):
        banks: dict[int, FeatureBank] = {}
        for (pictures, fold), dataset in data.items():
            if pictures == "tabletop" and trained not in (None, fold):
                continue  # it was trained on these classes
            key = {"network": name, "trained_for": trained, "pictures": pictures, "fold": fold}
            for shape in shapes:
                if any(all(e[k] == v for k, v in {**key, **shape}.items()) for e in entries(path)):
                    continue
                bank = banks.setdefault(id(dataset), FeatureBank(model, dataset))
                classes = dataset.labels_of(CLASSES[fold]) if pictures == "photographs" else None
                result = evaluate(
                    model, dataset, fold, episodes=episodes, classes=classes, bank=bank, **shape,
                    allow_seen=pictures == "photographs",  # of a rendered chair, and the entry says so
                )  # fmt: skip
                weights = sum(p.numel() for p in model.parameters())
                keep({**key, **shape, "parameters": weights, **result.summary()}, path)
                print(*key.values(), *shape.values(), f"mean-IoU {100 * result.mean_iou:.1f}", flush=True)


def main() -> None:
    """Score the networks asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", nargs="+")
    parser.add_argument("--shots", type=int, nargs="+")
    parser.add_argument("--annotations", choices=KINDS, nargs="+")
    parser.add_argument("--episodes", type=int, default=200, help="of each of the five runs")
    parser.add_argument(
        "--references", action="store_true", help="shots and annotations, into references.json"
    )
    options = parser.parse_args()
    usual = REFERENCES if options.references else {"names": NAMES, "shots": SHOTS, "annotations": ("dense",)}
    names, shots, annotations = (getattr(options, key) or value for key, value in usual.items())
    shapes = [{"annotation": annotation, "shots": n} for annotation in annotations for n in shots]
    path = RESULTS.with_stem("references") if options.references else RESULTS
    for name in names:
        measure(name, shapes, options.episodes, "PANET_VOC_ROOT" in os.environ, path)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(STOPPED)
