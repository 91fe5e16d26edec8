"""What a Dask task does on its worker: unpickle what it has been sent, once, and do a block with it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
from distributed import get_worker

from pardiff.errors import PardiffError, WorkerError
from pardiff.evaluation.watchdog import PULSE
from pardiff.execution.blas import single_threaded
from pardiff.execution.tasks import Limits, MemoryTask, Receipt, Task
from pardiff.problem.space import FloatArray

_thread = threading.local()


def call(shared: bytes | None, key: str, payload: bytes, digest: str, block: int, careful: bool = False) -> Receipt:
    """Unpickle a task, once per thread of a worker, and do a block with it; in a process of its own if careful."""
    try:
        task = _unpickled(shared, key, payload, digest)
        if careful:
            from pardiff.execution.isolation import isolate

            return isolate(task, cloudpickle.dumps(task), block, get_worker().memory_manager.memory_limit)
        with single_threaded(), deadline(task.limits):
            return task(block)
    except PardiffError as error:
        if isinstance(error, WorkerError):
            raise WorkerError(f"worker {get_worker().address}: {error}") from None
        raise
    except Exception as error:
        raise WorkerError(f"worker {get_worker().address}: {type(error).__name__}: {error}") from None


def call_again(
    shared: bytes | None, key: str, payload: bytes, digest: str, start: int, stop: int
) -> tuple[str, FloatArray]:
    """Unpickle a task, and do a stretch of its wave once more."""
    task = _unpickled(shared, key, payload, digest)
    with single_threaded(), deadline(task.limits):
        return task.again(start, stop)


def _unpickled(shared: bytes | None, key: str, payload: bytes, digest: str) -> Task:
    """A task, unpickled once per thread."""
    if getattr(_thread, "key", None) != key:
        _thread.key = _thread.shared = None  # free the last problem before the next is loaded
        _thread.shared = None if shared is None else cloudpickle.loads(shared)
        _thread.key = key
    if getattr(_thread, "digest", None) != digest:
        _thread.digest = _thread.task = None
        _thread.task = cloudpickle.loads(payload)
        _thread.digest = digest
    task: Task = _thread.task
    if isinstance(task, MemoryTask):
        task.shared = _thread.shared
    return task


@contextmanager
def deadline(limits: Limits) -> Iterator[None]:
    """End this worker, and what hangs in it, when it gives no sign of life; a nanny starts another.

    There is one watch for the whole process, so that workers of several threads have none.
    """
    if get_worker().state.nthreads > 1:
        yield
        return
    # the stack is taken in quarantine
    with Path(os.devnull).open("w") as nowhere, PULSE.watched(limits.block, limits.silent, nowhere):
        yield
