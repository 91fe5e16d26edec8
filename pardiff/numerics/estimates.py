"""Numerical derivatives with all that is known of each: its error bar, step, cost and state."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from pardiff.numerics.stencils import FloatArray
from pardiff.numerics.steps import IntArray

MISSING, DONE, NONFINITE, ERROR, NO_ROOM, SEARCHED, KINKED, FLAT, CRASHED = range(9)
STATES = ("missing", "done", "nonfinite", "error", "no_room", "searched", "kink", "flat", "crashed")
"""What became of a derivative. ``missing``: there is no result yet. ``done``: it is from the fixed stencil, or from the
complex step. ``nonfinite``: fun is not finite. ``error``: fun raised. ``no_room``: its bounds leave no room for a step.
``searched``: it is from the step search. ``kink``: there is none, as the slopes on the two sides differ; the bar spans
both. ``flat``: fun did not change by a bit, near x or far from it. ``crashed``: fun ended its process, or did not come
back."""


@dataclass(frozen=True)
class Estimates:
    """Numerical derivatives, float64 throughout.

    Every field has one shape: (k, q) for q observables of fun along k lines, as they are evaluated and stored, or (k,)
    for a part of one array, as they are compared.
    """

    numerical: FloatArray
    uncertainty: FloatArray
    """Half width of the error bar, in the units of the derivative."""
    step: FloatArray
    """Step in the units of the parameter."""
    nfev: FloatArray
    """Passes spent on the line; they serve all of its observables."""
    state: FloatArray
    """Number in `STATES`."""
    scheme: FloatArray
    """Number in `pardiff.numerics.stencils.SCHEMES`."""
    margin: FloatArray
    """Distance from the derivative within which nothing fails; at least the uncertainty."""

    @classmethod
    def empty(cls, *shape: int) -> Estimates:
        """Results for which nothing has been done."""
        matrix = np.zeros((len(QUANTITIES), *shape))
        for name in ("numerical", "uncertainty", "step", "margin"):
            matrix[QUANTITIES.index(name)] = np.nan
        return cls(*matrix)

    def put(self, rows: IntArray | slice, other: Estimates) -> None:
        """Write the results of some rows."""
        for name in QUANTITIES:
            getattr(self, name)[rows] = getattr(other, name)

    def part(self, rows: IntArray | slice, *, copy: bool = True) -> Estimates:
        """The results of some rows; views of a slice of them unless copied."""
        parts = (getattr(self, name)[rows] for name in QUANTITIES)
        return Estimates(*(part.copy() for part in parts) if copy else parts)

    def reshaped(self, *shape: int) -> Estimates:
        """The same numbers in another shape; views where that is possible."""
        return Estimates(*(getattr(self, name).reshape(shape) for name in QUANTITIES))

    def to_matrix(self) -> FloatArray:
        """Shape (quantities, k, q), in the order of the fields."""
        whole = self.numerical.base
        if isinstance(whole, np.ndarray) and whole.shape == (len(QUANTITIES), *self.numerical.shape):
            return whole
        return np.stack([getattr(self, name) for name in QUANTITIES])

    @classmethod
    def from_matrix(cls, matrix: FloatArray) -> Estimates:
        """The inverse of :meth:`to_matrix`."""
        return cls(*matrix)


QUANTITIES = tuple(field.name for field in fields(Estimates))
