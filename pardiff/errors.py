"""Every error that pardiff raises on purpose; this module imports nothing of ours.

::

    PardiffError                      exit status 2
    ├── InputError (ValueError)       an argument, a problem or a job file is not usable
    ├── TargetError (ImportError)     a target cannot be found or imported
    ├── StoreError (OSError)          the audit's folder cannot be read or written       exit status 4
    │   ├── NotAnAuditError           something else stands where the audit should be    exit status 2
    │   └── FingerprintError          the audit there belongs to another run             exit status 2
    ├── ClusterError (ConnectionError)  no scheduler or no workers                       exit status 4
    ├── WorkerError (RuntimeError)    a worker could not do its part                     exit status 4
    └── GradientMismatchError (AssertionError)  the audit did not pass                   exit status 1

Each is made from one finished sentence, so that all of them survive pickling.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PardiffError(Exception):
    """Base of all errors of pardiff; ``exit_status`` is what the command line returns for it."""

    exit_status = 2


class InputError(PardiffError, ValueError):
    """An argument, a problem or a job file that cannot be used as it is."""


class TargetError(PardiffError, ImportError):
    """A target that does not exist or whose code cannot be imported."""


class StoreError(PardiffError, OSError):
    """The folder of an audit cannot be read or written."""

    exit_status = 4


class NotAnAuditError(StoreError):
    """Something that is not an audit stands at the place of the store."""

    exit_status = 2


class FingerprintError(StoreError):
    """The audit at that place was started with other parameters, settings or source."""

    exit_status = 2


class ClusterError(PardiffError, ConnectionError):
    """No Dask scheduler or no worker can be reached."""

    exit_status = 4


class WorkerError(PardiffError, RuntimeError):
    """A worker could not load the problem or evaluate a block."""

    exit_status = 4


class GradientMismatchError(PardiffError, AssertionError):
    """The analytical gradient was not confirmed; the message is the report."""

    exit_status = 1


MOST_SHOWN = 24
"""Choices that an error lists."""


def closest(word: str, choices: Iterable[str]) -> str:
    """A clause naming the most similar choice, or all of them where none is similar.

    >>> closest("ordr", ["order", "method"])
    "did you mean 'order'?"
    >>> closest("x", ["order", "method"])
    "expected one of 'method', 'order'"
    """
    choices = sorted(choices)
    match = get_close_matches(word, choices, n=1)
    if match:
        return f"did you mean {match[0]!r}?"
    if not choices:
        return "there is none"
    more = f" and {len(choices) - MOST_SHOWN} more" if len(choices) > MOST_SHOWN else ""
    return "expected one of " + ", ".join(repr(choice) for choice in choices[:MOST_SHOWN]) + more
