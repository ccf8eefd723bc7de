"""Matching: every query pixel goes to the nearest prototype (paper Sec. 3.4, Eq. 3-5; chapter 4).

Pure functions of tensors: no data set, no file, no device.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .prototypes import VOID, exact

ALPHA = {"cosine": 20.0, "euclidean": 1.0}  # the paper fixes 20 for cosine (Sec. 3.4)


def match(
    features: Tensor, prototypes: Tensor, alpha: float | None = None, distance: str = "cosine",
    lengths: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Eq. 3 before its softmax: the logit of each pixel for each prototype.

    features: (B, Q, C, h, w). prototypes: (B, J, C). Returns logits (B, Q, J, h, w) in float32 or
    better. `distance`: "cosine" gives alpha * cos, which is -alpha * (1 - cos) up to a constant that
    the softmax does not see; "euclidean" gives -alpha * squared distance. alpha: 20 for cosine
    (paper), 1 for euclidean unless given. A zero prototype has cosine 0 with everything. lengths:
    of the features, (B, Q, 1, h, w), where they are known already.
    """
    if distance not in ALPHA:
        raise ValueError(f"distance is {distance!r}, choose one of {', '.join(ALPHA)}.")
    if features.ndim != 5 or prototypes.ndim != 3 or features.shape[2] != prototypes.shape[2]:
        raise ValueError(
            "match wants features (B, Q, C, h, w) and prototypes (B, J, C) with the same C, "
            f"got {tuple(features.shape)} and {tuple(prototypes.shape)}."
        )
    alpha = ALPHA[distance] if alpha is None else alpha
    with torch.autocast(features.device.type, enabled=False):
        features, prototypes = exact(features, prototypes)
        if distance == "cosine":
            prototypes = F.normalize(prototypes, dim=2, eps=1e-8)
        products = torch.einsum("bqchw,bjc->bqjhw", features, prototypes)
        if distance == "cosine":
            lengths = features.norm(dim=2, keepdim=True) if lengths is None else lengths
            return alpha * products / lengths.clamp(min=1e-8)
        norms = features.square().sum(2, keepdim=True) + prototypes.square().sum(2)[:, None, :, None, None]
        return alpha * (2 * products - norms)  # |f - p|^2 = |f|^2 - 2 f.p + |p|^2


def upsample(logits: Tensor, size: tuple[int, ...]) -> Tensor:
    """Logits (..., J, h, w) to (..., J, H, W'), bilinear with align_corners=False, as the authors do."""
    flat = logits.reshape(-1, *logits.shape[-3:])
    flat = F.interpolate(flat, size=tuple(size), mode="bilinear", align_corners=False)
    return flat.view(*logits.shape[:-2], *size)


def episode_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5 for each episode: (B, Q, J, h, w) and (B, Q, H, W') -> (B,).

    Cross-entropy at label size, averaged over the episode's valid pixels (not 255); 0 if it has none.
    """
    with torch.autocast(logits.device.type, enabled=False):
        (logits,) = exact(logits)
        scores = upsample(logits, labels.shape[-2:]).flatten(0, 1)
        target = labels.flatten(0, 1).long()
        losses = F.cross_entropy(scores, target, ignore_index=VOID, reduction="none")
        valid = (labels != VOID).sum((1, 2, 3)).clamp(min=1)
        return losses.view(labels.shape).sum((1, 2, 3)) / valid


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5: logits (B, Q, J, h, w), labels (B, Q, H, W') -> scalar.

    The mean over episodes of the episode's mean over its valid pixels, so that splitting a batch
    over processes changes nothing.
    """
    if logits.ndim != 5 or labels.ndim != 4 or logits.shape[:2] != labels.shape[:2]:
        raise ValueError(
            "segmentation_loss wants logits (B, Q, J, h, w) and labels (B, Q, H, W') that agree in "
            f"B, Q, got {tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    return episode_losses(logits, labels).mean()
