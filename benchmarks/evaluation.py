"""How fast is the evaluation? `evaluate` against the literal loop, in one run: `make bench`.

The literal loop does for each episode what the paper's text says: it embeds the episode's images,
upsamples their features to the masks, averages under the masks, matches by cosine, upsamples the logits
and counts class by class with NumPy. It gets its images decoded, for nothing. Both see the same
episodes with the same threads, and must predict the same.
"""

import argparse
import platform
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from panet_lite import EpisodeSampler, PANet, pretrained
from panet_lite.datasets import VOID, SegmentationDataset, Tabletop
from panet_lite.episodes import Episode
from panet_lite.evaluation import Result, confusion, evaluate
from panet_lite.feature_bank import FeatureBank
from panet_lite.image_bank import ImageBank
from panet_lite.matching import match, upsample
from panet_lite.model import Features
from panet_lite.prototypes import support_prototypes

TIE = 1e-4  # logits go from -20 to 20; what float32 rounds away between them is some 1e-6


def clocks() -> np.ndarray:
    """Seconds on the wall, and seconds that the cores have worked: on a busy machine the second counts."""
    return np.array([time.perf_counter(), time.process_time()])


def literal(model: PANet, episode: Episode) -> tuple[np.ndarray, np.ndarray, Features]:
    """The loop's body: predictions (H, W), confusions (1 + W, 1 + W), and the features it made."""
    features, labels = model.features(episode), episode.support_labels[0]
    size = labels.shape[-2:]
    means = []  # (W, K, 2, C): background and class
    for way, (images, maps) in enumerate(zip(features.support[0], labels), start=1):
        large = F.interpolate(images, size=size, mode="bilinear", align_corners=False)  # (K, C, H, W)
        for label in (0, way):
            mask = (maps == label)[:, None].float()
            means.append((large * mask).sum((2, 3)) / (mask.sum((2, 3)) + 1e-5))
    prototypes = [torch.stack(means[::2]).mean((0, 1)), *(way.mean(0) for way in means[1::2])]
    query = features.query[0]  # (1, C, h, w)
    logits = [20 * F.cosine_similarity(query, p[None, :, None, None], dim=1, eps=1e-8) for p in prototypes]
    logits = F.interpolate(torch.stack(logits, 1), size=size, mode="bilinear", align_corners=False)
    predicted, truth = logits.numpy().argmax(1)[0], episode.query_labels[0, 0].numpy()
    classes = range(len(prototypes))
    valid = truth != VOID
    counts = [[np.sum((truth == t) & (predicted == p) & valid) for p in classes] for t in classes]
    return predicted, np.array(counts), features


def head(model: PANet, features: Features, labels: torch.Tensor) -> torch.Tensor:
    """The package's own logits of an episode at full size, (1 + W, H, W)."""
    prototypes = support_prototypes(features.support, labels)
    return upsample(match(features.query, prototypes), labels.shape[-2:])[0, 0]


def compare(model: PANet, images: ImageBank, fold: int, shots: int, result: Result, sample: int) -> dict:
    """Time the literal loop on the first `sample` episodes of each run and compare what it predicts."""
    runs = len(result.confusions)
    found = dict(seconds=np.zeros(2), pixels=0, literal=0, half=0, wrong=0)
    for run, index in tqdm([(r, i) for r in range(runs) for i in range(sample)], leave=False, disable=None):
        sampler = EpisodeSampler(images, images.fold(fold), 1, shots, 1, run)
        episode = sampler.episode(index)
        start = clocks()
        predicted, counts, features = literal(model, episode)
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
        found["wrong"] += np.abs(counts - ours).sum() > 2 * int(
            other.sum()
        )  # a pixel moves between two cells
    return found


def peak() -> float:
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def measure(model: PANet, dataset: SegmentationDataset, fold: int, runs: int, episodes: int, sample: int):
    """Print the table; returns the number of predictions that differ by more than a tie."""
    print(f"{dataset!r}, fold {fold}, 1 way, {runs} runs of {episodes} episodes; the literal loop on")
    print(f"the first {sample} of each run, extrapolated. {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{platform.machine()}.\n")  # fmt: skip
    before, bank, results, seconds = peak(), FeatureBank(model, dataset), {}, {}
    for shots in (1, 5):
        start = clocks()
        results[shots] = evaluate(model, dataset, fold, 1, shots, runs, episodes, bank=bank)
        seconds[shots] = clocks() - start
    grown, images = peak() - before, ImageBank(dataset)
    print("seconds per episode   literal   evaluate    ratio   pixels that differ: literal, float16 bank")
    loops, wrong = 0, 0
    with torch.inference_mode():
        for shots in (1, 5):
            found = compare(model, images, fold, shots, results[shots], sample)
            loop, each, wrong = found["seconds"], seconds[shots] / runs / episodes, wrong + found["wrong"]
            print(f"{shots}-shot              {loop[0]:10.4f} {each[0]:10.5f} {loop[0] / each[0]:8.0f}   "
                  f"{found['literal']} and {found['half']} of {found['pixels']:,}")  # fmt: skip
            loops += loop * runs * episodes
    for clock, loop, whole in zip(("seconds in all", "CPU seconds in all"), loops, sum(seconds.values())):
        print(f"{clock:18} {loop:11,.0f} {whole:10.1f} {loop / whole:8.0f}")
    print(f"{len(bank.position)} images embedded once each, which these times include.")
    print(f"memory: {grown:.0f} MB more at the peak. Predictions that differ by more than a tie: {wrong}.")
    return wrong


def main() -> int:
    """Parse the options, measure, and fail where predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=1000, help="of each run and number of shots")
    parser.add_argument("--sample", type=int, default=40, help="episodes of each run for the literal loop")
    args = parser.parse_args()
    wrong = measure(pretrained(args.fold), Tabletop("val"), args.fold, args.runs, args.episodes, args.sample)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
