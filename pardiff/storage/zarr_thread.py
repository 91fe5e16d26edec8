"""The thread in which Zarr does its work, ended in peace.

When Python exits, Zarr gives it a fifth of a second, which is too little on a busy machine, and complains on stderr.
"""

from __future__ import annotations

import atexit
import sys
from contextlib import suppress

PATIENCE = 10.0
"""Seconds that the thread gets to end; it is idle, and needs no more than its turn."""


def _let_end() -> None:
    with suppress(Exception):  # what is not there in another version of Zarr is left alone
        sync = sys.modules["zarr.core.sync"]
        (loop,), (thread,) = sync.loop, sync.iothread
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)


def join_zarr_thread() -> None:
    """Have it done before Zarr does: what is registered last is called first."""
    import zarr.core.sync  # noqa: F401 - which registers its own

    atexit.unregister(_let_end)
    atexit.register(_let_end)
