"""What the command line makes of its options."""

import json
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
import torch
from safetensors.torch import load_file

from panet_lite.__main__ import arguments, main
from panet_lite.backbones import VGG16, Lite0, lite0
from panet_lite.commands import DOWNLOADS, evaluating, given, training
from panet_lite.datasets import voc as datasets
from panet_lite.datasets.downloads import ARCHIVES
from panet_lite.training import LAPTOP, PAPER, save_checkpoint


def parsed(*given):
    return arguments().parse_args([str(x) for x in given])


def test_a_recipe_is_changed_only_where_asked():
    train = ("train", "--out", "x")
    assert training.recipe_asked_for(parsed(*train)) == LAPTOP
    assert training.recipe_asked_for(parsed(*train, "--recipe", "paper", "--seed", 3)) == replace(
        PAPER, seed=3
    )
    changes = {
        "iterations": 7, "episodes_per_step": 2, "ways": 3, "shots": 5, "lambda_par": 0.0, "precision": "bfloat16"
    }  # fmt: skip
    options = [x for name, value in changes.items() for x in ("--" + name.replace("_", "-"), value)]
    assert training.recipe_asked_for(parsed(*train, *options)) == replace(LAPTOP, **changes)


def test_what_a_run_is_resumed_with_are_options():
    assert set(training.SETTINGS) <= vars(parsed("train", "--out", "x")).keys()


@pytest.fixture
def opened(tiny_voc, monkeypatch):
    """(name, weights, width) of every backbone that a command asks for; it gets a small one."""
    asked = []
    monkeypatch.setattr(given, "backbone", lambda *given: asked.append(given) or Lite0(4))
    monkeypatch.setattr(datasets, "DATA", tiny_voc)
    return asked


COMMON = ("--weights", "random", "--device", "cpu")
SHORT = ("evaluate", *COMMON, "--runs", "1", "--episodes", "2", "--shots", "1")


@pytest.mark.parametrize(
    "given, asked",
    [
        ((), ("lite0", None, 1.0)),
        (("--width", "1"), ("vgg16", None, 1.0)),  # only VGG-16 has a width
        (("--backbone", "vgg16"), ("vgg16", None, 0.25)),
        (("--backbone", "resnet18"), ("resnet18", None, 1.0)),
        (("--backbone", "resnet18", "--width", "0.5"), ("resnet18", None, 0.5)),
    ],
)
def test_which_backbone_is_meant(opened, given, asked):
    assert main([*SHORT, *given]) == 0 and opened == [asked]


def test_a_checkpoint_names_its_network(opened, tmp_path):
    for network, asked in ((VGG16(1 / 16), ("vgg16", 0.0625)), (Lite0(4), ("lite0:4", 1.0))):
        path = tmp_path / "some.safetensors"
        save_checkpoint(path, network, {})
        assert main([*SHORT, "--weights", str(path)]) == 0
        assert (opened[-1][0], opened[-1][2]) == asked and str(opened[-1][1]) == str(path)
        assert main([*SHORT, "--weights", str(path), "--backbone", "resnet18"]) == 0  # one's own word counts
        assert opened[-1][0] == "resnet18"


def test_what_lite0_leaves_as_it_is_in_training(tiny_voc, tmp_path, monkeypatch, capsys):
    """Three stages of five from ImageNet, none of random weights; it is part of the run; other networks have none."""
    monkeypatch.setattr(datasets, "DATA", tiny_voc)
    short = "train --device cpu --size 32 --recipe paper --iterations 1 --seed 1".split()
    start = lite0("imagenet").state_dict()

    def moved(name, *options):
        assert main([*short, *options, "--out", str(tmp_path / name)]) == 0
        state = load_file(tmp_path / name / "state.safetensors")
        return {int(k.split(".")[3]) for k in state if k.startswith("momentum")}, state

    stages, state = moved("a")
    assert min(stages) == Lite0().ends[3] and max(stages) == 12
    assert torch.equal(state["model.backbone.features.0.weight"], start["features.0.weight"])
    assert json.loads((tmp_path / "a" / "log.json").read_text())["freeze"] == 3
    assert min(moved("b", "--freeze", "0")[0]) == 0 and min(moved("c", "--weights", "random")[0]) == 0
    assert min(moved("d", "--backbone", "lite0:2")[0]) == Lite0().ends[1]
    run = [*short, "--resume", "--freeze", "1", "--out", str(tmp_path / "a")]
    assert main(run) == 1 and "was started with freeze 3, not 1" in capsys.readouterr().err
    for options, says in (
        (("--backbone", "lite0:two"), "The stage in 'lite0:two' is no number"),
        (("--freeze", "5"), "Of the 5 stages of lite0:5, 0..4 can be frozen, not 5."),
        (("--width", "0.0625", "--weights", "random", "--freeze", "2"), "leave --freeze out for vgg16"),
    ):
        assert (
            main([*short, *options, "--out", str(tmp_path / "no")]) == 1 and says in capsys.readouterr().err
        )


def test_the_backbone_is_part_of_a_run(opened, tmp_path, capsys):
    run = ["train", *COMMON, "--iterations", "1", "--episodes-per-step", "1", "--out", str(tmp_path)]
    assert main(run) == 0
    log = json.loads((tmp_path / "log.json").read_text())
    assert (log["backbone"], log["width"], log["shots"]) == ("lite0", 1.0, 1)
    assert main([*run, "--resume", "--backbone", "resnet18", "--width", "0.25"]) == 1
    assert "was started with backbone lite0, not resnet18: resume it" in capsys.readouterr().err


def test_numbers_say_what_they_were_measured_with(opened, tmp_path):
    assert main([*SHORT, "--precision", "bfloat16", "--out", str(tmp_path / "a.json")]) == 0
    numbers = json.loads((tmp_path / "a.json").read_text())
    assert (numbers["backbone"], numbers["precision"], numbers["annotation"]) == (
        "lite0",
        "bfloat16",
        "dense",
    )


def test_numbers_are_kept_as_they_come(opened, tmp_path, capsys):
    """What breaks later takes nothing away: neither an earlier run's numbers nor those before the break."""
    path = tmp_path / "a.json"
    path.write_text("old")
    assert main([*SHORT, "--shots", "500", "--out", str(path)]) == 1 and path.read_text() == "old"
    assert main([*SHORT, "--shots", "1", "500", "--out", str(path)]) == 1
    assert "1-way 1-shot" in json.loads(path.read_text()) and "of 500 shots" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_cuda_graph_without_a_gpu(opened, tmp_path, capsys):
    assert main(["train", *COMMON, "--cuda-graph", "--iterations", "1", "--out", str(tmp_path)]) == 1
    assert "panet_lite: There are no CUDA graphs on cpu: leave --cuda-graph out." in capsys.readouterr().err


@pytest.mark.parametrize("preset, split", [("standard", "val"), ("paper", "train")])
def test_on_which_images_of_coco_a_preset_tests(tmp_path, capsys, preset, split):
    given = ("--dataset", "coco", "--root", str(tmp_path), "--preset", preset)
    assert main([*SHORT, *given]) == 1
    assert f"annotations/instances_{split}2014.json is missing" in capsys.readouterr().err


def test_the_names_of_downloads_are_those_of_their_module():
    """The parser names them without importing torchvision, which takes seconds, as do others that few need."""
    assert DOWNLOADS == tuple(ARCHIVES)
    code = "import sys, panet_lite.__main__; print(sorted({'torchvision', 'timm', 'matplotlib', 'skimage.morphology'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# --- absurd values -----------------------------------------------------------------------------------

HUGE, GIVEN = str(10**21), {
    "train": ["--out", "run"], "evaluate": [], "segment": ["--support", "a", "b", "--query", "c", "--out", "run"],
}  # fmt: skip
ABSURD = [
    *(("train", option, HUGE) for option in ("--iterations", "--episodes-per-step", "--save-every", "--freeze")),
    *((c, o, v) for c in ("train", "evaluate") for o in ("--ways", "--shots") for v in (HUGE, "0", "-3", "1e3", "nan", "9" * 5000)),
    *((c, o, v) for c in GIVEN for o in ("--width",) for v in ("inf", "nan", "1e9", "-1", "1e-300")),
    *((c, o, v) for c in GIVEN for o in ("--seed", "--size") for v in (HUGE, "-1", "inf", "0x10")),
    *((c, "--size", str(10**8)) for c in GIVEN), *(("train", "--lambda-par", v) for v in ("inf", "nan", "1e300")),
    *(("evaluate", o, v) for o in ("--runs", "--episodes") for v in (HUGE, str(10**12), "0", "1.0")),
    *((c, "--out", v) for c in ("train", "segment") for v in ("/", "//", "/..", "", " ", "{}/file", "{}/file/in/it")),
]  # fmt: skip


@pytest.mark.parametrize("name, option, value", ABSURD)
def test_absurd_values_are_refused_before_anything_is_done(
    tmp_path, monkeypatch, capsys, name, option, value
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("one's own")
    value = value.format(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([name, *GIVEN[name], option, value])
    error = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and f"error: argument {option}: '{value}' is no " in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (
        tmp_path / "file"
    ).read_text() == "one's own"


DEVICES = ["meta", "hpu", "mps", "cuda:99", "xpu", "vulkan", "", "cpu:x", "0", "tpu"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", GIVEN)
def test_devices_that_are_not_here(tmp_path, monkeypatch, capsys, name, device):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is one")
    monkeypatch.chdir(tmp_path)
    assert main([name, *GIVEN[name], "--device", device]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("panet_lite: There is no ") and line.endswith("use --device cpu.")
    assert list(tmp_path.iterdir()) == []


TOO_MUCH = [
    ("train", ["--size", 90_000], "An image of --size 90000 takes 518.4 GB or more, and "),
    ("evaluate", ["--size", 100_000], "An image of --size 100000 takes 640.0 GB or more, and "),
    ("segment", ["--size", 90_000], "An image of --size 90000 takes"),
    ("train", ["--size", 1000, "--episodes-per-step", 10_000], "A step of 20,000 images takes 1,280.0 GB or more"),
    ("train", ["--shots", 10**7], "A step of 40,000,004 images takes"),
    ("train", ["--ways", 254, "--shots", 10**5], "A step of 101,600,004 images takes"),
    ("evaluate", ["--runs", 1000, "--episodes", 10**6], "A score of 1,000,000,000 episodes takes 8,000.0 GB or more"),
]  # fmt: skip


@pytest.mark.parametrize("name, options, says", TOO_MUCH)
def test_what_no_memory_holds_is_refused_before_anything_is_done(
    tmp_path, monkeypatch, capsys, name, options, says
):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 16 * 10**9})())
    monkeypatch.chdir(tmp_path)
    assert main([name, *GIVEN[name], "--device", "cpu", *map(str, options)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"panet_lite: {says}") and line.endswith("and 16.0 GB are free: ask for less.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option, value", [("--seed", 2**63 - 1), ("--iterations", 10**7), ("--ways", 254), ("--width", 4)]
)
def test_values_that_are_large_but_no_slip_are_taken(option, value):
    assert getattr(parsed("train", "--out", "run", option, value), option[2:]) == value


def test_the_largest_seed_can_be_sown(opened):
    assert main([*SHORT, "--seed", str(2**63 - 1)]) == 0


@pytest.mark.parametrize("out", [True, False])
def test_numbers_that_nobody_reads_are_written(opened, tmp_path, monkeypatch, capsys, out):
    """`evaluate ... --out FILE | head -1`: the second score is in the file all the same."""

    def closed(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(evaluating, "print", closed, raising=False)
    more = ("--shots", "1", "2", *(["--out", str(tmp_path / "scores.json")] if out else []))
    assert main([*SHORT, *more]) == (0 if out else 1)
    if out:
        assert {"1-way 1-shot", "1-way 2-shot"} <= json.loads((tmp_path / "scores.json").read_text()).keys()
    else:
        assert "Nobody reads the output any more" in capsys.readouterr().err


def test_one_fold_of_others_files_teaches_nothing(opened, monkeypatch, capsys, tmp_path):
    class Single:
        classes, folds = ("bolt",), ((1,),)

        def __init__(self, *_, **__):
            pass

        def __repr__(self):
            return "Coco('val')"

    monkeypatch.setitem(given.DATASETS, "coco", Single)
    assert main(["train", *COMMON, "--dataset", "coco", "--out", str(tmp_path / "run")]) == 1
    said = "beside those to test on: Coco('val') has 1 in one fold.\n"
    assert capsys.readouterr().err.endswith(said)
