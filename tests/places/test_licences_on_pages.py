"""The built pages: each says what may be done with it, its works are links, and LICENSES.md has a row for each file."""

import re

import pytest
from browser import BOOK, missing
from test_licences import PAGES, ROOT, found, not_once

LICENCE = '<a href="https://creativecommons.org/licenses/by/4.0/" rel="license">CC BY 4.0</a>'


@pytest.fixture(scope="module")
def pages():
    """The text of each page, by its name."""
    if not (BOOK / "index.html").is_file():
        missing("there is no built book: make book")
    names = {page.relative_to(BOOK).as_posix() for page in BOOK.rglob("*.html")}
    return {name: (BOOK / name).read_text("utf-8") for name in names if not name.startswith("_static/")}


def test_every_page_names_its_licence(pages):
    footers = {name: "".join(re.findall(r"<footer\b.*?</footer>", pages[name], re.S)) for name in pages}
    assert "index.html" in pages and [name for name in pages if LICENCE not in footers[name]] == []


def test_the_ledger_lies_beside_the_pages(pages):
    for name in ("LICENSE", "LICENSES.md"):
        assert (BOOK / name).read_bytes() == (ROOT / name).read_bytes()


def test_every_file_that_pages_load_has_a_row(pages):
    """Scripts, styles, fonts, icons; figures and pages are the chapters' own."""
    static = BOOK / "_static"
    names = {path.relative_to(static).as_posix() for path in static.rglob("*") if path.is_file()}
    assert not_once(static, names, PAGES) == {}
    assert [row[0] for row in PAGES if not found(static, row)] == []
    loaded = {".js", ".css", ".woff", ".woff2", ".ttf", ".otf"}
    elsewhere = {
        path.name for path in BOOK.rglob("*") if path.suffix in loaded and static not in path.parents
    }
    assert elsewhere <= {"searchindex.js"}


def test_every_work_is_a_link(pages):
    """In the lists of works, and from the first page to the paper and to its authors' program."""
    works = [
        (name, work)
        for name in pages
        for work in re.findall(r'<div class="citation".*?</div>', pages[name], re.S)
    ]
    assert works and [(n, w) for n, w in works if '<a class="reference external" href="http' not in w] == []
    for address in ("https://arxiv.org/abs/1908.06391", "https://github.com/kaixin96/PANet"):
        assert f'href="{address}"' in pages["index.html"]
