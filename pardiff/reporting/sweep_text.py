"""A step sweep as text: the error of the difference against its step."""

from __future__ import annotations

import math

from pardiff.reporting.summary import StepCurve
from pardiff.reporting.text import derivative, number, table

BAR = 36
"""Characters of the longest bar."""


def render_sweep(curve: StepCurve) -> str:
    """A line per step; bars are logarithms of the distance from the numerical derivative.

    The step nearest to the one that was chosen is marked. At a kink the slopes on its two sides are shown instead.
    """
    lines = [
        f"{curve.label}: analytical {derivative(curve.analytical)}, numerical {derivative(curve.numerical)} "
        f"± {number(curve.uncertainty, 2)}, step {number(curve.step, 2)} ({curve.scheme})",
        "",
    ]
    if not curve.steps:
        return "\n".join([*lines, "fun is not finite, or the bounds leave no room, at every step"])
    chosen = min(curve.steps, key=lambda step: abs(math.log(step / curve.step)) if curve.step > 0 else 0.0)
    rows = _slopes(curve) if curve.kink else _distances(curve)
    for step, row in zip(curve.steps, rows, strict=True):
        mark = "◂ chosen" if math.isclose(step, curve.step, rel_tol=0.01) else "◂ near the chosen"
        row.append(mark if step == chosen and curve.step > 0 else "")
    columns = ("step", "slope below", "slope above") if curve.kink else ("step", "derivative", "off by", "rounding", "")
    width = max(len(row[-2]) for row in rows)
    if not curve.kink:
        rows = [[*row[:-2], row[-2].ljust(width), row[-1]] for row in rows]
    return "\n".join([*lines, *table((*columns, ""), rows), "", verdict_of(curve)])


def _slopes(curve: StepCurve) -> list[list[str]]:
    return [
        [number(step, 2), derivative(low), derivative(high)]
        for step, (low, high) in zip(curve.steps, curve.slopes, strict=True)
    ]


def _distances(curve: StepCurve) -> list[list[str]]:
    """Distance from the numerical derivative at each step, in figures and as a bar."""
    off = [abs(d - curve.numerical) for d in curve.derivatives]
    exponents = [math.log10(value) for value in [*off, *curve.rounding] if value > 0]
    low, high = (min(exponents), max(exponents)) if exponents else (0.0, 1.0)

    def bar(distance: float) -> str:
        return "█" * round(BAR * (math.log10(distance) - low) / max(high - low, 1e-9)) if distance > 0 else ""

    return [
        [number(step, 2), derivative(value), number(distance, 2), number(rounding, 2), bar(distance)]
        for step, value, distance, rounding in zip(curve.steps, curve.derivatives, off, curve.rounding, strict=True)
    ]


def verdict_of(curve: StepCurve) -> str:
    """What the curve says of the analytical derivative, in a sentence."""
    residual = abs(curve.analytical - curve.numerical)
    if not math.isfinite(residual):
        return "there is nothing to compare"
    if curve.kink:
        where = "outside" if residual > curve.uncertainty else "between"
        return f"fun has a kink here; the analytical derivative lies {where} the slopes on its two sides"
    # a step whose rounding is larger than the distance says nothing of it
    said = [d for d, rounding in zip(curve.derivatives, curve.rounding, strict=True) if rounding < residual]
    best = min((abs(d - curve.analytical) for d in said), default=residual)
    if residual > curve.uncertainty:
        return (
            f"the analytical derivative is {number(residual, 2)} away, {number(residual / curve.uncertainty, 2)} "
            f"error bars; no step comes nearer to it than {number(best, 2)}"
        )
    return f"the analytical derivative is {number(residual, 2)} away, within the error bar"
