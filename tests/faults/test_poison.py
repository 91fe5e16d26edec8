"""Parameters at which fun ends its process, hangs, or takes all memory: they are found, and the rest finishes."""

import json

import numpy as np
import pytest
import zarr
from chaos import Run, events, write_job

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FAULTS = {
    "segfault": ("ctypes.string_at(0)", "fun ended the process by SIGSEGV, in string_at"),
    "exit": ("os._exit(3)", "fun ended the process with exit status 3"),
    "kill": ("os.kill(os.getpid(), 9)", "fun ended the process by SIGKILL, as the system does when memory runs out"),
    "hang in C": ("ctypes.PyDLL(None).sleep(1000)", "fun did not come back within 2 s, in fun"),
    "hang in Python": ("while True: pass", "fun did not come back within 2 s, in fun"),
    "memory": ("keep = np.ones(1 << 45)", "fun raised MemoryError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_poisonous_parameter(fault, tmp_path):
    """The culprit alone has the verdict error, with the reason; exit status 4, as it could not be checked."""
    what, reason = FAULTS[fault]
    write_job(tmp_path, n=300, pause=0, bad=[137], fault=what)
    run = Run(tmp_path, "--workers", "2", "--deadline", "2")
    status, out, err = run.finish()
    summary = json.loads((tmp_path / "out" / "job" / "report.json").read_text())
    verdict = zarr.open_group(tmp_path / "out" / "job" / "audit.zarr", mode="r")["verdict/x"][...]

    assert status == 4, out + err
    assert f"at x[137] {reason}" in out
    assert np.flatnonzero(verdict != 1).tolist() == [137]
    assert summary["counts"]["error"] == 1
    assert "Traceback" not in out + err


def test_all_parameters_are_poisonous(tmp_path):
    """A fun that ends its process wherever it is moved is given up soon, not parameter by parameter."""
    write_job(tmp_path, n=300, pause=0, bad=range(300), fault="os._exit(3)")
    run = Run(tmp_path, "--workers", "2", "--block-size", "100")
    status, out, _ = run.finish()

    assert status == 4
    assert "300 raised an error" in out
    assert len([event for event in events(run.log) if event["event"] == "parameter crashed"]) == 300


def test_a_fun_that_ends_every_worker(tmp_path):
    """Where fun ends workers but not the client, as if a library were broken there, the run says so."""
    write_job(tmp_path, n=20, pause=0)
    job = (tmp_path / "job.py").read_text()
    broken = """def fun(x):
    if any(name in open("/proc/self/cmdline").read() for name in ("spawn_main", "isolated_child")):
        os._exit(7)"""
    (tmp_path / "job.py").write_text(job.replace("def fun(x):", broken))
    status, out, _ = Run(tmp_path, "--workers", "2").finish()

    assert status == 4
    assert "fun not be evaluated at x0, here: fun ended the process with exit status 7" in out
