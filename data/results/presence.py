"""Is it in the picture at all? How often the score of `Segmenter` is higher for a picture that shows the thing.

    [PANET_VOC_ROOT=...] python data/results/presence.py [--pairs 300]

Each pair has the same marked pictures and two others: one shows what is marked, one does not. By chance, the first has the
higher score in half of the pairs. On all folds of Tabletop-5i, by the untrained network and the book's, and where the
photographs of real-photos.py are at hand, on those, at the size that `Segmenter` takes, by the untrained one.
"""

import argparse
import importlib
import json
import os
from collections.abc import Iterable

import numpy as np
import torch

from panet_lite import EpisodeSampler, Segmenter, pretrained, segmenter
from panet_lite.datasets import DATA, AnyDataset, Pascal, Tabletop
from panet_lite.files import write_atomically
from panet_lite.machine import circumstances
from panet_lite.model import PANet

RESULTS = DATA / "results" / "presence.json"
CLASSES = importlib.import_module("real-photos").CLASSES
SHOTS = (1, 5)


def told_apart(
    model: PANet, dataset: AnyDataset, classes: Iterable[int], shots: int, pairs: int
) -> np.ndarray:
    """Of each pair: is the score of the picture with the thing the higher one? Half, where both are the same."""
    tool, sampler = Segmenter(model), EpisodeSampler(dataset, classes, shots=shots, seed=0)
    everything = np.unique(np.concatenate(list(sampler.pools.values())))
    found = []
    for number in range(pairs):
        draw = sampler.draw(number)
        (label,) = draw.classes
        others = np.setdiff1d(everything, dataset.images_of(label))
        without = np.random.default_rng([1, number]).choice(others)
        maps = [sampler.support_map(i, draw.classes) for i in draw.supports[0]]
        if not any((labels == 0).any() for labels in maps):
            continue  # all of it is marked: nothing says what the thing is told from
        tool.fit([dataset.image(i) for i in draw.supports[0]], maps, ["it"])
        there, elsewhere = tool.predict([dataset.image(i) for i in (draw.queries[0], without)])
        difference = there.scores["it"] - elsewhere.scores["it"]
        found.append(0.5 + 0.5 * np.sign(difference))
    return np.array(found)


def main() -> None:
    """Measure all that is at hand."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=300)
    pairs = parser.parse_args().pairs
    segmenter.KEPT = 10_000  # of every picture the features are computed once
    todo = []
    rendered = Tabletop("val")
    for fold in range(4):
        for variant in ("init", "par"):
            todo.append(("tabletop", fold, variant, rendered, rendered.fold(fold)))
    if "PANET_VOC_ROOT" in os.environ:
        photographs = Pascal("val", None)
        for fold, names in CLASSES.items():
            todo.append(("photographs", fold, "init", photographs, photographs.labels_of(names)))
    results = []
    for pictures, fold, variant, dataset, classes in todo:
        model = pretrained(fold, variant)
        for shots in SHOTS:
            right = told_apart(model, dataset, classes, shots, pairs)
            half = 1.96 * right.std(ddof=1) / len(right) ** 0.5
            share, *interval = (round(float(right.mean() + x), 4) for x in (0, -half, half))
            entry = {
                "pictures": pictures,
                "fold": fold,
                "variant": variant,
                "shots": shots,
                "pairs": len(right),
            }
            results.append({**entry, "right": share, "interval_95": interval})
            print(*results[-1].values(), flush=True)
    about = {"command": "python data/results/presence.py", **circumstances(torch.device("cpu"))}
    text = json.dumps({**about, "results": results}, indent=1)
    write_atomically(RESULTS, lambda path: path.write_text(text + "\n"))


if __name__ == "__main__":
    main()
