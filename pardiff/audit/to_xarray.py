"""An audit as an `xarray.DataTree`."""

from __future__ import annotations

from typing import Any

from pardiff.errors import InputError
from pardiff.storage.audit_folder import STORE
from pardiff.storage.format import QUANTITIES
from pardiff.storage.ledger import Ledger
from pardiff.storage.location import StorageLocation


def to_xarray(ledger: Ledger, location: StorageLocation | None) -> Any:
    """A group per quantity, with the arrays by name; of an audit in a store lazily.

    Raises
    ------
    InputError
        If xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise InputError("to_xarray needs xarray; pip install 'pardiff[xarray]'") from None
    if location is not None:
        store = location.zarr(STORE, write=False)
        return xarray.open_datatree(store, engine="zarr", consolidated=False, chunks=None)
    groups: dict[str, Any] = {}

    def put(path: str, dims: tuple[str, ...], values: Any, attributes: dict[str, Any]) -> None:
        *parents, name = path.split("/")
        groups.setdefault("/".join(parents), {})[name] = xarray.Variable(dims, values, attributes)

    for leaf in ledger.space.leaves:
        dims = tuple(f"{leaf.name}.axis{axis}" for axis in range(len(leaf.shape)))
        put(f"x0/{leaf.name}", dims, ledger.parameters(leaf), {})
    for array in ledger.arrays:
        for name, quantity in QUANTITIES.items():
            put(f"{name}/{array.path}", array.dimensions, ledger.array(name, array), quantity.attributes())
    return xarray.DataTree.from_dict({path: xarray.Dataset(group) for path, group in groups.items()})
