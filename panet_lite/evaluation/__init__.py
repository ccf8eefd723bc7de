"""Evaluation: IoU over thousands of episodes, each image embedded once (paper Sec. 4.1-4.2; chapter 7).

`scores` counts and sums up, Algorithm 1's second loop; `bank` keeps the features.
"""

from .bank import FeatureBank
from .scores import Result, confusion, divide, evaluate, mean, score_episode, true_false

__all__ = ["FeatureBank", "Result", "confusion", "divide", "evaluate", "mean", "score_episode", "true_false"]
