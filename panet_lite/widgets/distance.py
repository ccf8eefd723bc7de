"""Distance and temperature: what alpha does to the probabilities, and what it cannot do (Sec. 3.4; chapter 4)."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..datasets import VOID
from ..episodes import Episode
from ..figures import BACKGROUND, COLOURS, show_map
from ..matching import ALPHA, match, segmentation_loss, upsample
from ..model import PANet, Prediction
from .base import SceneWidget
from .scenes import CHANNELS, class_iou, first_query, scene, segment, unpacked


class DistanceAndTemperature(SceneWidget):
    """Turn alpha and exchange the distance of Eq. 3, and watch probability, entropy and loss of a query.

    It shows the first query of the first task of `episode`. names: of the ways.
    In step with the page, both ways:
    alpha: a positive number. distance: "cosine" or "euclidean" (squared, as in `matching.match`).
    prediction: uint8 (1, H, W'), the label map that follows from them.
    label_map: uint8 (W * K, H, W'), the supports' masks; the page does not change it, but follows it.
    """

    script = "distance.js"
    parts = ("temperature.js", "plots.js")
    alpha = traitlets.Float().tag(sync=True)
    distance = traitlets.Enum(tuple(ALPHA)).tag(sync=True)

    def __init__(
        self,
        episode: Episode,
        model: PANet,
        names: Sequence[str] = (),
        channels: int = CHANNELS,
        **kwargs: Any,
    ):
        facts = scene(first_query(episode), model, names, channels)
        values = {"alpha": facts["alpha"], "distance": facts["distance"], **kwargs}
        super().__init__(scene=facts, label_map=unpacked(facts["starts"]["dense"], "uint8"), **values)
        self._predict()
        self.observe(self._predict, ["alpha", "distance", "label_map"])

    def _predict(self, change: object = None) -> None:
        if not self.from_page:
            self.prediction = self.predicted().labels()[0].to(torch.uint8)

    @traitlets.validate("alpha")
    def _check_alpha(self, proposal: traitlets.Bunch) -> Any:
        if not 0 < proposal["value"] < math.inf:
            raise traitlets.TraitError(f"alpha is {proposal['value']}, and should be a positive number.")
        return proposal["value"]

    def predicted(self) -> Prediction:
        """What the package says about the scene with these masks, alpha and distance."""
        return segment(self.scene, self.label_map, alpha=self.alpha, distance=self.distance)

    @property
    def truth(self) -> torch.Tensor:
        """The query's true label map (1, H, W')."""
        return torch.from_numpy(unpacked(self.scene["truth"], "uint8"))

    @property
    def iou(self) -> list[float]:
        """IoU of each way."""
        return class_iou(torch.from_numpy(self.prediction), self.truth, self.scene["ways"])

    @property
    def entropy(self) -> float:
        """The query's mean entropy in bits."""
        chances = self.predicted().probabilities()
        return float(-torch.special.xlogy(chances, chances).sum(2).mean() / math.log(2))

    @property
    def loss(self) -> float:
        """Eq. 5 on the query."""
        return float(segmentation_loss(self.predicted().logits, self.truth[None]))

    def figure(self) -> Figure:
        """The object's probability map, a histogram of margins, and the loss for each alpha."""
        prediction = self.predicted()
        chances, truth = prediction.probabilities()[0, 0], self.truth[0]
        figure, axes = plt.subplots(1, 3, figsize=(7.6, 2.5), layout="constrained")
        artist = show_map(axes[0], 1 - chances[0], "P(object)", limits=(0, 1))
        figure.colorbar(artist, ax=axes[0], shrink=0.8)
        truth = (truth > 0) & (truth != VOID)
        for mask, colour, style in ((chances.argmax(0) > 0, "white", "solid"), (truth, "black", "dashed")):
            if mask.any() and not mask.all():
                axes[0].contour(mask, [0.5], colors=[colour], linestyles=style, linewidths=1.2)
        self._draw_margins(axes[1], prediction)
        alphas = np.geomspace(1e-4, 100, 61)
        losses = [
            float(segmentation_loss(prediction.logits * a / self.alpha, self.truth[None])) for a in alphas
        ]
        axes[2].semilogx(alphas, losses, color=COLOURS[0])
        axes[2].plot(self.alpha, self.loss, "o", color=COLOURS[5])
        axes[2].set_ylim(0, min(max(losses), 4 * math.log(1 + self.scene["ways"])) * 1.05)
        axes[2].set_title("loss against alpha", fontsize=10)
        return figure

    def _draw_margins(self, ax: Axes, prediction: Prediction) -> None:
        logits = match(prediction.features.query, prediction.prototypes, 1.0, self.distance)
        scores = upsample(logits, prediction.size)[0, 0]
        margins, truth = scores[1:].amax(0) - scores[0], self.truth[0]
        ways = (truth > 0) & (truth != VOID)
        for mask, colour, hatch in ((truth == 0, BACKGROUND, ""), (ways, COLOURS[0], "///")):
            if mask.any():
                ax.hist(
                    margins[mask].numpy(), bins=40, density=True, histtype="stepfilled", alpha=0.6,
                    color=colour, edgecolor="black", hatch=hatch,
                )  # fmt: skip
        ax.axvline(0, color="black", linestyle="dashed")
        ax.set_yticks([])
        ax.set_title("object (hatched) and background", fontsize=10)

    def alt(self) -> str:
        """Distance, alpha, each class's IoU, mean entropy and loss, in words."""
        pairs = zip(self.scene["names"], self.iou)
        return (
            f"A query's probability map, {self.distance} distance, alpha {self.alpha:g}: "
            + ", ".join(f"{name} IoU {score:.2f}" for name, score in pairs)
            + f", mean entropy {self.entropy:.2f} bits, loss {self.loss:.2f}; a histogram of how much nearer "
            "the object is than the background, and the loss for each alpha"
        )
