"""Derivatives of many coordinates: the fixed stencil of the first wave, the search of the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from pardiff.evaluation.evaluator import Evaluator
from pardiff.numerics.adaptive import search
from pardiff.numerics.differences import Precision, curvature, difference, truncation
from pardiff.numerics.stencils import SCHEMES, Stencil, candidates
from pardiff.numerics.steps import displacements, fit, largest_step, steps
from pardiff.problem.parameters import FloatArray, IntArray

MISSING, DONE, NONFINITE, ERROR, NO_ROOM, SEARCHED = range(6)
STATES = ("missing", "done", "nonfinite", "error", "no_room", "searched")
"""What became of a coordinate: no result yet; a derivative by the fixed stencil; fun not finite; fun raised; no
room in its bounds; a derivative by the step search."""


@dataclass(frozen=True)
class Estimates:
    """Numerical derivatives of k coordinates; every field has shape (k,) and dtype float64."""

    numerical: FloatArray
    uncertainty: FloatArray
    """Half width of the error bar, in the units of the derivative."""
    step: FloatArray
    """Step in the units of the parameter."""
    nfev: FloatArray
    """Passes spent."""
    state: FloatArray
    """Number in `STATES`."""
    scheme: FloatArray
    """Number in `SCHEMES`."""

    @classmethod
    def empty(cls, count: int) -> Estimates:
        """Results for which nothing has been done."""
        nan, zero = np.full(count, np.nan), np.zeros(count)
        return cls(nan, nan.copy(), nan.copy(), zero, zero.copy(), zero.copy())

    def put(self, rows: IntArray | slice, other: Estimates) -> None:
        """Write the results of some rows."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(other, field.name)

    def part(self, rows: IntArray | slice) -> Estimates:
        """The results of some rows, as a copy."""
        return Estimates(*(getattr(self, field.name)[rows].copy() for field in fields(self)))

    def to_matrix(self) -> FloatArray:
        """Shape (quantities, k), in the order of the fields."""
        return np.stack([getattr(self, field.name) for field in fields(self)])

    @classmethod
    def from_matrix(cls, matrix: FloatArray) -> Estimates:
        """The inverse of :meth:`to_matrix`."""
        return cls(*matrix)


QUANTITIES = tuple(field.name for field in fields(Estimates))


@dataclass(frozen=True)
class Rule:
    """How a coordinate is differentiated: what of the settings the numerics needs."""

    stencils: tuple[Stencil, ...]
    precision: Precision
    rel_step: float | None
    abs_step: float | None
    target: float
    """Bar relative to the derivative at which the second wave's search ends."""

    @classmethod
    def of(
        cls,
        method: str,
        order: int,
        eps: float,
        noise: float,
        rel_step: float | None,
        abs_step: float | None,
        rtol: float,
    ) -> Rule:
        """The rule that settings stand for.

        The search aims at a tenth of the tolerance: enough for a verdict, and no pass more.
        """
        return cls(candidates(method, order), Precision(eps, noise), rel_step, abs_step, 0.1 * rtol)


@dataclass(frozen=True)
class Box:
    """Bounds of some coordinates, each of shape (k,)."""

    lower: FloatArray
    upper: FloatArray

    @classmethod
    def of(cls, bounds: tuple[FloatArray, FloatArray] | None, index: IntArray, itemsize: IntArray) -> Box:
        """The given bounds, and the largest numbers that the parameters' dtypes hold."""
        most = np.full(len(index), float(np.finfo(np.float64).max))
        for dtype in (np.float16, np.float32):
            most[itemsize == np.dtype(dtype).itemsize] = float(np.finfo(dtype).max)
        if bounds is None:
            return cls(-most, most)
        return cls(np.maximum(bounds[0][index], -most), np.minimum(bounds[1][index], most))


def first_wave(evaluator: Evaluator, rule: Rule, index: IntArray, box: Box, f0: float) -> Estimates:
    """One fixed stencil per coordinate: 2 passes each with the central rule of order 2."""
    x, itemsize = evaluator.point(index)
    choice, step = fit(
        x,
        steps(x, rule.stencils[0], rule.precision.eps, rule.rel_step, rule.abs_step),
        rule.stencils,
        box.lower,
        box.upper,
    )
    found = Estimates.empty(len(index))
    for number, stencil in enumerate(rule.stencils):
        rows = np.flatnonzero(choice == number)
        if len(rows):
            taken = displacements(x[rows], step[rows], stencil, itemsize[rows], box.lower[rows], box.upper[rows])
            values = _values(evaluator, stencil, index[rows], taken, f0)
            found.put(rows, _first(stencil, rule, x[rows], step[rows], taken, values, f0))
    return _with_failures(evaluator, index, found)


def _values(evaluator: Evaluator, stencil: Stencil, index: IntArray, taken: FloatArray, f0: float) -> FloatArray:
    """fun at all points of a stencil, shape (k, points); fun at x0 is known."""
    values = np.full(taken.shape, f0)
    moved = [j for j, offset in enumerate(stencil.offsets) if offset]
    flat = evaluator.along_coordinates(np.repeat(index, len(moved)), taken[:, moved].reshape(-1))
    values[:, moved] = flat.reshape(len(index), len(moved))
    return values


def _first(
    stencil: Stencil,
    rule: Rule,
    x: FloatArray,
    step: FloatArray,
    taken: FloatArray,
    values: FloatArray,
    f0: float,
) -> Estimates:
    with np.errstate(all="ignore"):  # non-finite values of fun are results here, marked as such below
        derivative, rounding = difference(stencil, taken, values, rule.precision)
        bend = curvature(stencil, taken, values, f0)
        bar = rounding + truncation(stencil, derivative, bend, step, np.maximum(np.abs(x), 1.0))
    room = np.isfinite(taken).all(axis=1)
    good = np.isfinite(derivative) & np.isfinite(bar)
    state = np.where(good, DONE, np.where(room, NONFINITE, NO_ROOM))
    return Estimates(
        numerical=np.where(good, derivative, np.nan),
        uncertainty=np.where(good, bar, np.nan),
        step=np.where(room, step, np.nan),
        nfev=np.where(room, float(stencil.nfev), 0.0),
        state=state.astype(float),
        scheme=np.where(room, float(SCHEMES.index(stencil.scheme)), 0.0),
    )


def second_wave(evaluator: Evaluator, rule: Rule, index: IntArray, box: Box, f0: float) -> Estimates:
    """The step search, for coordinates that the first wave left without a clear verdict."""
    x, itemsize = evaluator.point(index)
    found = Estimates.empty(len(index))
    for row in range(len(index)):
        at = slice(row, row + 1)
        found.put(
            at,
            _searched(evaluator, rule, index[at], x[at], itemsize[at], Box(box.lower[at], box.upper[at]), f0),
        )
    return _with_failures(evaluator, index, found)


def _searched(
    evaluator: Evaluator, rule: Rule, index: IntArray, x: FloatArray, itemsize: IntArray, box: Box, f0: float
) -> Estimates:
    """Try the schemes in turn until one gives a bar."""
    nfev, state = 0, NO_ROOM
    for stencil in rule.stencils:
        moved = [j for j, offset in enumerate(stencil.offsets) if offset]

        def sample(
            asked: Sequence[float], stencil: Stencil = stencil, moved: list[int] = moved
        ) -> tuple[Sequence[float], Sequence[float]]:
            nonlocal nfev, state
            step = np.array([asked[0] / stencil.offsets[moved[0]]])
            if not step <= largest_step(x, stencil, box.lower, box.upper):
                return [np.nan] * len(moved), [np.nan] * len(moved)
            taken = displacements(x, step, stencil, itemsize, box.lower, box.upper)[0, moved]
            if not np.isfinite(taken).all():
                return [np.nan] * len(moved), [np.nan] * len(moved)
            nfev += len(moved)
            values = evaluator.along_coordinates(np.repeat(index, len(moved)), taken)
            if not np.isfinite(values).all():
                state = NONFINITE
            return taken.tolist(), values.tolist()

        result = search(sample, stencil, float(x[0]), f0, rule.precision, rule.target)
        if result is not None:
            return _one(result.derivative, result.uncertainty, result.step, nfev, SEARCHED, stencil.scheme)
    return _one(np.nan, np.nan, np.nan, nfev, state, "none")


def _one(numerical: float, uncertainty: float, step: float, nfev: int, state: int, scheme: str) -> Estimates:
    numbers = (numerical, uncertainty, step, nfev, state, SCHEMES.index(scheme))
    return Estimates(*(np.array([float(number)]) for number in numbers))


def _with_failures(evaluator: Evaluator, index: IntArray, found: Estimates) -> Estimates:
    """Mark the coordinates at which fun raised, unless a derivative was found all the same."""
    failed = np.isin(index, list(evaluator.failures)) & ~np.isin(found.state, (DONE, SEARCHED))
    found.state[failed] = ERROR
    return found
