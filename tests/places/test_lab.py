"""JupyterLab and Notebook 7: what `make lab` opens, as a reader finds it.

Real servers and a real browser. In both, chapter 3 is read: nothing raw, nothing solved, all numbers the book's.
In JupyterLab, chapter 9 is then run and painted in, and the mask is read back in Python.
"""

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import editions
import nbformat
import notebooks
import numpy as np
import pytest
from browser import watch
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from test_notebooks import exercises, prose

from panet_lite.datasets import Tabletop

BOOK = Path(__file__).resolve().parents[2] / "book"
READ = """\
import json
print("MASK", json.dumps(np.flatnonzero(widget.label_map == 1).tolist()))
print("SAME", np.array_equal(widget.prediction, __import__("panet_lite").widgets.scenes.segment(widget.scene, widget.label_map).labels()[0].numpy()))"""
WRITE = """\
strokes = np.full_like(widget.label_map, VOID)
strokes[0, 100:], strokes[0, 40:90, 40:90] = 0, 1
widget.label_map = strokes
print("SCORE", f"{widget.iou[0]:.2f}")"""
PROGRAMS = {
    "jupyterlab": [
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ],
    "notebook": [],
}
PLACES = {
    "jupyterlab": "lab/workspaces/{0}/tree/{0}",
    "notebook": "notebooks/{0}",
}  # each alone in its window
# All Markdown is drawn, in JupyterLab by its extension: cell, output, what the reader sees.
DRAWN = """(count) => [...document.querySelectorAll(".jp-Notebook .jp-MarkdownCell .myst")]
  .filter((out) => out.innerText.trim()).length === count"""
SEEN = """() => ({
  text: document.querySelector(".jp-Notebook").innerText,
  folds: [...document.querySelectorAll(".jp-Notebook details")].map((fold) => fold.open),
  tags: [...document.querySelectorAll(".katex-display .tag")].map((tag) => tag.innerText),
  equations: document.querySelectorAll(".katex-display").length,
  counted: [...document.querySelectorAll(".katex-display")].filter(
    (math) => math.closest(".group").childElementCount > 1).length,
  broken: [...document.querySelectorAll(".katex-error, .myst [title='Citation Not Found']")].map((e) => e.innerText),
})"""


PHOTOS = """\
from panet_lite import pretrained
from panet_lite.widgets import OwnPhotos
OwnPhotos(pretrained(0))"""


def lay_out(folder):
    """The lab's editions of chapters 3 and 9, chapter 9 two cells longer and never run; and photos of one's own."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    photos = new_notebook(cells=[new_code_cell(PHOTOS, id="photos")], metadata=kernel)
    nbformat.write(photos, folder / "photos.ipynb")
    for stem in ("03_prototypes", "09_interactive"):
        notebook = editions.edition(BOOK / f"{stem}.ipynb", "lab")
        if stem.startswith("09"):
            notebook.cells += [new_code_cell(READ, id="read-back"), new_code_cell(WRITE, id="write-on")]
            for cell in (c for c in notebook.cells if c.cell_type == "code"):
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / f"{stem}.ipynb")


@contextlib.contextmanager
def serving(program, state):
    """A server of one of the programs, on the two chapters; nothing of the user's is read or written."""
    (state / "work").mkdir()
    lay_out(state / "work")
    settings = state / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    env = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(state / "settings"), "JUPYTER_RUNTIME_DIR": str(state / "run"),
           "JUPYTERLAB_WORKSPACES_DIR": str(state / "spaces"), "JUPYTER_CONFIG_DIR": str(state / "config")}  # fmt: skip
    options = [
        "--no-browser",
        "--ip=127.0.0.1",
        "--port=0",
        "--IdentityProvider.token=painting",
        "--allow-root",
    ]
    with open(state / "log", "w+") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", program, *options, *PROGRAMS[program]],
            cwd=state / "work",
            env=env,
            stdout=log,
            stderr=log,
        )
        try:
            yield f"{address(server, state / 'log')}/{PLACES[program]}"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """`places("notebook")`: where that program shows notebooks; each is started once."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def place(program):
            return stack.enter_context(serving(program, tmp_path_factory.mktemp(program)))

        yield place


def address(server, log):
    """Where the server listens, once it answers."""
    for _ in range(240):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            try:
                urllib.request.urlopen(f"{found[0]}/api/status?token=painting", timeout=5)
                return found[0]
            except OSError:
                pass
        assert server.poll() is None, log.read_text()
        time.sleep(0.5)
    raise AssertionError(log.read_text())


def opened(browser, place, stem):
    """A page with a chapter in it, all its Markdown drawn."""
    page = browser.new_context(viewport={"width": 1300, "height": 1000}).new_page()
    page.set_default_timeout(120_000)
    page.troubles = watch(page, place)
    page.goto(f"{place.format(stem)}.ipynb?token=painting")
    edition = editions.edition(BOOK / f"{stem}.ipynb", "lab")
    page.wait_for_function(DRAWN, arg=sum(cell.cell_type == "markdown" for cell in edition.cells))
    return page


def squeezed(text):
    return " ".join(text.split())


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_chapter_is_whole_and_its_solutions_are_folded(program, browser, places):
    source = notebooks.read(BOOK / "03_prototypes.ipynb")
    page = opened(browser, places(program), "03_prototypes")
    seen = page.evaluate(SEEN)
    for raw in (":::", "```", "{cite", "{doc}", "$$", "Unknown Directive"):
        assert raw not in seen["text"]
    assert seen["broken"] == [] and "(Wang et al., 2019)" in seen["text"] and "Kaixin Wang" in seen["text"]

    equations = re.findall(r"\$\$(.+?)\$\$", prose(source), re.S)
    assert seen["equations"] == len(equations) > 0
    assert seen["tags"] == [f"({n})" for n in re.findall(r"\\tag\{(\d+)\}", " ".join(equations))] != []
    assert seen["counted"] == 0  # no numbers but the paper's

    titles = re.findall(r"^`+\{exercise\} (.+)$", prose(source), re.M)
    for count, title in enumerate(titles, 1):
        assert f"Exercise 3.{count} ({title})" in squeezed(seen["text"])
    captions = [
        c.metadata.mystnb.figure.caption for c in source.cells if "figure" in c.metadata.get("mystnb", {})
    ]
    for count, caption in enumerate(captions, 1):  # its first words, since quotation marks are curled
        assert f"Figure 3.{count}. {caption[:20]}" in squeezed(seen["text"])

    codes = [squeezed(code) for code in exercises(source).values()]
    further = len(re.findall(r"^:+\{admonition\}.*\n:class: dropdown", prose(source), re.M))
    assert seen["folds"] == [False] * (len(codes) + further) and codes and further
    assert not [code for code in codes if code in squeezed(seen["text"])]
    solutions = page.locator(".jp-Notebook details > summary").filter(has_text="Solution")
    solutions.first.click(position={"x": 5, "y": 5})
    after = page.evaluate(SEEN)
    assert after["folds"].count(True) == 1
    assert [code for code in codes if code in squeezed(after["text"])] == codes[:1]
    assert [t for t in page.troubles if t.startswith("leaves")] == []
    page.context.close()


def output_of(page, marker, timeout=60_000):
    """What a cell printed behind `marker`."""
    pre = page.locator(".jp-OutputArea-output pre")
    line = pre.filter(has_text=re.compile(rf"^{marker} ", re.M)).last
    raised = page.locator("[data-mime-type='application/vnd.jupyter.error']").first
    line.or_(raised).first.wait_for(timeout=timeout)
    assert not raised.is_visible(), raised.text_content()
    return re.search(rf"^{marker} (.*)$", line.text_content(), re.M)[1]


def run_again(page, source):
    """Run the cell that holds `source` once more, as a reader would: click into it, Shift+Enter."""
    editor = page.locator(".jp-CodeCell", has_text=source).last.locator(".cm-content")
    editor.scroll_into_view_if_needed()
    editor.click()
    page.keyboard.press("Shift+Enter")


def test_paint_in_jupyterlab_and_read_the_mask_in_python(browser, places):
    page = opened(browser, places("jupyterlab"), "09_interactive")
    page.get_by_text(re.compile(r"\| Idle$")).first.wait_for(timeout=120_000)  # in the status bar
    page.locator(".jp-Notebook").first.click(position={"x": 5, "y": 5})
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    before = output_of(page, "MASK", timeout=300_000)
    score = output_of(page, "SCORE", timeout=60_000)
    widget = page.locator(".panet").first
    widget.locator(".panet-line").filter(
        has_text=f"IoU {score}"
    ).wait_for()  # Python wrote, the page followed

    widget.get_by_role("button", name="Clear").click()
    canvas = widget.locator("canvas[role=application]").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    run_again(page, "MASK")
    page.wait_for_function(
        "(before) => [...document.querySelectorAll('.jp-OutputArea-output pre')].some("
        "(p) => p.textContent.startsWith('MASK') && !p.textContent.startsWith('MASK ' + before))", arg=before)  # fmt: skip
    painted = np.zeros(192 * 192, bool)
    painted[json.loads(output_of(page, "MASK"))] = True
    rows, columns = np.nonzero(painted.reshape(192, 192))
    assert abs(rows.mean() - 96) < 1.5 and abs(columns.mean() - 96) < 1.5  # a disc where the mouse was
    assert abs(len(rows) - np.pi * 8**2) < 25 and rows.max() - rows.min() in (15, 16)
    assert output_of(page, "SAME") == "True"  # what the page answered is what the package answers
    page.context.close()
    assert [t for t in page.troubles if t.startswith(("leaves", "uncaught"))] == []


def test_photos_of_ones_own_in_jupyterlab(browser, places, tmp_path):
    """There is no page's folder here: Python hands the network over, and the page computes."""
    data, photos = Tabletop("val"), []
    for index in (3, 5):
        photos.append(tmp_path / f"photo {index}.png")
        Image.fromarray(data.image(index).permute(1, 2, 0).numpy()).save(photos[-1])
    page = browser.new_context(viewport={"width": 1300, "height": 1000}).new_page()
    page.set_default_timeout(120_000)
    page.troubles = watch(page, places("jupyterlab"))
    page.goto(f"{places('jupyterlab').format('photos')}.ipynb?token=painting")
    page.get_by_text(re.compile(r"\| Idle$")).first.wait_for()
    run_again(page, "OwnPhotos")
    page.set_input_files(".panet input[type=file]", list(map(str, photos)))
    views = page.locator(".panet-stage canvas")
    views.nth(1).wait_for()
    views.first.focus()
    page.keyboard.press("Space")
    page.locator(".panet-line").filter(has_text="photo 2: thing 1").wait_for()
    page.context.close()
    assert [t for t in page.troubles if t.startswith(("leaves", "uncaught"))] == []
