"""PANet as the paper's text puts it, taken literally, in loops: the yardstick of the other benchmarks.

Features are upsampled to the masks and averaged there, image by image and class by class (Eq. 1-2); each
pixel is compared with one prototype after the other (Eq. 3); ways and shots of PAR are gone through one by
one (Eq. 6-7). One episode at a time. The package computes the same numbers otherwise.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from panet_lite import PANet
from panet_lite.datasets import VOID
from panet_lite.episodes import Episode


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, h, w) to (N, C, H, W)."""
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def pooled(features: Tensor, mask: Tensor) -> Tensor:
    """Eq. 1, inner fraction, for one image: (C, h, w) and a mask (H, W) to (C,)."""
    large, mask = enlarge(features[None], mask.shape)[0], mask.to(features.dtype)
    return (large * mask).sum((1, 2)) / (mask.sum() + 1e-5)


def prototypes(features: Tensor, labels: Tensor) -> list[Tensor]:
    """Eq. 1-2: (W, K, C, h, w) and (W, K, H, W') to 1 + W vectors (C,), background first."""
    background, classes = [], []
    for way, (images, maps) in enumerate(zip(features, labels), start=1):
        background += [pooled(image, labelled == 0) for image, labelled in zip(images, maps)]
        own = [pooled(image, labelled == way) for image, labelled in zip(images, maps)]
        classes.append(torch.stack(own).mean(0))
    return [torch.stack(background).mean(0), *classes]


def scores(features: Tensor, vectors: list[Tensor]) -> Tensor:
    """Eq. 3 before its softmax: (N, C, h, w) and J vectors (C,) to (N, J, h, w)."""
    cosines = [F.cosine_similarity(features, p[None, :, None, None], dim=1, eps=1e-8) for p in vectors]
    return torch.stack([20 * cosine for cosine in cosines], dim=1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5: (N, J, h, w) and (N, H, W') to a scalar."""
    return F.cross_entropy(enlarge(logits, labels.shape[-2:]), labels.long(), ignore_index=VOID)


def alignment(query: Tensor, logits: Tensor, support: Tensor, labels: Tensor) -> Tensor:
    """Eq. 7: (Q, C, h, w), (Q, J, h, w), (W, K, C, h, w), (W, K, H, W') to a scalar."""
    best, vectors, (ways, shots) = logits.argmax(1), [], labels.shape[:2]
    for label in range(ways + 1):
        mask = (best == label)[:, None].to(query.dtype)
        vectors.append((query * mask).sum((0, 2, 3)) / (mask.sum() + 1e-5))
    loss = query.new_zeros(())
    for way in range(1, ways + 1):
        if not (best == way).any():
            continue
        for shot in range(shots):
            image, labelled = support[way - 1, shot], labels[way - 1, shot]
            target = torch.full_like(labelled, VOID)
            target[labelled == way] = 1
            target[labelled == 0] = 0
            pair = scores(image[None], [vectors[0], vectors[way]])
            loss = loss + cross_entropy(pair, target[None]) / (ways * shots)
    return loss


def head_losses(support: Tensor, query: Tensor, labels: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 5 and 7 from the features of one episode: (W, K, C, h, w), (Q, C, h, w), and their label maps."""
    logits = scores(query, prototypes(support, labels))
    return cross_entropy(logits, truth), alignment(query, logits, support, labels)


def losses(model: PANet, episode: Episode) -> tuple[Tensor, Tensor]:
    """Eq. 5 and 7 of one episode, from its images."""
    features = model.features(episode)
    maps = episode.support_labels[0], episode.query_labels[0]
    return head_losses(features.support[0].float(), features.query[0].float(), *maps)


def predict(features, episode: Episode) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 4 and the count for the query of one episode: labels (H, W'), confusions (1 + W, 1 + W)."""
    vectors = prototypes(features.support[0], episode.support_labels[0])
    logits = enlarge(scores(features.query[0], vectors), episode.query_labels.shape[-2:])
    predicted, truth = logits.cpu().numpy().argmax(1)[0], episode.query_labels[0, 0].cpu().numpy()
    classes, valid = range(len(vectors)), truth != VOID
    counts = [[np.sum((truth == t) & (predicted == p) & valid) for p in classes] for t in classes]
    return predicted, np.array(counts)
