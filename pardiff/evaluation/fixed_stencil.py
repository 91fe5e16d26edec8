"""Derivatives of many coordinates: by a fixed stencil, by that stencil at two steps, or by the complex step.

The numerics works on rows, one for each line and observable: row ``i q + j`` is observable j along line i.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation.evaluator import Evaluator
from pardiff.evaluation.lines import Axes, Values
from pardiff.evaluation.spec import DifferentiationSpec
from pardiff.numerics import richardson
from pardiff.numerics.complex_step import complex_bar
from pardiff.numerics.difference import difference, precision_of_rows, slope_jump, truncation
from pardiff.numerics.estimates import DONE, ERROR, FLAT, KINKED, NO_ROOM, NONFINITE, SEARCHED, Estimates
from pardiff.numerics.stencils import SCHEMES, Stencil
from pardiff.numerics.steps import displacements, fit, largest_step, steps
from pardiff.numerics.tuning import EVEN, FAR, RATIO, STEP
from pardiff.problem.space import FloatArray, IntArray, grouped


def by_stencil(evaluator: Evaluator, spec: DifferentiationSpec, at: Axes) -> Estimates:
    """One fixed stencil per line: 2 passes each with the central rule of order 2, whatever the number of observables.

    With a bar from two steps it is two stencils; with the complex step, 1 pass.

    Returns
    -------
    Estimates
        Of shape (k, q).
    """
    if spec.slope_noise is not None:
        return _complex(evaluator, spec, at)
    stencils = spec.stencils
    multiples = (1.0, RATIO) if spec.two_steps else (1.0,)
    step = steps(at.x, at.itemsize, at.typical, stencils[0].order, spec.step_eps, spec.rel_step, spec.abs_step)
    choice, reached = fit(at.x, step * multiples[-1], stencils, at.lower, at.upper)
    step = np.where(reached < step * multiples[-1], reached / multiples[-1], step)
    found = Estimates.empty(len(at), spec.observables)
    for number, rows in grouped(choice):
        stencil, some = stencils[number], at[rows]
        results = [_fixed(evaluator, stencil, spec, some, step[rows] * multiple) for multiple in multiples]
        best = _both(stencil, *results) if spec.two_steps else results[0].found
        if results[0].flat.any():
            best = _with_far(evaluator, stencil, spec, some, best, results[0].flat)
        found.put(rows, best.reshaped(len(some), spec.observables))
    return with_failures(evaluator, at.index, found)


def by_steps(evaluator: Evaluator, spec: DifferentiationSpec, at: Axes) -> Estimates:
    """The stencil at two steps of every line, whose difference takes the place of a guess."""
    return by_stencil(evaluator, replace(spec, two_steps=True), at)


@dataclass(frozen=True)
class Fixed:
    """Derivatives by one stencil, and what else its points show; each of shape (k q,)."""

    found: Estimates
    rounding: FloatArray
    """Rounding part of the bar."""
    slope_jump: FloatArray
    """Difference of the slopes on the two sides of x."""
    flat: NDArray[np.bool_]
    """Whether all values were the same."""


def _fixed(evaluator: Evaluator, stencil: Stencil, spec: DifferentiationSpec, at: Axes, step: FloatArray) -> Fixed:
    """Differentiate by one stencil with given steps, shape (k,)."""
    taken = displacements(at.x, step, stencil, at.itemsize, at.lower, at.upper)
    values, sizes = values_at(evaluator, stencil, at, taken)
    with np.errstate(over="ignore"):  # there is no end of room then
        edge, scale = np.minimum(at.x - at.lower, at.upper - at.x), at.scale
    if spec.observables > 1:
        taken, step, edge, scale = (np.repeat(one, spec.observables, axis=0) for one in (taken, step, edge, scale))
    errors = precision_of_rows(spec.precisions, slice(None), len(at)).errors(sizes)
    with np.errstate(all="ignore"):  # non-finite values of fun are results here, marked as such below
        derivative, rounding = difference(stencil, taken, values, errors)
        jump = slope_jump(stencil, taken, values)
        bar = rounding + truncation(stencil.order, derivative, jump, step, scale, edge)
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
    return Fixed(found, rounding, jump, (values == values[:, :1]).all(axis=1))


def _with_far(
    evaluator: Evaluator,
    stencil: Stencil,
    spec: DifferentiationSpec,
    at: Axes,
    found: Estimates,
    flat: NDArray[np.bool_],
) -> Estimates:
    """Look again, from afar, along lines on which an observable did not move at all.

    If it does not there either, not by a bit, it does not depend on the parameter as far as can be seen: the derivative
    is 0, to within rounding there. If it does, the values of fun are too coarse for the step,
    or it is flat near x alone: the bar is then as wide as the change seen from afar would make it, and the step
    search decides.
    """
    q = spec.observables
    lines = np.flatnonzero(flat.reshape(len(at), q).any(axis=1))
    some = at[lines]
    step = np.minimum(FAR * some.scale, largest_step(some.x, stencil, some.lower, some.upper))
    far = _fixed(evaluator, stencil, spec, some, step)
    rows = (lines[:, None] * q + np.arange(q)).reshape(-1)
    step = np.repeat(step, q) if q > 1 else step
    found = found.part(slice(None))  # a bar and a margin may be one array
    near = found.part(rows)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        hidden = np.abs(far.found.numerical) * step / near.step + far.slope_jump * step / near.step
        wide = near.uncertainty + np.nan_to_num(hidden, nan=np.inf)
    away = Estimates(
        numerical=near.numerical,
        uncertainty=np.where(far.flat, far.found.uncertainty, wide),
        step=np.where(far.flat, far.found.step, near.step),
        nfev=near.nfev,
        state=np.where(far.flat, float(FLAT), near.state),
        scheme=near.scheme,
        margin=np.where(far.flat, np.inf, wide),  # that anything is wrong is for the step search to say
    )
    mine = np.flatnonzero(flat[rows])
    found.put(rows[mine], away.part(mine))
    found.nfev[rows] = near.nfev + far.found.nfev
    return found


def _both(stencil: Stencil, near: Fixed, far: Fixed) -> Estimates:
    """Derivatives at h, with bars from the change to those at the next step of the ladder."""
    found, other = near.found, far.found
    with np.errstate(invalid="ignore"):
        error = richardson.truncation_error(found.numerical, other.numerical, stencil)
        kink = np.where(far.slope_jump < EVEN * near.slope_jump, near.slope_jump, 0.0)
        bar = near.rounding + error + kink
    good = np.isfinite(bar)
    bar = np.where(good, bar, np.nan)
    state = np.where(good, found.state, np.fmax(found.state, other.state))
    return Estimates(found.numerical, bar, found.step, found.nfev + other.nfev, state, found.scheme, bar)


def as_rows(values: FloatArray) -> FloatArray:
    """Values of shape (k, points, q) with a row for each line and observable, shape (k q, points)."""
    if values.shape[2] == 1:
        return values[:, :, 0]
    return values.transpose(0, 2, 1).reshape(-1, values.shape[1])


def values_at(evaluator: Evaluator, stencil: Stencil, at: Axes, taken: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values and sizes at all points of a stencil, each of shape (k q, points); those at x0 are known."""
    moves = np.empty((len(at), stencil.nfev), order="F")
    for column, j in enumerate(stencil.moved):
        moves[:, column] = taken[:, j]
    return with_origin(stencil, evaluator.origin, evaluator.along(at, moves))


def with_origin(stencil: Stencil, origin: Values, found: Values) -> tuple[FloatArray, FloatArray]:
    """Values and sizes at the moved points of a stencil as rows, with those at x0 put among them."""
    complete = []
    for known, array in zip(origin, found, strict=True):
        rows = as_rows(array)
        full = np.empty((len(rows), len(stencil.offsets)), order="F")
        full[:, stencil.origin] = known[0] if len(known) == 1 else np.tile(known, len(array))
        for column, j in enumerate(stencil.moved):
            full[:, j] = rows[:, column]
        complete.append(full)
    return complete[0], complete[1]


def _complex(evaluator: Evaluator, spec: DifferentiationSpec, at: Axes) -> Estimates:
    """The complex step, one pass per line. Where it cannot be trusted the bar is infinite."""
    assert spec.slope_noise is not None
    found = Estimates.empty(len(at), spec.observables)
    derivatives, deviations = evaluator.along_imaginary(at, np.zeros((len(at), 1)), STEP)
    for j, (precision, noise) in enumerate(zip(spec.precisions, spec.slope_noise, strict=True)):
        derivative, deviation = derivatives[:, 0, j], deviations[:, 0, j]
        size = max(abs(float(evaluator.origin.value[j])), float(evaluator.origin.size[j]))
        bar = complex_bar(derivative, deviation, size, precision, noise, at.unit)
        finite = np.isfinite(derivative)
        found.numerical[:, j] = np.where(finite, derivative, np.nan)
        found.uncertainty[:, j] = found.margin[:, j] = np.where(finite, bar, np.nan)
        found.state[:, j] = np.where(finite, float(DONE), float(NONFINITE))
    found.step[:], found.nfev[:], found.scheme[:] = STEP, 1.0, SCHEMES.index("complex")
    return found


def with_failures(evaluator: Evaluator, index: IntArray, found: Estimates) -> Estimates:
    """Mark the coordinates at which fun raised, unless a derivative was found all the same."""
    if not evaluator.failures:
        return found
    raised = np.isin(index, list(evaluator.failures))[:, None]
    found.state[raised & ~np.isin(found.state, (DONE, SEARCHED, KINKED, FLAT))] = ERROR
    return found
