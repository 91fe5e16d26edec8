"""Blocks within a budget, and what they tell of the rest."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from pardiff.problem.budget import Budget

FIRST_LOOK = 0.8
"""Part of a budget that the first wave may spend; the rest is kept for a closer look at what it leaves open, without
which nothing can fail."""
SHARES = 8
"""Blocks for which what is left of a budget is enough."""
MOST_COORDINATES = 1 << 30
CONFIDENCE = 0.95
"""With which a fault would have been seen in what was checked."""


def least_seen(checked: int, size: int) -> int:
    """Entries at which a fault must be, scattered at random, to have been seen with a probability of `CONFIDENCE`.

    Of m faulty entries among n, of which c are checked, none is seen with the probability
    ``C(n - m, c) / C(n, c) <= (1 - c/n)**m``.

    Examples
    --------
    >>> least_seen(100, 1000), least_seen(1000, 1000), least_seen(0, 1000)
    (29, 1, 1001)
    """
    if checked >= size:
        return 1
    if checked == 0:
        return size + 1
    return min(size - checked + 1, math.ceil(math.log(1.0 - CONFIDENCE) / math.log1p(-checked / size)))


@dataclass
class BudgetTracker:
    """What is left of a budget while blocks are handed out and come back."""

    budget: Budget
    passes: float
    """Spent so far, and by the blocks that are under way, as expected."""
    seconds: float
    """Spent by earlier runs."""
    workers: int
    pass_seconds: float = 0.0
    """Expected of a pass, until blocks have come back."""
    begin: float = field(default_factory=time.monotonic)
    exhausted: bool = False
    """Whether a block was not handed out for want of it."""
    _away: int = 0
    _back: int = 0
    _work: float = 0.0
    _spent: float = 0.0

    def allows(self, passes: float, part: float = 1.0) -> bool:
        """Whether a block may be done that is expected to take some passes; if so, it is under way."""
        mean = self._work / self._back if self._back else passes * self.pass_seconds
        seconds = self.seconds + time.monotonic() - self.begin + self._away * mean / self.workers
        if not self.budget.leaves(self.passes + passes, seconds, part):
            self.exhausted = True
            return False
        self.passes += passes
        self._away += 1
        return True

    def coordinates(self, passes: float) -> int:
        """Coordinates of a block that take some passes each, so that what is left is enough for several blocks."""
        each = self._work / self._spent if self._spent else self.pass_seconds
        seconds = self.budget.seconds - self.seconds - (time.monotonic() - self.begin)
        left = min(self.budget.passes - self.passes, seconds * self.workers / max(each, 1e-9))
        return max(1, int(min(left / (SHARES * passes), MOST_COORDINATES)))

    def record_completed(self, expected: float, passes: float, seconds: float) -> None:
        """Take note of a block that has come back."""
        self.passes += passes - expected
        self._away -= 1
        self._back += 1
        self._work += seconds
        self._spent += passes
