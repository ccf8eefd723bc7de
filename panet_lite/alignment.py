"""Prototype alignment regularisation: segment the support back from the query (Sec. 3.5, Eq. 6-7;
chapter 5).

Pure functions of tensors: no data set, no file, no device.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .matching import episode_losses, match
from .prototypes import EPSILON, VOID, exact, support_prototypes


def query_prototypes(features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The prototypes that the query's own prediction gives (Sec. 3.5, after Eq. 1-2).

    features: (B, Q, C, h, w). logits: (B, Q, J, h, w), of which only the hard arg max is used, so no
    gradient flows through the mask. Returns the prototypes (B, J, C), pooled at feature size over
    all Q queries jointly, and (B, J), true where the prototype's class was predicted at all.
    """
    with torch.autocast(features.device.type, enabled=False):
        (features,) = exact(features)
        masks = F.one_hot(logits.detach().argmax(2), logits.shape[2]).to(features.dtype)
        sums = torch.einsum("bqchw,bqhwj->bjc", features, masks)
        areas = masks.sum((1, 2, 3))
        return sums / (areas[..., None] + EPSILON), areas > 0


def way_labels(labels: Tensor) -> Tensor:
    """Two-class label maps for Eq. 7: (B, W, K, H, W') -> the same shape, 1 = the image's own way.

    Pixels of the episode's other classes become void: Eq. 6 compares only p_c with p_bg.
    """
    ways = torch.arange(1, labels.shape[1] + 1, device=labels.device).view(1, -1, 1, 1, 1)
    own, background = labels == ways, labels == 0
    return torch.where(own, 1, torch.where(background, 0, VOID))


def alignment_loss(
    query_features: Tensor, query_logits: Tensor, support_features: Tensor, support_labels: Tensor,
    alpha: float | None = None, distance: str = "cosine",
) -> Tensor:  # fmt: skip
    """Eq. 7: swap support and query, segment each support image with the query's prototypes.

    query_features: (B, Q, C, h, w). query_logits: (B, Q, 1 + W, h, w). support_features:
    (B, W, K, C, h, w). support_labels: (B, W, K, H, W'). Returns a scalar: for each way c and shot k
    the two-class cross-entropy {p_c, p_bg} (Eq. 6) over the valid pixels, summed and divided by
    W * K, averaged over episodes. A way that is predicted nowhere in the query adds nothing, the
    divisor stays (the authors' rule); it is masked out, not branched on, so the GPU never waits.
    """
    batch, ways, shots = support_labels.shape[:3]
    prototypes, predicted = query_prototypes(query_features, query_logits)
    background = prototypes[:, :1].expand(-1, ways, -1)
    pairs = torch.stack([background, prototypes[:, 1:]], dim=2)  # (B, W, 2, C)
    logits = match(support_features.flatten(0, 1), pairs.flatten(0, 1), alpha, distance)  # (B*W, K, 2, h, w)
    losses = episode_losses(
        logits.flatten(0, 1).unsqueeze(1),  # each support image is judged by its own valid pixels
        way_labels(support_labels).flatten(0, 2).unsqueeze(1),
    ).view(batch, ways, shots)
    return torch.where(predicted[:, 1:, None], losses, 0).mean()


def prototype_distance(
    support_features: Tensor, support_labels: Tensor, query_features: Tensor, query_labels: Tensor,
    normalised: bool = False,
) -> Tensor:  # fmt: skip
    """Sec. 4.3: the Euclidean distance between support and query prototypes, by which PAR is judged.

    support_features: (B, W, K, C, h, w). support_labels: (B, W, K, H, W'). query_features:
    (B, Q, C, h, w). query_labels: (B, Q, H, W'), the truth: both sides are pooled alike (Eq. 1-2), so
    the distance tells of the features, not of the prediction. Returns (B, 1 + W), background first.
    normalised: measure on the unit sphere, where the cosine of Eq. 3 lives; the raw distance also
    shrinks where features merely become shorter.
    """
    ways = support_labels.shape[1]
    own = support_prototypes(support_features, support_labels)
    other = support_prototypes(
        query_features[:, None].expand(-1, ways, *query_features.shape[1:]),
        query_labels[:, None].expand(-1, ways, *query_labels.shape[1:]),
    )
    if normalised:
        own, other = F.normalize(own, dim=-1, eps=1e-8), F.normalize(other, dim=-1, eps=1e-8)
    distance: Tensor = (own - other).norm(dim=-1)
    return distance
