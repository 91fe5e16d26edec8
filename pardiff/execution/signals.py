"""Signals that wait while something starts or ends that must not be left half way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a run."""
SAME = 0.5
"""Seconds within which a second signal is the first once more, sent to a process and to its group."""
LONGEST = 20.0
"""Seconds that a signal is held back at the most."""


def is_echo(first: float) -> bool:
    """Whether a signal that comes now is the one that came at ``first``, on the clock of `time.monotonic`."""
    return time.monotonic() - first < SAME


@contextmanager
def held() -> Iterator[None]:
    """Hold the first SIGINT or SIGTERM back until the end; a second one is not held.

    Only the main thread gets signals: in another there is nothing to hold.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    came: list[int] = []
    first: list[float] = []
    timers: list[threading.Timer] = []
    overdue = threading.Event()

    def keep(number: int, _: FrameType | None) -> None:
        if came and is_echo(first[0]) and not overdue.is_set():
            return
        if came:
            restore()
            if overdue.is_set():
                came.clear()
            signal.raise_signal(number)
            return
        came.append(number)
        first.append(time.monotonic())
        timer = threading.Timer(LONGEST, insist, [number])
        timer.daemon = True
        timer.start()
        timers.append(timer)

    def insist(number: int) -> None:
        overdue.set()
        os.kill(os.getpid(), number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if None in before.values():  # a handler that is not Python's, and could not be put back
        yield
        return
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, keep)
    try:
        yield
    finally:
        restore()
        for timer in timers:
            timer.cancel()
        if came:
            signal.raise_signal(came.pop())
