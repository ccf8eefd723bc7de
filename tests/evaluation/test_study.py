"""`make study`: it writes what the chapters read, never measures twice, and trains only what is missing."""

import json
import sys

import pytest
from running import script

from panet_lite.backbones import Lite0, trained_backbone
from panet_lite.evaluation import evaluate
from panet_lite.model import PANet
from panet_lite.training import save_checkpoint


@pytest.fixture
def study(tiny, tmp_path, monkeypatch):
    """The script on the tiny data set: one fold, three random models, nothing of it in the repository."""
    module = script("results/study.py")
    module.RUNS, module.RESULTS, module.CHECKPOINTS = (
        tmp_path / n for n in ("runs", "results", "checkpoints")
    )
    module.FOLDS, module.SHOTS = (0,), (1, 2)
    module.Tabletop = lambda split: tiny("train")  # its val is too small for two ways of two shots
    for name in ("fold0", "fold0-without-par"):
        save_checkpoint(module.CHECKPOINTS / f"{name}.safetensors", Lite0(), {})
    return module


def entries(study, name):
    return json.loads((study.RESULTS / f"{name}.json").read_text())["results"]


def test_every_table_is_written_once(study, monkeypatch):
    study.evaluate_all([0], 3)
    study.distances([0], 3)
    main, two, weak = (entries(study, name) for name in ("main", "two-way", "weak-annotations"))
    assert [(e["variant"], e["shots"]) for e in main] == [
        (variant, shots) for variant in ("init", "par", "without-par") for shots in (1, 2)
    ]
    assert {(e["ways"], e["preset"]) for e in two} == {(2, "standard"), (2, "paper")} and len(two) == 12
    assert {e["annotation"] for e in weak} == {"scribble", "box", "point"} and len(weak) == 6
    assert {e["variant"] for e in entries(study, "distances")} == {"init", "par", "without-par"}
    head = json.loads((study.RESULTS / "main.json").read_text())
    assert {"command", "date", "hardware", "torch", "threads"} <= head.keys()

    monkeypatch.setattr(study, "evaluate", None)  # a second run must not get as far as this
    monkeypatch.setattr(study, "measure", None)
    study.evaluate_all([0], 3)
    study.distances([0], 3)
    assert entries(study, "main") == main


def test_a_recorded_slice_can_be_counted_again(study, tiny):
    study.evaluate_all([0], 3)
    path = study.CHECKPOINTS / "fold0.safetensors"
    model = PANet(trained_backbone(path)).eval()
    for entry in (e for e in entries(study, "main") if e["variant"] == "par"):
        again = evaluate(model, tiny("train"), 0, shots=entry["shots"], runs=1, episodes=2)
        assert again.counts[0, :, 1:].sum(1).tolist() == entry["first_counts"][:2]


def test_the_papers_counting_changes_the_score_and_not_the_predictions(study):
    study.evaluate_all([0], 3)
    two = entries(study, "two-way")
    for variant in ("init", "par"):
        pair = {e["preset"]: e for e in two if (e["variant"], e["shots"]) == (variant, 1)}
        assert pair["paper"]["mean_iou"] >= pair["standard"]["mean_iou"]  # fewer false positives are counted


def test_training_resumes_and_is_not_repeated(study, monkeypatch):
    commands = []

    def run(command):
        commands.append(command)
        folder = study.ROOT / command[command.index("--out") + 1]
        save_checkpoint(folder / "checkpoint.safetensors", Lite0(), {"new": 1})
        (folder / "log.json").write_text('{"log": [{"step": 600, "seg": 1.0, "par": 1.0}], "seed": 0}')

    monkeypatch.setattr(study, "run", run)
    stopped = study.run_folder(0, "without-par", 0)
    stopped.mkdir(parents=True)
    for name in ("state.safetensors", "checkpoint.safetensors"):  # a stop leaves both
        (stopped / name).touch()
    for variant in ("par", "without-par", "par"):
        study.train(0, variant, 0)
    assert ["--resume" in command for command in commands] == [False, True]
    assert [command[command.index("--lambda-par") + 1] for command in commands] == ["1.0", "0.0"]
    copy = study.CHECKPOINTS / "fold0-without-par.safetensors"
    assert copy.read_bytes() == (stopped / "checkpoint.safetensors").read_bytes()
    study.curves([0], None)
    assert [e["variant"] for e in entries(study, "curves")] == ["par", "without-par"]


def test_a_training_that_fails_stops_the_study_with_a_sentence(study):
    study.run([sys.executable, "-c", ""])
    with pytest.raises(SystemExit, match="The same command goes on from here"):
        study.run([sys.executable, "-c", "raise SystemExit(1)"])


def test_other_weights_are_measured_anew_and_take_the_place_of_the_old(study):
    study.distances([0], 2)
    before = entries(study, "distances")
    save_checkpoint(study.CHECKPOINTS / "fold0.safetensors", Lite0(), {"again": 1})
    study.distances([0], 2)
    after = entries(study, "distances")
    changed = [a["variant"] for a, b in zip(after, before) if a["weights"] != b["weights"]]
    assert len(after) == len(before) == 3 and changed == ["par"]


@pytest.mark.parametrize("stage", ["evaluate_all", "distances"])
def test_a_checkpoint_of_another_fold_is_not_measured(study, stage):
    """As by a copy under the wrong name."""
    about = {"dataset": "Tabletop('train')", "fold": 1}
    save_checkpoint(study.CHECKPOINTS / "fold0.safetensors", Lite0(), about)
    with pytest.raises(
        ValueError, match=r"mug, bottle.*: trained on by fold0.safetensors \(for fold 1 of Tabletop"
    ):
        getattr(study, stage)([0], 2)
