"""What is wrong is named: every kind of fault, planted in right gradients of arrays of several shapes."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pardiff
from pardiff.diagnosis.evidence import Evidence
from pardiff.diagnosis.finding import CERTAIN, POSSIBLE
from pardiff.diagnosis.rules import KINDS, diagnose


def noise(*shape):
    """The same numbers each time."""
    return np.random.default_rng(len(shape) + sum(shape)).normal(size=shape)


def audit(wrong, shape=(6, 7), seed=0, **options):
    """Audit of a sum of sines whose gradient, g(x), has become wrong(g, x)."""
    rng = np.random.default_rng(seed)
    weights, x0 = rng.normal(size=shape), rng.normal(size=shape)

    def grad(x):
        return wrong(weights * np.cos(x) + 0.1 * x, x)

    return pardiff.gradcheck(lambda x: float(np.sum(weights * np.sin(x) + 0.05 * x**2)), grad, x0, **options)


def finding(*arguments, **options):
    """The first finding of such an audit."""
    return audit(*arguments, **options).findings[0]


def put(g, index, value):
    """The gradient with some entries replaced."""
    g[index] = value
    return g


CASES = {
    "detached": (lambda g, x: 0 * g, (6, 7), ""),
    "zero": (lambda g, x: put(g, (slice(None), 3), 0), (6, 7), "x[:, 3]"),
    "sign": (lambda g, x: -g, (6, 7), ""),
    "factor": (lambda g, x: g / 7, (6, 7), ""),
    "clipped": (lambda g, x: np.clip(g, -0.5, 0.5), (6, 7), ""),
    "absolute": (lambda g, x: np.abs(g), (6, 7), ""),
    "transposed": (lambda g, x: g.T.copy(), (6, 6), ""),
    "flipped": (lambda g, x: g[::-1], (6, 7), ""),
    "shifted": (lambda g, x: np.roll(g, 1, axis=1), (6, 7), ""),
    "reordered": (lambda g, x: g.ravel(order="F").reshape(g.shape), (6, 7), ""),
    "permuted": (lambda g, x: g[[0, 4, 2, 3, 1, 5]], (6, 7), ""),
    "symmetrised": (lambda g, x: (g + g.T) / 2, (6, 6), ""),
    "triangle": (lambda g, x: np.tril(g), (6, 6), "x[i < j]"),
    "precision": (lambda g, x: g.astype(np.float16).astype(float), (6, 7), ""),
    "slice": (lambda g, x: put(g, -1, noise(g.shape[1])), (6, 7), "x[5, :]"),
    "mask": (lambda g, x: np.where(np.eye(6) == 1, noise(6, 6), g), (6, 6), "x[i = j]"),
    "slice_factor": (lambda g, x: g * np.linspace(0.3, 2.1, 7), (6, 7), ""),
    "proportional": (lambda g, x: g - 0.1 * x, (6, 7), ""),
    "chain": (lambda g, x: g * np.exp(-x), (6, 7), ""),
    "affine": (lambda g, x: g + 0.37, (6, 7), ""),
    "low_rank": (lambda g, x: g + np.outer(noise(12), noise(13)), (12, 13), ""),
    "normalisation": (lambda g, x: g + noise(4, 1) + noise(4, 1) * x, (4, 20), ""),
    "reduction": (lambda g, x: np.broadcast_to(g.mean(axis=0), g.shape).copy(), (6, 7), ""),
    "centred": (lambda g, x: g - g.mean(axis=1, keepdims=True), (6, 7), ""),
    "cumulative": (lambda g, x: np.cumsum(g, axis=0), (6, 7), ""),
    "elements": (lambda g, x: put(g, (2, 3), 0.123456), (6, 7), ""),
    "unstructured": (lambda g, x: noise(*g.shape), (6, 7), ""),
    "nonfinite": (lambda g, x: put(g, (2, 3), np.nan), (6, 7), ""),
}


@pytest.mark.parametrize("kind", CASES)
def test_every_kind(kind):
    """Each fault has a finding of its kind, with the part of the array that is meant."""
    wrong, shape, where = CASES[kind]
    found = finding(wrong, shape)

    assert found.kind == kind, found.message
    assert found.where == where
    assert found.kind in KINDS


@pytest.mark.parametrize(
    ("factor", "named"),
    [
        (2.0, "times 2 (perhaps a term"),
        (1 / 7, "1/7, where 7 is the length of axis 1 of weights or axis 1 of x"),
        (10 / 9, "1/(1 - p) with p = 0.1"),
        (32 / 31, "N/(N-1) with N = 32"),
        (np.log(10), "ln 10"),
        (1 / 512, "1/512, perhaps of a mean over 512 samples"),
        (1.2345678, "times 1.234568"),
    ],
)
def test_factors_have_names(factor, named):
    """A factor is said to be what it most likely is."""
    found = finding(lambda g, x: factor * g)

    assert found.kind == "factor"
    assert named in found.message
    assert found.evidence["factor"] == pytest.approx(factor, rel=1e-7)


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("x[3, :]", (3,)),
        ("x[5:, :]", (slice(5, None),)),
        ("x[:2, :]", (slice(0, 2),)),
        ("x[::3, :]", (slice(0, None, 3),)),
        ("x[[0, -1], :]", ([0, -1],)),
        ("x[[1, 2, 5], :]", ([1, 2, 5],)),
        ("x[:, 2:5]", (slice(None), slice(2, 5))),
        ("x[2, 3:]", (2, slice(3, None))),
    ],
)
def test_slices_are_named(where, index):
    """The part of an array that is wrong is named as NumPy indexes it, and what is wrong in it."""
    found = finding(lambda g, x: put(g, index, -g[index]), (9, 7))

    assert (found.kind, found.where) == ("sign", where)


def test_a_factor_beside_weight_decay():
    """All but the term of the weight decay has the factor."""
    found = finding(lambda g, x: -(g - 0.1 * x) + 0.1 * x)

    assert found.kind == "factor"
    assert found.evidence["factor"] == pytest.approx(-1)
    assert found.evidence["term"] == pytest.approx(0.2)


def test_what_is_left_is_named():
    """A shift whose last entry is lost: the shift, and the entry."""
    result = audit(lambda g, x: np.r_[g[1:], 0.0], (12,))

    assert [(f.kind, f.where) for f in result.findings] == [("shifted", ""), ("zero", "x[11]")]


def test_conditions_on_x0():
    """Entries that are wrong where x0 is negative."""
    found = finding(lambda g, x: np.where(x < 0, 0.0, g))

    assert (found.kind, found.where) == ("zero", "x[x0 < 0]")


def test_two_faults():
    """What the first description leaves open has one of its own."""
    result = audit(lambda g, x: put(put(g, (slice(None), 3), -g[:, 3]), 2, 0.0), (9, 7))

    assert {(f.kind, f.where) for f in result.findings} == {("zero", "x[2, :]"), ("sign", "x[:, 3]")}


@pytest.mark.parametrize("shape", [(3, 4, 4), (4, 3, 4), (2, 3, 3, 2)])
def test_axes_of_tensors(shape):
    """Axes of equal length that are swapped, of arrays of several dimensions."""
    axes = next(pair for pair in combinations(range(len(shape)), 2) if shape[pair[0]] == shape[pair[1]])
    found = finding(lambda g, x: np.swapaxes(g, *axes).copy(), shape)

    assert found.kind == "transposed"
    assert found.evidence["order"][axes[0]] == axes[1]


@pytest.mark.parametrize("kind", ["sign", "transposed", "zero", "chain", "proportional"])
def test_partial_audits(kind):
    """What a budget has left out is not taken for anything."""
    wrong, _, where = CASES[kind]
    result = audit(wrong, (40, 40), budget=1500, block_size=20, refine="auto")
    found = next(f for f in result.findings if f.array)

    assert result.counts["missing"] > 400
    assert found.kind == kind, found.message
    assert found.where == where


def test_a_single_entry_tells_little():
    """A scalar with a wrong derivative: the ratio and the difference, and that no more can be said."""
    result = pardiff.gradcheck(lambda x: float(np.exp(x)), lambda x: 1.37 * np.exp(x), np.float64(0.3))
    (found,) = result.findings

    assert (found.kind, found.confidence) == ("factor", POSSIBLE)
    assert "a single entry does not tell" in found.message


def test_sure_and_unsure():
    """Many entries leave no doubt; two do."""
    assert finding(lambda g, x: 3.21 * g).confidence == CERTAIN
    assert finding(lambda g, x: 3.21 * g, (2,)).confidence != CERTAIN


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    seed=st.integers(0, 1000),
)
def test_right_arrays_have_no_finding(shape, seed):
    """Whatever the shape, nothing is said of an array that is right."""
    assert not [f for f in audit(lambda g, x: g, shape, seed).findings if f.array]


def evidence(a, d, x=None, u=1e-10):
    """As the ledger would give it."""
    x = np.random.default_rng(12345).normal(size=d.shape) if x is None else x
    fail = np.abs(a - d) > 1e-6 * np.maximum(np.abs(a), np.abs(d)) + 1e-9
    axes = tuple(np.arange(length) for length in d.shape)
    by_axis = [tuple(i for i in range(d.ndim) if i != axis) for axis in range(d.ndim)]
    everywhere = np.ones(d.shape, dtype=bool)
    return Evidence(
        "W", d.shape, axes, a, d, np.full(d.shape, u), x, fail, everywhere, 1e-5, 1e-9,
        tuple(np.count_nonzero(fail, axis=others) for others in by_axis),
        tuple(np.count_nonzero(everywhere, axis=others) for others in by_axis),
    )  # fmt: skip


OPERATIONS = {
    "sign": lambda d: -d,
    "factor": lambda d: 2.5 * d,
    "transposed": lambda d: np.swapaxes(d, 0, 1).copy(),
    "flipped": lambda d: np.flip(d, 0).copy(),
    "shifted": lambda d: np.roll(d, 1, 0),
    "centred": lambda d: d - d.mean(0, keepdims=True),
    "cumulative": lambda d: np.cumsum(d, 0),
}


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(sorted(OPERATIONS)), n=st.integers(4, 9), more=st.integers(0, 1), seed=st.integers(0, 999))
def test_descriptions_of_random_arrays(kind, n, more, seed):
    """The description of least length is the operation that was applied."""
    d = np.random.default_rng(seed).normal(size=(n, n, 3)[: 2 + more])
    (found,) = diagnose(evidence(OPERATIONS[kind](d), d), {})

    assert found.kind == kind
    assert found.confidence == CERTAIN


def test_kinks_of_the_claim():
    """A claim outside the slopes beside a kink is told apart."""
    found = pardiff.gradcheck(lambda x: float(np.sum(np.abs(x))), np.array([2.0, 1.0]), np.array([0.0, 1.0])).findings

    assert found[0].kind == "kink"
    assert "--jitter" in found[0].message
