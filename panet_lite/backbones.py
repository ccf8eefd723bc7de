"""Backbones: VGG-16 as the paper uses it and its narrow twin (paper Sec. 3.2, 4.1; chapter 2)."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
STRIDES = (2, 2, 2, 1)  # of the pool behind each block; maxpool4 has stride 1 (Sec. 3.2), maxpool5 is gone


class VGG16(nn.Module):
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
        self.width, self.channels = width, channels
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:
        """RGB in 0..1 to ImageNet's normalisation, the input VGG-16 was trained on."""
        return (images - self.mean) / self.std

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


def imagenet_state() -> dict[str, Tensor]:
    """torchvision's ImageNet weights of VGG-16, downloaded and checked by torchvision's own loader.

    Errors: ValueError where the download fails, or an earlier one was cut short (it is checked once).
    """
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except Exception as error:  # no network, no space, a spoilt file: each has its own kind
        raise ValueError(
            f"The ImageNet weights cannot be had from {weights.url} by way of {torch.hub.get_dir()}/checkpoints "
            f"({type(error).__name__}: {error}): delete what is there and try again with a network."
        ) from error
    return {name: value for name, value in state.items() if name.startswith("features.")}


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a torch file that holds tensors only.

    Errors: FileNotFoundError where there is no file, ValueError where it is truncated, no
    checkpoint, or a pickle with code in it, which is never run.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint at {path}: train one with `python -m panet_lite train`, or take "
            "one of data/checkpoints/."
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        if all(isinstance(value, Tensor) for value in state.values()):
            return state
        reason = "holds other things than tensors"
    except SafetensorError as error:
        reason = f"is truncated or no safetensors file ({error})"
    except Exception as error:  # torch.load raises many kinds for what is one mistake
        kind = type(error).__name__
        reason = f"is truncated or no file of plain tensors; pickles with code are not opened ({kind})"
    raise ValueError(f"The checkpoint {path} {reason}. Copy or download it again.")


def load_weights(backbone: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Copy `state` into the backbone; one sentence names the first tensor that does not fit."""
    own = backbone.state_dict()
    state = {key.removeprefix("backbone."): value for key, value in state.items()}
    for key in own:
        if key not in state:
            raise ValueError(
                f"{name} is of another architecture: {key} is missing. Build the backbone it belongs to."
            )
        if state[key].shape != own[key].shape:
            raise ValueError(
                f"{name} is of another architecture: {key} is {tuple(state[key].shape)}, this backbone "
                f"wants {tuple(own[key].shape)}. Is the width right (1.0, or 0.25 for the narrow twin)?"
            )
    if extra := sorted(set(state) - set(own)):
        raise ValueError(
            f"{name} is of another architecture: it also holds {extra[0]}. Build the backbone it belongs to."
        )
    backbone.load_state_dict({key: value.to(own[key].dtype) for key, value in state.items()})


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
