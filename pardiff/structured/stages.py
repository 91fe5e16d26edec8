"""Stages of a forward pass whose structure is known: affine maps and elementwise functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.problem.space import FloatArray, IntArray


class Stage(Protocol):
    """A stage of the user's own.

    It maps activations to activations. While its own parameters, or those before it, are moved, it is evaluated
    for many samples at once; what comes after it goes on incrementally where it can.
    """

    names: tuple[str, ...]
    """The arrays of x0 that it uses, by path (``encoder/W``); may be empty."""

    def __call__(self, a: FloatArray, *arrays: FloatArray) -> FloatArray:
        """Activations from shape (..., samples, features) to (..., samples, other features).

        Every sample, and every leading index, is mapped by itself. It must not write to its arguments.
        """


@dataclass(frozen=True)
class Affine:
    """``a @ W + b``.

    Parameters
    ----------
    weight : str
        Name of W in x0, of shape (inputs, outputs); or (inputs,), for one output without an axis of its own.
    bias : str or None
        Name of b, of shape (outputs,), or () where W has one axis.
    transposed : bool
        W has shape (outputs, inputs): ``a @ W.T + b``.
    """

    weight: str
    bias: str | None = None
    transposed: bool = False

    def __post_init__(self) -> None:
        """Arrays are named here, and not given."""
        for name in (self.weight, self.bias):
            if not (isinstance(name, str) or (name is None and name is self.bias)):
                raise InputError(f"Affine: got a {type(name).__name__}; expected the name of an array of x0")

    @property
    def names(self) -> tuple[str, ...]:
        """Arrays that it uses."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    def matrix(self, weight: NDArray[Any]) -> FloatArray:
        """W as float64 of shape (inputs, outputs)."""
        if weight.ndim not in (1, 2) or (weight.ndim == 1 and self.transposed):
            raise InputError(
                f"Affine: array {self.weight!r} has shape {weight.shape}; expected (inputs, outputs), or (inputs,)"
            )
        matrix = np.asarray(weight, dtype=np.float64)
        if weight.ndim == 1:
            matrix = matrix[:, None]
        return np.ascontiguousarray(matrix.T if self.transposed else matrix)


@dataclass(frozen=True)
class Elementwise:
    """A function of each activation by itself, such as ``np.tanh``.

    Parameters
    ----------
    function : callable
        Takes an array of any shape and returns one of the same shape; a NumPy ufunc works in place.
    """

    function: Callable[[Any], Any]

    names: ClassVar[tuple[str, ...]] = ()

    def __call__(self, a: FloatArray, *_: FloatArray) -> FloatArray:
        """The function of every element."""
        return np.asarray(self.function(a))

    def overwrite(self, a: FloatArray) -> FloatArray:
        """The same, in place where that is possible."""
        if isinstance(self.function, np.ufunc):
            return np.asarray(self.function(a, out=a))
        return np.asarray(self.function(a))


def rows_of(matrix: FloatArray, index: IntArray) -> FloatArray:
    """Rows of a matrix, (k, ...), not to be written to: views where they are one row, or follow each other.

    Copies cost as much as one of the few operations that are made on them.
    """
    first, last = int(index[0]), int(index[-1])
    if last - first == len(index) - 1 and (np.diff(index) == 1).all():
        return matrix[first : last + 1]
    if first == last and (index == first).all():
        return matrix[first : first + 1]
    return np.asarray(matrix[index])
