"""``python -m benchmarks [--quick] [--json FILE] [NAME ...]``."""

import argparse
import json
from pathlib import Path

from benchmarks import accuracy, memory, overhead, start

ALL = {"start": start.run, "overhead": overhead.run, "memory": memory.run, "accuracy": accuracy.run}


def main():
    """Run the benchmarks and print their tables."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ALL)}; default all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that they run")
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(ALL)
    if unknown:
        parser.error(f"no benchmark {sorted(unknown)[0]!r}; expected some of {', '.join(ALL)}")
    found = {}
    for name in arguments.names or ALL:
        found[name] = ALL[name](arguments.quick)
        for row in found[name]:
            print(f"\n{name}: {row['workload']}")
            for key, value in row.items():
                if key != "workload":
                    print(f"  {key:28} {value:10.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
