"""A block, done: what runs where fun is evaluated."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from pardiff.errors import PardiffError, WorkerError
from pardiff.evaluation.estimate import Estimates, Rule, first_wave, second_wave
from pardiff.evaluation.evaluator import Coordinates, Evaluator
from pardiff.evaluation.pointwise import Pointwise
from pardiff.planning.waves import Wave
from pardiff.problem.bundle import Code, load_factory
from pardiff.problem.parameters import FloatArray, Layout, parameters_digest, parse_bounds
from pardiff.problem.problem import Problem
from pardiff.storage.ledger import checksum
from pardiff.storage.schema import MOST_ERRORS, BlockRecord


@dataclass(frozen=True)
class Receipt:
    """What a task gives back: the block's record, and its results where it has not stored them itself."""

    record: BlockRecord
    matrix: FloatArray | None = None


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
    evaluator = Pointwise(problem.fun, problem.args, layout, arrays, terms=problem.terms)
    try:
        base = evaluator.at_start()
    except Exception as error:
        raise WorkerError(f"fun raised {type(error).__name__} at x0 here, but not in the client: {error}") from error
    return Session(evaluator, rule, parse_bounds(layout, problem.bounds), base)


def do_block(session: Session, wave: Wave, block: int, attempt: int) -> tuple[BlockRecord, FloatArray]:
    """Differentiate the coordinates of a block.

    Returns
    -------
    record : BlockRecord
    matrix : ndarray, shape (quantities, k)
    """
    begin = time.perf_counter()
    index = wave.coordinates(block)
    evaluator = session.evaluator
    evaluator.failures.clear()
    at = Coordinates.of(evaluator, index, session.bounds, session.rule.typical)
    differentiate = first_wave if wave.number == 1 else second_wave
    found: Estimates = differentiate(evaluator, session.rule, at)
    evaluator.check_unchanged()
    matrix = found.to_matrix()
    start, stop = wave.bounds(block)
    record = BlockRecord(
        wave=wave.number,
        block=block,
        start=start,
        stop=stop,
        state="done",
        checksum=checksum(matrix),
        nfev=int(found.nfev.sum()),
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
class MemoryTask:
    """Blocks of an audit that lives in the client's memory; the results come back with the receipt."""

    problem: Problem
    layout: Layout
    arrays: list[NDArray[Any]]
    rule: Rule
    wave: Wave
    _local: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def adopt(self, session: Session) -> None:
        """Use a session that is ready in this thread."""
        self._local.session = session

    def __call__(self, block: int) -> Receipt:
        """Do a block."""
        if not hasattr(self._local, "session"):
            arrays = [array.copy() for array in self.arrays]
            self._local.session = open_session(self.problem, self.layout, arrays, self.rule)
        record, matrix = do_block(self._local.session, self.wave, block, 1)
        return Receipt(record, matrix)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what belongs to a thread."""
        return {key: value for key, value in vars(self).items() if key != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, with no session yet."""
        vars(self).update(state, _local=threading.local())


@dataclass
class StoredTask:
    """Blocks of an audit in a store; all that travels is where it is, what code to run, and a number."""

    folder: str
    digest: str
    """Digest of the fingerprint that the audit there must have."""
    code: Code
    wave: int
    attempt: int
    _local: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def adopt(self, audit: Any, session: Session) -> None:
        """Use an audit and a session that are ready in this thread."""
        self._local.audit, self._local.session = audit, session

    def __call__(self, block: int) -> Receipt:
        """Do a block and commit it, unless its record is there already."""
        if not hasattr(self._local, "session"):
            self._local.audit, self._local.session = self._open()
        audit = self._local.audit
        record = audit.record(self.wave, block)
        if record is None:
            record, matrix = do_block(self._local.session, audit.waves[self.wave - 1], block, self.attempt)
            audit.commit(record, matrix)
        return Receipt(record)

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
        problem = load_factory(self.code, audit.read_code)()
        arrays = audit.parameters()
        if parameters_digest(audit.layout, arrays) != audit.info["fingerprint"]["x0"]:
            raise WorkerError(f"the parameters in the audit at {self.folder} are damaged; run it again")
        rule = Rule.of(audit.info["rule"])
        return audit, open_session(problem, audit.layout, arrays, rule)

    __getstate__ = MemoryTask.__getstate__
    __setstate__ = MemoryTask.__setstate__
