"""What every check shares: try the reader's answer on fresh random inputs and say one line about it.

A check prints one line and returns True (right), False (wrong) or None (not filled in yet). It never
raises: a reader's error becomes a sentence. Only where a grader asks for it, by PANET_CHECK=raise in the environment, an answer
that is wrong or not filled in raises an AssertionError with the sentence.
"""

import dis
import inspect
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from fractions import Fraction
from functools import partial, wraps
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..prototypes import EPSILON

T = TypeVar("T")
Answer = Callable[..., Any]  # a reader's function, which may want and give anything
Mistake = tuple[Callable[..., Any], str]  # a wrong turn, and the sentence that explains it
Verdict = tuple[bool, str]  # passed, and the sentence that says why


def say(passed: bool | None, text: str) -> bool | None:
    """Print the verdict, one line, and return it; or raise it, where a grader wants that."""
    if not passed and os.environ.get("PANET_CHECK") == "raise":
        raise AssertionError(text)
    print({True: "✓ ", False: "✗ ", None: "… "}[passed] + text)
    return passed


def unfilled() -> bool | None:
    """The line under a stub that nobody has touched."""
    return say(None, "not filled in yet")


STUB = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "POP_TOP", "COPY_FREE_VARS"}


def gave_nothing(answer: Answer) -> bool | None:
    """The line for a function whose result is None or `...`: a stub that nobody has touched, or a `return` is forgotten."""
    code = getattr(inspect.unwrap(answer), "__code__", None)
    if code is None or code.co_name == "<lambda>" or Path(code.co_filename).parent == Path(__file__).parent:
        return unfilled()  # a check's own wrapper round the reader's function
    if {step.opname for step in dis.get_instructions(code)} <= STUB:
        return unfilled()
    return say(False, "your function gives nothing back: end it with `return` and the result")


def blank(*answers: object) -> bool:
    """Whether one of the answers is still None or `...`."""
    return any(answer is None or answer is Ellipsis for answer in answers)


def yours(check: Callable[[Answer], bool | None], answer: Answer, module: Answer) -> Answer:
    """The reader's function where its check passes, else the module's: what the chapter goes on with, said in the line."""
    with redirect_stdout(StringIO()) as said:
        passed = check(answer)
    whose = "yours" if passed else f"the module's {module.__name__}"
    print(said.getvalue().rstrip("\n") + f"; the chapter goes on with {whose}")
    if passed and WRITES in said.getvalue():
        return wraps(answer)(lambda *inputs: answer(*copied(inputs)))
    return answer if passed else module


def read(kind: Callable[[Any], T], answer: object) -> T | None:
    """The answer as `kind` makes it, float or torch.as_tensor, or None where it is nothing of the kind."""
    try:
        return brought(kind(answer))  # type: ignore[no-any-return]
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def verdict(fault: str | None, right: str) -> bool | None:
    """The line for a fault, for none (""), and for an answer that is not filled in (None)."""
    return unfilled() if fault is None else say(not fault, fault or right)


def copied(value: Any) -> Any:
    """A copy of a tensor, an array, a list or a dictionary, for a reader to write into; anything else itself."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    if isinstance(value, Tensor):
        return value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value


def untouched(given: Any, before: Any) -> bool:
    """Whether what was given to a reader's function is still what it was before."""
    if isinstance(before, dict):
        return given.keys() == before.keys() and all(untouched(given[key], before[key]) for key in before)
    if isinstance(before, (list, tuple)):
        return len(given) == len(before) and all(map(untouched, given, before))
    if isinstance(before, np.ndarray):
        return bool(given.shape == before.shape and given.tobytes() == before.tobytes())
    return not isinstance(before, Tensor) or equal(given.detach(), before, 0)


WRITES = " (It writes into its inputs. Here it gets copies; elsewhere, begin with `x = x.clone()`.)"


def writes(answer: Answer, inputs: tuple[Any, ...]) -> bool:
    """Whether the reader's function changes what it is given."""
    answer(*(given := copied(inputs)))
    return not untouched(given, inputs)


def brought(value: Any) -> Any:
    """The value with its tensors on the CPU, where a check computes; RuntimeError where one has no numbers."""
    if isinstance(value, Fraction):
        return float(value)
    if type(value) in (list, tuple):
        return type(value)(map(brought, value))
    return value.cpu() if isinstance(value, Tensor) else value


def attempt(answer: Answer, inputs: tuple[Any, ...]) -> tuple[Any, str]:
    """Call the reader's function on copies of the inputs: (value, ""), or (None, what it raised)."""
    try:
        value = answer(*copied(inputs))
    except NotImplementedError:
        return None, ""
    except Exception as error:  # whatever a reader writes, the chapter goes on
        return None, f"your function raised {type(error).__name__}: {error}"
    if (found := read(brought, value)) is None and value is not None:
        return (
            None,
            "your function's result has no numbers: it lies on the device meta, which only knows shapes",
        )
    return found, ""


def equal(a: object, b: object, tolerance: float = 1e-4) -> bool:
    """Equal numbers, tensors, or tuples of them, within a relative and absolute tolerance."""
    if isinstance(b, (tuple, list)):
        return (
            isinstance(a, (tuple, list))
            and len(a) == len(b)
            and all(equal(x, y, tolerance) for x, y in zip(a, b))
        )
    try:
        a, b = (torch.as_tensor(x).cpu().double() for x in (a, b))  # wherever a reader has computed
        return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    except (TypeError, ValueError, RuntimeError):
        return False


def implementation(
    answer: Answer,
    reference: Callable[..., Any],
    inputs: Callable[[], tuple[Any, ...]],
    right: str,
    mistakes: Sequence[Mistake] = (),
    trials: int = 5,
    tolerance: float = 1e-4,
    same: Callable[[Any, Any], bool] | None = None,
    lacks: Callable[[], str] = lambda: "",
    otherwise: Callable[[list[Any], list[Any]], str] | None = None,
) -> bool | None:
    """Check a function against the reference on `trials` fresh inputs drawn by `inputs()`.

    right: the sentence for a right answer. mistakes: known wrong turns; the first that gives the
    reader's values on every trial is named. Draw inputs on which the mistakes differ from the truth.
    same: whether two values agree, if not `equal`. lacks: what right values do not show and is wrong all
    the same, or "". otherwise: the sentence for all trials' values and truths that no mistake explains.
    """
    same = same or partial(equal, tolerance=tolerance)
    cases = [inputs() for _ in range(trials)]
    outcomes = [attempt(answer, case) for case in cases]
    for value, error in outcomes:
        if error:
            return say(False, error)
        if blank(value):
            return gave_nothing(answer)
    values, truths = [value for value, _ in outcomes], [reference(*case) for case in cases]
    if all(map(same, values, truths)):
        fault, error = attempt(lacks, ())
        return verdict(fault or error, right + WRITES * writes(answer, cases[0]))
    for wrong, why in mistakes:
        if all(same(value, wrong(*case)) for value, case in zip(values, cases)):
            return say(False, why)
    return say(False, (otherwise or unexplained)(values, truths))


def no_gradient(answer: Answer, inputs: tuple[Any, ...], learns: int = 1) -> str:
    """The sentence for right numbers whose gradient to the first `learns` inputs is none, zero or NaN; or ""."""
    with torch.enable_grad():
        leaves = [value.clone().requires_grad_() for value in inputs[:learns]]
        value, error = attempt(answer, (*leaves, *inputs[learns:]))
        slopes: Sequence[Tensor | None] = [None]
        if not error and isinstance(value, Tensor) and value.requires_grad:
            slopes = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    if any(slope is None or not slope.any() for slope in slopes):
        return (
            "the numbers are right, but no gradient passes, and chapter 5 trains through this function: "
            "stay in PyTorch, without NumPy, .detach(), .item() or torch.tensor()"
        )
    if not all(slope.isfinite().all() for slope in slopes if slope is not None):
        return "the numbers are right, but the gradient holds NaN: keep 0 / 0 from happening, do not mend it afterwards"
    return ""


NUMBERS = "the shapes are right, the numbers are not: try it by hand on a 2 x 2 example"


def unexplained(values: list[Any], truths: list[Any], last: str = NUMBERS) -> str:
    """What can be said of wrong values that no known mistake explains: their kind, their shape, or `last`."""
    for value, truth in zip(values, truths):
        if isinstance(truth, tuple) and isinstance(value, (tuple, list)) and equal(tuple(value)[::-1], truth):
            return "the results are right, but in another order: read again which comes first"
        if isinstance(truth, tuple) and (not isinstance(value, (tuple, list)) or len(value) != len(truth)):
            return (
                f"{len(truth)} results are wanted, as `return first, second`; yours is {type(value).__name__}"
            )
        numbers = value if isinstance(truth, tuple) else (value,)
        tensors = [read(torch.as_tensor, one) for one in numbers]
        if any(one is None for one in tensors) and type(value) is not type(truth):
            return f"numbers are wanted, as {type(truth).__name__}; yours is {type(value).__name__}"
        if any(one.is_floating_point() and one.isnan().any() for one in tensors if one is not None):
            return "the result holds NaN: somewhere 0 is divided by 0, or infinity taken from itself"
        if isinstance(truth, Tensor) and getattr(value, "shape", None) != truth.shape:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            return f"the result should have shape {tuple(truth.shape)}, yours is {shape}"
        if isinstance(truth, (int, float)) and tensors[0] is not None and tensors[0].ndim:
            return f"one number is wanted, yours is {type(value).__name__} of shape {tuple(tensors[0].shape)}"
        for place, one, right in zip(
            ("first", "second", "third"), tensors, truth if isinstance(truth, tuple) else ()
        ):
            if one is not None and one.shape != (shape := torch.as_tensor(right).shape):
                return f"the {place} result should have shape {tuple(shape)}, yours has {tuple(one.shape)}"
    for turn, why in ODDITIES:
        if all(same_tensor(value, turn, truth) for value, truth in zip(values, truths)):
            return why
    return located(values, truths) or last


def located(values: list[Any], truths: list[Any]) -> str:
    """Where wrong values part from the right ones, if it is in some places only or by one factor; or ""."""
    found, factors = "", []
    for value, truth in zip(values, truths):
        ours, right = (read(lambda x: torch.as_tensor(x).double(), one) for one in (value, truth))
        if ours is None or right is None or ours.shape != right.shape or not right.numel():
            return ""
        wrong = ~torch.isclose(ours, right, 1e-4, 1e-4)
        if wrong.any() and not found:
            place = wrong.nonzero()[0].tolist()
            a, b = (float(one[tuple(place)]) for one in (ours, right))
            found = f"{int((~wrong).sum())} of {wrong.numel()} numbers are right; not so at {place}: {b:.4g} should be there, yours is {a:.4g}"
        if 2 * int(wrong.sum()) > wrong.numel():
            found = found or " "
        factors += (ours / right)[right.abs() > 1e-3].tolist()
    if len(factors) > 1 and max(factors) - min(factors) < 1e-3 * abs(factors[0]):
        return f"the right numbers, all times {factors[0]:.4g}: look at what you divide by, and how often"
    return "" if found.startswith(("0 of", " ")) else found


def spread(turn: Callable[[Tensor, int], Tensor], why: str) -> list[tuple[Callable[[Tensor], Tensor], str]]:
    """A turn of the right tensor along any one of its dimensions, each with the sentence that names it."""
    return [(lambda t, d=d: turn(t, d), why.format(d)) for d in range(6)]  # type: ignore[misc]


ODDITIES: list[tuple[Callable[[Tensor], Tensor], str]] = [  # what a wrong result may be of the right one
    (lambda t: -t, "the right numbers with the wrong sign"),
    (torch.abs, "the right numbers without their signs"),
    (torch.relu, "the right numbers, but what is below 0 was cut off"),
    (torch.round, "the right numbers, rounded to whole ones: leave them as they are"),
    (torch.sqrt, "this is the root of the right numbers"),
    (torch.square, "this is the square of the right numbers"),
    (torch.zeros_like, "the result is zero everywhere: is it still the tensor that you began with?"),
    (lambda t: 100 * t, "the right numbers in per cent: leave out the factor 100"),
    *spread(lambda t, d: t.flip(d), "the right numbers in reverse order along dimension {}"),
    *spread(lambda t, d: t.roll(1, d), "the right numbers, moved on by one along dimension {}"),
    *spread(lambda t, d: t.roll(-1, d), "the right numbers, moved back by one along dimension {}"),
    *spread(lambda t, d: t.softmax(d), "this is the softmax, along dimension {}, of the right numbers: leave it out"),
    *spread(lambda t, d: F.normalize(t, dim=d), "the right vectors, made one long along dimension {}: leave their lengths"),
    *spread(lambda t, d: t.mean(d, keepdim=True).expand_as(t), "the right numbers, averaged along dimension {}"),
    *spread(lambda t, d: t.narrow(d, 0, 1).expand_as(t), "the first of dimension {} is used for all of them"),
]  # fmt: skip


def same_tensor(value: Any, turn: Callable[[Tensor], Tensor], truth: Any) -> bool:
    """Whether the value is what the turn makes of a right tensor, and that is another one."""
    try:
        right = torch.as_tensor(truth).double()
        turned = turn(right)
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    return not equal(turned, right) and equal(value, turned)


def inspected(
    answer: Answer,
    judge: Callable[..., Verdict],
    inputs: Callable[[], tuple[Any, ...]] = lambda: (),
    trials: int = 1,
) -> bool | None:
    """Check a function that may be right in many ways: `judge(value, *case)` looks at each trial's value."""
    for _ in range(trials):
        case = inputs()
        value, error = attempt(answer, case)
        if blank(value) and not error:
            return gave_nothing(answer)
        try:
            passed, text = (False, error) if error else judge(value, *case)
        except Exception as odd:  # a value that is nothing of the kind
            passed, text = False, f"the result cannot be looked at ({type(odd).__name__}: {odd})"
        if not passed:
            break
    return say(passed, text)


def choice(answer: object, right: str, why: dict[str, str]) -> bool | None:
    """Check a choice among the letters of `why`, each with the sentence that answers it."""
    if blank(answer):
        return unfilled()
    letter = re.sub(r"[^a-z]", "", str(answer).lower())
    if letter not in why:
        return say(False, f"choose one of {', '.join(why)}")
    return say(letter == right, why[letter])


def number(
    answer: Any, right: float, tolerance: float, yes: str, no: str,
    wrong: Iterable[tuple[float, str]] = (), slip: float | None = None,
) -> bool | None:  # fmt: skip
    """Check a predicted number, within an absolute tolerance.

    wrong: values that have a sentence of their own, within `slip`, or the same tolerance.
    """
    if blank(answer):
        return unfilled()
    if (value := read(float, answer)) is None or isinstance(answer, bool):
        return say(False, f"a number is wanted, not {type(answer).__name__}")
    if not math.isfinite(value):
        return say(False, f"a finite number is wanted, yours is {value}")
    if abs(value - right) <= tolerance:
        return say(True, yes)
    near = (why for mistaken, why in wrong if abs(value - mistaken) <= (tolerance if slip is None else slip))
    if (why := next(near, None)) is None and value < 0 <= right:
        why = "a number below 0 cannot be right here: check the sign"
    return say(False, why or no)


def whole(low: int, high: int) -> int:
    """A random whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, ()))


def mean_under(
    features: Tensor, mask: Tensor, over: tuple[int, ...] = (), epsilon: float = EPSILON
) -> Tensor:
    """Means of (..., C, h, w) under masks (..., h, w): (..., C); images along `over` are pooled jointly."""
    weights, over = mask.float().unsqueeze(-3), (*over, -2, -1)
    return (features * weights).sum(over) / (weights.sum(over) + epsilon)


def directions(vectors: Tensor) -> Tensor:
    """The principal directions of vectors (N, C), without centring, one a row: (C, C) if N >= C."""
    found: Tensor = torch.linalg.svd(vectors, full_matrices=False).Vh
    return found
