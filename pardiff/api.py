"""`gradcheck` and its relatives, as users call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pardiff.audit.result import GradcheckResult, GradientResult
from pardiff.audit.run_audit import audit, in_memory, rule_of, sweep_entry
from pardiff.comparison.reconcile import reconcile
from pardiff.errors import InputError
from pardiff.evaluation.baseline import evaluate_start, glance
from pardiff.evaluation.fixed_stencil import Rule
from pardiff.evaluation.step_sweep import Sweep
from pardiff.execution.blas import single_threaded
from pardiff.execution.executors import open_executor
from pardiff.execution.progress import Watcher
from pardiff.planning.cost import Plan, make_plan
from pardiff.problem.options import Settings
from pardiff.problem.problem import Problem, ProblemFactory
from pardiff.problem.space import Structure, unflatten
from pardiff.source.fingerprint import name_of, pickled_source
from pardiff.storage.ledger import lay_out


def gradcheck(
    fun: Callable[..., Any] | Problem | ProblemFactory | None = None,
    grad: Callable[..., Structure] | Structure | None = None,
    x0: Structure = None,
    *,
    args: tuple[Any, ...] = (),
    bounds: Any = None,
    terms: bool = False,
    batch_fun: Callable[..., Any] | None = None,
    incremental: Any = None,
    method: str | None = None,
    order: int | None = None,
    stencil: Sequence[int] | None = None,
    refine: str | None = None,
    typical: float | Mapping[str, Any] | None = None,
    rel_step: float | None = None,
    abs_step: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    mode: str | None = None,
    block_size: int | None = None,
    batch_size: int | None = None,
    memory: float | None = None,
    deadline: float | None = None,
    budget: str | float | None = None,
    executor: Any = None,
    store: str | Path | None = None,
    seed: int | None = None,
    jitter: float | None = None,
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
    terms : bool
        fun returns an array of terms whose sum is the loss; they are differenced first and summed after,
        which removes the rounding noise of a long sum.
    batch_fun : callable or None
        ``batch_fun(x_batch, *args) -> (B,)``, fun of B points in one call: every array of ``x_batch`` has a leading
        axis of B. It is used where it is faster than fun. With it, fun may be None.
    incremental : Incremental or None
        Something that evaluates fun with one parameter changed without a whole pass, such as a `Chain`. Each block
        checks it against fun at one entry of each array; where it differs, fun is used alone and the report says so.
    method : {"central", "forward", "backward", "richardson", "complex"}
        Side of x0 from which fun is taken (default central); a bound can force another side. ``richardson``
        extrapolates central differences at steps h, 2h, 4h, ...; ``complex`` takes one pass with an imaginary
        step, for an analytic fun.
    order : int
        Order of accuracy: central 2, 4, 6 or 8 (default 2), one-sided 1 to 4 (default 1), richardson 4, 6 or 8
        (default 4).
    stencil : sequence of int
        Offsets of any other stencil in units of the step, such as ``(-3, -1, 1, 3)``, instead of method and order.
    refine : {"auto", "all", "none"}
        ``auto`` (default) searches for the best step where an entry is not a clear PASS. ``all``, the default
        where grad is None, takes an error bar from the steps h and 3h for every entry first, at twice the passes.
        ``none`` never searches, so that nothing can FAIL.
    typical : float or mapping of str to float
        Typical size of the parameters, for all or by name of the array (default 1).
    rel_step, abs_step : float
        Step relative to ``max(|x|, typical)``, or in the units of x. The default follows from the precision.
        Entries that do not pass with it are looked at again with steps that the search chooses.
    rtol, atol : float
        Tolerance ``atol + rtol max(|a|, |d|) + 1e-3 rtol rms(d)``. rtol is 1e-6 by default, 1e-3 where
        fun returns float32 and 1e-2 where it returns float16; atol is 0.
    mode : {"full"}
        Every coordinate is checked.
    block_size : int
        Coordinates in a block; by default about a second of work.
    batch_size : int
        B, the points in a call of batch_fun; by default the best of a short timing run. 1 uses fun alone.
    memory : float
        Bytes that the parameters of a batch may take (default 32e6).
    deadline : float
        Seconds that the passes of one parameter may take on a Dask worker until they count as hung; default a minute,
        or a hundred times what was measured. The worker is ended, and the parameter gets the verdict ``error``.
    budget : str or float
        What may be spent, by all runs of an audit together: passes, or wall time as in ``"10m"``. Blocks are taken from
        all over x0; what is not reached is ``missing``, and exit status and verdict say that the audit is incomplete.
    executor : None, "threads", "processes", address, distributed.Client or map-like
        Where fun is evaluated. The bits of the result are the same everywhere.
    store : path, address or None
        Folder, or prefix of an object store such as ``s3://bucket/run``, in which the audit is kept, and from which an
        interrupted one goes on.
    seed : int
        Seed of what is drawn: the directions in which the noise of fun is measured (default 0), and the jitter.
    jitter : float
        Move each parameter of x0 by up to this part of ``max(|x|, typical)``, the same way in every run with the same
        seed and within the bounds: at a point with zeros, ones or a symmetry some faults do not show.
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
    if progress is not None and not callable(progress):
        raise InputError(f"progress: got {type(progress).__name__}; expected a function that takes a Progress")
    if store is not None and not (isinstance(store, str | Path) and str(store)):
        raise InputError(f"store: got {store!r}; expected the path of a folder, or an address such as s3://bucket/run")
    problem = _as_problem(fun, grad, x0, args, bounds, terms, batch_fun, incremental)
    options = Settings(
        method,
        order,
        stencil,
        refine,
        typical,
        rel_step,
        abs_step,
        rtol,
        atol,
        mode,
        block_size,
        batch_size,
        memory,
        seed,
        jitter,
        deadline,
        budget,
    )
    settings = options.over(problem.options)
    name = problem.name or name_of(problem.fun)
    with open_executor(executor) as opened:
        if store is None:
            return in_memory(problem, name, settings, opened, progress)
        source = pickled_source(problem)
        return audit(problem, name, settings, source, store, opened, progress)


def gradient(
    fun: Callable[..., Any] | Problem | ProblemFactory | None = None,
    x0: Structure = None,
    *,
    args: tuple[Any, ...] = (),
    bounds: Any = None,
    terms: bool = False,
    batch_fun: Callable[..., Any] | None = None,
    incremental: Any = None,
    method: str | None = None,
    order: int | None = None,
    stencil: Sequence[int] | None = None,
    refine: str | None = None,
    typical: float | Mapping[str, Any] | None = None,
    rel_step: float | None = None,
    abs_step: float | None = None,
    rtol: float | None = None,
    block_size: int | None = None,
    batch_size: int | None = None,
    memory: float | None = None,
    executor: Any = None,
    progress: Watcher | None = None,
) -> GradientResult:
    """Numerical gradient with error bars.

    Parameters are those of `gradcheck`, but that ``refine`` is ``"all"`` by default: with nothing to compare
    with, every entry gets an error bar from two steps (4 passes). Entries whose bar is wider than ``rtol``
    are differentiated again with a search for the best step.

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
    problem = _as_problem(fun, None, x0, args, bounds, terms, batch_fun, incremental)
    options = Settings(
        method, order, stencil, refine, typical, rel_step, abs_step, rtol,
        block_size=block_size, batch_size=batch_size, memory=memory,
    )  # fmt: skip
    settings = options.over(problem.options)
    with open_executor(executor) as opened:
        result = in_memory(problem.replaced(grad=None), "gradient", settings, opened, progress)
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
    """What an audit would cost, from two calls of fun, and of a fast path if there is one.

    Parameters
    ----------
    problem : Problem
    workers : int
        Worker threads to plan for.
    options : Settings or None
        Options that go over those that the problem pins.

    Examples
    --------
    >>> import numpy as np
    >>> found = plan(Problem(lambda x: float(np.sum(x**2)), lambda x: 2 * x, np.ones(1000)))
    >>> found.passes, found.path
    (2000, 'pointwise')
    """
    problem = problem() if isinstance(problem, ProblemFactory) else problem
    options = (options or Settings()).over(problem.options)
    with single_threaded():
        seen = glance(problem, options)
    settings = options.resolved(seen.rtol, claimed=problem.grad is not None)
    name = name or problem.name or name_of(problem.fun)
    return make_plan(name, seen.size, settings, seen.seconds, workers, seen.path, seen.doubt)


def sweep(problem: Problem | ProblemFactory, label: str, *, options: Settings | None = None) -> Sweep:
    """Numerical derivatives of one entry at many steps, about 25 of two passes each.

    The error of a difference against its step has the shape of a V: rounding falls as it grows, until
    truncation rises. Where there is no valley, fun is too noisy or not smooth there.

    Parameters
    ----------
    problem : Problem
    label : str
        The entry, as reports write it: ``encoder/W1[3,17]``.
    options : Settings or None
        Options that go over those that the problem pins.

    Raises
    ------
    InputError
        If there is no such entry, or the problem cannot be evaluated.

    Examples
    --------
    >>> import numpy as np
    >>> found = sweep(Problem(lambda x: float(np.sum(x**3)), None, np.array([1.0, 2.0])), "x[1]")
    >>> bool(min(abs(d - 12) for d in found.derivatives) < 1e-8)
    True
    """
    problem = problem() if isinstance(problem, ProblemFactory) else problem
    with single_threaded():
        chosen = (options or Settings()).over(problem.options)
        start, evaluator = evaluate_start(problem, chosen)
        return sweep_entry(evaluator, start, Rule.of(rule_of(start, chosen.resolved(start.rtol))), label)


def reconcile_store(store: str | Path, *, rtol: float | None = None, atol: float | None = None) -> GradcheckResult:
    """Compare the gradients of an audit again, with other tolerances and without a forward pass.

    Parameters
    ----------
    store : path
        The audit's folder, or the ``audit.zarr`` in it.
    rtol, atol : float or None
        None keeps those of the audit.

    Raises
    ------
    StoreError
        If a run is at work on the audit.
    """
    from pardiff.storage.zarr_ledger import Audit

    place = Audit.open(store).place  # what is no audit is not held either
    with place.locked():
        ledger = Audit.open(place, write=True)
        ledger.drop_damaged()
        ledger.check_analytical()
        settings = Settings(rtol=rtol, atol=atol).over(Settings(**ledger.info["settings"]))
        assert settings.rtol is not None
        assert settings.atol is not None
        ledger.update(settings=asdict(settings))
        lay_out(ledger)
        return GradcheckResult(ledger, reconcile(ledger, settings.rtol, settings.atol), ledger.place)


def open_result(store: str | Path) -> GradcheckResult:
    """The result of an audit as it stands, finished or not; nothing is written or executed."""
    from pardiff.storage.zarr_ledger import Audit

    ledger = Audit.open(store)
    ledger.drop_damaged()
    ledger.check_analytical()
    settings = ledger.info["settings"]
    ledger.write = lambda *_: None  # type: ignore[method-assign]
    return GradcheckResult(ledger, reconcile(ledger, settings["rtol"], settings["atol"]), ledger.place)


def _as_problem(
    fun: Any, grad: Any, x0: Any, args: tuple[Any, ...], bounds: Any, terms: bool, batch_fun: Any, incremental: Any
) -> Problem:
    problem = fun() if isinstance(fun, ProblemFactory) else fun
    if not isinstance(problem, Problem):
        return Problem(
            fun, grad, x0, args=args, bounds=bounds, terms=terms, batch_fun=batch_fun, incremental=incremental
        )
    beside = (grad, x0, bounds, batch_fun, incremental)
    if any(item is not None for item in beside) or args or terms:
        raise InputError(
            "grad, x0, args, bounds, terms, batch_fun and incremental belong to the Problem; got some beside it"
        )
    return problem
