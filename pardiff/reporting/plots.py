"""Pictures as SVG text. Colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from pardiff.reporting.axes import LARGEST, MARGIN, Axis, Frame, decades, power, signed
from pardiff.reporting.printable import printable
from pardiff.reporting.samples import HIGHEST, LOWEST, HeatMap, Histogram, Point
from pardiff.reporting.summary import StepCurve
from pardiff.storage.format import VERDICTS

PLOT, CURVE = Frame(520, 340), Frame(420, 270)
SHADES = 4
"""Opacities of the cells of a map."""
MAP_WIDTH, MAP_HEIGHT = 520, 300
THIN = 30.0
"""Pixels below which a side of a map would be a line."""
RULER = 16.0
"""Pixels beside a map for the marks of rows and columns."""


def heat_map(picture: HeatMap) -> str:
    """Failing entries of an array as coloured cells, rows down and the last axis across."""
    rows, columns = len(picture.failing), len(picture.failing[0])
    across, down = (max(4.0, min(22.0, most / count)) for most, count in ((MAP_WIDTH, columns), (MAP_HEIGHT, rows)))
    # cells are squares, unless the map would be a line
    across, down = min(across, max(down, THIN / columns)), min(down, max(across, THIN / rows))
    width, height = across * columns, down * rows
    shapes = [f'<rect class="ground" width="{width:.1f}" height="{height:.1f}"/>']
    shapes.append(f'<g transform="scale({across:.3f} {down:.3f})">')
    layers = (("unknown", picture.unknown), ("inconclusive", picture.unclear), ("fail", picture.failing))
    for kind, grid in layers:
        for shade in range(1, SHADES + 1):
            path = _cells(grid, shade)
            if path:
                shapes.append(f'<path class="{kind}" opacity="{0.2 + 0.8 * shade / SHADES:.2f}" d="{path}"/>')
    shapes.append("</g>")
    for row in picture.rows:
        y = (row + 0.5) * down
        shapes.append(f'<path class="mark" d="M{-RULER:.0f} {y - 4:.1f}v8l10 -4z"/>')
    for column in picture.columns:
        x = (column + 0.5) * across
        shapes.append(f'<path class="mark" d="M{x - 4:.1f} {-RULER:.0f}h8l-4 10z"/>')
    label = f"Map of failing entries of {picture.array}, {' by '.join(map(str, picture.shape))}. {picture.words}"
    return (
        f'<svg role="img" aria-label="{escape(printable(label))}" shape-rendering="crispEdges" '
        f'viewBox="{-RULER - 1} {-RULER - 1} {width + RULER + 2:.1f} {height + RULER + 2:.1f}" '
        f'width="{width + RULER + 2:.0f}" height="{height + RULER + 2:.0f}">{"".join(shapes)}</svg>'
    )


def _cells(grid: Sequence[Sequence[float]], shade: int) -> str:
    """Cells of one shade as a path of unit squares; neighbours in a row are one rectangle."""
    path = []
    for y, shares in enumerate(grid):
        x = 0
        while x < len(shares):
            start = x
            while x < len(shares) and _shade(shares[x]) == shade:
                x += 1
            if x > start:
                path.append(f"M{start} {y}h{x - start}v1H{start}z")
            x = max(x, start + 1)
    return "".join(path)


def _shade(share: float) -> int:
    return math.ceil(share * SHADES)


def scatter(points: Sequence[Point]) -> str:
    """One gradient against the other; where they agree, entries lie on the diagonal."""
    if not points:
        return ""
    axis = signed([value for point in points for value in (point.analytical, point.numerical)])
    shapes = PLOT.drawn(axis, axis, "numerical", "analytical")
    shapes.append(
        f'<line class="diagonal" x1="{PLOT.x(0):.1f}" y1="{PLOT.y(0):.1f}" x2="{PLOT.x(1):.1f}" y2="{PLOT.y(1):.1f}"/>'
    )
    for point in sorted(points, key=lambda point: VERDICTS[point.verdict] == "fail"):
        x, y = PLOT.x(axis.place(point.numerical)), PLOT.y(axis.place(point.analytical))
        shapes.append(f'<circle class="{VERDICTS[point.verdict]}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>')
    failing = sum(VERDICTS[point.verdict] == "fail" for point in points)
    return PLOT.picture(
        shapes, f"Analytical against numerical derivative of {len(points)} entries; {failing} of them fail"
    )


def histogram(counts: Histogram) -> str:
    """How many entries have a residual of how many error bars."""
    stacked = list(zip(counts.passing, counts.other, counts.failing, strict=True))
    most = max((sum(bar) for bar in stacked), default=0)
    if not most:
        return ""
    top = math.log10(most) + 0.1
    span = HIGHEST - LOWEST
    horizontal = Axis(
        lambda value: value, tuple(((e - LOWEST) / span, power(e)) for e in range(LOWEST, HIGHEST + 1, 2))
    )
    ticks = tuple(((e + 0.1) / (top + 0.1), power(e)) for e in range(math.ceil(top)))
    shapes = PLOT.drawn(horizontal, Axis(lambda value: value, ticks), "|residual| / uncertainty", "entries")
    for number, bar in enumerate(stacked):
        total = sum(bar)
        height = (math.log10(total) + 0.1) / (top + 0.1) * PLOT.up if total else 0.0
        x, width, y = PLOT.x(number / len(stacked)) + 1, PLOT.across / len(stacked) - 2, PLOT.y(0)
        for kind, count in zip(("pass", "inconclusive", "fail"), bar, strict=True):
            if count:
                part = max(1.0, height * count / total)
                y -= part
                shapes.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{part:.1f}">'
                    f"<title>{count:,}</title></rect>"
                )
    one = PLOT.x(-LOWEST / span)
    shapes.append(f'<line class="diagonal" x1="{one:.1f}" x2="{one:.1f}" y1="{PLOT.y(1):.1f}" y2="{PLOT.y(0):.1f}"/>')
    return PLOT.picture(shapes, f"Histogram of {sum(map(sum, stacked))} residuals in units of their error bars")


def step_curve(curve: StepCurve) -> str:
    """Error of the difference against its step, both logarithmic: a V, with what was chosen and the analytical
    derivative.
    """
    off = [(s, abs(d - curve.numerical)) for s, d in zip(curve.steps, curve.derivatives, strict=True)]
    off = [(s, value) for s, value in off if value > 0]
    residual = abs(curve.analytical - curve.numerical)
    levels = [value for value in (residual, curve.uncertainty) if math.isfinite(value) and value > 0]
    if len(off) < 2:
        return ""
    horizontal = decades([s for s, _ in off])
    highest = [min(2 * value, LARGEST) for value in levels]
    vertical = decades([*(value for _, value in off), *levels, *highest])
    shapes = CURVE.drawn(horizontal, vertical, "step", "|D(step) − numerical|")
    for kind, value in (("bar", curve.uncertainty), ("residual", residual)):
        if math.isfinite(value) and value > 0:
            y = CURVE.y(vertical.place(value))
            shapes.append(f'<line class="{kind}" x1="{MARGIN}" x2="{CURVE.x(1):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
    chosen = horizontal.place(curve.step) if curve.step > 0 else -1.0
    if 0 <= chosen <= 1:
        x = CURVE.x(chosen)
        shapes.append(f'<line class="chosen" x1="{x:.1f}" x2="{x:.1f}" y1="{CURVE.y(1):.1f}" y2="{CURVE.y(0):.1f}"/>')
    places = [(CURVE.x(horizontal.place(s)), CURVE.y(vertical.place(value))) for s, value in off]
    shapes.append(f'<polyline class="curve" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
    shapes += [f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in places]
    return CURVE.picture(shapes, escape(printable(f"Derivative of {curve.label} at many steps")))
