"""A step search for one coordinate: starts small, grows, and keeps the derivative with the smallest bar.

It sees values of fun alone, never the analytical gradient, so that it cannot be drawn towards it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pardiff.numerics.differences import CAUTION, Precision, difference
from pardiff.numerics.stencils import Stencil

RATIO = 3.0
"""Growth of the step from level to level: large enough for few levels, small enough to hit the optimum."""
SAFETY = 4.0
"""Factor on the truncation error estimated from two levels."""
EXTRAPOLATED = 0.5
"""Part of the change from one extrapolated value to the next that counts as its error: of a smooth function
the error is smaller by about forty."""
SETTLED = 0.1
"""Relative change from one level to the next up to which the expansion in powers of h is believed."""
UNEXPLAINED = 10.0
"""Multiple of its rounding above which a change between levels has another cause."""
DESCENTS = (0, 6, 12, 18)
"""Levels below the usual start at which the search begins again while truncation rules even there."""

Sample = Callable[[Sequence[float]], tuple[Sequence[float], Sequence[float]]]
"""Takes displacements asked for, gives displacements taken (NaN: lost or out of bounds) and values of fun."""


@dataclass(frozen=True)
class Level:
    """A derivative at one step."""

    step: float
    derivative: float
    rounding: float
    """Rounding part of the error bar."""
    bend: float
    """Difference between the slopes on the two sides of x; NaN for one-sided stencils."""
    flat: bool
    """Every value of fun was the same."""
    largest: float
    """Largest size of a value of fun."""


@dataclass(frozen=True)
class Found:
    """Result of a search: the derivative with the smallest error bar."""

    derivative: float
    uncertainty: float
    step: float


def first_step(x: float, eps: float) -> float:
    """Where the search starts: the central optimum for a function that varies on the scale of x itself.

    Below 1e-3 the size of x says little; the start then lies a tenth lower and growth does the rest.
    """
    return float((3.0 * eps) ** (1 / 3) * (abs(x) if abs(x) >= 1e-3 else 1e-4))


def search(sample: Sample, stencil: Stencil, x: float, f0: float, precision: Precision, target: float) -> Found | None:
    r"""Find a derivative with a small error bar.

    With D(h) of order p, ``|D(3h) - D(h)| / (3**p - 1)`` estimates the truncation error of D(h); the bar
    is four times that, plus rounding. From three levels on, the extrapolated value
    ``R = (3**p D(h) - D(3h)) / (3**p - 1)`` is a second candidate, with the change from one R to the next
    halved as its truncation error (for a smooth function that is some forty times too much) [1]_.

    Parameters
    ----------
    sample : callable
        Evaluates fun at displacements from x.
    f0 : float
        fun at x.
    precision : Precision
    target : float
        The search ends when the bar is below ``target * |derivative|``.

    Returns
    -------
    Found or None
        None where fun is not finite, or no step fits.

    References
    ----------
    .. [1] H.-J. M. Shi, Y. Xie, M. Q. Xuan, J. Nocedal, Adaptive finite-difference interval estimation
       for noisy derivative-free optimization, SIAM J. Sci. Comput. 44 (2022), A2302-A2321: the growing
       step and the balance of rounding and truncation; extrapolation and bars as stated here.
    """
    start = first_step(x, precision.eps)
    starts = [start * RATIO**-descent for descent in DESCENTS]
    if 0.0 < abs(x) * 1e-6 < starts[-1]:
        starts.append(abs(x) * 1e-6)  # the scale of a tiny x itself, as for log beside 0
    levels: list[Level] = []
    found: list[Found] = []
    for lowest in starts:
        climbed = _climb(sample, stencil, x, f0, precision, target, lowest)
        levels += climbed[0]
        found += climbed[1]
        best = min((_checked(candidate, levels, precision.eps) for candidate in found), key=_bar, default=None)
        if best is not None and (best.uncertainty <= target * abs(best.derivative) or not _starts_too_far(climbed[0])):
            return best
    return best


def _bar(found: Found) -> float:
    return found.uncertainty


def _checked(found: Found, levels: list[Level], eps: float) -> Found:
    """A candidate whose bar also spans every derivative at a smaller step, as far as rounding allows.

    Where fun varies faster than a step, derivatives at still larger steps can agree by accident; those at
    smaller ones then contradict them. And where fun did not change at all, nothing is known of the rounding
    of the terms that it is made of, which may cancel: those are taken to be as large as fun ever was.
    """
    largest = max(level.largest for level in levels) or 1.0
    unseen = [CAUTION * eps * largest / level.step for level in levels if level.flat and level.step == found.step]
    gaps = [
        abs(level.derivative - found.derivative) - 2.0 * level.rounding for level in levels if level.step < found.step
    ]
    return Found(found.derivative, max([found.uncertainty, *gaps, *unseen]), found.step)


def _starts_too_far(levels: list[Level]) -> bool:
    """Whether something other than rounding rules at the smallest step, so that one should look below it."""
    if len(levels) < 2:
        return True  # too little room, or fun is not finite so far from x
    first, second = levels[:2]
    change = abs(second.derivative - first.derivative)
    return change > UNEXPLAINED * first.rounding or _is_uneven(first, second)


def _climb(
    sample: Sample, stencil: Stencil, x: float, f0: float, precision: Precision, target: float, step: float
) -> tuple[list[Level], list[Found]]:
    """Grow the step from a start: the levels, and the derivatives that they make possible."""
    # a step of a quarter of x's scale is as far as "near x" can mean
    cap = 0.25 * max(abs(x), 1.0)
    levels: list[Level] = []
    found: list[Found] = []
    while step <= cap:
        level = _level(sample, stencil, step, f0, precision)
        if level is None:
            break
        if level.flat and not levels:
            # no change at all: if there is none from afar either, the steps in between need no passes
            far = [_level(sample, stencil, at, f0, precision) for at in (cap / RATIO**2, cap)]
            if all(other is not None and other.flat for other in far):
                assert far[0] is not None
                return [level, far[0]], [Found(0.0, far[0].rounding, far[0].step)]
            level = replace(level, largest=max(at.largest for at in (level, *far) if at is not None))
        levels.append(level)
        found += _candidates(levels, stencil)
        if found and found[-1].uncertainty <= target * abs(found[-1].derivative):
            break
        if len(found) > 1 and found[-2].uncertainty <= target * abs(found[-2].derivative):
            break
        if _is_past_the_optimum(levels):
            break
        step *= RATIO
    return levels, found


def _is_past_the_optimum(levels: list[Level]) -> bool:
    """Whether the step has outgrown the length on which fun varies.

    Either truncation had taken over a level ago: the change from level to level was far above rounding
    and had grown, where noise would have shrunk it. Or the slopes on the two sides no longer grow apart
    in proportion to the step. Farther out fun may swing between the points, and two derivatives agree
    by accident.
    """
    if len(levels) > 1 and _is_uneven(*levels[-2:]):
        return True
    if len(levels) < 4:
        return False
    first, second, third = levels[-4:-1]
    before, change = abs(second.derivative - first.derivative), abs(third.derivative - second.derivative)
    expected = max(UNEXPLAINED * second.rounding, 3.0 * _noise(levels, len(levels) - 3))
    return change > before and change > expected


def _level(sample: Sample, stencil: Stencil, step: float, f0: float, precision: Precision) -> Level | None:
    moved = [offset for offset in stencil.offsets if offset]
    taken, values = sample([offset * step for offset in moved])
    if not (np.isfinite(taken).all() and np.isfinite(values).all()):
        return None
    at = dict(zip(moved, zip(taken, values, strict=True), strict=True)) | {0: (0.0, f0)}
    nodes = np.array([[at[offset][0] for offset in stencil.offsets]])
    points = np.array([[at[offset][1] for offset in stencil.offsets]])
    derivative, rounding = difference(stencil, nodes, points, precision)
    if not (math.isfinite(derivative[0]) and math.isfinite(rounding[0])):
        return None
    bend = math.nan
    if stencil.scheme == "central":
        (low, f_low), (high, f_high) = at[-1], at[1]
        bend = abs((f_high - f0) / high - (f_low - f0) / low)
    flat = all(value == f0 for value in values)
    return Level(step, float(derivative[0]), float(rounding[0]), bend, flat, max(abs(value) for value in values))


def _candidates(levels: list[Level], stencil: Stencil) -> list[Found]:
    """Derivatives that the newest level makes possible."""
    if len(levels) < 2:
        return []
    near, far = levels[-2:]
    power = RATIO**stencil.order
    error = _error(near.derivative, far.derivative, SAFETY / (power - 1.0), stencil)
    kink = near.bend / 2 if _is_uneven(near, far) else 0.0
    found = [Found(near.derivative, near.rounding + error + kink + _noise(levels, len(levels) - 2), near.step)]
    if len(levels) > 2:
        nearest = levels[-3]
        first = _extrapolated(nearest, near, power)
        second = _extrapolated(near, far, power)
        rounding = nearest.rounding * (power + 1.0 / RATIO) / (power - 1.0)
        kink = max(kink, nearest.bend / 2 if _is_uneven(nearest, near) else 0.0)
        error = _error(first, second, EXTRAPOLATED, stencil) + _noise(levels, len(levels) - 3)
        found.append(Found(first, rounding + error + kink, nearest.step))
    return found


def _noise(levels: list[Level], at: int) -> float:
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


def _error(near: float, far: float, factor: float, stencil: Stencil) -> float:
    """Truncation error of ``near``: a small part of the change to ``far`` where the expansion is believed.

    It is not while the value still moves much, as beyond the length on which fun varies, nor for
    one-sided differences, which are taken at the edge of a domain, where functions such as ``x**1.5``
    have no expansion in whole powers of h. There the change counts in full.
    """
    change = abs(far - near)
    believed = stencil.scheme == "central" and change <= SETTLED * max(abs(near), abs(far))
    return (factor if believed else SAFETY) * change


def _extrapolated(near: Level, far: Level, power: float) -> float:
    return (power * near.derivative - far.derivative) / (power - 1.0)


def _is_uneven(near: Level, far: Level) -> bool:
    """Whether the slopes on the two sides of x differ without growing apart as the step grows.

    Of a smooth function their difference grows threefold with the step. At a kink it stays the same, and
    it falls where fun has a feature narrower than the step; the derivative may then lie anywhere between.
    """
    return near.bend > UNEXPLAINED * near.rounding and far.bend < 1.7 * near.bend
