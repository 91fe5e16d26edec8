"""Logs: what pardiff tells `logging`, as JSON lines in one file for the client and its workers, if asked."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pardiff.errors import InputError

LOGGER = logging.getLogger("pardiff")
HOST = os.uname().nodename
EVENTS = logging.getLogger("pardiff.events")
EVENTS.addHandler(logging.NullHandler())  # without a file they are not for the terminal: a report sums them up
LEVELS = ("debug", "info", "warning", "error")
FILE, LEVEL = "PARDIFF_LOG", "PARDIFF_LOG_LEVEL"
"""Environment variables from which workers take the file and the level."""
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A JSON object a line: time, level, process, event, and what belongs to the event."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        more = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        data = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "host": HOST,
            "process": record.process,
            "event": record.getMessage(),
            **more,
        }
        if record.exc_info:
            data["exception"] = self.formatException(record.exc_info)
        return json.dumps(data, default=str)


def configure(level: str | None = None, file: str | None = None) -> None:
    """Send what pardiff logs to a file, and have the workers that are started from here do the same.

    Parameters
    ----------
    level : str or None
        The least level, of `LEVELS`; None for what the environment says, or ``info``.
    file : str or None
        Appended to by all processes; None for what the environment says. Without one, warnings go where `logging`
        sends them.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    # what fails in a coroutine of a library is raised where it matters; that it was "never retrieved" helps nobody
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    level = level or os.environ.get(LEVEL) or "info"
    file = file or os.environ.get(FILE)
    if file is None:
        if level != "info":
            LOGGER.setLevel(level.upper())
        return
    try:
        handler = logging.FileHandler(Path(file).resolve(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"log: cannot write {file}: {error.strerror or error}") from None
    handler.setFormatter(JsonLines())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level.upper())
    os.environ[FILE], os.environ[LEVEL] = str(Path(file).resolve()), level


def event(name: str, level: int = logging.INFO, **more: Any) -> None:
    """Log something that has happened."""
    EVENTS.log(level, name, extra=more)
