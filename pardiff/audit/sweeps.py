"""Step sweeps at the worst entries of an audit, by its client, if they cost little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pardiff.comparison.compared import Comparison
from pardiff.comparison.ranking import worst
from pardiff.comparison.reconcile import Reconciliation
from pardiff.comparison.verdicts import Verdict
from pardiff.errors import InputError
from pardiff.evaluation.baseline import Baseline
from pardiff.evaluation.evaluator import Evaluator, axes_of
from pardiff.evaluation.spec import DifferentiationSpec
from pardiff.evaluation.step_sweep import StepSweep, sweep_steps
from pardiff.problem.named_arrays import NamedArray, find_entry
from pardiff.storage.ledger import passes

SWEEPS = 3
"""Worst entries whose steps are swept."""
SWEEP_PASSES = 50
"""Passes of a sweep, about."""
SWEEP_SECONDS, SWEEP_SHARE = 2.0, 0.01
"""What a sweep may take: so long, or such a part of the run's own work."""

SHOWN = 4
"""Arrays whose labels an error shows."""


def sweep_worst(
    comparison: Comparison, found: Reconciliation, evaluator: Evaluator, baseline: Baseline
) -> Reconciliation:
    """Sweep the step at the worst entries where something is wrong or open, and keep that in the audit."""
    ledger = comparison.ledger
    if found.verdict is Verdict.PASS or found.unfinished or not found.has_analytical:
        return found
    entries = worst(comparison, SWEEPS)
    labels = [entry.label for entry in entries if entry.verdict in ("fail", "inconclusive")]
    known = {swept.label: swept for swept in ledger.info.sweeps}
    for label in labels:
        spent = sum(float(ledger.records(wave.number).column("seconds").sum()) for wave in ledger.waves)
        if label not in known and SWEEP_PASSES * baseline.facts.seconds <= max(SWEEP_SECONDS, SWEEP_SHARE * spent):
            known[label] = sweep_entry(evaluator, baseline, ledger.info.spec, ledger.arrays, label)
    ledger.update(sweeps=tuple(known.values()))
    return replace(found, nfev=passes(ledger))


def sweep_entry(
    evaluator: Evaluator,
    baseline: Baseline,
    spec: DifferentiationSpec,
    arrays: tuple[NamedArray, ...],
    label: str,
) -> StepSweep:
    """Sweep the step at one entry, and see that fun has left x as it was."""
    array, entry = entry_named(arrays, label)
    coordinate, observable = array.position(entry)
    at = axes_of(evaluator, np.array([coordinate]), baseline.bounds, baseline.typical)
    swept = sweep_steps(evaluator, spec, at, array.label(entry), observable)
    evaluator.failures.clear()
    evaluator.check_unchanged()
    return swept


def entry_named(arrays: tuple[NamedArray, ...], label: str) -> tuple[NamedArray, int]:
    """The array and the entry that a label names; an `InputError` that shows such labels where there is none."""
    try:
        return find_entry(arrays, str(label))
    except LookupError:
        shown = [f"{one.label(0)!r} to {one.label(one.size - 1)!r}" for one in arrays if one.size][:SHOWN]
        raise InputError(f"no entry {label!r}; entries are {', '.join(shown) or 'none'}") from None
