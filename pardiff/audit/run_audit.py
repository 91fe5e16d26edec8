"""An audit, run: baseline → ledger (memory or store) → waves of blocks on an executor → comparison → result."""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace

from pardiff.audit.keeping import InMemory, InStore
from pardiff.audit.result import GradcheckResult
from pardiff.audit.run_waves import Fallback, Waves, confirm_failures
from pardiff.audit.sweeps import sweep_worst
from pardiff.comparison.compared import Comparison, save
from pardiff.comparison.reconcile import reconcile
from pardiff.evaluation.baseline import Baseline, measure_baseline
from pardiff.evaluation.evaluator import Evaluator
from pardiff.evaluation.spec import DifferentiationSpec
from pardiff.evaluation.strategy import TITLES, open_evaluator, pointwise_of
from pardiff.execution.blas import single_threaded
from pardiff.execution.executors import Executor, SerialExecutor
from pardiff.execution.progress import Watcher
from pardiff.execution.session import Session, forget
from pardiff.execution.tasks import worker_name
from pardiff.logs import event
from pardiff.planning.budget_tracker import BudgetTracker
from pardiff.planning.cost import first_wave
from pardiff.planning.waves import Wave
from pardiff.problem.options import Options, Resolved
from pardiff.problem.problem import Problem
from pardiff.storage.info import COMPLETE, AuditInfo, Timings
from pardiff.storage.ledger import Ledger, passes
from pardiff.storage.provenance import now, provenance


def run_audit(
    problem: Problem,
    name: str,
    options: Options,
    executor: Executor,
    kept: InMemory | InStore,
    progress: Watcher | None = None,
) -> GradcheckResult:
    """Run an audit, or go on with the one that stands where it is kept.

    Parameters
    ----------
    kept : InMemory or InStore
        Where the audit is kept.

    Raises
    ------
    PardiffError
        If the problem, the place or the executor cannot be used.
    """
    begin = time.perf_counter()
    kept.check()
    with single_threaded(), ExitStack() as stack:
        stack.callback(forget)
        fallback: Fallback | None = None
        while True:
            baseline, evaluator = measure_baseline(problem, options, fallback.reason if fallback else "")
            resolved = options.resolved(baseline.rtol, has_analytical=baseline.analytical is not None)
            started = time.perf_counter() - begin
            if fallback is None:
                stack.enter_context(kept.held())
            info = _info(problem, name, kept.target, resolved, baseline, fallback)
            ledger = kept.open(baseline, info, _first_wave(baseline, resolved, executor), anew=fallback is not None)
            ledger.update(environment=tuple(executor.environment_warnings()))
            event("run started", audit=name, run=ledger.info.runs, parameters=baseline.space.size)
            evaluator = _evaluator_of(problem, evaluator, ledger.info.spec, baseline)
            run = _Run(problem, name, executor, kept, progress, baseline, evaluator, ledger, begin, started)
            fallback = run.attempt()
            if fallback is None:
                return run.finish()


@dataclass
class _Run:
    """One attempt at an audit, from its first block to its result."""

    problem: Problem
    name: str
    executor: Executor
    kept: InMemory | InStore
    progress: Watcher | None
    baseline: Baseline
    evaluator: Evaluator
    ledger: Ledger
    begin: float
    """When the audit was begun, on the clock of `time.perf_counter`."""
    started: float
    """Seconds from there to the first block."""

    def __post_init__(self) -> None:
        """Keep what the executor has lost before this run."""
        self._troubles = Counter(self.executor.troubles)

    def attempt(self) -> Fallback | None:
        """Do all waves; what is returned asks for a new start by fun alone."""
        spec = self.ledger.info.spec
        try:
            session = None
            if isinstance(self.executor, SerialExecutor):  # its tasks never leave this thread
                session = Session(self.evaluator, spec, self.baseline.bounds, self.baseline.facts.repeat)
            make_task = self.kept.tasks(self.problem, self.baseline, self.ledger, session)
            tracker = self._tracker()
            before = passes(self.ledger)
            mismatch = Waves(self.ledger, self.executor, make_task, tracker, self.name, self.progress).run()
            if not mismatch and passes(self.ledger) > before:
                mismatch = confirm_failures(self.ledger, self.evaluator, self.baseline.typical)
        except BaseException as error:
            event("run stopped", logging.WARNING, audit=self.name, reason=type(error).__name__)
            self.kept.stopped(self.ledger, time.perf_counter() - self.begin)
            if isinstance(error, KeyboardInterrupt) and self.kept.location is not None:
                error.add_note(f"finished blocks are kept in {self.kept.location.address}; the same call resumes")
            raise
        return Fallback(f"{TITLES[spec.strategy]}: {mismatch}", passes(self.ledger)) if mismatch else None

    def _tracker(self) -> BudgetTracker:
        """What the budget leaves for this run."""
        info = self.ledger.info
        earlier = info.timings.seconds + time.perf_counter() - self.begin
        return BudgetTracker(
            info.settings.limit, passes(self.ledger), earlier, self.executor.workers, info.baseline.seconds
        )

    def finish(self) -> GradcheckResult:
        """Compare, sweep the step at the worst entries, and keep how long all of it took."""
        ledger, info = self.ledger, self.ledger.info
        troubles = Counter(info.troubles) + (Counter(self.executor.troubles) - self._troubles)
        done = all(len(ledger.records(wave.number)) == wave.blocks for wave in ledger.waves)
        waves = time.perf_counter() - self.begin - self.started
        comparison = Comparison(ledger)
        save(comparison)
        self.kept.finished(ledger)
        ledger.update(
            troubles=dict(troubles),
            state=COMPLETE if done else info.state,
            timings=_longer(info.timings, self.started, waves, time.perf_counter() - self.begin, complete=done),
        )
        found = reconcile(comparison)
        found = sweep_worst(comparison, found, self.evaluator, self.baseline)
        event("run ended", audit=self.name, verdict=found.verdict.name, nfev=found.nfev)
        return GradcheckResult(comparison, found, self.kept.location)


def _info(
    problem: Problem, name: str, target: str, resolved: Resolved, baseline: Baseline, fallback: Fallback | None
) -> AuditInfo:
    """What an audit knows at its start."""
    facts = baseline.facts
    return AuditInfo(
        problem=name,
        target=target,
        settings=resolved,
        has_analytical=baseline.analytical is not None,
        baseline=replace(facts, nfev=facts.nfev + (fallback.nfev if fallback else 0)),
        spec=baseline.spec(resolved),
        client=worker_name(),
        provenance=provenance(),
        timings=Timings(started=now()),
    )


def _first_wave(baseline: Baseline, resolved: Resolved, executor: Executor) -> Wave:
    """The wave that covers x0."""
    facts = baseline.facts
    observables = 1 if baseline.cotangents is None else baseline.cotangents.count
    return first_wave(baseline.space.size, resolved, facts.seconds, executor.workers, facts.rows, observables)


def _evaluator_of(problem: Problem, evaluator: Evaluator, spec: DifferentiationSpec, baseline: Baseline) -> Evaluator:
    """The evaluator of this thread: an audit goes on as it was begun."""
    if (baseline.facts.strategy, baseline.facts.rows) == (spec.strategy, spec.rows):
        return evaluator
    return open_evaluator(problem, pointwise_of(evaluator), spec.strategy, spec.rows)


def _longer(timings: Timings, start: float, waves: float, seconds: float, *, complete: bool) -> Timings:
    """Timings with those of one more run."""
    return replace(
        timings,
        start=timings.start + start,
        waves=timings.waves + waves,
        seconds=timings.seconds + seconds,
        finished=now() if complete else timings.finished,
    )
