"""How fast is the evaluation? `evaluate` against the literal loop, in one run: `make bench`.

The literal loop does for each episode what the paper's text says: it embeds the episode's images,
upsamples their features to the masks, averages under the masks, matches by cosine, upsamples the logits
and counts class by class with NumPy. It gets its images decoded, for nothing. Both see the same
episodes with the same threads, and must predict the same. By --official PATH the authors' head and metric
(their copy of it, which is not part of this project) take part, on the same features' network.
"""

import argparse
import json
import sys
from pathlib import Path

import literal
import numpy as np
import torch
from measuring import clocks, load, peak, table
from official import Official
from tqdm.auto import tqdm

from panet_lite import EpisodeSampler, PANet, pretrained
from panet_lite.backbones import backbone
from panet_lite.datasets import ImageBank, Pascal, SegmentationDataset, Tabletop
from panet_lite.evaluation import FeatureBank, Result, confusion, evaluate
from panet_lite.machine import circumstances
from panet_lite.matching import match, upsample
from panet_lite.model import Features
from panet_lite.prototypes import support_prototypes

TIE = 1e-4  # logits go from -20 to 20; what float32 rounds away between them is some 1e-6


def head(model: PANet, features: Features, labels: torch.Tensor) -> torch.Tensor:
    """The package's own logits of an episode at full size, (1 + W, H, W)."""
    prototypes = support_prototypes(features.support, labels)
    return upsample(match(features.query, prototypes), labels.shape[-2:])[0, 0]


def compare(
    model: PANet,
    images: ImageBank,
    fold: int,
    shots: int,
    result: Result,
    sample: int,
    official: Official | None,
) -> dict:
    """Time the literal loop on the first `sample` episodes of each run and compare what it predicts."""
    runs = len(result.confusions)
    samplers = [EpisodeSampler(images, images.fold(fold), 1, shots, 1, run) for run in range(runs)]
    found = dict(seconds=np.zeros(2), official=np.zeros(2), pixels=0, literal=0, half=0, authors=0, wrong=0)
    metric = official.metric(max_label=len(images.classes)) if official else None
    for run, index in tqdm([(r, i) for r in range(runs) for i in range(sample)], leave=False, disable=None):
        episode = samplers[run].episode(index)
        start = clocks()
        features = model.features(episode)
        predicted, counts = literal.predict(features, episode)
        found["seconds"] += (clocks() - start) / (runs * sample)
        logits = head(model, features, episode.support_labels)
        plain, best = logits.argmax(0), logits.topk(2, 0).values
        other = torch.from_numpy(predicted) != plain
        rounded = head(model, Features(*(f.half().float() for f in features)), episode.support_labels)
        found["pixels"] += plain.numel()
        found["literal"] += int(other.sum())
        found["wrong"] += int((other & (best[0] - best[1] > TIE)).sum())
        found["half"] += int((rounded.argmax(0) != plain).sum())
        ours = result.confusions[run, index]
        found["wrong"] += not np.array_equal(confusion(plain[None], episode.query_labels[0], 2)[0], ours)
        moved = 2 * int(other.sum())  # a pixel moves between two cells
        found["wrong"] += np.abs(counts - ours).sum() > moved
        if official:
            start = clocks()
            predicted = official.score(episode, model.backbone.preprocess, metric)
            found["official"] += (clocks() - start) / (runs * sample)
            found["authors"] += int((torch.from_numpy(predicted) != plain).sum())
    return found


def rows_of(shots: int, found: dict, each: np.ndarray) -> list[dict]:
    """What was found about episodes of so many shots: a row for each implementation that took part."""
    seconds = {"literal": found["seconds"], "official": found["official"], "panet_lite": each}
    other = {"literal": found["literal"], "official": found["authors"], "panet_lite": 0}
    return [
        {
            "shots": shots, "implementation": name, "seconds": value[0], "cpu_seconds": value[1],
            "ratio": found["seconds"][1] / value[1], "other_pixels": other[name], "pixels": found["pixels"],
        }
        for name, value in seconds.items() if value.any()
    ]  # fmt: skip


def measure(
    model: PANet, dataset: SegmentationDataset, fold: int, runs: int, episodes: int, sample: int,
    official: Official | None = None,
) -> tuple[int, dict]:  # fmt: skip
    """Print the table; returns the number of predictions that differ by more than a tie, and what was found."""
    print(f"{dataset!r}, fold {fold}, 1 way, {runs} runs of {episodes} episodes; the loops on")
    print(
        f"the first {sample} of each run, extrapolated. {torch.get_num_threads()} threads, torch {torch.__version__}.\n"
    )
    before, results, seconds = peak(), {}, {}
    for shots in (1, 5):
        start, bank = clocks(), FeatureBank(model, dataset)
        results[shots] = evaluate(model, dataset, fold, 1, shots, runs, episodes, bank=bank)
        seconds[shots] = clocks() - start
    grown, images, rows, loops, wrong, half = peak() - before, ImageBank(dataset), [], 0, 0, 0
    with torch.inference_mode():
        for shots in (1, 5):
            found = compare(model, images, fold, shots, results[shots], sample, official)
            rows += rows_of(shots, found, seconds[shots] / runs / episodes)
            loops, wrong, half = (
                loops + found["seconds"] * runs * episodes,
                wrong + found["wrong"],
                half + found["half"],
            )
    head = ["shots", "implementation", "seconds", "cpu_seconds", "ratio", "other_pixels", "pixels"]
    print("an episode, and how many times faster than literal (by CPU seconds):\n")
    print(table(head, [[row[key] for key in head] for row in rows]), "\n")
    whole = sum(seconds.values())
    for clock, loop, ours in zip(("seconds in all", "CPU seconds in all"), loops, whole):
        print(f"{clock:18}: literal {loop:,.0f}, evaluate {ours:.1f}, {loop / ours:.0f} times less")
    print(
        f"evaluate embeds {len(bank.position)} images once each, for each number of shots; these times include it."
    )
    print(f"A bank in float16 would change {half} pixels.")
    print(f"memory: {grown:.2f} GB more at the peak. Predictions that differ by more than a tie: {wrong}.")
    about = {"dataset": repr(dataset), "fold": fold, "runs": runs, "episodes": episodes, "sample": sample,
             "images": len(bank.position), "seconds": whole[0], "literal_seconds": loops[0], "peak_gb_more": grown}  # fmt: skip
    return wrong, {**about, "ratio": loops[1] / whole[1], "rows": rows}


def main() -> int:
    """Parse the options, measure, and fail where predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", choices=("tabletop", "pascal"), default="tabletop")
    parser.add_argument("--size", type=int, help="side of the square input")
    parser.add_argument("--backbone", help="as of `python -m panet_lite` (default: the book's model)")
    parser.add_argument("--weights", help="of --backbone (default: random)")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=1000, help="of each run and number of shots")
    parser.add_argument("--sample", type=int, default=40, help="episodes of each run for the loops")
    parser.add_argument("--official", metavar="PATH", help="a copy of the authors' repository")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = PANet(backbone(args.backbone, args.weights)).eval() if args.backbone else pretrained(args.fold)
    dataset = {"tabletop": Tabletop, "pascal": Pascal}[args.dataset](
        "val", **({"size": args.size} if args.size else {})
    )
    official = Official(args.official, model.backbone) if args.official else None
    wrong, found = measure(model, dataset, args.fold, args.runs, args.episodes, args.sample, official)
    if args.out:
        about = {
            "command": " ".join(["python", *sys.argv]),
            **circumstances(torch.device("cpu")),
            "load": load(),
        }
        about |= {"backbone": args.backbone or "lite0", "size": args.size}
        args.out.write_text(json.dumps({**about, **found}, indent=1) + "\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
