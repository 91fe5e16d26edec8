import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardiff.numerics.stencils import candidates, named
from pardiff.numerics.steps import displacements, fit, power_of_two, spacing, steps
from pardiff.problem.options import ORDERS

DTYPES = {2: np.float16, 4: np.float32, 8: np.float64}


@given(st.floats(1e-300, 1e300))
def test_power_of_two(step):
    """The rounded step is a power of two within a factor of the square root of two."""
    rounded = power_of_two(np.array([step]))[0]

    assert np.frexp(rounded)[0] == 0.5
    assert 0.70 < rounded / step < 1.42


def test_default_steps():
    """Steps follow eps**(1/(p+1)) in units of max(|x|, 1)."""
    x = np.array([0.0, 0.1, 1000.0])

    for order in (2, 4, 8):
        found = steps(x, np.full(3, 8), np.ones(3), order, 2.0**-52)
        np.testing.assert_allclose(np.log2(found / np.maximum(abs(x), 1)), -52 / (order + 1), atol=0.51)


@given(
    st.sampled_from([2, 4, 8]),
    st.sampled_from([(method, order) for method, orders in ORDERS.items() for order in orders]),
    st.floats(-100, 100),
    st.floats(1e-12, 10),
    st.floats(0, 5),
    st.floats(0, 5),
)
def test_never_across_a_bound(itemsize, key, x, step, below, above):
    """No point that is evaluated lies outside the bounds, whatever rounding does."""
    dtype = DTYPES[itemsize]
    x = float(dtype(x))
    lower, upper = np.array([x - below]), np.array([x + above])
    stencils = candidates(named(*key))
    choice, size = fit(np.array([x]), np.array([step]), stencils, lower, upper)
    taken = displacements(np.array([x]), size, stencils[choice[0]], np.array([itemsize]), lower, upper)
    points = (x + taken).astype(dtype).astype(float)

    assert np.isnan(taken).all() or ((points >= lower) & (points <= upper)).all()


@given(st.sampled_from([2, 4, 8]), st.floats(-1e3, 1e3), st.floats(1e-6, 1))
def test_displacements_are_those_really_taken(itemsize, x, step):
    """Adding the displacement in the parameter's own dtype moves it by exactly that much."""
    dtype = DTYPES[itemsize]
    x = float(dtype(x))
    limits = np.array([-6e4]), np.array([6e4])
    taken = displacements(np.array([x]), np.array([step]), named("central", 2), np.array([itemsize]), *limits)[0]

    for move in taken[np.isfinite(taken)]:
        assert float(dtype(x + move)) - x == move


def test_lost_steps_are_refused():
    """A step that rounding swallows gives no displacement at all."""
    taken = displacements(
        np.array([1.0]),
        np.array([1e-20]),
        named("central", 2),
        np.array([8]),
        np.array([-9.0]),
        np.array([9.0]),
    )

    assert np.isnan(taken).all()


def test_narrow_bounds_shrink_the_step():
    """Where no stencil fits, the one with the most room is used with a smaller step."""
    x = np.array([0.25])
    choice, step = fit(x, np.array([1.0]), candidates(named("central", 2)), np.array([0.0]), np.array([1.0]))

    assert candidates(named("central", 2))[choice[0]].scheme == "forward"
    assert step[0] == 0.375


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_steps_are_resolved_by_the_dtype(dtype):
    """An automatic step moves a parameter by at least two numbers of its own dtype, whatever fun's precision."""
    x = np.array([0.0, 1e-3, 1.0, 77.0, 1000.0], dtype=dtype)
    size = np.full(5, x.itemsize)
    found = steps(x.astype(float), size, np.ones(5), 2, 2.0**-52)

    assert (np.abs((x + found.astype(dtype)).astype(float) - x.astype(float)) >= np.spacing(np.abs(x))).all()
    np.testing.assert_array_equal(spacing(x.astype(float), size), np.spacing(x).astype(float))


def test_typical_sizes_set_the_scale():
    """Steps at zero are in proportion to the typical size of the parameter."""
    small, large = steps(np.zeros(2), np.full(2, 8), np.array([2.0**-10, 2.0**10]), 2, 2.0**-52)

    assert large / small == 2.0**20
