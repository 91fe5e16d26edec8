"""The analytical side: what a problem says its derivative is, along the observables that are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pardiff.errors import InputError
from pardiff.problem.outputs import Cotangents
from pardiff.problem.parsing import parse_gradient
from pardiff.problem.problem import Problem
from pardiff.problem.space import FloatArray, Space, Structure

NONLINEAR = 1e-2
"""Part of two products by which that of the sum of their cotangents may be off: more than any rounding of float16."""
Call = Callable[..., Any]
"""Calls ``function(*arguments)`` of the user's with a name for errors first; what it raises becomes a sentence."""


class Derivative(Protocol):
    """An analytical derivative."""

    @property
    def is_called(self) -> bool:
        """Whether it is computed, and can be computed again."""

    def predict(self, call: Call, x: Structure, args: tuple[Any, ...], space: Space) -> FloatArray:
        """The derivatives of all observables, flat in the order of the arrays by name.

        Raises
        ------
        InputError
            If it has not the structure of x0.
        """


@dataclass(frozen=True)
class Gradient:
    """The gradient of a loss: a function ``grad(x, *args)``, or numbers."""

    grad: Callable[..., Structure] | Structure

    @property
    def is_called(self) -> bool:
        """Whether it is a function."""
        return callable(self.grad)

    def predict(self, call: Call, x: Structure, args: tuple[Any, ...], space: Space) -> FloatArray:
        """The gradient, shape (n,)."""
        found = call("grad", self.grad, x, *args) if callable(self.grad) else self.grad
        if found is None:
            raise InputError("grad returned None; expected a gradient with the structure of x0")
        return parse_gradient(space, found)


@dataclass(frozen=True)
class Pullback:
    """Products of cotangents with a Jacobian: a function ``vjp(x, u, *args)``."""

    vjp: Callable[..., Structure]
    cotangents: Cotangents

    @property
    def is_called(self) -> bool:
        """It always is."""
        return True

    def predict(self, call: Call, x: Structure, args: tuple[Any, ...], space: Space) -> FloatArray:
        """The products: of each output the arrays of x0, with an axis of cotangents first."""
        by_output = []
        for output in range(len(self.cotangents.outputs.leaves)):
            rows = np.stack(
                [
                    self._one(call, x, self.cotangents.structure(output, probe), args, space)
                    for probe in range(self.cotangents.probes)
                ]
            )
            by_output += [rows[:, leaf.start : leaf.stop].reshape(-1) for leaf in space.leaves]
        return np.concatenate([np.empty(0), *by_output])

    def nonlinear(
        self, call: Call, x: Structure, args: tuple[Any, ...], space: Space, products: FloatArray
    ) -> tuple[str, ...]:
        """Outputs for which the product with the sum of two cotangents is not the sum of their products.

        Parameters
        ----------
        products : ndarray
            What :meth:`predict` has given.
        """
        found = []
        for output, leaf in enumerate(self.cotangents.outputs.leaves):
            if self.cotangents.probes < 2 or not leaf.size:
                continue
            start = output * self.cotangents.probes * space.size
            one, other = (self._row(products[start:], probe, space) for probe in (0, 1))
            both = self._one(call, x, self.cotangents.structure(output, 0, 1), args, space)
            size = np.abs(one).max(initial=0.0) + np.abs(other).max(initial=0.0)
            if not np.abs(both - one - other).max(initial=0.0) <= NONLINEAR * size and np.isfinite(both).all():
                found.append(leaf.name)
        return tuple(found)

    def _row(self, products: FloatArray, probe: int, space: Space) -> FloatArray:
        """The product with one cotangent of the output whose products come first, shape (n,)."""
        probes = self.cotangents.probes
        starts = [(probes * leaf.start + probe * leaf.size, leaf.size) for leaf in space.leaves]
        return np.concatenate([np.empty(0), *(products[start : start + size] for start, size in starts)])

    def _one(self, call: Call, x: Structure, u: Structure, args: tuple[Any, ...], space: Space) -> FloatArray:
        found = call("vjp", self.vjp, x, u, *args)
        if found is None:
            raise InputError("vjp returned None; expected a structure like x0")
        return parse_gradient(space, found, "vjp")


def derivative_of(problem: Problem, cotangents: Cotangents | None) -> Derivative | None:
    """The analytical side of a problem; None where it has none."""
    if cotangents is not None and problem.vjp is not None:
        return Pullback(problem.vjp, cotangents)
    return None if problem.grad is None else Gradient(problem.grad)
