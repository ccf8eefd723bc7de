"""Chapter 9, interactive segmentation: answers to its exercises."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_cdt, distance_transform_edt, label
from torch import Tensor

from ..datasets import VOID
from . import harness
from .harness import Answer, Verdict, directions, equal, whole

# ---- ex-09-update --------------------------------------------------------------------------------


def updated(mean: Tensor, area: int, features: Tensor) -> Tensor:
    """The mean (C,) over `area` pixels, after the pixels `features` (n, C) were painted, too."""
    return (mean * area + features.sum(0)) / (area + len(features))


UPDATE_MISTAKES: tuple[harness.Mistake, ...] = (
    (lambda mean, area, features: mean + features.mean(0),
     "you added the two means; weigh each with its number of pixels, and divide by all of them"),
    (lambda mean, area, features: (mean + features.mean(0)) / 2,
     "both means have the same weight, so a dab counts as much as all that was painted before: weigh by pixels"),
    *((lambda mean, area, features, over=over: (mean * area + features.sum(0)) / over(area, len(features)),
       "the sum is right, but it is a sum over the new pixels as well as the old: divide by the number of all of them")
      for over in (lambda a, n: a, lambda a, n: n, lambda a, n: a + 1, lambda a, n: 1)),
    (lambda mean, area, features: (mean * area + features.mean(0)) / (area + 1),
     "the dab counts as one pixel, whatever its size: add the sum of its features, not their mean"),
    (lambda mean, area, features: (mean * area + features.mean(0)) / (area + len(features)),
     "the dab enters with its mean, and is divided by all its pixels: add the sum of its features"),
    (lambda mean, area, features: (mean + features.sum(0)) / (area + len(features)),
     "the old mean stands for `area` pixels: multiply it by them before you add"),
    (lambda mean, area, features: (mean * len(features) + features.mean(0) * area) / (area + len(features)),
     "the weights are exchanged: the old mean stands for `area` pixels, the dab for len(features)"),
    (lambda mean, area, features: features.mean(0),
     "this is the mean of the dab alone: what was painted before is forgotten"),
    (lambda mean, area, features: mean, "this is the old mean: the new pixels are missing"),
    (lambda mean, area, features: mean * area + features.sum(0) / (area + len(features)),
     "only the second term is divided: put brackets round the sum"),
    (lambda mean, area, features: (mean * area + features[0]) / (area + len(features)), "only one of the new pixels is added: add them all"),
    (lambda mean, area, features: (mean * area + features.sum(0)) / (area + features.shape[1]),
     "you divide by the number of channels, shape[1]: the number of new pixels is shape[0]"),
    (lambda mean, area, features: reduce(lambda m, x: (m * area + x) / (area + 1), features, mean),
     "pixel by pixel is fine, but `area` must grow by one with each"),
    (lambda mean, area, features: (mean * area - features.sum(0)) / (area - len(features)),
     "this takes the dab away, as an eraser would: add it"),
)  # fmt: skip


def draw_dab() -> tuple[Tensor, int, Tensor]:
    """A mean (6,), the number of its pixels, and the features (n, 6) of a dab, never as many."""
    return torch.randn(6), whole(21, 39), torch.randn(whole(2, 19), 6) + 1


def update(answer: Answer) -> bool | None:
    """ex-09-update: `answer(mean, area, features)`, the mean after a dab, without the old pixels at hand."""
    right = "right: a sum and a count are all that has to be remembered, so a stroke never costs more as you paint on"
    return harness.implementation(answer, updated, draw_dab, right, UPDATE_MISTAKES)


# ---- ex-09-cross ---------------------------------------------------------------------------------


def grown(news: Callable[[Tensor, Tensor], Tensor], *case: Any) -> tuple[Tensor, int]:
    """Mean and area with the pixels of `news(painted, dab)` added."""
    mean, area, features, painted, dab = case
    new = features[:, news(painted, dab)]
    return (mean * area + new.sum(1)) / (area + new.shape[1]), area + new.shape[1]


def crossed(mean: Tensor, area: int, features: Tensor, painted: Tensor, dab: Tensor) -> tuple[Tensor, int]:
    """Mean and area after a dab that may lie on what is painted already."""
    return grown(lambda painted, dab: dab & ~painted, mean, area, features, painted, dab)


CROSS_MISTAKES: tuple[harness.Mistake, ...] = (
    (partial(grown, lambda painted, dab: dab),
     "this is still the broken stroke: where the brush crosses its own paint, pixels count twice. Which are new?"),
    (partial(grown, lambda painted, dab: dab & painted),
     "you add the pixels that were painted before, once more: new are those that were *not*"),
    *((partial(grown, news),
       "you add pixels that were in the mean before: add only what is in the dab and not yet painted")
      for news in (lambda painted, dab: dab | painted, lambda painted, dab: dab ^ painted)),
    *((partial(grown, news), "you add what the brush never touched: new is what lies in `dab` and not in `painted`")
      for news in (lambda painted, dab: ~dab & ~painted, lambda painted, dab: ~painted)),
    (lambda *case: (crossed(*case)[0], crossed(*case)[1] - case[1]), "the mean is right; the area is that of the new pixels alone: add the old one"),
    (lambda *case: ((case[0] * case[1] + case[2][:, case[4] & ~case[3]].mean(1)) / crossed(*case)[1], crossed(*case)[1]),
     "the new pixels enter with their mean, and are divided by their number: add their sum"),
    (lambda *case: ((case[0] * crossed(*case)[1] + crossed(*case)[0] * crossed(*case)[1] - case[0] * case[1]) / (2 * crossed(*case)[1] - case[1]), 2 * crossed(*case)[1] - case[1]),
     "the area grows twice: once before the mean, and once in what you return"),
    (lambda *case: (crossed(*case)[0] * crossed(*case)[1] / (2 * crossed(*case)[1] - case[1]), 2 * crossed(*case)[1] - case[1]),
     "the new pixels are counted twice in the area"),
    (lambda *case: (crossed(*case)[0] * crossed(*case)[1] / (case[1] + case[4].sum()), crossed(*case)[1]),
     "the area is right, but the mean was divided by the whole dab: both must mean the same pixels"),
    (lambda *case: (crossed(*case) if not (case[3] & case[4]).any() else (case[0], case[1])),
     "a dab that crosses older paint is thrown away as a whole: its new part counts"),
    (lambda *case: (crossed(*case)[0], case[1]),
     "the mean is right, the area is still the old one: the next dab will weigh it wrongly"),
    (lambda *case: (crossed(*case)[0], case[1] + int(case[4].sum())),
     "the mean is right, but the area counts the crossing twice: the next dab will weigh the mean wrongly"),
    (lambda *case: (crossed(*case)[0] * crossed(*case)[1] / (case[1] + case[4].sum()), case[1] + int(case[4].sum())),
     "the sum has the new pixels only, the area the whole dab: both must mean the same pixels"),
    (lambda *case: (case[2][:, case[4]].mean(1), int(case[4].sum())),
     "this is the mean of the dab alone: what was painted before is forgotten"),
    (lambda *case: crossed(*case)[0], "the mean is right; give back the new area, too: `return mean, area`"),
)  # fmt: skip


def draw_crossing(nothing: bool = False) -> tuple[Any, ...]:
    """Mean (C,), area, features (C, H, W'), paint and dab (H, W'): a mean with its paint, and a dab that crosses it and has
    something new, or `nothing`."""
    features, (painted, dab) = torch.randn(5, 12, 14) + 1, torch.zeros(2, 12, 14, dtype=torch.bool)
    top, left = whole(1, 4), whole(1, 5)
    painted[top : top + whole(4, 6), left : left + whole(4, 6)] = True
    dab[top + 2 : top + whole(5, 7), left + 1 : left + whole(7, 8)] = True
    return (
        features[:, painted].mean(1),
        int(painted.sum()),
        features,
        painted,
        dab & painted if nothing else dab,
    )


def cross(answer: Answer) -> bool | None:
    """ex-09-cross: `answer(mean, area, features, painted, dab)`, mean and area after a dab over older paint."""
    right = "right: each pixel counts once, however often the brush passes"

    def lacks() -> str:
        inside = draw_crossing(nothing=True)
        if equal(tuple(answer(*harness.copied(inside))), crossed(*inside)):
            return ""
        return "right, but for a dab that lies wholly on older paint: then nothing is new, and nothing must change (a mean of none is NaN)"

    return harness.implementation(answer, crossed, draw_crossing, right, CROSS_MISTAKES, lacks=lacks)


# ---- ex-09-again, ex-09-cost ---------------------------------------------------------------------


def again(answer: object) -> bool | None:
    """ex-09-again: what does a stroke on support 3 of 5 make necessary?"""
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


def cost(answer: object) -> bool | None:
    """ex-09-cost: how many times the comparison with two prototypes does VGG-16's last convolution cost?"""
    return harness.number(
        answer,
        2304,
        0.5,
        "right: 9 * 512 * 512 against 2 * 512 at each place. And this is one of thirteen convolutions",
        "count at one place: the convolution multiplies 9 * 512 numbers for each of its 512 outputs, the comparison "
        "512 for each of two prototypes",
        [
            (4608, "almost: there are two prototypes to compare with, the object's and the background's"),
            *(
                (
                    n,
                    "two prototypes of 512 channels are 1024 multiplications a place, and the convolution's are 9 * 512 * 512",
                )
                for n in (1152, 1536, 9216)
            ),
            (768, "the kernel is 3 x 3: nine places, not three"),
            (6400, "the kernel is 3 x 3: nine places, not 25"),
            (256, "the kernel is 3 x 3: each output looks at nine places of 512 channels"),
            (4.5, "that is for one output channel; the convolution has 512 of them"),
            (9 * 512 * 512, "these are the convolution's multiplications: divide by those of the comparison"),
            (
                1024,
                "these are the comparison's multiplications: how many times do they go into the convolution's?",
            ),
            (1 / 2304, "the other way round: how many times as many does the *convolution* take?"),
        ],
        1e-4,
    )


# ---- ex-09-channels ------------------------------------------------------------------------------


def cosines(vectors: Tensor) -> Tensor:
    """The cosine of each vector with each: (N, C) -> (N, N)."""
    unit = F.normalize(vectors, dim=1)
    return unit @ unit.T


def few_channel_cosines(vectors: Tensor, k: int) -> Tensor:
    """Cosines (N, N) of vectors (N, C), reduced to their k principal directions without centring."""
    return cosines(vectors @ directions(vectors)[:k].T)


def centred(x: Tensor) -> Tensor:
    """The vectors (N, C) less their mean."""
    return x - x.mean(0)


CHANNEL_MISTAKES: tuple[harness.Mistake, ...] = (
    *((wrong,
       "you moved the vectors to their mean, as principal components usually do. A cosine is measured at the "
       "origin, so the angles are others now: leave the mean alone")
      for wrong in (lambda x, k: few_channel_cosines(centred(x), k),
                    lambda x, k: cosines(centred(x) @ directions(x)[:k].T))),
    (lambda x, k: cosines(x @ directions(centred(x))[:k].T),
     "the axes come from centred vectors: they describe the cloud around its mean, and may miss the direction of "
     "the mean itself. Take them from the vectors as they are"),
    (lambda x, k: cosines(x[:, :k]),
     "you kept the first k channels; the k best *directions* are seldom channels: use torch.linalg.svd"),
    (lambda x, k: cosines(x @ directions(x)[-k:].T),
     "you kept the k weakest directions: in Vh the strongest come first"),
    (lambda x, k: cosines(x @ directions(x)[:, :k]),
     "the directions are the rows of Vh, and you took k of its columns: Vh[:k], then transpose"),
    *((lambda x, k, d=d: few_channel_cosines(x, k + d), "you keep one direction too {}: `[:k]` keeps k".format("many" if d > 0 else "few")) for d in (1, -1)),
    (lambda x, k: cosines(x[:, x.square().sum(0).topk(k).indices]),
     "you kept the k strongest channels; the k best *directions* are seldom channels: use torch.linalg.svd"),
    (lambda x, k: cosines(torch.linalg.svd(x, full_matrices=False).U[:, :k]),
     "U alone has lost how long each direction is: project the vectors on the rows of Vh, x @ Vh[:k].T"),
    (lambda x, k: few_channel_cosines(x, k).clamp(-1, 1).acos(), "these are angles: their cosines are wanted"),
    (lambda x, k: (z := F.normalize(x @ directions(x)[:k].T, dim=0)) @ z.T, "you divided each direction by its length: divide each vector by its own, along dimension 1"),
    (lambda x, k: cosines(x), "these are the cosines of all channels: keep only k directions"),
    (lambda x, k: cosines(x @ directions(F.normalize(x, dim=1))[:k].T),
     "the axes come from vectors of length one: the exercise wants those of the vectors as they are"),
    (lambda x, k: F.normalize(x, dim=1) @ directions(x)[:k].T @ directions(x)[:k] @ F.normalize(x, dim=1).T,
     "you divided by the lengths before the reduction: what is left is shorter than one. Normalise afterwards"),
    (lambda x, k: x @ directions(x)[:k].T @ directions(x)[:k] @ x.T,
     "these are inner products: divide by both lengths, after the reduction"),
    (lambda x, k: x @ directions(x)[:k].T,
     "these are the reduced vectors (N, k): the cosines between them are wanted, (N, N)"),
    (lambda x, k: 1 - few_channel_cosines(x, k), "these are distances, 1 - cos: the cosines are wanted"),
)  # fmt: skip


def draw_vectors() -> tuple[Tensor, int]:
    """Twenty vectors (20, 8) around a mean far from the origin, and how many directions to keep."""
    return torch.randn(20, 8) * (0.2 + torch.rand(8)) + 2 * torch.randn(8), whole(2, 4)


def channels(answer: Answer) -> bool | None:
    """ex-09-channels: `answer(vectors, k)`, cosines between vectors (N, C) that keep only their k best directions."""
    right = "right: without centring, the origin stays where the cosine needs it"
    return harness.implementation(answer, few_channel_cosines, draw_vectors, right, CHANNEL_MISTAKES)


# ---- ex-09-dab -----------------------------------------------------------------------------------


def stamped(within: Callable[..., Tensor], labels: Tensor, y: int, x: int, value: int, radius: int) -> Tensor:
    """`labels` (H, W') with `value` where `within(dy, dx, radius)`: the way down and right from (y, x)."""
    rows, columns = torch.meshgrid(*map(torch.arange, labels.shape), indexing="ij")
    return torch.where(within(rows - y, columns - x, radius), value, labels)


def disc(dy: Tensor, dx: Tensor, r: int) -> Tensor:
    """Whether a pixel is at most r away."""
    return dy**2 + dx**2 <= r**2


def dabbed(labels: Tensor, y: int, x: int, value: int, radius: int) -> Tensor:
    """A label map (H, W') with a disc of `value` around (y, x)."""
    return stamped(disc, labels, y, x, value, radius)


def wrapped(labels: Tensor, y: int, x: int, value: int, radius: int) -> Tensor:
    """A dab that leaves the map at one edge and comes in again at the other."""
    h, w = labels.shape
    for down, right in itertools.product((-h, 0, h), (-w, 0, w)):
        labels = dabbed(labels, y + down, x + right, value, radius)
    return labels


DAB_MISTAKES: tuple[harness.Mistake, ...] = (
    (partial(stamped, lambda dy, dx, r: (dy.abs() <= r) & (dx.abs() <= r)),
     "this is a square: a disc has the pixels whose *distance* from (y, x) is at most `radius`"),
    (partial(stamped, lambda dy, dx, r: dy.abs() + dx.abs() <= r),
     "this is a diamond: add the squares of the two ways, and compare with radius squared"),
    (partial(stamped, lambda dy, dx, r: dy**2 + dx**2 < r**2),
     "pixels that are exactly `radius` away belong to the disc: <=, not <"),
    (partial(stamped, lambda dy, dx, r: dy**2 + dx**2 <= r),
     "you compare a squared distance with `radius`: square that, too"),
    (partial(stamped, lambda dy, dx, r: 4 * (dy**2 + dx**2) <= r**2),
     "your disc has half the radius: `radius` is not the diameter"),
    (partial(stamped, lambda dy, dx, r: ~disc(dy, dx, r)),
     "you painted all but the disc: exchange the last two arguments of `where`"),
    (partial(stamped, lambda dy, dx, r: disc(dy, dx, r + 1)), "your disc is a pixel too wide: at most `radius` away"),
    (partial(stamped, lambda dy, dx, r: dy**2 + dx**2 == r**2), "this is the disc's rim alone: <=, not =="),
    (partial(stamped, lambda dy, dx, r: (dy == 0) & (dx == 0)), "this is one pixel: the disc is wanted"),
    (lambda m, y, x, v, r: dabbed(m, y, x, v, r) if v != VOID else m, "your brush cannot erase: 255 is painted as any other value"),
    (wrapped,
     "your dab comes in again at the other edge: cut it off there"),
    (lambda m, y, x, v, r: dabbed(m, x, y, v, r), "y counts the rows and comes first: you exchanged y and x"),
    *((lambda m, y, x, v, r, ground=ground: dabbed(torch.full_like(m, ground), y, x, v, r),
       "what was painted before is gone: start from `labels`, and change the disc only")
      for ground in (0, VOID)),
    (lambda m, y, x, v, r: torch.where(m == VOID, dabbed(m, y, x, v, r), m),
     "your brush leaves alone what was painted before: a new dab covers the old, as paint does"),
    (lambda m, y, x, v, r: dabbed(m, y, x, 1, r), "you paint 1, whatever `value` says: 0 paints background, 255 erases"),
    (lambda m, y, x, v, r: dabbed(torch.zeros_like(m), y, x, 1, r),
     "this is the disc's mask: the label map is wanted, with `value` in the disc"),
)  # fmt: skip


def draw_stroke(value: int = 2) -> tuple[Tensor, int, int, int, int]:
    """A label map (22, 27) with some paint, and a dab that may hang over its edge, and does so with 2; never the label 1."""
    labels = torch.full((22, 27), VOID, dtype=torch.uint8)
    labels[whole(2, 8) : whole(10, 20), whole(2, 10) : whole(12, 24)] = 1
    labels[whole(9, 12) : whole(14, 20), whole(2, 10) : whole(12, 24)] = 0
    return labels, whole(0, 2 if value == 2 else 21), whole(0, 26), value, whole(5, 7)


def dab(answer: Answer) -> bool | None:
    """ex-09-dab: `answer(labels, y, x, value, radius)`, a new label map with a disc of `value`."""

    def lacks() -> str:
        case = (*draw_stroke()[:3], 2, 5)
        before = case[0].clone()
        answer(*case)
        fault = "the disc is right, but you painted on the old map: Undo wants it, so copy it first"
        return "" if equal(case[0], before) else fault

    right = "right: a disc of labels, and all else as it was"
    values = itertools.cycle((0, 2, VOID))
    return harness.implementation(
        answer, dabbed, lambda: draw_stroke(next(values)), right, DAB_MISTAKES, trials=9, lacks=lacks
    )


# ---- ex-09-click ---------------------------------------------------------------------------------


def depth_of_errors(predicted: Tensor, truth: Tensor, frame: int = 1) -> Tensor:
    """(H, W'): the distance of each wrong pixel to the nearest right one (the frame is right); 0 where right."""
    wrong = F.pad(predicted != truth, (frame,) * 4)
    inner = slice(frame, -frame or None)
    return torch.from_numpy(distance_transform_edt(wrong.numpy())[inner, inner])


def deepest_click(predicted: Tensor, truth: Tensor) -> tuple[int, int, int]:
    """(y, x, label): the wrong pixel of maps (H, W') that is farthest from any right one, and what is true there."""
    y, x = divmod(int(depth_of_errors(predicted, truth).argmax()), truth.shape[1])
    return y, x, int(truth[y, x])


def draw_maps() -> tuple[Tensor, Tensor]:
    """Prediction and truth (27, 27) of 0 and 1 with four mistakes: a square; a diamond, which is thicker, or only for
    who counts steps without diagonals; a long thin one, the largest; and one at the frame, thicker for who forgets the frame.
    """
    truth, wrong = (torch.rand(27, 27) < 0.5).long(), torch.zeros(27, 27, dtype=torch.bool)
    y, x, z, reach = whole(6, 8), whole(2, 4), whole(1, 16), whole(4, 5)
    away = torch.arange(27).sub(whole(7, 8)).abs()[:, None] + torch.arange(27).sub(whole(18, 20)).abs()
    wrong[away <= reach] = True  # 3.6 or 4.2 deep; in steps 3, and without diagonals 5 or 6
    for rows, columns in (
        (slice(y, y + 7), slice(x, x + 7)),  # 49 pixels, 4 deep
        (slice(17, 20), slice(1, 26)),  # 75 pixels, 2 deep
        (slice(22, 27), slice(z, z + 10)),  # 50 pixels, 3 deep
    ):
        wrong[rows, columns], truth[rows, columns] = True, whole(0, 1)
    truth[away <= reach] = whole(0, 1)
    turns, predicted = whole(0, 3), torch.where(wrong, 1 - truth, truth)
    return predicted.rot90(turns).contiguous(), truth.rot90(turns).contiguous()


def clicked(value: Any, predicted: Tensor, truth: Tensor) -> Verdict:
    """What to say of a click (y, x, label) on maps (H, W')."""
    numbers = harness.read(lambda v: [float(one) for one in v], value) or []
    if len(numbers) != 3 or any(n % 1 != 0 for n in numbers) or not inside(numbers[:2], truth):
        return False, "return three whole numbers, (y, x, label), with y and x inside the map"
    y, x, told = map(int, numbers)
    depth = depth_of_errors(predicted, truth)
    if depth[y, x] < depth.max() - 1e-6:
        return False, misplaced(y, x, predicted, truth, depth)
    if told != truth[y, x]:
        return (
            False,
            "the place is right, the label is not: say what the pixel *is*, not what it was taken for",
        )
    return True, "right: the middle of the thickest mistake, labelled with what is true there"


def inside(place: Sequence[float], truth: Tensor) -> bool:
    """Whether (y, x) lies on the map."""
    return all(0 <= n < size for n, size in zip(place, truth.shape))


def misplaced(y: int, x: int, predicted: Tensor, truth: Tensor, depth: Tensor) -> str:
    """Why (y, x) is not the place to click."""
    parts, _ = label((predicted != truth).numpy())
    largest = torch.from_numpy(parts == np.bincount(parts[parts > 0]).argmax())
    frameless = depth_of_errors(predicted, truth, 0)
    if inside([x, y], truth) and depth[x, y] == depth.max():
        return "right, were it (x, y): the row comes first"
    if depth[y, x] == 0:
        return "that pixel is right already: a click there tells the model what it knows"
    if depth[y - 1, x - 1] == depth.max() and y * x:
        return "right, were it one row and one column further up and left: cut the padding off before you look for the place"
    wrong = np.pad(predicted != truth, 1)
    for metric, name in (("chessboard", "as a king walks"), ("taxicab", "without diagonals")):
        steps = distance_transform_cdt(wrong, metric)[1:-1, 1:-1]
        if steps[y, x] == steps.max():
            return (
                f"that pixel is the deepest if one counts steps, {name}: the distance is the straight line's"
            )
    if frameless[y, x] == frameless.max():
        return "the frame of the image counts as right: pad the map by one before you measure, and cut it off after"
    if largest[y, x] and depth[y, x] == depth[largest].max():
        return "that is the *largest* mistake, by pixels; wanted is the thickest: maximise the distance over all of them"
    return "that pixel is wrong, but not the deepest: maximise the distance to the nearest right pixel"


def click(answer: Answer) -> bool | None:
    """ex-09-click: `answer(predicted, truth)`, (y, x, label) of the click that a careful corrector makes next."""
    return harness.inspected(answer, clicked, draw_maps, trials=16)


# ---- ex-09-tool ----------------------------------------------------------------------------------


def tool(answer: object) -> bool | None:
    """ex-09-tool: which of four jobs is PANet's?"""
    return harness.choice(
        answer,
        "c",
        {
            "a": "a cell of the grid is eight pixels wide, and nothing tidies the border: a model that takes clicks "
            "into the network is made for this",
            "b": "the class has a name: a model that takes a word needs no picture at all. Try it first",
            "c": "right: no word for it, few marks, many pictures, one pass of a small network for each, whatever you mark",
            "d": "prototypes know what a thing looks like, not which one it is: two that touch become one region",
        },
    )
