"""Derivatives of one coordinate at many steps: the curve whose valley the step search looks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pardiff.evaluation.estimate import Rule, Sampler
from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.numerics.differences import difference
from pardiff.numerics.levels import side_slopes
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
    sampler = Sampler(evaluator, stencil, at)
    found = []
    for step in steps.tolist():
        points = sampler(step)
        if points is not None:
            taken, values, sizes = points
            derivative, rounding = difference(stencil, taken, values, rule.precision.errors(sizes))
            found.append((step, float(derivative[0]), float(rounding[0]), side_slopes(stencil, taken, values)))
    good = [point for point in found if np.isfinite(point[:3]).all()]
    return Sweep(
        coordinate=int(at.index[0]),
        label=label,
        scheme=stencil.scheme,
        steps=tuple(point[0] for point in good),
        derivatives=tuple(point[1] for point in good),
        rounding=tuple(point[2] for point in good),
        slopes=tuple(point[3] for point in good),
        nfev=sampler.nfev,
    )
