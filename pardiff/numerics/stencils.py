"""Stencils as data: at which multiples of the step fun is taken, and how exact the result is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Stencil:
    """A finite-difference formula for a first derivative.

    Examples
    --------
    >>> Stencil((-1, 0, 1)).weights
    array([-0.5,  0. ,  0.5])
    """

    offsets: tuple[int, ...]
    """Displacements in units of the step, ascending. 0 is always among them: fun at x0 costs no pass, and
    with it unequal displacements on the two sides, as rounding makes them, do no harm."""

    @cached_property
    def scheme(self) -> str:
        """``central``, ``forward`` or ``backward``: the side of x from which fun is taken."""
        below, above = self.reach
        return "central" if below and above else "forward" if above else "backward"

    @cached_property
    def order(self) -> int:
        """p, where the truncation error falls as step**p: the formula is exact for polynomials of degree p."""
        return len(self.offsets) - 1

    @cached_property
    def origin(self) -> int:
        """Column of x0 itself."""
        return self.offsets.index(0)

    @cached_property
    def moved(self) -> tuple[int, ...]:
        """Columns of the points other than x0 itself."""
        return tuple(j for j, offset in enumerate(self.offsets) if offset)

    @cached_property
    def weights(self) -> FloatArray:
        """Weights for a step of 1, shape (points,)."""
        return np.asarray(differentiation_weights(np.array([self.offsets], dtype=float), self.origin)[0])

    @cached_property
    def nfev(self) -> int:
        """Forward passes that one derivative costs."""
        return len(self.offsets) - 1

    @cached_property
    def reach(self) -> tuple[int, int]:
        """Farthest offsets below and above x, both as non-negative multiples of the step."""
        return -min(0, *self.offsets), max(0, *self.offsets)


def _central(order: int) -> tuple[int, ...]:
    return tuple(range(-(order // 2), order // 2 + 1))


def _richardson(order: int) -> tuple[int, ...]:
    """Central differences at steps h, 2h, 4h, ..., extrapolated: one formula on all their points."""
    powers = [2**k for k in range(order // 2)]
    return (*(-power for power in reversed(powers)), 0, *powers)


def _forward(order: int) -> tuple[int, ...]:
    return tuple(range(order + 1))


def _backward(order: int) -> tuple[int, ...]:
    return tuple(range(-order, 1))


FAMILIES: dict[str, Callable[[int], tuple[int, ...]]] = {
    "central": _central,
    "forward": _forward,
    "backward": _backward,
    "richardson": _richardson,
}
"""Families of formulas by the name of the method: offsets for an order."""

SCHEMES = ("none", "central", "forward", "backward", "complex")
"""Schemes by the number under which an audit stores them."""


def named(method: str, order: int) -> Stencil:
    """The formula of a method and an order.

    >>> named("richardson", 6).offsets
    (-4, -2, -1, 0, 1, 2, 4)
    """
    return Stencil(FAMILIES[method](order))


def candidates(first: Stencil) -> tuple[Stencil, ...]:
    """A formula, and those of the same order that replace it where a bound is in the way."""
    sides = {"central": (_forward, _backward), "forward": (_backward,), "backward": (_forward,)}
    return (first, *(Stencil(side(first.order)) for side in sides[first.scheme]))


def differentiation_weights(nodes: FloatArray, origin: int) -> FloatArray:
    r"""Weights of the first derivative at 0 from values at 0 and at arbitrary other nodes.

    The derivative of the Lagrange basis, which with a node at 0 is
    :math:`w_j = \frac{1}{t_j} \prod_{l \ne j, 0} \frac{-t_l}{t_j - t_l}` for the other nodes, and minus their sum for
    the node at 0; the same numbers as Fornberg's recursion [1]_, here for many sets of nodes at once, because the
    displacements really taken differ from coordinate to coordinate.

    Parameters
    ----------
    nodes : ndarray, shape (k, p)
        Distinct displacements from x, a row per coordinate.
    origin : int
        Column of the node at 0.

    Returns
    -------
    ndarray, shape (k, p)
        In units of one over those of the nodes.

    References
    ----------
    .. [1] B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids,
       Math. Comp. 51 (1988), 699-706.
    """
    weights = np.zeros_like(nodes)
    moved = [j for j in range(nodes.shape[1]) if j != origin]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of steps near the smallest numbers
        for j in moved:
            weight = 1.0 / nodes[:, j]
            for other in moved:
                if other != j:
                    weight *= nodes[:, other] / (nodes[:, other] - nodes[:, j])
            weights[:, j] = weight
            weights[:, origin] -= weight
    return weights
