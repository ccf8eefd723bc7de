"""The command `evaluate` (chapter 7)."""

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import torch

from ..backbones import check_unseen
from ..datasets import AnyDataset
from ..episodes import PRESETS
from ..evaluation import FeatureBank, Result, evaluate, over_folds
from ..files import write_atomically
from ..machine import circumstances, world
from ..model import PANet
from .given import for_fold, open_backbone, open_dataset


def report(where: str, numbers: dict[str, Any], classes: Sequence[str] = ()) -> str:
    """The numbers of one shape of episodes, of a fold and its classes or of all, in a line."""
    low, high, mean, std = (
        100 * x for x in (*numbers["interval_95"], numbers["mean_iou"], numbers["mean_iou_std"])
    )
    score = f"mean-IoU {mean:.1f} (95 % interval {low:.1f} to {high:.1f}, std over runs {std:.1f})"
    each = numbers.get("class_iou", {}).items()
    parts = [", ".join(f"{classes[int(c) - 1]} {100 * (math.nan if v is None else v):.1f}" for c, v in each)]
    if seen := numbers.get("seen_in_training"):
        parts.append(f"the model was trained on {', '.join(seen)}")
    line = f"{where}: {score}, binary-IoU {100 * numbers['binary_iou']:.1f}"
    return "; ".join(filter(None, (line, *parts)))


def classes_asked_for(args: argparse.Namespace, dataset: AnyDataset) -> tuple[int, ...] | None:
    """The labels that --classes names, None for all of a fold. Errors: ValueError where the fold has them not."""
    if not args.classes:
        return None
    if args.fold == "all":
        raise ValueError("--classes names classes of one fold: leave it out, or give --fold a number.")
    classes, fold = dataset.labels_of(args.classes), dataset.fold(args.fold)
    if other := sorted(set(classes) - set(fold)):
        raise ValueError(
            f"{dataset.classes[other[0] - 1]!r} is no class of fold {args.fold}: choose from "
            f"{', '.join(dataset.classes[c - 1] for c in fold)}."
        )
    return classes


def models_of(args: argparse.Namespace, dataset: AnyDataset, device: torch.device) -> dict[int, PANet]:
    """The model of each fold asked for: one for all of them or, where --weights says {fold}, one for each.

    Errors: ValueError, before the first fold takes its time, where one was trained on a class to be tested.
    """
    folds = list(range(len(dataset.folds))) if args.fold == "all" else [args.fold]
    tested = {fold: classes_asked_for(args, dataset) or dataset.fold(fold) for fold in folds}
    paths = {fold: for_fold(args.weights, fold) for fold in folds}
    loaded = {path: PANet(open_backbone(args, path)).to(device) for path in dict.fromkeys(paths.values())}
    for fold, path in paths.items():
        check_unseen(loaded[path], [dataset.classes[c - 1] for c in tested[fold]], args.allow_seen)
    return {fold: loaded[path] for fold, path in paths.items()}


def run_evaluation(args: argparse.Namespace, device: torch.device) -> None:
    """Score the test classes of the fold, or of each and their mean, print the numbers and write them to --out."""
    named, every = PRESETS[args.preset].test_split, args.fold == "all"
    dataset = open_dataset(args, args.split or named.get(args.dataset, named["pascal"]))
    classes, models = classes_asked_for(args, dataset), models_of(args, dataset, device)
    names = ("fold", "backbone", "weights", "annotation", "precision", "seed")
    numbers: dict[str, Any] = {"command": " ".join(sys.argv[1:]), "dataset": repr(dataset)}
    numbers |= {**circumstances(device), **{name: getattr(args, name) for name in names}}

    def note(line: str = "") -> None:
        if world()[0] == 0 and args.out:
            write_atomically(args.out, lambda path: path.write_text(json.dumps(numbers, indent=1)))
        if world()[0] == 0 and line:
            with contextlib.suppress(*[OSError] * bool(args.out)):  # nobody reads on, but --out keeps it
                print(line, flush=True)

    if args.out and not os.path.isfile(args.out):
        note()  # a folder that cannot be written to shows before the work, not after it
    results: dict[int, list[Result]] = {shots: [] for shots in args.shots}
    bank, dtype = None, torch.float16 if args.half else torch.float32
    for fold, model in models.items():
        if bank is None or bank.model is not model:
            bank = FeatureBank(model, dataset, dtype, args.spill, precision=args.precision)
        for shots, several in results.items():
            result = evaluate(
                model, dataset, fold, args.ways, shots, args.runs, args.episodes, args.preset, classes,
                args.seed, args.annotation, bank, args.allow_seen,
            )  # fmt: skip
            several.append(result)
            found, key = result.summary(), f"{args.ways}-way {shots}-shot"
            if every:
                numbers.setdefault(key, {"folds": []})["folds"].append(found)
            else:
                numbers[key] = found
            where = f"fold {fold}, " if every else ""
            note(report(f"{where}{shots}-shot", found, dataset.classes))
    for shots, several in results.items() if every else ():
        found = over_folds(several)
        numbers[f"{args.ways}-way {shots}-shot"] |= found
        note(report(f"mean of {len(several)} folds, {shots}-shot", found))
