"""The log of what was tried tells what was recorded."""

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
LOG = (ROOT / "book" / "appendix_log.md").read_text(encoding="utf-8")
RESULTS = json.loads((ROOT / "data" / "results" / "twin.json").read_text(encoding="utf-8"))["results"]


def scores(variant, shots, **key):
    """Mean-IoU in points of all entries with these values."""
    wanted = {"variant": variant, "shots": shots, "ways": 1, **key}
    return [100 * e["mean_iou"] for e in RESULTS if all(e[k] == v for k, v in wanted.items())]


@pytest.mark.parametrize(
    "shots, told", [(1, "{:.1f} with and {:.1f} without in 1-shot"), (5, "{:.1f} and {:.1f} in 5-shot")]
)
def test_alignment_on_tabletop(shots, told):
    assert len(scores("par", shots, seed=0)) == 4
    assert (
        told.format(*(np.mean(scores(variant, shots, seed=0)) for variant in ("par", "without-par"))) in LOG
    )


def test_seeds_and_beginnings():
    assert f"spread over {np.ptp(scores('par', 1, fold=0)):.1f} points in 1-shot" in LOG
    beginnings = [f"{scores('init', shots, fold=0)[0]:.1f}" for shots in (1, 5)]
    assert f"give {' and '.join(beginnings)}" in LOG
