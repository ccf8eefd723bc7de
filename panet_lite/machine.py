"""The machine a run is on: its device and what that is good at, the processes of torchrun, the wish to stop
(chapter 6)."""

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

PRECISIONS = ("auto", "float32", "bfloat16")


def device_named(name: str) -> torch.device:
    """The device; a ValueError says what to do where this machine has none of that name."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("There is no CUDA device here (or this torch is a CPU build): use --device cpu.")
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # torchrun: one for each process
    try:
        one = torch.ones(1, device=name)
        one.item()  # "meta" has no numbers
        return one.device
    except Exception as error:  # each kind of device has its own
        raise ValueError(f"There is no device {name!r} here: use --device cpu.") from error


def gains_by_bfloat16(device: torch.device) -> bool:
    """Does the chip multiply bfloat16 faster than float32? NVIDIA's do from Ampere on, Colab's T4 does not."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    chip: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(chip.get(name) for name in ("avx512_bf16", "amx_bf16"))


def reduced_precision(device: torch.device, precision: str = "auto") -> torch.autocast:
    """bfloat16 for the backbone, the head stays in float32; "auto": where the chip gains by it.

    Measured: half the time for the narrow twin on a CPU with avx512_bf16. "float32" does nothing.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"There is no precision {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    enabled = precision == "bfloat16" or precision == "auto" and gains_by_bfloat16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def layout(device: torch.device) -> torch.memory_format:
    """How convolutions want images to lie: channels last, but for GPUs without tensor cores for them."""
    plain = device.type == "cuda" and not gains_by_bfloat16(device)
    return torch.contiguous_format if plain else torch.channels_last


@contextlib.contextmanager
def tuned() -> Iterator[None]:
    """Meanwhile cuDNN times its algorithms for each new shape and keeps the fastest; a CPU does not notice."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def circumstances(device: torch.device) -> dict[str, object]:
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
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
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
    """Meanwhile SIGTERM, SIGHUP and Ctrl-C only set a flag, which this gives; a second one ends at once."""
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    if before[signal.SIGHUP] is signal.SIG_IGN:  # by nohup
        del before[signal.SIGHUP]

    def note(number: int, frame: object) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
