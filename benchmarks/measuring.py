"""What the benchmarks share: clocks, the peak of memory, and a table."""

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


def clocks() -> np.ndarray:
    """Seconds on the wall, and seconds that the cores have worked: on a busy machine the second counts."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return np.array([time.perf_counter(), time.process_time()])


def alternately(works: dict[str, Callable], rounds: int, warm_up: int = 0) -> tuple[dict, dict]:
    """What each gives when first called, and its median of wall and CPU seconds.

    They are called in turns, so that a neighbour's load falls on all alike.
    """
    results, seconds = {}, {name: [] for name in works}
    for number in range(warm_up + rounds):
        for name, work in works.items():
            start = clocks()
            found = work()
            end = clocks()
            results.setdefault(name, found)
            if number >= warm_up:
                seconds[name].append(end - start)
    return results, {name: np.median(values, axis=0) for name, values in seconds.items()}


def peak() -> float:
    """The largest memory of this process so far, in GB: of the GPU if there is one, else of the host."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says may be the parent's
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def load() -> float | None:
    """How many processes have lately wanted a core, ours among them: what times suffer from."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def table(head: list[str], rows: list[list]) -> str:
    """A table in Markdown; numbers get three digits."""

    def text(value) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(text, line)) + " |" for line in lines)
