"""Command line: python -m panet_lite train | evaluate | segment | download; for several processes, torchrun -m ..."""

import argparse
import contextlib
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .annotations import KINDS
from .backbones.weights import header
from .commands import DATASETS, DOWNLOADS, RECIPES, run_download, run_evaluation, run_segment, run_training
from .commands.given import for_fold
from .commands.training import SIDE
from .datasets.banks import PIXEL, must_fit
from .episodes import PRESETS
from .machine import PRECISIONS, device_named, processes

FROZEN = 3  # stages of Lite0 from ImageNet: what they see is the same everywhere, and steps are cheaper
MASK_VALUES: dict[str, Any] = {"nargs": "+", "metavar": "VALUE=NAME", "help": "what values of one's own masks mean, as in "
    "0=background 128=void 255=crack, or 0-127=background"}  # fmt: skip
SHORT = "out of memory|not enough memory|allocate memory"  # in the words of CUDA and of others
EPISODE = 8000  # bytes: its place in each of the interval's 1000 samples
Add = Callable[..., object]  # the `add_argument` of a command's parser


def number(text: str, least: float = 1, most: float = 10**7, kind: type[int | float] = int) -> float:
    """A number from `least` to `most`, for argparse: no slip of the finger that would take a lifetime."""
    with contextlib.suppress(ValueError):
        if least <= (value := kind(text)) <= most:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no {kind.__name__} from {least:,} to {most:,}")


def folder(text: str) -> Path:
    """A folder to write into, for argparse, there or not; no file, and not the whole disk."""
    path = Path(os.path.expanduser(text))
    there = next(p for p in (path, *path.absolute().parents) if os.path.exists(p))
    if text.strip() and path.resolve().name and there.is_dir() and os.access(there, os.W_OK):
        return path
    raise argparse.ArgumentTypeError(f"{text!r} is no folder that you may write to: name another")


# What a label map can tell apart; what seeds of torch can hold; sides whose images fit into some memory.
WAYS, SEED, PIXELS = (partial(number, least=a, most=b) for a, b in ((1, 254), (0, 2**63 - 1), (1, 100_000)))


def fold_number(text: str) -> int | str:
    """A fold, or `all`."""
    return text if text == "all" else int(number(text, least=0))


def add_network(add: Add) -> None:
    """Which backbone, and its weights."""
    add("--backbone", help="lite0 (default), vgg16, any of timm, or one of these with :STAGE behind it")
    width = partial(number, kind=float, least=1 / 64, most=4)  # from one channel of VGG-16's first layer
    add("--width", type=width, help="VGG-16 of this width: 1 is the paper's, 0.25 the book's twin")
    add("--weights", default="pretrained", help="a checkpoint (names its network itself; evaluate: may hold {fold}), "
        "imagenet, pretrained (default: imagenet, for the twin its own) or random")  # fmt: skip


def add_common(add: Add) -> None:
    """The options that `train` and `evaluate` share: data, model, machine."""
    add("--dataset", choices=DATASETS, default="tabletop")
    add("--root", type=Path, metavar="FOLDER", help="where the data set lies")
    add("--fold", type=fold_number, default=0, help="0..3, the paper's split-(i + 1); evaluate: all, too")
    add("--folds", help="coco: A (paper, default) or B; folder: how many folds to make of its classes")
    add("--classes", nargs="+", metavar="NAME", help="test only these of the fold; folder: these are fold 0")
    add("--size", type=PIXELS, help="side of the square input (default: tabletop its own, others 417)")
    add("--mask-values", **MASK_VALUES)
    add("--skip-broken", action="store_true", help="decode all images first, leave out what cannot be read")
    add("--decoded", type=Path, metavar="FOLDER", help="keep decoded images there for later runs")
    add_network(add)
    add("--preset", choices=PRESETS, default="standard")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--seed", type=SEED, default=0)


def add_train(add: Add) -> None:
    """The options of `train`; where no default is named, it is the recipe's."""
    add("--out", type=folder, required=True, help="folder for checkpoint, state and log")
    add("--recipe", choices=RECIPES, default="laptop")
    add("--iterations", type=number, help="steps of SGD (default, here and below: the recipe's)")
    add("--episodes-per-step", type=number, help="of each process; more than 1 is another optimisation")
    add("--ways", type=WAYS, help="classes of an episode")
    add("--shots", type=number, help="annotated images of each class")
    weight = partial(number, kind=float, least=0, most=10**6)
    add("--lambda-par", type=weight, help="weight of Eq. 7; 0 trains without PAR")
    add("--freeze", type=partial(number, least=0), metavar="STAGES",
        help="of lite0, that stay as they are (default: 3; 0 with --weights random)")  # fmt: skip
    add("--precision", choices=PRECISIONS, help="of the backbone; auto: bfloat16 where the chip gains by it")
    add("--drop-unseen", action="store_true", help="leave out training images that show a test class")
    add("--save-every", type=number, default=500, metavar="STEPS", help="(default: 500)")
    add("--resume", action="store_true", help="go on with the run in --out, if there is one")
    add("--compile", action="store_true", help="torch.compile the backbone")
    add("--cuda-graph", action="store_true", help="record a step once, let one GPU repeat it")


def add_evaluate(add: Add) -> None:
    """The options of `evaluate`."""
    add("--split", help="list of images to test on (default: the preset's)")
    add("--ways", type=WAYS, default=1)
    add("--shots", type=number, nargs="+", default=[1, 5])
    add("--runs", type=partial(number, most=1000), default=5)
    add("--episodes", type=partial(number, most=10**6), default=1000)
    add("--annotation", choices=KINDS, default="dense", help="what the supports come with")
    add("--precision", choices=PRECISIONS, default="float32", help="of the backbone (default: float32)")
    add("--allow-seen", action="store_true", help="score classes that the weights learned, and say so")
    add("--half", action="store_true", help="keep features in float16: half the memory")
    add("--spill", type=Path, metavar="FOLDER", help="keep features in a file there, not in memory")
    add("--out", type=Path, help="JSON file for the numbers")


def add_segment(add: Add) -> None:
    """The options of `segment`."""
    add("--support", nargs="+", action="append", required=True, metavar=("IMAGE", "MASK"),
        help="a marked picture and its mask: PNG, or JSON of labelme or COCO; a third word names a mask's one class; "
        "give it several times")  # fmt: skip
    add("--query", nargs="+", type=Path, required=True, metavar="PICTURE", help="to segment: files, folders")
    add("--out", type=folder, required=True, metavar="FOLDER", help="for NAME.png and NAME-overlay.jpg")
    add("--names", nargs="+", help="of classes 1, 2, ... in the masks")
    add("--mask-values", **MASK_VALUES)
    side = partial(number, least=192, most=100_000)
    add("--size", type=side, default=320, help="longest side that the network sees (default: 320)")
    add(
        "--tiled",
        action="store_true",
        help="look at larger pictures in tiles of that size, do not shrink them",
    )
    add_network(add)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--seed", type=SEED, default=0)


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


def name_network(args: argparse.Namespace) -> None:
    """Fill in which backbone is meant: the one given, else that of the checkpoint, else Lite0; VGG-16 has a width.
    And, of a training, which of its stages are not trained."""
    about = {} if args.backbone or args.width else header(for_fold(args.weights, getattr(args, "fold", 0)))
    args.backbone = args.backbone or about.get("backbone") or ("vgg16" if args.width else "lite0")
    args.width = args.width or about.get("width") or (0.25 if args.backbone == "vgg16" else 1.0)
    if getattr(args, "freeze", 0) is None:
        name, _, stage = args.backbone.partition(":")
        below = (int(stage) if stage.isdecimal() else 5) - 1
        args.freeze = min(FROZEN, below) if name == "lite0" and args.weights != "random" else 0


def run(args: argparse.Namespace) -> None:
    """The command that was asked for, on its device and with its processes."""
    if args.command == "download":
        return run_download(args)
    device = device_named(args.device)
    must_fit(f"An image of --size {args.size}", (args.size or SIDE) ** 2 * PIXEL, device)
    if args.command == "evaluate":
        scores = args.runs * args.episodes
        must_fit(f"A score of {scores:,} episodes", scores * EPISODE, torch.device("cpu"))
    name_network(args)
    if args.command == "segment":
        return run_segment(args)
    with processes(device):
        {"train": run_training, "evaluate": run_evaluation}[args.command](args, device)


def sentence(error: Exception) -> str:
    """What an error says to whoever gave the command."""
    text, kind = str(error), type(error)
    why = text.partition("\n")[0] or kind.__name__
    if isinstance(error, MemoryError) or isinstance(error, RuntimeError) and re.search(SHORT, text):
        text = f"There is not enough memory ({why}): take a smaller --size, or smaller and fewer episodes"
    elif isinstance(error, BrokenPipeError):
        text = "Nobody reads the output any more: send it to a file"
    elif isinstance(error, OSError) and error.filename:  # the system's own words
        text = f"{error.strerror}: {os.fsdecode(error.filename)}"
    elif kind.__module__.startswith(("torch._dynamo", "torch._inductor")):
        text = f"torch.compile fails here ({why}): leave --compile out"
    elif not text or not isinstance(error, (ValueError, OSError)):
        text = f"{kind.__name__}: {why}. Please report this, with what `python -X dev -m panet_lite` shows"
    return " ".join([text.removesuffix(".") + ".", *getattr(error, "__notes__", ())])


def main(argv: list[str] | None = None) -> int:
    """Run a command; a mistake of the user's is one line on stderr and exit code 1."""
    rank = int(os.environ.get("RANK", 0))  # torchrun's
    name = f"panet_lite, process {rank}" if rank else "panet_lite"

    def tell(text: str) -> None:
        with contextlib.suppress(OSError):  # perhaps nobody listens
            print(text, file=sys.stderr, flush=True)

    # Notes are the same in all processes, errors need not be.
    warnings.showwarning = lambda note, *_: None if rank else tell(f"Note: {note}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be in any encoding
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see the package's first lines
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run(arguments().parse_args(argv))
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        tell(f"{name}: {sentence(error)}")
        return 1
    except KeyboardInterrupt:
        tell(f"{name}: Interrupted.")
        return 130
    finally:
        try:
            print(end="", flush=True)
        except OSError:  # nobody reads: Python would complain of it once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
