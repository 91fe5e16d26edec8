"""Every executor gives the same bits, and travels light."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import numpy as np
import pytest

import pardiff
from pardiff.execution.tasks import Limits, StoredTask
from pardiff.source.bundle import Code
from pardiff.testing import TOYS, plant, two_layers
from pardiff.testing.problems import _INPUT, _TARGET


def arrays_of(result):
    ledger = result.ledger
    return {
        (quantity, leaf.name): ledger.array(quantity, leaf).tobytes()
        for quantity in ("numerical", "uncertainty", "residual", "verdict", "step", "nfev", "state", "scheme")
        for leaf in ledger.arrays
    }


@pytest.fixture(scope="module")
def pool():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        yield pool.map


@pytest.fixture
def executor(request, pool):
    if request.param == "client":
        yield request.getfixturevalue("embedded").client
    elif request.param == "thread map":
        with ThreadPoolExecutor(2) as threads:
            yield threads.map
    else:
        yield {"None": None, "threads": "threads", "map": map, "pool": pool}[request.param]


EXECUTORS = ["None", "threads", "client", "map", "pool", "thread map"]


@pytest.mark.cluster
@pytest.mark.parametrize("executor", EXECUTORS, indirect=True)
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("name", sorted(TOYS))
def test_same_bits(executor, stored, name, tmp_path):
    """Serial, threads, processes, a map and a pool give the same bits, in memory and in a store."""
    problem = plant(TOYS[name](), (0, 4), 1.5)
    plain = pardiff.gradcheck(problem, block_size=3)
    other = pardiff.gradcheck(problem, block_size=4, executor=executor, store=tmp_path / "a" if stored else None)

    assert arrays_of(plain) == arrays_of(other)
    assert other.counts["fail"] == 2


METHODS = {
    "complex": {"method": "complex"},
    "both steps": {"refine": "all"},
    "richardson": {"method": "richardson", "order": 6},
    "stencil": {"stencil": (-3, -1, 1, 2)},
    "typical": {"typical": {"first/W": 0.1}},
    "terms": {},
}


def two_layers_complex(x):
    a = np.tanh(_INPUT @ x["first"]["W"] + x["first"]["b"])
    return np.mean((a @ x["second"] - _TARGET) ** 2)


def two_layers_terms(x):
    a = np.tanh(_INPUT @ x["first"]["W"] + x["first"]["b"])
    return (a @ x["second"] - _TARGET) ** 2 / len(_TARGET)


@pytest.mark.cluster
@pytest.mark.parametrize("executor", ["client", "thread map"], indirect=True)
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_same_bits_by_every_method(executor, stored, name, tmp_path):
    """So do all ways to differentiate, waves included, and the audit goes on where it was."""
    toy = two_layers()
    fun = two_layers_terms if name == "terms" else two_layers_complex
    whole = pardiff.Problem(fun, toy.grad, toy.x0, terms=name == "terms")
    problem = plant(whole, (0, 4), 1.5)
    plain = pardiff.gradcheck(problem, block_size=3, **METHODS[name])
    store = tmp_path / "a" if stored else None
    other = pardiff.gradcheck(problem, block_size=4, executor=executor, store=store, **METHODS[name])

    assert arrays_of(plain) == arrays_of(other)
    assert other.counts == {**dict.fromkeys(other.counts, 0), "pass": 16, "fail": 2}
    if stored:
        again = pardiff.gradcheck(problem, block_size=4, store=store, **METHODS[name])
        assert again.nfev == other.nfev


def matrix_loss(x):
    return float(np.sum(np.tanh(x["A"] @ x["A"].T) ** 2))


@pytest.mark.cluster
def test_same_bits_with_blas(embedded):
    """Matrix products give the same bits here, where BLAS could use two threads, and on one-thread workers."""
    x0 = {"A": np.random.default_rng(0).normal(size=(150, 150)) / 12}
    plain = pardiff.gradient(matrix_loss, {"A": x0["A"][:40]})
    other = pardiff.gradient(matrix_loss, {"A": x0["A"][:40]}, executor=embedded.client)

    assert plain.value["A"].tobytes() == other.value["A"].tobytes()


@pytest.mark.cluster
def test_closures_and_lambdas_travel(embedded):
    """What is defined on the spot, with data in its closure, can be sent to workers."""
    scale = np.arange(1.0, 5.0)
    result = pardiff.gradcheck(
        lambda x: float(np.sum(scale * x**2)), lambda x: 2 * scale * x, np.ones(4), executor=embedded.client
    )

    assert result.passed


def test_a_task_ships_a_few_hundred_bytes():
    """The task of a stored audit has no array in it: its size does not depend on the problem's."""
    code = Code("file", "digits_mlp.py", "digits_mlp", "0" * 64)
    task = StoredTask(
        "/some/folder/with/a/longer/name/audits/digits_mlp", "1" * 64, code, 1, 1, "pointwise", Limits(60.0, 60.0, 60.0)
    )

    assert len(cloudpickle.dumps(task)) < 600


@pytest.mark.cluster
def test_graphs_hold_no_arrays(embedded, tmp_path, monkeypatch):
    """What the scheduler gets per task stays under 2 kB, for a problem of 1.6 MB, in memory or in a store."""
    sent = []
    submit = embedded.client.submit

    def spy(function, *arguments, **options):
        plain = [a if isinstance(a, bytes | str | int) else "future" for a in arguments]
        sent.append(len(cloudpickle.dumps((function, plain))))
        return submit(function, *arguments, **options)

    monkeypatch.setattr(embedded.client, "submit", spy)
    big = np.ones(100_000)
    for store in (None, tmp_path / "a"):
        pardiff.gradcheck(
            lambda w, c: float(w @ w + c[0]), lambda w, c: 2 * w, np.ones(4), args=(big,), store=store,
            executor=embedded.client,
        )  # fmt: skip

    assert sent
    assert max(sent) < 2000


def test_bad_executors():
    """What is no executor gets one sentence."""
    for executor, said in ((3, "got int"), ("proceses", "did you mean 'processes'")):
        with pytest.raises(pardiff.InputError, match=said):
            pardiff.gradcheck(two_layers(), executor=executor)


def test_an_unreachable_scheduler(monkeypatch):
    """No scheduler at an address is one sentence, and exit status 4."""
    from pardiff.execution import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(pardiff.ClusterError, match=r"no scheduler answers at tcp://127.0.0.1:1 within 1 s") as caught:
        pardiff.gradcheck(two_layers(), executor="tcp://127.0.0.1:1")
    assert caught.value.exit_status == 4


@pytest.mark.cluster
def test_values_that_differ_between_processes(embedded):
    """A fun whose value depends on the process is reported, with the worker that gave another value."""

    def fun(x):
        import os

        return float(x @ x) * (1 + 1e-9 * (os.getpid() != home))

    import os

    home = os.getpid()
    result = pardiff.gradcheck(fun, lambda x: 2 * x, np.ones(3), executor=embedded.client)

    assert "heterogeneous" in {finding.kind for finding in result.findings}


def test_values_that_differ_from_call_to_call():
    """A fun that is not deterministic is reported, and does not fail a right gradient."""
    noise = np.random.default_rng(0)
    result = pardiff.gradcheck(lambda x: float(x @ x) * (1 + 1e-6 * noise.normal()), lambda x: 2 * x, np.ones(3))

    assert "nondeterministic" in {finding.kind for finding in result.findings}
    assert result.counts["fail"] == 0


def test_passes_are_counted():
    """nfev is the number of calls of fun, to the last one."""
    calls = []

    def fun(x):
        calls.append(1)
        return float(np.sum(np.sin(x)))

    for grad in (np.cos, lambda x: -np.cos(x)):
        calls.clear()
        result = pardiff.gradcheck(fun, grad, np.linspace(0, 2, 7))

        assert result.nfev == len(calls)


@pytest.mark.parametrize("executor", [None, "threads"])
def test_progress_is_reported(executor):
    """A watcher sees the start, every block and the end of each wave."""
    seen = []
    pardiff.gradcheck(plant(two_layers(), 3), block_size=5, executor=executor, progress=seen.append)
    first = [p for p in seen if p.wave == 1]

    assert [p.done for p in first] == [0, 5, 10, 15, 18] or executor == "threads"
    assert (first[0].done, first[-1].done, first[-1].remaining) == (0, 18, 0.0)
    assert {p.wave for p in seen} == {1, 2}


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"address": 3}'])
def test_bad_scheduler_files(tmp_path, content):
    """A file that no scheduler has written is one sentence, at once."""
    from pardiff.execution.cluster import connect

    (tmp_path / "s.json").write_text(content)
    with (
        pytest.raises(pardiff.PardiffError, match=r"is not a file|expected an address"),
        connect(scheduler_file=str(tmp_path / "s.json")),
    ):
        pass


@pytest.mark.slow
def test_a_server_of_another_kind(monkeypatch):
    """Where something else listens at the address the answer comes in time."""
    import http.server
    import threading

    from pardiff.execution import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(pardiff.ClusterError, match="no scheduler answers"):
            pardiff.gradcheck(two_layers(), executor=f"tcp://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


def test_a_script_without_a_guard(tmp_path):
    """A script that would start itself in every worker is told so, in one sentence, before it does."""
    import subprocess
    import sys

    text = (
        "import numpy as np, pardiff\n"
        "pardiff.gradcheck(lambda x: float(x @ x), lambda x: 2 * x, np.ones(3), executor='processes')\n"
    )
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True)

    assert "put the call under if __name__ == '__main__'" in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 1


@pytest.mark.cluster
def test_base_exceptions_on_a_worker(embedded):
    """Whatever fun raises on a worker costs its entry alone; nothing hangs."""

    class Odd(BaseException):
        def __str__(self):
            raise ValueError

    def fun(x):
        if x[1] != 1.0:
            raise Odd
        return float(x @ x)

    result = pardiff.gradcheck(fun, lambda x: 2 * x, np.ones(4), executor=embedded.client)

    assert (result.counts["pass"], result.counts["error"]) == (3, 1)
    assert "Odd" in str(result)
