"""The baseline of an audit: fun and its derivative at x0, and the noise of fun, before anything is written or sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.evaluation.analyticity import measure_slope_noise
from pardiff.evaluation.at_x0 import AtX0, call_at_x0
from pardiff.evaluation.crosscheck import CrossChecked, EvaluatorMismatch, one_of_each
from pardiff.evaluation.evaluator import Evaluator, axes_of
from pardiff.evaluation.lines import Axes, Bounds
from pardiff.evaluation.noise import Noise, Observables, measure_noise, measure_relative_noise, measure_scatter
from pardiff.evaluation.pointwise import Pointwise
from pardiff.evaluation.precision import precisions_of, relative_noise
from pardiff.evaluation.spec import DifferentiationSpec, stencil_of
from pardiff.evaluation.strategy import BATCHED, POINTWISE, EvaluationStrategy, choose_strategy, seconds_per_pass
from pardiff.numerics.difference import Precision
from pardiff.numerics.sums import known_again
from pardiff.numerics.tuning import LARGEST_EPS, REPEATS, USUAL
from pardiff.problem.bounds import check_inside, parse_bounds
from pardiff.problem.data_axes import data_lengths
from pardiff.problem.jitter import jitter
from pardiff.problem.options import Options, Resolved
from pardiff.problem.outputs import Cotangents
from pardiff.problem.parsing import integer_leaves, parse_typical, parse_x0
from pardiff.problem.problem import Problem
from pardiff.problem.space import FloatArray, Space, flatten

COARSER = 30.0
"""Times by which the values of a batch may scatter more than those of fun: products of matrices add in another way."""
MOST_LINES = 4
"""Coordinates along which the noise of an incremental evaluator is measured."""
DEFAULT_RTOL = {8: 1e-6, 4: 1e-3, 2: 1e-2}
"""Default relative tolerance by the bytes of fun's value: what its precision lets a difference show."""
SAME_VALUE, SAME_SINGLE = 1e-10, 1e-5
"""Relative difference of values of fun up to which other hardware or libraries may explain it; in single precision."""


@dataclass(frozen=True)
class Facts:
    """What an audit keeps of its baseline, as plain data."""

    value: float
    """fun at x0; of terms their sum, of outputs a number by which they are known again."""
    repeat: float
    """The same once more."""
    deterministic: bool
    """Whether fun, called again, gave the same value to the last bit."""
    sigma: float
    """Standard deviation of repeated values at x0; 0 where fun is deterministic."""
    noise: float
    """Twice the standard deviation of the measured noise, in the units of ``value``."""
    error: float
    """Error of the value at x0; 0 where changes are known better than values."""
    probe: float
    """fun at a point a little away from x0, the same in every run; 0 where it is not finite."""
    single_precision: bool
    """Whether fun returns values of float32, whatever their dtype."""
    strategy: str
    """How fun is evaluated: ``pointwise``, ``batched`` or ``incremental``."""
    rows: int
    """Points in a batch."""
    fallback_reason: str
    """Why a faster way that the problem offers is not taken."""
    declined: bool
    """Whether the problem has a batch_fun that is not used, since it is no faster."""
    nondeterministic_arrays: tuple[str, ...]
    """Arrays whose analytical derivative, called again, is another."""
    nonlinear_outputs: tuple[str, ...]
    """Outputs in whose cotangents the vjp is not linear."""
    integers: tuple[str, ...]
    """Arrays of x0 that hold integers, and are taken as float64."""
    lengths: tuple[tuple[int, str], ...]
    """Lengths of the axes of the problem's data, and the arrays that they belong to."""
    seconds: float
    """Duration of a pass."""
    nfev: int
    """Passes spent."""

    def same_value(self, value: float) -> float:
        """How far a value of fun may be from another one that is taken to be the same."""
        relative = SAME_SINGLE if self.single_precision else SAME_VALUE
        return relative * abs(value) + 10 * self.noise

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Facts:
        """The inverse of :meth:`to_json`."""
        lengths = tuple((int(length), str(name)) for length, name in data["lengths"])
        names = {name: tuple(data[name]) for name in ("nondeterministic_arrays", "nonlinear_outputs", "integers")}
        return cls(**{**data, **names, "lengths": lengths})


@dataclass(frozen=True)
class Baseline:
    """What is known of a problem after fun and its derivative were called at x0."""

    facts: Facts
    space: Space
    arrays: list[Any]
    """The leaves of x0; they belong to the evaluator of this process."""
    bounds: Bounds | None
    typical: tuple[float, ...]
    """Typical size of the parameters, by array."""
    analytical: FloatArray | None
    """Flat, in the order of the arrays by name; None where the problem has no derivative."""
    cotangents: Cotangents | None
    precisions: tuple[Precision, ...]
    """How well the evaluator's values are known, for each observable."""
    check: Precision
    """How well values of fun itself are known; another precision where evaluation is incremental."""
    slope_noise: tuple[float, ...] | None
    """Noise of the complex-step derivative along a line, by observable; None where the step is real."""
    rtol: float
    """Default relative tolerance."""

    def spec(self, resolved: Resolved) -> DifferentiationSpec:
        """How derivatives are formed from here."""
        return DifferentiationSpec.of(
            resolved,
            precisions=self.precisions,
            check=self.check,
            typical=self.typical,
            strategy=self.facts.strategy,
            rows=self.facts.rows,
            slope_noise=self.slope_noise,
            cotangents=self.cotangents,
        )


def measure_baseline(problem: Problem, options: Options, fallback_reason: str = "") -> tuple[Baseline, Evaluator]:
    """Check a problem by calling it at x0, measure the noise of fun, and choose how it is evaluated.

    Parameters
    ----------
    problem : Problem
    options : Options
        Of which the method, the typical sizes, the sizes of batches, the probes and the seed matter here.
    fallback_reason : str
        What is known to be wrong with the problem's fast path, which is then not taken.

    Raises
    ------
    InputError
        With one sentence on what is wrong with x0, the bounds, fun's value or the derivative's.
    """
    space, arrays, bounds, typical = _checked(problem, options)
    plain, seen = call_at_x0(problem, options, space, arrays)
    at = axes_of(plain, np.arange(space.size), bounds, typical)
    strategy = _first_choice(problem, options, plain, seen, fallback_reason)
    seed, spent = options.seed or 0, 0
    while True:
        noise, sigma, passes = _measured_noise(plain, at, seen, seed, strategy.name)
        spent += passes + strategy.nfev
        plain.check_unchanged()
        checks, itemsizes, single = precisions_of(problem, plain, seen, noise, at)
        try:
            fast, more, seconds = _of_strategy(strategy, at, checks[0], options, seen.seconds)
            break
        except EvaluatorMismatch as mismatch:
            strategy = EvaluationStrategy(POINTWISE, plain, fallback_reason=f"{strategy.title}: {mismatch}")
    slope_noise, complex_passes = None, 0
    if options.method == "complex":
        slope_noise, complex_passes = _slope_noise(plain, at, checks, seed)
    precisions = checks if fast is None else (fast,)
    origin = float(strategy.evaluator.origin.size.max(initial=0.0))
    facts = Facts(
        value=seen.first,
        repeat=seen.second,
        deterministic=seen.deterministic,
        sigma=sigma,
        noise=precisions[0].noise if seen.cotangents is None else _noise_of_outputs(seen, noise, checks),
        error=max(precisions[0].noise, precisions[0].eps * origin),
        probe=_probe(noise),
        single_precision=single,
        strategy=strategy.name,
        rows=strategy.rows,
        fallback_reason=strategy.fallback_reason,
        declined=strategy.name == POINTWISE and problem.batch_fun is not None and not strategy.fallback_reason,
        nondeterministic_arrays=seen.nondeterministic_arrays,
        nonlinear_outputs=seen.nonlinear_outputs,
        integers=integer_leaves(problem.x0),
        lengths=tuple(data_lengths(problem).items()),
        seconds=seconds,
        nfev=seen.nfev + spent + more + complex_passes,
    )
    baseline = Baseline(
        facts, space, arrays, bounds, typical, seen.analytical, seen.cotangents, precisions, checks[0], slope_noise,
        DEFAULT_RTOL[min(itemsizes)],
    )  # fmt: skip
    return baseline, strategy.evaluator


def _checked(problem: Problem, options: Options) -> tuple[Space, list[Any], Bounds | None, tuple[float, ...]]:
    """x0, its bounds and typical sizes, all of them valid; x0 moved if there is a jitter."""
    space, arrays = parse_x0(problem.x0)
    bounds = parse_bounds(space, problem.bounds)
    typical = parse_typical(space, options.typical)
    if bounds is not None:
        check_inside(space, flatten(arrays), bounds)
    if options.jitter is not None:
        if problem.grad is not None and not callable(problem.grad):
            raise InputError(
                "jitter: grad is given as numbers, which hold at x0 alone; expected one that can be called"
            )
        jitter(space, arrays, options.jitter, typical, bounds, options.seed or 0)
    return space, arrays, bounds, typical


def _first_choice(
    problem: Problem, options: Options, plain: Pointwise, seen: AtX0, fallback_reason: str
) -> EvaluationStrategy:
    """The fastest way to evaluate fun that may be taken."""
    offered = problem.batch_fun is not None or problem.incremental is not None
    if not seen.deterministic and offered and not fallback_reason:
        fallback_reason = "fun is not deterministic, so that nothing can be compared with it"
    if fallback_reason or not seen.deterministic or not plain.space.size:
        return EvaluationStrategy(POINTWISE, plain, fallback_reason=fallback_reason)
    return choose_strategy(problem, options, plain)


def _measured_noise(plain: Pointwise, at: Axes, seen: AtX0, seed: int, strategy: str) -> tuple[list[Noise], float, int]:
    """Noise of each observable, the standard deviation at x0 where fun is not deterministic, and passes spent."""
    sizes = plain.origin.size.tolist()
    if not len(at):
        return [Noise(0.0, size, size, True, np.nan, False, False, 0) for size in sizes], 0.0, 0
    if not seen.deterministic:
        scatter = measure_scatter(plain, at)
        found = [
            Noise(level, max(size, level), max(size, level), True, np.nan, False, False, REPEATS)
            for (_, level), size in zip(scatter, sizes, strict=True)
        ]
        return found, max(sigma for sigma, _ in scatter), REPEATS
    observables = Observables(plain)
    found = [measure_noise(one, at, seed, lines=3 if strategy == POINTWISE else 1) for one in observables.each]
    return found, 0.0, found[0].nfev if len(found) == 1 else observables.passes


def _of_strategy(
    strategy: EvaluationStrategy, at: Axes, check: Precision, options: Options, seconds: float
) -> tuple[Precision | None, int, float]:
    """Precision of the values of a fast path, None of fun itself, passes spent, and the duration of one.

    Raises
    ------
    EvaluatorMismatch
        If it is not fun that it evaluates.
    """
    if strategy.name == POINTWISE:
        return None, 0, seconds
    fast, spent = _of_fast_path(strategy, at, check, options.seed or 0)
    return fast, spent, seconds_per_pass(strategy.evaluator, seconds, stencil_of(options).nfev)


def _of_fast_path(strategy: EvaluationStrategy, at: Axes, check: Precision, seed: int) -> tuple[Precision, int]:
    assert isinstance(strategy.evaluator, CrossChecked)
    some = at[one_of_each(strategy.evaluator.plain, seed)]
    mismatch, spent = strategy.evaluator.verify_afar(some, check)
    if mismatch:
        raise EvaluatorMismatch(mismatch)
    if strategy.name == BATCHED:
        found = measure_noise(Observables(strategy.evaluator).each[0], at, seed)
        error = max(check.noise, check.eps * float(strategy.evaluator.origin.size[0]))
        if found.level > COARSER * error:
            raise EvaluatorMismatch(
                f"its values scatter by {found.level:.1e}, those of fun by no more than {error:.1e}: it computes to "
                f"fewer digits than fun"
            )
        return Precision(check.eps, max(check.noise, 0.0 if check.noise == 0 else found.level)), spent + found.nfev
    eps = float(np.finfo(np.float64).eps)
    relative, more = measure_relative_noise(strategy.evaluator, some[:MOST_LINES], seed)
    return Precision(min(LARGEST_EPS, max(eps, relative if relative > USUAL * eps else 0.0)), 0.0), spent + more


def _slope_noise(plain: Pointwise, at: Axes, checks: tuple[Precision, ...], seed: int) -> tuple[tuple[float, ...], int]:
    """Noise of the complex-step derivatives, and passes spent."""
    if not len(at):
        return (0.0,) * len(checks), 0
    arrays = plain.point(at.index).array
    observables = Observables(plain)
    found = [measure_slope_noise(one, at, arrays, c, seed) for one, c in zip(observables.each, checks, strict=True)]
    return tuple(noise for noise, _ in found), found[0][1] if len(found) == 1 else observables.passes


def _probe(noise: list[Noise]) -> float:
    """fun beside x0; of several observables a number by which they are known again."""
    values = [one.probe for one in noise]
    if not np.isfinite(values).all():
        return 0.0
    return values[0] if len(values) == 1 else known_again(np.array(values))


def _noise_of_outputs(seen: AtX0, noise: list[Noise], checks: tuple[Precision, ...]) -> float:
    """Noise of the number by which outputs are known again, from the largest relative noise of an observable."""
    relative = max(relative_noise(one, check.eps) for one, check in zip(noise, checks, strict=True))
    return relative * abs(seen.first)
