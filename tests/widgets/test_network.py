"""The backbone in the page says what the package says: same pixels in, same features out, from a folder and without a network."""

import base64
import json

import numpy as np
import pytest
import torch
from mounting import HOST
from PIL import Image

from panet_lite.backbones import Lite0
from panet_lite.widgets.base import source
from panet_lite.widgets.network import apart, exported, script

RUN = """async ({ text, pictures, digest }) => {
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const { openNetwork, resized } = await import(url);
  const network = await openNetwork({ get: () => digest });
  const out = [];
  for (const { data, H, W, small } of pictures) {
    const pixels = Uint8ClampedArray.from(atob(data), (c) => c.charCodeAt(0));
    const shrunk = resized({ pixels, H, W }, ...small);
    const { features, h, w, channels } = await network.embed({ pixels, H, W });
    const bytes = (array) => btoa(Array.from(new Uint8Array(array.buffer), (b) => String.fromCharCode(b)).join(""));
    out.push({ features: bytes(features), shape: [channels, h, w], small: bytes(shrunk.pixels) });
  }
  network.close();
  return JSON.stringify(out);
}"""


def in_the_page(open_page, folder, backbone, pictures, sizes):
    """What the page makes of pictures (H, W, 4): their features, and the pictures at other sizes (height, width)."""
    (folder / "_static").mkdir()
    (folder / "_static" / "widgets.js").write_text(HOST.read_text(encoding="utf-8"))
    (folder / "_static" / "network.js").write_text(script(backbone))
    (folder / "page.html").write_text(
        '<!doctype html><title>x</title><script src="_static/widgets.js"></script>'
    )
    page = open_page((folder / "page.html").as_uri())
    worker = f"const WORKER = {json.dumps(source('embedding.js'))};\n"
    text = worker + source("page.js", "network.js") + "\nexport { openNetwork, resized };"
    given = [
        {"data": base64.b64encode(p.tobytes()).decode(), "H": p.shape[0], "W": p.shape[1], "small": size}
        for p, size in zip(pictures, sizes)
    ]
    answers = json.loads(
        page.evaluate(RUN, {"text": text, "pictures": given, "digest": exported(backbone)["digest"]})
    )
    assert page.troubles == []
    features = [
        np.frombuffer(base64.b64decode(a["features"]), np.float32).reshape(a["shape"]) for a in answers
    ]
    small = [
        np.frombuffer(base64.b64decode(a["small"]), np.uint8).reshape(*s, 4) for a, s in zip(answers, sizes)
    ]
    return features, small


def test_features_and_sizes_are_the_packages(open_page, model, data, tmp_path):
    """A scene, noise and odd sides; enlarged, shrunk a little and much, along one side."""
    rng = np.random.default_rng(0)
    scene = data.image(3).permute(1, 2, 0).numpy()
    sides = (61, 47), (1, 9), (96, 160)
    pictures = [scene, *(rng.integers(0, 256, (*side, 3), np.uint8) for side in sides)]
    pictures = [np.concatenate([p, np.full_like(p[..., :1], 255)], -1) for p in pictures]
    sizes = [(97, 64), (61, 20), (5, 9), (200, 333)]
    features, small = in_the_page(open_page, tmp_path, model.backbone, pictures, sizes)
    for picture, size, found, shrunk in zip(pictures, sizes, features, small):
        image = torch.from_numpy(picture[..., :3].copy()).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            wanted = model.embed(image)[0].numpy()
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
        resized = Image.fromarray(picture[..., :3]).resize(size[::-1], Image.Resampling.BILINEAR)
        assert np.array_equal(shrunk[..., :3], np.asarray(resized))


@pytest.mark.parametrize("stage", [1, 3, 7])
def test_any_stage_can_be_exported(open_page, tmp_path, stage):
    torch.manual_seed(stage)
    backbone = Lite0(stage).eval()
    with torch.no_grad():
        for name, value in backbone.state_dict().items():  # as float16 keeps them
            value.copy_(value.half().float() if name.endswith("weight") else torch.rand_like(value) + 0.5)
    picture = np.random.default_rng(0).integers(0, 256, (40, 56, 4), np.uint8)
    (found,), _ = in_the_page(open_page, tmp_path, backbone, [picture], [(40, 56)])
    image = torch.from_numpy(picture[..., :3].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        wanted = backbone(backbone.preprocess(image))[0].numpy()
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_what_is_exported_is_the_network(model):
    found = exported(model.backbone)
    layers = [layer for block in found["blocks"] for layer in block["layers"]]
    filters = sum(p.numel() for n, p in model.backbone.named_parameters() if n.endswith("weight"))
    assert found["filters"]["shape"] == [filters] and found["filters"]["dtype"] == "float16"
    assert found["gains"]["shape"] == found["shifts"]["shape"] == [sum(layer["out"] for layer in layers)]
    assert len(script(model.backbone)) < 2_300_000  # what a reader's click costs


def test_bytes_are_taken_out_and_named():
    buffers = []
    assert apart({"a": [b"x", 1], "b": {"c": b"y"}, "d": "z"}, buffers) == {
        "a": [{"buffer": 0}, 1], "b": {"c": {"buffer": 1}}, "d": "z",
    }  # fmt: skip
    assert buffers == [b"x", b"y"]
