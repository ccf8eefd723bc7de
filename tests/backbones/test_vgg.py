"""VGG-16 as the paper uses it, its narrow twin, and what happens to checkpoints good and bad."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models import vgg16 as torchvision_vgg16

from panet_lite.backbones import VGG16, imagenet_state, read_weights, vgg16

NARROW = 1 / 16


def count(module):
    return sum(p.numel() for p in module.parameters())


# --- architecture ------------------------------------------------------------------------------------


def test_parameter_counts():
    with torch.device("meta"):
        assert count(VGG16()) == 14_714_688
        assert count(VGG16(0.25)) == 920_784
    assert VGG16(0.25).channels == 128


@pytest.mark.parametrize("side, feature_side", [(417, 53), (241, 31), (192, 24), (97, 13), (65, 9)])
def test_output_stride_is_8(side, feature_side):
    with torch.no_grad():
        features = VGG16(NARROW)(torch.zeros(1, 3, side, side))
    assert features.shape == (1, 32, feature_side, feature_side)


def test_layers_are_the_papers():
    """Kernel-3 pools of strides 2, 2, 2, 1; conv5 dilated by 2; no ReLU at the end; nothing else."""
    layers = list(VGG16(NARROW).features)
    convolutions = [x for x in layers if isinstance(x, nn.Conv2d)]
    pools = [x for x in layers if isinstance(x, nn.MaxPool2d)]
    assert len(convolutions) == 13 and len(layers) == 13 + 12 + 4
    assert [x.dilation for x in convolutions] == [(1, 1)] * 10 + [(2, 2)] * 3
    assert [x.padding for x in convolutions] == [(1, 1)] * 10 + [(2, 2)] * 3
    assert [(p.kernel_size, p.stride, p.padding) for p in pools] == [(3, s, 1) for s in (2, 2, 2, 1)]
    assert layers[-1] is convolutions[-1]
    torch.manual_seed(0)
    features = VGG16(NARROW)(torch.randn(1, 3, 33, 33))
    assert (features < 0).float().mean() > 0.2  # signed


def test_preprocess_is_imagenets():
    images = torch.rand(2, 3, 4, 5)
    mean, std = VGG16_Weights.IMAGENET1K_V1.transforms().mean, VGG16_Weights.IMAGENET1K_V1.transforms().std
    for c in range(3):
        torch.testing.assert_close(VGG16(NARROW).preprocess(images)[:, c], (images[:, c] - mean[c]) / std[c])


def test_random_weights_come_from_the_global_seed():
    torch.manual_seed(5)
    a = vgg16(width=NARROW)
    torch.manual_seed(5)
    b = vgg16(width=NARROW)
    c = vgg16(width=NARROW)
    key = "features.0.weight"
    assert a.state_dict()[key].equal(b.state_dict()[key]) and not a.state_dict()[key].equal(
        c.state_dict()[key]
    )


def trained_twin():
    """A BatchNorm twin whose statistics and scales are anything but trivial."""
    torch.manual_seed(1)
    twin = VGG16(NARROW, batch_norm=True)
    for layer in twin.features:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.3)
            layer.running_mean.normal_(std=0.3)
            layer.running_var.uniform_(0.5, 2)
    return twin


def test_folded_is_the_same_function():
    twin = trained_twin()
    images = torch.randn(2, 3, 41, 37)
    twin.eval()
    with torch.no_grad():
        expected = twin(images)
    twin.train()
    plain = twin.folded()
    assert not any(isinstance(x, nn.BatchNorm2d) for x in plain.modules())
    assert count(plain) == count(VGG16(NARROW)) and list(plain.state_dict()) == list(
        VGG16(NARROW).state_dict()
    )
    with torch.no_grad():
        torch.testing.assert_close(plain(images), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(plain.train()(images), expected, rtol=1e-4, atol=1e-4)


# --- checkpoints -------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """A narrow backbone and its weights as safetensors, torch file and wrapped torch file."""
    torch.manual_seed(2)
    backbone = VGG16(NARROW)
    state = backbone.state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "weights.pth")
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in state.items()}}, tmp_path / "wrapped.pt")
    return backbone, tmp_path


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "wrapped.pt"])
@pytest.mark.parametrize("kind", [str, lambda p: p])
def test_a_path_is_loaded(saved, name, kind):
    backbone, folder = saved
    loaded = vgg16(kind(folder / name), NARROW)
    for key, value in backbone.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_float16_checkpoints_load_as_float32(tmp_path):
    backbone = VGG16(NARROW)
    save_file({k: v.half() for k, v in backbone.state_dict().items()}, tmp_path / "half.safetensors")
    loaded = vgg16(tmp_path / "half.safetensors", NARROW)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.state_dict(), backbone.state_dict(), rtol=1e-3, atol=1e-3)


def test_missing(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(FileNotFoundError, match=f"There is no checkpoint at {path}: train one with"):
        vgg16(path, NARROW)
    for name in ("model.safetensors", "README.md"):  # as a snapshot of Hugging Face's cache is
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"^{tmp_path} is a folder: name .* in it \\(model.safetensors\\).$"):
        vgg16(tmp_path, NARROW)
    for width in (0, -1, 1e9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="There is no VGG-16 of width"):
            vgg16(None, width)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_truncated(saved, name, share):
    path = saved[1] / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        ValueError, match=rf"The checkpoint {path} is truncated or .*Copy or download it again"
    ):
        vgg16(path, NARROW)


def test_other_width(saved):
    with pytest.raises(
        ValueError,
        match=r"weights.pth is of another architecture: features.0.weight is \(4, 3, 3, 3\), this backbone wants \(8,.*width",
    ):
        vgg16(saved[1] / "weights.pth", NARROW * 2)


def test_other_architecture(saved):
    backbone, folder = saved
    state = backbone.state_dict()
    few = {k: v for k, v in state.items() if k != "features.14.bias"}
    torch.save(few, folder / "few.pt")
    with pytest.raises(
        ValueError, match=r"few.pt is of another architecture: features.14.bias is missing. Build"
    ):
        vgg16(folder / "few.pt", NARROW)
    torch.save({**state, "features.99.weight": torch.zeros(2)}, folder / "more.pt")
    with pytest.raises(
        ValueError, match=r"more.pt is of another architecture: it also holds features.99.weight"
    ):
        vgg16(folder / "more.pt", NARROW)
    torch.save(trained_twin().state_dict(), folder / "bn.pt")
    with pytest.raises(ValueError, match=r"bn.pt is of another architecture"):
        vgg16(folder / "bn.pt", NARROW)
    with pytest.raises(ValueError, match=r"another architecture"):
        vgg16(folder / "weights.pth", NARROW, batch_norm=True)


@pytest.mark.parametrize(
    "content", [[1, 2], torch.zeros(3), {"epoch": 3, "state_dict": 4}, {"epoch": 3}, "text"]
)
def test_a_torch_file_of_other_things(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"The checkpoint .*other.pt (is|holds) .*Copy or download it again"):
        vgg16(tmp_path / "other.pt", NARROW)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["trap.pth", "trap.pkl", "trap.safetensors", "plain.pth"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, name):
    sprung = tmp_path / "sprung"
    path = tmp_path / name
    if name == "trap.pth":
        torch.save({"features.0.weight": Trap(sprung)}, path)
    else:
        path.write_bytes(pickle.dumps({"features.0.weight": Trap(sprung)}, protocol=2))
    with pytest.raises(ValueError, match=f"The checkpoint {path} is "):
        read_weights(path)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # the trap works


# --- ImageNet weights through torchvision's loader ---------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torchvision's cache, elsewhere; a download is an error."""

    def no_network(url, *args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints" / VGG16_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]


def test_imagenet_weights_come_from_torchvisions_loader(hub):
    """Kernel-2 weights load into the kernel-3 network, name by name, the classifier left behind."""
    with torch.device("meta"):
        names = torchvision_vgg16().features.state_dict()
    g = torch.Generator().manual_seed(0)
    state = {f"features.{k}": torch.randn(v.shape, generator=g) for k, v in names.items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, hub)
    loaded = vgg16("imagenet").state_dict()
    assert loaded.keys() == state.keys() and len(loaded) == 26
    assert all(torch.equal(loaded[k], state[k]) for k in state)


def test_no_network_is_one_sentence(hub):
    with pytest.raises(
        ValueError, match=rf"ImageNet weights cannot be had.*{hub.parent}.*unreachable.*try again"
    ):
        imagenet_state()


def test_a_download_that_was_cut_short_is_one_sentence(hub):
    """torchvision checks the hash when it downloads, never again."""
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, hub)
    hub.write_bytes(hub.read_bytes()[:500])
    with pytest.raises(
        ValueError, match=rf"ImageNet weights cannot be had.*{hub.parent}.*delete what is there"
    ):
        vgg16("imagenet")


def test_imagenet_weights_are_for_the_papers_width_only():
    for how in ({"width": 0.25}, {"batch_norm": True}):
        with pytest.raises(ValueError, match="ImageNet weights exist for width=1.0 without batch_norm only"):
            vgg16("imagenet", **how)


# --- files of others ---------------------------------------------------------------------------------


def numbered(key):
    """torchvision's features.28 is the authors' features.8.4: blocks and pools counted, then layers."""
    at, first = int(key.split(".")[1]), (0, 5, 10, 17, 24)
    block = max(i for i, start in enumerate(first) if start <= at)
    return key.replace(f"features.{at}", f"features.{2 * block}.{at - first[block]}")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "wrapped",
    ["{}", "module.{}", "backbone.{}", "_orig_mod.{}", "module.encoder.{}", "module.encoder.backbone.{}"],
)
@pytest.mark.parametrize("theirs", [False, True], ids=["torchvision", "authors"])
def test_files_of_others_load(tmp_path, theirs, wrapped, suffix):
    """The names of torchvision, with its classifier, and of the authors' code, as a parallel model saves them."""
    torch.manual_seed(0)
    state = VGG16(NARROW).state_dict()
    assert (
        numbered("features.28.bias") == "features.8.4.bias"
        and numbered("features.5.bias") == "features.2.0.bias"
    )
    file = {wrapped.format(numbered(key) if theirs else key): value for key, value in state.items()}
    file = dict(reversed(file.items()))  # the order in the file says nothing
    file[wrapped.format("classifier.0.weight")] = torch.zeros(2, 2)
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(file, path)
    loaded = vgg16(path, NARROW).state_dict()
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[key], state[key]) for key in state)


def test_a_deeper_network_is_refused(tmp_path):
    file = {numbered(key): value for key, value in VGG16(NARROW).state_dict().items()}
    torch.save({**file, "features.8.6.weight": torch.zeros(32, 32, 3, 3)}, tmp_path / "deep.pth")
    with pytest.raises(
        ValueError, match="deep.pth is of another architecture: it also holds features.8.6.weight"
    ):
        vgg16(tmp_path / "deep.pth", NARROW)
