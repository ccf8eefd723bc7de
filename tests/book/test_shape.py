"""What is visible in a chapter is the idea: short lines and cells, drawing folded, minutes that were counted."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebooks import BOOK
from shape import findings, minutes, prose, say_minutes

SECOND = (
    "index",
    "01_episodes",
    "02_features",
    "03_prototypes",
    "04_matching",
    "05_alignment",
    "06_training",
    "07_evaluation",
    "08_weak_annotations",
    "09_interactive",
    "10_embedding_space",
    "11_full_scale",
)  # the chapters of the second edition: all, in the end


@pytest.mark.parametrize("stem", SECOND)
def test_visible_code_carries_the_idea(stem):
    assert findings(nbformat.read(BOOK / f"{stem}.ipynb", as_version=4)) == []


def folded(source):
    return new_code_cell(source, metadata={"tags": ["hide-input"]})


@pytest.mark.parametrize(
    "cells, found",
    [
        ([new_code_cell("x = " + "1" * 75)], []),
        ([new_code_cell("x = " + "1" * 76)], ["cell 0 has a line of 80 columns"]),
        ([folded("x = " + "1" * 76)], ["cell 0 has a line of 80 columns"]),
        ([new_code_cell("x\n" * 21), *[new_code_cell("x")] * 2], ["cell 0 shows 21 lines"]),
        ([folded("x\n" * 21)], []),
        ([new_code_cell("x\n" * 7)], ["the median visible cell has 7 lines"]),
        ([folded("x"), folded("x")], ["cell 1 is the second folded bar in a row"]),
        ([folded("x"), new_markdown_cell(""), folded("x")], ["cell 2 is the second folded bar in a row"]),
        ([folded("x"), new_markdown_cell("A figure."), folded("x")], []),
        ([folded("x"), new_code_cell("x"), folded("x")], []),
        (
            [folded("x"), new_code_cell("x", metadata={"tags": ["hide-cell"]})],
            ["cell 1 is the second folded bar in a row"],
        ),
    ],
)
def test_what_hinders_is_found(cells, found):
    assert findings(new_notebook(cells=cells)) == found


def test_minutes_are_counted():
    """300 words, 24 visible lines, 4 figures: 2 + 2 + 3 minutes, so 5 to the next five."""
    picture = new_output("display_data", {"image/png": ""})
    cells = [
        new_markdown_cell("**Time:** 60 minutes to read, not counting the exercises.\n" + "word " * 291),
        new_markdown_cell("```{exercise}\n:label: ex-x\n" + "word " * 999 + "\n```"),
        new_markdown_cell(
            "````{solution} ex-x\n:class: dropdown\n" + "word " * 999 + "\n```{code-block}\nx\n```\n````"
        ),
        new_markdown_cell(":::{admonition} Further: more\n:class: dropdown\n" + "word " * 999 + "\n:::"),
        new_markdown_cell("## References\n" + "word " * 999),
        new_code_cell("x\n" * 24, outputs=[picture]),
        new_code_cell("x\n" * 999, outputs=[picture] * 3, metadata={"tags": ["hide-input"]}),
    ]
    notebook = new_notebook(cells=cells)
    assert len(prose(notebook).split()) == 300 and minutes(notebook) == 5
    say_minutes(notebook)
    assert notebook.cells[0].source.startswith("**Time:** 5 minutes to read, not")
