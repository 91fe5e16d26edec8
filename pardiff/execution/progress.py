"""What a run tells whoever watches it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """State of a wave, after a block."""

    name: str
    """The problem."""
    wave: int
    done: int
    """Coordinates of the wave that are done, those of earlier runs included."""
    total: int
    nfev: int
    """Forward passes of this run."""
    seconds: float
    """Since the wave was started."""
    remaining: float
    """Seconds left at the rate so far; 0 when done, infinite while nothing is."""
    dashboard: str = ""
    """Address of Dask's dashboard; empty where there is none."""


Watcher = Callable[[Progress], None]


@dataclass
class Meter:
    """Counts blocks and reports; coordinates of earlier runs count as done, but not in the rate."""

    name: str
    wave: int
    done: int
    total: int
    watch: Watcher | None
    nfev: int = 0
    dashboard: str = ""
    _begin: float = field(default_factory=time.perf_counter)
    _here: int = 0

    def advance(self, coordinates: int, nfev: int) -> None:
        """Count a block (or none, to report the start)."""
        self.done += coordinates
        self._here += coordinates
        self.nfev += nfev
        if self.watch is None:
            return
        seconds = time.perf_counter() - self._begin
        left = self.total - self.done
        remaining = left * seconds / self._here if self._here else float("inf")
        remaining = remaining if left else 0.0
        self.watch(Progress(self.name, self.wave, self.done, self.total, self.nfev, seconds, remaining, self.dashboard))
