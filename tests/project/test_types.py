"""The package says of what type everything is, and mypy --strict agrees; the settings stand in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def mypy(*options, cwd=ROOT):
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, options)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_types_agree(tmp_path):
    assert mypy("--cache-dir", tmp_path) == ""


def test_a_wrong_type_is_noticed(tmp_path):
    (tmp_path / "wrong.py").write_text("def double(x: int) -> str:\n    return 2 * x\n")
    settings = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path / "cache")
    assert "return-value" in mypy(*settings, "wrong.py", cwd=tmp_path)
