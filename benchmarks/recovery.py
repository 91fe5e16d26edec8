"""How long a job waits after its scheduler was killed and comes back at once.

    python -m benchmarks.recovery --times 5

A job on an external scheduler with two workers, all three under supervisors that start them again; the scheduler alone
is killed, again and again, and what counts is the time until the next block is begun.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from chaos import Run, events, kill, write_job  # noqa: E402

from benchmarks.soak import Round  # noqa: E402


def begun(log: Path, since: float) -> list[float]:
    """When blocks were begun after a moment."""
    times = [datetime.fromisoformat(e["time"]).timestamp() for e in events(log) if e["event"] == "start"]
    return sorted(at for at in times if at > since)


def main() -> None:
    """Print each time, and their median."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pardiff-recovery-") as name:
        folder = Path(name)
        write_job(folder, n=100_000, pause=2e-3)
        cluster = Round(folder, external=True, s3=None, seed=0)
        where = cluster.start_cluster()
        log = folder / "log.jsonl"
        log.write_text("")
        run = Run(folder, *where, "--block-size", "20")
        waited: list[float] = []
        try:
            run.started(4)
            for _ in range(options.times):
                time.sleep(3.0)
                kill(cluster.supervised[0].process.pid)
                # what was under way at the workers is begun no more; what was queued there may be, within the moment
                moment = time.time()
                lost = moment + 0.3
                while not (after := begun(log, lost)):
                    time.sleep(0.05)
                waited.append(after[0] - moment)
                print(json.dumps({"scheduler killed, next block after s": round(waited[-1], 2)}), flush=True)
        finally:
            kill(run.client)
            run.finish()
            for one in reversed(cluster.supervised):
                one.stop()
    print(json.dumps({"median s": round(statistics.median(waited), 2)}))


if __name__ == "__main__":
    main()
