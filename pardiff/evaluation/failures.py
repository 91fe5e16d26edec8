"""What fun raises, in words."""

from __future__ import annotations

import threading

LONGEST = 500
"""Characters kept of a message of fun's."""


def described(error: BaseException) -> str:
    """An exception in words, whatever its own methods do."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    return (text if len(text) <= LONGEST else text[:LONGEST] + "…").encode("utf-8", "backslashreplace").decode()


def is_interrupt(error: BaseException) -> bool:
    """Whether it is a Ctrl-C of the user's; in any other thread than the first it can only come from fun."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
