"""The editions run as their chapters do: two of each, from the first cell to the last, print what is committed."""

from pathlib import Path

import editions
import notebooks
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"


def printed(notebook):
    """What each code cell printed, and how many pictures it drew."""
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        data = [output.get("data", {}) for output in cell.outputs]
        pictures = sum("image/png" in d or "image/jpeg" in d for d in data)
        texts = [
            d.get("text/markdown", d.get("text/plain", ""))
            for d in data
            if not {"image/png", "image/jpeg"} & {*d}
        ]
        yield "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream"), texts, pictures


@pytest.mark.parametrize("stem", ["03_prototypes", "09_interactive"])
@pytest.mark.parametrize("kind", ["plain", "teacher"])
def test_an_edition_prints_what_its_chapter_does(kind, stem, tmp_path):
    """Alone in a folder, as on Colab; the package is the one that is installed."""
    notebook = editions.edition(BOOK / f"{stem}.ipynb", kind)
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        cell.outputs, cell.execution_count = [], None
    ran = notebooks.normalise(notebooks.execute(notebook, tmp_path), stem)
    assert list(printed(ran)) == list(printed(notebooks.read(BOOK / f"{stem}.ipynb")))
    assert list(tmp_path.iterdir()) == []
