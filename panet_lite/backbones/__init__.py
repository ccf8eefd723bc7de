"""Backbones: networks that turn images into features (paper Sec. 3.2, 4.1; chapter 2).

`vgg` is the paper's network, `lite0` the book's, both written out; `others` are timm's, by name;
`weights` reads files of weights, `seen` tells which classes they have learned.
"""

from pathlib import Path

from .lite0 import Lite0, lite0
from .others import Timm
from .seen import check_unseen, seen_among, trained_on
from .vgg import BLOCKS, VGG16, Backbone, vgg16
from .weights import header, imagenet_state, load_weights, read_weights

__all__ = [
    "BLOCKS", "VGG16", "Backbone", "Lite0", "Timm", "backbone", "check_unseen", "imagenet_state", "lite0",
    "load_weights", "read_weights", "seen_among", "trained_backbone", "trained_on", "vgg16",
]  # fmt: skip


def backbone(name: str = "vgg16", weights: str | Path | None = None, width: float = 1.0) -> Backbone:
    """A backbone by name: "vgg16", "lite0" or "lite0:STAGE" (`Lite0`), or any network of timm, as "resnet50:2".

    weights: None draws random ones from torch's global generator; "pretrained" and "imagenet" are what the
    network comes with; a path loads a safetensors or torch file, of ours, of torchvision's VGG-16 or of
    timm's networks. width: of `vgg16` only. Errors: ValueError for a name, a stage, a width or weights that
    do not exist; see `weights`.
    """
    if name == "vgg16":
        return vgg16("imagenet" if weights == "pretrained" else weights, width)
    if width != 1.0:
        raise ValueError(f"Only vgg16 has a width: leave it out for {name}.")
    architecture, _, stage = name.partition(":")
    if not stage.lstrip("-").isdecimal() and stage:
        raise ValueError(
            f"The stage in {name!r} is no number: write {architecture}:2, or {architecture} for the last."
        )
    if architecture == "lite0":
        return lite0("imagenet" if weights == "pretrained" else weights, int(stage or 5))
    return Timm(architecture, "pretrained" if weights == "imagenet" else weights, int(stage or -1))


def trained_backbone(path: str | Path) -> Backbone:
    """The backbone of a checkpoint of ours, which names its network. Errors: ValueError where a file names none."""
    about = header(path)
    if "backbone" not in about:
        raise ValueError(f"The checkpoint {path} does not say of which network it is: name it by --backbone.")
    return backbone(about["backbone"], path, about.get("width", 1.0))
