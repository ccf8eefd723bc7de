"""Prototype alignment, step by step: there, back, and what a spoilt mask does to it (Sec. 3.5; chapter 5)."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from ..alignment import alignment_loss, query_prototypes, way_labels
from ..datasets import VOID
from ..episodes import Episode
from ..figures import show_labels, show_map
from ..matching import match, upsample
from ..model import PANet, Prediction
from .base import SceneWidget
from .scenes import CHANNELS, class_iou, completed, first_query, scene, segment, unpacked

STEPS = 6


class AlignmentSteps(SceneWidget):
    """Walk through Fig. 2 of the paper, spoil the supports' masks, and see what becomes of IoU and L_PAR.

    It shows the first query of the first task of `episode`. names: of the ways.
    In step with the page, both ways:
    label_map: uint8 (W * K, H, W'), the supports' masks as the reader spoilt them; assign to it, and the
    page follows.
    step: 1 to 6. prediction: uint8 (1, H, W'), the query's label map that follows from `label_map`.
    """

    script = "steps.js"
    parts = ("alignment.js", "stages.js", "steps.css")
    step = traitlets.Int(1, min=1, max=STEPS).tag(sync=True)

    def __init__(
        self,
        episode: Episode,
        model: PANet,
        names: Sequence[str] = (),
        channels: int = CHANNELS,
        **kwargs: Any,
    ):
        facts = scene(first_query(episode), model, names, channels)
        values = {"label_map": unpacked(facts["starts"]["dense"], "uint8"), **kwargs}
        super().__init__(scene=facts, **values)
        self._supports = episode.support_images[0].flatten(0, 1)
        self._query = episode.query_images[0, 0]
        self._predict()
        self.observe(self._predict, "label_map")

    def _predict(self, change: object = None) -> None:
        if not self.from_page:
            self.prediction = segment(self.scene, self.label_map).labels()[0].to(torch.uint8)

    def _judges(self, label_map: np.ndarray) -> Tensor:
        """Eq. 7's label maps (1, W, K, H, W'): strokes completed, as `segment` does."""
        maps = torch.stack([completed(m) for m in torch.from_numpy(label_map)])
        judges: Tensor = maps.unflatten(0, (self.scene["ways"], self.scene["shots"]))[None]
        return judges

    def numbers(self, label_map: np.ndarray | None = None) -> tuple[list[float], float]:
        """The query's IoU of each way, and L_PAR (Eq. 7), with these masks or with the present ones.

        L_PAR is `alignment.alignment_loss` on the scene's features; its judge is the mask that is given.
        """
        label_map = self.label_map if label_map is None else label_map
        there = segment(self.scene, label_map)
        truth = torch.from_numpy(unpacked(self.scene["truth"], "uint8"))
        loss = alignment_loss(
            there.features.query, there.logits, there.features.support, self._judges(label_map),
            there.alpha, there.distance,
        )  # fmt: skip
        return class_iou(there.labels()[0].to(torch.uint8), truth, self.scene["ways"]), float(loss)

    @property
    def annotated(self) -> np.ndarray:
        """The supports' masks before anybody spoilt them, uint8 (W * K, H, W')."""
        return unpacked(self.scene["starts"]["dense"], "uint8")

    def _way_back(self, there: Prediction) -> Tensor:
        """Eq. 6 for the first support: scores (2, H, W') for the background and its way."""
        means, _ = query_prototypes(there.features.query, there.logits)
        logits = match(there.features.support[:, 0, :1], means[:, :2], there.alpha, there.distance)
        return upsample(logits, there.size)[0, 0]

    def figure(self) -> Figure:
        """Support and query with their masks, the support cut back, and its loss in each pixel."""
        scores = self._way_back(segment(self.scene, self.label_map))
        judge = way_labels(self._judges(self.label_map))[0, 0, 0].long()
        losses = F.cross_entropy(scores[None], judge[None], ignore_index=VOID, reduction="none")[0]
        image = self._supports[0]
        figure, axes = plt.subplots(1, 4, figsize=(7.8, 2.3), layout="constrained")
        show_labels(axes[0], image, torch.from_numpy(self.label_map[0]), "support, its mask")
        show_labels(axes[1], self._query, torch.from_numpy(self.prediction[0]), "query, predicted")
        show_labels(axes[2], image, scores.argmax(0), "support, cut back")
        artist = show_map(axes[3], losses, "loss")
        figure.colorbar(artist, ax=axes[3], shrink=0.8)
        return figure

    def alt(self) -> str:
        """What the four pictures show, each class's IoU, and L_PAR, in words."""
        ious, loss = self.numbers()
        scores = ", ".join(f"{name} IoU {value:.2f}" for name, value in zip(self.scene["names"], ious))
        return (
            "A support with its mask, the query with the predicted mask, the support as the query's prototypes "
            f"cut it, and the loss of each pixel: {scores}, L_PAR {loss:.2f}"
        )
