"""The command `train` (chapter 6)."""

import argparse
import contextlib
import json
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..backbones import Backbone, seen_among, trained_on
from ..backbones.weights import header
from ..datasets import ImageBank
from ..datasets.banks import PIXEL, must_fit
from ..episodes import EpisodeSampler
from ..files import alone, write_atomically
from ..machine import asked_to_stop, circumstances, world
from ..model import PANet
from ..training import LAPTOP, PAPER, Recipe, State, train, training_episodes
from ..training.states import load_state, save_checkpoint, save_state
from .given import open_backbone, open_dataset

SIDE = 192  # pixels of Tabletop's images, the least that --size is by default
Entry = dict[str, float]  # of the log
RECIPES = {"laptop": LAPTOP, "paper": PAPER}
# What a run must be resumed with; --root and --skip-broken may change, as a disk or a picture may break.
SETTINGS = (
    "fold", "size", "backbone", "width", "weights", "freeze", "preset", "drop_unseen", "folds", "classes", "mask_values",
)  # fmt: skip


def recipe_asked_for(args: argparse.Namespace) -> Recipe:
    """The named recipe with the changes of the command line."""
    names = ("iterations", "episodes_per_step", "ways", "shots", "lambda_par", "precision")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return replace(RECIPES[args.recipe], seed=args.seed, **given)


def is_there(args: argparse.Namespace) -> bool:
    """Whether there is a run to go on with; without --resume, a ValueError keeps it from being lost."""
    there: bool = (args.out / "state.safetensors").is_file()
    if there and not args.resume:
        raise ValueError(
            f"{args.out} holds a run already: go on with it by --resume, or choose another folder."
        )
    return there


def open_run(args: argparse.Namespace, settings: dict[str, object]) -> tuple[State | None, list[Entry]]:
    """What --resume goes on with: the state, and the log up to there. Errors: ValueError where it is none."""
    if not is_there(args):
        if args.resume:
            warnings.warn(f"There is no run in {args.out} yet: this is its beginning.", stacklevel=2)
        return None, []
    state, path = load_state(args.out / "state.safetensors", settings), args.out / "log.json"
    if not path.is_file():
        warnings.warn(f"There is no {path} any more: it begins anew after step {state.step}.", stacklevel=2)
        return state, []
    try:
        log = [
            {name: entry[name] + 0 for name in ("step", "seg", "par", "seconds")}
            for entry in json.loads(path.read_text())["log"][:]
        ]
    except Exception as error:  # what can be wrong with it has many kinds
        raise ValueError(
            f"{path} is no log of a training ({type(error).__name__}): put back what it was; without it, if you "
            "delete it, --resume begins a new one."
        ) from error
    return state, [entry for entry in log if entry["step"] <= state.step]


class Files:
    """What a run writes to --out: the log as it comes; checkpoint and state every so often."""

    def __init__(self, out: Path, about: dict[str, object], log: list[Entry], network: Backbone, kept: int):
        self.out, self.about, self.log, self.network = out, about, log, network
        self.checkpoint = out / "checkpoint.safetensors"
        self.kept = kept  # steps that the state on disk holds
        self.deaf: OSError | None = None  # why nothing can be printed

    def note(self, *entries: Entry) -> None:
        """Add to the log, on disk and then for those who watch."""
        self.log.extend(entries)
        text = json.dumps({**self.about, "log": self.log}, indent=1)
        write_atomically(self.out / "log.json", lambda path: path.write_text(text))
        try:
            with tqdm.external_write_mode():
                print("".join(json.dumps(entry) + "\n" for entry in entries), end="", flush=True)
        except OSError as error:
            self.deaf = error

    def keep_weights(self, step: int) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.checkpoint, self.network, {**self.about, "step": step})

    def keep(self, state: State, settings: dict[str, object]) -> None:
        """Write the checkpoint, then the state: none speaks of weights that are not there."""
        self.keep_weights(state.step)
        save_state(self.out / "state.safetensors", state, settings)
        self.kept = state.step


def train_into(
    args: argparse.Namespace, recipe: Recipe, sampler: EpisodeSampler, model: PANet, settings: dict[str, object]
) -> None:  # fmt: skip
    """Train, from the state in --out if there is one; the steps done are kept there, whatever happens."""
    (state, log), first = open_run(args, settings), world()[0] == 0
    about = {"command": " ".join(sys.argv[1:]), **settings, **circumstances(next(model.parameters()).device)}
    about["trained_on"] = trained_upon(model.backbone, sampler, args, bool(state))  # type: ignore[arg-type]
    files = Files(args.out, about, log, model.backbone, state.step if state else 0)  # type: ignore[arg-type]
    if first and files.kept < recipe.iterations:
        files.note()  # a folder that cannot be written to shows before the work, not after it
    try:
        with asked_to_stop() as asked:
            step = train(
                model, sampler, recipe, files.note, lambda state: files.keep(state, settings), args.save_every,
                state, lambda: asked() or files.deaf is not None, args.cuda_graph,
            )  # fmt: skip
    except Exception as error:
        if files.kept:
            error.add_note(f"{files.kept} steps are kept: the same command with --resume goes on from there.")
        raise
    if first and step < recipe.iterations:
        why = f", as nobody reads the output ({files.deaf.strerror})" if files.deaf else ""
        raise InterruptedError(
            f"Stopped after step {step} of {recipe.iterations}{why}: the same command with --resume goes on from there."
        )
    if first:
        if header(files.checkpoint).get("step") != step:  # it was lost since
            files.keep_weights(step)
        print(f"The weights after step {step} are in {files.checkpoint}.")


def trained_upon(
    network: Backbone, sampler: EpisodeSampler, args: argparse.Namespace, resumed: bool
) -> list[str]:
    """The classes that the weights will have learned: those that they knew before, and those of the episodes."""
    classes = sampler.dataset.classes
    if resumed:
        network.trained_on = trained_on(args.out / "checkpoint.safetensors")
    elif seen := seen_among(network, [classes[c - 1] for c in sampler.dataset.fold(args.fold)]):
        says = f"Training starts from weights that learned {', '.join(seen)}, classes of fold {args.fold}"
        warnings.warn(f"{says}: no test may ask for them afterwards.", stacklevel=2)
    return list(dict.fromkeys([*network.trained_on, *(classes[c - 1] for c in sampler.pools)]))


def run_training(args: argparse.Namespace, device: torch.device) -> None:
    """Algorithm 1; checkpoint, state and log go to --out, which no other run writes into meanwhile."""
    recipe, resumed = recipe_asked_for(args), is_there(args)
    images = (recipe.ways * recipe.shots + 1) * recipe.episodes_per_step
    must_fit(f"A step of {images:,} images", images * (args.size or SIDE) ** 2 * PIXEL, device)
    dataset = open_dataset(args, "trainaug" if args.dataset == "pascal" else "train")
    sampler = training_episodes(ImageBank(dataset, device), args.fold, recipe, args.preset, args.drop_unseen)
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings |= {"dataset": repr(dataset), "processes": world()[1], **asdict(recipe)}
    network = open_backbone(args, "random" if resumed else args.weights)
    network.freeze(args.freeze)
    model = PANet(network).to(device)
    if args.compile:
        network.compile()
    busy = f"Another run writes into {args.out} right now: wait for its end, or choose another folder."
    with alone(args.out / ".lock", 0, busy) if world()[0] == 0 else contextlib.nullcontext():
        train_into(args, recipe, sampler, model, settings)
