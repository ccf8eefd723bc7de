"""The pages on screens of 1280 and 1440 px, on phones of 390 and 430 px, and at 320 px, which is a zoom of 400 %."""

import json

import pytest
from browser import BOOK, PAGES

CHAPTERS = [name for name in PAGES if (BOOK / "_sources" / name.replace(".html", ".ipynb")).exists()]
CHAPTERS = CHAPTERS or ["index.html"]
SETTLED = "() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 50))"

# Visible code and outputs that scroll sideways, or are cut.
CUT = """() => [...document.querySelectorAll(".bd-article :is(pre, .cell_input, .cell_output, .output)")]
  .filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1 && !box.closest(".panet"))
  .map((box) => `${box.className || box.tagName}: ${box.scrollWidth} > ${box.clientWidth}: ${box.textContent.slice(0, 60)}`)"""

# Displayed formulas of which a part can be reached neither by the eye nor by swiping.
LOST = """() => [...document.querySelectorAll("div.math mjx-container")].filter((box) => {
  if (!box.checkVisibility()) return false;
  box.scrollLeft = 0;
  const [drawn, seen] = [box.querySelector("svg"), box].map((part) => part.getBoundingClientRect());
  const swipes = ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
  const outside = seen.left < 0 || seen.right > innerWidth + 1;
  return outside || drawn.left < seen.left - 1 || (drawn.right > seen.right + 1 && !swipes);
}).map((box) => box.closest(".math").id || box.textContent)"""

# What is wider than its box: the keyboard reaches it, and a sign says that it goes on.
UNTOLD = """() => [...document.querySelectorAll(
    "div.math mjx-container, .pst-scrollable-table-container, .cell_output pre, .output.text_html")]
  .filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
  .filter((box) => {
    const style = getComputedStyle(box);
    return box.tabIndex < 0 || !["auto", "scroll"].includes(style.overflowX) || style.maskImage === "none";
  }).map((box) => box.outerHTML.slice(0, 90))"""

# Links, buttons and fields smaller than 24 px; links within a line of text may be as high as the line.
SMALL = """() => [...document.querySelectorAll("a, button, summary, input, select, [role=button], [role=slider]")]
  .filter((one) => {
    const box = one.getBoundingClientRect();
    const shown = one.checkVisibility({ visibilityProperty: true }) && box.width && box.right > 0
      && box.left < innerWidth && !one.disabled && getComputedStyle(one).pointerEvents !== "none";
    const inText = one.tagName === "A" && one.closest("p, li, td, th, dd, dt, figcaption, h1, h2, h3, h4, h5, pre")
      && getComputedStyle(one).display === "inline";
    const away = one.closest(".skip-link:not(:focus-within), .pst-skip-link:not(:focus-within)");
    const label = one.labels?.[0]?.getBoundingClientRect() ?? box;
    const [width, height] = [Math.max(box.width, label.width), Math.max(box.height, label.height)];
    return shown && !inText && !away && Math.min(width, height) < 23.9;
  }).map((one) => {
    const { width, height } = one.getBoundingClientRect();
    return `${one.outerHTML.slice(0, 110)}: ${width.toFixed()} x ${height.toFixed()}`;
  })"""
SIDEWAYS = "() => document.scrollingElement.scrollWidth - innerWidth"
SHRUNK = """(image) => image.getBoundingClientRect().width + 1 < (parseFloat(image.style.width) || image.naturalWidth)"""


@pytest.mark.parametrize("name", PAGES)
def test_at_every_width_nothing_is_lost(name, open_page, site):
    """On a screen code and outputs are whole; on a phone formulas are whole or swipe, tables and outputs scroll
    inside themselves, and fingers hit; nowhere does the page itself scroll sideways."""
    page = open_page(f"{site}/{name}", viewport={"width": 1440, "height": 844}, has_touch=True)
    for width in (1440, 1280, 430, 390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate(SETTLED)
        assert page.evaluate(SIDEWAYS) <= 0, width
        assert page.evaluate(LOST) == [], width
        assert page.evaluate(CUT if width > 1000 else UNTOLD) == [], width
        assert width > 1000 or page.evaluate(SMALL) == [], width


def test_on_a_phone_formulas_swipe(open_page, site):
    """Eq. 2 is wider than a phone: it begins with its left-hand side, and swiping brings the end."""
    page = open_page(f"{site}/03_prototypes.html", viewport={"width": 390, "height": 844}, has_touch=True)
    box = page.locator("div.math.swipes mjx-container").nth(1)
    assert box.get_attribute("data-swipe") == "start"
    box.evaluate("(box) => box.scrollTo(box.scrollWidth, 0)")
    page.wait_for_function("(box) => box.dataset.swipe === 'end'", arg=box.element_handle())


@pytest.mark.parametrize("name", CHAPTERS)
def test_on_a_phone_figures_open_large(name, open_page, site):
    """Each figure that the phone shrinks is a link that opens it at its own size or more, with its alt text."""
    page = open_page(f"{site}/{name}", viewport={"width": 390, "height": 844}, has_touch=True)
    figures = page.locator(".bd-article :is(figure, .cell_output) img:not(.widget-still, .panet *)")
    shrunk = [figure for figure in figures.all() if figure.is_visible() and figure.evaluate(SHRUNK)]
    assert shrunk or not figures.count()
    for figure in shrunk:
        link = figure.locator("xpath=ancestor::a[@href]")
        assert link.count() == 1
        link.evaluate("(link) => link.click()")
        large = page.locator("dialog.lightbox[open] img")
        assert large.get_attribute("alt") == figure.get_attribute("alt")
        meant = figure.evaluate("(image) => parseFloat(image.style.width) || image.naturalWidth")
        assert large.evaluate("(image) => image.getBoundingClientRect().width") >= meant - 1
        page.keyboard.press("Escape")
        assert page.locator("dialog.lightbox[open]").count() == 0
    assert page.troubles == []


def test_a_figure_opens_and_closes_by_touch_and_by_keyboard(open_page, site, axe):
    page = open_page(f"{site}/03_prototypes.html", viewport={"width": 390, "height": 844}, has_touch=True)
    link = page.locator(".bd-article figure a.image-reference[href]").first
    dialog = page.locator("dialog.lightbox")
    link.tap()
    assert dialog.is_visible()
    assert dialog.locator("div").evaluate("(box) => box.scrollWidth > box.clientWidth")  # it pans
    assert axe(page) == []
    dialog.get_by_role("button").tap()
    assert not dialog.is_visible()
    link.focus()
    page.keyboard.press("Enter")
    assert dialog.is_visible()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert link.evaluate("(link) => link === document.activeElement")


def test_on_a_phone_axe_finds_the_same_nothing(open_page, site, axe):
    """Scrolling regions and targets are rules that a desktop's width does not try."""
    page = open_page(f"{site}/appendix_notation.html", viewport={"width": 390, "height": 844}, has_touch=True)
    assert page.locator(".swipes").count() > 0
    assert axe(page) == []


@pytest.mark.parametrize("drawer", ["primary", "secondary"])
def test_the_drawers_open_and_their_links_suit_a_finger(drawer, open_page, site):
    page = open_page(f"{site}/03_prototypes.html", viewport={"width": 390, "height": 844}, has_touch=True)
    page.locator(f".bd-header-article button.{drawer}-toggle").tap()
    links = page.locator(f".bd-sidebar-{drawer} a:visible")
    page.wait_for_function(
        "(link) => { const { left, right } = link.getBoundingClientRect(); return left >= 0 && right <= innerWidth }",
        arg=links.first.element_handle(),
    )
    heights = links.evaluate_all("(links) => links.map((link) => link.getBoundingClientRect().height)")
    assert len(heights) > 5 and min(heights) >= 24


def test_on_a_screen_the_contents_open(open_page, site):
    """Up to 1600 px they wait behind their button, and code has their room."""
    page = open_page(f"{site}/03_prototypes.html", viewport={"width": 1280, "height": 800})
    contents = page.locator(".bd-sidebar-secondary .page-toc a").first
    assert not contents.is_visible()
    page.locator(".bd-header-article button.secondary-toggle").click()
    assert contents.is_visible()


def test_the_copy_button_gives_the_source(open_page, site, book):
    """Code that wraps on the page does not wrap in the clipboard."""
    page = open_page(
        f"{site}/03_prototypes.html",
        viewport={"width": 390, "height": 844},
        permissions=["clipboard-read", "clipboard-write"],
    )
    notebook = json.loads((book / "_sources" / "03_prototypes.ipynb").read_text("utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    longest = max(sources, key=lambda source: max(map(len, source.split("\n"))))
    cells = page.locator(".cell_input")
    cell = cells.nth(sources.index(longest))
    cell.evaluate("(cell) => { const fold = cell.closest('details'); if (fold) fold.open = true; }")
    cell.hover()
    cell.locator("button.copybtn").click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == longest.strip()
