import numpy as np
import pytest

import pardiff
from pardiff.evaluation.start import evaluate_start

X0 = np.random.default_rng(0).normal(size=40)


def start_of(fun, x0=X0, **options):
    return evaluate_start(pardiff.Problem(fun, None, x0, **options))[0]


def test_ordinary_functions_have_the_precision_of_their_dtype():
    """Rounding alone does not change the steps, whatever the scale of fun."""
    for scale in (1e-300, 1.0, 1e300):
        start = start_of(lambda x, scale=scale: scale * float(x @ x))

        assert start.eps == 2.0**-52
        assert not start.single_precision


def test_float32_is_recognised():
    """A sum in float32 that is returned as a float is found out, and sets the tolerance."""
    start = start_of(lambda x: float(np.sum(x.astype(np.float32) ** 2)))

    assert start.single_precision
    assert start.rtol == 1e-3
    assert start.eps >= 2.0**-24


def test_noise_is_measured():
    """Random noise of 1e-8 is found to within a factor of 5."""
    rng = np.random.default_rng(3)
    start = start_of(lambda x: float(x @ x) + 1e-8 * rng.normal())

    assert 2e-8 / 5 < start.noise < 2e-8 * 5


@pytest.mark.parametrize("n", [1, 2, 29, 30, 1000])
def test_noise_costs_a_few_dozen_passes(n):
    """The start of a smooth function costs about thirty passes at the most, whatever n is."""
    assert start_of(lambda x: float(np.sum(np.sin(x))), np.linspace(0.1, 1, n)).nfev <= 40


def test_noise_is_measured_within_the_bounds():
    """The lines on which noise is measured stay within the bounds."""
    lower, upper = np.zeros(40), np.linspace(0.0, 1e-3, 40)
    x0 = np.minimum(1e-4, upper)

    def fun(x):
        assert (x >= lower).all()
        assert (x <= upper).all()
        return float(np.sum(np.sqrt(x)))

    assert start_of(fun, x0, bounds=(lower, upper)).nfev > 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_difference_of_large_numbers(dtype):
    """A fun that is nearly 0 at x0 by cancellation has the noise of what cancels, and fails no right gradient."""
    x0 = X0.astype(dtype)
    offset = float(np.sum(np.exp(x0.astype(float))))
    result = pardiff.gradcheck(lambda x: float(np.sum(np.exp(x.astype(float)))) - offset, lambda x: np.exp(x), x0)

    assert result.counts["fail"] == 0
