"""The view model of every report: plain data, made once from a reconciled audit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pardiff.comparison.compared import Comparison
from pardiff.comparison.ranking import Entry, worst
from pardiff.comparison.reconcile import ArrayResult, Reconciliation
from pardiff.comparison.self_test import SelfTest, self_test
from pardiff.comparison.verdicts import Verdict
from pardiff.evaluation.baseline import Facts
from pardiff.evaluation.step_sweep import StepSweep
from pardiff.numerics.estimates import KINKED
from pardiff.problem.named_arrays import find_entry
from pardiff.problem.options import Resolved
from pardiff.reporting.samples import MOST_MAPS, HeatMap, Histogram, Point, heat_map, sample
from pardiff.storage.ledger import array_chunks, estimates
from pardiff.storage.records import Records

WORST = 20
"""Entries listed in a report."""


MOST_WORKERS = 1000
"""Rows of the table of workers."""


@dataclass(frozen=True)
class StepCurve:
    """Derivatives of one entry at many steps, beside the analytical derivative and what was concluded."""

    label: str
    scheme: str
    steps: tuple[float, ...]
    derivatives: tuple[float, ...]
    rounding: tuple[float, ...]
    """Rounding part of the error bar at each step."""
    slopes: tuple[tuple[float, float], ...]
    """Slopes below and above x at each step."""
    kink: bool
    analytical: float
    numerical: float
    uncertainty: float
    step: float
    """The one that was chosen."""


@dataclass(frozen=True)
class WorkerRow:
    """What one worker did."""

    worker: str
    blocks: int
    nfev: int
    seconds: float


@dataclass(frozen=True)
class Summary:
    """All that a report says; every field is plain data."""

    name: str
    verdict: str
    headline: str
    """The verdict in words."""
    exit_status: int
    complete: bool
    counts: dict[str, int]
    arrays: tuple[ArrayResult, ...]
    findings: tuple[dict[str, Any], ...]
    worst: tuple[Entry, ...]
    maps: tuple[HeatMap, ...]
    points: tuple[Point, ...]
    """A sample of the entries."""
    histogram: Histogram
    """All entries by the size of their residual in error bars."""
    curves: tuple[StepCurve, ...]
    """Step sweeps at the worst entries."""
    settings: Resolved
    """All options, defaults filled in."""
    baseline: Facts
    """What was known before the first block."""
    outputs: int
    """Outputs of fun whose derivative was compared; 0 where it is a loss."""
    provenance: dict[str, Any]
    target: str
    workers: tuple[WorkerRow, ...]
    blocks_done: int
    blocks_total: int
    parameters: int
    nfev: int
    checks: int
    """Values of a fast path that were compared with fun."""
    seconds: float
    """Wall time of the run that finished the audit."""
    confirmed: int
    """Derivatives that another worker has evaluated again."""
    troubles: dict[str, int]
    """How often workers and the scheduler were lost, in all runs."""
    self_test: tuple[SelfTest, ...]
    """What would have been caught, by array; empty unless asked for."""

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON: names as in the fields, non-finite numbers as null."""
        data = asdict(self)
        for array, result in zip(data["arrays"], self.arrays, strict=True):
            array["verdict"] = result.verdict.name
        plain: dict[str, Any] = _plain(data)
        return plain


def summarize(comparison: Comparison, reconciliation: Reconciliation) -> Summary:
    """Make the view model of an audit that has been compared."""
    ledger, info = comparison.ledger, comparison.ledger.info
    records = [ledger.records(wave.number) for wave in ledger.waves]
    results = {result.name: result for result in reconciliation.arrays}
    order = sorted(comparison.arrays, key=lambda array: results[array.name].verdict is Verdict.PASS)
    points, histogram = sample(comparison)
    cotangents = info.spec.cotangents
    return Summary(
        name=info.problem,
        verdict=reconciliation.verdict.name,
        headline=headline(reconciliation, info.settings.rtol),
        exit_status=reconciliation.exit_status,
        complete=reconciliation.complete,
        counts=reconciliation.counts,
        arrays=reconciliation.arrays,
        findings=tuple(asdict(finding) for finding in reconciliation.findings),
        worst=tuple(worst(comparison, WORST)),
        maps=tuple(
            heat_map(comparison, array, results[array.name].finding)
            for array in order[:MOST_MAPS]
            if results[array.name].verdict is not Verdict.PASS
        ),
        points=points,
        histogram=histogram,
        curves=tuple(step_curve(comparison, swept) for swept in info.sweeps),
        settings=info.settings,
        baseline=info.baseline,
        outputs=0 if cotangents is None else len(cotangents.outputs.leaves),
        provenance=dict(info.provenance),
        target=info.target,
        workers=_workers(records),
        blocks_done=sum(len(some) for some in records),
        blocks_total=sum(wave.blocks for wave in ledger.waves),
        parameters=ledger.space.size,
        nfev=reconciliation.nfev,
        checks=sum(int(some.column("checks").sum()) for some in records),
        seconds=info.timings.seconds,
        confirmed=sum(one.coordinates for one in info.replications),
        troubles=dict(info.troubles),
        self_test=self_test(comparison) if info.settings.self_test else (),
    )


def _workers(records: list[Records]) -> tuple[WorkerRow, ...]:
    """What each worker did, by name; nothing where they are too many to be read."""
    rows: dict[str, tuple[int, int, float]] = {}
    for some in records:
        number = some.column("worker")
        count = np.bincount(number, minlength=len(some.names))
        nfev, seconds = (np.bincount(number, some.column(c), len(some.names)) for c in ("nfev", "seconds"))
        for name, *own in zip(some.names, count, nfev, seconds, strict=True):
            blocks, passes, took = rows.get(name, (0, 0, 0.0))
            rows[name] = blocks + int(own[0]), passes + int(own[1]), took + float(own[2])
    done = [WorkerRow(name, *row) for name, row in sorted(rows.items()) if row[0]]
    return tuple(done) if len(done) <= MOST_WORKERS else ()


def step_curve(comparison: Comparison, swept: StepSweep) -> StepCurve:
    """A sweep as an audit keeps it, with the entry's own numbers."""
    ledger = comparison.ledger
    array, entry = find_entry(ledger.arrays, swept.label)
    found = estimates(ledger, array, entry, entry + 1)
    start, stop = next((low, high) for low, high in array_chunks(array) if low <= entry < high)
    analytical = float(ledger.read("analytical", array, start, stop)[entry - start])
    return StepCurve(
        label=swept.label,
        scheme=swept.scheme,
        steps=swept.steps,
        derivatives=swept.derivatives,
        rounding=swept.rounding,
        slopes=swept.slopes,
        kink=int(found.state[0]) == KINKED,
        analytical=analytical,
        numerical=float(found.numerical[0]),
        uncertainty=float(found.uncertainty[0]),
        step=float(found.step[0]),
    )


def upward(value: float, digits: int = 2) -> str:
    """A bound for people, rounded up so that it still is one.

    >>> upward(1.01e-9), upward(9.96), upward(float("inf")), upward(0.25)
    ('1.1e-09', '10', 'inf', '0.25')
    """
    text = f"{value:.{digits}g}"
    if math.isfinite(value) and float(text) < value:
        unit = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
        text = f"{float(text) + unit:.{digits}g}"
    return text


def headline(reconciliation: Reconciliation, rtol: float) -> str:
    """The verdict in one sentence."""
    counts = reconciliation.counts
    total = sum(counts.values())
    agree = counts["pass"] + counts["kink"]
    entries, agrees = ("entry", "agrees") if total == 1 else ("entries", "agree")
    certified = max((array.certified_rtol for array in reconciliation.arrays), default=0.0)
    if not reconciliation.has_analytical:
        return f"no analytical derivative to compare with: {total - counts['missing']:,} derivatives are numerical only"
    if reconciliation.verdict is Verdict.PASS:
        return (
            f"{agree:,} of {total:,} {entries} {agrees}; certified to rtol {upward(certified)} (asked for {rtol:.2g})"
        )
    if reconciliation.verdict is Verdict.FAIL:
        bad = [array.name for array in reconciliation.arrays if array.verdict is Verdict.FAIL]
        wrong = sum(array.wrong for array in reconciliation.arrays)
        counts = {**counts, "nonfinite": counts["nonfinite"] + counts["fail"] - wrong}
        named = ", ".join(bad[:4]) + (f" and {len(bad) - 4} more" if len(bad) > 4 else "")
        text = f"{wrong:,} of {total:,} {entries} {'is' if wrong == 1 else 'are'} wrong, in {named}"
    else:
        text = f"{agree:,} of {total:,} {entries} {agrees}"
    rest = [
        f"{counts[kind]:,} {words}"
        for kind, words in (
            ("inconclusive", "inconclusive"),
            ("nonfinite", "not finite"),
            ("error", "raised an error"),
            ("missing", "not evaluated"),
        )
        if counts[kind]
    ]
    if reconciliation.unfinished and not counts["missing"]:
        rest.append("not finished")
    if reconciliation.budget_spent and reconciliation.exit_status == 4:
        rest.append("the budget is spent: give a larger one to continue")
    if reconciliation.partial and reconciliation.exit_status == 0:
        rest.append("all that the budget allowed to check agrees")
    return "; ".join([text, *rest])


def _plain(value: Any) -> Any:
    """Tuples as lists and non-finite floats as None, all the way down."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
