"""What the fast evaluators share: a plain one beside them, against which they are checked."""

from __future__ import annotations

import numpy as np

from pardiff.evaluation.evaluator import Coordinates
from pardiff.evaluation.pointwise import Pointwise
from pardiff.numerics.differences import Precision
from pardiff.problem.parameters import FloatArray, IntArray

AGREEMENT = 32.0
"""Errors of fun's values by which a fast evaluator may be off; the error bar of a difference allows for about four."""
RELATIVE = 1e-9
"""Part of a change by which it may be off besides: of large ones more digits are lost than fun's values have."""
MOST_CHECKS = 8
"""Passes of fun that check a block, one for each of its arrays."""
AFAR = 2.0**-7
"""Part of the scale of x by which a parameter is moved to see whether a fast evaluator describes fun: a change so
large stands out of the rounding by far."""


class Doubt(Exception):
    """A fast evaluator differs from fun, or cannot go on; the message says how."""


class Fast:
    """An evaluator of changes from x0, with the plain one for all that it does not do itself."""

    def __init__(self, plain: Pointwise) -> None:
        self.plain = plain
        self.origin = (0.0, 0.0)
        self.layout = plain.layout
        self.failures = plain.failures
        self._samples: dict[int, tuple[int, float, float]] = {}

    def at_start(self) -> float:
        """fun at x0."""
        return self.plain.at_start()

    def point(self, index: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
        """Values, bytes and arrays of coordinates."""
        return self.plain.point(index)

    def along_direction(self, direction: FloatArray, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes on a line, from fun itself."""
        values, sizes = self.plain.along_direction(direction, displacement)
        return values - self.plain.origin[0], sizes

    def imaginary(self, index: IntArray, step: float) -> tuple[FloatArray, FloatArray]:
        """The complex step, by fun itself."""
        return self.plain.imaginary(index, step)

    def imaginary_direction(
        self, direction: FloatArray, displacement: FloatArray, step: float
    ) -> tuple[FloatArray, FloatArray]:
        """The complex step along a direction, by fun itself."""
        return self.plain.imaginary_direction(direction, displacement, step)

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun has changed its argument."""
        self.plain.check_unchanged()

    def note(self, number: int, index: IntArray, displacement: FloatArray, changes: FloatArray) -> None:
        """Keep one of some changes of an array, chosen at random, for `verify`."""
        if number in self._samples:
            return
        rng = np.random.default_rng([int(index[0]), len(index)])
        row, column = int(rng.integers(len(index))), int(rng.integers(displacement.shape[1]))
        if np.isfinite(displacement[row, column]):
            self._samples[number] = (int(index[row]), float(displacement[row, column]), float(changes[row, column]))

    def forget(self) -> None:
        """Drop what was kept."""
        self._samples.clear()

    def verify(self, precision: Precision) -> tuple[str, int]:
        """Compare what was kept since the last time with fun itself.

        Parameters
        ----------
        precision : Precision
            Of fun's values.

        Returns
        -------
        doubt : str
            How they differ; empty if they do not.
        nfev : int
            Passes spent.
        """
        samples = list(self._samples.values())
        self.forget()
        if len(samples) > MOST_CHECKS:
            rng = np.random.default_rng(samples[0][0])
            samples = [samples[i] for i in sorted(rng.choice(len(samples), MOST_CHECKS, replace=False).tolist())]
        for number, (coordinate, displacement, change) in enumerate(samples, 1):
            values, sizes = self.plain.along_coordinate(coordinate, np.array([displacement]))
            start, size = self.plain.origin
            plain = float(values[0]) - start
            allowed = AGREEMENT * float(precision.errors(np.fmax(sizes, size))[0]) + RELATIVE * abs(plain)
            if abs(plain - change) <= allowed or not (np.isfinite(plain) or np.isfinite(change)):
                continue
            self.failures.pop(coordinate, None)
            label = self.layout.label(coordinate)
            return (
                f"with {label} moved by {displacement:.3g} it changes by {change:.9g}, but fun by {plain:.9g}",
                number,
            )
        return "", len(samples)

    def verify_afar(self, at: Coordinates, precision: Precision) -> tuple[str, int]:
        """Compare changes along one coordinate of each array, of some where there are many, far beyond rounding.

        Parameters
        ----------
        at : Coordinates
            One of each array.
        precision : Precision
            Of fun's values.
        """
        self.forget()
        step = AFAR * at.scale
        up, down = at.x + step <= at.upper, at.x - step >= at.lower
        move = np.where(up, step, np.where(down, -step, np.nan))
        stored = [
            (np.asarray(x + d, dtype=f"f{itemsize}").astype(float) - x)
            for x, d, itemsize in zip(at.x, move, at.itemsize.tolist(), strict=True)
        ]
        for number, (coordinate, displacement) in enumerate(zip(at.index.tolist(), stored, strict=True)):
            if np.isfinite(displacement):
                change = float(self.along_coordinate(coordinate, np.array([displacement]))[0][0])
                self._samples[number] = (coordinate, float(displacement), change)
        return self.verify(precision)

    def along_coordinate(self, index: int, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes along one coordinate, each of shape (m,)."""
        raise NotImplementedError


def one_of_each(evaluator: Pointwise, seed: int) -> IntArray:
    """A coordinate of each array, chosen at random; of `MOST_CHECKS` of them where there are more."""
    rng = np.random.default_rng(seed)
    leaves = [leaf for leaf in evaluator.layout.leaves if leaf.size]
    if len(leaves) > MOST_CHECKS:
        leaves = [leaves[i] for i in sorted(rng.choice(len(leaves), MOST_CHECKS, replace=False).tolist())]
    return np.array([int(rng.integers(leaf.start, leaf.stop)) for leaf in leaves], dtype=np.int64)
