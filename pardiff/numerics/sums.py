"""Sums of many terms: how far a sum has moved, without the rounding of the terms that have not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pardiff.numerics.stencils import FloatArray


def known_again(values: FloatArray) -> float:
    """A mean of absolute values by which an array is known again: it tells signs and places apart, and cancels nothing.

    Each value has a weight of its own, from a fixed seed, and one that is negative counts twice. The result is no
    larger than the largest of the values.

    >>> known_again(np.array([1.0, 2.0])) == known_again(np.array([2.0, 1.0]))
    False
    >>> known_again(np.array([1.0, 2.0])) == known_again(np.array([1.0, -2.0]))
    False
    """
    weighted = np.random.default_rng(0).uniform(0.25, 0.5, len(values)) / max(1, len(values)) * values
    return compensated_sum(np.where(weighted < 0, -2.0 * weighted, weighted))


def compensated_sum(values: FloatArray) -> float:
    r"""Sum with the rounding of every addition carried along.

    Halves are added pairwise until one number is left; what each addition rounds away is exact by Knuth's
    two-sum and is added up beside it [1]_. The error is that of the result's own rounding plus
    :math:`O(\epsilon^2 \log n) \sum |v|`. The order of the additions is fixed, and so are the bits.

    Parameters
    ----------
    values : ndarray, shape (n,)

    References
    ----------
    .. [1] T. Ogita, S. M. Rump, S. Oishi, Accurate sum and dot product, SIAM J. Sci. Comput. 26 (2005), 1955-1988.

    Examples
    --------
    >>> compensated_sum(np.array([1e16, 1.0, -1e16, 1.0]))
    2.0
    """
    lost = 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        while len(values) > 1:
            half = len(values) // 2
            a, b, odd = values[:half], values[half : 2 * half], values[2 * half :]
            total = a + b
            shadow = total - a
            lost += float(np.sum((a - (total - shadow)) + (b - shadow)))
            values = np.concatenate([total, odd])
    return float(values[0]) + lost if len(values) else 0.0


def moved(start: FloatArray, terms: NDArray[np.floating]) -> tuple[float, float]:
    """How far a sum of terms has moved from its start, and the size its rounding is in proportion to.

    Terms that have not changed at all drop out exactly. Each of the others is known to a rounding of its
    own, and roundings of different terms are independent: they add up as the root of the sum of squares.
    Where nothing has changed, one term may have rounded a change away.

    Parameters
    ----------
    start, terms : ndarray, shape (m,)
        Terms at x0 and at the displaced point.

    Returns
    -------
    change : float
    size : float
    """
    with np.errstate(invalid="ignore", over="ignore"):
        change = terms - start
        which = np.flatnonzero(change)
        if not len(which):
            return 0.0, float(np.max(np.abs(start), initial=0.0))
        sizes = np.maximum(np.abs(start[which]), np.abs(terms[which]))
        largest = float(sizes.max())
        return compensated_sum(change[which]), largest * float(np.sqrt(np.sum((sizes / largest) ** 2)))
