"""The whole way: what `make course` writes is filled in, forged, broken, handed in; grades.csv says what each has earned."""

import ast
import csv
import re

import course
import notebooks
import numpy as np
import pytest
import quiz
import shape
from editions import Book
from PIL import Image

from panet_lite.check import grading

pytestmark = pytest.mark.slow
BOOK = Book(notebooks.BOOK)
FEW = "ex-01-relabel:3 ex-01-enough ex-03-pool:3 ex-03-halve ex-05-gradient:2"
FORK = "https://github.com/anna/her-course"


@pytest.fixture(scope="module")
def found():
    return course.tasks(BOOK, course.chosen(FEW))


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory):
    """A course without the chapters' notebooks, which tests/book/test_editions.py has seen."""
    folder = tmp_path_factory.mktemp("course")
    course.Course(folder, BOOK, FORK).write_assignment(found)
    return folder


def filled(folder, found, answer):
    """The assignment with `answer(task)` in each exercise's own cell."""
    notebook = notebooks.read(folder / "assignment" / "assignment.ipynb")
    for cell in notebook.cells:
        for one in found:
            if cell.id == one.exercise.id:
                cell.source = answer(one)
    return notebook


def strong(one):
    return one.solution


def forging(one):
    """Ticks of one's own, and checks that say yes."""
    return (
        f"{one.stub}\nprint('✓ right')\nimport panet_lite.check.chapter{one.exercise.chapter[:2]} as c\n"
        f"c.{one.exercise.check} = lambda *_: print('✓ right') or True"
    )


def crashing(one):
    """One answer raises, one is no Python, one ends Python; the others are right, and one of them is the last."""
    return {
        "ex-01-relabel": "1 / 0", "ex-01-enough": "answer = = 3", "ex-03-halve": "raise SystemExit",
    }.get(one.exercise.id, one.solution)  # fmt: skip


def bare(notebook):
    """As some editors save it: without the cells' metadata and ids."""
    for cell in notebook.cells:
        cell.pop("id")
        cell.metadata.clear()
    notebook.nbformat_minor = 4
    return notebook


def test_from_the_assignment_to_the_grades(folder, found, tmp_path):
    lost = bare(filled(folder, found, lambda one: f"# Answer to {one.exercise.id}\n{one.solution}"))
    (tmp_path / "lost-assignment.ipynb").write_text(notebooks.dump(lost), encoding="utf-8")
    for name, answer in (
        ("strong", strong),
        ("forger", forging),
        ("crash", crashing),
        ("empty", lambda t: t.stub),
    ):
        path = tmp_path / name / "assignment.ipynb"
        path.parent.mkdir()
        path.write_text(notebooks.dump(filled(folder, found, answer)), encoding="utf-8")
    out, points = tmp_path / "grades.csv", folder / "assignment" / "points.csv"
    paths = map(str, sorted(tmp_path.rglob("*assignment.ipynb")))
    assert grading.main(["grade", *paths, "--points", str(points), "--out", str(out), "--jobs", "2"]) == 0
    with open(out, newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    earned = {name: (row["points"], row["of"]) for name, row in rows.items()}
    assert earned == {
        "strong": ("10.0", "10.0"), "lost": ("10.0", "10.0"), "forger": ("0.0", "10.0"), "empty": ("0.0", "10.0"), "crash": ("5.0", "10.0"),
    }  # fmt: skip
    with open(tmp_path / "grades-details.csv", newline="") as file:
        says = {(row["student"], row["exercise"]): row["says"] for row in csv.DictReader(file)}
    assert says["crash", "ex-01-relabel"] == "the cell raised ZeroDivisionError: division by zero"
    assert (
        "SyntaxError" in says["crash", "ex-01-enough"] and says["empty", "ex-03-pool"] == "not filled in yet"
    )


def test_the_assignment_runs_from_top_to_bottom(folder):
    """As it is handed out, and where a grader wants errors, each check raises its own."""
    cells = notebooks.read(folder / "assignment" / "assignment.ipynb").cells
    names = {}
    for cell in (c for c in cells if c.cell_type == "code"):
        exec(cell.source, names)
    assert not [c for c in cells if "SOLUTION" in c.source or "HIDDEN" in c.source]


def test_nbgrader_finds_its_cells(folder, found, monkeypatch):
    """nbgrader's own validator is not installed here: its rules, version 3 of the schema, are these."""
    cells = notebooks.read(folder / "nbgrader" / "source" / "assignment" / "assignment.ipynb").cells
    own = [c.metadata.nbgrader for c in cells if "nbgrader" in c.metadata]
    keys = {"grade", "grade_id", "locked", "schema_version", "solution", "task"}
    assert all(set(one) - {"points"} == keys and one.schema_version == 3 for one in own)
    assert all(("points" in one) == one.grade and one.locked != one.solution for one in own)
    assert len({one.grade_id for one in own}) == len(own)
    assert sum(one.get("points", 0) for one in own) == sum(one.points for one in found) == 10
    monkeypatch.setenv("PANET_CHECK", "")  # what the hidden tests set is taken back
    for answered in (True, False):
        names, raised = {}, []
        for cell in (c for c in cells if c.cell_type == "code"):
            source = cell.source if answered else cell.source.split("### BEGIN SOLUTION")[0]
            monkeypatch.setenv("PANET_CHECK", "")
            try:
                exec(source, names)
            except AssertionError as error:
                raised.append(str(error))
        assert raised == ([] if answered else ["not filled in yet"] * len(found))


def test_otters_tests(folder, found):
    for one in found:
        text = (folder / "otter" / "tests" / f"{one.exercise.id}.py").read_text()
        ast.parse(text)
        assert f"points = {one.points:g}\n" in text and "OK_FORMAT = False" in text


def test_students_chapters_lead_to_no_solution(tmp_path, monkeypatch):
    monkeypatch.setattr(Book, "chapters", [BOOK.folder / "04_matching.ipynb"])
    course.Course(tmp_path, BOOK, FORK).write_notebooks()
    students, teachers = (tmp_path / name / "04_matching.ipynb" for name in ("students", "teachers"))
    for path in (students, teachers):
        cells = notebooks.read(path).cells
        assert f"git+{FORK}" in cells[1].source and notebooks.repository() not in path.read_text(
            encoding="utf-8"
        )
    text = students.read_text(encoding="utf-8")
    assert (
        text.count("*The solution comes later.*") == 10
        and "The solution of" not in text
        and "<details>" not in text
    )
    assert teachers.read_text(encoding="utf-8").count("<summary><b>Solution of exercise 4.") == 10


def test_a_forks_address(folder):
    text = (folder / "assignment" / "assignment.ipynb").read_text(encoding="utf-8")
    assert f"panet-lite @ git+{FORK}" in text and notebooks.repository() not in text


def every():
    read = {}
    for e in grading.catalogue().values():
        yield e, read.setdefault(e.chapter, notebooks.read(BOOK.folder / f"{e.chapter}.ipynb"))


def test_every_exercise_can_be_chosen():
    """Each stands by itself: what its cells name, cells above give a value; the answer gives the names that are checked."""
    for e, notebook in every():
        one = course.task(BOOK, notebook, e, 2)
        imports = "\n".join(one.imports)
        assert course.free("\n".join((imports, one.before, one.stub, one.solution, one.call))) <= {"check"}, (
            e.id
        )
        assert set(e.answers) <= course.bound(one.solution) and set(e.answers) <= course.bound(one.stub), e.id
        assert "*2 points." in one.text and "{" + "exercise" not in one.text


@pytest.mark.parametrize(
    "text, says",
    [("ex-99", "no exercise ex-99"), ("ex-03-pool:many", "no number"), (" ", "needs an exercise")],
)
def test_a_choice_that_makes_no_sense(text, says):
    with pytest.raises(ValueError, match=says):
        course.chosen(text)


def test_what_is_sliced():
    above = ["import numpy as np\nimport torch", "a = np.ones(3)\nb = a + 1\nc = torch.zeros(2)", "b = b * 2"]
    imports, statements = course.sliced({"b"}, above)
    assert imports == ["import numpy as np"] and statements == ["a = np.ones(3)", "b = a + 1", "b = b * 2"]
    with pytest.raises(ValueError, match="gives nothing a value"):
        course.sliced({"nothing"}, above)


def test_pages_of_a_course(found):
    questions, answers = course.paper(BOOK)
    count = len(list(quiz.questions()))
    assert count > 20
    assert all(f"**{number}. " in questions and f"**{number}. " in answers for number in range(1, count + 1))
    assert "right:" not in questions and "{doc}" not in course.schedule(BOOK)
    assert "| **10** |" in course.rubric(BOOK, found)
    assert 'href="book/03_prototypes.html#present"' in course.slides(BOOK)


# ---- the plans -----------------------------------------------------------------------------------------


TEACHING = (BOOK.folder / "appendix_teaching.md").read_text(encoding="utf-8")
PLANS = re.search(r"^## Plans that add up\n.*?(?=^## )", TEACHING, re.M | re.S)[0]
SESSIONS = re.findall(r"^### (.+?) \((\d+) minutes\)\n(.*?)(?=^##|\Z)", PLANS, re.M | re.S)
CHAPTERS = {path.stem: notebooks.read(path) for path in BOOK.chapters}


def answering(label):
    e = grading.catalogue()[label]
    one = course.task(BOOK, CHAPTERS[e.chapter], e, 1)
    return shape.answering(one.text.split("\n\n", 2)[2], course.solution_of(CHAPTERS[e.chapter], label))


def rows(text):
    """The cells of each row of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def counted(text):
    """The minutes of the sections and exercises that a text names, as the chapters have them."""
    total, stem = 0.0, ""
    for doc, section, label in re.findall(r"\{doc\}`(\w+)`|\*([^*]+)\*|`(ex-[\w-]+)`", text):
        stem = doc or stem
        total += shape.sections(CHAPTERS[stem])[section] if section else answering(label) if label else 0
    return total


@pytest.mark.parametrize("name, minutes, text", SESSIONS, ids=[s[0] for s in SESSIONS])
def test_a_session_is_as_long_as_it_says(name, minutes, text):
    assert sum(int(row[0]) for row in rows(text)) <= int(minutes) == 90
    assert [row for row in rows(text) if counted(row[1]) > int(row[0]) + 0.5] == []
    assert "**When time runs out**" in text


def test_there_are_a_lecture_three_labs_and_two_weeks():
    assert len(SESSIONS) == 4 and "### Two weeks (ten sessions of 90 minutes)" in PLANS
    assert f"holds {len(course.CHOSEN.split())} exercises with" in TEACHING
    assert f"with {sum(course.chosen(course.CHOSEN).values()):g} points" in TEACHING


def test_what_is_read_at_home_takes_what_the_chapters_say():
    for stem, minutes in re.findall(r"\{doc\}`(\w+)` \((\d+) minutes\)", PLANS):
        assert int(minutes) == shape.minutes(CHAPTERS[stem]), stem


def test_two_weeks():
    """The exercises of a session leave a third of it to talk and to those who are slower."""
    table = rows(PLANS.split("### Two weeks")[1])
    assert len(table) == 10
    for number, doc, minutes, tasks, sum_, question in table:
        assert int(minutes) == shape.minutes(CHAPTERS[re.search(r"`(\w+)`", doc)[1]]), number
        assert int(sum_) == sum(map(answering, re.findall(r"`(ex-[\w-]+)`", tasks))) <= 60, number
        assert question.endswith("?")


def test_the_project_adds_up(tmp_path, monkeypatch):
    """Its code runs on photos of the names that it wants; its hours and points are the sums that it says."""
    text = (BOOK.folder / "project.md").read_text(encoding="utf-8")
    steps, points = (
        rows(part) for part in (text.split("## Steps")[1].split("## A beg")[0], text.split("hand in\n")[1])
    )
    assert sum(int(row[1]) for row in steps) == 525 and "nearly nine hours" in text
    assert sum(int(row[0]) for row in points) == 20 and "Twenty points" in text
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir(), (tmp_path / "masks").mkdir()
    for way in range(3):
        pixels = np.zeros((120, 160, 3), np.uint8)
        pixels[40:80, 50:100, way] = 220
        for shot in (1, 3):
            Image.fromarray(pixels).save(f"photos/key{way + 1}-{shot}.jpg")
        Image.fromarray((pixels.max(2) > 0) * np.uint8(255)).save(f"masks/key{way + 1}-1.png")
    exec(re.search(r"```python\n(.*?)```", text, re.S)[1], {})
    assert sorted(path.name for path in tmp_path.glob("found-*")) == [
        f"found-key{way}-3.png" for way in (1, 2, 3)
    ]
