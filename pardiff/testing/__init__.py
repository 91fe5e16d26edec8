"""For tests of programs that use pardiff: toy problems with exact gradients, planted faults, strategies."""

from __future__ import annotations

from pardiff.testing.problems import TOYS, plant, rosenbrock, sphere, structures, two_layers

__all__ = ["TOYS", "plant", "rosenbrock", "sphere", "structures", "two_layers"]
