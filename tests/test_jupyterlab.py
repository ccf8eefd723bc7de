"""One session in a real JupyterLab: open chapter 9, run all, paint, and read the mask back in Python."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
from browser import watch
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "book" / "09_interactive.ipynb"
READ = """\
import json
print("MASK", json.dumps(np.flatnonzero(widget.label_map == 1).tolist()))
print("SAME", np.array_equal(widget.prediction, __import__("panet_lite").widgets.scenes.segment(widget.scene, widget.label_map).labels()[0].numpy()))"""
WRITE = """\
strokes = np.full_like(widget.label_map, VOID)
strokes[0, 100:], strokes[0, 40:90, 40:90] = 0, 1
widget.label_map = strokes
print("SCORE", f"{widget.iou[0]:.2f}")"""


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab with a copy of the chapter, two cells longer; nothing of the user's is read or written."""
    notebook = nbformat.read(CHAPTER, as_version=4)
    notebook.cells += [new_code_cell(READ, id="read-back"), new_code_cell(WRITE, id="write-on")]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (tmp_path / "work").mkdir()
    nbformat.write(notebook, tmp_path / "work" / "chapter.ipynb")
    settings = tmp_path / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    env = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "run"),
           "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "spaces"), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}  # fmt: skip
    options = ["--no-browser", "--ip=127.0.0.1", "--port=0", "--IdentityProvider.token=painting", "--allow-root",
               "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    with open(tmp_path / "log", "w+") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=tmp_path / "work",
            env=env,
            stdout=log,
            stderr=log,
        )
        try:
            yield address(server, tmp_path / "log")
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
            shutil.rmtree(tmp_path / "work", ignore_errors=True)


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


@pytest.mark.slow
def test_paint_in_jupyterlab_and_read_the_mask_in_python(browser, lab):
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    page = context.new_page()
    troubles = watch(page, lab)
    page.goto(f"{lab}/lab/tree/chapter.ipynb?token=painting", timeout=120_000)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=120_000)
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
    context.close()
    assert [t for t in troubles if t.startswith(("leaves", "uncaught"))] == []
