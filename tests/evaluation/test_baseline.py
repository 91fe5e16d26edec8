import zlib

import numpy as np
import pytest

import pardiff
from pardiff.evaluation.baseline import measure_baseline
from pardiff.evaluation.evaluator import axes_of
from pardiff.evaluation.noise import measure_scatter
from pardiff.evaluation.pointwise import Pointwise
from pardiff.problem.parsing import parse_x0

X0 = np.random.default_rng(0).normal(size=40)


def start_of(fun, x0=X0, **options):
    problem = pardiff.Problem(fun, None, x0, **options)
    return measure_baseline(problem, problem.options)[0]


def test_ordinary_functions_have_the_precision_of_their_dtype():
    """Rounding alone does not change the steps, whatever the scale of fun."""
    for scale in (1e-300, 1.0, 1e300):
        start = start_of(lambda x, scale=scale: scale * float(x @ x))

        assert start.precisions[0].eps == 2.0**-52
        assert not start.facts.single_precision


def test_float32_is_recognised():
    """A sum in float32 that is returned as a float is found out, and sets the tolerance."""
    start = start_of(lambda x: float(np.sum(x.astype(np.float32) ** 2)))

    assert start.facts.single_precision
    assert start.rtol == 1e-3
    assert start.precisions[0].eps >= 2.0**-24


def test_noise_is_measured():
    """Random noise of 1e-8 is found to within a factor of 5."""
    rng = np.random.default_rng(3)
    start = start_of(lambda x: float(x @ x) + 1e-8 * rng.normal())

    assert 1e-8 / 2 < start.facts.sigma < 1e-8 * 2
    # half of the deviation that is allowed for: with 99 % confidence for 40 parameters about 6 sigma, times 1.4
    assert 3 * start.facts.sigma < start.facts.noise < 6 * start.facts.sigma


def test_noise_that_is_a_function_of_x_is_measured():
    """Noise that comes back at the same x, as of an iteration that stops, is found to within a factor of 3."""

    def fun(x):
        noise = zlib.crc32(x.tobytes()) / 2**32 - 0.5
        return float(x @ x) + 1e-8 * noise

    sigma = 1e-8 / np.sqrt(12)

    assert 2 * sigma / 3 < start_of(fun).facts.noise < 2 * sigma * 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_short_parameters_with_a_long_fun(dtype):
    """Where fun computes in float64 it is known to float64, however short the parameters are."""
    x0 = np.linspace(0.5, 2, 40).astype(dtype)

    assert start_of(lambda x: np.sum(np.sin(x.astype(float))), x0).precisions[0].eps < 1e-13
    assert start_of(lambda x: float(np.sum(np.sin(x))), x0).precisions[0].eps >= np.finfo(dtype).eps / 2


@pytest.mark.parametrize("count", [1, 100, 10_000])
def test_confidence_covers_all_parameters(count):
    """The allowance for noise grows with the number of parameters, as the normal distribution says."""
    rng = np.random.default_rng(0)
    evaluator = Pointwise(lambda x: float(rng.normal()), (), *parse_x0(np.ones(count)))
    evaluator.at_start()
    ((sigma, level),) = measure_scatter(evaluator, axes_of(evaluator, np.arange(count), None, (1.0,)))
    drawn = np.abs(np.random.default_rng(1).normal(size=(200, min(count, 5000) * 2))).max(axis=1)

    # of 200 audits, each judged by the largest of its errors, hardly any exceeds it
    assert np.mean(drawn > 2 * level) <= 0.01
    assert 2 * level < 12 * sigma


@pytest.mark.parametrize("n", [1, 2, 29, 30, 1000])
def test_noise_costs_a_few_dozen_passes(n):
    """The start of a smooth function costs about thirty passes at the most, whatever n is."""
    assert start_of(lambda x: float(np.sum(np.sin(x))), np.linspace(0.1, 1, n)).facts.nfev <= 40


def test_noise_is_measured_within_the_bounds():
    """The lines on which noise is measured stay within the bounds."""
    lower, upper = np.zeros(40), np.linspace(0.0, 1e-3, 40)
    x0 = np.minimum(1e-4, upper)

    def fun(x):
        assert (x >= lower).all()
        assert (x <= upper).all()
        return float(np.sum(np.sqrt(x)))

    assert start_of(fun, x0, bounds=(lower, upper)).facts.nfev > 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_difference_of_large_numbers(dtype):
    """A fun that is nearly 0 at x0 by cancellation has the noise of what cancels, and fails no right gradient."""
    x0 = X0.astype(dtype)
    offset = float(np.sum(np.exp(x0.astype(float))))
    result = pardiff.gradcheck(lambda x: float(np.sum(np.exp(x.astype(float)))) - offset, lambda x: np.exp(x), x0)

    assert result.counts["fail"] == 0
