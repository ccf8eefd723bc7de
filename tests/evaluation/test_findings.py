"""The rule for what may be called found: Student's t over training seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from panet_lite.evaluation import finding

GAPS = st.lists(st.floats(-20, 20), min_size=3, max_size=8).filter(lambda gaps: np.std(gaps) > 1e-3)


@given(GAPS)
def test_it_is_students_t(gaps):
    found, wanted = finding(gaps), stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.mean == pytest.approx(np.mean(gaps)) and found.seeds == len(gaps)


def test_three_sides_and_their_sentences():
    assert str(finding([1.0, 2.0, 3.0])) == "+2.0 (95 % interval -0.5 to +4.5, 3 seeds): open"
    assert str(finding([1.9, 2.0, 2.1])) == "+2.0 (95 % interval +1.8 to +2.2, 3 seeds): above"
    assert str(finding([-1.9, -2.0, -2.1])) == "-2.0 (95 % interval -2.2 to -1.8, 3 seeds): below"
    assert str(finding([5.0])) == "+5.0 (too few: 1 seed): open"
    assert str(finding([5.0, 5.0])) == "+5.0 (too few: 2 seeds): open"


def test_folds_repeat_nothing():
    """Twelve numbers of three seeds and four folds are three repetitions: each seed's mean over the folds."""
    table = np.random.default_rng(0).normal(1, 2, (3, 4))
    assert finding(table) == finding(table.mean(1)) != finding(table.ravel())


@pytest.mark.parametrize("none", [[], [[]], [1.0, float("nan"), 2.0], [float("inf")] * 3])
def test_nothing_to_judge_is_a_sentence(none):
    with pytest.raises(ValueError, match="A finding wants differences, finite numbers, not"):
        finding(none)
