"""One BLAS thread while fun is evaluated: with more, sums change in their last bits and workers starve."""

from __future__ import annotations

import sys
from typing import Any

from threadpoolctl import ThreadpoolController

_known: tuple[int, ThreadpoolController] | None = None


def single_threaded() -> Any:
    """A context manager that holds the BLAS and OpenMP libraries loaded so far to one thread."""
    return _controller().limit(limits=1)


def _controller() -> ThreadpoolController:
    """The libraries that are loaded; looked up again, which takes a millisecond, where modules have been imported."""
    global _known
    count = len(sys.modules)
    if _known is None or _known[0] != count:
        _known = count, ThreadpoolController()
    return _known[1]
