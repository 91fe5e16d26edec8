"""Waves of blocks: a wave is a set of lines, a block is a contiguous part of it, done by one task."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pardiff.problem.space import IntArray

BLOCK_SECONDS = 1.0
"""Work in a block: long beside the few milliseconds that a task and its commit cost, short beside what a killed
worker loses, and so that results begin to come within two seconds."""
LEAST_SECONDS = 0.1
"""Below this the overhead of a task, of about ten milliseconds, shows, so that small jobs get fewer blocks instead."""
BLOCKS_PER_WORKER = 4
"""Enough that no worker idles for long at the end."""
LARGEST = 1 << 19
"""Results of a block at the most: they are one file of the store of 29 MB, which is read whole."""
MOST_BLOCKS = 100_000
"""A scheduler and a folder of chunk files stay quick up to about this many."""


STENCIL, STEPS, SEARCH = KINDS = ("stencil", "steps", "search")
"""What a wave does: the fixed stencil at every coordinate; the stencil at two steps, where an analytical derivative
that seems right has too wide a bar; the step search, for all that is not settled then."""


@dataclass(frozen=True)
class Wave:
    """A set of lines cut into blocks."""

    number: int
    """Counted from 1."""
    count: int
    """Number of lines."""
    block_size: int
    """Lines in a block; the last block may have fewer."""
    kind: str = STENCIL
    """`STENCIL`, `STEPS` or `SEARCH`."""
    index: IntArray | None = field(default=None, compare=False, repr=False)
    """The coordinates that are moved, ascending, shape (count,); None for all of 0 to count - 1."""
    wanted: NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)
    """Observables that are differentiated along each line, shape (count, q); None for all."""

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.count // self.block_size)

    def bounds(self, block: int) -> tuple[int, int]:
        """Start and stop of a block within the wave."""
        start = block * self.block_size
        return start, min(start + self.block_size, self.count)

    def coordinates(self, start: int, stop: int) -> IntArray:
        """Flat coordinates of some lines, shape (stop - start,)."""
        return np.arange(start, stop) if self.index is None else self.index[start:stop]

    def part(self, start: int, stop: int) -> Wave:
        """Some of its lines, as a wave of their own."""
        index = self.coordinates(start, stop)
        wanted = None if self.wanted is None else self.wanted[start:stop]
        return replace(self, count=stop - start, index=index, wanted=wanted)


def block_size(count: int, passes: float, seconds: float, workers: int, multiple: int = 1, observables: int = 1) -> int:
    """Coordinates in a block.

    Parameters
    ----------
    count : int
        Coordinates in the wave.
    passes : float
        Forward passes that a coordinate is expected to cost.
    seconds : float
        Duration of one pass.
    workers : int
        Worker threads that share the wave.
    multiple : int
        Coordinates that are evaluated together; a block has a multiple of them where it has so many.
    observables : int
        Numbers that a line gives results for; a block of many has fewer lines.

    Examples
    --------
    >>> block_size(10**6, 2, 0.01, 100)
    50
    >>> block_size(650, 2, 300e-6, 2), block_size(650, 2, 300e-6, 2, multiple=32)
    (163, 192)
    """
    each = max(passes * seconds, 1e-9)
    largest = max(1, LARGEST // observables)
    size = min(BLOCK_SECONDS / each, largest, max(count / (BLOCKS_PER_WORKER * workers), LEAST_SECONDS / each))
    blocks = max(1, min(math.ceil(count / max(1.0, size)), MOST_BLOCKS))
    if blocks > 1:  # as many for each worker, so that they end together
        blocks = min(count, MOST_BLOCKS, workers * math.ceil(blocks / workers))
    size = math.ceil(count / blocks)
    return max(1, size if size < multiple else multiple * math.ceil(size / multiple))
