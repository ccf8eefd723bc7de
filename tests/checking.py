"""What is asked of the checks of every chapter; a chapter's own tests say what is special about its checks."""

import pytest

DRAWS = range(12)  # a check draws fresh inputs each time


def said(capsys):
    """The one line that a check printed."""
    (line,) = capsys.readouterr().out.splitlines()
    return line


def raising(*inputs):
    raise ZeroDivisionError("mine")


def right_passes(rows, draws=lambda exercise: DRAWS):
    """A test for each of `rows`, (exercise, right answer, its known mistakes): the right answer passes."""

    @pytest.mark.parametrize("exercise, right", [row[:2] for row in rows])
    def test(exercise, right, capsys):
        for _ in draws(exercise):
            assert exercise(right) is True
            assert said(capsys).startswith("✓ right")

    return test


def mistakes_are_told(rows, draws=lambda exercise: DRAWS):
    """A test for each mistake of `rows`: it is told by its own sentence."""
    mistakes = [(exercise, wrong, why) for exercise, _, mistakes in rows for wrong, why in mistakes]

    @pytest.mark.parametrize("exercise, wrong, why", mistakes)
    def test(exercise, wrong, why, capsys):
        for _ in draws(exercise):
            assert exercise(wrong) is False
            assert said(capsys) == f"✗ {why}"

    return test


def stubs_and_errors(*exercises, nonsense=(), begins="✗ "):
    """A test for each exercise: a stub is no answer; what raises, or is nonsense, becomes a sentence."""

    @pytest.mark.parametrize("exercise", exercises)
    def test(exercise, capsys):
        for stub in (lambda *inputs: None, lambda *inputs: ...):
            assert exercise(stub) is None
            assert said(capsys) == "… not filled in yet"
        assert exercise(raising) is False
        assert "ZeroDivisionError: mine" in said(capsys)
        assert exercise(3) is False
        assert "your function raised" in said(capsys)
        for answer in nonsense:
            assert exercise(answer) is False
            assert said(capsys).startswith(begins)

    return test


def answers(check, *rows):
    """A test for each of `rows`, (answer, verdict, part of the sentence); several inputs come as a tuple."""

    @pytest.mark.parametrize("answer, verdict, part", rows)
    def test(answer, verdict, part, capsys):
        assert check(*answer if isinstance(answer, tuple) else (answer,)) is verdict
        assert part in said(capsys)

    return test


def one_of_three(check, right):
    """A test for a question whose answer is a letter, a, b or c."""
    return answers(
        check,
        (None, None, "not filled in"),
        (right, True, "right"),
        (f"({right.upper()})", True, "right"),
        *((letter, False, f"not {letter}") for letter in "abc" if letter != right),
        (5, False, "choose one"),
    )
