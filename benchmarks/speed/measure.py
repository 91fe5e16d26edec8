"""Measures pardiff and its peers, workload by workload, and prints a table."""

from __future__ import annotations

import platform
import statistics
import sys
import time

from benchmarks.speed.ours import Ours
from benchmarks.speed.peers import PASSES, PEERS, Flat, textbook
from benchmarks.speed.workloads import WORKLOADS

ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(1 << 26),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 26),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""The same for all, and that of pardiff's own workers."""

OURS = [
    ("plain", "here", False),
    ("plain", "2 workers", False),
    ("plain", "2 workers", True),
    ("batched", "here", False),
    ("batched", "2 workers", False),
    ("incremental", "here", False),
    ("incremental", "threads", False),
    ("incremental", "2 workers", False),
]
"""Path, executor, and whether it is kept in a store."""

LONG = ("W3", "W4")
"""Workloads whose batches are as slow as single passes."""
OPTIONS = {"W6": {"rtol": 1e-4}}
"""Options of some workloads: a sum of 1e5 terms is not known to more digits."""
NO_PATH = {("W5", "incremental"), ("W6", "batched")}
"""Heat has no chain; batches of the Rosenbrock function are slower at any size, as tuning finds."""


def run(names, peers, seconds, repeats):
    """Rows of all measurements, printed as they come."""
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    rows = []
    with Ours() as ours:
        for name in names or WORKLOADS:
            function, words = WORKLOADS[name]
            rows += workload(name, function, words, peers, seconds, repeats, ours)
    return rows


def workload(name, function, words, peers, seconds, repeats, ours):
    """Rows of one workload; the yardstick is measured before and after, and around every repeat."""
    flat, options = Flat(function), OPTIONS.get(name, {})
    x = flat.x0
    n = len(x)
    each = pass_time(flat, x)
    print(f"\n{name}: {words}; n = {n:,}, a pass {each * 1e6:,.0f} us, textbook loop {2 * n * each:,.3g} s")
    print(f"  {'':34} {'seconds':>10} {'ratio':>9} {'all waves':>9} {'whole call':>10} {'passes':>7}")
    rows = []

    def note(row):
        rows.append({"workload": name, "n": n, "t_f": each, **row})
        mark = "x" if row["share"] < 1 else " "
        passes = f"{row['passes']:7.2f}" if "passes" in row else ""
        more = f"{row['ratio_all']:9,.3g} {row['ratio_whole']:10,.3g}" if "ratio_all" in row else ""
        print(f"  {row['name']:34} {row['seconds']:9.3g}{mark} {row['ratio']:9,.3g} {more} {passes}", flush=True)
        if row.get("remark"):
            print(f"      {row['remark']}")

    def yardstick(count):
        begin = time.perf_counter()
        textbook(flat, x, 0, count)
        return (time.perf_counter() - begin) / count * n

    loop_count = max(1, min(n, int(seconds / 3 / (2 * each))))
    for path, where, store in OURS:
        if (name, path) in NO_PATH:
            continue
        count = n
        if path == "plain" or (path == "batched" and name in LONG):
            cores = 2 if where == "2 workers" else 1
            count = min(n, max(8, int(cores * seconds / each)))  # long enough for what does not grow with n
        results, full = [], []
        for _ in range(repeats + (where == "2 workers")):
            before = yardstick(loop_count)
            found = ours.measure(function, path, where, None if count == n else count, store, refine="none", **options)
            found["loop"] = (before + yardstick(loop_count)) / 2
            results.append(found)
        full = ours.measure(function, path, where, None if count == n else count, store, **options)
        results = results[-repeats:]  # the first brings the data into the workers
        loop = statistics.median(found["loop"] for found in results)
        wave = statistics.median(found["waves"] for found in results) * n / count
        title = {"plain": "pardiff", "batched": "pardiff, batch_fun", "incremental": "pardiff, incremental"}[path]
        note({
            "name": f"{title}, {where}{', Zarr' if store else ''}",
            "seconds": wave,
            "ratio": loop / wave,
            "ratio_all": loop / (full["waves"] * n / count),
            "ratio_whole": loop / (full["whole"] * n / count),
            "passes": full["passes"],
            "share": count / n,
            "rows": full["rows"],
            "remark": "" if full["passed"] and full["strategy"] == {"plain": "pointwise"}.get(path, path)
            else f"passed: {full['passed']}, strategy: {full['strategy']}",
        })  # fmt: skip
    for peer, measure in PEERS.items():
        if peers == ["-"] or (peers and not any(part in peer for part in peers)):
            continue
        cost = max(PASSES.get(peer, 2) * each, 3e-3 if "delayed" in peer else 0)
        count = max(8, min(n, int(seconds / cost)))
        found, loops = [], []
        for _ in range(1 if cost * count > seconds / 2 else repeats):
            loops.append(yardstick(loop_count))
            try:
                found.append(measure(flat, x.copy(), count))
            except ImportError as error:
                print(f"  {peer}: {error}", file=sys.stderr)
                break
        if not found or found[0] is None:
            continue
        took = statistics.median(found) * n / count
        note({"name": peer, "seconds": took, "ratio": statistics.median(loops) / took, "share": count / n})
    return rows


def pass_time(fun, x):
    """Least seconds of a pass."""
    best = float("inf")
    for _ in range(5):
        count, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < 0.02:
            fun(x)
            count += 1
        best = min(best, (time.perf_counter() - begin) / count)
    return best
