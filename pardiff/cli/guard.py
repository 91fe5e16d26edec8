"""A parent process for a run: what fun ends without a word still gets a sentence, and the other problems their turn.

fun is evaluated at and near x0 in the process of the client, and without workers everywhere. If it crashes there, or
calls ``os._exit``, nobody in that process can say so, and its exit status may look like a verdict.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

PR_SET_PDEATHSIG = 1
"""Option of prctl(2) that sets the signal which a process gets when its parent dies."""
FORWARDED = {signal.SIGINT, signal.SIGTERM}
STARTS, LEAST_START = 60, 30.0
"""Multiple of the deadline of a parameter that the start may take, which calls fun some fifty times, and what it may
take at least, in seconds, as data is loaded in it."""
LOOK = 0.5
"""Seconds between looks at what a child has said, where it has a limit."""


@dataclass
class Guard:
    """What the child tells its parent, and what it is told of those that ran before it."""

    link: int | None = None
    """A pipe to the parent; None where there is none."""
    crashed: dict[str, str] = field(default_factory=dict)
    """How each problem, or each file that is imported, has ended a process."""
    over: set[str] = field(default_factory=set)
    """Those that were finished before."""
    started: str = ""
    """The last problem whose blocks were begun."""

    def begin(self, name: str) -> None:
        """Tell that a problem, or the import of a file, is begun."""
        self._tell(f"begin {name}")

    def start(self, name: str) -> None:
        """Tell that a problem's blocks are begun, as fun has been seen to come back at and near x0."""
        if self.started != name:
            self.started = name
            self._tell(f"start {name}")

    def finish(self, name: str) -> None:
        """Tell that it is over."""
        self._tell(f"over {name}")

    def end(self) -> None:
        """Tell that the process is about to end with a status of its own."""
        self._tell("end")

    def _tell(self, text: str) -> None:
        if self.link is not None:
            with suppress(OSError):
                os.write(self.link, f"{text}\n".encode())


GUARD = Guard()
"""The guard of this process."""


def guard(deadline: float | None = None) -> None:
    """Fork: the child returns, and the parent waits for it, starts another where it was ended, and exits in its place.

    With a deadline for the passes of a parameter, the parent also ends a child that takes `STARTS` times as long to
    build a problem and call fun at and near x0.

    Nothing is done where a fork could do harm, that is, once there are threads; those of NumPy's BLAS survive it.
    """
    if threading.active_count() > 1:
        return
    _flush()
    while True:
        ours, theirs = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the threads of BLAS, which has not run yet
            child = os.fork()
        if child == 0:
            os.close(ours)
            _die_with_parent()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {*FORWARDED, signal.SIGCHLD})
            GUARD.link = theirs
            return
        os.close(theirs)
        limit = None if deadline is None else max(LEAST_START, STARTS * deadline)
        told = _Told(ours)
        status, late = _wait(child, told, limit)
        lines = told.lines()
        os.close(ours)
        if lines and lines[-1] == "end":
            os._exit(status)
        _carry_on(
            lines, f"as its code, or fun at and near x0, had not come back after {limit:g} s" if late else _how(status)
        )


def _carry_on(lines: list[str], how: str) -> None:
    """Take note of what a child has done, so that another goes on behind it; exit if it cannot."""
    GUARD.over.update(line.removeprefix("over ") for line in lines if line.startswith("over "))
    begun = [line.removeprefix("begin ") for line in lines if line.startswith("begin ")]
    if not begun or begun[-1] in GUARD.over:
        _leave(f"the run was ended {how}, outside of any problem")
    if begun[-1] in GUARD.crashed:
        _leave(f"the run was ended {how}, again at {begun[-1]}")
    why = "" if how.startswith("as ") else ", as by code that crashes in it"
    GUARD.crashed[begun[-1]] = f"the process of the run was ended {how}{why}"


def _leave(text: str) -> NoReturn:
    sys.stderr.write(f"pardiff: {text}; finished blocks are kept, the same command goes on\n")
    sys.stderr.flush()
    os._exit(4)


def _how(status: int) -> str:
    """Say in words how a process has ended that has not said so itself."""
    if status >= 0:
        return f"with exit status {status}"
    name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
    return f"by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")


class _Told:
    """What a child has said through a pipe."""

    def __init__(self, link: int) -> None:
        os.set_blocking(link, False)
        self._link = link
        self._text = b""

    def lines(self) -> list[str]:
        """All of it, by now."""
        with suppress(BlockingIOError):
            while part := os.read(self._link, 65536):
                self._text += part
        return self._text.decode(errors="replace").splitlines()


def _wait(child: int, told: _Told, limit: float | None) -> tuple[int, bool]:
    """Exit status of a process, negative for a signal, and whether it was ended for being late.

    Signals that are sent to this process are passed on; those of a terminal go to both anyway.
    """
    late, count, waited = False, 0, 0.0
    while True:
        wanted = {*FORWARDED, signal.SIGCHLD}
        came = signal.sigwaitinfo(wanted) if limit is None else signal.sigtimedwait(wanted, LOOK)
        if came is None:
            lines = told.lines()
            # looks are counted, and not seconds, which go on while both processes are stopped
            waited = 0.0 if len(lines) != count else waited + LOOK
            count = len(lines)
            if lines and lines[-1].startswith("begin ") and waited > (limit or 0.0):
                late = True
                os.kill(child, signal.SIGKILL)
            continue
        if came.si_signo in FORWARDED:
            if came.si_code <= 0:  # sent by a process, and not by the kernel on behalf of a terminal
                with suppress(ProcessLookupError):
                    os.kill(child, came.si_signo)
            continue
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), late


def _die_with_parent() -> None:
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_now(act: Callable[[], None]) -> None:
    """Call what ends the process where threads that fun has started would hold it up for ever."""
    left = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon and t.is_alive()]
    if left:
        _flush()
        act()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, full, or none at all
            stream.flush()


def open_streams() -> None:
    """Give a process its three streams, where whoever has started it has closed them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - until the process ends
