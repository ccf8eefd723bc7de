"""Other backbones than the paper's: any network of timm, cut behind any of its stages (chapter 11)."""

import contextlib
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .seen import trained_on
from .vgg import Backbone
from .weights import load_weights, read_weights

STRIDE = 8  # of the features, as of the paper's VGG-16 (Sec. 3.2), where a network can
ACTIVATIONS = ("torch.nn.modules.activation", "timm.layers.activations")  # where such modules are defined
ELSEWHERE = (
    ", try again with a network, or name a file of its weights by --weights (of https://huggingface.co/timm)"
)
OURS = "model."  # how a checkpoint of ours begins its names; a file of timm's has none of it


def check_name(name: str) -> None:
    """A ValueError names those of timm's networks that are called almost so, where there is none of this name."""
    import timm  # here, as it takes seconds that the paper's network need not wait for

    architecture = name.partition(".")[0]  # behind the dot stands which weights: resnet50.a1_in1k
    if not timm.is_model(architecture):
        every, words = ["vgg16", *timm.list_models()], {"dinov2", "dinov3"} & set(architecture.split("_"))
        alike = [model for model in every if words & set(model.split("_"))]  # torch.hub's dinov2_vits14
        near = get_close_matches(architecture, alike, 3, 0) or get_close_matches(architecture, every, 3, 0.5)
        hint = f"near are {', '.join(near)}" if near else "choose vgg16 or one of `timm.list_models()`"
        raise ValueError(f"There is no backbone {name!r}: {hint}.")


def network(name: str, layer: int, pretrained: bool = False) -> nn.Module:
    """timm's network up to a stage: convolutions at stride 8, a transformer for images of any size.

    What has neither option comes as it is. Errors: ValueError for a stage or weights that do not exist.
    """
    import timm
    from timm.models._features import FeatureGetterNet

    def normed(model: nn.Module, out_indices: tuple[int, ...], **_: object) -> nn.Module:
        return FeatureGetterNet(model, out_indices, norm=True)  # the last LayerNorm belongs to the features

    options: list[dict[str, Any]] = [
        {"output_stride": STRIDE, "feature_cls": "getter"},
        {"output_stride": STRIDE} if layer == -1 else {},  # MobileNets can only as a whole
        {"dynamic_img_size": True, "feature_cls": normed},
        {"feature_cls": "getter"},
        {"feature_cls": "list"},  # older versions of timm, for some networks
    ]
    for option in filter(None, options):
        try:
            model = timm.create_model(
                name, features_only=True, out_indices=(layer,), pretrained=pretrained, **option
            )
            if hasattr(model, "model") and not hasattr(model.model, "forward_intermediates"):
                raise NotImplementedError("this version of timm has no other way to its features")
            return model
        except (TypeError, AssertionError, NotImplementedError) as error:  # it has no such option
            reason: Exception = error
        except Exception as error:  # no network, no such weights, a spoilt file: each has its own kind
            reason = error
            break
    raise ValueError(
        f"{name} cannot be made ({type(reason).__name__}: {reason}): choose another stage than {layer}"
        f"{ELSEWHERE if pretrained else ''}."
    ) from reason


def load_file(backbone: "Timm", path: str | Path) -> None:
    """Copy a file's tensors into a backbone: a checkpoint of ours, or up to its stage a network of timm's or of those
    authors that timm can read. Errors: ValueError where the file is of another network.
    """
    import timm

    state, who = read_weights(path), f"The checkpoint {path}"
    if any(key.startswith(OURS) for key in state):
        return load_weights(backbone, state, who)
    inner = getattr(backbone.model, "model", backbone.model)
    with torch.device("meta"):
        whole = timm.create_model(backbone.name)
    with contextlib.suppress(Exception):  # it has no names of its authors', or the file is another network's
        state = sys.modules[type(whole).__module__].checkpoint_filter_fn(dict(state), whole)
    beyond = whole.state_dict().keys() - inner.state_dict().keys()
    load_weights(inner, {key: value for key, value in state.items() if key not in beyond}, who)


def make_signed(model: nn.Module, images: Tensor) -> Tensor:
    """Take off, in place, the activation that ends the network: features have signs (Sec. 3.2). Returns them.

    Only where the very last thing is an activation that is used nowhere else.
    """
    made: list[tuple[str, Tensor, Tensor]] = []
    hooks = [
        part.register_forward_hook(lambda _, __, out, name=name: made.append((name, out, out.clone())))
        for name, part in model.named_modules()
        if type(part).__module__ in ACTIVATIONS
    ]
    features: Tensor
    (features,) = model(images)
    for hook in hooks:
        hook.remove()
    ends = [name for name, out, then in made if out is features and torch.equal(then, features)]
    if ends and [name for name, *_ in made].count(ends[-1]) == 1:
        model.set_submodule(ends[-1], nn.Identity())
    return features


class Timm(Backbone):
    """A network of timm without its classifier and its last activation, cut behind the stage `layer`.

    Preprocessed images (N, 3, H, W) to signed features (N, channels, h, w) at `stride`: 8 where the network
    can, else its own. For a vision transformer, images are resized to the nearest multiples of its patch, not
    padded, so that features still cover them evenly: 417 x 417 becomes 420 x 420 for patches of 14, and gives
    30 x 30. BatchNorm is frozen: its running statistics, weight and bias stay as they are, in training too,
    as an episode's few images say little about them; so are dropped paths. All else is trained.

    weights: None (random), "pretrained", or the path of a checkpoint of ours or of timm's. layer: a number of
    the network's stages, -1 the last. Errors: ValueError for what timm cannot make, or not at any size.
    """

    def __init__(self, name: str, weights: str | Path | None = None, layer: int = -1):
        check_name(name)
        model: Any = network(name, layer, pretrained=weights == "pretrained")
        super().__init__(model.pretrained_cfg["mean"], model.pretrained_cfg["std"])
        self.name, self.model, (self.stride,) = name, model.eval(), model.feature_info.reduction()
        self.patch = self.stride if getattr(model, "norm", False) else 1
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.requires_grad_(False)
        try:
            with torch.no_grad():
                side = 4 * self.stride
                self.channels = make_signed(
                    model, torch.linspace(-2, 2, 3 * side**2).view(1, 3, side, side)
                ).shape[1]
        except (AssertionError, RuntimeError) as error:
            raise ValueError(f"{name} takes images of one size only ({error}): choose another.") from error
        if weights not in (None, "pretrained"):
            load_file(self, weights)
            self.trained_on = trained_on(weights)

    def train(self, mode: bool = True) -> "Timm":
        """The network itself stays as in evaluation: its BatchNorm is frozen."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) to features (N, channels, h, w)."""
        size = [max(1, round(side / self.patch)) * self.patch for side in images.shape[-2:]]
        if size != list(images.shape[-2:]):
            images = interpolate(images, size, mode="bilinear", antialias=True)
        features: Tensor = self.model(images)[0]
        return features
