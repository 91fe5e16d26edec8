"""Axes of plots as SVG: logarithmic ones, and ones that are logarithmic on both sides of zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MARGIN = 56
"""Room for the numbers on the left and below, in pixels."""
EDGE = 12
MOST_TICKS = 7
LARGEST = 1e307
"""Largest value that has a place of its own."""
LINEAR = 1e-6
"""Part of the largest value below which an axis with a sign is linear, if the values do not say otherwise."""


@dataclass(frozen=True)
class Axis:
    """Places of values along an axis of length 1, and its ticks."""

    place: Callable[[float], float]
    ticks: tuple[tuple[float, str], ...]
    """Places and texts."""


def power(exponent: int) -> str:
    """A power of ten at a tick.

    >>> power(-3), power(0)
    ('1e-3', '1')
    """
    return f"1e{exponent}" if exponent else "1"


def decades(values: Sequence[float]) -> Axis:
    """A logarithmic axis that holds some positive values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    if low == high:
        low, high = low - 1, high + 1
    step = max(1, math.ceil((high - low) / MOST_TICKS))
    ticks = tuple(((e - low) / (high - low), power(e)) for e in range(low, high + 1, step))
    return Axis(lambda value: (math.log10(value) - low) / (high - low), ticks)


def signed(values: Sequence[float]) -> Axis:
    """An axis for values of both signs: linear around zero, logarithmic beyond."""
    sizes = sorted(min(abs(value), LARGEST) for value in values if value)
    largest = sizes[-1] if sizes else 1.0
    small = max(sizes[len(sizes) // 20] if sizes else 1.0, LINEAR * largest)
    low, high = math.floor(math.log10(small)), math.ceil(math.log10(largest * 1.0001))
    unit, span = 10.0**low, high - low + 1.0

    def warp(value: float) -> float:
        size = abs(value) / unit
        return math.copysign(size if size <= 1 else 1 + math.log10(size), value)

    def place(value: float) -> float:
        return min(1.0, max(0.0, 0.5 + warp(value) / (2 * span)))

    step = max(1, math.ceil(2 * (high - low) / MOST_TICKS))
    exponents = range(high, low - 1, -step)
    ticks = [(place(0.0), "0")]
    for exponent in exponents:
        ticks += [(place(10.0**exponent), power(exponent)), (place(-(10.0**exponent)), f"-{power(exponent)}")]
    return Axis(place, tuple(ticks))


@dataclass(frozen=True)
class Frame:
    """A plot's frame; places run from 0 to 1, upwards and to the right."""

    width: int
    height: int

    @property
    def across(self) -> float:
        """Width of what is inside."""
        return self.width - MARGIN - EDGE

    @property
    def up(self) -> float:
        """Height of what is inside."""
        return self.height - MARGIN - EDGE

    def x(self, place: float) -> float:
        """Pixels from the left."""
        return MARGIN + place * self.across

    def y(self, place: float) -> float:
        """Pixels from the top."""
        return EDGE + (1 - place) * self.up

    def drawn(self, horizontal: Axis, vertical: Axis, below: str, beside: str) -> list[str]:
        """Ground, grid, ticks and names of the axes."""
        shapes = [f'<rect class="ground" x="{MARGIN}" y="{EDGE}" width="{self.across}" height="{self.up}"/>']
        bottom = EDGE + self.up
        for place, text in horizontal.ticks:
            x = self.x(place)
            shapes.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{EDGE}" y2="{bottom}"/>')
            shapes.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>')
        for place, text in vertical.ticks:
            y = self.y(place)
            shapes.append(f'<line class="grid" x1="{MARGIN}" x2="{MARGIN + self.across}" y1="{y:.1f}" y2="{y:.1f}"/>')
            shapes.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        middle = EDGE + self.up / 2
        shapes.append(f'<text x="{self.x(0.5)}" y="{self.height - 8}" text-anchor="middle">{below}</text>')
        shapes.append(f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">{beside}</text>')
        return shapes

    def picture(self, shapes: Sequence[str], label: str) -> str:
        """The SVG; the label, escaped already, is read out in its place."""
        return (
            f'<svg role="img" aria-label="{label}" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}">{"".join(shapes)}</svg>'
        )
