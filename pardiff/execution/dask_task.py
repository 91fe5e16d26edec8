"""What a Dask task does on its worker: unpickle what it has been sent, once, and do a block with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
from distributed import get_worker

from pardiff.errors import PardiffError, WorkerError
from pardiff.evaluation.watchdog import WATCHDOG
from pardiff.execution.blas import single_threaded
from pardiff.execution.session import forget, is_kept, kept
from pardiff.execution.tasks import Limits, MemoryTask, Receipt, Task
from pardiff.problem.space import FloatArray


def call(shared: bytes | None, key: str, payload: bytes, digest: str, block: int, isolated: bool = False) -> Receipt:
    """Unpickle a task, once per thread of a worker, and do a block with it; isolated, in a process of its own."""
    try:
        task = _unpickled(shared, key, payload, digest)
        if isolated:
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
    """Unpickle a task, and do some lines of its wave once more."""
    task = _unpickled(shared, key, payload, digest)
    with single_threaded(), deadline(task.limits):
        return task.again(start, stop)


def _unpickled(shared: bytes | None, key: str, payload: bytes, digest: str) -> Task:
    """A task, unpickled once per thread."""
    if not is_kept("shared", key):
        forget()  # the last problem is freed before the next is loaded
    together = kept("shared", key, lambda: None if shared is None else cloudpickle.loads(shared))
    task: Task = kept("task", digest, lambda: cloudpickle.loads(payload))
    if isinstance(task, MemoryTask):
        task.shared = together
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
    with Path(os.devnull).open("w") as nowhere, WATCHDOG.watched(limits.block, limits.silent, nowhere):
        yield
