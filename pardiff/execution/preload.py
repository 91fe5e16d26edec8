"""Loaded by the embedded workers, before any task."""

from __future__ import annotations

import signal
from typing import Any

from pardiff.logs import configure


def dask_setup(worker: Any) -> None:
    """Log as the client does, and leave Ctrl-C in a terminal, which reaches workers too, to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure()
