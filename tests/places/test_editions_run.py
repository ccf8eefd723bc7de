"""The editions run as their chapters do: two of each, from the first cell to the last, print what is committed."""

from pathlib import Path

import editions
import notebooks
import pytest
from printing import printed

BOOK = Path(__file__).resolve().parents[2] / "book"


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
