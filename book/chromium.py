"""Chromium or Chrome for the PDF and for the tests: where it is, how it starts, when a page is drawn."""

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NO_BROWSER = (
    "no Chromium or Chrome was found: install one (Debian, Ubuntu: apt install chromium; anywhere: "
    "python -m playwright install chromium), or name its program in PANET_BROWSER"
)
NO_PLAYWRIGHT = "Playwright is not installed: pip install playwright"
NO_BOOK = "there is no built book: run `make book` first"
QUIET = ["--disable-gpu", "--disable-background-networking"]
FORMULAS = '!document.querySelector(".math:not(:has(mjx-container))")'
READY = f"""() => document.readyState === "complete"
  && [...document.querySelectorAll('script[type$="widget-view+json"]')].every(
    (s) => s.nextElementSibling?.matches("[data-ready], .widget-failed"))
  && {FORMULAS}"""


def find(own: str) -> str:
    """The program to start: PANET_BROWSER, one on the PATH, or Playwright's `own`.

    Raises ValueError where PANET_BROWSER names no program, LookupError where there is no browser.
    """
    named = os.environ.get("PANET_BROWSER")
    if named and not shutil.which(named):
        raise ValueError(f"PANET_BROWSER names {named}, which is no program")
    found = next(filter(None, [named, *map(shutil.which, NAMES)]), own)
    if not Path(found).exists() and not shutil.which(found):
        raise LookupError(NO_BROWSER)
    return found


class Handler(http.server.SimpleHTTPRequestHandler):
    """Gives out the files of a folder, and keeps silent about it."""

    def log_message(self, *_) -> None:
        """No line on the terminal for what is fetched."""
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The folder on a free port of this machine, as http://127.0.0.1:port."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
