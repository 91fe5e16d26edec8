import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pardiff
from pardiff.cli.status import status_lines
from pardiff.errors import InputError
from pardiff.planning.budget_tracker import least_seen
from pardiff.problem.budget import Budget
from pardiff.storage.zarr_ledger import ZarrLedger


@pytest.mark.parametrize(
    ("text", "budget"),
    [("1e6", Budget(1e6)), (5000, Budget(5000.0)), ("90s", Budget(seconds=90.0)), ("2h", Budget(seconds=7200.0))],
)
def test_amounts(text, budget):
    """A number counts passes, a number with a unit is a time."""
    assert Budget.parse(text) == budget


@pytest.mark.parametrize("text", ["", "10 minutes", "-5", "0", "inf", "1e999", "m", "1e6x", "nan", True])
def test_what_is_no_amount(text):
    """Anything else is refused in one sentence."""
    with pytest.raises(InputError, match=r"budget: got .*; expected passes, such as 1e6, or a time"):
        Budget.parse(text)


@given(st.integers(1, 400), st.data())
def test_what_would_have_been_seen(size, data):
    """A fault at so many entries, at random, escapes with 5 % at the most; by the hypergeometric distribution."""
    checked = data.draw(st.integers(0, size))
    least = least_seen(checked, size)
    if least <= size:
        escapes = math.comb(size - least, checked) / math.comb(size, checked) if least <= size - checked else 0.0
        assert escapes <= 0.05 + 1e-12


def wrong_somewhere(x):
    g = 3 * x**2
    g[::50] *= 1.01
    return g


@pytest.mark.parametrize("stored", [False, True])
def test_a_budget_of_passes(stored, tmp_path):
    """It is kept to, spent on blocks from all over x0 and on a closer look, and a larger one goes on."""
    x0 = np.linspace(1, 2, 2000)
    calls = []

    def fun(x):
        calls.append(1)
        return float(np.sum(x**3))

    store = tmp_path / "audit" if stored else None
    result = pardiff.gradcheck(fun, wrong_somewhere, x0, budget=2000, block_size=20, store=store)
    found = result.ledger.lines(0, 2000)
    checked = found.state > 0

    assert len(calls) <= 2100
    assert 1500 < result.nfev <= 2100
    assert result.counts["missing"] == int((~checked).sum()) > 1000
    assert checked[:1000].any()
    assert checked[1000:].any()
    assert result.counts["fail"] > 5
    assert result.exit_status == 1

    if stored:
        again = pardiff.gradcheck(fun, wrong_somewhere, x0, budget=2000, block_size=20, store=store)
        whole = pardiff.gradcheck(fun, wrong_somewhere, x0, block_size=20, store=store)
        direct = pardiff.gradcheck(fun, wrong_somewhere, x0, block_size=20)
        assert again.counts == result.counts
        assert whole.counts["fail"] == direct.counts["fail"] == 40
        assert whole.counts["missing"] == 0
        np.testing.assert_array_equal(whole.ledger.lines(0, 2000).numerical, direct.ledger.lines(0, 2000).numerical)


def test_coverage_is_told():
    """The report says what share was checked, and what that excludes; the exit status is that of an incomplete run."""
    x0 = np.linspace(1, 2, 2000)
    result = pardiff.gradcheck(lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, x0, budget=1000, block_size=20)
    share = 1 - result.counts["missing"] / 2000

    assert result.exit_status == 4
    assert not result.passed
    assert f"{share:.1%} are checked" in str(result)
    assert f"if {least_seen(2000 - result.counts['missing'], 2000)} or more entries were wrong" in str(result)


def test_a_part_may_count_as_the_whole():
    """If asked to, the exit status is that of what was checked; the verdict is still not PASS."""
    x0 = np.linspace(1, 2, 2000)
    problem = pardiff.Problem(lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, x0, budget=1000, partial=True)
    result = pardiff.gradcheck(problem)

    assert result.exit_status == 0
    assert result.verdict is pardiff.Verdict.INCONCLUSIVE


def test_status_of_what_a_budget_has_stopped(tmp_path):
    """It is no run that goes on, and the next one with a larger budget is."""
    x0 = np.linspace(1, 2, 2000)
    pardiff.gradcheck(lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, x0, budget=1000, store=tmp_path / "a")
    lines, whole = status_lines(ZarrLedger.open(tmp_path / "a"), verify=True)

    assert not whole
    assert "  stopped  " in lines[0]
    assert "  its budget is spent; give a larger one to continue" in lines
    assert lines[-1].endswith("every checksum is right")


def test_a_budget_of_time():
    """No block is begun that would not end in time."""
    import time

    def fun(x):
        end = time.perf_counter() + 1e-3
        while time.perf_counter() < end:
            pass
        return float(np.sum(x**3))

    result = pardiff.gradcheck(fun, lambda x: 3 * x**2, np.linspace(1, 2, 5000), budget="1s", block_size=20)

    assert 0 < result.counts["missing"] < 5000
    assert result.exit_status == 4


def test_what_is_kept_for_a_closer_look_is_spent():
    """Also where all that is open would not fit into it: a block of a later wave is as small as that asks for."""
    x0 = np.linspace(1, 2, 200)
    wrong = lambda x: 3 * x**2 * 1.1
    result = pardiff.gradcheck(lambda x: float(np.sum(x**3)), wrong, x0, budget=200)

    assert result.nfev <= 210
    assert result.counts["fail"] >= 1
    assert result.counts["missing"] > 0


def test_what_differs_is_told():
    """Where there was no closer look, which alone can fail an entry."""
    x0 = np.linspace(1, 2, 40)
    wrong = lambda x: 3 * x**2 * np.where(np.arange(40) % 2, 1.1, 1.0)
    result = pardiff.gradcheck(lambda x: float(np.sum(x**3)), wrong, x0, budget=80, refine="none")

    assert result.counts["fail"] == 0
    assert result.counts["missing"] > 0
    assert " differs (" in result.findings[0].message
    assert "refine='none' or a budget has left out" in result.findings[0].message


def test_what_had_no_second_look_contradicts_nothing():
    """Every third column is wrong: of those that are checked some fail, and others are open."""
    rng = np.random.default_rng(0)
    x0, weights = rng.normal(size=(3, 60)), rng.normal(size=(3, 60))

    def wrong(x):
        claim = weights * np.cos(x)
        claim[:, ::3] *= 1.1
        return claim

    result = pardiff.gradcheck(lambda x: float(np.sum(weights * np.sin(x))), wrong, x0, budget=300)

    assert result.counts["inconclusive"] > 0
    assert result.findings[0].kind == "factor"
    assert result.findings[0].where == "x[:, ::3]"
