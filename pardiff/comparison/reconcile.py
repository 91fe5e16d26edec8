"""Compares the two gradients of an audit, stretch by stretch, and sums up."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from pardiff.comparison.compared import array_rms, stretches
from pardiff.comparison.diagnose_arrays import Failing, diagnose_arrays, nonfinite_claims
from pardiff.comparison.findings import array_finding, contradictions, other_values, run_findings
from pardiff.comparison.test_point import test_point
from pardiff.comparison.verdicts import (
    Verdict,
    combine,
    needed_rtol,
    relative,
    tolerance,
)
from pardiff.diagnosis.finding import Finding
from pardiff.diagnosis.rules import KINDS
from pardiff.evaluation import fixed_stencil as estimate
from pardiff.planning.waves import SEARCH
from pardiff.problem.space import FloatArray, IntArray, Leaf, label
from pardiff.storage.format import ERROR, FAIL, INCONCLUSIVE, KINK, MISSING, NONFINITE, PASS, VERDICTS
from pardiff.storage.ledger import Ledger

SEVERITY = {FAIL: 6, NONFINITE: 5, ERROR: 4, INCONCLUSIVE: 3, KINK: 2, PASS: 1, MISSING: 0}
"""Order in which entries are shown; of one that is missing there is nothing to show."""


NAMED = 3
"""Entries that the finding of an array names."""
ROUNDING = 4.0
"""Twice the rounding of a central difference of order 2, caution included, in units of the error of fun's values over
the step."""


@dataclass(frozen=True)
class Entry:
    """One parameter, with all that is known of its derivative."""

    array: str
    index: tuple[int, ...]
    label: str
    numerical: float
    analytical: float
    residual: float
    """Analytical minus numerical."""
    uncertainty: float
    tolerance: float
    step: float
    nfev: int
    verdict: str
    state: str
    """What became of the numerical derivative: ``done``, ``searched``, ``kink``, ..."""


@dataclass(frozen=True)
class ArrayResult:
    """Verdict on a named array."""

    name: str
    shape: tuple[int, ...]
    counts: dict[str, int]
    """Entries by verdict."""
    verdict: Verdict
    wrong: int
    """Entries that fail, or where the analytical derivative alone is not finite."""
    max_error: float
    """Largest ``|analytical - numerical|`` relative to the larger of the two; NaN if none is known."""
    certified_rtol: float
    """Largest ``(|residual| + uncertainty) / (max(|analytical|, |numerical|) + 1e-3 rms)``: the smallest
    rtol with which every entry passes, which is what the audit proves. Infinite if any entry could not
    be compared."""
    rms: float
    """Root mean square of the numerical derivative."""
    finding: Finding | None = None


@dataclass(frozen=True)
class Reconciliation:
    """Outcome of a comparison."""

    verdict: Verdict
    counts: dict[str, int]
    arrays: tuple[ArrayResult, ...]
    findings: tuple[Finding, ...]
    nfev: int
    """Forward passes: of all blocks, of the start, of step sweeps, and one at x0 on each worker."""
    claimed: bool
    """Whether the problem has an analytical gradient."""
    unfinished: bool
    """Whether some block of some wave is not done, or the run has not come to its end."""
    budget_spent: bool = False
    """Whether a budget has ended the run before everything was done."""
    partial: bool = False
    """Whether what a budget has allowed to check is all that counts for the exit status."""

    @property
    def complete(self) -> bool:
        """Whether the run is finished, and every entry has a derivative or a reason for having none."""
        return not (self.unfinished or self.counts["missing"] or self.counts["error"])

    @property
    def exit_status(self) -> int:
        """0 pass, 1 mismatch, 3 inconclusive, 4 incomplete."""
        if self.verdict is Verdict.FAIL:
            return 1
        if self.partial and not self.counts["error"]:
            checked = sum(self.counts.values()) - self.counts["missing"]
            return 0 if 0 < checked == self.counts["pass"] + self.counts["kink"] else 3
        if not self.complete:
            return 4
        return 0 if self.verdict is Verdict.PASS else 3


def unsettled(ledger: Ledger, rtol: float, atol: float, error: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Coordinates without a PASS for which no step search has been made.

    Without an analytical gradient these are the ones whose error bar is wider than the tolerance.

    Parameters
    ----------
    error : float
        Error of fun's values.

    Returns
    -------
    ndarray of int64, shape (k,)
        Ascending.
    ndarray of int64
        Those among them that have been in no later wave, whose claim lies within the tolerance, and whose rounding
        would leave room for a verdict: only a guess of the truncation error stands against it.
    ndarray of float64, shape (k,)
        How far the claim of each is from the derivative, relative to the larger of the two.
    """
    claimed = bool(ledger.info["claimed"])
    open_coordinates, near_coordinates, distances = [], [], []
    for leaf in ledger.layout.leaves:
        rms = array_rms(ledger, leaf)
        for part in stretches(ledger, leaf, rms, rtol, atol):
            if claimed:
                unclear = (part.verdict != PASS) & np.isfinite(part.analytical)
            else:
                unclear = ~(part.uncertainty <= tolerance(part.numerical, part.numerical, rms, rtol, atol))
                unclear &= part.state != estimate.FLAT
            unclear &= np.isin(part.state, (estimate.DONE, estimate.NONFINITE, estimate.ERROR, estimate.FLAT))
            rows = np.flatnonzero(unclear)
            open_coordinates.append(leaf.start + part.start + rows)
            allowed = tolerance(part.analytical[rows], part.numerical[rows], rms, rtol, atol)
            near = (np.abs(part.residual[rows]) <= allowed) & (ROUNDING * error <= allowed * part.step[rows])
            near_coordinates.append(open_coordinates[-1][near])
            off = relative(np.abs(part.residual[rows]), part.analytical[rows], part.numerical[rows], rms)
            distances.append(np.nan_to_num(off, nan=np.inf))
    empty = np.empty(0, dtype=np.int64)
    found, close = (np.concatenate([empty, *parts]) for parts in (open_coordinates, near_coordinates))
    far = np.concatenate([np.empty(0), *distances])
    for wave in ledger.waves[1:]:
        assert wave.index is not None
        close = np.setdiff1d(close, wave.index, assume_unique=True)
        if wave.kind == SEARCH:
            keep = ~np.isin(found, wave.index)
            found, far = found[keep], far[keep]
    return found, close, far


def failing(ledger: Ledger, rtol: float, atol: float, most: int) -> tuple[IntArray, FloatArray]:
    """Coordinates that would fail, and their steps: those that a report names of each array, and some at random.

    Parameters
    ----------
    most : int
        Coordinates, at the most.

    Returns
    -------
    ndarray of int64, shape (k,)
        Ascending.
    ndarray of float64, shape (k,)
    """
    rng = np.random.default_rng(most)
    found: list[tuple[float, int, float]] = []
    for leaf in ledger.layout.leaves:
        rms = array_rms(ledger, leaf)
        wrong: list[tuple[float, int, float]] = []
        for part in stretches(ledger, leaf, rms, rtol, atol):
            rows = np.flatnonzero((part.verdict == FAIL) & (part.step > 0))
            allowed = tolerance(part.analytical[rows], part.numerical[rows], rms, rtol, atol)
            excess = (np.abs(part.residual[rows]) + part.uncertainty[rows]) / np.maximum(allowed, np.finfo(float).tiny)
            rank = np.full(len(rows), 2.0) + rng.random(len(rows))
            for number, row in enumerate(np.argsort(-excess)[:NAMED]):
                rank[row] = number / NAMED  # before all of those at random, the worst of each array first
            keep = np.argsort(rank)[:most]
            columns = rank[keep], leaf.start + part.start + rows[keep], part.step[rows[keep]]
            wrong += zip(*(column.tolist() for column in columns), strict=True)
        found = sorted([*found, *wrong])[:most]
    chosen = sorted((coordinate, step) for _, coordinate, step in found)
    return np.array([c for c, _ in chosen], dtype=np.int64), np.array([step for _, step in chosen])


def reconcile(ledger: Ledger, rtol: float, atol: float) -> Reconciliation:
    """Compare the two gradients, write residuals and verdicts, and sum up.

    Parameters
    ----------
    ledger : Ledger
        An audit; unfinished ones give entries that are ``missing``.
    rtol, atol : float
        Tolerances.
    """
    arrays, findings = _diagnosed(ledger, rtol, atol)
    counts: Counter[str] = Counter()
    for array in arrays:
        counts.update(array.counts)
    unfinished = ledger.info.get("state") == "running" or any(
        len(ledger.records(wave.number)) < wave.blocks for wave in ledger.waves
    )
    verdict = combine(array.verdict for array in arrays)
    if verdict is Verdict.PASS and (unfinished or other_values(ledger) or contradictions(ledger)):
        verdict = Verdict.INCONCLUSIVE
    return Reconciliation(
        verdict=verdict,
        counts={name: counts[name] for name in VERDICTS},
        arrays=arrays,
        findings=_in_order(ledger, counts, findings),
        nfev=passes(ledger),
        claimed=bool(ledger.info["claimed"]),
        unfinished=unfinished,
        budget_spent=bool(ledger.info.get("budget_spent")),
        partial=bool(ledger.info.get("budget_spent") and ledger.info["settings"].get("partial")),
    )


def _diagnosed(ledger: Ledger, rtol: float, atol: float) -> tuple[tuple[ArrayResult, ...], list[Finding]]:
    """Results of all arrays, and what is to be said of them: of several first, then of each."""
    leaves = {leaf.name: leaf for leaf in ledger.layout.leaves if leaf.size}
    results = {name: _array(ledger, leaf, rtol, atol) for name, leaf in leaves.items()}
    failing = [
        Failing(leaves[name], result.rms, result.finding.message, result.finding.evidence)
        for name, result in results.items()
        if result.counts["fail"] and result.finding is not None
    ]
    wrong = [name for name, result in results.items() if result.wrong]
    passing = [name for name, result in results.items() if result.verdict is Verdict.PASS]
    found = diagnose_arrays(ledger, failing, wrong, passing, rtol, atol)
    by_array: list[Finding] = []
    for name, result in results.items():
        own = found.by_array.get(name, [result.finding] if result.finding is not None else [])
        if result.wrong:
            own = [*own, *nonfinite_claims(ledger, leaves[name], result.counts, result.wrong)]
        by_array += own
        results[name] = replace(result, finding=own[0] if own else None)
    by_array.sort(key=_says_little)  # what says something comes first
    return tuple(results.values()), [*found.together, *by_array]


def _says_little(finding: Finding) -> int:
    """Rank of a finding on an array: what is wrong with it, that something is, and what is not known."""
    if finding.kind not in KINDS:
        return 2
    return int(finding.kind in ("unstructured", "mismatch"))


GRAVE = ("nondeterministic", "heterogeneous", "error", "fast_path")
"""Findings on the run that come before those on arrays, as they cast doubt on them."""


def _in_order(ledger: Ledger, counts: Counter[str], findings: list[Finding]) -> tuple[Finding, ...]:
    """All findings, those first by which the others are to be read."""
    run = [finding for finding in run_findings(ledger) if finding.kind != "error" or counts["error"]]
    first = [finding for finding in run if finding.kind in GRAVE]
    return (*first, *findings, *(finding for finding in run if finding.kind not in GRAVE), *test_point(ledger))


def passes(ledger: Ledger) -> int:
    """Forward passes spent on an audit so far."""
    records = [ledger.records(wave.number) for wave in ledger.waves]
    start = ledger.info["start"]
    workers = set().union(*(some.workers for some in records)) - {start["worker"]}
    swept = sum(int(sweep["nfev"]) for sweep in ledger.info.get("sweeps", []))
    swept += sum(int(entry["nfev"]) for entry in ledger.info.get("confirmed", []))
    return int(start["nfev"]) + len(workers) + sum(int(some.column("nfev").sum()) for some in records) + swept


def _array(ledger: Ledger, leaf: Leaf, rtol: float, atol: float) -> ArrayResult:
    rms = array_rms(ledger, leaf)
    codes = np.zeros(len(VERDICTS), dtype=np.int64)
    wrong_claims = 0
    max_error, certified = math.nan, 0.0
    for part in stretches(ledger, leaf, rms, rtol, atol):
        stop = part.start + len(part.verdict)
        ledger.write("residual", leaf, part.start, stop, part.residual)
        ledger.write("verdict", leaf, part.start, stop, part.verdict)
        codes += np.bincount(part.verdict, minlength=len(VERDICTS))
        wrong_claims += int(np.sum((part.state != estimate.NONFINITE) & (part.verdict == NONFINITE)))
        size = np.abs(part.residual)
        error = relative(size, part.analytical, part.numerical, rms)
        proof = needed_rtol(size + part.uncertainty, part.analytical, part.numerical, rms)
        kink = part.verdict == KINK  # between two slopes there is no error, and no derivative to certify
        error[kink], proof[kink] = np.nan, 0.0
        proof[(part.state == estimate.FLAT) & (part.analytical == 0.0)] = 0.0
        max_error = float(np.fmax(max_error, np.fmax.reduce(error, initial=math.nan)))
        certified = max(certified, float(np.where(np.isnan(proof), math.inf, proof).max(initial=0.0)))
    counts = {name: int(codes[code]) for code, name in enumerate(VERDICTS)}
    verdict = _array_verdict(counts, leaf.size, wrong_claims)
    wrong = counts["fail"] + wrong_claims
    result = ArrayResult(leaf.name, leaf.shape, counts, verdict, wrong, max_error, certified, rms)
    if not ledger.info["claimed"] or (verdict is Verdict.PASS and not counts["kink"]):
        return result
    first = worst_of(ledger, leaf, rms, rtol, atol, NAMED)
    if counts["missing"] and not counts["fail"]:  # what was looked at once, and differs, is not hidden by what was not
        first += worst_of(ledger, leaf, rms, rtol, atol, 1, only=INCONCLUSIVE)
    finding = array_finding(
        leaf.name, leaf.size, counts, wrong_claims, [vars(e) for e in first], certified, ledger.info["start"]
    )
    return replace(result, finding=finding)


def _array_verdict(counts: dict[str, int], size: int, wrong_claims: int) -> Verdict:
    if counts["fail"] or wrong_claims:
        return Verdict.FAIL
    return Verdict.PASS if counts["pass"] + counts["kink"] == size else Verdict.INCONCLUSIVE


def worst_of(
    ledger: Ledger, leaf: Leaf, rms: float, rtol: float, atol: float, count: int, only: int | None = None
) -> list[Entry]:
    """The entries of an array that matter most: failures first, each kind by distance from its tolerance.

    Parameters
    ----------
    only : int or None
        Code of the one verdict that counts.
    """
    return [entry for _, entry in _ranked(ledger, leaf, rms, rtol, atol, count, only)]


def worst(
    ledger: Ledger,
    reconciliation: Reconciliation,
    rtol: float,
    atol: float,
    count: int,
    array: str | None = None,
) -> list[Entry]:
    """The entries of the whole audit, or of one array, that matter most."""
    leaves = {leaf.name: leaf for leaf in ledger.layout.leaves}
    ranked = [
        item
        for result in reconciliation.arrays
        if array in (None, result.name)
        for item in _ranked(ledger, leaves[result.name], result.rms, rtol, atol, count)
    ]
    ranked.sort(key=lambda item: item[0], reverse=True)
    return [entry for _, entry in ranked[:count]]


def _ranked(
    ledger: Ledger, leaf: Leaf, rms: float, rtol: float, atol: float, count: int, only: int | None = None
) -> list[tuple[tuple[int, float], Entry]]:
    severity = np.array([SEVERITY[code] for code in range(len(VERDICTS))])
    ranked: list[tuple[tuple[int, float], Entry]] = []
    for part in stretches(ledger, leaf, rms, rtol, atol):
        allowed = tolerance(part.analytical, part.numerical, rms, rtol, atol)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            excess = (np.abs(part.residual) + part.uncertainty) / allowed
        excess[np.isnan(excess)] = np.inf
        ranks = severity[part.verdict]
        order = np.lexsort((np.arange(len(excess), 0, -1), excess, ranks))[::-1]
        for row in order[:count] if only is None else order[part.verdict[order] == only][:count]:
            index = tuple(int(i) for i in np.unravel_index(part.start + int(row), leaf.shape))
            entry = Entry(
                array=leaf.name,
                index=index,
                label=label(leaf.name, index),
                numerical=float(part.numerical[row]),
                analytical=float(part.analytical[row]),
                residual=float(part.residual[row]),
                uncertainty=float(part.uncertainty[row]),
                tolerance=float(allowed[row]),
                step=float(part.step[row]),
                nfev=int(part.nfev[row]),
                verdict=VERDICTS[part.verdict[row]],
                state=estimate.STATES[int(part.state[row])],
            )
            ranked.append(((int(ranks[row]), float(excess[row])), entry))
    ranked.sort(key=lambda item: item[0], reverse=True)
    return ranked[:count]
