"""A step search for one coordinate: starts small, grows, and keeps the derivative with the smallest bar.

It sees values of fun alone, never the analytical gradient, so that it cannot be drawn towards it. It is written as a
generator that asks for one level after the other, so that many searches can be answered together.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from pardiff.numerics.difference import Precision
from pardiff.numerics.richardson import (
    Found,
    Level,
    Sample,
    candidates_of,
    is_plateau,
    is_uneven,
    kink_of,
    measure,
    noise_of,
    quantum_of,
    scatter_of,
)
from pardiff.numerics.stencils import Stencil
from pardiff.numerics.tuning import (
    AFAR,
    CAUTION,
    DEEP,
    DEPTHS,
    DESCENTS,
    DISSENT,
    NOISIEST,
    PROBE,
    RATIO,
    SAFETY,
    TRENDLESS,
    UNEXPLAINED,
)

T = TypeVar("T")
Asking = Generator[float, Level | None, T]
"""Yields steps, and is sent the level at each; None where there is none."""


def first_step(x: float, typical: float, eps: float) -> float:
    """The step at which the search starts: the central optimum for a function that varies on the scale of x itself.

    Below a thousandth of the typical size, that of x says little; the start then lies a tenth lower and
    growth does the rest.
    """
    return float((3.0 * eps) ** (1 / 3) * (abs(x) if abs(x) >= 1e-3 * typical else 1e-4 * typical))


def search(
    sample: Sample,
    stencil: Stencil,
    x: float,
    precision: Precision,
    target: float,
    typical: float = 1.0,
    least: float = 0.0,
) -> Found | None:
    """Do a search by itself: `searching`, answered from fun at the points of the stencil.

    Parameters
    ----------
    sample : callable
        Evaluates fun at the points of the stencil for a step.
    """
    asking = searching(stencil, x, precision, target, typical, least)
    try:
        step = next(asking)
        while True:
            points = sample(step)
            step = asking.send(None if points is None else measure(stencil, [step], points, precision)[0])
    except StopIteration as end:
        found: Found | None = end.value
        return found


def searching(
    stencil: Stencil, x: float, precision: Precision, target: float, typical: float = 1.0, least: float = 0.0
) -> Asking[Found | None]:
    r"""Find a derivative with a small error bar.

    With D(h) of order p, ``|D(3h) - D(h)| / (3**p - 1)`` estimates the truncation error of D(h); the bar
    is four times that, plus rounding. From three levels on, the extrapolated value
    ``R = (3**p D(h) - D(3h)) / (3**p - 1)`` is a second candidate, with the change from one R to the next
    halved as its truncation error (for a smooth function that is some forty times too much) [1]_.

    Parameters
    ----------
    precision : Precision
        With which levels are measured.
    target : float
        The search ends when the bar is below ``target * |derivative|``.
    typical : float
        Typical size of the parameter.
    least : float
        The smallest step that the numbers of the parameter's dtype resolve.

    Yields
    ------
    float
        A step, never twice the same; the level there is to be sent.

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
    ladder = _Ladder(stencil, precision, least)
    starts = _starts(x, precision.eps, typical, least)
    # a step of a quarter of x's scale is as far as "near x" can mean
    cap = 0.25 * max(abs(x), typical)
    found = yield from _search(ladder, target, starts, cap)
    levels = ladder.seen
    quantum = quantum_of(levels)
    if quantum:  # a closer look from afar, since what there is may be a single change
        for part in AFAR:
            yield from ladder.at(part * cap)
        quantum = quantum_of(ladder.seen)
    # far below the first start, changes that its error does not explain are noise
    scatter = scatter_of(levels) if min((level.step for level in levels), default=cap) < DEEP * starts[0][0] else 0.0
    if quantum or scatter:
        coarse = replace(precision, noise=max(precision.noise, quantum, scatter))
        ladder = _Ladder(stencil, coarse, least, ladder)
        found = yield from _search(ladder, target, starts, cap)
        levels = ladder.seen
    if found is None:
        return None
    return replace(found, margin=math.inf if _is_lost(levels, scatter) else _margin(found, levels))


def _is_lost(levels: list[Level], scatter: float) -> bool:
    """Whether fun looks like noise of its own size at every step: of no derivative, or of one that no step shows.

    So does a sine whose period is shorter than the numbers of x resolve.
    """
    change = max((size for level in levels for size in level.changes), default=0.0)
    if 0.0 < change <= TRENDLESS * scatter:
        return True
    error = max((level.error for level in levels if level.error >= NOISIEST * level.largest), default=0.0)
    return 0.0 < change <= TRENDLESS * error


class _Ladder:
    """The levels that a search has asked for; with a source, those of another search, seen with less precision."""

    def __init__(self, stencil: Stencil, precision: Precision, least: float, source: _Ladder | None = None) -> None:
        self.stencil = stencil
        self.precision = precision
        self._least = least
        self._source = source
        self._known: dict[float, Level | None] = {}

    @property
    def seen(self) -> list[Level]:
        """All of them."""
        return [level for level in self._known.values() if level is not None]

    def at(self, step: float) -> Asking[Level | None]:
        """The level at a step, asked for once."""
        if step not in self._known:
            level = None
            if step >= self._least:
                level = (yield step) if self._source is None else (yield from self._source.at(step))
            if level is not None and self._source is not None:
                level = measure(self.stencil, [step], level.points, self.precision)[0]
            self._known[step] = level
        return self._known[step]


def _margin(found: Found, levels: list[Level]) -> float:
    """How far an analytical derivative must be from the derivative for the evidence of a smaller step to refute it as
    well.

    What is narrower than the step, and hidden by rounding at smaller ones, is in no bar. So an analytical derivative
    that the level two rungs below the chosen one is consistent with may still be right. And where a smaller step says
    something else of the derivative itself, fun may vary faster than the chosen one: an analytical derivative must be
    far from both.
    """
    smaller = [level for level in levels if level.step <= 1.01 * found.step * RATIO**-PROBE]
    if found.kink or not smaller:
        return found.uncertainty
    level = max(smaller, key=lambda level: level.step)
    margins = [found.uncertainty, abs(level.derivative - found.derivative) + level.rounding]
    margins += [
        SAFETY * (abs(other.derivative - found.derivative) + other.rounding)
        for other in levels
        if other.step < found.step
        and abs(other.derivative - found.derivative) > DISSENT * found.uncertainty + 2.0 * other.rounding
    ]
    return max(margins)


def _starts(x: float, eps: float, typical: float, least: float) -> list[tuple[float, int]]:
    """Starts of the search, in turn: units, and the powers of the ratio that they are multiplied with."""
    start = first_step(x, typical, eps)
    base, bottom = max(start, least), -max(DESCENTS)
    if least / base > 0.0:
        bottom = max(bottom, math.ceil(math.log(least / base) / math.log(RATIO)))
    starts = [(base, rung) for rung in dict.fromkeys(max(bottom, -descent) for descent in DESCENTS)]
    if x and least <= abs(x) * 1e-6 < base * RATIO**bottom:
        starts.append((abs(x) * 1e-6, 0))  # the scale of a tiny x itself, as for log beside 0
    return starts


def _search(ladder: _Ladder, target: float, starts: list[tuple[float, int]], cap: float) -> Asking[Found | None]:
    """Climb from one start after the other, as long as something is unclear below."""
    found: list[Found] = []
    best = None
    for number, (unit, rung) in enumerate(starts):
        levels, candidates = yield from _climb(ladder, target, (unit, rung), cap)
        found += candidates
        probe = yield from ladder.at(unit * RATIO ** (rung - PROBE))
        kink = kink_of(ladder.seen)
        if kink is not None and (yield from _persists(kink, ladder, starts[number + 1 :])):
            return kink
        best = _best(found, ladder)
        if best is None or (probe is not None and _contradicts(probe, best)):
            continue
        if best.uncertainty <= target * abs(best.derivative) or not _starts_too_far(levels):
            break
    return best


def _persists(kink: Found, ladder: _Ladder, starts: list[tuple[float, int]]) -> Asking[bool]:
    """Whether a kink is still one at ever smaller steps, until rounding hides it."""
    for unit, rung in starts:
        level = yield from ladder.at(unit * RATIO**rung)
        if level is None or UNEXPLAINED * level.rounding > 2.0 * kink.uncertainty:
            return True
        if level.slope_jump < kink.uncertainty:
            return False
    return True


def _contradicts(probe: Level, best: Found) -> bool:
    """Whether a level below the start shows another derivative."""
    return abs(probe.derivative - best.derivative) > best.uncertainty + 2.0 * probe.rounding


def _best(candidates: list[Found], ladder: _Ladder) -> Found | None:
    """The candidate with the smallest bar, all levels considered; the first of several."""
    levels = sorted(ladder.seen, key=lambda level: level.step)
    best = None
    for candidate in candidates:
        if best is None or candidate.uncertainty < best.uncertainty:  # a look at the levels makes no bar smaller
            checked = _checked(candidate, levels, ladder.precision.eps)
            if best is None or checked.uncertainty < best.uncertainty:
                best = checked
    return best


def _checked(found: Found, levels: list[Level], eps: float) -> Found:
    """A candidate whose bar also allows for what the levels at other steps show.

    Every derivative at a smaller step lies within it, as far as rounding allows: where fun varies faster
    than a step, derivatives at still larger steps can agree by accident; those at smaller ones then
    contradict them. So do the slopes on the two sides of x where larger steps show a kink that rounding
    hides at this one. And where fun did not change, but does at other steps, nothing is known of the rounding
    of the terms that it is made of, which may cancel: those are taken to be as large as fun ever was.

    Parameters
    ----------
    levels : list of Level
        By their steps, ascending.
    """
    own = next(level for level in levels if level.step == found.step)
    bars = [found.uncertainty]
    for level, above in pairwise(levels):
        if level.step < own.step:
            gap = abs(level.derivative - found.derivative) - level.rounding
            # two that agree are a feature; one alone is scatter, which falls as the step grows
            agree = abs(level.derivative - above.derivative) <= 0.5 * gap
            bars.append(gap if agree else gap * level.step / own.step)
    bars += [
        own.rounding + near.slope_jump / 2
        for near, far in pairwise(levels)
        if near.step >= own.step and near.slope_jump < UNEXPLAINED * own.rounding and is_uneven(near, far)
    ]
    if own.flat and not found.flat:
        bars.append(CAUTION * eps * (max(level.largest for level in levels) or 1.0) / own.step)
    return replace(found, uncertainty=float(max(bars)))


def _starts_too_far(levels: list[Level]) -> bool:
    """Whether something other than rounding rules at the smallest step, so that one should look below it."""
    if len(levels) < 2:
        return True  # too little room, or fun is not finite so far from x
    first, second = levels[:2]
    change = abs(second.derivative - first.derivative)
    return change > UNEXPLAINED * first.rounding or is_uneven(first, second)


def _climb(
    ladder: _Ladder, target: float, start: tuple[float, int], cap: float
) -> Asking[tuple[list[Level], list[Found]]]:
    """Grow the step from a start, a power of the ratio times a unit: the levels, and what they make possible."""
    unit, rung = start
    levels: list[Level] = []
    found: list[Found] = []
    while unit * RATIO**rung <= cap:
        level = yield from ladder.at(unit * RATIO**rung)
        if level is None:
            break
        if level.flat and not levels:
            # no change at all: if there is none from afar either, the steps in between need no passes
            near, far = (yield from ladder.at(cap / RATIO**2)), (yield from ladder.at(cap))
            if near is not None and near.flat and far is not None and far.flat:
                return [level, near], [Found(0.0, near.rounding, near.step, flat=True)]
            largest = max(other.largest for other in (level, near, far) if other is not None)
            level = replace(level, largest=largest)
        levels.append(level)
        found += candidates_of(levels, ladder.stencil)
        if any(new.uncertainty <= target * abs(new.derivative) for new in found[-DEPTHS:]):
            break
        if _is_past_the_optimum(levels):
            break
        rung += 1
    return levels, found


def _is_past_the_optimum(levels: list[Level]) -> bool:
    """Whether the step has outgrown the length on which fun varies.

    Either truncation had taken over a level ago: the change from level to level was far above rounding
    and had grown, where noise would have shrunk it. Or the slopes on the two sides no longer grow apart
    in proportion to the step. Farther out fun may swing between the points, and two derivatives agree
    by accident.
    """
    if len(levels) > 1 and is_uneven(*levels[-2:]):
        # what may be a kink is looked at until three levels show it clearly
        clear = sum(level.slope_jump > UNEXPLAINED * level.rounding for level in levels)
        return clear > 2 or not is_plateau(levels[-2:])
    if len(levels) < DEPTHS + 2:
        return False
    first, second, third = levels[-DEPTHS - 2 : -DEPTHS + 1]
    before, change = abs(second.derivative - first.derivative), abs(third.derivative - second.derivative)
    expected = max(UNEXPLAINED * second.rounding, 3.0 * noise_of(levels, len(levels) - DEPTHS - 1))
    return change > before and change > expected
