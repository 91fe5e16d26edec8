"""What an audit will cost, from the size of x0 and one timed call of fun."""

from __future__ import annotations

from dataclasses import dataclass

from pardiff.evaluation.spec import stencil_of
from pardiff.evaluation.strategy import POINTWISE
from pardiff.planning.waves import MOST_BLOCKS, Wave, block_size
from pardiff.problem.budget import Budget
from pardiff.problem.options import Resolved

BYTES_PER_COORDINATE = 7 * 8 + 8 + 6 * 8 + 4 + 3
"""Bytes of an entry in a store, uncompressed: working results, x0, six float64 arrays by name, nfev, and three small
flags."""

SHARES = 32
"""Blocks for which a budget is enough, at the least: so many places of x0 are looked at, and little of it is left."""


@dataclass(frozen=True)
class Plan:
    """Cost of an audit."""

    name: str
    parameters: int
    """n."""
    passes: int
    """Forward passes of the first wave; coordinates that it leaves open cost 4 to 30 more each."""
    block_size: int
    blocks: int
    workers: int
    seconds_per_pass: float
    bytes: int
    """Size of the store, uncompressed."""
    strategy: str = POINTWISE
    """How fun would be evaluated: ``pointwise``, ``batched`` or ``incremental``."""
    fallback_reason: str = ""
    """Why a faster path of the problem would not be taken."""

    @property
    def seconds(self) -> float:
        """Predicted wall time of the first wave, start-up excluded."""
        return self.passes * self.seconds_per_pass / max(1, min(self.workers, self.blocks))


def passes_per_coordinate(resolved: Resolved) -> int:
    """Forward passes of the fixed stencil."""
    if resolved.method == "complex":
        return 1
    return stencil_of(resolved).nfev * (2 if resolved.refine == "all" else 1)


def first_wave(
    count: int, resolved: Resolved, seconds: float, workers: int, rows: int = 1, observables: int = 1
) -> Wave:
    """The wave that covers every coordinate, in batches of some rows."""
    multiple = max(1, rows // stencil_of(resolved).nfev)
    passes = passes_per_coordinate(resolved)
    size = resolved.block_size or block_size(count, passes, seconds, workers, multiple, observables)
    budget = resolved.limit
    if budget != Budget() and resolved.block_size is None:
        allowed = min(budget.passes, budget.seconds * workers / max(seconds, 1e-9))
        size = max(1, -(-count // MOST_BLOCKS), min(size, int(allowed / (SHARES * passes))))
    return Wave(1, count, max(1, min(size, count)))


def make_plan(
    name: str,
    count: int,
    resolved: Resolved,
    seconds: float,
    workers: int,
    strategy: str = POINTWISE,
    fallback_reason: str = "",
    observables: int = 1,
) -> Plan:
    """The cost of an audit of n = ``count`` parameters.

    Parameters
    ----------
    resolved : Resolved
        The options.
    seconds : float
        Duration of one pass.
    workers : int
        Worker threads.
    observables : int
        Numbers that fun gives at each point: 1 for a loss, the cotangents of all outputs for a vjp.
    """
    wave = first_wave(count, resolved, seconds, workers, observables=observables)
    return Plan(
        name=name,
        parameters=count,
        passes=count * passes_per_coordinate(resolved),
        block_size=wave.block_size,
        blocks=wave.blocks,
        workers=workers,
        seconds_per_pass=seconds,
        bytes=count * observables * BYTES_PER_COORDINATE,
        strategy=strategy,
        fallback_reason=fallback_reason,
    )
