"""The block records of an audit as a table of typed columns, for readers such as xarray."""

from __future__ import annotations

import numpy as np
import zarr
from numpy.typing import NDArray

from pardiff.storage.location import translate_storage_errors
from pardiff.storage.zarr_arrays import Node, create
from pardiff.storage.zarr_ledger import ZarrLedger

FIELDS = ("checksum", "nfev", "seconds", "attempt", "base")
STATE_FLAGS = {"flag_values": [0, 1], "flag_meanings": "missing done"}


def block_table(audit: ZarrLedger) -> dict[str, NDArray[np.generic]]:
    """The block records of all waves as columns."""
    records = [audit.records(wave.number) for wave in audit.waves]
    names = [np.array(r.names or [""], dtype=np.dtypes.StringDType())[r.column("worker")] for r in records]
    return {
        "wave": np.repeat(np.array([wave.number for wave in audit.waves], dtype="int32"), [len(r) for r in records]),
        "start": np.concatenate([r.starts for r in records]),
        "stop": np.concatenate([r.stops for r in records]),
        "state": np.ones(sum(len(r) for r in records), dtype="int8"),
        **{name: np.concatenate([r.column(name) for r in records]) for name in FIELDS},
        "worker": np.concatenate(names),
    }


def write_block_table(audit: ZarrLedger) -> None:
    """Write the columns beside the waves."""
    audit.location.check_held()
    columns = block_table(audit)
    blocks = audit.store.group["blocks"]
    assert isinstance(blocks, zarr.Group)
    with translate_storage_errors(audit.address, "write"):
        nodes = {
            name: Node(
                "str" if name == "worker" else values.dtype.str, "" if name == "worker" else 0,
                values.shape, (max(1, len(values)),), ("block",), STATE_FLAGS if name == "state" else {},
            )
            for name, values in columns.items()
        }  # fmt: skip
        made = create(blocks, nodes)
        for name, values in columns.items():
            made[name][:] = values


def altered_columns(audit: ZarrLedger) -> list[str]:
    """Columns in the store that are not those of the records."""
    found = []
    for name, values in block_table(audit).items():
        try:
            there = audit.store.group[f"blocks/{name}"]
            stored = np.asarray(there[...]) if isinstance(there, zarr.Array) else np.empty(0)
            same = (stored == values) | (values != values)
            right = stored.shape == values.shape and bool(same.all())
        except Exception:  # whatever a damaged file makes the reader say
            right = False
        if not right:
            found.append(f"blocks/{name}")
    return found
