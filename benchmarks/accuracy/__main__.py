"""``python -m benchmarks.accuracy [--seeds N] [--no-peers] [--json FILE] [PROBLEM ...]``."""

import argparse
import json
from pathlib import Path

from benchmarks.accuracy.measure import table
from benchmarks.accuracy.problems import PROBLEMS


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description=__doc__)
    parser.add_argument("problems", nargs="*", help="names; default all")
    parser.add_argument("--seeds", type=int, default=20, help="instances of each problem")
    parser.add_argument("--no-peers", action="store_true", help="pardiff alone")
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    arguments = parser.parse_args()
    unknown = set(arguments.problems) - set(PROBLEMS)
    if unknown:
        parser.error(f"no problem {sorted(unknown)[0]!r}; expected some of {', '.join(PROBLEMS)}")
    found = table(arguments.problems or list(PROBLEMS), arguments.seeds, peers=not arguments.no_peers)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
