"""Whether the complex step may be used: fun must be analytic, and say so in complex arithmetic."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.exceptions import ComplexWarning

from pardiff.errors import InputError
from pardiff.evaluation.failures import described
from pardiff.evaluation.fixed_stencil import with_origin
from pardiff.evaluation.lines import Axes, Direction
from pardiff.evaluation.noise import OneObservable
from pardiff.numerics.difference import Precision
from pardiff.numerics.difference_table import difference_table_noise
from pardiff.numerics.richardson import Found, Points
from pardiff.numerics.stencils import named
from pardiff.numerics.step_search import search
from pardiff.numerics.tuning import CAUTION, POINTS, REAL_PART, STEP
from pardiff.problem.space import FloatArray, IntArray

AGREEMENT = 1e-8
"""Relative precision of the derivative by differences with which the complex one is compared. An imaginary part
that is dropped somewhere takes a contribution away, which may be small beside the others."""
SPACING = 1e-10
"""Relative spacing of the points at which the noise of the derivative is seen."""
ROOM = 1e-3
"""Part of the direction that a parameter must be able to go on both sides."""
ROUNDED = 16.0
"""Machine epsilons of the derivative by which rounded points on a line move fun."""
LEAST = 1e-11
"""Smallest step on a line: far above the rounding of its points."""
MOST_ARRAYS = 20
"""Arrays that are checked one by one; where there are more, all together."""
REFUSAL = "use method='central', or a fun without abs, max, conj, float() or comparisons on complex numbers"


def measure_slope_noise(
    evaluator: OneObservable, at: Axes, arrays: IntArray, precision: Precision, seed: int
) -> tuple[float, int]:
    """Noise of the complex-step derivative along one line, and the passes spent.

    Along a random direction the imaginary part must be there, the real part must be fun's, and the
    derivative must agree with central differences: first for each array, where they are few, then for all.

    Parameters
    ----------
    evaluator : OneObservable
    at : Axes
        All of x0.
    arrays : ndarray of int, shape (n,)
        Number of the array of each coordinate.
    precision : Precision
    seed : int
        Of the direction.

    Raises
    ------
    InputError
        Where fun is not analytic.
    """
    rng = np.random.default_rng(seed)
    # of different lengths, so that equal derivatives do not cancel
    direction = rng.choice([-1.0, 1.0], len(at)) * rng.uniform(0.5, 1.0, len(at)) * at.unit
    # a parameter without room beside it stays where it is: real differences could not move it either
    with np.errstate(over="ignore"):
        direction[np.minimum(at.upper - at.x, at.x - at.lower) < ROOM * np.abs(direction)] = 0.0
    count = int(arrays[-1]) + 1
    parts = [np.where(arrays == number, direction, 0.0) for number in range(count)] if count <= MOST_ARRAYS else []
    spent = 0
    for part in [*parts, direction]:
        derivative, passes = _checked(evaluator, at, part, precision)
        spent += passes
    moves = SPACING * np.arange(float(POINTS))
    slopes = evaluator.along_imaginary(Direction(direction), moves[None], STEP).value[0, :, 0]
    sigma, advice = difference_table_noise(slopes)
    noise = precision.eps * max(abs(derivative), float(np.max(np.abs(slopes))))
    # twice: a parameter moves by half its unit at the least
    return 2.0 * max(noise, 0.0 if advice else 2.0 * sigma), spent + POINTS


def _checked(evaluator: OneObservable, at: Axes, direction: FloatArray, precision: Precision) -> tuple[float, int]:
    """The complex-step derivative along a direction, if it is that of fun, and the passes spent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ComplexWarning)  # what is lost by a cast is said below
            found, deviation = (
                part[0, :, 0] for part in evaluator.along_imaginary(Direction(direction), np.zeros((1, 1)), STEP)
            )
    except (Exception, SystemExit) as error:
        raise InputError(
            f"method 'complex': fun raised on a complex argument: {described(error)}; {REFUSAL}"
        ) from error
    (value,), (size,) = (part.tolist() for part in evaluator.origin)
    derivative = float(found[0])
    if np.isnan(derivative):
        raise InputError(f"method 'complex': fun returns no complex number for a complex argument; {REFUSAL}")
    size = max(abs(value), size)
    if size and not deviation[0] <= 100.0 * (REAL_PART * precision.eps * size + CAUTION * precision.noise):
        raise InputError(
            f"method 'complex': the real part of fun changes by {deviation[0]:.1e} with an imaginary step; fun is not "
            f"analytic: {REFUSAL}"
        )
    real, passes = _differenced(evaluator, at, direction, precision, derivative)
    if real is not None:
        allowed = AGREEMENT * max(abs(derivative), abs(real.derivative)) + max(real.uncertainty, real.margin)
        if not abs(derivative - real.derivative) <= allowed:
            raise InputError(
                f"method 'complex': along a direction the complex step gives {derivative:.10g}, differences give "
                f"{real.derivative:.10g} ± {real.uncertainty:.1g}; fun is not analytic: {REFUSAL}"
            )
    return derivative, passes + 1


def _differenced(
    evaluator: OneObservable, at: Axes, direction: FloatArray, precision: Precision, derivative: float
) -> tuple[Found | None, int]:
    """Derivative along a direction by the step search, and the passes spent; None where there is none."""
    stencil = named("central", 2)
    there = direction != 0
    with np.errstate(over="ignore"):
        sides = np.minimum(at.upper - at.x, at.x - at.lower)[there] / np.abs(direction[there])
    room = float(sides.min(initial=np.inf))
    moves = np.array(stencil.offsets, dtype=float)
    passes = 0

    def sample(step: float) -> Points | None:
        nonlocal passes
        if step > room:
            return None
        passes += stencil.nfev
        found = evaluator.along(Direction(direction), step * moves[None, list(stencil.moved)])
        values, sizes = with_origin(stencil, evaluator.origin, found)
        return (step * moves[None], values, sizes) if np.isfinite(values).all() else None

    # points on the line are rounded, each parameter by itself, which moves fun by some of what it is worth
    rough = replace(precision, noise=max(precision.noise, ROUNDED * precision.eps * abs(derivative)))
    return search(sample, stencil, 0.0, rough, target=AGREEMENT, least=LEAST), passes
