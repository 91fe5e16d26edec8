"""One BLAS thread while fun is evaluated: with more, sums change in their last bits and workers starve."""

from __future__ import annotations

from typing import Any

from threadpoolctl import ThreadpoolController


def single_threaded() -> Any:
    """A context manager that holds the BLAS and OpenMP libraries loaded so far to one thread."""
    return ThreadpoolController().limit(limits=1)
