"""Text from user code, made harmless."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without control characters, which could rewrite the terminal: user code chooses names and messages.

    >>> printable("W\\x1b[2J")
    'W\\\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
