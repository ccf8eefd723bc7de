"""Programs that are no part of the package, as modules; and how far a training has come."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

from safetensors import SafetensorError, safe_open

DATA = Path(__file__).resolve().parents[1] / "data"


def script(name: str) -> ModuleType:
    """A program in `data`, loaded afresh: what a test changes in it is gone with the test."""
    spec = importlib.util.spec_from_file_location(Path(name).stem.replace("-", "_"), DATA / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps_saved(path: Path) -> int:
    """The step of the state file; 0 before there is one."""
    try:
        with safe_open(path, "pt") as file:
            return json.loads(file.metadata()["step"])
    except (FileNotFoundError, SafetensorError):
        return 0
