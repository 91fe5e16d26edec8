"""What an audit will cost, from the size of x0 and one timed call of fun."""

from __future__ import annotations

from dataclasses import dataclass

from pardiff.evaluation.fixed_stencil import formula
from pardiff.evaluation.strategy import POINTWISE
from pardiff.planning.waves import MOST_BLOCKS, Wave, block_size
from pardiff.problem.budget import Budget
from pardiff.problem.options import Settings

BYTES_PER_COORDINATE = 7 * 8 + 8 + 6 * 8 + 4 + 3
"""In the store, uncompressed: working results, x0, six float64 arrays by name, nfev, and three small flags."""

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
    path: str = POINTWISE
    """How fun would be evaluated: ``pointwise``, ``batched`` or ``incremental``."""
    doubt: str = ""
    """Why a faster path of the problem would not be taken."""

    @property
    def seconds(self) -> float:
        """Predicted wall time of the first wave, start-up excluded."""
        return self.passes * self.seconds_per_pass / max(1, min(self.workers, self.blocks))


def passes_per_coordinate(settings: Settings) -> int:
    """Forward passes of the fixed stencil."""
    if settings.method == "complex":
        return 1
    return formula(settings).nfev * (2 if settings.refine == "all" else 1)


def first_wave(count: int, settings: Settings, seconds: float, workers: int, rows: int = 1) -> Wave:
    """The wave that covers every coordinate, in batches of some rows."""
    multiple = max(1, rows // formula(settings).nfev)
    passes = passes_per_coordinate(settings)
    size = settings.block_size or block_size(count, passes, seconds, workers, multiple)
    if settings.budget is not None and settings.block_size is None:
        budget = Budget.parse(settings.budget)
        allowed = min(budget.passes, budget.seconds * workers / max(seconds, 1e-9))
        size = max(1, -(-count // MOST_BLOCKS), min(size, int(allowed / (SHARES * passes))))
    return Wave(1, count, min(size, count))


def make_plan(
    name: str, count: int, settings: Settings, seconds: float, workers: int, path: str = POINTWISE, doubt: str = ""
) -> Plan:
    """The cost of an audit of n = ``count`` parameters.

    Parameters
    ----------
    settings : Settings
        Resolved.
    seconds : float
        Duration of one pass.
    workers : int
        Worker threads.
    """
    wave = first_wave(count, settings, seconds, workers)
    return Plan(
        name=name,
        parameters=count,
        passes=count * passes_per_coordinate(settings),
        block_size=wave.block_size,
        blocks=wave.blocks,
        workers=workers,
        seconds_per_pass=seconds,
        bytes=count * BYTES_PER_COORDINATE,
        path=path,
        doubt=doubt,
    )
