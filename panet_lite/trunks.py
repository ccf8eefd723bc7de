"""Other backbones than the paper's: torchvision's networks at output stride 8, and a frozen ViT (chapter 11).

A trunk is a network without its classifier. torch.fx reads its graph, so that one rule sets strides and
dilations, and one finds the last activation, for all of torchvision's families of convolutional networks.
"""

import math
import warnings
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata
from torch.nn.functional import interpolate

from .weights import HEAD

STRIDE = 8  # of the features, as of the paper's VGG-16 (Sec. 3.2)
SIDE = 256  # of the blank image by which strides are measured
FAMILIES = (
    "convnext", "efficientnet", "mnasnet", "mobilenet", "regnet", "resnet", "resnext", "shufflenet",
    "squeezenet", "vgg", "wide_resnet",
)  # fmt: skip
BEHIND = (nn.Identity, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.MaxPool2d)  # taken off a trunk's end
DINOV2 = "facebookresearch/dinov2"


class Backbone(nn.Module):
    """What backbones share. name: of the architecture. channels: of the features. width: see `VGG16`."""

    name, channels, width = "", 0, 1.0

    def __init__(self, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:
        """RGB in 0..1 (N, 3, H, W) to what the network was trained on: ImageNet's normalisation."""
        return (images - self.mean) / self.std


def trunks() -> list[str]:
    """The names of torchvision's networks that can be a `Trunk`."""
    from torchvision import models  # here, as it takes seconds that the paper's network need not wait for

    return [name for name in models.list_models(models) if name.startswith(FAMILIES)]


def network(name: str) -> nn.Module:
    """torchvision's network with random weights and no classifier, dilated by torchvision as far as it can."""
    from torchvision.models import get_model

    for option in ({"dilated": True}, {"replace_stride_with_dilation": (False, True, True)}, {}):
        try:
            model = get_model(name, weights=None, **option)
            break
        except (TypeError, NotImplementedError):  # it has no such option; or not for ResNets of basic blocks
            continue
    for head in set(HEAD) & {child for child, _ in model.named_children()}:
        setattr(model, head, nn.Identity())
    return model


def dilate(trunk: fx.GraphModule) -> None:
    """Bring the features to stride 8, in place, with the weights as they are.

    A layer that is fed at a stride of 8 f loses its own stride and is dilated by f, so that each of its taps
    sees the pixel that it would see in the strided network. Pools of even size become one larger, as
    in the paper's VGG-16, to have a middle.
    """
    ShapeProp(trunk).propagate(torch.zeros(1, 3, SIDE, SIDE))
    for node in trunk.graph.nodes:
        layer = trunk.get_submodule(node.target) if node.op == "call_module" else None
        if not isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            continue
        fed = SIDE / node.args[0].meta["tensor_meta"].shape[-1]  # unpadded layers lose a pixel: nearly 2 ** n
        factor, (kernel, stride, dilation) = 2 ** round(math.log2(fed)) // STRIDE, shape_of(layer)
        if factor < 1 or stride == 1 and (kernel == 1 or factor == 1):
            continue
        dilation *= factor
        if isinstance(layer, nn.Conv2d):
            layer.stride, layer.dilation, layer.padding = (1, 1), (dilation, dilation), "same"
        else:
            layer.stride, layer.dilation, layer.padding = 1, dilation, dilation * (kernel // 2)
            layer.kernel_size = kernel // 2 * 2 + 1


def shape_of(layer: nn.Conv2d | nn.MaxPool2d) -> tuple[int, int, int]:
    """Kernel size, stride and dilation, which are pairs in convolutions and may be numbers in pools."""
    values = (layer.kernel_size, layer.stride, layer.dilation)
    return tuple(value if isinstance(value, int) else value[0] for value in values)


def signed(trunk: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The node before the activation and pool that end a trunk; where branches are joined, of each branch."""
    if node.op == "call_module" and isinstance(trunk.get_submodule(node.target), BEHIND):
        return signed(trunk, node.args[0])
    if node.target is torch.cat:  # SqueezeNet's Fire
        node.args = ([signed(trunk, branch) for branch in node.args[0]], *node.args[1:])
    return node


def picture(node: fx.Node) -> bool:
    """Is what the node gives (N, C, h, w), and no single pixel?"""
    found = node.meta.get("tensor_meta")
    return isinstance(found, TensorMetadata) and len(found.shape) == 4 and found.shape[-1] > 1


def cut(trunk: fx.GraphModule) -> fx.GraphModule:
    """The graph up to its last features that are a picture, before their activation (Sec. 3.2)."""
    last = [node for node in trunk.graph.nodes if node.op != "output" and picture(node)][-1]
    [end] = (node for node in trunk.graph.nodes if node.op == "output")
    end.args = (signed(trunk, last),)
    trunk.graph.eliminate_dead_code()
    return fx.GraphModule(trunk, trunk.graph)


class Trunk(Backbone):
    """A torchvision network at output stride 8, its classifier and last activation removed.

    Preprocessed images (N, 3, H, W) to signed features (N, channels, h, w); 417 x 417 gives 53 x 53, or
    52 x 52 where layers do not pad (SqueezeNet). BatchNorm is frozen: its running statistics, weight and bias
    stay as they are, in training too, as an episode's few images say little about them; so are dropped paths.
    All else is trained. The state dict has torchvision's names, behind "trunk.".
    """

    def __init__(self, name: str):
        from torchvision.models import get_model_weights

        transforms = next(iter(get_model_weights(name))).transforms()
        super().__init__(transforms.mean, transforms.std)
        self.name, trunk = name, fx.symbolic_trace(network(name).eval())
        dilate(trunk)
        self.trunk = cut(trunk)
        for layer in self.trunk.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.requires_grad_(False)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says once that an even kernel is padded unevenly
            self.channels = self(torch.zeros(1, 3, 32, 32)).shape[1]

    def train(self, mode: bool = True) -> "Trunk":
        """The trunk itself stays as in evaluation: its BatchNorm is frozen."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) to features (N, channels, h, w)."""
        return self.trunk(images)


class DINOv2(Backbone):
    """A self-supervised vision transformer, frozen: what one would try today, beside the paper's network.

    Preprocessed images (N, 3, H, W) to the patches' features (N, channels, h, w), normalised by its last
    LayerNorm. Height and width are resized to the nearest multiples of 14, not padded, so that features still
    cover the image evenly: 417 x 417 becomes 420 x 420, and gives 30 x 30.

    torch.hub fetches the network's code from its authors' repository and runs it: `repository` may be
    another, as owner/name:tag, or a folder on disk with a hubconf.py. Errors: ValueError without a network.
    """

    def __init__(self, name: str = "dinov2_vits14", pretrained: bool = True, repository: str | Path = DINOV2):
        super().__init__()
        source = "local" if Path(repository).is_dir() else "github"
        try:
            model = torch.hub.load(str(repository), name, source=source, verbose=False, pretrained=pretrained)
        except Exception as error:  # no network, no such model, a spoilt download: each has its own kind
            raise ValueError(
                f"{name} cannot be had from {repository} by way of {torch.hub.get_dir()} ({type(error).__name__}: "
                f"{error}): try again with a network, or name a copy of the repository on disk."
            ) from error
        self.name, self.channels, self.patch = name, model.embed_dim, model.patch_size
        self.model = model.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "DINOv2":
        """The transformer stays as in evaluation."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) to features (N, channels, h, w), without a gradient."""
        size = [max(1, round(side / self.patch)) * self.patch for side in images.shape[-2:]]
        with torch.no_grad():
            images = interpolate(images, size, mode="bilinear", antialias=True)
            return self.model.get_intermediate_layers(images, n=1, reshape=True)[0]
