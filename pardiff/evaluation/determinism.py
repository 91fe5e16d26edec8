"""A gradient that is not the same when it is computed again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pardiff.problem.named_arrays import NamedArray
from pardiff.problem.space import FloatArray

LAST_BITS = 1e-12
"""Difference of two gradients, relative to the largest entry, up to which the order of sums may explain it."""


def differing_arrays(arrays: Sequence[NamedArray], first: FloatArray, again: FloatArray) -> tuple[str, ...]:
    """Names of the arrays in which two derivatives differ by more than last bits."""
    found = []
    for leaf in arrays:
        one, other = first[leaf.start : leaf.stop], again[leaf.start : leaf.stop]
        if np.array_equal(one, other, equal_nan=True):
            continue
        size = np.abs(one[np.isfinite(one)]).max(initial=0.0)
        with np.errstate(invalid="ignore"):
            same = (np.abs(one - other) <= LAST_BITS * size) | (np.isnan(one) & np.isnan(other)) | (one == other)
        if not same.all():
            found.append(leaf.name)
    return tuple(found)
