"""Vector outputs by cotangents: a pullback against numerical differentiation."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pardiff

RNG = np.random.default_rng(0)
A = RNG.normal(size=(6, 4))
X = RNG.normal(size=4)


def fun(x):
    return np.tanh(A @ x)


def pullback(x, u):
    return A.T @ (u * (1 - np.tanh(A @ x) ** 2))


def layers(p):
    """Two outputs of two arrays, of which the second depends on one alone."""
    hidden = np.tanh(A @ p["W"])
    return {"scores": hidden @ p["head"]["v"], "penalty": (p["W"] ** 2).sum()}


def layers_pullback(p, u):
    hidden = np.tanh(A @ p["W"])
    inner = np.outer(u["scores"], p["head"]["v"]) * (1 - hidden**2)
    return {"W": A.T @ inner + 2 * u["penalty"] * p["W"], "head": {"v": hidden.T @ u["scores"]}}


P = {"W": RNG.normal(size=(4, 3)), "head": {"v": RNG.normal(size=3)}}


def jacobian(x):
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


def test_products_are_those_of_the_jacobian():
    """Each numerical derivative is the product of a cotangent with the Jacobian, within its bar."""
    used = []

    def keeping(x, u):
        used.append(np.array(u))
        return pullback(x, u)

    result = pardiff.gradcheck(fun, vjp=keeping, x0=X, probes=5)
    exact = np.array(used[:5]) @ jacobian(X)

    assert result.passed
    assert result.numerical.shape == (5, 4)
    assert (np.abs(result.numerical - exact) <= result.uncertainty).all()
    np.testing.assert_allclose(result.analytical, exact, rtol=1e-14)


@pytest.mark.parametrize("probes", [1, 3, 40])
def test_passes_do_not_depend_on_the_cotangents(probes):
    """They share the passes of a coordinate: two each."""
    calls = []

    def counted(x):
        calls.append(1)
        return np.tanh(A @ x)

    result = pardiff.gradcheck(counted, vjp=pullback, x0=X, probes=probes)

    assert result.nfev == len(calls)
    assert np.all(result.nfev_by_entry == 2)


def test_passes_of_searches_are_shared():
    """Where all entries are searched, all cotangents of a line still share its passes."""
    calls = []

    def counted(x):
        calls.append(1)
        return np.tanh(A @ x)

    few, many = (
        pardiff.gradcheck(counted, vjp=lambda x, u: 1.1 * pullback(x, u), x0=X, probes=probes) for probes in (1, 30)
    )

    assert (few.counts["fail"], many.counts["fail"]) == (4, 120)
    assert few.nfev + many.nfev == len(calls)
    assert many.nfev_by_entry.max() < 2.5 * few.nfev_by_entry.max()


def test_outputs_and_inputs_are_named():
    """A fault at one output and one array fails that pair alone, and is named so."""

    def wrong(p, u):
        found = layers_pullback(p, u)
        found["W"] += 2 * u["penalty"] * p["W"]
        return found

    result = pardiff.gradcheck(layers, vjp=wrong, x0=P)

    assert {array.name: array.verdict.name for array in result.arrays} == {
        "scores / W": "PASS", "scores / head/v": "PASS", "penalty / W": "FAIL", "penalty / head/v": "PASS",
    }  # fmt: skip
    assert result.verdicts["penalty"]["W"].shape == (3, 4, 3)
    assert np.all(result.verdicts["scores"]["head"]["v"] == "pass")
    finding = next(finding for finding in result.findings if finding.array)
    assert (finding.array, finding.kind) == ("penalty / W", "factor")
    assert result.worst(1)[0].label.startswith("penalty·u")
    assert "penalty / W" in str(result)
    assert "penalty / W" in result.to_html()


FAULTS = {
    "cotangent": lambda x, u: A.T @ (1 - np.tanh(A @ x) ** 2),
    "sign": lambda x, u: -pullback(x, u),
    "factor": lambda x, u: 2 * pullback(x, u),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_causes_are_named(kind):
    """Among them a pullback that ignores its cotangent."""
    result = pardiff.gradcheck(fun, vjp=FAULTS[kind], x0=X)

    assert result.verdict is pardiff.Verdict.FAIL
    assert result.counts["fail"] == 12
    assert result.findings[0].kind == kind


def test_a_fault_at_one_output_element():
    """Random cotangents see a wrong row of the Jacobian, however small its share."""
    n, m = 5, 400
    B = np.random.default_rng(1).normal(size=(m, n))

    def wrong(x, u):
        u = u.copy()
        u[217] = 0
        return B.T @ (u * np.cos(B @ x))

    right = pardiff.gradcheck(lambda x: np.sin(B @ x), vjp=lambda x, u: B.T @ (u * np.cos(B @ x)), x0=np.ones(n))
    result = pardiff.gradcheck(lambda x: np.sin(B @ x), vjp=wrong, x0=np.ones(n))

    assert right.passed
    assert result.counts["fail"] == 15


@pytest.mark.cluster
@pytest.mark.parametrize("executor", ["threads", "client", map])
@pytest.mark.parametrize("stored", [False, True])
def test_same_bits_everywhere(executor, stored, embedded, tmp_path):
    """On every executor, in blocks of any size, in memory and in a store that is resumed."""
    problem = pardiff.Problem(layers, vjp=lambda p, u: like(layers_pullback(p, u), 1.01), x0=P)
    plain = pardiff.gradcheck(problem)
    options = {"executor": embedded.client if executor == "client" else executor, "block_size": 2}
    if stored:
        options["store"] = tmp_path / "audit"
    for _ in range(2 if stored else 1):
        other = pardiff.gradcheck(problem, **options)
        for quantity in ("numerical", "uncertainty", "margin", "analytical", "verdicts", "nfev_by_entry"):
            for output in ("scores", "penalty"):
                one, two = (getattr(result, quantity)[output]["W"] for result in (plain, other))
                assert one.tobytes() == two.tobytes(), quantity
    assert other.counts == plain.counts
    assert other.counts["fail"] == 3 * (12 + 3 + 12)


def like(found, factor):
    return {"W": factor * found["W"], "head": {"v": factor * found["head"]["v"]}}


def test_a_store_holds_pairs(tmp_path):
    """Arrays by name are numerical/<out>/<in>, with an axis of cotangents first, and xarray reads them."""
    result = pardiff.gradcheck(layers, vjp=layers_pullback, x0=P, store=tmp_path / "audit")
    again = pardiff.open_result(tmp_path / "audit")
    tree = result.to_xarray()

    assert tree["numerical/scores/W"].dims == ("scores.cotangent", "W.axis0", "W.axis1")
    assert tree["verdict/penalty/head/v"].shape == (3, 3)
    np.testing.assert_array_equal(tree["numerical/scores/W"], result.numerical["scores"]["W"])
    np.testing.assert_array_equal(again.numerical["scores"]["W"], result.numerical["scores"]["W"])
    memory = pardiff.gradcheck(layers, vjp=layers_pullback, x0=P).to_xarray()
    assert memory["numerical/scores/W"].dims == tree["numerical/scores/W"].dims


def test_a_mended_pullback_is_compared_with_stored_passes(tmp_path):
    """The passes are kept; the analytical side is evaluated anew."""
    store = tmp_path / "audit"
    first = pardiff.gradcheck(fun, vjp=lambda x, u: 3 * pullback(x, u), x0=X, store=store)
    calls = []

    def same(x):
        calls.append(1)
        return np.tanh(A @ x)

    same.__name__ = "fun"
    second = pardiff.gradcheck(fun, vjp=pullback, x0=X, store=store)

    assert (first.verdict.name, second.verdict.name) == ("FAIL", "PASS")
    assert second.nfev == first.nfev


def test_the_command_line_knows_outputs(tmp_path, command):
    """run, status --verify, show, reconcile, diff and a sweep of one entry."""
    (tmp_path / "job.py").write_text(
        "import numpy as np, pardiff\n"
        "A = np.arange(12.0).reshape(4, 3) / 10\n"
        "@pardiff.problem\n"
        "def job():\n"
        "    return pardiff.Problem(lambda x: {'a': np.sin(A @ x), 'b': x.sum()}, x0=np.ones(3), order=4,\n"
        "        vjp=lambda x, u: A.T @ (u['a'] * np.cos(A @ x)) + 2 * u['b'])\n"
    )
    done = command("run", "job.py", "--workers", "0", "--out", "out", "--probes", "2")
    assert done.returncode == 1, done.stderr
    assert re.search(r"b / x +2×3 +FAIL", done.stdout)
    assert command("status", "out/job", "--verify").returncode == 0
    assert "sweep" not in command("show", "out/job").stderr
    label = pardiff.open_result(tmp_path / "out" / "job").worst(1)[0].label
    assert label in command("show", "out/job", "--sweep", label).stdout
    other = command("show", "out/job", "--sweep", "a·u1 / x[2]", "--target", "job.py")
    assert "a·u1 / x[2]: analytical" in other.stdout, other.stderr
    assert command("reconcile", "out/job", "--rtol", "3").returncode == 0
    assert "rtol: 1e-06 has become 3" not in command("diff", "out/job", "out/job").stdout


SHAPES = {
    "scalar": (lambda x: float(x @ x), lambda x, u: 2 * u * x),
    "0-d": (lambda x: np.array(x @ x), lambda x, u: 2 * u * x),
    "one": (lambda x: np.array([x @ x]), lambda x, u: 2 * u[0] * x),
    "matrix": (lambda x: np.outer(x, x), lambda x, u: (u + u.T) @ x),
    "tuple": (lambda x: (x**2, [x.sum()]), lambda x, u: 2 * u[0] * x + u[1][0]),
    "list of floats": (lambda x: [float(x[0]), float(x @ x)], lambda x, u: u[0] * np.eye(4)[0] + 2 * u[1] * x),
    "an empty output": (lambda x: {"a": x**2, "b": np.zeros(0)}, lambda x, u: 2 * u["a"] * x),
    "a constant output": (lambda x: {"a": x**2, "b": np.ones(3)}, lambda x, u: 2 * u["a"] * x),
    "an output that is zero": (lambda x: {"a": x**2, "b": x - X}, lambda x, u: 2 * u["a"] * x + u["b"]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_outputs_of_any_structure(name):
    """u has the structure, shapes and dtypes of fun's value."""
    function, vjp = SHAPES[name]
    value, seen = function(X), []

    def watched(x, u):
        seen.append(u)
        return vjp(x, u)

    result = pardiff.gradcheck(function, vjp=watched, x0=X)

    assert result.passed, str(result)
    assert str(shapes_of(seen[0])) == str(shapes_of(value))
    assert pardiff.gradcheck(function, vjp=lambda x, u: 1.01 * vjp(x, u), x0=X).verdict is pardiff.Verdict.FAIL


def shapes_of(value):
    if isinstance(value, dict):
        return {key: shapes_of(item) for key, item in value.items()}
    if isinstance(value, tuple) or (isinstance(value, list) and any(isinstance(item, np.ndarray) for item in value)):
        return [shapes_of(item) for item in value]
    return np.shape(value)


def test_methods():
    """One-sided, of high order, extrapolated, and by the complex step."""
    for options in ({"order": 6}, {"method": "forward", "order": 3}, {"method": "richardson"}, {"refine": "all"}):
        assert pardiff.gradcheck(layers, vjp=layers_pullback, x0=P, **options).passed, options
    exact = pardiff.gradcheck(fun, vjp=pullback, x0=X, method="complex")
    assert exact.passed
    assert exact.arrays[0].certified_rtol < 1e-12
    assert np.all(exact.nfev_by_entry == 1)
    wrong = pardiff.gradcheck(fun, vjp=lambda x, u: pullback(x, u) * 1.001, x0=X, method="complex")
    assert wrong.counts["fail"] == 12


def test_short_outputs():
    """An output in float32 has cotangents in float32 and a looser default tolerance; it fails no right pullback."""
    seen = []

    def vjp(x, u):
        seen.append(u.dtype)
        return pullback(x, u.astype(float))

    result = pardiff.gradcheck(lambda x: fun(x).astype(np.float32), vjp=vjp, x0=X)

    assert set(seen) == {np.dtype(np.float32)}
    assert result.counts["fail"] == 0
    assert result.summary.settings.rtol == 1e-3


def test_noise_of_one_output_does_not_blur_another():
    """Bars are those of each output: where one is noisy, the others are as sharp as before."""

    def noisy(x):
        return {"clean": np.tanh(A @ x), "noisy": np.round(np.tanh(A @ x), 7)}

    def vjp(x, u):
        return pullback(x, u["clean"]) + pullback(x, u["noisy"])

    result = pardiff.gradcheck(noisy, vjp=vjp, x0=X)
    arrays = {array.name: array for array in result.arrays}

    assert arrays["clean / x"].verdict is pardiff.Verdict.PASS
    assert arrays["clean / x"].certified_rtol < 1e-7
    assert result.counts["fail"] == 0
    assert result.uncertainty["noisy"].min() > 100 * result.uncertainty["clean"].max()


def test_values_that_differ_from_call_to_call():
    """A random fun is reported, and fails no right pullback."""
    rng = np.random.default_rng(2)
    result = pardiff.gradcheck(lambda x: fun(x) + 1e-7 * rng.normal(size=6), vjp=pullback, x0=X)

    assert result.counts["fail"] == 0
    assert not result.passed
    assert result.findings[0].kind == "nondeterministic"


def test_kinks_and_bounds():
    """At a kink between two slopes an entry is no failure; fun is never evaluated outside of the bounds."""
    x0 = np.array([0.0, 1.0])
    seen = []

    def relu(x):
        seen.append(x.copy())
        return np.maximum(x, 0.0)

    result = pardiff.gradcheck(relu, vjp=lambda x, u: u * (x > 0), x0=x0, bounds=(-1.0, 1.0))

    assert result.counts["kink"] == 3
    assert result.counts["pass"] == 3
    assert np.max(seen) <= 1.0


def test_a_fun_that_raises_or_is_not_finite():
    """Costs the entries of that parameter alone, of all cotangents."""

    def poisoned(x):
        if x[1] != X[1]:
            raise ValueError("poison")
        return np.tanh(A @ x)

    result = pardiff.gradcheck(poisoned, vjp=pullback, x0=X)
    assert (result.counts["error"], result.counts["pass"]) == (3, 9)
    assert "at x[1] fun raised ValueError: poison" in str(result)

    def infinite(x):
        return np.where(x[1] != X[1], np.inf, 1.0) * np.tanh(A @ x)

    assert pardiff.gradcheck(infinite, vjp=pullback, x0=X).counts["nonfinite"] == 3


BAD = {
    "a fun of strings": (lambda x: "text", pullback, "expected an array"),
    "None": (lambda x: None, pullback, "got NoneType"),
    "complex outputs": (lambda x: x * 1j, pullback, "dtype complex128"),
    "not finite": (lambda x: x * np.nan, pullback, "is not finite"),
    "nothing": (lambda x: np.zeros(0), pullback, "no elements"),
    "vjp of another shape": (fun, lambda x, u: np.ones(3), "vjp: array 'x' has shape (3,)"),
    "vjp of None": (fun, lambda x, u: None, "vjp returned None"),
    "vjp of one argument": (fun, lambda x: x, "vjp raised at x0: TypeError"),
    "vjp that writes to x": (fun, lambda x, u: x.__imul__(2), "changed its argument"),
    "no vjp at all": (fun, None, "if its derivative is a pullback, give vjp="),
    "vjp that is no function": (fun, 3, "vjp: got int"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_problems_are_one_sentence(name):
    """What cannot be used is said before anything is evaluated at length."""
    function, vjp, said = BAD[name]
    with pytest.raises(pardiff.InputError) as caught:
        pardiff.gradcheck(function, vjp=vjp, x0=X)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", [{"grad": pullback}, {"terms": True}, {"batch_fun": fun}])
def test_what_belongs_to_losses_is_refused_beside_a_vjp(other):
    """A pullback belongs to a fun with outputs."""
    with pytest.raises(pardiff.InputError, match="vjp: got one beside"):
        pardiff.gradcheck(fun, vjp=pullback, x0=X, **other)


def test_a_shape_that_changes():
    """An output that has another shape away from x0 is an error of that entry, with the reason."""
    result = pardiff.gradcheck(lambda x: x[: 4 if x[2] == X[2] else 3] ** 2, vjp=lambda x, u: 2 * x * u, x0=X)

    assert result.counts["error"] == 3
    assert "shapes must not change" in str(result)


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_linear_maps(n, m, probes, seed):
    """Of random linear maps the right pullback passes, and one with a wrong element fails where it is."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(m, n)) + 0.1
    x0 = rng.normal(size=n)
    wrong = matrix.copy()
    j = int(rng.integers(n))
    wrong[int(rng.integers(m)), j] += 1.0
    right = pardiff.gradcheck(lambda x: matrix @ x, vjp=lambda x, u: matrix.T @ u, x0=x0, probes=probes, seed=seed)
    found = pardiff.gradcheck(lambda x: matrix @ x, vjp=lambda x, u: wrong.T @ u, x0=x0, probes=probes, seed=seed)

    assert right.counts["fail"] == 0
    assert right.passed
    fails = np.argwhere(found.verdicts == "fail")
    assert set(fails[:, 1].tolist()) <= {j}
    assert len(fails) >= 1


def test_other_seeds_draw_other_cotangents():
    """And the same seed the same ones."""
    one, same, other = (pardiff.gradcheck(fun, vjp=pullback, x0=X, seed=seed) for seed in (1, 1, 2))

    assert np.array_equal(one.numerical, same.numerical)
    assert not np.allclose(one.numerical, other.numerical)


def test_budgets():
    """What a budget does not reach is missing, for all cotangents of a parameter."""
    B = np.random.default_rng(3).normal(size=(5, 200))
    result = pardiff.gradcheck(
        lambda x: np.sin(B @ x), vjp=lambda x, u: B.T @ (u * np.cos(B @ x)), x0=np.ones(200), budget=200, block_size=10
    )

    assert result.exit_status == 4
    assert result.counts["missing"] % 30 == 0
    assert 0 < result.counts["pass"] < 600


def test_plans():
    """A plan knows how many numbers a vjp keeps."""
    loss = pardiff.plan(pardiff.Problem(lambda x: float(x @ x), lambda x: 2 * x, np.ones(100)))
    products = pardiff.plan(pardiff.Problem(fun, vjp=pullback, x0=X, probes=7))

    assert products.passes == 8
    assert products.bytes / 4 == 7 * loss.bytes / 100


def inverse_vjp(x, u):
    return -np.linalg.inv(x).T @ u @ np.linalg.inv(x).T


@pytest.mark.parametrize("seed", range(20))
def test_noise_of_outputs_is_not_made_small_by_a_large_derivative(seed):
    """Inverses of ill-conditioned matrices have noise far above rounding; a right product of them does not fail."""
    x0 = np.ones((2, 2)) + 1e-3 * np.random.default_rng(seed).normal(size=(2, 2))

    assert pardiff.gradcheck(np.linalg.inv, vjp=inverse_vjp, x0=x0).verdict is not pardiff.Verdict.FAIL


ROUND = np.arange(1.0, 6.0)
SHORT_AT_X0 = {
    "outputs": {"fun": lambda x: x**2, "vjp": lambda x, u: 2.001 * x * u},
    "terms": {"fun": lambda x: x**2, "grad": lambda x: 2.001 * x, "terms": True},
    "a constant output": {
        "fun": lambda x: {"y": np.exp(x / 7), "index": np.arange(5.0)},
        "vjp": lambda x, u: u["y"] * np.exp(x / 7) / 7 * 1.0005,
    },
}


@pytest.mark.parametrize("name", SHORT_AT_X0)
def test_round_numbers_at_x0_are_no_single_precision(name):
    """Outputs and terms that happen to be numbers of float32 at x0 do not loosen the tolerance."""
    result = pardiff.gradcheck(x0=ROUND, **SHORT_AT_X0[name])

    assert result.verdict is pardiff.Verdict.FAIL
    assert not [finding for finding in result.findings if finding.kind == "precision"]


def test_outputs_computed_in_single_precision_are_found():
    """Whatever dtype they are returned in."""
    result = pardiff.gradcheck(
        lambda x: (np.sin(x.astype(np.float32)) ** 2).astype(float),
        vjp=lambda x, u: 2 * np.sin(x) * np.cos(x) * u,
        x0=ROUND + 0.1,
    )

    assert result.verdict is not pardiff.Verdict.FAIL
    assert [finding.kind for finding in result.findings].count("precision") == 1


def test_an_audit_does_not_go_on_after_outputs_changed_their_sign(tmp_path):
    """The number by which outputs are known again tells signs apart."""
    data = {"sign": 1.0}

    def helper(x):
        return data["sign"] * (np.sin(x) - np.arange(3.0))

    problem = pardiff.Problem(lambda x: helper(x), vjp=lambda x, u: u * np.cos(x), x0=np.array([0.3, 0.7, 1.1]))
    pardiff.gradcheck(problem, store=tmp_path / "a")
    data["sign"] = -1.0
    with pytest.raises(pardiff.FingerprintError, match="another value of fun at x0"):
        pardiff.gradcheck(problem, store=tmp_path / "a")


@pytest.mark.parametrize(("dtype", "size"), [("f2", 1e-6), ("f2", 1e-7), ("f2", 6e4), ("f4", 1e-39), ("f4", 1e38)])
def test_cotangents_are_numbers_of_the_outputs_dtype(dtype, size):
    """Outputs near the ends of the range of their dtype get finite cotangents, and no false verdict."""
    x0 = np.array([0.3, 0.7, 0.9])
    result = pardiff.gradcheck(
        lambda x: (size * x).astype(dtype), vjp=lambda x, u: size * u.astype(float), x0=x0, refine="auto"
    )

    assert np.isfinite(result.cotangents).all()
    assert (result.cotangents != 0).all()
    assert result.verdict is not pardiff.Verdict.FAIL
    assert result.counts["nonfinite"] == 0


NONLINEAR = {
    "absolute": lambda x, u: np.abs(u) * np.cos(x),
    "one sign": lambda x, u: np.where(u > 0, u, 0) * np.cos(x),
    "normalised": lambda x, u: u * np.cos(x) / np.linalg.norm(u),
}


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_vjp_that_is_not_linear_is_named(name):
    """No pattern of one cotangent is told as one of all."""
    result = pardiff.gradcheck(np.sin, vjp=NONLINEAR[name], x0=np.array([0.3, 0.7, 1.1]))

    assert [finding.kind for finding in result.findings] == ["cotangent"]
    assert "is not linear in the cotangent" in result.findings[0].message


def test_each_array_may_reach_its_own_output():
    """An array on which the first output does not depend hides nothing."""
    x0 = {"a": np.array([0.3, 0.7, 1.1]), "b": np.array([0.4, 0.8, 1.2])}
    result = pardiff.gradcheck(
        lambda p: (np.sin(p["a"]), np.cos(p["b"])),
        vjp=lambda p, u: {"a": u[0] * np.cos(p["a"]), "b": -u[1] * np.sin(p["b"])},
        x0=x0,
    )

    assert result.passed
    assert result.findings == ()


def test_large_outputs_are_finite():
    """Sums over outputs do not overflow where the outputs do not."""
    result = pardiff.gradcheck(lambda x: 1e307 * np.sin(x), vjp=lambda x, u: 1e307 * np.cos(x) * u, x0=ROUND)

    assert result.passed


def test_a_buffer_that_fun_uses_again():
    """fun may return the same array at each call."""
    buffer = np.empty(5)

    def fun(x):
        buffer[:] = np.sin(x)
        return buffer

    assert pardiff.gradcheck(fun, vjp=lambda x, u: u * np.cos(x), x0=ROUND).passed


def test_cotangents_reproduce_an_entry():
    """``result.cotangents`` has those of the labels, in the structure of fun's value."""
    A = np.random.default_rng(0).normal(size=(4, 5))
    result = pardiff.gradcheck(lambda x: {"y": A @ x, "s": x.sum()}, vjp=lambda x, u: A.T @ u["y"] + u["s"], x0=ROUND)

    np.testing.assert_allclose(result.numerical["y"], result.cotangents["y"] @ A, rtol=1e-8)
    np.testing.assert_allclose(result.numerical["s"], result.cotangents["s"][:, None] * np.ones(5), rtol=1e-8)
    assert pardiff.gradcheck(lambda x: float(x.sum()), np.ones(5), ROUND).cotangents is None


OFFSETS = [1e6, 1e8, 1e10, 1e12, 1e14]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("x", [0.1, 0.1631578947368421, 0.7, 1.3])
def test_an_output_that_stands_still_is_not_known_exactly(offset, x):
    """Beside a large constant an output moves by less than its spacing: right products do not fail, wrong do not pass.

    The other output, of cos x, shows a derivative that is certain by itself.
    """

    def fun(x):
        return np.array([offset + np.sin(x[0]), np.cos(x[0])])

    def right(x, u):
        return np.array([u[0] * np.cos(x[0]) - u[1] * np.sin(x[0])])

    def wrong(x, u):
        return np.array([-u[1] * np.sin(x[0])])

    assert pardiff.gradcheck(fun, vjp=right, x0=np.array([x])).verdict is not pardiff.Verdict.FAIL
    assert not pardiff.gradcheck(fun, vjp=wrong, x0=np.array([x])).passed


def test_a_large_output_of_its_own_hides_nothing():
    """Outputs by name have cotangents of their own, so that a large one makes no other uncertain."""
    result = pardiff.gradcheck(
        lambda x: {"large": 1e12 + np.sin(x), "small": np.cos(x)},
        vjp=lambda x, u: u["large"] * np.cos(x) - u["small"] * np.sin(x),
        x0=np.array([0.3, 0.7]),
    )

    assert {array.name: array.verdict.name for array in result.arrays}["small / x"] == "PASS"


def test_float16_is_named():
    """The finding on short precision says which tolerance follows from it."""
    result = pardiff.gradcheck(
        lambda x: np.sin(x).astype(np.float16), vjp=lambda x, u: u * np.cos(x), x0=np.array([0.3, 0.7])
    )

    (finding,) = [finding for finding in result.findings if finding.kind == "precision"]
    assert "or 1e-2 in float16" in finding.message
    assert "rtol 0.01" in str(result)


@pytest.mark.parametrize("terms", [False, True])
def test_a_shape_that_changes_on_one_side_is_said(terms):
    """A derivative that is found on the other side does not hide it, and fun is not said to have raised."""

    def fun(x):
        return np.ones(2 if x[0] >= 1 else 3) * x[0] / 3

    derivative = {"terms": True, "grad": lambda x: np.array([2 / 3, 0.0])}
    if not terms:
        derivative = {"vjp": lambda x, u: np.array([u.sum() / 3, 0.0])}
    result = pardiff.gradcheck(fun, x0=np.array([1.0, 0.5]), **derivative)

    (finding,) = [finding for finding in result.findings if finding.kind == "error"]
    assert finding.message.startswith("with x[0] moved, fun returned ")
    assert "must not change" in finding.message
