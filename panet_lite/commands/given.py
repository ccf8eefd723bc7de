"""The data set and the network that a command line names."""

import argparse

import torch

from ..backbones import Backbone, backbone
from ..datasets import AnyDataset, Coco, DiskBank, Folder, Pascal, Tabletop
from ..datasets.meaning import values_said
from ..model import checkpoint

DATASETS = {"tabletop": Tabletop, "pascal": Pascal, "coco": Coco, "folder": Folder}


def open_dataset(args: argparse.Namespace, split: str) -> AnyDataset:
    """The data set, the size of its images and its folds as the command line names them."""
    own, folds = args.dataset == "folder", args.folds
    given = {"size": args.size, "root": args.root, "skip_broken": args.skip_broken, "folds": folds}
    if folds and (not folds.isdecimal() if own else args.dataset != "coco"):
        raise ValueError("--folds is A or B for --dataset coco, and a number for folder; others have theirs.")
    if own and folds and args.classes:
        raise ValueError("--classes and --folds both say how classes are split: give one of them.")
    if args.mask_values and not own:
        raise ValueError("--mask-values says what masks of one's own mean: it goes with --dataset folder.")
    if own:
        given["mask_values"] = values_said(args.mask_values or ())
        given["folds"] = [args.classes] if args.classes else int(folds or 1)
    elif args.classes and args.command == "train":
        raise ValueError("--classes names test classes for --dataset folder; others are trained by --fold.")
    dataset = DATASETS[args.dataset](split, **{name: x for name, x in given.items() if x is not None})
    if args.command == "train" and len(dataset.folds) == 1:
        how = "name the test classes by --classes, not all there are, or split all classes by --folds NUMBER"
        how = how if own else f"{dataset!r} has {len(dataset.classes)} in one fold"
        raise ValueError(f"Training wants classes to learn from beside those to test on: {how}.")
    return DiskBank(dataset, args.decoded) if args.decoded else dataset


def for_fold(weights: str, fold: int | str) -> str:
    """What --weights means for a fold, where it says {fold}; of all folds, the first."""
    return weights.replace("{fold}", "0" if fold == "all" else str(fold))


def open_backbone(args: argparse.Namespace, weights: str) -> Backbone:
    """The backbone with a checkpoint's weights, random ones, or those that every training starts from."""
    torch.manual_seed(args.seed)
    if weights == "pretrained" and args.backbone == "vgg16" and args.width != 1:
        if args.width != 0.25:
            raise ValueError(
                f"There are no pre-trained weights of width {args.width:g}. Give --weights a checkpoint, or random."
            )
        fold = getattr(args, "fold", 0)
        return backbone(args.backbone, checkpoint(0 if fold == "all" else fold, "twin-init"), args.width)
    return backbone(args.backbone, None if weights == "random" else weights, args.width)
