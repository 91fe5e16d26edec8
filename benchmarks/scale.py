"""How far one scheduler and one client go: blocks that do nothing, on workers that are simulated.

    python -m benchmarks.scale --workers 200 --blocks 100000

The scheduler, the client and the simulated workers (all in one event loop) are a process each, so that the CPU time of
each is its own. Blocks return at once: a real block takes seconds, and what counts is the CPU time per task.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from distributed import Worker

from pardiff.execution.cluster import connect
from pardiff.execution.tasks import Limits, Receipt, Session, Task
from pardiff.planning.waves import Wave
from pardiff.storage.format import BlockRecord
from pardiff.storage.records import Records

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass
class Nothing(Task):
    """A block that is done before it is begun."""

    limits: Limits
    attempt: int = 1

    def session(self) -> Session:
        raise NotImplementedError

    def planned(self) -> Wave:
        raise NotImplementedError

    def finished(self, block: int) -> BlockRecord | None:
        return BlockRecord(
            1, block, block, block + 1, "done", 0, 2, 1.0, 1, f"host{block % 50}:{block % 7}", 1.0, 0, time.time(), {}
        )

    def deliver(self, record: BlockRecord, matrix: object) -> Receipt:
        raise NotImplementedError


async def simulate(address: str, count: int) -> None:
    """Workers in this process, until it is ended."""
    workers = [Worker(address, nthreads=1, dashboard=False, host="127.0.0.1", name=str(i)) for i in range(count)]
    for start in range(0, count, 20):
        await asyncio.gather(*workers[start : start + 20])
    await asyncio.Event().wait()


def measure(workers: int, blocks: int) -> Iterator[dict[str, float]]:
    """Figures after every tenth of the blocks."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "scheduler.json"
        environment = {
            **os.environ,
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
            "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "10",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [str(Path(sys.executable).parent / "dask"), "scheduler", "--host", "127.0.0.1", "--port", "0"]
        command += ["--scheduler-file", str(file), "--no-dashboard"]
        scheduler = subprocess.Popen(command, env=environment, **QUIET)
        while not file.is_file() or not file.stat().st_size:
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        crowd = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.scale", "--serve", address, "--workers", str(workers)],
            env=environment,
            **QUIET,
        )
        try:
            with connect(address, patience=600.0) as executor:
                executor.client.wait_for_workers(workers, timeout=600)
                there, here = psutil.Process(scheduler.pid), psutil.Process()
                before = [sum(p.cpu_times()[:2]) for p in (there, here)]
                memory, begin = here.memory_info().rss, time.perf_counter()
                kept = Records(Wave(1, blocks, 1))
                for number, receipt in enumerate(
                    executor.map(Nothing(Limits(3600.0, 3600.0, 3600.0)), range(blocks)), 1
                ):
                    kept[receipt.record.block] = receipt.record
                    if number % (blocks // 10) == 0:
                        after = [sum(p.cpu_times()[:2]) for p in (there, here)]
                        yield {
                            "blocks": number,
                            "wall s": round(time.perf_counter() - begin, 1),
                            "scheduler ms a block": round(1e3 * (after[0] - before[0]) / number, 3),
                            "client ms a block": round(1e3 * (after[1] - before[1]) / number, 3),
                            "client MB more": round((here.memory_info().rss - memory) / 2**20, 1),
                            "scheduler MB": round(there.memory_info().rss / 2**20, 1),
                        }
        finally:
            for process in (crowd, scheduler):
                process.terminate()
                process.wait(30)


def main() -> None:
    """Print the figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--blocks", type=int, default=100_000)
    parser.add_argument("--serve", metavar="ADDRESS", help="simulate the workers of that scheduler")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(simulate(options.serve, options.workers))
        return
    for row in measure(options.workers, options.blocks):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
