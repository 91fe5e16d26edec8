"""``python -m benchmarks [--quick] [--json FILE] [--workloads ...] [--peers ...] [NAME ...]``.

With --workloads or --peers the speed benchmark alone is run, unless others are named.
"""

import argparse
import json
from pathlib import Path

from benchmarks import accuracy, memory, overhead, speed, start

ALL = {"start": start.run, "overhead": overhead.run, "memory": memory.run, "accuracy": accuracy.run, "speed": speed.run}


def main():
    """Run the benchmarks and print their tables."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ALL)}; default all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that they run")
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    parser.add_argument("--workloads", help="of the speed benchmark: some of W1a,W1b,W2,W3,W4,W5,W6; default all")
    parser.add_argument("--peers", help="of the speed benchmark: parts of their names; default all; - for none")
    parser.add_argument("--seconds", type=float, help="of the speed benchmark: what a measurement may take, about")
    parser.add_argument("--repeats", type=int, help="of the speed benchmark")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(ALL)
    if unknown:
        parser.error(f"no benchmark {sorted(unknown)[0]!r}; expected some of {', '.join(ALL)}")
    names = arguments.names or (["speed"] if arguments.workloads or arguments.peers else list(ALL))
    found = {}
    for name in names:
        if name == "speed":
            chosen = {key: getattr(arguments, key) for key in ("workloads", "peers", "seconds", "repeats")}
            found[name] = speed.run(arguments.quick, **{key: value for key, value in chosen.items() if value})
            continue
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
