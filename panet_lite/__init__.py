"""PANet (Wang et al., ICCV 2019) in a form one can read in an evening; see the book beside it."""

import signal
import sys

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # python -m panet_lite: until its main() takes over, Ctrl-C ends it as it ends any program, without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from .episodes import Episode, EpisodeSampler, own_episode
from .model import PANet, Prediction, pretrained
from .segmenter import Segmentation, Segmenter

__version__ = "0.1.0"
__all__ = [
    "Episode", "EpisodeSampler", "PANet", "Prediction", "Segmentation", "Segmenter", "own_episode", "pretrained",
    "__version__",
]  # fmt: skip
