"""The Makefile's environment: made once, mended when it breaks, and nobody else's is touched.

A shell script stands in for Python, its venv and its pip: what make asks of them is written to a log.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = r"""#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
  "-c import sys, venv, ensurepip"*) [ -z "$WRONG_VERSION" ] ;;
  --version) echo "Python 3.12.0" ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip --version") [ ! -e "$(dirname "$0")/no-pip" ] ;;
  *" freeze") cat "$(dirname "$0")/../freeze" 2>/dev/null; true ;;
  *" install --no-compile -r requirements.txt")
    [ -z "$CHANGED_SOMETHING" ] || echo other > "$(dirname "$0")/../freeze"
    [ -z "$NO_NETWORK" ] || exit 1
    cat requirements.txt > "$(dirname "$0")/../freeze" ;;
esac
"""
FOLDERS = ["book", "data", "panet_lite", "tests"]
PATHS = ["plain", "two words", "it's", 'the "book"', "for $5", "a&b;c"]


@pytest.fixture
def checkout(tmp_path):
    """`checkout(name)` makes a folder with the Makefile and stand-ins; its `make(...)` runs it there."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    tools, log = tmp_path / "tools", tmp_path / "log"
    tools.mkdir()
    (tools / "python3").write_text(STAND_IN)
    (tools / "python3").chmod(0o755)

    class Checkout:
        def __init__(self, name="checkout"):
            self.folder = tmp_path / name
            for inner in FOLDERS:
                (self.folder / inner).mkdir(parents=True)
            shutil.copy(ROOT / "Makefile", self.folder)
            for file in ("requirements.txt", "pyproject.toml", "_config.yml"):
                (self.folder / file).write_text("one\n")
            self.venv = self.folder / ".venv"

        def make(self, *what, **environment):
            env = {
                "PATH": f"{tools}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "LOG": str(log),
                **environment,
            }
            return subprocess.run(
                ["make", *what], cwd=self.folder, env=env, capture_output=True, text=True, timeout=60
            )

        def installs(self):
            return log.read_text().count(" -r requirements.txt") if log.exists() else 0

    return Checkout


@pytest.mark.parametrize("name", PATHS)
def test_made_once_wherever_the_checkout_lies(name, checkout):
    there = checkout(name)
    for _ in range(2):
        done = there.make("environment")
        assert done.returncode == 0, done.stderr
    assert there.installs() == 1
    assert sorted(p.name for p in there.folder.iterdir()) == [
        ".venv", "Makefile", "_config.yml", "book", "data", "panet_lite", "pyproject.toml", "requirements.txt", "tests"]  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_an_environment_elsewhere(name, checkout, tmp_path):
    there = checkout()
    where = tmp_path / "venvs" / name
    for _ in range(2):
        done = there.make(f"VENV={where}", "environment")
        assert done.returncode == 0, done.stderr
    assert there.installs() == 1 and (where / "bin" / "python").exists() and not there.venv.exists()
    assert there.make(f"VENV={where}", "distclean").returncode == 0
    assert not where.exists()


def test_two_targets_at_once_share_one_installation(checkout):
    there = checkout()
    done = there.make("-j4", "book", "test")
    assert done.returncode == 0, done.stderr
    assert there.installs() == 1


def test_made_anew_where_versions_change_or_the_checkout_moves(checkout, tmp_path):
    there = checkout()
    there.make("environment")
    (there.folder / "requirements.txt").write_text("two\n")
    assert there.make("environment").returncode == 0 and there.installs() == 2
    os.utime(there.folder / "requirements.txt")  # touched, not changed
    assert there.make("environment").returncode == 0 and there.installs() == 2
    there.folder = there.folder.rename(tmp_path / "moved")
    assert there.make("environment").returncode == 0 and there.installs() == 3


def test_a_course_of_ones_own(checkout, tmp_path):
    done = checkout().make(
        "course", "EXERCISES=ex-03-pool:3 ex-03-halve", "OUT=a b", REPOSITORY="https://a.b/c"
    )
    assert done.returncode == 0, done.stderr
    wanted = "book/course.py a b --exercises ex-03-pool:3 ex-03-halve --repository https://a.b/c\n"
    assert wanted in (tmp_path / "log").read_text()


def test_the_shells_own_variable_is_not_meant(checkout, tmp_path):
    """VENV is a name that many shells carry: what it names is neither filled nor deleted."""
    there, other = checkout(), tmp_path / "somewhere"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    for target in ("environment", "book", "distclean"):
        done = there.make(target, VENV=str(other))
        assert done.returncode == 0, done.stderr
        assert [p.name for p in other.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("pip", [True, False])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_an_environment_of_somebody_else_is_left_alone(pip, elsewhere, checkout, tmp_path):
    there = checkout()
    venv = tmp_path / "theirs" if elsewhere else there.venv
    given = [f"VENV={venv}"] if elsewhere else []
    (venv / "bin").mkdir(parents=True)
    shutil.copy(tmp_path / "tools" / "python3", venv / "bin" / "python")
    if not pip:
        (venv / "bin" / "no-pip").touch()
    before = sorted(venv.rglob("*"))
    done = there.make(*given, "environment")
    assert done.returncode and "was not made by make" in done.stderr and str(venv.name) in done.stderr
    assert there.make(*given, "distclean").returncode == 0
    assert sorted(venv.rglob("*")) == before and there.installs() == 0


def test_an_update_without_a_network_changes_nothing(checkout):
    there = checkout()
    there.make("environment")
    before = {p: p.read_text() for p in there.venv.rglob("*") if p.is_file()}
    (there.folder / "requirements.txt").write_text("two\n")
    done = there.make("environment", NO_NETWORK="1")
    assert done.returncode and "as it was" in done.stderr
    assert {p: p.read_text() for p in there.venv.rglob("*") if p.is_file()} == before
    (there.folder / "requirements.txt").write_text("one\n")  # back to what is installed: nothing to do
    assert there.make("environment", NO_NETWORK="1").returncode == 0
    (there.folder / "requirements.txt").write_text("two\n")
    assert there.make("environment").returncode == 0


def test_a_first_installation_without_a_network_can_be_repeated(checkout):
    there = checkout()
    assert there.make("environment", NO_NETWORK="1").returncode
    assert there.make("environment").returncode == 0


def test_what_was_cut_off_is_made_again(checkout):
    there = checkout()
    there.make("environment")
    (there.folder / "requirements.txt").write_text("two\n")
    done = there.make("environment", NO_NETWORK="1", CHANGED_SOMETHING="1")
    assert done.returncode and "made again" in done.stderr
    (there.venv / "left-over").touch()
    assert there.make("environment").returncode == 0
    assert not (there.venv / "left-over").exists()


def test_two_makes_do_not_install_at_once(checkout):
    there = checkout()
    there.make("environment")
    (there.venv / ".panet-lite-installing").write_text(f"{os.getpid()}\n")  # a process that lives
    done = there.make("environment")
    assert done.returncode and "wait until it is done" in done.stderr
    assert there.installs() == 1 and (there.venv / "bin" / "python").exists()


def test_python_of_another_version(checkout):
    there = checkout("other")
    for name in ("python3.11", "python3.12", "python3.13"):  # and none of those that the machine may have
        shutil.copy(there.folder.parent / "tools" / "python3", there.folder.parent / "tools" / name)
    done = there.make("environment", WRONG_VERSION="1")
    assert done.returncode and "no Python 3.11, 3.12 or 3.13" in done.stderr
    assert not there.venv.exists()
