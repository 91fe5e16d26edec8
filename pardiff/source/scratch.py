"""Folders for a problem's sources, which go with the process, or at last with those that come after it."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "pardiff-code-"
HELD = ".held"
"""File in a folder that its process keeps locked."""
AGE = 3600.0
"""Seconds after which a folder that nobody holds is taken to be left by a process that was killed: far longer than it
takes from making one to holding it."""

_handle = -1


def make_scratch() -> tempfile.TemporaryDirectory[str]:
    """A new folder, held by this process; those that killed ones have left are removed."""
    global _handle
    _sweep(Path(tempfile.gettempdir()))
    made = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    if _handle >= 0:
        os.close(_handle)
    _handle = os.open(Path(made.name) / HELD, os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(OSError):  # a file system without locks: no other process can lock it either, and so none removes it
        fcntl.flock(_handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return made


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # gone, held, or not to be locked
            about = folder.lstat()
            if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode) or time.time() - about.st_mtime < AGE:
                continue
            handle = os.open(folder / HELD, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
