"""The accuracy suite of the benchmarks, as facts: nothing right is failed, nothing wrong is passed."""

import numpy as np
import pytest

from benchmarks.accuracy.measure import SCALINGS, measure_pardiff
from benchmarks.accuracy.problems import PROBLEMS

METHODS = {"default": {}, "both steps": {"refine": "all"}, "complex": {"method": "complex"}}


def check(name, method, seeds, scaling="as it is"):
    row = measure_pardiff(name, seeds, METHODS[method], method, scaling)

    assert row.false_fail == 0
    assert row.missed == 0
    return row


PAIRS = [(name, method) for name in PROBLEMS for method in METHODS if method != "complex" or PROBLEMS[name].analytic]


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_no_false_alarm_and_nothing_missed(name, method):
    """On every problem of the suite, by every method."""
    row = check(name, method, 2)
    if PROBLEMS[name].kind == "smooth":
        assert row.covered == row.strong == row.sizes
        assert row.named == row.faults
    if PROBLEMS[name].kind == "kink":
        assert method == "complex" or row.kink > 0


@pytest.mark.slow
@pytest.mark.parametrize("scaling", SCALINGS)
def test_twenty_seeds_at_every_scale(scaling):
    """Over 20 seeds bars cover the error of at least 99 % of the entries, and no scaling makes a verdict wrong."""
    rows = [check(name, "default", 20, scaling) for name in PROBLEMS]
    covered, entries = sum(row.covered for row in rows), sum(row.bars for row in rows)

    assert covered >= 0.99 * entries
    if scaling == "as it is":
        smooth = [row.passes for row in rows if row.kind == "smooth"]
        awkward = [row.passes for row in rows if row.kind == "awkward"]
        power = sum(row.strong for row in rows) / sum(row.sizes for row in rows)
        assert max(smooth) <= 2.2
        assert np.mean(awkward) <= 9
        assert power >= 0.97
