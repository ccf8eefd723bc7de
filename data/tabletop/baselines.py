"""Neither trivial nor hopeless: 1-shot mean-IoU of three baselines and of the trained model, per fold.

    python data/tabletop/baselines.py [--episodes 1000 --runs 5]

(a) everything that is not floor or wall: all labelled objects are taken for the class asked for;
(b) a colour-histogram prototype: the same method on local colour histograms instead of a network;
(c) the narrow twin with random weights; (d) the book's model, data/checkpoints/fold*.safetensors.
All see the same episodes. Writes baselines.json and the table in README.md.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from panet_lite import PANet, pretrained
from panet_lite.backbones import vgg16
from panet_lite.datasets import VOID, Tabletop
from panet_lite.episodes import EpisodeSampler
from panet_lite.evaluation import Result, confusion, evaluate
from panet_lite.files import write_atomically

HERE = Path(__file__).parent
NAMES = {
    "objects": "(a) everything that is not floor or wall",
    "colour": "(b) colour-histogram prototype",
    "random": "(c) random-weight backbone",
    "trained": "(d) trained model",
}


class ColourHistogram(nn.Module):
    """Features without learning: the histogram of `bins`^3 colours in every 8 x 8 cell.

    Square roots of the shares, so that cosine is the Bhattacharyya coefficient of two histograms.
    """

    def __init__(self, bins: int = 6):
        super().__init__()
        self.bins = bins
        self.place = nn.Parameter(torch.zeros(()), requires_grad=False)  # says on which device we are

    def preprocess(self, images: Tensor) -> Tensor:
        """The images (N, 3, H, W) as they are: their colours are what is counted."""
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in 0..1 to root shares (N, bins^3, H / 8, W / 8)."""
        levels = (images * self.bins).long().clamp(max=self.bins - 1)
        cell = (levels[:, 0] * self.bins + levels[:, 1]) * self.bins + levels[:, 2]
        one_hot = F.one_hot(cell, self.bins**3).permute(0, 3, 1, 2).float()
        return F.avg_pool2d(one_hot, 8).sqrt()


def objects(dataset: Tabletop, fold: int, runs: int, episodes: int) -> Result:
    """Baseline (a) on the episodes that `evaluate` draws."""
    counts, classes = [], []
    for run in range(runs):
        sampler = EpisodeSampler(dataset, dataset.fold(fold), seed=run)
        for draw in map(sampler.draw, range(episodes)):
            labels = dataset.label_map(int(draw.queries[0]))
            predicted = ((labels > 0) & (labels != VOID)).long()
            counts.append(
                confusion(predicted[None], sampler.query_map(draw.queries[0], draw.classes)[None], 2)[
                    0
                ].numpy()
            )
            classes.append(draw.classes)
    shape = (runs, episodes)
    return Result(np.reshape(counts, (*shape, 2, 2)), np.reshape(classes, (*shape, 1)), dataset.fold(fold))


def measure(dataset: Tabletop, fold: int, runs: int, episodes: int) -> dict[str, float]:
    """{baseline: mean-IoU in points} on the classes of a fold."""
    torch.manual_seed(0)
    models = {
        "colour": PANet(ColourHistogram()),
        "random": PANet(vgg16(width=0.25)),
        "trained": pretrained(fold),
    }
    results = {"objects": objects(dataset, fold, runs, episodes)}
    results |= {name: evaluate(m, dataset, fold, runs=runs, episodes=episodes) for name, m in models.items()}
    numbers = {name: round(100 * result.mean_iou, 1) for name, result in results.items()}
    for name, value in numbers.items():
        print(f"fold {fold}, {NAMES[name]}: {value}", flush=True)
    return numbers


def table(numbers: dict) -> str:
    """The baselines as a Markdown table: a row for each, a column for each fold, and the mean."""
    folds = range(len(numbers["objects"]))
    rows = ["| 1-way 1-shot mean-IoU | " + " | ".join(f"fold {f}" for f in folds) + " | mean |"]
    rows.append("|---|" + "---|" * (len(folds) + 1))
    for name, title in NAMES.items():
        cells = " | ".join(f"{v:.1f}" for v in (*numbers[name], np.mean(numbers[name])))
        rows.append(f"| {title} | {cells} |")
    return "\n".join(rows)


def report(numbers: dict[str, list[float]], runs: int, episodes: int) -> None:
    """Write baselines.json and the table of the datasheet."""
    about = {"runs": runs, "episodes": episodes, "torch": torch.__version__, "mean_iou": numbers}
    write_atomically(
        HERE / "baselines.json", lambda path: path.write_text(json.dumps(about, indent=1) + "\n")
    )
    readme = (HERE / "README.md").read_text()
    text = f"<!-- baselines -->\n{table(numbers)}\n<!-- end of baselines -->"
    readme = re.sub(
        r"<!-- baselines -->(.*<!-- end of baselines -->)?", lambda _: text, readme, flags=re.DOTALL
    )
    write_atomically(HERE / "README.md", lambda path: path.write_text(readme))


def main() -> None:
    """Measure all baselines on all folds, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=1000)
    args = parser.parse_args()
    dataset = Tabletop("val")
    rows = [measure(dataset, fold, args.runs, args.episodes) for fold in range(len(dataset.folds))]
    report({name: [row[name] for row in rows] for name in NAMES}, args.runs, args.episodes)


if __name__ == "__main__":
    main()
