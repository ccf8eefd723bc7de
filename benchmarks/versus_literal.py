"""How much faster than the paper taken literally, and than the authors' code? `make bench`.

All see the same tensors and weights in one run, in turns; medians of wall and CPU seconds, how many times
faster than the literal way (by CPU seconds on a CPU, which neighbours disturb less), and whether they agree.
Peak memory is that of a process for each. Parts: pooling (Eq. 1-2, forward), head (all that follows the
backbone, forward and backward), step (of training, with VGG-16), by ways and shots. The whole evaluation is
evaluation.py's.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import literal
import torch
from measuring import alternately, load, peak, table
from official import Official
from torch import Tensor

from panet_lite import PANet
from panet_lite.alignment import alignment_loss
from panet_lite.backbones import vgg16
from panet_lite.episodes import Episode
from panet_lite.machine import circumstances, device_named, layout, tuned
from panet_lite.matching import match, segmentation_loss
from panet_lite.prototypes import support_prototypes
from panet_lite.training.step import CUDAGraph, GraphedStep, Recipe, sgd, sgd_step

PARTS = ("pooling", "head", "step")
SHAPES = ((1, 1), (1, 5), (2, 1), (2, 5))  # ways, shots
# How far a gradient may be from the literal one, of its length: in float32, TensorFloat-32 (GPUs), bfloat16.
NEAR = {"cpu": 5e-3, "cuda": 0.05, "bfloat16": 0.15}


def draw_labels(generator: torch.Generator, ways: int, count: int, size: int) -> Tensor:
    """Label maps (count, size, size) of smooth blobs, a tenth void."""
    noise = torch.randn(count, ways + 2, 6, 6, generator=generator)
    noise[:, -1] -= 1.2
    return literal.enlarge(noise, (size, size)).argmax(1).apply_(lambda v: 255 if v > ways else v).byte()


def draw_episode(ways: int, shots: int, size: int, device: torch.device) -> Episode:
    """One episode of noise, whose label maps show all its classes."""
    generator = torch.Generator().manual_seed(1000 * ways + shots)
    images = torch.rand(ways * shots + 1, 3, size, size, generator=generator)
    labels = draw_labels(generator, ways, ways * shots + 1, size)
    support = images[:-1].unflatten(0, (1, ways, shots)), labels[:-1].unflatten(0, (1, ways, shots))
    return Episode(*support, images[None, -1:], labels[None, -1:], torch.arange(1, ways + 1)[None]).to(device)


def our_head(support: Tensor, query: Tensor, labels: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """As `literal.head_losses`, by the package."""
    support, query, labels, truth = support[None], query[None], labels[None], truth[None]
    logits = match(query, support_prototypes(support, labels))
    return segmentation_loss(logits, truth), alignment_loss(query, logits, support, labels)


def heads(part: str, episode: Episode, official: Official | None = None) -> dict[str, Callable]:
    """For each implementation, a function that computes pooling or head and returns what must agree."""
    (ways, shots), size = episode.support_labels.shape[1:3], episode.query_labels.shape[-1]
    side, generator = (size + 7) // 8, torch.Generator().manual_seed(ways * 10 + shots)
    features = torch.randn(ways * shots + 1, 512, side, side, generator=generator)
    features = features.to(episode.query_images.device)
    labels, truth = episode.support_labels[0], episode.query_labels[0]

    def head(losses: Callable) -> Callable:
        def work() -> Tensor:
            leaf = features.clone().requires_grad_()
            found = losses(leaf[:-1].unflatten(0, (ways, shots)), leaf[-1:], labels, truth)
            sum(found).backward()
            return leaf.grad

        return work

    if part == "head":
        return {"literal": head(literal.head_losses), "panet_lite": head(our_head)} | (
            {"official": head(official.head_losses)} if official else {}
        )
    support = features[:-1].unflatten(0, (ways, shots))
    return {
        "literal": lambda: torch.stack(literal.prototypes(support, labels)),
        "panet_lite": lambda: support_prototypes(support[None], labels[None])[0],
    }


class Step:
    """A training step on an episode; called, it returns how far it moves the first and last weights."""

    def __init__(self, name: str, episode: Episode, official: str | None = None, width: float = 1.0):
        torch.manual_seed(0)
        device, self.episode, self.official = episode.query_images.device, episode, None
        self.model, self.take = PANet(vgg16(width=width)).to(device).train(), self.plainly
        self.recipe = replace(Recipe(), precision="bfloat16" if "bfloat16" in name else "float32")
        if name == "official":
            self.official = Official(official, self.model.backbone)
            self.trained = self.official.model
        else:
            self.trained = self.model
        if name.startswith("panet_lite"):
            self.model.to(memory_format=layout(device))
            self.take = GraphedStep(CUDAGraph(device)) if "graph" in name else sgd_step
        self.optimizer = sgd(self.trained, self.recipe) if self.take != self.plainly else torch.optim.SGD(
            self.trained.parameters(), self.recipe.learning_rate, 0.9, weight_decay=5e-4
        )  # fmt: skip

    def plainly(self, model: PANet, episode: Episode, optimizer: torch.optim.Optimizer, recipe: Recipe):
        """What the authors' script does in a step, with their model or the literal head."""
        optimizer.zero_grad()
        preprocess, maps = model.backbone.preprocess, (episode.support_labels[0], episode.query_labels[0])
        if self.official:
            images = preprocess(episode.support_images[0]), preprocess(episode.query_images[0])
            losses = self.official.losses(images[0], maps[0], images[1], maps[1])
        else:
            losses = literal.losses(model, episode)
        sum(losses).backward()
        optimizer.step()
        return torch.stack([loss.detach() for loss in losses]).cpu()  # the script reads them at each step

    def __call__(self) -> Tensor:
        """How far one step moves the first and the last kernel: (n,), both flattened into one row."""
        weights = [p for p in self.trained.parameters() if p.ndim == 4]
        ends = (weights[0], weights[-1])
        before = [weight.detach().clone() for weight in ends]
        self.take(self.model, self.episode, self.optimizer, self.recipe)
        return torch.cat([(a.detach() - b).flatten() for a, b in zip(ends, before)])


def implementations(part: str, device: torch.device, official: str | None) -> list[str]:
    """What there is to be measured."""
    names = ["literal", *(["official"] if official and part != "pooling" else []), "panet_lite"]
    if part == "step":
        names += ["panet_lite bfloat16", *(["panet_lite bfloat16 graph"] if device.type == "cuda" else [])]
    return names


def works(part: str, names: list[str], episode: Episode, official: str | None) -> dict[str, Callable]:
    """The functions to be timed."""
    if part == "step":
        return {name: Step(name, episode, official) for name in names}
    authors = Official(official, vgg16().to(episode.query_images.device)) if "official" in names else None
    found = heads(part, episode, authors)
    return {name: found[name] for name in names}


def alone(args: argparse.Namespace, part: str, name: str, ways: int, shots: int) -> float:
    """Peak memory in GB of a process that does nothing else."""
    shape, size = map(str, (ways, shots)), ["--size", str(args.size)]
    command = [sys.executable, __file__, "--alone", part, name, *shape, *size]
    command += ["--device", args.device, *(["--official", args.official] if args.official else [])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure(args: argparse.Namespace, part: str, ways: int, shots: int) -> list[dict]:
    """A row for each implementation."""
    device = device_named(args.device)
    names = implementations(part, device, args.official)
    todo = works(part, names, draw_episode(ways, shots, args.size, device), args.official)
    gpu = device.type == "cuda"
    times = 10 if gpu else {"pooling": 5, "head": 2, "step": 1}[part]  # on a CPU, a step takes seconds
    results, seconds = alternately(todo, args.rounds * times, warm_up=5 if gpu else int(part != "step"))
    expected, clock, rows = results["literal"].double(), 0 if gpu else 1, []
    for name in names:
        error = float((results[name].double() - expected).norm() / expected.norm())
        rows.append({
            "part": part, "ways": ways, "shots": shots, "size": args.size, "device": device.type,
            "implementation": name, "seconds": float(seconds[name][0]), "cpu_seconds": float(seconds[name][1]),
            "ratio": float(seconds["literal"][clock] / seconds[name][clock]), "difference": error,
            "agrees": error < NEAR["bfloat16" if "bfloat16" in name else device.type],
            "peak_gb": alone(args, part, name, ways, shots) if args.memory else None,
        })  # fmt: skip
    return rows


def keep(path: Path, about: dict, rows: list[dict]) -> None:
    """Write the rows into the file, in place of earlier ones of the same thing; others stay."""

    def key(row: dict) -> list:
        return [row[name] for name in ("part", "ways", "shots", "size", "device", "implementation")]

    new = [{**row, **about} for row in rows]
    old = json.loads(path.read_text())["rows"] if path.is_file() else []
    old = [row for row in old if key(row) not in list(map(key, new))]
    path.write_text(json.dumps({"rows": sorted([*old, *new], key=key)}, indent=1) + "\n")


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--shapes", nargs="+", default=["1x1", "1x5"], help="ways x shots (all: 1x1 1x5 2x1 2x5)"
    )
    parser.add_argument("--size", type=int, default=417)
    parser.add_argument("--rounds", type=int, default=1, help="of a step; more of what is short")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--official", metavar="PATH", help="a copy of the authors' repository")
    parser.add_argument("--memory", action="store_true", help="peak memory too, a process for each")
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """Parse the options, measure, print; 1 where results do not agree."""
    args, rows = arguments().parse_args(), []
    device = device_named(args.device)
    if args.alone:
        part, name, ways, shots = args.alone
        episode = draw_episode(int(ways), int(shots), args.size, device)
        (work,) = works(part, [name], episode, args.official).values()
        work()
        print(peak())
        return 0
    about = {"command": " ".join(["python", *sys.argv]), **circumstances(device), "load": load()}
    with tuned():
        for part in args.parts:
            for ways, shots in (map(int, shape.split("x")) for shape in args.shapes):
                rows += measure(args, part, ways, shots)
                if args.out:
                    keep(args.out, about, rows)
                print(f"{part}, {ways}-way {shots}-shot", file=sys.stderr)
    keys = "part ways shots implementation seconds cpu_seconds ratio difference peak_gb".split()
    print(f"{about['hardware']}, {about['threads']} threads, torch {about['torch']}, {args.size} px\n")
    print(table(keys, [["-" if row[key] is None else row[key] for key in keys] for row in rows]))
    if device.type == "cpu":
        print("\nCUDA: not measured: no GPU at hand.")
    return int(not all(row["agrees"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
