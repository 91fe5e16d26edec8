"""Blocks as Dask tasks. A task carries bytes and a number: no array, and none of the user's code as such.

The scheduler unpickles graphs, so that nothing in them may need the user's modules. A task in a store
is a few hundred bytes and is sent as it is; one that carries a problem from memory is sent to the
workers once, as a scattered blob.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import cloudpickle
from distributed import Client, get_worker, wait
from distributed.scheduler import KilledWorker

from pardiff.errors import ClusterError, PardiffError, WorkerError
from pardiff.execution.blas import single_threaded
from pardiff.execution.environment import environment, remarks
from pardiff.execution.executors import Task
from pardiff.execution.tasks import MemoryTask, Receipt

SMALL = 2000
"""Bytes up to which a task travels within each graph."""

LOOK = 5.0
"""Seconds between looks at whether there are workers, while nothing is finished."""
PATIENCE = 30.0
"""Seconds without any worker after which a run gives up; a nanny replaces one in less than one."""

_thread = threading.local()


def call(shared: bytes | None, key: str, payload: bytes, digest: str, block: int) -> Receipt:
    """Unpickle a task, once per thread of a worker, and do a block with it."""
    try:
        if getattr(_thread, "key", None) != key:
            _thread.key = _thread.shared = None  # free the last problem before the next is loaded
            _thread.shared = None if shared is None else cloudpickle.loads(shared)
            _thread.key = key
        if getattr(_thread, "digest", None) != digest:
            _thread.digest = _thread.task = None
            _thread.task = cloudpickle.loads(payload)
            _thread.digest = digest
        if _thread.shared is not None:
            _thread.task.shared = _thread.shared
        with single_threaded():
            receipt: Receipt = _thread.task(block)
        return receipt
    except PardiffError as error:
        if isinstance(error, WorkerError):
            raise WorkerError(f"worker {get_worker().address}: {error}") from None
        raise
    except Exception as error:
        raise WorkerError(f"worker {get_worker().address}: {type(error).__name__}: {error}") from None


class DaskExecutor:
    """Maps tasks over blocks on a cluster.

    Parameters
    ----------
    client : distributed.Client
        Stays open.
    ours : bool
        The workers were started by pardiff, and need not be looked at.
    """

    def __init__(self, client: Client, *, ours: bool = False) -> None:
        self.client = client
        self._remarks: list[str] | None = [] if ours else None
        self._shipped: tuple[str, Any] | None = None

    def remarks(self) -> list[str]:
        """What makes the workers slow, asked once."""
        if self._remarks is None:
            found: dict[str, Any] = {}

            def ask() -> None:
                with suppress(Exception):  # a worker that does not answer will be noticed by its blocks
                    found.update(self.client.run(environment, on_error="ignore"))

            asking = threading.Thread(target=ask, daemon=True)
            asking.start()
            asking.join(LOOK)
            self._remarks = remarks({name: facts for name, facts in found.items() if isinstance(facts, dict)})
        return self._remarks

    @property
    def workers(self) -> int:
        """Threads of all workers at present."""
        return max(1, sum(int(threads) for threads in self.client.nthreads().values()))

    def map(self, task: Task, blocks: Iterable[int]) -> Iterator[Receipt]:
        """Receipts as the blocks finish; a few blocks per thread are under way at any time."""
        shared, key, alone = None, "", task
        if isinstance(task, MemoryTask) and task.shared is not None:
            key, alone = task.shared.key, replace(task, shared=None)
            if self._shipped is None or self._shipped[0] != key:
                self._shipped = None
                self._shipped = key, self._ship(cloudpickle.dumps(task.shared))
            shared = self._shipped[1]
        payload = cloudpickle.dumps(alone)
        digest = hashlib.sha256(key.encode() + payload).hexdigest()
        run = f"pardiff-{digest[:12]}-{uuid.uuid4().hex[:6]}"
        shipped = self._ship(payload)
        todo = iter(blocks)
        running: dict[str, int] = {}

        def submit(block: int) -> Any:
            name = f"{run}-{block}"
            running[name] = block
            return self.client.submit(call, shared, key, shipped, digest, block, key=name, pure=False, retries=0)

        # two per thread keep workers busy; the constant covers the time that a receipt is on its way
        window = 2 * self.workers + 8
        waiting = {submit(block) for block in islice(todo, window)}
        try:
            while waiting:
                for future in self._some(waiting):
                    waiting.discard(future)
                    yield _receipt(future, running.pop(future.key))
                    waiting |= {submit(block) for block in islice(todo, 1)}
        finally:
            if waiting and self.client.status == "running":
                self.client.cancel(list(waiting), force=True)

    def _ship(self, payload: bytes) -> Any:
        """Bytes as an argument of tasks: by themselves if they are few, otherwise sent to the workers once."""
        return payload if len(payload) <= SMALL else self.client.scatter(payload, broadcast=True, hash=False)

    def _some(self, waiting: set[Any]) -> set[Any]:
        """Futures that are finished, at least one; a `ClusterError` when nobody is left to finish any."""
        alone = 0.0
        while True:
            try:
                with self.client.as_current():
                    return set(wait(list(waiting), timeout=LOOK, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                alone = 0.0 if self.client.nthreads() else alone + LOOK
                if alone >= PATIENCE:
                    raise ClusterError(
                        f"no worker is left since {PATIENCE:.0f} s; start one and run again: finished blocks are kept"
                    ) from None


def _receipt(future: Any, block: int) -> Receipt:
    if future.status == "cancelled":
        raise ClusterError("the scheduler was lost or gave up the job; run again to go on: finished blocks are kept")
    try:
        receipt: Receipt = future.result()
    except KilledWorker as error:
        raise WorkerError(
            f"block {block} killed every worker that tried it ({error.last_worker}); "
            f"run again to go on with the rest, or look for a crash or too much memory in fun"
        ) from None
    return receipt
