"""PANet (Wang et al., ICCV 2019) in a form one can read in an evening; see the book beside it."""

from .episodes import Episode, EpisodeSampler, own_episode
from .model import PANet, Prediction, pretrained
from .segmenter import Segmentation, Segmenter

__version__ = "0.1.0"
__all__ = [
    "Episode", "EpisodeSampler", "PANet", "Prediction", "Segmentation", "Segmenter", "own_episode", "pretrained",
    "__version__",
]  # fmt: skip
