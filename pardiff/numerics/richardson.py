"""Derivatives of one coordinate at steps of a ladder, and what neighbouring ones say about their errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from pardiff.numerics.difference import Errors, difference
from pardiff.numerics.stencils import FloatArray, Stencil
from pardiff.numerics.tuning import (
    DEPTHS,
    EVEN,
    EXTRAPOLATED,
    LOWEST,
    MULTIPLES,
    ORDINARY,
    PLATEAU,
    RATIO,
    REGULAR,
    SAFETY,
    SETTLED,
    SLOWEST,
    SPREAD,
    UNEXPLAINED,
    WHOLE,
)

Points = tuple[FloatArray, FloatArray, FloatArray]
"""Displacements taken, values of fun there, and the sizes that their rounding is in proportion to, each of
shape (k, points)."""
Numbers = float | FloatArray
Sample = Callable[[float], Points | None]
"""fun at the points of a stencil with some step; None where the step is lost or leaves the bounds, or where fun
is not finite."""


@dataclass(frozen=True)
class Level:
    """A derivative at one step."""

    step: float
    derivative: float
    rounding: float
    """Rounding part of the error bar."""
    slopes: tuple[float, float]
    """Slopes on the two sides of x; NaN for one-sided stencils."""
    changes: tuple[float, ...]
    """How far fun at each point is from fun at x, where it is not the same."""
    error: float
    """Error of a value of fun."""
    largest: float
    """Largest size of a value of fun."""
    points: Points = field(compare=False, repr=False)
    """What it was measured from."""

    @property
    def flat(self) -> bool:
        """Whether every value of fun was the same."""
        return not self.changes

    @property
    def slope_jump(self) -> float:
        """Difference between the slopes on the two sides of x."""
        return abs(self.slopes[1] - self.slopes[0])


@dataclass(frozen=True)
class Found:
    """Result of a search: the derivative with the smallest error bar."""

    derivative: float
    uncertainty: float
    step: float
    kink: bool = False
    """Whether there is none, as the slopes on the two sides of x differ; the bar then spans both."""
    flat: bool = False
    """Whether fun did not change by a bit, near x or far from it."""
    margin: float = 0.0
    """Distance from the derivative within which a decade smaller step cannot tell; 0 where there is none."""


def bar_of(found: Found) -> float:
    """Half width of the error bar."""
    return found.uncertainty


def measure(stencil: Stencil, steps: list[float], points: Points, precision: Errors) -> list[Level | None]:
    """Levels from fun at the points of a stencil; None where a value is not finite.

    Parameters
    ----------
    steps : list of float, length k
    points : Points
        Arrays of shape (k, points).
    precision : Errors
        Of the values.
    """
    taken, values, sizes = points
    errors = precision.errors(sizes)
    derivative, rounding = difference(stencil, taken, values, errors)
    below, above = side_slopes(stencil, taken, values)
    with np.errstate(invalid="ignore"):
        changes = np.abs(values - values[:, stencil.origin, None])
    columns = (steps, derivative.tolist(), rounding.tolist(), below.tolist(), above.tolist(), changes.tolist(),
               errors.max(axis=1).tolist(), sizes.max(axis=1).tolist())  # fmt: skip
    found: list[Level | None] = []
    for row, (step, slope, bar, low, high, change, error, largest) in enumerate(zip(*columns, strict=True)):
        own = slice(row, row + 1)
        found.append(
            Level(
                step=step,
                derivative=slope,
                rounding=bar,
                slopes=(low, high),
                changes=tuple([size for size in change if size > 0]),
                error=error,
                largest=largest,
                points=(taken[own], values[own], sizes[own]),
            )
            if math.isfinite(slope) and math.isfinite(bar)
            else None
        )
    return found


def side_slopes(stencil: Stencil, taken: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slopes of fun just below and just above x, each of shape (k,); NaN for one-sided stencils."""
    if stencil.scheme != "central":
        return np.full(len(taken), math.nan), np.full(len(taken), math.nan)
    middle = stencil.origin
    with np.errstate(invalid="ignore", over="ignore"):
        below, above = (
            (values[:, j + 1] - values[:, j]) / (taken[:, j + 1] - taken[:, j]) for j in (middle - 1, middle)
        )
    return below, above


def quantum_of(levels: list[Level]) -> float:
    """Spacing of the values of fun, where it is coarser than their error says; 0 where it is not.

    Then fun does not change at all at small steps, and by whole multiples of one amount at larger ones: the
    large terms that it is made of cancel, or it is rounded. Where it is flat for another reason, as below the
    threshold of a unit that is off, the changes are in no such proportion; one that is not is enough to tell.
    """
    changes = sorted(change for level in levels for change in level.changes)
    error = min((level.error for level in levels), default=0.0)
    if not changes or not any(level.flat for level in levels) or changes[0] <= ORDINARY * error:
        return 0.0
    least = changes[0]
    ratios = [change / least for change in changes if change / least - 1.0 > WHOLE and change * error < 0.1 * least**2]
    ratios = [ratio for ratio in ratios if ratio <= MULTIPLES]
    broken = [ratio for ratio in ratios if abs(ratio - round(ratio)) > WHOLE + ratio * error / least]
    # a single change, on one side alone, is what the first step beyond a threshold makes
    single = not ratios and all(level.flat or 0.0 in level.slopes for level in levels)
    return 0.0 if broken or single else least


def scatter_of(levels: list[Level]) -> float:
    """Noise of fun that the changes between the smallest steps show beyond its error; 0 where they show none.

    Noise changes the derivative by an amount that grows as the step falls, so that amount times step is about
    the same at all of them. Of what is smooth, and of a feature, it falls with the step.
    """
    ladder = sorted(levels, key=lambda level: level.step)
    lowest = [
        abs(far.derivative - near.derivative) * near.step for near, far in pairwise(ladder) if far.step < 30 * near.step
    ][:LOWEST]
    if len(lowest) < LOWEST:
        return 0.0
    error = max(level.error for level in ladder[:LOWEST])
    alike = min(lowest) > max(ORDINARY * error, max(lowest) / SPREAD)
    return max(lowest) if alike else 0.0


def kink_of(levels: list[Level]) -> Found | None:
    """The slopes on the two sides of x, where they keep apart by the same amount however small the step.

    It takes three levels, the smallest at which rounding would let such a difference be seen.
    """
    widest = max((level.slope_jump for level in levels if level.slope_jump > UNEXPLAINED * level.rounding), default=0.0)
    clear = sorted((level for level in levels if UNEXPLAINED * level.rounding < widest), key=lambda level: level.step)
    nearest = clear[:3]
    if len(nearest) < 3 or not all(level.slope_jump > UNEXPLAINED * level.rounding for level in nearest):
        return None
    if not is_plateau(nearest):
        return None
    found = []
    for near, far in pairwise(nearest):
        low, high = sorted(near.slopes)
        # one-sided slopes are exact to first order: what is left shows in their change from level to level
        drift = max(abs(a - b) for a, b in zip(near.slopes, far.slopes, strict=True))
        bar = (high - low) / 2 + 2.0 * near.rounding + SAFETY * drift
        found.append(Found((low + high) / 2, bar, near.step, kink=True))
    return min(found, key=bar_of)


def is_plateau(levels: list[Level]) -> bool:
    """Whether the slopes on the two sides of x differ by the same amount, as far as rounding lets it be seen."""
    least = max(level.slope_jump - level.rounding for level in levels)
    return least <= PLATEAU * min(level.slope_jump + level.rounding for level in levels)


def candidates_of(levels: list[Level], stencil: Stencil) -> list[Found]:
    """Derivatives that the newest level makes possible: plain, and extrapolated once and twice."""
    found: list[Found] = []
    if stencil.scheme != "central" and len(levels) < 3:
        return found  # how fast a one-sided difference converges shows in two changes
    for depth in range(DEPTHS):
        if len(levels) < depth + 2:
            break
        used = levels[-depth - 2 :]
        near, rounding = _extrapolated(used[:-1], stencil)
        far, _ = _extrapolated(used[1:], stencil)
        error = truncation_error(near, far, stencil, EXTRAPOLATED if depth else None)
        error *= _slowness(levels, stencil)
        kink = _unevenness(used)
        scatter = noise_of(levels, len(levels) - depth - 2)
        found.append(Found(near, rounding + float(error) + kink + scatter, used[0].step))
    if len(levels) > 3 and _is_regular(levels[-4:], RATIO**stencil.order):
        used = levels[-4:-1]
        near, rounding = _extrapolated(used[:-1], stencil)
        far, _ = _extrapolated(used[1:], stencil)
        found.append(Found(near, rounding + abs(far - near) + _unevenness(levels[-4:]), used[0].step))
    return found


def _unevenness(levels: list[Level]) -> float:
    """Half the difference of the slopes on the two sides, where it does not grow with the step as it should.

    Below rounding it counts too: what a kink beside x does there is no larger, and cannot be seen.
    """
    return max(
        near.slope_jump / 2 if far.slope_jump < EVEN * near.slope_jump else 0.0 for near, far in pairwise(levels)
    )


def _slowness(levels: list[Level], stencil: Stencil) -> float:
    """Factor on the truncation error of one-sided differences that converge more slowly than their order says.

    With an error that goes as a small power of h, as of ``x**1.1`` at 0, the change from level to level is a
    small part of the error itself: with rho the growth of the changes, it is ``rho - 1`` of it.
    """
    if stencil.scheme == "central" or len(levels) < 3:
        return 1.0
    before, change = (abs(b.derivative - a.derivative) for a, b in pairwise(levels[-3:]))
    if before <= ORDINARY * levels[-3].rounding or change <= before * 0.5:
        return 1.0
    return max(1.0, 0.5 / max(change / before - 1.0, SLOWEST))


def _extrapolated(levels: list[Level], stencil: Stencil) -> tuple[float, float]:
    """Richardson's extrapolation of the derivatives at some levels, and the rounding part of its error.

    The error of a central difference goes in even powers of h, that of a one-sided one in all.
    """
    row = [(level.derivative, level.rounding) for level in levels]
    power = RATIO**stencil.order
    while len(row) > 1:
        row = [
            ((power * near - far) / (power - 1.0), (power * near_error + far_error) / (power - 1.0))
            for (near, near_error), (far, far_error) in pairwise(row)
        ]
        power *= RATIO**2 if stencil.scheme == "central" else RATIO
    return row[0]


def _is_regular(levels: list[Level], power: float) -> bool:
    """Whether four derivatives change from one to the next by what the expansion in powers of h says.

    Noise does not do that: its changes fall as the step grows. Such levels need no allowance for it, which
    matters where the numbers of a short dtype allow no smaller step than one at which truncation rules.
    """
    one, two, three = (b.derivative - a.derivative for a, b in pairwise(levels))
    return all(
        abs(after - power * before) <= REGULAR * power * abs(before) for before, after in ((one, two), (two, three))
    )


def noise_of(levels: list[Level], at: int) -> float:
    """Scatter of a level, and what of it its rounding does not explain.

    The change from the level below counts in any case: the estimate of truncation rests on the level above
    alone, and can be small by accident.

    Noise of fun makes changes between levels that fall as one over the step, where those of truncation
    grow; so the largest at the smaller steps tells what to expect here. At the lowest level there is no
    telling the two apart, and the change counts as noise.
    """
    before = abs(levels[at].derivative - levels[at - 1].derivative) if at else 0.0
    changes = [abs(b.derivative - a.derivative) for a, b in pairwise(levels[: max(at, 1) + 1])]
    unexplained = [
        change * level.step
        for change, level in zip(changes, levels, strict=False)
        if change > UNEXPLAINED * level.rounding
    ]
    scatter = (SAFETY if at == 0 else 1.0) * max(unexplained, default=0.0) / levels[at].step
    return max(scatter, before)


def truncation_error(near: Numbers, far: Numbers, stencil: Stencil, factor: float | None = None) -> Any:
    """Truncation error of ``near``: a small part of the change to ``far`` where the expansion is believed.

    It is not while the value still moves much, as beyond the length on which fun varies, nor for
    one-sided differences, which are taken at the edge of a domain, where functions such as ``x**1.5``
    have no expansion in whole powers of h. There the change counts in full.

    Parameters
    ----------
    near, far : float or ndarray
        Derivatives at h and 3h.
    factor : float or None
        The part; by default four times what the expansion says, ``4 / (3**p - 1)``.
    """
    part = SAFETY / (RATIO**stencil.order - 1.0) if factor is None else factor
    if isinstance(near, float) and isinstance(far, float):  # one of very many searches, and NumPy is slow on scalars
        gap = abs(far - near)
        regular = stencil.scheme == "central" and gap <= SETTLED * max(abs(near), abs(far))
        return (part if regular else SAFETY) * gap
    change = np.abs(far - near)
    believed = (stencil.scheme == "central") & (change <= SETTLED * np.maximum(np.abs(near), np.abs(far)))
    return np.where(believed, part, SAFETY) * change


def is_uneven(near: Level, far: Level) -> bool:
    """Whether the slopes on the two sides of x differ without growing apart as the step grows, at h and 3h.

    Of a smooth function their difference grows threefold with the step. At a kink it stays the same, and
    it falls where fun has a feature narrower than the step; the derivative may then lie anywhere between.
    One of the two differences must be clear of rounding.
    """
    before, after = near.slope_jump, far.slope_jump
    clear = before > UNEXPLAINED * near.rounding or after > UNEXPLAINED * far.rounding
    return clear and after < EVEN * before
