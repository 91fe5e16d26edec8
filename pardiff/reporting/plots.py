"""Pictures as SVG text. Colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from pardiff.reporting.summary import HeatMap, StepCurve
from pardiff.reporting.terminal import printable
from pardiff.storage.schema import VERDICTS

WIDTH, HEIGHT, MARGIN = 560, 340, 56
CURVE_WIDTH, CURVE_HEIGHT = 420, 270


def heat_map(picture: HeatMap) -> str:
    """Failing entries of an array as coloured cells, rows down and the last axis across."""
    rows, columns = len(picture.failing), len(picture.failing[0])
    cell = max(4.0, min(22.0, 520 / columns, 300 / rows))
    width, height = cell * columns, cell * rows
    shapes = [f'<rect class="ground" width="{width:.1f}" height="{height:.1f}"/>']
    for kind, grid in (("inconclusive", picture.unclear), ("fail", picture.failing)):
        for row, shares in enumerate(grid):
            for column, share in enumerate(shares):
                if share > 0:
                    shapes.append(
                        f'<rect class="{kind}" x="{column * cell:.1f}" y="{row * cell:.1f}" width="{cell:.1f}" '
                        f'height="{cell:.1f}" opacity="{0.25 + 0.75 * share:.2f}"/>'
                    )
    label = f"Map of failing entries of {picture.array}, {' by '.join(map(str, picture.shape))}"
    return (
        f'<svg role="img" aria-label="{escape(printable(label))}" shape-rendering="crispEdges" '
        f'viewBox="-1 -1 {width + 2:.1f} {height + 2:.1f}" '
        f'width="{width + 2:.0f}" height="{height + 2:.0f}">{"".join(shapes)}</svg>'
    )


def scatter(points: Sequence[tuple[float, float, int]]) -> str:
    """Size of the residual against the error bar, both logarithmic; the diagonal is "as large as the bar"."""
    shown = [(u, r, code) for u, r, code in points if u > 0]
    if not shown:
        return ""
    positive = [r for _, r, _ in shown if r > 0]
    x_low, x_high = _decades([u for u, _, _ in shown])
    # an exact agreement has no logarithm; it is drawn on the lower edge
    y_low, y_high = _decades([*positive, *(u for u, _, _ in shown)])

    def at(value: float, low: int, high: int, length: float) -> float:
        return (math.log10(value) - low) / (high - low) * length

    across, up = WIDTH - MARGIN - 12, HEIGHT - MARGIN - 12

    def place(u: float, r: float) -> tuple[float, float]:
        y = at(r, y_low, y_high, up) if r > 0 else 0.0
        return MARGIN + at(u, x_low, x_high, across), 12 + up - y

    shapes = [f'<rect class="ground" x="{MARGIN}" y="12" width="{across}" height="{up}"/>']
    for low, high, horizontal in ((x_low, x_high, True), (y_low, y_high, False)):
        for exponent in range(low, high + 1, max(1, math.ceil((high - low) / 7))):
            if horizontal:
                x = MARGIN + (exponent - low) / (high - low) * across
                shapes.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="12" y2="{12 + up}"/>')
                shapes.append(f'<text x="{x:.1f}" y="{12 + up + 16}" text-anchor="middle">1e{exponent}</text>')
            else:
                y = 12 + up - (exponent - low) / (high - low) * up
                shapes.append(f'<line class="grid" x1="{MARGIN}" x2="{MARGIN + across}" y1="{y:.1f}" y2="{y:.1f}"/>')
                shapes.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">1e{exponent}</text>')
    first, last = max(x_low, y_low), min(x_high, y_high)
    if first < last:
        (x1, y1), (x2, y2) = place(10.0**first, 10.0**first), place(10.0**last, 10.0**last)
        shapes.append(f'<line class="diagonal" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    for u, r, code in sorted(shown, key=lambda point: VERDICTS[point[2]] == "fail"):
        x, y = place(u, r)
        shapes.append(f'<circle class="{VERDICTS[code]}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>')
    shapes.append(f'<text x="{MARGIN + across / 2}" y="{HEIGHT - 8}" text-anchor="middle">uncertainty</text>')
    shapes.append(f'<text transform="translate(13 {12 + up / 2}) rotate(-90)" text-anchor="middle">|residual|</text>')
    return (
        f'<svg role="img" aria-label="Residual against uncertainty" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">{"".join(shapes)}</svg>'
    )


def step_curve(curve: StepCurve) -> str:
    """Error of the difference against its step, both logarithmic: a V, with what was chosen and what was claimed."""
    off = [(s, abs(d - curve.numerical)) for s, d in zip(curve.steps, curve.derivatives, strict=True)]
    off = [(s, value) for s, value in off if value > 0]
    claim = abs(curve.analytical - curve.numerical)
    levels = [value for value in (claim, curve.uncertainty) if math.isfinite(value) and value > 0]
    if len(off) < 2:
        return ""
    x_low, x_high = _decades([s for s, _ in off])
    y_low, y_high = _decades([*(value for _, value in off), *levels, *(2 * value for value in levels)])
    across, up = CURVE_WIDTH - MARGIN - 12, CURVE_HEIGHT - MARGIN - 12

    def x(step: float) -> float:
        return MARGIN + (math.log10(step) - x_low) / (x_high - x_low) * across

    def y(value: float) -> float:
        return 12 + up - (math.log10(value) - y_low) / (y_high - y_low) * up

    shapes = [f'<rect class="ground" x="{MARGIN}" y="12" width="{across}" height="{up}"/>']
    for exponent in range(x_low, x_high + 1, max(1, math.ceil((x_high - x_low) / 7))):
        at = x(10.0**exponent)
        shapes.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="12" y2="{12 + up}"/>')
        shapes.append(f'<text x="{at:.1f}" y="{12 + up + 16}" text-anchor="middle">1e{exponent}</text>')
    for exponent in range(y_low, y_high + 1, max(1, math.ceil((y_high - y_low) / 6))):
        at = y(10.0**exponent)
        shapes.append(f'<line class="grid" x1="{MARGIN}" x2="{MARGIN + across}" y1="{at:.1f}" y2="{at:.1f}"/>')
        shapes.append(f'<text x="{MARGIN - 6}" y="{at + 4:.1f}" text-anchor="end">1e{exponent}</text>')
    for kind, value in (("bar", curve.uncertainty), ("claim", claim)):
        if math.isfinite(value) and value > 0:
            at = y(value)
            shapes.append(f'<line class="{kind}" x1="{MARGIN}" x2="{MARGIN + across}" y1="{at:.1f}" y2="{at:.1f}"/>')
    if 10.0**x_low <= curve.step <= 10.0**x_high:
        at = x(curve.step)
        shapes.append(f'<line class="chosen" x1="{at:.1f}" x2="{at:.1f}" y1="12" y2="{12 + up}"/>')
    path = " ".join(f"{x(s):.1f},{y(value):.1f}" for s, value in off)
    shapes.append(f'<polyline class="curve" points="{path}"/>')
    shapes += [f'<circle class="point" cx="{x(s):.1f}" cy="{y(value):.1f}" r="2.6"/>' for s, value in off]
    shapes.append(f'<text x="{MARGIN + across / 2}" y="{CURVE_HEIGHT - 8}" text-anchor="middle">step</text>')
    middle = 12 + up / 2
    shapes.append(
        f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">|D(step) − numerical|</text>'
    )
    label = f"Derivative of {curve.label} at many steps"
    return (
        f'<svg role="img" aria-label="{escape(printable(label))}" viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" '
        f'width="{CURVE_WIDTH}" height="{CURVE_HEIGHT}">{"".join(shapes)}</svg>'
    )


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return (low, high) if low < high else (low - 1, high + 1)
