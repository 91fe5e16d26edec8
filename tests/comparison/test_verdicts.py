import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pardiff
from pardiff.comparison.compared import Comparison
from pardiff.comparison.reconcile import reconcile
from pardiff.comparison.verdicts import RootMeanSquare, Tolerance, Verdict, combine, judge, worst_status
from pardiff.numerics import estimates as estimate
from pardiff.storage.format import ERROR, FAIL, INCONCLUSIVE, MISSING, NONFINITE, PASS
from pardiff.testing import plant, sphere

anything = st.floats(allow_nan=True, allow_infinity=True)


def verdict_of(a, d, u, state=estimate.SEARCHED, rms=0.0, rtol=1e-6, atol=0.0, **options):
    a, d, u = (np.array([v], dtype=float) for v in (a, d, u))
    zero = np.zeros(1)
    found = estimate.Estimates(d, u, zero, zero, np.array([float(state)]), zero, u)
    return judge(a, found, rms, Tolerance(rtol, atol), **options)[1][0]


def test_three_ways():
    """PASS and FAIL are certain; what the bar leaves open is INCONCLUSIVE."""
    assert verdict_of(1.0, 1.0, 1e-7) == PASS
    assert verdict_of(1.1, 1.0, 1e-7) == FAIL
    assert verdict_of(1.0, 1.0, 1e-3) == INCONCLUSIVE
    assert verdict_of(1.1, 1.0, 1e-7, estimate.DONE) == INCONCLUSIVE
    assert verdict_of(1.1, 1.0, 0.5) == INCONCLUSIVE
    assert verdict_of(np.nan, 1.0, 1e-7) == NONFINITE
    assert verdict_of(np.inf, 1.0, 1e-7) == NONFINITE
    assert verdict_of(1.0, np.nan, np.nan, estimate.NONFINITE) == NONFINITE
    assert verdict_of(1.0, np.nan, np.nan, estimate.ERROR) == ERROR
    assert verdict_of(1.0, np.nan, np.nan, estimate.MISSING) == MISSING
    assert verdict_of(1.0, np.nan, np.nan, estimate.NO_ROOM) == INCONCLUSIVE
    assert verdict_of(np.nan, 1.0, 1e-7, has_analytical=False) == INCONCLUSIVE


@given(anything, anything, anything, st.floats(0, 1e300), st.floats(0, 1), st.floats(0, 1))
def test_pass_is_never_given_away(a, d, u, rms, rtol, atol):
    """No NaN and no infinity passes, whatever the numbers."""
    if not (np.isfinite(a) and np.isfinite(d) and np.isfinite(u)):
        assert verdict_of(a, d, u, rms=rms, rtol=rtol, atol=atol) != PASS


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(0, 10), st.sampled_from([1e-6, 1.0, 1e6]))
def test_verdicts_are_scale_free(a, d, u, scale):
    """Multiplying fun by a power of two changes no verdict."""
    scale = 2.0 ** np.round(np.log2(scale))

    assert verdict_of(a, d, u, rms=3.0) == verdict_of(scale * a, scale * d, scale * u, rms=scale * 3.0)


@given(st.lists(st.floats(-1e308, 1e308), max_size=30), st.integers(1, 7))
def test_rms_never_overflows(values, size):
    """The root mean square lies between the smallest and the largest size, however it is cut."""
    rms = RootMeanSquare()
    for i in range(0, len(values), size):
        rms.add(np.array(values[i : i + size]))

    sizes = np.abs(values) if values else np.zeros(1)
    assert sizes.min() * (1 - 1e-9) <= rms.value <= sizes.max() * (1 + 1e-9)


def test_combination():
    """A mismatch wins over inconclusive, and nothing is not a pass."""
    assert combine([Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]) is Verdict.FAIL
    assert combine([Verdict.PASS, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert combine([]) is Verdict.INCONCLUSIVE
    assert [worst_status(s) for s in ([0, 3], [3, 4], [4, 2], [1, 2, 4], [])] == [3, 4, 2, 1, 0]


def test_all_verdicts_in_one_audit():
    """Pass, fail, kink, inconclusive, nonfinite and error stand side by side; FAIL wins."""

    def fun(x):
        if x[4] != 1.0:
            raise ValueError("poison")
        with np.errstate(invalid="ignore"):
            bad = np.nan if x[3] != 1.0 else 0.0
        return float(np.sum(x[:3] ** 2) + 1e-9 * np.sin(x[2]) + bad + abs(x[5] - 1.0) + np.sqrt(abs(x[6] - 1.0)))

    grad = np.array([2.0, 3.0, 2 + 1e-9 * np.cos(1.0), 1.0, 1.0, 0.5, 0.0])
    result = pardiff.gradcheck(fun, grad, np.ones(7))

    assert result.counts == {
        "missing": 0, "pass": 2, "fail": 1, "inconclusive": 1, "kink": 1, "nonfinite": 1, "error": 1,
    }  # fmt: skip
    assert result.verdict is pardiff.Verdict.FAIL
    assert result.exit_status == 1
    assert {f.kind for f in result.findings} == {"elements", "error", "test_point"}
    assert "at x[4] fun raised ValueError: poison" in str(result)


def test_incomplete_is_not_a_pass():
    """An entry at which fun raises makes the audit incomplete, not right."""

    def fun(x):
        if x[1] != 1.0:
            raise ValueError("poison")
        return float(x @ x)

    result = pardiff.gradcheck(fun, lambda x: 2 * x, np.ones(3))

    assert result.verdict is pardiff.Verdict.INCONCLUSIVE
    assert result.exit_status == 4
    assert not result.passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_fails(value):
    """NaN in the analytical gradient is a fault of the gradient."""
    result = pardiff.gradcheck(lambda x: float(x @ x), np.array([2.0, value]), np.ones(2))

    assert result.verdict is pardiff.Verdict.FAIL
    assert "not finite" in result.findings[0].message
    assert result.arrays[0].certified_rtol == np.inf


def test_certified_rtol_is_what_would_pass():
    """With the certified tolerance the audit passes, with a smaller one it does not."""
    problem = sphere()
    certified = pardiff.gradcheck(problem).arrays[0].certified_rtol

    for factor, passes in ((1.001, True), (0.999, False)):
        comparison = Comparison(pardiff.gradcheck(problem).ledger, Tolerance(certified * factor, 0.0))

        assert (reconcile(comparison).verdict is Verdict.PASS) is passes


def test_raise_for_verdict():
    """Raising is the caller's choice; the message is the report."""
    assert pardiff.gradcheck(sphere()).raise_for_verdict().passed

    with pytest.raises(AssertionError, match="1 of 5 entries is wrong, in x"):
        pardiff.gradcheck(plant(sphere(), 2)).raise_for_verdict()


def test_numerical_only():
    """Without an analytical gradient nothing passes and nothing fails."""
    result = pardiff.gradcheck(lambda x: float(x @ x), None, np.ones(3))

    assert result.counts["inconclusive"] == 3
    assert result.exit_status == 3
    assert "no analytical derivative" in str(result)


def test_worst_is_in_order():
    """The worst entries come first, whatever array they are in."""
    from pardiff.testing import two_layers

    result = pardiff.gradcheck(plant(plant(two_layers(), 13, 3.0), 2, 1.001))

    assert [entry.label for entry in result.worst(2)] == ["first/b[1]", "first/W[0,2]"]
    assert {entry.array for entry in result.worst(5, "second")} == {"second"}
    with pytest.raises(pardiff.InputError, match="did you mean 'second'"):
        result.worst(1, "secnd")


@pytest.mark.parametrize("scale", [1e-323, 1e-320, 1e-310, 1e-300, 1e300])
def test_the_ends_of_the_number_line(scale):
    """A right gradient is not failed where fun's values are hardly numbers any more."""
    result = pardiff.gradcheck(lambda x: scale * float(x @ x), lambda x: scale * 2 * x, np.ones(3))

    assert result.counts["fail"] == 0
