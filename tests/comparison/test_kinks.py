import numpy as np
import pytest

import pardiff

ARGUMENT = np.array([1.2, 1.2, 0.4])
CASES = {
    "abs": (lambda x: np.sum(np.abs(x)), np.array([0.0, 0.7]), (-1.0, 1.0)),
    "relu": (lambda x: np.sum(np.maximum(x, 0) + np.sin(x)), np.array([0.0, 0.7]), (1.0, 2.0)),
    "tie of max": (lambda x: np.max(x), np.array([1.2, 0.4, 1.2]), (0.0, 1.0)),
    "clipped": (lambda x: np.sum(np.clip(x, -1, 1) ** 2), np.array([1.0, 0.2]), (0.0, 2.0)),
}


def check(name, claim):
    fun, x0, _ = CASES[name]
    return pardiff.gradcheck(
        lambda x: float(fun(x)), lambda x: np.concatenate([[claim], pardiff.gradient(fun, x).value[1:]]), x0
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("where", [0.0, 0.3, 1.0])
def test_between_the_slopes(name, where):
    """A claim between the two slopes, or equal to one, is a kink: it is reported, and does not fail."""
    low, high = CASES[name][2]
    result = check(name, low + where * (high - low))

    assert result.counts["kink"] >= 1
    assert result.counts["fail"] == 0
    assert result.ledger.array("verdict", result.ledger.arrays[0])[0] == 4
    assert "kink" in {finding.kind for finding in result.findings}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("claim", [-1.1, 2.1])
def test_outside_the_slopes(name, claim):
    """A claim that no slope comes near is wrong, kink or not, and the finding says what is there."""
    result = check(name, claim)

    assert result.verdict is pardiff.Verdict.FAIL
    assert "a kink of fun" in result.findings[0].message


def test_kinks_alone_pass():
    """An audit in which everything else agrees passes, with a finding."""
    result = pardiff.gradcheck(lambda x: float(np.sum(np.abs(x))), np.sign, np.array([0.0, 1.0, -2.0]))

    assert result.passed
    assert result.arrays[0].certified_rtol < 1e-6
    assert [finding.kind for finding in result.findings] == ["kink"]
    assert "x[0] is 0 analytically, from -1" in result.findings[0].message
