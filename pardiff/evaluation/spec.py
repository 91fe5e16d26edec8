"""How derivatives are formed: what of the options and of the baseline the numerics needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pardiff.numerics.difference import Precision
from pardiff.numerics.stencils import Stencil, candidates, named
from pardiff.numerics.tuning import TARGET
from pardiff.problem.options import DEFAULT_ORDER, Options, Resolved
from pardiff.problem.outputs import Cotangents


def stencil_of(options: Options | Resolved) -> Stencil:
    """The stencil that options ask for; with the complex step, the one that looks at what it leaves open."""
    if options.stencil is not None:
        return Stencil(tuple(sorted({0, *options.stencil})))
    if options.method == "complex":
        return named("central", DEFAULT_ORDER["central"])
    method = options.method or "central"
    return named(method, options.order or DEFAULT_ORDER[method])


@dataclass(frozen=True)
class DifferentiationSpec:
    """How a line is differentiated; the same for all blocks and workers of an audit, and kept in it."""

    stencil: Stencil
    precisions: tuple[Precision, ...]
    """How well the evaluator's values are known, for each observable."""
    check: Precision
    """How well values of fun itself are known, with which those of a fast path are compared."""
    rel_step: float | None
    abs_step: float | None
    typical: tuple[float, ...]
    """Typical size of the parameters, by array."""
    target: float
    """Bar relative to the derivative at which the step search ends."""
    two_steps: bool
    """Whether the first wave takes its bar from two steps."""
    strategy: str
    """How fun is evaluated, one of those in `pardiff.evaluation.strategy`."""
    rows: int
    """Points in a batch."""
    slope_noise: tuple[float, ...] | None
    """Error of complex-step derivatives along the line of the baseline, by observable; None where the step is real."""
    cotangents: Cotangents | None
    """Cotangents of a fun with outputs; None where it returns a loss or its terms."""

    @classmethod
    def of(cls, resolved: Resolved, **measured: Any) -> DifferentiationSpec:
        """Make one from options, and from what was measured at x0."""
        return cls(
            stencil=stencil_of(resolved),
            rel_step=resolved.rel_step,
            abs_step=resolved.abs_step,
            target=TARGET * resolved.rtol,
            two_steps=resolved.refine == "all",
            **measured,
        )

    @property
    def stencils(self) -> tuple[Stencil, ...]:
        """The formula, and those that replace it where a bound is in the way."""
        return candidates(self.stencil)

    @property
    def observables(self) -> int:
        """q."""
        return 1 if self.cotangents is None else self.cotangents.count

    @property
    def step_eps(self) -> float:
        """Relative precision by which the common step of all observables is chosen, their median."""
        return float(np.median([one.eps for one in self.precisions]))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "offsets": list(self.stencil.offsets),
            "precisions": [[one.eps, one.noise] for one in self.precisions],
            "check": [self.check.eps, self.check.noise],
            "rel_step": self.rel_step,
            "abs_step": self.abs_step,
            "typical": list(self.typical),
            "target": self.target,
            "two_steps": self.two_steps,
            "strategy": self.strategy,
            "rows": self.rows,
            "slope_noise": None if self.slope_noise is None else list(self.slope_noise),
            "cotangents": None if self.cotangents is None else self.cotangents.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DifferentiationSpec:
        """The inverse of :meth:`to_json`."""
        slope_noise, cotangents = data["slope_noise"], data["cotangents"]
        return cls(
            stencil=Stencil(tuple(data["offsets"])),
            precisions=tuple(Precision(*one) for one in data["precisions"]),
            check=Precision(*data["check"]),
            rel_step=data["rel_step"],
            abs_step=data["abs_step"],
            typical=tuple(data["typical"]),
            target=data["target"],
            two_steps=data["two_steps"],
            strategy=data["strategy"],
            rows=data["rows"],
            slope_noise=None if slope_noise is None else tuple(slope_noise),
            cotangents=None if cotangents is None else Cotangents.from_json(cotangents),
        )
