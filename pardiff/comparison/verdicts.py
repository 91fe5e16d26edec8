"""The three-way verdict on a derivative, as pure functions of arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from pardiff.numerics import estimates
from pardiff.numerics.estimates import Estimates
from pardiff.numerics.tuning import FLOOR
from pardiff.problem.space import FloatArray
from pardiff.storage.format import ERROR, FAIL, INCONCLUSIVE, KINK, MISSING, NONFINITE, PASS

TOGETHER = 1 << 13
"""Entries that are judged together: arrays of so many numbers stay in a core's cache."""


class Verdict(Enum):
    """Verdict on an array or on a whole audit; its value is a sentence."""

    PASS = "the analytical derivative is right to within the tolerance, error bars included"
    FAIL = "the analytical derivative is wrong by more than the tolerance and the error bars allow"
    INCONCLUSIVE = "the evidence is too weak to decide; a looser rtol, an atol or a higher order may decide it"

    def __str__(self) -> str:
        """The name alone."""
        return self.name


class RootMeanSquare:
    """Root mean square of the finite numbers of many chunks, safe from overflow.

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
        """Take in a chunk."""
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


@dataclass(frozen=True)
class Tolerance:
    """How far an analytical derivative may be from the truth."""

    rtol: float
    atol: float

    def allowed(self, analytical: FloatArray, numerical: FloatArray, rms: float) -> FloatArray:
        """``atol + rtol max(|a|, |d|) + 1e-3 rtol rms``: scale-free unless atol is set.

        Parameters
        ----------
        analytical, numerical : ndarray, shape (k,)
        rms : float
            Root mean square of the numerical derivative over the whole array.
        """
        with np.errstate(over="ignore"):
            size = np.maximum(np.abs(analytical), np.abs(numerical))
            return np.asarray(self.atol + self.rtol * size + FLOOR * self.rtol * rms)


def judge(
    analytical: FloatArray, found: Estimates, rms: float, tolerance: Tolerance, *, has_analytical: bool = True
) -> tuple[FloatArray, NDArray[np.int8]]:
    """Residual and verdict of some entries of one array.

    PASS where the truth lies within the tolerance, ``|r| + u <= t``; FAIL where it does not, ``|r| - m > t``
    with a margin m of at least u, so that a smaller step has refuted the analytical derivative as well. Both
    comparisons are false for NaN, which therefore never passes. The error bar of the fixed stencil supports no FAIL:
    until the step search has looked at an entry, as in an unfinished audit, it is INCONCLUSIVE. At a kink the bar
    spans the slopes on both sides of x, and what lies between them is a KINK: a derivative that does not
    exist cannot be wrong. And where fun does not change by a bit, a derivative of exactly 0 passes, though no
    tolerance relative to 0 has room for a bar.

    Parameters
    ----------
    analytical : ndarray, shape (k,)
    found : Estimates
        Of shape (k,).
    rms : float
        Root mean square of the numerical derivative over the whole array.
    tolerance : Tolerance
    has_analytical : bool
        False where the problem has no analytical derivative: then nothing passes and nothing fails.

    Returns
    -------
    residual : ndarray, shape (k,)
        Analytical minus numerical.
    verdict : ndarray of int8, shape (k,)
    """
    if len(analytical) > TOGETHER:
        residual, verdict = np.empty(len(analytical)), np.empty(len(analytical), dtype=np.int8)
        for start in range(0, len(analytical), TOGETHER):
            t = slice(start, start + TOGETHER)
            part = found.part(t, copy=False)
            residual[t], verdict[t] = judge(analytical[t], part, rms, tolerance, has_analytical=has_analytical)
        return residual, verdict
    state, uncertainty = found.state, found.uncertainty
    with np.errstate(invalid="ignore", over="ignore"):
        residual = analytical - found.numerical
        size = np.abs(residual)
        allowed = tolerance.allowed(analytical, found.numerical, rms)
        verdict = np.full(len(residual), INCONCLUSIVE, dtype=np.int8)
        verdict[size + uncertainty <= allowed] = PASS
        verdict[state == estimates.KINKED] = KINK
        verdict[
            (size - np.fmax(uncertainty, found.margin) > allowed)
            & np.isin(state, (estimates.SEARCHED, estimates.KINKED, estimates.FLAT))
        ] = FAIL
        # an infinite tolerance, of an infinite derivative, allows nothing
        verdict[~np.isfinite(size + uncertainty + allowed)] = INCONCLUSIVE
        verdict[(state == estimates.FLAT) & (analytical == 0.0)] = PASS
    if has_analytical:
        verdict[~np.isfinite(analytical)] = NONFINITE
    verdict[state == estimates.NONFINITE] = NONFINITE
    verdict[state == estimates.NO_ROOM] = INCONCLUSIVE
    verdict[(state == estimates.ERROR) | (state == estimates.CRASHED)] = ERROR
    verdict[state == estimates.MISSING] = MISSING
    return residual, verdict


def relative(size: FloatArray, analytical: FloatArray, numerical: FloatArray, rms: float) -> FloatArray:
    """A size relative to ``max(|a|, |d|)``, or to a thousandth of the rms where both are smaller."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        base = np.fmax(np.fmax(np.abs(analytical), np.abs(numerical)), FLOOR * rms)
        return np.where(size == 0, 0.0, size / base)


def needed_rtol(reach: FloatArray, analytical: FloatArray, numerical: FloatArray, rms: float) -> FloatArray:
    """The rtol at which ``reach = |r| + u`` equals the tolerance, with atol 0; NaN where nothing is known."""
    unit = Tolerance(1.0, 0.0).allowed(analytical, numerical, rms)
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
