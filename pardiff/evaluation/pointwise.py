"""The plain evaluator: one element of one buffer is changed in place, and restored, for each pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.evaluation.failures import described, is_interrupt
from pardiff.evaluation.imaginary import ComplexStep
from pardiff.evaluation.watchdog import PULSE
from pardiff.numerics.difference import Precision
from pardiff.numerics.sums import compensated_sum, moved
from pardiff.problem.space import FloatArray, IntArray, Layout, leaves_like


class Pointwise:
    """Evaluates ``fun(x, *args)`` at displaced points; owns its copy of x0.

    Parameters
    ----------
    fun : callable
    args : tuple
    layout : Layout
    arrays : list of ndarray
        The leaves of x0; the evaluator perturbs these very arrays, so they must be its own.
    terms : bool
        fun returns terms whose sum is the loss. Each value is then the change of that sum from x0.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        layout: Layout,
        arrays: list[NDArray[Any]],
        *,
        terms: bool = False,
    ) -> None:
        self.fun = fun
        self.args = args
        self.layout = layout
        self.x = layout.structure(arrays)
        self.failures: dict[int, str] = {}
        self.origin = (np.nan, np.nan)
        self.terms: NDArray[np.float64] | None = None
        self._sums_terms = terms
        self._arrays = arrays
        self._flat = [array.reshape(-1) for array in arrays]
        self._saved = [array.copy() for array in self._flat]  # comparing is ten times as fast as any checksum
        self._imaginary: ComplexStep | None = None

    def at_start(self) -> float:
        """fun at x0, or the sum of its terms; whatever it raises goes to the caller."""
        return self.take(self.fun(self.x, *self.args))

    def take(self, value: Any) -> float:
        """Take what fun returned at x0 as the origin of all differences."""
        if self._sums_terms:
            self.terms = _terms(value).copy()
            self.origin = (0.0, 0.0)
            return compensated_sum(self.terms)
        self.origin = (float(value), abs(float(value)))
        return float(value)

    @property
    def flat(self) -> list[NDArray[Any]]:
        """x0, array by array, each flattened; not to be written to."""
        return self._flat

    def copied(self) -> list[NDArray[Any]]:
        """Copies of the leaves of x0."""
        return [array.copy() for array in self._arrays]

    def confirm(self, index: IntArray, displacement: FloatArray, place: IntArray) -> None:
        """Nothing is to be compared: this is fun itself."""

    def verify(self, precision: Precision) -> tuple[str, int]:
        """Nothing is to be compared: this is fun itself."""
        return "", 0

    def point(self, index: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
        """Values of the coordinates in x0, the bytes of their dtype, and the numbers of their arrays."""
        x = np.empty(len(index))
        itemsize, owner = np.empty(len(index), dtype=np.int64), np.empty(len(index), dtype=np.int64)
        for number, rows in self.layout.parts(index):
            leaf = self.layout.leaves[number]
            x[rows] = self._flat[number][index[rows] - leaf.start]
            itemsize[rows], owner[rows] = leaf.dtype.itemsize, number
        return x, itemsize, owner

    def along_coordinates(
        self, index: IntArray, displacement: FloatArray, place: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """fun with one coordinate moved, for each row of displacements."""
        fun, args, x, measure, now = self.fun, self.args, self.x, self._measure, time.monotonic
        values = np.full(displacement.shape, np.nan, order="F")
        sizes = values if measure is None else np.full(displacement.shape, np.nan, order="F")
        owner = self.layout.owner(index)
        local = (index - self.layout.starts[owner]).tolist()
        flats = [self._flat[number] for number in owner.tolist()]
        for j, (flat, i, moves) in enumerate(zip(flats, local, displacement.tolist(), strict=True)):
            if now() >= PULSE.due:
                PULSE.beat()
            saved = flat[i]
            start = float(saved)
            for c, move in enumerate(moves):
                if move != move:
                    continue
                flat[i] = start + move
                try:
                    if measure is None:
                        value = fun(x, *args)
                        values[j, c] = value if type(value) in REAL else _real(value)
                    else:
                        values[j, c], sizes[j, c] = measure(fun(x, *args))
                except BaseException as error:
                    if is_interrupt(error):
                        raise
                    self.failures[int(index[j])] = described(error)
                finally:
                    flat[i] = saved
        return values, np.abs(values) if measure is None else sizes

    def along_coordinate(self, index: int, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same for one coordinate, shape (m,)."""
        values, sizes = self.along_coordinates(np.array([index]), displacement[None], np.zeros(1, dtype=np.int64))
        return values[0], sizes[0]

    def along_direction(self, direction: FloatArray, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        """fun at points on a line through x0; NaN where it raises."""
        measure = self._measure
        values, sizes = np.full(len(displacement), np.nan), np.full(len(displacement), np.nan)
        saved = [flat.copy() for flat in self._flat]
        parts = [direction[leaf.start : leaf.stop] for leaf in self.layout.leaves]
        try:
            for j, move in enumerate(displacement.tolist()):
                for flat, start, part in zip(self._flat, saved, parts, strict=True):
                    flat[:] = start + move * part
                try:
                    if measure is None:
                        values[j] = _real(self.fun(self.x, *self.args))
                    else:
                        values[j], sizes[j] = measure(self.fun(self.x, *self.args))
                except BaseException as error:
                    if is_interrupt(error):
                        raise
                    # a point where fun raises shows no noise; what it means is seen entry by entry
        finally:
            for flat, start in zip(self._flat, saved, strict=True):
                flat[:] = start
        return values, np.abs(values) if measure is None else sizes

    @property
    def _measure(self) -> Callable[[Any], tuple[float, float]] | None:
        """What is made of fun's terms; None where fun returns the loss itself."""
        start = self.terms
        return None if start is None else lambda value: moved(start, _terms(value, len(start)))

    def imaginary(self, index: IntArray, step: float) -> tuple[FloatArray, FloatArray]:
        """The complex step in one coordinate after the other."""
        return self._complex().along_coordinates(index, step)

    def imaginary_direction(
        self, direction: FloatArray, displacement: FloatArray, step: float
    ) -> tuple[FloatArray, FloatArray]:
        """The complex step along a direction, from points on the line through x0 in it."""
        return self._complex().along_direction(direction, displacement, step)

    def _complex(self) -> ComplexStep:
        if self._imaginary is None:
            start = self.origin[0] if self.terms is None else compensated_sum(self.terms)
            self._imaginary = ComplexStep(self.fun, self.args, self.layout, self._arrays, start)
        return self._imaginary

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun has written to x, or has put other arrays in its place."""
        current = leaves_like(self.layout, self.x, "x as fun left it")
        for leaf, array, flat, held, saved in zip(
            self.layout.leaves, self._arrays, self._flat, current, self._saved, strict=True
        ):
            if held is not array or array.shape != leaf.shape or not np.array_equal(flat, saved):
                raise InputError(
                    f"fun or grad changed its argument (array {leaf.name!r}); x is perturbed in place and "
                    f"must be left as it is: work on a copy, x = x.copy()"
                )


REAL = frozenset({float, int, np.float64, np.float32})
"""Types of values that need no look."""


def _real(value: Any) -> Any:
    """What fun returned, unless it is complex: NumPy would drop the imaginary part with a warning."""
    if np.iscomplexobj(value):
        raise TypeError("fun returned a complex number")
    return value


def _terms(value: Any, count: int | None = None) -> NDArray[np.float64]:
    """What fun returned, as one line of float64; `InputError` if its length has changed."""
    terms = np.asarray(_real(value), dtype=np.float64).reshape(-1)
    if count is not None and len(terms) != count:
        raise InputError(f"fun returned {len(terms)} terms, but {count} at x0; their number must not change")
    return terms
