"""The study: train every model, score it every way, write the numbers down. `make study` runs it.

    python data/results/study.py [--seeds 0 1 2] [--stage train evaluate ...]

Resumable: a training that stopped goes on from its last state, and what a results file holds already is
not measured again. Each entry names its weights by the first digits of their SHA-256; other weights, as
from a training of your own, are measured and take the entry's place.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from panet_lite import PANet
from panet_lite.alignment import prototype_distance
from panet_lite.backbones import check_unseen, trained_backbone
from panet_lite.datasets import DATA, ImageBank, Tabletop
from panet_lite.episodes import EpisodeSampler
from panet_lite.evaluation import FeatureBank, evaluate
from panet_lite.files import write_atomically
from panet_lite.machine import circumstances
from panet_lite.model import VARIANTS, pretrained
from panet_lite.training import LAPTOP

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "study"
RESULTS, CHECKPOINTS = DATA / "results", DATA / "checkpoints"
FOLDS, SHOTS, LAMBDA = range(4), (1, 5), {"par": 1.0, "without-par": 0.0}
STOPPED = "The measurement has stopped. The same command goes on from here."
FIRST = 20  # episodes of run 0 whose counts are written down, for a chapter to recompute


def run_folder(fold: int, variant: str, seed: int) -> Path:
    """Where a training lives."""
    return RUNS / f"fold{fold}-{variant}-seed{seed}"


def run(command: list[str]) -> None:
    """Run a command to its end, from the project's folder. Ctrl-C reaches it too, and it saves first."""
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        code = process.wait() or 130
    if code:
        raise SystemExit(STOPPED)


def finished(folder: Path) -> bool:
    """Whether a training has come to its last step: a checkpoint lies there after a stop, too."""
    log = json.loads((folder / "log.json").read_text())["log"] if (folder / "log.json").exists() else []
    last = log[-1]["step"] if log else 0
    return last == LAPTOP.iterations and (folder / "checkpoint.safetensors").exists()


def train(fold: int, variant: str, seed: int) -> None:
    """One training as its own process, resumed where it stopped; seed 0 goes into data/checkpoints."""
    folder = run_folder(fold, variant, seed)
    if not finished(folder):
        command = [
            sys.executable, "-m", "panet_lite", "train", "--fold", str(fold), "--drop-unseen", "--seed", str(seed),
            "--lambda-par", str(LAMBDA[variant]), "--out", os.path.relpath(folder, ROOT),
        ]  # fmt: skip
        resume = ["--resume"] if (folder / "state.safetensors").exists() else []
        run(command + resume)
    if seed == 0:
        name = VARIANTS[variant].format(fold)
        shutil.copy(folder / "checkpoint.safetensors", CHECKPOINTS / name)
        shutil.copy(folder / "log.json", (CHECKPOINTS / name).with_suffix(".json"))


def weights_of(fold: int, variant: str, seed: int) -> Path:
    """A model's checkpoint: seed 0 is committed, so its scores can be had without training."""
    if seed == 0:
        return CHECKPOINTS / VARIANTS[variant].format(fold)
    return run_folder(fold, variant, seed) / "checkpoint.safetensors"


def models(seeds: list[int], fold: int) -> Iterator[tuple[dict, PANet]]:
    """(key, model) of every model of a fold that there is, PANet-init first."""
    yield {"fold": fold, "variant": "init", "seed": 0, "weights": "imagenet"}, pretrained(fold, "init")
    for variant, seed in ((v, s) for s in seeds for v in LAMBDA):
        path = weights_of(fold, variant, seed)
        if seed == 0 or finished(path.parent):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            key = {"fold": fold, "variant": variant, "seed": seed, "weights": digest}
            yield key, PANet(trained_backbone(path)).eval()


class Results:
    """A results file: a list of entries, each with what it was measured on and what came out."""

    def __init__(self, name: str):
        self.path = RESULTS / f"{name}.json"
        self.entries = json.loads(self.path.read_text())["results"] if self.path.exists() else []

    def has(self, **key) -> bool:
        """Is this measured already?"""
        return any(all(entry.get(k) == v for k, v in key.items()) for entry in self.entries)

    def add(self, **entry) -> None:
        """Write one more entry down, in place of one for the same question."""
        question = ("fold", "variant", "seed", "annotation", "ways", "shots", "preset")
        self.entries = [e for e in self.entries if any(e.get(k) != entry.get(k) for k in question)] + [entry]
        self.entries.sort(key=lambda e: [str(e.get(k)) for k in question])
        about = {"command": "python data/results/study.py", **circumstances(torch.device("cpu"))}
        text = json.dumps({**about, "results": self.entries}, indent=1)
        write_atomically(self.path, lambda path: path.write_text(text + "\n"))


def score(results: Results, bank: FeatureBank, key: dict, episodes: int, both_counts: bool = False) -> None:
    """Evaluate one shape of episodes; `both_counts` also counts the same predictions the paper's way."""
    if results.has(**key, preset="standard"):
        return
    shape = {k: key[k] for k in ("ways", "shots", "annotation")}
    result = evaluate(bank.model, bank.dataset, key["fold"], bank=bank, episodes=episodes, **shape)
    for preset in ("standard", "paper") if both_counts else ("standard",):
        counted = replace(result, preset=preset)
        first = counted.counts[0, :FIRST, 1:].sum(1).tolist()
        results.add(**key, **counted.summary(), first_counts=first)
    print(key, f"mean-IoU {100 * result.mean_iou:.1f}", flush=True)


def evaluate_all(seeds: list[int], episodes: int) -> None:
    """Tables 1, 2, 5 (one way), 3 (two ways) and 6 (weak annotations), for every model there is."""
    main, two_way, weak = Results("main"), Results("two-way"), Results("weak-annotations")
    dataset = ImageBank(Tabletop("val"))
    for fold in FOLDS:
        for base, model in models(seeds, fold):
            bank = FeatureBank(model, dataset)
            for shots in SHOTS:
                dense = {**base, "ways": 1, "shots": shots, "annotation": "dense"}
                score(main, bank, dense, episodes)
                if base["seed"] == 0:
                    score(two_way, bank, {**dense, "ways": 2}, episodes, both_counts=True)
                for annotation in ("scribble", "box", "point") if base["variant"] == "par" else ():
                    score(weak, bank, {**dense, "annotation": annotation}, episodes)


def measure(bank: FeatureBank, sampler: EpisodeSampler, episodes: int) -> dict:
    """Mean distance of support and query prototypes, background and foreground, raw and normalised."""
    found = {"raw": [], "normalised": []}
    for draw in map(sampler.draw, range(episodes)):
        features = bank[draw.supports][None], bank[draw.queries][None]
        supports = [sampler.support_map(i, draw.classes) for i in draw.supports.ravel()]
        labels = torch.stack(supports).unflatten(0, draw.supports.shape)[None]
        truth = torch.stack([sampler.query_map(i, draw.classes) for i in draw.queries])[None]
        for name, rows in found.items():
            rows.append(prototype_distance(features[0], labels, features[1], truth, name == "normalised")[0])
    found = {name: torch.stack(rows) for name, rows in found.items()}
    return {
        f"{name}_{part}": {"mean": round(d.mean().item(), 4), "standard_error": round(d.std().item() / len(d) ** 0.5, 4)}
        for name, rows in found.items() for part, d in zip(("background", "foreground"), rows.T)
    }  # fmt: skip


def distances(seeds: list[int], episodes: int) -> None:
    """Sec. 4.3: Euclidean distance between support and query prototypes, 1-way 5-shot."""
    results, dataset = Results("distances"), ImageBank(Tabletop("val"))
    for fold in FOLDS:
        sampler = EpisodeSampler(dataset, dataset.fold(fold), ways=1, shots=5, seed=0)
        for key, model in models(seeds, fold):
            check_unseen(model, [dataset.classes[c - 1] for c in sampler.pools])
            if not results.has(**key):
                bank = FeatureBank(model, dataset)
                bank.add(np.unique(np.concatenate(list(sampler.pools.values()))))
                with torch.inference_mode():
                    found = measure(bank, sampler, episodes)
                results.add(**key, ways=1, shots=5, episodes=episodes, **found)
                print(key, found, flush=True)


def curves(seeds: list[int], _) -> None:
    """Fig. 5: the training losses, every 50 steps."""
    results = Results("curves")
    for key in ({"fold": f, "variant": v, "seed": s} for f in FOLDS for v in LAMBDA for s in seeds):
        log = run_folder(**key) / "log.json"
        if finished(log.parent) and not results.has(**(found := {**json.loads(log.read_text()), **key})):
            results.add(**found)


def main() -> None:
    """Run the stages asked for, in order."""
    stages = {"train": None, "evaluate": evaluate_all, "distances": distances, "curves": curves}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stage", choices=stages, nargs="+", default=list(stages))
    parser.add_argument("--folds", type=int, nargs="+", default=list(FOLDS), help="of the training")
    parser.add_argument("--episodes", type=int, default=1000, help="of each of the five runs")
    options = parser.parse_args()
    if "train" in options.stage:
        for seed in options.seeds:
            for variant in LAMBDA:
                for fold in options.folds:
                    train(fold, variant, seed)
    for stage in options.stage:
        if stages[stage]:
            stages[stage](options.seeds, options.episodes)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(STOPPED)
