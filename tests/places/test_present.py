"""A page as slides: every heading and picture comes, alone and whole; widgets live; the page comes back."""

import io

import pytest
from pypdf import PdfReader

PAGES = ("index", "04_matching", "appendix_teaching")
NOW = """() => [...document.querySelectorAll(".bd-article section:not(.admonition section, .panet) > :not(section)")]
  .filter((one) => one.checkVisibility()).map((one) => one.localName)"""
PICTURES = ".bd-article .cell_output img:not([hidden]), .bd-article .widget-host"


def count(page) -> tuple[int, int]:
    """Which slide of how many the bar says."""
    number, total = page.locator(".present-tools [role=status]").text_content().split(" of ")
    return int(number), int(total)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("from_folder", [False, True])
def test_a_page_as_slides(name, from_folder, open_page, site, book):
    where = (book / f"{name}.html").as_uri() if from_folder else f"{site}/{name}.html"
    page = open_page(where, viewport={"width": 1280, "height": 720})
    headings = page.locator(".bd-article :is(h1, h2, h3)").count()
    pictures = page.locator(PICTURES).count()
    page.keyboard.press("p")
    first, total = count(page)
    assert first == 1 and total >= headings + (0 if name == PAGES[-1] else pictures // 2)
    shown = 0
    for number in range(1, total + 1):
        assert count(page) == (number, total) and page.url.endswith(f"#present={number}")
        now = page.evaluate(NOW)
        assert now[0] in ("h1", "h2", "h3") and len(now) <= 2
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shown += sum(one.is_visible() for one in page.locator(PICTURES).all())
        page.keyboard.press("ArrowRight")
    assert count(page) == (total, total) and shown >= pictures  # none is left out
    page.keyboard.press("Escape")
    assert "#" not in page.url and not page.locator(".present-tools").count()
    assert len(page.evaluate(NOW)) > 10 and page.troubles == []


@pytest.mark.parametrize("slide", [1, 6])
def test_slides_are_for_everybody(slide, open_page, site, axe):
    page = open_page(f"{site}/04_matching.html#present={slide}", viewport={"width": 1280, "height": 720})
    assert page.troubles == [] and axe(page) == []


def test_keys_buttons_and_a_link(open_page, site):
    page = open_page(f"{site}/04_matching.html#present=3", viewport={"width": 1280, "height": 720})
    assert count(page)[0] == 3
    for key, slide in (("End", count(page)[1]), ("Home", 1), (" ", 2), ("PageDown", 3), ("ArrowLeft", 2)):
        page.keyboard.press(key)
        assert count(page)[0] == slide
    page.get_by_role("button", name="The next slide").click()
    assert count(page)[0] == 3
    page.keyboard.press("Control+p")
    page.get_by_role("button", name="Leave the slides").click()
    page.get_by_role("button", name="Show this page as slides").click()
    assert count(page)[0] == 1 and page.troubles == []


def test_a_widget_lives_in_its_slide(open_page, site):
    page = open_page(f"{site}/index.html", viewport={"width": 1280, "height": 720})
    page.keyboard.press("p")
    while not page.locator(".widget-host:visible").count():
        page.keyboard.press("ArrowRight")
    here = count(page)
    buttons = page.locator(".widget-host:visible button:enabled:visible").first
    buttons.focus()
    page.keyboard.press("ArrowRight")  # the widget's key, not the slides'
    assert count(page) == here
    buttons.click()
    assert page.locator(".widget-host:visible .panet-alarm").first.is_hidden() and page.troubles == []


def test_notes_in_a_second_window(open_page, site):
    page = open_page(f"{site}/04_matching.html", viewport={"width": 1280, "height": 720})
    page.keyboard.press("p")
    with page.expect_popup() as opened:
        page.keyboard.press("n")
    notes = opened.value
    said = []
    for number in range(1, count(page)[1] + 1):
        assert notes.locator("h1").text_content().startswith(f"{number} of ")
        said.append(notes.locator("body").inner_text())
        page.keyboard.press("ArrowRight")
    assert "Next: " in said[0] and "This was the last slide." in said[-1] and len(set(said)) == len(said)
    whole = " ".join("".join(said).split())
    page.keyboard.press("Escape")
    paragraphs = page.locator(".bd-article section:not(.admonition section, .panet) > p").all_inner_texts()
    missing = [
        p for p in paragraphs if len(p) > 40 and "(" not in p and " ".join(p.split())[:40] not in whole
    ]
    assert missing == [] and page.troubles == []


def test_a_sheet_for_each_slide(open_page, site):
    page = open_page(f"{site}/04_matching.html#present", viewport={"width": 1280, "height": 720})
    sheets = PdfReader(io.BytesIO(page.pdf(format="A4", landscape=True))).pages
    assert count(page)[1] <= len(sheets) <= 1.3 * count(page)[1]
    assert "Matching" in sheets[0].extract_text()
