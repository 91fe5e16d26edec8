import numpy as np
import pytest

import pardiff
from pardiff import sweep


def test_the_curve_is_a_v():
    """Rounding falls with the step and truncation rises with its square."""
    found = sweep(pardiff.Problem(lambda x: float(np.sum(np.exp(x))), None, np.array([0.0, 1.0])), "x[1]")
    off = np.abs(np.array(found.derivatives) - np.e)
    steps = np.array(found.steps)

    assert found.scheme == "central"
    np.testing.assert_allclose(off[steps > 1e-3], steps[steps > 1e-3] ** 2 * np.e / 6, rtol=0.1)
    assert (off[steps < 1e-7] <= np.array(found.rounding)[steps < 1e-7] * 1.1).all()
    assert off.min() < 1e-9 < 1e-5 < min(off[0], off[-1])


def test_bounds_hold_for_sweeps():
    """A sweep stays inside the bounds, and turns to the side with room."""
    seen = []
    problem = pardiff.Problem(
        lambda x: seen.append(x[0]) or float(np.exp(x[0])), None, np.array([0.0]), bounds=(0.0, 1.0)
    )
    found = sweep(problem, "x[0]")

    assert found.scheme == "forward"
    assert min(seen) >= 0
    assert len(found.steps) > 15


@pytest.mark.parametrize("label", ["y[0]", "x[7]", "x", "x[0,0]", "x[a]"])
def test_no_such_entry(label):
    """A label that names no entry is refused with a sentence."""
    with pytest.raises(pardiff.InputError, match="no entry"):
        sweep(pardiff.Problem(lambda x: float(x @ x), None, np.ones(3)), label)


@pytest.mark.parametrize(("claim", "swept"), [(2.0, False), (2.5, True)])
def test_audits_hold_the_sweeps_of_what_is_wrong(claim, swept, tmp_path):
    """A stored audit that fails has step sweeps of its worst entries; one that passes has none."""
    result = pardiff.gradcheck(lambda x: float(x @ x), np.array([2.0, claim]), np.ones(2), store=tmp_path / "a")
    held = pardiff.open_result(tmp_path / "a").summary.curves

    assert [curve.label for curve in held] == (["x[1]"] if swept else [])
    assert all(curve.analytical == claim and abs(curve.numerical - 2) < 1e-6 for curve in held)
    assert pardiff.open_result(tmp_path / "a").nfev == result.nfev
