"""The authors' own implementation, from a copy of their repository that you give by --official PATH.

It is used as it is, by importing its model and its metric; nothing of it is part of this project. What its
scripts do around the model, a step of training and the scoring of an episode, is called in the same order.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from panet_lite.datasets import VOID
from panet_lite.episodes import Episode


class Given(nn.Module):
    """In place of the encoder: features that are there already (N, C, h, w)."""

    def forward(self, images: Tensor) -> Tensor:
        """The features (N, C, h, w) that were laid in, whatever the images (N, 3, H, W)."""
        return self.features


def arguments(images: Tensor, labels: Tensor, queries: Tensor) -> tuple:
    """One episode, (W, K, 3, H, W'), (W, K, H, W'), (Q, 3, H, W'), as the authors' model takes it."""
    foreground = [[(m == way)[None].float() for m in maps] for way, maps in enumerate(labels, start=1)]
    background = [[(m == 0)[None].float() for m in maps] for maps in labels]
    return [[i[None] for i in way] for way in images], foreground, background, [i[None] for i in queries]


class Official:
    """The authors' model, with the weights of a VGG16 of ours or around any other backbone, and their metric.

    path: the folder with models/ and util/. Errors: ValueError where it is not.
    """

    def __init__(self, path: str | Path, backbone: nn.Module):
        if not (Path(path) / "models" / "fewshot.py").is_file():
            raise ValueError(f"{path} is no copy of the authors' repository: it has no models/fewshot.py.")
        sys.path.insert(0, str(path))
        try:
            model, metric = (importlib.import_module(name) for name in ("models.fewshot", "util.metric"))
        finally:
            sys.path.pop(0)
        self.model, self.metric = model.FewShotSeg(cfg={"align": True}), metric.Metric
        names, weights = self.model.encoder.state_dict(), backbone.state_dict().values()
        if backbone.name == "vgg16" and backbone.width == 1:
            self.model.encoder.load_state_dict(dict(zip(names, weights, strict=True)))
        else:
            self.model.encoder = backbone
        self.model.to(backbone.mean.device)
        self.criterion = nn.CrossEntropyLoss(ignore_index=VOID)

    def head_losses(self, support: Tensor, query: Tensor, labels: Tensor, truth: Tensor):
        """As `literal.head_losses`."""
        encoder, given = self.model.encoder, Given()
        given.features = torch.cat([support.flatten(0, 1), query])
        blank = query.new_zeros(3, *labels.shape[-2:])
        images = blank.expand(*labels.shape[:2], *blank.shape), labels, blank.expand(len(query), *blank.shape)
        self.model.encoder = given
        try:
            predicted, alignment = self.model.train()(*arguments(*images))
        finally:
            self.model.encoder = encoder
        return self.criterion(predicted, truth.long()), alignment

    def losses(self, images: Tensor, labels: Tensor, queries: Tensor, truth: Tensor):
        """Eq. 5 and 7 of one episode, from its preprocessed images."""
        predicted, alignment = self.model.train()(*arguments(images, labels, queries))
        return self.criterion(predicted, truth.long()), alignment

    def score(self, episode: Episode, preprocess, metric) -> np.ndarray:
        """Segment the query of an episode and record it; returns the prediction (H, W')."""
        images, queries = preprocess(episode.support_images[0]), preprocess(episode.query_images[0])
        with torch.no_grad():
            predicted, _ = self.model.eval()(*arguments(images, episode.support_labels[0], queries))
        predicted = predicted.argmax(dim=1)[0].cpu().numpy()
        metric.record(predicted, episode.query_labels[0, 0].cpu().numpy(), labels=episode.classes[0].tolist(), n_run=0)  # fmt: skip
        return predicted
