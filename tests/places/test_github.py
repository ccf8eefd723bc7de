"""GitHub's notebook view, for which nbconvert stands in: both turn a notebook into a page and run nothing.

The committed plain editions are looked at, and where the Colab buttons of the built book lead.
"""

import re
from functools import cache
from pathlib import Path

import notebooks
import pytest
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parents[2]
PLAIN = sorted((ROOT / "book" / "plain").glob("*.ipynb"))
MATHJAX = ROOT / "book" / "_assets" / "vendor" / "mathjax" / "tex-svg.js"
DOLLARS = 'window.MathJax = {tex: {inlineMath: [["$", "$"]]}}'
EQUATION = re.compile(r"\$\$(.+?)\$\$", re.S)
DRAWN = """() => ({
  displayed: document.querySelectorAll("mjx-container[display=true]").length,
  inline: document.querySelectorAll("mjx-container:not([display=true])").length,
  broken: document.querySelectorAll("mjx-merror").length,
  left: [...document.querySelectorAll(".text_cell_render")].map((e) => e.innerText).filter((t) => t.includes("$")),
})"""
each_chapter = pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)


def cut(notebook):
    """The notebook without its code and with the first bytes of each picture: both take nbconvert long."""
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        cell.source = ""
        for output in cell.outputs:
            for kind in (k for k in output.get("data", {}) if k.startswith("image/")):
                output.data[kind] = output.data[kind][:100]
    return notebook


@cache
def exporter():
    """GitHub's view is of the classic notebook's kind; formulas are to be drawn by the book's MathJax."""
    return HTMLExporter(
        template_name="classic", mathjax_url=MATHJAX.as_uri(), require_js_url="", jquery_url=""
    )


@cache
def page(path):
    """The chapter as HTML."""
    return exporter().from_notebook_node(cut(notebooks.read(path)))[0]


@cache
def parsed(path):
    return BeautifulSoup(page(path), "html.parser")


def markdown(path):
    """What the page shows of the Markdown cells, but for code."""
    parts = [BeautifulSoup(str(part), "html.parser") for part in parsed(path).select(".text_cell_render")]
    for code in (code for part in parts for code in part.select("code, pre")):
        code.extract()
    return "\n".join(part.get_text() for part in parts)


def pictures(notebook):
    """Alt text of each picture, in order."""
    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        for kind in (k for k in output.get("data", {}) if k.startswith("image/")):
            yield output.metadata[kind]["alt"]


@each_chapter
def test_pictures_are_there_and_say_what_they_show(path):
    images = parsed(path).select(".output_area img")
    assert [image["alt"] for image in images] == list(pictures(notebooks.read(path))) != []
    assert all(image["src"].startswith("data:image/") for image in images)


@each_chapter
def test_markdown_is_rendered(path):
    text = markdown(path)
    assert not re.findall(
        r":::.*|\{(?:cite|doc|ref|eq|admonition|exercise|solution|bibliography).*|^\(\S+\)=.*|\*\*|\]\(.*|^> .*",
        EQUATION.sub("", text),
        re.M,
    )
    source = "\n".join(cell.source for cell in notebooks.read(path).cells if cell.cell_type == "markdown")
    assert len(EQUATION.findall(text)) == len(EQUATION.findall(source))
    assert len(parsed(path).select(".text_cell_render table")) == len(
        re.findall(r"^\|[ |:]*-[ |:-]*\|$", source, re.M)
    )


@each_chapter
def test_headings_go_down_one_step_at_a_time(path):
    levels = [
        int(heading.name[1]) for heading in parsed(path).select(".text_cell_render :is(h1, h2, h3, h4)")
    ]
    assert levels[0] == 1 and levels.count(1) == 1 and len(levels) > 3
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))


@pytest.mark.parametrize("stem", ["03_prototypes", "05_alignment", "07_evaluation"])
def test_formulas_can_be_drawn(stem, open_page, tmp_path):
    path = next(path for path in PLAIN if path.stem == stem)
    file = tmp_path / "page.html"
    file.write_text(page(path), encoding="utf-8")
    shown = open_page(file.as_uri(), prepare=lambda p: p.add_init_script(DOLLARS), ready=None)
    shown.wait_for_function("window.MathJax?.startup?.promise")
    shown.evaluate("MathJax.startup.promise")
    drawn = shown.evaluate(DRAWN)
    assert drawn["broken"] == 0 and drawn["left"] == [] and drawn["inline"] > 10
    assert drawn["displayed"] == len(EQUATION.findall(markdown(path))) > 0


# ---- the built book ------------------------------------------------------------------------------------


@cache
def built(book, stem):
    """A page of the book, without its scripts: they hold the widgets' pictures."""
    text = (book / f"{stem}.html").read_text(encoding="utf-8")
    return BeautifulSoup(re.sub(r"<script\b.*?</script>", "", text, flags=re.S), "html.parser")


@each_chapter
def test_the_colab_button_opens_the_plain_edition(path, book):
    """Of this repository and of the branch in _config.yml; the file is there."""
    links = [a["href"] for a in built(book, path.stem).select('a[href*="//colab."]')]
    home = notebooks.repository().replace("https://github.com", "https://colab.research.google.com/github")
    assert set(links) == {f"{home}/blob/main/book/plain/{path.name}"}


def test_pages_that_are_no_notebooks_have_no_colab_button(book):
    pages = [path.stem for path in (ROOT / "book").glob("*.md")]
    assert pages and not [stem for stem in pages if built(book, stem).select('a[href*="//colab."]')]


@each_chapter
def test_exercises_and_figures_are_numbered_as_on_the_page(path, book):
    text = "\n".join(cell.source for cell in notebooks.read(path).cells if cell.cell_type == "markdown")
    html = built(book, path.stem)
    titles = [
        " ".join(p.get_text().split()).replace("’", "'") for p in html.select(".exercise > .admonition-title")
    ]
    numbers = [span.get_text().strip() for span in html.select("figcaption .caption-number")]
    assert titles == [
        f"Exercise {n} ({title})" for n, title in re.findall(r"\*\*Exercise ([\d.]+): (.+)\*\*", text)
    ]
    assert numbers == [f"Fig. {n}" for n in re.findall(r"^\*\*Figure ([\d.]+)\.\*\*", text, re.M)]
