"""List the exercises that a check answers: `python book/catalogue.py` writes panet_lite/check/exercises.json.

From the committed chapters: an exercise's label and title; the cell with its stub; and of the first cell behind it that calls a
check, which one, with what. Graders go by it (`panet_lite.check.grading`); a test holds it to the chapters.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parent
OUT = BOOK.parent / "panet_lite" / "check" / "exercises.json"
EXERCISE = re.compile(r"\{exercise\}([^\n]*)\n:label: (\S+)")


def called(source: str) -> tuple[str, list[ast.expr], ast.stmt] | None:
    """(check, its arguments, the statement that it stands in) of the first check that a cell calls."""
    for statement in ast.parse(source).body:
        for node in (n for n in ast.walk(statement) if isinstance(n, ast.Call)):
            function, arguments = node.func, node.args
            if isinstance(function, ast.Name) and function.id == "yours":
                function, arguments = node.args[0], node.args[1:2]
            if isinstance(function, ast.Attribute) and getattr(function.value, "id", None) == "check":
                return function.attr, arguments, statement
    return None


def given(source: str, until: ast.stmt | None = None) -> set[str]:
    """The names that a cell gives a value, in its statements before line `until`."""
    last = until.lineno if until else len(source) + 1
    nodes = [n for s in ast.parse(source).body if s.lineno < last for n in ast.walk(s)]
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names | {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


def entry(exercise: dict, cells: list[nbformat.NotebookNode]) -> dict | None:
    """An exercise whose check is called by the last of the code cells behind it, and the names that its stub gives a value."""
    if "check." not in cells[-1].source or not (found := called(cells[-1].source)):
        return None
    check, arguments, statement = found
    names = {n.id for a in arguments for n in ast.walk(a) if isinstance(n, ast.Name)}
    stub, answers = cells[-1], names & given(cells[-1].source, statement)
    for cell in cells[-2::-1] if not answers else []:
        if answers := names & given(cell.source):
            stub = cell
            break
    return {
        **exercise, "stub": stub.id, "cell": cells[-1].id, "check": check,
        "arguments": [ast.unparse(a) for a in arguments], "answers": sorted(answers),
    }  # fmt: skip


def entries() -> Iterator[dict]:
    """Every exercise with a check, in the book's order."""
    for path in sorted(BOOK.glob("[0-9]*.ipynb")):
        exercise, behind = None, []
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for title, label in EXERCISE.findall(cell.source):
                    exercise, behind = {"id": label, "title": title.strip(), "chapter": path.stem}, []
            elif exercise:
                behind.append(cell)
                if found := entry(exercise, behind):
                    yield found
                    exercise = None


def text() -> str:
    """What the file holds, a line for each exercise."""
    return "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries()) + "\n]\n"


if __name__ == "__main__":
    OUT.write_text(text(), encoding="utf-8")
