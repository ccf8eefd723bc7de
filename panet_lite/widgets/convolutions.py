"""Convolutions: which inputs an output reads, on a grid and through the blocks of a network (Sec. 3.2; chapter 2)."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor, nn

from ..backbones.vgg import VGG16
from ..check.chapter02 import Layer
from ..check.chapter02 import looks_at_reference as looks_at
from ..figures import COLOURS
from .base import Widget
from .scenes import jpeg, packed


def output_side(n: int, layer: Layer) -> int:
    """How many outputs `n` inputs give; 0 where no window fits."""
    kernel, stride, padding, dilation = layer
    return max(0, (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)


def walked(network: VGG16, image: Tensor) -> tuple[list[list[int]], list[int], list[Tensor]]:
    """A network's layers, how many of them each block takes in, and what comes out of each: (C, h, w)."""
    layers: list[list[int]] = []
    ends: list[int] = []
    blocks: list[Tensor] = []
    with torch.inference_mode():
        features = network.preprocess(image[None])
        for module in network.features:
            features = module(features)
            if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
                numbers = (module.kernel_size, module.stride, module.padding, module.dilation)
                layers.append([n[0] if isinstance(n, tuple) else int(n) for n in numbers])
            if isinstance(module, nn.MaxPool2d) or module is network.features[-1]:
                ends.append(len(layers))
                blocks.append(features[0].clone())  # a ReLU may work in place
    return layers, ends, blocks


def coloured(maps: Sequence[Tensor]) -> list[Tensor]:
    """Feature maps (C, h, w) as uint8 (h, w, 3): the first map's three principal components as red, green and blue.

    All are turned, and stretched between the first one's 2 % and 98 % quantiles, alike: equal vectors, equal colours.
    """
    flat = maps[0].double().flatten(1)
    mean = flat.mean(1, keepdim=True)
    axes = torch.linalg.eigh((flat - mean) @ (flat - mean).T).eigenvectors.flip(1)[:, :3]
    axes = (
        axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    )  # or a sign is the machine's choice
    axes = axes[:, torch.arange(3).clamp(max=axes.shape[1] - 1)]  # of one or two channels: grey, or nearly
    turned = [torch.einsum("chw,ck->hwk", m.double() - mean[..., None], axes) for m in maps]
    low, high = (turned[0].flatten(0, 1).quantile(q, dim=0) for q in (0.02, 0.98))
    return [((t - low) / (high - low).clamp(min=1e-12) * 255).clamp(0, 255).round().byte() for t in turned]


def photographed(image: Tensor, networks: Mapping[str, VGG16], used: Mapping[str, int]) -> dict[str, Any]:
    """The scene: the picture, each network's layers, and what its blocks make of the picture; equal maps once."""
    walks = {name: walked(network, image) for name, network in networks.items()}
    if len({len(ends) for _, ends, _ in walks.values()}) != 1:
        raise ValueError("The networks have different numbers of blocks: give variants of one.")
    by_block = [coloured(maps) for maps in zip(*(blocks for _, _, blocks in walks.values()))]
    pool: list[Tensor] = []
    facts: dict[str, Any] = {}
    for row, (name, (layers, ends, _)) in enumerate(walks.items()):
        places = []
        for maps in by_block:
            known = next((i for i, old in enumerate(pool) if torch.equal(old, maps[row])), len(pool))
            pool += [maps[row]] * (known == len(pool))
            places.append(known)
        facts[name] = {"layers": layers, "ends": ends, "maps": places, "used": used.get(name)}
    size = list(image.shape[-2:])
    return {"size": size, "image": jpeg(image), "networks": facts, "maps": [packed(m) for m in pool]}


class Convolutions(Widget):
    """Which inputs does an output read? Of one convolution on a grid; with networks also of each of their blocks.

    `Convolutions()` is the grid. image: (3, H, W') in 0..1. networks: {name: VGG16}, variants of one; the first gives
    the colours. used: {name: side of the square, in pixels, that holds most of the last block's influence}.
    In step with the page, both ways:
    view: "grid" or "network". side, kernel, stride, padding, dilation: of the convolution on the grid.
    place: (row, column) of the output that is looked back from. network: one of the names. block: from 1.
    cell: (row, column) after that block. Beyond the last row or column, the last one is meant.
    """

    script = "convolutions.js"
    shared = ("scenes.js", "page.js", "pictures.js")  # no prototypes, no brush
    parts = ("lookback.js", "convolutions.css")
    scene = traitlets.Dict().tag(sync=True)
    view = traitlets.Enum(("grid", "network"), default_value="grid").tag(sync=True)
    side = traitlets.Int(8, min=4, max=12).tag(sync=True)
    kernel = traitlets.Int(3, min=1, max=5).tag(sync=True)
    stride = traitlets.Int(1, min=1, max=3).tag(sync=True)
    padding = traitlets.Int(1, min=0, max=4).tag(sync=True)
    dilation = traitlets.Int(1, min=1, max=3).tag(sync=True)
    place = traitlets.Tuple(traitlets.Int(min=0), traitlets.Int(min=0), default_value=(0, 0)).tag(sync=True)
    network = traitlets.Unicode().tag(sync=True)
    block = traitlets.Int(1).tag(sync=True)
    cell = traitlets.Tuple(traitlets.Int(min=0), traitlets.Int(min=0), default_value=(0, 0)).tag(sync=True)

    def __init__(
        self,
        image: Tensor | None = None,
        networks: Mapping[str, VGG16] | None = None,
        used: Mapping[str, int] | None = None,
        **kwargs: Any,
    ):
        if (image is None) != (not networks):
            raise ValueError(
                "A picture and the networks that look at it belong together: give both, or none."
            )
        if image is None or not networks:
            return super().__init__(**kwargs)
        facts = photographed(image, networks, used or {})
        name = kwargs.get("network", next(iter(networks)))
        blocks = facts["networks"].get(name, {"maps": [0]})["maps"]
        h, w, _ = facts["maps"][blocks[-1]]["shape"]
        start = {"view": "network", "network": name, "block": len(blocks), "cell": (h // 2, w // 2)}
        super().__init__(scene=facts, **{**start, **kwargs})

    @traitlets.validate("view", "network", "block")
    def _check(self, proposal: traitlets.Bunch) -> Any:
        name, value, networks = proposal["trait"].name, proposal["value"], self.scene.get("networks", {})
        if name == "view" and value == "network" and not networks:
            raise traitlets.TraitError("There is no network to look through: give an image and networks.")
        if name == "network" and value not in networks:
            raise traitlets.TraitError(
                f"There is no network {value[:40]!r}: choose one of {', '.join(networks)}."
            )
        if name == "block" and networks:
            blocks = len(next(iter(networks.values()))["ends"])
            if not 1 <= value <= blocks:
                raise traitlets.TraitError(f"There is no block {value}: choose one from 1 to {blocks}.")
        return value

    @property
    def layer(self) -> tuple[int, int, int, int]:
        """(kernel, stride, padding, dilation) of the convolution on the grid."""
        return self.kernel, self.stride, self.padding, self.dilation

    @property
    def outputs(self) -> int:
        """How many outputs the grid's convolution has along one axis."""
        return output_side(self.side, self.layer)

    def reads(self, place: int) -> list[int]:
        """The inputs, along one axis, that the grid's output `place` reads; some may be padding."""
        first, last = looks_at(place, [self.layer])
        return list(range(first, last + 1, self.dilation))

    def field(self, block: int = 0) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last row, and column, after `block` (0: of the picture) that the chosen cell can depend on."""
        facts = self.scene["networks"][self.network]
        begin, end = ([0, *facts["ends"]][b] for b in (block, self.block))
        shape = self.scene["maps"][facts["maps"][self.block - 1]]["shape"]
        row, column = (min(i, n - 1) for i, n in zip(self.cell, shape))
        return looks_at(row, facts["layers"][begin:end]), looks_at(column, facts["layers"][begin:end])

    def figure(self) -> Figure:
        """The grid and its outputs; or the picture and what each block makes of it, the receptive field framed."""
        return self._drawn_grid() if self.view == "grid" else self._drawn_blocks()

    def _drawn_grid(self) -> Figure:
        figure, axes = plt.subplots(1, 2, figsize=(5.2, 2.6), layout="constrained")
        p, n, m = self.padding, self.side, self.outputs
        chosen = [min(i, m - 1) for i in self.place] if m else []
        rows, columns = (self.reads(i) for i in chosen) if m else ([], [])
        inputs = np.zeros((n + 2 * p, n + 2 * p))
        inputs[p : p + n, p : p + n] = 1
        inputs[np.ix_([r + p for r in rows], [c + p for c in columns])] += 2
        outputs = np.ones((m, m))
        outputs[tuple(chosen)] = 3 if m else 1
        style = {"cmap": "Blues", "vmin": 0, "vmax": 4, "edgecolors": "gray", "linewidth": 0.5}
        titles = f"{n} × {n} inputs, padding {p}", f"{m} × {m} outputs"
        for ax, values, title in zip(axes, (inputs, outputs), titles):
            if values.size:
                ax.pcolormesh(values, **style)
            ax.set_title(title, fontsize=10)
            ax.set(aspect="equal", xlim=(0, len(inputs)), ylim=(len(inputs), 0))
            ax.set_axis_off()
        return figure

    def _drawn_blocks(self) -> Figure:
        facts = self.scene["networks"][self.network]
        maps = [self.scene["maps"][i] for i in facts["maps"]]
        figure, axes = plt.subplots(1, 1 + len(maps), figsize=(9, 1.9), layout="constrained")
        axes[0].imshow(np.asarray(Image.open(io.BytesIO(self.scene["image"]))))
        for ax, value in zip(axes[1:], maps):
            ax.imshow(np.frombuffer(value["data"], np.uint8).reshape(value["shape"]), interpolation="nearest")
        for block, ax in enumerate(axes):
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"block {block}" if block else "picture", fontsize=10)
            if block <= self.block:
                self._frame(ax, *self.field(block))
        if facts["used"] and self.block == len(maps):
            middles = [(first + last) / 2 for first, last in self.field()]
            square = [(m - (facts["used"] - 1) / 2, m + (facts["used"] - 1) / 2) for m in middles]
            self._frame(axes[0], square[0], square[1], style="dashed")
        return figure

    @staticmethod
    def _frame(ax: Axes, rows: Sequence[float], columns: Sequence[float], style: str = "solid") -> None:
        bounds, corner = (ax.get_xlim(), ax.get_ylim()), (columns[0] - 0.5, rows[0] - 0.5)
        sides = columns[1] - columns[0] + 1, rows[1] - rows[0] + 1
        for colour, width in (("white", 3.5), (COLOURS[5], 1.8)):
            ax.add_patch(Rectangle(corner, *sides, fill=False, ec=colour, lw=width, ls=style))
        ax.set_xlim(bounds[0])
        ax.set_ylim(bounds[1])

    def alt(self) -> str:
        """What is chosen, and what it reads, in words."""
        if self.view == "grid":
            n = self.outputs
            return (
                f"A grid of {self.side} x {self.side} inputs and the {n} x {n} outputs of a convolution with kernel "
                f"{self.kernel}, stride {self.stride}, padding {self.padding} and dilation {self.dilation}; the "
                "inputs that one output reads are dark"
            )
        (top, bottom), (left, right) = self.field()
        facts = self.scene["networks"][self.network]
        used, blocks = facts["used"], len(facts["ends"])
        return (
            f"A picture and what the blocks of a network ({self.network}) make of it; a cell behind block "
            f"{self.block} can depend on rows {top} to {bottom} and columns {left} to {right} of the picture, framed"
            + (f"; dashed, a square of {used}" if used and self.block == blocks else "")
        )
