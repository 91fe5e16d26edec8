"""An audit in its place: a Zarr v3 store, the bundle of code beside it, and the reports.

Workers write the results of their blocks; everything else is written by the client. A block is done
when its record is there, which is written after its results and carries their checksum.
"""

from __future__ import annotations

import json
import math
import re
import struct
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
from pardiff.evaluation.fixed_stencil import MISSING, Estimates
from pardiff.evaluation.fixed_stencil import QUANTITIES as RESULTS
from pardiff.planning.waves import Wave
from pardiff.problem.space import FloatArray, Layout, Leaf, flatten
from pardiff.storage.format import QUANTITIES, SCHEMA, TILE, BlockRecord, tile_shape, tiles
from pardiff.storage.ledger import checksum, leaf_tiles, overlay
from pardiff.storage.location.base import Folder, Place, place_of, sentence
from pardiff.storage.provenance import now
from pardiff.storage.records import Records
from pardiff.storage.zarr_arrays import Node, create, dimensions
from pardiff.storage.zarr_thread import end_in_peace

end_in_peace()

STORE = "audit.zarr"
CODE = "code"
REPORTS = ("report.html", "report.md", "report.json", "junit.xml")
"""Files beside the store that are made from it."""
SEAL = "pardiff_checksum"
CREATING = "pardiff_creating"
"""Attribute of a store that is not whole yet; what a kill leaves of it is no audit."""


class Audit:
    """An open audit; see `Ledger` for the part that the stages share."""

    def __init__(self, place: Place, group: zarr.Group) -> None:
        self.place = place
        self.group = group
        self.info: dict[str, Any] = dict(group.attrs)
        self.layout = Layout.from_json(self.info["layout"])
        self.waves: list[Wave] = []
        self.lost_wave = 0
        """Number of the first later wave whose plan is damaged; 0 where there is none."""
        self._arrays: dict[str, Any] = {}
        self._records: dict[int, Records] = {}
        self._read: tuple[Any, Estimates] | None = None
        names = [leaf.name for leaf in self.layout.leaves]
        if len(set(names)) < len(names):
            raise ValueError("two arrays have one name")
        for number, kind, count, size, checksum_ in self.info["waves"]:
            most = self.layout.size
            if not (count == most if number == 1 else 0 < count <= most) or not 1 <= size <= max(1, count):
                raise ValueError(f"wave {number} has {count} coordinates in blocks of {size}")
            index = None if number == 1 else self._index(number)
            if number > 1 and (index is None or zlib.crc32(index.data) != checksum_):
                # a later wave follows from the earlier ones, and is planned again
                self.info["state"] = "running"
                self.lost_wave = number
                self.info["waves"] = self.info["waves"][: number - 1]
                break
            self.waves.append(Wave(number, count, size, kind, index))

    @property
    def address(self) -> str:
        """Path or address of the audit."""
        return self.place.address

    def _index(self, wave: int) -> NDArray[np.int64] | None:
        """Coordinates of a later wave; None where the file is damaged."""
        try:
            return np.ascontiguousarray(self._array(f"blocks/wave{wave}/index")[:])
        except Exception:  # whatever a truncated or altered file makes the reader say
            return None

    # -- opening and creating

    @classmethod
    def open(cls, path: str | Path | Place, *, write: bool = False) -> Audit:
        """Open an existing audit: its place, or the ``audit.zarr`` within. Executes nothing from it.

        Raises
        ------
        NotAnAuditError
            If there is none.
        StoreError
            If it cannot be read.
        """
        place = audit_place(path)
        if not place.has(STORE):
            inside = [name for name in place.names() if place.child(name).has(STORE)]
            hint = f"; it holds audits: {', '.join(inside)}" if inside else ""
            raise NotAnAuditError(f"no audit at {place.address}: there is no {STORE} in it{hint}")
        store = f"{place.address}/{STORE}"
        with sentence(place.address, "read"):
            try:
                group = zarr.open_group(place.zarr(STORE, write=write), mode="r+" if write else "r", zarr_format=3)
            except (
                FileNotFoundError,
                zarr.errors.GroupNotFoundError,
                json.JSONDecodeError,
                ValueError,
            ) as error:
                raise NotAnAuditError(f"{store} is not an audit of pardiff ({error})") from None
            schema = group.attrs.get("pardiff_schema")
            if schema is None and group.attrs.get(CREATING):
                raise NotAnAuditError(f"{store} is being made, or that was interrupted; wait, or run it again")
            if schema is None:
                raise NotAnAuditError(f"{store} is a Zarr group, but not an audit of pardiff; choose another place")
            if schema != SCHEMA:
                raise NotAnAuditError(f"{store} has format {schema!r}; this pardiff reads format {SCHEMA}")
            attributes = dict(group.attrs)
            if _sealed(attributes)[SEAL] != attributes.get(SEAL):
                raise StoreError(
                    f"the audit at {place.address} is damaged: its attributes are not those that were written; --fresh "
                    f"(or removing the folder) starts over"
                )
            try:
                return cls(place, group)
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                raise StoreError(
                    f"the audit at {place.address} is damaged: {type(error).__name__}: {error}; remove it to start over"
                ) from None

    @classmethod
    def create(
        cls,
        path: str | Path | Place,
        layout: Layout,
        arrays: list[NDArray[Any]],
        info: Mapping[str, Any],
        first: Wave,
    ) -> Audit:
        """Make a new audit with its parameters; it is one only when it is whole, as its root is written last."""
        place = audit_place(path)
        with sentence(place.address, "write"):
            if place.has(STORE):
                place.erase(STORE)
            store = place.zarr(STORE, write=True)
            group = zarr.open_group(store, mode="w", zarr_format=3, attributes={CREATING: True})
            _create_arrays(group, layout, arrays)
            _create_wave(group, first)
            group.attrs.put(
                _sealed(
                    {
                        "pardiff_schema": SCHEMA,
                        "id": uuid.uuid4().hex,
                        **info,
                        "layout": layout.to_json(),
                        "state": "running",
                        "waves": [[first.number, first.kind, first.count, first.block_size, 0]],
                    }
                )
            )
        return cls.open(place, write=True)

    def check_current(self) -> None:
        """Raise `StoreError` if what is in the store now is not this audit, as another client has begun one there."""
        try:
            there = json.loads(self.place.read(f"{STORE}/zarr.json"))["attributes"].get("id")
        except (OSError, ValueError, LookupError, AttributeError):
            there = None
        if there != self.info["id"]:
            raise StoreError(f"another run has begun an audit at {self.address}; this one is stopped")

    def check_fingerprint(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise `FingerprintError`, naming what differs, unless this audit is of the same run."""
        stored = self.info["fingerprint"]
        for key in dict.fromkeys(["jitter", *fingerprint, *stored]):  # a jitter moves x0, and is the reason then
            if stored.get(key) != fingerprint.get(key):
                was, now_ = (_short(f.get(key)) for f in (stored, fingerprint))
                remedy = "" if key not in ("rtol", "atol") else "'pardiff reconcile' compares anew without a pass; "
                raise FingerprintError(
                    f"the audit at {self.address} was started with another {key} (there: {was}, now: {now_}); "
                    f"{remedy}--fresh (or removing the folder) starts over, another place keeps both"
                )

    # -- results of blocks

    def add_wave(self, wave: Wave) -> None:
        """Make room for the results of a later wave."""
        self.place.check_held()
        with sentence(self.address, "write"):
            _create_wave(self.group, wave)
            assert wave.index is not None
            digest = zlib.crc32(np.ascontiguousarray(wave.index).data)
            entry = [wave.number, wave.kind, wave.count, wave.block_size, digest]
            self.update(waves=[*self.info["waves"], entry])
            self._arrays.clear()
        self.waves.append(wave)
        self._records[wave.number] = Records(wave)

    def records(self, wave: int) -> Records:
        """Records of the blocks that are done, as the store has them when first asked."""
        if wave not in self._records:
            self._records[wave] = self._read_records(wave)
        return self._records[wave]

    def _read_records(self, wave: int) -> Records:
        planned = self.waves[wave - 1].blocks
        with sentence(self.address, "read"):
            names = self.place.listing(f"{STORE}/blocks/wave{wave}/record/c")
            # those that are there, whatever number of blocks the attributes claim
            blocks = sorted(int(name) for name in names if name.isdecimal() and int(name) < planned)
            chunks = self.place.read_many([_record_file(wave, block) for block in blocks])
        found = Records(self.waves[wave - 1])
        for block, chunk in zip(blocks, chunks, strict=True):
            record = self._parsed(chunk, wave, block)
            if record is not None:
                found[block] = record
        return found

    def record(self, wave: int, block: int) -> BlockRecord | None:
        """The record of one block, read from the store."""
        with sentence(self.address, "read"):
            return self._parsed(self.place.read_many([_record_file(wave, block)])[0], wave, block)

    def _parsed(self, chunk: bytes | None, wave: int, block: int) -> BlockRecord | None:
        """A record, if it is one of this audit's."""
        record = _parse_record(chunk, self.waves[wave - 1], block)
        if record is None or record.audit != self.info["id"]:
            return None
        return record if all(0 <= int(i) < self.layout.size for i in record.errors) else None

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
                    self.place.check_held()
                    with sentence(self.address, "write"):
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
        record = replace(record, checksum=checksum(matrix), audit=self.info["id"])
        self.place.check_held()
        self.check_current()
        with sentence(self.address, "write"):
            self._array(f"blocks/wave{record.wave}/values")[:, record.start : record.stop] = matrix
            self._array(f"blocks/wave{record.wave}/record")[record.block] = record.to_json()
        return record

    def accept(self, record: BlockRecord, matrix: FloatArray | None) -> None:
        """Take note of a block that a worker has committed."""
        self.place.check_held()
        self.records(record.wave)[record.block] = record

    def estimates(self, start: int, stop: int) -> Estimates:
        """Results of all waves for some coordinates, not to be written to; those of unfinished blocks are missing."""
        key = (start, stop, [len(self.records(wave.number)) for wave in self.waves])
        if self._read is None or self._read[0] != key:  # several looks at one stretch follow each other
            self._read = None
            self._read = key, self._estimates(start, stop)
        return self._read[1]

    def _estimates(self, start: int, stop: int) -> Estimates:
        first, *later = self.waves
        found = self.results(first, start, stop)
        for wave in later:
            assert wave.index is not None
            low, high = (int(i) for i in np.searchsorted(wave.index, (start, stop)))
            if low < high:
                part = replace(wave, count=high - low, index=wave.index[low:high])
                overlay(found, start, part, self.results(wave, low, high))
        return found

    def results(self, wave: Wave, start: int, stop: int) -> Estimates:
        """What the blocks of one wave have found, by numbers in the wave."""
        found = Estimates.from_matrix(self._matrix(wave, start, stop))
        done = np.zeros(wave.blocks, dtype=bool)
        done[list(self.records(wave.number))] = True
        missing = ~done[np.arange(start, stop) // wave.block_size]
        found.put(np.flatnonzero(missing), Estimates.empty(int(missing.sum())))
        if not (found.state[~missing] > MISSING).all():
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
            matrix = np.full((len(RESULTS), stop - start), np.nan)
        for record in self.records(wave.number).values():
            low, high = max(start, record.start), min(stop, record.stop)
            if low < high:
                with sentence(self.address, "read"):
                    matrix[:, low - start : high - start] = values[:, low:high]
        return matrix

    # -- arrays by name

    def parameters(self) -> list[NDArray[Any]]:
        """The leaves of x0, each a new array of its own dtype."""
        with sentence(self.address, "read"):
            return [np.array(self._array(f"x0/{leaf.name}")[...]) for leaf in self.layout.leaves]

    @property
    def x0(self) -> FloatArray:
        """The parameters, flat, as float64."""
        return flatten(self.layout, self.parameters())

    def read(self, quantity: str, leaf: Leaf, start: int, stop: int) -> NDArray[Any]:
        """A stretch of an array by name, flat."""
        with sentence(self.address, "read"):
            return np.asarray(self._array(f"{quantity}/{leaf.name}")[_selection(leaf, start, stop)]).reshape(-1)

    def write(self, quantity: str, leaf: Leaf, start: int, stop: int, values: NDArray[Any]) -> None:
        """Write such a stretch."""
        selection = _selection(leaf, start, stop)
        self._put(quantity, leaf, selection, values.reshape([s.stop - s.start for s in selection]))

    def _put(self, quantity: str, leaf: Leaf, selection: Any, part: NDArray[Any]) -> None:
        path = f"{quantity}/{leaf.name}"
        self.place.check_held()
        with sentence(self.address, "write"):
            try:
                self._array(path)[selection] = part
            except (StoreError, ValueError, TypeError, IndexError):  # its description is damaged: it is made anew
                self._arrays[path] = create(self.group, {path: _node(quantity, leaf)})[path]
                self._arrays[path][selection] = part

    def write_analytical(self, analytical: FloatArray) -> None:
        """Write the analytical gradient, given flat."""
        for leaf in self.layout.leaves:
            for start, stop in leaf_tiles(leaf):
                self.write("analytical", leaf, start, stop, analytical[leaf.start + start : leaf.start + stop])
        self.update(analytical_checksum=self._analytical_checksum())

    def _analytical_checksum(self) -> int:
        value = 0
        for leaf in self.layout.leaves:
            for start, stop in leaf_tiles(leaf):
                value = zlib.crc32(np.ascontiguousarray(self.read("analytical", leaf, start, stop), "<f8").data, value)
        return value

    def check_analytical(self) -> None:
        """Raise `StoreError` if the analytical gradient is not the one that was written."""
        if self.info["claimed"] and self._analytical_checksum() != self.info.get("analytical_checksum"):
            raise StoreError(
                f"the audit at {self.address} is damaged: its analytical gradient is another; run it again"
            )

    def write_parameters(self, arrays: list[NDArray[Any]]) -> None:
        """Write x0 anew."""
        for leaf, values in zip(self.layout.leaves, arrays, strict=True):
            self._put("x0", leaf, ..., values)

    def array(self, quantity: str, leaf: Leaf) -> NDArray[Any]:
        """An array by name, in its own shape."""
        with sentence(self.address, "read"):
            return np.asarray(self._array(f"{quantity}/{leaf.name}")[...])

    # -- the rest

    def update(self, **info: Any) -> None:
        """Change entries of the attributes."""
        self.place.check_held()
        self.info.update(info)
        with sentence(self.address, "write"):
            self.group.attrs.put(_sealed(dict(self.group.attrs) | info))

    def write_block_table(self) -> None:
        """Lay the block records out as one array per field, for readers such as xarray."""
        self.place.check_held()
        columns = self.block_table()
        blocks = self.group["blocks"]
        assert isinstance(blocks, zarr.Group)
        with sentence(self.address, "write"):
            meanings = {"state": {"flag_values": [0, 1], "flag_meanings": "missing done"}}
            nodes = {
                name: Node(
                    "str" if name == "worker" else values.dtype.str, "" if name == "worker" else 0,
                    values.shape, (max(1, len(values)),), ("block",), meanings.get(name, {}),
                )
                for name, values in columns.items()
            }  # fmt: skip
            made = create(blocks, nodes)
            for name, values in columns.items():
                made[name][:] = values

    def block_table(self) -> dict[str, NDArray[Any]]:
        """The block records of all waves as columns."""
        records = [self.records(wave.number) for wave in self.waves]
        names = [np.array(r.names or [""], dtype=np.dtypes.StringDType())[r.column("worker")] for r in records]
        return {
            "wave": np.repeat(np.array([wave.number for wave in self.waves], dtype="int32"), [len(r) for r in records]),
            "start": np.concatenate([r.starts for r in records]),
            "stop": np.concatenate([r.stops for r in records]),
            "state": np.ones(sum(len(r) for r in records), dtype="int8"),
            **{
                name: np.concatenate([r.column(name) for r in records])
                for name in ("checksum", "nfev", "seconds", "attempt", "base")
            },
            "worker": np.concatenate(names),
        }

    def damaged_groups(self) -> list[str]:
        """Groups whose description is gone or altered."""
        names = {"blocks", *(f"blocks/wave{wave.number}" for wave in self.waves)}
        for leaf in self.layout.leaves:
            parts = leaf.name.split("/")
            folders = ["/".join(parts[:depth]) for depth in range(len(parts))]
            names |= {f"{quantity}/{folder}".rstrip("/") for quantity in ("x0", *QUANTITIES) for folder in folders}
        ordered = sorted(names)
        found = self.place.read_many([f"{STORE}/{name}/zarr.json" for name in ordered])
        return [name for name, text in zip(ordered, found, strict=True) if not _is_group(text)]

    def write_code(self, filename: str, data: bytes) -> None:
        """Put a bundle beside the store."""
        self.place.check_held()
        self.place.child(CODE).write(filename, data)

    def read_code(self, filename: str) -> bytes:
        """Read a bundle."""
        with sentence(self.address, "read"):
            return self.place.child(CODE).read(filename)

    def mend(self) -> None:
        """Make arrays of blocks anew whose description is damaged, whose blocks are done again, and all groups."""
        self.place.check_held()
        for name in self.damaged_groups():
            self.place.write(f"{STORE}/{name}/zarr.json", json.dumps({"zarr_format": 3, "node_type": "group"}).encode())
        for wave in self.waves:
            shapes = {"values": (len(RESULTS), wave.count), "record": (wave.blocks,)}
            try:
                whole = all(
                    self._array(f"blocks/wave{wave.number}/{name}").shape == shape for name, shape in shapes.items()
                )
            except StoreError:
                whole = False
            if not whole:
                with sentence(self.address, "write"):
                    _create_wave(self.group, wave)
                self._arrays.clear()
                self._records.pop(wave.number, None)

    def _array(self, path: str) -> Any:
        if path not in self._arrays:
            try:
                self._arrays[path] = self.group[path]
            except OSError:
                raise
            except Exception as error:  # whatever Zarr says of a description that is gone or altered
                raise StoreError(
                    f"the audit at {self.address} is damaged: the description of {path} cannot be read; run it "
                    f"again to mend it"
                ) from error
        return self._arrays[path]


def _is_group(text: bytes | None) -> bool:
    try:
        return text is not None and bool(json.loads(text)["node_type"] == "group")
    except (ValueError, LookupError, TypeError):
        return False


def _record_file(wave: int, block: int) -> str:
    """The chunk in which the record of a block is."""
    return f"{STORE}/blocks/wave{wave}/record/c/{block}"


def _parse_record(chunk: bytes | None, wave: Wave, block: int) -> BlockRecord | None:
    """The record of a block that a chunk holds; None if it is none.

    Zarr's codec of strings of any length writes their number, 1 here, and the length of each before it. It is not used
    for reading, as it takes both at their word, and a damaged file can then ask for any amount of memory and time.
    """
    if chunk is None or len(chunk) < 8 or struct.unpack("<II", chunk[:8]) != (1, len(chunk) - 8):
        return None
    try:
        record = BlockRecord.from_json(chunk[8:].decode())
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
    mine = wave.number, block, *wave.bounds(block)
    return record if (record.wave, record.block, record.start, record.stop) == mine else None


def audit_place(path: str | Path | Place) -> Place:
    """The place of an audit, given it or the store within it."""
    if not isinstance(path, str | Path):
        return path
    text = str(path).rstrip("/")
    if "://" not in text:
        folder = Path(text or "/")
        return Folder(folder.parent if folder.name == STORE else folder)
    return place_of(text.removesuffix(f"/{STORE}"))


def existing(path: str | Path | Place) -> bool:
    """Whether something stands where the store would be, other than what an interrupted creation leaves."""
    place = audit_place(path)
    if not place.has(STORE):
        return False
    try:
        return not json.loads(place.read(f"{STORE}/zarr.json"))["attributes"].get(CREATING)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True  # whatever it is


def remove(path: str | Path | Place) -> None:
    """Remove an audit, and nothing that is not one."""
    place = audit_place(path)
    try:
        Audit.open(place)
    except NotAnAuditError:
        raise
    except StoreError:
        pass  # one that is damaged
    root = {"zarr_format": 3, "node_type": "group", "attributes": {CREATING: True}}
    place.write(f"{STORE}/zarr.json", json.dumps(root).encode())  # if this is interrupted, it is no audit any more
    place.erase(STORE)
    for bundle in place.child(CODE).files():
        if re.fullmatch(r"[0-9a-f]{64}\.(zip|pkl)", bundle):
            place.child(CODE).erase(bundle)
    for report in REPORTS:
        place.erase(report)


def _node(name: str, leaf: Leaf) -> Node:
    """An array by name: x0, or one of the quantities."""
    shape = leaf.shape, tile_shape(leaf.shape), dimensions(leaf.name, leaf.shape)
    if name == "x0":
        return Node(leaf.dtype.str, 0, *shape)
    quantity = QUANTITIES[name]
    return Node(quantity.dtype, quantity.fill, *shape, quantity.attributes())


def _sealed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with the checksum of all others."""
    rest = {key: value for key, value in attributes.items() if key != SEAL}
    written = json.dumps(json.loads(json.dumps(rest)), sort_keys=True)
    return {**rest, SEAL: zlib.crc32(written.encode())}


def _create_arrays(group: zarr.Group, layout: Layout, arrays: list[NDArray[Any]]) -> None:
    nodes = {f"{name}/{leaf.name}": _node(name, leaf) for leaf in layout.leaves for name in ("x0", *QUANTITIES)}
    made = create(group, nodes)
    for leaf, values in zip(layout.leaves, arrays, strict=True):
        for selection, start, stop in tiles(leaf.shape):
            part = values.reshape(-1)[start:stop].reshape([s.stop - s.start for s in selection])
            made[f"x0/{leaf.name}"][selection] = part


def _create_wave(group: zarr.Group, wave: Wave) -> None:
    """Working arrays of a wave: a block owns one chunk of each, so that writers never share one."""
    prefix, along = f"blocks/wave{wave.number}", f"wave{wave.number}_coordinate"
    shape, chunks = (len(RESULTS), wave.count), (len(RESULTS), wave.block_size)
    quantities = {"quantities": list(RESULTS)}
    nodes = {
        f"{prefix}/values": Node("<f8", math.nan, shape, chunks, ("quantity", along), quantities, compressed=False),
        f"{prefix}/record": Node("str", "", (wave.blocks,), (1,), (f"wave{wave.number}_block",), compressed=False),
    }
    if wave.index is not None:
        nodes[f"{prefix}/index"] = Node("int64", 0, (wave.count,), (min(wave.count, TILE),), (along,))
    made = create(group, nodes)
    if wave.index is not None:
        made[f"{prefix}/index"][:] = wave.index


def _selection(leaf: Leaf, start: int, stop: int) -> tuple[slice, ...]:
    """The chunk of an array whose flat stretch is from start to stop."""
    if (start, stop) == (0, leaf.size):
        return tuple(slice(0, extent) for extent in leaf.shape)
    return next(selection for selection, *stretch in tiles(leaf.shape) if stretch == [start, stop])


def _short(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 24 else text[:12] + "…"


def spent(audit: Audit, seconds: float, *, start: float = 0.0, complete: bool) -> None:
    """Add the wall time of a run, of which ``start`` went before its first block; mark a complete audit as such."""
    timings = dict(audit.info["timings"])
    timings["seconds"] = timings.get("seconds", 0.0) + seconds
    timings["start"] = timings.get("start", 0.0) + start
    if complete:
        audit.update(state="complete", timings={**timings, "finished": now()})
    else:
        audit.update(timings=timings)
