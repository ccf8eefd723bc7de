"""VGG-16 as the paper uses it, and its narrow twin (paper Sec. 3.2, 4.1; chapter 2)."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .seen import trained_on
from .weights import imagenet_state, load_weights, read_weights, vgg_names

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
STRIDES = (2, 2, 2, 1)  # of the pool behind each block; maxpool4 has stride 1 (Sec. 3.2), maxpool5 is gone


class Backbone(nn.Module):
    """What backbones share. name: of the architecture. channels: of the features. width: see `VGG16`. trained_on: the
    classes that its weights have learned by episodes, and which weights those were; see `seen`."""

    name, channels, width = "", 0, 1.0
    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: tuple[float, ...] = (0.485, 0.456, 0.406), std: tuple[float, ...] = (0.229, 0.224, 0.225)
    ):
        super().__init__()
        self.trained_on: dict[str, str] = {}
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:
        """RGB in 0..1 (N, 3, H, W) to what the network was trained on: ImageNet's normalisation."""
        return (images - self.mean) / self.std

    def freeze(self, stages: int) -> None:
        """See `Lite0.freeze`. Errors: ValueError, as other networks are trained as a whole."""
        if stages:
            raise ValueError(f"Only lite0 can be frozen in part: leave --freeze out for {self.name}.")


class VGG16(Backbone):
    """The first five blocks of VGG-16 at output stride 8, the paper's feature extractor (Sec. 3.2).

    Images (N, 3, H, W), preprocessed, to features (N, 512 * width, h, w); 417 x 417 gives 53 x 53.
    As in the authors' code: max-pools have kernel 3 and padding 1 (weights trained with kernel 2
    still load), conv5 has dilation 2, and no ReLU follows conv5_3, so that features are signed.

    width: scales all channel counts; 0.25 is the book's narrow twin, 1/16 of the arithmetic.
    batch_norm: for training from scratch; `folded()` merges it into the convolutions.
    """

    def __init__(self, width: float = 1.0, batch_norm: bool = False):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for block, widths in enumerate(BLOCKS):
            dilation = 2 if block == 4 else 1
            for out in widths:
                out = int(out * width)
                layers.append(nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(out))
                layers.append(nn.ReLU(inplace=True))
                channels = out
            if block < 4:
                layers.append(nn.MaxPool2d(3, stride=STRIDES[block], padding=1))
        self.features = nn.Sequential(*layers[:-1])  # without the last ReLU
        self.name, self.width, self.channels = "vgg16", width, channels
        for layer in self.features:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) to features (N, C, h, w)."""
        features: Tensor = self.features(images)
        return features

    def folded(self) -> "VGG16":
        """The same function without BatchNorm: each is merged into the convolution before it."""
        plain = VGG16(self.width).to(self.mean.device)
        modules = list(self.features.eval())
        convolutions = [
            fuse_conv_bn_eval(a, b) if isinstance(b, nn.BatchNorm2d) else a
            for a, b in zip(modules, modules[1:] + [None])
            if isinstance(a, nn.Conv2d)
        ]
        slots = [layer for layer in plain.features if isinstance(layer, nn.Conv2d)]
        for slot, convolution in zip(slots, convolutions, strict=True):
            slot.load_state_dict(convolution.state_dict())
        return plain


def vgg16(weights: str | Path | None = None, width: float = 1.0, batch_norm: bool = False) -> VGG16:
    """VGG-16 as in the paper (14,714,688 parameters), or its narrow twin (width=0.25, 920,784).

    weights: None draws random weights (He initialisation, from torch's global generator);
    "imagenet" loads torchvision's (width 1 only); a path loads a safetensors or torch file, also of the authors'.
    """
    if not 1 / 64 <= width <= 4:
        raise ValueError(f"There is no VGG-16 of width {width}: the paper's is 1; 1/64 to 4 can be made.")
    backbone = VGG16(width, batch_norm)
    if weights == "imagenet":
        if width != 1.0 or batch_norm:
            raise ValueError("ImageNet weights exist for width=1.0 without batch_norm only.")
        load_weights(backbone, vgg_names(imagenet_state(), backbone.state_dict()), "torchvision's VGG-16")
    elif weights is not None:
        state = vgg_names(read_weights(weights), backbone.state_dict())
        load_weights(backbone, state, f"The checkpoint {weights}")
        backbone.trained_on = trained_on(weights)
    return backbone
