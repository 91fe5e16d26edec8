"""Arrays of a Zarr group, made many at a time: one by one each costs a few milliseconds, and an audit has thousands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import zarr


@dataclass(frozen=True)
class Node:
    """An array to be made."""

    dtype: str
    fill: Any
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    names: tuple[str, ...]
    """Names of its dimensions."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    compressed: bool = True


def create(group: zarr.Group, nodes: Mapping[str, Node]) -> dict[str, Any]:
    """Make arrays at paths below a group, in the place of what is there; returns them by path."""
    made = group.create_hierarchy({path: _metadata(node) for path, node in nodes.items()}, overwrite=True)
    return {path: array for path, array in made if path in nodes}


def _metadata(node: Node) -> Any:
    template = _template(node.dtype, node.fill, node.compressed)
    grid = {"name": "regular", "configuration": {"chunk_shape": list(node.chunks)}}
    return type(template).from_dict(
        {
            **template.to_dict(),
            "shape": list(node.shape),
            "chunk_grid": grid,
            "dimension_names": list(node.names) or None,
            "attributes": dict(node.attributes),
        }
    )


@cache
def _template(dtype: str, fill: Any, compressed: bool) -> Any:
    """What Zarr writes of an array of a dtype, with the codecs that it chooses."""
    codecs: dict[str, Any] = {} if compressed else {"compressors": None}
    chosen: Any = str if dtype == "str" else dtype
    store = zarr.storage.MemoryStore()
    return zarr.create_array(store, shape=(1,), chunks=(1,), dtype=chosen, fill_value=fill, **codecs).metadata


def dimensions(name: str, axes: Sequence[int]) -> tuple[str, ...]:
    """Names of the axes of an array by name."""
    return tuple(f"{name}.axis{axis}" for axis in range(len(axes)))
