"""Measures the noise of fun on a few lines through x0: a few dozen passes, whatever the number of parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pardiff.evaluation.evaluator import Evaluator
from pardiff.numerics.noise import POINTS, difference_table_noise, has_single_precision
from pardiff.problem.parameters import FloatArray, IntArray

SPACINGS = 4
"""Spacings tried on a line."""
FIRST_SPACING = {8: 1e-10, 4: 1e-5, 2: 1e-2}
"""Relative spacing to begin with, by the bytes of the parameters: some hundreds of units in their last place."""
SINGLE = 2.0**-27
"""Relative noise that float32 has at the least: an eighth of its machine epsilon, for lucky roundings."""
PROBE = 1e-3
"""Relative distance of the probe from x0: as far as room was made for."""
FEW = 30
"""Parameters below which one line has to do, since three would cost more passes than the gradient itself."""


@dataclass(frozen=True)
class Noise:
    """What was found out about the values of fun."""

    level: float
    """Twice the standard deviation of their scatter, in the units of fun; 0 where none was found."""
    scale: float
    """Size with which the level is to be compared: of fun, or of its change over the scale of x."""
    probe: float
    """fun at a point a little away from x0, by which to know it again; NaN where it is not finite."""
    single_precision: bool
    """Whether every value is one of float32."""
    nfev: int


def measure_noise(
    evaluator: Evaluator,
    x: FloatArray,
    itemsize: IntArray,
    lower: FloatArray,
    upper: FloatArray,
    value: float,
    seed: int,
) -> Noise:
    """Noise of fun near x0 by ECnoise, the median over lines in random directions.

    Parameters
    ----------
    evaluator : Evaluator
    x : ndarray, shape (n,)
        The parameters.
    itemsize : ndarray of int, shape (n,)
        Bytes of their dtypes.
    lower, upper : ndarray, shape (n,)
        Bounds, and the largest numbers that the dtypes hold.
    value : float
        fun at x0.
    seed : int
        Of the directions.
    """
    rng = np.random.default_rng(seed)
    sigmas, seen, scale, probe = [], [np.array([value])], abs(value), np.nan
    for _ in range(1 if len(x) < FEW else 3):
        direction = _inward(rng.choice([-1.0, 1.0], len(x)) * np.maximum(np.abs(x), 1e-3), x, lower, upper)
        if np.isnan(probe):
            probe = float(evaluator.along_direction(direction, np.array([PROBE]))[0])
        spacing = FIRST_SPACING[int(itemsize.min())]
        for _ in range(SPACINGS):
            moves = np.linspace(0.0, spacing * (POINTS - 1), POINTS)
            values = evaluator.along_direction(direction, moves)
            seen.append(values)
            sigma, advice = difference_table_noise(values)
            if not advice:
                sigmas.append(sigma)
                scale = max(scale, abs(float(values[-1] - values[0])) / float(moves[-1]))
                break
            spacing *= 100.0 if advice == "larger" else 0.01
    everything = np.concatenate(seen)
    level = 2.0 * float(np.median(sigmas)) if sigmas else 0.0
    return Noise(
        level=level,
        scale=scale,
        # small differences of float64 can be float32 numbers too; the noise tells them apart
        single_precision=level > SINGLE * scale and has_single_precision(everything),
        probe=probe,
        nfev=len(everything),
    )


def _inward(direction: FloatArray, x: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Turn the components of a direction away from bounds; those without room are left out.

    A line is followed for a thousandth of the direction at most.
    """
    reach = np.abs(direction) * 1e-3
    with np.errstate(over="ignore"):
        up, down = upper - x >= reach, x - lower >= reach
    turned: FloatArray = np.where(direction > 0, np.where(up, 1.0, -1.0), np.where(down, -1.0, 1.0)) * np.abs(direction)
    return np.where(up | down, turned, 0.0)
