"""What an audit would have caught, against audits into which the faults were really planted."""

import numpy as np
import pytest

import pardiff
from pardiff.testing import plant, two_layers

RNG = np.random.default_rng(0)
WEIGHTS, X0 = RNG.normal(size=(4, 4)), RNG.normal(size=(4, 4))
WEIGHTS[1, 2] = 0.0


def fun(x):
    return float(np.sum(WEIGHTS * np.sin(x)))


def grad(x):
    return WEIGHTS * np.cos(x)


def test_counts():
    """Every entry but one without a derivative, every row and column, and the transpose."""
    (test,) = pardiff.gradcheck(fun, grad, X0).self_test()

    assert (test.entries, test.factor, test.sign, test.flat) == (16, 15, 15, 1)
    assert test.slices == (8, 8)
    assert test.transposed is True
    assert 1e-6 < test.median_error <= test.largest_error < 1e-4


def test_the_smallest_error_is_what_fails():
    """A relative error just above the one that is named fails, and one well below passes, at the worst entry."""
    result = pardiff.gradcheck(two_layers())
    tests = {test.array: test for test in result.self_test()}
    largest = tests["second"].largest_error
    last = 15 + int(np.argmin(np.abs(two_layers().grad(two_layers().x0)["second"])))

    assert pardiff.gradcheck(plant(two_layers(), last, 1 + 3 * largest)).verdict.name == "FAIL"
    assert pardiff.gradcheck(plant(two_layers(), last, 1 + largest / 10)).passed


def test_a_loose_tolerance_hides_more():
    """With an rtol of 0.1 a factor of 1.01 is not seen, and a wrong sign is."""
    (test,) = pardiff.gradcheck(fun, grad, X0, rtol=0.1).self_test()

    assert (test.factor, test.sign) == (0, 15)


def test_wrong_arrays_are_left_out():
    """What is planted in a wrong claim could not be told from it."""
    tests = pardiff.gradcheck(plant(two_layers(), 2, -1.0)).self_test()

    assert [test.array for test in tests] == ["first/b", "second"]


def test_no_gradient():
    """Nothing to plant in."""
    assert pardiff.gradcheck(fun, None, X0).self_test() == ()


def test_no_pass_is_spent():
    """fun is not called."""
    calls = []
    result = pardiff.gradcheck(lambda x: calls.append(1) or fun(x), grad, X0)
    before = len(calls)
    result.self_test()

    assert len(calls) == before


@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (2, 3, 3)])
def test_any_shape(shape):
    """Scalars have no slices; the last two axes may be square."""
    x0 = np.random.default_rng(1).normal(size=shape)
    (test,) = pardiff.gradcheck(lambda x: float(np.sum(np.exp(x))), np.exp, x0).self_test()

    assert test.slices == ((0, 0) if not shape or max(shape) == 1 else (sum(n for n in shape if n > 1),) * 2)
    assert test.transposed is (True if shape == (2, 3, 3) else None)
