"""How heavy, how soon ready and how quick are the pages with widgets? `make bench`, after `make book`.

Headless Chromium reads the built book from a web server of this machine. weight: all that a first visit
loads, gzipped. ready: from the start of navigation until formulas and widgets are drawn, the median of
several visits. repaint: what a widget's drawing takes while a mouse moves over its pictures, its
sliders are drawn and its choices are taken, median and 95th percentile. features: of a photo, by the network in
the first page, median of several, and what a reader's click loads for it.
"""

import argparse
import gzip
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book"))  # chromium.py knows how to find a browser and when a page is drawn

from chromium import QUIET, READY, find, serving  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

BOOK = ROOT / "_build" / "html"

LIMITS = {"weight": 3.0, "ready": 2.0, "repaint": 16.0, "features": 250.0, "click": 5.0}  # MB, s, ms, ms, MB
TIMES = """async () => {
  const network = await [...globalThis.panetNetworks.values()][0];
  const pixels = Uint8ClampedArray.from({ length: 4 * 320 * 240 }, (_, i) => (i * 2654435761) >>> 24);
  const times = [];
  for (let i = 0; i < 25; i++) {
    const began = performance.now();
    await network.embed({ pixels, H: 240, W: 320 });
    times.push(performance.now() - began);
  }
  return times;
}"""


def weigh(page: Page, url: str) -> float:
    """MB (gzip) of everything that a visit loads."""
    bodies = []
    page.on("response", lambda response: bodies.append(response))
    page.goto(url)
    page.wait_for_function(READY)
    loaded = {r.url: r.body() for r in bodies if r.url.startswith("http") and r.ok}
    return sum(len(gzip.compress(body, 6)) for body in loaded.values()) / 1e6


def ready(page: Page, url: str) -> float:
    """Seconds from the start of navigation until all is drawn."""
    page.goto(url)
    page.wait_for_function(READY, polling=20)
    return page.evaluate("performance.now()") / 1000


def use(page: Page, widget) -> list[float]:
    """Move over all pictures and through all sliders of a widget; the durations of its drawings, ms."""
    for canvas in widget.locator("canvas").all():
        if not canvas.is_visible():
            continue
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        for row in (0.3, 0.6):
            page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + row * box["height"])
            page.mouse.down()
            page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + row * box["height"], steps=20)
            page.mouse.up()
    for slider in widget.locator("input[type=range]").all():
        if slider.is_visible() and slider.is_enabled():
            slider.focus()
            page.keyboard.press("Home")
            for _ in range(20):
                page.keyboard.press("ArrowRight")
                page.wait_for_timeout(30)
    for choice in widget.locator("input[type=radio]:enabled").all()[:12]:
        if choice.is_visible():
            choice.check(force=True)
            page.wait_for_timeout(60)
    page.wait_for_timeout(300)
    return widget.evaluate("(root) => root.repaints ?? []")


def network(page: Page, url: str) -> tuple[float, float]:
    """Milliseconds from a photo of 320 x 240 pixels to its features, and the page's MB (gzip) with the network."""
    bodies = []
    page.on("response", lambda response: bodies.append(response))
    page.goto(url)
    page.wait_for_function(READY)
    page.get_by_role("button", name="Rendered scenes").click()
    page.wait_for_function("() => document.querySelectorAll('.panet-stage .panet-picture').length > 2")
    page.wait_for_function("() => !document.querySelector('[data-busy]')")
    times = page.evaluate(TIMES)
    loaded = {r.url: r.body() for r in bodies if r.url.startswith("http") and r.ok}
    return statistics.median(times[5:]), sum(len(gzip.compress(body, 6)) for body in loaded.values()) / 1e6


def main() -> int:
    """A row for each page; 1 where one of them is over a limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--visits", type=int, default=5)
    options = parser.parse_args()
    if not (BOOK / "index.html").exists():
        raise SystemExit("There is no built book: run `make book` first.")
    worst = dict.fromkeys(LIMITS, 0.0)
    with sync_playwright() as playwright, serving(BOOK) as site:
        program = find(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        print(f"{'page':28}{'weight':>10}{'ready':>9}")
        for path in sorted(BOOK.glob("*.html")):
            url = f"{site}/{path.name}"
            weight = weigh(browser.new_page(), url)
            seconds = statistics.median(ready(browser.new_page(), url) for _ in range(options.visits))
            worst["weight"], worst["ready"] = max(worst["weight"], weight), max(worst["ready"], seconds)
            print(f"{path.stem:28}{weight:7.2f} MB{seconds:7.2f} s")
            page = browser.new_page()
            page.goto(url)
            page.wait_for_function(READY)
            for widget in page.locator(".panet").all():
                times = sorted(use(page, widget))
                median, late = statistics.median(times), times[int(0.95 * (len(times) - 1))]
                worst["repaint"] = max(worst["repaint"], median)
                name = widget.get_attribute("aria-label")
                print(
                    f"    {name:34} repaint {median:5.1f} ms, 95 % within {late:5.1f} ms ({len(times)} drawings)"
                )
            for page in browser.contexts:
                page.close()
        worst["features"], worst["click"] = network(browser.new_page(), f"{site}/index.html")
        browser.close()
    units = {"weight": "MB", "ready": "s", "repaint": "ms", "features": "ms", "click": "MB"}
    for what, limit in LIMITS.items():
        print(f"the worst {what}: {worst[what]:.2f} {units[what]}, aim: at most {limit:g} {units[what]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
