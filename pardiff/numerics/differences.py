"""A derivative and its error bar from the values of fun at the points of a stencil."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pardiff.numerics.stencils import FloatArray, Stencil, differentiation_weights

CAUTION = 2.0
"""Factor on the error of each value of fun; with a noise of two standard deviations that makes four."""


SMALLEST = 5e-324
"""Spacing of the smallest float64 numbers."""


@dataclass(frozen=True)
class Precision:
    """How well values of fun are known."""

    eps: float
    """Machine epsilon of the less precise of x0 and fun's value: relative, and what steps follow from."""
    noise: float
    """Twice the standard deviation of measured noise, in the units of fun."""


def difference(
    stencil: Stencil, taken: FloatArray, values: FloatArray, precision: Precision
) -> tuple[FloatArray, FloatArray]:
    """Derivative at displacement 0, and the part of its error that comes from rounding.

    Parameters
    ----------
    taken : ndarray, shape (k, points)
        Displacements really taken.
    values : ndarray, shape (k, points)
        fun at those displacements.
    precision : Precision

    Returns
    -------
    derivative, rounding : ndarray, shape (k,)
        ``sum(w f)`` and ``2 sum(|w| max(noise, eps |f|))``.
    """
    weights = differentiation_weights(taken)
    derivative = np.zeros(len(taken))
    rounding = np.zeros(len(taken))
    # column by column: the order of the additions, and so the bits, do not depend on the block's length
    with np.errstate(invalid="ignore", over="ignore"):
        for j in range(len(stencil.offsets)):
            derivative += weights[:, j] * values[:, j]
            # below the normal numbers, the spacing of values no longer shrinks with them
            error = np.maximum(max(precision.noise, SMALLEST), precision.eps * np.abs(values[:, j]))
            rounding += np.abs(weights[:, j]) * error
    return derivative, CAUTION * rounding


def truncation(
    stencil: Stencil, derivative: FloatArray, curvature: FloatArray, step: FloatArray, scale: FloatArray
) -> FloatArray:
    """Truncation error that is to be expected, without a further pass.

    If f varies over a length L then ``|f''| ~ |f'| / L`` and the error of a stencil of order p is about
    ``|f'| (h/L)**p``. L is taken from the change of slope over one step, ``h |f''| = |f'| h/L``, and is
    at most the scale of x. It is an estimate: where f'' happens to vanish it is too small, so that it
    may support a PASS, together with a small residual, but never a FAIL.

    Parameters
    ----------
    curvature : ndarray, shape (k,)
        Difference of the slopes on the two sides of x, ``h |f''|``; 0 where it is not known.
    step, scale : ndarray, shape (k,)
        h, and ``max(|x|, 1)``.
    """
    size = np.abs(derivative)
    change = np.maximum(curvature, size * step / scale)
    ratio = np.divide(change, size, out=np.full_like(size, np.inf), where=size > 0)
    factor = np.ones_like(size)
    with np.errstate(over="ignore"):
        for _ in range(stencil.order - 1):
            factor = factor * ratio
    # 1/2 is three times the constant of the central rule of order 2, h**2 |f'''| / 6
    factor = factor / 2 if stencil.order > 1 else factor
    return change * np.where(factor < 1.0, factor, 1.0)


def curvature(stencil: Stencil, taken: FloatArray, values: FloatArray, f0: float) -> FloatArray:
    """Change of slope across one step, ``h |f''|``, from the points of a stencil and fun at x0.

    Returns
    -------
    ndarray, shape (k,)
        0 for the first-order stencils, whose two points do not show it.
    """
    offsets = list(stencil.offsets)
    if stencil.scheme == "central":
        one, two = offsets.index(-1), offsets.index(1)
        return np.asarray(np.abs((values[:, two] - f0) / taken[:, two] - (values[:, one] - f0) / taken[:, one]))
    if stencil.order == 1:
        return np.zeros(len(taken))
    sign = 1 if stencil.scheme == "forward" else -1
    one, two = offsets.index(sign), offsets.index(2 * sign)
    near = (values[:, one] - f0) / taken[:, one]
    far = (values[:, two] - values[:, one]) / (taken[:, two] - taken[:, one])
    return np.asarray(np.abs(far - near))
