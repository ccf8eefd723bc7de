"""List the exercises that a check answers: `python book/catalogue.py` writes panet_lite/check/exercises.json.

From the committed chapters: an exercise's label and title, and of the first cell behind it that calls a check, which one, with
what. Graders go by it (`panet_lite.check.grading`); a test holds it to the chapters.
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


def called(source: str) -> tuple[str, list[str], list[str]] | None:
    """(check, its arguments, which of them the cell gives a value) of the first check that a cell calls."""
    tree = ast.parse(source)
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        function, arguments = node.func, node.args
        if isinstance(function, ast.Name) and function.id == "yours":
            function, arguments = node.args[0], node.args[1:2]
        if isinstance(function, ast.Attribute) and getattr(function.value, "id", None) == "check":
            given = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
            given |= {
                n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            names = [n.id for a in arguments for n in ast.walk(a) if isinstance(n, ast.Name)]
            return function.attr, [ast.unparse(a) for a in arguments], [n for n in names if n in given]
    return None


def entries() -> Iterator[dict]:
    """Every exercise with a check, in the book's order."""
    for path in sorted(BOOK.glob("[0-9]*.ipynb")):
        exercise = None
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for title, label in EXERCISE.findall(cell.source):
                    exercise = {"id": label, "title": title.strip(), "chapter": path.stem}
            elif exercise and (found := called(cell.source) if "check." in cell.source else None):
                check, arguments, answers = found
                yield {
                    **exercise,
                    "cell": cell.id,
                    "check": check,
                    "arguments": arguments,
                    "answers": answers,
                }
                exercise = None


def text() -> str:
    """What the file holds, a line for each exercise."""
    return "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries()) + "\n]\n"


if __name__ == "__main__":
    OUT.write_text(text(), encoding="utf-8")
