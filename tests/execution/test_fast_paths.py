"""Fast paths on every executor: the same bits, the same sessions from wave to wave, and the same doubts."""

import os

import numpy as np
import pytest
import zarr

import pardiff
from pardiff.execution.worker_environment import KEEP, MMAP, TRIM, environment, environment_warnings
from pardiff.testing import plant

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)), RNG.normal(size=(20, 2))


class Net:
    """A small network; an object, so that processes can have it."""

    def __call__(self, x):
        r = np.tanh(X @ x["W1"] + x["b1"]) @ x["W2"] - Y
        return float(np.sum(r**2))

    def gradient(self, x):
        a = np.tanh(X @ x["W1"] + x["b1"])
        d = 2 * (a @ x["W2"] - Y)
        e = d @ x["W2"].T * (1 - a**2)
        return {"W1": X.T @ e, "b1": e.sum(axis=0), "W2": a.T @ d}

    def batch(self, x):
        a = np.tanh(np.matmul(X, x["W1"]) + x["b1"][:, None, :])
        return np.sum((np.matmul(a, x["W2"]) - Y) ** 2, axis=(1, 2))


NET = Net()
X0 = {"W1": RNG.normal(size=(4, 5)), "b1": RNG.normal(size=5), "W2": RNG.normal(size=(5, 2))}
CHAIN = pardiff.Chain(
    [pardiff.Affine("W1", "b1"), pardiff.Elementwise(np.tanh), pardiff.Affine("W2")], pardiff.SquaredError(Y), X
)


class Lying:
    """The chain, but for one element."""

    def prepare(self, x):
        return LyingAt(CHAIN.prepare(x))


class LyingAt:
    def __init__(self, right):
        self.right = right

    def changes(self, array, index, displacement):
        change, size = self.right.changes(array, index, displacement)
        if array == "W1":
            change[index == 7] *= 1.5
        return change, size


PATHS = {
    "incremental": {"incremental": CHAIN},
    "batched": {"batch_fun": NET.batch, "batch_size": 8},
}
QUANTITIES = ("numerical", "uncertainty", "verdict", "step", "nfev", "state")


def bits(result):
    ledger = result.ledger
    return {
        (quantity, leaf.name): ledger.array(quantity, leaf).tobytes()
        for quantity in QUANTITIES
        for leaf in ledger.arrays
    }


@pytest.fixture
def executor(request):
    name = request.param
    return request.getfixturevalue("embedded").client if name == "client" else {"None": None}.get(name, name)


@pytest.mark.cluster
@pytest.mark.parametrize("executor", ["threads", "client"], indirect=True)
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("name", PATHS)
def test_same_bits(name, stored, executor, tmp_path):
    """Blocks, executors and stores make no difference, in any wave."""
    problem = plant(pardiff.Problem(NET, NET.gradient, X0, **PATHS[name]), (3, 21, 30), 1.01)
    here = pardiff.gradcheck(problem, block_size=35)
    there = pardiff.gradcheck(problem, block_size=4, executor=executor, store=tmp_path / "a" if stored else None)

    assert here.counts["fail"] == there.counts["fail"] == 3
    assert here.ledger.info.baseline.strategy == there.ledger.info.baseline.strategy == name
    assert bits(here) == bits(there)
    if stored:
        again = pardiff.gradcheck(problem, block_size=4, store=tmp_path / "a")
        assert again.nfev == there.nfev


@pytest.mark.cluster
@pytest.mark.parametrize("stored", [False, True])
def test_a_doubt_of_a_worker_starts_the_audit_over(stored, embedded, tmp_path):
    """A fault that one block sees takes back what others have delivered, and nobody writes into the new audit."""
    for seed in range(20):  # at the start the wrong element must not be the one that is looked at
        result = pardiff.gradcheck(
            NET, NET.gradient, X0, incremental=Lying(), block_size=1, executor=embedded.client, seed=seed,
            store=tmp_path / str(seed) if stored else None,
        )  # fmt: skip
        if result.nfev > 2 * 35 + 60:
            break
    plain = pardiff.gradcheck(NET, NET.gradient, X0, seed=seed)

    assert result.passed
    assert [f.kind for f in result.findings] == ["fast_path"]
    assert "W1[1,2] moved by" in result.findings[0].message
    assert bits(result) == bits(plain)
    if stored:
        records = zarr.open_group(tmp_path / str(seed) / "audit.zarr", mode="r")["blocks/wave1/record"][:]
        assert all('"wave": 1' in text for text in records)


@pytest.mark.cluster
def test_a_session_is_kept_from_wave_to_wave(embedded, tmp_path):
    """A worker builds a problem once for an audit, not once for a wave."""
    log = tmp_path / "log"

    class Told:
        def prepare(self, x):
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            return CHAIN.prepare(x)

    problem = plant(pardiff.Problem(NET, NET.gradient, X0, incremental=Told()), tuple(range(0, 35, 2)), 1.01)
    for stored in (False, True):
        log.write_text("")
        result = pardiff.gradcheck(
            problem, block_size=2, executor=embedded.client, store=tmp_path / "a" if stored else None
        )
        pids = log.read_text().split()

        assert len(result.ledger.waves) > 1
        assert len(pids) == len(set(pids)) <= 3


@pytest.mark.cluster
def test_embedded_workers_have_our_environment(embedded):
    """Both thresholds of malloc and one BLAS thread are set in the embedded workers, and there is nothing to say."""
    for found in embedded.client.run(environment).values():
        assert found["malloc"] == {TRIM: str(KEEP), MMAP: str(KEEP)}
        assert found["blas"] == 1
    assert environment_warnings(embedded.client.run(environment)) == []
    assert embedded.environment_warnings() == []


@pytest.mark.cluster
def test_a_foreign_cluster_is_told_of(external):
    """Workers that Dask's nanny has started with its own threshold are a finding, not a verdict."""
    result = pardiff.gradcheck(lambda x: float(x @ x), lambda x: 2 * x, np.ones(3), executor=external[0])

    assert result.passed
    (finding,) = (f for f in result.findings if f.kind != "test_point")
    assert finding.kind == "environment"
    assert "MALLOC_TRIM_THRESHOLD_=65536" in finding.message


ENVIRONMENTS = [
    ({TRIM: None, MMAP: None}, 1, []),  # glibc adapts both
    ({TRIM: "65536", MMAP: None}, 1, ["return freed memory"]),
    ({TRIM: "1000000000", MMAP: None}, 1, ["return freed memory"]),  # the other no longer adapts
    ({TRIM: str(KEEP), MMAP: str(KEEP)}, 1, []),
    ({TRIM: None, MMAP: None}, 8, ["BLAS has 8 threads"]),
    ({TRIM: "nonsense", MMAP: str(KEEP)}, 2, ["return freed memory", "BLAS has 2 threads"]),
]


@pytest.mark.parametrize(("malloc", "blas", "said"), ENVIRONMENTS)
def test_remarks(malloc, blas, said):
    """What makes workers slow, and nothing else, is said."""
    found = environment_warnings({"tcp://a:1": {"malloc": malloc, "blas": blas, "set": False}})

    assert len(found) == len(said)
    assert all(part in translate_storage_errors for part, translate_storage_errors in zip(said, found, strict=True))
