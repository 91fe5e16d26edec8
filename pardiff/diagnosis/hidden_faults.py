"""Properties of a test point that hide faults: at it, some wrong gradients are right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from math import gcd

import numpy as np

from pardiff.diagnosis.evidence import BARS, MATCH
from pardiff.problem.space import FloatArray

FEW = 0.5
"""Share of different values in an array below which it is said to repeat them."""
LEAST = 4
"""Entries from which repeats, and equal derivatives, say something."""
TILE = 8
"""Common divisor of all lengths from which the remainders of tiles stay unseen."""
KNOWN = 1e-3
"""Error bar, as a part of the largest derivative, up to which derivatives can be said to be the same."""
NAMED = 3
"""Arrays named of each kind."""

HIDES: Mapping[str, str] = {
    "zero": "{} {is} 0 everywhere, which hides terms that are proportional to {it}",
    "constant": "all entries of {} are the same, which hides permutations and lost factors",
    "repeated": "{} {has} few different values, which hides permutations",
    "symmetric": "{} {is} symmetric, which hides a transposition",
    "insensitive": "the derivative is 0 all over {}, on which fun may not depend at all",
    "uniform": "the derivative is the same all over {}, which hides permutations",
    "symmetric_derivative": "the derivative of {} is symmetric, so that its transpose would pass",
}
"""What is said of arrays with a property."""
ONE, SEVERAL = {"is": "is", "has": "has", "it": "it"}, {"is": "are", "has": "have", "it": "them"}


def properties(x: FloatArray, d: FloatArray, u: FloatArray) -> list[str]:
    """Properties of one array that hide faults, as keys of `HIDES`.

    Parameters
    ----------
    x, d, u : ndarray
        x0, the numerical derivative and its error bar, in the array's shape; d is NaN where it is not known.

    Examples
    --------
    >>> properties(np.zeros(3), np.ones(3), np.zeros(3))
    ['zero']
    >>> properties(np.array([[1.0, 3.0], [3.0, 2.0]]), np.array([[1.0, 2.0], [2.0, 5.0]]), np.zeros((2, 2)))
    ['symmetric', 'symmetric_derivative']
    """
    found = []
    if x.size > 1 and (x == x.flat[0]).all():
        found.append("constant" if x.flat[0] else "zero")
    elif x.size >= LEAST and len(np.unique(x)) <= FEW * x.size:
        found.append("repeated")
    square = x.ndim >= 2 and x.shape[-1] == x.shape[-2] > 1
    turned = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    if square and not found and np.array_equal(x, x.transpose(turned)):
        found.append("symmetric")
    known = np.isfinite(d)
    if not known.all() or not d.size:
        return found
    if not d.any():
        return [*found, "insensitive"]
    with np.errstate(over="ignore"):
        largest = np.abs(d).max()
        if (u > KNOWN * largest).any():
            return found  # what is known so badly is not known to be the same
        if d.size >= LEAST and (np.abs(d - np.median(d)) <= MATCH * largest + BARS * u).all():
            return found if "constant" in found else [*found, "uniform"]
        if square:
            off = np.abs(d - d.transpose(turned))
            if (off <= MATCH * largest + BARS * (u + u.transpose(turned))).all():
                found.append("symmetric_derivative")
    return found


def hidden_by_values(named: Iterable[tuple[str, list[str]]]) -> str:
    """What the values of all arrays together hide; empty where they hide nothing.

    Parameters
    ----------
    named : iterable of (name, properties)
    """
    by_property: dict[str, list[str]] = {}
    for name, found in named:
        for key in found:
            by_property.setdefault(key, []).append(name)
    parts = []
    for key in HIDES:
        names = by_property.get(key, [])
        if names:
            many = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
            parts.append(HIDES[key].format(many, **(SEVERAL if len(names) > 1 else ONE)))
    return "; ".join(parts)


def hidden_by_lengths(lengths: Iterable[int]) -> str:
    """What the lengths of all axes of all arrays hide; empty where they hide nothing.

    >>> hidden_by_lengths([16, 64])
    'all lengths of axes are multiples of 16, which hides faults at the rest of a tile'
    >>> hidden_by_lengths([20, 30])
    ''
    """
    long = sorted({length for length in lengths if length > 1})
    common = reduce(gcd, long, 0)
    if len(long) < 2 or common % TILE:
        return ""
    return f"all lengths of axes are multiples of {common}, which hides faults at the rest of a tile"
