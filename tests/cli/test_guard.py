"""Commands whose fun ends, holds up or moves the process: each gets its sentence, and the others their turn."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARDIFF = str(Path(sys.executable).parent / "pardiff")

JOB = """
import ctypes, os, signal, sys, threading, time
import numpy as np
import pardiff

def fun(x):
    if {when}:
        {what}
    return float(np.sum(x**3))

def good():
    return pardiff.Problem(lambda x: float(np.sum(x**2)), lambda x: 2 * x, np.ones(3))

@pardiff.problem
def a_good(): return good()

@pardiff.problem
def b_bad(): return pardiff.Problem(fun, lambda x: 3 * x**2, np.ones(30))

@pardiff.problem
def c_good(): return good()
"""


def write(folder, what, when="x[0] != 1"):
    (folder / "job.py").write_text(JOB.format(what=what, when=when))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("os._exit(0)", "with exit status 0"),
        ("os._exit(3)", "with exit status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "by SIGSEGV"),
    ],
)
def test_a_fun_that_ends_the_client(what, said, command, tmp_path):
    """No exit status of its own making passes for a verdict, and the batch goes on behind it."""
    write(tmp_path, what)
    done = command("run", "job.py", "--out", "out", "--workers", "0")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())

    assert done.returncode == 4
    assert f"INCOMPLETE  b_bad: the process of the run was ended {said}" in done.stdout
    assert done.stdout.count("PASS  a_good") == 1
    assert done.stdout.count("PASS  c_good") == 1
    assert {row["name"]: row["verdict"] for row in summary["problems"]} == {
        "a_good": "PASS", "b_bad": "INCOMPLETE", "c_good": "PASS",
    }  # fmt: skip
    assert "Traceback" not in done.stderr


def test_a_file_that_ends_the_client(command, tmp_path):
    """Where the import of a file ends the process, the other files of its folder have their turn."""
    (tmp_path / "a.py").write_text("import os\nimport pardiff\nos._exit(0)\n@pardiff.problem\ndef f(): pass\n")
    write(tmp_path, "pass")
    alone = command("run", "a.py", "--out", "out", "--workers", "0")
    folder = command("run", ".", "--out", "out", "--workers", "0")

    reason = "a.py: the process of the run was ended with exit status 0, as by code that crashes in it"
    assert (alone.returncode, folder.returncode) == (2, 2)
    assert f"pardiff: {reason}" in alone.stderr
    assert f"BROKEN  a: {reason}" in folder.stdout
    assert folder.stdout.count("entries agree") == 3


@pytest.mark.slow
def test_a_start_that_hangs(command, tmp_path):
    """With a deadline it is ended, however deep in C it is, and the others have their turn."""
    write(tmp_path, "ctypes.PyDLL(None).sleep(1000)")
    done = command("run", "job.py", "--out", "out", "--workers", "0", "--deadline", "0.01", timeout=100)

    assert done.returncode == 4, done.stdout + done.stderr
    assert (
        "b_bad: the process of the run was ended as its code, or fun at and near x0, had not come back after 30 s"
        in done.stdout
    )
    assert "PASS  c_good" in done.stdout


def test_threads_that_go_on(command, tmp_path):
    """They do not hold up the end of the run."""
    write(tmp_path, "threading.Thread(target=time.sleep, args=(1000,)).start()", "x[0] != 1 and x[0] < 1.00000001")
    done = command("run", "job.py", "--out", "out", "--workers", "0", timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_moves(command, tmp_path):
    """Targets are found, and audits kept, from where the command was given."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    for name in ("a", "b"):
        text = JOB.format(what="pass", when="False").replace("a_good", f"{name}1").replace("b_bad", f"{name}2")
        (folder / f"{name}.py").write_text("import os\nos.chdir('/')\n" + text.replace("c_good", f"{name}3"))
    done = command("run", "jobs/a.py", "jobs/b.py", "--out", "out", "--workers", "0")

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "b3" / "report.html").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_signals_reach_the_run(number, tmp_path):
    """Sent to the process that a shell knows, they end the run as Ctrl-C does."""
    write(tmp_path, "time.sleep(0.05)")
    process = subprocess.Popen(
        [PARDIFF, "run", "job.py", "--out", "out", "--workers", "0"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while not (tmp_path / "out" / "b_bad").exists():
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 4, out + err
    assert err.count("interrupted; finished blocks are kept") == 1
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_kill_takes_the_run_with_it(tmp_path):
    """Nothing goes on behind the back of who has killed it."""
    write(tmp_path, "time.sleep(0.05)")
    process = subprocess.Popen(
        [PARDIFF, "run", "job.py", "--out", "out", "--workers", "0"], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (tmp_path / "out" / "b_bad").exists():
        time.sleep(0.05)
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process of the run is left")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "1000000"], "workers: got 1000000; expected 0 (this process) to"),
        (["--out", "s3://key:secret@bucket/run"], "credentials do not belong into an address"),
        (["--deadline", "1e10"], "deadline: got 1e+10 s; expected at most"),
        (["--budget", "1e308d"], "budget: got '1e308d'; expected"),
    ],
)
def test_bad_values(arguments, said, command, tmp_path):
    """One sentence, and nothing is begun; a secret is not repeated."""
    write(tmp_path, "pass")
    done = command("run", "job.py", *arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert ":secret" not in done.stdout + done.stderr
