"""Counts what matters of a gradient checker: false alarms, missed faults, coverage, power, passes, errors."""

import zlib
from dataclasses import asdict, dataclass, field

import numpy as np

import pardiff
from benchmarks.accuracy import peers as others
from benchmarks.accuracy.problems import PROBLEMS
from pardiff.evaluation.fixed_stencil import KINKED
from pardiff.problem.parsing import parse_gradient, parse_x0
from pardiff.problem.space import flatten, unflatten
from pardiff.storage.format import FAIL, KINK, PASS

FAULT = 2e-3
"""Relative error that is planted in one coordinate, which a bar of 1e-3 lets be seen."""
SUMMED = (
    "entries",
    "false_fail",
    "inconclusive",
    "kink",
    "missed",
    "faults",
    "named",
    "covered",
    "bars",
    "strong",
    "sizes",
)
SCALINGS = {"as it is": (1.0, 0.0), "times 1e-6": (1e-6, 0.0), "times 1e6": (1e6, 0.0), "plus 1e6": (1.0, 1e6)}


@dataclass
class Row:
    """What one way of differentiating did on one problem, over all seeds."""

    problem: str
    kind: str
    method: str
    entries: int = 0
    false_fail: int = 0
    """Correct entries that fail; of peers, those outside their tolerance and bar."""
    inconclusive: int = 0
    kink: int = 0
    missed: int = 0
    """Planted faults that pass."""
    faults: int = 0
    named: int = 0
    """Planted faults that fail."""
    covered: int = 0
    bars: int = 0
    strong: int = 0
    """Entries whose bar is below 1e-3 of the derivative."""
    sizes: int = 0
    passes: float = 0.0
    """Per coordinate, what is spent once per audit left out."""
    total: float = 0.0
    """Per coordinate, everything."""
    error: float = 0.0
    """Largest relative error of the derivative."""
    seeds: int = field(default=0, repr=False)


def _scaled(case, scaling):
    factor, offset = SCALINGS[scaling]

    def fun(x):
        value = case.fun(x)
        single = isinstance(value, np.float32)
        return np.float32(value * np.float32(factor) + np.float32(offset)) if single else value * factor + offset

    return fun, lambda x: _times(case.grad(x), factor)


def _times(gradient, factor):
    return {k: v * factor for k, v in gradient.items()} if isinstance(gradient, dict) else gradient * factor


def _flat(case):
    space, arrays = parse_x0(case.x0)
    with np.errstate(all="ignore"):
        return space, flatten(arrays), parse_gradient(space, case.grad(case.x0))


def _check(fun, gradient, case, **options):
    with np.errstate(all="ignore"):
        return pardiff.gradcheck(fun, gradient, case.x0, **{"rtol": case.tolerance, **case.options, **options})


def measure_pardiff(name, seeds, options, method, scaling="as it is"):
    """Run pardiff on every instance of a problem: the right gradient, then three kinds of faults."""
    problem = PROBLEMS[name]
    row = Row(name, problem.kind, method)
    for seed in range(seeds):
        case = problem.case(seed)
        fun, grad = _scaled(case, scaling)
        space, _, truth = _flat(case)
        truth = truth * SCALINGS[scaling][0]
        result = _check(fun, grad, case, **options)
        found = result.ledger.lines(0, space.size).reshaped(space.size)
        _count(row, result, found, truth, case)
        row.total += result.nfev / space.size
        if scaling == "as it is":
            for coordinate, wrong in faults(truth, seed):
                has_analytical = truth.copy()
                has_analytical[coordinate] = wrong
                if _is_tolerated(space, truth, coordinate, wrong, case):
                    continue
                verdict = _verdict(_check(fun, unflatten(space, has_analytical), case, **options), coordinate)
                if verdict == KINK and problem.kind == "kink":
                    continue  # between the slopes of a kink, where it is no fault
                row.faults += 1
                row.missed += verdict in (PASS, KINK)
                row.named += verdict == FAIL
    row.passes /= seeds
    row.total /= seeds
    return row


def measure_gradient(name, seeds, rtol):
    """The numerical gradient alone, to a smaller tolerance."""
    problem = PROBLEMS[name]
    row = Row(name, problem.kind, f"pardiff.gradient rtol={rtol:g}")
    for seed in range(seeds):
        case = problem.case(seed)
        space, _, truth = _flat(case)
        with np.errstate(all="ignore"):
            result = pardiff.gradcheck(case.fun, None, case.x0, **{**case.options, "rtol": rtol})
        found = result.ledger.lines(0, space.size).reshaped(space.size)
        _count(row, result, found, truth, case)
        row.total += result.nfev / space.size
    row.passes /= seeds
    row.total /= seeds
    return row


def faults(truth, seed):
    """A small error, a wrong sign and a dropped term, each in one coordinate where the derivative is not 0."""
    rng = np.random.default_rng([seed, zlib.crc32(b"faults")])
    candidates = np.flatnonzero(truth)
    if not len(candidates):
        return
    for change in (lambda g: g * (1 + FAULT), lambda g: -g, lambda g: 0.0):
        coordinate = int(rng.choice(candidates))
        yield coordinate, change(truth[coordinate])


def _is_tolerated(space, truth, coordinate, wrong, case):
    """Whether a fault is within the tolerance that the check was asked for."""
    leaf = space.leaf_of(coordinate)
    rms = float(np.sqrt(np.mean(truth[leaf.start : leaf.stop] ** 2)))
    size = max(abs(truth[coordinate]), abs(wrong)) + 1e-3 * rms
    return abs(wrong - truth[coordinate]) <= case.tolerance * size


def _verdict(result, coordinate):
    array = next(one for one in result.ledger.arrays if one.start <= coordinate < one.stop)
    return int(result.ledger.array("verdict", array).reshape(-1)[coordinate - array.start])


def _count(row, result, found, truth, case):
    row.seeds += 1
    row.entries += len(truth)
    row.false_fail += result.counts["fail"]
    row.kink += result.counts["kink"]
    row.inconclusive += sum(result.counts[key] for key in ("inconclusive", "nonfinite", "error"))
    row.passes += float(found.nfev.mean())
    _errors(row, found.numerical, found.uncertainty, truth, case, found.state == KINKED)


def _errors(row, numerical, bar, truth, case, kink):
    """Errors, coverage and power; at a kink there is no derivative to compare with."""
    off = np.abs(numerical - truth)[~kink]
    bar, truth = bar[~kink], truth[~kink]
    # where fun itself is biased the exact gradient is not its own; rounding of the exact gradient counts too
    bias = case.tolerance if case.biased else 4 * np.finfo(float).eps
    row.bars += int(np.isfinite(bar).sum())
    row.covered += int(np.sum(off <= bar + bias * np.abs(truth)))
    there = truth != 0
    row.sizes += int(there.sum())
    row.strong += int(np.sum(bar[there] <= 1e-3 * np.abs(truth[there])))
    with np.errstate(invalid="ignore"):
        relative = off[there] / np.abs(truth[there])
    row.error = max(row.error, float(np.max(np.where(np.isnan(relative), np.inf, relative), initial=0.0)))


def measure_peer(name, seeds, peer):
    """Run a peer on every instance of a problem."""
    problem = PROBLEMS[name]
    row = Row(name, problem.kind, peer.name)
    for seed in range(seeds):
        case = problem.case(seed)
        space, x, truth = _flat(case)
        dtypes = [leaf.dtype for leaf in space.leaves]

        def fun(point, space=space, case=case, dtypes=dtypes):
            structure = unflatten(space, point)
            if isinstance(structure, dict):
                structure = {k: v.astype(d) for (k, v), d in zip(structure.items(), dtypes, strict=True)}
            else:
                structure = structure.astype(dtypes[0])
            return case.fun(structure)

        numerical, bar, passes = others.run(peer, fun, x, case.options.get("bounds"))
        row.seeds += 1
        row.entries += len(truth)
        row.passes += passes / len(x)
        _errors(row, numerical, bar, truth, case, np.zeros(len(x), dtype=bool))
        known = np.nan_to_num(bar)
        with np.errstate(invalid="ignore"):
            allowed = peer.atol + max(peer.rtol, case.tolerance) * np.abs(truth) + known
            row.false_fail += int(np.sum(~(np.abs(numerical - truth) <= allowed)))
            for coordinate, wrong in faults(truth, seed):
                if _is_tolerated(space, truth, coordinate, wrong, case):
                    continue
                row.faults += 1
                off = abs(numerical[coordinate] - wrong)
                row.missed += bool(off <= peer.atol + peer.rtol * abs(wrong) + known[coordinate])
    row.passes /= seeds
    row.total = row.passes
    return row


def table(names, seeds, *, peers):
    """Measure, print a line as soon as it is known, and sum up."""
    rows = []
    print(f"{'problem':20} {'method':28} {'false':>6} {'undec.':>6} {'kink':>5} {'missed':>8} {'named':>6} "
          f"{'cover':>7} {'power':>7} {'passes':>7} {'max error':>10}")  # fmt: skip
    for name in names:
        kind = PROBLEMS[name].kind
        found = [measure_pardiff(name, seeds, {}, "pardiff")]
        found += [measure_pardiff(name, seeds, {"refine": "all"}, "pardiff refine=all")]
        found += [measure_gradient(name, seeds, 1e-8)]
        found += [measure_pardiff(name, seeds, {}, f"pardiff {s}", s) for s in SCALINGS if s != "as it is"]
        if PROBLEMS[name].analytic:
            found.append(measure_pardiff(name, seeds, {"method": "complex"}, "pardiff complex"))
        if peers and kind != "kink":
            found += [measure_peer(name, seeds, peer) for peer in others.available()]
        rows += found
        for row in found:
            print(_line(row), flush=True)
    print("\nall problems together")
    for row in sums(rows):
        print(_line(row))
    return [asdict(row) for row in rows]


def sums(rows):
    """Rows over all problems of a kind, by method."""
    for method in dict.fromkeys(row.method for row in rows):
        for kind in ("smooth", "awkward", "kink"):
            some = [row for row in rows if (row.method, row.kind) == (method, kind)]
            if some:
                yield _sum(some, kind, method)


def run(quick):
    """The default method on every problem, summed up by kind; with peers: ``python -m benchmarks.accuracy``."""
    rows = [measure_pardiff(name, 1 if quick else 20, {}, "pardiff") for name in PROBLEMS]
    return [
        {
            "workload": f"{row.problem} {row.method}",
            "entries": row.entries,
            "false FAIL": row.false_fail,
            "inconclusive": row.inconclusive,
            "faults": row.faults,
            "faults missed": row.missed,
            "coverage": row.covered / row.bars,
            "power": row.strong / row.sizes,
            "passes per entry": row.passes,
        }
        for row in sums(rows)
    ]


def _sum(rows, kind, method):
    total = Row(f"({len(rows)} {kind})", kind, method)
    for key in SUMMED:
        setattr(total, key, sum(getattr(row, key) for row in rows))
    total.passes = float(np.mean([row.passes for row in rows]))
    total.error = max(row.error for row in rows)
    return total


def _line(row):
    peer = not row.method.startswith("pardiff")
    cover = f"{row.covered / row.bars:7.2%}" if row.bars else "      -"
    power = f"{row.strong / row.sizes:7.2%}" if row.bars and row.sizes else "      -"
    missed = f"{row.missed}/{row.faults}" if row.faults else "-"
    named = f"{row.named}" if not peer and row.faults else "-"
    return (f"{row.problem:20} {row.method[:28]:28} {row.false_fail:6} {row.inconclusive:6} {row.kink:5} {missed:>8} "
            f"{named:>6} {cover} {power} {row.passes:7.2f} {row.error:10.1e}")  # fmt: skip
