"""The machine a run is on: its device, the processes of torchrun, the wish to stop (chapter 6)."""

import contextlib
import datetime
import os
import platform
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor


def device_named(name: str) -> torch.device:
    """The device; a ValueError says what to do where this machine has none of that name."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("There is no CUDA device here (or this torch is a CPU build): use --device cpu.")
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # torchrun: one for each process
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"There is no device {name!r} here: use --device cpu.") from error


def circumstances(device: torch.device) -> dict:
    """What a number depends on beside code, data and seed; and the day."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux says more
        name = (re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text()) or [name])[0]
    gpu = device.type == "cuda"
    return {
        "hardware": torch.cuda.get_device_name(device) if gpu else f"{name}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "processes": world()[1],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def world() -> tuple[int, int]:
    """(rank, processes): (0, 1) unless torchrun has started several."""
    there = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if there else (0, 1)


def total(values: Tensor) -> Tensor:
    """Their sum over the processes. CPU tensors go from host to host, and no device is waited for."""
    if world()[1] > 1:
        dist.all_reduce(values)
    return values


@contextlib.contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun has started, if it has, and leave them at the end."""
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Meanwhile SIGTERM and Ctrl-C only set a flag, which this gives; a second one ends at once."""
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number, frame):
        asked.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
