"""The book's network for the page: its layers and weights, as network.js takes them (chapters 2, 9; "Your own pictures")."""

import base64
import gzip
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..backbones import Lite0
from ..backbones.lite0 import Block, Convolution
from .scenes import packed

VENDOR = Path(__file__).parent / "vendor"


def described(layer: Convolution, active: bool) -> dict[str, Any]:
    """A convolution in numbers; `active`: a ReLU6 follows."""
    (kernel, _), (stride, _), (dilation, _) = layer.kernel_size, layer.stride, layer.dilation
    sizes = {"kernel": kernel, "stride": stride, "dilation": dilation, "inside": layer.in_channels}
    return {**sizes, "out": layer.out_channels, "depthwise": layer.groups > 1, "active": active}


def exported(backbone: Lite0) -> dict[str, Any]:
    """The network as a dictionary of numbers, texts and packed arrays.

    blocks: of each, whether its input is added, and its convolutions. filters: float16, as checkpoints keep them, each
    in the order (kernel, kernel, in, out); gains, shifts: float32, what each filter's result is multiplied by and
    raised by. digest: what tells this network from others.
    """
    blocks, filters, gains, shifts = [], [], [], []
    for block in (m for m in backbone.features if isinstance(m, (Convolution, Block))):
        layers = list(block.layers) if isinstance(block, Block) else [block, torch.nn.ReLU6()]
        convolutions = [(m, n) for m, n in zip(layers, [*layers[1:], None]) if isinstance(m, Convolution)]
        blocks.append(
            {
                "adds": isinstance(block, Block) and block.adds,
                "layers": [described(layer, after is not None) for layer, after in convolutions],
            }
        )
        for layer, _ in convolutions:
            order = (2, 3, 0, 1) if layer.groups > 1 else (2, 3, 1, 0)
            filters.append(layer.weight.detach().permute(order).flatten())
            gains.append(layer.scale.flatten())
            shifts.append(layer.bias.detach())  # type: ignore[union-attr]  # there is one
    arrays = {"filters": torch.cat(filters).half(), "gains": torch.cat(gains), "shifts": torch.cat(shifts)}
    packs = {name: packed(array.cpu()) for name, array in arrays.items()}
    digest = hashlib.sha256(b"".join(pack["data"] for pack in packs.values())).hexdigest()[:16]
    return {
        "digest": digest, "channels": backbone.channels, "blocks": blocks,
        "mean": backbone.mean.flatten().tolist(), "std": backbone.std.flatten().tolist(), **packs,
    }  # fmt: skip


@cache
def machinery() -> dict[str, Any]:
    """TensorFlow.js, which computes the network in the page: {code, wasm}."""
    wasm = np.frombuffer((VENDOR / "tfjs-backend-wasm-simd.wasm").read_bytes(), np.uint8)
    return {"code": (VENDOR / "tfjs.js").read_text(encoding="utf-8"), "wasm": packed(wasm)}


def apart(value: Any, buffers: list[bytes]) -> Any:
    """A copy of nested dictionaries and lists in which {"buffer": i} stands for bytes, which `buffers` gets."""
    if isinstance(value, dict):
        return {key: apart(one, buffers) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [apart(one, buffers) for one in value]
    if isinstance(value, bytes):
        buffers.append(value)
        return {"buffer": len(buffers) - 1}
    return value


def script(backbone: Lite0) -> str:
    """A script for a page's folder, which brings all of it: bytes gzipped, as base64."""
    buffers: list[bytes] = []
    content = apart({"machinery": machinery(), "network": exported(backbone)}, buffers)
    texts = [base64.b64encode(gzip.compress(one, 9, mtime=0)).decode() for one in buffers]
    return f"globalThis.panetNetwork = {json.dumps({'content': content, 'buffers': texts})};\n"
