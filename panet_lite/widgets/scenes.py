"""Scenes: an episode small enough for a page, and what PANet says about it (chapter 9).

A scene is a dict of numbers, texts and packed arrays: pictures as JPEG, label maps, and real features
of a checkpoint, projected to few channels and rounded to int8. The page computes with it in JavaScript;
`segment` computes the same with the package's own functions.
"""

import io
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..annotations import annotate, complete_strokes
from ..episodes import Episode
from ..evaluation import confusion, divide, true_false
from ..matching import ALPHA, match
from ..model import Features, PANet, Prediction
from ..prototypes import VOID, support_prototypes

CHANNELS = 48  # of 112: the prediction stays the same in more than 99 % of the pixels (chapter 9 measures it)


def packed(array: np.ndarray | Tensor) -> dict[str, Any]:
    """An array as it crosses to the page: {dtype, shape, data}, data being its bytes in C order."""
    array = np.asarray(array.cpu() if isinstance(array, Tensor) else array)
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": array.tobytes()}


def deflated(arrays: Sequence[np.ndarray] | Sequence[Tensor]) -> dict[str, Any]:
    """Arrays of one shape, stacked, as `packed` has them, but with zlib's bytes as data."""
    value = packed(np.stack(arrays))
    return {**value, "data": zlib.compress(value["data"], 9)}


def unpacked(value: object, dtype: str) -> np.ndarray:
    """The array behind `packed`. What comes from a page is not trusted: a ValueError says what is wrong."""
    if not isinstance(value, dict) or not {"dtype", "shape", "data"} <= value.keys():
        raise ValueError("An array from the page must be {dtype, shape, data}.")
    shape, data = value["shape"], value["data"]
    if value["dtype"] != dtype or not isinstance(data, (bytes, bytearray, memoryview)):
        raise ValueError(
            f"An array from the page must be bytes of {dtype}, not {str(value['dtype'])[:20]!r}."
        )
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**16 for n in shape):
        raise ValueError("An array from the page has a shape that is no list of sizes.")
    array = np.frombuffer(data, dtype)
    if array.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"An array from the page has {array.size} numbers, its shape {shape} wants others.")
    return array.reshape(shape).copy()


def compressed(features: Tensor, channels: int = CHANNELS) -> tuple[Tensor, Tensor]:
    """Features (N, C, h, w) as int8 (N, k, h, w) and a scale (k,); k = min(channels, C).

    The k directions that hold most of the squared length (principal axes without centring, since
    neither the cosine nor the distance of Eq. 3 may lose its origin); inner products and distances
    survive the turn and lose only what lies outside. Then each channel is rounded to -127..127.
    """
    flat = features.double().transpose(0, 1).flatten(1)  # (C, N * h * w)
    axes = torch.linalg.eigh(flat @ flat.T).eigenvectors.flip(1)[:, :channels]
    turned = torch.einsum("nchw,ck->nkhw", features.double(), axes)
    scale = turned.abs().amax((0, 2, 3)).clamp(min=1e-12) / 127
    return (turned / scale[:, None, None]).round().to(torch.int8), scale.float()


def jpeg(image: Tensor, quality: int = 90) -> bytes:
    """An image (3, H, W') in 0..1 as JPEG."""
    buffer = io.BytesIO()
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def pictures(
    episode: Episode, names: Sequence[str] = (), starts: Sequence[str] = ("dense",)
) -> dict[str, Any]:
    """What the page needs of the first task of `episode` whatever the model.

    Supports are numbered way by way, n = way * K + shot; the queries follow. Keys: ways, shots, queries,
    size [H, W'], names; images: JPEG bytes, one each; starts: {kind: uint8 (W * K, H, W')}, the supports'
    label maps as each kind of annotation (`annotations.KINDS`); truth: uint8 (Q, H, W'). Arrays are `packed`.
    """
    labels = episode.support_labels[0].flatten(0, 1)
    images = torch.cat([episode.support_images[0].flatten(0, 1), episode.query_images[0]])
    return {
        "ways": episode.ways,
        "shots": episode.shots,
        "queries": len(episode.query_labels[0]),
        "size": list(labels.shape[-2:]),
        "names": list(names) or [f"class {way}" for way in range(1, episode.ways + 1)],
        "images": [jpeg(image) for image in images],
        "starts": {kind: packed(torch.stack([annotate(m, kind) for m in labels])) for kind in starts},
        "truth": packed(episode.query_labels[0]),
    }


def scene(
    episode: Episode, model: PANet, names: Sequence[str] = (), channels: int = CHANNELS,
    starts: Sequence[str] = ("dense",),
) -> dict[str, Any]:  # fmt: skip
    """The first task of `episode` for the page, embedded by `model`: `pictures`, and what `segment` needs.

    More keys: grid [h, w], channels, alpha, distance; features: int8 (W * K + Q, k, h, w); scale: float32
    (k,).
    """
    with torch.inference_mode():
        support, query = model.features(episode)
    small, scale = compressed(torch.cat([support[0].flatten(0, 1), query[0]]), channels)
    return {
        **pictures(episode, names, starts),
        "grid": list(small.shape[-2:]),
        "channels": small.shape[1],
        "alpha": ALPHA[model.distance] if model.alpha is None else model.alpha,
        "distance": model.distance,
        "features": packed(small),
        "scale": packed(scale),
    }


def features_of(scene: dict[str, Any]) -> Features:
    """The features of a scene as the page has them: support (1, W, K, k, h, w), query (1, Q, k, h, w)."""
    small, scale = unpacked(scene["features"], "int8"), unpacked(scene["scale"], "float32")
    features = torch.from_numpy(small).float() * torch.from_numpy(scale)[:, None, None]
    supports, queries = features.split([len(features) - scene["queries"], scene["queries"]])
    return Features(supports.unflatten(0, (scene["ways"], scene["shots"]))[None], queries[None])


def segment(
    scene: dict[str, Any], label_map: np.ndarray, active: Sequence[bool] | None = None,
    alpha: float | None = None, distance: str | None = None,
) -> Prediction:  # fmt: skip
    """What PANet says about a scene whose supports are labelled with `label_map` (W * K, H, W').

    active: which of the K shots count, all unless given. Strokes are completed as in `own_episode`: a
    map without a stroke on the background takes everything unpainted for background.
    """
    support, query = features_of(scene)
    labels = torch.from_numpy(np.asarray(label_map, dtype=np.uint8))
    labels = torch.stack([completed(m) for m in labels]).unflatten(0, support.shape[1:3])[None]
    shots = torch.tensor([True] * scene["shots"] if active is None else list(active))
    prototypes = support_prototypes(support[:, :, shots], labels[:, :, shots])
    distance = distance or scene["distance"]
    alpha = scene["alpha"] if alpha is None else alpha
    logits = match(query, prototypes, alpha, distance)
    return Prediction(logits, Features(support, query), prototypes, tuple(scene["size"]), alpha, distance)


def first_query(episode: Episode) -> Episode:
    """The episode with one query, where a widget has room for one."""
    return replace(
        episode, query_images=episode.query_images[:, :1], query_labels=episode.query_labels[:, :1]
    )


def class_iou(predicted: Tensor, truth: Tensor, ways: int) -> list[float]:
    """IoU of each way, counted over all pixels of (Q, H, W') label maps whose truth is not void.

    NaN where a class is in neither; a prediction that says nothing (255) is wrong where a class is.
    """
    predicted = torch.where(predicted == VOID, 0, predicted)
    counts = confusion(predicted[None], truth[None].long(), 1 + ways)
    ious: list[float] = divide(true_false(counts.numpy()))[0, 1:].tolist()
    return ious


def completed(labels: Tensor) -> Tensor:
    """`complete_strokes` without its warning: the page says the same in its own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return complete_strokes(labels)
