"""A step search for one coordinate: starts small, grows, and keeps the derivative with the smallest bar.

It sees values of fun alone, never the analytical gradient, so that it cannot be drawn towards it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pardiff.numerics.differences import Precision, difference
from pardiff.numerics.stencils import Stencil

RATIO = 3.0
"""Growth of the step from level to level: large enough for few levels, small enough to hit the optimum."""
SAFETY = 2.0
"""Factor on the truncation error estimated from two levels."""
EXTRAPOLATED = 0.25
"""Part of the change from one extrapolated value to the next that counts as its error: of a smooth function
the error is smaller by about twenty."""
SETTLED = 0.1
"""Relative change from one level to the next up to which the expansion in powers of h is believed."""
UNEXPLAINED = 10.0
"""Multiple of its rounding above which a change between levels has another cause."""
DESCENTS = (0, 6, 12)
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
    is that, doubled, plus rounding. From three levels on, the extrapolated value
    ``R = (3**p D(h) - D(3h)) / (3**p - 1)`` is a second candidate, with the change from one R to the next
    over 4 as its truncation error (for a smooth function that is some twenty times too much) [1]_.

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
    best: Found | None = None
    for descent in DESCENTS:
        found, too_large = _climb(sample, stencil, x, f0, precision, target, start * RATIO**-descent)
        if found is not None and (best is None or found.uncertainty < best.uncertainty):
            best = found
        if not too_large:
            break
    return best


def _climb(
    sample: Sample, stencil: Stencil, x: float, f0: float, precision: Precision, target: float, step: float
) -> tuple[Found | None, bool]:
    """Grow the step from a start; also whether even the start was too large."""
    # a step of a quarter of x's scale is as far as "near x" can mean
    cap = 0.25 * max(abs(x), 1.0)
    levels: list[Level] = []
    best: Found | None = None
    while step <= cap:
        level = _level(sample, stencil, step, f0, precision)
        if level is None:
            break
        if level.flat and not levels:
            # no change at all: if there is none from afar either, the steps in between need no passes
            far = [_level(sample, stencil, at, f0, precision) for at in (cap / RATIO**2, cap)]
            if all(other is not None and other.flat for other in far):
                assert far[0] is not None
                return Found(0.0, far[0].rounding, far[0].step), False
        levels.append(level)
        for candidate in _candidates(levels, stencil):
            if best is None or candidate.uncertainty < best.uncertainty:
                best = candidate
        if best is not None and best.uncertainty <= target * abs(best.derivative):
            return best, False
        if _is_past_the_optimum(levels):
            break
        step *= RATIO
    if len(levels) < 2:
        # nothing to compare with: too little room, or fun is not finite so far from x
        return None, True
    return best, best is not None and best.step <= levels[0].step


def _is_past_the_optimum(levels: list[Level]) -> bool:
    """Whether the step has outgrown the length on which fun varies.

    Either truncation had taken over a level ago: the change from level to level was far above rounding
    and had grown, where noise would have shrunk it. Or the slopes on the two sides no longer grow apart
    in proportion to the step. Farther out fun may swing between the points, and two derivatives agree
    by accident.
    """
    if len(levels) > 1:
        near, far = levels[-2:]
        if near.bend > UNEXPLAINED * near.rounding and far.bend < 2.0 * near.bend and not _is_kink(levels, -2):
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
    return Level(step, float(derivative[0]), float(rounding[0]), bend, flat)


def _candidates(levels: list[Level], stencil: Stencil) -> list[Found]:
    """Derivatives that the newest level makes possible."""
    if len(levels) < 2:
        return []
    near, far = levels[-2:]
    power = RATIO**stencil.order
    error = _error(near.derivative, far.derivative, SAFETY / (power - 1.0), stencil)
    kink = near.bend / 2 if _is_kink(levels, -2) else 0.0
    found = [Found(near.derivative, near.rounding + error + kink + _noise(levels, len(levels) - 2), near.step)]
    if len(levels) > 2:
        nearest = levels[-3]
        first = _extrapolated(nearest, near, power)
        second = _extrapolated(near, far, power)
        rounding = nearest.rounding * (power + 1.0 / RATIO) / (power - 1.0)
        kink = max(kink, nearest.bend / 2 if _is_kink(levels, -3) else 0.0)
        error = _error(first, second, EXTRAPOLATED, stencil) + _noise(levels, len(levels) - 3)
        found.append(Found(first, rounding + error + kink, nearest.step))
    return found


def _noise(levels: list[Level], at: int) -> float:
    """Scatter of a level that its rounding does not explain.

    Noise of fun makes changes between levels that fall as one over the step, where those of truncation
    grow; so the largest at the smaller steps tells what to expect here. At the lowest level there is no
    telling the two apart, and the change counts as noise.
    """
    changes = [abs(b.derivative - a.derivative) for a, b in pairwise(levels[: max(at, 1) + 1])]
    unexplained = [
        change * level.step
        for change, level in zip(changes, levels, strict=False)
        if change > UNEXPLAINED * level.rounding
    ]
    return (SAFETY if at == 0 else 1.0) * max(unexplained, default=0.0) / levels[at].step


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


def _is_kink(levels: list[Level], at: int) -> bool:
    """Whether the two sides have different slopes at x itself; ``at`` counts from the end, like an index.

    Of a smooth function the difference of the slopes grows threefold with the step, until the step is as
    long as fun varies; at a kink it has been the same at all steps.
    """
    around = levels[len(levels) + at - 1 if len(levels) + at > 0 else 0 : len(levels) + at + 2]
    seen = [level for level in around if level.bend > UNEXPLAINED * level.rounding]
    return len(seen) > 1 and all(0.6 * far.bend < near.bend < 1.7 * far.bend for near, far in pairwise(seen))
