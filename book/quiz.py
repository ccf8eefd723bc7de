"""The book's questions with a choice or one number, as data: `python book/quiz.py` writes book/_assets/quiz-data.js.

What a check says of each answer is asked of the check itself (`panet_lite/check`), so page, paper and notebook say the same. A
number's wrong answers are the first three that the check knows by name.
"""

import importlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from panet_lite.check import harness
from panet_lite.check.grading import Exercise, catalogue

BOOK = Path(__file__).resolve().parent
OUT = BOOK / "_assets" / "quiz-data.js"
WRONG = 3  # known wrong numbers beside the right one


@dataclass(frozen=True)
class Option:
    """One answer: what stands on its button, what the check says of it, and whether it is right."""

    label: str
    says: str
    right: bool


def shown(number: float) -> str:
    """A number as a reader writes it: 232,560; 0.65; 1/3 as 0.333."""
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:.3g}" if abs(number) < 100 else f"{number:,.0f}"


def letters(answer: object, right: str, why: dict[str, str]) -> list[Option]:
    """The options of `harness.choice`."""
    return [Option(letter, says, letter == right) for letter, says in why.items()]


def numbers(answer, right, tolerance, yes, no, wrong=(), slip=None) -> list[Option]:
    """The options of `harness.number`, the smallest first; None where no wrong number is known."""
    found = {shown(right): (right, yes)}
    for value, says in wrong:
        if len(found) <= WRONG:
            found.setdefault(shown(value), (value, says))
    order = sorted(found.items(), key=lambda one: one[1][0])
    return [Option(label, says, value == right) for label, (value, says) in order]


def options(exercise: Exercise) -> list[Option]:
    """The answers to an exercise with their sentences; none where it wants more than a letter or a number."""
    checks = importlib.import_module(f"panet_lite.check.chapter{exercise.chapter[:2]}")
    if len(exercise.arguments) != 1:
        return []
    with ExitStack() as stack:
        for name, ask in (("choice", letters), ("number", numbers)):
            for module in (harness, checks):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, ask))
        stack.enter_context(mock.patch.object(harness, "print", lambda *_: None, create=True))
        found = getattr(checks, exercise.check)(0.5)
    return found if isinstance(found, list) and len(found) > 1 else []


def questions() -> Iterator[tuple[Exercise, list[Option]]]:
    """Every exercise that can be asked without a kernel, in the book's order."""
    for exercise in catalogue().values():
        if found := options(exercise):
            yield exercise, found


def text() -> str:
    """The data as a script, for a page that is opened from a folder cannot fetch a file."""
    lines = [
        f"{json.dumps(e.id)}: {json.dumps([[o.label, o.says, o.right] for o in found], ensure_ascii=False)}"
        for e, found in questions()
    ]
    return (
        "// Written by book/quiz.py: [what the button says, the check's sentence, is it right] for each answer.\nglobalThis.PANET_QUIZ = {\n"
        + ",\n".join(lines)
        + "\n};\n"
    )


if __name__ == "__main__":
    OUT.write_text(text(), encoding="utf-8")
