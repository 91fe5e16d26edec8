"""How long it takes to find a parameter that ends its process, among ten thousand.

    python -m benchmarks.isolation

The same job undisturbed and with one parameter at which fun crashes, ends its process, or hangs in C with a deadline of
two seconds; the difference in wall time is what finding it takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from chaos import Run, write_job  # noqa: E402

FAULTS = {
    "none": "pass",
    "segfault": "ctypes.string_at(0)",
    "exit": "os._exit(3)",
    "hang in C": "ctypes.PyDLL(None).sleep(1000)",
}


def main() -> None:
    """Print a line for each fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parameters", type=int, default=10_000)
    options = parser.parse_args()
    plain = 0.0
    for name, what in FAULTS.items():
        bad = [] if name == "none" else [2 * options.parameters // 3]
        with tempfile.TemporaryDirectory() as folder:
            write_job(Path(folder), n=options.parameters, pause=2e-4, bad=bad, fault=what)
            begin = time.perf_counter()
            status, out, err = Run(Path(folder), "--workers", "2", "--deadline", "2").finish()
            seconds = time.perf_counter() - begin
        assert status == (4 if bad else 0), out + err
        plain = plain or seconds
        print(json.dumps({"fault": name, "wall s": round(seconds, 1), "more s": round(seconds - plain, 1)}), flush=True)


if __name__ == "__main__":
    main()
