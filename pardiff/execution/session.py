"""A problem that is ready to be evaluated in one thread, and what is kept of it from block to block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from pardiff.errors import WorkerError
from pardiff.evaluation.at_x0 import open_pointwise
from pardiff.evaluation.crosscheck import EvaluatorMismatch
from pardiff.evaluation.evaluator import Evaluator, axes_of
from pardiff.evaluation.fixed_stencil import by_stencil, by_steps
from pardiff.evaluation.searches import by_search
from pardiff.evaluation.spec import DifferentiationSpec
from pardiff.evaluation.strategy import open_evaluator
from pardiff.numerics.estimates import Estimates
from pardiff.planning.waves import SEARCH, STENCIL, STEPS, Wave
from pardiff.problem.bounds import parse_bounds
from pardiff.problem.problem import Problem
from pardiff.problem.space import FloatArray, Space
from pardiff.storage.format import MOST_ERRORS

T = TypeVar("T")

TOGETHER = 1 << 13
"""Results that are worked on together: some dozens of arrays of so many numbers stay in a core's cache."""


@dataclass(frozen=True)
class Session:
    """A problem that is ready to be evaluated in one thread."""

    evaluator: Evaluator
    spec: DifferentiationSpec
    bounds: tuple[FloatArray, FloatArray] | None
    base: float
    """fun at x0, called here; see `pardiff.evaluation.baseline.Facts.value`."""


def open_session(problem: Problem, space: Space, arrays: list[NDArray[Any]], spec: DifferentiationSpec) -> Session:
    """Prepare a problem for evaluation; the arrays are x0 and become the evaluator's own."""
    plain = open_pointwise(problem, space, arrays, spec.cotangents)
    try:
        base = plain.at_start()
    except Exception as error:
        raise WorkerError(f"fun raised {type(error).__name__} at x0 here, but not in the client: {error}") from error
    evaluator = open_evaluator(problem, plain, spec.strategy, spec.rows)
    return Session(evaluator, spec, parse_bounds(space, problem.bounds), base)


@dataclass(frozen=True)
class Part:
    """What was found along some lines of a wave."""

    found: Estimates
    """Results of shape (k, q)."""
    checks: int
    """Values of a fast path that were compared with fun."""
    errors: dict[str, str]
    """What fun raised, by flat coordinate; at most `MOST_ERRORS` are kept."""


def do_part(session: Session, wave: Wave, start: int, stop: int) -> Part:
    """Differentiate along the lines of a wave from start to stop.

    Raises
    ------
    EvaluatorMismatch
        If a fast path differs from fun.
    """
    evaluator, spec = session.evaluator, session.spec
    evaluator.failures.clear()
    found = Estimates.empty(stop - start, spec.observables)
    size = max(1, TOGETHER // spec.observables)
    for first in range(start, stop, size):
        last = min(first + size, stop)
        at = axes_of(evaluator, wave.coordinates(first, last), session.bounds, spec.typical, first)
        if wave.kind == SEARCH:
            wanted = None if wave.wanted is None else wave.wanted[first:last]
            part = by_search(evaluator, spec, at, wanted)
        else:
            part = {STENCIL: by_stencil, STEPS: by_steps}[wave.kind](evaluator, spec, at)
        found.put(slice(first - start, last - start), part)
    evaluator.check_unchanged()
    mismatch, checks = evaluator.verify(spec.check)
    if mismatch:
        raise EvaluatorMismatch(mismatch)
    errors = {str(i): text for i, text in sorted(evaluator.failures.items())[:MOST_ERRORS]}
    return Part(found, checks, errors)


_kept = threading.local()


def kept(slot: str, key: Hashable, make: Callable[[], T]) -> T:
    """What this thread keeps in a slot; where its key is another, it is freed, and made anew.

    Parameters
    ----------
    slot : str
        ``session``, ``ledger`` and the like: one value of each kind is kept.
    key : hashable
        What the value depends on.
    make : callable
        Makes the value.
    """
    slots: dict[str, tuple[Hashable, Any]] = vars(_kept)
    if slot not in slots or slots[slot][0] != key:
        slots.pop(slot, None)  # the last problem is freed before another is built
        slots[slot] = key, make()
    value: T = slots[slot][1]
    return value


def is_kept(slot: str, key: Hashable) -> bool:
    """Whether this thread keeps a value of that key."""
    slots: dict[str, tuple[Hashable, Any]] = vars(_kept)
    return slot in slots and slots[slot][0] == key


def keep(slot: str, key: Hashable, value: Any) -> None:
    """Put a value into a slot of this thread."""
    vars(_kept)[slot] = key, value


def forget() -> None:
    """Empty all slots of this thread."""
    vars(_kept).clear()
