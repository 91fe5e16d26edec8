"""The start of an audit: fun and grad at x0, checked before anything is written or sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.evaluation.analyticity import measure_slope_noise
from pardiff.evaluation.crosscheck import Doubt, Fast, one_of_each
from pardiff.evaluation.determinism import unsteady_arrays
from pardiff.evaluation.evaluator import Bounds, Coordinates, Evaluator
from pardiff.evaluation.failures import described
from pardiff.evaluation.fixed_stencil import formula
from pardiff.evaluation.noise import REPEATS, Noise, measure_noise, measure_relative_noise, measure_scatter
from pardiff.evaluation.pointwise import Pointwise
from pardiff.evaluation.strategy import BATCHED, POINTWISE, Path, choose_path, seconds_per_pass
from pardiff.numerics.difference import Precision
from pardiff.numerics.difference_table import has_single_precision
from pardiff.problem.bounds import check_inside, parse_bounds
from pardiff.problem.data_axes import data_lengths
from pardiff.problem.jitter import jitter
from pardiff.problem.options import Settings
from pardiff.problem.problem import OneByOne, Problem
from pardiff.problem.space import (
    FloatArray,
    Layout,
    Structure,
    flatten,
    parse_gradient,
    parse_parameters,
    parse_typical,
)

LARGEST_EPS = 0.1
"""Where fun is noisier than this, steps as large as x itself are of no more help."""
FINER = 1 / 16
"""Part of the parameters' machine epsilon below which measured noise shows that fun computes in a longer dtype."""
ORDINARY = 8.0
"""Noise of up to this many machine epsilons is the rounding of a function that is not noisy."""

COARSER = 30.0
"""Times by which the values of a batch may scatter more than those of fun: products of matrices add in another way."""
MOST_LINES = 4
"""Coordinates along which the noise of an incremental evaluator is measured."""

DEFAULT_RTOL = {8: 1e-6, 4: 1e-3, 2: 1e-2}
"""Default relative tolerance by the bytes of fun's value: what its precision lets a difference show."""


@dataclass(frozen=True)
class Start:
    """What is known of a problem after fun and grad were called twice at x0."""

    layout: Layout
    arrays: list[Any]
    """The leaves of x0; they belong to the evaluator of this process."""
    bounds: Bounds | None
    typical: tuple[float, ...]
    """Typical size of the parameters, by array."""
    analytical: FloatArray | None
    """Flat, shape (n,); None where the problem has no gradient."""
    unsteady: tuple[str, ...]
    """Arrays in which grad, called again, gives other derivatives."""
    value: float
    """fun at x0."""
    repeat: float
    """fun at x0 once more; another value means that fun is not deterministic."""
    sigma: float
    """Standard deviation of repeated values at x0; 0 where fun is deterministic."""
    eps: float
    """Relative precision of fun: the machine epsilon with which it computes, or the measured noise where that
    is more."""
    noise: float
    """Twice the standard deviation of the measured noise, in the units of fun."""
    error: float
    """Error of the value at x0; 0 where changes are known better than values."""
    slope_noise: float | None
    """Noise of the complex-step derivative along a line; None where the step is real."""
    probe: float
    """fun at a point a little away from x0, the same in every run; 0 where it is not finite."""
    single_precision: bool
    """Whether fun returns values of float32, whatever their dtype."""
    rtol: float
    """Default relative tolerance."""
    lengths: dict[int, str]
    """Of the axes of its data, and of which array."""
    path: str
    """How fun is evaluated: ``pointwise``, ``batched`` or ``incremental``."""
    rows: int
    """Of a batch."""
    check: Precision
    """Of fun itself; differs from eps and noise where the path is incremental."""
    doubt: str
    """Why a faster path that the problem offers is not taken."""
    declined: bool
    """Whether the problem has a batch_fun that is not used, since it is no faster."""
    seconds: float
    """Duration of a pass on that path."""
    nfev: int
    """Passes spent."""


def evaluate_start(problem: Problem, options: Settings, doubt: str = "") -> tuple[Start, Evaluator]:
    """Check a problem by calling it at x0.

    Parameters
    ----------
    problem : Problem
    options : Settings
        Of which the method, the typical sizes, the sizes of batches and the seed matter here.
    doubt : str
        What is known to be wrong with the problem's fast path, which is then not taken.

    Raises
    ------
    InputError
        With one sentence on what is wrong with x0, the bounds, fun's value or grad's.
    """
    layout, arrays = parse_parameters(problem.x0)
    bounds = parse_bounds(layout, problem.bounds)
    typical = parse_typical(layout, options.typical)
    if bounds is not None:
        check_inside(layout, flatten(layout, arrays), bounds)
    if options.jitter is not None:
        if problem.grad is not None and not callable(problem.grad):
            raise InputError(
                "jitter: grad is given as numbers, which hold at x0 alone; expected one that can be called"
            )
        jitter(layout, arrays, options.jitter, typical, bounds, options.seed or 0)
    plain = Pointwise(problem.fun, problem.args, layout, arrays, terms=problem.terms)
    value = _at_x0(problem, plain)
    at = Coordinates.of(plain, np.arange(layout.size), bounds, typical)
    deterministic = value.first == value.second
    if doubt or not deterministic:
        path = Path(POINTWISE, plain, doubt=doubt)
        if not doubt and (problem.batch_fun is not None or problem.incremental is not None):
            path = Path(POINTWISE, plain, doubt="fun is not deterministic, so that nothing can be compared with it")
    else:
        path = choose_path(problem, options, plain)
    sigma = 0.0
    if deterministic:
        found = measure_noise(plain, at, options.seed or 0, lines=3 if path.name == POINTWISE else 1)
    else:
        sigma, level = measure_scatter(plain, layout.size)
        found = Noise(level, max(plain.origin[1], level), True, np.nan, False, False, REPEATS)
    plain.check_unchanged()
    single = found.single_precision or (problem.terms and has_single_precision(value.raw))
    itemsize = min(value.itemsize, 4) if single else value.itemsize
    check = Precision(_epsilon(found, itemsize, int(at.itemsize.min())), 0.0 if problem.terms else found.level)
    precision, slope_noise, more, seconds = check, None, 0, value.seconds
    if options.method == "complex":
        slope_noise, more = measure_slope_noise(plain, at, check, options.seed or 0)
    if path.name != POINTWISE:
        try:
            precision, more = _of_path(path, at, check, options.seed or 0)
            seconds = seconds_per_pass(path.evaluator, value.seconds, formula(options).nfev)
        except Doubt as refutation:
            return evaluate_start(problem, options, f"{path.title}: {refutation}")
    start = Start(
        layout=layout,
        arrays=arrays,
        bounds=bounds,
        typical=typical,
        analytical=value.analytical,
        unsteady=value.unsteady,
        lengths=data_lengths(problem),
        value=value.first,
        repeat=value.second,
        sigma=sigma,
        eps=precision.eps,
        noise=precision.noise,
        error=max(precision.noise, precision.eps * path.evaluator.origin[1]),
        slope_noise=slope_noise,
        probe=found.probe if np.isfinite(found.probe) else 0.0,
        single_precision=bool(single) and itemsize < 8,
        rtol=DEFAULT_RTOL[itemsize],
        path=path.name,
        rows=path.rows,
        check=check,
        doubt=path.doubt,
        declined=path.name == POINTWISE and problem.batch_fun is not None and not path.doubt,
        seconds=seconds,
        nfev=2 + callable(problem.grad) + found.nfev + more + path.nfev,
    )
    return start, path.evaluator


def _of_path(path: Path, at: Coordinates, check: Precision, seed: int) -> tuple[Precision, int]:
    """Precision of the values of a fast path, and passes spent; a `Doubt` if it is not fun that it evaluates."""
    assert isinstance(path.evaluator, Fast)
    some = at[one_of_each(path.evaluator.plain, seed)]
    doubt, spent = path.evaluator.verify_afar(some, check)
    if doubt:
        raise Doubt(doubt)
    if path.name == BATCHED:
        found = measure_noise(path.evaluator, at, seed)
        error = max(check.noise, check.eps * path.evaluator.origin[1])
        if found.level > COARSER * error:
            raise Doubt(
                f"its values scatter by {found.level:.1e}, those of fun by no more than {error:.1e}: it computes to "
                f"fewer digits than fun"
            )
        return Precision(check.eps, max(check.noise, 0.0 if check.noise == 0 else found.level)), spent + found.nfev
    eps = float(np.finfo(np.float64).eps)
    relative, more = measure_relative_noise(path.evaluator, some[:MOST_LINES], seed)
    return Precision(min(LARGEST_EPS, max(eps, relative if relative > ORDINARY * eps else 0.0)), 0.0), spent + more


@dataclass(frozen=True)
class Glance:
    """What a plan needs to know of a problem."""

    size: int
    """n."""
    rtol: float
    """Default relative tolerance."""
    path: str
    """How fun would be evaluated."""
    seconds: float
    """Duration of a pass so."""
    doubt: str = ""
    """Why a faster path is not taken."""


def glance(problem: Problem, options: Settings) -> Glance:
    """Time a problem by two calls of fun; with a fast path some more, of that.

    x0 is not copied where there is no fast path, so that a plan for a large problem needs no more memory than fun.

    Raises
    ------
    InputError
        With one sentence on what is wrong with x0, the bounds or fun's value.
    """
    fast = problem.batch_fun is not None or problem.incremental is not None
    layout, arrays = parse_parameters(problem.x0, copy=fast)
    if problem.bounds is not None:
        check_inside(layout, flatten(layout, arrays), parse_bounds(layout, problem.bounds))
    x = layout.structure(arrays)
    raw = _call(x, problem.args, _name(problem), problem.fun)
    itemsize = (_check_terms if problem.terms else _check_value)(raw)
    begin = time.perf_counter()
    _call(x, problem.args, _name(problem), problem.fun)
    seconds = time.perf_counter() - begin
    if not fast:
        return Glance(layout.size, DEFAULT_RTOL[itemsize], POINTWISE, seconds)
    plain = Pointwise(problem.fun, problem.args, layout, arrays, terms=problem.terms)
    plain.take(raw)
    path = choose_path(problem, options, plain)
    try:
        if isinstance(path.evaluator, Fast):
            typical = parse_typical(layout, options.typical)
            some = Coordinates.of(plain, one_of_each(plain, options.seed or 0), None, typical)
            refutation, _ = path.evaluator.verify_afar(
                some, Precision(ORDINARY * float(np.finfo(f"f{itemsize}").eps), 0.0)
            )
            if refutation:
                raise Doubt(refutation)
        each = seconds_per_pass(path.evaluator, seconds, formula(options).nfev)
    except Doubt as error:
        return Glance(layout.size, DEFAULT_RTOL[itemsize], POINTWISE, seconds, f"{path.title}: {error}")
    return Glance(layout.size, DEFAULT_RTOL[itemsize], path.name, each, path.doubt)


@dataclass(frozen=True)
class _Value:
    """fun and grad at x0."""

    first: float
    second: float
    """fun called again; another value if it is not deterministic."""
    itemsize: int
    """Bytes of the precision of its dtype."""
    raw: FloatArray
    """What fun returned, flattened."""
    analytical: FloatArray | None
    unsteady: tuple[str, ...]
    """Arrays in which grad, called again, gives other derivatives."""
    seconds: float
    """Duration of the second call."""


def _at_x0(problem: Problem, evaluator: Pointwise) -> _Value:
    """Call fun and grad twice, and see that neither changes anything."""
    raw = _call(evaluator.x, evaluator.args, "fun", problem.fun)
    itemsize = (_check_terms if problem.terms else _check_value)(raw)
    evaluator.check_unchanged()
    first = evaluator.take(raw)
    begin = time.perf_counter()
    second = evaluator.take(_call(evaluator.x, evaluator.args, "fun", problem.fun))
    seconds = time.perf_counter() - begin
    _check_finite(first, second)
    evaluator.check_unchanged()
    analytical, third = None, second
    unsteady: tuple[str, ...] = ()
    if problem.grad is not None:
        gradient = problem.grad
        if callable(gradient):
            gradient = _call(evaluator.x, evaluator.args, "grad", gradient)
        if gradient is None:
            raise InputError("grad returned None; expected a gradient with the structure of x0")
        analytical = parse_gradient(evaluator.layout, gradient)
        evaluator.check_unchanged()
        if callable(problem.grad):
            again = parse_gradient(evaluator.layout, _call(evaluator.x, evaluator.args, "grad", problem.grad))
            evaluator.check_unchanged()
            unsteady = unsteady_arrays(evaluator.layout, analytical, again)
        third = (
            evaluator.take(_call(evaluator.x, evaluator.args, "fun", problem.fun)) if callable(problem.grad) else second
        )
        if first == second != third and third == evaluator.take(_call(evaluator.x, evaluator.args, "fun", problem.fun)):
            raise InputError(
                "grad changes what fun computes: fun at x0 has another value after grad was called; grad must not "
                "change args or other data that fun uses"
            )
    second = third if third != first else second  # a fun that is random now and then
    return _Value(first, second, itemsize, np.asarray(raw, dtype=float).reshape(-1), analytical, unsteady, seconds)


def _epsilon(found: Noise, itemsize: int, parameters: int) -> float:
    """Relative precision of fun, from the bytes of its value and of the parameters, and what was measured."""
    eps = float(np.finfo(f"f{min(itemsize, 4) if found.short else itemsize}").eps)
    short = float(np.finfo(f"f{min(itemsize, parameters)}").eps)
    # short parameters mean short arithmetic, unless the values of fun show otherwise
    if short > eps and not (found.measured and found.level <= FINER * short * found.scale):
        eps = short
    return min(LARGEST_EPS, max(eps, _relative(found, eps)))


def _relative(noise: Noise, eps: float) -> float:
    """Noise relative to fun; 0 where it is no more than rounding, so that steps do not depend on luck."""
    relative = noise.level / noise.scale if noise.scale > 0 else 0.0
    return relative if relative > ORDINARY * eps else 0.0


def _name(problem: Problem) -> str:
    """What the user has given as fun."""
    return "batch_fun" if isinstance(problem.fun, OneByOne) else "fun"


def _call(x: Structure, args: tuple[Any, ...], what: str, function: Any) -> Any:
    try:
        return function(x, *args)
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} raised at x0: {described(error)}") from error


def _check_value(value: Any) -> int:
    """Bytes of the precision of fun's value; `InputError` if it is not one real number."""
    if isinstance(value, str | bytes) or value is None:
        raise InputError(f"fun: got {type(value).__name__} {value!r} at x0; expected one float")
    array = _array(value)
    if array.ndim:
        raise InputError(
            f"fun: got an array of shape {array.shape} at x0; expected one float: sum or average it, "
            f"or index its only element; if its elements are terms whose sum is the loss, say terms=True"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"fun: got a value of dtype {array.dtype} at x0; expected one real float")
    return min(8, array.dtype.itemsize) if array.dtype.kind == "f" else 8


def _check_terms(value: Any) -> int:
    """Bytes of the precision of fun's terms; `InputError` if they are no array of real numbers."""
    array = _array(value)
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise InputError(
            f"fun: got {type(value).__name__} of shape {array.shape} and dtype {array.dtype} at x0; with terms=True "
            f"expected an array of real terms whose sum is the loss"
        )
    return min(8, array.dtype.itemsize) if array.dtype.kind == "f" else 8


def _array(value: Any) -> Any:
    try:
        return np.asarray(value)
    except ValueError as error:  # of lists of different lengths
        raise InputError(f"fun: its value at x0 is no array: {error}") from None


def _check_finite(*values: float) -> None:
    for value in values:
        if not np.isfinite(value):
            raise InputError(f"fun: got {value} at x0; expected a finite value: move x0 into its domain")
