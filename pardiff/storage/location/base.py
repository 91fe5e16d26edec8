"""What a place for audits can do, wherever it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class StorageLocation(Protocol):
    """A folder or a prefix, with files and other places in it."""

    @property
    def address(self) -> str:
        """Its path or address; `place_of` makes it a place again, in any process."""

    def child(self, name: str) -> StorageLocation:
        """A place within."""

    def check_usable(self) -> None:
        """Raise `InputError` if it can hold nothing, as it is a file."""

    def names(self) -> list[str]:
        """Places within that hold something, sorted."""

    def files(self) -> list[str]:
        """Files directly within, sorted."""

    def has(self, name: str) -> bool:
        """Whether there is a file, or anything at all below a path."""

    def read(self, name: str) -> bytes:
        """Content of a file; a `FileNotFoundError` if there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that it is either the old one or the new one, never half of it."""

    def write_new(self, name: str, data: bytes) -> bool:
        """Write a file if there is none; whether that was so."""

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Contents of many files; None for those that are not there."""

    def erase(self, name: str) -> None:
        """Remove a file, and all that is below a path."""

    def zarr(self, name: str, *, write: bool) -> Any:
        """A Zarr store at a path."""

    def held(self) -> bool:
        """Whether a client holds the place, as far as can be seen."""

    def check_held(self) -> None:
        """Raise `StoreError` if this process has held the place, and another has taken it over."""

    def listing(self, name: str) -> list[str]:
        """Names of the files directly below a path."""

    def locked(self) -> AbstractContextManager[None]:
        """A context manager that holds the place for one client; a `StoreError` names who has it."""
