from fractions import Fraction

import numpy as np
import pytest

from pardiff.numerics.stencils import STENCILS, candidates, differentiation_weights

KNOWN = {
    ("central", 2): [(-1, 2), (1, 2)],
    ("central", 4): [(1, 12), (-8, 12), (8, 12), (-1, 12)],
    ("central", 6): [(-1, 60), (9, 60), (-45, 60), (45, 60), (-9, 60), (1, 60)],
    ("forward", 1): [(-1, 1), (1, 1)],
    ("forward", 2): [(-3, 2), (4, 2), (-1, 2)],
    ("backward", 2): [(1, 2), (-4, 2), (3, 2)],
}


@pytest.mark.parametrize("key", KNOWN)
def test_weights_are_those_of_the_books(key):
    """Weights agree with published tables."""
    expected = [float(Fraction(*pair)) for pair in KNOWN[key]]

    np.testing.assert_allclose(STENCILS[key].weights, expected, rtol=1e-14)


@pytest.mark.parametrize("key", STENCILS)
def test_exact_on_polynomials(key):
    """A stencil of order p differentiates polynomials up to degree p exactly, and not degree p + 1."""
    stencil = STENCILS[key]
    t = np.array(stencil.offsets, dtype=float)
    moments = [stencil.weights @ t**k for k in range(stencil.order + 2)]

    np.testing.assert_allclose(
        moments[:-1], np.eye(1, stencil.order + 1, 1)[0], atol=1e-9 * max(1, abs(t).max()) ** stencil.order
    )
    assert abs(moments[-1]) > 0.1


def test_weights_for_uneven_nodes():
    """Weights at arbitrary displacements differentiate the polynomial through the points."""
    nodes = np.array([[-0.7, 0.2, 1.1, 1.9], [-3.0, -1.0, 0.0, 0.5]])
    coefficients = [2.0, -1.0, 3.0, 0.5]
    values = sum(c * nodes**k for k, c in enumerate(coefficients))

    np.testing.assert_allclose((differentiation_weights(nodes) * values).sum(axis=1), -1.0, rtol=1e-12)


def test_a_bound_can_be_avoided_at_every_order():
    """For every method there is a stencil on each side."""
    for method, order in [("central", 2), ("central", 8), ("forward", 1), ("backward", 4)]:
        schemes = {stencil.scheme for stencil in candidates(method, order)}

        assert {"forward", "backward"} <= schemes
