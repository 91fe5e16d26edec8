"""What the fast evaluators share: a plain one beside them, against which they are checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from random import Random

import numpy as np

from pardiff.evaluation.lines import Axes, Direction, Lines, Point, Values
from pardiff.evaluation.pointwise import Pointwise
from pardiff.numerics.difference import Precision
from pardiff.problem.space import FloatArray, IntArray

AGREEMENT = 32.0
"""Errors of fun's values by which a fast evaluator may be off; the error bar of a difference allows for about four."""
RELATIVE = 1e-9
"""Part of a change by which it may be off besides: of large ones more digits are lost than fun's values have."""
MOST_CHECKS = 8
"""Passes of fun that check a block: at the first and last element of an array, where they are in it, and at random."""
MOST_CONFIRMED = 64
"""Passes of fun that check the entries of a block that were searched, of which alone any can fail."""
AFAR = 2.0**-7
"""Part of the scale of x by which a parameter is moved to see whether a fast evaluator describes fun: a change so
large stands out of the rounding by far."""
RATIO = 1e-6
"""Relative difference of two changes from which their ratio says something."""


@dataclass(frozen=True)
class Sample:
    """A change that is to be compared with that of fun."""

    coordinate: int
    displacement: float
    change: float
    size: float


class EvaluatorMismatch(Exception):
    """A fast evaluator differs from fun, or cannot go on; the message says how."""


class CrossChecked:
    """An evaluator of changes from x0, with the plain one for all that it does not do itself."""

    def __init__(self, plain: Pointwise) -> None:
        self.plain = plain
        self.origin = Values(np.zeros(1), np.zeros(1))
        self.space = plain.space
        self.failures = plain.failures
        self._ends: list[Sample] = []
        self._others: dict[int, tuple[int, Sample]] = {}
        self._searched: list[Sample] = []

    def at_start(self) -> float:
        """fun at x0."""
        return self.plain.at_start()

    def point(self, index: IntArray) -> Point:
        """What x0 says of some coordinates."""
        return self.plain.point(index)

    def along(self, lines: Lines, t: FloatArray) -> Values:
        """Changes and sizes; along a direction of all of x0 from fun itself, unless a subclass knows better."""
        if isinstance(lines, Axes):
            changes, sizes = self.along_axes(lines, t)
        elif lines.index is not None and len(lines.index) == 1:
            changes, sizes = self.along_one(int(lines.index[0]), t[0] * lines.vector[0])
            changes, sizes = changes[None], sizes[None]
        else:
            changes, sizes = self.along_direction(lines, t)
        return Values(changes[:, :, None], sizes[:, :, None])

    def along_direction(self, line: Direction, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes along a direction, from fun itself, each of shape (1, points)."""
        values, sizes = self.plain.along(line, t)
        return values[:, :, 0] - float(self.plain.origin.value[0]), sizes[:, :, 0]

    def along_imaginary(self, lines: Lines, t: FloatArray, step: float) -> Values:
        """The complex step, by fun itself."""
        return self.plain.along_imaginary(lines, t, step)

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun has changed its argument."""
        self.plain.check_unchanged()

    def note(
        self, number: int, index: IntArray, displacement: FloatArray, changes: FloatArray, sizes: FloatArray
    ) -> None:
        """Keep some changes of an array for `verify`: of its first and last element, and of one at random."""
        leaf, count = self.space.leaves[number], len(index)
        rng = Random(f"{index[0]} {count}")  # much faster to make than one of NumPy's
        ends = [row for row, end in ((0, leaf.start), (count - 1, leaf.stop - 1)) if index[row] == end]
        seen, kept = self._others.get(number, (0, None))
        for row in (*ends, rng.randrange(count)):
            column = rng.randrange(displacement.shape[1])
            move = float(displacement[row, column])
            if not isfinite(move):
                continue
            sample = Sample(int(index[row]), move, float(changes[row, column]), float(sizes[row, column]))
            if row in ends:
                self._ends.append(sample)
            elif rng.random() * (seen + count) < count:  # each that has been seen is as likely to stay
                kept = sample
        if kept is not None:
            self._others[number] = seen + count, kept

    def confirm(self, lines: Lines, t: FloatArray) -> None:
        """Keep the changes at the steps that searches have chosen, some at random where there are many."""
        assert isinstance(lines, Axes)
        rows = np.flatnonzero(np.isfinite(t))
        if len(rows) > MOST_CONFIRMED:
            rng = np.random.default_rng([int(lines.index[0]), len(lines)])
            rows = np.sort(rng.choice(rows, MOST_CONFIRMED, replace=False))
        changes, sizes = self.along_axes(lines[rows], t[rows, None])
        self._ends.clear()  # what searches looked at on their way decides nothing
        self._others.clear()
        columns = (lines.index[rows], t[rows], changes[:, 0], sizes[:, 0])
        self._searched += [Sample(*numbers) for numbers in zip(*(column.tolist() for column in columns), strict=True)]

    def forget(self) -> None:
        """Drop what was kept."""
        self._ends.clear()
        self._others.clear()
        self._searched.clear()

    def verify(self, precision: Precision) -> tuple[str, int]:
        """Compare what was kept since the last time with fun itself.

        Parameters
        ----------
        precision : Precision
            Of fun's values.

        Returns
        -------
        mismatch : str
            How they differ; empty if they do not.
        nfev : int
            Passes spent.
        """
        others = [sample for _, sample in self._others.values()]
        half = _some(self._ends, MOST_CHECKS // 2)
        samples = [*half, *_some(others, MOST_CHECKS - len(half)), *_some(self._searched, MOST_CONFIRMED)]
        self.forget()
        for number, sample in enumerate(samples, 1):
            mismatch = self._differs(sample, precision)
            if mismatch:
                return mismatch, number
        return "", len(samples)

    def _differs(self, sample: Sample, precision: Precision, *, anywhere: bool = False) -> str:
        """How a change differs from that of fun; with ``anywhere``, points where fun has no value are left out."""
        one = Direction(np.ones(1), np.array([sample.coordinate]))
        values, sizes = (part[0, :, 0] for part in self.plain.along(one, np.array([[sample.displacement]])))
        (start,), (size,) = (part.tolist() for part in self.plain.origin)
        plain, change = float(values[0]) - start, sample.change
        raised = self.failures.pop(sample.coordinate, "")
        if not np.isfinite(plain) and (anywhere or not np.isfinite(change)):
            return ""
        allowed = AGREEMENT * float(precision.errors(np.fmax(sizes, max(size, sample.size)))[0]) + RELATIVE * abs(plain)
        if abs(plain - change) <= allowed:
            return ""
        label = self.space.label(sample.coordinate)
        said = f"with {label} moved by {sample.displacement:.3g} it changes by {change:.9g}, but fun "
        if raised:
            return f"{said}raised {raised}"
        ratio = change / plain if plain else np.nan
        return f"{said}by {plain:.9g}{f', a ratio of {ratio:.6g}' if abs(ratio - 1) > RATIO else ''}"

    def verify_afar(self, at: Axes, precision: Precision) -> tuple[str, int]:
        """Compare changes along one coordinate of each array, of some where there are many, far beyond rounding.

        Parameters
        ----------
        at : Axes
            One of each array.
        precision : Precision
            Of fun's values.
        """
        step = AFAR * at.scale
        up, down = at.x + step <= at.upper, at.x - step >= at.lower
        moves = np.where(up, step, np.where(down, -step, np.nan))[:, None] * np.array([1.0, 0.5])
        for row, itemsize in enumerate(at.itemsize.tolist()):
            moves[row] = (at.x[row] + moves[row]).astype(f"f{itemsize}").astype(float) - at.x[row]
        changes, sizes = self.along_axes(replace(at, wave_position=np.arange(len(at))), moves)
        self.forget()
        spent = 0
        for row, coordinate in enumerate(at.index.tolist()):
            if not np.isfinite(moves[row, 0]):
                continue
            spent += 1
            sample = Sample(coordinate, float(moves[row, 0]), float(changes[row, 0]), float(sizes[row, 0]))
            mismatch = self._differs(sample, precision, anywhere=True)
            if mismatch:
                return mismatch, spent
        return "", spent

    def along_axes(self, lines: Axes, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes, each of shape (k, points)."""
        raise NotImplementedError

    def along_one(self, index: int, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes along one coordinate, each of shape (points,)."""
        raise NotImplementedError


def one_of_each(evaluator: Pointwise, seed: int) -> IntArray:
    """A coordinate of each array, chosen at random; of `MOST_CHECKS` of them where there are more."""
    rng = np.random.default_rng(seed)
    leaves = [leaf for leaf in evaluator.space.leaves if leaf.size]
    if len(leaves) > MOST_CHECKS:
        leaves = [leaves[i] for i in sorted(rng.choice(len(leaves), MOST_CHECKS, replace=False).tolist())]
    return np.array([int(rng.integers(leaf.start, leaf.stop)) for leaf in leaves], dtype=np.int64)


def _some(samples: list[Sample], count: int) -> list[Sample]:
    """Some of the samples, at random where there are more."""
    if len(samples) <= count:
        return list(samples)
    rng = np.random.default_rng([samples[0].coordinate, len(samples)])
    return [samples[i] for i in sorted(rng.choice(len(samples), count, replace=False).tolist())]
