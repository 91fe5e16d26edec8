"""An audit in its place: a Zarr v3 store, the bundle of code beside it, and the reports.

Workers write the results of their blocks; everything else is written by the client. A block is done
when its record is there, which is written after its results and carries their checksum.
"""

from __future__ import annotations

import json
import re
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pardiff.errors import FingerprintError, NotAnAuditError, StoreError
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
from pardiff.storage.zarr_arrays import create
from pardiff.storage.zarr_layout import (
    SEAL,
    create_arrays,
    create_wave,
    is_group,
    parameter_node,
    parse_record,
    quantity_node,
    record_file,
    sealed,
    selection,
    wave_shapes,
)
from pardiff.storage.zarr_thread import join_zarr_thread

join_zarr_thread()

CODE = "code"
REPORTS = ("report.html", "report.md", "report.json", "junit.xml")
"""Files beside the store that are made from it."""
DAMAGES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What is raised where attributes have other types or names than those that were written."""


class ZarrLedger:
    """An open audit; see `Ledger` for the part that the stages share."""

    def __init__(self, location: StorageLocation, group: zarr.Group) -> None:
        attributes: dict[str, Any] = dict(group.attrs)
        self.location = location
        self.group = group
        self.id = str(attributes["id"])
        """Identity of the audit, which another one in the same place has not."""
        self.space = Space.from_json(attributes["space"])
        self.info = AuditInfo.from_json(attributes)
        self.arrays = named_arrays(self.space, self.info.spec.cotangents)
        self.waves: list[Wave] = []
        self.lost_wave = 0
        """Number of the first later wave whose plan is damaged; 0 where there is none."""
        self._zarr: dict[str, Any] = {}
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
            index = np.ascontiguousarray(self._array(f"blocks/wave{number}/index")[:])
            wanted = None
            if self.info.spec.observables > 1:
                wanted = np.ascontiguousarray(self._array(f"blocks/wave{number}/wanted")[...])
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
        location = audit_location(path)
        if not location.has(STORE):
            inside = [name for name in location.names() if location.child(name).has(STORE)]
            hint = f"; it holds audits: {', '.join(inside)}" if inside else ""
            raise NotAnAuditError(f"no audit at {location.address}: there is no {STORE} in it{hint}")
        with translate_storage_errors(location.address, "read"):
            group = _open_group(location, write)
            try:
                return cls(location, group)
            except DAMAGES as error:
                raise StoreError(
                    f"the audit at {location.address} is damaged: {type(error).__name__}: {error}; remove it to start "
                    f"over"
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
        try:
            there = json.loads(self.location.read(f"{STORE}/zarr.json"))["attributes"].get("id")
        except (OSError, ValueError, LookupError, AttributeError):
            there = None
        if there != self.id:
            raise StoreError(f"another run has begun an audit at {self.address}; this one is stopped")

    def check_fingerprint(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise `FingerprintError`, naming what differs, unless this audit is of the same run."""
        stored = self.info.fingerprint
        for key in dict.fromkeys(["jitter", *fingerprint, *stored]):  # a jitter moves x0, and is the reason then
            if stored.get(key) != fingerprint.get(key):
                was, now = (_short(f.get(key)) for f in (stored, fingerprint))
                remedy = "" if key not in ("rtol", "atol") else "'pardiff reconcile' compares anew without a pass; "
                raise FingerprintError(
                    f"the audit at {self.address} was started with another {key} (there: {was}, now: {now}); "
                    f"{remedy}--fresh (or removing the folder) starts over, another place keeps both"
                )

    # -- results of blocks

    def add_wave(self, wave: Wave) -> None:
        """Make room for the results of a later wave."""
        self.location.check_held()
        with translate_storage_errors(self.address, "write"):
            create_wave(self.group, wave, self.info.spec.observables)
        self._plans.append(_plan(wave))
        self._put_attributes(waves=self._plans)
        self._zarr.clear()
        self.waves.append(wave)
        self._records[wave.number] = Records(wave)

    def records(self, wave: int) -> Records:
        """Records of the blocks that are done, as the store has them when first asked."""
        if wave not in self._records:
            self._records[wave] = self._read_records(wave)
        return self._records[wave]

    def _read_records(self, wave: int) -> Records:
        planned = self.waves[wave - 1].blocks
        with translate_storage_errors(self.address, "read"):
            names = self.location.listing(f"{STORE}/blocks/wave{wave}/record/c")
            # those that are there, whatever number of blocks the attributes claim
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
        with translate_storage_errors(self.address, "read"):
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
                    self.location.check_held()
                    with translate_storage_errors(self.address, "write"):
                        self._array(f"blocks/wave{wave.number}/record")[block] = ""
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
            matrix = self._array(f"blocks/wave{record.wave}/values")[:, record.start : record.stop]
        except Exception:  # whatever a truncated or altered file makes the reader say
            return False
        return checksum(matrix) == record.checksum

    def commit(self, record: BlockRecord, matrix: FloatArray) -> BlockRecord:
        """Store the results of a block and then, last, its record, with their checksum. Called on the worker."""
        record = replace(record, checksum=checksum(matrix), audit=self.id)
        self.location.check_held()
        self.check_current()
        with translate_storage_errors(self.address, "write"):
            self._array(f"blocks/wave{record.wave}/values")[:, record.start : record.stop] = matrix
            self._array(f"blocks/wave{record.wave}/record")[record.block] = record.to_json()
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
        values = self._array(f"blocks/wave{wave.number}/values")
        try:
            return np.array(values[:, start:stop])
        except Exception:  # what a damaged file makes the reader say; only files of finished blocks matter
            matrix = np.full((len(RESULTS), stop - start, self.info.spec.observables), np.nan)
        for record in self.records(wave.number).values():
            low, high = max(start, record.start), min(stop, record.stop)
            if low < high:
                with translate_storage_errors(self.address, "read"):
                    matrix[:, low - start : high - start] = values[:, low:high]
        return matrix

    # -- arrays by name

    def all_parameters(self) -> list[NDArray[Any]]:
        """The leaves of x0, each a new array of its own dtype."""
        return [self.parameters(leaf) for leaf in self.space.leaves]

    def parameters(self, leaf: Leaf) -> NDArray[Any]:
        """An array of x0, in its own shape and dtype."""
        with translate_storage_errors(self.address, "read"):
            return np.array(self._array(f"x0/{leaf.name}")[...])

    def write_parameters(self, arrays: list[NDArray[Any]]) -> None:
        """Write x0 anew."""
        for leaf, values in zip(self.space.leaves, arrays, strict=True):
            self._put(f"x0/{leaf.name}", parameter_node(leaf), ..., values)

    def read(self, quantity: str, array: NamedArray, start: int, stop: int) -> NDArray[Any]:
        """A part of an array by name, flat."""
        with translate_storage_errors(self.address, "read"):
            part = self._array(f"{quantity}/{array.path}")[selection(array, start, stop)]
            return np.asarray(part).reshape(-1)

    def write(self, quantity: str, array: NamedArray, start: int, stop: int, values: NDArray[Any]) -> None:
        """Write such a part."""
        chosen = selection(array, start, stop)
        part = values.reshape([s.stop - s.start for s in chosen])
        self._put(f"{quantity}/{array.path}", quantity_node(quantity, array), chosen, part)

    def _put(self, path: str, node: Any, chosen: Any, part: NDArray[Any]) -> None:
        self.location.check_held()
        with translate_storage_errors(self.address, "write"):
            try:
                self._array(path)[chosen] = part
            except (StoreError, ValueError, TypeError, IndexError):  # its description is damaged: it is made anew
                self._zarr[path] = create(self.group, {path: node})[path]
                self._zarr[path][chosen] = part

    def array(self, quantity: str, array: NamedArray) -> NDArray[Any]:
        """An array by name, in its own shape."""
        with translate_storage_errors(self.address, "read"):
            return np.asarray(self._array(f"{quantity}/{array.path}")[...])

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
        self._put_attributes(**self.info.to_json())

    def _put_attributes(self, **changes: Any) -> None:
        self.location.check_held()
        with translate_storage_errors(self.address, "write"):
            self.group.attrs.put(sealed(dict(self.group.attrs) | changes))

    def damaged_groups(self) -> list[str]:
        """Groups whose description is gone or altered."""
        names = {"blocks", *(f"blocks/wave{wave.number}" for wave in self.waves)}
        paths = [f"x0/{leaf.name}" for leaf in self.space.leaves]
        paths += [f"{quantity}/{array.path}" for array in self.arrays for quantity in QUANTITIES]
        for path in paths:
            parts = path.split("/")
            names |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        ordered = sorted(names)
        found = self.location.read_many([f"{STORE}/{name}/zarr.json" for name in ordered])
        return [name for name, text in zip(ordered, found, strict=True) if not is_group(text)]

    def write_code(self, filename: str, data: bytes) -> None:
        """Put a bundle beside the store."""
        self.location.check_held()
        self.location.child(CODE).write(filename, data)

    def read_code(self, filename: str) -> bytes:
        """Read a bundle."""
        with translate_storage_errors(self.address, "read"):
            return self.location.child(CODE).read(filename)

    def repair(self) -> None:
        """Make arrays of blocks anew whose description is damaged, whose blocks are done again, and all groups."""
        self.location.check_held()
        group = json.dumps({"zarr_format": 3, "node_type": "group"}).encode()
        for name in self.damaged_groups():
            self.location.write(f"{STORE}/{name}/zarr.json", group)
        observables = self.info.spec.observables
        for wave in self.waves:
            prefix = f"blocks/wave{wave.number}"
            try:
                whole = all(
                    self._array(f"{prefix}/{name}").shape == shape
                    for name, shape in wave_shapes(wave, observables).items()
                )
            except StoreError:
                whole = False
            if not whole:
                with translate_storage_errors(self.address, "write"):
                    create_wave(self.group, wave, observables)
                self._zarr.clear()
                self._records.pop(wave.number, None)

    def _array(self, path: str) -> Any:
        if path not in self._zarr:
            try:
                self._zarr[path] = self.group[path]
            except OSError:
                raise
            except Exception as error:  # whatever Zarr says of a description that is gone or altered
                raise StoreError(
                    f"the audit at {self.address} is damaged: the description of {path} cannot be read; run it "
                    f"again to repair it"
                ) from error
        return self._zarr[path]


def remove_audit(path: str | Path | StorageLocation) -> None:
    """Remove an audit, and nothing that is not one."""
    location = audit_location(path)
    try:
        ZarrLedger.open(location)
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


def _short(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 24 else text[:12] + "…"
