"""On paper: the browser's own print of each page, and the PDFs of `make pdf`, read with pypdf."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pdf
import pytest
from pypdf import PdfReader

ROOT = Path(__file__).resolve().parents[2]
STEMS = [stem for _, pages in pdf.parts() for stem in pages]
CHAPTER = "03_prototypes"
CELLS = [c for c in nbformat.read(ROOT / "book" / f"{CHAPTER}.ipynb", 4).cells if c.cell_type == "code"]
OUTPUTS = [output for cell in CELLS for output in cell.outputs]
A4 = {"width": 665, "height": 970}  # what the margins leave, in CSS pixels

# What must not be seen on paper, and what must.
SEEN = """(selector) => [...document.querySelectorAll(selector)]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) && one.getBoundingClientRect().height > 0)
  .map((one) => one.outerHTML.slice(0, 90))"""
CHROME = """.bd-header-article, .bd-sidebar-primary, .bd-sidebar-secondary, .prev-next-footer, .headerlink, .copybtn,
  .toggle-button, .widget-host, .lightbox, #jb-print-docs-body, details.hide > summary,
  details.hide:not([open]), .admonition.toggle-hidden > :not(.admonition-title)"""
CUT = """() => [...document.querySelectorAll(".bd-article :is(pre, table, img, div.math svg)")].filter((one) => {
  const box = one.getBoundingClientRect();
  return one.checkVisibility() && (box.right > innerWidth + 1 || box.left < 0 || one.scrollWidth > one.clientWidth + 1);
}).map((one) => one.outerHTML.slice(0, 90))"""
BREAKS = """() => [...document.querySelectorAll(".bd-article :is(h1, h2, h3, h4)")].filter((heading) => {
  const style = getComputedStyle(heading);
  const before = [heading, heading.parentElement].map((one) => getComputedStyle(one).breakBefore);
  return style.breakAfter !== "avoid" || before.some((value) => value !== "auto");
}).map((heading) => heading.textContent)"""


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def outline(entries: list) -> list[str]:
    return [entry.title for entry in entries if not isinstance(entry, list)]


def figures(reader: PdfReader) -> list[str]:
    """The alternative texts in the tree of tags, in no order."""
    objects = (reader.get_object(number) for number in reader.xref[0])
    return [
        one["/Alt"]
        for one in objects
        if isinstance(one, dict) and one.get("/S") == "/Figure" and "/Alt" in one
    ]


@pytest.fixture(scope="module")
def press(browser, site):
    return pdf.Press(browser, site)


@pytest.fixture(scope="module")
def handout(press):
    return PdfReader(io.BytesIO(pdf.handout(press, CHAPTER)))


@pytest.fixture(scope="module")
def whole(press):
    return PdfReader(io.BytesIO(pdf.whole(press, STEMS)))


@pytest.fixture(scope="module")
def text(handout):
    return squeezed("".join(page.extract_text() for page in handout.pages))


@pytest.mark.parametrize("stem", STEMS)
def test_the_browser_prints_what_is_read_and_no_more(stem, open_page, site):
    """Nothing that wants a click, nothing folded, nothing cut; headings keep with their text; dark prints light."""
    page = open_page(f"{site}/{stem}.html", viewport=A4, color_scheme="dark")
    page.emulate_media(media="print")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert page.evaluate(SEEN, CHROME) == []
    assert page.evaluate(CUT) == []
    assert page.evaluate(BREAKS) == []
    assert len(page.evaluate(SEEN, "img.widget-still")) == page.locator("img.widget-still").count()
    assert len(page.evaluate(SEEN, ".bd-article h1")) == 1
    page.emulate_media(media="screen")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")


def test_printing_leaves_solutions_folded(open_page, site):
    page = open_page(f"{site}/{CHAPTER}.html")
    folded = page.locator(".solution.toggle-hidden").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".solution.toggle-hidden").count() == folded > 3


def test_the_hand_out_holds_all_visible_code_and_outputs(text, open_page, site):
    """Line for line, as far as the page's edge and beyond."""
    page = open_page(f"{site}/{CHAPTER}.html")
    blocks = page.locator(":is(.cell_input, .cell_output) pre:visible").all_text_contents()
    lost = [block for block in blocks if squeezed(block) not in text]
    assert len(lost) <= 2, lost  # an output may go on over the page
    wanted = [cell.source for cell in CELLS if "hide-input" not in cell.metadata.get("tags", ())]
    wanted += [output.text for output in OUTPUTS if output.output_type == "stream"]
    assert len(wanted) > 40 and set(map(squeezed, wanted)) <= set(map(squeezed, blocks))


def test_the_hand_out_holds_no_solution_and_no_folded_code(text, open_page, site):
    page = open_page(f"{site}/{CHAPTER}.html")
    hidden = page.locator(".solution > :not(.admonition-title), details.hide pre").all_text_contents()
    lines = {squeezed(line) for block in hidden for line in block.split("\n") if len(squeezed(line)) > 30}
    shown = squeezed("".join(page.locator(".bd-article :visible").all_text_contents()))
    assert len(lines) > 10
    assert [line for line in lines if line in text and line not in shown] == []
    assert text.count("Solution") >= 3  # their titles
    assert "Showcodecellsource" not in text and "Hidecodecellsource" not in text


def test_the_hand_out_is_tagged_and_numbered(handout, open_page, site):
    """Each picture and each formula has its alternative text; chapter 3 took 44 pages before."""
    page = open_page(f"{site}/{CHAPTER}.html")
    pictures = page.locator(".bd-article img").evaluate_all("(all) => all.map((image) => image.alt)")
    texts = figures(handout)
    drawn = [output for output in OUTPUTS if "image/png" in output.get("data", {})]
    assert set(pictures) <= set(texts) and len(pictures) >= len(drawn) > 0
    assert any(r"\frac" in one for one in texts)
    assert handout.trailer["/Root"]["/MarkInfo"]["/Marked"] and handout.trailer["/Root"]["/Lang"].startswith(
        "en"
    )
    assert len(handout.pages) < 44
    for number, sheet in enumerate(handout.pages, 1):
        assert re.search(rf"(?m)(^|\s){number}\s*$", sheet.extract_text()), number
        assert len(squeezed(sheet.extract_text())) > 100 or sheet.images  # no empty page


def test_the_whole_book_is_one_file(whole):
    """Outline, title page, contents with the pages' numbers, links from chapter to chapter."""
    titles = [pdf.title_of(pdf.soup_of(stem)) for stem in STEMS]
    # Chromium's outline drops the space at which a heading wraps.
    assert list(map(squeezed, outline(whole.outline))) == list(map(squeezed, ["Contents", *titles]))
    front = whole.pages[0].extract_text()
    assert all(word in front for word in ("PANet, hands on", "CC BY 4.0", pdf.repository(), "Printed on"))
    contents = squeezed(whole.pages[1].extract_text())
    chapters = [entry for entry in whole.outline if not isinstance(entry, list)][1:]
    for entry, title in zip(chapters, titles, strict=True):
        number = whole.get_destination_page_number(entry)
        assert f"{squeezed(title)}{number + 1}" in contents
        assert squeezed(title) in squeezed(whole.pages[number].extract_text())
    assert set(STEMS) <= {name.removeprefix("/") for name in whole.named_destinations}
    inside = [a for sheet in whole.pages for a in sheet.get("/Annots") or [] if "/Dest" in a.get_object()]
    assert len(inside) > 200
    assert len(whole.pages) < 450


def said(*arguments: str, **environment: str) -> str:
    """What book/pdf.py says where it cannot print; in one line, without a traceback."""
    run = subprocess.run(
        [sys.executable, ROOT / "book" / "pdf.py", *arguments],
        env=os.environ | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode != 0
    return run.stderr.strip()


def test_without_a_browser(book, tmp_path):
    assert (
        said(PANET_BROWSER="/no/browser") == "make pdf: PANET_BROWSER names /no/browser, which is no program"
    )
    bare = {"PATH": str(tmp_path), "PANET_BROWSER": "", "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}
    assert re.fullmatch(r"make pdf: no Chromium or Chrome was found: .*PANET_BROWSER", said(**bare))


def test_without_fonts(book, browser, tmp_path):
    nothing = tmp_path / "fonts.conf"
    nothing.write_text("<?xml version='1.0'?><fontconfig></fontconfig>", encoding="utf-8")
    assert "Chromium finds no font" in said(CHAPTER, FONTCONFIG_FILE=str(nothing))


def test_without_a_book(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "PAGES", tmp_path)
    with pytest.raises(SystemExit, match="there is no built book: run `make book` first"):
        pdf.main([])


def test_a_chapter_that_is_not_there(capsys):
    with pytest.raises(SystemExit):
        pdf.main(["12_nothing"])
    assert "the book has no chapter 12_nothing; it has index, 01_episodes" in capsys.readouterr().err


@pytest.mark.parametrize("builder", ["singlehtml", "latex"])
def test_other_builders_say_what_to_do(builder, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "book",
         "--builder", builder, "--path-output", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode != 0
    assert run.stderr.splitlines()[-1].startswith(f"This book is not built as {builder}: ")
    assert "make pdf" in run.stderr.splitlines()[-1] and "Traceback" not in run.stderr
