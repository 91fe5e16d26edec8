"""The Zarr group of an audit: opened and checked, its arrays read and written with errors in sentences."""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import zarr

from pardiff.errors import NotAnAuditError, StoreError
from pardiff.storage.audit_folder import CREATING, STORE, audit_location
from pardiff.storage.format import SCHEMA
from pardiff.storage.location import StorageLocation, translate_storage_errors
from pardiff.storage.zarr_arrays import Node, create
from pardiff.storage.zarr_layout import SEAL, is_group, sealed

CODE = "code"
"""Folder of the bundles beside the store."""
REPORTS = ("report.html", "report.md", "report.json", "junit.xml")
"""Files beside the store that are made from it."""


class ZarrStore:
    """A group with the attributes and arrays of one audit."""

    def __init__(self, location: StorageLocation, group: zarr.Group) -> None:
        self.location = location
        self.group = group
        self.attributes: dict[str, Any] = dict(group.attrs)
        self._arrays: dict[str, Any] = {}

    @classmethod
    def open(cls, path: str | Path | StorageLocation, *, write: bool = False) -> ZarrStore:
        """Open the store of an existing audit; an error in a sentence if there is none."""
        location = audit_location(path)
        if not location.has(STORE):
            inside = [name for name in location.names() if location.child(name).has(STORE)]
            hint = f"; it holds audits: {', '.join(inside)}" if inside else ""
            raise NotAnAuditError(f"no audit at {location.address}: there is no {STORE} in it{hint}")
        with translate_storage_errors(location.address, "read"):
            return cls(location, _open_group(location, write))

    @property
    def address(self) -> str:
        """Path or address of the audit."""
        return self.location.address

    def reading(self) -> AbstractContextManager[None]:
        """A context in which what the storage raises becomes a `StoreError`."""
        return translate_storage_errors(self.address, "read")

    def writing(self) -> AbstractContextManager[None]:
        """The same, for a client that still holds the audit."""
        self.location.check_held()
        return translate_storage_errors(self.address, "write")

    def array(self, path: str) -> Any:
        """An array, opened once."""
        if path not in self._arrays:
            try:
                self._arrays[path] = self.group[path]
            except OSError:
                raise
            except Exception as error:  # whatever Zarr says of a description that is gone or altered
                raise StoreError(
                    f"the audit at {self.address} is damaged: the description of {path} cannot be read; run it "
                    f"again to repair it"
                ) from error
        return self._arrays[path]

    def forget(self) -> None:
        """Open all arrays anew."""
        self._arrays.clear()

    def put(self, path: str, node: Node, chosen: Any, part: Any) -> None:
        """Write a part of an array; one whose description is damaged is made anew."""
        with self.writing():
            try:
                self.array(path)[chosen] = part
            except (StoreError, ValueError, TypeError, IndexError):
                self._arrays[path] = create(self.group, {path: node})[path]
                self._arrays[path][chosen] = part

    def put_attributes(self, **changes: Any) -> None:
        """Change attributes."""
        with self.writing():
            self.attributes = sealed(dict(self.group.attrs) | changes)
            self.group.attrs.put(self.attributes)

    def damaged_groups(self, paths: list[str]) -> list[str]:
        """Groups above some arrays whose description is gone or altered."""
        names = {"/".join(path.split("/")[:depth]) for path in paths for depth in range(1, path.count("/") + 1)}
        ordered = sorted(names)
        found = self.location.read_many([f"{STORE}/{name}/zarr.json" for name in ordered])
        return [name for name, text in zip(ordered, found, strict=True) if not is_group(text)]

    def repair_groups(self, names: list[str]) -> None:
        """Describe groups anew."""
        group = json.dumps({"zarr_format": 3, "node_type": "group"}).encode()
        for name in names:
            self.location.write(f"{STORE}/{name}/zarr.json", group)

    def write_code(self, filename: str, data: bytes) -> None:
        """Put a bundle beside the store."""
        self.location.check_held()
        self.location.child(CODE).write(filename, data)

    def read_code(self, filename: str) -> bytes:
        """Read a bundle."""
        with self.reading():
            return self.location.child(CODE).read(filename)

    def identity(self) -> Any:
        """What the audit's identity is in the store now; None where that cannot be read."""
        try:
            return json.loads(self.location.read(f"{STORE}/zarr.json"))["attributes"].get("id")
        except (OSError, ValueError, LookupError, AttributeError):
            return None


def remove_audit(path: str | Path | StorageLocation) -> None:
    """Remove an audit, and nothing that is not one."""
    location = audit_location(path)
    try:
        ZarrStore.open(location)
    except NotAnAuditError:
        raise
    except StoreError:
        pass  # one that is damaged
    root = {"zarr_format": 3, "node_type": "group", "attributes": {CREATING: True}}
    location.write(f"{STORE}/zarr.json", json.dumps(root).encode())  # if this is interrupted, it is no audit any more
    location.erase(STORE)
    for bundle in location.child(CODE).files():
        if re.fullmatch(r"[0-9a-f]{64}\.(zip|pkl)", bundle):
            location.child(CODE).erase(bundle)
    for report in REPORTS:
        location.erase(report)


def _open_group(location: StorageLocation, write: bool) -> zarr.Group:
    """The Zarr group of an audit; an error in a sentence if it is not one."""
    store = f"{location.address}/{STORE}"
    try:
        group = zarr.open_group(location.zarr(STORE, write=write), mode="r+" if write else "r", zarr_format=3)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError, json.JSONDecodeError, ValueError) as error:
        raise NotAnAuditError(f"{store} is not an audit of pardiff ({error})") from None
    schema = group.attrs.get("pardiff_schema")
    if schema is None and group.attrs.get(CREATING):
        raise NotAnAuditError(f"{store} is being made, or that was interrupted; wait, or run it again")
    if schema is None:
        raise NotAnAuditError(f"{store} is a Zarr group, but not an audit of pardiff; choose another place")
    if schema != SCHEMA:
        raise NotAnAuditError(f"{store} has format {schema!r}; this pardiff reads format {SCHEMA}")
    attributes = dict(group.attrs)
    if sealed(attributes)[SEAL] != attributes.get(SEAL):
        raise StoreError(
            f"the audit at {location.address} is damaged: its attributes are not those that were written; --fresh (or "
            f"removing the folder) starts over"
        )
    return group
