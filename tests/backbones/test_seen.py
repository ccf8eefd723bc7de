"""A class that weights were trained on is refused by name wherever they meet it, or allowed and then said."""

import json
import warnings
from contextlib import nullcontext

import pytest
from torch import nn

from panet_lite import PANet, Segmenter
from panet_lite.__main__ import main
from panet_lite.backbones import Lite0, backbone, check_unseen, lite0, seen_among, trained_on, vgg16
from panet_lite.backbones.vgg import VGG16
from panet_lite.backbones.weights import header
from panet_lite.commands import training
from panet_lite.datasets import PASCAL_CLASSES, TABLETOP_CLASSES
from panet_lite.datasets import voc as datasets
from panet_lite.evaluation import evaluate
from panet_lite.model import VARIANTS, checkpoint
from panet_lite.training import save_checkpoint

NETWORK = Lite0(1)


def saved(path, **about):
    save_checkpoint(path, NETWORK, about)
    return path


def learned(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tuple(trained_on(path))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fold", range(4))
def test_the_books_checkpoints_know_what_they_learned(fold, variant):
    """Their headers name the fold only; PANet-init of the twin learned the same classes in another way."""
    if variant.startswith("twin") and fold:
        return
    left_out = TABLETOP_CLASSES[5 * fold : 5 * fold + 5]
    assert learned(checkpoint(fold, variant)) == tuple(c for c in TABLETOP_CLASSES if c not in left_out)


def test_whose_classes_a_header_means(tmp_path):
    path = tmp_path / "a.safetensors"
    pascal = "Pascal('trainaug', 10582 images, 20 classes)"
    assert learned(saved(path, fold=3, dataset=pascal)) == PASCAL_CLASSES[:15]
    assert learned(saved(path, fold=3, dataset=pascal, trained_on=["cow"])) == ("cow",)  # names are believed
    assert trained_on(path) == {"cow": "a.safetensors (for fold 3 of Pascal)"}
    assert learned(saved(path)) == learned(saved(path, fold=2)) == ()  # as of another's
    assert learned(tmp_path / "none.safetensors") == learned("imagenet") == ()


@pytest.mark.parametrize("about", [
    {"dataset": "Folder('train', 9 images, 4 classes)", "fold": 0}, {"dataset": "Coco('train', ...)", "fold": 1},
    {"dataset": "Tabletop(...)", "fold": [1]}, {"dataset": "Tabletop(...)", "trained_on": 7}, {"dataset": ["Pascal"]},
])  # fmt: skip
def test_a_header_that_does_not_say_is_a_note(tmp_path, about):
    with pytest.warns(
        UserWarning, match=r"a.safetensors does not say which classes of .* see to it that no test"
    ):
        assert trained_on(saved(tmp_path / "a.safetensors", **about)) == {}


def test_a_header_of_something_else_is_none(tmp_path):
    for about in ({"backbone": 5}, {"width": "wide"}, {"backbone": None}):
        assert learned(saved(tmp_path / "a.safetensors", dataset="Tabletop(...)", fold=0, **about)) == ()


def test_every_way_to_load_a_checkpoint_keeps_it(tmp_path):
    about = {"trained_on": ["mug", "pear"], "fold": 0}
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, VGG16(1 / 64), about)
    loaded = [vgg16(path, 1 / 64), backbone("vgg16", path, 1 / 64)]
    save_checkpoint(path, Lite0(1), about)
    loaded += [lite0(path, 1), backbone("lite0:1", path)]
    save_checkpoint(path, backbone("test_resnet:1"), about)
    loaded.append(backbone("test_resnet:1", path))
    assert all(tuple(network.trained_on) == ("mug", "pear") for network in loaded)
    assert Lite0(1).trained_on == backbone("test_resnet:1").trained_on == {}


@pytest.mark.parametrize("trained, tested", [
    ("chair", "chair"), ("wine glass", "wine_glass"), ("pottedplant", "Potted Plant"), ("couch", "sofa"),
    ("aeroplane", "airplane"), ("tvmonitor", "tv"), ("7", "7"), ("皿", "皿"),
])  # fmt: skip
def test_a_name_is_the_same_in_other_data_sets(trained, tested):
    model = PANet(Lite0(1))
    model.backbone.trained_on = {trained: "my weights"}
    assert seen_among(model, ["something", tested]) == {tested: "my weights"}
    assert seen_among(nn.Sequential(nn.Identity(), model), [tested]) == {tested: "my weights"}  # wrapped
    assert check_unseen(model, ["car", "carrot", "碗", "__"]) == ()


def test_the_sentence_names_classes_file_and_remedy():
    model = PANet(Lite0(1))
    model.backbone.trained_on = dict.fromkeys(("mug", "pear"), "a.safetensors (for fold 2 of Tabletop)")
    with pytest.raises(ValueError, match=(
        r"^pear, mug: trained on by a.safetensors \(for fold 2 of Tabletop\), so that no test of few shots may ask for "
        r"it. Test the fold .* --allow-seen \(allow_seen=True\): the result says so.$"
    )):  # fmt: skip
        check_unseen(model, ["pear", "die", "mug"])
    assert check_unseen(model, ["pear", "die", "mug"], allowed=True) == ("pear", "mug")


def test_evaluate_refuses_before_the_work_or_says_it(tiny):
    dataset, model = tiny(), PANet(Lite0(1)).eval()
    assert "seen_in_training" not in evaluate(model, dataset, 1, runs=1, episodes=4).summary()
    model.backbone.trained_on = dict.fromkeys(("die", "mug"), "mine")
    work, model.embed = model.embed, None
    with pytest.raises(ValueError, match="^die: trained on by mine, so"):
        evaluate(model, dataset, 1, runs=1, episodes=4)
    model.embed = work
    result = evaluate(model, dataset, 1, runs=1, episodes=4, allow_seen=True)
    assert result.seen == ("die",) and result.summary()["seen_in_training"] == ("die",)
    assert evaluate(model, dataset, 1, runs=1, episodes=4, classes=[6, 8]).seen == ()


def test_a_segmenter_says_it(tmp_path):
    from test_segmenter import Colours, scene

    network = Colours()
    network.trained_on = {"mug": "mine"}
    picture, mask = scene()
    with pytest.warns(
        UserWarning, match="^The weights were trained on mug: a score on it is no test of few shots."
    ):
        Segmenter(PANet(network), size=192).fit([picture], [mask], ["mug"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Segmenter(PANet(network), size=192).fit([picture], [mask], ["cup"])


# --- the command line --------------------------------------------------------------------------------

SHORT = "--device cpu --size 32 --runs 1 --episodes 3 --shots 1".split()


@pytest.fixture
def command(tiny_voc, monkeypatch, capsys):
    """Runs a command on the tiny data set; returns (exit code, lines of stdout, stderr)."""
    monkeypatch.setattr(datasets, "DATA", tiny_voc)

    def run(*words):
        code = main([*map(str, words)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return run


def trained(command, out, *options):
    words = (
        "train",
        "--device",
        "cpu",
        "--size",
        32,
        "--iterations",
        1,
        "--episodes-per-step",
        1,
        "--seed",
        1,
    )
    code, _, err = command(*words, *options, "--out", out)
    assert code == 0, err
    return out / "checkpoint.safetensors", err


def test_training_writes_down_what_was_learned_and_evaluation_reads_it(command, tmp_path):
    path, _ = trained(
        command, tmp_path / "run", "--backbone", "lite0:1", "--weights", "random", "--fold", "2"
    )
    assert set(trained_on(path)) == {*TABLETOP_CLASSES} - {*TABLETOP_CLASSES[10:15]}
    assert command("evaluate", *SHORT, "--weights", path, "--fold", 2)[0] == 0
    code, out, err = command("evaluate", *SHORT, "--weights", path, "--fold", 1)
    assert (code, out) == (1, []) and err.count("\n") == 1
    assert "chess pawn, die, donut, pear, carrot: trained on by checkpoint.safetensors (for fold 2" in err
    numbers = tmp_path / "numbers.json"
    allowed = ("evaluate", *SHORT, "--weights", path, "--fold", 1, "--allow-seen", "--out", numbers)
    code, (line,), err = command(*allowed)
    assert code == 0 and line.endswith("; the model was trained on chess pawn, die, donut, pear, carrot")
    assert len(json.loads(numbers.read_text())["1-way 1-shot"]["seen_in_training"]) == 5


def test_what_weights_began_with_is_not_forgotten(command, tmp_path, monkeypatch):
    """Fold 0's weights, trained on for fold 1, have seen all twenty classes: also where the run was resumed."""
    first, _ = trained(command, tmp_path / "a", "--backbone", "lite0:1", "--weights", "random", "--fold", "0")
    run = ("train", "--device", "cpu", "--size", 32, "--iterations", 3, "--episodes-per-step", 1, "--fold", 1,
           "--backbone", "lite0:1", "--weights", first, "--out", tmp_path / "b")  # fmt: skip
    with monkeypatch.context() as during:
        during.setattr(training, "asked_to_stop", lambda: nullcontext(lambda: True))
        code, _, err = command(*run)
    assert code == 1 and "Stopped after step 1 of 3" in err
    assert (
        "Note: Training starts from weights that learned chess pawn, die, donut, pear, carrot, classes" in err
    )
    second = tmp_path / "b" / "checkpoint.safetensors"
    assert set(trained_on(second)) == {*TABLETOP_CLASSES}
    first.unlink()
    assert command(*run, "--resume")[0] == 0 and header(second)["step"] == 3
    assert set(trained_on(second)) == {*TABLETOP_CLASSES}


def test_all_folds_in_one_command(command, tmp_path):
    for fold in range(4):
        saved(tmp_path / f"fold{fold}.safetensors", fold=fold, dataset="Tabletop('train')")
    out = tmp_path / "numbers.json"
    all_of = ("evaluate", *SHORT, "--shots", 1, 2, "--fold", "all", "--out", out, "--episodes", 12)
    code, lines, _ = command(*all_of, "--weights", tmp_path / "fold{fold}.safetensors")
    assert code == 0 and [line.partition(":")[0] for line in lines] == [
        *(f"fold {fold}, {shots}-shot" for fold in range(4) for shots in (1, 2)),
        "mean of 4 folds, 1-shot", "mean of 4 folds, 2-shot",
    ]  # fmt: skip
    found = json.loads(out.read_text())["1-way 1-shot"]
    each = [fold["mean_iou"] for fold in found["folds"]]
    assert len(set(each)) == 4 and found["mean_iou"] == pytest.approx(sum(each) / 4)
    low, high = found["interval_95"]
    assert low < found["mean_iou"] < high
    alone = command(
        "evaluate", *SHORT, "--episodes", 12, "--fold", 2, "--weights", tmp_path / "fold{fold}.safetensors"
    )
    assert alone[1][0] == lines[4].removeprefix("fold 2, ")


def test_one_checkpoint_for_all_folds_is_refused_before_the_first(command, tmp_path):
    path = saved(tmp_path / "fold3.safetensors", fold=3, dataset="Tabletop('train')")
    code, out, err = command("evaluate", *SHORT, "--fold", "all", "--weights", path)
    assert code == 1 and out == [] and "mug, bottle, bowl, wine glass, candle: trained on by fold3" in err
    code, out, err = command("evaluate", *SHORT, "--fold", "all", "--weights", path, "--allow-seen")
    assert code == 0 and [("trained on" in line) for line in out] == [True] * 3 + [False, True]
    code, out, err = command(
        "evaluate", *SHORT, "--fold", "all", "--weights", tmp_path / "fold{fold}.safetensors"
    )
    assert code == 1 and out == [] and f"There is no checkpoint at {tmp_path}/fold0.safetensors" in err


def test_weights_without_a_past_are_one_model_for_all_folds(command, monkeypatch):
    from panet_lite.commands import evaluating

    banks, real = [], evaluating.FeatureBank
    monkeypatch.setattr(
        evaluating, "FeatureBank", lambda *given, **more: banks.append(1) or real(*given, **more)
    )
    code, out, _ = command(
        "evaluate", *SHORT, "--fold", "all", "--weights", "random", "--backbone", "lite0:1"
    )
    assert code == 0 and len(out) == 5 and len(banks) == 1


@pytest.mark.parametrize("given, says", [
    (("evaluate", "--fold", "all", "--classes", "mug"), "--classes names classes of one fold: leave it out"),
    (("evaluate", "--fold", "9"), "There is no fold 9: folds are 0..3"),
    (("train", "--fold", "all", "--out", "x"), "There is no fold 'all': folds are 0..3"),
])  # fmt: skip
def test_folds_that_cannot_be_meant(command, given, says):
    code, _, err = command(*given, "--device", "cpu", "--weights", "random")
    assert code == 1 and says in err and err.count("\n") == 1
