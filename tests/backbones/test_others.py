"""timm's networks at output stride 8, transformers at their patch's size, and `backbone`, which makes them by name."""

import functools
import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import interpolate

from panet_lite import PANet
from panet_lite.__main__ import main
from panet_lite.backbones import VGG16, Timm, backbone
from panet_lite.backbones.others import make_signed
from panet_lite.episodes import EpisodeSampler
from panet_lite.training import Recipe, save_checkpoint, train

CONVOLUTIONS = (
    "convnext_atto", "mnasnet_050", "mobilenetv2_050", "mobilenetv3_small_050", "regnetx_002", "resnet18", "resnext50_32x4d",
    "tf_efficientnet_lite0",
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
def made():
    """`made("resnet18")`, made once; a test that changes a network makes its own."""

    @functools.cache
    def make(name):
        torch.manual_seed(0)
        return unsettle(backbone(name))

    return make


def theirs(name, ours, stage=-1, **options):
    """timm's own network with the weights of ours."""
    getter = {} if name.startswith("mobilenetv3") else {"feature_cls": "getter"}
    model = timm.create_model(name, features_only=True, out_indices=(stage,), **getter, **options)
    model.load_state_dict(ours.model.state_dict())
    return model.eval()


# --- convolutions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_each_family_has_stride_8_and_signed_features(made, name):
    """417 px halve three times, rounding up: 209, 105, 53. Much of what comes before a last ReLU is negative."""
    with torch.no_grad():
        features = made(name)(torch.randn(1, 3, 129, 97, generator=torch.Generator().manual_seed(0)))
    assert features.shape[1] == made(name).channels and made(name).stride == 8
    assert features.shape[2:] == (
        (16, 12) if name.startswith("convnext") else (17, 13)
    )  # its patches are not padded
    assert 0.1 < (features < 0).float().mean() < 0.9


@pytest.mark.parametrize("name", ["resnet18", "regnetx_002", "mobilenetv3_small_050"])
def test_the_last_activation_is_gone_and_nothing_else(made, name):
    images = torch.randn(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    activation = nn.Hardswish() if name.startswith("mobilenet") else nn.ReLU()
    with torch.no_grad():
        features, (expected,) = made(name)(images), theirs(name, made(name), output_stride=8)(images)
    assert (features < 0).any() and not torch.equal(features, expected)
    torch.testing.assert_close(activation(features), expected)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0:3", "mobilenetv2_050:2", "convnext_atto"])
def test_features_that_are_signed_already_stay_as_they_are(made, name):
    images = torch.randn(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    plain, _, stage = name.partition(":")
    with torch.no_grad():
        (expected,) = theirs(plain, made(name), int(stage or -1), output_stride=8)(images)
        assert torch.equal(made(name)(images), expected)


class Ending(nn.Module):
    """Ends in an activation that is used twice, or whose output is written into once more."""

    def __init__(self, how):
        super().__init__()
        self.how, self.conv, self.act = how, nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, images):
        features = self.act(self.conv(images))
        if self.how == "twice":
            return [self.act(features - 0.1)]
        return [features.add_(self.conv(images))] if self.how == "written into" else [features]


@pytest.mark.parametrize("how, gone", [("once", True), ("twice", False), ("written into", False)])
def test_an_activation_that_is_not_the_end_alone_stays(how, gone):
    torch.manual_seed(0)
    model, images = Ending(how), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = model(images)[0].clone()
        make_signed(model, images)
        assert isinstance(model.act, nn.Identity) == gone and torch.equal(model(images)[0], expected) != gone
    assert not model.act._forward_hooks


# A dilated network computes what the strided one does, at 16 times as many places; at the same places, the
# same. (Not so with squeeze and excitation, whose mean is over all places.)
@pytest.mark.parametrize("name", ["resnet18", "regnetx_002", "mobilenetv2_050"])
def test_the_strided_network_is_every_fourth_feature(made, name):
    images = torch.randn(2, 3, 97, 97, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, (expected,) = made(name)(images), theirs(name, made(name))(images)
    features = features if (expected < 0).any() else features.relu()
    torch.testing.assert_close(
        features[:, :, ::4, ::4], expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item()
    )


def test_a_stage_is_cut_behind_itself(made):
    """Its features are those on the whole network's way, and nothing behind them is kept."""
    for name, stage in (("resnet18", 1), ("tf_efficientnet_lite0", 3)):
        cut = made(f"{name}:{stage}")
        assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in made(name).parameters())
    assert made("tf_efficientnet_lite0:3").channels == 112  # 0.70 million parameters, says timm's own table
    assert round(sum(p.numel() for p in made("tf_efficientnet_lite0:3").parameters()) / 1e6, 2) == 0.7


def test_what_has_no_stride_to_change_keeps_its_own(made):
    with torch.no_grad():
        assert made("densenet121:2").stride == 8 and made("densenet121").stride == 32
        assert made("densenet121:2")(torch.zeros(1, 3, 65, 97)).shape[2:] == (8, 12)


def test_an_older_timm_gives_the_same_features_another_way(made, monkeypatch):
    """timm 1.0.20 has no forward_intermediates for VGG and a few more."""
    images, new = torch.randn(1, 3, 65, 65, generator=torch.Generator().manual_seed(0)), made("vgg11:4")
    with torch.no_grad():
        expected = new(images)
    monkeypatch.delattr("timm.models.vgg.VGG.forward_intermediates", raising=False)
    old = backbone("vgg11:4").eval()
    old.load_state_dict(dict(zip(old.state_dict(), new.state_dict().values(), strict=True)))
    with torch.no_grad():
        assert not hasattr(old.model, "model") and old.stride == new.stride == 16
        assert (expected < 0).any() and torch.equal(old(images), expected)


def test_preprocess_is_that_of_the_weights(made):
    images = torch.rand(1, 3, 4, 5)
    torch.testing.assert_close(made("resnet18").preprocess(images), VGG16(1 / 16).preprocess(images))
    torch.testing.assert_close(made("tf_efficientnet_lite0").preprocess(images), 2 * images - 1)


# --- transformers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, resized", [((417, 417), (416, 416)), ((241, 417), (240, 416)), ((16, 5), (16, 16))]
)
def test_features_of_a_transformer_are_patches_of_the_resized_picture(made, size, resized):
    """Behind its last LayerNorm, as timm gives them for the picture resized to multiples of its patch."""
    ours = made("test_vit")
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    images_resized = interpolate(images, resized, mode="bilinear", antialias=True)
    with torch.no_grad():
        features = ours(images)
        expected = ours.model.model.forward_features(images_resized)[:, ours.model.model.num_prefix_tokens :]
    assert features.shape == (2, ours.channels, resized[0] // 16, resized[1] // 16)
    torch.testing.assert_close(features.flatten(2).transpose(1, 2), expected)


def test_patches_of_other_sizes(made):
    """DINOv2's are 14 pixels wide: 417 becomes 420 and gives 30."""
    with torch.no_grad():
        assert made("vit_small_patch14_dinov2")(torch.zeros(1, 3, 417, 65)).shape == (1, 384, 30, 5)
        assert made("swin_tiny_patch4_window7_224")(torch.zeros(1, 3, 97, 65)).shape == (1, 768, 3, 2)


def test_a_transformer_learns(tiny):
    model = PANet(backbone("test_vit"))
    before = model.backbone.model.model.blocks[0].attn.qkv.weight.clone()
    train(model, EpisodeSampler(tiny("train"), range(6, 21)), Recipe(iterations=2), log=lambda _: None)
    assert not torch.equal(model.backbone.model.model.blocks[0].attn.qkv.weight, before)


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


def test_dropped_paths_and_dropout_stay_off(made):
    images = torch.randn(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    for name in ("convnext_atto", "mnasnet_050", "test_vit"):
        with torch.no_grad():
            torch.testing.assert_close(made(name).train()(images), made(name).eval()(images))


# --- weights -----------------------------------------------------------------------------------------


def test_random_weights_come_from_the_global_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return backbone("test_resnet").state_dict()

    a, b, c = weights(1), weights(1), weights(2)
    first = next(iter(a))
    assert all(torch.equal(a[k], b[k]) for k in a) and not torch.equal(a[first], c[first])


@pytest.mark.parametrize("wrapped", ["module.{}", "_orig_mod.{}", "module._orig_mod.{}", "backbone.{}"])
def test_a_file_of_a_parallel_or_compiled_model_is_loaded(tmp_path, wrapped):
    """timm's names, and those of a checkpoint of ours."""
    torch.manual_seed(5)
    ours = backbone("test_resnet:1")
    for state in (ours.state_dict(), ours.model.model.state_dict()):
        torch.save({wrapped.format(key): value for key, value in state.items()}, tmp_path / "weights.pth")
        loaded = backbone("test_resnet:1", tmp_path / "weights.pth").state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in ours.state_dict().items())


@pytest.fixture(params=[".safetensors", ".pth"])
def file_of_timm(request, tmp_path):
    """resnet18 as timm saves it, classifier and all, and its tensors."""
    torch.manual_seed(3)
    state = unsettle(timm.create_model("resnet18")).state_dict()
    path = tmp_path / f"weights{request.param}"
    (save_file if request.param == ".safetensors" else torch.save)(state, path)
    return path, state


def test_a_file_with_timms_names_is_loaded(file_of_timm):
    path, state = file_of_timm
    loaded = backbone("resnet18", path).model.model.state_dict()
    assert set(state) - set(loaded) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(loaded[k], state[k]) for k in loaded)


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"])
def test_the_file_of_dinov2s_authors_is_loaded(tmp_path, name):
    """What torch.hub fetches, and a cluster without a network gets by hand: with tokens that only training wants."""
    torch.manual_seed(6)
    expected = timm.create_model(name).state_dict()
    theirs = {**expected, "mask_token": torch.zeros(1, 384)}
    if "reg_token" in theirs:
        theirs["register_tokens"] = theirs.pop("reg_token")
        theirs["cls_token"] = (
            expected["cls_token"] - 1
        )  # timm has added to it what stands first in the positions
        theirs["pos_embed"] = torch.cat([torch.ones(1, 1, 384), expected["pos_embed"]], 1)
    torch.save(theirs, tmp_path / "dinov2_vits14_pretrain.pth")
    loaded = backbone(name, tmp_path / "dinov2_vits14_pretrain.pth").model.model.state_dict()
    for key, value in loaded.items():
        torch.testing.assert_close(value, expected[key])


def test_pretrained_weights_come_by_timms_loader(file_of_timm, monkeypatch):
    """`pretrained`, and `imagenet`, which is the same: the loader is asked for the network's own file."""
    asked = []
    monkeypatch.setattr(
        "timm.models._builder.load_state_dict_from_hf",
        lambda name, **_: asked.append(name) or file_of_timm[1],
    )
    for weights in ("pretrained", "imagenet"):
        loaded = backbone("resnet18", weights).model.model.state_dict()
        assert all(torch.equal(loaded[k], file_of_timm[1][k]) for k in loaded)
    assert asked == ["timm/resnet18.a1_in1k"] * 2


def test_no_network_is_one_sentence(monkeypatch):
    def no_network(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", no_network)
    with pytest.raises(
        ValueError,
        match=r"^resnet18 cannot be made .*Network is unreachable.*try again with a network, or name a "
        r"file of its weights by --weights \(of https://huggingface.co/timm\).$",
    ):
        backbone("resnet18", "pretrained")


def test_a_checkpoint_of_ours_gives_the_same_features(tmp_path):
    torch.manual_seed(4)
    mine = unsettle(backbone("resnet18:2"))
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, mine, {"fold": 0})
    images = torch.randn(1, 3, 65, 65)
    with torch.no_grad():
        expected, found = mine(images), backbone("resnet18:2", path).eval()(images)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()  # weights are kept in float16


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "resnet34.pth")
    refused = r"^The checkpoint .*resnet34.pth is of another architecture: "
    for name, why in (
        ("resnet18", r"it also holds layer1.2"), ("mobilenetv2_050", "conv_stem.weight is missing"),
        ("resnet50", r"layer1.0.conv1.weight is \(64, 64, 3, 3\), this"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=refused + why):
            backbone(name, tmp_path / "resnet34.pth")
    save_checkpoint(tmp_path / "ours.safetensors", backbone("resnet18:1"), {})
    with pytest.raises(ValueError, match="ours.safetensors is of another architecture: model.model.layer2"):
        backbone("resnet18:2", tmp_path / "ours.safetensors")
    with pytest.raises(FileNotFoundError, match="There is no checkpoint at"):
        backbone("resnet18", tmp_path / "none.pth")


@pytest.mark.parametrize(
    "name, near", [("resnet_18", "resnet18"), ("efficientnet_lit0", "efficientnet_lite0"), ("VGG16", "vgg16"),
                   ("qqq", "timm.list_models"), ("", "timm.list_models"), ("dinov2_vits14", "vit_small_patch14_dinov2"),
                       ("dinov2_vits14_reg", "vit_small_patch14_reg4_dinov2")],
)  # fmt: skip
def test_a_name_that_is_no_backbone_gets_near_ones(name, near):
    with pytest.raises(ValueError, match=rf"^There is no backbone '{name}': .*{near}"):
        backbone(name)


def test_a_stage_that_does_not_exist():
    with pytest.raises(ValueError, match=r"^resnet18 cannot be made .*choose another stage than 9"):
        backbone("resnet18:9")
    with pytest.raises(ValueError, match=r"^The stage in 'resnet18:two' is no number: write resnet18:2"):
        backbone("resnet18:two")


def test_a_network_for_one_size_only_is_refused():
    with pytest.raises(ValueError, match="^cait_xxs24_224 takes images of one size only"):
        backbone("cait_xxs24_224")


def test_only_vgg16_has_a_width():
    assert backbone("vgg16", width=1 / 16).channels == 32 and isinstance(backbone(width=1 / 16), VGG16)
    assert isinstance(backbone("test_resnet"), Timm)
    with pytest.raises(ValueError, match="Only vgg16 has a width: leave it out for resnet18"):
        backbone("resnet18", width=0.25)


# --- the command line --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*has no trainaug.txt")
def test_the_command_line_trains_and_scores_a_network(tiny_voc, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PANET_VOC_ROOT", str(tiny_voc))

    def command(name, *options):
        return main([name, "--dataset", "pascal", "--size", "64", "--device", "cpu", *map(str, options)])

    network, out, numbers = ("--backbone", "test_resnet:2"), tmp_path / "run", tmp_path / "numbers.json"
    assert command("train", *network, "--weights", "random", "--iterations", "2", "--out", out) == 0
    scores = ("--shots", 1, "--runs", 1, "--episodes", 2, "--split", "train", "--out", numbers)
    assert command("evaluate", *network, "--weights", out / "checkpoint.safetensors", *scores) == 0
    assert 0 <= json.loads(numbers.read_text())["1-way 1-shot"]["mean_iou"] <= 1
    capsys.readouterr()
    other = ("--backbone", "resnet18", "--weights", "random", "--iterations", "2", "--out", out, "--resume")
    assert command("train", *other) == 1
    assert "was started with backbone test_resnet:2, not resnet18" in capsys.readouterr().err
    assert (
        command("evaluate", "--backbone", "resnet18", "--weights", out / "checkpoint.safetensors", *scores)
        == 1
    )
    assert "is of another architecture: model.model.conv1.weight is missing" in capsys.readouterr().err
