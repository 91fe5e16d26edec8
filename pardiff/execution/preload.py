"""Loaded by the embedded workers: Ctrl-C in a terminal reaches them too, but is the client's business."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ignore SIGINT in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
