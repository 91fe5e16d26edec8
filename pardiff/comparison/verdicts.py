"""The three-way verdict on a derivative, as pure functions of arrays."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation import fixed_stencil as estimate
from pardiff.problem.space import FloatArray
from pardiff.storage.format import ERROR, FAIL, INCONCLUSIVE, KINK, MISSING, NONFINITE, PASS

FLOOR = 1e-3
"""Part of an array's root mean square below which an entry is compared with the array instead of itself."""


TILE = 1 << 13
"""Entries that are judged together: arrays of so many numbers stay in a core's cache."""


class Verdict(Enum):
    """Verdict on an array or on a whole audit; its value is a sentence."""

    PASS = "the analytical gradient is right to within the tolerance, error bars included"
    FAIL = "the analytical gradient is wrong by more than the tolerance and the error bars allow"
    INCONCLUSIVE = "the evidence is too weak to decide; a looser rtol, an atol or a higher order may"

    def __str__(self) -> str:
        """The name alone."""
        return self.name


class RootMeanSquare:
    """Root mean square of the finite numbers of many stretches, safe from overflow.

    >>> rms = RootMeanSquare()
    >>> rms.add(np.array([3e200, 4e200, np.nan]))
    >>> bool(np.isclose(rms.value, 3.5355339e200))
    True
    """

    def __init__(self) -> None:
        self._scale = 0.0
        self._sum = 0.0
        self._count = 0

    def add(self, values: FloatArray) -> None:
        """Take in a stretch."""
        values = np.abs(values[np.isfinite(values)])
        self._count += values.size
        largest = float(values.max(initial=0.0))
        if largest > self._scale:
            self._sum *= (self._scale / largest) ** 2
            self._scale = largest
        if self._scale:
            self._sum += float(np.sum((values / self._scale) ** 2))

    @property
    def value(self) -> float:
        """0 where there was no finite number."""
        return float(self._scale * np.sqrt(self._sum / self._count)) if self._count else 0.0


def tolerance(analytical: FloatArray, numerical: FloatArray, rms: float, rtol: float, atol: float) -> FloatArray:
    """``atol + rtol max(|a|, |d|) + 1e-3 rtol rms``: scale-free unless atol is set.

    Parameters
    ----------
    analytical, numerical : ndarray, shape (k,)
    rms : float
        Root mean square of the numerical gradient over the whole array.
    """
    with np.errstate(over="ignore"):
        size = np.maximum(np.abs(analytical), np.abs(numerical))
        return np.asarray(atol + rtol * size + FLOOR * rtol * rms)


def judge(
    analytical: FloatArray,
    numerical: FloatArray,
    uncertainty: FloatArray,
    margin: FloatArray,
    state: NDArray[Any],
    rms: float,
    rtol: float,
    atol: float,
    *,
    claimed: bool = True,
) -> tuple[FloatArray, NDArray[np.int8]]:
    """Residual and verdict of some entries of one array.

    PASS where the truth lies within the tolerance, ``|r| + u <= t``; FAIL where it does not, ``|r| - m > t``
    with a margin m of at least u, so that a smaller step has refuted the claim as well. Both comparisons are
    false for NaN, which therefore never passes. The error bar of the fixed stencil supports no FAIL: until
    the step search has looked at an entry, as in an unfinished audit, it is INCONCLUSIVE. At a kink the bar
    spans the slopes on both sides of x, and what lies between them is a KINK: a derivative that does not
    exist cannot be wrong. And where fun does not change by a bit, a claim of exactly 0 passes, though no
    tolerance relative to 0 has room for a bar.

    Parameters
    ----------
    analytical, numerical, uncertainty, margin : ndarray, shape (k,)
    state : ndarray of int, shape (k,)
        What became of the numerical derivative, a number in ``estimate.STATES``.
    claimed : bool
        False where the problem has no analytical gradient: then nothing passes and nothing fails.

    Returns
    -------
    residual : ndarray, shape (k,)
        Analytical minus numerical.
    verdict : ndarray of int8, shape (k,)
    """
    if len(analytical) > TILE:
        residual, verdict = np.empty(len(analytical)), np.empty(len(analytical), dtype=np.int8)
        for start in range(0, len(analytical), TILE):
            t = slice(start, start + TILE)
            residual[t], verdict[t] = judge(
                analytical[t], numerical[t], uncertainty[t], margin[t], state[t], rms, rtol, atol, claimed=claimed
            )
        return residual, verdict
    with np.errstate(invalid="ignore", over="ignore"):
        residual = analytical - numerical
        size = np.abs(residual)
        allowed = tolerance(analytical, numerical, rms, rtol, atol)
        verdict = np.full(len(residual), INCONCLUSIVE, dtype=np.int8)
        verdict[size + uncertainty <= allowed] = PASS
        verdict[state == estimate.KINKED] = KINK
        verdict[
            (size - np.fmax(uncertainty, margin) > allowed)
            & np.isin(state, (estimate.SEARCHED, estimate.KINKED, estimate.FLAT))
        ] = FAIL
        # an infinite tolerance, of an infinite derivative, allows nothing
        verdict[~np.isfinite(size + uncertainty + allowed)] = INCONCLUSIVE
        verdict[(state == estimate.FLAT) & (analytical == 0.0)] = PASS
    if claimed:
        verdict[~np.isfinite(analytical)] = NONFINITE
    verdict[state == estimate.NONFINITE] = NONFINITE
    verdict[state == estimate.NO_ROOM] = INCONCLUSIVE
    verdict[(state == estimate.ERROR) | (state == estimate.CRASHED)] = ERROR
    verdict[state == estimate.MISSING] = MISSING
    return residual, verdict


def relative(size: FloatArray, analytical: FloatArray, numerical: FloatArray, rms: float) -> FloatArray:
    """A size relative to ``max(|a|, |d|)``, or to a thousandth of the rms where both are smaller."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        base = np.fmax(np.fmax(np.abs(analytical), np.abs(numerical)), FLOOR * rms)
        return np.where(size == 0, 0.0, size / base)


def needed_rtol(reach: FloatArray, analytical: FloatArray, numerical: FloatArray, rms: float) -> FloatArray:
    """The rtol at which ``reach = |r| + u`` equals the tolerance, with atol 0; NaN where nothing is known."""
    unit = tolerance(analytical, numerical, rms, 1.0, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(reach == 0, 0.0, reach / unit)


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL if any fails, PASS if all pass (and there is one)."""
    found = set(verdicts)
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return Verdict.PASS if found == {Verdict.PASS} else Verdict.INCONCLUSIVE


def worst_status(statuses: Iterable[int]) -> int:
    """The exit status of several: a mismatch first, then bad input, incomplete, inconclusive, pass."""
    found = set(statuses)
    return next((status for status in (1, 2, 4, 3) if status in found), 0)
