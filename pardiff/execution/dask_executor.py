"""Blocks as Dask tasks. A task carries bytes and a number: no array, and none of the user's code as such.

The scheduler unpickles graphs, so that nothing in them may need the user's modules. A task in a store
is a few hundred bytes and is sent as it is; one that carries a problem from memory is sent to the
workers once, as a scattered blob.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from typing import Any

import cloudpickle
from distributed import Client, wait
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from pardiff.errors import ClusterError, WorkerError
from pardiff.execution.dask_task import call, call_again
from pardiff.execution.replicate import Span
from pardiff.execution.tasks import MemoryTask, Receipt, Task, worker_name
from pardiff.execution.worker_environment import environment, environment_warnings
from pardiff.logs import event
from pardiff.problem.space import FloatArray

SMALL = 2000
"""Bytes up to which a task travels within each graph."""

LOOK = 5.0
"""Seconds between looks at whether there are workers, while nothing is finished."""
PATIENCE = 60.0
"""Seconds without a scheduler, or without any worker, after which a run gives up; a nanny replaces a worker in less
than one, and a supervisor a scheduler in some."""
RETRY, SLOWEST_RETRY = 0.2, 5.0
"""Seconds between attempts to find the scheduler again, at first and at the most; they double."""
UNREACHABLE = (OSError, TimeoutError, AttributeError, RuntimeError)
"""What a client raises that has lost its scheduler; the attribute is that of a scheduler which is None."""
MOST_DEATHS = 20
"""Times that a block may lose its worker, with no block finished in between, until the run gives up: in isolation fun
cannot be the reason."""


class DaskExecutor:
    """Maps tasks over blocks on a cluster.

    Parameters
    ----------
    client : distributed.Client
        Stays open.
    ours : bool
        The workers were started by pardiff, and need not be looked at.
    patience : float
        Seconds without a scheduler or a worker until a run gives up.
    """

    def __init__(
        self,
        client: Client,
        *,
        ours: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        self.client = client
        self.patience = patience
        self._ours = ours
        self._first_look = 2 if ours else 1  # another scheduler has tried several times before it gives a block back
        self.troubles: Counter[str] = Counter()
        self._address = client.scheduler.address if client.scheduler else ""
        self._first = client
        self._threads, self._seen = 1, -LOOK
        for name in ("distributed", "distributed.client", "asyncio"):  # what goes wrong there is told in our words
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._environment_warnings: list[str] | None = [] if ours else None
        self._shipped: tuple[str, Any] | None = None

    @property
    def dashboard(self) -> str:
        """Address of the scheduler's dashboard; none of an embedded one where its pages cannot be made."""
        if self._ours and find_spec("bokeh") is None:
            return ""
        with suppress(Exception):  # while the scheduler is away
            if "dashboard" in self.client.scheduler_info(n_workers=0)["services"]:
                return str(self.client.dashboard_link or "")
        return ""

    def environment_warnings(self) -> list[str]:
        """What makes the workers slow, asked once."""
        if self._environment_warnings is None:
            self._environment_warnings = environment_warnings(self._ask(environment))
        return self._environment_warnings

    def _ask(self, function: Callable[[], Any]) -> dict[str, Any]:
        """What a function returns on each worker that answers within some seconds."""
        found: dict[str, Any] = {}

        def ask() -> None:
            with suppress(Exception):  # a worker that does not answer will be noticed by its blocks
                answers = self.client.run(function, on_error="return")
                found.update({name: answer for name, answer in answers.items() if not isinstance(answer, Exception)})

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(LOOK)
        return dict(found)

    @property
    def workers(self) -> int:
        """Threads of all workers, as last seen; looked at again from time to time."""
        if time.monotonic() - self._seen > LOOK:
            with suppress(*UNREACHABLE):  # a scheduler that does not answer is noticed by its futures
                self._threads = sum(int(threads) for threads in self.client.nthreads().values())
            self._seen = time.monotonic()
        return max(1, self._threads)

    def map(self, task: Task, blocks: Iterable[int]) -> Iterator[Receipt]:
        """Receipts as the blocks finish; a few blocks per thread are under way at any time.

        A block that has lost its worker is done again, the first time in isolation, so that a parameter which ends
        processes is found. A scheduler that comes back gets everything again that was under way.
        """
        todo = iter(blocks)
        again: deque[int] = deque()
        deaths: Counter[int] = Counter()
        in_vain: Counter[int] = Counter()
        running: dict[Any, int] = {}
        submit: Callable[[int, bool], Any] | None = None
        try:
            while True:
                lost = False
                try:
                    submit = submit or self._submitter(task)
                    # two per thread keep workers busy; the constant covers the time that a receipt is on its way
                    while len(running) < 2 * self.workers + 8 and (again or _more(todo, again)):
                        running[submit(again[0], _is_isolated(deaths[again[0]], self._first_look))] = again[0]
                        again.popleft()
                except UNREACHABLE:
                    if self.client.status == "running":
                        raise
                    lost = True
                if not (running or lost):
                    return
                for future in self._some(set(running)) if running else ():
                    block = running.pop(future)
                    receipt = _receipt(future)
                    if isinstance(receipt, Receipt):
                        in_vain.clear()
                        yield receipt
                        continue
                    again.append(block)
                    if receipt is DIED:
                        deaths[block] += 1
                        in_vain[block] += 1
                        self.troubles["workers"] += 1
                        event(
                            "worker lost", logging.WARNING, audit=task.name, block=block, deaths=deaths[block],
                            worker=_last_worker(future),
                        )  # fmt: skip
                        if in_vain[block] >= MOST_DEATHS:
                            raise WorkerError(
                                f"block {block} has lost its worker {MOST_DEATHS} times, by nothing that fun does; "
                                f"run again to go on: finished blocks are kept"
                            )
                    lost = lost or receipt is LOST
                if lost:
                    self.troubles["scheduler"] += 1
                    event("scheduler lost", logging.WARNING, address=self._address)
                    again.extend(running.values())
                    running.clear()
                    self._reconnect()
                    submit = None
        finally:
            if running and self.client.status == "running":
                self.client.cancel(list(running), force=True)

    def repeat(self, task: Task, spans: list[Span]) -> Iterator[tuple[Span, str, FloatArray]]:
        """Have lines that workers have done done again by others; those for which there are none are left out.

        It is no part of the job: what fails here is not repeated.
        """
        names = self._ask(worker_name)
        futures = {}
        with suppress(*UNREACHABLE):
            parcel = self._parcel(task)
            for span in spans:
                others = [address for address, name in names.items() if name != span.worker]
                if others:
                    future = self.client.submit(
                        call_again, *parcel, span.start, span.stop, workers=others, pure=False, retries=0
                    )
                    futures[future] = span, set(others)
        end = time.monotonic() + task.limits.block
        try:
            while futures and time.monotonic() < end and self.client.status == "running":
                with suppress(TimeoutError, CancelledError), self.client.as_current():
                    wait(list(futures), timeout=1.0, return_when="FIRST_COMPLETED")
                for future in [future for future in futures if future.status != "pending"]:
                    span, _ = futures.pop(future)
                    if future.status == "finished":
                        with suppress(CancelledError, OSError, KilledWorker):
                            yield span, *future.result(timeout=LOOK)
                with suppress(*UNREACHABLE):
                    there = set(self.client.nthreads())
                    gone = [future for future, (_, others) in futures.items() if not others & there]
                    for future in gone:  # those who were to do it have died, and nobody else may
                        del futures[future]
        finally:
            if futures and self.client.status == "running":
                self.client.cancel(list(futures), force=True)

    def _submitter(self, task: Task) -> Callable[[int, bool], Any]:
        """What sends a block to the cluster; returns its future."""
        parcel = self._parcel(task)
        run = f"pardiff-{parcel[-1][:12]}-{uuid.uuid4().hex[:6]}"
        numbers = itertools.count()

        def submit(block: int, isolated: bool) -> Any:
            # a tuple, so that all are one group of tasks to the scheduler, which never forgets a group
            return self.client.submit(
                call, *parcel, block, isolated, key=(run, block, next(numbers)), pure=False, retries=0
            )

        return submit

    def _parcel(self, task: Task) -> tuple[Any, str, Any, str]:
        """The first arguments of `call`: what is shared and its key, the task and its digest."""
        shared, key, alone = None, "", task
        if isinstance(task, MemoryTask) and task.shared is not None:
            key, alone = task.shared.key, replace(task, shared=None)
            if self._shipped is None or self._shipped[0] != key:
                self._shipped = None
                self._shipped = key, self._ship(cloudpickle.dumps(task.shared))
            shared = self._shipped[1]
        payload = cloudpickle.dumps(alone)
        digest = hashlib.sha256(key.encode() + payload).hexdigest()
        return shared, key, self._ship(payload), digest

    def close(self) -> None:
        """Close the client, if it is one that was opened here."""
        if self.client is not self._first:
            self.client.close()

    def _reconnect(self) -> None:
        """Wait for the scheduler to come back, with workers; a `ClusterError` if it does not."""
        self._shipped = None
        end, pause = time.monotonic() + self.patience, RETRY
        while time.monotonic() < end:
            with suppress(Exception):  # of a connection that is being lost or made, anything
                if self.client.status not in ("running", "connecting"):
                    self.close()
                    self.client = Client(self._address, security=self._first.security, set_as_default=False)
                if self.client.status == "running" and self._has_workers():
                    event("scheduler found", address=self._address)
                    return
            time.sleep(pause)
            pause = min(2 * pause, SLOWEST_RETRY)
        raise ClusterError(
            f"the scheduler at {self._address} is gone since {self.patience:.0f} s; start it and run again: finished "
            f"blocks are kept"
        )

    def _has_workers(self) -> bool:
        """Whether there is anybody to do a block."""
        self._seen = -LOOK
        self._threads = 0
        _ = self.workers
        return self._threads > 0

    def _ship(self, payload: bytes) -> Any:
        """Bytes as an argument of tasks: by themselves if they are few, otherwise sent to the workers once."""
        return payload if len(payload) <= SMALL else self.client.scatter(payload, broadcast=True, hash=False)

    def _some(self, waiting: set[Any]) -> set[Any]:
        """Futures that are finished or lost, at least one; a `ClusterError` when nobody is left to finish any."""
        alone = 0.0
        while True:
            try:
                with self.client.as_current():
                    return set(wait(list(waiting), timeout=LOOK, return_when="FIRST_COMPLETED").done)
            except CancelledError:
                return waiting
            except TimeoutError:
                if self.client.status != "running":
                    return waiting
                alone = 0.0 if self._has_workers() else alone + LOOK
                if alone >= self.patience:
                    raise ClusterError(
                        f"no worker is left since {self.patience:.0f} s; start one and run again: finished blocks are "
                        f"kept"
                    ) from None


DIED, LOST = "died", "lost"
"""What became of a block: its worker died again and again, or the scheduler forgot it."""


def _receipt(future: Any) -> Receipt | str:
    """The receipt, or what became of the block."""
    if future.status not in ("finished", "error"):
        return LOST
    try:
        receipt: Receipt = future.result()
    except KilledWorker:
        return DIED
    except (CancelledError, CommClosedError):
        return LOST
    return receipt


def _last_worker(future: Any) -> str:
    """Address of the worker that a block has lost."""
    with suppress(Exception):
        return str(getattr(future.exception(timeout=LOOK).last_worker, "address", ""))
    return ""


def _is_isolated(deaths: int, first: int) -> bool:
    """Whether a block that has lost its worker so often is done in isolation, the first time after some deaths.

    After 1, 3, 7, 15 deaths, say: a worker that is lost there was ended from outside, and as a child takes a second to
    start, blocks that only ever run in isolation would not outlive a storm of kills.
    """
    seen = deaths - first + 1
    return seen > 0 and seen & (seen + 1) == 0


def _more(todo: Iterator[int], queue: deque[int]) -> bool:
    """Put the next block into a queue, if there is one."""
    queue.extend(islice(todo, 1))
    return bool(queue)
