"""Prototypes: one mean feature vector for each class (paper Sec. 3.3, Eq. 1-2; chapter 3).

Pure functions of tensors: no data set, no file, no device. A label map holds 0 for background,
1..W for the episode's classes and 255 for "says nothing".
"""

import torch
import torch.nn.functional as F
from torch import Tensor

VOID = 255
EPSILON = 1e-5  # added to every area, as the authors do: an empty mask gives a zero prototype, not NaN


def exact(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in float32 at least (float64 stays): a bfloat16 sum over a mask loses digits."""
    return tuple(t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors)


def interpolation_matrix(small: int, large: int, like: Tensor) -> Tensor:
    """The matrix (large, small) of linear interpolation from `small` to `large` samples.

    Interpolation is linear, so interpolating the identity writes down its matrix.
    """
    identity = torch.eye(small, dtype=like.dtype, device=like.device)[None]
    return F.interpolate(identity, size=large, mode="linear", align_corners=False)[0].T


def adjoint_upsample(mask: Tensor, size: tuple[int, ...]) -> Tensor:
    """Carry masks (..., H, W) down to `size` (h, w) by the transpose of bilinear upsampling.

    For any features F and mask m, sum(Up(F) * m) = sum(F * adjoint_upsample(m)). This is what makes
    masked average pooling at full resolution exact without a full-resolution feature map. No common
    resizing has this property: nearest, bilinear and area resizing all give another prototype.
    """
    rows = interpolation_matrix(size[0], mask.shape[-2], mask)
    columns = interpolation_matrix(size[1], mask.shape[-1], mask)
    return rows.T @ mask @ columns


def masked_average_pool(features: Tensor, mask: Tensor) -> Tensor:
    """Eq. 1, inner fraction: the mean feature vector under a mask.

    features: (N, C, h, w). mask: (N, H, W), boolean or weights, usually at image size.
    Returns (N, C), float32 or better. It equals upsampling the features bilinearly to (H, W) and
    averaging them under the mask; an empty mask gives zeros.
    """
    if features.ndim != 4 or mask.ndim != 3 or len(features) != len(mask):
        raise ValueError(
            f"masked_average_pool wants features (N, C, h, w) and a mask (N, H, W) with the same N, "
            f"got {tuple(features.shape)} and {tuple(mask.shape)}."
        )
    with torch.autocast(features.device.type, enabled=False):
        (features,) = exact(features)
        mask = mask.to(features.dtype)
        weights = adjoint_upsample(mask, features.shape[-2:])
        sums = torch.einsum("nchw,nhw->nc", features, weights)
        return sums / (mask.sum((-2, -1))[:, None] + EPSILON)


def support_prototypes(features: Tensor, labels: Tensor) -> Tensor:
    """Eq. 1-2: the prototypes of the background and of each class, from the annotated supports.

    features: (B, W, K, C, h, w), K images for each of W ways. labels: (B, W, K, H, W'), label maps.
    Returns (B, 1 + W, C), background first. Class c is pooled in its own K images only (Eq. 1);
    the background in all W * K images (Eq. 2), where the label is 0: pixels of any episode class and
    void pixels (255) stay out. Both are means over images of the means within an image.
    """
    if features.ndim != 6 or labels.ndim != 5 or features.shape[:3] != labels.shape[:3]:
        raise ValueError(
            "support_prototypes wants features (B, W, K, C, h, w) and labels (B, W, K, H, W') that "
            f"agree in B, W, K, got {tuple(features.shape)} and {tuple(labels.shape)}."
        )
    ways = torch.arange(1, labels.shape[1] + 1, device=labels.device).view(1, -1, 1, 1, 1)
    masks = torch.stack([labels == 0, labels == ways], dim=3)  # (B, W, K, 2, H, W')
    with torch.autocast(features.device.type, enabled=False):
        (features,) = exact(features)
        masks = masks.to(features.dtype)
        weights = adjoint_upsample(masks, features.shape[-2:])
        sums = torch.einsum("bwkcyx,bwkmyx->bwkmc", features, weights)
        means = sums / (masks.sum((-2, -1))[..., None] + EPSILON)  # one for each image
        background, classes = means.mean(2).unbind(2)  # (B, W, C) each, the mean over shots
    return torch.cat([background.mean(1, keepdim=True), classes], dim=1)
