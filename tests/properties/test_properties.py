"""Facts that hold for all inputs that Hypothesis can think of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pardiff
from pardiff.testing import TOYS, plant

coefficients = st.lists(st.integers(-5, 5), min_size=2, max_size=3)


@given(
    st.sampled_from([("central", 2), ("central", 4), ("forward", 1), ("forward", 3), ("backward", 2)]),
    st.lists(st.integers(-8, 8), min_size=1, max_size=5),
    st.data(),
)
def test_exact_on_polynomials(key, points, data):
    """A stencil of order p differentiates polynomials of degree p to within rounding."""
    method, order = key
    p = data.draw(st.lists(st.integers(-5, 5), min_size=order + 1, max_size=order + 1))
    x0 = np.array(points) / 4
    polynomial = np.polynomial.Polynomial(p)
    found = pardiff.gradient(lambda x: float(np.sum(polynomial(x))), x0, method=method, order=order)
    exact = polynomial.deriv()(x0)

    assert (np.abs(found.value - exact) <= found.uncertainty + 1e-300).all()
    scale = 1 + np.sum(np.abs(p)) * np.maximum(np.abs(x0), 1) ** order * len(x0)
    assert (found.uncertainty <= 1e-4 * scale).all()


smooth = st.sampled_from(
    [
        (
            lambda x: np.sum(np.sin(3 * x) * np.exp(x)),
            lambda x: np.exp(x) * (3 * np.cos(3 * x) + np.sin(3 * x)),
        ),
        (lambda x: np.sum(np.log1p(x**2)), lambda x: 2 * x / (1 + x**2)),
        (lambda x: np.prod(1 + x**2), lambda x: 2 * x / (1 + x**2) * np.prod(1 + x**2)),
        (lambda x: 10 + np.sum(np.tanh(x / 1e-2)), lambda x: 1e2 / np.cosh(x / 1e-2) ** 2),
        (lambda x: np.sum(np.sin(1e3 * x)), lambda x: 1e3 * np.cos(1e3 * x)),
        (lambda x: np.sum(x**3) / 3, lambda x: x**2),
        (lambda x: np.sqrt(1 + x @ x), lambda x: x / np.sqrt(1 + x @ x)),
    ]
)
points = st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=1, max_size=6).map(np.array)


@given(smooth, points, st.sampled_from([2, 4]), st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([0.0, 1e6]))
@settings(max_examples=150)
def test_a_right_gradient_never_fails(pair, x0, order, scale, offset):
    """A right gradient may be inconclusive, but is never failed, at any scale and offset of fun."""
    fun, grad = pair
    with np.errstate(over="ignore"):
        result = pardiff.gradcheck(lambda x: float(scale * fun(x) + offset), lambda x: scale * grad(x), x0, order=order)

    assert result.counts["fail"] == 0


@given(st.sampled_from(sorted(TOYS)), st.data(), st.sampled_from([1.01, 0.99, -1.0, 0.0, 2.0]))
def test_a_planted_fault_is_found_where_it_is(name, data, factor):
    """A wrong entry fails, and no other does."""
    problem = TOYS[name]()
    n = pardiff.gradcheck(problem).ledger.space.size
    i = data.draw(st.integers(0, n - 1))
    result = pardiff.gradcheck(plant(problem, i, factor))

    assert result.counts["fail"] == 1
    assert result.counts["pass"] == n - 1
    assert result.worst(1)[0].label == result.ledger.space.label(i)


@given(st.sampled_from(sorted(TOYS)), st.integers(1, 30), st.sampled_from([None, "threads"]))
@settings(max_examples=25)
def test_blocks_and_threads_do_not_change_bits(name, size, executor):
    """Any block size, in one thread or several, gives the same bits, both waves included."""
    problem = plant(TOYS[name](), (0, 3))
    plain = pardiff.gradcheck(problem).ledger
    other = pardiff.gradcheck(problem, block_size=size, executor=executor).ledger

    for quantity in ("numerical", "uncertainty", "step", "nfev", "verdict"):
        for leaf in plain.space.leaves:
            assert plain.array(quantity, leaf).tobytes() == other.array(quantity, leaf).tobytes()


@pytest.mark.parametrize("order", [2, 4])
def test_nothing_outside_the_bounds(order):
    """fun is never evaluated outside the bounds, in either wave."""
    lower, upper = np.array([0.0, -1.0, 0.5, 2.0]), np.array([1e-7, np.inf, 0.5 + 1e-12, 2.0])
    x0 = np.array([1e-8, -1.0, 0.5, 2.0])

    def fun(x):
        assert (x >= lower).all()
        assert (x <= upper).all()
        return float(np.sum(np.exp(x)))

    result = pardiff.gradcheck(fun, lambda x: np.exp(x) * 1.5, x0, bounds=(lower, upper), order=order)

    assert result.counts["error"] == 0
    assert result.counts["fail"] >= 2


@given(smooth, points, st.sampled_from(["all", "auto"]), st.floats(1e-12, 1e12), st.integers(0, 5), st.booleans())
@settings(max_examples=100)
def test_verdicts_do_not_depend_on_the_scale(pair, x0, refine, scale, which, faulty):
    """Multiplied by any factor, fun gets no verdict that contradicts the one without it."""
    fun, grad = pair
    claim = grad(x0)
    claim[which % len(claim)] *= 1.002 if faulty else 1.0
    with np.errstate(over="ignore"):
        plain = pardiff.gradcheck(lambda x: float(fun(x)), claim, x0, refine=refine)
        scaled = pardiff.gradcheck(lambda x: float(scale * fun(x)), scale * claim, x0, refine=refine)

    assert {plain.verdict.name, scaled.verdict.name} != {"PASS", "FAIL"}


@given(smooth, points)
def test_without_a_search_nothing_fails(pair, x0):
    """Two passes alone pass what is right or leave it open; they never fail anything."""
    fun, grad = pair
    with np.errstate(over="ignore"):
        result = pardiff.gradcheck(lambda x: float(fun(x)), lambda x: grad(x) + np.abs(grad(x)) + 1, x0, refine="none")

    assert result.counts["fail"] == result.counts["pass"] == 0


@given(
    st.lists(st.integers(-12, 12).filter(bool), min_size=1, max_size=7, unique=True),
    st.lists(st.integers(-3, 3), min_size=8, max_size=8),
    st.floats(-2, 2),
)
def test_any_stencil_is_exact_on_polynomials(offsets, coefficients, x):
    """A stencil of any offsets differentiates polynomials of its order to within its bar."""
    polynomial = np.polynomial.Polynomial(coefficients[: len(offsets) + 1])
    found = pardiff.gradient(
        lambda x: float(polynomial(x[0])), np.array([x]), stencil=offsets, refine="none", abs_step=2.0**-6
    )
    problem = pardiff.Problem(lambda x: float(polynomial(x[0])), None, np.array([x]), stencil=tuple(offsets))

    assert np.abs(found.value - polynomial.deriv()(x)) <= found.uncertainty + 1e-12
    assert problem.options.stencil == tuple(sorted(offsets))
