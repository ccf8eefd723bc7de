"""Grading: what each student's notebook defines goes through the checks as they were published.

    python -m panet_lite.check grade FOLDER/*.ipynb --out grades.csv

Each notebook runs in a process and a folder of its own, with limits of time and memory and without a network (`running`).
Only the checks count: what a notebook printed, a tick included, is not looked at.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).with_name("exercises.json")
ASSIGNMENT = "assignment"  # of several chapters' exercises, named by nbgrader's `grade_id`
LINE = re.compile(r"\s*# (Answer to|Check of) (ex-[\w-]+)")
SECONDS, MEMORY = 900, 12  # of a notebook; GiB of address space, of which torch takes some without using it
DETAILS = "-details"  # of the second file's name


@dataclass(frozen=True)
class Exercise:
    """An exercise that a check answers. arguments: what its cell hands to the check, as source text; answers: the names
    among them that the reader gives a value, in the cell `stub`."""

    id: str
    title: str
    chapter: str
    stub: str
    cell: str
    check: str
    arguments: list[str]
    answers: list[str]


@dataclass
class Graded:
    """What came out of one notebook. asked: its exercises, found: {exercise: (passed or None, the check's sentence)}.
    trouble: why not all of it ran, or ""."""

    student: str
    path: Path
    chapter: str
    asked: list[str] = field(default_factory=list)
    found: dict[str, tuple[bool | None, str]] = field(default_factory=dict)
    trouble: str = ""


def catalogue() -> dict[str, Exercise]:
    """Every exercise with a check, by its id, in the book's order."""
    entries: list[dict[str, Any]] = json.loads(CATALOGUE.read_text(encoding="utf-8"))
    found = [Exercise(**entry) for entry in entries]
    return {exercise.id: exercise for exercise in found}


def name_of(cell: Mapping[str, Any]) -> str | None:
    """An assignment's cell is called by nbgrader's `grade_id`, or by its first line where an editor has lost that."""
    line = LINE.match("".join(cell["source"]))
    own: str | None = cell.get("metadata", {}).get("nbgrader", {}).get("grade_id")
    return own or (line and line[2] + "-check" * (line[1] == "Check of"))


def cells_of(path: Path) -> list[dict[str, Any]]:
    """A notebook's code cells. Errors: ValueError where the file is no notebook."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [c for c in cells if c["cell_type"] == "code"]
        return [{"id": c.get("id"), "name": name_of(c), "source": "".join(c["source"])} for c in code]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no notebook ({type(error).__name__}: {error}).") from error


def chapter_of(cells: Sequence[Mapping[str, Any]], exercises: Mapping[str, Exercise]) -> str:
    """Which chapter it is, by the checks that it imports. Errors: ValueError where it imports none."""
    text = "\n".join(cell["source"] for cell in cells)
    numbers = Counter(re.findall(r"panet_lite\.check(?:\.|\s+import\s+)chapter(\d\d)", text))
    chapters = {e.chapter[:2]: e.chapter for e in exercises.values()}
    known = [number for number, _ in numbers.most_common() if number in chapters]
    if not known:
        raise ValueError("it imports no chapter's checks: it is no chapter of this book.")
    return chapters[known[0]]


def asked(
    cells: Sequence[Mapping[str, Any]], exercises: Mapping[str, Exercise]
) -> tuple[str, list[Exercise]]:
    """(name, exercises) of a notebook: an assignment's cells name them, else it is a chapter. Errors: ValueError."""
    named = {str(cell["name"]).removesuffix("-check") for cell in cells}
    if chosen := [e for e in exercises.values() if e.id in named]:
        return ASSIGNMENT, chosen
    chapter = chapter_of(cells, exercises)
    return chapter, [e for e in exercises.values() if e.chapter == chapter]


def student_of(path: Path, kind: str) -> str:
    """Whose it is: the file's name without the chapter's (`kind`), or the name of the nearest folder that is not called so."""
    names = [path.stem, *(folder.name for folder in path.resolve().parents)]
    short = [re.sub(rf"{kind}|{re.sub(r'^[0-9]+_', '', kind)}", "", name).strip(" _-.()") for name in names]
    return next(filter(None, short), path.stem)


def grade(path: Path, exercises: Mapping[str, Exercise], seconds: float, memory: float) -> Graded:
    """Run one notebook, and let the checks look at what its cells define."""
    try:
        cells = cells_of(path)
        chapter, mine = asked(cells, exercises)
    except ValueError as error:
        return Graded(student_of(path, "no chapter"), path, "", trouble=str(error))
    result = Graded(student_of(path, chapter), path, chapter, [e.id for e in mine])
    with tempfile.TemporaryDirectory(prefix="panet-grading-") as folder:
        job = {"cells": cells, "memory": int(memory * 2**30), "exercises": [asdict(e) for e in mine]}
        out = Path(folder) / "found.jsonl"
        home = Path(folder) / "work"
        home.mkdir()
        environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONUTF8": "1"}
        command = [sys.executable, "-m", "panet_lite.check.running", str(out)]
        try:
            run = subprocess.run(
                command, input=json.dumps(job), cwd=home, env=environment, timeout=seconds,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            if run.returncode:
                last = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
                result.trouble = f"it ended before its last cell: {last}"
        except subprocess.TimeoutExpired:
            result.trouble = f"it ran longer than {seconds:g} s and was ended"
        for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else ():
            found = json.loads(line)
            if "trouble" in found:
                result.trouble = result.trouble or found["trouble"]
            else:
                result.found[found["id"]] = (found["passed"], found["says"])
    return result


def points_of(text: str, exercises: Mapping[str, Exercise]) -> dict[str, float]:
    """Points of each exercise: a file of lines `id,points`, or "" for one each. Errors: ValueError."""
    if not text:
        return dict.fromkeys(exercises, 1.0)
    points = {}
    with open(text, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if not row or row[0].strip() in ("", "id"):
                continue
            name = row[0].strip()
            if name not in exercises:
                raise ValueError(f"{text}, line {number}: there is no exercise {name}.")
            try:
                points[name] = float(row[1])
            except (IndexError, ValueError):
                raise ValueError(f"{text}, line {number}: {name} has no number of points.") from None
    if not points:
        raise ValueError(f"{text} names no exercise.")
    return points


def misconceptions(results: Sequence[Graded], points: Mapping[str, float]) -> Iterator[str]:
    """Of each exercise, how many solved it, and which wrong turns the class took, the commonest first."""
    for name in points:
        found = [r.found[name] for r in results if name in r.found]
        if not found:
            continue
        yield f"{name}: {sum(passed is True for passed, _ in found)} of {len(found)} solved it"
        wrong = Counter(says for passed, says in found if passed is False)
        yield from (f"    {count} x {says}" for says, count in wrong.most_common(3))


def write(path: Path, results: Sequence[Graded], points: Mapping[str, float]) -> Path:
    """Two tables: a row for each student, and beside it one for each student's exercise. Returns the second's path."""
    students: dict[str, list[Graded]] = {}
    for result in results:
        students.setdefault(result.student, []).append(result)
    columns = [name for name in points if any(name in r.asked for r in results)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["student", *columns, "points", "of", "trouble"])
        for student, theirs in sorted(students.items()):
            found = {name: outcome for r in theirs for name, outcome in r.found.items()}
            wanted = {name for r in theirs for name in r.asked}  # what a notebook lacks gives no points
            earned = {c: points[c] * (found.get(c, [None])[0] is True) for c in columns if c in wanted}
            total, most = sum(earned.values()), sum(points[c] for c in earned)
            trouble = "; ".join(f"{r.path.name}: {r.trouble}" for r in theirs if r.trouble)
            table.writerow([student, *(earned.get(c, "") for c in columns), total, most, trouble])
    details = path.with_stem(path.stem + DETAILS)
    with open(details, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["student", "notebook", "exercise", "points", "says"])
        for result in results:
            for name, (passed, says) in result.found.items():
                if name in points:
                    table.writerow(
                        [result.student, result.path.name, name, points[name] * (passed is True), says]
                    )
    return details


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    whole = argparse.ArgumentParser(prog="python -m panet_lite.check", description="The exercises' checks.")
    commands = whole.add_subparsers(dest="command", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    one = commands.add_parser("grade", help="grade notebooks", description=__doc__, formatter_class=raw)
    add = one.add_argument
    add("notebooks", nargs="+", type=Path, metavar="NOTEBOOK", help="NAME-CHAPTER.ipynb, NAME/CHAPTER.ipynb")
    add("--out", type=Path, default=Path("grades.csv"), help="a row for each student (default: grades.csv)")
    add("--points", default="", metavar="FILE", help="lines `id,points`; what it leaves out counts nothing")
    add("--seconds", type=float, default=SECONDS, help=f"for a notebook (default: {SECONDS})")
    add("--memory", type=float, default=MEMORY, metavar="GIB", help=f"for a notebook (default: {MEMORY})")
    add("--jobs", type=int, default=1, help="notebooks at a time (default: 1)")
    return whole


def all_graded(options: argparse.Namespace, exercises: Mapping[str, Exercise]) -> Iterator[Graded]:
    """Every notebook's result, in their order, with a line for each as it comes."""
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        work = [
            pool.submit(grade, path, exercises, options.seconds, options.memory) for path in options.notebooks
        ]
        for number, one in enumerate(work, start=1):
            result = one.result()
            solved = f"{sum(passed is True for passed, _ in result.found.values())} of {len(result.found)}"
            says = "; ".join(filter(None, (f"{result.student}, {solved}", result.trouble)))
            print(f"[{number}/{len(work)}] {result.path}: {says}", flush=True)
            yield result


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 1 where a notebook could not be graded at all."""
    options, exercises = (command := parser()).parse_args(arguments), catalogue()
    try:
        points = points_of(options.points, exercises)
        if options.out.suffix != ".csv" or not options.out.resolve().parent.is_dir():
            raise ValueError(f"{options.out} is no .csv in a folder that is there: name another --out.")
    except (OSError, ValueError) as error:
        command.error(str(error))
    results = list(all_graded(options, exercises))
    details = write(options.out, results, points)
    print("\n".join(misconceptions(results, points)))
    print(f"{options.out} has a row for each student, {details} what the checks said.")
    return int(any(not r.found for r in results))
