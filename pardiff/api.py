"""`gradcheck` and its relatives: the only layer that joins the stages.

Route of an audit: problem → start (fun and grad at x0) → ledger (memory or store) → waves of blocks on
an executor → reconciliation → result.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import pickle
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pardiff.errors import FingerprintError, InputError, StoreError
from pardiff.evaluation.estimate import Rule
from pardiff.evaluation.pointwise import Pointwise
from pardiff.evaluation.start import Start, evaluate_start
from pardiff.execution.blas import single_threaded
from pardiff.execution.events import Meter, Watcher
from pardiff.execution.executors import Executor, SerialExecutor, Task, open_executor
from pardiff.execution.tasks import MemoryTask, Session, StoredTask, worker_name
from pardiff.planning.plan import Plan, first_wave, make_plan
from pardiff.planning.waves import Wave, block_size
from pardiff.problem.bundle import Code, sha256
from pardiff.problem.parameters import Structure, parameters_digest, unflatten
from pardiff.problem.problem import Problem, ProblemFactory
from pardiff.problem.settings import Settings
from pardiff.reconciliation.findings import SAME_VALUE
from pardiff.reconciliation.reconcile import reconcile, unsettled
from pardiff.result import GradcheckResult, GradientResult
from pardiff.storage.ledger import Ledger, lay_out
from pardiff.storage.memory import MemoryLedger
from pardiff.storage.provenance import now, provenance

SEARCH_PASSES = 10
"""Passes that the second wave spends on a coordinate, typically; for the size of its blocks alone."""


@dataclass(frozen=True)
class Source:
    """Where the code of a problem comes from, for workers and for the fingerprint."""

    target: str
    """As the user wrote it."""
    code: Code
    bundle: bytes
    """Content of the bundle; empty for an importable module."""
    digest: str
    """Of the source text."""


def gradcheck(
    fun: Callable[..., Any] | Problem | ProblemFactory,
    grad: Callable[..., Structure] | Structure | None = None,
    x0: Structure = None,
    *,
    args: tuple[Any, ...] = (),
    bounds: Any = None,
    method: str | None = None,
    order: int | None = None,
    rel_step: float | None = None,
    abs_step: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    mode: str | None = None,
    block_size: int | None = None,
    executor: Any = None,
    store: str | Path | None = None,
    seed: int | None = None,
    progress: Watcher | None = None,
) -> GradcheckResult:
    """Compare an analytical gradient with numerical differentiation, entry by entry.

    Each derivative is found by central differences, two passes of fun each, with an error bar. Entries
    that are not a clear PASS are differentiated again with a search for the best step before the
    verdict stands.

    Parameters
    ----------
    fun : callable or Problem
        ``fun(x, *args) -> float``. It must neither change nor keep ``x``, which is perturbed in place.
        A `Problem` (or a factory of one) takes the place of fun, grad, x0, args and bounds.
    grad : callable, structure or None
        ``grad(x, *args)`` with the structure of x0, or the gradient itself; None for none.
    x0 : array_like or mapping
        The point: floats of any shape, or a nested mapping of named arrays.
    args : tuple
        Further arguments of fun and grad.
    bounds : pair or None
        ``(lower, upper)``; scalars or structures like x0. fun is never evaluated outside.
    method : {"central", "forward", "backward"}
        Side of x0 from which fun is taken (default central). A bound can force another side.
    order : int
        Order of accuracy: central 2, 4, 6 or 8 (default 2), one-sided 1 to 4 (default 1).
    rel_step, abs_step : float
        Step relative to ``max(|x|, 1)``, or in the units of x. The default follows from the precision. Entries
        that do not pass with it are looked at again with steps that the search chooses.
    rtol, atol : float
        Tolerance ``atol + rtol max(|a|, |d|) + 1e-3 rtol rms(d)``. rtol is 1e-6 by default, 1e-3 where
        fun returns float32 and 1e-2 where it returns float16; atol is 0.
    mode : {"full"}
        Every coordinate is checked.
    block_size : int
        Coordinates in a block; by default about two seconds of work.
    executor : None, "threads", "processes", address, distributed.Client or map-like
        Where fun is evaluated. The bits of the result are the same everywhere.
    store : path or None
        Folder in which the audit is kept, and from which an interrupted one goes on.
    seed : int
        Seed of what is drawn: the directions in which the noise of fun is measured (default 0).
    progress : callable or None
        Called with a `Progress` after each block.

    Returns
    -------
    GradcheckResult

    Raises
    ------
    InputError
        If fun, grad, x0, the bounds or an option cannot be used.
    StoreError
        If the store cannot be written, is no audit (`NotAnAuditError`) or another's (`FingerprintError`).
    ClusterError, WorkerError
        If the executor fails. With a store, the next call goes on with the finished blocks.

    Notes
    -----
    fun is called twice at x0, and once on each worker; differing values are a finding. While fun is
    evaluated BLAS is held to one thread, so that every executor gives the same bits. Memory is O(n).

    Examples
    --------
    >>> import numpy as np
    >>> result = gradcheck(lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, np.array([1.0, 2.0]))
    >>> result.passed, result.counts["pass"]
    (True, 2)
    """
    if x0 is not None and grad is None and isinstance(fun, Problem | ProblemFactory):
        raise InputError("x0: got one beside a Problem, which has its own")
    problem = _as_problem(fun, grad, x0, args, bounds)
    options = Settings(method, order, rel_step, abs_step, rtol, atol, mode, block_size, seed)
    settings = options.over(problem.options)
    name = problem.name or _name_of(problem.fun)
    with open_executor(executor) as opened:
        if store is None:
            return _in_memory(problem, name, settings, opened, progress)
        source = _pickled_source(problem)
        return audit(problem, name, settings, source, store, opened, progress)


def gradient(
    fun: Callable[..., Any] | Problem | ProblemFactory,
    x0: Structure = None,
    *,
    args: tuple[Any, ...] = (),
    bounds: Any = None,
    method: str | None = None,
    order: int | None = None,
    rel_step: float | None = None,
    abs_step: float | None = None,
    rtol: float | None = None,
    block_size: int | None = None,
    executor: Any = None,
    progress: Watcher | None = None,
) -> GradientResult:
    """Numerical gradient with error bars.

    Parameters are those of `gradcheck`; entries whose error bar is wider than ``rtol`` are
    differentiated again with a search for the best step.

    Returns
    -------
    GradientResult
        ``value`` and ``uncertainty`` in the structure of x0, and ``nfev``.

    Examples
    --------
    >>> import numpy as np
    >>> found = gradient(lambda x: float(np.sum(x**3)), np.array([1.0, 2.0]))
    >>> np.allclose(found.value, [3, 12], rtol=1e-8)
    True
    """
    problem = _as_problem(fun, None, x0, args, bounds)
    numerical_only = Problem(problem.fun, None, problem.x0, args=problem.args, bounds=problem.bounds)
    settings = Settings(method, order, rel_step, abs_step, rtol, block_size=block_size).over(problem.options)
    with open_executor(executor) as opened:
        result = _in_memory(numerical_only, "gradient", settings, opened, progress)
    ledger = result._ledger
    found = ledger.estimates(0, ledger.layout.size)
    return GradientResult(
        value=unflatten(ledger.layout, found.numerical),
        uncertainty=unflatten(ledger.layout, found.uncertainty),
        nfev=result.nfev,
        seconds=result.seconds,
    )


def plan(
    problem: Problem | ProblemFactory, *, workers: int = 1, name: str = "", options: Settings | None = None
) -> Plan:
    """What an audit would cost, from two calls of fun and one of grad.

    Parameters
    ----------
    problem : Problem
    workers : int
        Worker threads to plan for.
    options : Settings or None
        Options that go over those that the problem pins.
    """
    problem = problem() if isinstance(problem, ProblemFactory) else problem
    with single_threaded():
        start, _ = evaluate_start(problem)
    settings = (options or Settings()).over(problem.options).resolved(start.rtol)
    return make_plan(name or problem.name or _name_of(problem.fun), start.layout.size, settings, start.seconds, workers)


def audit(
    problem: Problem,
    name: str,
    options: Settings,
    source: Source,
    store: str | Path,
    executor: Executor,
    progress: Watcher | None = None,
    *,
    fresh: bool = False,
) -> GradcheckResult:
    """Run an audit that is kept in a folder, or go on with it.

    Parameters
    ----------
    store : path
        The audit's own folder, ``OUT/NAME``.
    fresh : bool
        Remove an audit that is there, whatever it is of.
    """
    from pardiff.storage.audit import Audit, audit_folder, existing, locked, remove, spent

    begin = time.perf_counter()
    folder = audit_folder(store).resolve()  # fun and the factory may change the working directory
    if existing(folder):
        Audit.open(folder)  # what is not an audit is refused before anything is done
    with single_threaded(), ExitStack() as stack:
        start, evaluator = evaluate_start(problem, options.seed or 0)
        settings = options.resolved(start.rtol)
        rule = _rule(start, settings)
        fingerprint = _fingerprint(start, settings, source)
        digest = sha256(json.dumps(fingerprint, sort_keys=True).encode())
        stack.enter_context(locked(folder))
        if existing(folder) and fresh:
            remove(folder)
        if existing(folder):
            ledger = Audit.open(folder, write=True)
            ledger.check_fingerprint(fingerprint)
            _check_value(ledger, start)
            ledger.drop_damaged(erase=True)
            if not _has_parameters(ledger, fingerprint["x0"]):
                ledger.write_parameters(start.arrays)
            ledger.update(runs=ledger.info["runs"] + 1, state="running")
            rule = ledger.info["rule"]
        else:
            info = _info(name, source.target, settings, start) | {
                "fingerprint": fingerprint,
                "digest": digest,
                "rule": rule,
                "runs": 1,
            }
            wave = first_wave(start.layout.size, settings, start.seconds, executor.workers)
            ledger = Audit.create(folder, start.layout, start.arrays, info, wave)
        if source.bundle:
            ledger.write_code(source.code.filename, source.bundle)
        if start.analytical is not None:
            ledger.write_analytical(start.analytical)
        ledger.update(settings=asdict(settings), claimed=start.analytical is not None)

        session = _own_session(executor, evaluator, start, rule)

        def task(wave: Wave) -> Task:
            made = StoredTask(str(folder), digest, source.code, wave.number, ledger.info["runs"])
            if session is not None:
                made.adopt(ledger, session)
            return made

        try:
            _finish(ledger, executor, task, settings, start, name, progress)
            ledger.write_block_table()
            done = all(len(ledger.records(wave.number)) == wave.blocks for wave in ledger.waves)
        except BaseException:
            with suppress(StoreError):
                spent(ledger, time.perf_counter() - begin, complete=False)
            raise
        spent(ledger, time.perf_counter() - begin, complete=done)
        assert settings.rtol is not None
        assert settings.atol is not None
        reconciliation = reconcile(ledger, settings.rtol, settings.atol)
    return GradcheckResult(ledger, reconciliation, folder)


def reconcile_store(store: str | Path, *, rtol: float | None = None, atol: float | None = None) -> GradcheckResult:
    """Compare the gradients of an audit again, with other tolerances and without a forward pass.

    Parameters
    ----------
    store : path
        The audit's folder, or the ``audit.zarr`` in it.
    rtol, atol : float or None
        None keeps those of the audit.
    """
    from pardiff.storage.audit import Audit

    ledger = Audit.open(store, write=True)
    ledger.drop_damaged()
    ledger.check_analytical()
    settings = Settings(rtol=rtol, atol=atol).over(Settings(**ledger.info["settings"]))
    assert settings.rtol is not None
    assert settings.atol is not None
    ledger.update(settings=asdict(settings))
    lay_out(ledger)
    return GradcheckResult(ledger, reconcile(ledger, settings.rtol, settings.atol), ledger.folder)


def open_result(store: str | Path) -> GradcheckResult:
    """The result of an audit as it stands, finished or not; nothing is written or executed."""
    from pardiff.storage.audit import Audit

    ledger = Audit.open(store)
    ledger.drop_damaged()
    ledger.check_analytical()
    settings = ledger.info["settings"]
    ledger.write = lambda *_: None  # type: ignore[method-assign]
    return GradcheckResult(ledger, reconcile(ledger, settings["rtol"], settings["atol"]), ledger.folder)


def _in_memory(
    problem: Problem, name: str, options: Settings, executor: Executor, progress: Watcher | None
) -> GradcheckResult:
    begin = time.perf_counter()
    with single_threaded():
        start, evaluator = evaluate_start(problem, options.seed or 0)
        settings = options.resolved(start.rtol)
        rule = _rule(start, settings)
        info = _info(name, "in memory", settings, start)
        ledger = MemoryLedger(start.layout, start.arrays, start.analytical, info)
        ledger.add_wave(first_wave(start.layout.size, settings, start.seconds, executor.workers))
        arrays = [array.copy() for array in start.arrays]
        # what is sent to workers has no x0 and no gradient of its own
        sent = _without_point(problem)

        session = _own_session(executor, evaluator, start, rule)

        def task(wave: Wave) -> Task:
            made = MemoryTask(sent, start.layout, arrays, Rule.of(**rule), wave)
            if session is not None:
                made.adopt(session)
            return made

        _finish(ledger, executor, task, settings, start, name, progress)
        assert settings.rtol is not None
        assert settings.atol is not None
        reconciliation = reconcile(ledger, settings.rtol, settings.atol)
        ledger.update(timings={**ledger.info["timings"], "seconds": time.perf_counter() - begin})
    return GradcheckResult(ledger, reconciliation)


def _finish(
    ledger: Ledger,
    executor: Executor,
    make_task: Callable[[Wave], Task],
    settings: Settings,
    start: Start,
    name: str,
    progress: Watcher | None,
) -> None:
    """Do the waves that are planned, plan those that their results ask for, and lay the results out."""
    assert settings.rtol is not None
    assert settings.atol is not None
    done = 0
    while True:
        for wave in ledger.waves[done:]:
            _run_wave(ledger, wave, executor, make_task(wave), name, progress)
            done += 1
        index = unsettled(ledger, settings.rtol, settings.atol)
        if not len(index):
            break
        size = settings.block_size or block_size(len(index), SEARCH_PASSES, start.seconds, executor.workers)
        ledger.add_wave(Wave(done + 1, len(index), min(size, len(index)), index))
    lay_out(ledger)


def _run_wave(ledger: Ledger, wave: Wave, executor: Executor, task: Task, name: str, progress: Watcher | None) -> None:
    records = ledger.records(wave.number)
    done = sum(record.stop - record.start for record in records.values())
    meter = Meter(name, wave.number, done, wave.count, progress)
    meter.advance(0, 0)
    pending = (block for block in range(wave.blocks) if block not in records)
    if len(records) == wave.blocks:
        return
    for receipt in executor.map(task, pending):
        ledger.accept(receipt.record, receipt.matrix)
        meter.advance(receipt.record.stop - receipt.record.start, receipt.record.nfev)


def _own_session(executor: Executor, evaluator: Pointwise, start: Start, rule: dict[str, Any]) -> Session | None:
    """The evaluator that is ready in this thread, for tasks that never leave it."""
    if not isinstance(executor, SerialExecutor):
        return None
    return Session(evaluator, Rule.of(**rule), start.bounds, start.repeat)


def _as_problem(fun: Any, grad: Any, x0: Any, args: tuple[Any, ...], bounds: Any) -> Problem:
    problem = fun() if isinstance(fun, ProblemFactory) else fun
    if not isinstance(problem, Problem):
        return Problem(fun, grad, x0, args=args, bounds=bounds)
    if grad is not None or x0 is not None or args or bounds is not None:
        raise InputError("grad, x0, args and bounds belong to the Problem; got some beside it")
    return problem


def _without_point(problem: Problem) -> Problem:
    """The problem as workers need it: x0 reaches them on its own way, and they never call grad."""
    return Problem(problem.fun, None, np.zeros(1), args=problem.args, bounds=problem.bounds)


def _rule(start: Start, settings: Settings) -> dict[str, Any]:
    """Arguments of `Rule.of`, as plain data."""
    return {
        "method": settings.method,
        "order": settings.order,
        "eps": start.eps,
        "noise": start.noise,
        "rel_step": settings.rel_step,
        "abs_step": settings.abs_step,
        "rtol": settings.rtol,
    }


def _info(name: str, target: str, settings: Settings, start: Start) -> dict[str, Any]:
    return {
        "problem": name,
        "target": target,
        "settings": asdict(settings),
        "claimed": start.analytical is not None,
        "start": {
            "value": start.value,
            "repeat": start.repeat,
            "seconds": start.seconds,
            "nfev": start.nfev,
            "noise": start.noise,
            "probe": start.probe,
            "single_precision": start.single_precision,
            "worker": worker_name(),
        },
        "provenance": provenance(),
        "timings": {"started": now()},
    }


def _fingerprint(start: Start, settings: Settings, source: Source) -> dict[str, Any]:
    """What must be the same for two runs to be one audit; the block size need not be."""
    bounds = None if start.bounds is None else sha256(start.bounds[0].tobytes() + start.bounds[1].tobytes())
    chosen = {k: v for k, v in asdict(settings).items() if k != "block_size"}
    return {"source": source.digest, "x0": parameters_digest(start.layout, start.arrays), "bounds": bounds, **chosen}


def _has_parameters(ledger: Any, digest: str) -> bool:
    """Whether x0 in a store is whole."""
    try:
        return parameters_digest(ledger.layout, ledger.parameters()) == digest
    except StoreError:
        return False


def _check_value(ledger: Any, start: Start) -> None:
    """Refuse to go on where fun at x0 has changed, as it does when its data has."""
    before = ledger.info["start"]
    if before["value"] != before["repeat"] or start.value != start.repeat:
        return  # not deterministic; that is a finding of its own
    pairs = [("at x0", before["value"], start.value), ("near x0", before["probe"], start.probe)]
    for where, there, here in pairs:
        if not abs(here - there) <= SAME_VALUE * abs(there) + 10 * max(start.noise, before["noise"]):
            raise FingerprintError(
                f"the audit at {ledger.folder} was started with another value of fun {where} (there: {there!r}, "
                f"now: {here!r}); its data or source must have changed: --fresh (or removing the folder) starts over"
            )


def _pickled_source(problem: Problem) -> Source:
    """Code of a problem that was given as Python objects."""
    import cloudpickle

    try:
        bundle: bytes = cloudpickle.dumps(_without_point(problem))
    except Exception as error:
        raise InputError(
            f"fun cannot be sent to workers or kept with an audit: {type(error).__name__}: {error}"
        ) from error
    digest = hashlib.sha256(_source_of(problem.fun))
    try:
        digest.update(pickle.dumps(problem.args))
    except Exception:  # arguments without a fixed form are left to the comparison of values of fun
        digest.update(repr(type(problem.args)).encode())
    return Source("in memory", Code("pickle", "", "", sha256(bundle)), bundle, digest.hexdigest())


def _source_of(fun: Callable[..., Any]) -> bytes:
    """Source text where there is one, the compiled code otherwise. Pickles differ from run to run."""
    try:
        return inspect.getsource(fun).encode()
    except (OSError, TypeError):
        code = getattr(fun, "__code__", None)
        return type(fun).__qualname__.encode() if code is None else code.co_code + repr(code.co_names).encode()


def _name_of(fun: Callable[..., Any]) -> str:
    name = getattr(fun, "__name__", type(fun).__name__)
    return "gradcheck" if name == "<lambda>" else str(name)
