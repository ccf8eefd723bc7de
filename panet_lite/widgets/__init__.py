"""Widgets: the method under the reader's hands, in JupyterLab and in the static page (chapter 9)."""

from .browser import EpisodeBrowser
from .convolutions import Convolutions
from .distance import DistanceAndTemperature
from .ladder import AnnotationLadder
from .paint import PaintAndSegment
from .photos import OwnPhotos
from .space import EmbeddingSpace
from .steps import AlignmentSteps

__all__ = [
    "AlignmentSteps",
    "AnnotationLadder",
    "Convolutions",
    "DistanceAndTemperature",
    "EmbeddingSpace",
    "EpisodeBrowser",
    "OwnPhotos",
    "PaintAndSegment",
]
