"""An audit in its place: a Zarr v3 store, the bundle of code beside it, and the reports.

Workers write the results of their blocks; everything else is written by the client. A block is done
when its record is there, which is written after its results and carries their checksum.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pardiff.errors import StoreError
from pardiff.numerics.estimates import MISSING, Estimates
from pardiff.numerics.estimates import QUANTITIES as RESULTS
from pardiff.planning.waves import Wave
from pardiff.problem.named_arrays import NamedArray, named_arrays
from pardiff.problem.space import FloatArray, Leaf, Space
from pardiff.storage.audit_folder import CREATING, STORE, audit_location
from pardiff.storage.format import QUANTITIES, SCHEMA, BlockRecord
from pardiff.storage.info import RUNNING, AuditInfo
from pardiff.storage.ledger import array_chunks, checksum, overlay
from pardiff.storage.location import StorageLocation, translate_storage_errors
from pardiff.storage.records import Records
from pardiff.storage.zarr_layout import (
    create_arrays,
    create_wave,
    parameter_node,
    parse_record,
    quantity_node,
    record_file,
    sealed,
    selection,
    wave_shapes,
)
from pardiff.storage.zarr_store import ZarrStore
from pardiff.storage.zarr_thread import join_zarr_thread

join_zarr_thread()

DAMAGES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What is raised where attributes have other types or names than those that were written."""


class ZarrLedger:
    """An open audit; see `Ledger` for the part that the stages share."""

    def __init__(self, store: ZarrStore) -> None:
        attributes = store.attributes
        self.store = store
        self.location = store.location
        self.id = str(attributes["id"])
        """Identity of the audit, which another one in the same place has not."""
        self.space = Space.from_json(attributes["space"])
        self.info = AuditInfo.from_json(attributes)
        self.arrays = named_arrays(self.space, self.info.spec.cotangents)
        self.waves: list[Wave] = []
        self.lost_wave = 0
        """Number of the first later wave whose plan is damaged; 0 where there is none."""
        self._records: dict[int, Records] = {}
        self._read: tuple[Any, Estimates] | None = None
        self._plans: list[list[Any]] = [list(plan) for plan in attributes["waves"]]
        names = [leaf.name for leaf in self.space.leaves]
        if len(set(names)) < len(names):
            raise ValueError("two arrays have one name")
        for plan in self._plans:
            wave = self._planned(*plan)
            if wave is None:
                # a later wave follows from the earlier ones, and is planned again
                self.lost_wave = int(plan[0])
                self._plans = self._plans[: self.lost_wave - 1]
                self.info = replace(self.info, state=RUNNING)
                break
            self.waves.append(wave)

    def _planned(self, number: int, kind: str, count: int, size: int, digest: int) -> Wave | None:
        """A wave as it was planned; None where its files are damaged."""
        most = self.space.size
        if not (count == most if number == 1 else 0 < count <= most) or not 1 <= size <= max(1, count):
            raise ValueError(f"wave {number} has {count} lines in blocks of {size}")
        if number == 1:
            return Wave(number, count, size, kind)
        try:
            index = np.ascontiguousarray(self.store.array(f"blocks/wave{number}/index")[:])
            wanted = None
            if self.info.spec.observables > 1:
                wanted = np.ascontiguousarray(self.store.array(f"blocks/wave{number}/wanted")[...])
        except Exception:  # whatever a truncated or altered file makes the reader say
            return None
        wave = Wave(number, count, size, kind, index, wanted)
        return wave if _digest(wave) == digest else None

    @property
    def address(self) -> str:
        """Path or address of the audit."""
        return self.location.address

    # -- opening and creating

    @classmethod
    def open(cls, path: str | Path | StorageLocation, *, write: bool = False) -> ZarrLedger:
        """Open an existing audit: its location, or the ``audit.zarr`` within. Executes nothing from it.

        Raises
        ------
        NotAnAuditError
            If there is none.
        StoreError
            If it cannot be read.
        """
        store = ZarrStore.open(path, write=write)
        try:
            return cls(store)
        except DAMAGES as error:
            raise StoreError(
                f"the audit at {store.address} is damaged: {type(error).__name__}: {error}; remove it to start over"
            ) from None

    @classmethod
    def create(
        cls,
        path: str | Path | StorageLocation,
        space: Space,
        x0: list[NDArray[Any]],
        info: AuditInfo,
        first: Wave,
    ) -> ZarrLedger:
        """Make a new audit with its parameters; it is one only when it is whole, as its root is written last."""
        location = audit_location(path)
        with translate_storage_errors(location.address, "write"):
            if location.has(STORE):
                location.erase(STORE)
            store = location.zarr(STORE, write=True)
            group = zarr.open_group(store, mode="w", zarr_format=3, attributes={CREATING: True})
            create_arrays(group, space, named_arrays(space, info.spec.cotangents), x0)
            create_wave(group, first, info.spec.observables)
            attributes = {
                "pardiff_schema": SCHEMA,
                "id": uuid.uuid4().hex,
                "space": space.to_json(),
                "waves": [_plan(first)],
                **info.to_json(),
            }
            group.attrs.put(sealed(attributes))
        return cls.open(location, write=True)

    def check_current(self) -> None:
        """Raise `StoreError` if what is in the store now is not this audit, as another client has begun one there."""
        if self.store.identity() != self.id:
            raise StoreError(f"another run has begun an audit at {self.address}; this one is stopped")

    # -- results of blocks

    def add_wave(self, wave: Wave) -> None:
        """Make room for the results of a later wave."""
        with self.store.writing():
            create_wave(self.store.group, wave, self.info.spec.observables)
        self._plans.append(_plan(wave))
        self.store.put_attributes(waves=self._plans)
        self.store.forget()
        self.waves.append(wave)
        self._records[wave.number] = Records(wave)

    def records(self, wave: int) -> Records:
        """Records of the blocks that are done, as the store has them when first asked."""
        if wave not in self._records:
            self._records[wave] = self._read_records(wave)
        return self._records[wave]

    def _read_records(self, wave: int) -> Records:
        planned = self.waves[wave - 1].blocks
        with self.store.reading():
            names = self.location.listing(f"{STORE}/blocks/wave{wave}/record/c")
            # those that are there, whatever number of blocks the attributes say
            blocks = sorted(int(name) for name in names if name.isdecimal() and int(name) < planned)
            files = self.location.read_many([record_file(wave, block) for block in blocks])
        found = Records(self.waves[wave - 1])
        for block, file in zip(blocks, files, strict=True):
            record = self._parsed(file, wave, block)
            if record is not None:
                found[block] = record
        return found

    def record(self, wave: int, block: int) -> BlockRecord | None:
        """The record of one block, read from the store."""
        with self.store.reading():
            return self._parsed(self.location.read_many([record_file(wave, block)])[0], wave, block)

    def _parsed(self, file: bytes | None, wave: int, block: int) -> BlockRecord | None:
        """A record, if it is one of this audit's."""
        record = parse_record(file, self.waves[wave - 1], block)
        if record is None or record.audit != self.id:
            return None
        return record if all(0 <= int(i) < self.space.size for i in record.errors) else None

    def drop_damaged(self, *, erase: bool = False) -> list[tuple[int, int]]:
        """Forget the records of blocks whose results do not match their checksum; returns their numbers.

        With ``erase`` they are taken out of the store too, so that the blocks are done again.
        """
        damaged = []
        for wave in self.waves:
            for block, record in list(self.records(wave.number).items()):
                if self._is_whole(record):
                    continue
                damaged.append((wave.number, block))
                del self._records[wave.number][block]
                if erase:
                    with self.store.writing():
                        self.store.array(f"blocks/wave{wave.number}/record")[block] = ""
        return damaged

    def check_results(self) -> None:
        """Raise `StoreError` if the results of a finished block are not those that its worker has written."""
        damaged = self.drop_damaged()
        if damaged:
            raise StoreError(
                f"the audit at {self.address} was written to by others while it ran: {len(damaged):,} of its blocks "
                f"have other results; the same command does them again"
            )

    def _is_whole(self, record: BlockRecord) -> bool:
        try:
            matrix = self.store.array(f"blocks/wave{record.wave}/values")[:, record.start : record.stop]
        except Exception:  # whatever a truncated or altered file makes the reader say
            return False
        return checksum(matrix) == record.checksum

    def commit(self, record: BlockRecord, matrix: FloatArray) -> BlockRecord:
        """Store the results of a block and then, last, its record, with their checksum. Called on the worker."""
        record = replace(record, checksum=checksum(matrix), audit=self.id)
        self.location.check_held()
        self.check_current()
        with self.store.writing():
            self.store.array(f"blocks/wave{record.wave}/values")[:, record.start : record.stop] = matrix
            self.store.array(f"blocks/wave{record.wave}/record")[record.block] = record.to_json()
        return record

    def accept(self, record: BlockRecord, matrix: FloatArray | None) -> None:
        """Take note of a block that a worker has committed."""
        self.location.check_held()
        self.records(record.wave)[record.block] = record

    def lines(self, start: int, stop: int) -> Estimates:
        """Results of all waves for some coordinates, not to be written to; those of unfinished blocks are missing."""
        key = (start, stop, [len(self.records(wave.number)) for wave in self.waves])
        if self._read is None or self._read[0] != key:  # several looks at the same lines follow each other
            self._read = None
            self._read = key, self._lines(start, stop)
        return self._read[1]

    def _lines(self, start: int, stop: int) -> Estimates:
        first, *later = self.waves
        found = self.results(first, start, stop)
        for wave in later:
            assert wave.index is not None
            low, high = (int(i) for i in np.searchsorted(wave.index, (start, stop)))
            if low < high:
                overlay(found, start, wave.part(low, high), self.results(wave, low, high))
        return found

    def results(self, wave: Wave, start: int, stop: int) -> Estimates:
        """What the blocks of one wave have found, by numbers in the wave."""
        found = Estimates.from_matrix(self._matrix(wave, start, stop))
        done = np.zeros(wave.blocks, dtype=bool)
        done[list(self.records(wave.number))] = True
        missing = ~done[np.arange(start, stop) // wave.block_size]
        found.put(np.flatnonzero(missing), Estimates.empty(int(missing.sum()), self.info.spec.observables))
        wanted = ~missing[:, None] if wave.wanted is None else ~missing[:, None] & wave.wanted[start:stop]
        if not (found.state > MISSING)[np.broadcast_to(wanted, found.state.shape)].all():
            raise StoreError(
                f"the audit at {self.address} is damaged: results of a block that is recorded as done are gone; "
                f"run it again to redo the block"
            )
        return found

    def _matrix(self, wave: Wave, start: int, stop: int) -> FloatArray:
        """Results as they are stored; NaN where a block that is not done has an unreadable file."""
        values = self.store.array(f"blocks/wave{wave.number}/values")
        try:
            return np.array(values[:, start:stop])
        except Exception:  # what a damaged file makes the reader say; only files of finished blocks matter
            matrix = np.full((len(RESULTS), stop - start, self.info.spec.observables), np.nan)
        for record in self.records(wave.number).values():
            low, high = max(start, record.start), min(stop, record.stop)
            if low < high:
                with self.store.reading():
                    matrix[:, low - start : high - start] = values[:, low:high]
        return matrix

    # -- arrays by name

    def all_parameters(self) -> list[NDArray[Any]]:
        """The leaves of x0, each a new array of its own dtype."""
        return [self.parameters(leaf) for leaf in self.space.leaves]

    def parameters(self, leaf: Leaf) -> NDArray[Any]:
        """An array of x0, in its own shape and dtype."""
        with self.store.reading():
            return np.array(self.store.array(f"x0/{leaf.name}")[...])

    def write_parameters(self, arrays: list[NDArray[Any]]) -> None:
        """Write x0 anew."""
        for leaf, values in zip(self.space.leaves, arrays, strict=True):
            self.store.put(f"x0/{leaf.name}", parameter_node(leaf), ..., values)

    def read(self, quantity: str, array: NamedArray, start: int, stop: int) -> NDArray[Any]:
        """A part of an array by name, flat."""
        with self.store.reading():
            part = self.store.array(f"{quantity}/{array.path}")[selection(array, start, stop)]
            return np.asarray(part).reshape(-1)

    def write(self, quantity: str, array: NamedArray, start: int, stop: int, values: NDArray[Any]) -> None:
        """Write such a part."""
        chosen = selection(array, start, stop)
        part = values.reshape([s.stop - s.start for s in chosen])
        self.store.put(f"{quantity}/{array.path}", quantity_node(quantity, array), chosen, part)

    def array(self, quantity: str, array: NamedArray) -> NDArray[Any]:
        """An array by name, in its own shape."""
        with self.store.reading():
            return np.asarray(self.store.array(f"{quantity}/{array.path}")[...])

    def write_analytical(self, analytical: FloatArray) -> None:
        """Write the analytical derivative, given flat in the order of the arrays by name."""
        for array in self.arrays:
            for start, stop in array_chunks(array):
                self.write("analytical", array, start, stop, analytical[array.start + start : array.start + stop])
        self.update(analytical_checksum=self._analytical_checksum())

    def _analytical_checksum(self) -> int:
        value = 0
        for array in self.arrays:
            for start, stop in array_chunks(array):
                value = zlib.crc32(np.ascontiguousarray(self.read("analytical", array, start, stop), "<f8").data, value)
        return value

    def check_analytical(self) -> None:
        """Raise `StoreError` if the analytical derivative is not the one that was written."""
        if self.info.has_analytical and self._analytical_checksum() != self.info.analytical_checksum:
            raise StoreError(
                f"the audit at {self.address} is damaged: its analytical derivative is another; run it again"
            )

    # -- the rest

    def update(self, **changes: Any) -> None:
        """Change fields of ``info``."""
        self.info = replace(self.info, **changes)
        self.store.put_attributes(**self.info.to_json())

    def damaged_groups(self) -> list[str]:
        """Groups whose description is gone or altered."""
        paths = [f"blocks/wave{wave.number}/values" for wave in self.waves]
        paths += [f"x0/{leaf.name}" for leaf in self.space.leaves]
        paths += [f"{quantity}/{array.path}" for array in self.arrays for quantity in QUANTITIES]
        return self.store.damaged_groups(paths)

    def repair(self) -> None:
        """Make arrays of blocks anew whose description is damaged, whose blocks are done again, and all groups."""
        self.location.check_held()
        self.store.repair_groups(self.damaged_groups())
        observables = self.info.spec.observables
        for wave in self.waves:
            prefix = f"blocks/wave{wave.number}"
            try:
                whole = all(
                    self.store.array(f"{prefix}/{name}").shape == shape
                    for name, shape in wave_shapes(wave, observables).items()
                )
            except StoreError:
                whole = False
            if not whole:
                with self.store.writing():
                    create_wave(self.store.group, wave, observables)
                self.store.forget()
                self._records.pop(wave.number, None)


def _plan(wave: Wave) -> list[Any]:
    """A wave in the attributes."""
    return [wave.number, wave.kind, wave.count, wave.block_size, _digest(wave)]


def _digest(wave: Wave) -> int:
    """CRC-32 of the lines of a later wave."""
    value = 0
    for values in (wave.index, wave.wanted):
        if values is not None:
            value = zlib.crc32(np.ascontiguousarray(values).data, value)
    return value
