"""Waves, carried out: blocks on an executor, within a budget, and what their results ask for next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from pardiff.comparison.reconcile import failing, passes, unsettled
from pardiff.evaluation.baseline import Start
from pardiff.evaluation.crosscheck import MOST_CONFIRMED, Doubt, Fast
from pardiff.evaluation.evaluator import Evaluator
from pardiff.evaluation.fixed_stencil import formula
from pardiff.execution.executors import Executor
from pardiff.execution.progress import Meter, Watcher
from pardiff.execution.replicate import choose, compare
from pardiff.execution.tasks import Limits, MemoryTask, Shared, Task
from pardiff.planning.budget_tracker import FIRST_LOOK, Purse
from pardiff.planning.cost import passes_per_coordinate
from pardiff.planning.waves import SEARCH, STEPS, Wave, block_size
from pardiff.problem.budget import Budget
from pardiff.problem.options import Settings
from pardiff.storage.ledger import Ledger, lay_out

GROSS, MOST_FIRST = 0.01, 4
"""Relative difference of what is searched first within a budget, and blocks of it at a time: it may cost more than
expected."""
SEARCH_PASSES = 10
"""Passes that the step search spends on a coordinate, typically; for the size of its blocks alone."""


def memory_tasks(shared: Shared, limits: Callable[[Wave], Limits]) -> Callable[[Wave], Task]:
    """What makes the task of a wave."""
    return lambda wave: MemoryTask(shared, wave, limits(wave))


def finish(
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
        index, near, distance = unsettled(ledger, settings.rtol, settings.atol, start.error)
        kind, everything = SEARCH, index
        if len(near) and settings.refine == "auto" and settings.method != "complex":
            index, kind = near, STEPS
        if purse.budget != Budget() and (distance > GROSS).any():  # what will fail, most likely, comes first
            first = np.argsort(-distance, kind="stable")[: MOST_FIRST * purse.coordinates(_passes(settings, SEARCH))]
            index, kind = np.sort(everything[first[distance[first] > GROSS]]), SEARCH
        if not len(index):
            break
        spent = _passes(settings, kind)
        multiple = max(1, start.rows // formula(settings).nfev)
        size = settings.block_size or block_size(len(index), spent, start.seconds, executor.workers, multiple)
        if purse.budget != Budget():  # a block that is too large for what is left would not be begun at all
            size = min(size, purse.coordinates(spent))
        ledger.add_wave(Wave(done + 1, len(index), min(size, len(index)), kind, index))
    _confirm(ledger, executor, make_task, settings, purse)
    ledger.check_results()
    lay_out(ledger)
    ledger.update(budget_spent=short)


def confirm_failures(ledger: Ledger, evaluator: Evaluator, settings: Settings, start: Start) -> None:
    """Compare what a fast path says of entries that would fail with fun itself, before they do.

    Raises
    ------
    Doubt
        If they differ: then it is not the gradient that is wrong there.
    """
    if not isinstance(evaluator, Fast) or not ledger.info["claimed"]:
        return
    assert settings.rtol is not None
    assert settings.atol is not None
    index, step = failing(ledger, settings.rtol, settings.atol, MOST_CONFIRMED)
    if not len(index):
        return
    spent = 0
    for side in (step, -step):
        evaluator.confirm(index, side, np.arange(len(index)))
        doubt, nfev = evaluator.verify(start.check)
        spent += nfev
        if doubt:
            raise Doubt(doubt)
    known = ledger.info["start"]
    ledger.update(start={**known, "nfev": known["nfev"] + spent})


def _confirm(
    ledger: Ledger, executor: Executor, make_task: Callable[[Wave], Task], settings: Settings, purse: Purse
) -> None:
    """Have some of what each worker has done done again by another, within the budget, and keep how they compare."""
    found = list(ledger.info.get("confirmed", []))
    known = {entry["of"] for entry in found}
    for wave in ledger.waves:
        if wave.number in known:
            continue
        each = _passes(settings, wave.kind)
        stretches = [
            stretch
            for stretch in choose(wave, ledger.records(wave.number), settings.confirm)
            if purse.allows(each * (stretch.stop - stretch.start))
        ]
        if stretches:
            for stretch, by, matrix in executor.repeat(make_task(wave), stretches):
                there = ledger.results(wave, stretch.start, stretch.stop)
                found.append(compare(wave, stretch, by, there, matrix) | {"of": wave.number})
    if found:
        ledger.update(confirmed=found)


def purse(ledger: Ledger, settings: Settings, executor: Executor, begin: float, start: Start) -> Purse:
    """What the budget leaves for this run."""
    budget = Budget() if settings.budget is None else Budget.parse(settings.budget)
    earlier = ledger.info["timings"].get("seconds", 0.0) + time.perf_counter() - begin
    return Purse(budget, passes(ledger), earlier, executor.workers, start.seconds)


def _passes(settings: Settings, kind: str) -> int:
    """Passes of a coordinate, about."""
    if kind == SEARCH:
        return SEARCH_PASSES
    return 2 * formula(settings).nfev if kind == STEPS else passes_per_coordinate(settings)


def limits(settings: Settings, start: Start, wave: Wave) -> Limits:
    """How long the tasks of a wave may take."""
    return Limits.of(wave, _passes(settings, wave.kind), start.seconds, settings.deadline, start.path)


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
    meter = Meter(
        name, wave.number, records.coordinates, wave.count, progress, dashboard=executor.dashboard if progress else ""
    )
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
