"""Command line: python -m panet_lite train | evaluate | segment | download; for several processes, torchrun -m ..."""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from .annotations import KINDS
from .commands import DATASETS, DOWNLOADS, RECIPES, run_download, run_evaluation, run_segment, run_training
from .episodes import PRESETS
from .machine import PRECISIONS, device_named, processes

Add = Callable[..., object]  # the `add_argument` of a command's parser


def number(text: str, kind: type[int | float] = int, least: float = 1) -> float:
    """A number from `least` on, for argparse."""
    with contextlib.suppress(ValueError):
        if (value := kind(text)) >= least:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no {kind.__name__} from {least:g} on")


def add_common(add: Add) -> None:
    """The options that `train` and `evaluate` share: data, model, machine."""
    add("--dataset", choices=DATASETS, default="tabletop")
    add("--root", type=Path, metavar="FOLDER", help="where the data set lies")
    add("--fold", type=int, default=0, help="0..3; fold i is the paper's split-(i + 1)")
    add("--folds", help="coco: A (paper, default) or B; folder: how many folds to make of its classes")
    add("--classes", nargs="+", metavar="NAME", help="test only these of the fold; folder: these are fold 0")
    add("--size", type=number, help="side of the square input (default: tabletop its own, others 417)")
    add("--skip-broken", action="store_true", help="decode all images first, leave out what cannot be read")
    add("--decoded", type=Path, metavar="FOLDER", help="keep decoded images there for later runs")
    add("--backbone", default="vgg16", help="vgg16 (default), lite0, or any of timm: NAME or NAME:STAGE")
    width = partial(number, kind=float, least=1 / 64)  # a channel of VGG-16's first layer
    add("--width", type=width, help="of VGG-16's layers: 0.25 (default); 1 is the paper's")
    add("--weights", default="pretrained", help="a checkpoint, imagenet, pretrained (default) or random")
    add("--preset", choices=PRESETS, default="standard")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--seed", type=partial(number, least=0), default=0)


def add_train(add: Add) -> None:
    """The options of `train`; where no default is named, it is the recipe's."""
    add("--out", type=Path, required=True, help="folder for checkpoint, state and log")
    add("--recipe", choices=RECIPES, default="laptop")
    add("--iterations", type=number, help="steps of SGD (default, here and below: the recipe's)")
    add("--episodes-per-step", type=number, help="of each process; more than 1 is another optimisation")
    add("--ways", type=number, help="classes of an episode")
    add("--shots", type=number, help="annotated images of each class")
    weight = partial(number, kind=float, least=0)
    add("--lambda-par", type=weight, help="weight of Eq. 7; 0 trains without PAR")
    add("--precision", choices=PRECISIONS, help="of the backbone; auto: bfloat16 where the chip gains by it")
    add("--drop-unseen", action="store_true", help="leave out training images that show a test class")
    add("--save-every", type=number, default=500, metavar="STEPS", help="(default: 500)")
    add("--resume", action="store_true", help="go on with the run in --out, if there is one")
    add("--compile", action="store_true", help="torch.compile the backbone")
    add("--cuda-graph", action="store_true", help="record a step once, let one GPU repeat it")


def add_evaluate(add: Add) -> None:
    """The options of `evaluate`."""
    add("--split", help="list of images to test on (default: the preset's)")
    add("--ways", type=int, default=1)
    add("--shots", type=int, nargs="+", default=[1, 5])
    add("--runs", type=int, default=5)
    add("--episodes", type=int, default=1000)
    add("--annotation", choices=KINDS, default="dense", help="what the supports come with")
    add("--precision", choices=PRECISIONS, default="float32", help="of the backbone (default: float32)")
    add("--half", action="store_true", help="keep features in float16: half the memory")
    add("--spill", type=Path, metavar="FOLDER", help="keep features in a file there, not in memory")
    add("--out", type=Path, help="JSON file for the numbers")


def add_segment(add: Add) -> None:
    """The options of `segment`."""
    add("--support", nargs="+", action="append", required=True, metavar=("IMAGE", "MASK"),
        help="a marked picture and its mask: PNG, or JSON of labelme or COCO; a third word names a mask's one class; "
        "give it several times")  # fmt: skip
    add("--query", nargs="+", type=Path, required=True, metavar="PICTURE", help="to segment: files, folders")
    add("--out", type=Path, required=True, metavar="FOLDER", help="for NAME.png and NAME-overlay.jpg")
    add("--names", nargs="+", help="of classes 1, 2, ... in the masks")
    side = partial(number, least=192)
    add("--size", type=side, default=320, help="longest side that the network sees (default: 320)")
    add(
        "--tiled",
        action="store_true",
        help="look at larger pictures in tiles of that size, do not shrink them",
    )
    add("--backbone", default="lite0", help="lite0 (default), vgg16, or any network of timm")
    add("--width", type=partial(number, kind=float, least=1 / 64), help="of VGG-16's layers: 0.25 (default)")
    add(
        "--weights",
        default="pretrained",
        help="a checkpoint, or pretrained (default): ImageNet's, the twin's",
    )
    add("--fold", type=int, default=0, help="which of the twin's checkpoints")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--seed", type=partial(number, least=0), default=0)


def add_download(add: Add) -> None:
    """The options of `download`."""
    add("what", choices=DOWNLOADS, help="PASCAL VOC 2012, SBD's masks for it, or MS COCO 2014")
    add("--root", type=Path, required=True, metavar="FOLDER", help="where to put it, VOC and SBD in one")
    add("--keep-archives", action="store_true", help="do not delete an archive once it is unpacked")


def arguments() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m panet_lite", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, says, options in (
        ("train", "Algorithm 1 of the paper", (add_common, add_train)),
        ("evaluate", "mean-IoU and binary-IoU", (add_common, add_evaluate)),
        ("segment", "your own pictures, after a few that are marked", (add_segment,)),
        ("download", "get a data set", (add_download,)),
    ):
        command = commands.add_parser(name, help=says)
        for add_options in options:
            add_options(command.add_argument)
    return parser


def run(args: argparse.Namespace) -> None:
    """The command that was asked for, on its device and with its processes."""
    if args.command == "download":
        return run_download(args)
    device = device_named(args.device)
    args.width = args.width or (0.25 if args.backbone == "vgg16" else 1.0)
    if args.command == "segment":
        return run_segment(args)
    with processes(device):
        {"train": run_training, "evaluate": run_evaluation}[args.command](args, device)


def main(argv: list[str] | None = None) -> int:
    """Run a command; a mistake of the user's is one line on stderr and exit code 1."""
    args = arguments().parse_args(argv)
    rank = int(os.environ.get("RANK", 0))  # torchrun's
    name = f"panet_lite, process {rank}" if rank else "panet_lite"
    # Notes are the same in all processes, errors need not be.
    warnings.showwarning = lambda note, *_: None if rank else print(f"Note: {note}", file=sys.stderr)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        why = str(error).splitlines()[0]
        print(f"{name}: torch.compile fails here ({why}): leave --compile out.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: Interrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
