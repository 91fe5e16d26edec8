import numpy as np
import pytest

import pardiff

N = 100_000
RNG = np.random.default_rng(0)
DATA, POINT = RNG.normal(size=N), RNG.normal(size=N)


class Loss:
    """Squares of 100,000 samples, the first of which hang on a parameter each."""

    def __init__(self, dtype, terms, count=40):
        self.data, self.rest = DATA.astype(dtype), POINT.astype(dtype)
        self.terms, self.count = terms, count
        self.x0 = self.rest[:count].copy()
        self.exact = 2 * (self.x0.astype(float) - self.data[:count].astype(float))

    def __call__(self, x):
        point = self.rest.copy()
        point[: self.count] = x
        terms = (point - self.data) ** 2
        return terms if self.terms else np.sum(terms)


@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_the_rounding_of_a_long_sum_goes(dtype, error):
    """Differenced before they are summed, terms give what their own precision allows; their sum does not."""
    loss = Loss(dtype, True)
    found = pardiff.gradient(loss, loss.x0, terms=True)
    off = np.abs(found.value - loss.exact)

    assert (off <= error * np.abs(loss.exact)).all()
    assert (off <= found.uncertainty).all()
    assert np.median(found.uncertainty / np.abs(loss.exact)) <= (1e-8 if dtype is np.float64 else 1e-3)


def test_a_sum_in_float32_shows_nothing():
    """The same sum, formed in float32 before it is differenced, has bars as wide as the derivatives, and says so."""
    loss = Loss(np.float32, False)
    found = pardiff.gradient(loss, loss.x0)

    assert (np.abs(found.value - loss.exact) <= found.uncertainty).all()
    assert np.median(found.uncertainty / np.abs(loss.exact)) > 0.1


@pytest.mark.parametrize("faulty", [False, True])
def test_verdicts_from_terms(faulty):
    """A right gradient passes, and an entry that is off by 0.2 % is found."""
    loss = Loss(np.float64, True)
    claim = loss.exact.copy()
    claim[7] *= 1.002 if faulty else 1.0
    result = pardiff.gradcheck(pardiff.Problem(loss, claim, loss.x0, terms=True))

    assert result.counts["fail"] == faulty
    assert result.counts["pass"] == loss.count - faulty


def test_terms_of_any_shape_in_nested_parameters():
    """Terms may have any shape, and the loss that is reported is their sum."""
    x0 = {"a": {"b": np.array([1.0, 2.0])}, "c": np.float64(3.0)}
    result = pardiff.gradcheck(
        lambda x: np.outer(x["a"]["b"], [1.0, x["c"]]),
        lambda x: {"a": {"b": np.full(2, 1 + x["c"])}, "c": np.sum(x["a"]["b"])},
        x0,
        terms=True,
    )

    assert result.passed
    assert result.ledger.info.baseline.value == 12.0


def test_the_number_of_terms_must_not_change():
    """A fun whose terms come and go is an error at the entries where they do."""
    result = pardiff.gradcheck(
        lambda x: np.ones(3 if x[0] == 1.0 else 4) * x[1], np.array([0.0, 3.0]), np.array([1.0, 2.0]), terms=True
    )

    assert result.counts["error"] == 1
    assert "4 terms, but 3 at x0" in str(result)


@pytest.mark.parametrize("value", ["text", None, np.array([1j]), np.empty(0)])
def test_terms_that_are_none(value):
    """Anything but an array of real numbers is refused with a sentence."""
    with pytest.raises(pardiff.InputError, match="with terms=True expected an array of real terms"):
        pardiff.gradcheck(lambda x: value, None, np.ones(2), terms=True)


def test_forgotten_terms():
    """An array where a number was expected is refused with a hint."""
    with pytest.raises(pardiff.InputError, match="say terms=True"):
        pardiff.gradcheck(lambda x: x**2, None, np.ones(2))
