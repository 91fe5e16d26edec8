"""``python -m benchmarks.speed [--workloads W1a,W2] [--peers scipy,...] [--seconds 3] [--repeats 3] [--json FILE]``.

Ratios are to the textbook loop on one core, side by side in one run, medians of repeats. *seconds* and *ratio* are of
the same two passes an entry that peers make, with error bars (refine="none"), without what comes before the first pass;
*all waves* adds second looks and searches, and *whole call* what comes before and after; *passes* is what an entry then
costs on average. An x marks what was measured on some coordinates and scaled up.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.speed.measure import ENVIRONMENT, run


def main(arguments=None):
    """Parse, and run in an environment in which all have the same allocator and one BLAS thread."""
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description=__doc__)
    parser.add_argument("--workloads", default="", help="some of W1a,W1b,W2,W3,W4,W5,W6; default all")
    parser.add_argument(
        "--peers", default="", help="parts of the names of peers; default all that are installed; - for none"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="what a measurement may take, about")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    chosen = parser.parse_args(arguments)
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.speed", *sys.argv[1:]], os.environ | ENVIRONMENT)
    rows = run(
        [w for w in chosen.workloads.split(",") if w],
        [p for p in chosen.peers.split(",") if p],
        chosen.seconds,
        chosen.repeats,
    )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
