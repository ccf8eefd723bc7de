"""The book's pictures: episodes, label maps, maps of numbers (all chapters).

Colours are Okabe and Ito's, safe for colour-blind readers; classes also differ by their outline, and
void pixels are hatched, so that no mask is told apart by colour alone.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from .datasets import VOID
from .datasets.marks import BACKGROUND as BACKGROUND
from .datasets.marks import COLOURS as COLOURS
from .datasets.marks import way_colour as way_colour
from .episodes import Episode

LINES = ("solid", "dashed", "dotted", "dashdot", (0, (5, 1)), (0, (1, 1)))


def show_image(ax: Axes, image: Tensor, title: str = "") -> None:
    """An image (3, H, W) in 0..1 or uint8, without ticks."""
    pixels = image.detach().cpu().permute(1, 2, 0)
    ax.imshow(pixels.numpy() if pixels.dtype == torch.uint8 else pixels.clamp(0, 1).numpy())
    ax.set_title(title, fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])


def show_labels(ax: Axes, image: Tensor, labels: Tensor, title: str = "", strength: float = 0.45) -> None:
    """A label map (H, W) over its image: tinted, outlined by class, void hatched."""
    show_image(ax, image, title)
    values = labels.detach().cpu().numpy()
    extent = (-0.5, image.shape[-1] - 0.5, image.shape[-2] - 0.5, -0.5)
    for way in (int(v) for v in np.unique(values) if v not in (0, VOID)):
        mask = values == way
        tint = np.zeros((*mask.shape, 4))
        tint[mask] = (*to_rgb(way_colour(way)), strength)
        ax.imshow(tint, extent=extent, interpolation="nearest")
        if mask.any() and not mask.all():
            style = LINES[(way - 1) % len(LINES)]
            for colour, width in (("white", 2.5), (way_colour(way), 1.5)):
                ax.contour(
                    mask, [0.5], colors=[colour], linewidths=width, linestyles=[style], extent=extent,
                    origin="upper",
                )  # fmt: skip
    if (values == VOID).any():
        ax.contourf(
            values == VOID, [0.5, 1.5], colors="none", hatches=["////"], extent=extent, origin="upper"
        )


def show_map(
    ax: Axes, values: Tensor, title: str = "", cmap: str = "cividis",
    limits: tuple[float, float] | None = None,
) -> AxesImage:  # fmt: skip
    """A map of numbers (h, w) as a picture; returns the artist, for a colour bar."""
    low, high = limits or (None, None)
    artist = ax.imshow(values.detach().cpu().numpy(), cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    ax.set_title(title, fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
    return artist


def show_numbers(ax: Axes, values: Tensor, title: str = "", cmap: str = "cividis") -> None:
    """A small map (h, w) with every number written into its cell."""
    artist = show_map(ax, values.float(), title, cmap)
    middle = sum(artist.get_clim()) / 2
    for (y, x), value in np.ndenumerate(values.detach().cpu().numpy()):
        text = f"{value:g}" if float(value).is_integer() else f"{value:.2f}"
        ax.text(x, y, text, ha="center", va="center", color="white" if value <= middle else "black")


def show_episode(
    episode: Episode, predicted: Tensor | None = None, names: Sequence[str] = (), index: int = 0
) -> Figure:
    """Episode `index` of a batch: a row of supports for each way, then query, truth and prediction.

    predicted: label maps (B, Q, H, W'). names: of the ways.
    """
    ways, shots, queries = episode.ways, episode.shots, episode.query_images.shape[1]
    columns = max(shots, 3 if predicted is not None else 2)
    figure, axes = plt.subplots(
        ways + queries, columns, figsize=(2.1 * columns, 2.3 * (ways + queries)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax in axes.flat:
        ax.set_axis_off()
    for way in range(ways):
        for shot in range(shots):
            name = names[way] if names else f"class {way + 1}"
            ax = axes[way, shot]
            ax.set_axis_on()
            show_labels(
                ax, episode.support_images[index, way, shot], episode.support_labels[index, way, shot],
                f"support: {name}",
            )  # fmt: skip
    for query in range(queries):
        image, row = episode.query_images[index, query], axes[ways + query]
        for ax in row[: 2 + (predicted is not None)]:
            ax.set_axis_on()
        show_image(row[0], image, "query")
        show_labels(row[1], image, episode.query_labels[index, query], "truth")
        if predicted is not None:
            show_labels(row[2], image, predicted[index, query], "prediction")
    return figure
