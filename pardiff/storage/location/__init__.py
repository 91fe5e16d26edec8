"""Locations of audits: folders of a file system, and prefixes of an object store."""

from __future__ import annotations

from pardiff.storage.location.base import StorageLocation
from pardiff.storage.location.local import LocalFolder
from pardiff.storage.location.opening import open_location
from pardiff.storage.location.storage_errors import translate_storage_errors

__all__ = ["LocalFolder", "StorageLocation", "open_location", "translate_storage_errors"]
