"""Paint and segment: the supports' label maps under the reader's brush (paper Sec. 3.6, 4.4; chapter 9)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from ..annotations import KINDS
from ..datasets import VOID
from ..episodes import Episode
from ..figures import show_labels
from ..model import PANet
from .base import SceneWidget
from .scenes import CHANNELS, class_iou, completed, scene, segment, unpacked


class PaintAndSegment(SceneWidget):
    """Paint on the supports of the first task of `episode`, and the query is segmented as you paint.

    names: of the ways. start: the annotation to begin with, one of `annotations.KINDS` or "empty".
    In step with the page, both ways:
    label_map: uint8 (W * K, H, W'), the supports' label maps, way by way; assign to it and the page follows.
    active: for each of the K shots, whether it counts.
    prediction: uint8 (Q, H, W'), made by the page where the reader paints and by the package where code
    assigns `label_map`; assign to it, and the page shows yours until the next stroke.
    """

    script = "paint.js"
    active = traitlets.List(traitlets.Bool()).tag(sync=True)

    def __init__(
        self, episode: Episode, model: PANet, names: Sequence[str] = (), start: str = "dense",
        channels: int = CHANNELS, **kwargs: Any,
    ):  # fmt: skip
        if start not in (*KINDS, "empty"):
            raise ValueError(f"There is no start {start!r}: choose one of {', '.join(KINDS)} or empty.")
        facts = scene(episode, model, names, channels, starts=KINDS)
        dense = unpacked(facts["starts"]["dense"], "uint8")
        labels = np.full_like(dense, VOID) if start == "empty" else unpacked(facts["starts"][start], "uint8")
        super().__init__(scene=facts, active=[True] * episode.shots, label_map=labels, **kwargs)
        self._episode = episode
        self._predict()
        self.observe(self._predict, ["label_map", "active"])

    def _predict(self, change: object = None) -> None:
        if not self.from_page:
            predicted = segment(self.scene, self.label_map, self.active).labels()[0]
            self.prediction = predicted.to(torch.uint8)

    @traitlets.validate("active")
    def _check_active(self, proposal: traitlets.Bunch) -> Any:
        if len(proposal["value"]) != self.scene["shots"]:
            raise traitlets.TraitError(f"active wants {self.scene['shots']} values, one for each shot.")
        return proposal["value"]

    @property
    def iou(self) -> list[float]:
        """IoU of each way of what is shown, over all queries."""
        truth = torch.from_numpy(unpacked(self.scene["truth"], "uint8"))
        return class_iou(torch.from_numpy(self.prediction), truth, self.scene["ways"])

    @property
    def episode(self) -> Episode:
        """The episode as painted: the shots that count, labelled with `label_map`; hand it to any model."""
        shots = torch.tensor(self.active)
        maps = torch.stack([completed(m) for m in torch.from_numpy(self.label_map)])
        maps = maps.unflatten(0, (self.scene["ways"], -1))[None]
        images = self._episode.support_images[:1, :, shots]
        first = Episode(*(getattr(self._episode, name)[:1] for name in self._episode.__dataclass_fields__))
        return replace(first, support_images=images, support_labels=maps[:, :, shots])

    def figure(self) -> Figure:
        """The supports as they are painted, then the queries as they are predicted."""
        supports, queries = self.label_map, self.prediction
        images = [*self._episode.support_images[0].flatten(0, 1), *self._episode.query_images[0]]
        figure, axes = plt.subplots(
            1, len(images), figsize=(2.4 * len(images), 2.6), squeeze=False, layout="constrained"
        )
        titles = ["support"] * len(supports) + ["query: prediction"] * len(queries)
        for ax, image, labels, title in zip(axes[0], images, [*supports, *queries], titles):
            show_labels(ax, image, torch.from_numpy(labels), title)
        return figure

    def alt(self) -> str:
        """How many supports and queries are shown, and each class's IoU, in words."""
        names, (supports, queries) = self.scene["names"], (len(self.label_map), len(self.prediction))
        scores = ["unknown" if np.isnan(value) else f"{value:.2f}" for value in self.iou]
        told = ", ".join(f"{name}: IoU {score}" for name, score in zip(names, scores))
        one = "A support image" if supports == 1 else f"{supports} support images"
        other = "a query image" if queries == 1 else f"{queries} query images"
        return f"{one} with marks, and {other} with what PANet takes for the class; {told}."
