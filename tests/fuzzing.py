"""Fuzz tests: whatever comes in, there is a result or one sentence; never a traceback, a crash or a hang.

    MINUTES=60 make fuzz        every test that `fuzz` decorates, again and again with other seeds, in processes of their own

In the suite such a test takes few examples, always the same. What the runner finds stands in _build/fuzz: examples/,
which it tries first the next time, and last.txt, the example that a process died of.
"""

import contextlib
import faulthandler
import functools
import io
import os
import random
import re
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from subprocess import PIPE, STDOUT
from unittest import mock

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

TESTS = Path(__file__).resolve().parent
HOME = TESTS.parent / "_build" / "fuzz"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", 0))  # of each test in a round; 0: this is the suite
SEED = os.environ.get("FUZZ_SEED")  # of a round
PATIENCE = 120  # seconds for one example; then it hangs, and its process dies with a traceback of all threads


def fuzz(examples=20, **strategies):
    """A test of `examples` examples from these strategies, which the runner takes up as well."""

    def decorate(test):
        chosen = settings(
            max_examples=EXAMPLES or examples, derandomize=not EXAMPLES, deadline=None,
            database=DirectoryBasedExampleDatabase(HOME / "examples") if EXAMPLES else None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        whole = pytest.mark.fuzz(chosen(hypothesis.given(**strategies)(watched(test))))
        return (
            hypothesis.seed(int(SEED))(whole) if SEED else whole
        )  # --hypothesis-seed would leave out the examples kept

    return decorate


def watched(test):
    """The test, which dies after PATIENCE seconds; under the runner, its example is written down first."""

    @functools.wraps(test)
    def inner(**example):
        with contextlib.ExitStack() as stack:
            file = sys.__stderr__
            if EXAMPLES:
                HOME.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((HOME / "last.txt").open("w", errors="backslashreplace"))
                print(f"{test.__module__}.{test.__name__}({example})", file=file, flush=True)
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=file)
            stack.callback(faulthandler.cancel_dump_traceback_later)
            test(**example)

    return inner


def check_sentence(text, *names):
    """The text is one sentence, for a person, that says what it is about: one of `names`, if there are any."""
    assert text.endswith(".") and "Traceback" not in text, text
    assert 15 < len(text) < 3000 and text[0] != "[", text
    assert not names or any(str(name) in text for name in names), (text, names)


def check_ours(error, command=False):
    """The error was raised on purpose, by a line of ours; a command may pass on what the system says of a file."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = "panet_lite" in last.filename and last.line.startswith("raise ")
    assert ours or command and isinstance(error, OSError) and error.filename, (last, error)


@contextlib.contextmanager
def only_sentences(*names):
    """In here a ValueError or OSError is a sentence that holds one of `names`, if given; so is each note."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        with contextlib.suppress(ValueError, OSError):
            try:
                yield
            except (ValueError, OSError) as error:
                check_ours(error)
                check_sentence(str(error), *names)
                raise
    for note in notes:
        if not {"PIL", "hypothesis"} & set(Path(note.filename).parts):  # Pillow's are its own
            assert note.category is UserWarning, note
            check_sentence(str(note.message))


def run_command(main, *argv):
    """Exit code, stdout, stderr of a command in this process; stderr holds lines for a person."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    errors, module = [], sys.modules[main.__module__]
    said = mock.patch.object(module, "sentence", lambda e, make=module.sentence: errors.append(e) or make(e))
    with said, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            code = main(list(argv))
        except SystemExit as ended:  # argparse
            code = ended.code
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    assert code in (0, 1, 2), (argv, code)
    for error in errors:
        check_ours(error, command=True)
    with contextlib.suppress(hypothesis.errors.InvalidArgument):  # outside of a fuzz test
        hypothesis.event(f"exit code {code}")  # for --hypothesis-show-statistics
    assert not re.search("Traceback|Please report", texts[1]), (argv, *texts)
    assert code == 0 or texts[1], argv
    if code == 1:
        *_, last = texts[1].rstrip("\n").rpartition("panet_lite: ")
        check_sentence(last)
    if code == 2:
        assert "usage: " in texts[1], (argv, *texts)
    return code, *texts


def rounds(minutes):
    """Rounds of all fuzz tests with random seeds, for so many minutes or until one finds something; the exit code."""
    files = [
        str(p) for p in sorted(TESTS.rglob("test_*.py")) if "from fuzzing import" in p.read_text("utf-8")
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "fuzz",
        "-p",
        "no:cacheprovider",
        f"--basetemp={HOME / 'tmp'}",
    ]
    end, count = time.monotonic() + 60 * minutes, 0
    HOME.mkdir(parents=True, exist_ok=True)
    while (left := end - time.monotonic()) > 0:
        (HOME / "last.txt").write_text("")
        chosen, count = (
            {"FUZZ_EXAMPLES": str(EXAMPLES or 150), "FUZZ_SEED": str(random.randrange(2**32))},
            count + 1,
        )
        done = subprocess.Popen(
            [*command, *files], cwd=TESTS.parent, env={**os.environ, **chosen}, stdout=PIPE, stderr=STDOUT, text=True, errors="replace",
        )  # fmt: skip
        try:
            said, _ = done.communicate(timeout=left)
        except subprocess.TimeoutExpired:
            done.kill()
            break
        words = " ".join(f"{name}={value}" for name, value in chosen.items())
        if done.returncode:
            print(said)
            if "short test summary" not in said:
                print("The process died, or hung, of this:", (HOME / "last.txt").read_text(errors="replace"))
            print(
                f"==> found something in round {count}; again: {words} {' '.join(command[1:-1])} {' '.join(files)}"
            )
            return 1
        print(f"round {count}, {words}: {said.strip().splitlines()[-1]}", flush=True)
    print(f"==> nothing found in {minutes:g} minutes, {count} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(rounds(float(os.environ.get("MINUTES") or 60)))
