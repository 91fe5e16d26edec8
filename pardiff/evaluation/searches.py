"""Step searches along many lines, side by side: each step of all of them is one evaluation.

Every observable of a line has a search of its own. They share the passes: what one has asked for is kept for others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation.evaluator import Evaluator
from pardiff.evaluation.fixed_stencil import values_at, with_failures
from pardiff.evaluation.lines import Axes
from pardiff.evaluation.spec import DifferentiationSpec
from pardiff.numerics.difference import precision_of_rows
from pardiff.numerics.estimates import FLAT, KINKED, NO_ROOM, NONFINITE, SEARCHED, Estimates
from pardiff.numerics.richardson import Found, Level, Points, measure
from pardiff.numerics.stencils import SCHEMES, Stencil
from pardiff.numerics.step_search import Asking, searching
from pardiff.numerics.steps import displacements, largest_step, spacing
from pardiff.problem.space import FloatArray, IntArray

TOGETHER = 1 << 10
"""Lines, counted from the start of a wave, that are searched side by side: their levels take a few megabytes."""
CLOSE = 1e-4
"""Part of the scale of x that a bound must leave for steps that need no other side."""

Mask = NDArray[np.bool_]


def by_search(evaluator: Evaluator, spec: DifferentiationSpec, at: Axes, wanted: Mask | None = None) -> Estimates:
    """The step search, about 4 to 30 passes a line.

    Parameters
    ----------
    wanted : ndarray of bool, shape (k, q), or None
        Observables that are searched for; None for all. The others are left without a result.

    Returns
    -------
    Estimates
        Of shape (k, q).
    """
    q = spec.observables
    wanted = np.ones((len(at), q), dtype=bool) if wanted is None else wanted
    found = Estimates.empty(len(at), q)
    for group in np.unique(at.wave_position // TOGETHER):
        rows = np.flatnonzero(at.wave_position // TOGETHER == group)
        found.put(rows, _searched(evaluator, spec, at[rows], wanted[rows]))
    if q == 1:  # the only one that a fast path has
        side = np.where(found.scheme[:, 0] == SCHEMES.index("backward"), -1.0, 1.0)
        evaluator.confirm(at, side * found.step[:, 0])
    return with_failures(evaluator, at.index, found)


@dataclass
class _Best:
    """The best that the schemes tried so far have found for a row."""

    found: Found | None = None
    scheme: str = "none"
    nonfinite: bool = False


def _searched(evaluator: Evaluator, spec: DifferentiationSpec, at: Axes, wanted: Mask) -> Estimates:
    """Try the schemes in turn, each at the rows where none before it has given a bar."""
    q = spec.observables
    rows = np.flatnonzero(wanted)
    results = {row: _Best() for row in rows.tolist()}
    spent = np.zeros(len(at))
    for stencil in spec.stencils:
        _Searches(evaluator, stencil, spec, at, spent).run(rows, results)
        # beside a bound there may be more room on one side than on both
        roomy = largest_step(at.x, stencil, at.lower, at.upper) >= CLOSE * at.scale
        rows = rows[[not _is_settled(results[row], spec, bool(roomy[row // q])) for row in rows.tolist()]]
        if not len(rows):
            break
    found = Estimates.empty(len(at) * q)
    if results:
        columns = np.array([_numbers(result) for result in results.values()], dtype=float).T
        found.put(np.array(list(results)), Estimates(*columns))
    found.nfev[:] = np.repeat(spent, q)
    return found.reshaped(len(at), q)


def _is_settled(best: _Best, spec: DifferentiationSpec, roomy: bool) -> bool:
    if best.found is None:
        return False
    return roomy or best.found.uncertainty <= spec.target * abs(best.found.derivative)


class _Searches:
    """Searches by one stencil, in step."""

    def __init__(
        self, evaluator: Evaluator, stencil: Stencil, spec: DifferentiationSpec, at: Axes, spent: FloatArray
    ) -> None:
        self.evaluator, self.stencil, self.spec, self.at = evaluator, stencil, spec, at
        self.spent = spent
        """Passes by line, to which those made here are added."""
        self._known: dict[tuple[int, float], Points] = {}

    def run(self, rows: IntArray, results: dict[int, _Best]) -> None:
        """Search along all rows; results are improved in place."""
        q, at, spec = self.spec.observables, self.at, self.spec
        least = 2.0 * spacing(at.x, at.itemsize)
        x, typical, low = at.x.tolist(), at.typical.tolist(), least.tolist()
        searches = {
            row: searching(self.stencil, x[i], spec.precisions[row % q], spec.target, typical[i], low[i])
            for row in rows.tolist()
            for i in (row // q,)
        }
        asked = {row: next(search) for row, search in searches.items()}
        while asked:
            which, steps = np.array(list(asked)), np.array(list(asked.values()))
            levels, nonfinite = self._levels(which, steps)
            asked = {}
            for row, level, lost in zip(which.tolist(), levels, nonfinite.tolist(), strict=True):
                result = results[row]
                result.nonfinite |= lost
                step = _answer(searches[row], level, result, self.stencil)
                if step is not None:
                    asked[row] = step

    def _levels(self, rows: IntArray, steps: FloatArray) -> tuple[list[Level | None], Mask]:
        """The level at a step of each row, and whether fun was not finite.

        None where the step is lost or leaves the bounds, or where fun is not finite.
        """
        q = self.spec.observables
        taken, values, sizes = self._points(rows // q, steps) if q == 1 else self._shared(rows, steps)
        there = np.isfinite(taken).all(axis=1)
        finite = np.isfinite(values).all(axis=1)
        good = np.flatnonzero(there & finite)
        levels: list[Level | None] = [None] * len(rows)
        precision = precision_of_rows(self.spec.precisions, rows[good] % q)
        measured = measure(self.stencil, steps[good].tolist(), (taken[good], values[good], sizes[good]), precision)
        for row, level in zip(good.tolist(), measured, strict=True):
            levels[row] = level
        return levels, np.asarray(there & ~finite)

    def _points(self, lines: IntArray, steps: FloatArray) -> Points:
        """Displacements of lines, and values and sizes there, a row for each observable; counts passes."""
        some = self.at[lines]
        taken = fitting(self.stencil, some, steps)
        fits = np.flatnonzero(np.isfinite(taken).all(axis=1))
        q = self.spec.observables
        values, sizes = (np.full((len(lines) * q, taken.shape[1]), np.nan, order="F") for _ in range(2))
        rows = fits if q == 1 else (fits[:, None] * q + np.arange(q)).reshape(-1)
        values[rows], sizes[rows] = values_at(self.evaluator, self.stencil, some[fits], taken[fits])
        np.add.at(self.spent, lines[fits], float(self.stencil.nfev))
        return taken, values, sizes

    def _shared(self, rows: IntArray, steps: FloatArray) -> Points:
        """The same for single observables of lines, from what is known, or is evaluated now for all of them."""
        q = self.spec.observables
        keys = list(zip((rows // q).tolist(), steps.tolist(), strict=True))
        new = sorted({key for key in keys if key not in self._known})  # lines ascend
        if new:
            lines = np.array([line for line, _ in new])
            taken, values, sizes = self._points(lines, np.array([step for _, step in new]))
            for number, key in enumerate(new):
                own = slice(number * q, (number + 1) * q)
                self._known[key] = (taken[number], values[own], sizes[own])
        points = [(self._known[key], row % q) for key, row in zip(keys, rows.tolist(), strict=True)]
        return (
            np.array([taken for (taken, _, _), _ in points]),
            np.array([values[j] for (_, values, _), j in points]),
            np.array([sizes[j] for (_, _, sizes), j in points]),
        )


def _answer(search: Asking[Found | None], level: Level | None, result: _Best, stencil: Stencil) -> float | None:
    """Go on with a search: its next step, or None and its result kept if it is a better one."""
    try:
        return search.send(level)
    except StopIteration as end:
        found: Found | None = end.value
        if found is not None and (result.found is None or found.uncertainty < result.found.uncertainty):
            result.found, result.scheme = found, stencil.scheme
        return None


def fitting(stencil: Stencil, at: Axes, step: FloatArray) -> FloatArray:
    """Displacements of a stencil, shape (k, points); NaN where a step is lost or leaves the bounds."""
    fits = step <= largest_step(at.x, stencil, at.lower, at.upper)
    taken = displacements(at.x, np.where(fits, step, 0.0), stencil, at.itemsize, at.lower, at.upper)
    return np.where(fits[:, None], taken, np.nan)


def _numbers(best: _Best) -> tuple[float, ...]:
    """The columns of `Estimates` for a row; passes are counted by line."""
    found = best.found
    if found is None:
        state = NONFINITE if best.nonfinite else NO_ROOM
        return np.nan, np.nan, np.nan, 0.0, state, SCHEMES.index("none"), np.nan
    state = KINKED if found.kink else FLAT if found.flat else SEARCHED
    numbers = found.derivative, found.uncertainty, found.step, 0.0, state, SCHEMES.index(best.scheme)
    return *numbers, found.margin
