"""LICENSES.md: every file falls under one row, every row has files, and third parties' files are unchanged."""

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from test_project import PINS, pinned

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "LICENSES.md"


def rows(heading):
    """The cells of each row of the tables below a heading; a table's head is its first row."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", LEDGER.read_text("utf-8"), re.M | re.S)
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def patterns(row):
    return re.findall(r"`([^`]+)`", row[0])


def found(folder, row):
    """The names of the files that a row's patterns find."""
    return {
        path.relative_to(folder).as_posix()
        for p in patterns(row)
        for path in folder.glob(p)
        if path.is_file()
    }


def repository():
    """The names of its files: git's list, or the sdist's own."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    made = ("panet_lite.egg-info", "PKG-INFO", "setup.cfg")
    if listing.returncode:
        sources = ROOT / "panet_lite.egg-info" / "SOURCES.txt"
        listing.stdout = sources.read_text(encoding="utf-8") if sources.is_file() else ""
    names = {name for name in listing.stdout.splitlines() if not name.startswith(made)}
    return {name for name in names if (ROOT / name).is_file()} or pytest.skip("neither git nor an sdist")


TABLE = [row for row in rows("In the repository and its sdist") if len(row) == 5][1:]
THIRD = [row for row in rows("In the repository and its sdist") if len(row) == 2][1:]
PAGES = rows("In the built pages")[1:]


def not_once(folder, names, table):
    """The names that fall under no row of the table, or under several."""
    lists = [found(folder, row) for row in table]
    return {name: n for name in names if (n := sum(name in under for under in lists)) != 1}


def test_every_file_falls_under_one_row():
    assert not_once(ROOT, repository(), TABLE) == {}


def test_every_row_has_files():
    names = repository()
    assert [row[0] for row in TABLE if not found(ROOT, row) & names] == []


def test_a_file_without_a_row_and_one_with_two_are_noticed():
    names = {"data/results/main.json", "README.md", "_build/html/index.html"}
    assert not_once(ROOT, names, TABLE) == {"_build/html/index.html": 0}
    assert not_once(ROOT, {"README.md"}, [*TABLE, ["`README.*`"]]) == {"README.md": 2}


def test_own_work_is_under_one_of_two_licences():
    assert all("MIT" in row[3] or "CC BY 4.0" in row[3] for row in TABLE if row[2].startswith("own"))


def test_third_parties_files_are_those_that_were_taken():
    theirs = [name for row in TABLE if not row[2].startswith("own") for name in found(ROOT, row)]
    assert sorted(theirs) == sorted(name.strip("`") for name, _ in THIRD)
    for name, digest in THIRD:
        assert hashlib.sha256((ROOT / name.strip("`")).read_bytes()).hexdigest() == digest.strip("`")


def test_what_is_in_the_wheel_has_a_tick():
    """pyproject.toml's patterns are the rows with a tick."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = {
        path.relative_to(ROOT).as_posix()
        for pattern in settings["tool"]["setuptools"]["package-data"]["panet_lite.data"]
        for path in (ROOT / "data").glob(pattern)
    }
    ticked = {name for row in TABLE if row[4] for name in found(ROOT, row) if name.startswith("data/")}
    assert wheel == ticked and wheel


def test_versions_of_what_the_pages_bring_are_the_pinned_ones():
    for row in PAGES:
        if named := re.fullmatch(r"`(\S+)` (\S+)", row[2]):
            assert pinned(PINS[canonicalize_name(named[1])]) == named[2], row[0]
        else:
            assert row[2] == "this repository"


@pytest.mark.parametrize("table", [TABLE, PAGES], ids=["repository", "pages"])
def test_no_cell_is_empty(table):
    assert len(table) > 10 and all(all(row[:4]) for row in table)
