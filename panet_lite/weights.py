"""Weights of backbones: torchvision's, checked by its hash, and those of a file (paper Sec. 4.1; chapter 2)."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from . import datasets

LAYERS = ("backbone.", "trunk.")  # names that wrap a backbone's own in a checkpoint
HEAD = ("avgpool", "classifier", "fc")  # what torchvision's networks name classes with; no part of a backbone
COUNTER = "num_batches_tracked"  # of BatchNorm; old files of torchvision's have none, and nobody asks for it


def imagenet_state(name: str = "vgg16") -> dict[str, Tensor]:
    """torchvision's ImageNet weights of a network, without its classifier.

    They are the first that torchvision lists (mostly IMAGENET1K_V1), downloaded once and compared with
    their published hash then. Errors: ValueError where the download fails, or an earlier one was cut short.
    """
    from torchvision.models import get_model_weights

    weights = next(iter(get_model_weights(name)))
    try:
        return without_head(weights.get_state_dict(progress=True, check_hash=True))
    except Exception as error:  # no network, no space, a spoilt file: each has its own kind
        raise ValueError(
            f"The ImageNet weights cannot be had from {weights.url} by way of {torch.hub.get_dir()}/checkpoints "
            f"({type(error).__name__}: {error}): delete what is there and try again with a network."
        ) from error


def without_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a torchvision network but those that name classes."""
    return {key: value for key, value in state.items() if not key.startswith(HEAD)}


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a torch file that holds tensors only.

    Errors: FileNotFoundError where there is no file, ValueError where it is truncated, no
    checkpoint, or a pickle with code in it, which is never run.
    """
    path, own = Path(path), datasets.DATA / "checkpoints"
    if not path.is_file():
        other = f": train one with `python -m panet_lite train`, or take one of those in {own}."
        remedy = f". {datasets.REMEDY}" if path.parent == own else other
        raise FileNotFoundError(f"There is no checkpoint at {path}{remedy}")
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
    own, state = (
        {key: value for key, value in tensors.items() if not key.endswith(COUNTER)}
        for tensors in (backbone.state_dict(), state)
    )
    for prefix in LAYERS:
        state = {key.removeprefix(prefix): value for key, value in state.items()}
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
