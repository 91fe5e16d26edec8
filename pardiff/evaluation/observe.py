"""What is taken of fun's value: the loss, the sum of its terms, or its products with cotangents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.evaluation.lines import Values
from pardiff.numerics.sums import compensated_sum, known_again, moved
from pardiff.problem.outputs import Cotangents
from pardiff.problem.parsing import leaves_like
from pardiff.problem.space import FloatArray

REAL = frozenset({float, int, np.float64, np.float32})
"""Types of values that need no look."""


def real(value: Any) -> Any:
    """What fun returned, unless it is complex: NumPy would drop the imaginary part with a warning."""
    if np.iscomplexobj(value):
        raise TypeError("fun returned a complex number")
    return value


class Observe(Protocol):
    """Turns what fun returned into q numbers and their sizes."""

    known: float
    """A number by which fun's value at x0 is known again, in other runs and on other workers."""

    def take(self, value: Any) -> Values:
        """Take a value as the one at x0; returns the origin of all differences, each of shape (q,)."""

    def __call__(self, value: Any) -> tuple[Any, Any]:
        """Numbers and sizes of a value, each of shape (q,), or a float where q = 1."""


class Terms:
    """The sum of an array of terms, as its change from x0."""

    def __init__(self) -> None:
        self.terms: FloatArray = np.empty(0)
        self.known = np.nan

    def take(self, value: Any) -> Values:
        """Keep the terms at x0."""
        self.terms = _line(value).copy()
        self.known = compensated_sum(self.terms)
        return Values(np.zeros(1), np.zeros(1))

    def __call__(self, value: Any) -> tuple[float, float]:
        """How far the sum has moved, and the size that its rounding is in proportion to."""
        terms = _line(value)
        if len(terms) != len(self.terms):
            raise InputError(
                f"fun returned {len(terms)} terms, but {len(self.terms)} at x0; their number must not change"
            )
        return moved(self.terms, terms)


@dataclass
class Products:
    """Products of fun's outputs with cotangents, as their changes from x0.

    Each output is known to a rounding of its own, and roundings of different outputs are independent: with the weights
    of the cotangent they add up as the root of the sum of squares. Those that have not changed count too, as they may
    have moved by less than the spacing of their numbers.
    """

    cotangents: Cotangents
    known: float = np.nan
    start: list[FloatArray] = field(default_factory=list)
    """Outputs at x0, each as one line."""
    sizes: list[FloatArray] = field(default_factory=list)
    """Sizes of the rounding of the products at x0, shape (r,) for each output."""

    def take(self, value: Any) -> Values:
        """Keep the outputs at x0."""
        self.start = [array.copy() for array in self._outputs(value)]
        leaves = self.cotangents.outputs.leaves
        parts = zip(leaves, self.cotangents.weights, self.start, strict=True)
        self.sizes = [
            _root_sum_square(weights * np.maximum(np.abs(start), float(np.finfo(leaf.dtype).tiny)))
            for leaf, weights, start in parts
        ]
        scaled = [array / scale for array, scale in zip(self.start, self.cotangents.scales, strict=True)]
        self.known = known_again(np.concatenate(scaled))
        return Values(np.zeros(self.cotangents.count), np.zeros(self.cotangents.count))

    def __call__(self, value: Any) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes, each of shape (q,)."""
        changes, sizes = [], []
        parts = zip(self.cotangents.weights, self.start, self.sizes, self._outputs(value), strict=True)
        for weights, start, least, now in parts:
            change, size = _weighted(weights, start, least, now)
            changes.append(change)
            sizes.append(size)
        return np.concatenate(changes), np.concatenate(sizes)

    def imaginary(self, value: Any) -> NDArray[np.complex128]:
        """Products of complex outputs, shape (q,); NaN where an output has no imaginary part to show."""
        arrays = leaves_like(self.cotangents.outputs, value, "fun's value", "at x0")
        found = []
        for weights, item in zip(self.cotangents.weights, arrays, strict=True):
            flat = np.asarray(item).reshape(-1)
            found.append((weights * flat).sum(axis=1) if flat.dtype.kind == "c" else np.full(len(weights), np.nan + 0j))
        return np.concatenate(found)

    def _outputs(self, value: Any) -> list[FloatArray]:
        """The outputs as lines of float64; `InputError` if names or shapes are not those at x0."""
        found = []
        space = self.cotangents.outputs
        for leaf, item in zip(space.leaves, leaves_like(space, value, "fun's value", "at x0"), strict=True):
            array = np.asarray(real(item), dtype=np.float64)
            if array.shape != leaf.shape:
                raise InputError(
                    f"fun returned {leaf.name!r} of shape {array.shape}, but {leaf.shape} at x0; shapes must not change"
                )
            found.append(array.reshape(-1))
        return found


def _weighted(
    weights: FloatArray, start: FloatArray, least: FloatArray, now: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How far products of one output with r cotangents have moved, and the sizes of their rounding, each (r,).

    Numbers that have not changed count in the sizes, as at x0: they may have moved by less than their spacing.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        change = now - start
        which = np.flatnonzero(change)
        if not len(which):
            return np.zeros(len(weights)), least
        if len(which) < len(change):
            weights, change, now = weights[:, which], change[which], now[which]
        # sums of NumPy along the last axis are pairwise, and the same for every number of cotangents
        return (weights * change).sum(axis=1), np.maximum(least, _root_sum_square(weights * now))


def _root_sum_square(values: FloatArray) -> FloatArray:
    """The root of the sum of squares of each row, whatever their sizes."""
    largest = np.abs(values).max(axis=1, initial=0.0)
    scale = np.where(largest > 0, largest, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(scale * np.sqrt(((values / scale[:, None]) ** 2).sum(axis=1)))


def _line(value: Any) -> FloatArray:
    """What fun returned, as one line of float64."""
    return np.asarray(real(value), dtype=np.float64).reshape(-1)
