"""PANet: backbone -> prototypes -> matching -> alignment. Reads like Figure 2 of the paper."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .alignment import alignment_loss
from .backbones import lite0, trained_backbone
from .datasets import voc
from .episodes import Episode
from .matching import match, segmentation_loss, upsample
from .prototypes import support_prototypes


class Features(NamedTuple):
    """Embedded episode: support (B, W, K, C, h, w) and query (B, Q, C, h, w)."""

    support: Tensor
    query: Tensor


@dataclass(frozen=True)
class Prediction:
    """What PANet says about an episode.

    logits: (B, Q, 1 + W, h, w) at feature size, background first. features: see `Features`.
    prototypes: (B, 1 + W, C). size: (H, W') of the query images.
    """

    logits: Tensor
    features: Features
    prototypes: Tensor
    size: tuple[int, int]
    alpha: float | None = None
    distance: str = "cosine"

    def probabilities(self, size: tuple[int, int] | None = None) -> Tensor:
        """Eq. 3: (B, Q, 1 + W, H, W'), at query size unless `size` is given."""
        return upsample(self.logits, size or self.size).softmax(2)

    def labels(self, size: tuple[int, int] | None = None) -> Tensor:
        """Eq. 4: label maps (B, Q, H, W'), the class of the nearest prototype."""
        return upsample(self.logits, size or self.size).max(2).indices  # 30 times faster here than argmax

    def losses(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Eq. 5 and Eq. 7, two scalars."""
        return (
            segmentation_loss(self.logits, episode.query_labels),
            alignment_loss(
                self.features.query, self.logits, self.features.support, episode.support_labels,
                self.alpha, self.distance,
            ),
        )  # fmt: skip

    def loss(self, episode: Episode, lambda_par: float = 1.0) -> Tensor:
        """The training loss, L_seg + lambda L_PAR (end of Sec. 3.5); lambda 0 is PANet without PAR."""
        if lambda_par == 0:
            return segmentation_loss(self.logits, episode.query_labels)
        segmentation, alignment = self.losses(episode)
        return segmentation + lambda_par * alignment


class PANet(nn.Module):
    """Few-shot segmentation by prototypes; it has no parameters beyond its backbone's.

    backbone: maps (N, 3, H, W') to (N, C, h, w) and has `preprocess` for images in 0..1.
    alpha, distance: as in `matching.match`.
    """

    def __init__(self, backbone: nn.Module, alpha: float | None = None, distance: str = "cosine"):
        super().__init__()
        self.backbone, self.alpha, self.distance = backbone, alpha, distance

    def embed(self, images: Tensor) -> Tensor:
        """Images (..., 3, H, W') in 0..1 to features (..., C, h, w).

        Outside training, features that are not finite raise a ValueError; in training the loss tells,
        so that the GPU need not wait here.
        """
        ready = self.backbone.preprocess(images.flatten(0, -4))  # type: ignore[operator]  # it is a method
        features: Tensor = self.backbone(ready)
        if not self.training and not features.isfinite().all():
            raise ValueError(
                "The backbone gave features that are not finite (NaN or infinity): check that the "
                "images are RGB in 0..1 and that the checkpoint belongs to this backbone."
            )
        return features.view(*images.shape[:-3], *features.shape[-3:])

    def features(self, episode: Episode) -> Features:
        """Embed an episode; supports and queries of one size pass the backbone in one call."""
        support, query = episode.support_images, episode.query_images
        if support.shape[-2:] != query.shape[-2:]:
            return Features(self.embed(support), self.embed(query))
        images = torch.cat([support.flatten(0, 2), query.flatten(0, 1)])
        of_support, of_query = self.embed(images).split([support.shape[:3].numel(), query.shape[:2].numel()])
        return Features(of_support.unflatten(0, support.shape[:3]), of_query.unflatten(0, query.shape[:2]))

    def forward(self, episode: Episode) -> Prediction:
        """Figure 2 (a): embed, pool prototypes from the support, match the query to them."""
        features = self.features(episode)
        prototypes = support_prototypes(features.support, episode.support_labels)
        logits = match(features.query, prototypes, self.alpha, self.distance)
        height, width = episode.query_images.shape[-2:]
        return Prediction(logits, features, prototypes, (height, width), self.alpha, self.distance)

    def loss(self, episode: Episode, lambda_par: float = 1.0) -> Tensor:
        """Figure 2 (a) and (b): the training loss of an episode, a scalar."""
        prediction: Prediction = self(episode)
        return prediction.loss(episode, lambda_par)


VARIANTS = {
    "par": "fold{}.safetensors", "without-par": "fold{}-without-par.safetensors",
    "twin": "twin-fold{}.safetensors", "twin-init": "twin-fold{}-init.safetensors",
}  # fmt: skip


def checkpoint(fold: int, variant: str) -> Path:
    """The file of one of the models that come with the package. Errors: ValueError where there is none such."""
    if fold not in range(4):
        raise ValueError(f"There are no weights for fold {fold!r}: they come for folds 0..3 of Tabletop-5i.")
    if variant not in list(VARIANTS):
        raise ValueError(f"There is no variant {variant!r}: choose one of init, {', '.join(VARIANTS)}.")
    if fold and variant.startswith("twin"):
        raise ValueError(
            f"The twin comes for fold 0: make one for fold {fold} by data/checkpoints/pretrain.py."
        )
    path = voc.DATA / "checkpoints" / VARIANTS[variant].format(int(fold))
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}. {voc.REMEDY}")
    return path


def pretrained(fold: int = 0, variant: str = "par") -> PANet:
    """The book's model, EfficientNet-Lite0, ready to predict the classes of `fold` of Tabletop-5i.

    variant: "par" and "without-par" were trained by episodes of the other three folds, with and without Eq. 7;
    "init" is where both began, ImageNet's weights (PANet-init, Sec. 4.2), the same for all folds. "twin" is the
    narrow VGG-16 that never saw ImageNet: "twin-init" had learned to name the other folds' classes (fold 0).
    """
    if variant == "init" and fold in range(4):
        return PANet(lite0("imagenet")).eval()
    return PANet(trained_backbone(checkpoint(fold, variant))).eval()
