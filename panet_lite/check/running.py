"""One student's notebook, run cell by cell in this process, which `grading` starts and limits.

The checks are imported before the first cell and then taken out of `sys.modules`: what a notebook does to its own copy of
them reaches no verdict. What an exercise's cell defines is looked at before the cell's own call of the check, so that neither
a name of an earlier exercise nor the module's function, with which a chapter goes on, is taken for the answer.
"""

import ast
import contextlib
import importlib
import io
import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Job = dict[str, Any]
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def no_network(event: str, _: object) -> None:
    """An audit hook, which nothing that runs later can take away."""
    if event in NETWORK:
        raise PermissionError("there is no network while notebooks are graded")


def pristine(chapter: str) -> Any:
    """The chapter's checks, in modules that nobody else can import."""
    checks = importlib.import_module(f"panet_lite.check.chapter{chapter}")
    package = importlib.import_module("panet_lite")
    for name in [n for n in sys.modules if n.startswith("panet_lite.check")]:
        del sys.modules[name]
    vars(package).pop("check", None)
    return checks


def calls(node: ast.AST, check: str) -> bool:
    """Is `check.NAME` in it, called or handed on to `yours`?"""
    return any(isinstance(n, ast.Attribute) and n.attr == check and isinstance(n.value, ast.Name) and n.value.id == "check" for n in ast.walk(node))  # fmt: skip


def stopped(tree: ast.Module, check: str, hook: str, exercise: str) -> ast.Module:
    """The cell with a call of `hook` before the statement that calls the check, or behind the last one."""
    body, look = list(tree.body), ast.parse(f"{hook}({exercise!r})").body[0]
    at = next((i for i, s in enumerate(body) if calls(s, check)), len(body))
    return ast.fix_missing_locations(ast.Module([*body[:at], look, *body[at:]], []))


def places(cells: Sequence[dict[str, Any]], exercises: Sequence[Sequence[Any]]) -> dict[int, list[Any]]:
    """{number of a cell: the exercise that it answers}: of the cells that call the check the one with the published id,
    else the last; where none calls it, the one with the id."""
    found = {}
    for cell, *exercise in exercises:
        call = re.compile(rf"\bcheck\.{exercise[1]}\b")  # `check.count` is not `check.counts`
        callers = [i for i, c in enumerate(cells) if call.search(c["source"])]
        same = [i for i, c in enumerate(cells) if c["id"] == cell]
        for i in ([i for i in same if i in callers] or callers or same)[-1:]:
            found[i] = exercise
    return found


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """What is printed meanwhile."""
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(io.StringIO()):
        yield text


def examine(checks: Any, check: str, values: Callable[[], Sequence[Any]]) -> tuple[bool | None, str]:
    """The verdict of a check, and its sentence."""
    with quiet() as text:
        try:
            passed = getattr(checks, check)(*values())
        except NameError as error:
            return None, f"the cell defines nothing to look at ({error})"
        except Exception as error:
            return False, f"the answer cannot be looked at ({type(error).__name__}: {error})"
    return passed, text.getvalue().strip().splitlines()[0][2:] if text.getvalue().strip() else ""


def run(job: Job, note: Callable[..., None]) -> None:
    """All cells, one after the other, whatever they raise."""
    from IPython.core.interactiveshell import InteractiveShell

    checks = pristine(job["chapter"])
    shell: Any = InteractiveShell.instance()
    hook = f"_look_{secrets.token_hex(8)}"
    todo = places(job["cells"], job["exercises"])
    found: dict[str, tuple[bool | None, str]] = {}
    for number, cell in enumerate(job["cells"]):
        with quiet():
            source = shell.transform_cell(cell["source"])
        if number in todo:
            exercise, check, arguments, answers = todo[number]
            try:
                tree = ast.parse(source)
            except SyntaxError as error:
                note(
                    id=exercise, passed=False, says=f"the cell is no Python: {error.msg}, line {error.lineno}"
                )
                continue
            for name in answers:
                shell.user_ns.pop(name, None)  # of an earlier exercise

            def look(name: str, check: str = check, arguments: list[str] = arguments) -> None:
                found[name] = examine(checks, check, lambda: [eval(a, shell.user_ns) for a in arguments])

            shell.user_ns[hook] = look
            source = ast.unparse(stopped(tree, check, hook, exercise))
            with quiet():
                outcome = shell.run_cell(source)
            shell.user_ns.pop(hook, None)
            if exercise not in found:
                raised = outcome.error_in_exec or outcome.error_before_exec
                found[exercise] = False, f"the cell raised {type(raised).__name__}: {raised}"
            note(id=exercise, passed=found[exercise][0], says=found[exercise][1])
        else:
            with quiet():
                shell.run_cell(source)


def main() -> None:
    """Read the job from standard input, and write a line for each exercise into the file that is named."""
    out, job = Path(sys.argv[1]), json.load(sys.stdin)
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (job["memory"], job["memory"]))
    os.environ.pop("DISPLAY", None)
    sys.path.insert(0, os.getcwd())
    with open(out, "w", encoding="utf-8") as file:

        def note(**entry: Any) -> None:
            file.write(json.dumps(entry) + "\n")
            file.flush()

        importlib.import_module("panet_lite.check.harness")
        sys.addaudithook(no_network)
        try:
            run(job, note)
        except KeyboardInterrupt:
            note(trouble="it was interrupted")
        except SystemExit:
            note(trouble="a cell ended Python")


if __name__ == "__main__":
    main()
