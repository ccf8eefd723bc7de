"""Write a course into a folder: `python book/course.py [FOLDER]` (`make course`); `--help` says what can be chosen.

students/    the chapters without solutions        teachers/   the chapters with solutions, folded: not for students
assignment/  the chosen exercises, with points     nbgrader/   its source for nbgrader
otter/       its tests for otter-grader            book/       the built book, if it was built; slides.html leads into it
handouts/    the chapters as PDF, if printed       schedule.md, rubric.md, quiz.md, quiz-answers.md, README.md
"""

import argparse
import ast
import builtins
import copy
import html
import re
import shutil
import symtable
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import editions
import notebooks
import quiz
from editions import Book, directive
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from panet_lite.check.grading import Exercise, catalogue

ROOT = notebooks.BOOK.parent
HTML, PDF = ROOT / "_build" / "html", ROOT / "_build" / "pdf"
# From the episode to the score, in the order of the chapters; each can be written without the others.
CHOSEN = (
    "ex-01-relabel:3 ex-01-enough:1 ex-02-side:1 ex-03-pool:3 ex-03-empty:1 ex-03-halve:1 ex-04-match:3 ex-04-scaled:1"
    " ex-05-queryprototypes:3 ex-05-gradient:1 ex-07-meaniou:3 ex-07-trust:1 ex-08-box:3"
)
SOLUTION = re.compile(r"^(`{3,})\{solution\} (\S+)\n(.*?)^\1\s*$", re.M | re.S)
ELSEWHERE = re.compile(r'\*\[The solution of [^"\n]*?\.\*')  # where the plain edition leads to one
CODE = re.compile(r"^(`{3,})\{code-block\} python\n(.*?)^\1\s*$", re.M | re.S)
FIRST = """\
# {title}: assignment

*{count} exercises, {points:g} points.* Run the cells from the top; then answer each exercise in the cell below it and run that
cell and the next one, which checks it: ✓ is right, ✗ names what is wrong, … is not filled in yet. You may try as often as you
like, and use what the chapters teach, not what others wrote. Write your answers only where a cell asks for them, and save the
notebook as it stands: whoever marks it runs it again from the top, and what it prints then does not count, only what it does.
"""
HIDDEN = """

### BEGIN HIDDEN TESTS
import os

os.environ["PANET_CHECK"] = "raise"
assert {call}
### END HIDDEN TESTS"""
NBGRADER = """\
# In this folder: nbgrader generate_assignment assignment; then put what is handed in into submitted/NAME/assignment/.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "panet"
c.ClearSolutions.code_stub = {"python": ""}  # the stub above a solution stays
c.ExecutePreprocessor.timeout = 600
"""
OTTER = """\
from otter.test_files import test_case

OK_FORMAT = False
name = "{id}"
points = {points:g}


@test_case()
def test_{check}(env):
    import os
    from unittest import mock

    from panet_lite.check import chapter{number} as check

    with mock.patch.dict(os.environ, PANET_CHECK="raise"):
        assert check.{check}(*[eval(one, env) for one in {arguments}])
"""


@dataclass(frozen=True)
class Task:
    """An exercise of the assignment: its text, the code that stands before its stub, stub, call of the check, solution."""

    exercise: Exercise
    points: float
    text: str
    before: str
    stub: str
    call: str
    solution: str
    imports: tuple[str, ...]


# ---- what an exercise needs ------------------------------------------------------------------------


def bound(source: str) -> set[str]:
    """The names to which code gives a value."""
    symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported() or s.is_namespace()}


def imported(tree: ast.AST) -> dict[str, str]:
    """{name: the statement that imports it}."""
    found = {}
    for node in (n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))):
        for one in node.names:
            alone = copy.copy(node)
            alone.names = [one]
            found[one.asname or one.name.split(".")[0]] = ast.unparse(alone)
    return found


def free(source: str) -> set[str]:
    """The names that code takes from elsewhere."""
    found, known = set(), set(dir(builtins))
    for statement in ast.parse(source).body:
        text = ast.unparse(statement)
        tables = [top := symtable.symtable(text, "cell", "exec")]
        for table in tables:
            tables += table.get_children()
            names = {
                s.get_name()
                for s in table.get_symbols()
                if s.is_referenced() and (table is top or s.is_global())
            }
            first = isinstance(
                statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)
            )  # reads before it writes
            found |= names - known - (set() if first else bound(text))
        known |= bound(text)
    return found


def sliced(names: set[str], sources: Sequence[str]) -> tuple[list[str], list[str]]:
    """(imports, statements) of a chapter's cells that give `names` their values, and what these need in turn.

    Errors: ValueError where one has none.
    """
    wanted, imports, statements = set(names), [], []
    for source in reversed(sources):
        for statement in reversed(ast.parse(source).body):
            for name, line in imported(statement).items():
                if name in wanted:
                    imports.append(line)
                    wanted.discard(name)
            text = ast.get_source_segment(source, statement)
            if wanted & (mine := bound(text) - set(imported(statement))):
                statements.insert(0, text)
                wanted = (wanted - mine) | free(text)
    if wanted:
        raise ValueError(f"no cell above gives {', '.join(sorted(wanted))} a value.")
    return imports, statements


def solution_of(notebook: NotebookNode, label: str) -> str:
    """The code of an exercise's solution, as the chapter has it; it ends with a call of the check."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    body = next(found[3] for found in SOLUTION.finditer(text) if found[2] == label)
    return CODE.search(body)[2].strip()


def answer_of(solution: str, e: Exercise) -> str:
    """A solution as an answer: without imports and check, but giving its values the names that the stub has."""
    *body, last = ast.parse(solution).body
    kept = [s for s in body if not isinstance(s, (ast.Import, ast.ImportFrom))]
    lines = [ast.get_source_segment(solution, s) for s in kept]
    given = [ast.unparse(argument) for argument in last.value.args]
    lines += [f"{name} = {value}" for name, value in zip(e.arguments, given) if name != value]
    return "\n".join(lines)


def behind(notebook: NotebookNode, e: Exercise) -> tuple[list[str], list[str], str]:
    """Of a chapter's code: the cells above an exercise, those between it and its stub, and the stub without its check."""
    cells = notebook.cells
    at = next(i for i, c in enumerate(cells) if f":label: {e.id}\n" in c.source)
    stub = next(i for i, c in enumerate(cells) if c.id == e.stub)
    source = cells[stub].source
    if e.stub == e.cell:
        last = next(s for s in ast.parse(source).body if re.search(rf"\bcheck\.{e.check}\b", ast.unparse(s)))
        source = "\n".join(source.splitlines()[: last.lineno - 1])
    code = [[c.source for c in part if c.cell_type == "code"] for part in (cells[:at], cells[at:stub])]
    return *code, source.strip()


def task(book: Book, notebook: NotebookNode, e: Exercise, points: float) -> Task:
    """An exercise of a chapter, made to stand by itself."""
    chapter = editions.Chapter(book, e.chapter, "plain")
    editions.find_exercises(chapter, notebook)
    tokens = (
        t for c in notebook.cells if c.cell_type == "markdown" for t in editions.parser().parse(c.source)
    )
    own = next(t for t in tokens if (d := directive(t)) and d[0] == "exercise" and d[2].get("label") == e.id)
    title = chapter.exercises[e.id]
    where = f"[{book.title(e.chapter)}]({book.address(f'plain/{e.chapter}.ipynb')})"
    text = f"## {title}\n\n*{points:g} point{'s' * (points != 1)}. The chapter: {where}.*"
    text += "\n\n" + editions.plain(directive(own)[3], chapter)
    above, between, stub = behind(notebook, e)
    call = f"check.{e.check}({', '.join(e.arguments)})"
    solution = solution_of(notebook, e.id)
    lines = imported(ast.parse(solution)) | imported(ast.parse("\n".join(between)))
    code = "\n\n\n".join(between)
    needs = free(f"{code}\n{stub}\n{call}") - {"check", *lines}
    imports, statements = sliced(needs, above)
    named = [n for n in re.findall(r"`(\w+)`", text) if n not in lines]  # what the text says one may use
    known = {
        k: v for source in above for k, v in imported(ast.parse(source)).items() if "panet_lite" not in v
    }
    imports += [known[n] for n in named if n in known]
    imports += [line for name, line in lines.items() if name != "check"]
    before = "\n\n\n".join([*statements, code]).strip()
    return Task(e, points, text, before, stub, call, answer_of(solution, e), tuple(imports))


def chosen(text: str) -> dict[str, float]:
    """{id: points} of `ex-03-pool:3 ex-03-halve`; without a number, 1 point. Errors: ValueError."""
    found, known = {}, catalogue()
    for one in text.split():
        name, _, points = one.partition(":")
        if name not in known:
            raise ValueError(f"there is no exercise {name}: panet_lite/check/exercises.json lists them.")
        try:
            found[name] = float(points or 1)
        except ValueError:
            raise ValueError(f"{one}: the points are no number.") from None
    if not found:
        raise ValueError("an assignment needs an exercise at least.")
    return found


def tasks(book: Book, points: dict[str, float]) -> list[Task]:
    """The chosen exercises, in the book's order."""
    read = {}
    for e in (e for e in catalogue().values() if e.id in points):
        read.setdefault(e.chapter, notebooks.read(book.folder / f"{e.chapter}.ipynb"))
    return [task(book, read[e.chapter], e, points[e.id]) for e in catalogue().values() if e.id in points]


# ---- the assignment ----------------------------------------------------------------------------------


def cell_for(kind: str, source: str, name: str, points: float | None = None) -> NotebookNode:
    """A cell that nbgrader knows: an answer, a check with points, or text that is locked; kind: answer, check, code or text."""
    own = {
        "grade": kind == "check", "grade_id": name, "locked": kind != "answer", "schema_version": 3,
        "solution": kind == "answer", "task": False,
    }  # fmt: skip
    if points is not None:
        own["points"] = points
    make = new_markdown_cell if kind == "text" else new_code_cell
    cell = make(source, id=name, metadata={"nbgrader": own})
    if kind != "answer":
        cell.metadata.update(editable=False, deletable=False)
    return cell


def cells_of(one: Task, source: bool) -> Iterator[NotebookNode]:
    """An exercise's cells. source: with the solution and the hidden test, for nbgrader."""
    name = one.exercise.id
    yield cell_for("text", one.text, f"{name}-text")
    if one.before:
        yield cell_for("code", one.before, f"{name}-before")
    stub = (
        f"# Answer to {name}\n{one.stub}"  # by this line `grade` knows the cell where its metadata were lost
    )
    check = f"# Check of {name}\nfrom panet_lite.check import chapter{one.exercise.chapter[:2]} as check\n\n{one.call};"
    if source:
        stub += f"\n### BEGIN SOLUTION\n{one.solution}\n### END SOLUTION"
        check += HIDDEN.format(call=one.call)
    yield cell_for("answer", stub, name)
    checked = cell_for("check", check, f"{name}-check", one.points)
    checked.metadata["otter"] = {
        "tests": [name]
    }  # looked at here, not at the end: `answer` is many exercises' name
    yield checked


def assignment(book: Book, chosen: Sequence[Task], source: bool = False) -> NotebookNode:
    """The notebook that students fill in, or nbgrader's source of it."""
    title, total = book.settings["title"], sum(one.points for one in chosen)
    imports = sorted(
        {line for one in chosen for line in one.imports}, key=lambda x: (x.startswith("from"), x)
    )
    names = [name for line in imports for name in imported(ast.parse(line))]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))}: two exercises import two things of this name.")
    setup = new_code_cell(notebooks.SETUP.format(url=notebooks.repository(book.folder)), id="setup")
    setup.metadata.update(cellView="form", jupyter={"source_hidden": True}, tags=["hide-input"])
    text = FIRST.format(title=title, count=len(chosen), points=total)
    first = [cell_for("text", text, "first"), setup, cell_for("code", "\n".join(imports), "imports")]
    notebook = new_notebook(cells=[*first, *(cell for one in chosen for cell in cells_of(one, source))])
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata.language_info = {"name": "python"}
    return notebook


# ---- what a teacher prints or shows ------------------------------------------------------------------


def paper(book: Book) -> tuple[str, str]:
    """The quiz and its answers, as Markdown."""
    read, asked, answers = {}, [], []
    for number, (e, found) in enumerate(quiz.questions(), start=1):
        notebook = read.setdefault(e.chapter, notebooks.read(book.folder / f"{e.chapter}.ipynb"))
        text = task(book, notebook, e, 1).text.split("\n\n", 2)[2]
        listed = re.search(r"^- \*\*a\*\*", text, re.M)  # the text lists the answers itself
        rows = "" if listed else "\n\n" + "\n".join(f"- ☐ {one.label}" for one in found)
        asked.append(f"**{number}. {e.title}** ({book.title(e.chapter)})\n\n{text}{rows}\n")
        said = "\n".join(f"- {'**' + o.label + '**' if o.right else o.label}: {o.says}" for o in found)
        answers.append(f"**{number}. {e.title}**\n\n{said}\n")
    title = book.settings["title"]
    return (
        f"# {title}: quiz\n\nName: ____________________\n\n" + "\n".join(asked),
        f"# {title}: the quiz's answers\n\nThe right one in bold; of each, what the book says.\n\n"
        + "\n".join(answers),
    )


def rubric(book: Book, chosen: Sequence[Task]) -> str:
    """What each exercise of the assignment gives, and what an explanation does."""
    rows = "\n".join(f"| {one.exercise.id} | {one.exercise.title} | {one.points:g} |" for one in chosen)
    total = sum(one.points for one in chosen)
    return f"""# {book.settings["title"]}: rubric of the assignment

| id | exercise | points |
|---|---|---:|
{rows}
| | **together** | **{total:g}** |

An exercise has all its points or none: its check has passed on fresh random inputs, or it has not. What the check says of a wrong
answer is in `grades-details.csv`. If you mark explanations as well, one sentence for each function:

| points | the explanation |
|---:|---|
| 2 | says why the answer is right *and* what a named wrong turn would give instead |
| 1 | says what the code does, not why |
| 0 | is missing, or fits any code |
"""


def schedule(book: Book) -> str:
    """The plans of the page on teaching, without its directives."""
    text = (book.folder / "appendix_teaching.md").read_text(encoding="utf-8")
    part = re.search(r"^## Plans that add up\n.*?(?=^## |\Z)", text, re.M | re.S)[0]
    chapter = editions.Chapter(book, "appendix_teaching", "teacher")
    plain = re.sub(r"\]\((\w+\.ipynb)\)", r"](teachers/\1)", editions.plain(part, chapter))
    return f"# {book.settings['title']}: schedule\n\n{plain}\n"


def slides(book: Book) -> str:
    """A page of links to the book's pages, shown as slides."""
    items = "".join(
        f'<li><a href="book/{path.stem}.html#present">{html.escape(book.title(path.stem).replace("`", ""))}</a></li>\n'
        for path in sorted(book.chapters, key=lambda p: (p.stem != "index", p.stem))
    )
    title = html.escape(book.settings["title"])
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}: slides</title><style>body {{ font: 1.2rem/2 sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }}</style>
</head><body><h1>{title}: slides</h1><p>Arrow keys lead on, <kbd>n</kbd> opens your notes, <kbd>Esc</kbd> leaves.</p>
<ul>
{items}</ul></body></html>
"""


README = """\
# {title}: a course

Written by `make course` for {url}.

| what | where |
|---|---|
| the minutes of each session, what to say and to ask | `schedule.md` |
| slides | {slides} |
| the chapters for students, without solutions | `students/` |
| the chapters with solutions: for you | `teachers/` |
| hand-outs on paper | {handouts} |
| the assignment: {count} exercises, {points:g} points | `assignment/assignment.ipynb` |
| its rubric | `rubric.md` |
| a quiz on paper, and its answers | `quiz.md`, `quiz-answers.md` |

To mark what is handed in, `NAME-assignment.ipynb` or `NAME/assignment.ipynb`, where `panet_lite` is installed:

    python -m panet_lite.check grade handed-in/*.ipynb --points assignment/points.csv --out grades.csv

nbgrader: `cd nbgrader`, then `nbgrader generate_assignment assignment`. otter-grader: `cd otter`, then
`otter generate -t tests`, then `otter run -a autograder.zip assignment.ipynb`. Keep `teachers/`, `nbgrader/`, `otter/` and
`quiz-answers.md` to yourself; `book/` has the solutions folded, and the book is
public anyway: ask each student about one answer.
"""


# ---- the folder --------------------------------------------------------------------------------------


class Course:
    """The folder that is written, for a book at the address `url`."""

    def __init__(self, folder: Path, book: Book, url: str):
        self.folder, self.book, self.url = folder, book, url.rstrip("/")

    def write(self, name: str, text: str) -> None:
        """A file of the course; what names the book's own address names the fork's."""
        own = notebooks.repository(self.book.folder)
        text = text.replace(f"/github{urlsplit(own).path}/", f"/github{urlsplit(self.url).path}/")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(own, self.url), encoding="utf-8")

    def write_notebooks(self) -> None:
        """The chapters of students, which lead to no solution, and of teachers."""
        for path in self.book.chapters:
            text = notebooks.dump(editions.edition(path, "plain"))
            self.write(f"students/{path.name}", ELSEWHERE.sub("*The solution comes later.*", text))
            self.write(f"teachers/{path.name}", notebooks.dump(editions.edition(path, "teacher")))

    def write_assignment(self, chosen: Sequence[Task]) -> None:
        """The assignment, its points, and what nbgrader and otter-grader need of it."""
        student = notebooks.dump(assignment(self.book, chosen))
        self.write("assignment/assignment.ipynb", student)
        rows = "".join(f"{one.exercise.id},{one.points:g}\n" for one in chosen)
        self.write("assignment/points.csv", "id,points\n" + rows)
        self.write("nbgrader/nbgrader_config.py", NBGRADER)
        source = notebooks.dump(assignment(self.book, chosen, source=True))
        self.write("nbgrader/source/assignment/assignment.ipynb", source)
        for one in chosen:
            e = one.exercise
            text = OTTER.format(
                id=e.id, points=one.points, check=e.check, number=e.chapter[:2], arguments=e.arguments
            )
            self.write(f"otter/tests/{e.id}.py", text)
        self.write("otter/assignment.ipynb", student)

    def copy(self, source: Path, name: str) -> bool:
        """A folder that another target builds, if it is there."""
        if not source.is_dir() or not any(source.iterdir()):
            return False
        shutil.copytree(source, self.folder / name, dirs_exist_ok=True)
        return True

    def write_all(self, chosen: Sequence[Task]) -> list[str]:
        """Everything. Returns what is missing, a line each."""
        self.write_assignment(chosen)
        self.write_notebooks()
        questions, answers = paper(self.book)
        for name, text in (
            ("quiz.md", questions), ("quiz-answers.md", answers), ("rubric.md", rubric(self.book, chosen)),
            ("schedule.md", schedule(self.book)),
        ):  # fmt: skip
            self.write(name, text)
        built, printed = self.copy(HTML, "book"), self.copy(PDF, "handouts")
        if built:
            self.write("slides.html", slides(self.book))
        self.write(
            "README.md",
            README.format(
                title=self.book.settings["title"], url=self.url, count=len(chosen),
                points=sum(one.points for one in chosen),
                slides="`slides.html`" if built else "`make book`, then `make course` again",
                handouts="`handouts/`" if printed else "`make pdf`, then `make course` again",
            ),
        )  # fmt: skip
        return [
            f"{what} are missing: the book was not {how}; `make {target} course` adds them"
            for there, what, how, target in (
                (built, "slides", "built", "book"), (printed, "hand-outs", "printed", "pdf"),
            )
            if not there
        ]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Write the course, say where it is and what it lacks."""
    book = Book(notebooks.BOOK)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "_build" / "course")
    parser.add_argument("--exercises", default=CHOSEN, metavar="'ID:POINTS ...'", help="of the assignment")
    parser.add_argument(
        "--repository", default=notebooks.repository(), metavar="URL", help="where students get the book from"
    )
    options = parser.parse_args(arguments)
    try:
        found = tasks(book, chosen(options.exercises))
        missing = Course(options.folder, book, options.repository).write_all(found)
    except ValueError as error:
        raise SystemExit(f"make course: {error}") from None
    print("".join(f"    {line}\n" for line in missing), end="")
    print(f"==> the course is in {options.folder}; begin with {options.folder / 'README.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
