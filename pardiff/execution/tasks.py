"""A block, done: what runs where fun is evaluated."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import PardiffError, WorkerError
from pardiff.evaluation.crosscheck import Doubt
from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.evaluation.fixed_stencil import Estimates, Rule, by_stencil, by_steps
from pardiff.evaluation.pointwise import Pointwise
from pardiff.evaluation.searches import by_search
from pardiff.evaluation.strategy import POINTWISE, open_path
from pardiff.logs import event
from pardiff.planning.waves import SEARCH, STENCIL, STEPS, Wave
from pardiff.problem.bounds import parse_bounds
from pardiff.problem.problem import Problem
from pardiff.problem.space import FloatArray, Layout, parameters_digest
from pardiff.source.bundle import Code, load_factory
from pardiff.storage.format import MOST_ERRORS, BlockRecord

DIFFERENTIATE = {STENCIL: by_stencil, STEPS: by_steps, SEARCH: by_search}
"""What is done with the coordinates of a wave, by its kind."""


LEAST_PATIENCE, PATIENCE = 60.0, 100.0
"""Seconds that a coordinate may take, and the multiple of what it should: far beyond what a busy machine needs."""
SLOWER = 20.0
"""Times that a block may be slower than it should."""

TILE = 1 << 13
"""Coordinates that are differentiated together: some dozens of arrays of so many numbers stay in a core's cache."""


@dataclass(frozen=True)
class Receipt:
    """What a task gives back: the block's record, and its results where it has not stored them itself."""

    record: BlockRecord | None
    matrix: FloatArray | None = None
    doubt: str = ""
    """How a fast path was found to differ from fun; then there is no record."""


@dataclass(frozen=True)
class Session:
    """A problem that is ready to be evaluated in one thread."""

    evaluator: Evaluator
    rule: Rule
    bounds: tuple[FloatArray, FloatArray] | None
    base: float
    """fun at x0, called here."""


def open_session(problem: Problem, layout: Layout, arrays: list[NDArray[Any]], rule: Rule) -> Session:
    """Prepare a problem for evaluation; the arrays are x0 and become the evaluator's own."""
    plain = Pointwise(problem.fun, problem.args, layout, arrays, terms=problem.terms)
    try:
        base = plain.at_start()
    except Exception as error:
        raise WorkerError(f"fun raised {type(error).__name__} at x0 here, but not in the client: {error}") from error
    evaluator = open_path(problem, plain, rule.path, rule.rows)
    return Session(evaluator, rule, parse_bounds(layout, problem.bounds), base)


@dataclass(frozen=True)
class Part:
    """What was found at a stretch of a wave."""

    found: Estimates
    checks: int
    """Values of a fast path that were compared with fun."""
    errors: dict[str, str]
    """What fun raised, by flat coordinate; at most `MOST_ERRORS` are kept."""


def do_part(session: Session, wave: Wave, start: int, stop: int) -> Part:
    """Differentiate the coordinates of a wave from start to stop.

    Raises
    ------
    Doubt
        If a fast path differs from fun.
    """
    index = wave.coordinates(start, stop)
    evaluator = session.evaluator
    evaluator.failures.clear()
    found = Estimates.empty(len(index))
    for first in range(0, len(index), TILE):
        tile = slice(first, first + TILE)
        at = Coordinates.of(evaluator, index[tile], session.bounds, session.rule.typical, start + first)
        found.put(tile, DIFFERENTIATE[wave.kind](evaluator, session.rule, at))
    evaluator.check_unchanged()
    doubt, checks = evaluator.verify(session.rule.check)
    if doubt:
        raise Doubt(doubt)
    errors = {str(i): text for i, text in sorted(evaluator.failures.items())[:MOST_ERRORS]}
    return Part(found, checks, errors)


def record_of(
    wave: Wave, block: int, parts: list[Part], base: float, seconds: float, attempt: int
) -> tuple[BlockRecord, FloatArray]:
    """The record of a block and its results, shape (quantities, k), from its parts in their order."""
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
        nfev=int(sum(part.found.nfev.sum() for part in parts)) + checks,
        checks=checks,
        seconds=seconds,
        attempt=attempt,
        worker=worker_name(),
        base=base,
        ended=time.time(),
        errors=dict(errors[:MOST_ERRORS]),
    )
    return record, matrix


def do_block(session: Session, wave: Wave, block: int, attempt: int) -> tuple[BlockRecord, FloatArray]:
    """Differentiate the coordinates of a block; its record, and its results of shape (quantities, k)."""
    begin = time.perf_counter()
    part = do_part(session, wave, *wave.bounds(block))
    return record_of(wave, block, [part], session.base, time.perf_counter() - begin, attempt)


def worker_name() -> str:
    """Host and process, and the thread where it is not the main one."""
    thread = threading.current_thread()
    suffix = "" if thread is threading.main_thread() or "Dask" in thread.name else f"/{thread.name}"
    return f"{socket.gethostname()}:{os.getpid()}{suffix}"


@dataclass
class Shared:
    """What all waves of an audit in memory need: sent once to each worker, and made ready once in each thread."""

    problem: Problem
    layout: Layout
    arrays: list[NDArray[Any]]
    rule: Rule
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    _local: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def adopt(self, session: Session) -> None:
        """Use a session that is ready in this thread."""
        self._local.session = session

    def session(self) -> Session:
        """The session of this thread."""
        if not hasattr(self._local, "session"):
            arrays = [array.copy() for array in self.arrays]
            self._local.session = open_session(self.problem, self.layout, arrays, self.rule)
        session: Session = self._local.session
        return session

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what belongs to a thread."""
        return {key: value for key, value in vars(self).items() if key != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, with no session yet."""
        vars(self).update(state, _local=threading.local())


class Task(ABC):
    """Blocks of a wave. It travels to workers; what it has made ready there stays."""

    limits: Limits
    attempt: int

    @property
    def name(self) -> str:
        """Of the audit, for logs."""
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
        """Do a stretch of the wave once more, and keep nothing: who did it, and what was found."""
        return worker_name(), do_part(self.session(), self.planned(), start, stop).found.to_matrix()

    def __call__(self, block: int) -> Receipt:
        """Do a block and deliver it, unless it is done already."""
        try:
            record = self.finished(block)
            if record is not None:
                return Receipt(record)
            session, wave = self.session(), self.planned()
            event("start", audit=self.name, wave=wave.number, block=block, attempt=self.attempt)
            receipt = self.deliver(*do_block(session, wave, block, self.attempt))
            event("done", audit=self.name, wave=wave.number, block=block)
            return receipt
        except Doubt as doubt:
            return Receipt(None, doubt=str(doubt))


@dataclass(frozen=True)
class Limits:
    """How long something may take until it counts as hung, in seconds."""

    block: float
    """The passes of a block."""
    each: float
    """Those of a coordinate."""
    silent: float
    """From one sign of life of a block to the next."""

    @classmethod
    def of(cls, wave: Wave, passes: float, seconds: float, deadline: float | None, path: str) -> Limits:
        """Limits from the expected cost.

        Parameters
        ----------
        passes : float
            Of a coordinate.
        seconds : float
            Of a pass.
        deadline : float or None
            For a coordinate; by default `PATIENCE` times what it should take, and at least `LEAST_PATIENCE` seconds.
        path : str
            How fun is evaluated: pass by pass there is a sign of life for each coordinate, otherwise none in a block.
        """
        each = max(LEAST_PATIENCE, PATIENCE * passes * seconds) if deadline is None else deadline
        block = each + SLOWER * passes * seconds * wave.block_size
        return cls(block, each, each if path == POINTWISE else block)


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
        return self.shared.session()

    def planned(self) -> Wave:
        """The wave, which the task carries."""
        return self.wave

    def finished(self, block: int) -> None:
        """Nothing is known of other workers."""

    def deliver(self, record: BlockRecord, matrix: FloatArray) -> Receipt:
        """Give it back."""
        return Receipt(record, matrix)


_last = threading.local()
"""The session of the last stored audit of this thread, and what it is of: waves follow each other."""


@dataclass
class StoredTask(Task):
    """Blocks of an audit in a store; all that travels is where it is, what code to run, and a number."""

    address: str
    id: str
    """Identity of the audit there."""
    code: Code
    wave: int
    attempt: int
    path: str
    """How fun is evaluated; an audit that starts over by fun alone has other tasks than before."""
    limits: Limits
    _local: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.address.rpartition("/")[2]

    def adopt(self, audit: Any, session: Session) -> None:
        """Use an audit and a session that are ready in this thread."""
        self._local.audit, self._local.session = audit, session

    def audit(self) -> Any:
        """The audit, open."""
        if hasattr(self._local, "audit"):
            return self._local.audit
        from pardiff.storage.zarr_ledger import Audit  # zarr is slow to import, and many tasks need none of it

        try:
            audit = Audit.open(self.address, write=True)
        except PardiffError as error:
            raise WorkerError(
                f"cannot open the audit: {error}; workers must see it under the same path as the client"
            ) from error
        if audit.info["id"] != self.id:
            raise WorkerError(f"the audit at {self.address} is not the one that was submitted")
        self._local.audit = audit
        return audit

    def planned(self) -> Wave:
        """The wave, from the store."""
        wave: Wave = self.audit().waves[self.wave - 1]
        return wave

    def finished(self, block: int) -> BlockRecord | None:
        """What the store has of a block."""
        record: BlockRecord | None = self.audit().record(self.wave, block)
        return record

    def deliver(self, record: BlockRecord, matrix: FloatArray) -> Receipt:
        """Commit it."""
        return Receipt(self.audit().commit(record, matrix))

    def session(self) -> Session:
        """The session of this thread; what the last audit has left is used if it is of the same problem."""
        if not hasattr(self._local, "session"):
            self._local.session = self._open()
        session: Session = self._local.session
        return session

    def _open(self) -> Session:
        audit = self.audit()
        key = (self.address, self.id, self.code, str(audit.info["rule"]))
        if getattr(_last, "key", None) != key:
            _last.session = _last.key = None  # the last problem is freed before another is built
            problem = load_factory(self.code, audit.read_code)()
            arrays = audit.parameters()
            if parameters_digest(audit.layout, arrays) != audit.info["fingerprint"]["x0"]:
                raise WorkerError(f"the parameters in the audit at {self.address} are damaged; run it again")
            _last.session, _last.key = open_session(problem, audit.layout, arrays, Rule.of(audit.info["rule"])), key
        session: Session = _last.session
        return session

    __getstate__ = Shared.__getstate__
    __setstate__ = Shared.__setstate__
