"""Opens the location that an address names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pardiff.errors import InputError
from pardiff.storage.location.base import StorageLocation
from pardiff.storage.location.local import LocalFolder

CLOUDS = ("s3", "gs", "az")
"""Schemes of object stores."""


def open_location(address: str | Path) -> StorageLocation:
    """The place that a path or an address names.

    Raises
    ------
    StoreError
        If it is of a kind that is not supported.
    """
    text = str(address)
    scheme = urlsplit(text).scheme if "://" in text else ""
    if scheme in CLOUDS:
        if "@" in urlsplit(text).netloc:
            raise InputError(
                f"{scheme}://…@{urlsplit(text).hostname}: credentials do not belong into an address, which is printed "
                f"and kept; they are taken from the environment"
            )
        from pardiff.storage.location.object_store import ObjectPrefix  # needs obstore

        return ObjectPrefix(text)
    if scheme == "memory":
        raise InputError(f"{text}: what is kept in memory is gone with the process; give a folder, or no store at all")
    if scheme not in ("", "file"):
        known = ", ".join(f"{cloud}://" for cloud in CLOUDS)
        raise InputError(f"{text}: audits are kept in folders, or in an object store: {known}")
    return LocalFolder(text.removeprefix("file://"))
