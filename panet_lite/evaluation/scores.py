"""Evaluation: mean-IoU and binary-IoU over 5 runs of 1,000 episodes (paper Sec. 4.1-4.2; chapter 7)."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..backbones import check_unseen
from ..datasets import VOID, AnyDataset
from ..episodes import Draw, Episode, EpisodeSampler, preset_named
from ..machine import total, world
from ..matching import match, upsample
from ..model import PANet
from .bank import FeatureBank


def joint_counts(predicted: Tensor, target: Tensor, labels: int) -> Tensor:
    """Count pixels: predictions 0..labels-1 and targets 0..255, (N, ...) each -> (N, 256, labels) int64."""
    first = torch.arange(0, len(target) * 256, 256, device=target.device)[:, None]
    cells = (first + target.flatten(1)) * labels + predicted.flatten(1).long()
    return torch.bincount(cells.flatten(), minlength=len(target) * 256 * labels).view(-1, 256, labels)


def confusion(predicted: Tensor, target: Tensor, labels: int) -> Tensor:
    """Count pixels: (N, ...) and (N, ...) of labels 0..labels-1 -> (N, labels, labels) int64.

    Row: what the pixel is, column: what it was taken for. Void pixels (255) of the target are left out.
    """
    return joint_counts(predicted, target, labels)[:, :labels]


def divide(counts: np.ndarray) -> np.ndarray:
    """IoU from (..., 3) TP, FP, FN: TP / (TP + FP + FN); NaN where there is nothing to count."""
    total = counts.sum(-1)
    return np.where(total > 0, counts[..., 0] / np.maximum(total, 1), np.nan)


def mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The mean of what was counted: a class that a short run never draws (NaN) is left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")  # NaN is the right answer there
        average: np.ndarray = np.nanmean(values, axis=axis)
        return average


def true_false(confusions: np.ndarray) -> np.ndarray:
    """(..., J, J) confusions to (..., J, 3) counts: TP, FP, FN of each label."""
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    return np.stack([hits, confusions.sum(-2) - hits, confusions.sum(-1) - hits], axis=-1)


@dataclass(frozen=True)
class Result:
    """Counts of an evaluation, and the metrics of Sec. 4.1 computed from them.

    confusions: (R, E, 1 + W, 1 + W) int64, R runs of E episodes. classes: (R, E, W), the data set's
    label behind each way. test_classes: labels to average over. preset: "standard" or "paper". seen: the names
    of those test classes that the model was trained on.
    """

    confusions: np.ndarray
    classes: np.ndarray
    test_classes: tuple[int, ...]
    preset: str = "standard"
    seen: tuple[str, ...] = ()

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
        ious: np.ndarray = divide(self.binary_counts().sum(1)).mean(0)
        return ious

    @property
    def binary_iou(self) -> float:
        """The number of Table 2: mean of background and foreground, then over runs."""
        return float(divide(self.binary_counts().sum(1)).mean(1).mean())

    @property
    def binary_iou_std(self) -> float:
        """Its standard deviation over runs (population)."""
        return float(divide(self.binary_counts().sum(1)).mean(1).std())

    def resampled(self, resamples: int = 1000, seed: int = 0) -> np.ndarray:
        """(resamples,) mean-IoUs, each of as many episodes, drawn with replacement from those of all runs."""
        counts = self.counts[:, :, 1:]
        ways = np.stack([self.classes == c for c in self.test_classes], -1)  # (R, E, W, T)
        table = np.einsum("rewt,rewk->retk", ways, counts).reshape(-1, len(self.test_classes) * 3)
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=resamples)
        return mean(divide((weights @ table).reshape(resamples, -1, 3)), 1)

    def interval(self, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """Bootstrap interval of mean-IoU: the middle `level` of `resampled`."""
        low, high = np.quantile(self.resampled(resamples, seed), [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def summary(self) -> dict[str, object]:
        """All numbers, for a JSON file."""
        return {
            "mean_iou": self.mean_iou, "mean_iou_std": self.mean_iou_std, "interval_95": self.interval(),
            "binary_iou": self.binary_iou, "binary_iou_std": self.binary_iou_std,
            "class_iou": {
                str(c): None if np.isnan(v) else float(v) for c, v in zip(self.test_classes, self.class_iou)
            },
            "runs": self.confusions.shape[0], "episodes": self.confusions.shape[1], "preset": self.preset,
            **({"seen_in_training": self.seen} if self.seen else {}),
        }  # fmt: skip


def score(model: PANet, bank: FeatureBank, supports: Tensor, queries: Tensor, classes: Tensor) -> Tensor:
    """Segment B queries with the bank's means and features and count: confusions (B, 1 + W, 1 + W).

    supports: (B, W, K) rows of `bank.means`. queries: (B,) rows of `bank.features`. classes: (B, W).
    """
    background, ways = bank.means[supports].mean(2).unbind(2)  # (B, W, C) each, the mean over shots
    prototypes = torch.cat([background.mean(1, keepdim=True), ways], dim=1)  # Eq. 1-2
    features = bank.features[queries].to(prototypes.dtype)[:, None]
    logits = match(features, prototypes, model.alpha, model.distance, bank.lengths[queries][:, None])
    truth = bank.labels[queries]
    predicted = upsample(logits, truth.shape[-2:])[:, 0].max(1).indices  # arg max, but faster on CPUs
    counts = joint_counts(predicted, truth, prototypes.shape[1])
    classes = classes.to(counts.device, non_blocking=True)[..., None].expand(-1, -1, counts.shape[-1])
    own = counts.gather(1, classes)
    return torch.cat([counts[:, :VOID].sum(1, keepdim=True) - own.sum(1, keepdim=True), own], dim=1)


def evaluate(
    model: PANet, dataset: AnyDataset, fold: int, ways: int = 1, shots: int = 1, runs: int = 5,
    episodes: int = 1000, preset: str = "standard", classes: Iterable[int] | None = None, seed: int = 0,
    annotation: str = "dense", bank: FeatureBank | None = None, allow_seen: bool = False,
) -> Result:  # fmt: skip
    """Algorithm 1, second loop: score the classes of `fold`, or `classes` of it, on `dataset`.

    Run r draws its episodes with seed + r. Classes without images enough are named and left out.
    annotation: what the supports come with, see `annotations.KINDS`. bank: a `FeatureBank` of this model
    and data set, to share among evaluations. Where torch.distributed runs, every process scores its
    share and all return the whole. allow_seen: score classes that the model was trained on, too (`Result.seen`).
    Errors: ValueError, before anything is computed, for a shape that cannot be drawn, for a class that the model
    was trained on, or a bank of others.
    """
    if min(runs, episodes) < 1:
        raise ValueError(f"An evaluation needs at least 1 run and 1 episode, not {runs} and {episodes}.")
    test_classes = tuple(dataset.fold(fold) if classes is None else classes)
    if not test_classes:
        raise ValueError("There is no class to score: name one, or leave `classes` out for the whole fold.")
    bank = FeatureBank(model, dataset) if bank is None else bank
    bank.check(model, dataset)
    samplers = [
        EpisodeSampler(dataset, test_classes, ways, shots, 1, seed + r, preset, annotation=annotation)
        for r in range(runs)
    ]
    seen = check_unseen(model, (dataset.classes[c - 1] for c in samplers[0].pools), allow_seen)
    draws = [sampler.draw(i) for sampler in samplers for i in range(episodes)]
    counts = count(model, bank, samplers[0], draws).view(runs, episodes, ways + 1, ways + 1)
    drawn = np.stack([draw.classes for draw in draws]).reshape(runs, episodes, ways)
    return Result(counts.cpu().numpy(), drawn, tuple(samplers[0].pools), preset, seen)


def count(
    model: PANet, bank: FeatureBank, sampler: EpisodeSampler, draws: list[Draw], batch: int = 16
) -> Tensor:
    """Confusions (E, 1 + W, 1 + W) of E episodes, shared among the processes of torch.distributed."""
    share = slice(world()[0], None, world()[1])
    mine = draws[share]
    bank.add(i for draw in mine for i in (*draw.supports.ravel(), *draw.queries))
    supports = bank.pool(sampler, mine)
    queries = bank.rows([draw.queries[0] for draw in mine])
    classes = torch.tensor([draw.classes.tolist() for draw in mine])
    labels = sampler.ways + 1
    counts = torch.zeros(len(draws), labels, labels, dtype=torch.int64, device=bank.means.device)
    with torch.inference_mode():
        for start in tqdm(range(0, len(mine), batch), desc="episodes", leave=False, disable=None):
            part = slice(start, start + batch)
            counts[share][part] = score(model, bank, supports[part], queries[part], classes[part])
    return total(counts)


def score_episode(model: PANet, episode: Episode) -> np.ndarray:
    """The plain way, without a bank: confusions (B, 1 + W, 1 + W) of a batch of episodes."""
    model.eval()
    with torch.inference_mode():
        predicted = model(episode).labels()
        return confusion(predicted, episode.query_labels, episode.ways + 1).cpu().numpy()
