"""Functions that were found to mislead a gradient checker, and must not any more."""

import math

import numpy as np
import pytest

import pardiff

FIRST_STEP = (3 * 2.0**-52) ** (1 / 3)
"""The first step of a search at x = 1."""


def single(value):
    return float(np.float32(value))


COARSE = {
    "cancelling terms": (lambda v: math.sin(v[0]) + ((1e12 + math.sin(v[1])) - 1e12), math.cos(0.3)),
    "rounded": (lambda v: math.sin(v[0]) + round(0.1 * math.sin(v[1]), 3), 0.1 * math.cos(0.3)),
    "float32 within": (lambda v: math.sin(v[0]) + single(1e6 + single(math.sin(v[1]))) - 1e6, math.cos(0.3)),
}


@pytest.mark.parametrize("name", COARSE)
@pytest.mark.parametrize("refine", ["auto", "all"])
def test_coarse_values_are_not_flat_ones(name, refine):
    """Values too coarse to move at a small step are no derivative of 0: right does not fail, 0 does not pass."""
    fun, derivative = COARSE[name]
    x0 = np.array([0.5, 0.3])
    right = pardiff.gradcheck(fun, np.array([math.cos(0.5), derivative]), x0, refine=refine)
    wrong = pardiff.gradcheck(fun, np.array([math.cos(0.5), 0.0]), x0, refine=refine)

    assert right.counts["fail"] == 0
    assert wrong.verdict is not pardiff.Verdict.PASS


def test_a_unit_that_is_off_passes():
    """Below a threshold fun is flat as well, and a derivative of 0 is right."""
    result = pardiff.gradcheck(
        lambda v: float(v[0] ** 2 + max(0.0, v[1] - 1.1) ** 2 + max(0.0, 3 * v[2] - 0.4)),
        lambda v: np.array([2 * v[0], 0.0, 0.0]),
        np.array([1.0, 1.0, 0.1]),
    )

    assert result.passed


def test_dead_parameters_cost_little():
    """A parameter that fun does not depend on takes 4 passes, and passes with a derivative of 0."""
    result = pardiff.gradcheck(
        lambda v: float(np.sum(np.sin(v[:5]))), lambda v: np.cos(v) * (np.arange(50) < 5), np.ones(50)
    )

    assert result.passed
    assert result.nfev - result.ledger.info.baseline.nfev == 5 * 2 + 45 * 4


@pytest.mark.parametrize("speed", [math.pi / FIRST_STEP, 2 * math.pi * 2**17, math.pi * 2**17])
@pytest.mark.parametrize("claim", [1.0, 2.0])
def test_waves_that_fit_the_steps(speed, claim):
    """An oscillation whose roots are the points of a stencil is seen at other steps."""
    result = pardiff.gradcheck(
        lambda v: float(v[0] + np.sin(speed * (v[0] - 1)) / speed), np.array([claim]), np.array([1.0]), refine="all"
    )

    assert result.verdict.name in (("PASS", "INCONCLUSIVE") if claim == 2.0 else ("FAIL", "INCONCLUSIVE"))


@pytest.mark.parametrize("x", [1e-8, 1e-14, 1e-30, 1e-300])
def test_tiny_parameters_with_a_scale_of_their_own(x):
    """A function that varies on the scale of a tiny parameter is not taken for noise."""
    result = pardiff.gradcheck(lambda v: float(np.sin(v[0] / x)), np.array([math.cos(1.0) / x]), np.array([x]))

    assert result.passed


def relu_network(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=8).astype(np.float32)
    shapes = {"W": (3, 4), "b": 4, "v": 4}
    x0 = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}

    def fun(p):
        return np.mean((np.maximum(X @ p["W"] + p["b"], 0) @ p["v"] - y) ** 2)

    def grad(p):
        W, b, v = (p[name].astype(float) for name in shapes)
        z = X.astype(float) @ W + b
        error = 2 * (np.maximum(z, 0) @ v - y) / 8
        delta = np.outer(error, v) * (z > 0)
        return {"W": X.T.astype(float) @ delta, "b": delta.sum(axis=0), "v": np.maximum(z, 0).T @ error}

    return fun, grad, x0


@pytest.mark.parametrize("refine", ["auto", "all"])
def test_kinks_within_a_step_of_float32(refine):
    """Of relu networks in float32, whose steps are long and cross kinks, no right gradient fails."""
    counts = [pardiff.gradcheck(*relu_network(seed), refine=refine).counts["fail"] for seed in range(60)]

    assert not any(counts)


def test_complex_steps_and_a_small_penalty():
    """An L1 penalty of 1e-3 of the loss, which the complex step does not see, is refused."""
    rng = np.random.default_rng(1)
    A, y, w = rng.normal(size=(50, 10)), rng.normal(size=50), rng.normal(size=10)

    for weight in (0.03, 1e-3, 1e-5):
        with pytest.raises(pardiff.InputError, match="not analytic"):
            pardiff.gradcheck(
                lambda w, weight=weight: np.sum((A @ w - y) ** 2) + weight * np.sum(np.abs(w)),
                lambda w: 2 * A.T @ (A @ w - y),
                w,
                method="complex",
            )


def test_complex_steps_stay_within_bounds():
    """Real points that the check of the complex step needs lie within the bounds."""
    seen = []
    for lower, upper in ((1.0, 1 + 1e-9), (1 - 1e-12, 2.0), (0.0, 2.0)):
        pardiff.gradcheck(
            lambda v: seen.append((lower, float(np.real(v[0])), upper)) or v[0] ** 2,  # noqa: B023
            np.array([2.0]),
            np.array([1.0]),
            bounds=(lower, upper),
            method="complex",
        )

    assert all(low <= x <= high for low, x, high in seen)


def test_fun_that_raises_on_one_side():
    """Where fun raises on one side of x, the search turns to the other."""
    result = pardiff.gradcheck(
        lambda v: math.sqrt(v[0] - 1) ** 3 + v[0] + v[1], np.array([1.0, 1.0]), np.array([1.0, 2.0]), rtol=1e-3
    )

    assert result.passed
    assert "error" not in {finding.kind for finding in result.findings}


def test_rare_noise_is_not_the_fault_of_grad():
    """A fun that is random now and then is not deterministic; grad is blamed for nothing."""
    values = iter([1.0, 1.0, *(np.random.default_rng(0).normal(size=1000) * 1e-3 + 1.0)])
    result = pardiff.gradcheck(lambda v: next(values), lambda v: np.zeros(3), np.ones(3))

    assert {finding.kind for finding in result.findings} >= {"nondeterministic"}


@pytest.mark.parametrize(
    "options",
    [
        {"seed": -1},
        {"method": np.array(["central", "forward"])},
        {"order": np.array([2, 4])},
        {"stencil": range(10**12)},
        {"stencil": [[1, 2]]},
        {"progress": 3},
        {"store": ""},
        {"store": 3},
        {"bounds": ([1, [2]], 3)},
        {"bounds": (1, 0)},
        {"bounds": ("a", "b")},
        {"bounds": [(0, 2), (0, 3)]},
        {"typical": {"x": "large"}},
    ],
    ids=str,
)
def test_bad_options_are_one_sentence(options):
    """Whatever is given as an option, the answer is a sentence that names it."""
    name = next(iter(options))
    with pytest.raises(pardiff.InputError, match=name) as caught:
        pardiff.gradcheck(lambda x: float(x @ x), lambda x: 2 * x, np.ones(2), **options)

    assert len(str(caught.value)) < 400


def test_huge_typical_sizes():
    """A typical size beyond all others is no error."""
    result = pardiff.gradcheck(lambda v: float(np.sin(v[0])), np.array([1.5]), np.array([0.0]), typical=1e12)

    assert result.counts["pass"] == 0


@pytest.mark.parametrize("method", ["central", "forward"])
@pytest.mark.parametrize("factor", [-1.0, 1.002, 1.0])
def test_clear_cases_are_decided(method, factor):
    """A wrong sign and an error of 0.2 % fail at (nearly) every point of an ordinary function; what is right passes."""
    points = np.random.default_rng(1).uniform(0.2, 6, 60)
    claim = np.cos(points) * factor
    counts = pardiff.gradcheck(lambda x: float(np.sum(np.sin(x))), claim, points, method=method).counts

    assert counts["pass" if factor == 1.0 else "fail"] >= 59
    assert counts["fail" if factor == 1.0 else "pass"] == 0


@pytest.mark.parametrize("threshold", np.linspace(0.01, 0.3, 15))
def test_units_that_are_off_at_any_distance(threshold):
    """Wherever its threshold lies, a unit that is off has a derivative of 0."""
    result = pardiff.gradcheck(
        lambda v: float(v[0] ** 2 + 2 * max(0.0, v[1] - 1 - threshold)), np.array([2.0, 0.0]), np.ones(2)
    )

    assert result.passed


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_that_fun_does_not_use(dtype):
    """Where fun does not change by a bit, 0 is right, without a tolerance, and anything else is not."""
    x0 = {"used": np.ones(3, dtype), "unused": np.ones(4, dtype)}
    for claim, verdict in ((0.0, "PASS"), (1e-3, "FAIL")):
        result = pardiff.gradcheck(
            lambda p: np.sum(np.sin(p["used"]), dtype=dtype),
            lambda p, claim=claim: {"used": np.cos(p["used"]), "unused": np.full(4, claim)},
            x0,
        )
        assert result.verdict.name == verdict


@pytest.mark.parametrize("x", [1e-3, 1e-6, 1e-9, 1e-12, 0.0])
def test_just_above_a_bound(x):
    """However near a bound is on one side, the other has room."""
    result = pardiff.gradcheck(lambda v: float(np.exp(v[0])), np.exp, np.array([x]), bounds=(0, np.inf))

    assert result.passed


@pytest.mark.parametrize("x", [1e13, 1e15, 1e17, 1e30])
def test_a_sine_beyond_the_numbers(x):
    """Where neighbouring numbers are periods apart, nothing can be said of a derivative."""
    x0 = np.array([x, 1.0])
    for claim in (np.cos, lambda v: -np.cos(v)):
        assert pardiff.gradcheck(lambda v: float(np.sum(np.sin(v))), claim, x0).verdict is not pardiff.Verdict.PASS
    assert pardiff.gradcheck(lambda v: float(np.sum(np.sin(v))), np.cos, x0).counts["fail"] == 0


@pytest.mark.parametrize("speed", [1e9, 1e11, 1e13])
def test_a_sine_faster_than_any_step(speed):
    """It looks like noise, and noise of fun's own size refutes nothing."""
    result = pardiff.gradcheck(
        lambda v: float(np.sum(np.sin(speed * v))), lambda v: speed * np.cos(speed * v), np.array([0.3, 1.0])
    )

    assert result.counts["fail"] == 0


@pytest.mark.parametrize("x", [1e6, 1e8, 1e10])
def test_a_sine_beyond_float32(x):
    """The same in parameters of float32, for a fun that computes in float64."""
    x0 = np.array([x, 1.0], dtype=np.float32)
    result = pardiff.gradcheck(lambda v: float(np.sum(np.sin(v.astype(float)))), lambda v: np.cos(v.astype(float)), x0)

    assert result.counts["fail"] == 0


def test_complex_values_away_from_x0():
    """NumPy would drop the imaginary part with a warning."""
    result = pardiff.gradcheck(
        lambda x: float(x.sum()) if (x == 1).all() else np.complex128(x.sum() + 5j), np.ones_like, np.ones(4)
    )

    assert result.counts["error"] == 4
    assert "fun returned a complex number" in str(result)
