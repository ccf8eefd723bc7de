"""The table "From paper to code" says what is true: `python book/ledger.py` prints a line for each name that does not exist."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

BOOK = Path(__file__).resolve().parent
COLUMNS = ["paper", "what", "code", "chapter", "test"]
MISSING = "not reproduced: "  # what a row says of code that there is none


def rows(text: str) -> Iterator[dict[str, str]]:
    """The rows of the ledger's tables, by column."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| ") and cells != COLUMNS:
            yield dict(zip(COLUMNS, cells, strict=True))


def there(name: str) -> bool:
    """Whether `name`, behind panet_lite., is a module or something in one."""
    module, *rest = name.split(".")
    try:
        found = importlib.import_module(f"panet_lite.{module}")
        for part in rest:
            found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")
    except (ImportError, AttributeError):
        return False
    return True


@cache
def tests() -> set[str]:
    """All tests, as file::function."""
    return {
        f"{path.stem}::{node.name}"
        for path in (BOOK.parent / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def problems(text: str) -> list[str]:
    """What the ledger names and is not there, one line each."""
    found = []
    for row in rows(text):
        here = f"{row['paper']}, {row['what']}"
        names, held = re.findall("`([^`]+)`", row["code"]), re.findall("`([^`]+)`", row["test"])
        chapters = re.findall("{doc}`([^`]+)`", row["chapter"])
        if row["code"].startswith(MISSING):
            found += [f"{here}: what is not reproduced has no test"] * bool(held)
        else:
            found += [f"{here}: no code is named"] * (not names) + [f"{here}: no test is named"] * (not held)
        found += [f"{here}: panet_lite has no {name}" for name in names if not there(name)]
        found += [f"{here}: there is no test {name}" for name in held if name not in tests()]
        found += [f"{here}: {len(chapters)} chapters are named, not one"] * (len(chapters) != 1)
        found += [f"{here}: there is no {name}" for name in chapters if not list(BOOK.glob(f"{name}.*"))]
    return found


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    found = problems((BOOK / "appendix_ledger.md").read_text(encoding="utf-8"))
    print("".join(f"appendix_ledger.md: {line}\n" for line in found), end="")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
