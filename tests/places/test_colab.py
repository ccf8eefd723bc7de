"""Colab: its traitlets, ipywidgets, IPython and kernel, and no panet_lite until the set-up cell has run.

Only torch and the rest of the pins are those of this environment. The origin from which the set-up cell
installs is this checkout's tracked files, as git's own `insteadOf` makes it believe.
"""

import asyncio
import base64
import io
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import nbformat
import notebooks
import pytest
from environments import COLAB, KERNEL, ROOT, make, packages
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from printing import printed

from panet_lite import widgets

pytestmark = pytest.mark.slow
CHAPTERS = ("index", "09_interactive")
HELD = ("torch", "numpy", "ipywidgets", "traitlets", "IPython", "ipykernel", "anywidget")

# What the kernel has loaded, and what it would load if it were started again.
STATE = f"""
import json, os, sys
from importlib import import_module, invalidate_caches, metadata
from importlib.machinery import PathFinder
invalidate_caches()
held = {{n: (import_module(n).__file__, PathFinder.find_spec(n).origin, metadata.version(n)) for n in {HELD}}}
print(json.dumps([held, sys.path, os.getcwd(), os.listdir()]))
"""
# Colab's own module, as far as anywidget asks for it.
GOOGLE = """
import sys
from types import ModuleType, SimpleNamespace
output = sys.modules["google.colab.output"] = ModuleType("google.colab.output")
output.enable_custom_widget_manager = lambda: None
output._widgets = SimpleNamespace(_installed_url="the manager of custom widgets")
"""
BUILD = """
from panet_lite import EpisodeSampler, pretrained
from panet_lite.datasets import Tabletop
from panet_lite.widgets import *
data, model = Tabletop("val"), pretrained(0)
episode = EpisodeSampler(data, data.fold(0), seed=9).episode(0)
"""
WIDGETS = {
    "AlignmentSteps": "AlignmentSteps(episode, model)",
    "AnnotationLadder": "AnnotationLadder(episode, model)",
    "Convolutions": "Convolutions()",
    "DistanceAndTemperature": "DistanceAndTemperature(episode, model)",
    "EmbeddingSpace": "EmbeddingSpace(episode, {'PANet': model})",
    "EpisodeBrowser": "EpisodeBrowser(data)",
    "OwnPhotos": "OwnPhotos(model, [data.image(3), data.image(5)])",
    "PaintAndSegment": "display(PaintAndSegment(episode, model))",
}


def origin(folder):
    """A bare repository in `folder` with one commit: the tracked files of this checkout, as they are now."""
    objects, index = (
        subprocess.run(
            ["git", "rev-parse", "--path-format=absolute", "--git-path", name],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout.strip()
        for name in ("objects", "index")
    )  # fmt: skip
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
    (folder / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    shutil.copy(index, folder / "index")
    places = {"GIT_DIR": str(folder), "GIT_INDEX_FILE": str(folder / "index"), "GIT_WORK_TREE": str(ROOT)}
    who = [word for name in ("AUTHOR", "COMMITTER") for word in (f"GIT_{name}_NAME", f"GIT_{name}_EMAIL")]

    def git(*command):
        environment = {**os.environ, **places, **dict.fromkeys(who, "test")}
        done = subprocess.run(["git", *command], cwd=ROOT, env=environment, check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("add", "-u")
    git("update-ref", "HEAD", git("commit-tree", git("write-tree"), "-m", "the tree as it is"))


@pytest.fixture(scope="session")
def colab(tmp_path_factory):
    """The environment: .python, .site, .content (where the notebooks run), .connect() the origin."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the origin of the set-up cell is made by git from a checkout")
    try:
        overlay = packages(COLAB)
    except RuntimeError as error:
        (pytest.fail if os.environ.get("PANET_REQUIRE_PLACES") else pytest.skip)(str(error))
    folder = tmp_path_factory.mktemp("colab")
    source, content = folder / "origin", folder / "content"
    content.mkdir()
    (folder / "gitconfig").write_text(
        f'[url "{source.as_uri()}"]\n\tinsteadOf = {notebooks.repository()}\n[safe]\n\tdirectory = *\n'
    )
    jupyter = make(
        COLAB,
        folder / "place",
        GIT_CONFIG_GLOBAL=str(folder / "gitconfig"),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(overlay.parent / "wheels"),  # with these pip builds as it does with a network
    )
    prefix = jupyter.parents[1]
    (site,) = prefix.glob("lib/python*/site-packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(jupyter))
        yield SimpleNamespace(
            prefix=prefix, site=site, overlay=overlay, content=content, connect=lambda: origin(source)
        )


def client(notebook, colab):
    resources = {"metadata": {"path": str(colab.content)}}
    return NotebookClient(notebook, kernel_name=KERNEL, timeout=600, resources=resources)


@pytest.fixture(scope="session")
def installed(colab):
    """One kernel, in which the set-up cell runs without its origin, with it, and again: what each cell said."""
    index = notebooks.read(ROOT / "book" / "index.ipynb")
    set_up = index.cells[notebooks.first_code_cell(index)].source
    where = "import panet_lite; print(panet_lite.__file__)"
    sources = {"before": STATE, "failed": set_up, "between": STATE, "worked": set_up, "after": STATE,
               "again": set_up, "where": where}  # fmt: skip
    cells = {name: new_code_cell(source) for name, source in sources.items()}
    runner = client(new_notebook(cells=list(cells.values())), colab)
    runner.allow_errors = True
    with runner.setup_kernel():
        for i, (name, cell) in enumerate(cells.items()):
            if name == "worked":
                colab.connect()
            runner.execute_cell(cell, i)
    return SimpleNamespace(**{name: cell.outputs for name, cell in cells.items()})


def text(outputs):
    return "".join(o.text for o in outputs if o.output_type == "stream")


def test_without_a_network_the_set_up_cell_ends_in_a_sentence(installed, colab):
    about, error = notebooks.merged_streams(installed.failed)
    assert about.text == f"pip installs panet_lite and its needs into {colab.prefix}\n"
    assert error.output_type == "error" and error.ename == "RuntimeError"
    assert error.evalue.startswith("pip failed: ") and "origin" in error.evalue
    assert "run this cell again" in error.evalue and "\n" not in error.evalue
    assert text(installed.between) == text(installed.before)


def test_the_second_run_installs_the_package_and_nothing_else(installed, colab):
    (said,) = notebooks.merged_streams(installed.worked)
    assert said.output_type == "stream" and said.name == "stdout"
    assert len(said.text.splitlines()) == 2 and "panet_lite is installed" in said.text
    names = {p.name.split("-")[0] for p in colab.site.iterdir()} - {"place.pth", "__pycache__"}
    assert names == {"panet_lite"}
    assert text(installed.where).strip() == str(colab.site / "panet_lite" / "__init__.py")
    assert installed.again == []


def test_what_the_kernel_had_stays_as_it_was(installed, colab):
    held, path, folder, there = json.loads(text(installed.before))
    assert [held, path, folder, there] == json.loads(text(installed.after))
    assert Path(folder) == colab.content and there == []
    for name, version in (("traitlets", "5.7.1"), ("ipywidgets", "7.7.1"), ("IPython", "7.34.0")):
        loaded, found, known = held[name]
        assert known == version and loaded == found and Path(loaded).is_relative_to(colab.overlay)


@pytest.fixture(scope="session")
def ran(installed, colab):
    """Chapters, and one notebook with all widgets, as Colab would save them after "Run all"."""
    todo = {chapter: notebooks.read(ROOT / "book" / f"{chapter}.ipynb") for chapter in CHAPTERS}
    todo["widgets"] = new_notebook(cells=[new_code_cell(s) for s in (GOOGLE, BUILD, *WIDGETS.values())])
    for notebook in todo.values():
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda n: asyncio.run(client(n, colab).async_execute()), todo.values())
        return dict(zip(todo, map(saved, done), strict=True))


def saved(notebook):
    """Written to a file and read again."""
    return nbformat.reads(nbformat.writes(notebook), as_version=4)


def shown(notebook):
    """The widgets among the outputs of a notebook that was run: (outputs of the cell, the widget's)."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if notebooks.WIDGET_VIEW in output.get("data", {}):
                yield cell.outputs, output


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_prints_what_is_committed(chapter, ran):
    committed = notebooks.read(ROOT / "book" / f"{chapter}.ipynb")
    assert list(printed(ran[chapter])) == list(printed(committed))


def test_all_widgets_are_built_and_drawn(ran):
    assert sorted(WIDGETS) == widgets.__all__
    outputs = [output for _, output in shown(ran["widgets"])]
    assert [output["data"]["text/plain"].split(":")[0] for output in outputs] == list(WIDGETS)
    for output in outputs:
        manager = output.metadata[notebooks.WIDGET_VIEW]["colab"]["custom_widget_manager"]
        assert manager == {"url": "the manager of custom widgets"}


@pytest.mark.parametrize("name, count", [("index", 2), ("09_interactive", 4), ("widgets", len(WIDGETS))])
def test_a_saved_widget_is_a_picture_with_words_and_a_view(name, count, ran):
    found = list(shown(ran[name]))
    states = ran[name].metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert len(found) == count
    for outputs, output in found:
        assert len([o for o in outputs if "data" in o]) == 1  # shown once
        assert output["data"][notebooks.WIDGET_VIEW]["model_id"] in states
        assert len(output.metadata["image/png"]["alt"].split()) >= 5
        with Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))) as picture:
            assert picture.width > 200 and len(picture.convert("RGB").getcolors(1 << 24)) > 50
