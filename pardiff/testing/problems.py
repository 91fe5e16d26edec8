"""For tests of programs that use pardiff: toy problems with exact gradients, planted faults, strategies.

The Hypothesis strategies need Hypothesis; nothing else here does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.problem.parsing import leaves_like, parse_x0
from pardiff.problem.problem import Problem
from pardiff.problem.space import flatten, unflatten


def _sphere(x: Any) -> float:
    return float(np.sum(x**2))


def _sphere_gradient(x: Any) -> Any:
    return 2 * x


def sphere(n: int = 5) -> Problem:
    """Sum of squares; central differences have no truncation error."""
    return Problem(_sphere, _sphere_gradient, np.linspace(0.5, 1.5, n), name="sphere")


def _rosenbrock(x: Any) -> float:
    return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def _rosenbrock_gradient(x: Any) -> Any:
    g = np.zeros_like(x)
    g[:-1] += -400.0 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    g[1:] += 200.0 * (x[1:] - x[:-1] ** 2)
    return g


def rosenbrock(n: int = 20) -> Problem:
    """The chained Rosenbrock function near its valley."""
    x0 = np.random.default_rng(0).uniform(-1.5, 1.5, n)
    return Problem(_rosenbrock, _rosenbrock_gradient, x0, name="rosenbrock")


def _two_layers(x: Any) -> float:
    a = np.tanh(_INPUT @ x["first"]["W"] + x["first"]["b"])
    return float(np.mean((a @ x["second"] - _TARGET) ** 2))


def _two_layers_gradient(x: Any) -> Any:
    a = np.tanh(_INPUT @ x["first"]["W"] + x["first"]["b"])
    error = 2 * (a @ x["second"] - _TARGET) / len(_TARGET)
    delta = np.outer(error, x["second"]) * (1 - a**2)
    return {"first": {"W": _INPUT.T @ delta, "b": delta.sum(axis=0)}, "second": a.T @ error}


_INPUT = np.random.default_rng(1).normal(size=(12, 4))
_TARGET = np.random.default_rng(2).normal(size=12)


def two_layers() -> Problem:
    """A small network in a nested mapping of named arrays."""
    rng = np.random.default_rng(3)
    x0 = {"first": {"W": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}, "second": rng.normal(size=3)}
    return Problem(_two_layers, _two_layers_gradient, x0, name="two_layers")


TOYS: dict[str, Callable[[], Problem]] = {
    "sphere": sphere,
    "rosenbrock": rosenbrock,
    "two_layers": two_layers,
}
"""Problems with a right gradient, by name."""


class _Planted:
    """A gradient with a fault at some flat coordinates; a class, so that it can be pickled."""

    def __init__(self, grad: Callable[..., Any], coordinates: tuple[int, ...], factor: float) -> None:
        self.grad = grad
        self.coordinates = coordinates
        self.factor = factor

    def __call__(self, x: Any, *args: Any) -> Any:
        space, _ = parse_x0(x)
        flat = flatten(leaves_like(space, self.grad(x, *args), "grad"))
        flat[list(self.coordinates)] *= self.factor
        return unflatten(space, flat)


def plant(problem: Problem, coordinates: int | tuple[int, ...], factor: float = 1.01) -> Problem:
    """The problem with some entries of its gradient multiplied by a factor.

    Parameters
    ----------
    problem : Problem
        With a callable gradient.
    coordinates : int or tuple of int
        Flat coordinates of the wrong entries.
    factor : float

    Examples
    --------
    >>> import pardiff
    >>> result = pardiff.gradcheck(plant(sphere(), 3))
    >>> result.verdict.name, [entry.label for entry in result.worst(1)]
    ('FAIL', ['x[3]'])
    """
    if not callable(problem.grad):
        raise InputError("plant: the problem has no gradient that can be called")
    wrong = (coordinates,) if isinstance(coordinates, int) else tuple(coordinates)
    planted = _Planted(problem.grad, wrong, factor)
    name = f"{problem.name}_planted" if problem.name else None
    return problem.replaced(grad=planted, name=name)


def structures(max_arrays: int = 3) -> Any:
    """Hypothesis strategy: values of x0, as an array or a nested mapping of named arrays."""
    from hypothesis import strategies as st

    numbers = st.floats(-3, 3, allow_subnormal=False)
    shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)

    def array(shape: tuple[int, ...]) -> Any:
        size = int(np.prod(shape))
        return st.lists(numbers, min_size=size, max_size=size).map(lambda v: np.array(v, dtype=float).reshape(shape))

    arrays = shapes.flatmap(array)
    names = st.text("abcW_.1 é", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
    flat = st.dictionaries(names, arrays, min_size=1, max_size=max_arrays)
    nested = st.dictionaries(names, flat, min_size=1, max_size=2)
    return st.one_of(arrays, flat, nested)
