"""What a chapter prints, so that two runs of it can be compared."""

import re
from collections.abc import Iterator
from pathlib import Path

import notebooks
from nbformat import NotebookNode
from nbval.plugin import get_sanitize_patterns

LOOKS_AWAY = re.compile(r"NBVAL_(IGNORE_OUTPUT|SKIP)|nbval-(ignore-output|skip)", re.IGNORECASE)
PATTERNS = get_sanitize_patterns(Path(__file__).with_name("nbval_sanitize.cfg").read_text(encoding="utf-8"))


def compared(cell: NotebookNode) -> bool:
    """Whether nbval compares what this cell prints: not where it depends on the machine, and says so by a tag."""
    tags = " ".join(cell.metadata.get("tags", []))
    return cell.cell_type == "code" and not LOOKS_AWAY.search(f"{cell.source} {tags}")


def printed(notebook: NotebookNode) -> Iterator[tuple]:
    """Of each output: its cell's source, kind, text and a widget's words; of pictures only that they are there.

    Cells at which nbval would look away are passed over, and what it would replace before it compares (addresses,
    durations, rates) is replaced.
    """
    for cell in filter(compared, notebook.cells):
        for output in notebooks.merged_streams(cell.outputs):
            data, alt = output.get("data", {}), output.get("metadata", {}).get("image/png", {}).get("alt")
            kinds = sorted(kind for kind in data if kind != notebooks.WIDGET_VIEW)
            words = [output.get("text", data.get("text/markdown", data.get("text/plain", ""))), alt or ""]
            for pattern, replacement in PATTERNS:
                words = [re.sub(pattern, replacement, word) for word in words]
            yield cell.source, output.output_type, output.get("name"), kinds, *words
