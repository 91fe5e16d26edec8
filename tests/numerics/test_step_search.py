import math

import mpmath
import numpy as np
import pytest

from pardiff.numerics.difference import Precision
from pardiff.numerics.stencils import named
from pardiff.numerics.step_search import search

EPS = 2.0**-52

CASES = {
    "exp": (math.exp, mpmath.exp, 1.3),
    "sin 1e3 x": (lambda x: math.sin(1e3 * x), lambda x: mpmath.sin(1000 * x), 0.1),
    "sin 1e3 x at 0": (lambda x: math.sin(1e3 * x), lambda x: mpmath.sin(1000 * x), 0.0),
    "tanh(x/1e-5)": (lambda x: math.tanh(x / 1e-5), lambda x: mpmath.tanh(x / mpmath.mpf(1e-5)), 1e-6),
    "log": (math.log, mpmath.log, 1e-8),
    "sqrt": (math.sqrt, mpmath.sqrt, 1e-7),
    "runge": (lambda x: 1 / (1 + 25 * x * x), lambda x: 1 / (1 + 25 * x * x), 0.2),
    "1e6 + sin": (lambda x: 1e6 + math.sin(x), lambda x: 10**6 + mpmath.sin(x), 0.7),
    "x**7 far out": (lambda x: x**7, lambda x: x**7, 1e4),
}


def sampler(fun, x, method="central"):
    passes = []
    offsets = np.array(named(method, 2).offsets, dtype=float)

    def sample(step):
        taken = (x + step * offsets) - x
        passes.extend(taken[taken != 0])
        try:
            values = np.array([[fun(x + move) for move in taken.tolist()]])
        except ValueError:
            return None
        return taken[None], values, np.abs(values)

    return sample, passes


@pytest.mark.parametrize("scheme", ["central", "forward"])
@pytest.mark.parametrize("case", CASES)
def test_bar_covers_the_error(case, scheme):
    """The derivative lies within its error bar of the one that mpmath finds, and the bar is of use."""
    fun, exact, x = CASES[case]
    sample, passes = sampler(fun, x, scheme)
    found = search(sample, named(scheme, 2), x, Precision(EPS, 0.0), 1e-7)
    with mpmath.workdps(50):
        truth = float(mpmath.diff(exact, mpmath.mpf(x), h=mpmath.mpf(10) ** -20))

    assert abs(found.derivative - truth) <= found.uncertainty
    assert found.uncertainty <= 1e-3 * abs(truth)
    assert len(passes) <= 60


KINKS = {
    "abs": (abs, -1.0, 1.0),
    "relu": (lambda x: max(x, 0.0), 0.0, 1.0),
    "relu on a slope": (lambda x: max(x, 0.0) + math.sin(x), 1.0, 2.0),
    "on a large offset": (lambda x: 1e6 + abs(x), -1.0, 1.0),
    "on a parabola": (lambda x: abs(x) + 1e3 * x * x, -1.0, 1.0),
}


@pytest.mark.parametrize("case", KINKS)
def test_kinks(case):
    """At a kink the search says so, and its bar spans the slopes on both sides and hardly more."""
    fun, low, high = KINKS[case]
    sample, passes = sampler(fun, 0.0)
    found = search(sample, named("central", 2), 0.0, Precision(EPS, 0.0), 1e-7)

    assert found.kink
    assert low - 0.2 < found.derivative - found.uncertainty <= low + 1e-12
    assert high + 0.2 > found.derivative + found.uncertainty >= high - 1e-12
    assert len(passes) <= 24


SMOOTH = {
    "x**1.5": (lambda x: abs(x) ** 1.5, 0.0, 0.0),
    "beside a kink": (lambda x: abs(x - 1e-7), 0.0, -1.0),
    "narrow tanh": (lambda x: math.tanh(x / 1e-7), 0.0, 1e7),
}


@pytest.mark.parametrize("case", SMOOTH)
def test_no_kinks(case):
    """A derivative that exists is no kink, however sharply fun bends nearby."""
    fun, x, truth = SMOOTH[case]
    sample, _ = sampler(fun, x)
    found = search(sample, named("central", 2), x, Precision(EPS, 0.0), 1e-7)

    assert not found.kink
    assert abs(found.derivative - truth) <= found.uncertainty


def test_constant_functions_are_cheap():
    """Where nothing changes the search looks from afar at once."""
    sample, passes = sampler(lambda x: 3.0, 0.5)
    found = search(sample, named("central", 2), 0.5, Precision(EPS, 0.0), 1e-7)

    assert found.derivative == 0
    assert found.uncertainty < 1e-13
    assert len(passes) <= 10


def test_nothing_finite():
    """A function that is nowhere finite has no derivative."""
    assert search(lambda step: None, named("central", 2), 1.0, Precision(EPS, 0.0), 1e-7) is None


@pytest.mark.parametrize("w", [30, 50, 100, 200])
def test_faster_than_the_first_step(w):
    """In float32, where steps are long, a function that varies within one is not taken for another."""
    single = np.float32
    for start in np.linspace(0.5, 1.5, 11, dtype=single):

        def sample(step, start=start):
            points = [single(start + single(move)) for move in (-step, 0.0, step)]
            values = np.array([[float(np.sin(single(w) * p)) for p in points]])
            return np.array([[float(p) - float(start) for p in points]]), values, np.abs(values)

        # the argument of the sine is rounded too, which start-up would have measured as noise
        found = search(sample, named("central", 2), float(start), Precision(2.0**-23, w * 2.0**-23), 1e-4)

        assert abs(found.derivative - w * math.cos(w * float(start))) <= found.uncertainty


def test_a_feature_narrower_than_the_first_step():
    """A bump that all wide steps miss is seen from the unequal slopes beside it."""

    def bump(x):
        return math.exp(-((1e5 * (x - 1)) ** 2)) + 2 * x

    x = 1 + 0.3e-5
    sample, _ = sampler(bump, x)
    found = search(sample, named("central", 2), x, Precision(EPS, 0.0), 1e-7)

    assert abs(found.derivative - (2 - 2e10 * (x - 1) * math.exp(-((1e5 * (x - 1)) ** 2)))) <= found.uncertainty


def test_short_dtypes_need_no_small_steps():
    """Where the least step is large, an expansion that holds over four levels is enough for a narrow bar."""
    sample, _ = sampler(math.exp, 1.0)
    found = search(sample, named("central", 2), 1.0, Precision(EPS, 0.0), 1e-7, least=2.0**-10)

    assert abs(found.derivative - math.e) <= found.uncertainty <= 1e-7
