"""Checks of single options: each returns the value as it is kept, or raises `InputError` with one sentence."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from pardiff.errors import InputError, closest
from pardiff.problem.budget import Budget

MOST_OFFSETS = 16
"""Points of a stencil: weights of wider ones lose their digits."""
FARTHEST_OFFSET = 64
"""The largest offset of a stencil; beyond it a step small enough for the farthest point is too small for the
nearest."""

Check = Callable[[str, Any], Any]
"""Takes the name of an option and its value, which is not None; returns the value to be kept."""


def one_of(*choices: str) -> Check:
    """One of some words."""

    def check(name: str, value: Any) -> str:
        if not (isinstance(value, str) and value in choices):
            raise InputError(f"{name}: got {value!r}; {closest(str(value), choices)}")
        return value

    check.choices = choices  # type: ignore[attr-defined]
    return check


def whole(least: int = 0, most: int | None = None) -> Check:
    """A whole number."""

    def check(name: str, value: Any) -> int:
        number = _index(name, value)
        if number < least:
            raise InputError(f"{name}: got {number}; expected at least {least}")
        if most is not None and number > most:
            raise InputError(f"{name}: got {number}; expected at most {most}")
        return number

    return check


def number(*, positive: bool, most: float = math.inf, unit: str = "") -> Check:
    """A finite number that is positive, or not negative."""

    def check(name: str, value: Any) -> float:
        found = _finite(name, value)
        if found < 0 or (positive and found == 0):
            raise InputError(f"{name}: got {value!r}; expected a {'positive' if positive else 'non-negative'} number")
        if found > most:
            raise InputError(f"{name}: got {found:g}{unit}; expected at most {most:g}{unit}")
        return found

    return check


def boolean(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InputError(f"{name}: got {value!r}; expected true or false")
    return value


def budget(name: str, value: Any) -> Any:
    """A number of passes, or a time."""
    Budget.parse(value)
    return value


def offsets(name: str, value: Any) -> tuple[int, ...]:
    """Offsets of a stencil, ascending, without 0."""
    iterable = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    found = list(islice(value, MOST_OFFSETS + 2)) if iterable else []
    if not found:
        raise InputError(f"{name}: got {value!r}; expected whole numbers, as in (-2, -1, 1, 2)")
    found = [_index(name, offset) for offset in found]
    distinct = set(found) - {0}
    if len(distinct) < len(found) - (0 in found) or not 0 < len(distinct) <= MOST_OFFSETS:
        raise InputError(f"{name}: got {value!r}; expected 1 to {MOST_OFFSETS} different offsets other than 0")
    if max(map(abs, distinct)) > FARTHEST_OFFSET:
        raise InputError(f"{name}: got {value!r}; expected offsets from -{FARTHEST_OFFSET} to {FARTHEST_OFFSET}")
    return tuple(sorted(distinct))


def sizes(name: str, value: Any) -> float | dict[str, float]:
    """A positive number, or numbers by name; nested mappings are joined by ``/``."""
    if not isinstance(value, Mapping):
        found: float = number(positive=True)(name, value)
        return found
    flat: dict[str, float] = {}
    for key, item in value.items():
        inner = None if item is None else sizes(name, item)
        if isinstance(inner, dict):
            flat |= {f"{key}/{below}": size for below, size in inner.items()}
        elif inner is not None:
            flat[str(key)] = inner
    return flat


def _index(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return int(operator.index(value))
    except TypeError:
        raise InputError(f"{name}: got {value!r}; expected a whole number") from None


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"{name}: got {value!r}; expected a finite number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise InputError(f"{name}: got {value!r}; expected a finite number")
    return found
