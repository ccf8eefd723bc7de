"""Print the built book: `python book/pdf.py [chapter ...]`, after `make book`.

Chromium prints the book's own pages, by the print rules of `_assets/custom.css`, into `_build/pdf`:
`panet-hands-on.pdf`, the whole book with outline, page numbers and alternative texts, and a hand-out of
each chapter. Neither holds a solution or folded code. With names of chapters, only their hand-outs.
"""

import argparse
import datetime
import html
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, Tag
from chromium import FORMULAS, NO_BOOK, NO_PLAYWRIGHT, QUIET, find, serving
from notebooks import repository

BOOK = Path(__file__).resolve().parent
PAGES = BOOK.parent / "_build" / "html"
PDF = BOOK.parent / "_build" / "pdf"
WHOLE = "panet-hands-on"
MARGIN = {"top": "18mm", "bottom": "18mm", "left": "17mm", "right": "17mm"}
PATIENCE = 300_000  # ms; the whole book is one page
NO_FONTS = "make pdf: Chromium finds no font on this machine: install one (Debian, Ubuntu: apt install fonts-dejavu-core)"
NOT_DRAWN = "make pdf: Chromium did not draw {name} in five minutes: say `make clean book` and try again"
HAS_FONTS = """() => {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = "16px sans-serif";
  return pen.measureText("prototype").width > 0;
}"""
# What a screen reader is to say for a formula: its source, as the chapter has it.
NAME_FORMULAS = """() => {
  for (const { math, typesetRoot } of globalThis.MathJax?.startup.document.math ?? []) {
    const drawing = typesetRoot.querySelector("svg");
    drawing.removeAttribute("aria-hidden");
    drawing.setAttribute("aria-label", math.trim());
    typesetRoot.querySelector("mjx-assistive-mml")?.remove();
  }
}"""
STYLE = """
article { break-before: page; }
article:first-of-type { break-before: auto; }
.title-page { height: 240mm; padding-top: 70mm; break-after: page; }
.title-page .title { font-size: 3rem; font-weight: 500; }
.contents { break-after: page; }
.contents p { display: flex; gap: 1em; margin: 0.3rem 0; }
.contents p :last-child { margin-left: auto; }
.contents h2 { font-size: 1rem; margin: 1.2rem 0 0.4rem; }
"""


def settings() -> dict:
    """What `_config.yml` says about the book, as a dictionary."""
    return yaml.safe_load((BOOK.parent / "_config.yml").read_text(encoding="utf-8"))


def parts() -> list[tuple[str, list[str]]]:
    """The book in the order of its table of contents: (caption, pages); the first page has no caption."""
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    rest = [(part["caption"], [page["file"] for page in part["chapters"]]) for part in toc["parts"]]
    return [("", [toc["root"]]), *rest]


def point(link: Tag, stem: str, stems: list[str]) -> None:
    """Let a link lead inside the document, or out of the book; where it can do neither it is plain text."""
    target = link["href"]
    if re.match(r"[a-z]+:", target):
        return
    page, _, anchor = target.partition("#")
    to = page.removesuffix(".html") or stem
    if to in stems and "image-reference" not in link.get("class", []):
        link["href"] = f"#{to}--{anchor}" if anchor else f"#{to}"
    else:
        del link["href"]


def article(soup: BeautifulSoup, stem: str, stems: list[str]) -> Tag:
    """A page's text, to stand among others: names are its own, and what is folded is left out."""
    body = soup.select_one("article.bd-article")
    for box in body.select("script, .headerlink, details.hide, .solution > :not(.admonition-title)"):
        box.decompose()
    for node in body.find_all(id=True):
        node["id"] = f"{stem}--{node['id']}"
    for name in ("aria-labelledby", "aria-describedby"):
        for node in body.find_all(attrs={name: True}):
            node[name] = " ".join(f"{stem}--{one}" for one in node[name].split())
    for link in body.find_all("a", href=True):
        point(link, stem, stems)
    body["id"] = stem
    return body


def head(soups: list[BeautifulSoup]) -> str:
    """The style sheets and MathJax, each once."""
    wanted = [link for soup in soups for link in soup.select("head link[rel=stylesheet]")]
    wanted += [s for soup in soups for s in soup.select("script") if "mathjax" in str(s)[:400].lower()]
    return "\n".join(dict.fromkeys(map(str, wanted)))


def front(titles: dict[str, str], pages: list[int]) -> str:
    """The title page, and the contents with the pages' numbers once these are known."""
    book = settings()
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    day = datetime.date.fromtimestamp(int(epoch)) if epoch else datetime.date.today()
    address = repository(BOOK)
    lines = []
    numbers = iter(pages)
    for caption, stems in parts():
        lines += [f"<h2>{html.escape(caption)}</h2>"] if caption else []
        for stem in stems:
            number = next(numbers, "")
            lines.append(f'<p><a href="#{stem}">{titles[stem]}</a><span>{number}</span></p>')
    return f"""<div class="title-page"><p class="title">{html.escape(book["title"])}</p>
<p>{html.escape(book["author"])}</p><p>Printed on {day.day} {day:%B %Y}.</p>
<p>Text, figures and data: <a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>. Code: MIT.</p>
<p><a href="{address}">{address}</a></p></div>
<article class="bd-article contents"><h1>Contents</h1>{"".join(lines)}</article>"""


def document(title: str, links: str, body: str) -> str:
    """A whole HTML page around `body`, with the style sheets of `links` and those for print."""
    return f"""<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<title>{html.escape(title)}</title>{links}<style>{STYLE}</style></head>
<body><main class="bd-main"><div class="bd-content">{body}</div></main></body></html>"""


class Press:
    """Chromium, which prints documents whose files lie on `site`."""

    def __init__(self, browser, site: str):
        self.page, self.site = browser.new_page(), site
        self.page.set_default_timeout(PATIENCE)

    def open(self, name: str, text: str) -> None:
        """Load a document and wait until its formulas are drawn; they are read out as their sources."""
        from playwright.sync_api import TimeoutError

        url = f"{self.site}/{name}.print.html"
        self.page.unroute_all()
        self.page.route(url, lambda route: route.fulfill(body=text, content_type="text/html; charset=utf-8"))
        try:
            self.page.goto(url, wait_until="load")
            if not self.page.evaluate(HAS_FONTS):
                raise SystemExit(NO_FONTS)
            self.page.wait_for_function(FORMULAS)
        except TimeoutError:
            raise SystemExit(NOT_DRAWN.format(name=name)) from None
        self.page.evaluate(NAME_FORMULAS)

    def print(self, title: str) -> bytes:
        """The loaded document as a PDF on A4, with `title` and the page number at the foot."""
        small = "font: 8px sans-serif; color: #555; width: 100%; padding: 0 17mm; display: flex;"
        footer = f"""<div style="{small}"><span>{html.escape(title)}</span>
          <span style="margin-left: auto" class="pageNumber"></span></div>"""
        return self.page.pdf(
            format="A4", margin=MARGIN, print_background=True, outline=True, tagged=True,
            display_header_footer=True, header_template="<span></span>", footer_template=footer,
        )  # fmt: skip


def starts(pdf: bytes) -> list[int]:
    """The number of the page on which each chapter begins, by the outline; its first entry is the contents."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(pdf))
    chapters = [entry for entry in reader.outline if not isinstance(entry, list)]
    return [reader.get_destination_page_number(entry) + 1 for entry in chapters[1:]]


def soup_of(stem: str) -> BeautifulSoup:
    """A built page, parsed."""
    return BeautifulSoup((PAGES / f"{stem}.html").read_text(encoding="utf-8"), "html.parser")


def title_of(soup: BeautifulSoup) -> str:
    """The heading of a page, without the link behind it."""
    heading = soup.select_one("article.bd-article h1")
    return heading.get_text().removesuffix("#").strip()


def whole(press: Press, stems: list[str]) -> bytes:
    """The book: printed once to learn the chapters' pages, and again with these in its contents."""
    soups = [soup_of(stem) for stem in stems]
    titles = {stem: html.escape(title_of(soup)) for stem, soup in zip(stems, soups, strict=True)}
    links = head(soups)
    articles = [str(article(soup, stem, stems)) for stem, soup in zip(stems, soups, strict=True)]
    title = settings()["title"]
    press.open(WHOLE, document(title, links, "".join([front(titles, []), *articles])))
    pages = starts(press.print(title))
    texts = [str(number) for number in pages]
    press.page.evaluate(
        "(texts) => document.querySelectorAll('.contents p span').forEach((s, i) => s.append(texts[i]))",
        texts,
    )
    return press.print(title)


def handout(press: Press, stem: str) -> bytes:
    """One chapter as a PDF, headed with its own title and the book's."""
    soup = soup_of(stem)
    title = f"{title_of(soup)} · {settings()['title']}"
    links = head([soup])
    press.open(stem, document(title, links, str(article(soup, stem, [stem]))))
    return press.print(title)


def files(press: Press, stems: list[str], only: list[str]) -> Iterator[tuple[str, bytes]]:
    """Name and PDF of each file to be written: the book and all hand-outs, or those of `only`."""
    if not only:
        yield WHOLE, whole(press, stems)
    for stem in only or stems:
        yield stem, handout(press, stem)


def main(arguments: list[str] | None = None) -> int:
    """Print the book and its hand-outs, or those that are named."""
    stems = [stem for _, pages in parts() for stem in pages]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("chapters", nargs="*", metavar="chapter", help=f"of {', '.join(stems)}")
    options = parser.parse_args(arguments)
    for unknown in set(options.chapters) - set(stems):
        parser.error(f"the book has no chapter {unknown}; it has {', '.join(stems)}")
    if not all((PAGES / f"{stem}.html").exists() for stem in stems):
        raise SystemExit(f"make pdf: {NO_BOOK}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SystemExit(f"make pdf: {NO_PLAYWRIGHT}") from None
    PDF.mkdir(exist_ok=True)
    with sync_playwright() as playwright, serving(PAGES) as site:
        try:
            program = find(playwright.chromium.executable_path)
        except (LookupError, ValueError) as error:
            raise SystemExit(f"make pdf: {error}") from None
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        for name, pdf in files(Press(browser, site), stems, options.chapters):
            (PDF / f"{name}.pdf").write_bytes(pdf)
            print(f"    {PDF.relative_to(BOOK.parent)}/{name}.pdf, {len(pdf) / 1e6:.1f} MB", flush=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
