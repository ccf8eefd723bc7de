"""Answers to the exercises of chapter 3: masked average pooling, prototypes, adjoints."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from ..prototypes import VOID, masked_average_pool, support_prototypes
from .harness import (
    Answer,
    Verdict,
    attempt,
    choice,
    implementation,
    inspected,
    mean_under,
    number,
    read,
    say,
    whole,
)  # fmt: skip


def up(
    features: Tensor, size: tuple[int, ...], mode: str = "bilinear", corners: bool | None = False
) -> Tensor:
    """Features (C, h, w) at another size: (C, H, W')."""
    return interpolate(features[None], size=tuple(size), mode=mode, align_corners=corners)[0]


def down(mask: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    """A mask (H, W') at another size: (h, w)."""
    return interpolate(mask[None, None], size=tuple(size), mode=mode)[0, 0]


def blob(height: int, width: int) -> Tensor:
    """A random mask (H, W): a rectangle with holes; never empty, never full."""
    mask = torch.zeros(height, width)
    top, left = torch.randint(height // 2, ()), torch.randint(width // 2, ())
    mask[top : top + height // 2, left : left + width // 3] = 1
    mask *= torch.rand(height, width) > 0.2
    mask[height // 2, width // 2] = 1
    return mask


# ---- ex-03-pool ----------------------------------------------------------------------------------


def pool_inputs() -> tuple[Tensor, Tensor]:
    """Features (3, h, w) and a mask (H, W') whose sides are no multiples of theirs."""
    h, w = whole(4, 6), whole(4, 6)
    return torch.randn(3, h, w) + 1, blob(3 * h + 1, 3 * w + 2)


RESIZED = (
    "you shrink the mask ({}) to the size of the features; that is another number: grow the features to "
    "the mask (bilinear, align_corners=False), or carry the mask down with adjoint_upsample"
)
POOL_MISTAKES = (
    *((wrong, "this is the mean over the whole image: the mask plays no part yet")
      for wrong in (lambda f, m: f.mean((-2, -1)), lambda f, m: up(f, m.shape).mean((-2, -1)))),
    (lambda f, m: (up(f, m.shape) * m).mean((-2, -1)),
     "you divide by all H * W pixels: divide by the area of the mask, mask.sum()"),
    (lambda f, m: (up(f, m.shape) * m).sum((-2, -1)),
     "this is the sum under the mask, not the mean: divide by the area of the mask"),
    (lambda f, m: mean_under(up(f, m.shape), 1 - m),
     "this is the mean outside the mask: the background's, not the class's"),
    (lambda f, m: mean_under(up(f, m.shape), m).mean(),
     "you average the channels too: sum over the two spatial dimensions only"),
    (lambda f, m: mean_under(up(f, m.shape, "bilinear", True), m),
     "you upsample with align_corners=True: the authors, and this book, use align_corners=False"),
    (lambda f, m: mean_under(up(f, m.shape, "nearest", None), m),
     "you upsample the features by nearest neighbour: use mode='bilinear', align_corners=False"),
    *((lambda f, m, mode=mode: mean_under(f, down(m, f.shape[-2:], mode)), RESIZED.format(mode))
      for mode in ("nearest", "bilinear", "area")),
)  # fmt: skip


def empty_mask_fault(answer: Answer) -> str:
    """What is wrong with the answer to an empty mask, or ""."""
    value, error = attempt(answer, (torch.randn(3, 4, 4), torch.zeros(8, 8)))
    if not error and torch.equal(torch.as_tensor(value).float(), torch.zeros(3)):
        return ""
    return (
        "right, except that an empty mask must give zeros and yours does not: add 1e-5 to the area, "
        "so that 0 / 0 cannot happen"
    )


def pool(answer: Answer) -> bool | None:
    """Masked average pooling of one image: features (C, h, w), mask (H, W) to (C,)."""
    _, error = attempt(answer, pool_inputs())
    if "must match the size of tensor" in error:
        return say(
            False,
            "the mask is larger than the features, so they cannot be multiplied yet: upsample the "
            "features to mask.shape first, or carry the mask down",
        )
    return implementation(
        answer,
        lambda f, m: masked_average_pool(f[None], m[None])[0],
        pool_inputs,
        "the mean under the mask, at the mask's own resolution, and zeros where the mask is empty",
        POOL_MISTAKES,
        lacks=lambda: empty_mask_fault(answer),
    )


# ---- ex-03-background ----------------------------------------------------------------------------


def support_inputs() -> tuple[Tensor, Tensor]:
    """Features (W, K, C, H, W') and label maps (W, K, H, W') of the same size, with every label in each."""
    ways, shots = 2, whole(2, 3)
    labels = torch.tensor([0, 0, 0, 1, 2, VOID])[torch.randint(6, (ways, shots, 6, 7))]
    labels[..., 0, :4] = torch.tensor([0, 1, 2, VOID])
    labels[0, 0, 3:] = 0  # background areas differ from image to image
    return torch.randn(ways, shots, 4, 6, 7) + torch.randn(ways, shots, 4, 1, 1), labels


def own_way(labels: Tensor) -> Tensor:
    """Where label maps (W, K, H, W') hold the class of their way: bool, of the same shape."""
    return labels == torch.arange(1, len(labels) + 1).view(-1, 1, 1, 1)


def background_of(masks: Tensor, features: Tensor) -> Tensor:
    """The mean (C,) over W * K images of their means under masks (W, K, H, W')."""
    return mean_under(features, masks).mean((0, 1))


BACKGROUND_MISTAKES = (
    (lambda f, y: background_of((y == 0) | (y == VOID), f),
     "you count void pixels (255) as background: Eq. 2 under the standard preset takes labels == 0 only"),
    (lambda f, y: background_of(~own_way(y), f),
     "you exclude each image's own class only: the other classes of the episode, and void, stay out too"),
    (lambda f, y: background_of(~own_way(y) & (y != VOID), f),
     "you exclude each image's own class only: pixels of the episode's other classes stay out as well"),
    (lambda f, y: background_of(y != 0, f),
     "this is the mean of everything that is not background: turn the mask round"),
    (lambda f, y: mean_under(f, y == 0, (0, 1)),
     "you average all background pixels at once: Eq. 2 first takes the mean within each image, then the "
     "mean of these means"),
    (lambda f, y: mean_under(f, y == 0).sum((0, 1)),
     "you add the means of the images but do not divide by ways * shots"),
    (lambda f, y: mean_under(f, y == 0).sum((0, 1)) / f.shape[1],
     "you divide by the shots only: Eq. 2 divides by ways * shots, since every support image takes part"),
    (lambda f, y: mean_under(f, y == 0)[0].mean(0),
     "you use the images of the first way only: the background is pooled in all ways * shots images"),
    (lambda f, y: mean_under(f, y == 0).mean(1),
     "that is one background for each way: take the mean over the ways too, there is one background"),
    (lambda f, y: f.mean((0, 1, 3, 4)), "this is the mean over all pixels: the label maps play no part yet"),
)  # fmt: skip


def background(answer: Answer) -> bool | None:
    """Eq. 2: features (W, K, C, H, W'), label maps (W, K, H, W') of the same size to (C,)."""
    return implementation(
        answer,
        lambda f, y: support_prototypes(f[None], y[None])[0, 0],
        support_inputs,
        "one background for the whole episode: a mean of ways * shots means, over labels == 0 only",
        BACKGROUND_MISTAKES,
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
    (lambda m, s: nearest_reference(m, s).T, "rows and columns have changed places"),
)  # fmt: skip


def nearest_adjoint(answer: Answer) -> bool | None:
    """The transpose of nearest-neighbour upsampling by `factor`: (h * s, w * s), s to (h, w)."""
    return implementation(
        answer,
        nearest_reference,
        nearest_inputs,
        "copying forwards is adding up backwards: sum(Up(f) * m) = sum(f * yours(m)) for every f and m",
        NEAREST_MISTAKES,
    )


# ---- predictions ---------------------------------------------------------------------------------


def doubled_mask(answer: object) -> bool | None:
    """What a mask of 2s instead of 1s does to the prototype."""
    return choice(
        answer,
        "b",
        {
            "a": "the sum doubles, but so does the area it is divided by",
            "b": "sum and area both double, and the mean stays (but for the 1e-5): only ratios of weights count",
            "c": "the area doubles, but so does the sum above it",
        },
    )


def empty_shot(answer: object) -> bool | None:
    """The length of a prototype when one of four equal shots loses its mask."""
    return number(
        answer,
        0.75,
        1e-3,
        "three means of length 1 and a zero, divided by 4. The direction is as before, so a cosine sees no "
        "difference; a Euclidean distance does",
        "the empty mask gives the zero vector and the divisor stays K = 4: add up three equal vectors and a "
        "zero, then divide",
    )


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


# ---- ex-03-repair --------------------------------------------------------------------------------


def repair_inputs() -> tuple[Tensor, Tensor]:
    """As `support_inputs`, three shots with objects of unlike size, the last without its object."""
    features = torch.randn(2, 3, 4, 6, 7) + 2 * torch.randn(2, 3, 4, 1, 1)
    labels = torch.tensor([0, 1, 2, VOID])[torch.randint(4, (2, 3, 6, 7))]
    for way in range(2):
        labels[way, 0] = way + 1  # fills its image
        labels[way, 2][labels[way, 2] == way + 1] = 0
    return features, labels


def class_means(features: Tensor, labels: Tensor) -> Tensor:
    """Features (W, K, C, H, W') to the mean of each image under its own class: (W, K, C)."""
    return mean_under(features, own_way(labels))


def over_all_ways(features: Tensor, labels: Tensor) -> Tensor:
    """Features (W, K, C, H, W') to class prototypes (W, C), each pooled in the images of all ways."""
    return torch.stack([background_of(labels == way + 1, features) for way in range(len(labels))])


REPAIR_MISTAKES = (
    (lambda f, y: mean_under(f, own_way(y), (1,)),
     "this is still the mean over the pixels of all shots at once: close each image's fraction before you "
     "average over the shots"),
    (lambda f, y: class_means(f, y).sum(1), "you add the means of the shots but do not divide by K"),
    (lambda f, y: class_means(f, y).sum(1) / own_way(y).flatten(2).any(2).sum(1, keepdim=True),
     "you divide by the shots that show the object; Eq. 1 and the authors divide by K, and an empty mask "
     "adds a zero"),
    (lambda f, y: class_means(f, y)[:, 0], "you use the first shot only"),
    (over_all_ways, "you pool a class in the images of all ways: Eq. 1 pools it in its own K images only"),
    (lambda f, y: mean_under(f, torch.ones_like(y)).mean(1),
     "this is the mean over the whole images: the label maps play no part yet"),
)  # fmt: skip


def repair(answer: Answer) -> bool | None:
    """Eq. 1: features (W, K, C, H, W'), label maps (W, K, H, W') of the same size to (W, C)."""
    return implementation(
        answer,
        lambda f, y: support_prototypes(f[None], y[None])[0, 1:],
        repair_inputs,
        "repaired: every image has one vote, however large its object is",
        REPAIR_MISTAKES,
    )
