"""Audits, run: problem → start (fun and grad at x0) → ledger (memory or store) → waves of blocks on an executor →
reconciliation → result.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pardiff.audit.result import GradcheckResult
from pardiff.audit.run_waves import confirm_failures, finish, limits, memory_tasks, purse
from pardiff.comparison.reconcile import Reconciliation, passes, reconcile, worst
from pardiff.comparison.verdicts import Verdict
from pardiff.errors import NotAnAuditError, StoreError
from pardiff.evaluation.baseline import Start, evaluate_start
from pardiff.evaluation.crosscheck import Doubt
from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.evaluation.fixed_stencil import Rule, formula
from pardiff.evaluation.step_sweep import Sweep
from pardiff.evaluation.step_sweep import sweep as sweep_steps
from pardiff.evaluation.strategy import TITLES, open_path, plain_of
from pardiff.execution.blas import single_threaded
from pardiff.execution.executors import Executor, SerialExecutor
from pardiff.execution.progress import Watcher
from pardiff.execution.tasks import Limits, Session, Shared, StoredTask, Task, worker_name
from pardiff.logs import event
from pardiff.planning.cost import first_wave
from pardiff.planning.waves import Wave
from pardiff.problem.options import Settings
from pardiff.problem.problem import Problem
from pardiff.source.fingerprint import Source, check_value, fingerprint_of, has_parameters, without_point
from pardiff.storage.ledger import Ledger
from pardiff.storage.location.base import Place
from pardiff.storage.memory import MemoryLedger
from pardiff.storage.provenance import now, provenance

SWEEPS = 3
"""Worst entries whose steps are swept."""
SWEEP_PASSES = 50
"""Passes of a sweep, about."""
SWEEP_SECONDS, SWEEP_SHARE = 2.0, 0.01
"""What a sweep may take: so long, or such a part of the run's own work."""


def audit(
    problem: Problem,
    name: str,
    options: Settings,
    source: Source,
    store: str | Path | Place,
    executor: Executor,
    progress: Watcher | None = None,
    *,
    fresh: bool = False,
) -> GradcheckResult:
    """Run an audit that is kept in a store, or go on with it.

    Parameters
    ----------
    store : path, address or Place
        The audit's own, ``OUT/NAME``.
    fresh : bool
        Remove an audit that is there, whatever it is of.
    """
    from pardiff.storage.zarr_ledger import Audit, audit_place, existing, remove, spent

    begin = time.perf_counter()
    place = audit_place(store)
    if existing(place):
        try:
            Audit.open(place)  # what is not an audit is refused before anything is done
        except NotAnAuditError:
            raise
        except StoreError:
            if not fresh:
                raise
    with single_threaded(), ExitStack() as stack:
        doubt, wasted = "", 0
        while True:
            start, evaluator = evaluate_start(problem, options, doubt)
            started = time.perf_counter() - begin
            settings = options.resolved(start.rtol, claimed=start.analytical is not None)
            rule = rule_of(start, settings)
            fingerprint = fingerprint_of(start, settings, source, problem)
            if not doubt:
                stack.enter_context(place.locked())
            if existing(place) and (fresh or doubt):
                remove(place)
            if existing(place):
                ledger = Audit.open(place, write=True)
                ledger.check_fingerprint(fingerprint)
                check_value(ledger, start)
                ledger.mend()
                ledger.drop_damaged(erase=True)
                if not has_parameters(ledger, fingerprint["x0"]):
                    ledger.write_parameters(start.arrays)
                ledger.update(runs=ledger.info["runs"] + 1, state="running", budget_spent=False)
                rule = ledger.info["rule"]
            else:
                info = _info(name, source.target, settings, start, wasted) | {
                    "fingerprint": fingerprint,
                    "rule": rule,
                    "runs": 1,
                }
                wave = first_wave(start.layout.size, settings, start.seconds, executor.workers, start.rows)
                ledger = Audit.create(place, start.layout, start.arrays, info, wave)
            if source.bundle:
                ledger.write_code(source.code.filename, source.bundle)
            if start.analytical is not None:
                ledger.write_analytical(start.analytical)
            ledger.update(
                settings=asdict(settings), claimed=start.analytical is not None, environment=executor.remarks()
            )
            event("run started", audit=name, run=ledger.info["runs"], parameters=start.layout.size)
            troubles = Counter(executor.troubles)
            try:
                session = _own_session(executor, problem, evaluator, start, rule)
                task = _stored_tasks(place.address, source, ledger, session, partial(limits, settings, start))
                left = purse(ledger, settings, executor, begin, start)
                before = passes(ledger)
                finish(ledger, executor, task, settings, start, name, progress, left)
                if passes(ledger) > before:
                    confirm_failures(ledger, evaluator, settings, start)
                ledger.write_block_table()
                done = all(len(ledger.records(wave.number)) == wave.blocks for wave in ledger.waves)
                break
            except Doubt as refutation:
                doubt, wasted = f"{TITLES[rule['path']]}: {refutation}", passes(ledger)
            except BaseException as error:
                event("run stopped", logging.WARNING, audit=name, reason=type(error).__name__)
                with suppress(StoreError):
                    spent(ledger, time.perf_counter() - begin, complete=False)
                raise
        troubles = Counter(ledger.info.get("troubles", {})) + (Counter(executor.troubles) - troubles)
        ledger.update(troubles=dict(troubles))
        spent(ledger, time.perf_counter() - begin, start=started, complete=done)
        reconciliation = _reconciled(ledger, settings, evaluator, start, rule)
        event("run ended", audit=name, verdict=reconciliation.verdict.name, nfev=reconciliation.nfev)
    return GradcheckResult(ledger, reconciliation, place)


def in_memory(
    problem: Problem, name: str, options: Settings, executor: Executor, progress: Watcher | None
) -> GradcheckResult:
    """Run an audit that is kept in memory."""
    begin = time.perf_counter()
    with single_threaded():
        doubt, wasted = "", 0
        while True:
            start, evaluator = evaluate_start(problem, options, doubt)
            started = time.perf_counter() - begin
            settings = options.resolved(start.rtol, claimed=start.analytical is not None)
            rule = rule_of(start, settings)
            ledger = MemoryLedger(
                start.layout, start.arrays, start.analytical, _info(name, "in memory", settings, start, wasted)
            )
            ledger.update(environment=executor.remarks())
            ledger.add_wave(first_wave(start.layout.size, settings, start.seconds, executor.workers, start.rows))
            try:
                session = _own_session(executor, problem, evaluator, start, rule)
                # what is sent to workers has no x0 and no gradient of its own
                sent = problem if session else without_point(problem)
                arrays = start.arrays if session else [array.copy() for array in start.arrays]
                shared = Shared(sent, start.layout, arrays, Rule.of(rule))
                if session is not None:
                    shared.adopt(session)
                task = memory_tasks(shared, partial(limits, settings, start))
                left = purse(ledger, settings, executor, begin, start)
                finish(ledger, executor, task, settings, start, name, progress, left)
                confirm_failures(ledger, evaluator, settings, start)
                break
            except Doubt as refutation:
                doubt, wasted = f"{TITLES[rule['path']]}: {refutation}", passes(ledger)
        evaluated = time.perf_counter() - begin
        assert settings.rtol is not None
        assert settings.atol is not None
        reconciliation = reconcile(ledger, settings.rtol, settings.atol)
        timings = {"start": started, "waves": evaluated - started, "seconds": time.perf_counter() - begin}
        ledger.update(timings={**ledger.info["timings"], **timings})
    return GradcheckResult(ledger, reconciliation)


def _stored_tasks(
    address: str,
    source: Source,
    ledger: Any,
    session: Session | None,
    limits: Callable[[Wave], Limits],
) -> Callable[[Wave], Task]:
    """What makes the task of a wave; with a session, one that never leaves this thread."""

    def task(wave: Wave) -> Task:
        info = ledger.info
        made = StoredTask(
            address, info["id"], source.code, wave.number, info["runs"], info["rule"]["path"], limits(wave)
        )
        if session is not None:
            made.adopt(ledger, session)
        return made

    return task


def _reconciled(
    ledger: Ledger, settings: Settings, evaluator: Evaluator, start: Start, rule: dict[str, Any]
) -> Reconciliation:
    """Compare, and sweep the step at the worst entries where something is wrong or open."""
    assert settings.rtol is not None
    assert settings.atol is not None
    found = reconcile(ledger, settings.rtol, settings.atol)
    if found.verdict is Verdict.PASS or found.unfinished or not found.claimed:
        return found
    entries = worst(ledger, found, settings.rtol, settings.atol, SWEEPS)
    labels = [entry.label for entry in entries if entry.verdict in ("fail", "inconclusive")]
    known = {swept["label"]: swept for swept in ledger.info.get("sweeps", [])}
    for label in labels:
        spent = sum(float(ledger.records(wave.number).column("seconds").sum()) for wave in ledger.waves)
        if label not in known and SWEEP_PASSES * start.seconds <= max(SWEEP_SECONDS, SWEEP_SHARE * spent):
            known[label] = asdict(sweep_entry(evaluator, start, Rule.of(rule), label))
    ledger.update(sweeps=list(known.values()))
    return replace(found, nfev=passes(ledger))


def sweep_entry(evaluator: Evaluator, start: Start, rule: Rule, label: str) -> Sweep:
    """Sweep the step at one entry, and see that fun has left x as it was."""
    index = np.array([start.layout.coordinate(label)])
    at = Coordinates.of(evaluator, index, start.bounds, start.typical)
    swept = sweep_steps(evaluator, rule, at, label)
    evaluator.failures.clear()
    evaluator.check_unchanged()
    return swept


def _own_session(
    executor: Executor, problem: Problem, evaluator: Evaluator, start: Start, rule: dict[str, Any]
) -> Session | None:
    """The evaluator that is ready in this thread, for tasks that never leave it."""
    if not isinstance(executor, SerialExecutor):
        return None
    if (start.path, start.rows) != (rule["path"], rule["rows"]):  # an audit goes on as it was begun
        evaluator = open_path(problem, plain_of(evaluator), rule["path"], rule["rows"])
    return Session(evaluator, Rule.of(rule), start.bounds, start.repeat)


def rule_of(start: Start, settings: Settings) -> dict[str, Any]:
    """What `Rule.of` takes, as plain data."""
    return {
        "offsets": list(formula(settings).offsets),
        "eps": start.eps,
        "noise": start.noise,
        "slope_noise": start.slope_noise,
        "rel_step": settings.rel_step,
        "abs_step": settings.abs_step,
        "typical": list(start.typical),
        "refine": settings.refine,
        "rtol": settings.rtol,
        "path": start.path,
        "rows": start.rows,
        "check": [start.check.eps, start.check.noise],
    }


def _info(name: str, target: str, settings: Settings, start: Start, wasted: int) -> dict[str, Any]:
    """What an audit knows from its start; ``wasted`` passes went to a fast path that was refuted."""
    return {
        "problem": name,
        "target": target,
        "settings": asdict(settings),
        "claimed": start.analytical is not None,
        "start": {
            "value": start.value,
            "repeat": start.repeat,
            "seconds": start.seconds,
            "nfev": start.nfev + wasted,
            "noise": start.noise,
            "sigma": start.sigma,
            "probe": start.probe,
            "single_precision": start.single_precision,
            "path": start.path,
            "rows": start.rows,
            "doubt": start.doubt,
            "declined": start.declined,
            "unsteady": list(start.unsteady),
            "lengths": [[length, of] for length, of in start.lengths.items()],
            "worker": worker_name(),
        },
        "provenance": provenance(),
        "timings": {"started": now()},
    }
