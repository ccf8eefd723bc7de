"""Evaluation: IoU over thousands of episodes, each image embedded once (paper Sec. 4.1-4.2; chapter 7).

`scores` counts, Algorithm 1's second loop; `folds` takes means, `findings` judges, `bank` keeps the features.
"""

from .bank import FeatureBank
from .findings import Finding, finding
from .folds import over_folds
from .scores import Result, confusion, divide, evaluate, mean, score_episode, true_false

__all__ = [
    "FeatureBank", "Finding", "Result", "confusion", "divide", "evaluate", "finding", "mean", "over_folds",
    "score_episode", "true_false",
]  # fmt: skip
