import numpy as np
import pytest

from pardiff.evaluation.baseline import measure_baseline
from pardiff.evaluation.evaluator import axes_of
from pardiff.evaluation.fixed_stencil import by_stencil
from pardiff.evaluation.searches import by_search
from pardiff.numerics.estimates import DONE, NO_ROOM, NONFINITE, SEARCHED
from pardiff.numerics.stencils import SCHEMES
from pardiff.problem.problem import Problem


def estimates(wave, fun, x0, bounds=None, terms=False, **options):
    problem = Problem(fun, None, x0, bounds=bounds, terms=terms, **options)
    start, evaluator = measure_baseline(problem, problem.options)
    spec = start.spec(problem.options.resolved(start.rtol))
    found = wave(evaluator, spec, axes_of(evaluator, np.arange(start.space.size), start.bounds, start.typical))
    return found.reshaped(start.space.size)


def test_bounds_choose_the_side():
    """At a lower bound fun is taken above it, at an upper bound below it, and between them on both sides."""
    seen = []
    found = estimates(
        by_stencil,
        lambda x: seen.append(x.copy()) or float(np.sum(np.exp(x))),
        np.array([0.0, 0.5, 1.0]),
        (0.0, 1.0),
    )

    assert [SCHEMES[int(s)] for s in found.scheme] == ["forward", "central", "backward"]
    np.testing.assert_allclose(found.numerical, np.exp([0, 0.5, 1.0]), rtol=1e-9)
    assert all(((x >= 0) & (x <= 1)).all() for x in seen)


@pytest.mark.parametrize("wave", [by_stencil, by_search])
def test_no_room_is_not_an_error(wave):
    """A parameter whose bounds are equal has no derivative, and the others have theirs."""
    found = estimates(wave, lambda x: float(x @ x), np.array([1.0, 2.0]), ([1.0, 0.0], [1.0, 9.0]))

    assert found.state.tolist() == [NO_ROOM, DONE if wave is by_stencil else SEARCHED]
    assert found.nfev[0] == 0


def test_log_beside_its_bound():
    """The search finds the derivative of log at 1e-8 with a bound at 0 to 1e-6."""
    found = estimates(by_search, lambda x: float(np.log(x[0])), np.array([1e-8]), (0.0, np.inf))

    np.testing.assert_allclose(found.numerical, 1e8, rtol=1e-6)


def test_outside_the_domain():
    """Where fun is not finite on one side, the search turns to the other; where on none, it says so."""
    with np.errstate(invalid="ignore"):
        one = estimates(by_search, lambda x: float(x[0] ** 1.5 + x[0]), np.array([0.0]))
    none = estimates(by_search, lambda x: 1.0 if x[0] == 2.0 else np.nan, np.array([2.0]))

    assert SCHEMES[int(one.scheme[0])] == "forward"
    assert abs(one.numerical[0] - 1) <= one.uncertainty[0]
    assert none.state.tolist() == [NONFINITE]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_low_precision_parameters(dtype):
    """Parameters of low precision are moved by steps that they can represent."""
    x0 = np.array([0.3, 1.7, 100.0], dtype)
    found = estimates(by_stencil, lambda x: float(np.sum(x.astype(float) ** 2)), x0)

    np.testing.assert_allclose(found.numerical, 2 * x0.astype(float), rtol=1e-6)


def test_the_largest_numbers():
    """Next to the largest number a step does not run into infinity."""
    found = estimates(by_stencil, lambda x: float(np.log(x[0])), np.array([np.finfo(float).max]))

    np.testing.assert_allclose(found.numerical * np.finfo(float).max, 1.0, rtol=1e-6)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_orders(order):
    """Higher orders cost more passes and leave smaller bars."""
    found = estimates(by_stencil, lambda x: float(np.sin(x[0])), np.array([0.4]), order=order)

    assert found.nfev[0] == order
    assert abs(found.numerical[0] - np.cos(0.4)) <= found.uncertainty[0] <= 10.0 ** (-8 - order / 6)
