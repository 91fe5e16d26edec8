"""Gradients that invite a false description: what is said of them is true, or is not certain."""

import numpy as np
import pytest

import pardiff
from pardiff.comparison.gather import gather
from pardiff.comparison.verdicts import Tolerance
from pardiff.diagnosis.evidence import Evidence
from pardiff.diagnosis.finding import CERTAIN
from pardiff.diagnosis.rules import diagnose
from pardiff.problem.jitter import jitter
from pardiff.problem.named_arrays import named_arrays
from pardiff.problem.parsing import parse_x0
from pardiff.reporting.write import RENDERERS


def linear(d, claim, x0=None):
    """Findings on a claim, where the derivative is d."""
    x0 = np.random.default_rng(99).normal(size=d.shape) if x0 is None else x0
    result = pardiff.gradcheck(lambda w: d * w, claim, x0, terms=True)
    return [f for f in result.findings if f.array], result


def test_one_large_entry_hides_nothing():
    """Noise beside an entry of 1e6 is not called a matter of precision."""
    rng = np.random.default_rng(0)
    large = np.arange(400).reshape(20, 20) == 7
    d, claim = (np.where(large, 1e6, rng.normal(size=(20, 20))) for _ in range(2))

    assert linear(d, claim)[0][0].kind == "unstructured"


@pytest.mark.parametrize(("kind", "wrong"), [("zero", 0.0), ("sign", -1.0), ("factor", 2.0)])
@pytest.mark.parametrize("seed", range(4))
def test_random_masks(kind, wrong, seed):
    """Where a relation holds in no pattern, none is made up."""
    rng = np.random.default_rng(seed)
    d = rng.normal(size=(20, 20)) + 3
    mask = rng.random((20, 20)) < 0.5
    found, _ = linear(d, np.where(mask, wrong * d, d))

    assert (found[0].kind, found[0].where) == (kind, "x[where it fails]")


def test_all_means_all():
    """One factor in all arrays is told only where all have it."""
    a = np.random.default_rng(0).normal(size=4)
    x0 = {name: np.random.default_rng(i).normal(size=4) for i, name in enumerate("abc")}
    result = pardiff.gradcheck(
        lambda x: float(sum(a @ v for v in x.values())), {"a": 2 * a, "b": 2 * a, "c": a * np.nan}, x0
    )

    assert "common_factor" not in {f.kind for f in result.findings}


def test_only_what_passes_is_right():
    """Nothing is concluded from arrays that could not be evaluated."""
    a = np.random.default_rng(0).normal(size=6)
    x0 = {name: np.random.default_rng(i).normal(size=6) for i, name in enumerate("abc")}

    def fun(x):
        if not (x["c"] == x0["c"]).all():
            raise ValueError("no")
        return float(a @ x["a"] + a @ x["b"])

    result = pardiff.gradcheck(fun, {"a": 2 * a, "b": 3 * a, "c": a}, x0)

    assert "upstream" not in {f.kind for f in result.findings}


def test_a_sign_is_no_swap():
    """Of two descriptions of the same the one for each array is told."""
    a, b, t = np.random.default_rng(0).normal(size=(3, 6))

    def grad(x):
        r = x["a"] - x["b"] - t
        return {"a": -2 * r, "b": 2 * r}

    result = pardiff.gradcheck(lambda x: float(np.sum((x["a"] - x["b"] - t) ** 2)), grad, {"a": a, "b": b})

    assert {f.kind for f in result.findings} == {"common_factor", "sign"}


@pytest.mark.parametrize("size", [1e-300, 1e-180, 1e200, 1.5e308])
def test_extreme_claims(size):
    """Any size has a report of each kind, and no nan in a sentence."""
    d = np.random.default_rng(0).normal(size=(3, 4))
    found, result = linear(d, np.random.default_rng(1).uniform(0.5, 1, (3, 4)) * size)

    assert result.verdict.name == "FAIL"
    assert found
    assert " nan" not in found[0].message
    for render in RENDERERS.values():
        assert render(result.summary)


def test_what_is_not_finite_is_told_too():
    """Beside entries that fail."""
    d = np.random.default_rng(0).normal(size=6)
    claim = 2 * d
    claim[2] = np.inf
    found, _ = linear(d, claim)

    assert [f.kind for f in found] == ["factor", "nonfinite"]
    assert "x[2]" in found[1].message


def test_a_constant_claim():
    """It is no multiple of the derivative."""
    found, _ = linear(np.random.default_rng(0).normal(size=6), np.full(6, 3.0))

    assert "is 3 everywhere, whatever the derivative is" in found[0].message


def test_equal_numbers_have_no_order():
    """Random signs are not called a permutation."""
    rng = np.random.default_rng(0)
    found, _ = linear(rng.choice([-2.0, -1.0, 1.0, 2.0], (8, 8)), rng.choice([-2.0, -1.0, 1.0, 2.0], (8, 8)))

    assert "permuted" not in {f.kind for f in found}


class Large:
    """What of a ledger a sample of a large array is gathered from."""

    def __init__(self, a, d):
        self.a, self.d = a.reshape(-1), d.reshape(-1)
        self.verdict = np.where(np.abs(self.a - self.d) > 1e-6 * np.abs(self.d), 2, 1).astype(np.int8)

    @property
    def ledger(self):
        return self

    tolerance = Tolerance(1e-6, 0.0)

    def rms(self, array):
        return 1.0

    def parameters(self, leaf):
        return np.zeros(leaf.shape)

    def parts(self):
        for start in range(0, len(self.a), 100_000):
            some = slice(start, start + 100_000)
            yield start, self.a[some], self.d[some], np.full(len(self.a[some]), 1e-12), self.verdict[some]

    def diagnosis(self, shape):
        space, _ = parse_x0({"W": np.zeros(shape, np.float32)})
        evidence = gather(self, named_arrays(space, None)[0], self.parts, 1 << 14, {})
        assert isinstance(evidence, Evidence)
        assert evidence.a.size <= 1 << 14
        return diagnose(evidence, {})


LARGE = {
    "sign": (lambda d: -d, ""),
    "transposed": (lambda d: d.T, ""),
    "flipped": (lambda d: d[::-1], ""),
    "shifted": (lambda d: np.roll(d, 1, 0), ""),
    "zero": (lambda d: np.where(np.arange(1000)[:, None] == 777, 0.0, d), "W[777, :]"),
    "factor": (lambda d: np.where(np.arange(1000) >= 990, 3 * d, d), "W[:, 990:]"),
    "absolute": (lambda d: np.where(block(1000), np.abs(d), d), "W[100:200, 300:400]"),
}


def block(n):
    i = np.arange(n)
    return ((i >= 100) & (i < 200))[:, None] & ((i >= 300) & (i < 400))


@pytest.mark.parametrize("kind", LARGE)
def test_samples_of_large_arrays(kind):
    """A million entries are looked at in sixteen thousand, and the same is said."""
    operation, where = LARGE[kind]
    d = np.random.default_rng(0).normal(size=(1000, 1000))
    found = Large(np.ascontiguousarray(operation(d)), d).diagnosis((1000, 1000))[0]

    assert (found.kind, found.confidence) == (kind, CERTAIN)
    assert found.where == where


@pytest.mark.parametrize(
    ("x", "bounds", "amount"),
    [
        (np.ones(6), (1.0, 1.01), 0.1),
        (np.full(4, 0.5), (0.49, 0.51), 0.1),
        (np.full(4, 2.0, np.float16), None, 1e-4),
        (np.full(4, 6e4, np.float16), None, 0.5),
        (np.full(4, 1e308), None, 1.0),
    ],
)
def test_jitter_moves_everything_that_can_move(x, bounds, amount):
    """Also beside bounds, in few digits, and at the largest numbers."""
    space, arrays = parse_x0(x)
    both = None if bounds is None else tuple(np.full(len(x), side) for side in bounds)
    jitter(space, arrays, amount, (1.0,), both, 0)

    assert np.all(arrays[0] != x)
    assert np.isfinite(arrays[0]).all()
    assert bounds is None or np.all((arrays[0] >= bounds[0]) & (arrays[0] <= bounds[1]))


@pytest.mark.parametrize("claim", [0.5, -2.0])
def test_a_scalar_that_fun_does_not_use(claim):
    """There is no ratio to zero."""
    result = pardiff.gradcheck(lambda x: 1.0 + 0.0 * float(x), np.float64(claim), np.float64(0.3))
    found = next(f for f in result.findings if f.array)

    assert "nan" not in found.message
    assert "than the derivative" in found.message
