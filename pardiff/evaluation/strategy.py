"""Which evaluator a problem gets: fun itself, batches, or an incremental one, if that describes fun."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pardiff.errors import InputError
from pardiff.evaluation.batched import Batched, tune
from pardiff.evaluation.crosscheck import CrossChecked, EvaluatorMismatch
from pardiff.evaluation.evaluator import Evaluator
from pardiff.evaluation.incremental import IncrementalEvaluator
from pardiff.evaluation.lines import Axes
from pardiff.evaluation.pointwise import Pointwise
from pardiff.evaluation.spec import stencil_of
from pardiff.problem.options import MEMORY, Options
from pardiff.problem.problem import Problem

POINTWISE, BATCHED, INCREMENTAL = "pointwise", "batched", "incremental"
TITLES = {POINTWISE: "fun", BATCHED: "batch_fun", INCREMENTAL: "incremental evaluation"}
SAMPLE, SAMPLE_SECONDS = 16, 1e-3
"""Coordinates of an array whose evaluation is timed, at first, and the time from which it is believed."""
MOST_TIMED = 12
"""Arrays that are timed, the largest; the others are taken to be as fast."""


@dataclass(frozen=True)
class EvaluationStrategy:
    """How fun is evaluated."""

    name: str
    """`POINTWISE`, `BATCHED` or `INCREMENTAL`."""
    evaluator: Evaluator
    rows: int = 1
    """Points in a batch."""
    fallback_reason: str = ""
    """Why a faster path that the problem offers is not taken."""
    nfev: int = 0
    """Passes spent on finding out."""

    @property
    def title(self) -> str:
        """The name in words."""
        return TITLES[self.name]


NOT_WORTH_TUNING = 0.02
"""Seconds for all passes one by one below which the best size of a batch is not looked for: that takes as long."""


def choose_strategy(problem: Problem, options: Options, plain: Pointwise) -> EvaluationStrategy:
    """The fastest evaluator that a problem offers, and that agrees with fun.

    Parameters
    ----------
    problem : Problem
    options : Options
        Of which the method, the seed, the size of a batch and the memory matter here.
    plain : Pointwise
        Which has been called at x0.
    """
    if options.method == "complex" or (problem.incremental is None and problem.batch_fun is None):
        return EvaluationStrategy(POINTWISE, plain)
    rows = options.batch_size
    try:
        if problem.incremental is not None:
            return EvaluationStrategy(INCREMENTAL, IncrementalEvaluator(plain, problem.incremental))
        if options.batch_size == 1:
            return EvaluationStrategy(POINTWISE, plain)
        assert problem.batch_fun is not None
        memory = MEMORY if options.memory is None else options.memory
        spent = 0
        most = most_rows(plain.space.size, options)
        if rows is None and most * _seconds(plain) < NOT_WORTH_TUNING:
            spent, rows = 1, most
        elif rows is None:
            tuned = tune(plain, problem.batch_fun, most, memory)
            spent, rows = tuned.nfev, tuned.rows
        rows = min(rows, most)
        if rows == 1:
            return EvaluationStrategy(POINTWISE, plain, nfev=spent)
        return EvaluationStrategy(BATCHED, Batched(plain, problem.batch_fun, rows), rows, nfev=spent + rows)
    except MemoryError:
        raise InputError(
            f"batch_size: a batch of {rows} rows of {plain.space.size:,} parameters does not fit into memory; give a "
            f"smaller one"
        ) from None
    except EvaluatorMismatch as mismatch:
        name = BATCHED if problem.incremental is None else INCREMENTAL
        return EvaluationStrategy(POINTWISE, plain, fallback_reason=f"{TITLES[name]}: {mismatch}")


def _seconds(plain: Pointwise) -> float:
    """Duration of one pass."""
    begin = time.perf_counter()
    plain.at_start()
    return time.perf_counter() - begin


def most_rows(count: int, options: Options) -> int:
    """Rows that a batch can fill at the most."""
    return max(2, count * stencil_of(options).nfev)


def open_evaluator(problem: Problem, plain: Pointwise, name: str, rows: int) -> Evaluator:
    """The evaluator that was chosen, in another process; an `EvaluatorMismatch` where it is not to be had."""
    if name == INCREMENTAL:
        return IncrementalEvaluator(plain, problem.incremental)
    if name == BATCHED:
        assert problem.batch_fun is not None
        return Batched(plain, problem.batch_fun, rows)
    return plain


def pointwise_of(evaluator: Evaluator) -> Pointwise:
    """The evaluator of fun itself."""
    found = evaluator.plain if isinstance(evaluator, CrossChecked) else evaluator
    assert isinstance(found, Pointwise)
    return found


def seconds_per_pass(evaluator: Evaluator, plain: float, points: int) -> float:
    """Duration of a pass, the mean over all coordinates.

    Parameters
    ----------
    evaluator : Evaluator
    plain : float
        Duration of a pass of fun.
    points : int
        Points at which each coordinate is evaluated.
    """
    if isinstance(evaluator, Batched):
        begin = time.perf_counter()
        evaluator.call()
        return (time.perf_counter() - begin) / evaluator.rows
    if not isinstance(evaluator, IncrementalEvaluator):
        return plain
    leaves = sorted((leaf for leaf in evaluator.space.leaves if leaf.size), key=lambda leaf: -leaf.size)[:MOST_TIMED]
    total, count = 0.0, 0
    for leaf in leaves:
        size, seconds = min(leaf.size, SAMPLE), 0.0
        while True:
            some = np.arange(leaf.start, leaf.start + size)
            at = Axes.of(some, evaluator.point(some), None, (1.0,) * len(evaluator.space.leaves))
            begin = time.perf_counter()
            evaluator.along_axes(at, np.zeros((size, points), order="F"))
            seconds = time.perf_counter() - begin
            if seconds > SAMPLE_SECONDS or size == leaf.size:
                break
            size = min(leaf.size, 8 * size)
        total += seconds / (size * points) * leaf.size
        count += leaf.size
    evaluator.forget()
    return total / count
