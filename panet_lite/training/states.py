"""What a training leaves on disk: its state, to go on from, and the checkpoint, for others (chapter 6)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.optim import Optimizer

from ..backbones import Backbone, read_weights
from ..backbones.weights import facts_of
from ..files import sealed, write_atomically


@dataclass(frozen=True)
class State:
    """All that a stopped run needs to go on as if it had not been stopped.

    step: steps done; as episodes are functions of their number, it is the sampler's position too.
    seconds: time spent on them. tensors: "model.*" weights and buffers, "momentum.*", "losses" (n, 2)
    since the last entry of the log, "rng" of torch. source: where it comes from, for what is said of it.
    """

    step: int
    seconds: float
    tensors: dict[str, Tensor]
    source: str = "The state"


def snapshot(
    step: int, seconds: float, losses: list[Tensor], model: nn.Module, optimizer: Optimizer, rng: Tensor
) -> State:
    """The state after a step, copied to the CPU."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, weight in model.named_parameters():
        momentum = optimizer.state[weight].get("momentum_buffer")
        if weight.requires_grad:  # one that no loss has reached yet has none, which is as good as 0
            tensors[f"momentum.{name}"] = torch.zeros_like(weight) if momentum is None else momentum
    tensors |= {"losses": torch.stack(losses) if losses else torch.empty(0, 2), "rng": rng}
    plain = {"device": "cpu", "copy": True, "memory_format": torch.contiguous_format}
    return State(step, seconds, {name: value.detach().to(**plain) for name, value in tensors.items()})


def restore(state: State, model: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """Put everything back where `snapshot` took it from; returns the losses not logged yet.

    Errors: ValueError where a tensor is missing, or is of another kind than the model's.
    """
    tensors = state.tensors
    try:
        for name, own in snapshot(0, 0, [], model, optimizer, torch.get_rng_state()).tensors.items():
            found, first = tensors.get(name), int(name == "losses")  # of those there may be any number
            if (
                found is None
                or found.shape[first:] != own.shape[first:]
                or (found.dtype != own.dtype and not (first and found.is_floating_point()))
            ):
                raise RuntimeError(f"{name} is missing, or of another shape or kind than the network's")
        torch.set_rng_state(tensors["rng"])
    except RuntimeError as error:
        raise ValueError(
            f"{state.source} is not of this network, or damaged ({error}): train into another folder."
        ) from error
    model.load_state_dict({name: tensors[f"model.{name}"] for name in model.state_dict()})
    for name, weight in model.named_parameters():
        if f"momentum.{name}" in tensors:
            momentum = torch.empty_like(weight).copy_(tensors[f"momentum.{name}"])
            optimizer.state[weight]["momentum_buffer"] = momentum
    return list(tensors["losses"].to(next(model.parameters()).device))


def save_checkpoint(path: str | Path, backbone: Backbone, about: dict[str, object]) -> None:
    """Write the weights as float16 safetensors, atomically; `about` travels in the file's header."""
    halved = dict(backbone.named_parameters())  # statistics of BatchNorm may pass float16's range
    state = {
        name: (value.half() if name in halved else value).detach().cpu().contiguous()
        for name, value in backbone.state_dict().items()
    }
    about = {"backbone": backbone.name, "width": backbone.width, **about}
    texts = {key: json.dumps(value) for key, value in about.items()}
    write_atomically(path, lambda temporary: temporary.write_bytes(to_bytes(state, metadata=texts)))


def checksum(facts: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """A digest of all that a state's file says."""
    parts = {f"{n} {t.dtype} {t.shape}": t.reshape(-1).view(torch.uint8).numpy() for n, t in tensors.items()}
    return sealed(json.dumps([facts[key] for key in ("step", "seconds", "settings")], sort_keys=True), parts)


def save_state(path: str | Path, state: State, settings: dict[str, object]) -> None:
    """Write a state as float32 safetensors, atomically, with what `load_state` compares in the header."""
    facts: dict[str, Any] = {"step": state.step, "seconds": state.seconds, "settings": settings}
    facts["checksum"] = checksum(facts, state.tensors)
    texts = {key: json.dumps(value) for key, value in facts.items()}
    write_atomically(path, lambda temporary: temporary.write_bytes(to_bytes(state.tensors, metadata=texts)))


def load_state(path: str | Path, settings: dict[str, object]) -> State:
    """Read a state. Errors: ValueError where it is damaged, or names the first of the settings that it was
    not made with."""
    tensors, facts = read_weights(path), facts_of(path)
    if not isinstance(then := facts.get("settings"), dict):
        raise ValueError(f"{path} is not the state of a training: train into another folder.")
    for key, now in json.loads(json.dumps(settings)).items():  # tuples become lists, as in the file
        if then.get(key) != now:
            raise ValueError(
                f"The run in {Path(path).parent} was started with {key} {then.get(key)}, not {now}: resume it with "
                "the options it was started with, or train into another folder."
            )
    facts = {"step": None, "seconds": None, "checksum": None, **facts}
    whole = facts["checksum"] in (None, checksum(facts, tensors))  # earlier versions wrote none
    if not whole or type(facts["step"]) is not int or not isinstance(facts["seconds"], (int, float)):
        raise ValueError(f"{path} is damaged, its parts do not belong together: train into another folder.")
    return State(facts["step"], facts["seconds"], tensors, str(path))
