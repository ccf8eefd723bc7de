"""Backbones: VGG-16 as the paper uses it and its narrow twin (paper Sec. 3.2, 4.1; chapter 2).

`backbone` makes any by its name; those of other architectures are in `trunks`.
"""

from pathlib import Path

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .trunks import Backbone, DINOv2, Trunk, trunks
from .weights import imagenet_state, load_weights, read_weights, without_head

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
STRIDES = (2, 2, 2, 1)  # of the pool behind each block; maxpool4 has stride 1 (Sec. 3.2), maxpool5 is gone


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
        layers, channels = [], 3
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
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) to features (N, C, h, w)."""
        return self.features(images)

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
    "imagenet" loads torchvision's (width 1 only); a path loads a safetensors or torch file.
    """
    backbone = VGG16(width, batch_norm)
    if weights == "imagenet":
        if width != 1.0 or batch_norm:
            raise ValueError("ImageNet weights exist for width=1.0 without batch_norm only.")
        load_weights(backbone, imagenet_state(), "torchvision's VGG-16")
    elif weights is not None:
        load_weights(backbone, read_weights(weights), f"The checkpoint {weights}")
    return backbone


def backbone(name: str = "vgg16", weights: str | Path | None = None, width: float = 1.0) -> Backbone:
    """A backbone by name: "vgg16", one of torchvision's networks (`trunks.trunks()` lists them), or DINOv2.

    weights: None draws random ones from torch's global generator; "pretrained" is what the network comes
    with, for torchvision's the same as "imagenet"; a path loads a safetensors or torch file, of ours or of
    torchvision's names. width: of `vgg16` only. Errors: ValueError for a name, a width or weights that do
    not exist; see `weights`.
    """
    weights = "imagenet" if weights == "pretrained" and not name.startswith("dinov2") else weights
    if name == "vgg16":
        return vgg16(weights, width)
    if name not in trunks() and not name.startswith("dinov2_vit"):
        raise ValueError(
            f"There is no backbone {name!r}: choose vgg16, dinov2_vits14 (a frozen transformer) or one of "
            f"torchvision's convolutional networks: {', '.join(trunks())}."
        )
    if width != 1.0:
        raise ValueError(f"Only vgg16 has a width: leave it out for {name}.")
    if name.startswith("dinov2"):
        if weights not in (None, "pretrained"):
            raise ValueError(f"{name} is frozen as its authors trained it: give it the weights 'pretrained'.")
        return DINOv2(name, pretrained=weights is not None)
    trunk = Trunk(name)
    if weights is not None:
        state = imagenet_state(name) if weights == "imagenet" else without_head(read_weights(weights))
        source = "torchvision's file" if weights == "imagenet" else f"The checkpoint {weights}"
        load_weights(trunk.trunk, state, source)
    return trunk
