"""What the commands do: train, evaluate, segment, download (chapters 6, 7 and 11; appendix on data)."""

from .evaluating import run_evaluation
from .fetching import DOWNLOADS, run_download
from .given import DATASETS
from .segmenting import run_segment
from .training import RECIPES, run_training

__all__ = [
    "DATASETS",
    "DOWNLOADS",
    "RECIPES",
    "run_download",
    "run_evaluation",
    "run_segment",
    "run_training",
]
