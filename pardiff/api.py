"""`gradcheck` and its relatives, as users call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Unpack

from pardiff.audit.keeping import InMemory, InStore
from pardiff.audit.reopen import open_result
from pardiff.audit.result import GradcheckResult, GradientResult
from pardiff.audit.run_audit import run_audit
from pardiff.audit.sweeps import sweep_entry
from pardiff.errors import InputError
from pardiff.evaluation.baseline import measure_baseline
from pardiff.evaluation.cost_estimate import estimate_cost
from pardiff.evaluation.step_sweep import StepSweep
from pardiff.execution.blas import single_threaded
from pardiff.execution.executors import open_executor
from pardiff.execution.progress import Watcher
from pardiff.planning.cost import Plan, make_plan
from pardiff.problem.named_arrays import named_arrays
from pardiff.problem.options import OptionKeywords, Options
from pardiff.problem.problem import Problem, ProblemFactory
from pardiff.problem.space import Structure
from pardiff.reporting.write import write_beside, write_reports
from pardiff.source.fingerprint import pickled_source


def gradcheck(
    fun: Callable[..., Any] | Problem | ProblemFactory | None = None,
    grad: Callable[..., Structure] | Structure | None = None,
    x0: Structure = None,
    *,
    vjp: Callable[..., Structure] | None = None,
    args: tuple[Any, ...] = (),
    bounds: Any = None,
    terms: bool = False,
    batch_fun: Callable[..., Any] | None = None,
    incremental: Any = None,
    executor: Any = None,
    store: str | Path | None = None,
    fresh: bool = False,
    progress: Watcher | None = None,
    **options: Unpack[OptionKeywords],
) -> GradcheckResult:
    """Compare an analytical derivative with numerical differentiation, entry by entry.

    Each derivative is found by central differences, two passes of fun each, with an error bar. Entries
    that are not a clear PASS are differentiated again with a search for the best step before the
    verdict stands.

    Parameters
    ----------
    fun : callable or Problem
        ``fun(x, *args) -> float``; with ``vjp`` an array, or a (nested) mapping, list or tuple of arrays. It must
        neither change nor keep ``x``, which is perturbed in place. A `Problem` (or a factory of one) takes the place
        of fun, grad, x0, vjp, args and bounds.
    grad : callable, structure or None
        ``grad(x, *args)`` with the structure of x0, or the gradient itself; None for none.
    x0 : array_like, mapping, list or tuple
        The point: numbers of any shape, or a (nested) mapping, list or tuple of arrays. fun, grad and vjp get the
        structure that is given. Integers are taken as float64, and a finding says so.
    vjp : callable or None
        ``vjp(x, u, *args)``, the pullback: the derivative of ``sum(u * fun(x))`` in the structure of x0, where ``u``
        has the structure, shapes and dtypes of fun's value. It is compared for ``probes`` random cotangents u of each
        output, which share the passes: 2 n of them, whatever their number.
    args : tuple
        Further arguments of fun, grad and vjp.
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
    executor : None, "threads", "processes", address, distributed.Client or map-like
        Where fun is evaluated. The bits of the result are the same everywhere.
    store : path, address or None
        Folder, or prefix of an object store such as ``s3://bucket/run``, in which the audit is kept, and from which an
        interrupted one goes on.
    fresh : bool
        Start over where the store holds an audit already.
    progress : callable or None
        Called with a `Progress` after each block.
    **options
        Any field of `Options`: ``rtol``, ``atol``, ``method``, ``order``, ``abs_step``, ``probes``, ``budget`` and the
        others.

    Returns
    -------
    GradcheckResult

    Raises
    ------
    InputError
        If fun, its derivative, x0, the bounds or an option cannot be used.
    StoreError
        If the store cannot be written, is no audit (`NotAnAuditError`) or another's (`FingerprintError`).
    ClusterError, WorkerError
        If the executor fails. With a store, the next call goes on with the finished blocks.

    Notes
    -----
    An entry passes if ``|a - d| + u <= atol + rtol max(|a|, |d|) + 1e-3 rtol rms(d)``, with the analytical derivative
    a, the numerical one d and its error bar u.

    fun is called twice at x0, and once on each worker; differing values are a finding. While fun is
    evaluated BLAS is held to one thread, so that every executor gives the same bits. Memory is O(n).

    Examples
    --------
    >>> import numpy as np
    >>> result = gradcheck(lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, np.array([1.0, 2.0]))
    >>> result.passed, result.counts["pass"]
    (True, 2)

    A function that returns an array, with its pullback:

    >>> A = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> def pullback(x, u): return A.T @ (u * (1 - np.tanh(A @ x) ** 2))
    >>> result = gradcheck(lambda x: np.tanh(A @ x), vjp=pullback, x0=np.ones(2))
    >>> result.passed, result.numerical.shape
    (True, (3, 2))
    """
    _check_arguments(fun, grad, x0, store, progress)
    given = Options.from_mapping(options, "gradcheck", _own(gradcheck))
    problem = _as_problem(
        fun, grad, x0, vjp=vjp, args=args, bounds=bounds, terms=terms, batch_fun=batch_fun, incremental=incremental
    )
    with open_executor(executor) as opened:
        kept: InMemory | InStore = InMemory()
        if store is not None:
            kept = InStore.at(store, problem, pickled_source(problem), fresh=fresh)
        return run_audit(problem, problem.title, given.over(problem.options), opened, kept, progress)


def gradient(
    fun: Callable[..., Any] | Problem | ProblemFactory | None = None,
    x0: Structure = None,
    *,
    args: tuple[Any, ...] = (),
    bounds: Any = None,
    terms: bool = False,
    batch_fun: Callable[..., Any] | None = None,
    incremental: Any = None,
    executor: Any = None,
    progress: Watcher | None = None,
    **options: Unpack[OptionKeywords],
) -> GradientResult:
    """Numerical gradient with error bars.

    Parameters are those of `gradcheck`, but that ``refine`` is ``"all"`` by default: with nothing to compare
    with, every entry gets an error bar from two steps (4 passes). Entries whose bar is wider than ``rtol``
    are differentiated again with a search for the best step.

    Returns
    -------
    GradientResult
        ``value`` and ``uncertainty`` in the structure of x0, and ``nfev``.

    Raises
    ------
    InputError
        If fun, x0, the bounds or an option cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> found = gradient(lambda x: float(np.sum(x**3)), np.array([1.0, 2.0]))
    >>> np.allclose(found.value, [3, 12], rtol=1e-8)
    True
    """
    given = Options.from_mapping(options, "gradient", _own(gradient))
    problem = _as_problem(
        fun, None, x0, args=args, bounds=bounds, terms=terms, batch_fun=batch_fun, incremental=incremental
    )
    if problem.vjp is not None:
        raise InputError("gradient: the problem has a vjp, whose fun returns arrays; expected one that returns a float")
    with open_executor(executor) as opened:
        alone = problem.replaced(grad=None)
        result = run_audit(alone, "gradient", given.over(problem.options), opened, InMemory(), progress)
    return GradientResult(result.numerical, result.uncertainty, result.nfev, result.seconds)


def _own(function: Callable[..., Any]) -> list[str]:
    """Names of the parameters that are no options."""
    return list(function.__kwdefaults__ or {})


def _shown(function: Callable[..., Any]) -> None:
    """Show the fields of `Options` in a signature, in the place of ``**options``."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=each.type)
        for each in fields(Options)
    ]
    function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]


_shown(gradcheck)
_shown(gradient)


def plan(
    problem: Problem | ProblemFactory, *, workers: int = 1, name: str = "", options: Options | None = None
) -> Plan:
    """What an audit would cost, from two calls of fun, and of a fast path if there is one.

    Parameters
    ----------
    problem : Problem
    workers : int
        Worker threads to plan for.
    name : str
        In the place of the problem's own.
    options : Options or None
        Options that go over those that the problem pins.

    Raises
    ------
    InputError
        If fun, x0 or the bounds cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> found = plan(Problem(lambda x: float(np.sum(x**2)), lambda x: 2 * x, np.ones(1000)))
    >>> found.passes, found.strategy
    (2000, 'pointwise')
    """
    problem = problem() if isinstance(problem, ProblemFactory) else problem
    options = (options or Options()).over(problem.options)
    with single_threaded():
        seen = estimate_cost(problem, options)
    resolved = options.resolved(seen.rtol, has_analytical=problem.has_analytical)
    return make_plan(
        name or problem.title, seen.size, resolved, seen.seconds, workers, seen.strategy, seen.fallback_reason,
        seen.observables,
    )  # fmt: skip


def sweep(problem: Problem | ProblemFactory, label: str, *, options: Options | None = None) -> StepSweep:
    """Numerical derivatives of one entry at many steps, about 25 of two passes each.

    The error of a difference against its step has the shape of a V: rounding falls as it grows, until
    truncation rises. Where there is no valley, fun is too noisy or not smooth there.

    Parameters
    ----------
    problem : Problem
    label : str
        The entry, as reports write it: ``encoder/W1[3,17]``.
    options : Options or None
        Options that go over those that the problem pins.

    Returns
    -------
    StepSweep
        With ``steps``, ``derivatives`` and ``rounding``, and the ``slopes`` on the two sides of x.

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
        chosen = (options or Options()).over(problem.options)
        # by fun alone: a fast path is compared with it for whole blocks only
        baseline, evaluator = measure_baseline(problem.replaced(batch_fun=None, incremental=None), chosen)
        spec = baseline.spec(chosen.resolved(baseline.rtol))
        arrays = named_arrays(baseline.space, baseline.cotangents)
        return sweep_entry(evaluator, baseline, spec, arrays, label)


def report(
    store: str | Path,
    *,
    html: str | Path | None = None,
    markdown: str | Path | None = None,
    json: str | Path | None = None,
    junit: str | Path | None = None,
) -> list[str]:
    """Write reports of an audit, finished or not; nothing in it is executed.

    Parameters
    ----------
    store : path or address
        The audit's folder, or the ``audit.zarr`` in it.
    html, markdown, json, junit : path or None
        Files to write; with none given, all four beside the audit.

    Returns
    -------
    list of str
        Paths or addresses of the files written.

    Raises
    ------
    StoreError
        If the audit cannot be read, or a file cannot be written.
    """
    result = open_result(store)
    asked = {"html": html, "markdown": markdown, "json": json, "junit": junit}
    paths: dict[str, str | Path] = {kind: path for kind, path in asked.items() if path is not None}
    if not paths:
        assert result.location is not None
        return write_beside(result.summary, result.location)
    return [str(path) for path in write_reports(result.summary, paths)]


def _check_arguments(fun: Any, grad: Any, x0: Any, store: Any, progress: Any) -> None:
    if x0 is not None and grad is None and isinstance(fun, Problem | ProblemFactory):
        raise InputError("x0: got one beside a Problem, which has its own")
    if progress is not None and not callable(progress):
        raise InputError(f"progress: got {type(progress).__name__}; expected a function that takes a Progress")
    if store is not None and not (isinstance(store, str | Path) and str(store)):
        raise InputError(f"store: got {store!r}; expected the path of a folder, or an address such as s3://bucket/run")


def _as_problem(fun: Any, grad: Any, x0: Any, **parts: Any) -> Problem:
    """The problem that is given, or one made from its parts."""
    problem = fun() if isinstance(fun, ProblemFactory) else fun
    if not isinstance(problem, Problem):
        return Problem(fun, grad, x0, **parts)
    if any(part is not None and part is not False and part != () for part in (grad, x0, *parts.values())):
        names = ", ".join(["grad", "x0", *parts])
        raise InputError(f"{names} belong to the Problem; got some beside it")
    return problem
