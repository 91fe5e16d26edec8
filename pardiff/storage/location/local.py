"""Folders of a file system as places for audits."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pardiff.errors import InputError, NotAnAuditError
from pardiff.storage.location.lease import LEASE, SILENCE, Lease, held_by, me
from pardiff.storage.location.storage_errors import translate_storage_errors

LOCK = ".lock"


class LocalFolder:
    """A folder of a file system."""

    def __init__(self, path: str | Path) -> None:
        try:
            self.path = Path(path).resolve()  # fun and factories may change the working directory
        except (OSError, RuntimeError) as error:  # a loop of links
            raise InputError(f"{path}: {error}; expected a folder") from None
        self._lease: Lease | None = None

    @property
    def address(self) -> str:
        """Its path."""
        return str(self.path)

    def child(self, name: str) -> LocalFolder:
        """A folder within."""
        return LocalFolder(self.path / name)

    def check_usable(self) -> None:
        """Look whether a file is in the way."""
        try:
            about = next((folder for folder in (self.path, *self.path.parents) if folder.exists()), None)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}; expected a folder for the audits") from None
        if about is not None and not about.is_dir():
            raise InputError(f"{about} is a file; expected a folder for the audits")

    def names(self) -> list[str]:
        """Folders within."""
        return sorted(path.name for path in self.path.glob("*") if path.is_dir())

    def files(self) -> list[str]:
        """Files within."""
        return sorted(path.name for path in self.path.glob("*") if path.is_file())

    def has(self, name: str) -> bool:
        """Whether there is a file, or one anywhere below a path."""
        if self.path.exists() and not self.path.is_dir():
            raise NotAnAuditError(f"{self.path} is a file; expected a folder for the audit")
        path = self.path / name
        with translate_storage_errors(self.address, "read"):
            return path.is_file() or any(
                not file.endswith(".partial") for _, _, files in os.walk(path) for file in files
            )  # an empty folder is what a full disk leaves

    def read(self, name: str) -> bytes:
        """Content of a file."""
        return (self.path / name).read_bytes()

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """One after the other, which is fast here."""
        found: list[bytes | None] = []
        for name in names:
            try:
                found.append(self.read(name))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                found.append(None)
        return found

    def write(self, name: str, data: bytes) -> None:
        """Write a file under another name, and rename it."""
        with translate_storage_errors(self.address, "write"):
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                path.write_bytes(data)  # a pipe, or /dev/stdout
                return
            partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
            try:
                partial.write_bytes(data)
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise

    def write_new(self, name: str, data: bytes) -> bool:
        """Write a file that is not there; others may see it empty for a moment."""
        with translate_storage_errors(self.address, "write"):
            try:
                with (self.path / name).open("xb") as file:
                    file.write(data)
            except FileExistsError:
                return False
        return True

    def erase(self, name: str) -> None:
        """Remove a file or a folder; what a kill leaves of a folder has another name, and is removed with the next."""
        with translate_storage_errors(self.address, "write"):
            path = self.path / name
            for old in self.path.glob(".*.partial"):
                shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
            if path.is_dir():
                gone = self.path / f".{path.name}.{uuid.uuid4().hex}.partial"
                path.rename(gone)
                shutil.rmtree(gone)
            else:
                path.unlink(missing_ok=True)

    def zarr(self, name: str, *, write: bool) -> Any:
        """A local store."""
        from zarr.storage import LocalStore

        return LocalStore(self.path / name, read_only=not write)

    def check_held(self) -> None:
        """A lock of the system cannot be taken over."""
        if self._lease:
            self._lease.check()

    def listing(self, name: str) -> list[str]:
        """Names of files."""
        try:
            return os.listdir(self.path / name)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def held(self) -> bool:
        """Whether a client holds the folder."""
        try:
            handle = os.open(self.path / LOCK, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            lease = self.path / LEASE
            return lease.exists() and time.time() - lease.stat().st_mtime < SILENCE
        finally:
            os.close(handle)
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder: by a lock, which goes with the process, however it ends; by signs of life without locks."""
        with translate_storage_errors(self.address, "write"):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        owner = os.getpid()
        try:
            if _lock(handle, self.address):
                os.truncate(handle, 0)
                os.pwrite(handle, me().encode(), 0)
                _held.add(handle)
                yield
                return
        finally:
            if os.getpid() == owner:  # a child of a fork has let go of it
                _held.discard(handle)
                os.close(handle)
        self._lease = Lease(self)
        try:
            with self._lease.hold():
                yield
        finally:
            self._lease = None


_held: set[int] = set()
"""Handles of locks of this process."""


def _let_go() -> None:
    """Give up, in a child, the locks that it shares with its parent, and would keep when the parent is gone."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)


def _lock(handle: int, address: str) -> bool:
    """Lock an open file; False on a file system that knows no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise held_by(address, os.read(handle, 100).decode(errors="replace").strip()) from None
    except OSError:
        return False
    return True
