"""Where audits and reports are kept: folders of a file system, and prefixes of an object store."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from pardiff.errors import InputError, NotAnAuditError, PardiffError, StoreError
from pardiff.storage.location.lease import LEASE, SILENCE, Lease, held_by, me

LOCK = ".lock"
CLOUDS = ("s3", "gs", "az")


class Place(Protocol):
    """A folder or a prefix, with files and other places in it."""

    @property
    def address(self) -> str:
        """Its path or address; `place_of` makes it a place again, in any process."""

    def child(self, name: str) -> Place:
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

    def locked(self) -> Any:
        """A context manager that holds the place for one client; a `StoreError` names who has it."""


class Folder:
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

    def child(self, name: str) -> Folder:
        """A folder within."""
        return Folder(self.path / name)

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
        with sentence(self.address, "read"):
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
        with sentence(self.address, "write"):
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
        with sentence(self.address, "write"):
            try:
                with (self.path / name).open("xb") as file:
                    file.write(data)
            except FileExistsError:
                return False
        return True

    def erase(self, name: str) -> None:
        """Remove a file or a folder; what a kill leaves of a folder has another name, and is removed with the next."""
        with sentence(self.address, "write"):
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
        with sentence(self.address, "write"):
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
    """In a child, which shares the locks of its parent and would keep them for it when it is gone."""
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


def place_of(address: str | Path) -> Place:
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
        from pardiff.storage.location.object_store import Bucket  # needs obstore

        return Bucket(text)
    if scheme == "memory":
        raise InputError(f"{text}: what is kept in memory is gone with the process; give a folder, or no store at all")
    if scheme not in ("", "file"):
        known = ", ".join(f"{cloud}://" for cloud in CLOUDS)
        raise InputError(f"{text}: audits are kept in folders, or in an object store: {known}")
    return Folder(text.removeprefix("file://"))


@contextmanager
def sentence(address: str, verb: str, but: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what a file system or an object store says into a `StoreError` with a remedy."""
    try:
        yield
    except PardiffError:
        raise
    except but:
        raise
    except (RuntimeError, ValueError) as error:  # what zarr and its codecs say of a file that is not whole
        raise StoreError(f"the audit at {address} is damaged ({error}); run it again to mend it") from error
    except OSError as error:
        remedies = {
            errno.ENOSPC: "free some space and run again: finished blocks are kept",
            errno.EDQUOT: "free some of your quota and run again: finished blocks are kept",
            errno.EROFS: "the file system is read-only; choose another --out",
            errno.EACCES: "choose another --out or change its permissions",
        }
        remedy = remedies.get(error.errno or 0, "check it and run again: finished blocks are kept")
        reason = error.strerror or str(error).partition("\n")[0]
        if "://" in address:
            reason, remedy = _from_server(reason), "check the address and run again: finished blocks are kept"
        raise StoreError(f"cannot {verb} the audit at {address}: {reason}; {remedy}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        raise StoreError(
            f"cannot {verb} the audit at {address}: {_from_server(str(error))}; check the address, the credentials and "
            f"the store, and run again: finished blocks are kept"
        ) from error


SAID = {
    "169.254.169.254": "no credentials are set, and this machine has none of its own (for S3: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY)",
    "401 Unauthorized": "the store does not accept the credentials (401 Unauthorized)",
    "403 Forbidden": "the store refuses it with these credentials (403 Forbidden)",
    "404 Not Found": "the store knows no such bucket (404 Not Found)",
}
"""What to make of a part of an object store's answer, the first that is in it."""


def _from_server(text: str) -> str:
    """The reason behind an answer of an object store; the first line of it where it is unknown."""
    return next((reason for part, reason in SAID.items() if part in text), text.partition("\n")[0])
