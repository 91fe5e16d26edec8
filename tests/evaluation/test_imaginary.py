import mpmath
import numpy as np
import pytest

import pardiff

ANALYTIC = {
    "exp sin": (lambda x: np.sum(np.exp(x) * np.sin(3 * x)), lambda t: mpmath.exp(t) * mpmath.sin(3 * t)),
    "log": (lambda x: np.sum(np.log(x)), mpmath.log),
    "fast": (lambda x: np.sum(np.sin(1e3 * x)), lambda t: mpmath.sin(1000 * t)),
    "offset": (lambda x: 1e6 + np.sum(np.tanh(x)), mpmath.tanh),
    "power": (lambda x: np.sum(x**7), lambda t: t**7),
}


@pytest.mark.parametrize("name", ANALYTIC)
def test_as_exact_as_fun(name):
    """One pass gives a derivative that is right to 2e-14, within its bar."""
    fun, exact = ANALYTIC[name]
    x0 = np.array([1e-8, 0.3, 1.0, 2.5, 40.0])[: 4 if name == "exp sin" else 5]
    found = pardiff.gradient(fun, x0, method="complex")
    with mpmath.workdps(60):
        truth = np.array([float(mpmath.diff(exact, mpmath.mpf(t), h=mpmath.mpf(10) ** -25)) for t in x0])

    # the argument of the fast sine is rounded, which limits what can be asked of any evaluation
    assert (np.abs(found.value - truth) <= (1e-12 if name == "fast" else 2e-14) * np.abs(truth)).all()
    assert (np.abs(found.value - truth) <= found.uncertainty + 1e-15 * np.abs(truth)).all()


def test_one_pass_each():
    """After the start it costs one pass per parameter."""
    result = pardiff.gradcheck(lambda x: x @ x, lambda x: 2 * x, np.ones(50), method="complex")

    assert result.nfev - result.ledger.info.baseline.nfev == 50


REFUSED = {
    "float": (lambda x: float(np.sum(x.real**2)), "no complex number"),
    "abs": (lambda x: np.sum(np.abs(x)), "no complex number"),
    "conj": (lambda x: np.sum(x * np.conj(x)), "not analytic"),
    "real part": (lambda x: np.sum(x**2) + np.sum(np.sin(x.real)), "not analytic"),
    "raises": (lambda x: np.sum(np.floor(x)), "raised on a complex argument"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_analytic_is_refused(name):
    """A fun that drops the imaginary part, or cannot take one, is refused with the way out."""
    fun, words = REFUSED[name]
    with pytest.raises(pardiff.InputError, match=f"method 'complex': .*{words}.*use method='central'"):
        pardiff.gradcheck(fun, None, np.linspace(0.1, 2, 9), method="complex")


def test_one_array_that_drops_it_is_named_by_the_refusal():
    """An array whose imaginary part is lost is noticed beside a much larger one."""

    def fun(x):
        return 1e6 * np.sum(np.sin(x["large"])) + np.sum(x["small"].real ** 2) * 1e-3

    with pytest.raises(pardiff.InputError, match="not analytic"):
        pardiff.gradcheck(fun, None, {"large": np.ones(50), "small": np.ones(2)}, method="complex")


def test_a_wrong_gradient_fails_by_differences():
    """A verdict of FAIL does not rest on the complex step alone."""
    claim = np.cos(np.linspace(0, 1, 5))
    claim[2] *= 1.002
    result = pardiff.gradcheck(lambda x: np.sum(np.sin(x)), claim, np.linspace(0, 1, 5), method="complex")

    assert result.counts["fail"] == 1
    assert result.ledger.array("scheme", result.ledger.arrays[0]).tolist() == [4, 4, 1, 4, 4]


def test_where_one_entry_is_not_analytic():
    """An entry whose complex step cannot be used, unseen at the start, is differenced instead."""

    def fun(x):
        return np.sum(x**2) + (np.nan if x[3].imag and not x[0].imag else 0.0)

    result = pardiff.gradcheck(fun, lambda x: 2 * x, np.arange(1.0, 6.0), method="complex")

    assert result.passed
    assert result.ledger.array("scheme", result.ledger.arrays[0]).tolist() == [4, 4, 4, 1, 4]
