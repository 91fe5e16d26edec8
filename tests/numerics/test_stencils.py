from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from pardiff.numerics.stencils import Stencil, candidates, differentiation_weights, named
from pardiff.problem.options import ORDERS

KNOWN = {
    ("central", 2): [(-1, 2), (0, 1), (1, 2)],
    ("central", 4): [(1, 12), (-8, 12), (0, 1), (8, 12), (-1, 12)],
    ("central", 6): [(-1, 60), (9, 60), (-45, 60), (0, 1), (45, 60), (-9, 60), (1, 60)],
    ("forward", 1): [(-1, 1), (1, 1)],
    ("forward", 2): [(-3, 2), (4, 2), (-1, 2)],
    ("backward", 2): [(1, 2), (-4, 2), (3, 2)],
}


@pytest.mark.parametrize("key", KNOWN)
def test_weights_are_those_of_the_books(key):
    """Weights agree with published tables."""
    expected = [float(Fraction(*pair)) for pair in KNOWN[key]]

    np.testing.assert_allclose(named(*key).weights, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("key", [(method, order) for method, orders in ORDERS.items() for order in orders])
def test_exact_on_polynomials(key):
    """A stencil of order p differentiates polynomials up to degree p exactly, and not degree p + 1."""
    stencil = named(*key)
    t = np.array(stencil.offsets, dtype=float)
    moments = [stencil.weights @ t**k for k in range(stencil.order + 2)]

    np.testing.assert_allclose(
        moments[:-1], np.eye(1, stencil.order + 1, 1)[0], atol=1e-9 * max(1, abs(t).max()) ** stencil.order
    )
    assert abs(moments[-1]) > 0.1


def test_weights_for_uneven_nodes():
    """Weights at arbitrary displacements differentiate the polynomial through the points."""
    nodes = np.array([[-0.7, 0.2, 0.0, 1.9], [-3.0, -1.0, 0.0, 0.5]])
    coefficients = [2.0, -1.0, 3.0, 0.5]
    values = sum(c * nodes**k for k, c in enumerate(coefficients))

    np.testing.assert_allclose((differentiation_weights(nodes, 2) * values).sum(axis=1), -1.0, rtol=1e-12)


def test_a_bound_can_be_avoided_at_every_order():
    """For every method there is a stencil on each side."""
    for method, order in [("central", 2), ("central", 8), ("forward", 1), ("backward", 4)]:
        schemes = {stencil.scheme for stencil in candidates(named(method, order))}

        assert {"forward", "backward"} <= schemes


@pytest.mark.parametrize("order", [4, 6, 8])
def test_richardson_is_one_stencil(order):
    """Its weights are those of central differences at h, 2h, 4h, ..., extrapolated level by level."""
    fun = np.exp
    column = [(fun(2.0**k) - fun(-(2.0**k))) / 2.0 ** (k + 1) for k in range(order // 2)]
    for level in range(1, order // 2):
        column = [(4**level * a - b) / (4**level - 1) for a, b in pairwise(column)]
    stencil = named("richardson", order)

    np.testing.assert_allclose(stencil.weights @ fun(np.array(stencil.offsets, dtype=float)), column[0], rtol=1e-12)


def test_any_offsets():
    """A stencil of any offsets has the order that its number of points allows."""
    stencil = Stencil((-3, -1, 0, 2))

    assert (stencil.order, stencil.scheme, stencil.reach, stencil.nfev) == (3, "central", (3, 2), 3)
    np.testing.assert_allclose(
        np.vander(stencil.offsets, 4, increasing=True).T @ stencil.weights, [0, 1, 0, 0], atol=1e-14
    )
