"""What an audit would not have let pass: known faults, planted in a copy of the claim and judged by the same rule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pardiff.comparison.compared import Stretch, array_rms, stretches
from pardiff.comparison.verdicts import tolerance
from pardiff.problem.space import FloatArray, Leaf
from pardiff.storage.format import FAIL, KINK, NONFINITE, PASS
from pardiff.storage.ledger import Ledger

FACTOR = 1.01
"""The factor that is planted."""
MOST = 1 << 22
"""Entries of an array up to which slices and transposes are planted too: they are looked at in one piece."""


@dataclass(frozen=True)
class SelfTest:
    """What would not have passed in one array; every count is of faults planted one at a time."""

    array: str
    entries: int
    """Entries that pass and so can hold a planted fault."""
    factor: int
    """Entries of which a factor of 1.01 would not have passed."""
    sign: int
    """Entries of which a wrong sign would not have passed."""
    flat: int
    """Entries with a derivative of 0, in which neither makes a difference."""
    slices: tuple[int, int]
    """Slices of any axis that could not have been dropped, set to 0, and passed, and all of them; (0, 0) where the
    array is a scalar or too large."""
    transposed: bool | None
    """Whether the transpose of the last two axes would not have passed; None where there is none."""
    median_error: float
    """Relative error that would not have passed in half of the entries."""
    largest_error: float
    """The smallest relative error that would not have passed in any entry whatever, those with a derivative of 0 aside;
    infinite where some entry would have hidden its own size."""


def self_test(ledger: Ledger, rtol: float, atol: float) -> tuple[SelfTest, ...]:
    """Plant faults in each array of an audit; fun is not called.

    A fault counts where the claim then lies outside of tolerance and error bar, ``|r| - u > t``. It would have failed
    once a second look had supported that, and been inconclusive where there is none, as with ``refine="none"``, a
    budget that is spent, or values in single precision.

    Parameters
    ----------
    ledger : Ledger
        An audit, finished or not; entries that do not pass are left out.
    rtol, atol : float
        Tolerances.

    Returns
    -------
    tuple of SelfTest
        One for each array in which nothing fails; empty where there is no analytical gradient.
    """
    if not ledger.info["claimed"]:
        return ()
    tests = [_of_array(ledger, leaf, rtol, atol) for leaf in ledger.layout.leaves if leaf.size]
    return tuple(test for test in tests if test is not None)


def _of_array(ledger: Ledger, leaf: Leaf, rtol: float, atol: float) -> SelfTest | None:
    rms = array_rms(ledger, leaf)
    factor = sign = flat = entries = 0
    errors: list[FloatArray] = []
    whole: list[Stretch] = []
    for part in stretches(ledger, leaf, rms, rtol, atol):
        if np.isin(part.verdict, (FAIL, NONFINITE)).any():
            return None  # what is planted in a wrong claim is not seen for what it is
        right = np.isin(part.verdict, (PASS, KINK))
        entries += int(np.count_nonzero(right))
        flat += int(np.count_nonzero(right & (part.analytical == 0)))
        factor += int(np.count_nonzero(_caught(part, FACTOR * part.analytical, rms, rtol, atol) & right))
        sign += int(np.count_nonzero(_caught(part, -part.analytical, rms, rtol, atol) & right))
        errors.append(_least(part, rms, rtol, atol)[right & (part.analytical != 0)])
        if leaf.size <= MOST:
            whole.append(part)
    least = np.concatenate(errors) if errors else np.zeros(0)
    slices, transposed = (0, 0), None
    if whole and leaf.shape:
        slices, transposed = _in_one_piece(leaf, whole, rms, rtol, atol)
    return SelfTest(
        array=leaf.name,
        entries=entries,
        factor=factor,
        sign=sign,
        flat=flat,
        slices=slices,
        transposed=transposed,
        median_error=float(np.median(least)) if len(least) else math.inf,
        largest_error=float(least.max()) if len(least) else math.inf,
    )


def _caught(part: Stretch, claim: FloatArray, rms: float, rtol: float, atol: float) -> np.ndarray:
    """Where another claim would not have passed."""
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = tolerance(claim, part.numerical, rms, rtol, atol)
        return np.asarray(np.abs(claim - part.numerical) - part.uncertainty > allowed)


def _least(part: Stretch, rms: float, rtol: float, atol: float) -> FloatArray:
    """The relative error of each claim that would just not have passed, whatever its sign."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        allowed = tolerance(part.analytical, part.numerical, rms, rtol, atol)
        reach = allowed + part.uncertainty + np.abs(part.residual)
        # the tolerance grows with the claim
        return np.asarray(reach / (np.abs(part.analytical) * (1 - min(rtol, 0.5))))


def _in_one_piece(
    leaf: Leaf, whole: list[Stretch], rms: float, rtol: float, atol: float
) -> tuple[tuple[int, int], bool | None]:
    """Dropped slices, and the transpose."""
    dropped = np.concatenate([_caught(p, np.zeros_like(p.analytical), rms, rtol, atol) for p in whole])
    dropped = dropped.reshape(leaf.shape)
    seen = total = 0
    for axis, length in enumerate(leaf.shape):
        others = tuple(i for i in range(len(leaf.shape)) if i != axis)
        if length > 1:
            seen += int(np.count_nonzero(dropped.any(axis=others)))
            total += length
    if len(leaf.shape) < 2 or leaf.shape[-1] != leaf.shape[-2] or leaf.shape[-1] < 2:
        return (seen, total), None
    claim = np.concatenate([p.analytical for p in whole]).reshape(leaf.shape).swapaxes(-1, -2).reshape(-1)
    start, transposed = 0, False
    for part in whole:
        stop = start + len(part.analytical)
        transposed |= bool(_caught(part, claim[start:stop], rms, rtol, atol).any())
        start = stop
    return (seen, total), transposed
