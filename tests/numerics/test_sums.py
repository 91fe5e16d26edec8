import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pardiff.numerics.sums import compensated_sum, moved

numbers = st.lists(st.floats(-1e100, 1e100, allow_subnormal=False), max_size=60).map(np.array)


@given(numbers)
def test_compensated_sum(values):
    """The sum is right to its last digit or so, however much cancels, as math.fsum says."""
    exact = math.fsum(values)
    allowed = 2 * np.spacing(abs(exact)) + 1e-29 * math.fsum(np.abs(values))

    assert abs(compensated_sum(values.astype(float)) - exact) <= allowed


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30).map(np.array))
def test_terms_that_stay_drop_out(start):
    """Only what has changed counts: for the change, and for the size that its rounding goes with."""
    terms = start.copy()
    terms[0] += 0.5
    change, size = moved(start, terms)

    assert change == terms[0] - start[0]
    assert size == max(abs(start[0]), abs(terms[0]))


def test_nothing_has_changed():
    """Where no term has changed, one of them may have rounded a change away."""
    assert moved(np.array([3.0, -7.0]), np.array([3.0, -7.0])) == (0.0, 7.0)


def test_sizes_do_not_overflow():
    """Squares of large terms are not formed."""
    change, size = moved(np.array([1e200, 1e200]), np.array([2e200, 2e200]))

    assert change == 2e200
    assert math.isclose(size, 2e200 * math.sqrt(2))
