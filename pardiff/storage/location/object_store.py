"""Prefixes of an object store as places, by obstore."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pardiff.errors import StoreError
from pardiff.storage.location.lease import LEASE, SILENCE, Lease
from pardiff.storage.location.storage_errors import translate_storage_errors

REQUESTS = 32
"""To an object store at once."""
RETRY_SECONDS = 60
"""How long a request to an object store is repeated that fails for a reason that may pass."""


class ObjectPrefix:
    """A prefix of an object store; credentials come from the environment of each process."""

    def __init__(self, address: str) -> None:
        try:
            import obstore
        except ImportError:
            raise StoreError(f"{address}: object stores need obstore; pip install 'pardiff[s3]'") from None
        self.address = address.rstrip("/")
        self._obstore = obstore
        self._lease = Lease(self)
        with translate_storage_errors(self.address, "open"):
            self._store = self._open(self.address)

    def _open(self, address: str) -> Any:
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        retry: Any = {"max_retries": 10, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
        options: Any = {"allow_http": True} if endpoint.startswith("http://") else {}
        return self._obstore.store.from_url(address, client_options=options, retry_config=retry)

    def child(self, name: str) -> ObjectPrefix:
        """A prefix within."""
        return ObjectPrefix(f"{self.address}/{name}")

    def check_usable(self) -> None:
        """A prefix can hold anything."""

    def names(self) -> list[str]:
        """Prefixes within."""
        with translate_storage_errors(self.address, "read"):
            found = self._obstore.list_with_delimiter(self._store)["common_prefixes"]
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in found)

    def files(self) -> list[str]:
        """Objects within."""
        with translate_storage_errors(self.address, "read"):
            found = self._obstore.list_with_delimiter(self._store)["objects"]
        return sorted(item["path"].rpartition("/")[2] for item in found)

    def has(self, name: str) -> bool:
        """Whether there is an object, or any below a prefix."""
        with translate_storage_errors(self.address, "read"):
            try:
                self._obstore.head(self._store, name)
                return True
            except FileNotFoundError:
                return any(len(some) for some in self._obstore.list(self._store, name + "/", chunk_size=1))

    def read(self, name: str) -> bytes:
        """Content of an object."""
        with translate_storage_errors(self.address, "read", but=FileNotFoundError):
            return bytes(self._obstore.get(self._store, name).bytes())

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Many at once, as each takes a way to the server and back."""

        def get(name: str) -> bytes | None:
            try:
                return self.read(name)
            except FileNotFoundError:
                return None

        with ThreadPoolExecutor(REQUESTS) as pool:
            return list(pool.map(get, names))

    def write(self, name: str, data: bytes) -> None:
        """Put an object, which is atomic."""
        with translate_storage_errors(self.address, "write"):
            self._obstore.put(self._store, name, data)

    def write_new(self, name: str, data: bytes) -> bool:
        """Put an object that is not there; a server that cannot tell puts it in any case."""
        with translate_storage_errors(self.address, "write"):
            try:
                self._obstore.put(self._store, name, data, mode="create")
            except self._obstore.exceptions.AlreadyExistsError:
                return False
            except self._obstore.exceptions.NotSupportedError:
                self._obstore.put(self._store, name, data)
        return True

    def erase(self, name: str) -> None:
        """Delete an object, and all below a prefix; the root of a Zarr group last, as it tells what the rest is."""
        with translate_storage_errors(self.address, "write"):
            root = f"{name}/zarr.json"
            for some in self._obstore.list(self._store, name + "/"):
                for item in some:
                    if item["path"] != root:
                        self._delete(item["path"])
            for path in (root, name):
                self._delete(path)

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._obstore.delete(self._store, path)

    def zarr(self, name: str, *, write: bool) -> Any:
        """A store of objects."""
        from zarr.storage import ObjectStore

        with translate_storage_errors(self.address, "open"):
            return ObjectStore(self._open(f"{self.address}/{name}"), read_only=not write)

    def held(self) -> bool:
        """Whether a client has given a sign of life lately."""
        with translate_storage_errors(self.address, "read"):
            try:
                last = self._obstore.head(self._store, LEASE)["last_modified"]
            except FileNotFoundError:
                return False
        return (datetime.now(UTC) - last).total_seconds() < SILENCE

    def locked(self) -> AbstractContextManager[None]:
        """Hold the prefix, with signs of life; who has given none for a while is taken to be dead."""
        return self._lease.hold()

    def check_held(self) -> None:
        """Look again where the last sign of life is old."""
        self._lease.check()

    def listing(self, name: str) -> list[str]:
        """Names of objects."""
        with translate_storage_errors(self.address, "read"):
            return [
                item["path"].rpartition("/")[2]
                for some in self._obstore.list(self._store, name + "/", chunk_size=1000)
                for item in some
            ]
