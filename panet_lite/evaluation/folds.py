"""The mean over folds, which is what papers report, and how well it is known (paper Tables 1, 2; chapter 7)."""

from collections.abc import Sequence

import numpy as np

from .scores import Result, mean


def over_folds(results: Sequence[Result], resamples: int = 1000) -> dict[str, object]:
    """The numbers of several folds' results together, for a JSON file.

    mean_iou, binary_iou: means over folds. mean_iou_std: over runs, of the mean over folds (population).
    interval_95: bootstrap; each fold's episodes are resampled by themselves, and each time the mean is taken.
    """
    runs = np.mean([mean(result.run_class_iou, 1) for result in results], 0)  # (R,)
    draws = np.mean([result.resampled(resamples, fold) for fold, result in enumerate(results)], 0)
    low, high = np.quantile(draws, [0.025, 0.975])
    seen = [name for result in results for name in result.seen]
    return {
        "mean_iou": float(np.mean([result.mean_iou for result in results])),
        "mean_iou_std": float(runs.std()), "interval_95": (float(low), float(high)),
        "binary_iou": float(np.mean([result.binary_iou for result in results])),
        **({"seen_in_training": seen} if seen else {}),
    }  # fmt: skip
