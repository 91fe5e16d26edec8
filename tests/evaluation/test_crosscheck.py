"""Fast paths: batches and incremental evaluators give the verdicts of fun, and step aside where they are not fun."""

import numpy as np
import pytest

import pardiff
from pardiff.errors import InputError
from pardiff.evaluation.batched import Batched, Tuned, tune
from pardiff.evaluation.crosscheck import EvaluatorMismatch
from pardiff.evaluation.pointwise import Pointwise
from pardiff.problem.parsing import parse_x0

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
        for leaf in plain.ledger.arrays:
            one, two = (r.ledger.array(quantity, leaf).tobytes() for r in (plain, result))
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
        for leaf in plain.ledger.arrays:
            one, two = (r.ledger.array("numerical", leaf) for r in (plain, fast))
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
    for leaf in found[0].ledger.arrays:
        assert len({result.ledger.array("numerical", leaf).tobytes() for result in found}) == 1


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
    plain = Pointwise(fun, (), *parse_x0(x0))
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
    monkeypatch.setattr("pardiff.evaluation.batched.TUNING_SHARE", 100.0)
    found = tune(evaluator(clock.taking(1e-3), np.ones(32)), clock.taking(each), 64, 1e6)

    assert isinstance(found, Tuned)
    assert found.rows == rows


def test_memory_bounds_the_batch(monkeypatch):
    """No batch is larger than the memory allows."""
    clock = Clock(monkeypatch)
    monkeypatch.setattr("pardiff.evaluation.batched.TUNING_SHARE", 100.0)
    found = tune(evaluator(clock.taking(1e-3), np.ones(100)), clock.taking(lambda b: 1e-3), 200, 100 * 8 * 20)

    assert found.rows == 16


def test_a_small_job_is_not_tuned_for_long(monkeypatch):
    """Tuning takes a part of what the passes would take one by one."""
    clock = Clock(monkeypatch)
    tune(evaluator(clock.taking(1e-3), np.ones(500)), clock.taking(lambda b: 1e-3 * b), 1000, 1e6)

    assert clock.now < 0.5


class Almost:
    """Right changes of sum(x**4), but for some elements, or some displacements."""

    def __init__(self, wrong=(), below=0.0):
        self.wrong, self.below = wrong, below

    def prepare(self, x):
        return AlmostAt(self, x)


class AlmostAt:
    def __init__(self, what, x):
        self.what, self.x = what, x

    def changes(self, array, index, displacement):
        before, after = self.x[index][:, None] ** 4, (self.x[index][:, None] + displacement) ** 4
        change = after - before
        change[np.isin(index, self.what.wrong)] *= 1.01
        return np.where(np.abs(displacement) < self.what.below, 1.01 * change, change), np.maximum(before, after)


def quartic(x):
    return float(np.sum(x**4))


def quartic_gradient(x):
    return 4 * x**3


@pytest.mark.parametrize("n", [50, 1000])
@pytest.mark.parametrize("wrong", [(3,), (0, -1), (7, 20, 33)])
def test_no_right_gradient_fails_by_a_few_wrong_elements(wrong, n):
    """What alone can fail is compared with fun first, so that a fault of the evaluator is found, and not blamed."""
    x = np.random.default_rng(n).uniform(1, 2, n)
    result = pardiff.gradcheck(quartic, quartic_gradient, x, incremental=Almost([i % n for i in wrong]))

    assert result.passed
    assert [finding.kind for finding in result.findings] == ["fast_path"]


def test_the_same_fault_at_the_ends_does_not_pass():
    """The first and the last element of an array, where faults are most often, are always compared."""
    x = np.random.default_rng(0).uniform(1, 2, 300)
    g = quartic_gradient(x)
    g[[0, -1]] *= 1.01
    result = pardiff.gradcheck(quartic, g, x, incremental=Almost([0, 299]))

    assert result.counts["fail"] == 2
    assert {finding.kind for finding in result.findings} == {"fast_path", "factor"}


def test_an_evaluator_that_is_wrong_at_small_displacements_alone():
    """Steps that a search has chosen are compared too."""
    x = np.random.default_rng(0).uniform(1, 2, 50)
    for claim in (quartic_gradient, lambda x: 1.01 * quartic_gradient(x)):
        plain = pardiff.gradcheck(quartic, claim, x)
        fast = pardiff.gradcheck(quartic, claim, x, incremental=Almost(below=1e-3))

        assert fast.verdict is plain.verdict


def test_a_perfect_fit():
    """Residuals that vanish are rounding, and what a chain makes of them does not fail a gradient of rounding."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, w = rng.normal(size=(30, 4)), rng.normal(size=4)
        y = X @ w
        chain = pardiff.Chain([pardiff.Affine("x")], pardiff.SquaredError(y), X)
        result = pardiff.gradcheck(
            lambda x, X=X, y=y: float(np.sum((y - X @ x) ** 2)), lambda x, X=X, y=y: -2 * X.T @ (y - X @ x), w,
            incremental=chain,
        )  # fmt: skip

        assert result.counts["fail"] == 0


def test_a_batch_of_fewer_digits_steps_aside():
    """It must not make a tolerance wide that fun does not need."""
    x = np.random.default_rng(1).uniform(1, 2, 20)
    result = pardiff.gradcheck(
        lambda v: float(np.sum(v**2)), lambda v: 2 * v * (1 + 5e-4), x, batch_size=16,
        batch_fun=lambda b: np.sum(b.astype("f4") ** 2, axis=1),
    )  # fmt: skip

    assert result.verdict is pardiff.Verdict.FAIL
    assert "fast_path" in {finding.kind for finding in result.findings}
    wide = pardiff.gradcheck(
        lambda v: float(np.sum(np.exp(v))), lambda v: np.exp(v), x, batch_size=16,
        batch_fun=lambda b: np.round(np.sum(np.exp(b), axis=1), 10),
    )  # fmt: skip
    assert wide.passed
    assert [finding.kind for finding in wide.findings] == ["fast_path"]


def test_a_batch_is_seen_from_afar():
    """A fault below the rounding of small steps is found by a large one."""
    result = pardiff.gradcheck(
        lambda v: 1e4 + float(np.sum(v)) * (1 + 5e-6), lambda v: np.ones(5), np.linspace(0.5, 1, 5), batch_size=10,
        batch_fun=lambda b: 1e4 + b.sum(axis=1),
    )  # fmt: skip

    assert "fast_path" in {finding.kind for finding in result.findings}


def test_a_row_that_raises_does_not_change_the_bits_of_others():
    """Good rows of a failing batch are evaluated in their own places."""
    A = np.random.default_rng(0).normal(size=(40, 60))

    def picky(x):
        if (x[:, 17] > 1).any():
            raise FloatingPointError("too large")
        return np.sum(np.tanh(x @ A.T), axis=1)

    found = [
        pardiff.gradcheck(None, None, np.ones(60), batch_fun=picky, batch_size=16, block_size=size, refine="none")
        for size in (1, 7, 60)
    ]

    assert len({r.ledger.array("numerical", r.ledger.arrays[0]).tobytes() for r in found}) == 1


EVALUATORS = {
    "a forgotten axis": lambda x, i, d: (x[i] + d) ** 4 - x[i] ** 4,
    "only one at a time": lambda x, i, d: 1 / 0 if len(i) > 1 else ((x[i][:, None] + d) ** 4 - x[i][:, None] ** 4),
    "sizes of nan": lambda x, i, d: ((x[i][:, None] + d) ** 4 - x[i][:, None] ** 4, np.full(d.shape, np.nan)),
    "sizes of strings": lambda x, i, d: ((x[i][:, None] + d) ** 4 - x[i][:, None] ** 4, np.full(d.shape, "a")),
    "the value": lambda x, i, d: np.sum(x**4) + (x[i][:, None] + d) ** 4 - x[i][:, None] ** 4,
    "complex": lambda x, i, d: (x[i][:, None] + d + 0j) ** 4 - x[i][:, None] ** 4,
}


class By:
    def __init__(self, change, group=None):
        self.change = change
        if group:
            self.group = group

    def prepare(self, x):
        self.x = x
        return self

    def changes(self, array, index, displacement):
        return self.change(self.x, index, displacement)


@pytest.mark.parametrize("name", EVALUATORS)
def test_what_evaluators_do_wrong(name):
    """Each steps aside with a sentence, in a check and in a plan."""
    x = np.linspace(1, 2, 200)
    problem = pardiff.Problem(quartic, quartic_gradient, x, incremental=By(EVALUATORS[name]))
    result = pardiff.gradcheck(problem)

    assert result.passed
    assert [finding.kind for finding in result.findings] == ["fast_path"]
    assert pardiff.plan(problem).fallback_reason


def test_what_groups_do_wrong():
    """A group that cannot be asked steps aside."""
    for group in (lambda *_: 1 / 0, lambda *_: None):
        result = pardiff.gradcheck(
            quartic, quartic_gradient, np.linspace(1, 2, 20),
            incremental=By(lambda x, i, d: (x[i][:, None] + d) ** 4 - x[i][:, None] ** 4, group),
        )  # fmt: skip

        assert result.passed
        assert "group()" in result.findings[0].message


def test_a_right_evaluator_may_write_to_its_arguments():
    """It gets copies."""

    def change(x, i, d):
        before = x[i][:, None] ** 4
        d += x[i][:, None]
        i[:] = 0
        return d**4 - before

    result = pardiff.gradcheck(quartic, quartic_gradient, np.linspace(1, 2, 20), incremental=By(change))

    assert result.passed
    assert not result.findings


def test_a_mended_evaluator_is_another_audit(tmp_path):
    """Results of a store are not those of an evaluator that has changed since, nor of none at all."""
    x = np.linspace(1, 2, 20)
    pardiff.gradcheck(quartic, quartic_gradient, x, incremental=Almost([3]), store=tmp_path / "a")
    for other in (Almost([4]), None):
        with pytest.raises(pardiff.FingerprintError, match="another incremental"):
            pardiff.gradcheck(quartic, quartic_gradient, x, incremental=other, store=tmp_path / "a")
    pardiff.gradcheck(quartic, quartic_gradient, x, incremental=Almost([3]), store=tmp_path / "a")


def test_a_batch_of_another_length_is_a_doubt():
    """The number of values must be that of the rows."""
    with pytest.raises(EvaluatorMismatch, match="expected \\(4,\\)"):
        Batched(evaluator(fun, X0), lambda x: np.zeros(3), 4)


class OneOff:
    """Wrong at one element of many."""

    def prepare(self, x):
        self.x = x["a"].copy() if isinstance(x, dict) else x.copy()
        return self

    def changes(self, array, index, displacement):
        if array == "b":
            return 2.0 * displacement
        x = self.x[index][:, None]
        before, after = np.exp(3 * x), np.exp(3 * (x + displacement))
        factor = np.where(index == 500, 1.01, 1.0)[:, None]
        return (after - before) * factor, np.maximum(before, after)


@pytest.mark.parametrize("options", [{"rel_step": 1e-2}, {"abs_step": 1e-3}, {"rtol": 1e-10}, {}])
def test_what_would_fail_is_asked_of_fun(options):
    """However many entries were searched, the one at which the evaluator alone is wrong fails no right gradient."""
    x0 = np.random.default_rng(0).uniform(-1, 1, 1000)
    result = pardiff.gradcheck(
        lambda x: float(np.sum(np.exp(3 * x))), lambda x: 3 * np.exp(3 * x), x0, incremental=OneOff(), **options
    )

    assert result.counts["fail"] == 0
    assert result.findings[0].kind == "fast_path"


def test_what_would_fail_beside_what_does():
    """An array whose gradient is wrong everywhere does not hide it."""
    x0 = {"a": np.random.default_rng(0).uniform(-1, 1, 1000), "b": np.ones(300)}
    result = pardiff.gradcheck(
        lambda x: float(np.sum(np.exp(3 * x["a"])) + 2 * np.sum(x["b"])),
        lambda x: {"a": 3 * np.exp(3 * x["a"]), "b": np.full(300, 2.2)},
        x0,
        incremental=OneOff(),
        rel_step=1e-2,
    )

    assert [(array.name, array.counts["fail"]) for array in result.arrays] == [("a", 0), ("b", 300)]


def test_a_batch_fun_with_one_buffer():
    """It may return the same array each time."""
    buffer = np.empty(32)

    def batched(x):
        buffer[: len(x)] = np.sum(np.cos(x), axis=1)
        return buffer[: len(x)]

    x0 = np.linspace(0, 1, 64)
    result = pardiff.gradcheck(
        lambda x: float(np.sum(np.cos(x))), lambda x: -np.sin(x), x0, batch_fun=batched, batch_size=32
    )

    assert result.passed
    assert not result.findings


def test_values_that_are_complex():
    """A batch_fun that returns them is none."""
    x0 = np.linspace(0, 1, 64)
    result = pardiff.gradcheck(
        lambda x: float(np.sum(np.cos(x))), lambda x: -np.sin(x), x0,
        batch_fun=lambda x: np.sum(np.cos(x), axis=1) + 1j, batch_size=32,
    )  # fmt: skip

    assert result.passed
    assert "complex" in result.findings[0].message


def test_sizes_that_are_infinite():
    """They would make every error bar so."""

    class Infinite(Exact):
        def prepare(self, x):
            exact = super().prepare(x)

            class At:
                def changes(self, array, index, displacement):
                    changes, _ = exact.changes(array, index, displacement)
                    return changes, np.full_like(changes, np.inf)

            return At()

    result = pardiff.gradcheck(fun, gradient, X0, incremental=Infinite())
    assert result.passed
    assert "sizes that are negative or not finite" in result.findings[0].message
