"""Jobs that are killed while they run, and what their logs say."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from pardiff.execution.worker_environment import OURS

BIN = Path(sys.executable).parent

JOB = """
import ctypes, os, time
import numpy as np
import pardiff

X0 = np.linspace(1.0, 2.0, {n})
PAUSE = {pause}


def fun(x):
    moved = np.flatnonzero(x != X0)
    if len(moved) == 1 and moved[0] in {bad}:
        {fault}
    end = time.perf_counter() + PAUSE
    while time.perf_counter() < end:
        pass
    return float(np.sum(x**3))


@pardiff.problem
def job():
    return pardiff.Problem(fun, lambda x: 3 * x**2, X0)
"""


def write_job(folder, n=600, pause=2e-3, bad=(), fault="pass"):
    """A problem file; at the bad coordinates fun does something else first."""
    (folder / "job.py").write_text(JOB.format(n=n, pause=pause, bad=tuple(bad), fault=fault))


RUNS = []
"""Commands that the present test has started."""


class Run:
    """A command that is under way."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.log = folder / "log.jsonl"
        self.process = subprocess.Popen(
            [str(BIN / "pardiff"), "run", "job.py", "--out", "out", "--log", str(self.log), *arguments],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        RUNS.append(self.process)

    @property
    def running(self):
        """Whether it is."""
        return self.process.poll() is None

    @property
    def client(self):
        """Process id of what does the work: the command is its guard."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if "pardiff" in " ".join(_command(child)[:3]):
                    return child.pid
        return self.process.pid

    @property
    def guarded(self):
        """Whether it has taken SIGTERM into its own hands."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.client}/status").read_text()
            masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigIgn", "SigCgt"))]
            return any(mask >> (signal.SIGTERM - 1) & 1 for mask in masks)
        return False

    def workers(self):
        """Process ids of the embedded workers."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.client).children()
            return [child.pid for child in children if "spawn_main" in " ".join(_command(child))]
        return []

    def started(self, blocks=1, seconds=60):
        """Wait until some blocks are done."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.running:
            if len([e for e in events(self.log) if e["event"] == "done"]) >= blocks:
                return
            time.sleep(0.02)
        raise AssertionError(f"not {blocks} blocks within {seconds} s")

    def finish(self, seconds=120):
        """Wait for its end; status, output, and what it said to stderr."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


class Supervised:
    """A command that is started again whenever it ends."""

    def __init__(self, folder, log, *command):
        self.folder, self.log, self.command = folder, log, command
        self.process = None
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        environment = {k: v for k, v in os.environ.items() if k not in OURS} | {"PARDIFF_LOG": str(self.log)}
        while not self.stopping:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self.process.wait()
            time.sleep(0.5)

    def stop(self):
        """End it for good."""
        self.stopping = True
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self.thread.join(20)
        if self.process.poll() is None:
            self.process.kill()


def end_all():
    """End what a test has left behind, since it failed."""
    while RUNS:
        process = RUNS.pop()
        if process.poll() is None:
            kill(process.pid)
        process.communicate()


def _command(process):
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def kill(*pids, how=signal.SIGKILL):
    """Kill processes, of which some may be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


def events(log):
    """What a log says; a line that is being written is left out."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def started_again(log):
    """Blocks that were started after they had been committed."""
    done, wrong = set(), []
    for event in events(log):
        key = (event.get("wave"), event.get("block"))
        if event["event"] in ("start", "isolated") and key in done:
            wrong.append(key)
        elif event["event"] == "done":
            done.add(key)
    return wrong


def starts(log):
    """How often each block was started."""
    return Counter((e["wave"], e["block"]) for e in events(log) if e["event"] in ("start", "isolated"))


def alive(session, seconds=15.0):
    """Processes of a session that still run, after a grace."""
    end = time.monotonic() + seconds
    while True:
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(" ".join(process.cmdline())[:80])
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.2)
