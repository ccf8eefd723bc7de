"""Command line: python -m panet_lite train | evaluate; for several processes, torchrun -m panet_lite ..."""

import argparse
import json
import os
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

from . import datasets
from .annotations import KINDS
from .backbones import VGG16, vgg16
from .datasets import DATASETS, SegmentationDataset, write_atomically
from .episodes import PRESETS
from .evaluation import Result, evaluate
from .feature_bank import FeatureBank
from .image_bank import ImageBank
from .machine import asked_to_stop, circumstances, device_named, processes, world
from .model import PANet
from .training import (
    LAPTOP,
    PAPER,
    Recipe,
    State,
    load_state,
    save_checkpoint,
    save_state,
    train,
    training_episodes,
)

RECIPES = {"laptop": LAPTOP, "paper": PAPER}


def natural(text: str) -> int:
    """A number from 1 on, for argparse."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def arguments() -> argparse.ArgumentParser:
    """The options of `train` and `evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m panet_lite", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    add = common.add_argument
    add("--dataset", choices=DATASETS, default="tabletop")
    add("--fold", type=int, default=0, help="0..3; fold i is the paper's split-(i + 1)")
    add("--size", type=int, help="side of the square input (default: tabletop its own, pascal 417)")
    add("--width", type=float, default=0.25, help="of VGG-16's layers; 1 is the paper's")
    add("--weights", default="pretrained", help="a checkpoint, imagenet, pretrained (default) or random")
    add("--preset", choices=PRESETS, default="standard")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--seed", type=int, default=0)
    add = commands.add_parser("train", parents=[common], help="Algorithm 1 of the paper").add_argument
    add("--out", type=Path, required=True, help="folder for checkpoint, state and log")
    add("--recipe", choices=RECIPES, default="laptop")
    add("--iterations", type=natural, help="steps of SGD (default, here and below: the recipe's)")
    add("--episodes-per-step", type=natural, help="in each process")
    add("--lambda-par", type=float, help="weight of Eq. 7; 0 trains without PAR")
    add("--drop-unseen", action="store_true", help="leave out training images that show a test class")
    add("--save-every", type=natural, default=500, metavar="STEPS", help="(default: 500)")
    add("--resume", action="store_true", help="go on with the run in --out, if there is one")
    add("--compile", action="store_true", help="torch.compile the backbone")
    add = commands.add_parser("evaluate", parents=[common], help="mean-IoU and binary-IoU").add_argument
    add("--classes", nargs="+", metavar="NAME", help="test only these classes of the fold")
    add("--split", help="list of images to test on (default: the preset's)")
    add("--ways", type=int, default=1)
    add("--shots", type=int, nargs="+", default=[1, 5])
    add("--runs", type=int, default=5)
    add("--episodes", type=int, default=1000)
    add("--annotation", choices=KINDS, default="dense", help="what the supports come with")
    add("--half", action="store_true", help="keep features in float16: half the memory")
    add("--spill", type=Path, metavar="FOLDER", help="keep features in a file there, not in memory")
    add("--out", type=Path, help="JSON file for the numbers")
    return parser


def open_dataset(args: argparse.Namespace, split: str) -> SegmentationDataset:
    """The data set and the size of its images that the command line names."""
    size = {"size": args.size} if args.size else {}
    return DATASETS[args.dataset](split, **size)


def open_backbone(weights: str, width: float, seed: int, fold: int) -> VGG16:
    """VGG-16 with a checkpoint's weights, random ones, or those that every training starts from."""
    torch.manual_seed(seed)
    if weights == "random":
        return vgg16(None, width)
    if weights == "pretrained" and width == 1:
        return vgg16("imagenet")
    if weights == "pretrained":
        weights = datasets.DATA / "checkpoints" / f"fold{fold}-init.safetensors"
        if width != 0.25 or not weights.is_file():
            why = f": {weights} is missing" if width == 0.25 else ""
            raise ValueError(
                f"There are no pre-trained weights of width {width:g}{why}. Give --weights a checkpoint, or random."
            )
    return vgg16(weights, width)


def recipe_asked_for(args: argparse.Namespace) -> Recipe:
    """The named recipe with the changes of the command line."""
    changes = {name: getattr(args, name) for name in ("iterations", "episodes_per_step", "lambda_par")}
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(RECIPES[args.recipe], seed=args.seed, **given)


def open_run(args: argparse.Namespace, settings: dict) -> State | None:
    """What --resume goes on with; without it, a ValueError keeps an earlier run from being lost."""
    path = args.out / "state.safetensors"
    if args.resume and path.is_file():
        return load_state(path, settings)
    if path.is_file():
        raise ValueError(
            f"{args.out} holds a run already: go on with it by --resume, or choose another folder."
        )
    if args.resume:
        warnings.warn(f"There is no run in {args.out} yet: this is its beginning.", stacklevel=2)
    return None


def run_training(args: argparse.Namespace, device: torch.device) -> None:
    """Algorithm 1; checkpoint, state and log go to --out."""
    recipe, out, first = recipe_asked_for(args), args.out, world()[0] == 0
    dataset = open_dataset(args, "trainaug" if args.dataset == "pascal" else "train")
    bank = ImageBank(dataset, device)
    sampler = training_episodes(bank, args.fold, recipe, args.preset, args.drop_unseen)
    settings = {name: getattr(args, name) for name in ("fold", "size", "width", "weights", "preset")}
    settings |= {"drop_unseen": args.drop_unseen, "dataset": repr(dataset), "processes": world()[1]}
    settings |= asdict(recipe)
    state = open_run(args, settings)
    model = PANet(open_backbone("random" if state else args.weights, args.width, args.seed, args.fold)).to(
        device
    )
    if args.compile:
        model.backbone.compile()
    about = {"command": " ".join(sys.argv[1:]), **settings, **circumstances(device)}
    log = json.loads((out / "log.json").read_text())["log"] if state else []
    log = [entry for entry in log if entry["step"] <= state.step]

    def note(*entries: dict) -> None:
        log.extend(entries)
        tqdm.write("".join(json.dumps(entry) + "\n" for entry in entries), end="")
        sys.stdout.flush()
        text = json.dumps({**about, "log": log}, indent=1)
        write_atomically(out / "log.json", lambda path: path.write_text(text))

    def keep(state: State) -> None:
        save_state(out / "state.safetensors", state, settings)
        save_checkpoint(out / "checkpoint.safetensors", model.backbone, {**about, "step": state.step})

    if first and (state is None or state.step < recipe.iterations):
        note()  # a folder that cannot be written to shows before the work, not after it
    with asked_to_stop() as stop:
        step = train(model, sampler, recipe, note, keep, args.save_every, state, stop)
    if step < recipe.iterations and first:
        raise InterruptedError(
            f"Stopped after step {step} of {recipe.iterations}: the same command with --resume goes on from there."
        )
    if first:
        print(f"The weights after step {step} are in {out / 'checkpoint.safetensors'}.")


def report(dataset: SegmentationDataset, shots: int, result: Result) -> str:
    """The numbers of one shape of episodes, in a line."""
    low, high = result.interval()
    classes = ", ".join(
        f"{dataset.classes[c - 1]} {100 * v:.1f}" for c, v in zip(result.test_classes, result.class_iou)
    )
    return (
        f"{shots}-shot: mean-IoU {100 * result.mean_iou:.1f} (95 % interval {100 * low:.1f} to {100 * high:.1f}, "
        f"std over runs {100 * result.mean_iou_std:.1f}), binary-IoU {100 * result.binary_iou:.1f}; {classes}"
    )


def run_evaluation(args: argparse.Namespace, device: torch.device) -> None:
    """Score the test classes of the fold, print the numbers and write them to --out."""
    dataset = open_dataset(args, args.split or PRESETS[args.preset].test_split[args.dataset])
    model = PANet(open_backbone(args.weights, args.width, args.seed, args.fold)).to(device)
    classes = dataset.labels_of(args.classes) if args.classes else None
    if other := sorted(set(classes or ()) - set(dataset.fold(args.fold))):
        raise ValueError(
            f"{dataset.classes[other[0] - 1]!r} is no class of fold {args.fold}: choose from "
            f"{', '.join(dataset.classes[c - 1] for c in dataset.fold(args.fold))}."
        )
    numbers = {"command": " ".join(sys.argv[1:]), "fold": args.fold, "dataset": repr(dataset)}
    numbers |= {
        "weights": args.weights,
        "annotation": args.annotation,
        "seed": args.seed,
        **circumstances(device),
    }
    bank = FeatureBank(model, dataset, torch.float16 if args.half else torch.float32, args.spill)
    for shots in args.shots:
        result = evaluate(
            model, dataset, args.fold, args.ways, shots, args.runs, args.episodes, args.preset, classes,
            args.seed, args.annotation, bank,
        )  # fmt: skip
        if world()[0] == 0:
            print(report(dataset, shots, result), flush=True)
        numbers[f"{args.ways}-way {shots}-shot"] = result.summary()
    if args.out and world()[0] == 0:
        write_atomically(args.out, lambda path: path.write_text(json.dumps(numbers, indent=1)))


def main(argv: list[str] | None = None) -> int:
    """Run a command; a mistake of the user's is one line on stderr and exit code 1."""
    args = arguments().parse_args(argv)
    rank = int(
        os.environ.get("RANK", 0)
    )  # torchrun's; notes are the same in all processes, errors need not be
    name = f"panet_lite, process {rank}" if rank else "panet_lite"
    warnings.showwarning = lambda note, *_: rank or print(f"Note: {note}", file=sys.stderr)
    try:
        device = device_named(args.device)
        with processes(device):
            {"train": run_training, "evaluate": run_evaluation}[args.command](args, device)
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        print(
            f"{name}: torch.compile fails here ({str(error).splitlines()[0]}): leave --compile out.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(f"{name}: Interrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
