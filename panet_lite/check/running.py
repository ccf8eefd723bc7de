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


def pristine(chapters: set[str]) -> dict[str, Any]:
    """The chapters' checks, in modules that nobody else can import."""
    checks = {name: importlib.import_module(f"panet_lite.check.chapter{name[:2]}") for name in chapters}
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


def places(cells: Sequence[Job], exercises: Sequence[Job]) -> dict[int, Job]:
    """{number of a cell: the exercise that it answers}: of the cells that call the check the published one, else the last;
    where none calls it, the published one. An assignment's cells have names, EXERCISE for the stub, EXERCISE-check."""
    found = {}
    for e in exercises:
        own = f"{e['id']}-check"
        call = re.compile(rf"\bcheck\.{e['check']}\b")  # `check.count` is not `check.counts`
        callers = [
            i
            for i, c in enumerate(cells)
            if call.search(c["source"]) and c.get("name") in (None, own, e["id"])
        ]
        same = [i for i, c in enumerate(cells) if c["id"] == e["cell"] or c.get("name") == own]
        stubs = [i for i, c in enumerate(cells) if c.get("name") == e["id"]]
        for i in ([i for i in same if i in callers] or callers or same or stubs)[-1:]:
            found[i] = e
    return found


def stub_of(cells: Sequence[Job], number: int, e: Job) -> int | None:
    """The number of the cell with the stub of the exercise that cell `number` answers; None where it cannot be known."""
    published = [
        i
        for i, c in enumerate(cells[: number + 1])
        if c["id"] == e["stub"] and any(re.search(rf"\b{name}\b", c["source"]) for name in e["answers"])
    ]
    found = [i for i, c in enumerate(cells[: number + 1]) if c.get("name") == e["id"]] or published
    return found[-1] if found else number if e["stub"] == e["cell"] else None


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


def answered(shell: Any, source: str, e: Job, checks: Any) -> tuple[bool | None, str]:
    """Run a cell that answers an exercise; the verdict on what it hands to its check, and the sentence."""
    found: list[tuple[bool | None, str]] = []
    hook = f"_look_{secrets.token_hex(8)}"
    try:
        with quiet():
            tree = ast.parse(shell.transform_cell(source))
    except SyntaxError as error:
        return False, f"the cell is no Python: {error.msg}, line {error.lineno}"

    def look(_: str) -> None:
        found.append(examine(checks, e["check"], lambda: [eval(a, shell.user_ns) for a in e["arguments"]]))

    shell.user_ns[hook] = look
    raised = ran(shell, ast.unparse(stopped(tree, e["check"], hook, e["id"])))
    shell.user_ns.pop(hook, None)
    return found[-1] if found else (False, raised)


def ran(shell: Any, source: str) -> str:
    """Run a cell; what it raised, or ""."""
    with quiet():
        outcome = shell.run_cell(source)
    raised = outcome.error_in_exec or outcome.error_before_exec
    return f"the cell raised {type(raised).__name__}: {raised}" if raised else ""


def run(job: Job, note: Callable[..., None]) -> None:
    """All cells, one after the other, whatever they raise."""
    from IPython.core.interactiveshell import InteractiveShell

    cells = job["cells"]
    errors: dict[int | None, str] = {}  # of a cell, what it raised
    checks = pristine({e["chapter"] for e in job["exercises"]})
    shell: Any = InteractiveShell.instance()
    todo = places(cells, job["exercises"])
    stubs = {number: stub_of(cells, number, e) for number, e in todo.items()}
    for number, cell in enumerate(cells):
        for e in (todo[n] for n, at in stubs.items() if at == number):
            for name in e["answers"]:
                shell.user_ns.pop(name, None)  # of an earlier exercise
        if number in todo:
            e = todo[number]
            passed, says = answered(shell, cell["source"], e, checks[e["chapter"]])
            if passed is None and (error := errors.get(stubs[number])):
                passed, says = False, error
            note(id=e["id"], passed=passed, says=says)
        elif error := ran(shell, cell["source"]):
            errors[number] = error


def main() -> None:
    """Read the job from standard input, and write a line for each exercise into the file that is named."""
    out, job = Path(sys.argv[1]), json.load(sys.stdin)
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (job["memory"], job["memory"]))
    for name in ("DISPLAY", "PANET_CHECK"):  # here a check gives its verdict, it does not raise it
        os.environ.pop(name, None)
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
