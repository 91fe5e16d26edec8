"""The protocol that numerics, screening and fast paths share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from pardiff.numerics.difference import Precision
from pardiff.problem.space import FloatArray, IntArray

Bounds = tuple[FloatArray, FloatArray]

UNIT = 1e-3
"""Part of the typical size below which the size of x says little about the scale on which fun varies."""


class Evaluator(Protocol):
    """Values of fun at points displaced from x0.

    A value comes with the size that its rounding is in proportion to: its own, or that of the terms it is
    the sum of. Of a fun that returns terms, the value is the change from x0.
    """

    failures: dict[int, str]
    """What fun raised, by coordinate, since it was last cleared."""
    origin: tuple[float, float]
    """Value at x0, and its size; known once `at_start` was called."""

    def at_start(self) -> float:
        """fun at x0."""

    def point(self, index: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
        """Values of the coordinates in x0, bytes of their dtype, and numbers of their arrays, each of shape (k,)."""

    def along_coordinates(
        self, index: IntArray, displacement: FloatArray, place: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Values and sizes with coordinate ``index[j]`` alone moved by ``displacement[j, c]``, each of shape (k, m).

        The coordinates ascend. NaN where fun raised (noted in ``failures``) or where the displacement is NaN (no pass
        is spent). The bits of a value do not depend on what else is asked for. ``place`` says which of all the
        coordinates of a wave these are: neighbours may be evaluated together.
        """

    def along_coordinate(self, index: int, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same at some points along one coordinate, each of shape (m,)."""

    def along_direction(self, direction: FloatArray, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values and sizes at ``x0 + displacement[j] * direction``, each of shape (k,); direction has shape (n,)."""

    def imaginary(self, index: IntArray, step: float) -> tuple[FloatArray, FloatArray]:
        """``Im fun(x0 + i step e_j) / step`` and how far the real part is from fun at x0, each of shape (k,).

        NaN where fun raised or did not return a complex number.
        """

    def imaginary_direction(
        self, direction: FloatArray, displacement: FloatArray, step: float
    ) -> tuple[FloatArray, FloatArray]:
        """The same for ``x0 + (displacement[j] + i step) direction``."""

    def confirm(self, index: IntArray, displacement: FloatArray, place: IntArray) -> None:
        """Keep the changes at a displacement of each coordinate for `verify`: searches have chosen them."""

    def verify(self, precision: Precision) -> tuple[str, int]:
        """Compare some of the last values with fun itself: what is wrong with them, if anything, and passes spent."""

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun has changed its argument."""


@dataclass(frozen=True)
class Coordinates:
    """Some coordinates of x0, with all that steps depend on; every field has shape (k,)."""

    index: IntArray
    place: IntArray
    """Their numbers in the wave."""
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
        cls,
        evaluator: Evaluator,
        index: IntArray,
        bounds: Bounds | None,
        typical: tuple[float, ...],
        first: int = 0,
    ) -> Coordinates:
        """Look coordinates up.

        Parameters
        ----------
        typical : tuple of float
            Typical size by array.
        first : int
            Number of the first in its wave; the others follow it.
        """
        x, itemsize, array = evaluator.point(index)
        most = np.full(len(index), float(np.finfo(np.float64).max))
        for dtype in (np.float16, np.float32):
            most[itemsize == np.dtype(dtype).itemsize] = float(np.finfo(dtype).max)
        lower, upper = -most, most
        if bounds is not None:
            lower, upper = np.maximum(bounds[0][index], lower), np.minimum(bounds[1][index], upper)
        place = np.arange(first, first + len(index))
        return cls(index, place, x, itemsize, np.array(typical)[array], lower, upper)

    def __getitem__(self, rows: IntArray | slice) -> Coordinates:
        """Some of them."""
        return Coordinates(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        """k."""
        return len(self.index)

    @property
    def unit(self) -> FloatArray:
        """``max(|x|, typical / 1000)``: how far the lines of the start go in each of them, relatively."""
        return np.asarray(np.maximum(np.abs(self.x), UNIT * self.typical))

    @property
    def scale(self) -> FloatArray:
        """``max(|x|, typical)``."""
        return np.asarray(np.maximum(np.abs(self.x), self.typical))
