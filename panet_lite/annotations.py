"""Weak annotations: scribbles, boxes and points made from dense masks (paper Sec. 3.6, 4.4; chapter 8).

Each is a label map like the dense one: 0 background, 1..W the episode's classes, and 255 wherever the
annotator says nothing. Masks are boolean arrays (H, W).
"""

import warnings
from collections.abc import Sequence

import numpy as np
import skimage as ski  # its parts are imported where they are first used
import torch
from scipy.ndimage import find_objects
from torch import Tensor

from .datasets import VOID

KINDS = ("dense", "scribble", "box", "point")


def kind_named(kind: str) -> str:
    """`kind`, where it is one of `KINDS`; else a ValueError lists them."""
    if kind not in KINDS:
        raise ValueError(f"There is no annotation {kind!r}: choose one of {', '.join(KINDS)}.")
    return kind


def objects(mask: np.ndarray, instances: np.ndarray | None = None) -> list[np.ndarray]:
    """The objects of a class, a mask each: its instances where it has any, else its connected parts."""
    numbers = ski.measure.label(mask, connectivity=2)
    if instances is not None and (told := np.where(mask & (instances != VOID), instances, 0)).any():
        numbers = told
    return [numbers == n for n in np.unique(numbers) if n]


def axis_and_depth(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The medial axis of a mask and each pixel's distance to its edge; the frame is an edge, too."""
    axis, depth = ski.morphology.medial_axis(np.pad(mask, 1), return_distance=True, rng=0)
    return axis[1:-1, 1:-1], depth[1:-1, 1:-1]


def longest_path(axis: np.ndarray) -> np.ndarray:
    """Pixels (N, 2) of the longest way along a connected skeleton.

    Two sweeps: the pixel farthest from any start is one end, the pixel farthest from that the other.
    Exact on a tree; a ring is walked half round.
    """
    end, costs = np.argwhere(axis)[0], np.where(axis, 1.0, np.inf)
    for _ in range(2):
        walk = ski.graph.MCP_Geometric(costs)
        distance, _ = walk.find_costs([end])
        end = np.unravel_index(np.where(np.isfinite(distance), distance, -1).argmax(), axis.shape)
    return np.array(walk.traceback(end))


def scribble(mask: np.ndarray, width: float = 3, radius: int = 2) -> np.ndarray:
    """One stroke through the largest part of a mask: opening, medial axis, longest path, `width` wide.

    The opening, by a disc of `radius`, removes what is thinner, and is left out where nothing would remain.
    """
    opened = ski.morphology.opening(mask, ski.morphology.disk(radius))
    axis, depth = axis_and_depth(max(objects(opened if opened.any() else mask), key=np.count_nonzero))
    path = longest_path(axis)
    depths = depth[tuple(path.T)]
    inner = np.flatnonzero(depths >= np.median(depths) / 2)  # a hand does not draw into the outline's corners
    line = np.zeros_like(mask)
    line[tuple(path[inner[0] : inner[-1] + 1].T)] = True
    stroke: np.ndarray = ski.morphology.isotropic_dilation(line, width / 2) & mask
    return stroke


def point(mask: np.ndarray, seed: int | Sequence[int] = 0, radius: float = 3) -> np.ndarray:
    """A click well inside a mask, a disc: anywhere on the medial axis where that is at least half as
    deep as at its deepest."""
    axis, depth = axis_and_depth(mask)
    places = np.argwhere(axis & (depth >= depth[axis].max() / 2))
    spot = np.zeros_like(mask)
    spot[tuple(np.random.default_rng(seed).choice(places))] = True
    disc: np.ndarray = ski.morphology.isotropic_dilation(spot, radius) & mask
    return disc


def box(mask: np.ndarray) -> np.ndarray:
    """The bounding box of a mask, filled."""
    filled = np.zeros_like(mask)
    for place in find_objects(mask.view(np.uint8)):  # all that is True is one object, in however many parts
        filled[place] = True
    return filled


def box_map(
    dense: np.ndarray, found: dict[int, list[np.ndarray]], chosen: dict[int, np.ndarray]
) -> np.ndarray:
    """A label map of the boxes of the chosen objects, {way: mask}, small ones over large; the background
    is what lies outside the boxes of all objects found, and void pixels stay void there."""
    weak = np.where(dense == 0, dense, VOID)
    for mask in (mask for masks in found.values() for mask in masks):
        weak[box(mask)] = VOID
    for way in sorted(chosen, key=lambda way: -np.count_nonzero(box(chosen[way]))):
        weak[box(chosen[way])] = way
    if not set(chosen) <= set(np.unique(weak)):  # a box is buried under others: all keep their own pixels
        for way, mask in chosen.items():
            weak[mask] = way
    return weak


def annotate(
    labels: Tensor, kind: str, instances: Tensor | None = None, seed: int | Sequence[int] = 0,
    largest_box: bool = False, width: float = 3, radius: float = 3,
) -> Tensor:  # fmt: skip
    """A dense label map (H, W) as a weak one of `kind`, one of `KINDS` (Sec. 4.4).

    Each class gets one mark, on one of its objects drawn at random (`largest_box`: on the largest). It
    depends on the class's own pixels and the seed, not on its number or the other classes. instances:
    (H, W), 1.. the objects, 255 void; without them, connected parts are objects. scribble (`width` pixels
    wide) and point (a disc of `radius` pixels): inside the object, and one inside the background. box:
    filled; the background is what lies outside all boxes. All else is 255.
    """
    if kind_named(kind) == "dense":
        return labels
    if labels.ndim != 2 or (instances is not None and instances.shape != labels.shape):
        shapes = [tuple(t.shape) for t in (labels, instances) if t is not None]
        raise ValueError(f"annotate wants a label map (H, W), and instances of its size, not {shapes}.")
    dense, parts = labels.cpu().numpy(), None if instances is None else instances.cpu().numpy()
    found = {int(way): objects(dense == way, parts) for way in np.unique(dense) if way not in (0, VOID)}
    if kind == "box" and largest_box:
        chosen = {way: max(masks, key=np.count_nonzero) for way, masks in found.items()}
    else:
        chosen = {way: own[np.random.default_rng(seed).integers(len(own))] for way, own in found.items()}
    if kind == "box":
        return torch.from_numpy(box_map(dense, found, chosen)).to(labels.device)
    weak = np.full_like(dense, VOID)
    for way, mask in {0: dense == 0, **chosen}.items():
        if mask.any():
            weak[scribble(mask, width) if kind == "scribble" else point(mask, seed, radius)] = way
    return torch.from_numpy(weak).to(labels.device)


def complete_strokes(labels: Tensor) -> Tensor:
    """Your own strokes (H, W): where none of them marks the background, everything unpainted becomes
    background, with a warning. A map without a stroke, or with one on the background, stays as it is."""
    if (labels == 0).any() or (labels == VOID).all() or not (labels == VOID).any():
        return labels
    text = "No stroke marks the background: everything unpainted is taken for background. Stroke over some "
    warnings.warn(text + "of it for a better answer.", stacklevel=2)
    return torch.where(labels == VOID, 0, labels)
