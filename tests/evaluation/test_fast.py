"""Fast paths: batches and incremental evaluators give the verdicts of fun, and step aside where they are not fun."""

import numpy as np
import pytest

import pardiff
from pardiff.errors import InputError
from pardiff.evaluation.batched import Batched, Tuned, tune
from pardiff.evaluation.fast import Doubt
from pardiff.evaluation.pointwise import Pointwise
from pardiff.problem.parameters import parse_parameters

RNG = np.random.default_rng(0)
A = RNG.normal(size=(30, 12))
X0 = {"u": RNG.normal(size=(3, 2)), "v": RNG.normal(size=6)}


def fun(x):
    r = A @ np.concatenate([x["u"].reshape(-1), x["v"]])
    return float(np.sum(np.cos(r)))


def gradient(x):
    w = np.concatenate([x["u"].reshape(-1), x["v"]])
    g = -A.T @ np.sin(A @ w)
    return {"u": g[:6].reshape(3, 2), "v": g[6:]}


def batch_fun(x):
    w = np.concatenate([x["u"].reshape(len(x["u"]), -1), x["v"]], axis=1)
    return np.sum(np.cos(w @ A.T), axis=1)


class Exact:
    """An evaluator of changes, right but for a fault of choice."""

    def __init__(self, fault=""):
        self.fault = fault

    def prepare(self, x):
        if self.fault == "not prepared":
            raise RuntimeError("no licence")
        return ExactAt(x, self.fault)


class ExactAt:
    def __init__(self, x, fault):
        self.x, self.fault = x, fault
        self.r = A @ np.concatenate([x["u"].reshape(-1), x["v"]])

    def changes(self, array, index, displacement):
        rows = index + (6 if array == "v" else 0)
        moved = self.r + displacement[..., None] * A[:, rows].T[:, None]
        change = np.sum(np.cos(moved) - np.cos(self.r), axis=-1)
        if self.fault == "an array" and array == "v":
            change *= 1.0001
        if self.fault == "an element" and array == "u":
            change[index == 4] *= 1.01
        if self.fault == "raises" and array == "v":
            raise ValueError("no such array")
        if self.fault == "nan" and array == "v":
            change[:] = np.nan
        if self.fault == "shape":
            return change[:, 0]
        return change if self.fault == "no sizes" else (change, np.full(change.shape, 6.0))


@pytest.mark.parametrize("planted", [1.0, 1.001])
@pytest.mark.parametrize("fault", ["", "no sizes"])
def test_an_evaluator_of_the_users(fault, planted):
    """Changes of the user's own give the verdicts of fun."""
    g = gradient(X0)
    g["v"][2] *= planted
    plain = pardiff.gradcheck(fun, g, X0)
    fast = pardiff.gradcheck(fun, g, X0, incremental=Exact(fault))

    assert fast.counts == plain.counts
    assert not [f for f in fast.findings if f.kind == "fast_path"]
    assert "evaluated incrementally" in str(fast)


@pytest.mark.parametrize("fault", ["an array", "raises", "nan", "shape", "not prepared"])
@pytest.mark.parametrize("stored", [False, True])
def test_a_wrong_evaluator_steps_aside(fault, stored, tmp_path):
    """Where it differs from fun, fun is called for every pass, and the report says how it differs."""
    result = pardiff.gradcheck(fun, gradient, X0, incremental=Exact(fault), store=tmp_path / "a" if stored else None)
    plain = pardiff.gradcheck(fun, gradient, X0)

    assert result.passed
    (finding,) = result.findings
    assert finding.kind == "fast_path"
    assert "incremental evaluation:" in finding.message
    for quantity in ("numerical", "uncertainty", "step", "nfev"):
        for leaf in plain._ledger.layout.leaves:
            one, two = (r._ledger.array(quantity, leaf).tobytes() for r in (plain, result))
            assert one == two


@pytest.mark.parametrize("stored", [False, True])
def test_a_fault_seen_in_the_middle_starts_over(stored, tmp_path):
    """Blocks that a refuted evaluator has done are not trusted: all is done again by fun."""
    refuted = 0
    for size in (1, 2, 5, 12):
        result = pardiff.gradcheck(
            fun, gradient, X0, incremental=Exact("an element"), block_size=size,
            store=tmp_path / str(size) if stored else None,
        )  # fmt: skip
        kinds = {finding.kind for finding in result.findings}
        refuted += "fast_path" in kinds
        # seen or not: with its one wrong element the evaluator may never make a wrong verdict look certain
        assert result.passed if "fast_path" in kinds else result.verdict is not pardiff.Verdict.PASS

    assert refuted >= 2


def test_batches_and_points_agree():
    """Verdicts are the same, values agree to within rounding, and the report names the batch."""
    for planted in (1.0, 1.001):
        g = gradient(X0)
        g["u"][1, 1] *= planted
        plain = pardiff.gradcheck(fun, g, X0)
        fast = pardiff.gradcheck(fun, g, X0, batch_fun=batch_fun, batch_size=8)

        assert fast.counts == plain.counts
        assert "batches of 8 by batch_fun" in str(fast)
        for leaf in plain._ledger.layout.leaves:
            one, two = (r._ledger.array("numerical", leaf) for r in (plain, fast))
            np.testing.assert_allclose(one, two, rtol=1e-7, atol=1e-9)


def test_batch_fun_alone():
    """fun is made from it, with args and in a store too."""
    problem = pardiff.Problem(batch_fun=lambda x, c: c * np.sum(x**2, axis=1), grad=lambda x, c: 2 * c * x,
                              x0=np.arange(1.0, 40.0), args=(3.0,), batch_size=16)  # fmt: skip

    assert problem.fun(np.ones(2), 3.0) == 6.0
    assert pardiff.gradcheck(problem).passed
    assert pardiff.gradient(batch_fun=batch_fun, x0=X0).nfev > 0


def test_terms_in_batches():
    """With terms, a batch has shape (B, terms), and differences are taken term by term."""
    x0 = np.linspace(1, 2, 9)
    offset = 1e6

    def terms(x):
        return x**3 + offset

    result = pardiff.gradcheck(terms, lambda x: 3 * x**2, x0, terms=True, batch_fun=terms, batch_size=8, rtol=1e-4)

    assert result.passed
    assert result.arrays[0].max_error < 1e-4


@pytest.mark.parametrize("size", [4, 6, 32])
def test_bits_of_batches_do_not_depend_on_blocks(size):
    """Where the batch is the same, the bits are, for any block size: rows follow from the coordinate alone."""
    found = [
        pardiff.gradcheck(fun, gradient, X0, batch_fun=batch_fun, batch_size=size, block_size=block)
        for block in (1, 5, 12)
    ]
    for leaf in found[0]._ledger.layout.leaves:
        assert len({result._ledger.array("numerical", leaf).tobytes() for result in found}) == 1


def test_bounds_in_batches():
    """Points that bounds forbid are never in a batch."""

    def inside(x):
        assert (x >= 0).all()
        return np.sum(np.sqrt(x), axis=1)

    x0 = np.array([1e-9, 0.5, 2.0, 0.0])
    result = pardiff.gradcheck(
        None, lambda x: 0.5 / np.sqrt(np.maximum(x, 1e-300)), x0, bounds=(0, None), batch_fun=inside, batch_size=8
    )

    assert result.counts["pass"] == 3


def test_a_batch_that_raises_is_done_point_by_point():
    """One row that batch_fun cannot take costs that entry alone."""

    def picky(x):
        if (x[:, 3] > 1).any():
            raise FloatingPointError("too large")
        return np.sum(x**2, axis=1)

    result = pardiff.gradcheck(None, lambda x: 2 * x, np.ones(6), batch_fun=picky, batch_size=8)

    assert result.counts["pass"] >= 5
    assert result.counts["fail"] == 0


WRONG_BATCHES = {
    "values": (lambda x: batch_fun(x) * 1.001, "moved by"),
    "shape": (lambda x: batch_fun(x)[:-1], "returned the shape"),
    "raises": (lambda x: 1 / 0, "ZeroDivisionError"),
}


@pytest.mark.parametrize("name", WRONG_BATCHES)
def test_a_wrong_batch_fun_steps_aside(name):
    """fun is used, and the report says why."""
    wrong, said = WRONG_BATCHES[name]
    result = pardiff.gradcheck(fun, gradient, X0, batch_fun=wrong, batch_size=8)

    assert result.passed
    (finding,) = result.findings
    assert finding.kind == "fast_path"
    assert said in finding.message


def test_a_batch_fun_that_keeps_to_itself_is_asked_to():
    """One that changes the batch is refused."""

    def careless(x):
        x["v"][:] = 0.0
        return np.zeros(len(x["v"]))

    with pytest.raises(InputError, match="batch_fun changed its argument"):
        pardiff.gradcheck(lambda x: 0.0, lambda x: x, X0, batch_fun=careless, batch_size=8)


def test_no_fast_path_for_random_values():
    """Values that scatter cannot be compared."""
    rng = np.random.default_rng(0)
    result = pardiff.gradcheck(lambda x: fun(x) + 1e-9 * rng.normal(), gradient, X0, incremental=Exact())

    assert {"nondeterministic", "fast_path"} <= {finding.kind for finding in result.findings}


def evaluator(fun, x0):
    plain = Pointwise(fun, (), *parse_parameters(x0))
    plain.at_start()
    return plain


class Clock:
    """Functions that take as long as they say."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("pardiff.evaluation.batched.time.perf_counter", lambda: self.now)

    def taking(self, seconds):
        def call(x):
            self.now += seconds(len(x)) if callable(seconds) else seconds
            return np.zeros(len(x)) if callable(seconds) else 0.0

        return call


@pytest.mark.parametrize(
    ("each", "rows"),
    [
        (lambda b: 1e-3 + 1e-6 * b, 64),  # the more the better: as many as there are passes
        (lambda b: 2e-3 * b, 1),  # slower than single passes
        (lambda b: 0.95e-3 * b, 1),  # hardly faster
        (lambda b: 1e-3 + 1e-5 * b**2, 8),  # best in the middle
    ],
)
def test_tuning(each, rows, monkeypatch):
    """The size with the least time a pass is found, and none is taken that is not worth it."""
    clock = Clock(monkeypatch)
    found = tune(evaluator(clock.taking(1e-3), np.ones(32)), clock.taking(each), 64, 1e6)

    assert isinstance(found, Tuned)
    assert found.rows == rows


def test_memory_bounds_the_batch(monkeypatch):
    """No batch is larger than the memory allows."""
    clock = Clock(monkeypatch)
    found = tune(evaluator(clock.taking(1e-3), np.ones(100)), clock.taking(lambda b: 1e-3), 200, 100 * 8 * 20)

    assert found.rows == 16


def test_a_batch_of_another_length_is_a_doubt():
    """The number of values must be that of the rows."""
    with pytest.raises(Doubt, match="expected \\(4,\\)"):
        Batched(evaluator(fun, X0), lambda x: np.zeros(3), 4)
