"""Does bfloat16 cost accuracy? Trainings in float32 and in bfloat16, of the same seeds, scored alike.

The narrow twin on Tabletop-5i from PANet-init, by the laptop's recipe or less of it; or another backbone on
PASCAL-5i. What is in the file already is not trained again. By default it takes an hour on two cores.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from panet_lite import PANet
from panet_lite.backbones import backbone
from panet_lite.datasets import DATA, ImageBank, Pascal, Tabletop
from panet_lite.evaluation import evaluate
from panet_lite.machine import circumstances, device_named
from panet_lite.training import LAPTOP, PAPER, train, training_episodes

OUT = DATA / "results" / "precision.json"
TWIN = replace(LAPTOP, iterations=1_500, learning_rate=3e-3, milestones=(1_000,))  # with which it was trained


def score(args: argparse.Namespace, precision: str, seed: int) -> dict:
    """Train and score one model."""
    torch.manual_seed(seed)
    device, size = device_named(args.device), {"size": args.size} if args.size else {}
    recipe = PAPER if args.dataset == "pascal" else TWIN
    recipe = replace(recipe, seed=seed, precision=precision, iterations=args.iterations or recipe.iterations)
    weights = args.weights or DATA / "checkpoints" / f"twin-fold{args.fold}-init.safetensors"
    width = {} if args.backbone != "vgg16" or args.dataset == "pascal" else {"width": 0.25}
    model = PANet(backbone(args.backbone, weights, **width)).to(device)
    dataset = {"tabletop": Tabletop, "pascal": Pascal}[args.dataset]
    sampler = training_episodes(
        ImageBank(dataset("train", **size), device), args.fold, recipe, drop_unseen=True
    )
    train(model, sampler, recipe, log=lambda entry: None)
    result = evaluate(model, dataset("val", **size), args.fold)  # in float32, whatever it was trained in
    found = {"dataset": args.dataset, "backbone": args.backbone, "fold": args.fold, "size": args.size}
    return {**found, **asdict(recipe), **circumstances(device), "mean_iou": result.mean_iou,
            "interval_95": result.interval(), "binary_iou": result.binary_iou}  # fmt: skip


def main() -> None:
    """Train what is missing, write, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", choices=("tabletop", "pascal"), default="tabletop")
    parser.add_argument("--backbone", default="vgg16", help="(default: vgg16, on tabletop its narrow twin)")
    parser.add_argument("--weights", help="to start from (default: the book's PANet-init of the fold)")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--size", type=int)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    runs = json.loads(args.out.read_text())["results"] if args.out.is_file() else []
    wanted = {name: getattr(args, name) for name in ("dataset", "backbone", "fold", "size")}
    wanted |= {"iterations": args.iterations} if args.iterations else {}
    for seed in args.seeds:
        for precision in ("float32", "bfloat16"):
            one = {**wanted, "precision": precision, "seed": seed}
            if not any(one.items() <= run.items() for run in runs):
                runs.append({"command": " ".join(["python", *sys.argv]), **score(args, precision, seed)})
                args.out.write_text(json.dumps({"results": runs}, indent=1) + "\n")
    for precision in ("float32", "bfloat16"):
        ious = [r["mean_iou"] for r in runs if {**wanted, "precision": precision}.items() <= r.items()]
        print(
            f"{precision}: mean-IoU {100 * np.mean(ious):.1f}, seeds {', '.join(f'{100 * i:.1f}' for i in ious)}"
        )


if __name__ == "__main__":
    main()
