"""Embedding space: an episode's pixels and prototypes as points to turn (paper Sec. 4.3; chapters 3, 10)."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..datasets import VOID
from ..episodes import Episode
from ..figures import BACKGROUND, show_labels, way_colour
from ..matching import ALPHA, match
from ..model import PANet
from ..prototypes import support_prototypes
from .base import Array, Widget
from .scenes import class_iou, packed, pictures, unpacked


def principal_axes(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Where a cloud x (N, C) reaches farthest: its mean (C,), three axes (C, 3), their share of the variance."""
    middle = x.mean(0)
    values, vectors = torch.linalg.eigh((x - middle).T @ (x - middle))  # smallest first
    axes = F.pad(vectors.flip(1)[:, :3], (0, max(0, 3 - len(values))))
    return middle, axes, (values.flip(0)[:3].sum() / values.sum().clamp(min=1e-12)).item()


def turn_onto(points: Tensor, others: Tensor) -> Tensor:
    """The orthogonal (3, 3) matrix that brings points nearest to others, (N, 3) each (Procrustes)."""
    left, _, right = torch.linalg.svd(points.T @ others)
    turn: Tensor = left @ right
    return turn


def cell_labels(labels: Tensor, grid: Sequence[int]) -> Tensor:
    """Label maps (N, H, W') read in the middle of each feature cell: (N, h, w)."""
    rows, columns = (
        ((torch.arange(few) + 0.5) * many / few).long() for few, many in zip(grid, labels.shape[-2:])
    )
    return labels[:, rows[:, None], columns]


def query_prototypes(features: Tensor, labels: Tensor, ways: int) -> Tensor:
    """Prototypes (1 + W, C) of queries (Q, C, h, w) whose truth is known (Q, H, W'), pooled as supports are."""
    features, labels = features.expand(1, ways, *features.shape), labels.expand(1, ways, *labels.shape)
    return support_prototypes(features, labels)[0]


def embedded(episode: Episode, model: PANet) -> dict[str, Any]:
    """The first task of `episode` in a model's space; what is measured is measured in all channels.

    points: (N, h, w, 3), the directions of the cells of supports and queries on their principal axes.
    prototypes: (2, 1 + W, 3), of the supports, and of the queries as their truth cuts them out; known:
    whether there is one. cosines:
    (N, 1 + W, h, w), of each cell with the supports' prototypes. aligned and apart: degrees from a way's
    query prototype to its support prototype, and to the supports' background; None where no query shows
    it. share: of the variance, held by the axes. prediction: (Q, H, W').
    """
    if model.distance != "cosine":
        raise ValueError("EmbeddingSpace shows directions: give it models that match by cosine.")
    with torch.inference_mode():
        prediction = model(episode)
        support, query = (features[0].double() for features in prediction.features)
        own = prediction.prototypes[0].double()
        other = query_prototypes(query, episode.query_labels[0], episode.ways)
        features = torch.cat([support.flatten(0, 1), query])
        cells = F.normalize(features, dim=1, eps=1e-8).permute(0, 2, 3, 1)  # (N, h, w, C)
        stars = F.normalize(torch.stack([own, other]), dim=-1, eps=1e-8)
        middle, axes, share = principal_axes(cells.flatten(0, 2))
    turned = torch.rad2deg((stars[1, 1:, None] @ stars[0].T).clamp(-1, 1).acos())[:, 0]  # (W, 1 + W)
    known = stars.norm(dim=-1) > 0  # false where nothing shows the class
    return {
        "points": (cells - middle) @ axes,
        "prototypes": (stars - middle) @ axes,
        "cosines": match(features[None], own[None], 1.0, "cosine")[0].float(),
        "alpha": ALPHA["cosine"] if model.alpha is None else model.alpha,
        "channels": len(middle),
        "share": share,
        "known": known.tolist(),
        "aligned": [turned[w, w + 1].item() if k else None for w, k in enumerate(known[1, 1:])],
        "apart": [turned[w, 0].item() if k else None for w, k in enumerate(known[1, 1:])],
        "prediction": prediction.labels()[0].to(torch.uint8),
    }


def face_alike(spaces: Sequence[dict[str, Any]]) -> None:
    """Turns points and prototypes so that a switch between spaces does not tumble.

    In the first one the first way's prototype lies to the right of, above and before the background's;
    the others are turned onto the first. Lengths and angles in the picture stay.
    """
    stars = spaces[0]["prototypes"][0]
    turns = [torch.diag(torch.where(stars[1] < stars[0], -1.0, 1.0).to(stars))]
    first = spaces[0]["points"].flatten(0, 2) @ turns[0]
    turns += [turn_onto(space["points"].flatten(0, 2), first) for space in spaces[1:]]
    for space, turn in zip(spaces, turns):
        space["points"], space["prototypes"] = space["points"] @ turn, space["prototypes"] @ turn


class EmbeddingSpace(Widget):
    """The feature cells and prototypes of the first task of `episode`, as points, in one space or several.

    models: {name: PANet}, all matching by cosine and of one feature size (h, w). names: of the ways.
    In step with the page, both ways:
    shown: the name of the space that is shown. colour_by: "truth" or "prediction".
    selection: uint8 (N, h, w), 1 where a cell is selected; W * K supports, way by way, then Q queries.
    """

    script = "space.js"
    parts = ("cloud.js", "looking.js", "space.css")
    scene = traitlets.Dict().tag(sync=True)
    spaces = traitlets.List(traitlets.Dict()).tag(sync=True)
    shown = traitlets.Unicode().tag(sync=True)
    colour_by = traitlets.Unicode("truth").tag(sync=True)
    selection = Array("uint8")

    def __init__(
        self, episode: Episode, models: Mapping[str, PANet], names: Sequence[str] = (), **kwargs: Any
    ):
        if not models:
            raise ValueError('EmbeddingSpace wants at least one model, as {"a name": model}.')
        spaces = {name: embedded(episode, model) for name, model in models.items()}
        grids = {tuple(space["points"].shape[1:3]) for space in spaces.values()}
        if len(grids) > 1:
            raise ValueError(f"The models' features have different sizes, {sorted(grids)}: show them apart.")
        face_alike(list(spaces.values()))
        (grid,) = grids
        scene = pictures(episode, names) | {"grid": list(grid)}
        self._episode, self._spaces = episode, spaces
        maps = torch.cat([episode.support_labels[0].flatten(0, 1), episode.query_labels[0]])
        self.truth = cell_labels(maps, grid).numpy()  # (N, h, w)
        kwargs = {"shown": next(iter(spaces)), "selection": np.zeros(self.truth.shape)} | kwargs
        super().__init__(scene=scene, spaces=[self._sent(name) for name in spaces], **kwargs)

    def _sent(self, name: str) -> dict[str, Any]:
        space = {key: value for key, value in self._spaces[name].items() if key != "prediction"}
        arrays = {key: packed(space[key].float()) for key in ("points", "prototypes", "cosines")}
        return {"name": name, **space, **arrays}

    def checked(self, name: str, array: np.ndarray) -> None:
        """A ValueError where an array is no selection of cells (images, h, w) by 0 and 1."""
        if array.shape != self.truth.shape:
            raise ValueError(
                f"selection is {array.shape}, and should be {self.truth.shape}: images, rows, columns."
            )
        if array.max(initial=0) > 1:
            raise ValueError(f"selection holds {array.max()}: use 1 for selected cells and 0 for the others.")

    @traitlets.validate("shown", "colour_by")
    def _check(self, proposal: traitlets.Bunch) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        options = tuple(self._spaces) if name == "shown" else ("truth", "prediction")
        if value in options:
            return value
        raise traitlets.TraitError(f"{name} is {value[:60]!r}: choose one of {', '.join(options)}.")

    @property
    def prediction(self) -> np.ndarray:
        """What the model of the space that is shown predicts: uint8 (Q, H, W')."""
        maps: np.ndarray = self._spaces[self.shown]["prediction"].numpy()
        return maps

    @property
    def cosines(self) -> np.ndarray:
        """Of each cell with the supports' prototypes, in all channels of the space shown: (N, 1 + W, h, w)."""
        cosines: np.ndarray = self._spaces[self.shown]["cosines"].numpy()
        return cosines

    @property
    def wrong(self) -> np.ndarray:
        """Cells whose nearest prototype is not their class: bool (N, h, w); void is never wrong."""
        wrong: np.ndarray = (self.cosines.argmax(1) != self.truth) & (self.truth != VOID)
        return wrong

    def iou(self, name: str | None = None) -> list[float]:
        """IoU of each way over all queries, in the space of that name or the one that is shown."""
        truth = torch.from_numpy(unpacked(self.scene["truth"], "uint8"))
        return class_iou(self._spaces[name or self.shown]["prediction"], truth, self.scene["ways"])

    def figure(self) -> Figure:
        """The query as predicted, and each space's feature cells and prototypes on one scale."""
        names = list(self._spaces)
        figure, axes = plt.subplots(
            1, 1 + len(names), figsize=(1.85 * (1 + len(names)), 2.1), layout="constrained"
        )
        query = self._episode.query_images[0, 0]
        show_labels(axes[0], query, torch.from_numpy(self.prediction[0]), f"query: {self.shown}")
        reach = max(space["points"].abs().max().item() for space in self._spaces.values())
        for ax, name in zip(axes[1:], names):
            self._scatter(ax, name)
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
            ax.set_title(name, fontsize=10)
        return figure

    def _scatter(self, ax: Axes, name: str) -> None:
        space, supports = self._spaces[name], len(self.truth) - self.scene["queries"]
        points, stars = space["points"].numpy(), space["prototypes"].numpy()
        for label in range(self.scene["ways"] + 1):
            colour = way_colour(label) if label else BACKGROUND
            for part, marker in ((slice(supports), "o"), (slice(supports, None), "^")):
                x, y = points[part][self.truth[part] == label].T[:2]
                ax.scatter(x, y, s=5, lw=0.4, marker=marker, ec=colour, fc=colour if label else "none")
            known = [row[label] for row in space["known"]]
            ax.plot(*stars[known, label].T[:2], color="black", lw=1)
            for star, marker in [(stars[i, label], "o^"[i]) for i in (0, 1) if known[i]]:
                ax.plot(*star[:2], marker, color=colour, mec="black", mew=1.4, ms=9)

    def alt(self) -> str:
        """For each space the angles of the query's object to both prototypes, and its IoU, in words."""

        def mean(values: list[float | None]) -> float:
            known = [v for v in values if v is not None]
            return float(np.mean(known)) if known else np.nan

        found = [
            f"{name}: query's object {mean(space['aligned']):.0f}° from the support's and "
            f"{mean(space['apart']):.0f}° from its background, IoU {np.nanmean(self.iou(name)):.2f}"
            for name, space in self._spaces.items()
        ]
        images = f"{len(self.truth) - self.scene['queries']} support and {self.scene['queries']} query"
        return (
            f"The feature cells of {images} images ({', '.join(self.scene['names'])}) and their prototypes "
            f"as points on principal axes; " + "; ".join(found)
        )
