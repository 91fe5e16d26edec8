"""The folder of an audit: whether there is one, and how it is removed."""

from __future__ import annotations

import json
from pathlib import Path

from pardiff.storage.location import LocalFolder, StorageLocation, open_location

STORE = "audit.zarr"
CREATING = "pardiff_creating"
"""Attribute of a store that is not whole yet; what a kill leaves of it is no audit."""


def audit_location(path: str | Path | StorageLocation) -> StorageLocation:
    """The location of an audit, given it or the store within it."""
    if not isinstance(path, str | Path):
        return path
    text = str(path).rstrip("/")
    if "://" not in text:
        folder = Path(text or "/")
        return LocalFolder(folder.parent if folder.name == STORE else folder)
    return open_location(text.removesuffix(f"/{STORE}"))


def has_audit(path: str | Path | StorageLocation) -> bool:
    """Whether something stands where the store would be, other than what an interrupted creation leaves."""
    location = audit_location(path)
    if not location.has(STORE):
        return False
    try:
        return not json.loads(location.read(f"{STORE}/zarr.json"))["attributes"].get(CREATING)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True  # whatever it is
