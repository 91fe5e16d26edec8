"""A block that has ended its workers, done in a process of its own: what does it is found, and the rest finishes.

The worker starts a child, which tells before each unit of coordinates what it is about to do. When the child dies or
hangs, the unit is known; one of several coordinates is done again one by one, and a coordinate that ends the child
twice is marked as an error, with the signal or the stack of the hang. Then another child goes on behind it.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging import WARNING
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from pardiff.errors import WorkerError
from pardiff.evaluation.crosscheck import EvaluatorMismatch
from pardiff.execution.session import Part
from pardiff.execution.tasks import Limits, Receipt, Task, record_of
from pardiff.logs import event
from pardiff.numerics.estimates import CRASHED, Estimates

UNIT = 64
"""Coordinates that a child does at once: few enough to be done again one by one, many beside a message for each."""
DEATHS_TO_MARK = 2
"""Deaths at a coordinate alone, one after the other, from which it is to blame: one can come from outside."""
MOST_CRASHES = 8
"""Coordinates in a row that end a child, after which the rest of the block is given up: then it is no matter of one
coordinate."""
STARTING = 120.0
"""Seconds that a child may take to import and build the problem, at least."""
GRACE = 5.0
"""Seconds beyond a limit until a child that has not ended itself, with its stack, is ended."""
STACK_CALLS = 6
"""Innermost calls of a stack that are kept."""
PACKAGE = str(Path(__file__).parents[1])


@dataclass
class _Child:
    """A process that does parts of a block."""

    process: subprocess.Popen[bytes]
    link: Connection
    stack: IO[bytes]
    """The file into which it writes its stack when it crashes or hangs."""

    def ask(self, message: Any, limit: float) -> Any:
        """What it answers: a result, an exception to raise, or, as a string, why it is no more."""
        try:
            self.link.send(message)
            if self.link.poll(limit + GRACE):
                return self.link.recv()
        except (EOFError, OSError):
            pass
        return self._end(limit)

    def _end(self, limit: float) -> str:
        """Why it does not answer."""
        silent = False
        try:
            self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            silent = True
        self.close()
        self.stack.seek(0)
        text = self.stack.read().decode(errors="replace")
        code = self.process.returncode
        if silent or "Timeout" in text:
            return f"fun did not come back within {limit:g} s{_innermost(text)}"
        if code >= 0:
            return f"fun ended the process with exit status {code}"
        name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
        memory = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        return f"fun ended the process by {name}{memory}{_innermost(text)}"

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self.link.close()


@contextmanager
def _child() -> Iterator[_Child]:
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as stack:
        process = subprocess.Popen(
            [sys.executable, "-m", "pardiff.execution.isolated_child", str(theirs.fileno()), str(stack.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), stack.fileno()),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        child = _Child(process, Connection(ours.detach()), stack)
        try:
            yield child
        finally:
            child.close()


def _innermost(text: str) -> str:
    """The innermost calls of a stack that faulthandler has written, up to those of pardiff; empty if none is known."""
    text = text.rpartition("hread 0x")[2]  # the thread that evaluates fun is the first of all, and the last of the dump
    calls = re.findall(r'^  File "(.*)", line (\d+) in (.*)$', text, re.MULTILINE)
    inside = itertools.takewhile(lambda call: not call[0].startswith(PACKAGE), calls)
    lines = [f"{name} ({file}:{line})" for file, line, name in inside][:STACK_CALLS]
    return f", in {' < '.join(lines)}" if lines else ""


def isolate(task: Task, payload: bytes, block: int, memory: int | None) -> Receipt:
    """Do a block in child processes.

    Parameters
    ----------
    task : Task
    payload : bytes
        The pickle of the same task.
    memory : int or None
        Bytes that a child may allocate; beyond, fun gets a `MemoryError`.

    Raises
    ------
    WorkerError
        If fun cannot even be evaluated at x0.
    """
    record = task.finished(block)
    if record is not None:
        return Receipt(record)
    begin = time.perf_counter()
    wave = task.planned()
    event("isolated", WARNING, audit=task.name, wave=wave.number, block=block)
    try:
        search = _Search(wave.bounds(block), task.limits, task.name)
        while not search.done:
            with _child() as child:
                search.go_on(child, payload, memory)
    except EvaluatorMismatch as mismatch:
        return Receipt(None, mismatch=str(mismatch))
    parts = [search.parts[start] for start in sorted(search.parts)]
    for number, reason in search.crashing_coordinates.items():
        index = int(wave.coordinates(number, number + 1)[0])
        search.parts[number].errors[str(index)] = reason
    receipt = task.deliver(*record_of(wave, block, parts, search.base, time.perf_counter() - begin, task.attempt))
    event("done", audit=task.name, wave=wave.number, block=block)
    return receipt


@dataclass
class _Search:
    """What is known of a block so far; numbers are those of coordinates in the wave."""

    bounds: tuple[int, int]
    limits: Limits
    audit: str
    parts: dict[int, Part] = field(default_factory=dict)
    """Results by their first coordinate."""
    crashing_coordinates: dict[int, str] = field(default_factory=dict)
    base: float = float("nan")
    observables: int = 1
    _todo: list[tuple[int, int]] = field(default_factory=list)
    """Parts that are left, the next one last."""
    _deaths: Counter[int] = field(default_factory=Counter)
    _in_a_row: int = 0
    _failed_starts: int = 0

    def __post_init__(self) -> None:
        """Cut the block into units, counted from the start of the wave."""
        start, stop = self.bounds
        first = start - start % UNIT
        edges = [start, *range(first + UNIT, stop, UNIT), stop]
        self._todo = list(itertools.pairwise(edges))[::-1]

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return not self._todo

    def go_on(self, child: _Child, payload: bytes, memory: int | None) -> None:
        """Do what is left, until the child ends."""
        limit = max(STARTING, self.limits.each)
        answer = child.ask((payload, memory), limit)
        if isinstance(answer, str):
            self._failed_starts += 1
            if self._failed_starts >= DEATHS_TO_MARK:
                raise WorkerError(f"the problem cannot be built, or fun not be evaluated at x0, here: {answer}")
            return
        if isinstance(answer, BaseException):
            raise answer
        self._failed_starts = 0
        self.base, self.observables = answer
        while self._todo:
            start, stop = self._todo[-1]
            limit = self.limits.each if stop - start == 1 else self.limits.block
            answer = child.ask((start, stop, min(limit, self.limits.silent)), limit)
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, str):
                self._blame(answer)
                return
            self._todo.pop()
            self.parts[start] = answer
            self._in_a_row = 0

    def _blame(self, reason: str) -> None:
        """What the death of a child means."""
        start, stop = self._todo[-1]
        if stop - start > 1:
            self._todo[-1:] = [(number, number + 1) for number in reversed(range(start, stop))]
            return
        self._deaths[start] += 1
        if self._deaths[start] < DEATHS_TO_MARK:
            return
        self._todo.pop()
        self._mark_crashed(start, reason)
        self._in_a_row += 1
        if self._in_a_row >= MOST_CRASHES:
            rest = [number for low, high in self._todo for number in range(low, high)]
            for number in rest:
                self._mark_crashed(number, f"fun was not tried, as {MOST_CRASHES} parameters in a row failed: {reason}")
            self._todo.clear()

    def _mark_crashed(self, number: int, reason: str) -> None:
        found = Estimates.empty(1, self.observables)
        found.state[:] = CRASHED
        self.parts[number] = Part(found, 0, {})
        event("parameter crashed", WARNING, audit=self.audit, number=number, reason=reason)
        self.crashing_coordinates[number] = reason
