"""What a reader of a chapter sees, measured: `python book/shape.py [chapter ...]` prints a line for each.

Visible is what is neither folded nor taken out. A reader takes 150 words of prose a minute, 5 seconds for a visible
line of code and 45 for a figure or a widget; exercises, solutions and folded boxes are not counted. An exercise takes its
text at the same pace, two minutes, and one more for each line of its solution's code (`appendix_teaching.md` plans by this).
"""

import re
import statistics
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

COLUMNS, MEDIAN, LONGEST = 79, 6, 20  # of visible code: columns of a line, lines of a cell
BARS = {"hide-input", "hide-cell"}
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
APART = re.compile(
    r"^(`{3,}|:{3,})\{(?:exercise|solution)[\s\S]*?^\1\s*$|^(`{3,}|:{3,})\{.*\n:class:.*dropdown[\s\S]*?^\2\s*$",
    re.M,
)
HEADING = re.compile(r"##? (.+)")
TIME = re.compile(r"(?<=\*\*Time:\*\* )(?:about )?\d+ minutes to read")


def tags(cell: NotebookNode) -> set[str]:
    """A cell's tags."""
    return set(cell.metadata.get("tags", ()))


def code(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells whose code is in sight."""
    return [c for c in notebook.cells if c.cell_type == "code" and not tags(c) & FOLDED]


def prose(notebook: NotebookNode) -> str:
    """The text that is read on the way: no exercise, no solution, no folded box."""
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    return APART.sub("", text.split("\n## References")[0])


def pictures(notebook: NotebookNode) -> int:
    """Figures and widgets: the cells that show a picture."""
    kinds = (output.get("data", {}) for c in notebook.cells if c.cell_type == "code" for output in c.outputs)
    return sum(any(kind.startswith("image/") for kind in data) for data in kinds)


def reading(notebook: NotebookNode) -> float:
    """The minutes that reading takes."""
    words, lines = len(prose(notebook).split()), sum(len(c.source.splitlines()) for c in code(notebook))
    return words / 150 + lines * 5 / 60 + pictures(notebook) * 45 / 60


def minutes(notebook: NotebookNode) -> int:
    """The minutes that reading takes, to the next five."""
    return 5 * round(reading(notebook) / 5)


def sections(notebook: NotebookNode) -> dict[str, float]:
    """{heading: the minutes that reading its section takes}; what stands above the first goes by the title."""
    found, heading = {}, ""
    for cell in notebook.cells:
        text = cell.cell_type == "markdown"
        for part in re.split(r"^(?=## )", cell.source, flags=re.M) if text else [cell.source]:
            if text and (new := HEADING.match(part)):
                heading = new[1]
            found.setdefault(heading, []).append(NotebookNode(cell, source=part))
    return {name: reading(NotebookNode(cells=cells)) for name, cells in found.items()}


def answering(text: str, solution: str) -> int:
    """The minutes that an exercise takes: its text, two minutes, one for each line of the solution but imports and check."""
    lines = [x for x in solution.splitlines() if x.strip() and not re.match(r"(from|import|check\.) ?", x)]
    return round(len(text.split()) / 150 + 2 + len(lines))


def say_minutes(notebook: NotebookNode) -> None:
    """Write the minutes into the line that begins with **Time:**."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = TIME.sub(f"{minutes(notebook)} minutes to read", cell.source)


def findings(notebook: NotebookNode) -> list[str]:
    """What hides the idea: long lines and cells, bars of folded code in a row or over nothing."""
    found, last = [], None
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            last = cell if cell.source.strip() else last
            continue
        lines = cell.source.splitlines()
        if width := max((n for line in lines if (n := len(line)) > COLUMNS), default=0):
            found.append(f"cell {index} has a line of {width} columns")
        if not tags(cell) & FOLDED and len(lines) > LONGEST:
            found.append(f"cell {index} shows {len(lines)} lines")
        if tags(cell) & BARS and last is not None and last.cell_type == "code" and tags(last) & BARS:
            found.append(f"cell {index} is the second folded bar in a row")
        last = cell
    sizes = [len(c.source.splitlines()) for c in code(notebook)]
    if sizes and statistics.median(sizes) > MEDIAN:
        found.append(f"the median visible cell has {statistics.median(sizes):g} lines")
    return found


def main(names: list[str]) -> None:
    """Print each chapter's measures and what is found in it."""
    for path in [Path(n) for n in names] or sorted(Path(__file__).resolve().parent.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        shown = [len(c.source.splitlines()) for c in code(notebook)]
        print(
            f"{path.stem}: {minutes(notebook)} minutes, {len(prose(notebook).split())} words, {len(shown)} visible cells"
            f" of {sum(shown)} lines, {pictures(notebook)} pictures"
        )
        print("".join(f"    {line}\n" for line in findings(notebook)), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
