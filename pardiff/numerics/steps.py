"""Step sizes, and the displacements that are really taken: inside the bounds and representable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.numerics.stencils import FloatArray, Stencil

IntArray = NDArray[np.int64]

SHORT: dict[int, Any] = {2: np.float16, 4: np.float32}
"""The dtypes shorter than float64, by their bytes."""
LARGEST = float(np.nextafter(np.finfo(np.float64).max, 0.0))


def power_of_two(step: FloatArray) -> FloatArray:
    """The power of two nearest on a logarithmic scale: x + step then rounds less.

    >>> power_of_two(np.array([6.06e-6, 1.0, 3.0])) == np.array([2.0**-17, 1.0, 4.0])
    array([ True,  True,  True])
    """
    mantissa, exponent = np.frexp(step)
    # mantissa is in [1/2, 1); 1/sqrt(2) is the middle of that octave
    return np.asarray(np.ldexp(1.0, exponent - (mantissa < 0.7071067811865476)))


def spacing(x: FloatArray, itemsize: IntArray) -> FloatArray:
    """Distance of x to the next larger number of its dtype, shape (k,)."""
    # the largest number of all has no next one
    out = np.spacing(np.minimum(np.abs(x), LARGEST))
    for size, dtype in SHORT.items():
        rows = itemsize == size
        if rows.any():
            out[rows] = np.spacing(
                np.minimum(np.abs(x[rows]).astype(dtype), np.nextafter(np.finfo(dtype).max, dtype(0)))
            )
    return np.asarray(out)


def steps(
    x: FloatArray,
    itemsize: IntArray,
    typical: FloatArray,
    order: int,
    eps: float,
    rel_step: float | None = None,
    abs_step: float | None = None,
) -> FloatArray:
    """Step for each coordinate before bounds are looked at.

    With a machine epsilon ``eps`` the error of a stencil of order p is about
    ``eps |f| / h + h**p |f^(p+1)|``, smallest near ``h = eps**(1/(p+1))`` in the unit in which f
    varies, here ``max(|x|, typical)`` [1]_. Automatic steps are powers of two, and at least two spacings
    of the numbers of the parameter's own dtype; a step that the user gave is taken as it is.

    Parameters
    ----------
    x : ndarray, shape (k,)
    itemsize : ndarray of int, shape (k,)
        Bytes of the dtype in which each parameter is stored.
    typical : ndarray, shape (k,)
        Typical size of each parameter.
    order : int
        p.
    eps : float
        Relative precision of the value of fun.
    rel_step, abs_step : float or None
        ``rel_step * max(|x|, typical)``, or ``abs_step`` in the units of x.

    References
    ----------
    .. [1] P. Gill, W. Murray, M. Wright, Practical Optimization, Academic Press 1981, section 8.6.
    """
    if abs_step is not None:
        return np.full_like(x, abs_step)
    scale = np.maximum(np.abs(x), typical)
    if rel_step is not None:
        return rel_step * scale
    return np.maximum(power_of_two(eps ** (1.0 / (order + 1)) * scale), 2.0 * spacing(x, itemsize))


def largest_step(x: FloatArray, stencil: Stencil, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """The largest step with which all points of a stencil lie within the bounds, shape (k,)."""
    below, above = stencil.reach
    with np.errstate(over="ignore"):
        room = np.full_like(x, np.inf)
        if below:
            room = np.minimum(room, (x - lower) / below)
        if above:
            room = np.minimum(room, (upper - x) / above)
    return room


def fit(
    x: FloatArray, step: FloatArray, stencils: Sequence[Stencil], lower: FloatArray, upper: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Choose for each coordinate the first stencil that fits within its bounds.

    Where none fits, the stencil that allows the largest step is taken with that step; where there is
    no room at all the step is 0.

    Returns
    -------
    choice : ndarray of int, shape (k,)
        Number of the stencil.
    step : ndarray, shape (k,)
    """
    room = largest_step(x, stencils[0], lower, upper)
    if (room >= step).all():
        return np.zeros(len(x), dtype=np.int64), step
    rooms = np.stack([largest_step(x, stencil, lower, upper) for stencil in stencils])
    fits = rooms >= step
    choice = np.where(fits.any(axis=0), fits.argmax(axis=0), rooms.argmax(axis=0))
    return choice, np.minimum(step, rooms[choice, np.arange(len(x))])


def displacements(
    x: FloatArray,
    step: FloatArray,
    stencil: Stencil,
    itemsize: IntArray,
    lower: FloatArray,
    upper: FloatArray,
) -> FloatArray:
    """Displacements that are really taken: ``fl(x + offset * step) - x``, never across a bound.

    Parameters
    ----------
    itemsize : ndarray of int, shape (k,)
        Bytes of the dtype in which each parameter is stored: 2, 4 or 8.

    Returns
    -------
    ndarray, shape (k, points)
        NaN where the step is lost in rounding (two points of the stencil fall together).
    """
    # column after column in memory: they are what one computes with
    taken = np.multiply(step[:, None], np.array(stencil.offsets, dtype=float), order="F")
    with np.errstate(over="ignore", invalid="ignore"):
        taken = _stored(x[:, None] + taken, itemsize) - x[:, None]
        within = (x + taken[:, 0] >= lower).all() and (x + taken[:, -1] <= upper).all()
        outside = np.zeros(len(x), dtype=bool) if within else np.ones_like(taken, dtype=bool)
        for _ in range(0 if within else 4):  # rounding can carry a point across a bound by one unit in the last place
            point = _stored(x[:, None] + taken, itemsize)
            outside = (point > upper[:, None]) | (point < lower[:, None])
            if not outside.any():
                break
            nearer = _toward_zero(point, x[:, None], itemsize) - x[:, None]
            # the neighbouring point can lie closer than displacements of this size are spaced
            nearer = np.where(nearer == taken, np.nextafter(taken, 0.0), nearer)
            taken = np.where(outside, nearer, taken)
        good = ~outside.reshape(len(x), -1).any(axis=1)
    for j in range(1, len(stencil.offsets)):
        good &= taken[:, j - 1] < taken[:, j]
    if not good.all():
        taken[~good] = np.nan
    return np.asarray(taken)


def _stored(points: FloatArray, itemsize: IntArray) -> FloatArray:
    """The points as a parameter of its dtype holds them."""
    out = points
    for size, dtype in SHORT.items():
        rows = itemsize == size
        if rows.any():
            out = out.copy(order="K") if out is points else out
            out[rows] = points[rows].astype(dtype)
    return out


def _toward_zero(point: FloatArray, x: FloatArray, itemsize: IntArray) -> FloatArray:
    """The neighbouring stored value on the side of x."""
    out = np.nextafter(point, x)
    for size, dtype in SHORT.items():
        rows = itemsize == size
        if rows.any():
            out[rows] = np.nextafter(point[rows].astype(dtype), x[rows].astype(dtype))
    return out
