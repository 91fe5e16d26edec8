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
"""Of prctl(2): the signal that a process gets when its parent dies."""
FORWARDED = {signal.SIGINT, signal.SIGTERM}


@dataclass
class Guard:
    """What the child tells its parent, and what it is told of those that ran before it."""

    link: int | None = None
    """A pipe to the parent; None where there is none."""
    crashed: dict[str, str] = field(default_factory=dict)
    """By problem, how it has ended a process."""
    over: set[str] = field(default_factory=set)
    """Problems that were finished before."""

    def begin(self, name: str) -> None:
        """Tell that a problem is begun."""
        self._tell(f"begin {name}")

    def finish(self, name: str) -> None:
        """Tell that a problem is over."""
        self._tell(f"over {name}")

    def end(self) -> None:
        """Tell that the process is about to end with a status of its own."""
        self._tell("end")

    def _tell(self, text: str) -> None:
        if self.link is not None:
            with suppress(OSError):
                os.write(self.link, f"{text}\n".encode())


GUARD = Guard()
"""Of this process."""


def guard() -> None:
    """Fork: the child returns, and the parent waits for it, starts another where it was ended, and exits in its place.

    Nothing is done where a fork could do harm, that is, once there are threads; those of NumPy's BLAS survive it.
    """
    if threading.active_count() > 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
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
        status = _wait(child)
        with open(ours, encoding="utf-8", errors="replace") as told:  # noqa: PTH123 - a file descriptor
            lines = told.read().splitlines()
        if lines and lines[-1] == "end":
            os._exit(status)
        _carry_on(lines, _how(status))


def _carry_on(lines: list[str], how: str) -> None:
    """Take note of what a child has done, so that another goes on behind it; exit if it cannot."""
    GUARD.over.update(line.removeprefix("over ") for line in lines if line.startswith("over "))
    begun = [line.removeprefix("begin ") for line in lines if line.startswith("begin ")]
    if not begun or begun[-1] in GUARD.over:
        _leave(f"the run was ended {how}, outside of any problem")
    if begun[-1] in GUARD.crashed:
        _leave(f"the run was ended {how}, again at {begun[-1]}")
    GUARD.crashed[begun[-1]] = f"the process of the run was ended {how}, as by a fun that crashes at x0 or near it"


def _leave(text: str) -> NoReturn:
    sys.stderr.write(f"pardiff: {text}; finished blocks are kept, the same command goes on\n")
    sys.stderr.flush()
    os._exit(4)


def _how(status: int) -> str:
    """In words, how a process has ended that has not said so."""
    if status >= 0:
        return f"with exit status {status}"
    name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
    return f"by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")


def _wait(child: int) -> int:
    """Exit status of a process, negative for a signal; signals that are sent to this one are passed on.

    Those of a terminal go to both anyway.
    """
    while True:
        came = signal.sigwaitinfo({*FORWARDED, signal.SIGCHLD})
        if came.si_signo in FORWARDED:
            if came.si_code <= 0:  # sent by a process, and not by the kernel on behalf of a terminal
                with suppress(ProcessLookupError):
                    os.kill(child, came.si_signo)
            continue
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)


def _die_with_parent() -> None:
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_now(act: Callable[[], None]) -> None:
    """Call what ends the process where threads that fun has started would hold it up for ever."""
    left = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon and t.is_alive()]
    if left:
        sys.stdout.flush()
        sys.stderr.flush()
        act()
