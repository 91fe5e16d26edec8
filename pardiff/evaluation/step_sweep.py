"""Derivatives of one coordinate at many steps: the curve whose valley the step search looks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.evaluation.fixed_stencil import Rule, with_origin
from pardiff.evaluation.searches import fitting
from pardiff.numerics.richardson import measure
from pardiff.numerics.steps import largest_step, spacing

PER_DECADE = 2
"""Steps in a decade: enough to see a valley, whose sides have slopes of one and of the order."""
LOWEST = 1e-12
"""Smallest step relative to the scale of x; below it rounding is all that one sees."""
FARTHEST = 0.25
"""Largest step, likewise: as far as the search goes."""


@dataclass(frozen=True)
class Sweep:
    """Derivatives at many steps, by the stencil of the settings."""

    coordinate: int
    """Flat."""
    label: str
    scheme: str
    steps: tuple[float, ...]
    """In the units of the parameter, ascending; steps that do not fit or at which fun is not finite are left out."""
    derivatives: tuple[float, ...]
    rounding: tuple[float, ...]
    """Rounding part of the error bar at each step."""
    slopes: tuple[tuple[float, float], ...]
    """Slopes below and above x at each step; they stay apart at a kink. NaN for one-sided stencils."""
    nfev: int


def sweep(evaluator: Evaluator, rule: Rule, at: Coordinates, label: str) -> Sweep:
    """Differentiate one coordinate at all steps from rounding to the scale of x.

    Parameters
    ----------
    at : Coordinates
        One coordinate.
    label : str
        Its name.
    """
    scale = float(at.scale[0])
    lowest = max(LOWEST * scale, 2.0 * float(spacing(at.x, at.itemsize)[0]))
    highest = FARTHEST * scale
    count = max(2, round(PER_DECADE * np.log10(highest / lowest)) + 1)
    steps = np.geomspace(lowest, highest, count)
    room = [float(largest_step(at.x, stencil, at.lower, at.upper)[0]) for stencil in rule.stencils]
    # the stencil that a bound leaves the most decades to
    stencil = rule.stencils[int(np.argmax(np.minimum(room, highest)))]
    many = at[np.zeros(count, dtype=np.int64)]
    taken = fitting(stencil, many, steps)
    rows = np.isfinite(taken).all(axis=1)
    moves = taken[rows][:, list(stencil.moved)]
    found = evaluator.along_coordinate(int(at.index[0]), moves.reshape(-1))
    values, sizes = with_origin(
        stencil, evaluator.origin, (found[0].reshape(moves.shape), found[1].reshape(moves.shape))
    )
    levels = measure(stencil, steps[rows].tolist(), (taken[rows], values, sizes), rule.precision)
    good = [level for level in levels if level is not None]
    return Sweep(
        coordinate=int(at.index[0]),
        label=label,
        scheme=stencil.scheme,
        steps=tuple(level.step for level in good),
        derivatives=tuple(level.derivative for level in good),
        rounding=tuple(level.rounding for level in good),
        slopes=tuple(level.slopes for level in good),
        nfev=moves.size,
    )
