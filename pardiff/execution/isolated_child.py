"""The child of `pardiff.execution.isolation`: does some lines of a block after the other."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

PR_SET_PDEATHSIG = 1
"""Option of prctl(2) that sets the signal which a process gets when its parent dies."""


def serve(link: Connection, stack: int) -> None:
    """Answer messages until the parent closes the link."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(stack, all_threads=False)
    payload, memory = link.recv()
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    session: Any = None
    try:
        import cloudpickle

        from pardiff.evaluation.watchdog import WATCHDOG
        from pardiff.execution.blas import single_threaded
        from pardiff.execution.session import do_part

        task = cloudpickle.loads(payload)
        session, wave = task.session(), task.planned()
        link.send((session.base, session.spec.observables))
    except BaseException as error:
        link.send(error)
        return
    with single_threaded():
        while True:
            try:
                start, stop, limit = link.recv()
            except EOFError:
                return
            try:
                with WATCHDOG.watched(limit, limit, stack):
                    answer: Any = do_part(session, wave, start, stop)
            except BaseException as error:
                answer = error
            link.send(answer)


if __name__ == "__main__":
    with suppress(EOFError, ConnectionError):  # the parent has died
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
    os._exit(0)  # threads that fun has started do not hold it up
