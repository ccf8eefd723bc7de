"""Episode browser: any episode of any fold, with what PANet says about it (paper Sec. 3.1; chapters 1, 7)."""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from matplotlib.figure import Figure

from ..backbones import check_unseen
from ..datasets import VOID, SegmentationDataset
from ..episodes import Draw, Episode, EpisodeSampler
from ..evaluation import FeatureBank
from ..figures import show_image, show_labels
from ..matching import match
from ..model import Features, PANet, Prediction
from ..prototypes import support_prototypes
from .base import Array, Widget
from .scenes import class_iou, deflated, jpeg

KEYS = ("fold", "class", "ways", "shots", "seed")
MOST = {"fold": 99, "ways": 20, "shots": 50, "seed": 2**31 - 1}
CARRIED = ((1, 1, 2), (1, 5, 1), (2, 1, 2))  # ways, shots, seeds 0.. of each class that the page holds
SUPPORT_SIDE = 2 / 3  # of a picture that the page shows as a support only


class EpisodeBrowser(Widget):
    """Choose fold, class, ways, shots and seed; see the supports, the query, its truth and the prediction.

    The episode is the first of `EpisodeSampler(dataset, dataset.fold(fold), ways, shots, seed=seed)` whose
    first way is the class. models: {fold: PANet}, trained on none of its classes, unless
    `allow_seen`, and the page says so; without, there are all folds and no predictions.
    carried: (ways, shots, seeds) that a page without a kernel holds for each class; a notebook draws any.
    In step with the page, both ways:
    selection: {"fold", "class" (its name), "ways", "shots", "seed"}; what cannot be drawn is refused.
    prediction: uint8 (1, H, W'), None without models; assign to it, and the page shows yours.
    """

    script = "browser.js"
    deck = traitlets.Dict().tag(sync=True)  # what the page carries
    drawn = traitlets.Dict().tag(sync=True)  # a deck of the one episode that was asked for
    selection = traitlets.Dict().tag(sync=True)
    prediction = Array("uint8")
    hello = traitlets.Int().tag(sync=True)  # a page asks whether anybody is there,
    echo = traitlets.Int().tag(sync=True)  # and sees its number come back

    def __init__(
        self, dataset: SegmentationDataset, models: Mapping[int, PANet] | None = None,
        carried: Sequence[tuple[int, int, int]] = CARRIED, allow_seen: bool = False, **kwargs: Any,
    ):  # fmt: skip
        self._dataset, self._models = dataset, dict(models or {})
        self._banks = {fold: FeatureBank(model, dataset) for fold, model in self._models.items()}
        self._draws: dict[tuple[object, ...], tuple[EpisodeSampler, Draw]] = {}
        folds = sorted(self._models) or range(len(dataset.folds))
        self._classes = {fold: [dataset.classes[c - 1] for c in dataset.fold(fold)] for fold in folds}
        self._seen = {f: check_unseen(m, self._classes[f], allow_seen) for f, m in self._models.items()}
        wanted = [
            (fold, name, ways, shots, seed)
            for fold, names in self._classes.items()
            for ways, shots, seeds in carried
            for name in names
            for seed in range(seeds)
        ]
        selections = [selection for values in wanted if self._can(selection := dict(zip(KEYS, values)))]
        if not selections:
            raise ValueError(f"{dataset!r} has too few images for any of the episodes {tuple(carried)}.")
        self._carried = {tuple(s.values()) for s in selections}
        super().__init__(deck=self._deck(selections, SUPPORT_SIDE), selection=selections[0], **kwargs)

    def _can(self, selection: dict[str, Any]) -> bool:
        try:
            return bool(self._draw(selection))
        except ValueError:
            return False

    def _draw(self, selection: dict[str, Any]) -> tuple[EpisodeSampler, Draw]:
        """The sampler and its draw for a selection; a ValueError says why there is none."""
        fold, name, ways, shots, seed = key = tuple(selection[k] for k in KEYS)
        if key not in self._draws:
            (label,) = self._dataset.labels_of([name])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # classes with too few images: only the chosen one matters
                sampler = EpisodeSampler(self._dataset, self._dataset.fold(fold), ways, shots, seed=seed)
            if label not in sampler.pools:
                raise ValueError(f"There are too few images of {name} for {shots} shots: use fewer.")
            draws = map(sampler.draw, itertools.count())
            self._draws[key] = sampler, next(draw for draw in draws if draw.classes[0] == label)
        return self._draws[key]

    def _checked(self, value: object) -> dict[str, Any]:
        """A selection that can be drawn; else a ValueError says what is wrong."""
        if not isinstance(value, dict) or set(value) != set(KEYS):
            raise ValueError(f"A selection holds {', '.join(KEYS)}, each once.")
        for name, most in MOST.items():
            if type(value[name]) is not int or not (name in ("ways", "shots")) <= value[name] <= most:
                raise ValueError(f"{name} is {repr(value[name])[:20]}: choose a whole number up to {most}.")
        if value["fold"] not in self._classes:
            raise ValueError(f"There is no fold {value['fold']} here: choose from {list(self._classes)}.")
        if value["class"] not in (names := self._classes[value["fold"]]):
            raise ValueError(f"Fold {value['fold']} has no {str(value['class'])[:40]!r}: {', '.join(names)}.")
        self._draw(value)
        return {name: value[name] for name in KEYS}

    @traitlets.validate("selection")
    def _check_selection(self, proposal: traitlets.Bunch) -> Any:
        try:
            return self._checked(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None

    @traitlets.observe("selection")
    def _show(self, change: object) -> None:
        carried = tuple(self.selection.values()) in self._carried
        seen = self._seen.get(self.selection["fold"])
        self.message = f"This fold's model was trained on {', '.join(seen)}." if seen else ""
        if not carried:
            self.drawn = self._deck([self.selection])
        if not (carried and self.from_page):
            answer = self._answer(self.selection)
            self.prediction = None if answer is None else answer.labels()[0].to(torch.uint8)

    @traitlets.observe("hello")
    def _answer_hello(self, change: object) -> None:
        self.echo = self.hello

    def _answer(self, selection: dict[str, Any]) -> Prediction | None:
        """What the fold's model says about an episode, from features that were made once."""
        if not self._models:
            return None
        sampler, draw = self._draw(selection)
        model, bank = self._models[selection["fold"]], self._banks[selection["fold"]]
        bank.check(model, self._dataset)
        with torch.inference_mode():
            features = Features(bank[draw.supports][None], bank[draw.queries][None])
            maps = torch.stack([sampler.support_map(int(i), draw.classes) for i in draw.supports.ravel()])
            maps = maps.unflatten(0, draw.supports.shape)[None].to(features.support.device)
            prototypes = support_prototypes(features.support, maps)
            logits = match(features.query, prototypes, model.alpha, model.distance)
        return Prediction(logits, features, prototypes, maps.shape[-2:], model.alpha, model.distance)

    def _deck(self, selections: list[dict[str, Any]], support_side: float = 1.0) -> dict[str, Any]:
        """Episodes for the page: each picture and label map once, episodes as places among them."""
        draws = [self._draw(selection)[1] for selection in selections]
        queries = {int(draw.queries[0]) for draw in draws}
        images = sorted(queries.union(*(draw.supports.ravel().tolist() for draw in draws)))
        place = {image: n for n, image in enumerate(images)}
        maps = [self._dataset.label_map(image).cpu().numpy() for image in images]
        if len({m.shape for m in maps}) > 1:
            raise ValueError(f"Images of different sizes in {self._dataset!r}: give it one, size=417.")
        episodes = [
            {
                **selection,
                "classes": draw.classes.tolist(),
                "supports": [[place[i] for i in row] for row in draw.supports.tolist()],
                "query": place[int(draw.queries[0])],
            }
            for selection, draw in zip(selections, draws)
        ]
        deck = {
            "size": list(maps[0].shape),
            "classes": list(self._dataset.classes),
            "folds": [[fold, names] for fold, names in self._classes.items()],
            "numbers": images,
            "images": [self._jpeg(i, 1.0 if i in queries else support_side) for i in images],
            "labels": deflated(maps),
            "episodes": episodes,
        }
        return deck | self._answers(selections, draws)

    def _jpeg(self, image: int, share: float) -> bytes:
        picture = self._dataset.image(image).float()[None] / 255
        if share < 1:
            picture = F.interpolate(picture, scale_factor=share, mode="bilinear", antialias=True)
        return jpeg(picture[0], quality=75)

    def _answers(self, selections: list[dict[str, Any]], draws: list[Draw]) -> dict[str, Any]:
        """For the page: predictions uint8 (E, H, W'), and of each way in turn its probability (., h, w)."""
        if not self._models:
            return {}
        for fold, bank in self._banks.items():  # in batches, which is faster
            own = [draw for selection, draw in zip(selections, draws) if selection["fold"] == fold]
            bank.add(i for draw in own for i in (*draw.supports.ravel(), *draw.queries))
        answers = [answer for selection in selections if (answer := self._answer(selection))]
        height, width = answers[0].logits.shape[-2:]
        chances = [answer.probabilities((height, width))[0, 0, 1:] for answer in answers]
        shares = [way for chance in chances for way in (255 * chance).round()]
        return {
            "predictions": deflated([answer.labels()[0, 0].to(torch.uint8).cpu() for answer in answers]),
            "probabilities": deflated([share.to(torch.uint8).cpu() for share in shares]),
        }

    def checked(self, name: str, array: np.ndarray) -> None:
        """A ValueError where an array is no label map (1, H, W) of an episode."""
        shape = (1, *self.deck["size"])
        if array.shape != shape:
            raise ValueError(f"{name} is {array.shape}, and should be {shape}: the query's label map.")
        if wrong := sorted(set(np.unique(array).tolist()) - {*range(MOST["ways"] + 1), VOID}):
            raise ValueError(f"{name} holds {wrong[0]}, which is no class of an episode.")

    @property
    def episode(self) -> Episode:
        """The episode on show, to go on with in code."""
        return EpisodeSampler.load(*self._draw(self.selection))

    @property
    def names(self) -> list[str]:
        """Of the ways of the episode on show."""
        return [self._dataset.classes[label - 1] for label in self._draw(self.selection)[1].classes]

    @property
    def iou(self) -> list[float]:
        """IoU of each way of what is shown; NaN for a class neither there nor predicted. Empty without models."""
        if self.prediction is None:
            return []
        episode = self.episode
        return class_iou(torch.from_numpy(self.prediction), episode.query_labels[0].cpu(), episode.ways)

    def figure(self) -> Figure:
        """The supports, the query, its truth, and the prediction if one was asked for."""
        episode, asked = self.episode, self.prediction is not None
        figure = plt.figure(figsize=(6.4, 2), layout="constrained")
        ((left, right),) = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1 + 0.5 * asked))
        left.suptitle("supports", fontsize=10)
        for (way, shot), ax in np.ndenumerate(left.subplots(episode.ways, episode.shots, squeeze=False)):
            show_labels(ax, episode.support_images[0, way, shot], episode.support_labels[0, way, shot])
            if shot == 0:
                ax.set_ylabel(self.names[way], fontsize=8)
        query, axes = episode.query_images[0, 0], right.subplots(1, 2 + asked)
        show_image(axes[0], query, "query")
        show_labels(axes[1], query, episode.query_labels[0, 0], "truth")
        if asked:
            show_labels(axes[2], query, torch.from_numpy(self.prediction[0]), "prediction")
        return figure

    def alt(self) -> str:
        """The choice of the episode, its classes, and their IoUs if a prediction was asked for."""
        chosen, scores = self.selection, zip(self.names, self.iou)
        told = [f"{name} {'absent' if np.isnan(v) else f'IoU {v:.2f}'}" for name, v in scores]
        return (
            f"Episode of fold {chosen['fold']}, {chosen['ways']}-way {chosen['shots']}-shot, seed {chosen['seed']}: "
            f"annotated supports of {' and '.join(self.names)}, a query and its truth"
            + (f", and PANet's prediction: {', '.join(told)}" if told else "")
        )
