"""A block, done: what runs where fun is evaluated."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import PardiffError, WorkerError
from pardiff.evaluation.crosscheck import EvaluatorMismatch
from pardiff.evaluation.spec import DifferentiationSpec
from pardiff.evaluation.strategy import POINTWISE
from pardiff.execution.session import Part, Session, do_part, kept, open_session
from pardiff.logs import event
from pardiff.planning.waves import Wave
from pardiff.problem.parsing import parameters_digest
from pardiff.problem.problem import Problem
from pardiff.problem.space import FloatArray, Space
from pardiff.source.bundle import Code, load_factory
from pardiff.storage.format import MOST_ERRORS, BlockRecord

if TYPE_CHECKING:
    from pardiff.storage.zarr_ledger import ZarrLedger

LEAST_PATIENCE, PATIENCE = 60.0, 100.0
"""Seconds that a coordinate may take, and the multiple of what it should: far beyond what a busy machine needs."""
SLOWER = 20.0
"""Times that a block may be slower than it should."""


@dataclass(frozen=True)
class Receipt:
    """What a task gives back: the block's record, and its results where it has not stored them itself."""

    record: BlockRecord | None
    matrix: FloatArray | None = None
    mismatch: str = ""
    """How a fast path was found to differ from fun; then there is no record."""


def record_of(
    wave: Wave, block: int, parts: list[Part], base: float, seconds: float, attempt: int
) -> tuple[BlockRecord, FloatArray]:
    """The record of a block and its results, shape (quantities, k, q), from its parts in their order."""
    start, stop = wave.bounds(block)
    matrix = parts[0].found.to_matrix()
    if len(parts) > 1:
        matrix = np.concatenate([part.found.to_matrix() for part in parts], axis=1)
    checks = sum(part.checks for part in parts)
    errors = [item for part in parts for item in part.errors.items()]
    record = BlockRecord(
        wave=wave.number,
        block=block,
        start=start,
        stop=stop,
        state="done",
        checksum=0,
        nfev=int(sum(part.found.nfev[:, 0].sum() for part in parts)) + checks,
        checks=checks,
        seconds=seconds,
        attempt=attempt,
        worker=worker_name(),
        base=base,
        ended=time.time(),
        errors=dict(errors[:MOST_ERRORS]),
    )
    return record, matrix


def worker_name() -> str:
    """Host and process, and the thread where it is not the main one."""
    thread = threading.current_thread()
    suffix = "" if thread is threading.main_thread() or "Dask" in thread.name else f"/{thread.name}"
    return f"{socket.gethostname()}:{os.getpid()}{suffix}"


@dataclass(frozen=True)
class Limits:
    """How long something may take until it counts as hung, in seconds."""

    block: float
    """The passes of a block."""
    each: float
    """Those of a coordinate."""
    silent: float
    """The time from one heartbeat of a block to the next."""

    @classmethod
    def of(cls, wave: Wave, passes: float, seconds: float, deadline: float | None, strategy: str) -> Limits:
        """Limits from the expected cost.

        Parameters
        ----------
        passes : float
            Of a coordinate.
        seconds : float
            Of a pass.
        deadline : float or None
            For a coordinate; by default `PATIENCE` times what it should take, and at least `LEAST_PATIENCE` seconds.
        strategy : str
            How fun is evaluated: pass by pass there is a heartbeat for each coordinate, otherwise none in a block.
        """
        each = max(LEAST_PATIENCE, PATIENCE * passes * seconds) if deadline is None else deadline
        block = each + SLOWER * passes * seconds * wave.block_size
        return cls(block, each, each if strategy == POINTWISE else block)


class Task(ABC):
    """Blocks of a wave. It travels to workers; what it has made ready there stays."""

    limits: Limits
    attempt: int

    @property
    def name(self) -> str:
        """The name of the audit, for logs."""
        return ""

    @abstractmethod
    def session(self) -> Session:
        """The problem, ready to be evaluated in this thread."""

    @abstractmethod
    def planned(self) -> Wave:
        """The wave."""

    @abstractmethod
    def finished(self, block: int) -> BlockRecord | None:
        """The record of a block that is done already."""

    @abstractmethod
    def deliver(self, record: BlockRecord, matrix: FloatArray) -> Receipt:
        """Store what was found, or give it back."""

    def again(self, start: int, stop: int) -> tuple[str, FloatArray]:
        """Do some lines of the wave once more, and keep nothing: who did it, and what was found."""
        return worker_name(), do_part(self.session(), self.planned(), start, stop).found.to_matrix()

    def __call__(self, block: int) -> Receipt:
        """Do a block and deliver it, unless it is done already."""
        try:
            record = self.finished(block)
            if record is not None:
                return Receipt(record)
            session, wave = self.session(), self.planned()
            event("start", audit=self.name, wave=wave.number, block=block, attempt=self.attempt)
            begin = time.perf_counter()
            part = do_part(session, wave, *wave.bounds(block))
            seconds = time.perf_counter() - begin
            receipt = self.deliver(*record_of(wave, block, [part], session.base, seconds, self.attempt))
            event("done", audit=self.name, wave=wave.number, block=block)
            return receipt
        except EvaluatorMismatch as mismatch:
            return Receipt(None, mismatch=str(mismatch))


@dataclass(frozen=True)
class Shared:
    """What all waves of an audit in memory need: sent once to each worker, and made ready once in each thread."""

    problem: Problem
    space: Space
    arrays: list[NDArray[Any]]
    spec: DifferentiationSpec
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def open(self) -> Session:
        """Prepare the problem, with a copy of x0."""
        return open_session(self.problem, self.space, [array.copy() for array in self.arrays], self.spec)


@dataclass
class MemoryTask(Task):
    """Blocks of an audit that lives in the client's memory; the results come back with the receipt."""

    shared: Shared | None
    """None while the task travels alone."""
    wave: Wave
    limits: Limits
    attempt: int = 1

    def session(self) -> Session:
        """The session of this thread."""
        assert self.shared is not None
        return kept("session", self.shared.key, self.shared.open)

    def planned(self) -> Wave:
        """The wave, which the task carries."""
        return self.wave

    def finished(self, block: int) -> None:
        """Nothing is known of other workers."""

    def deliver(self, record: BlockRecord, matrix: FloatArray) -> Receipt:
        """Give it back."""
        return Receipt(record, matrix)


@dataclass
class StoredTask(Task):
    """Blocks of an audit in a store; all that travels is where it is, what code to run, and a number."""

    address: str
    id: str
    """Identity of the audit there."""
    code: Code
    wave: int
    attempt: int
    strategy: str
    """How fun is evaluated; an audit that starts over by fun alone has other tasks than before."""
    limits: Limits

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.address.rpartition("/")[2]

    @property
    def session_key(self) -> tuple[Any, ...]:
        """What the session depends on: waves of one audit share it."""
        return self.address, self.id, self.code, self.strategy

    @property
    def ledger_key(self) -> tuple[Any, ...]:
        """What the open audit depends on: each wave has arrays of its own."""
        return self.address, self.id, self.wave

    def ledger(self) -> ZarrLedger:
        """The audit, open."""
        return kept("ledger", self.ledger_key, self._open_ledger)

    def _open_ledger(self) -> ZarrLedger:
        from pardiff.storage.zarr_ledger import ZarrLedger  # zarr is slow to import, and many tasks need none of it

        try:
            audit = ZarrLedger.open(self.address, write=True)
        except PardiffError as error:
            raise WorkerError(
                f"cannot open the audit: {error}; workers must see it under the same path as the client"
            ) from error
        if audit.id != self.id:
            raise WorkerError(f"the audit at {self.address} is not the one that was submitted")
        return audit

    def planned(self) -> Wave:
        """The wave, from the store."""
        return self.ledger().waves[self.wave - 1]

    def finished(self, block: int) -> BlockRecord | None:
        """What the store has of a block."""
        return self.ledger().record(self.wave, block)

    def deliver(self, record: BlockRecord, matrix: FloatArray) -> Receipt:
        """Commit it."""
        return Receipt(self.ledger().commit(record, matrix))

    def session(self) -> Session:
        """The session of this thread; what the last wave has left is used if it is of the same problem."""
        return kept("session", self.session_key, self._open_session)

    def _open_session(self) -> Session:
        audit = self.ledger()
        problem = load_factory(self.code, audit.store.read_code)()
        arrays = audit.all_parameters()
        if parameters_digest(audit.space, arrays) != audit.info.fingerprint["x0"]:
            raise WorkerError(f"the parameters in the audit at {self.address} are damaged; run it again")
        return open_session(problem, audit.space, arrays, audit.info.spec)
