"""Executors: each maps a task over the numbers of blocks, in any order, a bounded number at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from pardiff.errors import InputError, closest
from pardiff.execution.blas import single_threaded
from pardiff.execution.replicate import Span
from pardiff.execution.tasks import Receipt, Task
from pardiff.problem.space import FloatArray

Work = Callable[[int], Receipt]
"""A task, or something around it."""


@runtime_checkable
class Executor(Protocol):
    """Hands blocks to whatever does them."""

    patience: float
    """Seconds without anybody to do them until a run gives up."""

    @property
    def troubles(self) -> Mapping[str, int]:
        """How often workers and schedulers were lost."""

    @property
    def dashboard(self) -> str:
        """Address of Dask's dashboard; empty where there is none."""

    @property
    def workers(self) -> int:
        """Blocks that are done at the same time."""

    def map(self, task: Task, blocks: Iterable[int]) -> Iterator[Receipt]:
        """Receipts in the order in which the blocks are finished."""

    def environment_warnings(self) -> list[str]:
        """Sentences on what makes the workers slow."""

    def repeat(self, task: Task, spans: list[Span]) -> Iterable[tuple[Span, str, FloatArray]]:
        """Have lines that workers have done done again by others; yields each with its worker and what it found."""


class Local:
    """What runs in this process, or in those that the user has started."""

    patience = 0.0
    troubles: Mapping[str, int] = MappingProxyType({})
    dashboard = ""

    def environment_warnings(self) -> list[str]:
        """Nothing is known of them."""
        return []

    def repeat(self, task: Task, spans: list[Span]) -> Iterable[tuple[Span, str, FloatArray]]:
        """There are no others on another machine."""
        return []


class SerialExecutor(Local):
    """One block after another, in this process."""

    workers = 1

    def map(self, task: Task, blocks: Iterable[int]) -> Iterator[Receipt]:
        """Do the blocks as they are asked for."""
        for block in blocks:
            yield task(block)


class ThreadExecutor(Local):
    """Threads of this process; pays off where fun releases the interpreter lock."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1

    def map(self, task: Task, blocks: Iterable[int]) -> Iterator[Receipt]:
        """Do the blocks, two per thread under way at the most."""
        todo = iter(blocks)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="pardiff") as pool:
            running = {pool.submit(task, block) for block in islice(todo, 2 * self.workers)}
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        running |= {pool.submit(task, block) for block in islice(todo, 1)}
                        yield future.result()
            finally:
                pool.shutdown(cancel_futures=True)


class MapExecutor(Local):
    """A map-like of the user's, ``workers(fun, iterable)``, such as the ``map`` of a process pool."""

    def __init__(self, workers_map: Callable[[Work, Iterable[int]], Iterable[Receipt]]) -> None:
        self._map = workers_map
        self.workers = os.cpu_count() or 1

    def map(self, task: Task, blocks: Iterable[int]) -> Iterator[Receipt]:
        """Hand all blocks to the map at once."""
        yield from self._map(SingleThreaded(task), list(blocks))


class SingleThreaded:
    """A task that holds BLAS to one thread while it runs."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, block: int) -> Receipt:
        """Do a block."""
        with single_threaded():
            return self.task(block)


@contextmanager
def open_executor(executor: Any, workers: int | None = None) -> Iterator[Executor]:
    """The executor that an argument of `gradcheck` stands for; closes what it has started.

    Parameters
    ----------
    executor : None, "threads", "processes", address, Client, callable or Executor
    workers : int or None
        Number of threads or processes to start; default one per core.
    """
    if executor is None:
        yield SerialExecutor()
    elif isinstance(executor, Executor):
        yield executor
    elif executor == "threads":
        yield ThreadExecutor(workers)
    elif executor == "processes":
        from pardiff.execution.cluster import embedded_cluster

        with embedded_cluster(workers) as started:
            yield started
    elif isinstance(executor, str):
        if "://" not in executor:
            near = closest(executor, ["threads", "processes"])
            raise InputError(f"executor: got {executor!r}; {near} or an address such as 'tcp://host:8786'")
        from pardiff.execution.cluster import connect

        with connect(address=executor) as connected:
            yield connected
    elif type(executor).__module__.partition(".")[0] == "distributed":
        from pardiff.execution.dask_executor import DaskExecutor

        lent = DaskExecutor(executor)
        try:
            yield lent
        finally:
            lent.close()
    elif callable(executor):
        yield MapExecutor(executor)
    elif hasattr(executor, "map"):
        lacking = [name for name in (*Executor.__annotations__, *dir(Executor)) if name[0] != "_"]
        lacking = [name for name in dict.fromkeys(lacking) if not hasattr(executor, name)]
        raise InputError(f"executor: {type(executor).__name__} lacks {', '.join(lacking)} of an Executor")
    else:
        raise InputError(
            f"executor: got {type(executor).__name__}; expected None, 'threads', 'processes', an address, "
            f"a distributed.Client, a map-like workers(fun, iterable) or an Executor"
        )
