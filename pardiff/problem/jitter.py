"""Moves x0 off a point at which faults hide: the same way in every run, and within the bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.problem.space import FloatArray, Space

LEAST = 0.5
"""Smallest part of the largest move that a parameter makes, so that none stays where it is."""


def jitter(
    space: Space,
    arrays: list[NDArray[Any]],
    amount: float,
    typical: tuple[float, ...],
    bounds: tuple[FloatArray, FloatArray] | None,
    seed: int,
) -> None:
    """Move each parameter by between half of ``amount`` and all of it, times ``max(|x|, typical)``, in place.

    Parameters
    ----------
    arrays : list of ndarray
        The leaves of x0, which are changed; each keeps its dtype.
    amount : float
        Relative to the size of a parameter, or the typical one of its array.
    typical : tuple of float
        By array.
    bounds : pair of ndarray, shape (n,), or None
        A move that would leave them goes to the side with more room, and takes a part of that.
    seed : int

    Examples
    --------
    >>> from pardiff.problem.parsing import parse_x0
    >>> layout, arrays = parse_x0(np.ones(3))
    >>> jitter(layout, arrays, 0.1, (1.0,), (np.ones(3), np.full(3, 2.0)), 0)
    >>> bool(np.all((arrays[0] >= 1.05) & (arrays[0] <= 1.1)))
    True
    """
    rng = np.random.default_rng(seed)
    for leaf, array, size in zip(space.leaves, arrays, typical, strict=True):
        x = array.reshape(-1).astype(float)
        part, side = rng.uniform(LEAST, 1.0, leaf.size), rng.choice([-1.0, 1.0], leaf.size)
        most = float(np.finfo(array.dtype).max)
        low, high = np.full(leaf.size, -most), np.full(leaf.size, most)
        if bounds is not None:
            lower, upper = (side[leaf.start : leaf.stop] for side in bounds)
            low, high = np.maximum(low, lower), np.minimum(high, upper)
        wanted = amount * np.maximum(np.abs(x), size)
        with np.errstate(over="ignore"):
            up, down = high - x, x - low
        room = np.where(side > 0, up, down)
        other = np.where(side > 0, down, up)
        turned = (room < wanted) & (other > room)
        side[turned] *= -1.0
        moved = x + side * part * np.minimum(wanted, np.where(turned, other, room))
        flat = array.reshape(-1)
        flat[:] = np.clip(moved, low, high)
        # a dtype without digits for the move takes its next number
        stuck = (flat == x.astype(array.dtype)) & (np.where(turned, other, room) > 0)
        flat[stuck] = np.nextafter(flat[stuck], (side[stuck] * np.inf).astype(array.dtype))
        over = (flat < low) | (flat > high)  # rounding to the dtype must not carry it over a bound
        flat[over] = x[over]
