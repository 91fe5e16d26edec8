"""The origin of an audit: versions, machine, time. No environment variables, no user names."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from functools import cache
from typing import Any

PACKAGES = ("pardiff", "numpy", "dask", "distributed", "zarr")


@cache
def _of_process() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def provenance() -> dict[str, Any]:
    """Facts of the process that starts an audit, as plain data."""
    return {"created": now(), **_of_process()}


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
