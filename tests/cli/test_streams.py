"""Streams that are closed or full, terminals, and signals to all processes of a job at once."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PARDIFF = str(Path(sys.executable).parent / "pardiff")

JOB = """
import time
import numpy as np
import pardiff

def fun(x):
    time.sleep({pause})
    return float(np.sum(x**3))

@pardiff.problem
def job():
    return pardiff.Problem(fun, lambda x: 3 * x**2, np.ones({n}))
"""


def write(folder, pause=0.0, n=5):
    (folder / "job.py").write_text(JOB.format(pause=pause, n=n))


@pytest.mark.parametrize(
    ("streams", "status"),
    [(">&-", 0), ("2>&-", 0), ("<&-", 0), (">&- 2>&- <&-", 0), (">/dev/full", 4), ("2>/dev/full", 0)],
)
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=[pytest.mark.cluster, pytest.mark.slow])])
def test_streams(streams, status, workers, tmp_path):
    """A verdict that nobody can read is still an exit status, and where it could not be printed it is no verdict."""
    write(tmp_path)
    command = f"{PARDIFF} run job.py --out out --workers {workers} {streams}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "out" / "job" / "report.html").is_file()


def run_in_terminal(folder, *arguments):
    """A run that has a terminal of its own, and our end of that terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PARDIFF, "run", "job.py", "--out", "out", *arguments], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    return process, ours


def said(terminal):
    """All that was printed, until the other end is closed."""
    text = b""
    try:
        while part := os.read(terminal, 65536):
            text += part
    except OSError:
        pass
    os.close(terminal)
    lines = re.split(r"[\r\n]|\x1b\[2K", text.decode())
    return "\n".join(line for line in lines if line and "━" not in line)


def family(process):
    """A process and what it has started."""
    return [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]


def until_gone(pids, seconds=20.0):
    """Those that are still there after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(psutil.pid_exists(pid) for pid in pids):
        time.sleep(0.1)
    return [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("after", [0.8, 1.3, 2.5])
def test_ctrl_c_in_a_terminal(after, tmp_path):
    """It goes to all processes, also to workers that are still starting: one quiet line, and nobody is left."""
    write(tmp_path, pause=0.01, n=3000)
    process, terminal = run_in_terminal(tmp_path, "--workers", "2")
    time.sleep(after)
    pids = family(process)
    os.write(terminal, b"\x03")
    text = said(terminal)

    assert process.wait(30) == 4, text
    assert text.count("interrupted; finished blocks are kept") == 1
    assert "Traceback" not in text
    assert until_gone(pids) == []


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group(number, command, tmp_path):
    """As batch systems send it: the run ends as by Ctrl-C, and the same command goes on."""
    write(tmp_path, pause=0.01, n=300)
    process = subprocess.Popen(
        [PARDIFF, "run", "job.py", "--out", "out", "--workers", "2", "--block-size", "20"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    folder = tmp_path / "out" / "job" / "audit.zarr" / "blocks" / "wave1" / "record" / "c"
    while not (folder.exists() and len(list(folder.iterdir())) >= 2):
        time.sleep(0.05)
    pids = family(process)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 4, out + err
    assert err.count("interrupted; finished blocks are kept") == 1
    assert "Traceback" not in err
    assert until_gone(pids) == []
    assert command("run", "job.py", "--out", "out", "--workers", "2").returncode == 0
