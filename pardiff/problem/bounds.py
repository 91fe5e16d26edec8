"""Bounds of the parameters, outside of which fun is never evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.problem.parsing import leaves_like
from pardiff.problem.space import FloatArray, Space


def parse_bounds(space: Space, bounds: Any) -> tuple[FloatArray, FloatArray] | None:
    """Lower and upper bounds as flat vectors.

    Parameters
    ----------
    bounds : None, (lower, upper) or an object with ``lb`` and ``ub``
        Each side a scalar, or a structure like x0 whose arrays broadcast to x0's (as in
        `scipy.optimize.Bounds`). Infinite values mean no bound.
    """
    if bounds is None:
        return None
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        bounds = (bounds.lb, bounds.ub)
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise InputError(
            f"bounds: got {type(bounds).__name__}; expected a pair (lower, upper), each a number or a structure like "
            f"x0, or a scipy.optimize.Bounds"
        )
    pairs = isinstance(bounds, list) and all(isinstance(side, tuple) and len(side) == 2 for side in bounds)
    if pairs and space.size == 2:
        raise InputError(
            "bounds: got two pairs for two parameters, which may mean (lower, upper) or a pair for each; "
            "expected arrays: (np.array([low, low]), np.array([high, high]))"
        )
    lower, upper = (_parse_side(space, side, what) for side, what in zip(bounds, ("lower", "upper"), strict=True))
    crossed = lower > upper
    if crossed.any():
        i = int(np.argmax(crossed))
        raise InputError(
            f"bounds: at {space.label(i)} the lower bound, {lower[i]:g}, is above the upper one, {upper[i]:g}"
        )
    return lower, upper


def _parse_side(space: Space, side: Any, what: str) -> FloatArray:
    flat = np.empty(space.size)
    scalar = not isinstance(side, Mapping | list | tuple) and np.ndim(side) == 0
    items = [side] * len(space.leaves) if scalar else leaves_like(space, side, f"bounds: {what}")
    for leaf, item in zip(space.leaves, items, strict=True):
        item = {"lower": -np.inf, "upper": np.inf}[what] if item is None else item
        try:
            flat[leaf.start : leaf.stop] = np.broadcast_to(np.asarray(item, dtype=float), leaf.shape).reshape(-1)
        except (TypeError, ValueError):
            raise InputError(
                f"bounds: got {item!r} as the {what} side of array {leaf.name!r}; expected numbers of the array's "
                f"shape {leaf.shape}, or one number for all"
            ) from None
    if np.isnan(flat).any():
        raise InputError(f"bounds: {what} side has NaN at {space.label(int(np.argmax(np.isnan(flat))))}")
    return flat


def check_inside(space: Space, x: FloatArray, bounds: tuple[FloatArray, FloatArray] | None) -> None:
    """Raise `InputError` where x0 lies outside its bounds."""
    if bounds is None:
        return
    outside = (x < bounds[0]) | (x > bounds[1])
    if outside.any():
        i = int(np.argmax(outside))
        raise InputError(
            f"x0: {space.label(i)} = {x[i]:g} lies outside its bounds [{bounds[0][i]:g}, {bounds[1][i]:g}]; "
            f"move x0 inside or widen the bounds"
        )
