"""The book's one rule for what may be called found (chapters 6 to 8, 10, 11)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit  # quantiles of Student's t


class Finding(NamedTuple):
    """What paired differences say: their mean and its 95 % interval, by Student's t over so many training seeds."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def side(self) -> str:
        """`above` or `below` where the interval leaves out zero, else `open`."""
        return "above" if self.low > 0 else "below" if self.high < 0 else "open"

    def __str__(self) -> str:
        known = f"95 % interval {self.low:+.1f} to {self.high:+.1f}, " if self.seeds > 2 else "too few: "
        return f"{self.mean:+.1f} ({known}{self.seeds} seed{'s' * (self.seeds > 1)}): {self.side}"


def finding(differences: Sequence[float] | Sequence[Sequence[float]]) -> Finding:
    """Of differences (S,) of training seeds, or (S, F) of seeds and folds, whose mean over folds counts: only seeds repeat
    an experiment. With fewer than three all is open. Errors: ValueError for none, or for one that is no number."""
    table = np.asarray(differences, float)
    if not table.size or not np.isfinite(table).all():
        raise ValueError(f"A finding wants differences, finite numbers, not {differences!r}.")
    gaps = table.reshape(len(table), -1).mean(1)
    n, mean = len(gaps), float(gaps.mean())
    half = float(stdtrit(n - 1, 0.975) * gaps.std(ddof=1) / n**0.5) if n > 2 else np.inf
    return Finding(mean, mean - half, mean + half, n)
