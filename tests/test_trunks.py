"""torchvision's networks at output stride 8, the frozen transformer, and `backbone`, which makes them by name."""

import functools
import io
import json
from email.message import Message
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.functional import avg_pool2d, interpolate
from torchvision.models import get_model, get_model_weights

from panet_lite import PANet
from panet_lite.__main__ import main
from panet_lite.backbones import VGG16, backbone
from panet_lite.episodes import EpisodeSampler
from panet_lite.training import Recipe, save_checkpoint, train
from panet_lite.trunks import FAMILIES, DINOv2, Trunk, cut, dilate, trunks

SMALLEST = (
    "convnext_tiny", "efficientnet_b0", "efficientnet_v2_s", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_large",
    "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet34", "resnet50", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_0", "squeezenet1_1", "vgg11", "vgg13_bn", "wide_resnet50_2",
)  # fmt: skip


def unsettle(model):
    """Weights and statistics that are anything but trivial, so that a wrong one would show."""
    g = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5, generator=g)
            layer.bias.data.normal_(std=0.1, generator=g)
            layer.running_mean.normal_(std=0.1, generator=g)
            layer.running_var.uniform_(0.5, 1.5, generator=g)
    return model.eval()


@pytest.fixture(scope="module")
def trunk():
    """`trunk("resnet18")`, made once; a test that changes a trunk makes its own."""

    @functools.cache
    def make(name):
        torch.manual_seed(0)
        return unsettle(Trunk(name))

    return make


# --- output stride 8 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALLEST)
def test_each_family_has_stride_8_and_signed_features(trunk, name):
    """Much of what comes before a last ReLU is negative, nothing of what comes behind it."""
    torch.manual_seed(0)
    with torch.no_grad():
        features = trunk(name)(torch.randn(1, 3, 129, 97))
    assert features.shape[1] == trunk(name).channels
    assert features.shape[2] in (15, 16, 17) and features.shape[3] in (11, 12, 13)
    assert 0.1 < (features < 0).float().mean() < 0.9


def test_one_of_each_family_is_tested():
    """And families are names of torchvision's: a misspelt one would silently offer less."""
    listed = torchvision.models.list_models(torchvision.models)
    for family in FAMILIES:
        assert any(name.startswith(family) for name in SMALLEST if name in listed), family
    assert len(trunks()) > 45 and set(SMALLEST) <= set(trunks()) <= set(listed)
    assert not {"vit_b_16", "densenet121", "googlenet"} & set(trunks())


@pytest.mark.parametrize("side, feature_side", [(417, 52), (241, 30), (97, 12), (65, 8)])
def test_sizes_of_squeezenet_by_hand(trunk, side, feature_side):
    """Nothing is padded but the last pool: 417 -> conv 208 -> pool 104 -> pool 52 (both ceiled) -> 52."""
    with torch.no_grad():
        features = trunk("squeezenet1_1")(torch.zeros(1, 3, side, side))
    assert features.shape == (1, 512, feature_side, feature_side)


@pytest.mark.parametrize("side, feature_side", [(417, 53), (241, 31), (97, 13), (65, 9)])
@pytest.mark.parametrize("name, channels", [("resnet18", 512), ("mobilenet_v3_small", 576)])
def test_sizes_of_what_is_padded_by_hand(trunk, name, channels, side, feature_side):
    """Each of the three strides halves, rounding up: 417 -> 209 -> 105 -> 53, and then no more."""
    with torch.no_grad():
        features = trunk(name)(torch.zeros(1, 3, side, side))
    assert features.shape == (1, channels, feature_side, feature_side)


def shapes(trunk):
    """(stride, dilation) of the layers with a kernel of more than a pixel, in order; shortcuts apart."""
    return [
        (layer.stride[0], layer.dilation[0]) for layer in trunk.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size[0] > 1
    ]  # fmt: skip


def test_strides_and_dilations_of_resnet18_by_hand(trunk):
    """Layers 3 and 4 keep their input's size. The first convolution of each is fed at the stride before it."""
    layers = trunk("resnet18").trunk
    assert shapes(layers.layer1) == [(1, 1)] * 4 and shapes(layers.layer2) == [(2, 1), (1, 1), (1, 1), (1, 1)]
    assert shapes(layers.layer3) == [(1, 1), (1, 2), (1, 2), (1, 2)]
    assert shapes(layers.layer4) == [(1, 2), (1, 4), (1, 4), (1, 4)]
    for layer in (layers.layer3, layers.layer4):
        shortcut = getattr(layer, "0").downsample
        assert getattr(shortcut, "0").stride == (1, 1)


def test_strides_and_dilations_of_squeezenet_by_hand(trunk):
    layers = trunk("squeezenet1_1").trunk.features
    pools = [(p.kernel_size, p.stride, p.padding) for p in layers.modules() if isinstance(p, nn.MaxPool2d)]
    assert pools == [(3, 2, 0), (3, 2, 0), (3, 1, 1)]
    assert shapes(layers) == [(2, 1)] + [(1, 1)] * 4 + [(1, 2)] * 4


def test_mobilenet_v3_is_dilated_by_torchvision_as_far_as_it_goes(trunk):
    """torchvision dilates C4 by 2, first layer included; at stride 8 rather than 16 that becomes 4."""
    assert shapes(trunk("mobilenet_v3_large").trunk.features)[-3:] == [(1, 4)] * 3
    assert shapes(get_model("mobilenet_v3_large", dilated=True).features)[-3:] == [(1, 2)] * 3


def traced(model):
    """The graph of a network without its classifier, with the shapes that `cut` looks at."""
    for name in {"avgpool", "classifier", "fc"} & dict(model.named_children()).keys():
        setattr(model, name, nn.Identity())
    graph = fx.symbolic_trace(model.eval())
    ShapeProp(graph).propagate(torch.zeros(1, 3, 256, 256))
    return graph


# A dilated network computes what the strided one does, at 16 times as many places; at the same places, the
# same. (Not so with squeeze and excitation, whose mean is over all places.)
@pytest.mark.parametrize(
    "name, first, every",
    [("resnet18", 0, 4), ("resnet50", 0, 4), ("mobilenet_v2", 0, 4), ("regnet_x_400mf", 0, 4), ("mnasnet1_0", 0, 4),
     ("shufflenet_v2_x0_5", 0, 4), ("squeezenet1_1", 1, 2)],
)  # fmt: skip
def test_the_strided_network_is_every_nth_feature(trunk, name, first, every):
    strided = get_model(name)
    strided.load_state_dict(trunk(name).trunk.state_dict(), strict=False)
    strided, images = (
        cut(traced(strided)),
        torch.randn(2, 3, 97, 97, generator=torch.Generator().manual_seed(0)),
    )
    with torch.no_grad():
        expected, features = strided(images), trunk(name)(images)
    assert features.shape[-1] == (13 if first == 0 else 12)
    found = features[:, :, first::every, first::every]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("ours", [True, False], ids=["our rule", "the trunk"])
def test_resnet50_is_torchvisions_dilated_one(trunk, ours):
    """By our rule alone, and as the trunk is made: the features that torchvision's own option gives."""
    theirs = get_model("resnet50", replace_stride_with_dilation=(False, True, True))
    theirs.load_state_dict(trunk("resnet50").trunk.state_dict(), strict=False)
    theirs.avgpool = theirs.fc = nn.Identity()  # it ends flat: (N, C * h * w)
    graph = trunk("resnet50").trunk
    if ours:
        plain = get_model("resnet50")
        plain.load_state_dict(graph.state_dict(), strict=False)
        dilate(graph := traced(plain))
        assert shapes(graph) == shapes(theirs)
        graph = cut(graph)
    images = torch.randn(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, features = theirs.eval()(images), graph(images)
    assert (features < 0).any()
    tolerance = 1e-5 * expected.max().item()
    torch.testing.assert_close(features.relu().flatten(1), expected, rtol=1e-4, atol=tolerance)


def test_squeezenets_last_relus_are_gone_and_nothing_else(trunk):
    """The last Fire joins two branches, each with a ReLU of its own."""
    model, mine = get_model("squeezenet1_1"), trunk("squeezenet1_1")
    model.load_state_dict(mine.trunk.state_dict(), strict=False)
    dilate(whole := traced(model))
    model = fx.GraphModule(whole, whole.graph).features
    images = torch.randn(1, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = mine(images)
        for layer in model.children():
            images = layer(images) if not hasattr(layer, "squeeze") else fire(layer, images)
    torch.testing.assert_close(features.relu(), images)
    assert (features[:, :256] < 0).any() and (features[:, 256:] < 0).any()


def fire(layer, x):
    """SqueezeNet's module, as its paper says."""
    x = layer.squeeze(x).relu()
    return torch.cat([layer.expand1x1(x), layer.expand3x3(x)], 1).relu()


def test_preprocess_is_that_of_the_weights(trunk):
    images = torch.rand(1, 3, 4, 5)
    for name in ("resnet18", "convnext_tiny"):
        transforms = get_model_weights(name).DEFAULT.transforms()
        for c in range(3):
            expected = (images[:, c] - transforms.mean[c]) / transforms.std[c]
            torch.testing.assert_close(trunk(name).preprocess(images)[:, c], expected)
    assert get_model_weights("efficientnet_v2_l").IMAGENET1K_V1.transforms().mean == [0.5, 0.5, 0.5]
    half = Trunk.__new__(Trunk)
    super(Trunk, half).__init__([0.5] * 3, [0.5] * 3)
    torch.testing.assert_close(half.preprocess(images), 2 * images - 1)


# --- frozen BatchNorm --------------------------------------------------------------------------------


def test_batch_norm_is_frozen_in_training_and_the_rest_learns(tiny):
    """Statistics, weight and bias stay to the bit; features in training are those of evaluation."""
    torch.manual_seed(0)
    model = PANet(unsettle(backbone("resnet18")))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sampler = EpisodeSampler(tiny("train"), range(6, 21))
    with torch.no_grad():
        expected = model(sampler.episode(0)).logits
        torch.testing.assert_close(model.train()(sampler.episode(0)).logits, expected)
    train(model, sampler, Recipe(iterations=3, learning_rate=1e-2), log=lambda _: None)
    norms = {n for n, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    for name, value in model.state_dict().items():
        frozen = name.rpartition(".")[0] in norms
        assert torch.equal(value, before[name]) == frozen, name
    assert len(norms) == 20


def test_dropped_paths_and_dropout_stay_off(trunk):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 65, 65)
    for name in ("convnext_tiny", "efficientnet_b0", "mnasnet0_5"):
        with torch.no_grad():
            torch.testing.assert_close(trunk(name).train()(images), trunk(name).eval()(images))


# --- weights -----------------------------------------------------------------------------------------


def test_random_weights_come_from_the_global_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return backbone("squeezenet1_1").state_dict()

    a, b, c = weights(1), weights(1), weights(2)
    assert all(torch.equal(a[k], b[k]) for k in a) and not torch.equal(
        a["trunk.features.0.weight"], c["trunk.features.0.weight"]
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_with_torchvisions_names_is_loaded(tmp_path, trunk, suffix):
    """As torchvision would save it, with its classifier; or once saved it, without BatchNorm's counters."""
    torch.manual_seed(3)
    model = unsettle(get_model("resnet18"))
    path, state = tmp_path / f"weights{suffix}", model.state_dict()
    if suffix == ".pth":
        torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    else:
        save_file(state, path)
    loaded, own = backbone("resnet18", path).trunk.state_dict(), model.state_dict()
    assert set(own) - set(loaded) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(loaded[k], own[k]) for k in loaded)


def test_a_checkpoint_of_ours_gives_the_same_features(tmp_path):
    torch.manual_seed(4)
    mine = unsettle(backbone("resnet18"))
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, mine, {"fold": 0})
    images = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        expected, found = mine(images), backbone("resnet18", path).eval()(images)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()  # weights are kept in float16


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(get_model("resnet34").state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(ValueError, match=r"resnet34.pth is of another architecture: it also holds layer1.2"):
        backbone("resnet18", tmp_path / "resnet34.pth")
    with pytest.raises(
        ValueError, match=r"resnet34.pth is of another architecture: features.0.weight is missing"
    ):
        backbone("squeezenet1_1", tmp_path / "resnet34.pth")
    with pytest.raises(
        ValueError, match=r"another architecture: layer1.0.conv1.weight is \(64, 64, 3, 3\), this"
    ):
        backbone("resnet50", tmp_path / "resnet34.pth")
    with pytest.raises(FileNotFoundError, match="There is no checkpoint at"):
        backbone("resnet18", tmp_path / "none.pth")


@pytest.mark.parametrize("name", ["imagenet_v1", "resnet_18", "vit_b_16", "densenet121", "dinov3", ""])
def test_a_name_that_is_no_backbone(name):
    with pytest.raises(
        ValueError, match=rf"no backbone '{name}': choose vgg16, dinov2_vits14 .*, resnet18, "
    ):
        backbone(name)


def test_only_vgg16_has_a_width():
    assert backbone("vgg16", width=1 / 16).channels == 32 and isinstance(backbone(width=1 / 16), VGG16)
    for name in ("resnet18", "dinov2_vits14"):
        with pytest.raises(ValueError, match=f"Only vgg16 has a width: leave it out for {name}"):
            backbone(name, width=0.25)


# --- torchvision's own weights -----------------------------------------------------------------------

URL = get_model_weights("resnet18").IMAGENET1K_V1.url


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub's folder, elsewhere and empty; there is no network."""

    def no_network(*args, **kwargs):
        raise URLError("Network is unreachable")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub"


@pytest.mark.parametrize("weights", ["imagenet", "pretrained"])
def test_imagenet_weights_come_from_torchvisions_loader(hub, weights):
    torch.manual_seed(5)
    model = unsettle(get_model("resnet18"))
    torch.save(model.state_dict(), hub / "checkpoints" / URL.rpartition("/")[2])
    loaded, own = backbone("resnet18", weights).trunk.state_dict(), model.state_dict()
    assert len(loaded) == 120 and all(torch.equal(loaded[k], own[k]) for k in loaded)


def test_no_network_is_one_sentence(hub):
    with pytest.raises(
        ValueError, match=rf"ImageNet weights cannot be had from {URL} .*unreachable.*try again"
    ):
        backbone("resnet18", "imagenet")
    assert list((hub / "checkpoints").iterdir()) == []


def test_a_download_with_another_hash_is_refused(hub, monkeypatch):
    """The real check of torch.hub, on a file that is a network's weights, but not those of the address."""
    file = io.BytesIO()
    torch.save(get_model("resnet18").state_dict(), file)

    def wrong(*args, **kwargs):
        reply = io.BytesIO(file.getvalue())
        reply.info = Message
        return reply

    monkeypatch.setattr(torch.hub, "urlopen", wrong)
    with pytest.raises(
        ValueError, match=r"ImageNet weights cannot be had .*invalid hash value \(expected \"f37072fd"
    ):
        backbone("resnet18", "imagenet")
    assert list((hub / "checkpoints").iterdir()) == []


# --- DINOv2 through torch.hub ------------------------------------------------------------------------

HUBCONF = '''
"""Stands in for DINOv2's repository: the same calls and shapes, a feature is its patch's mean colour."""
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

class Patches(nn.Module):
    embed_dim, patch_size = 3, 14

    def __init__(self, pretrained):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0 if pretrained else 1.0))
        self.drop = nn.Dropout()

    def get_intermediate_layers(self, x, n=1, reshape=False):
        assert n == 1 and reshape and x.shape[-2] % 14 == 0 and x.shape[-1] % 14 == 0
        return (self.drop(self.scale * avg_pool2d(x, 14)),)

def dinov2_vits14(*, pretrained=True):
    return Patches(pretrained)
'''


@pytest.fixture
def repository(tmp_path):
    """A copy on disk."""
    (tmp_path / "dinov2").mkdir()
    (tmp_path / "dinov2" / "hubconf.py").write_text(HUBCONF)
    return tmp_path / "dinov2"


@pytest.fixture
def fetched(hub):
    """What an earlier torch.hub.load has left in its folder."""
    (hub / "facebookresearch_dinov2_main").mkdir()
    (hub / "facebookresearch_dinov2_main" / "hubconf.py").write_text(HUBCONF)
    return hub


@pytest.mark.parametrize(
    "size, resized", [((417, 417), (420, 420)), ((241, 417), (238, 420)), ((14, 5), (14, 14))]
)
def test_features_of_dinov2_are_patches_of_the_resized_picture(repository, size, resized):
    model = DINOv2(repository=repository)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = 2 * avg_pool2d(interpolate(images, resized, mode="bilinear", antialias=True), 14)
    features = model(images)
    assert (
        features.shape
        == (2, 3, resized[0] // 14, resized[1] // 14)
        == (2, model.channels, *expected.shape[2:])
    )
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(model.preprocess(images), VGG16(1 / 16).preprocess(images))


def test_dinov2_segments_and_is_never_trained(fetched, tiny):
    model = PANet(backbone("dinov2_vits14", "pretrained"))
    episode = EpisodeSampler(tiny(), range(1, 6)).episode(0)
    expected = model.eval()(episode)
    assert expected.labels().shape == episode.query_labels.shape
    assert torch.equal(model.train()(episode).logits, expected.logits)  # its dropout stays off
    assert not any(weight.requires_grad for weight in model.parameters())
    assert not expected.features.query.requires_grad and model.backbone.name == "dinov2_vits14"


def test_dinov2_weights(fetched):
    assert (
        backbone("dinov2_vits14", "pretrained").model.scale == 2
        and backbone("dinov2_vits14").model.scale == 1
    )
    for weights in ("imagenet", "some.pth"):
        with pytest.raises(
            ValueError, match="dinov2_vits14 is frozen as its authors trained it: .* 'pretrained'"
        ):
            backbone("dinov2_vits14", weights)


def test_dinov2_without_a_network_is_one_sentence(hub):
    with pytest.raises(
        ValueError,
        match=rf"dinov2_vits14 cannot be had from facebookresearch/dinov2 by way of {hub} .*try again with a",
    ) as error:
        backbone("dinov2_vits14", "pretrained")
    assert "\n" not in str(error.value)


def test_a_transformer_that_the_repository_lacks_is_one_sentence(repository):
    with pytest.raises(ValueError, match=rf"dinov2_vith99 cannot be had from {repository} .*dinov2_vith99"):
        DINOv2("dinov2_vith99", repository=repository)


# --- the command line --------------------------------------------------------------------------------


@pytest.fixture
def command(tiny_voc, tmp_path, monkeypatch):
    """Runs a command on the tiny data set, 64 x 64, and returns its exit code."""
    monkeypatch.setenv("PANET_VOC_ROOT", str(tiny_voc))
    common = ("--dataset", "pascal", "--size", "64", "--device", "cpu")
    return lambda name, *options: main([name, *common, *map(str, options)])


@pytest.mark.filterwarnings("ignore:.*has no trainaug.txt")
def test_the_command_line_trains_and_scores_a_trunk(command, tmp_path, capsys):
    network, out = ("--backbone", "squeezenet1_1"), tmp_path / "run"
    assert command("train", *network, "--weights", "random", "--iterations", "2", "--out", out) == 0
    scores = (
        "--shots",
        "1",
        "--runs",
        "1",
        "--episodes",
        "2",
        "--split",
        "train",
        "--out",
        tmp_path / "numbers.json",
    )
    assert command("evaluate", *network, "--weights", out / "checkpoint.safetensors", *scores) == 0
    assert 0 <= json.loads((tmp_path / "numbers.json").read_text())["1-way 1-shot"]["mean_iou"] <= 1
    capsys.readouterr()
    other = ("--backbone", "resnet18", "--weights", "random", "--iterations", "2", "--out", out, "--resume")
    assert command("train", *other) == 1
    assert "was started with backbone squeezenet1_1, not resnet18" in capsys.readouterr().err
    assert (
        command("evaluate", "--backbone", "resnet18", "--weights", out / "checkpoint.safetensors", *scores)
        == 1
    )
    assert "is of another architecture: conv1.weight is missing" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*has no trainaug.txt")
def test_the_command_line_scores_dinov2_and_says_that_it_cannot_be_trained(
    command, fetched, tmp_path, capsys
):
    network, scores = ("--backbone", "dinov2_vits14"), ("--shots", "1", "--runs", "1", "--episodes", "2")
    assert command("evaluate", *network, *scores, "--split", "train") == 0
    assert command("train", *network, "--iterations", "2", "--out", tmp_path / "run") == 1
    assert "This backbone is frozen: there is nothing to train." in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
