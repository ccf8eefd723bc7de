"""What all checks share: they never raise, wherever a reader's tensors lie and whatever they are."""

import numpy as np
import pytest
import torch

from panet_lite.check import harness
from panet_lite.check.harness import attempt, equal, implementation, inspected, number, read

META = torch.zeros(3, device="meta")
ELSEWHERE = [
    META, [META], (1, META), META.half(), torch.zeros(3).to_sparse(), torch.zeros(2, 2, device="meta"), "abc", None,
    {"a": META}, object(), np.array(["a"]), [[1], [2, 3]],
]  # fmt: skip


@pytest.mark.parametrize("odd", ELSEWHERE, ids=lambda x: type(x).__name__)
def test_equal_never_raises(odd):
    for right in (torch.zeros(3), 1.0, (1, torch.zeros(3)), [torch.zeros(3)], torch.zeros(2, 2)):
        assert equal(odd, right) in (True, False)
    assert not equal(META, torch.zeros(3)) and not equal(torch.zeros(3), META) and not equal(META, META)


class Elsewhere(torch.Tensor):
    """A tensor of another device, as far as a machine without one can tell: it computes with its like only."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        if not all(issubclass(kind, cls) for kind in types):
            raise RuntimeError("Expected all tensors to be on the same device")
        return super().__torch_function__(function, types, args, kwargs or {})


def elsewhere(tensor):
    return tensor.as_subclass(Elsewhere)


def doubled(x):
    return 2 * x


def draw():
    return (torch.rand(3) + 1,)


@pytest.mark.parametrize("pack", [lambda x: x, lambda x: (x, 1), lambda x: [x, [x]]])
def test_right_values_of_another_device_are_right(capsys, pack):
    assert implementation(lambda x: pack(elsewhere(2 * x)), lambda x: pack(2 * x), draw, "right") is True
    assert implementation(lambda x: pack(elsewhere(3 * x)), lambda x: pack(2 * x), draw, "right") is False
    mistakes = [(lambda x: pack(3 * x), "three times")]
    assert (
        implementation(lambda x: pack(elsewhere(3 * x)), lambda x: pack(2 * x), draw, "right", mistakes)
        is False
    )
    assert capsys.readouterr().out.splitlines()[-1] == "✗ three times"


@pytest.mark.parametrize("pack", [lambda x: x, lambda x: (x, 1), lambda x: [x, [x]]])
def test_values_without_numbers_are_named(capsys, pack):
    says = "✗ your function's result has no numbers: it lies on the device meta, which only knows shapes\n"
    assert implementation(lambda x: pack(x.to("meta")), doubled, draw, "right") is False
    assert capsys.readouterr().out == says
    assert inspected(lambda x: pack(x.to("meta")), lambda value, x: (True, "right"), draw) is False
    assert capsys.readouterr().out == says


def test_answers_of_another_device_are_read(capsys):
    assert torch.equal(read(torch.as_tensor, elsewhere(torch.ones(2))), torch.ones(2))
    assert read(torch.as_tensor, META) is None
    assert number(elsewhere(torch.tensor(3.0)), 3, 0.1, "yes", "no") is True
    assert number(META[0], 3, 0.1, "yes", "no") is False and "a number is wanted" in capsys.readouterr().out


def test_a_value_that_a_judge_cannot_look_at(capsys):
    assert inspected(lambda: [[1], [2, 3]], lambda value: (bool(np.asarray(value).any()), "right")) is False
    assert capsys.readouterr().out.startswith(
        "✗ the result cannot be looked at (ValueError: setting an array"
    )


def test_a_stub_is_still_a_stub():
    def stub(x):
        raise NotImplementedError

    assert attempt(stub, (1,)) == (None, "") and harness.attempt(lambda x: None, (1,)) == (None, "")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_right_values_of_a_gpu_are_right():
    assert implementation(lambda x: 2 * x.cuda(), doubled, draw, "right") is True
    assert equal(torch.ones(3).cuda(), torch.ones(3)) and not equal(torch.zeros(3).cuda(), torch.ones(3))


@pytest.mark.parametrize(
    "passed, line",
    [
        (True, "✓ so; the chapter goes on with yours"),
        (False, "✗ so; the chapter goes on with the module's abs"),
        (None, "… so; the chapter goes on with the module's abs"),
    ],
)
def test_a_chapter_goes_on_with_what_is_right(capsys, passed, line):
    def mine(x):
        return x

    def check(answer):
        return harness.say(passed, "so")

    assert harness.yours(check, mine, abs) is (mine if passed else abs)
    assert capsys.readouterr().out == f"{line}\n"


def only(values, truth):
    """What the harness says of a function that gives `values`, where the truth is `truth`."""
    return harness.implementation(lambda x: values, lambda x: truth, lambda: (1,), "right")


@pytest.mark.parametrize(
    "value, truth, says",
    [
        (torch.tensor([1.0, float("nan")]), torch.ones(2), "holds NaN"),
        (np.array([1.0, np.nan]), torch.ones(2), "holds NaN"),
        ((torch.zeros(2), torch.ones(3)), (torch.ones(3), torch.zeros(2)), "in another order"),
        ([torch.zeros(2), torch.ones(3)], (torch.ones(3), torch.zeros(2)), "in another order"),
        (torch.zeros(2), (torch.ones(3), torch.zeros(2)), "2 results are wanted"),
        ({"a": 1}, torch.ones(2), "numbers are wanted, as Tensor; yours is dict"),
        ({"a": 1}, {"a": 2}, "the numbers are not"),
        ("text", 3.0, "numbers are wanted, as float; yours is str"),
        (torch.ones(3), torch.ones(2), "should have shape (2,), yours is (3,)"),
        (torch.tensor([0.0, 0.3]), torch.ones(2), "the shapes are right, the numbers are not"),
        (torch.zeros(2), torch.ones(2), "zero everywhere"),
    ],
)
def test_a_wrong_result_is_called_what_it_is(capsys, value, truth, says):
    assert only(value, truth) is False and says in capsys.readouterr().out


def test_a_forgotten_return_is_no_stub(capsys):
    def forgotten(x):
        x + 1

    def stub(x):
        """To be written."""
        ...

    def empty(x):
        pass

    for answer, verdict, says in (
        (forgotten, False, "`return`"),
        (stub, None, "not filled in"),
        (empty, None, "not filled in"),
    ):
        assert harness.implementation(answer, lambda x: x, lambda: (1,), "right") is verdict
        assert says in capsys.readouterr().out
        assert harness.inspected(answer, lambda value, x: (True, "right"), lambda: (1,)) is verdict
        assert says in capsys.readouterr().out


@pytest.mark.parametrize("turn, says", harness.ODDITIES)
def test_what_a_wrong_result_is_of_the_right_one(capsys, turn, says):
    right = torch.rand(4, 3, 3, 3, 3, 3) * 5 - 2 * (turn is not torch.sqrt)
    try:
        value = turn(right.double())
    except IndexError:
        return
    assert only(value, right) is False and capsys.readouterr().out == f"✗ {says}\n"


def in_place(x):
    (x["a"] if isinstance(x, dict) else x[0] if isinstance(x, (list, tuple)) else x)[0] = 7
    return 1


@pytest.mark.parametrize(
    "given", [torch.ones(2), np.ones(2), [1, 2], [torch.ones(2), 0], (torch.ones(2),), {"a": torch.ones(2)}]
)
def test_an_answer_that_writes_into_its_inputs(capsys, given):
    """Right all the same, since a check gives copies; it is said, and the chapter goes on with a careful version."""
    spoils = (
        (lambda x: x.append(3) or 1) if isinstance(given, list) and isinstance(given[0], int) else in_place
    )
    before = harness.copied(given)
    assert implementation(spoils, lambda x: 1, lambda: (given,), "right") is True
    assert capsys.readouterr().out == f"✓ right{harness.WRITES}\n"
    mine = harness.yours(lambda f: implementation(f, lambda x: 1, lambda: (given,), "right"), spoils, abs)
    assert mine(given) == 1 and harness.untouched(given, before) and harness.WRITES in capsys.readouterr().out
    assert implementation(lambda x: 1, lambda x: 1, lambda: (given,), "right") is True
    assert harness.WRITES not in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, says", [(None, "not filled in yet"), (3, "no: count"), ("x", "a number is wanted")]
)
def test_a_check_raises_where_a_grader_wants_it(answer, says, monkeypatch, capsys):
    assert not number(answer, 4, 0, "yes", "no: count")
    capsys.readouterr()
    monkeypatch.setenv("PANET_CHECK", "raise")
    with pytest.raises(AssertionError, match=says):
        number(answer, 4, 0, "yes", "no: count")
    assert capsys.readouterr().out == ""
    assert number(4, 4, 0, "yes", "no: count") is True and capsys.readouterr().out == "✓ yes\n"
