"""What the commands do: train, evaluate, segment, download (chapters 6, 7 and 11; appendix on data)."""

import argparse
import json
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from .backbones import Backbone, backbone
from .datasets import AnyDataset, Coco, DiskBank, Folder, ImageBank, Pascal, Tabletop
from .datasets.folders import pictures_among
from .datasets.pictures import picture_of
from .episodes import PRESETS
from .evaluation import FeatureBank, Result, evaluate
from .files import write_atomically
from .machine import asked_to_stop, circumstances, world
from .model import PANet, checkpoint
from .segmenter import Segmentation, Segmenter
from .training import LAPTOP, PAPER, Recipe, State, train, training_episodes
from .training.loop import load_state, save_checkpoint, save_state

DATASETS = {"tabletop": Tabletop, "pascal": Pascal, "coco": Coco, "folder": Folder}
DOWNLOADS = ("voc", "sbd", "coco")
RECIPES = {"laptop": LAPTOP, "paper": PAPER}
# What a run must be resumed with; --root and --skip-broken may change, as a disk or a picture may break.
OVERLAY_SIDE = 1600  # pixels, of the pictures that show what was found
SETTINGS = ("fold", "size", "backbone", "width", "weights", "preset", "drop_unseen", "folds", "classes")


def open_dataset(args: argparse.Namespace, split: str) -> AnyDataset:
    """The data set, the size of its images and its folds as the command line names them."""
    own, folds = args.dataset == "folder", args.folds
    given = {"size": args.size, "root": args.root, "skip_broken": args.skip_broken, "folds": folds}
    if folds and (not folds.isdecimal() if own else args.dataset != "coco"):
        raise ValueError("--folds is A or B for --dataset coco, and a number for folder; others have theirs.")
    if own and folds and args.classes:
        raise ValueError("--classes and --folds both say how classes are split: give one of them.")
    if own:
        given["folds"] = [args.classes] if args.classes else int(folds or 1)
    elif args.classes and args.command == "train":
        raise ValueError("--classes names test classes for --dataset folder; others are trained by --fold.")
    dataset = DATASETS[args.dataset](split, **{name: x for name, x in given.items() if x is not None})
    if args.command == "train" and len(dataset.folds) == 1:
        raise ValueError(
            "Training wants classes to learn from beside those to test on: name the test classes by --classes, "
            "not all there are, or split all classes by --folds NUMBER."
        )
    return DiskBank(dataset, args.decoded) if args.decoded else dataset


def open_backbone(args: argparse.Namespace, weights: str) -> Backbone:
    """The backbone with a checkpoint's weights, random ones, or those that every training starts from."""
    torch.manual_seed(args.seed)
    if weights == "pretrained" and args.backbone == "vgg16" and args.width != 1:
        if args.width != 0.25:
            raise ValueError(
                f"There are no pre-trained weights of width {args.width:g}. Give --weights a checkpoint, or random."
            )
        return backbone(args.backbone, checkpoint(args.fold, "init"), args.width)
    return backbone(args.backbone, None if weights == "random" else weights, args.width)


def recipe_asked_for(args: argparse.Namespace) -> Recipe:
    """The named recipe with the changes of the command line."""
    names = ("iterations", "episodes_per_step", "ways", "shots", "lambda_par", "precision")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return replace(RECIPES[args.recipe], seed=args.seed, **given)


def open_run(args: argparse.Namespace, settings: dict[str, object]) -> State | None:
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
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings |= {"dataset": repr(dataset), "processes": world()[1], **asdict(recipe)}
    state = open_run(args, settings)
    network = open_backbone(args, "random" if state else args.weights)
    model = PANet(network).to(device)
    if args.compile:
        network.compile()
    about = {"command": " ".join(sys.argv[1:]), **settings, **circumstances(device)}
    log = json.loads((out / "log.json").read_text())["log"] if state else []
    log = [entry for entry in log if state and entry["step"] <= state.step]

    def note(*entries: dict[str, float]) -> None:
        log.extend(entries)
        tqdm.write("".join(json.dumps(entry) + "\n" for entry in entries), end="")
        sys.stdout.flush()
        text = json.dumps({**about, "log": log}, indent=1)
        write_atomically(out / "log.json", lambda path: path.write_text(text))

    def keep(state: State) -> None:
        save_state(out / "state.safetensors", state, settings)
        save_checkpoint(out / "checkpoint.safetensors", network, {**about, "step": state.step})

    if first and (state is None or state.step < recipe.iterations):
        note()  # a folder that cannot be written to shows before the work, not after it
    with asked_to_stop() as stop:
        step = train(model, sampler, recipe, note, keep, args.save_every, state, stop, args.cuda_graph)
    if step < recipe.iterations and first:
        raise InterruptedError(
            f"Stopped after step {step} of {recipe.iterations}: the same command with --resume goes on from there."
        )
    if first:
        print(f"The weights after step {step} are in {out / 'checkpoint.safetensors'}.")


def report(dataset: AnyDataset, shots: int, result: Result) -> str:
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
    named = PRESETS[args.preset].test_split
    dataset = open_dataset(args, args.split or named.get(args.dataset, named["pascal"]))
    classes, fold = dataset.labels_of(args.classes) if args.classes else None, dataset.fold(args.fold)
    if other := sorted(set(classes or ()) - set(fold)):
        raise ValueError(
            f"{dataset.classes[other[0] - 1]!r} is no class of fold {args.fold}: choose from "
            f"{', '.join(dataset.classes[c - 1] for c in fold)}."
        )
    model = PANet(open_backbone(args, args.weights)).to(device)
    names = ("fold", "backbone", "weights", "annotation", "precision", "seed")
    numbers = {"command": " ".join(sys.argv[1:]), "dataset": repr(dataset), **circumstances(device)}
    numbers |= {name: getattr(args, name) for name in names}

    def write_numbers() -> None:
        if args.out and world()[0] == 0:
            write_atomically(args.out, lambda path: path.write_text(json.dumps(numbers, indent=1)))

    if args.out and not args.out.is_file():
        write_numbers()  # a folder that cannot be written to shows before the work, not after it
    dtype = torch.float16 if args.half else torch.float32
    bank = FeatureBank(model, dataset, dtype, args.spill, precision=args.precision)
    for shots in args.shots:
        result = evaluate(
            model, dataset, args.fold, args.ways, shots, args.runs, args.episodes, args.preset, classes,
            args.seed, args.annotation, bank,
        )  # fmt: skip
        if world()[0] == 0:
            print(report(dataset, shots, result), flush=True)
        numbers[f"{args.ways}-way {shots}-shot"] = result.summary()
        write_numbers()


def write_overlay(path: Path, source: Path, result: Segmentation) -> None:
    """The picture with what was found drawn over it."""
    from .figures import overlay  # here, as training need not wait for Matplotlib

    picture, _ = picture_of(source, OVERLAY_SIDE)
    labels = Image.fromarray(result.labels.cpu().numpy()).resize(picture.size, Image.Resampling.NEAREST)
    drawn = Image.fromarray(overlay(np.asarray(picture), np.asarray(labels)))
    write_atomically(path, lambda file: drawn.save(file, "JPEG", quality=90))


def run_segment(args: argparse.Namespace) -> None:
    """Segment one's own pictures after those that are marked; goes on after one that cannot be read."""
    if wrong := [given for given in args.support if len(given) not in (2, 3)]:
        raise ValueError(f"--support wants IMAGE MASK, or IMAGE MASK NAME, not {' '.join(wrong[0])}.")
    images, out = [Path(given[0]).expanduser() for given in args.support], args.out.expanduser()
    masks = [given[1] if len(given) == 2 else {given[2]: given[1]} for given in args.support]
    marked = [*images, *(Path(given[1]).expanduser() for given in args.support)]
    queries = pictures_among([path.expanduser() for path in args.query], marked)
    targets = [out / f"{path.stem}{end}" for path in queries for end in (".png", "-overlay.jpg")]
    if there := next((path for path in targets if path.exists()), None):
        raise ValueError(f"{there} is there already, and nothing is overwritten: give --out another folder.")
    model = PANet(open_backbone(args, args.weights))
    segmenter = Segmenter(model, args.size, args.tiled, args.device).fit(images, masks, args.names)
    broken = 0
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large picture is one's own
    for number, path in enumerate(queries, start=1):
        where = f"[{number}/{len(queries)}] "
        try:
            (result,) = segmenter.predict([path])
            result.save(out / f"{path.stem}.png")
            write_overlay(out / f"{path.stem}-overlay.jpg", path, result)
        except ValueError as error:
            broken += 1
            print(f"{where}{error}", file=sys.stderr, flush=True)
            continue
        shares = (
            torch.bincount(result.labels.flatten(), minlength=len(result.names) + 1)[1:]
            / result.labels.numel()
        )
        found = zip(result.scores.items(), (100 * shares).tolist())
        says = ", ".join(f"{name} {share:.1f} % (score {score:.2f})" for (name, score), share in found)
        print(f"{where}{out / path.stem}.png: {says}", flush=True)
    if broken:
        raise ValueError(
            f"{broken} of {len(queries)} pictures could not be segmented; the others are in {out}."
        )


def run_download(args: argparse.Namespace) -> None:
    """Fetch a data set and say how to use it."""
    from .datasets.downloads import download  # here, as no other command need wait for torchvision

    download(args.what, args.root, args.keep_archives)
    use = "coco" if args.what == "coco" else "pascal"
    print(f"Use it with --dataset {use} --root {args.root}")
