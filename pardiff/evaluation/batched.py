"""Evaluation of many displaced points by one call of ``batch_fun``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.evaluation.crosscheck import CrossChecked, EvaluatorMismatch
from pardiff.evaluation.failures import described, is_interrupt
from pardiff.evaluation.lines import Axes, Direction, Lines, Values
from pardiff.evaluation.observe import Terms
from pardiff.evaluation.pointwise import Pointwise
from pardiff.numerics.sums import moved
from pardiff.problem.space import FloatArray, IntArray, grouped

SMALLEST = 4
"""Rows of the smallest batch that is tried; below it a call for each row does as well."""
WORTHWHILE = 0.9
"""Part of the time of single passes that a batch must need at the most: less of a gain may be luck."""
AS_GOOD = 1.05
"""Ratio of times within which two batches count as equally fast; the smallest of them needs the least memory."""
SAMPLE_SECONDS, SAMPLES = 2e-3, 3
"""A timing is the best of so many, each at least so long."""
TUNING_SECONDS, TUNING_SHARE = 1.0, 0.1
"""What the search for the best size may take, about, at the most, and as a part of all passes one by one."""


class Batched(CrossChecked):
    """An evaluator that fills the rows of a batch, in place, and restores them.

    The batch always has the same number of rows, and the row of a point follows from the number of its coordinate in
    its wave, modulo the coordinates of a batch. So the bits of a value depend neither on the block it is in nor on
    what else is asked for. Rows that nobody asks for stay at x0. Values are differences from what the same row gives
    at x0, so that roundings which depend on the row drop out.

    Parameters
    ----------
    plain : Pointwise
        Which has been called at x0.
    batch_fun : callable
        From leaves with a leading axis of ``rows`` to values of shape (rows,), or (rows, terms).
    rows : int

    Raises
    ------
    EvaluatorMismatch
        If it cannot be called so.
    """

    def __init__(self, plain: Pointwise, batch_fun: Callable[..., Any], rows: int) -> None:
        super().__init__(plain)
        self.origin = Values(np.zeros(1), plain.origin.size)
        self.batch_fun = batch_fun
        self.rows = rows
        arrays = [np.repeat(array[None], rows, axis=0) for array in plain.copied()]
        self.x = plain.space.structure(arrays)
        self._flat = [array.reshape(rows, -1) for array in arrays]
        self._base = self.call().copy()  # batch_fun may return the same array each time

    def call(self) -> FloatArray:
        """Values of all rows as they stand."""
        try:
            returned = self.batch_fun(self.x, *self.plain.args)
            if np.iscomplexobj(returned):
                raise TypeError("complex numbers")
            values = np.asarray(returned, dtype=np.float64)
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise EvaluatorMismatch(f"it raised {described(error)}") from error
        observe = self.plain.observe
        expected = (self.rows, len(observe.terms)) if isinstance(observe, Terms) else (self.rows,)
        if observe is not None and values.ndim > 1:
            values = values.reshape(len(values), -1)
        if values.shape != expected:
            raise EvaluatorMismatch(
                f"it returned the shape {values.shape} for a batch of {self.rows} rows; expected {expected}, with the "
                f"batch as the first axis of every array"
            )
        return values

    def along_axes(self, lines: Axes, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes, batch by batch."""
        index, points = lines.index, t.shape[1]
        each = self.rows // points
        if not each:
            return self._pointwise(lines, t)
        changes, sizes = (np.full(t.shape, np.nan, order="F") for _ in range(2))
        owner = self.space.owner(index)
        local = index - self.space.starts[owner]
        batch = lines.wave_position // each
        for number in np.unique(batch).tolist():
            some = np.flatnonzero(batch == number)
            rows = (lines.wave_position[some] % each)[:, None] * points + np.arange(points)
            changes[some], sizes[some] = self._one(owner[some], local[some], rows, t[some], lines[some])
        for number, mine in self.space.parts(index):
            self.note(number, index[mine], t[mine], changes[mine], sizes[mine])
        return changes, sizes

    def along_one(self, index: int, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes along one coordinate: a batch for a few points would be a waste."""
        changes, sizes = self._pointwise(Direction(np.ones(1), np.array([index])), t[None])
        return changes[0], sizes[0]

    def along_direction(self, line: Direction, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes on a line, as many rows at a time as a batch has."""
        assert line.index is None
        changes, sizes = [], []
        parts = [line.vector[leaf.start : leaf.stop] for leaf in self.space.leaves]
        for start in range(0, t.shape[1], self.rows):
            moves = t[0, start : start + self.rows]
            saved = [flat[0].copy() for flat in self._flat]
            for flat, at_start, part in zip(self._flat, saved, parts, strict=True):
                flat[: len(moves)] = at_start + moves[:, None] * part
            try:
                change, size = self._changes(self.call(), np.arange(len(moves)))
            except EvaluatorMismatch:  # a point where it raises shows no noise
                change = size = np.full(len(moves), np.nan)
            finally:
                for flat, at_start in zip(self._flat, saved, strict=True):
                    flat[: len(moves)] = at_start
            changes.append(change)
            sizes.append(size)
        return np.concatenate(changes)[None], np.concatenate(sizes)[None]

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun or batch_fun has changed its argument."""
        self.plain.check_unchanged()
        for flat, start, leaf in zip(self._flat, self.plain.flat, self.space.leaves, strict=True):
            if not (flat == start).all():
                raise InputError(
                    f"batch_fun changed its argument (array {leaf.name!r}); the batch is used again and must be left "
                    f"as it is: work on a copy"
                )

    def _one(
        self, owner: IntArray, local: IntArray, rows: IntArray, displacement: FloatArray, lines: Axes
    ) -> tuple[FloatArray, FloatArray]:
        """One batch; coordinates at which it fails are evaluated one by one."""
        moves = np.where(np.isnan(displacement), 0.0, displacement)
        touched = []
        for number, mine in grouped(owner):
            row, column = rows[mine].reshape(-1), np.repeat(local[mine], rows.shape[1])
            saved = self._flat[number][row, column]
            self._flat[number][row, column] = saved.astype(np.float64) + moves[mine].reshape(-1)
            touched.append((number, row, column, saved))
        try:
            values = self.call()
        except EvaluatorMismatch:
            values = None
        finally:
            for number, row, column, saved in touched:
                self._flat[number][row, column] = saved
        if values is None:
            return self._parted(owner, local, rows, displacement, lines)
        changes, sizes = self._changes(values[rows.reshape(-1)], rows.reshape(-1))
        changes[np.isnan(displacement).reshape(-1)] = np.nan
        return changes.reshape(rows.shape), sizes.reshape(rows.shape)

    def _parted(
        self, owner: IntArray, local: IntArray, rows: IntArray, displacement: FloatArray, lines: Axes
    ) -> tuple[FloatArray, FloatArray]:
        """A batch that fails, in halves, each row in its own place, until what fails stands alone."""
        if len(lines) == 1:
            return self._pointwise(lines, displacement)
        half = len(lines) // 2
        parts = [
            self._one(owner[part], local[part], rows[part], displacement[part], lines[part])
            for part in (slice(None, half), slice(half, None))
        ]
        changes, sizes = (np.concatenate(both) for both in zip(*parts, strict=True))
        return changes, sizes

    def _changes(self, values: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Changes from x0 of what some rows gave, and their sizes."""
        if self.plain.observe is None:
            with np.errstate(invalid="ignore"):
                return values[: len(rows)] - self._base[rows], np.abs(values[: len(rows)])
        pairs = [moved(self._base[row], terms) for row, terms in zip(rows.tolist(), values, strict=False)]
        change, size = zip(*pairs, strict=True)
        return np.array(change), np.array(size)

    def _pointwise(self, lines: Lines, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        values, sizes = self.plain.along(lines, t)
        return values[:, :, 0] - float(self.plain.origin.value[0]), sizes[:, :, 0]


@dataclass(frozen=True)
class Tuned:
    """The size of a batch, by a timing run."""

    rows: int
    """1 where single passes are as good."""
    seconds: float
    """Time of a pass at this size."""
    nfev: int


def tune(plain: Pointwise, batch_fun: Callable[..., Any], most: int, memory: float) -> Tuned:
    """Find the size of batch with the least time a pass.

    Sizes grow by factors of two as long as that helps and the memory allows it.

    Parameters
    ----------
    plain : Pointwise
    batch_fun : callable
    most : int
        Rows that would ever be filled.
    memory : float
        Bytes that a batch of parameters may have.
    """
    begin = time.perf_counter()
    bytes_each = sum(flat.nbytes for flat in plain.flat)
    single, spent = _timed(plain.at_start)
    budget = min(TUNING_SECONDS, TUNING_SHARE * most * single)
    found: list[tuple[int, float]] = []
    rows = SMALLEST
    while rows <= max(SMALLEST, most) and (rows * bytes_each <= memory or not found):
        batched = Batched(plain, batch_fun, rows)
        seconds, calls = _timed(batched.call)
        found.append((rows, seconds / rows))
        spent += (calls + 1) * rows
        best = min(each for _, each in found)
        late = time.perf_counter() - begin > budget
        if late or (len(found) > 2 and min(each for _, each in found[-2:]) > AS_GOOD * best):
            break
        rows *= 2
    again, calls = _timed(plain.at_start)
    single = min(single, again)
    best = min(each for _, each in found)
    rows, seconds = next((rows, each) for rows, each in found if each <= AS_GOOD * best)
    if seconds > WORTHWHILE * single:
        return Tuned(1, single, spent + calls)
    return Tuned(rows, seconds, spent + calls)


def _timed(call: Callable[[], Any]) -> tuple[float, int]:
    """Least time of a call, and how often it was called."""
    best, calls = np.inf, 0
    for _ in range(SAMPLES):
        begin, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - begin < SAMPLE_SECONDS:
            call()
            count += 1
        best = min(best, (time.perf_counter() - begin) / count)
        calls += count
        if best > 10 * SAMPLE_SECONDS:
            break
    return best, calls
