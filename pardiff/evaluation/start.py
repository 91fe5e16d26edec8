"""The start of an audit: fun and grad at x0, checked before anything is written or sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.evaluation.estimate import Box
from pardiff.evaluation.noise import Noise, measure_noise
from pardiff.evaluation.pointwise import Pointwise, described
from pardiff.problem.parameters import (
    FloatArray,
    Layout,
    check_inside,
    flatten,
    parse_bounds,
    parse_gradient,
    parse_parameters,
)
from pardiff.problem.problem import Problem

LARGEST_EPS = 0.1
"""Where fun is noisier than this, steps as large as x itself are of no more help."""
ORDINARY = 8.0
"""Noise of up to this many machine epsilons is the rounding of a function that is not noisy."""

DEFAULT_RTOL = {8: 1e-6, 4: 1e-3, 2: 1e-2}
"""Default relative tolerance by the bytes of fun's value: what its precision lets a difference show."""


@dataclass(frozen=True)
class Start:
    """What is known of a problem after fun was called twice, and grad once, at x0."""

    layout: Layout
    arrays: list[Any]
    """The leaves of x0; they belong to the evaluator of this process."""
    bounds: tuple[FloatArray, FloatArray] | None
    analytical: FloatArray | None
    """Flat, shape (n,); None where the problem has no gradient."""
    value: float
    """fun at x0."""
    repeat: float
    """fun at x0 once more; another value means that fun is not deterministic."""
    eps: float
    """Relative precision of fun: the machine epsilon of the less precise of x0 and fun's value, or the
    measured noise where that is more."""
    noise: float
    """Twice the standard deviation of the measured noise, in the units of fun."""
    probe: float
    """fun at a point a little away from x0, the same in every run; 0 where it is not finite."""
    single_precision: bool
    """Whether fun returns values of float32, whatever their dtype."""
    rtol: float
    """Default relative tolerance."""
    seconds: float
    """Duration of the second call of fun."""
    nfev: int
    """Passes spent."""


def evaluate_start(problem: Problem, seed: int = 0) -> tuple[Start, Pointwise]:
    """Check a problem by calling it at x0.

    Raises
    ------
    InputError
        With one sentence on what is wrong with x0, the bounds, fun's value or grad's.
    """
    layout, arrays = parse_parameters(problem.x0)
    bounds = parse_bounds(layout, problem.bounds)
    if bounds is not None:
        check_inside(layout, flatten(layout, arrays), bounds)
    evaluator = Pointwise(problem.fun, problem.args, layout, arrays)
    first = _call(evaluator, "fun", problem.fun)
    begin = time.perf_counter()
    second = _call(evaluator, "fun", problem.fun)
    seconds = time.perf_counter() - begin
    itemsize = _check_value(first)
    if _check_value(second) and not np.isfinite([float(first), float(second)]).all():
        raise InputError(f"fun: got {float(first)} at x0; expected a finite value: move x0 into its domain")
    evaluator.check_unchanged()
    analytical = None
    if problem.grad is not None:
        gradient = problem.grad
        if callable(gradient):
            gradient = _call(evaluator, "grad", gradient)
        if gradient is None:
            raise InputError("grad returned None; expected a gradient with the structure of x0")
        analytical = parse_gradient(layout, gradient)
        evaluator.check_unchanged()
        if callable(problem.grad) and float(first) == float(second) != float(_call(evaluator, "fun", problem.fun)):
            raise InputError(
                "grad changes what fun computes: fun at x0 has another value after grad was called; grad must not "
                "change args or other data that fun uses"
            )
    everything = np.arange(layout.size)
    x, bytes_of_x = evaluator.point(everything)
    box = Box.of(bounds, everything, bytes_of_x)
    found = measure_noise(evaluator, x, bytes_of_x, box.lower, box.upper, float(first), seed)
    evaluator.check_unchanged()
    itemsize = min(itemsize, 4) if found.single_precision else itemsize
    eps = float(np.finfo(f"f{min(itemsize, int(bytes_of_x.min()))}").eps)
    start = Start(
        layout=layout,
        arrays=arrays,
        bounds=bounds,
        analytical=analytical,
        value=float(first),
        repeat=float(second),
        eps=min(LARGEST_EPS, max(eps, _relative(found, eps))),
        noise=found.level,
        probe=found.probe if np.isfinite(found.probe) else 0.0,
        single_precision=found.single_precision and itemsize < 8,
        rtol=DEFAULT_RTOL[itemsize],
        seconds=seconds,
        nfev=2 + callable(problem.grad) + found.nfev,
    )
    return start, evaluator


def _relative(noise: Noise, eps: float) -> float:
    """Noise relative to fun; 0 where it is no more than rounding, so that steps do not depend on luck."""
    relative = noise.level / noise.scale if noise.scale > 0 else 0.0
    return relative if relative > ORDINARY * eps else 0.0


def _call(evaluator: Pointwise, what: str, function: Any) -> Any:
    try:
        return function(evaluator.x, *evaluator.args)
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} raised at x0: {described(error)}") from error


def _check_value(value: Any) -> int:
    """Bytes of the precision of fun's value; `InputError` if it is not one real number."""
    if isinstance(value, str | bytes) or value is None:
        raise InputError(f"fun: got {type(value).__name__} {value!r} at x0; expected one float")
    array = np.asarray(value)
    if array.ndim:
        raise InputError(
            f"fun: got an array of shape {array.shape} at x0; expected one float: sum or average it, "
            f"or index its only element"
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"fun: got a value of dtype {array.dtype} at x0; expected one real float")
    return min(8, array.dtype.itemsize) if array.dtype.kind == "f" else 8
