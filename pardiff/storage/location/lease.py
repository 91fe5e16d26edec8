"""Holding a place by signs of life in it, where no lock of the system can be had."""

from __future__ import annotations

import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from pardiff.errors import PardiffError, StoreError

LEASE = ".lease"
"""File with the last sign of life."""
HEARTBEAT = 5.0
"""Seconds between signs of life of who holds a place."""
SILENCE = 2.5 * HEARTBEAT
"""Seconds without one after which it is taken to be dead."""
SETTLING = HEARTBEAT / 5
"""Seconds in which all have written who take over from the same dead one, longer than a write takes."""
PATIENCE = 60
"""Seconds for the last sign that is under way when the place is let go; requests to a store are repeated as long."""


class Files(Protocol):
    """What signs are written to."""

    @property
    def address(self) -> str:
        """The address of what is held."""

    def read(self, name: str) -> bytes:
        """Content of a file."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""

    def write_new(self, name: str, data: bytes) -> bool:
        """Write a file if there is none; whether that was so."""

    def erase(self, name: str) -> None:
        """Remove a file."""


class Lease:
    """One client's hold of a place; who has given no sign of life for a while has lost it."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._token = b""
        self._signed = -math.inf
        self._renewing = threading.Lock()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the place; a `StoreError` names who has it."""
        self._take()
        done = threading.Event()

        def live() -> None:
            while not done.wait(HEARTBEAT):
                with suppress(PardiffError):  # what cannot be done is noticed by those who have results to write
                    self._renew()

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(PATIENCE)
            own, self._token = self._token, b""
            if self._sign() == own:
                self._files.erase(LEASE)

    def _take(self) -> None:
        """Give the first sign of life, where nobody else gives any."""
        begin = time.monotonic()
        seen = self._sign()
        while time.monotonic() - begin < SILENCE:
            if not seen and self._sign_anew(self._files.write_new):
                return
            time.sleep(HEARTBEAT / 5)
            now = self._sign()
            if seen and now and now != seen:
                raise held_by(self._files.address, now.partition(b" ")[2].decode(errors="replace"))
            seen = now
        self._sign_anew(self._files.write)
        time.sleep(SETTLING)  # others may have waited for the same silence: who has written last has it
        now = self._sign()
        if now != self._token:
            self._token = b""
            raise held_by(self._files.address, now.partition(b" ")[2].decode(errors="replace"))

    def check(self) -> None:
        """Look again where the last sign of life is old, as after this process was stopped for a while."""
        if self._token and time.monotonic() - self._signed > 2 * HEARTBEAT:
            self._renew()

    def _renew(self) -> None:
        """Give the next sign of life, unless another client has come."""
        with self._renewing:
            if self._sign() != self._token:
                self._signed = -math.inf
                raise StoreError(
                    f"another run has taken over the audit at {self._files.address} while this one gave no sign of "
                    f"life, or {LEASE} there was deleted; it is stopped here"
                )
            self._sign_anew(self._files.write)

    def _sign_anew(self, write: Callable[[str, bytes], bool | None]) -> bool:
        """Give a sign of life, unless there is one that is not to be written over."""
        token = f"{uuid.uuid4().hex} {me()}".encode()
        if write(LEASE, token) is False:
            return False
        self._token, self._signed = token, time.monotonic()
        return True

    def _sign(self) -> bytes:
        try:
            return self._files.read(LEASE)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StoreError(
                f"cannot read who works on the audit at {self._files.address}: {error.strerror or error}; check "
                f"{LEASE} there and run again: finished blocks are kept"
            ) from error


def me() -> str:
    """Who holds a place, for others to read."""
    return f"process {os.getpid()} on {os.uname().nodename}"


def held_by(address: str, holder: str) -> StoreError:
    """What to tell the second."""
    return StoreError(
        f"the audit at {address} is being worked on by another run ({holder}); wait for it, or use another place"
    )
