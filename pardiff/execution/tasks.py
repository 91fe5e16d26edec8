"""A block, done: what runs where fun is evaluated."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from pardiff.errors import PardiffError, WorkerError
from pardiff.evaluation.estimate import Estimates, Rule, by_stencil, by_steps
from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.evaluation.fast import Doubt
from pardiff.evaluation.paths import open_path
from pardiff.evaluation.pointwise import Pointwise
from pardiff.evaluation.search import by_search
from pardiff.planning.waves import SEARCH, STENCIL, STEPS, Wave
from pardiff.problem.bounds import parse_bounds
from pardiff.problem.bundle import Code, load_factory
from pardiff.problem.parameters import FloatArray, Layout, parameters_digest
from pardiff.problem.problem import Problem
from pardiff.storage.schema import MOST_ERRORS, BlockRecord

DIFFERENTIATE = {STENCIL: by_stencil, STEPS: by_steps, SEARCH: by_search}
"""What is done with the coordinates of a wave, by its kind."""


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


def do_block(session: Session, wave: Wave, block: int, attempt: int) -> tuple[BlockRecord, FloatArray]:
    """Differentiate the coordinates of a block.

    Returns
    -------
    record : BlockRecord
    matrix : ndarray, shape (quantities, k)

    Raises
    ------
    Doubt
        If a fast path differs from fun.
    """
    begin = time.perf_counter()
    index = wave.coordinates(block)
    evaluator = session.evaluator
    evaluator.failures.clear()
    found = Estimates.empty(len(index))
    for first in range(0, len(index), TILE):
        tile = slice(first, first + TILE)
        number = wave.bounds(block)[0] + first
        at = Coordinates.of(evaluator, index[tile], session.bounds, session.rule.typical, number)
        found.put(tile, DIFFERENTIATE[wave.kind](evaluator, session.rule, at))
    evaluator.check_unchanged()
    doubt, checks = evaluator.verify(session.rule.check)
    if doubt:
        raise Doubt(doubt)
    matrix = found.to_matrix()
    start, stop = wave.bounds(block)
    record = BlockRecord(
        wave=wave.number,
        block=block,
        start=start,
        stop=stop,
        state="done",
        checksum=0,
        nfev=int(found.nfev.sum()) + checks,
        checks=checks,
        seconds=time.perf_counter() - begin,
        attempt=attempt,
        worker=worker_name(),
        base=session.base,
        errors={str(i): text for i, text in sorted(evaluator.failures.items())[:MOST_ERRORS]},
    )
    return record, matrix


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


@dataclass
class MemoryTask:
    """Blocks of an audit that lives in the client's memory; the results come back with the receipt."""

    shared: Shared | None
    """None while the task travels alone."""
    wave: Wave

    def __call__(self, block: int) -> Receipt:
        """Do a block."""
        assert self.shared is not None
        try:
            return Receipt(*do_block(self.shared.session(), self.wave, block, 1))
        except Doubt as doubt:
            return Receipt(None, doubt=str(doubt))


_last = threading.local()
"""The session of the last stored audit of this thread, and what it is of: waves follow each other."""


@dataclass
class StoredTask:
    """Blocks of an audit in a store; all that travels is where it is, what code to run, and a number."""

    folder: str
    digest: str
    """Digest of the fingerprint that the audit there must have."""
    code: Code
    wave: int
    attempt: int
    path: str
    """How fun is evaluated; an audit that starts over by fun alone has other tasks than before."""
    _local: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def adopt(self, audit: Any, session: Session) -> None:
        """Use an audit and a session that are ready in this thread."""
        self._local.audit, self._local.session = audit, session

    def __call__(self, block: int) -> Receipt:
        """Do a block and commit it, unless its record is there already."""
        try:
            if not hasattr(self._local, "session"):
                self._local.audit, self._local.session = self._open()
            audit = self._local.audit
            record = audit.record(self.wave, block)
            if record is None:
                record, matrix = do_block(self._local.session, audit.waves[self.wave - 1], block, self.attempt)
                record = audit.commit(record, matrix)
            return Receipt(record)
        except Doubt as doubt:
            return Receipt(None, doubt=str(doubt))

    def _open(self) -> tuple[Any, Session]:
        from pardiff.storage.audit import Audit  # zarr is slow to import, and many tasks need none of it

        try:
            audit = Audit.open(self.folder, write=True)
        except PardiffError as error:
            raise WorkerError(
                f"cannot open the audit: {error}; workers must see the folder under the same path as the client"
            ) from error
        if audit.info["digest"] != self.digest:
            raise WorkerError(f"the audit at {self.folder} is not the one that was submitted")
        key = (self.folder, self.digest, self.code, str(audit.info["rule"]))
        if getattr(_last, "key", None) == key:
            return audit, _last.session
        _last.session = _last.key = None  # the last problem is freed before another is built
        problem = load_factory(self.code, audit.read_code)()
        arrays = audit.parameters()
        if parameters_digest(audit.layout, arrays) != audit.info["fingerprint"]["x0"]:
            raise WorkerError(f"the parameters in the audit at {self.folder} are damaged; run it again")
        _last.session, _last.key = open_session(problem, audit.layout, arrays, Rule.of(audit.info["rule"])), key
        return audit, _last.session

    __getstate__ = Shared.__getstate__
    __setstate__ = Shared.__setstate__
