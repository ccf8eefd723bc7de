"""Answers to the exercises of chapter 3: masked average pooling, adjoints, prototypes, shots."""

import sys
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, cosine_similarity, interpolate, max_pool2d, normalize, one_hot

from ..prototypes import (
    VOID,
    adjoint_upsample,
    interpolation_matrix,
    masked_average_pool,
    support_prototypes,
)  # fmt: skip
from .harness import (
    Answer,
    Verdict,
    attempt,
    blank,
    equal,
    implementation,
    inspected,
    mean_under,
    no_gradient,
    number,
    read,
    say,
    unexplained,
    unfilled,
    whole,
)  # fmt: skip


def up(
    features: Tensor, size: tuple[int, ...], mode: str = "bilinear", corners: bool | None = False
) -> Tensor:
    """Features (N, C, h, w) at another size: (N, C, H, W')."""
    return interpolate(features, size=tuple(size)[-2:], mode=mode, align_corners=corners)


def down(mask: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    """Masks (..., H, W') at another size: (..., h, w)."""
    flat = mask.reshape(1, -1, *mask.shape[-2:])
    return interpolate(flat, size=tuple(size), mode=mode).view(*mask.shape[:-2], *size)


def blob(height: int, width: int) -> Tensor:
    """A random mask (H, W): a rectangle with holes; never empty, never full."""
    mask = torch.zeros(height, width)
    top, left = torch.randint(height // 2, ()), torch.randint(width // 2, ())
    mask[top : top + height // 2, left : left + width // 3] = 1
    mask *= torch.rand(height, width) > 0.2
    mask[height // 2, width // 2] = 1
    return mask


def calls(answer: Answer, inputs: tuple[Any, ...], *forbidden: Answer) -> str:
    """The name of a forbidden function that the answer calls, by whatever way, on these inputs; or ""."""
    names, called = {one.__code__: one.__name__ for one in forbidden}, [""]

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in names:
            called.append(names[frame.f_code])

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        attempt(answer, inputs)
    finally:
        sys.setprofile(before)
    return called[-1]


def borrowed(answer: Answer, inputs: tuple[Any, ...], *forbidden: Answer) -> str:
    """The sentence for an answer that calls what it should build, or ""."""
    name = calls(answer, inputs, *forbidden)
    return name and f"the numbers are right, since {name} of the module made them: here you write it yourself"


# ---- ex-03-pencil --------------------------------------------------------------------------------

PENCIL_SLIPS = (
    ((4, 1), "that is the mean under the mask, the class's: the eleven positions outside it are asked for"),
    ((3, 1), "the two numbers are right and have changed places: channel 0 comes first"),
    ((11, 33), "these are the sums: divide them by the number of positions, 11"),
    ((11 / 16, 33 / 16), "you divide by all 16 positions: only the 11 outside the mask are averaged"),
    ((11 / 5, 33 / 5), "you divide by the 5 positions under the mask: those outside it are 11"),
    (
        (1, 4),
        "these are the smaller numbers of both means: each is of all eleven outside the mask, 11 / 11 and 33 / 11",
    ),
    (
        (31 / 11, 38 / 11),
        "you add all 16 numbers and divide by 11: leave the five under the mask out of the sum too",
    ),
    *(
        (
            (11 / n, 33 / n),
            f"the sums are right, 11 and 33, but you divide by {n}: eleven positions lie outside the mask",
        )
        for n in (10, 12)
    ),
    ((-1, -3), "the right numbers with the wrong sign"),
    ((31 / 16, 38 / 16), "that is the mean of all 16 positions: leave out the five under the mask"),
)


def pencil(answer: object) -> bool | None:
    """The mean of the toy's eleven positions outside its mask, by hand: two numbers."""
    if blank(answer) or (isinstance(answer, (tuple, list)) and blank(*answer)):
        return unfilled()
    value = read(lambda one: torch.as_tensor(one, dtype=torch.float64), answer)
    if value is None or value.shape != (2,):
        return say(False, "two numbers are wanted, one for each channel, as in (2, 0.5)")
    for mean, why in PENCIL_SLIPS:
        if torch.allclose(value, torch.tensor(mean, dtype=torch.float64), atol=0.006):
            return say(False, why)
    right = torch.allclose(value, torch.tensor([1.0, 3.0], dtype=torch.float64), atol=1e-6)
    close = torch.isclose(value, torch.tensor([1.0, 3.0], dtype=torch.float64), atol=1e-6).tolist()
    no = "add up the eleven numbers outside the dashed line, channel by channel, and divide by 11"
    if sum(close) == 1:
        no = f"channel {close.index(True)} is right, channel {close.index(False)} is not: {no}"
    return say(right, "11 / 11 and 33 / 11: the mean outside the mask" if right else no)


# ---- ex-03-pool ----------------------------------------------------------------------------------


def pool_inputs() -> tuple[Tensor, Tensor]:
    """Two features (3, h, w) and masks (H, W') whose sides are no multiples of theirs."""
    h, w = whole(4, 6), whole(4, 6)
    features = torch.randn(2, 3, h, w) + 2 * torch.randn(2, 3, 1, 1)
    return features, torch.stack([blob(3 * h + 1, 3 * w + 2) for _ in range(2)])


RESIZED = (
    "you shrink the mask ({}) to the size of the features; that is another number: grow the features to "
    "the mask (bilinear, align_corners=False), or carry the mask down with adjoint_upsample"
)


def under_small(features: Tensor, mask: Tensor, mode: str, whole_area: bool) -> Tensor:
    """Pooling under a shrunken mask, divided by its own area, or by that of the large one."""
    small = down(mask, features.shape[-2:], mode)
    area = (mask if whole_area else small).sum((-2, -1))[:, None]
    return (features * small[:, None]).sum((-2, -1)) / (area + 1e-5)


POOL_MISTAKES = (
    *((wrong, "this is the mean over the whole image: the mask plays no part yet")
      for wrong in (lambda f, m: f.mean((-2, -1)), lambda f, m: up(f, m.shape).mean((-2, -1)))),
    (lambda f, m: (up(f, m.shape) * m[:, None]).mean((-2, -1)),
     "you divide by all H * W pixels: divide by the area of the mask, mask.sum((-2, -1))"),
    (lambda f, m: (up(f, m.shape) * m[:, None]).sum((-2, -1)),
     "this is the sum under the mask, not the mean: divide by the area of the mask"),
    (lambda f, m: mean_under(up(f, m.shape), 1 - m),
     "this is the mean outside the mask: the background's, not the class's"),
    *((wrong, "you average the channels too: sum over the two spatial dimensions only")
      for wrong in (lambda f, m: mean_under(up(f, m.shape), m).mean(),
                    lambda f, m: mean_under(up(f, m.shape), m).mean(1))),
    (lambda f, m: mean_under(up(f, m.shape, "bilinear", True), m),
     "you upsample with align_corners=True: the authors, and this book, use align_corners=False"),
    *((lambda f, m, mode=mode, corners=corners: mean_under(up(f, m.shape, mode, corners), m),
       f"you upsample the features by mode='{mode}': use mode='bilinear', align_corners=False")
      for mode, corners in (("nearest", None), ("bicubic", False), ("area", None))),
    *((lambda f, m, mode=mode, large=large: under_small(f, m, mode, large), RESIZED.format(mode))
      for mode in ("nearest", "bilinear", "area") for large in (False, True)),
    (lambda f, m: (up(f, m.shape) * m[:, None]).sum((-2, -1)) / m.sum(),
     "you divide by the area of all masks together: each image has its own, mask.sum((-2, -1))"),
    (lambda f, m: mean_under(up(f, m.shape), m[:1].expand_as(m)),
     "you use the first mask for all images: image n has mask n"),
    *((wrong, "you average over the images too: the result keeps them, (N, C)")
      for wrong in (lambda f, m: mean_under(up(f, m.shape), m).mean(0),
                    lambda f, m: mean_under(up(f, m.shape), m, (0,)))),
    (lambda f, m: mean_under(up(f, m.shape), m, (0,)).expand(len(f), -1),
     "you pool all images together: each has a vector of its own, under its own mask"),
    (lambda f, m: normalize(mean_under(up(f, m.shape), m), dim=1), "you made the vectors one long: leave their lengths"),
    *((wrong, "you take the largest number under the mask: the mean is asked for")
      for wrong in (lambda f, m: (up(f, m.shape) * m[:, None]).amax((-2, -1)),
                    lambda f, m: up(f, m.shape).where(m[:, None] > 0, -torch.inf).amax((-2, -1)))),
    (lambda f, m: mean_under(up(f, m.shape), m)[0],
     "you return the first image's vector only: there are N images, and the result is (N, C)"),
)  # fmt: skip


def empty_mask_fault(answer: Answer) -> str:
    """What is wrong with the answer to a batch of which one mask is empty, or ""."""
    features, mask = pool_inputs()
    mask[1] = 0
    value, error = attempt(answer, (features, mask))
    if not error and torch.as_tensor(value).isfinite().all() and not torch.as_tensor(value)[1].any():
        return ""
    return (
        "right, except that an empty mask must give zeros and yours does not: add 1e-5 to the area, "
        "so that 0 / 0 cannot happen"
    )


def pool_lacks(answer: Answer) -> str:
    """What right values of a pooling do not show."""
    features, mask = pool_inputs()
    mask[1] = 0
    return (
        borrowed(answer, (features, mask), masked_average_pool, support_prototypes)
        or empty_mask_fault(answer)
        or no_gradient(answer, (features, mask))
    )


def near(values: list[Any], truths: list[Any]) -> str:
    """What to say of pooled vectors that no known mistake explains: their length is wrong, or a little their direction."""
    if all(isinstance(v, Tensor) and v.shape == t.shape for v, t in zip(values, truths)):
        cosines = torch.cat(
            [cosine_similarity(v.double(), t.double(), dim=-1) for v, t in zip(values, truths)]
        )
        if cosines.min() > 0.9999:
            return (
                "the direction is right, the length is not: by what do you divide? It is the mask's own area"
            )
        if cosines.median() > 0.9:
            return (
                "near, and not the authors' value: the mask must not be shrunk by any resizing, and the features "
                "grow by mode='bilinear', align_corners=False"
            )
    return unexplained(values, truths)


def pool(answer: Answer) -> bool | None:
    """Masked average pooling: features (N, C, h, w), masks (N, H, W') to (N, C)."""
    _, error = attempt(answer, pool_inputs())
    if "must match the size of tensor" in error:
        return say(
            False,
            "features and masks cannot be multiplied yet: bring them to one size (upsample the features to "
            "mask.shape[-2:], or carry the masks down), and give the masks an axis for the channels, mask[:, None]",
        )
    return implementation(
        answer,
        masked_average_pool,
        pool_inputs,
        "the mean under the mask, at the mask's own resolution, and zeros where the mask is empty",
        POOL_MISTAKES,
        lacks=lambda: pool_lacks(answer),
        otherwise=near,
    )


# ---- ex-03-prototypes ----------------------------------------------------------------------------


def own_way(labels: Tensor) -> Tensor:
    """Where label maps (W, K, H, W') hold the class of their way: bool, of the same shape."""
    return labels == torch.arange(1, len(labels) + 1).view(-1, 1, 1, 1)


def background_of(masks: Tensor, features: Tensor) -> Tensor:
    """The mean (C,) over W * K images of their means under masks (W, K, H, W')."""
    return mean_under(features, masks).mean((0, 1))


def right_background(features: Tensor, labels: Tensor) -> Tensor:
    """Eq. 2 at one resolution."""
    return background_of(labels == 0, features)


def shown(masks: Tensor) -> Tensor:
    """Which of the masks (W, K, H, W') are not empty: (W, K, 1), zeros and ones."""
    return masks.flatten(2).any(2, keepdim=True).float()


NO_EPSILON = (
    "an image without {} gives 0 / 0, which is NaN, and one NaN spoils the mean: add 1e-5 to the area, so "
    "that it gives zeros"
)
BACKGROUND_MISTAKES = (
    (lambda f, y: background_of((y == 0) | (y == VOID), f),
     "you count void pixels (255) as background: Eq. 2 under the standard preset takes labels == 0 only"),
    (lambda f, y: background_of(~own_way(y), f),
     "you exclude each image's own class only: the other classes of the episode, and void, stay out too"),
    (lambda f, y: background_of(~own_way(y) & (y != VOID), f),
     "you exclude each image's own class only: pixels of the episode's other classes stay out as well"),
    (lambda f, y: mean_under(f, y == 0, epsilon=0).mean((0, 1)), NO_EPSILON.format("background")),
    *((wrong, "you leave out the images without background: they add a zero, and the divisor stays ways * shots")
      for wrong in (lambda f, y: mean_under(f, y == 0).sum((0, 1)) / shown(y == 0).sum(),
                    lambda f, y: mean_under(f, y == 0, epsilon=0).nanmean((0, 1)))),
    *((wrong, "this is the mean of everything that is not background: turn the mask round")
      for wrong in (lambda f, y: background_of(y != 0, f), lambda f, y: background_of((y != 0) & (y != VOID), f))),
    (lambda f, y: background_of(own_way(y), f),
     "this is the mean under each image's own class: the background is where the label is 0"),
    (lambda f, y: mean_under(f, y == 0, (0, 1)),
     "you average all background pixels at once: Eq. 2 first takes the mean within each image, then the "
     "mean of these means"),
    (lambda f, y: mean_under(f, y == 0, (1,)).mean(0),
     "you average the pixels of a way's shots at once: Eq. 2 takes the mean within each image first"),
    (lambda f, y: mean_under(f, y == 0).sum((0, 1)),
     "you add the means of the images but do not divide by ways * shots"),
    (lambda f, y: mean_under(f, y == 0).sum((0, 1)) / f.shape[1],
     "you divide by the shots only: Eq. 2 divides by ways * shots, since every support image takes part"),
    (lambda f, y: mean_under(f, y == 0).sum((0, 1)) / f.shape[0],
     "you divide by the ways only: Eq. 2 divides by ways * shots, since every support image takes part"),
    (lambda f, y: mean_under(f, y == 0)[0].mean(0),
     "you use the images of the first way only: the background is pooled in all ways * shots images"),
    (lambda f, y: mean_under(f, y == 0)[:, 0].mean(0),
     "you use the first shot only: the background is pooled in all ways * shots images"),
    (lambda f, y: mean_under(f, y == 0).mean(1),
     "that is one background for each way: take the mean over the ways too, there is one background"),
    (lambda f, y: mean_under(f, y == 0),
     "that is one background for each image: take the mean over ways and shots, there is one background"),
    (lambda f, y: f.mean((0, 1, 3, 4)), "this is the mean over all pixels: the label maps play no part yet"),
    (lambda f, y: background_of((y != 0) & ~own_way(y) & (y != VOID), f),
     "you take the episode's other classes: the background is where the label is 0"),
    (lambda f, y: (right_background(f, y) + right_classes(f, y).mean(0)) / 2,
     "the classes' prototypes are averaged into it: it is pooled where the label is 0, and nowhere else"),
)  # fmt: skip


def class_means(features: Tensor, labels: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Features (W, K, C, H, W') to the mean of each image under its own class: (W, K, C)."""
    return mean_under(features, own_way(labels), epsilon=epsilon)


def right_classes(features: Tensor, labels: Tensor) -> Tensor:
    """Eq. 1 at one resolution."""
    return class_means(features, labels).mean(1)


def over_all_ways(features: Tensor, labels: Tensor) -> Tensor:
    """Features (W, K, C, H, W') to class prototypes (W, C), each pooled in the images of all ways."""
    return torch.stack([background_of(labels == way + 1, features) for way in range(len(labels))])


CLASS_MISTAKES = (
    (lambda f, y: mean_under(f, own_way(y), (1,)),
     "this is still the mean over the pixels of all shots at once: close each image's fraction before you "
     "average over the shots"),
    (lambda f, y: class_means(f, y).sum(1), "you add the means of the shots but do not divide by K"),
    *((wrong, "you divide by the shots that show the object; Eq. 1 and the authors divide by K, and an empty mask "
              "adds a zero")
      for wrong in (lambda f, y: class_means(f, y).sum(1) / shown(own_way(y)).sum(1),
                    lambda f, y: class_means(f, y, 0).nanmean(1))),
    (lambda f, y: class_means(f, y, 0).mean(1), NO_EPSILON.format("its object")),
    (lambda f, y: class_means(f, y)[:, 0], "you use the first shot only"),
    (lambda f, y: class_means(f, y),
     "that is one vector for each image: take the mean over the shots, (W, C)"),
    (lambda f, y: class_means(f, y).mean(0),
     "you average over the ways: each class keeps its own prototype, the mean runs over the shots"),
    (over_all_ways, "you pool a class in the images of all ways: Eq. 1 pools it in its own K images only"),
    (lambda f, y: mean_under(f, y == 1).mean(1),
     "you take label 1 in all images: in those of way w the class is w"),
    *((wrong, "you take every class of the episode for the object: in the images of way w it is w alone")
      for wrong in (lambda f, y: mean_under(f, (y != 0) & (y != VOID)).mean(1), lambda f, y: mean_under(f, y != 0).mean(1))),
    (lambda f, y: mean_under(f, y == torch.arange(len(y)).view(-1, 1, 1, 1)).mean(1),
     "ways are counted from 1 in a label map, for 0 is the background: torch.arange(1, ways + 1)"),
    (lambda f, y: mean_under(f, own_way(y) | (y == VOID)).mean(1), "you count void pixels (255) as the class: they say nothing"),
    (lambda f, y: mean_under(f, y == 0).mean(1), "this is the mean of the background, not of the class"),
    (lambda f, y: mean_under(f, torch.ones_like(y)).mean(1),
     "this is the mean over the whole images: the label maps play no part yet"),
)  # fmt: skip


def episode_inputs() -> tuple[Tensor, Tensor]:
    """Two episodes of 2 ways: features (2, 2, K, C, h, w) and larger label maps, in which much is missing."""
    shots, h, w = whole(2, 3), whole(3, 4), whole(3, 4)
    size = 3 * h + 1, 2 * w + 1
    features = torch.randn(2, 2, shots, 4, h, w) + 2 * torch.randn(2, 2, shots, 4, 1, 1)
    labels = torch.tensor([0, 0, 1, 2, VOID])[torch.randint(5, (2, 2, shots, *size))]
    labels[:, :, 0, : size[0] // 2] = torch.tensor([1, 2])[:, None, None]  # objects of unlike size
    labels[:, 0, 0][labels[:, 0, 0] == 0] = 2  # no background
    labels[:, 1, 1][labels[:, 1, 1] == 2] = 0  # no object
    return features, labels


def assembled(background: Answer = right_background, classes: Answer = right_classes, **how: Any) -> Answer:
    """Prototypes of whole episodes from two functions at one resolution, to which the features are brought."""

    def prototypes(features: Tensor, labels: Tensor) -> Tensor:
        rows = []
        for small, maps in zip(features, labels):
            large = up(small.flatten(0, 1), maps.shape, **how).unflatten(0, maps.shape[:2])
            rows.append(torch.cat([background(large, maps).view(-1, large.shape[2]), classes(large, maps)]))
        return torch.stack(rows)

    return prototypes


def at_feature_size(features: Tensor, labels: Tensor, mode: str) -> Tensor:
    """Prototypes from masks that were shrunk to the features."""
    ways = torch.arange(1, labels.shape[1] + 1).view(-1, 1, 1, 1)
    size = features.shape[-2:]
    background, own = (down(masks.float(), size, mode) for masks in (labels == 0, labels == ways))
    first = mean_under(features, background).mean((1, 2))[:, None]
    return torch.cat([first, mean_under(features, own).mean(2)], 1)


PROTOTYPE_MISTAKES = (
    *((assembled(background=wrong), f"the classes are right; the background: {why}")
      for wrong, why in BACKGROUND_MISTAKES),
    *((assembled(classes=wrong), f"the background is right; the classes: {why}")
      for wrong, why in CLASS_MISTAKES if "one vector for each image" not in why and "over the ways" not in why),
    (assembled(lambda f, y: mean_under(f, y == 0, epsilon=0).mean((0, 1)),
               lambda f, y: class_means(f, y, 0).mean(1)), NO_EPSILON.format("background or object")),
    (assembled(lambda f, y: mean_under(f, y == 0, (0, 1)), lambda f, y: mean_under(f, own_way(y), (1,))),
     "you average the pixels of all shots at once: Eq. 1 and Eq. 2 first take the mean within each image"),
    (assembled(lambda f, y: mean_under(f, y == 0).sum((0, 1)), lambda f, y: class_means(f, y).sum(1)),
     "you add the means of the images but do not divide by their number"),
    (assembled(lambda f, y: mean_under(f, ~own_way(y), (0, 1), 0), lambda f, y: mean_under(f, own_way(y), (1,), 0)),
     "this is still the broken one: the background is where the label is 0, and each image is a mean of its own"),
    (assembled(lambda f, y: normalize(mean_under(f, y == 0), dim=-1).mean((0, 1)),
               lambda f, y: normalize(class_means(f, y), dim=-1).mean(1)),
     "you made each image's vector one long before the mean: leave the lengths"),
    (lambda f, y: assembled()(f, y).roll(-1, 1), "the background comes first, then the classes"),
    (lambda f, y: assembled()(f, y).flip(1), "the order is background, class 1, class 2, ...: yours is turned round"),
    (lambda f, y: assembled()(f, y)[:, [0, 2, 1]], "the classes have changed places: class 1 comes first"),
    (lambda f, y: assembled()(f.flip(1), y), "images and label maps of different ways have met"),
    (lambda f, y: assembled()(f, y) * y.shape[2], "you add the shots up: Eq. 1 and 2 divide by their number"),
    (lambda f, y: normalize(assembled()(f, y), dim=2), "you made the prototypes one long: leave them as they are"),
    (lambda f, y: assembled()(f, torch.where(torch.stack([*map(own_way, y)]), 1, torch.where(y == 0, 0, VOID))),
     "you look for label 1 in all ways' images: in those of way w the class is w"),
    (lambda f, y: assembled()(f, y)[:, 1:], "the background is missing: it comes first, before the classes"),
    (lambda f, y: assembled()(f, y)[0], "you return the first episode only: the result is (B, 1 + W, C)"),
    (lambda f, y: assembled()(f, y).transpose(1, 2), "the axes have changed places: the result is (B, 1 + W, C)"),
    (lambda f, y: assembled()(f, y).mean(0, keepdim=True).expand(len(f), -1, -1),
     "you mix the episodes of the batch: each has its own prototypes"),
    (assembled(mode="bilinear", corners=True),
     "you upsample with align_corners=True: the authors, and this book, use align_corners=False"),
    (assembled(mode="nearest", corners=None),
     "you upsample the features by mode='nearest': use mode='bilinear', align_corners=False"),
    *((lambda f, y, mode=mode: at_feature_size(f, y, mode), RESIZED.format(mode))
      for mode in ("nearest", "bilinear", "area")),
)  # fmt: skip


def prototypes(answer: Answer) -> bool | None:
    """Eq. 1 and 2: features (B, W, K, C, h, w), label maps (B, W, K, H, W') to (B, 1 + W, C)."""
    return implementation(
        answer,
        support_prototypes,
        episode_inputs,
        "both equations: the background first, then the classes, each a mean of means",
        PROTOTYPE_MISTAKES,
        lacks=lambda: (
            borrowed(answer, episode_inputs(), support_prototypes) or no_gradient(answer, episode_inputs())
        ),
    )


# ---- ex-03-nearest -------------------------------------------------------------------------------


def nearest_inputs() -> tuple[Tensor, int]:
    """A small map (h * factor, w * factor), and the factor."""
    h, w, factor = whole(2, 4), whole(2, 4), whole(3, 4)
    return torch.randn(h * factor, w * factor), factor


def nearest_reference(mask: Tensor, factor: int) -> Tensor:
    """The sum over each block: every small pixel was copied to the whole of its block."""
    return avg_pool2d(mask[None], factor)[0] * factor**2


NEAREST_MISTAKES = (
    (lambda m, s: avg_pool2d(m[None], s)[0],
     "this is the mean of each block, which is area resizing; the adjoint is the sum: check "
     "(up * m).sum() == (f * yours).sum() on any f and m"),
    (lambda m, s: nearest_reference(m, s) / s,
     "you divide by the factor once: the adjoint divides by nothing"),
    (lambda m, s: m[::s, ::s],
     "you keep one pixel of each block, which is nearest resizing; but every pixel of a block was copied "
     "from the same small pixel, so all of them give back"),
    (lambda m, s: max_pool2d(m[None], s)[0], "you take the largest of each block: the adjoint adds them up"),
    (lambda m, s: interpolate(m[None, None], scale_factor=s, mode="nearest")[0, 0],
     "you upsample once more: the adjoint goes the other way, from (H, W) to (H / s, W / s)"),
    (lambda m, s: down(m, (m.shape[0] // s, m.shape[1] // s), "bilinear"),
     "this is bilinear resizing: the adjoint of copying is adding up"),
    (lambda m, s: m[::s, ::s] * s * s,
     "one pixel of each block, times their number, is not their sum: each small pixel was copied to s * s pixels, and all give back"),
    (lambda m, s: m.reshape(s, m.shape[0] // s, s, m.shape[1] // s).sum((0, 2)),
     "the blocks are read in the wrong order: reshape(h, s, w, s), then the sum over dimensions 1 and 3"),
    (lambda m, s: m.reshape(m.shape[0] // s, m.shape[1] // s, s, s).sum((2, 3)),
     "the blocks are no blocks of the image: reshape(h, s, w, s), then the sum over dimensions 1 and 3"),
    (lambda m, s: adjoint_upsample(m, (m.shape[0] // s, m.shape[1] // s)),
     "this is the adjoint of bilinear upsampling: here each pixel was copied, so the sum of its block comes back"),
    (lambda m, s: nearest_reference(m, s).clamp(max=1), "the sums are cut off at 1: the adjoint is linear, leave them"),
    (lambda m, s: nearest_reference(m, s) > 0, "true and false say too little: the sum itself is asked for"),
    (lambda m, s: nearest_reference(m.long().to(m.dtype), s), "the mask became whole numbers: leave it as it is"),
    (lambda m, s: nearest_reference(m, s).T, "rows and columns have changed places"),
)  # fmt: skip


def nearest_adjoint(answer: Answer) -> bool | None:
    """The transpose of nearest-neighbour upsampling by `factor`: (h * s, w * s), s to (h, w)."""
    if any("is invalid for input of size" in attempt(answer, nearest_inputs())[1] for _ in range(5)):
        return say(
            False,
            "the new shape has not as many numbers: h is mask.shape[0] // factor, w is mask.shape[1] // factor",
        )
    return implementation(
        answer,
        nearest_reference,
        nearest_inputs,
        "copying forwards is adding up backwards: sum(Up(f) * m) = sum(f * yours(m)) for every f and m",
        NEAREST_MISTAKES,
    )


# ---- ex-03-gradient ------------------------------------------------------------------------------


def gradient_inputs(h: int = 4, w: int = 3) -> tuple[Tensor, tuple[int, int]]:
    """A map (H, W') of numbers of both signs, and a smaller size (h, w) that does not divide its own."""
    return torch.randn(3 * h + 1, 2 * w + 1), (h, w)


def back(mask: Tensor, size: tuple[int, ...], mode: str = "bilinear", corners: bool | None = False) -> Tensor:
    """The gradient of sum(Up(F) * mask) with respect to F, for any upsampling."""
    with torch.enable_grad():
        leaf = torch.zeros(1, 1, *size, dtype=mask.dtype, requires_grad=True)
        (slope,) = torch.autograd.grad(up(leaf, mask.shape, mode, corners), leaf, mask[None, None])
    return slope[0, 0]


GRADIENT_MISTAKES = (
    (lambda m, s: back(torch.ones_like(m), s),
     "this is the gradient of the sum of Up(F): the mask plays no part yet, L is the sum of Up(F) * m"),
    (lambda m, s: back(m, s) / m.numel(),
     "you take the mean of Up(F) * m: L is the sum, which is larger by H * W"),
    (lambda m, s: back(m, s) / m.sum(),
     "you divide by the area: that is the prototype's business, the adjoint divides by nothing"),
    (lambda m, s: back(m, s, "bilinear", True),
     "you upsample with align_corners=True: the authors, and this book, use align_corners=False"),
    *((lambda m, s, mode=mode, corners=corners: back(m, s, mode, corners),
       f"you upsample by mode='{mode}': use mode='bilinear', align_corners=False")
      for mode, corners in (("nearest", None), ("bicubic", False))),
    *((lambda m, s, mode=mode: down(m, s, mode),
       f"this is the mask, resized ({mode}), and no gradient: upsample F, take the sum of Up(F) * m, then its gradient")
      for mode in ("nearest", "bilinear", "area")),
    (lambda m, s: back(m * m, s), "the mask is in it twice: L is the sum of Up(F) * m, with m once"),
    (lambda m, s: -back(m, s), "the sign is wrong: L is the sum of Up(F) * m, without a minus"),
    (lambda m, s: torch.zeros(s),
     "your gradient is zero: L must be linear in F, the sum of Up(F) * m; where F enters by its square, the "
     "gradient at F = 0 is nothing"),
    (lambda m, s: down(m, s, "area") * m.numel() / (s[0] * s[1]),
     "this is the mask's area, block by block, and no gradient: bilinear upsampling reaches over a block's border"),
    (lambda m, s: back(m, s) / 64, "you divide by 64, an 8 x 8 block: the adjoint divides by nothing"),
    *((lambda m, s, k=k: k * back(m, s),
       "twice the right numbers: F enters L by its square; L is the sum of Up(F) * m, in which F stands once")
      for k in (2, -2)),
    (lambda m, s: back((m > 0.5).to(m.dtype), s), "the mask became 0 and 1: take its numbers as they are"),
    (lambda m, s: back(m, s) / back(m, s).max(), "you made the largest number 1: the adjoint divides by nothing"),
    (lambda m, s: back(m.T, s), "the mask's rows and columns have changed places"),
    (lambda m, s: back(m, s).T, "rows and columns have changed places"),
    (lambda m, s: back(m, s)[None], "one axis too many: the result is (h, w)"),
    (lambda m, s: back(m, s)[None, None], "two axes too many, of batch and channel: the result is (h, w)"),
)  # fmt: skip


def added_up(values: list[Any], truths: list[Any]) -> str:
    """What to say of gradients of which the first is right and the later ones are not."""
    sums = [sum(truths[: n + 1]) for n in range(len(truths))]
    if all(map(equal, values, sums)) or all(equal(value, sums[-1]) for value in values):
        return (
            "the gradients of all calls are added up: make F anew in each call, or take torch.autograd.grad"
        )
    return unexplained(values, truths)


def gradient(answer: Answer) -> bool | None:
    """The adjoint of bilinear upsampling by autograd: a mask (H, W'), a size (h, w) to (h, w)."""
    h = whole(3, 5)
    w = (
        3 + (h - 3 + whole(1, 2)) % 3
    )  # another side, and the same in all trials, so that a leaf which is kept shows
    return implementation(
        answer,
        adjoint_upsample,
        lambda: gradient_inputs(h, w),
        "the gradient of a linear map's sum is its adjoint: what backward() carries, U^T m carries too",
        GRADIENT_MISTAKES,
        lacks=lambda: borrowed(answer, gradient_inputs(), adjoint_upsample, interpolation_matrix),
        otherwise=added_up,
    )


# ---- predictions ---------------------------------------------------------------------------------


def empty_shot(length: object, degrees: object = None) -> bool | None:
    """Length and turn of a prototype when one of four equal shots loses its mask."""
    if blank(length, degrees):
        return unfilled()
    known = read(float, length)
    if known is None or not abs(known - 0.75) <= 1e-3:
        return number(
            length, 0.75, 0, "",
            "the length: add up three equal vectors of length 1 and a zero, then divide by 4" if known is None else
            f"the length: four times {known:g} is {4 * known:g}; three equal vectors of length 1 and a zero add up to another",
            ((1, "the length: the empty mask gives the zero vector and the divisor stays K = 4, so it is shorter"),
             (3, "the length: that is the sum of the three, Eq. 1 divides it by K = 4"),
             (0, "the length: one empty mask adds a zero, the three others still add their vectors"),
             (0.25, "the length: one shot in four is lost, three are left")),
            1e-3,
        )  # fmt: skip
    return number(
        degrees,
        0,
        0.5,
        "three means of length 1 and a zero, divided by 4: shorter, and not turned. A cosine sees no "
        "difference; a Euclidean distance does",
        "the length is right, the angle is not: a vector that is only made shorter keeps its direction",
    )


def halve(answer: object) -> bool | None:
    """How many shots halve the distance of one from the centre of very many photos."""
    many = max(read(float, answer) or 0.0, 0.0)
    return number(
        answer, 4, 0.01,
        "four: the squared distance falls to a quarter, so the distance falls to a half",
        f"{many:g} shots would leave {many**-0.5:.2f} of the distance, the root of 1 / K: which K leaves a half?" if many
        else "the squared distance falls like 1 / K: which K makes its root a half?",
        ((2, "two shots halve the squared distance; the distance itself is its root, and falls to 0.71"),
         (2**0.5, "shots are whole, and more of them: 1 / K must be the square of a half"),
         (0.25, "that is the share of the squared distance that is left: which K leaves it?"),
         (8, "eight shots leave an eighth of the squared distance, so 0.35 of the distance"),
         (16, "sixteen shots leave a sixteenth of the squared distance, so a quarter of the distance")),
    )  # fmt: skip


# ---- ex-03-fool ----------------------------------------------------------------------------------


def lost(answer: object, size: tuple[int, int]) -> Verdict:
    """Whether nearest resizing to `size` loses a mask that covers nine tenths of the image."""
    if (mask := read(torch.as_tensor, answer)) is None:
        return False, f"a tensor of shape (192, 192) is wanted, not {type(answer).__name__}"
    if tuple(mask.shape) != (192, 192):
        return False, f"the mask should have shape (192, 192), yours has {tuple(mask.shape)}"
    if not ((mask == 0) | (mask == 1)).all():
        return False, "a mask holds 0 and 1 only"
    if left := int(down(mask.float(), size, "nearest").sum()):
        return False, f"{left} of the 576 small pixels are still 1 after nearest resizing: which did it read?"
    share = mask.float().mean().item()
    if share < 0.9:
        return (
            False,
            f"nearest resizing loses it, but it covers {share:.0%} of the image: 90 % is asked for, and more is "
            "possible, since nearest reads one pixel of every 8 x 8 block and never looks at the other 63",
        )
    return True, f"a mask over {share:.1%} of the image, and nearest resizing says that it is empty"


def fool_nearest(mask: object, size: tuple[int, int] = (24, 24)) -> bool | None:
    """A mask (192, 192) that covers most of the image and that nearest resizing to (24, 24) loses."""
    return inspected(lambda: mask, lambda value: lost(value, size))


# ---- ex-03-shots ---------------------------------------------------------------------------------


def law(vectors: Tensor, shots: int) -> Tensor:
    """The mean squared distance of the mean of `shots` of the vectors (N, C) from the mean of all."""
    return vectors.var(0).sum() * (1 / shots - 1 / len(vectors))


def law_inputs() -> tuple[Tensor, int]:
    """Five to eight vectors, and how many of them are drawn."""
    many = whole(5, 8)
    return torch.randn(many, whole(2, 4)) * 2 + 5, whole(2, many - 1)


LAW_MISTAKES = (
    (lambda v, k: v.var(0).sum() / k,
     "you leave out the 1 / N: whoever draws all N photos is at their centre, at distance 0"),
    (lambda v, k: v.var(0, correction=0).sum() * (1 / k - 1 / len(v)),
     "you divide the variance by N: S^2 is divided by N - 1, as vectors.var(0) does"),
    (lambda v, k: law(v, k).sqrt(), "this is the root: the squared distance is asked for"),
    (lambda v, k: v.std(0).sum() * (1 / k - 1 / len(v)), "S^2 is the variance, and you take the standard deviation"),
    (lambda v, k: v.var(0).mean() * (1 / k - 1 / len(v)),
     "you average over the channels: a squared distance adds them up"),
    (lambda v, k: v.var() * (1 / k - 1 / len(v)),
     "you take the variance of all numbers together: take it channel by channel, var(0), and add these up"),
    (lambda v, k: v.var(0) * (1 / k - 1 / len(v)), "you keep the channels apart: a squared distance adds them up"),
    (lambda v, k: v.var(1).sum() * (1 / k - 1 / len(v)),
     "you take the variance over the channels: take it over the photos, dimension 0"),
    (lambda v, k: v.var(0).sum() * (k**-0.5 - len(v) ** -0.5),
     "the distance goes like 1 / sqrt(K); its square, which is asked for, like 1 / K"),
    (lambda v, k: v.var(0).sum() * (1 / len(v) - 1 / k), "the sign is wrong: a squared distance is not negative"),
    (lambda v, k: v.var(0).sum(), "this is S^2: the shots play no part yet"),
    (lambda v, k: v.square().sum(1).mean() * (1 / k - 1 / len(v)),
     "you take the mean square without taking the mean out first: S^2 is a variance"),
    (lambda v, k: v.var(0).sum() * (1 - k / len(v)), "you forget to divide by K: S^2 (1 / K - 1 / N) is S^2 (1 - K / N) / K"),
    (lambda v, k: v[:k].var(0).sum() * (1 / k - 1 / len(v)), "S^2 is the variance of all N vectors, not of the first K"),
    (lambda v, k: v.std(0).sum() ** 2 * (1 / k - 1 / len(v)), "the square of a sum is not the sum of squares: add up var(0)"),
    (lambda v, k: (v - v[0]).square().sum() / (len(v) - 1) * (1 / k - 1 / len(v)),
     "distances from the first vector: S^2 takes those from the mean, v - v.mean(0)"),
    (lambda v, k: 1 / k - 1 / len(v), "S^2 is missing: this is the share of it that is left"),
)  # fmt: skip


def unlawful(answer: Answer, values: list[Any], truths: list[Any]) -> str:
    """What to say of a law that no known mistake explains: a property that it should have and lacks."""
    vectors, few = torch.randn(6, 3, dtype=torch.float64), 3
    cases = (vectors, 6), (vectors, few), (2 * vectors, few), (vectors + 9, few)
    numbers = [read(lambda one: torch.as_tensor(one).double(), attempt(answer, case)[0]) for case in cases]
    if any(one is None or one.numel() != 1 for one in numbers):
        return unexplained(values, truths)
    everyone, once, doubled, moved = (float(one) for one in numbers if one is not None)
    if abs(everyone) > 1e-4:
        return "whoever draws all N photos is at their centre: for K = N the distance is 0, and yours is not"
    if abs(doubled - 4 * once) > 1e-4 * abs(once):
        return "twice the vectors give four times the squared distance: yours do not"
    if abs(moved - once) > 1e-4 * abs(once):
        return "vectors that are all moved together are as far from their centre as before: yours are not"
    return unexplained(values, truths)


def shots(answer: Answer) -> bool | None:
    """The law of sampling: vectors (N, C) and a number of shots to a mean squared distance."""
    return implementation(
        answer,
        law,
        law_inputs,
        "S^2 (1 / K - 1 / N), which is the mean over all the sets of K photos that there are",
        LAW_MISTAKES,
        otherwise=partial(unlawful, answer),
    )


# ---- ex-03-candle --------------------------------------------------------------------------------


def cosines_of(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines of cells (C, h, w) with prototypes (J, C): (J, h, w)."""
    return torch.einsum("chw,jc->jhw", normalize(features, dim=0), normalize(prototypes, dim=1))


def counts(features: Tensor, cells: Tensor, prototypes: Tensor) -> Tensor:
    """How many of the cells (h, w) of features (C, h, w) are nearest to each prototype (J, C): (J,)."""
    nearest = cosines_of(features, prototypes).argmax(0)
    return torch.bincount(nearest[cells.bool()], minlength=len(prototypes))


def largest(scores: Tensor, cells: Tensor) -> Tensor:
    """How many cells have the largest score (J, h, w) at each place."""
    return torch.bincount(scores.argmax(0)[cells], minlength=len(scores))


def by_product(features: Tensor, cells: Tensor, prototypes: Tensor) -> Tensor:
    """As `counts`, by the scalar product instead of the cosine."""
    return largest(torch.einsum("chw,jc->jhw", features, prototypes), cells)


def by_distance(features: Tensor, cells: Tensor, prototypes: Tensor) -> Tensor:
    """As `counts`, by the Euclidean distance instead of the cosine."""
    return largest(-(features[None] - prototypes[:, :, None, None]).square().sum(1), cells)


def won_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Features, cells and prototypes of unlike length; the last wins nothing, and only the cosine counts as it does."""
    many = whole(3, 4)
    prototypes = normalize(torch.randn(many, 5), dim=1) * torch.tensor([1.0, 5, 2, 3])[:many, None]
    features = torch.randn(5, 9, 8) * (1 + 2 * torch.rand(9, 8))
    cells = (torch.rand(9, 8) < 0.6) & (cosines_of(features, prototypes).argmax(0) != many - 1)
    right = counts(features, cells, prototypes)
    if any(torch.equal(right, other(features, cells, prototypes)) for other in (by_product, by_distance)):
        return won_inputs()
    return features, cells, prototypes


WON_MISTAKES = (
    (lambda f, c, p: counts(f, torch.ones_like(c), p),
     "you count all cells: only those where `cells` is true are asked for"),
    (lambda f, c, p: counts(f, ~c, p), "you count the other cells: those where `cells` is true are asked for"),
    (by_product,
     "you compare scalar products: a long prototype wins by its length; divide by both lengths for the cosine"),
    (by_distance,
     "you compare Euclidean distances: here the cosine decides, which does not see lengths"),
    (lambda f, c, p: largest(-cosines_of(f, p), c),
     "you count where the cosine is smallest: the nearest prototype has the largest"),
    (lambda f, c, p: counts(f, c, p) / c.sum(), "these are shares: the number of cells is asked for"),
    (lambda f, c, p: cosines_of(f, p)[:, c].mean(1), "these are mean cosines: count the cells that each one wins"),
    (lambda f, c, p: cosines_of(f, p)[:, c].sum(1), "these are sums of cosines: count the cells that each one wins"),
    (lambda f, c, p: counts(f, c, p)[:-1],
     "a prototype that wins nothing has a 0 in the result: torch.bincount(..., minlength=len(prototypes))"),
    (lambda f, c, p: counts(f, c, p).max(), "this is the largest count only: one for each prototype is asked for"),
    (lambda f, c, p: counts(f, c, p).flip(0), "the order is turned round: count j belongs to prototype j"),
    (lambda f, c, p: cosines_of(f, p).argmax(0)[c],
     "these are the winners, cell by cell: count how often each occurs, torch.bincount(...)"),
    (lambda f, c, p: largest(torch.einsum("chw,jc->jhw", normalize(f, dim=1), normalize(p, dim=1)), c),
     "the features are normalised along dimension 1, the rows: a cell's vector runs along dimension 0"),
    (lambda f, c, p: largest(torch.einsum("chw,jc->jhw", f, normalize(p, dim=0)), c),
     "the prototypes are normalised along dimension 0, over the prototypes: their vectors run along dimension 1"),
    *((lambda f, c, p, least=least: (cosines_of(f, p) > least)[:, c].sum(1),
       f"you count cosines above {least}, so a cell may count twice or never: each goes to the one with its largest cosine")
      for least in (0, 0.5)),
    (lambda f, c, p: counts(f, c, p).sort().values, "the counts are sorted: count j belongs to prototype j"),
    (lambda f, c, p: largest((cosines_of(f, p).argmax(0) > 0)[None].long() * torch.tensor([0, 1, 0, 0])[: len(p), None, None], c),
     "all prototypes but the first are counted as one: each has its own count"),
    (lambda f, c, p: largest(cosines_of(f, p).abs(), c),
     "the signs are lost: a cosine of -1 is the farthest, not the nearest"),
    (lambda f, c, p: c.sum() * one_hot(cosine_similarity(f[:, c].mean(1), p, dim=1).argmax(), len(p)), "one vote of the mean of all cells: each cell has a vote of its own"),
    (lambda f, c, p: torch.where(c, cosines_of(f, p).argmax(0), 0).flatten().bincount(minlength=len(p)),
     "the cells outside count for prototype 0: leave them out"),
)  # fmt: skip


def won(answer: Answer) -> bool | None:
    """Features (C, h, w), cells (h, w) and prototypes (J, C) to the number of cells each one wins, (J,)."""
    return implementation(
        answer,
        counts,
        won_inputs,
        "each cell goes to the prototype of the largest cosine, and each prototype has its count",
        WON_MISTAKES,
    )
