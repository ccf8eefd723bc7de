"""Your own photos: mark a thing in one, see it in the others; the network runs in the page (Sec. 3.6; "Your own pictures")."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from ..backbones import Lite0
from ..figures import show_image
from ..model import PANet
from .base import Widget
from .network import apart, exported, machinery
from .scenes import jpeg


class OwnPhotos(Widget):
    """Photos of the reader's, chosen, dropped, pasted or taken; what is marked in some is found in the others.

    model: its backbone, an EfficientNet-Lite0, computes in the page: a page of the book has it in a file of its own, a
    notebook asks Python. examples: pictures (3, H, W'), uint8 or 0..1, to begin with. What a reader brings and
    marks stays in the page; label maps are saved as PNG, which `Segmenter` and --support take.
    """

    script, parts = "photos.js", ("network.js", "files.js", "photos.css")
    examples = traitlets.List(traitlets.Bytes()).tag(sync=True)
    network = traitlets.Unicode().tag(sync=True)  # its digest: no page computes with another one

    def __init__(self, model: PANet, examples: Sequence[Tensor] = (), **kwargs: Any):
        if not isinstance(model.backbone, Lite0):
            raise ValueError(f"The page computes EfficientNet-Lite0, not {model.backbone.name}.")
        scaled = [picture / 255 if picture.dtype == torch.uint8 else picture for picture in examples]
        self._network, self._pictures = exported(model.backbone), scaled
        shown = [jpeg(picture, 95) for picture in scaled]
        super().__init__(examples=shown, network=self._network["digest"], **kwargs)
        self.on_msg(self._answer)

    def _answer(self, widget: object, content: dict[str, Any], buffers: object) -> None:
        """A notebook's page asks for the network."""
        if isinstance(content, dict) and content.get("ask") == "network":
            found: list[bytes] = []
            self.send(apart({"machinery": machinery(), "network": self._network}, found), found)

    def figure(self) -> Figure:
        """The examples, as they are before anything is marked."""
        figure, axes = plt.subplots(
            1, max(1, len(self._pictures)), figsize=(5, 2.6), squeeze=False, layout="constrained"
        )
        for ax, picture in zip(axes[0], self._pictures):
            show_image(ax, picture)
        if not self._pictures:
            axes[0, 0].set_axis_off()
        return figure

    def alt(self) -> str:
        """That photos can be brought here."""
        return "A place for photos of your own: mark a thing in one, and it is found in the others."
