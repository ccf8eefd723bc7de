"""The set-up cell: what makes a chapter run on a machine that has only Jupyter, such as Colab's.

Also the one setting behind it, the repository's address in _config.yml.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import notebooks
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
URL = notebooks.repository()

# A kernel that has no panet_lite: IPython's shell with the project taken off the path.
BARE_KERNEL = """
import importlib.util, os, sys
from IPython.core.interactiveshell import InteractiveShell
sys.meta_path = [f for f in sys.meta_path if "editable" not in getattr(f, "__module__", type(f).__module__)]
sys.path = [p for p in sys.path if not os.path.isdir(os.path.join(p, "panet_lite"))]
assert importlib.util.find_spec("panet_lite") is None
shell, folder = InteractiveShell.instance(), os.getcwd()
for _ in range(2):
    shell.run_cell(sys.argv[1]).raise_error()
import panet_lite
assert panet_lite.__file__.startswith(os.path.join(folder, "panet-lite")), panet_lite.__file__
assert os.getcwd() == folder
"""


def script(path, *lines):
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)


@pytest.fixture
def bare_machine(tmp_path):
    """An environment whose git finds the repository in a local folder and whose pip only takes notes."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    origin, tools, folder = tmp_path / "origin", tmp_path / "tools", tmp_path / "content"
    for path in (origin / "panet_lite", tools, folder):
        path.mkdir(parents=True)
    (origin / "panet_lite" / "__init__.py").write_text("")
    script(tools / "pip", f'echo "$@" >> "{tmp_path}/pip.log"')
    script(tools / "git", f'echo "$@" >> "{tmp_path}/git.log"', f'exec "{git}" "$@"')
    (tmp_path / "gitconfig").write_text(
        f'[url "{origin.as_uri()}"]\n\tinsteadOf = {URL}\n[user]\n\tname = t\n\temail = t@example.org\n'
    )
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }
    environment.pop("PYTHONPATH", None)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([git, *command], cwd=origin, env=environment, check=True)
    return folder, environment


def test_set_up_cell_fetches_the_book_once(bare_machine, tmp_path):
    folder, environment = bare_machine
    for _ in range(2):  # two kernels, each runs the cell twice
        subprocess.run(
            [sys.executable, "-c", BARE_KERNEL, notebooks.SETUP.format(url=URL)],
            cwd=folder,
            env=environment,
            check=True,
        )
    assert (tmp_path / "git.log").read_text().splitlines() == [f"clone -q --depth 1 {URL} panet-lite"]
    asked = (tmp_path / "pip.log").read_text()
    assert set(asked.splitlines()) == {"install -q -e ./panet-lite"}
    assert not any(name in asked for name in ("torch", "numpy", "ipywidgets", "-U", "--upgrade"))


def test_set_up_cell_does_nothing_where_the_package_is_installed():
    before = list(sys.path), os.getcwd()

    def nobody():
        raise AssertionError("the set-up cell wanted a shell")

    exec(notebooks.SETUP.format(url=URL), {"get_ipython": nobody})
    assert (list(sys.path), os.getcwd()) == before


def test_set_up_cell_is_two_lines_and_never_changes_the_folder():
    cell = notebooks.SETUP.format(url=URL)
    assert len(cell.splitlines()) == 2
    assert "chdir" not in cell and "cd " not in cell


@pytest.fixture
def fork(tmp_path):
    """A copy of the book's settings with another address, and two small chapters with the old one."""
    book = tmp_path / "book"
    shutil.copytree(ROOT / "book" / "_assets", book / "_assets")
    for name in ("references.bib", "offline.py", "notebooks.py"):
        shutil.copy(ROOT / "book" / name, book)
    (book / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n- file: 01_one\n")
    for stem in ("index", "01_one"):
        cells = [new_markdown_cell(f"# {stem}"), new_code_cell("1 + 1")]
        notebook = notebooks.put_setup(new_notebook(cells=cells), URL)
        (book / f"{stem}.ipynb").write_text(notebooks.dump(notebooks.normalise(notebook, stem)))
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    settings["repository"]["url"] = "https://github.com/someone/their-fork"
    settings["execute"]["execute_notebooks"] = "off"
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(settings))
    return tmp_path


def test_a_fork_changes_one_setting(fork):
    chapters = sorted((fork / "book").glob("*.ipynb"))
    assert notebooks.main(["setup", *map(str, chapters)]) == 0
    for chapter in chapters:
        notebook = notebooks.read(chapter)
        assert [c.cell_type for c in notebook.cells] == ["markdown", "code", "code"]
        assert notebook.cells[1].source == notebooks.SETUP.format(url="https://github.com/someone/their-fork")
        assert URL not in chapter.read_text(encoding="utf-8")

    build = "from jupyter_book.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", build, "build", "book", "-q"], cwd=fork, check=True)
    page = (fork / "_build" / "html" / "01_one.html").read_text(encoding="utf-8")
    plain = "https://colab.research.google.com/github/someone/their-fork/blob/main/book/plain/01_one.ipynb"
    assert plain in page and "/blob/main/book/01_one.ipynb" not in page
    assert URL not in page
