"""Answers to the exercises of chapter 9, interactive segmentation."""

from typing import Any

import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from . import harness
from .harness import directions

# ---- exercise 1: one dab more --------------------------------------------------------------------


def updated(mean: Tensor, area: int, features: Tensor) -> Tensor:
    """The mean (C,) over `area` pixels, after the pixels `features` (n, C) were painted, too."""
    return (mean * area + features.sum(0)) / (area + len(features))


UPDATE_MISTAKES = (
    (lambda mean, area, features: mean + features.mean(0),
     "you added the two means; weigh each with its number of pixels, and divide by all of them"),
    (lambda mean, area, features: (mean + features.mean(0)) / 2,
     "both means have the same weight, so a dab counts as much as all that was painted before: weigh by pixels"),
    (lambda mean, area, features: (mean * area + features.sum(0)) / area,
     "the sum is right, but it is a sum over the new pixels as well: divide by all of them"),
    (lambda mean, area, features: (mean * area + features.mean(0)) / (area + 1),
     "the dab counts as one pixel, whatever its size: add the sum of its features, not their mean"),
)  # fmt: skip


def draw_dab() -> tuple[Tensor, int, Tensor]:
    """A mean (6,), the number of its pixels, and the features (n, 6) of a dab."""
    return torch.randn(6), harness.whole(5, 39), torch.randn(harness.whole(2, 29), 6) + 1


def update(answer: harness.Answer) -> bool | None:
    """`answer(mean, area, features)`: the mean after a dab, without the old pixels at hand."""
    right = "right: a sum and a count are all that has to be remembered, so a stroke never costs more as you paint on"
    return harness.implementation(answer, updated, draw_dab, right, UPDATE_MISTAKES)


# ---- exercise 2: what is computed again ----------------------------------------------------------


def again(answer: object) -> bool | None:
    """A choice: what does a stroke on support 3 of 5 make necessary?"""
    return harness.choice(
        answer,
        "b",
        {
            "a": "the features of support 3 know nothing of its mask: that is late fusion. Nothing is embedded again",
            "b": "right: one masked average, a mean over the shots, one cosine for each query pixel and prototype. "
            "The means of the other four supports stay as they are",
            "c": "the query is not embedded again, but its pixels do get a new answer: the prototype they are "
            "compared with has moved",
            "d": "the other four means do not depend on support 3's mask; each is a fraction of its own (Eq. 1)",
        },
    )


# ---- exercise 3: few channels --------------------------------------------------------------------


def cosines(vectors: Tensor) -> Tensor:
    """The cosine of each vector with each: (N, C) -> (N, N)."""
    unit = F.normalize(vectors, dim=1)
    return unit @ unit.T


def few_channel_cosines(vectors: Tensor, k: int) -> Tensor:
    """Cosines (N, N) of vectors (N, C), reduced to their k principal directions without centring."""
    return cosines(vectors @ directions(vectors)[:k].T)


CHANNEL_MISTAKES = (
    (lambda x, k: few_channel_cosines(x - x.mean(0), k),
     "you moved the vectors to their mean first, as principal components usually do. A cosine is measured at the "
     "origin, so the angles are others now: leave the mean alone"),
    (lambda x, k: cosines(x @ directions(x - x.mean(0))[:k].T),
     "the axes come from centred vectors: they describe the cloud around its mean, and may miss the direction of "
     "the mean itself. Take them from the vectors as they are"),
    (lambda x, k: cosines(x[:, :k]),
     "you kept the first k channels; the k best *directions* are seldom channels: use torch.linalg.svd"),
    (lambda x, k: x @ directions(x)[:k].T @ directions(x)[:k] @ x.T,
     "these are inner products: divide by both lengths, after the reduction"),
)  # fmt: skip


def draw_vectors() -> tuple[Tensor, int]:
    """Twenty vectors (20, 8) around a mean far from the origin, and how many directions to keep."""
    return torch.randn(20, 8) * torch.rand(8) + 2 * torch.randn(8), harness.whole(2, 4)


def channels(answer: harness.Answer) -> bool | None:
    """`answer(vectors, k)`: cosines between vectors (N, C) that keep only their k best directions."""
    right = "right: without centring, the origin stays where the cosine needs it"
    return harness.implementation(answer, few_channel_cosines, draw_vectors, right, CHANNEL_MISTAKES)


# ---- exercise 4: where to click ------------------------------------------------------------------


def depth_of_errors(predicted: Tensor, truth: Tensor) -> Tensor:
    """(H, W): the distance of each wrong pixel to the nearest right one (the frame is right); 0 where right."""
    wrong = F.pad(predicted != truth, (1, 1, 1, 1))
    return torch.from_numpy(distance_transform_edt(wrong.numpy())[1:-1, 1:-1])


def draw_maps() -> tuple[Tensor, Tensor]:
    """Truth and prediction (H, W) of 0 and 1, two rectangles each; more is wrong than a single pixel."""
    maps: list[Tensor] = []
    while not maps or int((maps[0] != maps[1]).sum()) < 30:
        maps = [torch.zeros(24, 24, dtype=torch.long) for _ in range(2)]
        for m in maps:
            for y, x, h, w in torch.randint(0, 14, (2, 4)).tolist():
                m[y : y + h + 3, x : x + w + 3] = 1
    return maps[0], maps[1]


def clicked(value: Any, predicted: Tensor, truth: Tensor) -> harness.Verdict:
    """What to say of a click (y, x, label) on maps (H, W)."""
    try:
        y, x, label = (int(v) for v in value)
        depth = depth_of_errors(predicted, truth)
        here = depth[y, x].item() if min(y, x) >= 0 else None
    except (TypeError, ValueError, IndexError, RuntimeError):
        here = None
    if here is None:
        return False, "return three whole numbers, (y, x, label), with y and x inside the map"
    if here == 0:
        return False, "that pixel is right already: a click there tells the model what it knows"
    if here < depth.max().item() - 1e-6:
        return (
            False,
            "that pixel is wrong, but not the deepest: maximise the distance to the nearest right pixel",
        )
    if label != truth[y, x]:
        return (
            False,
            "the place is right, the label is not: say what the pixel *is*, not what it was taken for",
        )
    return True, "right: the middle of the largest mistake, labelled with what is true there"


def click(answer: harness.Answer) -> bool | None:
    """`answer(predicted, truth)`: (y, x, label) of the click that a careful corrector makes next."""
    return harness.inspected(answer, clicked, draw_maps, trials=5)
