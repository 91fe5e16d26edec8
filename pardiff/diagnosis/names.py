"""What a constant factor may be: numbers that occur in gradients, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping

NEAR = 2e-6
"""Relative difference up to which a factor is taken to be a named number; factors are medians of many ratios."""

CONSTANTS: Mapping[float, str] = {
    2.0: "perhaps a term that is counted twice, or a 1/2 that is forgotten",
    0.5: "perhaps the 2 of a square that is forgotten",
    math.pi: "π",
    2 * math.pi: "2π",
    1 / (2 * math.pi): "1/2π",
    1 / math.pi: "1/π",
    math.log(10): "ln 10: the derivative by another logarithm",
    1 / math.log(10): "1/ln 10: the derivative by another logarithm",
    math.log(2): "ln 2",
    1 / math.log(2): "1/ln 2",
    math.sqrt(2): "√2",
    1 / math.sqrt(2): "1/√2",
    1e-3: "units?",
    1e3: "units?",
    180 / math.pi: "degrees for radians",
    math.pi / 180: "radians for degrees",
}
DROPOUT = (0.1, 0.2, 0.25, 0.3, 0.4)
"""Rates at which units are commonly dropped."""
MOST = 10_000
"""Largest integer, or size of a sample, that is recognised."""
LEAST_SAMPLE = 4
"""Smallest N of N/(N-1) that is no simple fraction."""
NAMED_BITS, INTEGER_BITS, RATIO_BITS = 8.0, 13.0, 15.0


def name_factor(factor: float, sizes: Mapping[int, str]) -> tuple[str, float] | None:
    """What a factor may be, and the bits that it takes to say so; None for a number like any other.

    Parameters
    ----------
    factor : float
    sizes : mapping of int to str
        Lengths of axes, and what they are of.

    Examples
    --------
    >>> name_factor(0.25, {4: "axis 0 of W"})
    ('1/4, where 4 is the length of axis 0 of W', 8.0)
    >>> name_factor(32 / 31, {})
    ('32/31, that is N/(N-1) with N = 32', 15.0)
    >>> name_factor(0.123456, {}) is None
    True
    """
    size = abs(factor)
    if not 1e-300 < size < 1e300:
        return None
    sign = "-" if factor < 0 else ""
    whole, part = round(size), round(1 / size) if size < 1 else 0
    for number, form in ((whole, "{}"), (part, "1/{}")):
        value = number if form == "{}" else (1 / number if number else 0.0)
        if number > 2 and _near(size, value) and number in sizes:
            return f"{sign}{form.format(number)}, where {number} is the length of {sizes[number]}", NAMED_BITS
    for value, name in CONSTANTS.items():
        if _near(size, value):
            return f"{factor:.7g} ({name})", NAMED_BITS
    for rate in DROPOUT:
        if _near(size, 1 - rate) or _near(size, 1 / (1 - rate)):
            of = "1 - p" if size < 1 else "1/(1 - p)"
            return f"{factor:.7g}, that is {of} with p = {rate:g}, perhaps of dropout", NAMED_BITS
    if whole > 1 and whole <= MOST and _near(size, whole):
        return f"{sign}{whole}", INTEGER_BITS
    if part > 1 and part <= MOST and _near(size, 1 / part):
        return f"{sign}1/{part}, perhaps of a mean over {part} samples", INTEGER_BITS
    if size != 1:
        n = round(size / (size - 1)) if size > 1 else round(1 / (1 - size))
        if LEAST_SAMPLE <= n <= 1000 and _near(size, n / (n - 1) if size > 1 else (n - 1) / n):
            over = f"{n}/{n - 1}, that is N/(N-1)" if size > 1 else f"{n - 1}/{n}, that is (N-1)/N"
            return f"{sign}{over} with N = {n}", RATIO_BITS
    return None


def _near(value: float, other: float) -> bool:
    return abs(value - other) <= NEAR * abs(other)
