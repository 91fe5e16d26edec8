"""Step searches along many coordinates, side by side: each step of all of them is one evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.evaluation.fixed_stencil import (
    CLOSE,
    FLAT,
    KINKED,
    NO_ROOM,
    NONFINITE,
    SEARCHED,
    Estimates,
    Rule,
    values_at,
    with_failures,
)
from pardiff.numerics.richardson import Found, Level, measure
from pardiff.numerics.stencils import SCHEMES, Stencil
from pardiff.numerics.step_search import Asking, searching
from pardiff.numerics.steps import displacements, largest_step, spacing
from pardiff.problem.space import FloatArray

TOGETHER = 1 << 10
"""Coordinates, counted from the start of a wave, that are searched side by side: their levels take a few megabytes."""


def by_search(evaluator: Evaluator, rule: Rule, at: Coordinates) -> Estimates:
    """The step search, about 4 to 30 passes a coordinate."""
    found = Estimates.empty(len(at))
    for group in np.unique(at.place // TOGETHER):
        rows = np.flatnonzero(at.place // TOGETHER == group)
        found.put(rows, _searched(evaluator, rule, at[rows]))
    side = np.where(found.scheme == SCHEMES.index("backward"), -1.0, 1.0)
    evaluator.confirm(at.index, side * found.step, at.place)
    return with_failures(evaluator, at.index, found)


@dataclass
class _Best:
    """The best that the schemes tried so far have found for a coordinate."""

    found: Found | None = None
    scheme: str = "none"
    nonfinite: bool = False
    nfev: int = 0


def _searched(evaluator: Evaluator, rule: Rule, at: Coordinates) -> Estimates:
    """Try the schemes in turn, each at the coordinates where none before it has given a bar."""
    results = [_Best() for _ in range(len(at))]
    rows = np.arange(len(at))
    for stencil in rule.stencils:
        _search_all(evaluator, stencil, rule, at[rows], [results[row] for row in rows])
        # beside a bound there may be more room on one side than on both
        roomy = largest_step(at.x[rows], stencil, at.lower[rows], at.upper[rows]) >= CLOSE * at.scale[rows]
        rows = rows[
            [not _is_settled(results[row], rule, enough) for row, enough in zip(rows, roomy.tolist(), strict=True)]
        ]
        if not len(rows):
            break
    columns = zip(*(_numbers(result) for result in results), strict=True)
    return Estimates(*(np.array(column, dtype=float) for column in columns))


def _is_settled(best: _Best, rule: Rule, roomy: bool) -> bool:
    if best.found is None:
        return False
    return roomy or best.found.uncertainty <= rule.target * abs(best.found.derivative)


def _search_all(evaluator: Evaluator, stencil: Stencil, rule: Rule, at: Coordinates, results: list[_Best]) -> None:
    """Search along all coordinates by one stencil, in step; results are improved in place."""
    least = 2.0 * spacing(at.x, at.itemsize)
    coordinates = zip(at.x.tolist(), at.typical.tolist(), least.tolist(), strict=True)
    searches = [searching(stencil, x, rule.precision, rule.target, typical, low) for x, typical, low in coordinates]
    asked = {row: next(search) for row, search in enumerate(searches)}
    while asked:
        rows = np.array(list(asked))
        found, spent, nonfinite = _levels(evaluator, stencil, rule, at[rows], np.array(list(asked.values())))
        asked = {}
        for row, level, passes, lost in zip(rows.tolist(), found, spent.tolist(), nonfinite.tolist(), strict=True):
            result = results[row]
            result.nfev += passes
            result.nonfinite |= lost
            step = _answer(searches[row], level, result, stencil)
            if step is not None:
                asked[row] = step


def _answer(search: Asking[Found | None], level: Level | None, result: _Best, stencil: Stencil) -> float | None:
    """Go on with a search: its next step, or None and its result kept if it is a better one."""
    try:
        return search.send(level)
    except StopIteration as end:
        found: Found | None = end.value
        if found is not None and (result.found is None or found.uncertainty < result.found.uncertainty):
            result.found, result.scheme = found, stencil.scheme
        return None


def _levels(
    evaluator: Evaluator, stencil: Stencil, rule: Rule, at: Coordinates, step: FloatArray
) -> tuple[list[Level | None], NDArray[np.int64], NDArray[np.bool_]]:
    """The level at a step of each coordinate, passes spent, and whether fun was not finite.

    None where the step is lost or leaves the bounds, or where fun is not finite.
    """
    taken = fitting(stencil, at, step)
    rows = np.flatnonzero(np.isfinite(taken).all(axis=1))
    some = taken[rows]
    values, sizes = values_at(evaluator, stencil, at[rows], some)
    finite = np.isfinite(values).all(axis=1)
    nonfinite = np.zeros(len(at), dtype=bool)
    nonfinite[rows[~finite]] = True
    spent = np.zeros(len(at), dtype=np.int64)
    spent[rows] = stencil.nfev
    levels: list[Level | None] = [None] * len(at)
    good = rows[finite]
    measured = measure(stencil, step[good].tolist(), (some[finite], values[finite], sizes[finite]), rule.precision)
    for row, level in zip(good.tolist(), measured, strict=True):
        levels[row] = level
    return levels, spent, nonfinite


def fitting(stencil: Stencil, at: Coordinates, step: FloatArray) -> FloatArray:
    """Displacements of a stencil, shape (k, points); NaN where a step is lost or leaves the bounds."""
    fits = step <= largest_step(at.x, stencil, at.lower, at.upper)
    taken = displacements(at.x, np.where(fits, step, 0.0), stencil, at.itemsize, at.lower, at.upper)
    return np.where(fits[:, None], taken, np.nan)


def _numbers(best: _Best) -> tuple[float, ...]:
    """The columns of `Estimates` for a coordinate."""
    found = best.found
    if found is None:
        state = NONFINITE if best.nonfinite else NO_ROOM
        return np.nan, np.nan, np.nan, best.nfev, state, SCHEMES.index("none"), np.nan
    state = KINKED if found.kink else FLAT if found.flat else SEARCHED
    numbers = found.derivative, found.uncertainty, found.step, best.nfev, state, SCHEMES.index(best.scheme)
    return *numbers, found.margin
