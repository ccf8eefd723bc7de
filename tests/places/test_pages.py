"""Every page of the built book in a real browser, from a web server and from a folder."""

import gzip
import json
import re

import pytest
from browser import BOOK, PAGES

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
# A long page has ten thousand coloured words of code: of each kind one stays a word, so that axe takes seconds.
THIN = """() => {
  const seen = new Set();
  const words = document.querySelectorAll(".highlight pre span, .sig span, .sig em");
  for (const word of [...words].reverse()) { // what lies inside comes first
    const kind = `${word.className} ${word.closest(".highlight, .sig").parentElement.className}`;
    if (seen.has(kind) && !word.firstElementChild) word.replaceWith(word.textContent);
    seen.add(kind);
  }
}"""
BROKEN = """async () => {
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map((image) => image.decode().catch(() => {})));
  return images.filter((image) => !image.naturalWidth || !image.hasAttribute("alt")).map((i) => i.outerHTML);
}"""
WIDGETS = """(type) => [...document.querySelectorAll(`script[type="${type}"]`)].map((script) => {
  const hosts = script.parentElement.querySelectorAll(":scope > .widget-host");
  const still = script.parentElement.querySelector(":scope > .widget-still");
  return [hosts.length, "ready" in (hosts[0]?.dataset ?? {}), hosts[0]?.childElementCount > 0, still?.hidden];
})"""


def with_widgets():
    """The pages that hold at least one widget."""
    return [name for name in PAGES if (BOOK / name).exists() and VIEW in (BOOK / name).read_text("utf-8")]


def check(page):
    """What must hold on every page, over http and file://."""
    assert page.evaluate(BROKEN) == []
    assert all(found == [1, True, True, True] for found in page.evaluate(WIDGETS, VIEW))
    assert page.locator("mjx-merror").count() == 0
    assert page.troubles == []


def weight(page, site, book) -> int:
    """Bytes (gzip) of all that a first visit loads; `check` has asked for the pictures further down."""
    loaded = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    files = {url.split("?")[0] for url in [*loaded, page.url] if url.startswith(site)}
    assert any(url.endswith(".js") for url in files)
    return sum(len(gzip.compress((book / url.removeprefix(f"{site}/")).read_bytes(), 6)) for url in files)


@pytest.mark.parametrize("name", PAGES)
def test_page_from_a_server(name, open_page, site, book, axe):
    """Nothing fails, nothing leaves, 3 MB at most; axe-core finds nothing serious in light, then in dark mode."""
    page = open_page(f"{site}/{name}", color_scheme="light", reduced_motion="reduce")
    check(page)
    assert weight(page, site, book) < 3_000_000
    page.evaluate(THIN)
    assert axe(page) == []
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert axe(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_page_from_a_folder(name, open_page, book):
    check(open_page((book / name).as_uri()))


@pytest.mark.parametrize("from_folder", [False, True])
def test_search_finds_a_word(from_folder, open_page, site, book):
    page = open_page(f"{(book.as_uri() if from_folder else site)}/search.html?q=prototype")
    page.wait_for_selector("#search-results ul.search li")
    page.wait_for_function("!document.querySelector('#search-progress')?.textContent.includes('...')")
    assert page.locator("#search-results li a[href*='03_prototypes']").count() > 0
    assert page.troubles == []


def test_the_book_has_widgets(book):
    assert "index.html" in with_widgets()


@pytest.mark.parametrize("name", with_widgets())
def test_still_pictures_without_javascript(name, open_page, site, book):
    page = open_page(f"{site}/{name}", java_script_enabled=False, ready=None)
    stills = page.locator(".widget-box > img.widget-still")
    assert stills.count() == (book / name).read_text("utf-8").count(f'type="{VIEW}"')
    for still in stills.all():
        assert still.is_visible()
        assert len(still.get_attribute("alt").split()) >= 5


def truncated(state):
    return json.dumps(state)[:-20]


def without_models(state):
    return json.dumps({**state, "state": {}})


def wrong_base64(state):
    for model in state["state"].values():
        for buffer in model.get("buffers", []):
            buffer["data"] = "not base64!"
    return json.dumps(state)


def wrong_path(state):
    for model in state["state"].values():
        for buffer in model.get("buffers", []):
            buffer["path"] = ["__proto__", "polluted"]
    return json.dumps(state)


@pytest.mark.parametrize("from_folder", [False, True])
@pytest.mark.parametrize("name", with_widgets())
def test_one_widget_alone(name, from_folder, open_page, site, book, axe):
    """Each has a link to itself alone; there is nothing else, it lives, and the way back is the whole page."""
    where = (book / name).as_uri() if from_folder else f"{site}/{name}"
    links = open_page(where).locator(".widget-alone").evaluate_all("all => all.map(a => a.hash)")
    assert len(links) == len(set(links)) == (book / name).read_text("utf-8").count(f'type="{VIEW}"')
    for link in links[-2:]:
        page = open_page(where + link)
        page.wait_for_function("document.documentElement.classList.contains('alone')")
        assert page.locator(".widget-host").evaluate_all(
            "all => all.map(h => '#only=' + h.dataset.name)"
        ) == [link]
        assert page.locator(".panet").is_visible() and not page.locator("header, nav, main, h1").count()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and page.troubles == []
        assert from_folder or axe(page) == []
    page.evaluate("location.hash = ''")
    page.wait_for_function("document.querySelector('main h1')")


def test_a_widget_that_is_not_there_is_a_sentence(open_page, site):
    page = open_page(f"{site}/09_interactive.html#only=Painter")
    said = page.locator("main .widget-failed").text_content()
    assert said.startswith("This page has no widget Painter. It has: ") and "PaintAndSegment" in said
    assert page.locator(".panet").count() > 1 and page.troubles == []


def test_a_widget_that_cannot_be_drawn_leaves_its_picture(open_page, site, book):
    """Its module runs, finds the scene malformed and says so; the still picture stays beside the sentence."""
    name = "index.html"
    text = (book / name).read_text("utf-8")
    old = re.search(rf'<script type="{re.escape(STATE)}">(.*?)</script>', text, re.DOTALL)[1]
    state = json.loads(old)
    scenes = [model["state"]["scene"] for model in state["state"].values() if "scene" in model["state"]]
    for scene in scenes:
        scene["ways"] = -1
    body = text.replace(old, json.dumps(state).replace("<", "\\u003c"))
    page = open_page(
        f"{site}/{name}", prepare=lambda p: p.route(f"{site}/{name}", lambda r: r.fulfill(body=body))
    )
    assert len(scenes) == page.locator("img.widget-still:visible").count() > 0
    assert "The number of ways" in page.locator(".panet-alarm").first.text_content()
    assert page.troubles == []


@pytest.mark.parametrize("spoil", [truncated, without_models, wrong_base64, wrong_path])
@pytest.mark.parametrize("name", with_widgets()[:1])
def test_a_spoilt_state_leaves_the_rest_of_the_page(name, spoil, open_page, site, book):
    """The pictures stay, each widget says in a sentence why it did not start, and the page goes on."""
    text = (book / name).read_text("utf-8")
    old = re.search(rf'<script type="{re.escape(STATE)}">(.*?)</script>', text, re.DOTALL)[1]
    body = text.replace(old, spoil(json.loads(old)).replace("<", "\\u003c"))
    page = open_page(
        f"{site}/{name}", prepare=lambda p: p.route(f"{site}/{name}", lambda r: r.fulfill(body=body))
    )
    views = text.count(f'type="{VIEW}"')
    said = page.locator(".widget-failed[role=alert]").all_text_contents()
    assert len(said) == views
    assert all(re.fullmatch(r"This widget could not start: .+", sentence) for sentence in said)
    assert page.locator("img.widget-still:visible").count() == views
    assert page.evaluate("({}).polluted") is None
    page.locator("button.theme-switch-button").first.click()
    assert page.troubles == []
