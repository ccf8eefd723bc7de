"""A real browser for the tests: Chromium, driven by Playwright. `conftest.py` hands the fixtures on.

`open_page(url)` opens one in a fresh context and keeps in `page.troubles` what a reader should be spared:
console errors and warnings, exceptions, requests that fail or go elsewhere. Without a browser or without a
built book the tests are skipped; where PANET_REQUIRE_BROWSER=1 they fail.
"""

import os
from pathlib import Path

import pytest
from chromium import NO_BOOK, NO_PLAYWRIGHT, QUIET, READY, find, serving

BOOK = Path(__file__).resolve().parents[1] / "_build" / "html"
# Pages that readers see; _static holds the theme's templates. Without a book the fixture `book` says so.
PAGES = sorted(p.relative_to(BOOK).as_posix() for p in BOOK.rglob("*.html") if "_static" not in p.parts)
PAGES = PAGES or ["index.html"]

# axe-core's rules that are left out, and why.
LEFT_OUT = [
    "color-contrast-enhanced",  # AAA wants 7:1; this book promises 4.5:1, which `color-contrast` checks
]
AXE = """async (leftOut) => {
  const rules = axe.getRules().map((rule) => rule.ruleId).filter((id) => !leftOut.includes(id));
  const found = await axe.run(document, {
    runOnly: { type: "rule", values: rules }, resultTypes: ["violations"] });
  return found.violations.filter((v) => ["serious", "critical"].includes(v.impact)).flatMap((v) =>
    v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${[...n.any, ...n.all, ...n.none][0]?.message}`));
}"""


def missing(what: str) -> None:
    """Skip the test, with one line that says what to do; fail where a browser is required."""
    if os.environ.get("PANET_REQUIRE_BROWSER") == "1":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def find_browser(own: str) -> str:
    """The program to start; `own` is Playwright's."""
    try:
        return find(own)
    except ValueError as error:
        pytest.fail(str(error), pytrace=False)
    except LookupError as error:
        missing(str(error))


@pytest.fixture(scope="module")
def browser():
    """One for each test file: while it lives, Playwright's event loop does, which nbclient would meet."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing(NO_PLAYWRIGHT)
    with sync_playwright() as playwright:
        program = find_browser(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def book():
    """The folder of the built book."""
    if not (BOOK / "index.html").exists():
        missing(NO_BOOK)
    return BOOK


@pytest.fixture(scope="session")
def site(book):
    """The built book on a web server of this machine."""
    with serving(book) as address:
        yield address


def watch(page, url: str) -> list[str]:
    """From now on, what goes wrong on the page or leaves its origin, one line each."""
    origin = "file://" if url.startswith("file:") else "/".join(url.split("/")[:3]) + "/"
    home = ("data:", "blob:", "about:", origin)
    troubles: list[str] = []

    def console(message):
        if message.type in ("error", "warning"):
            troubles.append(f"console {message.type}: {message.text}")

    def request(sent):
        if not sent.url.startswith(home):
            troubles.append(f"leaves the book: {sent.url}")

    page.on("console", console)
    page.on("pageerror", lambda error: troubles.append(f"uncaught: {error}"))
    page.on("request", request)
    page.on("requestfailed", lambda sent: troubles.append(f"failed: {sent.url}"))
    page.on("response", lambda got: got.status >= 400 and troubles.append(f"{got.status}: {got.url}"))
    return troubles


@pytest.fixture
def open_page(browser):
    """`open_page(url, **options of the context)` gives a page with all widgets and formulas drawn.

    `prepare(page)` is called before the page is opened; `ready` is what to wait for, None where nothing
    will happen (JavaScript switched off).
    """
    from playwright.sync_api import TimeoutError

    contexts = []

    def open(url: str, *, prepare=None, ready: str | None = READY, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.troubles = watch(page, url)
        if prepare:
            prepare(page)
        page.goto(url)
        try:
            if ready:
                page.wait_for_function(ready)
        except TimeoutError:
            pytest.fail(
                f"{url}: a widget or a formula is not drawn after 30 s. {page.troubles}", pytrace=False
            )
        return page

    yield open
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def axe():
    """`axe(page)`: what axe-core, with all its rules, finds serious or critical there, one line each."""
    try:
        from axe_playwright_python.base import AXE_SCRIPT
    except ImportError:
        missing("axe-core is not installed: pip install axe-playwright-python")

    def find(page) -> list[str]:
        page.evaluate(AXE_SCRIPT)
        return page.evaluate(AXE, LEFT_OUT)

    return find
