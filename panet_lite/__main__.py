"""Command line: python -m panet_lite train | evaluate."""

import argparse
import json
import platform
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import torch

from .backbones import vgg16
from .datasets import DATASETS, SegmentationDataset, write_atomically
from .episodes import PRESETS, EpisodeSampler
from .evaluation import Result, evaluate
from .model import PANet
from .training import LAPTOP, PAPER, PretrainRecipe, Recipe, base_classes, pretrain, save_checkpoint, train


def arguments() -> argparse.ArgumentParser:
    """The options of `train` and `evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m panet_lite", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dataset", choices=DATASETS, default="tabletop")
    common.add_argument("--fold", type=int, default=0, help="0..3; fold i is the paper's split-(i + 1)")
    common.add_argument(
        "--size", type=int, help="side of the square input (default: tabletop its own, pascal 417)"
    )
    common.add_argument("--width", type=float, default=0.25, help="of VGG-16's layers; 1 is the paper's")
    common.add_argument("--weights", help='checkpoint to start from, or "imagenet" (width 1)')
    common.add_argument("--preset", choices=PRESETS, default="standard")
    common.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    common.add_argument("--seed", type=int, default=0)
    command = commands.add_parser(
        "train", parents=[common], help="pre-train if no weights are given, then Algorithm 1"
    )
    command.add_argument("--out", type=Path, required=True, help="folder for checkpoint, recipe and log")
    command.add_argument("--recipe", choices=("laptop", "paper"), default="laptop")
    command.add_argument(
        "--pretrain", type=int, metavar="STEPS", help="steps of pre-training from random weights"
    )
    command.add_argument("--iterations", type=int, help="steps of Algorithm 1")
    command.add_argument("--lambda-par", type=float, help="weight of Eq. 7; 0 trains without PAR")
    command.add_argument(
        "--drop-unseen", action="store_true", help="leave out training images that show a test class"
    )
    command = commands.add_parser(
        "evaluate", parents=[common], help="mean-IoU and binary-IoU over runs of episodes"
    )
    command.add_argument("--classes", nargs="+", metavar="NAME", help="test only these classes of the fold")
    command.add_argument("--split", help="list of images to test on (default: the preset's)")
    command.add_argument("--ways", type=int, default=1)
    command.add_argument("--shots", type=int, nargs="+", default=[1, 5])
    command.add_argument("--runs", type=int, default=5)
    command.add_argument("--episodes", type=int, default=1000)
    command.add_argument("--out", type=Path, help="JSON file for the numbers")
    return parser


def device_named(name: str) -> torch.device:
    """The device; a ValueError says what to do where this machine has none of that name."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("There is no CUDA device here (or this torch is a CPU build): use --device cpu.")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"There is no device {name!r} here: use --device cpu.") from error


def open_dataset(args: argparse.Namespace, split: str) -> SegmentationDataset:
    """The data set and the size of its images that the command line names."""
    size = {"size": args.size} if args.size else {}
    return DATASETS[args.dataset](split, **size)


def versions() -> dict:
    """What a number depends on beside the code."""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }


def recipes(args: argparse.Namespace) -> tuple[PretrainRecipe, Recipe]:
    """What the command line asks for: pre-training and Algorithm 1."""
    first = replace(PretrainRecipe(), seed=args.seed)
    recipe = replace(LAPTOP if args.recipe == "laptop" else PAPER, seed=args.seed)
    if args.pretrain is not None:
        first = replace(first, iterations=args.pretrain)
    if args.iterations is not None:
        recipe = replace(recipe, iterations=args.iterations)
    if args.lambda_par is not None:
        recipe = replace(recipe, lambda_par=args.lambda_par)
    return first, recipe


def run_training(args: argparse.Namespace) -> None:
    """Pre-train unless weights are given, train on episodes, write checkpoints and log to --out."""
    device, (first, recipe) = device_named(args.device), recipes(args)
    dataset = open_dataset(args, "trainaug" if args.dataset == "pascal" else "train")
    exclude = dataset.fold(args.fold) if args.drop_unseen else ()
    shape = (recipe.ways, recipe.shots, 1, args.seed, args.preset, exclude)
    sampler = EpisodeSampler(dataset, base_classes(dataset, args.fold), *shape, flip=True)
    about = {"command": " ".join(sys.argv[1:]), "fold": args.fold, "episodes": asdict(recipe), **versions()}
    if args.weights is None:
        about["pretrain"] = asdict(first)
    log: list[dict] = []

    def note(entry: dict) -> None:
        log.append(entry)
        print(json.dumps(entry), flush=True)
        text = json.dumps({**about, "log": log}, indent=1)
        write_atomically(args.out / "log.json", lambda path: path.write_text(text))

    torch.manual_seed(args.seed)
    backbone = vgg16(args.weights, args.width, batch_norm=args.weights is None).to(device)
    note({"phase": "start", "parameters": sum(p.numel() for p in backbone.parameters())})
    if args.weights is None:
        pretrain(backbone, dataset, args.fold, first, note)
        backbone = backbone.folded()
        save_checkpoint(args.out / "pretrained.safetensors", backbone, about)
    train(PANet(backbone), sampler, recipe, note)
    save_checkpoint(args.out / "checkpoint.safetensors", backbone, about)
    print(f"Wrote {args.out / 'checkpoint.safetensors'}")


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


def run_evaluation(args: argparse.Namespace) -> None:
    """Score the test classes of the fold, print the numbers and write them to --out."""
    device = device_named(args.device)
    dataset = open_dataset(args, args.split or PRESETS[args.preset].test_split[args.dataset])
    model = PANet(vgg16(args.weights, args.width)).to(device)
    classes = dataset.labels_of(args.classes) if args.classes else None
    if other := sorted(set(classes or ()) - set(dataset.fold(args.fold))):
        raise ValueError(
            f"{dataset.classes[other[0] - 1]!r} is no class of fold {args.fold}: choose from "
            f"{', '.join(dataset.classes[c - 1] for c in dataset.fold(args.fold))}."
        )
    numbers = {"command": " ".join(sys.argv[1:]), "fold": args.fold, "dataset": repr(dataset), **versions()}
    for shots in args.shots:
        result = evaluate(
            model,
            dataset,
            args.fold,
            args.ways,
            shots,
            args.runs,
            args.episodes,
            args.preset,
            classes,
            args.seed,
        )
        print(report(dataset, shots, result), flush=True)
        numbers[f"{args.ways}-way {shots}-shot"] = result.summary()
    if args.out:
        write_atomically(args.out, lambda path: path.write_text(json.dumps(numbers, indent=1)))


def main(argv: list[str] | None = None) -> int:
    """Run a command; a mistake of the user's is one line on stderr and exit code 1."""
    args = arguments().parse_args(argv)
    warnings.showwarning = lambda message, *_: print(f"Note: {message}", file=sys.stderr)
    try:
        {"train": run_training, "evaluate": run_evaluation}[args.command](args)
    except (ValueError, OSError) as error:
        print(f"panet_lite: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
