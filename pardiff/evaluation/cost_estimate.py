"""What a plan needs to know of a problem, from two calls of fun."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pardiff.evaluation.at_x0 import call, check_terms, check_value, fun_name, open_pointwise
from pardiff.evaluation.baseline import DEFAULT_RTOL
from pardiff.evaluation.crosscheck import CrossChecked, EvaluatorMismatch, one_of_each
from pardiff.evaluation.evaluator import axes_of
from pardiff.evaluation.spec import stencil_of
from pardiff.evaluation.strategy import POINTWISE, choose_strategy, seconds_per_pass
from pardiff.numerics.difference import Precision
from pardiff.numerics.tuning import USUAL
from pardiff.problem.bounds import check_inside, parse_bounds
from pardiff.problem.options import PROBES, Options
from pardiff.problem.outputs import parse_outputs
from pardiff.problem.parsing import parse_typical, parse_x0
from pardiff.problem.problem import Problem
from pardiff.problem.space import flatten


@dataclass(frozen=True)
class CostEstimate:
    """What a plan needs to know of a problem."""

    size: int
    """n."""
    rtol: float
    """Default relative tolerance."""
    strategy: str
    """How fun would be evaluated."""
    seconds: float
    """Duration of a pass so."""
    fallback_reason: str = ""
    """Why a faster way is not taken."""
    observables: int = 1
    """q, the numbers that fun gives at each point."""


def estimate_cost(problem: Problem, options: Options) -> CostEstimate:
    """Time a problem by two calls of fun; with a fast path some more, of that.

    x0 is not copied where there is no fast path, so that a plan for a large problem needs no more memory than fun.

    Raises
    ------
    InputError
        With one sentence on what is wrong with x0, the bounds or fun's value.
    """
    fast = problem.batch_fun is not None or problem.incremental is not None
    space, arrays = parse_x0(problem.x0, copy=fast)
    if problem.bounds is not None:
        check_inside(space, flatten(arrays), parse_bounds(space, problem.bounds))
    x = space.structure(arrays)
    raw = call(fun_name(problem), problem.fun, x, *problem.args)
    observables = 1
    if problem.vjp is not None:
        outputs = parse_outputs(raw)[0].leaves
        itemsize = min(leaf.dtype.itemsize for leaf in outputs)
        observables = len(outputs) * (options.probes or PROBES)
    else:
        itemsize = check_terms(raw) if problem.terms else check_value(raw)
    begin = time.perf_counter()
    call(fun_name(problem), problem.fun, x, *problem.args)
    seconds = time.perf_counter() - begin
    if not fast:
        return CostEstimate(space.size, DEFAULT_RTOL[itemsize], POINTWISE, seconds, observables=observables)
    plain = open_pointwise(problem, space, arrays)
    plain.take(raw)
    strategy = choose_strategy(problem, options, plain)
    try:
        if isinstance(strategy.evaluator, CrossChecked):
            typical = parse_typical(space, options.typical)
            some = axes_of(plain, one_of_each(plain, options.seed or 0), None, typical)
            rounding = Precision(USUAL * float(np.finfo(f"f{itemsize}").eps), 0.0)
            mismatch, _ = strategy.evaluator.verify_afar(some, rounding)
            if mismatch:
                raise EvaluatorMismatch(mismatch)
        each = seconds_per_pass(strategy.evaluator, seconds, stencil_of(options).nfev)
    except EvaluatorMismatch as error:
        return CostEstimate(space.size, DEFAULT_RTOL[itemsize], POINTWISE, seconds, f"{strategy.title}: {error}")
    return CostEstimate(space.size, DEFAULT_RTOL[itemsize], strategy.name, each, strategy.fallback_reason)
