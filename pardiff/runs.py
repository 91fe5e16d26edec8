"""Audits, run: problem → start (fun and grad at x0) → ledger (memory or store) → waves of blocks on an executor →
reconciliation → result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pardiff.errors import StoreError
from pardiff.evaluation.estimate import Rule, formula
from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.evaluation.fast import Doubt
from pardiff.evaluation.paths import TITLES, open_path, plain_of
from pardiff.evaluation.start import Start, evaluate_start
from pardiff.evaluation.sweep import Sweep
from pardiff.evaluation.sweep import sweep as sweep_steps
from pardiff.execution.blas import single_threaded
from pardiff.execution.confirm import choose, compare
from pardiff.execution.events import Meter, Watcher
from pardiff.execution.executors import Executor, SerialExecutor
from pardiff.execution.tasks import Limits, MemoryTask, Session, Shared, StoredTask, Task, worker_name
from pardiff.identity import Source, check_value, fingerprint_of, has_parameters, without_point
from pardiff.planning.budget import FIRST_LOOK, Purse
from pardiff.planning.plan import first_wave, passes_per_coordinate
from pardiff.planning.waves import SEARCH, STEPS, Wave, block_size
from pardiff.problem.budget import Budget
from pardiff.problem.bundle import sha256
from pardiff.problem.problem import Problem
from pardiff.problem.settings import Settings
from pardiff.reconciliation.reconcile import Reconciliation, passes, reconcile, unsettled, worst
from pardiff.reconciliation.verdicts import Verdict
from pardiff.result import GradcheckResult
from pardiff.storage.ledger import Ledger, lay_out
from pardiff.storage.memory import MemoryLedger
from pardiff.storage.place import Place
from pardiff.storage.provenance import now, provenance

SEARCH_PASSES = 10
"""Passes that the step search spends on a coordinate, typically; for the size of its blocks alone."""
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
    from pardiff.storage.audit import Audit, audit_place, existing, remove, spent

    begin = time.perf_counter()
    place = audit_place(store)
    if existing(place):
        Audit.open(place)  # what is not an audit is refused before anything is done
    with single_threaded(), ExitStack() as stack:
        doubt, wasted = "", 0
        while True:
            start, evaluator = evaluate_start(problem, options, doubt)
            started = time.perf_counter() - begin
            settings = options.resolved(start.rtol, claimed=start.analytical is not None)
            rule = rule_of(start, settings)
            fingerprint = fingerprint_of(start, settings, source, problem)
            digest = sha256(json.dumps(fingerprint, sort_keys=True).encode())
            if not doubt:
                stack.enter_context(place.locked())
            if existing(place) and (fresh or doubt):
                remove(place)
            if existing(place):
                ledger = Audit.open(place, write=True)
                ledger.check_fingerprint(fingerprint)
                check_value(ledger, start)
                ledger.drop_damaged(erase=True)
                if not has_parameters(ledger, fingerprint["x0"]):
                    ledger.write_parameters(start.arrays)
                ledger.update(runs=ledger.info["runs"] + 1, state="running")
                rule = ledger.info["rule"]
            else:
                info = _info(name, source.target, settings, start, wasted) | {
                    "fingerprint": fingerprint,
                    "digest": digest,
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
            try:
                session = _own_session(executor, problem, evaluator, start, rule)

                task = _stored_tasks(place.address, digest, source, ledger, session, partial(_limits, settings, start))
                purse = _purse(ledger, settings, executor, begin)
                _finish(ledger, executor, task, settings, start, name, progress, purse)
                ledger.write_block_table()
                done = all(len(ledger.records(wave.number)) == wave.blocks for wave in ledger.waves)
                break
            except Doubt as refutation:
                doubt, wasted = f"{TITLES[rule['path']]}: {refutation}", passes(ledger)
            except BaseException:
                with suppress(StoreError):
                    spent(ledger, time.perf_counter() - begin, complete=False)
                raise
        spent(ledger, time.perf_counter() - begin, start=started, complete=done)
        reconciliation = _reconciled(ledger, settings, evaluator, start, rule)
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
                task = _memory_tasks(shared, partial(_limits, settings, start))
                purse = _purse(ledger, settings, executor, begin)
                _finish(ledger, executor, task, settings, start, name, progress, purse)
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


def _memory_tasks(shared: Shared, limits: Callable[[Wave], Limits]) -> Callable[[Wave], Task]:
    """What makes the task of a wave."""
    return lambda wave: MemoryTask(shared, wave, limits(wave))


def _stored_tasks(
    address: str,
    digest: str,
    source: Source,
    ledger: Any,
    session: Session | None,
    limits: Callable[[Wave], Limits],
) -> Callable[[Wave], Task]:
    """What makes the task of a wave; with a session, one that never leaves this thread."""

    def task(wave: Wave) -> Task:
        info = ledger.info
        made = StoredTask(address, digest, source.code, wave.number, info["runs"], info["rule"]["path"], limits(wave))
        if session is not None:
            made.adopt(ledger, session)
        return made

    return task


def _finish(
    ledger: Ledger,
    executor: Executor,
    make_task: Callable[[Wave], Task],
    settings: Settings,
    start: Start,
    name: str,
    progress: Watcher | None,
    purse: Purse,
) -> None:
    """Do the waves that are planned, plan those that their results ask for, and lay the results out."""
    assert settings.rtol is not None
    assert settings.atol is not None
    done, short = 0, False
    while True:
        for wave in ledger.waves[done:]:
            purse.exhausted = False
            each = _passes(settings, wave.kind)
            _run_wave(ledger, wave, executor, make_task(wave), name, progress, purse, each)
            done += 1
            short = short or purse.exhausted
        if settings.refine == "none" or (purse.exhausted and done > 1):
            break
        index, near = unsettled(ledger, settings.rtol, settings.atol, start.error)
        kind = SEARCH
        if len(near) and settings.refine == "auto" and settings.method != "complex":
            index, kind = near, STEPS
        if not len(index):
            break
        spent = _passes(settings, kind)
        multiple = max(1, start.rows // formula(settings).nfev)
        size = settings.block_size or block_size(len(index), spent, start.seconds, executor.workers, multiple)
        ledger.add_wave(Wave(done + 1, len(index), min(size, len(index)), kind, index))
    _confirm(ledger, executor, make_task, settings.confirm)
    lay_out(ledger)
    ledger.update(budget_spent=short)


def _confirm(ledger: Ledger, executor: Executor, make_task: Callable[[Wave], Task], fraction: float | None) -> None:
    """Have some of what each worker has done done again by another, and keep how they compare."""
    found = list(ledger.info.get("confirmed", []))
    known = {entry["of"] for entry in found}
    for wave in ledger.waves:
        if wave.number in known:
            continue
        stretches = choose(wave, ledger.records(wave.number), fraction)
        if stretches:
            for stretch, by, matrix in executor.repeat(make_task(wave), stretches):
                there = ledger.results(wave, stretch.start, stretch.stop)
                found.append(compare(wave, stretch, by, there, matrix) | {"of": wave.number})
    if found:
        ledger.update(confirmed=found)


def _purse(ledger: Ledger, settings: Settings, executor: Executor, begin: float) -> Purse:
    """What the budget leaves for this run."""
    budget = Budget() if settings.budget is None else Budget.parse(settings.budget)
    earlier = ledger.info["timings"].get("seconds", 0.0) + time.perf_counter() - begin
    return Purse(budget, passes(ledger), earlier, executor.workers)


def _passes(settings: Settings, kind: str) -> int:
    """Passes of a coordinate, about."""
    if kind == SEARCH:
        return SEARCH_PASSES
    return 2 * formula(settings).nfev if kind == STEPS else passes_per_coordinate(settings)


def _limits(settings: Settings, start: Start, wave: Wave) -> Limits:
    """How long the tasks of a wave may take."""
    return Limits.of(wave, _passes(settings, wave.kind), start.seconds, settings.deadline)


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
        spent = sum(record.seconds for wave in ledger.waves for record in ledger.records(wave.number).values())
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


def _run_wave(
    ledger: Ledger,
    wave: Wave,
    executor: Executor,
    task: Task,
    name: str,
    progress: Watcher | None,
    purse: Purse,
    each: float,
) -> None:
    """Do the blocks of a wave that are not done, as far as the budget allows; each coordinate takes some passes."""
    records = ledger.records(wave.number)
    done = sum(record.stop - record.start for record in records.values())
    meter = Meter(name, wave.number, done, wave.count, progress)
    meter.advance(0, 0)
    pending: Iterable[int] = (block for block in range(wave.blocks) if block not in records)
    if len(records) == wave.blocks:
        return
    part = 1.0
    if purse.budget != Budget():
        part = FIRST_LOOK if wave.number == 1 else 1.0
        # from all over x0, the same ones in every run
        pending = [int(b) for b in np.random.default_rng(wave.number).permutation(wave.blocks) if b not in records]
    doubt = ""

    def todo() -> Iterator[int]:
        for block in pending:
            if doubt:  # what is under way is waited for, so that nothing is written after the run has started over
                return
            start, stop = wave.bounds(block)
            if not purse.allows(each * (stop - start), part):
                return
            yield block

    for receipt in executor.map(task, todo()):
        doubt = doubt or receipt.doubt
        if receipt.record is not None:
            record = receipt.record
            ledger.accept(record, receipt.matrix)
            purse.settle(each * (record.stop - record.start), record.nfev, record.seconds)
            meter.advance(record.stop - record.start, record.nfev)
    if doubt:
        raise Doubt(doubt)


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
            "worker": worker_name(),
        },
        "provenance": provenance(),
        "timings": {"started": now()},
    }
