"""Runs that survive the world: what is done is on disk whatever happens, and what is on disk is not believed blindly."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import pytest
import torch
from fuzzing import fuzz
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load, save_file

from panet_lite.__main__ import main
from panet_lite.backbones import VGG16
from panet_lite.commands import training as command
from panet_lite.datasets import SegmentationDataset
from panet_lite.datasets import voc as datasets
from panet_lite.files import alone
from panet_lite.machine import asked_to_stop
from panet_lite.model import PANet
from panet_lite.training import (
    LAPTOP,
    State,
    load_state,
    save_checkpoint,
    save_state,
    train,
    training_episodes,
)
from panet_lite.training import loop as training

WIDTH = "0.0625"
TRAIN = [
    "train",
    "--width",
    WIDTH,
    "--device",
    "cpu",
    "--weights",
    "random",
    "--recipe",
    "paper",
    "--size",
    "32",
]
TRAIN += ["--iterations", "6", "--seed", "3", "--out"]


@pytest.fixture
def cli(tiny_voc, monkeypatch, capsys):
    """Runs a command on the tiny data set: (exit code, what it says on stderr line by line)."""
    monkeypatch.setattr(datasets, "DATA", tiny_voc)
    monkeypatch.setattr(training, "LOG_EVERY", 3)

    def run(*argv):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            code = main([str(a) for a in argv])
        err = capsys.readouterr().err.splitlines()
        return code, [
            line for line in err if line.startswith(("panet_lite: ", "Note: ")) or "it/s" not in line
        ]

    return run


@pytest.fixture
def whole(cli, tmp_path):
    """The folder of a run that nothing befell."""
    assert cli(*TRAIN, tmp_path / "whole") == (0, [])
    return tmp_path / "whole"


def load_file(path):
    """Its tensors in memory: those of safetensors' own function lie in the file, and die with it."""
    return load(path.read_bytes())


def step_of(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["step"])


def same(a, b, name="state.safetensors"):
    """Of two runs: the same tensors, bit for bit."""
    a, b = load_file(a / name), load_file(b / name)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def nth(real, n, error):
    """The function `real`, whose n-th call raises."""
    calls = iter(range(1, 10**6))

    def call(*args, **kwargs):
        if next(calls) == n:
            raise error
        return real(*args, **kwargs)

    return call


# --- what is there, and what says so -----------------------------------------------------------------


@pytest.mark.parametrize("fails", ["save_checkpoint", "save_state"])
def test_no_state_speaks_of_weights_that_are_not_there(cli, tmp_path, monkeypatch, fails):
    """Of steps 2 and 4, the second cannot be written: the state on disk never passes the checkpoint."""
    out, real, calls = tmp_path / "run", getattr(command, fails), []

    def full(path, *given):
        calls.append(path)
        if len(calls) > 1:
            raise OSError(f"Could not write {path} (No space left on device): nothing was changed there.")
        real(path, *given)

    monkeypatch.setattr(command, fails, full)
    code, (line,) = cli(*TRAIN, out, "--save-every", 2)
    assert code == 1 and "(No space left on device): nothing was changed there. 2 steps are kept: the" in line
    assert step_of(out / "state.safetensors") == 2 <= step_of(out / "checkpoint.safetensors")


@pytest.mark.parametrize("loss", ["gone", "cut", "empty", "older"])
def test_a_checkpoint_that_was_lost_is_made_again(cli, whole, tmp_path, capsys, loss):
    path = whole / "checkpoint.safetensors"
    before, tensors = path.read_bytes(), load_file(path)
    if loss == "older":
        save_checkpoint(path, VGG16(1 / 16), {"step": 4})
    else:
        path.write_bytes({"cut": before[:-100]}.get(loss, b""))
    if loss == "gone":
        path.unlink()
    assert cli(*TRAIN, whole, "--resume") == (0, [])
    again = load_file(path)
    assert step_of(path) == 6 and all(torch.equal(again[k], tensors[k]) for k in tensors)


def test_a_finished_run_is_left_alone(cli, whole):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.iterdir()}
    assert {path.name for path in before} == {"checkpoint.safetensors", "state.safetensors", "log.json"}
    assert cli(*TRAIN, whole, "--resume") == (0, [])
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.iterdir()} == before


# --- two runs, one folder ----------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_a_second_run_does_not_write_into_the_folder_of_the_first(cli, tmp_path, more):
    out = tmp_path / "run"
    with alone(out / ".lock", 0, "busy"):
        busy = f"panet_lite: Another run writes into {out} right now: wait for its end, or choose another folder."
        assert cli(*TRAIN, out, *more) == (1, [busy]) and [path.name for path in out.iterdir()] == [".lock"]
    assert list(out.iterdir()) == []


def test_the_lock_of_a_killed_run_is_no_lock(cli, tmp_path):
    code = "import sys, time, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / ".lock")], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert cli(*TRAIN, tmp_path)[0] == 1
    process.kill()
    process.wait()
    assert (tmp_path / ".lock").exists() and cli(*TRAIN, tmp_path) == (0, [])


def test_a_run_that_ended_while_another_was_getting_ready_is_not_lost(cli, whole, tmp_path, monkeypatch):
    """It appears after the first look at the folder, before the lock."""
    real = command.open_dataset
    monkeypatch.setattr(
        command, "open_dataset", lambda *x: shutil.copytree(whole, tmp_path / "late") and real(*x)
    )
    code, (line,) = cli(*TRAIN, tmp_path / "late")
    assert code == 1 and "holds a run already" in line and same(whole, tmp_path / "late")


# --- errors in the middle of a run -------------------------------------------------------------------


ERRORS = {
    "python's memory": (MemoryError(), "There is not enough memory (MemoryError): take a smaller --size"),
    "cuda's memory": (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "Tried to allocate 2 GiB)"),
    "linux's memory": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
        "There is not enough memory ([enforce",
    ),
    "another's": (RuntimeError("not enough memory: you tried to allocate 9 bytes"), "There is not enough memory"),
    "key": (KeyError("no such thing"), "KeyError: 'no such thing'. Please report this"),
    "nothing": (AssertionError(), "AssertionError: AssertionError. Please report this"),
    "device": (RuntimeError("CUDA error: an illegal memory access"), "RuntimeError: CUDA error: an illegal"),
    "disk": (OSError(5, "Input/output error", "a.jpg"), "Input/output error: a.jpg."),
    "value": (ValueError("odd picture"), "odd picture"),
}  # fmt: skip


@pytest.mark.parametrize("where", ["step", "data"])
@pytest.mark.parametrize("error, says", ERRORS.values(), ids=ERRORS)
def test_an_error_in_the_middle_loses_no_step(cli, whole, tmp_path, monkeypatch, where, error, says):
    out, error = tmp_path / "run", copy.copy(error)  # it gathers notes
    with monkeypatch.context() as patch:
        if where == "step":
            patch.setattr(training, "sgd_step", nth(training.sgd_step, 5, error))
        else:
            read = nth(SegmentationDataset.image, 9, error)
            patch.setattr(SegmentationDataset, "image", lambda self, index: read(self, index))
            patch.setattr(training, "look_ahead", lambda *_: None)
        code, (line,) = cli(*TRAIN, out)
    assert code == 1 and says in line
    assert line.endswith(" 4 steps are kept: the same command with --resume goes on from there.")
    assert step_of(out / "state.safetensors") == step_of(out / "checkpoint.safetensors") == 4
    assert cli(*TRAIN, out, "--resume") == (0, []) and same(whole, out)
    logs = [json.loads((folder / "log.json").read_text())["log"] for folder in (whole, out)]
    assert [[(e["step"], e["seg"]) for e in log] for log in logs][0] == [
        (e["step"], e["seg"]) for e in logs[1]
    ]


def test_an_error_before_the_first_step_promises_nothing(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "sgd_step", nth(training.sgd_step, 1, MemoryError()))
    code, (line,) = cli(*TRAIN, tmp_path)
    assert code == 1 and "kept" not in line and not (tmp_path / "state.safetensors").exists()


def test_what_a_broken_step_drew_is_drawn_again(tiny):
    """Dropout draws from torch's generator before the step breaks: the state is that of before."""

    class Dropping(PANet):
        def embed(self, images):
            return torch.nn.functional.dropout(super().embed(images), 0.2, self.training)

    def run(saved, state=None, fail=None):
        torch.manual_seed(0)
        model = Dropping(VGG16(1 / 16))
        recipe = replace(LAPTOP, iterations=6, episodes_per_step=1)
        sampler, forward = training_episodes(tiny("train", size=32), 0, recipe), model.forward
        calls = iter(range(1, 99))

        def late(episode):
            result = forward(episode)
            return result if next(calls) != fail else 1 / 0

        model.forward = late
        train(model, sampler, recipe, lambda entry: None, saved.append, state=state)

    whole, parts = [], []
    run(whole)
    with pytest.raises(ZeroDivisionError):
        run(parts, fail=4)
    run(parts, parts[-1])
    assert [state.step for state in parts] == [3, 6] and whole[-1].tensors.keys() == parts[-1].tensors.keys()
    assert all(torch.equal(value, parts[-1].tensors[name]) for name, value in whole[-1].tensors.items())


def test_weights_of_which_some_have_made_a_step_are_not_saved(tiny, monkeypatch):
    class Breaking(torch.optim.SGD):
        def step(self, *args, **kwargs):
            steps.append(1)
            if len(steps) == 4:
                self.param_groups[0]["params"][0].data.zero_()
                raise MemoryError
            return super().step(*args, **kwargs)

    steps, saved = [], []
    monkeypatch.setattr(torch.optim, "SGD", Breaking)
    recipe = replace(LAPTOP, iterations=6, episodes_per_step=1)
    sampler = training_episodes(tiny("train", size=32), 0, recipe)
    with pytest.raises(MemoryError):
        train(PANet(VGG16(1 / 16)), sampler, recipe, lambda entry: None, saved.append, save_every=2)
    assert [state.step for state in saved] == [2]


def test_a_log_that_cannot_be_written_loses_no_step(cli, whole, tmp_path, monkeypatch):
    """Nor what it would have said: the next entry is the mean of all steps since the last."""
    out, real = tmp_path / "run", command.write_atomically
    with monkeypatch.context() as patch:
        patch.setattr(command, "write_atomically", nth(real, 2, OSError(30, "Read-only file system")))
        code, (line,) = cli(*TRAIN, out)
    assert code == 1 and "Read-only file system" in line and line.endswith("goes on from there.")
    state = load_file(out / "state.safetensors")
    assert step_of(out / "state.safetensors") == 3 and state["losses"].shape == (3, 2)
    assert cli(*TRAIN, out, "--resume") == (0, []) and same(whole, out)
    logs = [json.loads((folder / "log.json").read_text())["log"] for folder in (whole, out)]
    assert [entry["step"] for entry in logs[1]] == [6]
    assert logs[1][0]["seg"] == pytest.approx((logs[0][0]["seg"] + logs[0][1]["seg"]) / 2, abs=2e-4)


COMMAND = "import sys; from panet_lite.training import loop; loop.LOG_EVERY = 2; from panet_lite.__main__ import main; sys.exit(main())"


@pytest.mark.slow
def test_a_pipe_that_nobody_reads(tiny_voc, tmp_path, cli):
    """`| head -1`: the run stops behind a saved step, says so once, and goes on to the same bits."""
    own = {
        "PANET_LITE_DATA": str(tiny_voc),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *TRAIN, str(tmp_path / "run")], env={**os.environ, **own}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait() == 1 and error == (
        "panet_lite: Stopped after step 3 of 6, as nobody reads the output (Broken pipe): the same command with "
        "--resume goes on from there.\n"
    )
    entries = json.loads((tmp_path / "run" / "log.json").read_text())["log"]
    assert step_of(tmp_path / "run" / "state.safetensors") == 3 and [e["step"] for e in entries] == [2]
    assert cli(*TRAIN, tmp_path / "run", "--resume") == (0, []) and cli(*TRAIN, tmp_path / "whole") == (0, [])
    assert same(tmp_path / "run", tmp_path / "whole", "checkpoint.safetensors")


def test_a_terminal_that_is_gone_asks_to_stop():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        with asked_to_stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            for _ in range(200):  # another thread of a busy process may be the one that is interrupted
                if stop():
                    break
                time.sleep(0.01)
            assert stop()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with asked_to_stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


WAITS = """
import signal, sys, time, types
sys.argv, torch = sys.argv[1:], types.ModuleType("torch")
def stand_in(name):
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
    time.sleep(600)
torch.__getattr__ = stand_in  # the first thing that the package wants of it takes long
sys.modules["torch"] = torch
import panet_lite
"""


@pytest.mark.parametrize("argv, says", [("-m", False), ("somebody's.py", True)])
def test_ctrl_c_during_imports_is_quiet(argv, says):
    """Under `python -m panet_lite`, before its main() can catch it; who imports the package keeps his handler."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == f"{says}\n"
    process.send_signal(signal.SIGINT)
    assert ("Traceback" in process.communicate()[1]) == says and process.returncode == -signal.SIGINT


# --- states and logs that are not as they were -------------------------------------------------------


@pytest.fixture
def half(cli, tmp_path, monkeypatch):
    """The folder of a run that was broken off after step 4 of 6, and its log of the first 3."""
    with monkeypatch.context() as patch:
        patch.setattr(training, "sgd_step", nth(training.sgd_step, 5, MemoryError()))
        assert cli(*TRAIN, tmp_path / "half")[0] == 1
    return tmp_path / "half"


def written(path, tensors, **texts):
    """The same file with these tensors and texts of its header; None takes one away."""
    with safe_open(path, "pt") as file:
        texts = {**file.metadata(), **texts}
    save_file(tensors, path, {key: text for key, text in texts.items() if text is not None})


ODD_HEADERS = {
    "no step": ({"step": None}, "is damaged"), "step": ({"step": "5"}, "is damaged"),
    "step in words": ({"step": '"4"'}, "is damaged"), "seconds": ({"seconds": "[]"}, "is damaged"),
    "no seconds": ({"seconds": None, "checksum": None}, "is damaged"), "seal": ({"checksum": '"0"'}, "is damaged"),
    "old without step": ({"step": None, "checksum": None}, "is damaged"),
    "old, step in words": ({"step": '"4"', "checksum": None}, "is damaged"),
    "no settings": ({"settings": None}, "is not the state of a training"),
    "settings": ({"settings": "[1]"}, "is not the state of a training"),
    "no JSON": ({"step": "{"}, "is not the state of a training"),
    "other settings": ({"settings": "{}"}, "was started with fold None, not 0"),
}  # fmt: skip


@pytest.mark.parametrize("texts, says", ODD_HEADERS.values(), ids=ODD_HEADERS)
def test_a_header_that_is_odd(cli, half, texts, says):
    path = half / "state.safetensors"
    written(path, load_file(path), **texts)
    before = path.read_bytes()
    code, (line,) = cli(*TRAIN, half, "--resume")
    assert code == 1 and says in line and str(half) in line and path.read_bytes() == before


WEIGHT, MOMENTUM = "model.backbone.features.0.weight", "momentum.backbone.features.0.weight"
ODD_TENSORS = {
    "lacks a weight": lambda t: t.pop(WEIGHT), "lacks a momentum": lambda t: t.pop(MOMENTUM),
    "lacks the losses": lambda t: t.pop("losses"), "lacks the generator": lambda t: t.pop("rng"),
    "shape": lambda t: t.update({WEIGHT: t[WEIGHT][:1].clone()}), "kind": lambda t: t.update({WEIGHT: t[WEIGHT].half()}),
    "momentum's kind": lambda t: t.update({MOMENTUM: t[MOMENTUM].double()}),
    "losses in a row": lambda t: t.update(losses=torch.zeros(2)), "a number": lambda t: t.update(losses=torch.zeros(())),
    "no generator": lambda t: t.update(rng=torch.zeros_like(t["rng"])), "short": lambda t: t.update(rng=t["rng"][:9].clone()),
}  # fmt: skip


@pytest.mark.parametrize("seal", ["kept", "of an earlier version", "new"])
@pytest.mark.parametrize("change", ODD_TENSORS.values(), ids=ODD_TENSORS)
def test_tensors_that_are_odd(cli, half, change, seal):
    """Whether the file was spoilt, or written like that."""
    path = half / "state.safetensors"
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["settings"])
    tensors = load_file(path)
    change(tensors)
    if seal == "new":
        save_state(path, State(4, 1.0, tensors), settings)
    else:
        written(path, tensors, **({} if seal == "kept" else {"checksum": None}))
    code, (line,) = cli(*TRAIN, half, "--resume")
    assert code == 1 and line.startswith(f"panet_lite: {path} is ") and "train into another folder." in line
    assert ("is damaged, its parts" in line) == (seal == "kept")


def test_a_state_of_an_earlier_version_is_gone_on_with(cli, half, whole):
    written(half / "state.safetensors", load_file(half / "state.safetensors"), checksum=None)
    assert cli(*TRAIN, half, "--resume") == (0, []) and same(half, whole)


def test_a_state_for_another_network_is_refused_in_the_library_too(tiny, half):
    recipe = replace(LAPTOP, iterations=6, episodes_per_step=1)
    state = load_state(half / "state.safetensors", {})
    with pytest.raises(
        ValueError, match=rf"^{half}/state.safetensors is not of this network, or damaged \(model"
    ):
        train(PANet(VGG16(1 / 8)), training_episodes(tiny("train"), 0, recipe), recipe, state=state)


LOGS = [
    "{}", "[]", "", "null", "3", '{"log": 3}', '{"log": {}}', '{"log": [{}]}', '{"log": [[1, 2]]}', '{"log": [null]}',
    '{"log": [{"step": "3", "seg": 1, "par": 1, "seconds": 1}]}', '{"log": [{"step": 3}]}', "[" * 10**5, "\xff\xfe",
]  # fmt: skip


@pytest.mark.parametrize("text", LOGS)
def test_a_log_that_is_none(cli, half, whole, text):
    path = half / "log.json"
    path.write_bytes(text.encode("latin1"))
    code, (line,) = cli(*TRAIN, half, "--resume")
    assert code == 1 and line.startswith(f"panet_lite: {path} is no log of a training (")
    assert path.read_bytes() == text.encode("latin1")  # it may still be looked at
    path.unlink()
    code, (line,) = cli(*TRAIN, half, "--resume")
    assert code == 0 and line == f"Note: There is no {path} any more: it begins anew after step 4."
    assert same(half, whole) and [e["step"] for e in json.loads(path.read_text())["log"]] == [6]


# --- anything at all ---------------------------------------------------------------------------------

FILES = st.sampled_from(["state.safetensors", "checkpoint.safetensors", "log.json"])
SPOILS = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 10**6)),
    st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(1, 255)),
    st.tuples(st.just("flip early"), st.integers(0, 4000), st.integers(1, 255)),
    st.tuples(st.just("drop"), st.integers(0, 99)),
    st.tuples(st.just("turn"), st.integers(0, 99)),
    st.tuples(st.just("kind"), st.integers(0, 99), st.sampled_from([torch.float16, torch.int8, torch.bool, torch.float64])),
    st.tuples(st.just("swap"), st.integers(0, 99), st.integers(0, 99)),
    st.tuples(st.just("text"), st.integers(0, 99), st.text(max_size=9)),
)  # fmt: skip


def spoil(path, kind, n, more=None):
    """Change a file in one of the ways above; of a log only its bytes."""
    content = bytearray(path.read_bytes())
    if kind == "cut" or path.suffix == ".json" and not kind.startswith("flip"):
        path.write_bytes(content[: n % len(content)])
    elif kind.startswith("flip"):
        content[n % len(content)] ^= more
        path.write_bytes(content)
    else:
        tensors = load_file(path)
        name = sorted(tensors)[n % len(tensors)]
        if kind == "text":
            with safe_open(path, "pt") as file:
                return written(path, tensors, **{sorted(file.metadata())[n % len(file.metadata())]: more})
        other = sorted(tensors)[(more if kind == "swap" else n) % len(tensors)]
        change = {
            "drop": lambda: tensors.pop(name), "turn": lambda: tensors.update({name: tensors[name].mT.contiguous()}),
            "kind": lambda: tensors.update({name: tensors[name].to(more)}),
            "swap": lambda: tensors.update({name: tensors[other].clone(), other: tensors[name].clone()}),
        }  # fmt: skip
        if kind == "turn" and tensors[name].ndim < 2:
            kind = "drop"
        change[kind]()
        written(path, tensors)


@fuzz(40, name=FILES, spoilt=SPOILS)
def test_whatever_was_spoilt_is_said_in_a_sentence_or_did_no_harm(cli, half, whole, name, spoilt):
    """A state that was changed is refused, or is gone on with to the same bits."""
    run = half.with_name("again")
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(half, run)
    spoil(run / name, *spoilt)
    code, lines = cli(*TRAIN, run, "--resume")
    assert [line for line in lines if not line.startswith(("panet_lite: ", "Note: "))] == []
    assert not any("Please report" in line for line in lines), lines
    if code == 0:
        assert same(run, whole) and same(run, whole, "checkpoint.safetensors")
    else:
        assert code == 1 and len([line for line in lines if line.startswith("panet_lite: ")]) == 1


@fuzz(30, spoilt=SPOILS)
def test_whatever_was_spoilt_in_a_checkpoint_is_said_by_evaluate(cli, half, spoilt):
    path = half / "spoilt.safetensors"
    shutil.copy(half / "checkpoint.safetensors", path)
    spoil(path, *spoilt)
    code, lines = cli(
        "evaluate",
        "--weights",
        path,
        "--device",
        "cpu",
        "--size",
        32,
        "--runs",
        1,
        "--episodes",
        1,
        "--shots",
        1,
    )
    assert code in (0, 1) and len(lines) <= 1 and not any("Please report" in line for line in lines), lines
