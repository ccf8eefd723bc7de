"""The set-up cell: what makes a chapter run where only Jupyter is, such as on Colab; pip is played here.

Also the one setting behind it, the repository's address in _config.yml. With a real pip, a real kernel and the
real project the cell is tried in places/test_colab.py.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import notebooks
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import panet_lite

ROOT = Path(__file__).resolve().parents[2]
URL = notebooks.repository()
CELL = notebooks.SETUP.format(url=URL)


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """No panet_lite is found, and the Python that the cell calls says `bare(stderr, exit status)`."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "panet_lite" else find(name)
    )
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    def play(stderr="", status=0):
        (tmp_path / "stderr").write_text(stderr, encoding="utf-8")
        script = f'#!/bin/sh\necho "$@" >> "{tmp_path}/asked"\ncat "{tmp_path}/stderr" >&2\nexit {status}\n'
        (tmp_path / "python").write_text(script)
        (tmp_path / "python").chmod(0o755)

    return play


def test_where_the_package_is_the_cell_does_nothing(monkeypatch, capfd):
    def nobody(*_, **__):
        raise AssertionError("the set-up cell called a program")

    monkeypatch.setattr(subprocess, "run", nobody)
    before = list(sys.path), os.getcwd()
    exec(CELL, {})
    assert (list(sys.path), os.getcwd()) == before
    assert capfd.readouterr() == ("", "")


def test_the_cell_asks_the_kernels_own_pip_for_the_package_and_says_so(bare, tmp_path, capfd):
    bare()
    before = list(sys.path), os.getcwd(), sorted(os.listdir())
    exec(CELL, {})
    assert (list(sys.path), os.getcwd(), sorted(os.listdir())) == before
    asked = (tmp_path / "asked").read_text()
    assert asked == f"-m pip install -q panet-lite @ git+{URL}\n"  # nothing else by name, and no -U
    out, err = capfd.readouterr()
    said = out.splitlines()
    assert len(said) == 2 and sys.prefix in said[0] and "is installed" in said[1] and err == ""


GIT = """\
  fatal: unable to access 'https://example.org/': Could not resolve host: example.org
  error: subprocess-exited-with-error

  x git clone --filter=blob:none --quiet https://example.org did not run successfully.
error: subprocess-exited-with-error
"""
ISOLATED = """\
  error: subprocess-exited-with-error
      ERROR: Could not find a version that satisfies the requirement setuptools>=77 (from versions: none)
      ERROR: No matching distribution found for setuptools>=77
"""
OLD = "ERROR: Package 'panet-lite' requires a different Python: 3.10.13 not in '>=3.11'\n"
MANAGED = """\
error: externally-managed-environment

× This environment is externally managed
hint: See PEP 668 for the detailed specification.
"""


@pytest.mark.parametrize(
    "stderr, reason",
    [
        (GIT, "unable to access 'https://example.org/': Could not resolve host: example.org"),
        (
            ISOLATED,
            "Could not find a version that satisfies the requirement setuptools>=77 (from versions: none)",
        ),
        ("ERROR: Cannot find command 'git'\n", "Cannot find command 'git'"),
        (OLD, "Package 'panet-lite' requires a different Python: 3.10.13 not in '>=3.11'"),
        (MANAGED, "externally-managed-environment"),
        ("/usr/bin/python3: No module named pip\n", "/usr/bin/python3: No module named pip"),
    ],
    ids=["network", "build", "git", "old Python", "managed", "no pip"],
)
def test_where_pip_fails_one_sentence_says_why_and_the_next_run_works(stderr, reason, bare, capfd):
    bare(stderr, 1)
    with pytest.raises(RuntimeError) as raised:
        exec(CELL, {})
    sentence = str(raised.value)
    assert sentence.startswith(f"pip failed: {reason}; ") and "again" in sentence
    assert len(sentence.splitlines()) == 1 and "is installed" not in capfd.readouterr().out
    bare()
    exec(CELL, {})
    assert "is installed" in capfd.readouterr().out


@pytest.mark.parametrize("files", [[], ["__init__.py"], ["__init__.py", "model.py", "widgets/__init__.py"]])
def test_half_a_copy_is_known_by_what_it_lacks(files, tmp_path):
    """In the way of the package lies a folder of its name: the sentence names it and what is missing."""
    for name in files:
        (tmp_path / "panet_lite" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "panet_lite" / name).touch()
    (tmp_path / "panet_lite").mkdir(exist_ok=True)
    command = [sys.executable, "-S", "-c", CELL]  # no site-packages, so no package behind it
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True
    )
    last = tmp_path / "panet_lite" / "widgets" / "widgets.css"
    assert f"RuntimeError: {last} is missing" in done.stderr and "pip" not in done.stdout


def test_what_a_copy_that_was_cut_short_lacks_is_what_comes_last():
    package = Path(panet_lite.__file__).parent
    files = [p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file()]
    assert max(f for f in files if "__pycache__" not in f) == "widgets/widgets.css"


def test_the_cell_is_short_and_leaves_path_and_folder_alone():
    lines = CELL.splitlines()
    assert len(lines) <= 22 and max(map(len, lines)) <= 79
    assert not any(word in CELL for word in ("chdir", "sys.path", "makedirs", "mkdir", "get_ipython", "-U"))


@pytest.fixture
def fork(tmp_path):
    """A copy of the book's settings with another address, and two small chapters with the old one."""
    book = tmp_path / "book"
    shutil.copytree(ROOT / "book" / "_assets", book / "_assets")
    for name in ("references.bib", "offline.py", "notebooks.py", "shape.py"):
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


@pytest.mark.slow
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
