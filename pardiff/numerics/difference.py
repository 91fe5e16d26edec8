"""A derivative and its error bar from the values of fun at the points of a stencil."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pardiff.numerics.stencils import FloatArray, Stencil, differentiation_weights
from pardiff.numerics.tuning import CAUTION, SHORTEST, SMALLEST


class Errors(Protocol):
    """What tells the errors of values."""

    def errors(self, sizes: FloatArray) -> FloatArray:
        """Errors of values whose rounding is in proportion to ``sizes``, both of shape (rows, points)."""


@dataclass(frozen=True)
class Precision:
    """How well values of fun are known."""

    eps: float
    """Error relative to the size of a value: the machine epsilon with which fun computes, or its noise."""
    noise: float
    """Twice the standard deviation of measured noise, in the units of fun."""

    def errors(self, sizes: FloatArray) -> FloatArray:
        """Errors of values whose rounding is in proportion to ``sizes``."""
        # below the normal numbers, the spacing of values no longer shrinks with them
        return np.asarray(np.maximum(max(self.noise, SMALLEST), self.eps * sizes))


@dataclass(frozen=True)
class RowPrecision:
    """How well values are known, of which each row belongs to an observable with a precision of its own."""

    eps: FloatArray
    """Shape (rows, 1)."""
    noise: FloatArray

    def errors(self, sizes: FloatArray) -> FloatArray:
        """Errors of values whose rounding is in proportion to ``sizes``, of shape (rows, points)."""
        return np.asarray(np.maximum(np.maximum(self.noise, SMALLEST), self.eps * sizes))


def precision_of_rows(
    precisions: Sequence[Precision], observables: NDArray[np.int64] | slice, lines: int = 1
) -> Errors:
    """The precision of rows that belong to some observables, repeated for each line."""
    if len(precisions) == 1:
        return precisions[0]
    columns = (np.array([[getattr(one, name)] for one in precisions]) for name in ("eps", "noise"))
    return RowPrecision(*(np.tile(column[observables], (lines, 1)) for column in columns))


def difference(
    stencil: Stencil, taken: FloatArray, values: FloatArray, errors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Derivative at displacement 0, and the part of its error that comes from rounding.

    Parameters
    ----------
    stencil : Stencil
    taken : ndarray, shape (k, points)
        Displacements really taken.
    values : ndarray, shape (k, points)
        fun at those displacements.
    errors : ndarray, shape (k, points)
        Errors of those values.

    Returns
    -------
    derivative, rounding : ndarray, shape (k,)
        ``sum(w (f - f0))`` and ``2 sum(|w| error)``.
    """
    weights = differentiation_weights(taken, stencil.origin)
    derivative = np.zeros(len(taken))
    rounding = np.zeros(len(taken))
    # column by column: the order of the additions, and so the bits, do not depend on the block's length
    with np.errstate(invalid="ignore", over="ignore"):
        for j in stencil.moved:
            derivative += weights[:, j] * (values[:, j] - values[:, stencil.origin])
        for j in range(taken.shape[1]):
            rounding += np.abs(weights[:, j]) * errors[:, j]
    return derivative, CAUTION * rounding


def truncation(
    order: int, derivative: FloatArray, slope_jump: FloatArray, step: FloatArray, scale: FloatArray, room: FloatArray
) -> FloatArray:
    """Truncation error that is to be expected, without a further pass.

    If f varies over a length L then ``|f''| ~ |f'| / L`` and the error of a stencil of order p is about
    ``|f'| (h/L)**p``. L is taken from the change of slope over one step, ``h |f''| = |f'| h/L``, and is
    at most a part of the scale of x; where a bound is near, at which f may be singular, the powers
    beyond the first are of h over the distance to it. It is an estimate: where f'' happens to vanish it
    is too small, so that it may support a PASS, together with a small residual, but never a FAIL.

    Parameters
    ----------
    order : int
        p.
    bend : ndarray, shape (k,)
        Difference of the slopes on the two sides of x, ``h |f''|``; 0 where it is not known.
    step, scale : ndarray, shape (k,)
        h, and ``max(|x|, typical)``.
    room : ndarray, shape (k,)
        Distance to the nearest bound.
    """
    size = np.abs(derivative)
    change = np.maximum(slope_jump, size * step / (SHORTEST * scale))
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.divide(change, size, out=np.full_like(size, np.inf), where=size > 0)
        ratio = np.maximum(ratio, step / room)
        factor = np.ones_like(size)
        for _ in range(order - 1):
            factor = factor * ratio
    # 1/2 is three times the constant of the central rule of order 2, h**2 |f'''| / 6
    factor = factor / 2 if order > 1 else factor
    return change * np.where(factor < 1.0, factor, 1.0)


def slope_jump(stencil: Stencil, taken: FloatArray, values: FloatArray) -> FloatArray:
    """Change of slope across one step, ``h |f''|``, from the points of a stencil next to x.

    Parameters
    ----------
    taken, values : ndarray, shape (k, points)

    Returns
    -------
    ndarray, shape (k,)
        Difference between the slopes on the two sides of x for a central stencil, of the two nearest
        intervals for a one-sided one; 0 for the first-order stencils, whose two points do not show it.
    """
    if stencil.order == 1:
        return np.zeros(len(taken))
    middle = stencil.offsets.index(0)
    start = {"central": middle - 1, "forward": middle, "backward": middle - 2}[stencil.scheme]
    one, two = ((values[:, j + 1] - values[:, j]) / (taken[:, j + 1] - taken[:, j]) for j in (start, start + 1))
    return np.asarray(np.abs(two - one))
