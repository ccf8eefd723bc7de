"""Grading: pristine checks on what each cell defines; forgers, crashes, loops and broken files cost only their own points."""

import csv
import json

import catalogue
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from panet_lite.check import grading, running

pytestmark = pytest.mark.slow
IMPORTS = "from panet_lite.check import chapter03 as check\nfrom panet_lite.check.harness import yours"
PENCIL = "outside = 11 / 11, 33 / 11\n\ncheck.pencil(outside)"
POOL = """
import torch
from panet_lite.prototypes import adjoint_upsample, masked_average_pool
def pool(features, mask):
    weights = adjoint_upsample(mask, features.shape[-2:])[:, None]
    return (features * weights).sum((-2, -1)) / (mask.sum((-2, -1))[:, None] + 1e-5)

pool = yours(check.pool, pool, masked_average_pool)
"""
STUB = """
from panet_lite.prototypes import masked_average_pool
def pool(features, mask):
    ...  # your code here

pool = yours(check.pool, pool, masked_average_pool)
"""
HALVE = "shots_needed = 4\n\ncheck.halve(shots_needed)"
GOOD = [IMPORTS, PENCIL, POOL, HALVE]


@pytest.fixture
def graded(tmp_path):
    """`graded(cells)`: {exercise: (passed, sentence)} and the trouble of a notebook with these cells."""

    def run(cells, seconds=120, memory=12, name="anna-03_prototypes"):
        path = tmp_path / f"{name}.ipynb"
        pairs = [text if isinstance(text, tuple) else (None, text) for text in cells]
        code = [new_code_cell(text, **({"id": name} if name else {})) for name, text in pairs]
        nbformat.write(new_notebook(cells=code), path)
        result = grading.grade(path, grading.catalogue(), seconds, memory)
        return {name.removeprefix("ex-03-"): outcome for name, outcome in result.found.items()}, result

    return run


def test_the_catalogue_is_the_chapters():
    assert catalogue.OUT.read_text(encoding="utf-8") == catalogue.text()
    exercises = grading.catalogue()
    assert len(exercises) > 60 and {e.chapter[:2] for e in exercises.values()} == {
        f"{n:02d}" for n in range(1, 12)
    }


def test_right_answers(graded):
    found, result = graded(GOOD)
    assert {name: passed for name, (passed, _) in found.items()} == dict.fromkeys(
        ("pencil", "pool", "halve"), True
    )
    assert (result.student, result.chapter, result.trouble) == ("anna", "03_prototypes", "")


def test_what_is_not_filled_in_is_not_the_modules(graded):
    """`yours` goes on with the module's function; the stub counts."""
    found, _ = graded([IMPORTS, PENCIL.replace("11 / 11, 33 / 11", "None"), STUB])
    assert found["pencil"][0] is None and found["pool"] == (None, "not filled in yet")


@pytest.mark.parametrize(
    "forgery",
    [
        "print('✓ The mean under the mask')",
        "class check:\n    pool = pencil = halve = staticmethod(lambda *_: print('✓ right') or True)\nyours = lambda c, a, m: a",
        "import panet_lite.check.chapter03 as c\nfor n in ('pool', 'pencil', 'halve'): setattr(c, n, lambda *_: True)",
        "import panet_lite.check.harness as h\nh.say = lambda *_: True\nh.implementation = lambda *a, **k: True\nh.number = h.say",
        "import sys\nfor m in [m for n, m in sys.modules.items() if 'check' in n]:\n    m.say = lambda *_: True",
    ],
)
def test_a_forger_earns_nothing(graded, forgery):
    wrong = [PENCIL.replace("33 / 11", "33 / 16"), STUB, HALVE.replace("4", "2")]
    found, _ = graded([IMPORTS, forgery, *wrong])
    assert [passed for passed, _ in found.values()] == [False, None, False]


def test_a_cell_that_crashes_costs_itself_only(graded):
    found, result = graded(
        [
            IMPORTS,
            "1 / 0",
            PENCIL,
            "raise KeyboardInterrupt",
            POOL.replace("def pool", "1 / 0\ndef pool"),
            "def f(:",
            HALVE,
        ]
    )
    assert found["pencil"][0] is True and found["halve"][0] is True
    assert found["pool"] == (False, "the cell raised ZeroDivisionError: division by zero")


def test_what_cannot_be_read_is_said(graded):
    found, _ = graded([IMPORTS, PENCIL, HALVE.replace("= 4", "= = 4")])
    assert found["pencil"][0] is True and found["halve"][0] is False and "no Python" in found["halve"][1]


def test_the_name_of_an_earlier_answer_is_no_answer(graded):
    found, _ = graded([IMPORTS, "shots_needed = 4", HALVE.replace("shots_needed = 4\n", "")])
    assert found["halve"][0] is None and "defines nothing" in found["halve"][1]


def test_a_cell_that_names_another_check_is_another_cell():
    """`check.counts` is no call of `check.count`; where a check is called twice, the published cell counts."""
    cells = [
        {"id": "a", "source": "check.count(answer)"},
        {"id": "b", "source": "x = yours(check.won, x, check.counts)"},
        {"id": "c", "source": "check.won(x)"},
    ]
    asked = [
        {"cell": "z", "id": "ex-count", "check": "count"},
        {"cell": "b", "id": "ex-won", "check": "won"},
    ]
    found = running.places(cells, asked)
    assert {number: e["id"] for number, e in found.items()} == {0: "ex-count", 1: "ex-won"}


def test_the_stub_may_stand_in_a_cell_of_its_own(graded):
    """As in chapter 6: the call of the check gives the name a value as well, and is not the answer."""
    imports = IMPORTS.replace("03", "06")
    stub = "def my_step(weight, momentum, gradient, rate, mu, decay):\n    "
    right = (
        stub
        + "momentum = mu * momentum + gradient + decay * weight\n    return weight - rate * momentum, momentum"
    )
    call = "my_step = yours(check.step, my_step, check.reference_step)"
    ids = grading.catalogue()["ex-06-step"]
    name = {"name": "anna-06_training"}
    for cell, says in (
        (right, True), (stub + "...", "not filled in yet"), (stub + "return 1 / 0", "ZeroDivisionError"),
        ("1 / 0\n" + right, "the cell raised ZeroDivisionError"), ("my_step = 3\n" + stub, "the cell raised"),
    ):  # fmt: skip
        found, _ = graded([imports, (ids.stub, cell), (ids.cell, call)], **name)
        passed, sentence = found["ex-06-step"]
        assert passed is says or says in sentence, found


def test_what_is_missing_counts(tmp_path):
    """Who takes an exercise out of the notebook has its points against them."""
    out = tmp_path / "grades.csv"
    path = tmp_path / "anna-03_prototypes.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(IMPORTS), new_code_cell(HALVE)]), path)
    assert grading.main(["grade", str(path), "--out", str(out)]) == 0
    with open(out, newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["points"], row["of"], row["ex-03-pool"]) == ("1.0", "10.0", "0.0")


def test_the_checks_call_may_be_gone(graded, tmp_path):
    """Then the cell is known by its id."""
    exercise = grading.catalogue()["ex-03-halve"]
    cells = [new_code_cell(IMPORTS), new_code_cell("shots_needed = 4", id=exercise.cell)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "ben.ipynb")
    assert grading.grade(tmp_path / "ben.ipynb", grading.catalogue(), 120, 12).found["ex-03-halve"][0] is True


def test_a_loop_is_ended_and_what_came_before_counts(graded):
    found, result = graded([IMPORTS, PENCIL, "while True: pass", HALVE], seconds=20)
    assert (
        found["pencil"][0] is True
        and "halve" not in found
        and result.trouble == "it ran longer than 20 s and was ended"
    )


@pytest.mark.parametrize(
    "cell, trouble",
    [
        ("import os; os._exit(3)", "exit status 3"),
        ("import numpy; numpy.ones(2**34, dtype='f8')", ""),
        ("import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')", ""),
        ("import sys; sys.exit('enough')", ""),
    ],
)
def test_what_would_end_others(graded, cell, trouble):
    """Ending Python ends this notebook; memory and network are refused to the cell, and the next one runs."""
    found, result = graded([IMPORTS, PENCIL, cell, HALVE])
    assert found["pencil"][0] is True and trouble in result.trouble
    assert trouble or found["halve"][0] is True


def test_no_network(graded, tmp_path):
    asks = f"import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9))\nexcept Exception as e:\n    open({str(tmp_path / 'said')!r}, 'w').write(repr(e))"
    graded([IMPORTS, asks, PENCIL])
    assert "no network" in (tmp_path / "said").read_text()


def test_a_class(tmp_path, capsys, monkeypatch):
    """Two folders of students, one of them with nonsense: a row for each, what the class gets wrong, points of one's own."""
    wrong = [PENCIL.replace("33 / 11", "33 / 16"), HALVE]
    students = {"anna": GOOD, "ben": [IMPORTS, *wrong], "carla": [IMPORTS, *wrong]}
    for name, cells in students.items():
        (tmp_path / name).mkdir()
        nbformat.write(
            new_notebook(cells=[new_code_cell(t) for t in cells]), tmp_path / name / "03_prototypes.ipynb"
        )
    (tmp_path / "dora.ipynb").write_text("no notebook")
    (tmp_path / "points.csv").write_text("id,points\nex-03-pencil,2\nex-03-halve,1\n")
    paths = [str(p) for p in sorted(tmp_path.rglob("*.ipynb"))]
    out = tmp_path / "grades.csv"
    status = grading.main(
        ["grade", *paths, "--out", str(out), "--points", str(tmp_path / "points.csv"), "--jobs", "2"]
    )
    said = capsys.readouterr().out
    assert status == 1 and "dora.ipynb is no notebook" in said
    assert "ex-03-pencil: 1 of 3 solved it\n    2 x " in said and "ex-03-pool" not in said
    with open(out, newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["anna", "ben", "carla", "dora"]
    assert (rows["anna"]["points"], rows["anna"]["of"], rows["ben"]["points"]) == ("3.0", "3.0", "1.0")
    assert "no notebook" in rows["dora"]["trouble"]
    with open(tmp_path / "grades-details.csv", newline="") as file:
        details = list(csv.DictReader(file))
    assert {d["exercise"] for d in details} == {"ex-03-pencil", "ex-03-halve"} and all(
        d["says"] for d in details
    )


@pytest.mark.parametrize(
    "line, says",
    [
        ("ex-99-none,1", "line 1: there is no exercise ex-99-none"),
        ("ex-03-pool,many", "has no number of points"),
        ("", "names no exercise"),
    ],
)
def test_points_that_make_no_sense(tmp_path, capsys, line, says):
    (tmp_path / "points.csv").write_text(line)
    with pytest.raises(SystemExit):
        grading.main(
            ["grade", "x.ipynb", "--out", str(tmp_path / "g.csv"), "--points", str(tmp_path / "points.csv")]
        )
    assert says in capsys.readouterr().err


def test_a_notebook_of_another_book(tmp_path):
    (tmp_path / "other.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "1"}]}))
    assert (
        "imports no chapter's checks"
        in grading.grade(tmp_path / "other.ipynb", grading.catalogue(), 20, 12).trouble
    )
