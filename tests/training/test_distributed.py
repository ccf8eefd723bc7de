"""Several processes: the same numbers as one, one log, one set of files, and they stop together."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from running import steps_saved
from safetensors.torch import load_file, save_file

from panet_lite.__main__ import main
from panet_lite.backbones import VGG16
from panet_lite.datasets import voc as datasets

NARROW = 1 / 16
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
pytestmark = pytest.mark.slow

# Six steps in float32 (bfloat16 rounds another batch in another way), with the losses of each step.
SIX_STEPS = """
import os, sys
from dataclasses import replace
import torch
from safetensors.torch import save_file
from panet_lite import PANet, machine
from panet_lite.training import loop as training
from panet_lite.backbones import VGG16
from panet_lite.datasets import Tabletop
from panet_lite.datasets import ImageBank

root, episodes, device, out = sys.argv[1:]
device = machine.device_named(device)
with machine.processes(device):
    rank, processes = machine.world()
    torch.manual_seed(rank)  # the first process decides
    recipe = replace(training.LAPTOP, iterations=6, milestones=(3,), episodes_per_step=int(episodes), precision="float32")
    sampler = training.training_episodes(ImageBank(Tabletop("train", 32, root), device), 1, recipe)
    log, saved, model = [], [], PANet(VGG16(1 / 16)).to(device)
    training.train(model, sampler, recipe, log.append, saved.append, save_every=5)
    assert len(log) == (rank == 0) and [s.step for s in saved] == ([5, 6] if rank == 0 else [])
    weights = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    tensors = {**saved[1].tensors, "losses": saved[0].tensors["losses"]} if saved else weights
    save_file(tensors, f"{out}.{rank}")
    sys.stdout.write(f"{processes} processes\\n")  # in one piece: the processes share a pipe
"""


@pytest.fixture
def environment(tiny_voc, tmp_path):
    """For a subprocess: the tiny data set, a cache of its own, a thread for each process."""
    own = {
        "PANET_LITE_DATA": str(tiny_voc),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    return {**os.environ, **own}


def run(command, environment, code=0):
    """The finished process, which must end with `code`."""
    done = subprocess.run([str(a) for a in command], capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no two NVIDIA GPUs"),
            ],
        ),
    ],
)
def test_two_processes_are_one_with_twice_the_episodes(tiny_voc, tmp_path, environment, device):
    script = tmp_path / "six_steps.py"
    script.write_text(SIX_STEPS)
    root = tiny_voc / "tabletop"
    one = run([sys.executable, script, root, 4, device, tmp_path / "one"], environment)
    two = run([*TORCHRUN, script, root, 2, device, tmp_path / "two"], environment)
    assert one.stdout.split() == ["1", "processes"] and two.stdout.split() == ["2", "processes"] * 2
    one, first, second = (load_file(tmp_path / name) for name in ("one.0", "two.0", "two.1"))
    assert one.keys() == first.keys() and one["losses"].shape == (5, 2)
    for name in one:
        torch.testing.assert_close(
            first[name], one[name], rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
    for name, value in second.items():  # and both processes hold the same model
        assert torch.equal(value, first[name])


def worker(launcher, rank):
    """The process that torchrun has started as `rank`."""
    children = psutil.Process(launcher.pid).children(recursive=True)
    return next(child for child in children if child.environ().get("RANK") == str(rank))


def test_a_signal_to_any_stops_all_at_the_same_step_and_they_go_on(
    tiny_voc, tmp_path, environment, monkeypatch, capsys
):
    options = ["train", "--width", NARROW, "--device", "cpu", "--size", 32, "--weights", "random"]
    options += ["--recipe", "paper", "--iterations", 55, "--save-every", 4, "--resume", "--out"]
    command = [str(a) for a in (*TORCHRUN, "-m", "panet_lite", *options)]
    done = run([*command, tmp_path / "whole"], environment)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [entry["step"] for entry in lines] == [50, 55] and done.stdout.count("The weights after") == 1
    assert done.stderr.count("this is its beginning") == 1

    state = tmp_path / "parts" / "state.safetensors"
    for least, target in ((1, lambda p: worker(p, 1)), (20, lambda p: p)):  # one process; torchrun itself
        process = subprocess.Popen(
            [*command, str(tmp_path / "parts")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip
        while process.poll() is None and steps_saved(state) <= least:
            time.sleep(0.01)
        target(process).send_signal(signal.SIGTERM)
        error, step = process.communicate()[1], steps_saved(state)
        assert process.returncode != 0 and least < step < 55
        assert error.count(f"Stopped after step {step} of 55") == 1
    run([*command, tmp_path / "parts"], environment)
    whole, parts = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)

    monkeypatch.setattr(datasets, "DATA", tiny_voc)
    assert main([*map(str, options), str(tmp_path / "parts")]) == 1
    assert "was started with processes 2, not 1" in capsys.readouterr().err


def test_a_mistake_is_said_once(tmp_path, environment):
    command = [
        *TORCHRUN,
        "-m",
        "panet_lite",
        "train",
        "--fold",
        7,
        "--device",
        "cpu",
        "--out",
        tmp_path / "out",
    ]
    done = run(command, environment, code=1)
    assert done.stderr.count("panet_lite: There is no fold 7") == 1 and not (tmp_path / "out").exists()


def test_evaluation_is_shared_and_the_same(tmp_path, environment):
    save_file(VGG16(NARROW).state_dict(), tmp_path / "w.safetensors")
    options = [
        "-m",
        "panet_lite",
        "evaluate",
        "--width",
        NARROW,
        "--device",
        "cpu",
        "--runs",
        2,
        "--episodes",
        5,
    ]
    options += ["--weights", tmp_path / "w.safetensors", "--shots", 1, 2, "--out"]
    one = run([sys.executable, *options, tmp_path / "one.json"], environment)
    two = run([*TORCHRUN, *options, tmp_path / "two.json"], environment)
    assert one.stdout == two.stdout and len(one.stdout.splitlines()) == 2
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert (one.pop("processes"), two.pop("processes")) == (1, 2)
    different = {key for key in one if one[key] != two[key]}
    assert different <= {"command", "date"} and one.keys() == two.keys()
