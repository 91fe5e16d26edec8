"""The command line on real Dask processes, and on processes that are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zarr
from helpers import bits, complaints

pytestmark = pytest.mark.cluster

SLOW = """
import time, numpy as np, pardiff
from scale import SCALE

def fun(x):
    time.sleep(0.002)
    return SCALE * float(np.sum(np.sin(x)))

@pardiff.problem
def slow():
    x0 = np.linspace(0, 3, 400)
    return pardiff.Problem(fun, lambda x: SCALE * np.cos(x), x0, block_size=10)

@pardiff.problem(batch=False)
def faulty():
    def grad(x):
        g = SCALE * np.cos(x)
        g[::7] *= 1.01
        return g
    return pardiff.Problem(fun, grad, np.linspace(0, 1, 40), block_size=3)
"""


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW)
    (folder / "scale.py").write_text("SCALE = 2.0\n")
    return folder


def records(folder):
    try:
        array = zarr.open_group(folder / "audit.zarr", mode="r")["blocks/wave1/record"]
    except (KeyError, FileNotFoundError, ValueError):  # it is being made
        return {}
    return {block: text for block, text in enumerate(array[:]) if text}


@pytest.mark.slow
def test_an_external_scheduler_elsewhere(external, work, command, tmp_path):
    """Workers that were started in another folder get a workflow and its helper by value, and give the same bits."""
    address, file = external
    by_address = command("run", "work/slow.py::faulty", "--out", "a", "--scheduler", address)
    by_file = command("run", "work/slow.py::faulty", "--out", "b", "--scheduler-file", file)
    here = command("run", "work/slow.py::faulty", "--out", "c", "--workers", "0")

    assert (by_address.returncode, by_file.returncode, here.returncode) == (1, 1, 1), by_address.stderr
    assert bits(tmp_path / "a" / "faulty") == bits(tmp_path / "b" / "faulty") == bits(tmp_path / "c" / "faulty")
    assert "FAIL  faulty: 6 of 40 entries are wrong, in x" in by_address.stdout
    assert complaints(by_address.stderr) == []


@pytest.mark.slow
def test_a_module_that_workers_lack(external, work, command, tmp_path):
    """A package target that a worker cannot import is one sentence that names the worker."""
    (tmp_path / "mypackage.py").write_text(SLOW.replace("from scale import SCALE", "SCALE = 2.0"))
    failed = command("run", "mypackage:faulty", "--out", "a", "--scheduler", external[0])
    embedded = command("run", "mypackage:faulty", "--out", "b")

    assert failed.returncode == 4
    assert "worker tcp://127.0.0.1:" in failed.stdout
    assert "cannot load mypackage here: ModuleNotFoundError" in failed.stdout
    assert embedded.returncode == 1, embedded.stdout + embedded.stderr


@pytest.mark.parametrize(
    ("how", "workers"),
    [
        (signal.SIGKILL, "0"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                (signal.SIGINT, "2"),
                (signal.SIGTERM, "2"),
                (signal.SIGKILL, "2"),
                (signal.SIGINT, "0"),
                (signal.SIGTERM, "0"),
            ]
        ),
    ],
)
def test_a_killed_run_goes_on(how, workers, work, command, tmp_path):
    """A run that is killed keeps its finished blocks, leaves no process, and goes on to the same bits."""
    whole = command("run", "work/slow.py", "--out", "whole", "--workers", "0")
    assert whole.returncode == 0, whole.stdout
    pardiff = str(Path(sys.executable).parent / "pardiff")
    run = subprocess.Popen(
        [pardiff, "run", "work/slow.py", "--out", "out", "--workers", workers],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    folder = tmp_path / "out" / "slow"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "audit.zarr").exists() and len(records(folder)) >= 5:
            break
        time.sleep(0.02)
    run.send_signal(how)
    _, stderr = run.communicate(timeout=30)
    time.sleep(1.0 if how == signal.SIGKILL else 0)
    before = records(folder)
    status = command("status", "out/slow")

    assert 5 <= len(before) < 40
    assert status.returncode == 4
    if how != signal.SIGKILL:
        assert run.returncode == 4
        assert stderr.count("\n") == 1
        assert "the same command goes on" in stderr
    assert not _alive(run.pid)

    again = command("run", "work/slow.py", "--out", "out", "--workers", workers)
    after = records(folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {block: after[block] for block in before} == before
    assert len(after) == 40
    assert bits(folder) == bits(tmp_path / "whole" / "slow")
    assert command("status", "out/slow").returncode == 0


def _alive(session):
    """Processes of a session that still run, after a grace of some seconds."""
    for _ in range(50):
        left = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if int(fields[3]) == session and fields[0] != "Z":
                    left.append(entry.name)
        if not left:
            return []
        time.sleep(0.1)
    return left


def test_the_embedded_cluster_is_quiet_and_tidy(work, command, tmp_path):
    """The default cluster leaves no process and writes nothing but the report; BLAS has one thread in it."""
    (work / "threads.py").write_text(
        "import os, numpy as np, pardiff\n"
        "@pardiff.problem\n"
        "def threads():\n"
        "    def fun(x):\n"
        "        import threadpoolctl\n"
        "        assert all(i['num_threads'] == 1 for i in threadpoolctl.threadpool_info())\n"
        "        return float(x @ x)\n"
        "    return pardiff.Problem(fun, lambda x: 2 * x, np.ones(8))\n"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = command("run", "work/threads.py", "--out", "out", env={**os.environ, "TMPDIR": str(scratch)})

    assert done.returncode == 0, done.stdout
    assert complaints(done.stderr) == []
    assert not [path.name for path in scratch.iterdir() if path.name.startswith("pardiff-code-")]
