"""A sign of life between two coordinates, for whoever ends a process that gives none.

A watch belongs to a process, and is kept where only one thread evaluates; anywhere else nothing is ever due.
"""

from __future__ import annotations

import faulthandler
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

SHARE, SHORTEST = 0.25, 0.02
"""Part of the limit after which the watch is wound up again, and seconds at least: a winding takes some 50 µs."""


class Watchdog:
    """When the next sign of life is due."""

    due = math.inf
    """On the clock of `time.monotonic`."""
    _limit = math.inf
    _file: Any = None

    @contextmanager
    def watched(self, first: float, limit: float, file: IO[Any] | int) -> Iterator[None]:
        """End this process, and write its stack, when the body gives no sign of life.

        Nothing else ends a hang in C that holds the interpreter.

        Parameters
        ----------
        first, limit : float
            Seconds until the first sign of life, and from one to the next.
        file : file or int
            For the stack; an open file, or its descriptor.
        """
        self._limit, self._file = limit, file
        self.due = time.monotonic()
        faulthandler.dump_traceback_later(first, exit=True, file=file)
        try:
            yield
        finally:
            self.due = math.inf
            faulthandler.cancel_dump_traceback_later()

    def heartbeat(self) -> None:
        """Wind the watch up; to be called when it is due."""
        self.due = time.monotonic() + max(SHARE * self._limit, SHORTEST)
        faulthandler.dump_traceback_later(self._limit, exit=True, file=self._file)


WATCHDOG = Watchdog()
"""The watchdog of this process."""
