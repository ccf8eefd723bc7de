"""Evaluation: mean-IoU and binary-IoU over 5 runs of 1,000 episodes (paper Sec. 4.1-4.2; chapter 7)."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .datasets import VOID, SegmentationDataset
from .episodes import Draw, Episode, EpisodeSampler, preset_named
from .matching import match, upsample
from .model import PANet
from .prototypes import support_prototypes


def confusion(predicted: Tensor, target: Tensor, labels: int) -> Tensor:
    """Count pixels: (N, ...) and (N, ...) of labels 0..labels-1 -> (N, labels, labels) int64.

    Row: what the pixel is, column: what it was taken for. Void pixels (255) of the target are left out.
    """
    predicted, target = predicted.flatten(1).long(), target.flatten(1).long()
    image = torch.arange(len(target), device=target.device)[:, None]
    cells = (image * labels + target) * labels + predicted
    counts = torch.bincount(cells[target != VOID], minlength=len(target) * labels**2)
    return counts.view(len(target), labels, labels)


def divide(counts: np.ndarray) -> np.ndarray:
    """IoU from (..., 3) TP, FP, FN: TP / (TP + FP + FN); NaN where there is nothing to count."""
    total = counts.sum(-1)
    return np.where(total > 0, counts[..., 0] / np.maximum(total, 1), np.nan)


def mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The mean of what was counted: a class that a short run never draws (NaN) is left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")  # NaN is the right answer there
        return np.nanmean(values, axis=axis)


def true_false(confusions: np.ndarray) -> np.ndarray:
    """(..., J, J) confusions to (..., J, 3) counts: TP, FP, FN of each label."""
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    return np.stack([hits, confusions.sum(-2) - hits, confusions.sum(-1) - hits], axis=-1)


@dataclass(frozen=True)
class Result:
    """Counts of an evaluation, and the metrics of Sec. 4.1 computed from them.

    confusions: (R, E, 1 + W, 1 + W) int64, R runs of E episodes. classes: (R, E, W), the data set's
    label behind each way. test_classes: labels to average over. preset: "standard" or "paper".
    """

    confusions: np.ndarray
    classes: np.ndarray
    test_classes: tuple[int, ...]
    preset: str = "standard"

    @property
    def counts(self) -> np.ndarray:
        """(R, E, 1 + W, 3) TP, FP, FN. Under `paper`, a label that the query does not show counts
        nothing, false positives included: the flaw that flatters the paper's 2-way numbers."""
        counts = true_false(self.confusions)
        if not preset_named(self.preset).count_absent:
            counts = counts * (self.confusions.sum(-1) > 0)[..., None]
        return counts

    def by_class(self, counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Sum the ways' counts (..., E, W, 3) under their classes: (..., T, 3)."""
        return np.stack([(counts * (classes == c)[..., None]).sum((-3, -2)) for c in self.test_classes], -2)

    @property
    def run_class_iou(self) -> np.ndarray:
        """(R, T): TP, FP, FN summed over a run's episodes, then IoU for each class."""
        return divide(self.by_class(self.counts[:, :, 1:], self.classes))

    @property
    def class_iou(self) -> np.ndarray:
        """(T,): IoU of each class, mean over runs."""
        return mean(self.run_class_iou, 0)

    @property
    def mean_iou(self) -> float:
        """The number of Table 1: mean over classes, then over runs."""
        return float(mean(mean(self.run_class_iou, 1)))

    @property
    def mean_iou_std(self) -> float:
        """Its standard deviation over runs (population)."""
        return float(mean(self.run_class_iou, 1).std())

    def binary_counts(self) -> np.ndarray:
        """(R, E, 2, 3): TP, FP, FN of background and foreground."""
        if not preset_named(self.preset).merge_for_binary:
            counts = self.counts
            return np.stack([counts[:, :, 0], counts[:, :, 1:].sum(2)], axis=2)
        c = self.confusions
        background, missed = c[..., :1, :1].sum((-2, -1)), c[..., 1:, :1].sum((-2, -1))
        false, hits = c[..., :1, 1:].sum((-2, -1)), c[..., 1:, 1:].sum((-2, -1))
        return np.stack([np.stack([background, missed, false], -1), np.stack([hits, false, missed], -1)], -2)

    @property
    def binary_class_iou(self) -> np.ndarray:
        """(2,): IoU of background and foreground, mean over runs."""
        return divide(self.binary_counts().sum(1)).mean(0)

    @property
    def binary_iou(self) -> float:
        """The number of Table 2: mean of background and foreground, then over runs."""
        return float(divide(self.binary_counts().sum(1)).mean(1).mean())

    @property
    def binary_iou_std(self) -> float:
        """Its standard deviation over runs (population)."""
        return float(divide(self.binary_counts().sum(1)).mean(1).std())

    def interval(self, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """Bootstrap interval of mean-IoU: episodes of all runs resampled with replacement."""
        counts = self.counts[:, :, 1:]
        ways = np.stack([self.classes == c for c in self.test_classes], -1)  # (R, E, W, T)
        table = np.einsum("rewt,rewk->retk", ways, counts).reshape(-1, len(self.test_classes) * 3)
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=resamples)
        iou = mean(divide((weights @ table).reshape(resamples, -1, 3)), 1)
        return tuple(float(q) for q in np.quantile(iou, [(1 - level) / 2, (1 + level) / 2]))

    def summary(self) -> dict:
        """All numbers, for a JSON file."""
        return {
            "mean_iou": self.mean_iou, "mean_iou_std": self.mean_iou_std, "interval_95": self.interval(),
            "binary_iou": self.binary_iou, "binary_iou_std": self.binary_iou_std,
            "class_iou": {
                str(c): None if np.isnan(v) else float(v) for c, v in zip(self.test_classes, self.class_iou)
            },
            "runs": self.confusions.shape[0], "episodes": self.confusions.shape[1], "preset": self.preset,
        }  # fmt: skip


class FeatureBank:
    """Features and label maps of a data set's images, each passed through the backbone once.

    Late fusion (Sec. 3.3) masks features, not images, so features do not depend on the annotation:
    any number of episodes, shots and runs share them.
    """

    def __init__(self, model: PANet, dataset: SegmentationDataset, images: Iterable[int], batch: int = 8):
        self.position = {int(i): n for n, i in enumerate(images)}
        device, order, features = next(model.parameters()).device, list(self.position), []
        model.eval()
        with torch.inference_mode():
            for start in tqdm(range(0, len(order), batch), desc="features", leave=False, disable=None):
                pictures = [dataset.image(i) for i in order[start : start + batch]]
                if len({picture.shape for picture in pictures}) > 1:
                    raise ValueError(f"Images of different sizes in {dataset!r}: give it one, size=417.")
                features.append(model.embed(torch.stack(pictures).to(device).float() / 255))
        self.features = torch.cat(features)  # (N, C, h, w)
        self.labels = [dataset.label_map(i) for i in order]

    def __getitem__(self, images: np.ndarray) -> Tensor:
        """Features of an array of image indices (...): (..., C, h, w)."""
        rows = [self.position[int(i)] for i in images.ravel()]
        return self.features[rows].unflatten(0, images.shape)

    def label_map(self, image: int) -> Tensor:
        """The data set's label map of an image, uint8 (H, W)."""
        return self.labels[self.position[int(image)]]


def score(model: PANet, sampler: EpisodeSampler, bank: FeatureBank, draw: Draw) -> np.ndarray:
    """One episode: segment its queries with the bank's features and count, (1 + W, 1 + W)."""
    device = bank.features.device
    supports = [sampler.support_map(bank.label_map(i), draw.classes) for i in draw.supports.ravel()]
    support_labels = torch.stack(supports).unflatten(0, draw.supports.shape).to(device)
    query_labels = torch.stack([sampler.query_map(bank.label_map(i), draw.classes) for i in draw.queries])
    prototypes = support_prototypes(bank[draw.supports][None], support_labels[None])
    logits = match(bank[draw.queries][None], prototypes, model.alpha, model.distance)
    predicted = upsample(logits, query_labels.shape[-2:]).argmax(2)[0]
    return confusion(predicted, query_labels.to(device), sampler.ways + 1).sum(0).cpu().numpy()


def evaluate(
    model: PANet,
    dataset: SegmentationDataset,
    fold: int,
    ways: int = 1,
    shots: int = 1,
    runs: int = 5,
    episodes: int = 1000,
    preset: str = "standard",
    classes: Iterable[int] | None = None,
    seed: int = 0,
) -> Result:
    """Algorithm 1, second loop: score the classes of `fold`, or `classes` of it, on `dataset`.

    Run r draws its episodes with seed + r. Classes without images enough are named and left out.
    """
    if min(runs, episodes) < 1:
        raise ValueError(f"An evaluation needs at least 1 run and 1 episode, not {runs} and {episodes}.")
    test_classes = tuple(dataset.fold(fold) if classes is None else classes)
    samplers = [EpisodeSampler(dataset, test_classes, ways, shots, 1, seed + r, preset) for r in range(runs)]
    draws = [[sampler.draw(i) for i in range(episodes)] for sampler in samplers]
    used = np.unique([i for run in draws for d in run for i in (*d.supports.ravel(), *d.queries)])
    bank = FeatureBank(model, dataset, used)
    with torch.inference_mode():
        steps = tqdm(
            ((s, d) for s, run in zip(samplers, draws) for d in run),
            total=runs * episodes,
            desc="episodes",
            leave=False,
            disable=None,  # no bar where nobody watches
        )
        confusions = np.stack([score(model, sampler, bank, draw) for sampler, draw in steps])
    return Result(
        confusions.reshape(runs, episodes, ways + 1, ways + 1),
        np.stack([[d.classes for d in run] for run in draws]),
        tuple(samplers[0].pools),
        preset,
    )


def score_episode(model: PANet, episode: Episode) -> np.ndarray:
    """The plain way, without a bank: confusions (B, 1 + W, 1 + W) of a batch of episodes."""
    model.eval()
    with torch.inference_mode():
        predicted = model(episode).labels()
        return confusion(predicted, episode.query_labels, episode.ways + 1).cpu().numpy()
