"""Derivatives of one entry at many steps: the curve whose valley the step search looks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pardiff.evaluation.evaluator import Evaluator
from pardiff.evaluation.fixed_stencil import with_origin
from pardiff.evaluation.lines import Axes, Values
from pardiff.evaluation.searches import fitting
from pardiff.evaluation.spec import DifferentiationSpec
from pardiff.numerics.richardson import measure
from pardiff.numerics.steps import largest_step, spacing

PER_DECADE = 2
"""Steps in a decade: enough to see a valley, whose sides have slopes of one and of the order."""
LOWEST = 1e-12
"""Smallest step relative to the scale of x; below it rounding is all that one sees."""
FARTHEST = 0.25
"""Largest step, likewise: as far as the search goes."""


@dataclass(frozen=True)
class StepSweep:
    """Derivatives at many steps, by the stencil of the options."""

    label: str
    """The entry, as reports write it."""
    scheme: str
    steps: tuple[float, ...]
    """Steps in the units of the parameter, ascending; those that do not fit or at which fun is not finite are left
    out."""
    derivatives: tuple[float, ...]
    rounding: tuple[float, ...]
    """Rounding part of the error bar at each step."""
    slopes: tuple[tuple[float, float], ...]
    """Slopes below and above x at each step; they stay apart at a kink. NaN for one-sided stencils."""
    nfev: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StepSweep:
        """The inverse of :meth:`to_json`."""
        lists = {name: tuple(data[name]) for name in ("steps", "derivatives", "rounding")}
        return cls(**{**data, **lists, "slopes": tuple((low, high) for low, high in data["slopes"])})


def sweep_steps(
    evaluator: Evaluator, spec: DifferentiationSpec, at: Axes, label: str, observable: int = 0
) -> StepSweep:
    """Differentiate along one coordinate at all steps from rounding to the scale of x.

    Parameters
    ----------
    at : Axes
        One line.
    label : str
        Name of the entry.
    observable : int
        Which of fun's observables.
    """
    scale = float(at.scale[0])
    lowest = max(LOWEST * scale, 2.0 * float(spacing(at.x, at.itemsize)[0]))
    highest = FARTHEST * scale
    count = max(2, round(PER_DECADE * np.log10(highest / lowest)) + 1)
    steps = np.geomspace(lowest, highest, count)
    stencils = spec.stencils
    room = [float(largest_step(at.x, stencil, at.lower, at.upper)[0]) for stencil in stencils]
    # the stencil that a bound leaves the most decades to
    stencil = stencils[int(np.argmax(np.minimum(room, highest)))]
    taken = fitting(stencil, at[np.zeros(count, dtype=np.int64)], steps)
    rows = np.isfinite(taken).all(axis=1)
    moves = taken[rows][:, list(stencil.moved)]
    found = evaluator.along(at, moves.reshape(1, -1))
    one = Values(*(part[0, :, observable].reshape(*moves.shape, 1) for part in found))
    origin = Values(*(part[observable : observable + 1] for part in evaluator.origin))
    values, sizes = with_origin(stencil, origin, one)
    levels = measure(stencil, steps[rows].tolist(), (taken[rows], values, sizes), spec.precisions[observable])
    good = [level for level in levels if level is not None]
    return StepSweep(
        label=label,
        scheme=stencil.scheme,
        steps=tuple(level.step for level in good),
        derivatives=tuple(level.derivative for level in good),
        rounding=tuple(level.rounding for level in good),
        slopes=tuple(level.slopes for level in good),
        nfev=moves.size,
    )
