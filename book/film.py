"""Record README's film, `.github/photos.gif`: python book/film.py. The first page's widget, as a reader uses it.

Of Tabletop-5i's val, the first three pictures that show enough of a bottle: a box is drawn round the bottle in the
first, and the others are searched by the network in the page. The film plays once and ends with what was found.
"""

import html
import json
import tempfile
from io import BytesIO
from pathlib import Path

import chromium
from ipywidgets.embed import dependency_state, embed_data
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from panet_lite import pretrained
from panet_lite.datasets import Tabletop
from panet_lite.widgets import OwnPhotos
from panet_lite.widgets.network import script

OUT = Path(__file__).resolve().parents[1] / ".github" / "photos.gif"
HOST = Path(__file__).resolve().parent / "_assets" / "widgets.js"
CLASS, SHARE, PICTURES = "bottle", 0.06, 3  # of fold 0, which the network has not been trained on
SIZE, STEPS = {"width": 760, "height": 620}, 10
TICK, LONG = 120, 2500  # milliseconds of a frame, and of one to read


def page_of(folder: Path) -> tuple[Path, list[tuple[float, float]]]:
    """A page with the widget and the network beside it; two corners of the box, as shares of the picture's sides."""
    data, model = Tabletop("val"), pretrained(0)
    (label,) = data.labels_of([CLASS])
    chosen = [int(i) for i in data.images_of(label, least=SHARE)[:PICTURES]]
    rows, columns = (data.label_map(chosen[0]) == label).nonzero().T.tolist()
    height, width = data.label_map(chosen[0]).shape
    corners = [((f(columns) + d) / width, (f(rows) + d) / height) for f, d in ((min, -2), (max, 3))]
    widget = OwnPhotos(model, [data.image(i) for i in chosen])
    state = embed_data(
        views=[widget], drop_defaults=False, state=dependency_state([widget], drop_defaults=False)
    )
    parts = {"state": state["manager_state"], "view": state["view_specs"][0]}
    (folder / "_static").mkdir()
    (folder / "_static" / "network.js").write_text(script(model.backbone), encoding="utf-8")
    (folder / "_static" / "widgets.js").write_text(HOST.read_text(encoding="utf-8"), encoding="utf-8")
    body = "".join(
        f'<script type="application/vnd.jupyter.widget-{kind}+json">{json.dumps(value).replace("</", chr(60) + chr(92) + "/")}</script>'
        for kind, value in parts.items()
    )
    text = (
        '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>film</title>'
        f"<style>.widget-alone {{ display: none }}</style><main>{body}"
        f'<script src="{html.escape("_static/widgets.js")}"></script></main></html>'
    )
    (folder / "page.html").write_text(text, encoding="utf-8")
    return folder / "page.html", corners


def record(page: Page, corners: list[tuple[float, float]]) -> tuple[list[Image.Image], list[int]]:
    """The frames, and how long each is shown."""
    frames, times = [], []

    def look(milliseconds: int = TICK) -> None:
        page.wait_for_timeout(60)  # until what was asked for is painted
        frames.append(Image.open(BytesIO(page.screenshot())).convert("RGB"))
        times.append(milliseconds)

    look(LONG // 2)
    page.get_by_role("button", name="Rendered scenes").click()
    page.wait_for_function(
        "n => document.querySelectorAll('.panet-stage canvas').length === n && !document.querySelector('[data-busy]')",
        arg=PICTURES, timeout=120_000,
    )  # fmt: skip
    page.get_by_role("textbox").fill(CLASS)
    page.get_by_role("radio", name="Box").check()
    look(LONG // 2)
    box = page.locator(".panet-stage canvas").first.bounding_box()
    start, end = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners)
    page.mouse.move(*start)
    page.mouse.down()
    for step in range(1, STEPS + 1):
        page.mouse.move(*(a + (b - a) * step / STEPS for a, b in zip(start, end)))
        look()
    page.mouse.up()
    look(LONG)
    return frames, times


def film(browser: Browser) -> tuple[list[Image.Image], list[int]]:
    """Open the page in a browser, and record it."""
    with tempfile.TemporaryDirectory() as folder:
        page_file, corners = page_of(Path(folder))
        page = browser.new_page(viewport=SIZE)
        page.goto(page_file.as_uri())
        page.wait_for_selector("[data-ready]")
        return record(page, corners)


def main() -> None:
    """Write the film."""
    with sync_playwright() as playwright:
        program = chromium.find(playwright.chromium.executable_path)
        frames, times = film(playwright.chromium.launch(executable_path=program, args=chromium.QUIET))
    first, *others = (frame.quantize(96, dither=Image.Dither.NONE) for frame in frames)
    first.save(
        OUT, save_all=True, append_images=others, duration=times, optimize=True
    )  # no loop: it plays once


if __name__ == "__main__":
    main()
