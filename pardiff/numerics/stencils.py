"""Stencils as data: at which multiples of the step fun is taken, and how exact the result is."""

from __future__ import annotations

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
    >>> Stencil("central", (-1, 1), 2).weights
    array([-0.5,  0.5])
    """

    scheme: str
    """``central``, ``forward`` or ``backward``: the side of x from which fun is taken."""
    offsets: tuple[int, ...]
    """Displacements in units of the step; 0 stands for fun at x0, which costs no pass."""
    order: int
    """p, where the truncation error falls as step**p."""

    @cached_property
    def weights(self) -> FloatArray:
        """Weights for a step of 1, shape (points,)."""
        return np.asarray(differentiation_weights(np.array([self.offsets], dtype=float))[0])

    @property
    def nfev(self) -> int:
        """Forward passes that one derivative costs."""
        return sum(offset != 0 for offset in self.offsets)

    @property
    def reach(self) -> tuple[int, int]:
        """Farthest offsets below and above x, both as non-negative multiples of the step."""
        return -min(0, *self.offsets), max(0, *self.offsets)


def _central(order: int) -> Stencil:
    half = order // 2
    return Stencil("central", (*range(-half, 0), *range(1, half + 1)), order)


STENCILS: dict[tuple[str, int], Stencil] = {
    **{("central", order): _central(order) for order in (2, 4, 6, 8)},
    **{("forward", order): Stencil("forward", tuple(range(order + 1)), order) for order in (1, 2, 3, 4, 6, 8)},
    **{("backward", order): Stencil("backward", tuple(range(-order, 1)), order) for order in (1, 2, 3, 4, 6, 8)},
}
"""Every formula that is used, by scheme and order. One-sided orders 6 and 8 only replace central ones at a bound."""

SCHEMES = ("none", "central", "forward", "backward")
"""Schemes by the number under which an audit stores them."""


def candidates(method: str, order: int) -> tuple[Stencil, ...]:
    """The formula of a method and those that may replace it where a bound is in the way."""
    schemes = {
        "central": ("central", "forward", "backward"),
        "forward": ("forward", "backward"),
        "backward": ("backward", "forward"),
    }[method]
    return tuple(STENCILS[scheme, order] for scheme in schemes)


def differentiation_weights(nodes: FloatArray) -> FloatArray:
    r"""Weights of the first derivative at 0 from values at arbitrary nodes.

    The derivative of the Lagrange basis,
    :math:`w_j = \ell_j'(0) = \sum_{m \ne j} \frac{1}{t_j - t_m} \prod_{l \ne j, m} \frac{-t_l}{t_j - t_l}`;
    the same numbers as Fornberg's recursion [1]_, here for many sets of nodes at once, because the
    displacements really taken differ from coordinate to coordinate.

    Parameters
    ----------
    nodes : ndarray, shape (k, p)
        Distinct displacements from x, a row per coordinate.

    Returns
    -------
    ndarray, shape (k, p)
        In units of one over those of the nodes.

    References
    ----------
    .. [1] B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids,
       Math. Comp. 51 (1988), 699-706.
    """
    points = nodes.shape[1]
    weights = np.zeros_like(nodes)
    for j in range(points):
        for m in range(points):
            if m == j:
                continue
            term = 1.0 / (nodes[:, j] - nodes[:, m])
            for other in range(points):
                if other not in (j, m):
                    term = term * (-nodes[:, other] / (nodes[:, j] - nodes[:, other]))
            weights[:, j] += term
    return weights
