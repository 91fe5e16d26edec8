"""Ctrl-C and SIGTERM end a run so that what is finished is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from pardiff.cli.guard import GUARD
from pardiff.execution.signals import SIGNALS, is_echo

AGAIN = 0.01
"""Seconds until an interrupt that was lost is raised again."""


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does; a second signal does not wait for workers.

    An interrupt that is raised within a destructor or a callback of the garbage collector has no effect in Python; it
    is raised again a little later.
    """
    came = 0.0

    def stop(*_: Any) -> NoReturn:
        nonlocal came
        came = time.monotonic()
        for number in before:
            signal.signal(number, at_once)
        raise KeyboardInterrupt

    def at_once(*_: Any) -> None:
        if is_echo(came):
            return
        GUARD.end()
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h")  # the cursor, which a progress bar hides
        os._exit(4)

    def lost(unraisable: Any) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            if not came:  # what is torn down half way has nothing to tell
                hook(unraisable)
            return
        for number in before:
            signal.signal(number, stop)
        again = threading.Timer(AGAIN, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        again.daemon = True
        again.start()

    # what is ignored, as SIGINT is in the background of a shell, stays so
    wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in wanted}
    hook, sys.unraisablehook = sys.unraisablehook, lost
    try:
        yield
    finally:
        if not came:
            sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
