"""Derivatives of many coordinates: by a fixed stencil, or by that stencil at two steps."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.numerics import richardson as levels
from pardiff.numerics.complex_step import STEP, complex_bar
from pardiff.numerics.difference import Precision, bend, difference, truncation
from pardiff.numerics.stencils import SCHEMES, Stencil, candidates, named
from pardiff.numerics.steps import displacements, fit, largest_step, steps
from pardiff.problem.options import DEFAULT_ORDER, Settings
from pardiff.problem.space import FloatArray, IntArray, grouped

MISSING, DONE, NONFINITE, ERROR, NO_ROOM, SEARCHED, KINKED, FLAT, CRASHED = range(9)
STATES = ("missing", "done", "nonfinite", "error", "no_room", "searched", "kink", "flat", "crashed")
"""What became of a coordinate: no result yet; a derivative by the fixed stencil or the complex step; fun not
finite; fun raised; no room in its bounds; a derivative by the step search; no derivative, as the slopes on the
two sides differ: the bar then spans both; fun did not change by a bit, near x or far from it; fun ended its process, or
did not come back."""


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
    margin: FloatArray
    """Distance from the derivative within which nothing is failed; at least the uncertainty."""

    @classmethod
    def empty(cls, count: int) -> Estimates:
        """Results for which nothing has been done."""
        matrix = np.zeros((len(QUANTITIES), count))
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

    def to_matrix(self) -> FloatArray:
        """Shape (quantities, k), in the order of the fields."""
        whole = self.numerical.base
        if isinstance(whole, np.ndarray) and whole.shape == (len(QUANTITIES), len(self.numerical)):
            return whole
        return np.stack([getattr(self, name) for name in QUANTITIES])

    @classmethod
    def from_matrix(cls, matrix: FloatArray) -> Estimates:
        """The inverse of :meth:`to_matrix`."""
        return cls(*matrix)


QUANTITIES = tuple(field.name for field in fields(Estimates))


CLOSE = 1e-4
"""Part of the scale of x that a bound must leave for steps that need no other side."""
FAR = 0.25
"""Part of the scale of x at which one looks for any change of fun at all."""


def formula(settings: Settings) -> Stencil:
    """The stencil of some settings; with the complex step, the one that looks at what it leaves open."""
    if settings.stencil is not None:
        return Stencil(tuple(sorted({0, *settings.stencil})))
    if settings.method == "complex":
        return named("central", DEFAULT_ORDER["central"])
    method = settings.method or "central"
    return named(method, settings.order or DEFAULT_ORDER[method])


@dataclass(frozen=True)
class Rule:
    """How a coordinate is differentiated: what of the settings and of the start the numerics needs."""

    stencils: tuple[Stencil, ...]
    """The formula, and those that replace it where a bound is in the way."""
    precision: Precision
    rel_step: float | None
    abs_step: float | None
    typical: tuple[float, ...]
    """Typical size of the parameters, by array."""
    target: float
    """Bar relative to the derivative at which the step search ends."""
    two_steps: bool
    """Whether the first wave takes its bar from the steps h and 3h."""
    path: str
    """How fun is evaluated, one of those in `pardiff.evaluation.strategy`."""
    rows: int
    """Of a batch."""
    check: Precision
    """Of fun itself, with which values of a fast path are compared."""
    slope_noise: float | None
    """Error of complex-step derivatives along the line of the start; None where the step is real."""

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Rule:
        """The rule that an audit has stored.

        The search aims at a tenth of the tolerance: enough for a verdict, and no pass more.
        """
        return cls(
            stencils=candidates(Stencil(tuple(stored["offsets"]))),
            precision=Precision(stored["eps"], stored["noise"]),
            rel_step=stored["rel_step"],
            abs_step=stored["abs_step"],
            typical=tuple(stored["typical"]),
            target=0.1 * stored["rtol"],
            two_steps=stored["refine"] == "all",
            path=stored["path"],
            rows=stored["rows"],
            check=Precision(*stored["check"]),
            slope_noise=stored["slope_noise"],
        )


def by_stencil(evaluator: Evaluator, rule: Rule, at: Coordinates) -> Estimates:
    """One fixed stencil per coordinate: 2 passes each with the central rule of order 2.

    With a bar from two steps it is two stencils; with the complex step, 1 pass.
    """
    if rule.slope_noise is not None:
        return _complex(evaluator, rule, at)
    multiples = (1.0, levels.RATIO) if rule.two_steps else (1.0,)
    step = steps(
        at.x, at.itemsize, at.typical, rule.stencils[0].order, rule.precision.eps, rule.rel_step, rule.abs_step
    )
    choice, reached = fit(at.x, step * multiples[-1], rule.stencils, at.lower, at.upper)
    step = np.where(reached < step * multiples[-1], reached / multiples[-1], step)
    found = Estimates.empty(len(at))
    for number, rows in grouped(choice):
        stencil, some = rule.stencils[number], at[rows]
        results = [_fixed(evaluator, stencil, rule, some, step[rows] * multiple) for multiple in multiples]
        found.put(rows, _both(stencil, *results) if rule.two_steps else results[0].found)
        flat = np.arange(len(at))[rows][results[0].flat]
        if len(flat):
            found.put(flat, _from_afar(evaluator, stencil, rule, at[flat], found.part(flat)))
    return with_failures(evaluator, at.index, found)


@dataclass(frozen=True)
class Fixed:
    """Derivatives by one stencil, and what else its points show; each of shape (k,)."""

    found: Estimates
    rounding: FloatArray
    """Rounding part of the bar."""
    bend: FloatArray
    """Difference of the slopes on the two sides of x."""
    flat: NDArray[np.bool_]
    """Whether all values were the same."""


def _fixed(evaluator: Evaluator, stencil: Stencil, rule: Rule, at: Coordinates, step: FloatArray) -> Fixed:
    """Differentiate by one stencil with given steps."""
    taken = displacements(at.x, step, stencil, at.itemsize, at.lower, at.upper)
    values, sizes = values_at(evaluator, stencil, at, taken)
    with np.errstate(all="ignore"):  # non-finite values of fun are results here, marked as such below
        derivative, rounding = difference(stencil, taken, values, rule.precision.errors(sizes))
        bent = bend(stencil, taken, values)
        edge = np.minimum(at.x - at.lower, at.upper - at.x)  # may overflow: there is no end of room then
        bar = rounding + truncation(stencil.order, derivative, bent, step, at.scale, edge)
    room = np.isfinite(taken).all(axis=1)
    good = np.isfinite(derivative) & np.isfinite(bar)
    state = np.where(good, DONE, np.where(room, NONFINITE, NO_ROOM))
    found = Estimates(
        numerical=np.where(good, derivative, np.nan),
        uncertainty=np.where(good, bar, np.nan),
        step=np.where(room, step, np.nan),
        nfev=np.where(room, float(stencil.nfev), 0.0),
        state=state.astype(float),
        scheme=np.where(room, float(SCHEMES.index(stencil.scheme)), 0.0),
        margin=np.where(good, bar, np.nan),
    )
    return Fixed(found, rounding, bent, (values == values[:, :1]).all(axis=1))


def _from_afar(evaluator: Evaluator, stencil: Stencil, rule: Rule, at: Coordinates, found: Estimates) -> Estimates:
    """Look again, from afar, at coordinates that did not move fun at all.

    If they do not there either, not by a bit, fun does not depend on them as far as can be seen: the derivative
    is 0, to within rounding there. If they do, the values of fun are too coarse for the step,
    or it is flat near x alone: the bar is then as wide as the change seen from afar would make it, and the step
    search decides.
    """
    step = np.minimum(FAR * at.scale, largest_step(at.x, stencil, at.lower, at.upper))
    far = _fixed(evaluator, stencil, rule, at, step)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        hidden = np.abs(far.found.numerical) * step / found.step + far.bend * step / found.step
        wide = found.uncertainty + np.nan_to_num(hidden, nan=np.inf)
    bar = np.where(far.flat, far.found.uncertainty, wide)
    margin = np.where(far.flat, np.inf, wide)  # that anything is wrong is for the step search to say
    state = np.where(far.flat, float(FLAT), found.state)
    taken = np.where(far.flat, far.found.step, found.step)
    spent = found.nfev + far.found.nfev
    return Estimates(found.numerical, bar, taken, spent, state, found.scheme, margin)


def _both(stencil: Stencil, near: Fixed, far: Fixed) -> Estimates:
    """Derivatives at h, with bars from the change to those at the next step of the ladder."""
    found, other = near.found, far.found
    with np.errstate(invalid="ignore"):
        error = levels.truncation_error(found.numerical, other.numerical, stencil)
        kink = np.where(far.bend < levels.EVEN * near.bend, near.bend, 0.0)
        bar = near.rounding + error + kink
    good = np.isfinite(bar)
    bar = np.where(good, bar, np.nan)
    state = np.where(good, found.state, np.fmax(found.state, other.state))
    return Estimates(found.numerical, bar, found.step, found.nfev + other.nfev, state, found.scheme, bar)


def values_at(
    evaluator: Evaluator, stencil: Stencil, at: Coordinates, taken: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Values and sizes at all points of a stencil, each of shape (k, points); those at x0 are known."""
    moves = np.empty((len(at), stencil.nfev), order="F")
    for column, j in enumerate(stencil.moved):
        moves[:, column] = taken[:, j]
    return with_origin(stencil, evaluator.origin, evaluator.along_coordinates(at.index, moves, at.place))


def with_origin(
    stencil: Stencil, origin: tuple[float, float], found: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Values and sizes at the moved points of a stencil, with those at x0 put among them."""
    value, size = (np.empty((len(found[0]), len(stencil.offsets)), order="F") for _ in origin)
    for full, known, array in zip((value, size), origin, found, strict=True):
        full[:, stencil.origin] = known
        for column, j in enumerate(stencil.moved):
            full[:, j] = array[:, column]
    return value, size


def _complex(evaluator: Evaluator, rule: Rule, at: Coordinates) -> Estimates:
    """The complex step, one pass per coordinate. Where it cannot be trusted the bar is infinite."""
    assert rule.slope_noise is not None
    derivative, deviation = evaluator.imaginary(at.index, STEP)
    value, size = evaluator.origin
    bar = complex_bar(derivative, deviation, max(abs(value), size), rule.precision, rule.slope_noise, at.unit)
    finite = np.isfinite(derivative)
    ones = np.ones(len(at))
    found = Estimates(
        numerical=np.where(finite, derivative, np.nan),
        uncertainty=np.where(finite, bar, np.nan),
        step=ones * STEP,
        nfev=ones,
        state=np.where(finite, float(DONE), float(NONFINITE)),
        scheme=ones * SCHEMES.index("complex"),
        margin=np.where(finite, bar, np.nan),
    )
    return found


def by_steps(evaluator: Evaluator, rule: Rule, at: Coordinates) -> Estimates:
    """The stencil at two steps of every coordinate, whose difference takes the place of a guess."""
    return by_stencil(evaluator, replace(rule, two_steps=True), at)


def with_failures(evaluator: Evaluator, index: IntArray, found: Estimates) -> Estimates:
    """Mark the coordinates at which fun raised, unless a derivative was found all the same."""
    if not evaluator.failures:
        return found
    failed = np.isin(index, list(evaluator.failures)) & ~np.isin(found.state, (DONE, SEARCHED, KINKED, FLAT))
    found.state[failed] = ERROR
    return found
