"""The arrays of an audit's Zarr group, and what of its attributes tells that they are whole."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import zarr
from numpy.typing import NDArray

from pardiff.numerics.estimates import QUANTITIES as RESULTS
from pardiff.planning.waves import Wave
from pardiff.problem.named_arrays import NamedArray
from pardiff.problem.space import Leaf, Space
from pardiff.storage.audit_folder import STORE
from pardiff.storage.format import CHUNK, QUANTITIES, BlockRecord, chunk_shape, chunks
from pardiff.storage.zarr_arrays import Node, create

SEAL = "pardiff_checksum"
"""Attribute with the checksum of all others."""


def sealed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with the checksum of all others."""
    rest = {key: value for key, value in attributes.items() if key != SEAL}
    written = json.dumps(json.loads(json.dumps(rest)), sort_keys=True)
    return {**rest, SEAL: zlib.crc32(written.encode())}


def parameter_node(leaf: Leaf) -> Node:
    """An array of x0."""
    names = tuple(f"{leaf.name}.axis{axis}" for axis in range(len(leaf.shape)))
    return Node(leaf.dtype.str, 0, leaf.shape, chunk_shape(leaf.shape), names)


def quantity_node(name: str, array: NamedArray) -> Node:
    """An array by name of a quantity."""
    quantity = QUANTITIES[name]
    return Node(
        quantity.dtype, quantity.fill, array.shape, chunk_shape(array.shape), array.dimensions, quantity.attributes()
    )


def create_arrays(group: zarr.Group, space: Space, arrays: tuple[NamedArray, ...], x0: list[NDArray[Any]]) -> None:
    """All arrays by name, and x0 written."""
    nodes = {f"x0/{leaf.name}": parameter_node(leaf) for leaf in space.leaves}
    nodes |= {f"{name}/{array.path}": quantity_node(name, array) for array in arrays for name in QUANTITIES}
    made = create(group, nodes)
    for leaf, values in zip(space.leaves, x0, strict=True):
        for selection, start, stop in chunks(leaf.shape):
            part = values.reshape(-1)[start:stop].reshape([s.stop - s.start for s in selection])
            made[f"x0/{leaf.name}"][selection] = part


def wave_shapes(wave: Wave, observables: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays into which the blocks of a wave write."""
    return {"values": (len(RESULTS), wave.count, observables), "record": (wave.blocks,)}


def create_wave(group: zarr.Group, wave: Wave, observables: int) -> None:
    """Working arrays of a wave: a block owns one chunk of each, so that writers never share one."""
    prefix, along = f"blocks/wave{wave.number}", f"wave{wave.number}_line"
    shapes = wave_shapes(wave, observables)
    chunk = (len(RESULTS), wave.block_size, observables)
    quantities = {"quantities": list(RESULTS)}
    nodes = {
        f"{prefix}/values": Node(
            "<f8", math.nan, shapes["values"], chunk, ("quantity", along, "observable"), quantities, compressed=False
        ),
        f"{prefix}/record": Node("str", "", shapes["record"], (1,), (f"wave{wave.number}_block",), compressed=False),
    }
    lines = (wave.count,), (min(wave.count, CHUNK),), (along,)
    if wave.index is not None:
        nodes[f"{prefix}/index"] = Node("int64", 0, *lines)
    if wave.wanted is not None:
        shape = (wave.count, observables)
        part = (max(1, min(wave.count, CHUNK // observables)), observables)
        nodes[f"{prefix}/wanted"] = Node("bool", False, shape, part, (along, "observable"))
    made = create(group, nodes)
    for name, values in (("index", wave.index), ("wanted", wave.wanted)):
        if values is not None:
            made[f"{prefix}/{name}"][...] = values


def selection(array: NamedArray, start: int, stop: int) -> tuple[slice, ...]:
    """The chunk of an array whose flat part is from start to stop."""
    if (start, stop) == (0, array.size):
        return tuple(slice(0, extent) for extent in array.shape)
    return next(chosen for chosen, *part in chunks(array.shape) if part == [start, stop])


def record_file(wave: int, block: int) -> str:
    """The chunk in which the record of a block is."""
    return f"{STORE}/blocks/wave{wave}/record/c/{block}"


def parse_record(chunk: bytes | None, wave: Wave, block: int) -> BlockRecord | None:
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


def is_group(text: bytes | None) -> bool:
    """Whether a file describes a group."""
    try:
        return text is not None and bool(json.loads(text)["node_type"] == "group")
    except (ValueError, LookupError, TypeError):
        return False
