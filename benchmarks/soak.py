"""A soak: jobs whose workers, clients and scheduler are killed all the time, and what that costs.

    python -m benchmarks.soak --minutes 10

Four rounds of equal length: an embedded cluster and an external one, each with audits in a folder and in an S3 store on
loopback (rclone, from the extra test). In each, one job after the other is run to its end while something is killed
every second or two: a worker, all workers, the client, or, of the external cluster, the scheduler, which are then
started again by their nanny, by hand, or by a supervisor. Every finished audit is compared, bit by bit, with an
undisturbed one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from chaos import BIN, RUNS, Run, Supervised, events, kill, started_again, starts, write_job  # noqa: E402
from helpers import bits  # noqa: E402

N, PAUSE, BLOCK = 2000, 2e-3, 20
"""Parameters, seconds of a pass, parameters of a block: 8 s of work, 80 ms a block."""


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Round:
    """Jobs on one kind of cluster with one kind of store."""

    def __init__(self, folder: Path, external: bool, s3: Path | None, seed: int) -> None:
        self.folder, self.external, self.s3 = folder, external, s3
        self.rng = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.moments: list[tuple[float, str]] = []
        self.jobs = self.redone = self.again = self.other = 0
        self.recovery: dict[str, list[float]] = {}
        self.supervised: list[Supervised] = []

    def start_cluster(self) -> list[str]:
        """Arguments of a command that uses it."""
        if not self.external:
            return ["--workers", "2"]
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        scheduler = [BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
        worker = [BIN / "dask", "worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        worker += ["--preload", "pardiff.execution.preload"]
        log = self.folder / "log.jsonl"
        self.supervised = [Supervised(elsewhere, log, *map(str, c)) for c in (scheduler, worker, worker)]
        return ["--scheduler", address]

    def workers(self, run: Run) -> list[int]:
        """Processes that do blocks."""
        if not self.external:
            return run.workers()
        found = []
        for one in self.supervised[1:]:
            with contextlib.suppress(psutil.Error):
                found += [child.pid for child in psutil.Process(one.process.pid).children(recursive=True)]
        return found

    def strike(self, run: Run) -> None:
        """Kill something."""
        kinds = ["worker"] * 4 + ["workers", "client"] + ["scheduler"] * self.external
        kind = self.rng.choice(kinds)
        workers = self.workers(run)
        if kind == "client":
            kill(run.process.pid)
        elif kind == "scheduler":
            kill(self.supervised[0].process.pid)
        elif not workers:
            return
        else:
            kill(*(workers if kind == "workers" else [self.rng.choice(workers)]))
        self.kills[kind] += 1
        self.moments.append((time.time(), kind))

    def job(self, where: list[str], number: int, whole: dict[str, bytes], end: float) -> None:
        """One job, until it is finished, under fire until the time is up."""
        log = self.folder / "log.jsonl"
        log.write_text("")
        out = f"out{number}" if self.s3 is None else f"s3://bucket/out{number}"
        self.moments.clear()
        while True:
            run = Run(self.folder, *where, "--block-size", str(BLOCK), "--out", out, "--patience", "30")
            while run.running:
                time.sleep(self.rng.uniform(0.3, 2.5))
                if run.running and time.monotonic() < end:
                    self.strike(run)
            status, text, err = run.finish()
            RUNS.clear()
            if status == 0:
                break
            if status not in (4, -9):
                raise SystemExit(f"a run ended with status {status}:\n{text}\n{err}")
        self.jobs += 1
        counts = starts(log)
        self.redone += sum(counts.values()) - len(counts)
        self.again += len(started_again(log))
        folder = self.folder / out if self.s3 is None else self.s3 / "bucket" / f"out{number}"
        self.other += bits(folder / "job") != whole
        self.recover(log)
        shutil.rmtree(folder)

    def recover(self, log: Path) -> None:
        """How long after a blow the next block was started by a process that was not there before."""
        begun = [
            (datetime.fromisoformat(event["time"]).timestamp(), event["process"])
            for event in events(log)
            if event["event"] in ("start", "isolated")
        ]
        for (moment, kind), (after, _) in pairwise([*self.moments, (float("inf"), "")]):
            known = {process for at, process in begun if at <= moment}
            new = [at - moment for at, process in begun if moment < at < after and process not in known]
            if new:
                self.recovery.setdefault(kind, []).append(min(new))

    def run(self, seconds: float, whole: dict[str, bytes]) -> None:
        """Jobs until the time is up."""
        where = self.start_cluster()
        end, number = time.monotonic() + seconds, 0
        try:
            while time.monotonic() < end:
                self.job(where, number, whole, end)
                number += 1
        finally:
            for one in reversed(self.supervised):
                one.stop()


@contextlib.contextmanager
def s3_server(folder: Path):
    """An S3 server on loopback, with the environment for it."""
    port = free_port()
    (folder / "bucket").mkdir(parents=True)
    rclone = shutil.which("rclone") or str(BIN / "rclone")
    command = [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "key,secretsecret", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secretsecret",
        AWS_REGION="us-east-1",
    )  # fmt: skip
    time.sleep(2.0)
    try:
        yield
    finally:
        server.terminate()
        server.wait(20)


def main() -> None:
    """Run the rounds and print what was survived."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="pardiff-soak-") as name:
        base = Path(name)
        write_job(base, n=N, pause=0)
        status, text, err = Run(base, "--workers", "0").finish()
        assert status == 0, text + err
        whole = bits(base / "out" / "job")
        with s3_server(base / "s3"):
            for number, (external, s3) in enumerate(((False, False), (False, True), (True, False), (True, True))):
                folder = base / f"round{number}"
                folder.mkdir()
                write_job(folder, n=N, pause=PAUSE)
                one = Round(folder, external, base / "s3" if s3 else None, options.seed + number)
                one.run(60 * options.minutes / 4, whole)
                row = {
                    "cluster": "external" if external else "embedded",
                    "store": "s3" if s3 else "folder",
                    "jobs": one.jobs,
                    "kills": dict(one.kills),
                    "blocks redone per kill": round(one.redone / max(1, one.kills.total()), 2),
                    "committed blocks started again": one.again,
                    "audits with other bits": one.other,
                    "recovery, median s": {k: round(statistics.median(v), 2) for k, v in sorted(one.recovery.items())},
                }
                rows.append(row)
                print(json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
