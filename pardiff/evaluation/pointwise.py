"""The plain evaluator: one element of one buffer is changed in place, and restored, for each pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.evaluation.failures import described, is_interrupt
from pardiff.evaluation.imaginary import ImaginarySteps
from pardiff.evaluation.lines import Direction, Lines, Point, Values
from pardiff.evaluation.observe import REAL, Observe, Products, real
from pardiff.evaluation.watchdog import WATCHDOG
from pardiff.numerics.difference import Precision
from pardiff.problem.parsing import leaves_like
from pardiff.problem.space import FloatArray, IntArray, Space


class Pointwise:
    """Evaluates ``fun(x, *args)`` at displaced points; owns its copy of x0.

    Parameters
    ----------
    fun : callable
    args : tuple
    space : Space
    arrays : list of ndarray
        The leaves of x0; the evaluator perturbs these very arrays, so they must be its own.
    observe : Observe or None
        What is taken of fun's value; None where it is the loss itself.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        space: Space,
        arrays: list[NDArray[Any]],
        observe: Observe | None = None,
    ) -> None:
        self.fun = fun
        self.args = args
        self.space = space
        self.x = space.structure(arrays)
        self.failures: dict[int, str] = {}
        self.origin = Values(np.full(1, np.nan), np.full(1, np.nan))
        self.observe = observe
        self._arrays = arrays
        self._flat = [array.reshape(-1) for array in arrays]
        self._saved = [array.copy() for array in self._flat]  # comparing is ten times as fast as any checksum
        self._imaginary: ImaginarySteps | None = None

    def at_start(self) -> float:
        """Call fun at x0; whatever it raises goes to the caller."""
        return self.take(self.fun(self.x, *self.args))

    def take(self, value: Any) -> float:
        """Take what fun returned at x0 as the origin of all differences; returns a number to know it again by."""
        if self.observe is not None:
            self.origin = self.observe.take(value)
            return self.observe.known
        number = float(value)
        self.origin = Values(np.array([number]), np.array([abs(number)]))
        return number

    @property
    def flat(self) -> list[NDArray[Any]]:
        """x0, array by array, each flattened; not to be written to."""
        return self._flat

    def copied(self) -> list[NDArray[Any]]:
        """Copies of the leaves of x0."""
        return [array.copy() for array in self._arrays]

    def confirm(self, lines: Lines, t: FloatArray) -> None:
        """Nothing is to be compared: this is fun itself."""

    def verify(self, precision: Precision) -> tuple[str, int]:
        """Nothing is to be compared: this is fun itself."""
        return "", 0

    def point(self, index: IntArray) -> Point:
        """Values of the coordinates in x0, the bytes of their dtype, and the numbers of their arrays."""
        x = np.empty(len(index))
        itemsize, owner = np.empty(len(index), dtype=np.int64), np.empty(len(index), dtype=np.int64)
        for number, rows in self.space.parts(index):
            leaf = self.space.leaves[number]
            x[rows] = self._flat[number][index[rows] - leaf.start]
            itemsize[rows], owner[rows] = leaf.dtype.itemsize, number
        return Point(x, itemsize, owner)

    def along(self, lines: Lines, t: FloatArray) -> Values:
        """fun along axes, one coordinate moved at a time, or along a direction; NaN where it raises."""
        if isinstance(lines, Direction):
            return self._along_direction(lines, t[0])
        return self._along_axes(lines.index, t)

    def _along_axes(self, index: IntArray, t: FloatArray) -> Values:
        fun, args, x, observe, now = self.fun, self.args, self.x, self.observe, time.monotonic
        values, sizes = self._empty(t)
        owner = self.space.owner(index)
        local = (index - self.space.starts[owner]).tolist()
        flats = [self._flat[number] for number in owner.tolist()]
        for j, (flat, i, moves) in enumerate(zip(flats, local, t.tolist(), strict=True)):
            if now() >= WATCHDOG.due:
                WATCHDOG.heartbeat()
            saved = flat[i]
            start = float(saved)
            for c, move in enumerate(moves):
                if move != move:
                    continue
                flat[i] = start + move
                try:
                    if observe is None:
                        value = fun(x, *args)
                        values[j, c] = value if type(value) in REAL else real(value)
                    else:
                        values[j, c], sizes[j, c] = observe(fun(x, *args))
                except BaseException as error:
                    if is_interrupt(error):
                        raise
                    self.failures[int(index[j])] = described(error)
                finally:
                    flat[i] = saved
        return self._complete(values, sizes)

    def _along_direction(self, line: Direction, t: FloatArray) -> Values:
        """A point where fun raises shows no noise; what it means is seen entry by entry."""
        if line.index is not None:
            return self._along_few(line, t)
        values, sizes = self._empty(t[None])
        saved = [flat.copy() for flat in self._flat]
        parts = [line.vector[leaf.start : leaf.stop] for leaf in self.space.leaves]
        try:
            for j, move in enumerate(t.tolist()):
                for flat, start, part in zip(self._flat, saved, parts, strict=True):
                    flat[:] = start + move * part
                self._call_into(values, sizes, j)
        finally:
            for flat, start in zip(self._flat, saved, strict=True):
                flat[:] = start
        return self._complete(values, sizes)

    def _along_few(self, line: Direction, t: FloatArray) -> Values:
        """Along a direction in which a few coordinates move; what fun raises where one moves alone is noted."""
        assert line.index is not None
        values, sizes = self._empty(t[None])
        owner = self.space.owner(line.index)
        places = list(zip(owner.tolist(), (line.index - self.space.starts[owner]).tolist(), strict=True))
        saved = [self._flat[number][i] for number, i in places]
        try:
            for j, move in enumerate(t.tolist()):
                for (number, i), start, part in zip(places, saved, line.vector.tolist(), strict=True):
                    self._flat[number][i] = float(start) + move * part
                self._call_into(values, sizes, j, line.index)
        finally:
            for (number, i), start in zip(places, saved, strict=True):
                self._flat[number][i] = start
        return self._complete(values, sizes)

    def _call_into(self, values: FloatArray, sizes: FloatArray, column: int, moved: IntArray | None = None) -> None:
        """Call fun where x stands now."""
        try:
            value = self.fun(self.x, *self.args)
            if self.observe is None:
                values[0, column] = real(value)
            else:
                values[0, column], sizes[0, column] = self.observe(value)
        except BaseException as error:
            if is_interrupt(error):
                raise
            if moved is not None and len(moved) == 1:
                self.failures[int(moved[0])] = described(error)

    def _empty(self, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Arrays to be filled, of shape (k, points), and with an axis of observables where there are several."""
        if isinstance(self.observe, Products):
            shape = (*t.shape, self.observe.cotangents.count)
            return np.full(shape, np.nan), np.full(shape, np.nan)
        values = np.full(t.shape, np.nan, order="F")
        return values, values if self.observe is None else np.full_like(values, np.nan)

    def _complete(self, values: FloatArray, sizes: FloatArray) -> Values:
        sizes = np.abs(values) if self.observe is None else sizes
        return Values(values, sizes) if values.ndim == 3 else Values(values[:, :, None], sizes[:, :, None])

    def along_imaginary(self, lines: Lines, t: FloatArray, step: float) -> Values:
        """The complex step, along axes or from points of a line."""
        if self._imaginary is None:
            self._imaginary = ImaginarySteps(self.fun, self.args, self.space, self._arrays, self.observe)
            self._imaginary.take_origin(float(self.origin.value[0]))
        return self._imaginary.along(lines, t, step)

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun has written to x, or has put other arrays in its place."""
        current = leaves_like(self.space, self.x, "x as fun left it")
        for leaf, array, flat, held, saved in zip(
            self.space.leaves, self._arrays, self._flat, current, self._saved, strict=True
        ):
            if held is not array or array.shape != leaf.shape or not np.array_equal(flat, saved):
                raise InputError(
                    f"fun or grad changed its argument (array {leaf.name!r}); x is perturbed in place and "
                    f"must be left as it is: work on a copy, x = x.copy()"
                )
