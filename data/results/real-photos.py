"""Real photos, measured: PANet with and without PAR on PASCAL VOC pictures of animals (chapter 11).

    PANET_VOC_ROOT=... python data/results/real-photos.py [--weights FILE] [--sizes 241] [--folds 2] [--seeds 0]

EfficientNet-Lite0 from its ImageNet weights (PANet-init), then the book's recipe, 1-way 1-shot. No image that shows
a class of the test fold is trained on. Scored on the photos of val: 1 and 5 shots; dense masks, scribbles, boxes
(connected parts stand in for instances where no file tells them).

Resumable: what is trained or measured already is not done again. The first options' work is done first. An
entry names its weights by the first digits of their SHA-256.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from study import STOPPED, finished, run

from panet_lite import PANet
from panet_lite.backbones import backbone
from panet_lite.datasets import DATA, ImageBank, Pascal
from panet_lite.evaluation import FeatureBank, evaluate
from panet_lite.files import write_atomically
from panet_lite.machine import circumstances

ROOT = Path(__file__).resolve().parents[2]
RUNS, RESULTS = ROOT / "runs" / "real-photos", DATA / "results" / "real-photos.json"
BACKBONE = "lite0"
CLASSES = {1: ("cat", "chair", "cow"), 2: ("dog", "horse", "person")}  # the folds' classes with photos enough
SHOTS, ANNOTATIONS, LAMBDA = (1, 5), ("dense", "scribble", "box"), {"without-par": 0.0, "par": 1.0}
QUESTION = ("size", "fold", "variant", "seed", "annotation", "shots")


def run_folder(size: int, fold: int, variant: str, seed: int) -> Path:
    """Where a training lives."""
    return RUNS / f"{size}-fold{fold}-{variant}-seed{seed}"


def recipe(size: int, fold: int, variant: str, seed: int, weights: str) -> list[str]:
    """The options of a training, all but its folder."""
    return [
        "--dataset", "pascal", "--size", str(size), "--fold", str(fold), "--seed", str(seed), "--drop-unseen",
        "--backbone", BACKBONE, "--weights", weights, "--lambda-par", str(LAMBDA[variant]),
    ]  # fmt: skip


def train(size: int, fold: int, variant: str, seed: int, weights: str) -> None:
    """One training as a process of its own, resumed where it stopped."""
    folder = run_folder(size, fold, variant, seed)
    if finished(folder):
        return
    resume = ["--resume"] if (folder / "state.safetensors").exists() else []
    command = [*recipe(size, fold, variant, seed, weights), "--out", os.path.relpath(folder, ROOT), *resume]
    print(folder.name, flush=True)
    run([sys.executable, "-m", "panet_lite", "train", *command])


def models(size: int, fold: int, seed: int, weights: str) -> Iterator[tuple[dict, PANet]]:
    """(key, model) of PANet-init and of the two trained with a seed, as far as they are there."""
    paths = {("init", 0): weights}
    paths |= {(v, seed): run_folder(size, fold, v, seed) / "checkpoint.safetensors" for v in LAMBDA}
    for (variant, seed), path in paths.items():
        if variant == "init" or finished(Path(path).parent):
            model, digest = PANet(backbone(BACKBONE, path)).eval(), hashlib.sha256()
            for value in model.state_dict().values():
                digest.update(value.numpy().tobytes())
            key = {"size": size, "fold": fold, "variant": variant, "seed": seed}
            yield {**key, "weights": digest.hexdigest()[:12]}, model


def entries() -> list[dict]:
    """What is measured already."""
    return json.loads(RESULTS.read_text())["results"] if RESULTS.exists() else []


def keep(entry: dict) -> None:
    """Write one more entry down, in place of one for the same question."""
    found = [e for e in entries() if any(e[k] != entry[k] for k in QUESTION)] + [entry]
    found.sort(key=lambda e: [e[k] if isinstance(e[k], int) else str(e[k]) for k in QUESTION])
    train = " ".join(recipe("SIZE", "FOLD", "par", "SEED", "WEIGHTS"))
    about = {
        "command": "python data/results/real-photos.py",
        "training": f"python -m panet_lite train {train}; without PAR: --lambda-par 0",
        "classes": {str(fold): names for fold, names in CLASSES.items()},
        **circumstances(torch.device("cpu")),
    }
    text = json.dumps({**about, "results": found}, indent=1)
    write_atomically(RESULTS, lambda path: path.write_text(text + "\n"))


def measure(size: int, fold: int, seed: int, options: argparse.Namespace) -> None:
    """Score the models of a fold, a size and a training seed: every annotation, 1 and 5 shots."""
    dataset = ImageBank(Pascal("val", size))
    shapes = [{"annotation": a, "shots": s} for a in options.annotations for s in SHOTS]
    for key, model in models(size, fold, seed, options.weights):
        done = [{k: e[k] for k in (*QUESTION, "weights")} for e in entries()]
        todo = [{**key, **shape} for shape in shapes if {**key, **shape} not in done]
        bank = FeatureBank(model, dataset) if todo else None
        for question in todo:
            result = evaluate(
                model, dataset, fold, shots=question["shots"], episodes=options.episodes, bank=bank,
                classes=dataset.labels_of(CLASSES[fold]), annotation=question["annotation"],
            )  # fmt: skip
            keep({**question, "ways": 1, **result.summary()})
            print(*question.values(), f"mean-IoU {100 * result.mean_iou:.1f}", flush=True)


def cell(found: list[dict]) -> str:
    """Mean-IoU in per cent of each training seed, the 95 % interval behind the first."""
    values = [f"{100 * e['mean_iou']:.1f}" for e in found]
    if found:
        values[0] += " ({:.1f} to {:.1f})".format(*(100 * x for x in found[0]["interval_95"]))
    return ", ".join(values)


def table() -> str:
    """What is measured, as a table: a row for each question, and what PAR adds, seed by seed."""
    lines = [
        "| size, fold | annotation, shots | PANet-init | without PAR | with PAR | PAR adds |",
        "|---|---|---|---|---|---|",
    ]
    found, keys = entries(), ("size", "fold", "annotation", "shots")
    for row in dict.fromkeys(tuple(e[k] for k in keys) for e in found):
        mine = [e for e in found if tuple(e[k] for k in keys) == row]
        by = {v: {e["seed"]: e for e in mine if e["variant"] == v} for v in ("init", *LAMBDA)}
        gains = [
            f"{100 * (e['mean_iou'] - by['without-par'][seed]['mean_iou']):+.1f}"
            for seed, e in by["par"].items() if seed in by["without-par"]
        ]  # fmt: skip
        cells = [f"{row[0]} px, {row[1]}", f"{row[2]}, {row[3]}", *(cell([*b.values()]) for b in by.values())]
        lines.append(f"| {' | '.join([*cells, ', '.join(gains)])} |")
    return "\n".join(lines)


def main() -> None:
    """Train and measure what the options name, size by size, fold by fold, seed by seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--weights", default="imagenet", help="a file, or ImageNet's (default)")
    add("--sizes", type=int, nargs="+", default=[241, 417], help="side of the square input, in pixels")
    add("--folds", type=int, nargs="+", choices=CLASSES, default=[2, 1])
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the training")
    add("--annotations", nargs="+", choices=ANNOTATIONS, default=ANNOTATIONS, help="of the supports")
    add("--episodes", type=int, default=1000, help="of each of the five runs")
    add("--stage", choices=("train", "evaluate", "table"), nargs="+", default=["train", "evaluate", "table"])
    options = parser.parse_args()
    for size in options.sizes:
        for fold in options.folds:
            for seed in options.seeds:
                if "train" in options.stage:
                    for variant in LAMBDA:
                        train(size, fold, variant, seed, options.weights)
                if "evaluate" in options.stage:
                    measure(size, fold, seed, options)
    if "table" in options.stage:
        print(table())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(STOPPED)
