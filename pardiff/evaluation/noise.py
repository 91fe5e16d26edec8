"""Measures the noise of fun near x0: a few dozen passes, whatever the number of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from pardiff.evaluation.evaluator import Evaluator
from pardiff.evaluation.lines import Axes, Direction, Lines, Values
from pardiff.numerics.difference_table import difference_table_noise, has_single_precision, is_single
from pardiff.numerics.steps import spacing
from pardiff.numerics.tuning import (
    BESIDE,
    CONFIDENCE,
    FARTHEST,
    FEW,
    FIRST_SPACING,
    LOOKS,
    POINTS,
    REPEATS,
    SINGLE,
    SPACINGS,
    WILD,
)
from pardiff.problem.space import FloatArray, IntArray


@dataclass(frozen=True)
class Noise:
    """What was found out about the values of fun."""

    level: float
    """Twice the standard deviation of their scatter, in the units of fun; 0 where none was found."""
    scale: float
    """Size with which the level is to be compared: of fun, or of its change over the scale of x."""
    size: float
    """The largest size that the rounding of a value was in proportion to."""
    measured: bool
    """Whether the level was found on every line, so that smaller steps show nothing that it does not."""
    probe: float
    """fun at a point a little away from x0, by which to know it again; NaN where it is not finite."""
    single_precision: bool
    """Whether every value is one of float32, and there are several."""
    short: bool
    """Whether every value is one of float32, be it always the same, and nothing else is known of their noise."""
    nfev: int


class OneObservable:
    """One observable of an evaluator, as if it were the only one."""

    def __init__(self, shared: Observables, observable: int) -> None:
        self._shared = shared
        self._own = slice(observable, observable + 1)
        self.origin = self._part(shared.evaluator.origin)

    def along(self, lines: Lines, t: FloatArray) -> Values:
        """Values and sizes, each of shape (k, points, 1)."""
        return self._part(self._shared.along(lines, t))

    def along_imaginary(self, lines: Lines, t: FloatArray, step: float) -> Values:
        """The same with an imaginary step."""
        return self._part(self._shared.along_imaginary(lines, t, step))

    def _part(self, values: Values) -> Values:
        return Values(values.value[..., self._own], values.size[..., self._own])


class Observables:
    """The observables of an evaluator, each by itself; they share what is evaluated along directions."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.passes = 0
        """Passes made."""
        self._known: dict[tuple[Any, ...], Values] = {}

    @property
    def each(self) -> list[OneObservable]:
        """One by one; made when asked for, so that nothing refers back to what holds it."""
        return [OneObservable(self, j) for j in range(len(self.evaluator.origin.value))]

    def along(self, lines: Lines, t: FloatArray) -> Values:
        """Values and sizes of all of them."""
        return self._once((lines, t), lambda: self.evaluator.along(lines, t))

    def along_imaginary(self, lines: Lines, t: FloatArray, step: float) -> Values:
        """The same with an imaginary step."""
        return self._once((lines, t, step), lambda: self.evaluator.along_imaginary(lines, t, step))

    def _once(self, key: tuple[Any, ...], evaluate: Callable[[], Values]) -> Values:
        if len(self.evaluator.origin.value) == 1:
            return evaluate()
        lines, t, *rest = key
        text = (_bytes(lines), t.tobytes(), *rest)
        if text not in self._known:
            self.passes += t.size
            self._known[text] = evaluate()
        return self._known[text]


def _bytes(lines: Lines) -> tuple[bytes, ...]:
    assert isinstance(lines, Direction)
    return lines.vector.tobytes(), b"" if lines.index is None else lines.index.tobytes()


def measure_noise(evaluator: OneObservable, at: Axes, seed: int, lines: int = 3, *, alone: bool = False) -> Noise:
    """Noise of fun near x0 by ECnoise, the median over lines in random directions.

    The points of a line are numbers of the parameters' own dtypes, so that what is seen is the noise of
    fun and not that of its argument.

    Parameters
    ----------
    evaluator : OneObservable
        Of an evaluator which has been called at x0.
    at : Axes
        All of x0.
    seed : int
        Of the directions.
    lines : int
        Lines at the most.
    alone : bool
        ``at`` is only a part of x0, and nothing else moves.
    """
    rng = np.random.default_rng(seed)
    ray = _Ray(evaluator, at.index if alone else None)
    (value,), (size,) = (part.tolist() for part in evaluator.origin)
    sigmas, seen, scale, largest, probe = [], [np.array([value])], size, size, np.nan
    lines = 1 if len(at) < FEW else lines
    for _ in range(lines):
        # of different lengths, so that equal terms do not cancel
        lengths = rng.choice([-1.0, 1.0], len(at)) * rng.uniform(0.5, 1.0, len(at))
        direction = inward(lengths * at.unit, at)
        if np.isnan(probe):
            probe = float(ray.values(direction, np.array([BESIDE]))[0][0])
        distance = FIRST_SPACING[int(at.itemsize.min())]
        flat, rough = 0.0, np.inf
        for _ in range(SPACINGS):
            values, sizes, length = _line(ray, direction, at, distance)
            seen.append(values)
            sigma, advice = difference_table_noise(values)
            if not advice:
                if sigma > WILD * max(size, float(np.nan_to_num(sizes).max())):
                    sigma, calm = _calmed(ray, direction, at, distance, sigma)
                    seen.append(calm)
                sigmas.append(sigma)
                change = abs(float(values[-1] - values[0])) / length
                largest = max(largest, float(np.nan_to_num(sizes).max()))
                scale = max(scale, change, largest)
                break
            if advice == "larger":
                flat = max(flat, distance)
            else:
                rough = min(rough, distance)
            # in the middle of what was flat and what was not smooth; beyond it where one is still to be seen
            distance = np.sqrt(flat * rough) if 0.0 < flat < rough < np.inf else distance * (100.0 if flat else 0.01)
            distance = min(FARTHEST, float(distance))
    everything = np.concatenate(seen)
    level = 2.0 * float(np.median(sigmas)) if sigmas else 0.0
    return Noise(
        level=level,
        scale=scale,
        size=largest,
        measured=len(sigmas) == lines,
        # small differences of float64 can be float32 numbers too; the noise tells them apart
        single_precision=(level > SINGLE * scale or not sigmas) and has_single_precision(everything),
        short=not sigmas and np.isfinite(everything).sum() > POINTS and is_single(everything),
        probe=probe,
        nfev=len(everything),
    )


def measure_relative_noise(evaluator: Evaluator, at: Axes, seed: int) -> tuple[float, int]:
    """Noise of an evaluator's values along single coordinates, relative to their sizes, and passes spent.

    Parameters
    ----------
    evaluator : Evaluator
        Which need know of no directions.
    at : Axes
        The coordinates; the largest noise counts.
    """
    worst, spent = 0.0, 0
    (one,) = Observables(evaluator).each
    for row in range(len(at)):
        found = measure_noise(one, at[row : row + 1], seed, alone=True)
        spent += found.nfev
        if found.scale > 0:
            worst = max(worst, found.level / found.scale)
    return worst, spent


class _Ray:
    """Values along directions, in which all of x0 moves or some coordinates alone."""

    def __init__(self, evaluator: OneObservable, index: IntArray | None) -> None:
        self._evaluator = evaluator
        self._index = index

    def values(self, direction: FloatArray, moves: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values and sizes, each of shape (points,)."""
        found = self._evaluator.along(Direction(direction, self._index), moves[None])
        return found.value[0, :, 0], found.size[0, :, 0]


def _calmed(ray: _Ray, direction: FloatArray, at: Axes, distance: float, sigma: float) -> tuple[float, FloatArray]:
    """Noise that is found again on a line that goes as far as each parameter is large, however small that is.

    Noise does not depend on the spacing. What does is a fun that varies on the scale of tiny parameters.
    """
    own = np.copysign(np.abs(at.x), direction)
    values, _, _ = _line(ray, np.where(direction == 0, 0.0, own), at, distance)
    again, advice = difference_table_noise(values)
    if advice == "larger":
        return sigma, values
    return (0.0 if advice else min(sigma, again)), values


def _line(ray: _Ray, direction: FloatArray, at: Axes, distance: float) -> tuple[FloatArray, FloatArray, float]:
    """Values and sizes at equally spaced points of a line, and how far it goes in units of the direction.

    Each component of the spacing is an odd multiple of the spacing of the parameter's numbers. Powers of two
    would not do: on their multiples a product rounds with too much order.
    """
    ulp = spacing(at.x, at.itemsize)
    component = np.abs(direction) * distance
    # where x is small beside the spacing, its own numbers are too fine to matter
    with np.errstate(over="ignore"):
        odd = 2.0 * np.floor(component / (2.0 * ulp)) + 1.0
    component = np.where(odd < 2.0**40, np.minimum(odd, 2.0**40) * ulp, component)
    with np.errstate(over="ignore"):
        room = np.where(direction > 0, at.upper - at.x, at.x - at.lower)
    component[(direction == 0) | ~(component * (POINTS - 1) <= room)] = 0.0
    values, sizes = ray.values(np.copysign(component, direction), np.arange(float(POINTS)))
    return values, sizes, distance * (POINTS - 1)


def measure_scatter(evaluator: Evaluator, at: Axes) -> list[tuple[float, float]]:
    """Noise of a fun that is not deterministic, from calls at x0.

    The confidence that all bars hold together is shared out equally among the values on which they rest
    (Bonferroni), and the standard deviation is taken at its upper limit, by the chi-square distribution of
    its square in the approximation of Wilson and Hilferty.

    Parameters
    ----------
    evaluator : Evaluator
    at : Axes
        All of x0.

    Returns
    -------
    list of pair of float
        For each observable, the standard deviation of the values, and half of what a value may be off by; NaN where
        fun is not always finite.
    """
    values = evaluator.along(at[:1], np.zeros((1, REPEATS))).value
    freedom, normal = REPEATS - 1, NormalDist()
    share = (1.0 - CONFIDENCE) / 2.0
    low = freedom * (1.0 - 2.0 / (9.0 * freedom) + normal.inv_cdf(share) * math.sqrt(2.0 / (9.0 * freedom))) ** 3
    limit = -normal.inv_cdf(share / (len(at) * values.shape[2] * LOOKS) / 2.0)
    found = []
    for observable in range(values.shape[2]):
        sigma = float(np.std(values[0, :, observable], ddof=1))
        found.append((sigma, 0.5 * limit * sigma * math.sqrt(freedom / low)))
    return found


def inward(direction: FloatArray, at: Axes) -> FloatArray:
    """Turn the components of a direction away from bounds; those without room are left out.

    A direction is good where the probe has room.
    """
    reach = np.abs(direction) * BESIDE + 2.0 * spacing(at.x, at.itemsize)
    with np.errstate(over="ignore"):
        up, down = at.upper - at.x >= reach, at.x - at.lower >= reach
    turned: FloatArray = np.where(direction > 0, np.where(up, 1.0, -1.0), np.where(down, -1.0, 1.0)) * np.abs(direction)
    return np.where(up | down, turned, 0.0)
