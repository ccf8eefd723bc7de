"""The mean over folds: by hand, and its interval."""

import numpy as np
import pytest

from panet_lite.evaluation import Result, over_folds


def fold(hits, label, seen=()):
    """A result of one class: (R, E) hits of ten pixels each, ten more of background that are all right."""
    hits = np.array(hits)
    zero = np.zeros_like(hits)
    confusions = np.stack([np.stack([zero + 10, zero], -1), np.stack([10 - hits, hits], -1)], -2)
    return Result(confusions, np.full((*hits.shape, 1), label), (label,), seen=seen)


def test_by_hand():
    """Two runs of two episodes: fold 0 has IoU 6/20 and 10/20, fold 1 18/20 and 12/20."""
    found = over_folds([fold([[2, 4], [5, 5]], 1), fold([[8, 10], [6, 6]], 2)])
    assert found["mean_iou"] == pytest.approx((0.4 + 0.75) / 2)
    assert found["mean_iou_std"] == pytest.approx(abs((0.3 + 0.9) / 2 - (0.5 + 0.6) / 2) / 2)
    background = [np.mean([20 / (40 - h) for h in runs]) for runs in ((6, 10), (18, 12))]
    assert found["binary_iou"] == pytest.approx(
        np.mean([(0.4 + background[0]) / 2, (0.75 + background[1]) / 2])
    )
    assert "seen_in_training" not in found


def test_the_interval_is_of_the_mean_of_folds():
    """Of n independent folds alike it is narrower by sqrt(n); where no episode differs it is a point."""
    rng = np.random.default_rng(0)
    several = [fold(rng.integers(0, 11, (5, 100)), label) for label in range(1, 5)]
    low, high = over_folds(several)["interval_95"]
    width = np.mean([np.diff(result.interval())[0] for result in several])
    assert low < over_folds(several)["mean_iou"] < high and 1.7 < width / (high - low) < 2.3
    assert over_folds([several[0]])["interval_95"] == several[0].interval()
    same = over_folds([fold([[3, 3]], 1), fold([[7, 7]], 2)])
    assert same["interval_95"] == pytest.approx((0.5, 0.5))


def test_what_was_seen_is_said_of_the_mean_too():
    found = over_folds([fold([[1, 2]], 1, ("mug",)), fold([[1, 2]], 2), fold([[1, 2]], 3, ("die", "gear"))])
    assert found["seen_in_training"] == ["mug", "die", "gear"]
