"""How well values of fun are known: from their dtype, from what was measured, and from what they look like."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.evaluation.at_x0 import AtX0
from pardiff.evaluation.lines import Axes, Direction, Values
from pardiff.evaluation.noise import Noise, inward
from pardiff.evaluation.observe import Observe
from pardiff.evaluation.pointwise import Pointwise
from pardiff.numerics.difference import Precision
from pardiff.numerics.difference_table import has_single_precision, is_single
from pardiff.numerics.tuning import BESIDE, FINER, LARGEST_EPS, USUAL
from pardiff.problem.outputs import parse_outputs
from pardiff.problem.problem import Problem
from pardiff.problem.space import FloatArray


def precisions_of(
    problem: Problem, plain: Pointwise, seen: AtX0, noise: list[Noise], at: Axes
) -> tuple[tuple[Precision, ...], list[int], bool]:
    """Precision of each observable, the bytes of its values, and whether those are of short precision."""
    parameters = int(at.itemsize.min(initial=8))
    outputs = seen.cotangents is not None
    changes = problem.terms or outputs  # whose rounding goes with their size alone
    found, itemsizes, short = [], [], False
    for one, itemsize, single in zip(noise, seen.itemsizes, _single(plain, seen, noise, at, changes), strict=True):
        itemsizes.append(min(itemsize, 4) if single else itemsize)
        short = short or (bool(single) and itemsizes[-1] < 8)
        level = one.level if not changes or (outputs and not seen.deterministic) else 0.0
        # noise of outputs goes with their sizes, and a large derivative does not make it smaller
        measured = replace(one, scale=one.size) if outputs and seen.deterministic and one.size > 0 else one
        found.append(Precision(_epsilon(measured, itemsizes[-1], parameters), level))
    return tuple(found), itemsizes, short


def _single(plain: Pointwise, seen: AtX0, noise: list[Noise], at: Axes, changes: bool) -> list[bool]:
    """Whether the values of each observable are numbers of float32, of whatever dtype.

    Terms and outputs are looked at one by one, and once more beside x0: at x0 they may be such numbers by chance.
    """
    found = [one.single_precision for one in noise]
    if not changes or not any(has_single_precision(part) for part in seen.parts):
        return found
    beside = _values_beside(plain, at, seen)
    return [
        one or (has_single_precision(part) and len(there) > 0 and is_single(there))
        for one, part, there in zip(found, seen.parts, beside, strict=True)
    ]


class _Kept:
    """Keeps the last value of fun that is observed."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self.known = observe.known
        self.value: Any = None

    def take(self, value: Any) -> Values:
        """Leave x0 to the other."""
        return self._observe.take(value)

    def __call__(self, value: Any) -> tuple[Any, Any]:
        """Keep a value, and observe it."""
        self.value = value
        return self._observe(value)


def _values_beside(plain: Pointwise, at: Axes, seen: AtX0) -> list[FloatArray]:
    """What of fun's terms or outputs is another at a point beside x0, for each observable; one pass."""
    observe = plain.observe
    assert observe is not None
    plain.observe = kept = _Kept(observe)
    lengths = np.random.default_rng(0).uniform(0.5, 1.0, len(at))
    try:
        plain.along(Direction(inward(lengths * at.unit, at)), np.array([[BESIDE]]))
    finally:
        plain.observe = observe
    try:
        if seen.cotangents is None:
            arrays = [np.asarray(kept.value, dtype=float).reshape(-1)]
        else:
            arrays = [array for array in parse_outputs(kept.value)[1] for _ in range(seen.cotangents.probes)]
    except (InputError, TypeError):  # fun raised there, or is not finite
        return [np.empty(0) for _ in seen.parts]
    return [there[there != here] for there, here in zip(arrays, seen.parts, strict=True)]


def _epsilon(found: Noise, itemsize: int, parameters: int) -> float:
    """Relative precision of fun, from the bytes of its value and of the parameters, and what was measured."""
    eps = float(np.finfo(f"f{min(itemsize, 4) if found.short else itemsize}").eps)
    short = float(np.finfo(f"f{min(itemsize, parameters)}").eps)
    # short parameters mean short arithmetic, unless the values of fun show otherwise
    if short > eps and not (found.measured and found.level <= FINER * short * found.scale):
        eps = short
    return min(LARGEST_EPS, max(eps, relative_noise(found, eps)))


def relative_noise(noise: Noise, eps: float) -> float:
    """Noise relative to fun; 0 where it is no more than rounding, so that steps do not depend on luck."""
    relative = noise.level / noise.scale if noise.scale > 0 else 0.0
    return relative if relative > USUAL * eps else 0.0
