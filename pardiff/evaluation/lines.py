"""Lines through x0 along which fun is evaluated: one coordinate moved at a time, or a direction."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from pardiff.numerics.tuning import UNIT
from pardiff.problem.space import FloatArray, IntArray

Bounds = tuple[FloatArray, FloatArray]
"""Lower and upper, each of shape (n,)."""


class Values(NamedTuple):
    """What is taken of fun at some points, each of shape (k, points, q), or (q,) at x0."""

    value: FloatArray
    size: FloatArray
    """What the rounding of each value is in proportion to."""


class Point(NamedTuple):
    """What x0 says of some coordinates, each of shape (k,)."""

    x: FloatArray
    itemsize: IntArray
    """Bytes of the dtype."""
    array: IntArray
    """Number of the array."""


@dataclass(frozen=True)
class Axes:
    """k lines along which one coordinate moves alone, with all that steps depend on; every field has shape (k,)."""

    index: IntArray
    """The coordinates, ascending."""
    wave_position: IntArray
    """Their numbers in the wave: neighbours may be evaluated together."""
    x: FloatArray
    itemsize: IntArray
    """Bytes of the dtype."""
    typical: FloatArray
    """Typical size."""
    lower: FloatArray
    """Bounds, and the largest numbers that the dtypes hold."""
    upper: FloatArray

    @classmethod
    def of(
        cls, index: IntArray, point: Point, bounds: Bounds | None, typical: tuple[float, ...], first: int = 0
    ) -> Axes:
        """Lines along some coordinates.

        Parameters
        ----------
        point : Point
            Of these coordinates.
        typical : tuple of float
            Typical size by array.
        first : int
            Number of the first in its wave; the others follow it.
        """
        x, itemsize, array = point
        most = np.full(len(index), float(np.finfo(np.float64).max))
        for dtype in (np.float16, np.float32):
            most[itemsize == np.dtype(dtype).itemsize] = float(np.finfo(dtype).max)
        lower, upper = -most, most
        if bounds is not None:
            lower, upper = np.maximum(bounds[0][index], lower), np.minimum(bounds[1][index], upper)
        return cls(index, np.arange(first, first + len(index)), x, itemsize, np.array(typical)[array], lower, upper)

    def __getitem__(self, rows: IntArray | slice) -> Axes:
        """Some of them."""
        return Axes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        """k."""
        return len(self.index)

    @property
    def unit(self) -> FloatArray:
        """``max(|x|, typical / 1000)``: how far the lines of the baseline go in each of them, relatively."""
        return np.asarray(np.maximum(np.abs(self.x), UNIT * self.typical))

    @property
    def scale(self) -> FloatArray:
        """``max(|x|, typical)``."""
        return np.asarray(np.maximum(np.abs(self.x), self.typical))


@dataclass(frozen=True)
class Direction:
    """One line, ``x0 + t vector``, in which some coordinates move together."""

    vector: FloatArray
    """Shape (k,): by how much each of the coordinates moves with t = 1."""
    index: IntArray | None = None
    """The coordinates, shape (k,); None for all of x0."""

    def __len__(self) -> int:
        """The number of lines."""
        return 1


Lines = Axes | Direction
