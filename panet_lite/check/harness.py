"""What every check shares: try the reader's answer on fresh random inputs and say one line about it.

A check prints one line and returns True (right), False (wrong) or None (not filled in yet). It never
raises: a reader's error becomes a sentence.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Answer = Callable[..., Any]  # a reader's function, which may want and give anything
Mistake = tuple[Callable[..., Any], str]  # a wrong turn, and the sentence that explains it


def say(passed: bool | None, text: str) -> bool | None:
    """Print the verdict, one line, and return it."""
    print({True: "✓ ", False: "✗ ", None: "… "}[passed] + text)
    return passed


def unfilled() -> bool | None:
    """The line under a stub that nobody has touched."""
    return say(None, "not filled in yet")


def attempt(answer: Answer, inputs: tuple[Any, ...]) -> tuple[Any, str]:
    """Call the reader's function: (value, ""), or (None, what it raised)."""
    try:
        return answer(*(x.clone() if isinstance(x, Tensor) else x for x in inputs)), ""
    except NotImplementedError:
        return None, ""
    except Exception as error:  # whatever a reader writes, the chapter goes on
        return None, f"your function raised {type(error).__name__}: {error}"


def equal(a: object, b: object, tolerance: float = 1e-4) -> bool:
    """Equal numbers, tensors, or tuples of them, within a relative and absolute tolerance."""
    if isinstance(b, (tuple, list)):
        return (
            isinstance(a, (tuple, list))
            and len(a) == len(b)
            and all(equal(x, y, tolerance) for x, y in zip(a, b))
        )
    try:
        a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def implementation(
    answer: Answer,
    reference: Callable[..., Any],
    inputs: Callable[[], tuple[Any, ...]],
    right: str,
    mistakes: Sequence[Mistake] = (),
    trials: int = 5,
    tolerance: float = 1e-4,
) -> bool | None:
    """Check a function against the reference on `trials` fresh inputs drawn by `inputs()`.

    right: the sentence for a right answer. mistakes: known wrong turns; the first that gives the
    reader's values on every trial is named. Draw inputs on which the mistakes differ from the truth.
    """
    cases = [inputs() for _ in range(trials)]
    outcomes = [attempt(answer, case) for case in cases]
    for value, error in outcomes:
        if error:
            return say(False, error)
        if value is None or value is Ellipsis:
            return unfilled()
    values, truths = [value for value, _ in outcomes], [reference(*case) for case in cases]
    if all(equal(v, t, tolerance) for v, t in zip(values, truths)):
        return say(True, right)
    for wrong, why in mistakes:
        if all(equal(v, wrong(*case), tolerance) for v, case in zip(values, cases)):
            return say(False, why)
    for value, truth in zip(values, truths):
        if isinstance(truth, Tensor) and getattr(value, "shape", None) != truth.shape:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            return say(False, f"the result should have shape {tuple(truth.shape)}, yours is {shape}")
    return say(False, "the shapes are right, the numbers are not: try it by hand on a 2 x 2 example")


def choice(answer: object, right: str, why: dict[str, str]) -> bool | None:
    """Check a choice among the letters of `why`, each with the sentence that answers it."""
    if answer is None or answer is Ellipsis:
        return unfilled()
    letter = re.sub(r"[^a-z]", "", str(answer).lower())
    if letter not in why:
        return say(False, f"choose one of {', '.join(why)}")
    return say(letter == right, why[letter])


def number(answer: Any, right: float, tolerance: float, yes: str, no: str) -> bool | None:
    """Check a predicted number, within an absolute tolerance."""
    if answer is None or answer is Ellipsis:
        return unfilled()
    try:
        value = float(answer)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return say(False, f"a number is wanted, not {type(answer).__name__}")
    return say(abs(value - right) <= tolerance, yes if abs(value - right) <= tolerance else no)
