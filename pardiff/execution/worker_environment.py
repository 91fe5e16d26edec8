"""The environment of worker processes: whether malloc keeps freed memory, and how many threads BLAS takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from threadpoolctl import threadpool_info

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TRIM, MMAP = MALLOC = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")

KEEP = 1 << 26
"""Bytes that a process keeps of freed memory: with the nanny's own default of 64 KiB, NumPy's temporaries go back to
the kernel and are faulted in again at every call of fun. glibc turns off its own adaptation of the other threshold as
soon as one is set, so that both are."""
SMALL = 1 << 22
"""Bytes below which temporaries of usual sizes are faulted in at every call."""

OURS: dict[str, int] = {**dict.fromkeys(THREADS, 1), **dict.fromkeys(MALLOC, KEEP)}
"""What workers of the embedded cluster are started with."""


def environment() -> dict[str, Any]:
    """What matters of this process, as plain data."""
    return {
        "malloc": {name: os.environ.get(name) for name in MALLOC},
        "blas": max((int(pool["num_threads"]) for pool in threadpool_info()), default=1),
        "set": any(os.environ.get(name) for name in THREADS),
    }


def environment_warnings(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences on workers whose environment makes fun slow.

    Parameters
    ----------
    found : mapping
        What `environment` returned, by worker.

    Examples
    --------
    >>> slow = {"malloc": {TRIM: "65536", MMAP: None}, "blas": 1, "set": True}
    >>> environment_warnings({"tcp://a:1": slow})[0][:60]
    '1 of 1 workers return freed memory to the kernel at once (MA'
    """
    said = []
    slow = [name for name, facts in found.items() if _faults(facts["malloc"])]
    if slow:
        now = ", ".join(f"{key}={value or 'unset'}" for key, value in found[slow[0]]["malloc"].items())
        said.append(
            f"{len(slow):,} of {len(found):,} workers return freed memory to the kernel at once ({now}, as Dask's "
            f"nanny starts them), which makes NumPy's temporaries up to ten times as slow: start them with both set to "
            f"{KEEP}, in distributed.nanny.pre-spawn-environ"
        )
    wide = [name for name, facts in found.items() if facts["blas"] > 1]
    if wide:
        said.append(
            f"BLAS has {found[wide[0]]['blas']} threads on {len(wide):,} of {len(found):,} workers; it is held to one "
            f"while fun runs, but libraries that fun loads later are not: set OMP_NUM_THREADS=1 there"
        )
    return said


def _faults(malloc: Mapping[str, str | None]) -> bool:
    """Whether the thresholds give temporaries back; with none set, glibc adapts them."""
    if malloc[TRIM] is None and malloc[MMAP] is None:
        return False
    values = [int(value) if value and value.strip().isdigit() else 0 for value in malloc.values()]
    return min(values) < SMALL
