"""Waves, carried out: blocks on an executor, within a budget, and what their results ask for next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from pardiff.comparison.compared import Comparison
from pardiff.comparison.refinement import needs_refinement, wave_of, would_fail
from pardiff.evaluation.crosscheck import MOST_CONFIRMED, CrossChecked
from pardiff.evaluation.evaluator import Evaluator, axes_of
from pardiff.evaluation.spec import stencil_of
from pardiff.execution.executors import Executor
from pardiff.execution.progress import Meter, Watcher
from pardiff.execution.replicate import choose, compare_again
from pardiff.execution.tasks import Limits, Task
from pardiff.planning.budget_tracker import FIRST_LOOK, BudgetTracker
from pardiff.planning.cost import passes_per_coordinate
from pardiff.planning.waves import SEARCH, STEPS, Wave, block_size
from pardiff.problem.budget import Budget
from pardiff.problem.named_arrays import label_at
from pardiff.problem.options import Resolved
from pardiff.storage.ledger import Ledger, write_named_arrays

GROSS, MOST_FIRST = 0.01, 4
"""Relative difference of what is searched first within a budget, and blocks of it at a time: it may cost more than
expected."""
SEARCH_PASSES = 10
"""Passes that the step search spends on a line, typically; for the size of its blocks alone."""

MakeTask = Callable[[Wave, Limits], Task]


@dataclass(frozen=True)
class Fallback:
    """A fast path was found to differ from fun: the run starts over by fun alone."""

    reason: str
    nfev: int = 0
    """Passes that were spent in vain."""


@dataclass(frozen=True)
class Waves:
    """The waves of one run of an audit."""

    ledger: Ledger
    executor: Executor
    make_task: MakeTask
    tracker: BudgetTracker
    name: str
    progress: Watcher | None

    @property
    def resolved(self) -> Resolved:
        """The options."""
        return self.ledger.info.settings

    def run(self) -> str:
        """Do the waves that are planned, plan those that their results ask for, and lay the results out.

        Returns
        -------
        str
            How a fast path differs from fun, if it does; then the rest is left undone.
        """
        tracker, done, short = self.tracker, 0, False
        while True:
            for wave in self.ledger.waves[done:]:
                tracker.exhausted = False
                mismatch = self._run_wave(wave)
                if mismatch:
                    return mismatch
                done += 1
                short = short or tracker.exhausted
            if self.resolved.refine == "none" or (tracker.exhausted and done > 1):
                break
            following = self._next_wave(done + 1)
            if following is None:
                break
            self.ledger.add_wave(following)
        self._replicate()
        self.ledger.check_results()
        write_named_arrays(self.ledger)
        self.ledger.update(budget_spent=short)
        return ""

    def _next_wave(self, number: int) -> Wave | None:
        """What the results so far ask for; None where nothing is left open."""
        facts, resolved, tracker = self.ledger.info.baseline, self.resolved, self.tracker
        found = needs_refinement(Comparison(self.ledger), facts.error)
        entries, kind = found.entries, SEARCH
        if len(found.within_tolerance) and resolved.refine == "auto" and resolved.method != "complex":
            entries, kind = found.within_tolerance, STEPS
        if tracker.budget != Budget() and (found.distance > GROSS).any():  # what will fail, most likely, comes first
            most = MOST_FIRST * tracker.coordinates(self._passes(SEARCH))
            first = np.argsort(-found.distance, kind="stable")[:most]
            entries, kind = np.sort(found.entries[first[found.distance[first] > GROSS]]), SEARCH
        if not len(entries):
            return None
        q, spent = self.ledger.info.spec.observables, self._passes(kind)
        count = len(entries) if q == 1 else len(np.unique(entries // q))
        multiple = max(1, facts.rows // stencil_of(resolved).nfev)
        size = resolved.block_size or block_size(count, spent, facts.seconds, self.executor.workers, multiple, q)
        if tracker.budget != Budget():  # a block that is too large for what is left would not be begun at all
            size = min(size, tracker.coordinates(spent))
        return wave_of(number, entries, q, size, kind)

    def _run_wave(self, wave: Wave) -> str:
        """Do the blocks of a wave that are not done, as far as the budget allows; returns a mismatch, if any."""
        records, each = self.ledger.records(wave.number), self._passes(wave.kind)
        dashboard = self.executor.dashboard if self.progress else ""
        meter = Meter(self.name, wave.number, records.coordinates, wave.count, self.progress, dashboard=dashboard)
        meter.advance(0, 0)
        if len(records) == wave.blocks:
            return ""
        pending: Iterable[int] = (block for block in range(wave.blocks) if block not in records)
        part = 1.0
        if self.tracker.budget != Budget():
            part = FIRST_LOOK if wave.number == 1 else 1.0
            # from all over x0, the same ones in every run
            order = np.random.default_rng(wave.number).permutation(wave.blocks)
            pending = [int(block) for block in order if block not in records]
        mismatch = ""

        def todo() -> Iterator[int]:
            for block in pending:
                if mismatch:  # what is under way is waited for, so that nothing is written after a new start
                    return
                start, stop = wave.bounds(block)
                if not self.tracker.allows(each * (stop - start), part):
                    return
                yield block

        for receipt in self.executor.map(self._task(wave), todo()):
            mismatch = mismatch or receipt.mismatch
            if receipt.record is not None:
                record = receipt.record
                self.ledger.accept(record, receipt.matrix)
                self.tracker.record_completed(each * (record.stop - record.start), record.nfev, record.seconds)
                meter.advance(record.stop - record.start, record.nfev)
        return mismatch

    def _replicate(self) -> None:
        """Have some of what each worker has done done again by another, within the budget; keep how they compare."""
        ledger = self.ledger
        found = list(ledger.info.replications)
        known = {one.wave for one in found}
        for wave in ledger.waves:
            if wave.number in known:
                continue
            each = self._passes(wave.kind)
            chosen = choose(wave, ledger.records(wave.number), self.resolved.confirm)
            spans = [span for span in chosen if self.tracker.allows(each * (span.stop - span.start))]
            if spans:
                for span, by, matrix in self.executor.repeat(self._task(wave), spans):
                    there = ledger.results(wave, span.start, span.stop)
                    found.append(compare_again(wave, span, by, there, matrix, partial(label_at, ledger.arrays)))
        if len(found) > len(known):
            ledger.update(replications=tuple(found))

    def _task(self, wave: Wave) -> Task:
        facts = self.ledger.info.baseline
        limits = Limits.of(wave, self._passes(wave.kind), facts.seconds, self.resolved.deadline, facts.strategy)
        return self.make_task(wave, limits)

    def _passes(self, kind: str) -> int:
        """Passes of a line, about."""
        if kind == SEARCH:
            return SEARCH_PASSES
        return 2 * stencil_of(self.resolved).nfev if kind == STEPS else passes_per_coordinate(self.resolved)


def confirm_failures(ledger: Ledger, evaluator: Evaluator, typical: tuple[float, ...]) -> str:
    """Compare what a fast path says of entries that would fail with fun itself, before they do.

    Returns
    -------
    str
        How they differ, if they do: then it is not the derivative that is wrong there.
    """
    if not isinstance(evaluator, CrossChecked) or not ledger.info.has_analytical:
        return ""
    index, step = would_fail(Comparison(ledger), MOST_CONFIRMED)
    if not len(index):
        return ""
    spent = 0
    lines = axes_of(evaluator, index, None, typical)
    for side in (step, -step):
        evaluator.confirm(lines, side)
        mismatch, nfev = evaluator.verify(ledger.info.spec.check)
        spent += nfev
        if mismatch:
            return mismatch
    ledger.update(more_nfev=ledger.info.more_nfev + spent)
    return ""
