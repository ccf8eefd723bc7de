"""Annotation ladder: mask, box, scribble, point, and the reader's own strokes (paper Sec. 4.4; chapter 8)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from ..datasets import VOID
from ..episodes import Episode
from ..figures import show_labels
from ..model import PANet
from .base import SceneWidget
from .scenes import CHANNELS, class_iou, completed, first_query, scene, segment, unpacked

RUNGS = ("dense", "box", "scribble", "point", "yours")


class AnnotationLadder(SceneWidget):
    """What the query's prediction loses from rung to rung, as the supports are annotated with less and less.

    It shows the first query of the first task of `episode`, which comes with dense masks; the other kinds
    are made of them. names: of the ways.
    In step with the page, both ways:
    selection: the rung that is shown large, one of `RUNGS`. label_map: uint8 (W * K, H, W'), the rung
    "yours", empty at first. prediction: uint8 (1, H, W'), what follows from the selected rung.
    """

    script = "ladder.js"
    parts = ("ladder.css",)
    selection = traitlets.Unicode("dense").tag(sync=True)

    def __init__(
        self,
        episode: Episode,
        model: PANet,
        names: Sequence[str] = (),
        channels: int = CHANNELS,
        **kwargs: Any,
    ):
        first = Episode(*(tensor[:1] for tensor in vars(first_query(episode)).values()))
        facts = scene(first, model, names, channels, starts=RUNGS[:-1])
        empty = np.full_like(unpacked(facts["starts"]["dense"], "uint8"), VOID)
        super().__init__(scene=facts, **{"label_map": empty, **kwargs})
        self._episode = first
        self._predict()
        self.observe(self._predict, ["label_map", "selection"])

    @traitlets.validate("selection")
    def _check_selection(self, proposal: traitlets.Bunch) -> Any:
        if proposal["value"] not in RUNGS:
            raise traitlets.TraitError(
                f"There is no rung {proposal['value'][:40]!r}: choose one of {', '.join(RUNGS)}."
            )
        return proposal["value"]

    def _predict(self, change: object = None) -> None:
        if not self.from_page:
            self.prediction = self._segmented(self.selection)

    def _segmented(self, rung: str) -> torch.Tensor:
        return segment(self.scene, self.maps(rung)).labels()[0].to(torch.uint8)

    def maps(self, rung: str) -> np.ndarray:
        """The supports' label maps of a rung, uint8 (W * K, H, W')."""
        return self.label_map if rung == "yours" else unpacked(self.scene["starts"][rung], "uint8")

    @property
    def iou(self) -> dict[str, list[float]]:
        """IoU of each way on each rung; "yours" only where something is painted."""
        truth = torch.from_numpy(unpacked(self.scene["truth"], "uint8"))
        rungs = RUNGS if (self.label_map != VOID).any() else RUNGS[:-1]
        return {rung: class_iou(self._segmented(rung), truth, self.scene["ways"]) for rung in rungs}

    @property
    def episode(self) -> Episode:
        """The episode with the selected rung's label maps; hand it to any model."""
        maps = torch.stack([completed(m) for m in torch.from_numpy(self.maps(self.selection))])
        return replace(self._episode, support_labels=maps.view(self._episode.support_labels.shape))

    def figure(self) -> Figure:
        """For each rung the annotated support above the query's prediction."""
        scores, episode = self.iou, self._episode
        figure, axes = plt.subplots(2, len(scores), figsize=(5.2, 2.6), squeeze=False, layout="constrained")
        for (rung, ious), (above, below) in zip(scores.items(), axes.T):
            show_labels(above, episode.support_images[0, 0, 0], torch.from_numpy(self.maps(rung)[0]), rung)
            values = ", ".join(f"{value:.2f}" for value in ious)
            show_labels(below, episode.query_images[0, 0], self._segmented(rung)[0], f"IoU {values}")
        return figure

    def alt(self) -> str:
        """Each rung with the classes' IoUs, in words."""
        told = [
            f"{rung} " + ", ".join(f"{name} {value:.2f}" for name, value in zip(self.scene["names"], ious))
            for rung, ious in self.iou.items()
        ]
        return "A support annotated ever more weakly, and the query's prediction; IoU: " + "; ".join(told)
