"""The outcome of a comparison: verdicts by array and in all, and what is to be said of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from pardiff.comparison.compared import Comparison
from pardiff.comparison.diagnose_arrays import Failing, diagnose_arrays, nonfinite_analytical
from pardiff.comparison.findings import (
    LATER,
    array_finding,
    contradictions,
    is_ours,
    other_values,
    remedy_of,
    run_findings,
)
from pardiff.comparison.point_findings import point_findings
from pardiff.comparison.ranking import worst_of
from pardiff.comparison.refinement import NAMED
from pardiff.comparison.verdicts import Verdict, combine, needed_rtol, relative
from pardiff.diagnosis.finding import Finding
from pardiff.diagnosis.rules import KINDS
from pardiff.numerics import estimates
from pardiff.problem.named_arrays import NamedArray
from pardiff.storage.format import INCONCLUSIVE, KINK, NONFINITE, VERDICTS
from pardiff.storage.info import RUNNING
from pardiff.storage.ledger import Ledger, passes


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
    """Forward passes: of all blocks, of the baseline, of step sweeps, and one at x0 on each worker."""
    has_analytical: bool
    """Whether the problem has an analytical derivative."""
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


def reconcile(comparison: Comparison) -> Reconciliation:
    """Sum a comparison up, and say what is wrong; writes nothing."""
    ledger, info = comparison.ledger, comparison.ledger.info
    arrays, findings = _diagnosed(comparison)
    counts: Counter[str] = Counter()
    for array in arrays:
        counts.update(array.counts)
    unfinished = _is_unfinished(ledger)
    verdict = combine(array.verdict for array in arrays) if comparison.has_analytical else Verdict.INCONCLUSIVE
    if verdict is Verdict.PASS and (unfinished or other_values(ledger) or contradictions(ledger)):
        verdict = Verdict.INCONCLUSIVE
    return Reconciliation(
        verdict=verdict,
        counts={name: counts[name] for name in VERDICTS},
        arrays=arrays,
        findings=_in_order(comparison, counts, findings),
        nfev=passes(ledger),
        has_analytical=comparison.has_analytical,
        unfinished=unfinished,
        budget_spent=info.budget_spent,
        partial=info.budget_spent and info.settings.partial,
    )


def _is_unfinished(ledger: Ledger) -> bool:
    """Whether a run has not come to its end, or a block of it is not done."""
    return ledger.info.state == RUNNING or any(len(ledger.records(w.number)) < w.blocks for w in ledger.waves)


def _diagnosed(comparison: Comparison) -> tuple[tuple[ArrayResult, ...], list[Finding]]:
    """Results of all arrays, and what is to be said of them: of several first, then of each."""
    arrays = {array.name: array for array in comparison.arrays}
    results = {name: _array(comparison, array) for name, array in arrays.items()}
    failing = [
        Failing(arrays[name], result.finding.message, result.finding.evidence)
        for name, result in results.items()
        if result.counts["fail"] and result.finding is not None
    ]
    wrong = [name for name, result in results.items() if result.wrong]
    passing = [name for name, result in results.items() if result.verdict is Verdict.PASS]
    found = diagnose_arrays(comparison, failing, wrong, passing)
    by_array: list[Finding] = []
    for name, result in results.items():
        own = found.by_array.get(name, [result.finding] if result.finding is not None else [])
        if result.wrong:
            own = [*own, *nonfinite_analytical(comparison, arrays[name], result.counts, result.wrong)]
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
"""Findings on the run that come before those on arrays, as they may be the reason for them."""


def _in_order(comparison: Comparison, counts: Counter[str], findings: list[Finding]) -> tuple[Finding, ...]:
    """All findings, those first by which the others are to be read."""
    ledger = comparison.ledger
    run = run_findings(ledger)
    if not (counts["error"] or counts["inconclusive"]):  # fun may raise on one side, beyond its domain
        run = [one for one in run if one.kind != "error" or any(map(is_ours, one.evidence["errors"].values()))]
    first = [finding for finding in run if finding.kind in GRAVE]
    return (*first, *findings, *(finding for finding in run if finding.kind not in GRAVE), *point_findings(ledger))


def _array(comparison: Comparison, array: NamedArray) -> ArrayResult:
    codes = np.zeros(len(VERDICTS), dtype=np.int64)
    wrong_analytical = 0
    max_error, certified = math.nan, 0.0
    for chunk in comparison.chunks(array):
        codes += np.bincount(chunk.verdict, minlength=len(VERDICTS))
        wrong_analytical += int(np.sum((chunk.state != estimates.NONFINITE) & (chunk.verdict == NONFINITE)))
        size = np.abs(chunk.residual)
        error = relative(size, chunk.analytical, chunk.numerical, chunk.rms)
        proof = needed_rtol(size + chunk.uncertainty, chunk.analytical, chunk.numerical, chunk.rms)
        kink = chunk.verdict == KINK  # between two slopes there is no error, and no derivative to certify
        error[kink], proof[kink] = np.nan, 0.0
        proof[(chunk.state == estimates.FLAT) & (chunk.analytical == 0.0)] = 0.0
        max_error = float(np.fmax(max_error, np.fmax.reduce(error, initial=math.nan)))
        certified = max(certified, float(np.where(np.isnan(proof), math.inf, proof).max(initial=0.0)))
    counts = {name: int(codes[code]) for code, name in enumerate(VERDICTS)}
    verdict = _array_verdict(counts, array.size, wrong_analytical)
    wrong = counts["fail"] + wrong_analytical
    rms = comparison.rms(array)
    result = ArrayResult(array.name, array.shape, counts, verdict, wrong, max_error, certified, rms)
    if not comparison.has_analytical or (verdict is Verdict.PASS and not counts["kink"]):
        return result
    first = worst_of(comparison, array, NAMED)
    if counts["missing"] and not counts["fail"]:  # what was looked at once, and differs, is not hidden by what was not
        first += worst_of(comparison, array, 1, only=INCONCLUSIVE)
    facts = comparison.ledger.info.baseline
    remedy = LATER if _is_unfinished(comparison.ledger) else remedy_of(first[0], certified, facts)
    finding = array_finding(array.name, array.size, counts, wrong_analytical, first, remedy)
    return replace(result, finding=finding)


def _array_verdict(counts: dict[str, int], size: int, wrong_analytical: int) -> Verdict:
    if counts["fail"] or wrong_analytical:
        return Verdict.FAIL
    return Verdict.PASS if counts["pass"] + counts["kink"] == size else Verdict.INCONCLUSIVE
