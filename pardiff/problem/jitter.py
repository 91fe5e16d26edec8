"""Moves x0 off a point at which faults hide: the same way in every run, and within the bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.problem.parameters import FloatArray, Layout

LEAST = 0.5
"""Smallest part of the largest move that a parameter makes, so that none stays where it is."""


def jitter(
    layout: Layout,
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
        A move that would leave them is made the other way, or ends at the bound.
    seed : int

    Examples
    --------
    >>> from pardiff.problem.parameters import parse_parameters
    >>> layout, arrays = parse_parameters(np.ones(3))
    >>> jitter(layout, arrays, 0.1, (1.0,), (np.ones(3), np.full(3, 2.0)), 0)
    >>> bool(np.all((arrays[0] >= 1.05) & (arrays[0] <= 1.1)))
    True
    """
    rng = np.random.default_rng(seed)
    for leaf, array, size in zip(layout.leaves, arrays, typical, strict=True):
        x = array.reshape(-1).astype(float)
        move = rng.uniform(LEAST, 1.0, leaf.size) * rng.choice([-1.0, 1.0], leaf.size)
        move *= amount * np.maximum(np.abs(x), size)
        if bounds is not None:
            low, high = (side[leaf.start : leaf.stop] for side in bounds)
            outside = (x + move < low) | (x + move > high)
            move[outside] *= -1.0
            moved = np.clip(x + move, low, high)
        else:
            moved = x + move
        array[...] = moved.reshape(array.shape)
        if bounds is not None:  # rounding to the dtype must not carry it over a bound
            flat = array.reshape(-1)
            over = (flat < low) | (flat > high)
            flat[over] = x[over]
