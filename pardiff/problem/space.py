"""The structure of x0: named arrays laid out one after another on a flat axis of n coordinates.

An array of any shape is one leaf named ``x``; a nested mapping has one leaf per array, named by its
path (``encoder/W1``). Coordinate numbers, and with them blocks, Zarr chunks and labels, follow the
order of the mapping and C order within a leaf.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError, closest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Structure = Any
"""An array, or a (nested) mapping of names to arrays: what fun and grad receive."""

SINGLE = "x"
"""Name of the only leaf when x0 is an array and not a mapping."""

PIECE = 1 << 20
"""Elements that are looked at together."""

_RESERVED = ("zarr.json", ".", "..")


@dataclass(frozen=True)
class Leaf:
    """One named array of the parameters."""

    name: str
    """Path of names joined by ``/``."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """float16, float32 or float64 (longdouble is not supported)."""
    start: int
    """Flat coordinate of its first element."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def stop(self) -> int:
        """Flat coordinate after its last element."""
        return self.start + self.size


@dataclass(frozen=True)
class Layout:
    """Names, shapes and dtypes of the leaves, and whether x0 was a mapping."""

    leaves: tuple[Leaf, ...]
    mapping: bool

    @property
    def size(self) -> int:
        """n, the number of coordinates."""
        return self.leaves[-1].stop if self.leaves else 0

    @cached_property
    def starts(self) -> IntArray:
        """Flat coordinate of the first element of each leaf, shape (leaves,)."""
        return np.array([leaf.start for leaf in self.leaves], dtype=np.int64)

    def structure(self, arrays: list[NDArray[Any]]) -> Structure:
        """The arrays, one per leaf, in the structure that fun receives (no copy)."""
        if not self.mapping:
            return arrays[0]
        root: dict[str, Any] = {}
        for leaf, array in zip(self.leaves, arrays, strict=True):
            *parents, last = leaf.name.split("/")
            node = root
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = array
        return root

    def owner(self, index: IntArray) -> IntArray:
        """Numbers of the leaves that hold some ascending flat coordinates."""
        owner = np.empty(len(index), dtype=np.int64)
        for number, rows in self.parts(index):
            owner[rows] = number
        return owner

    def parts(self, index: IntArray) -> Iterator[tuple[int, slice]]:
        """Numbers of the leaves that hold some ascending flat coordinates, and where the own ones of each are."""
        if not len(index):
            return
        first, last = (int(np.searchsorted(self.starts, i, side="right")) - 1 for i in (index[0], index[-1]))
        cuts = np.searchsorted(index, self.starts[first + 1 : last + 1]).tolist()
        for number, (start, stop) in enumerate(pairwise([0, *cuts, len(index)]), first):
            if start < stop:
                yield number, slice(start, stop)

    def leaf_of(self, coordinate: int) -> Leaf:
        """The leaf that holds a flat coordinate."""
        return self.leaves[int(np.searchsorted(self.starts, coordinate, side="right")) - 1]

    def index(self, coordinate: int) -> tuple[str, tuple[int, ...]]:
        """Name of the leaf and index of the element within it."""
        leaf = self.leaf_of(coordinate)
        return leaf.name, tuple(int(i) for i in np.unravel_index(coordinate - leaf.start, leaf.shape))

    def label(self, coordinate: int) -> str:
        """Name of a coordinate as reports write it.

        >>> layout, _ = parse_parameters({"W": np.zeros((2, 3)), "b": np.zeros(())})
        >>> layout.label(4), layout.label(6)
        ('W[1,1]', 'b')
        """
        name, index = self.index(coordinate)
        return label(name, index)

    def coordinate(self, label: str) -> int:
        """The inverse of :meth:`label`; `InputError` where there is no such coordinate.

        >>> layout, _ = parse_parameters({"W": np.zeros((2, 3)), "b": np.zeros(())})
        >>> layout.coordinate("W[1,1]"), layout.coordinate("b")
        (4, 6)
        """
        for leaf in self.leaves:
            inside = label[len(leaf.name) + 1 : -1]
            if not leaf.shape and label == leaf.name:
                return leaf.start
            if leaf.shape and label == f"{leaf.name}[{inside}]":
                try:
                    index = tuple(int(part) for part in inside.split(","))
                    return leaf.start + int(np.ravel_multi_index(index, leaf.shape))
                except ValueError:
                    raise InputError(f"no entry {label!r}; array {leaf.name!r} has the shape {leaf.shape}") from None
        names = [leaf.name for leaf in self.leaves]
        raise InputError(f"no entry {label!r}; {closest(label.split('[')[0], names)}, with indices as in W[1,2]")

    def segments(self, start: int, stop: int) -> Iterator[tuple[Leaf, slice, slice]]:
        """Leaves that a flat range touches: leaf, slice within the leaf, slice within the range."""
        for leaf in self.leaves:
            low, high = max(start, leaf.start), min(stop, leaf.stop)
            if low < high:
                yield leaf, slice(low - leaf.start, high - leaf.start), slice(low - start, high - start)

    def to_json(self) -> dict[str, Any]:
        """As plain data, for the attributes of an audit."""
        return {
            "mapping": self.mapping,
            "arrays": [[leaf.name, list(leaf.shape), leaf.dtype.str] for leaf in self.leaves],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Layout:
        """The inverse of :meth:`to_json`."""
        return _layout([(n, tuple(s), np.dtype(d)) for n, s, d in data["arrays"]], bool(data["mapping"]))


def grouped(owner: IntArray) -> Iterator[tuple[int, IntArray | slice]]:
    """Numbers of leaves that own some coordinates, each with the places of its own among them."""
    if not len(owner):
        return
    low, high = int(owner.min()), int(owner.max())
    if low == high:
        yield low, slice(None)
        return
    for number in range(low, high + 1):
        rows = np.flatnonzero(owner == number)
        if len(rows):
            yield number, rows


def label(name: str, index: tuple[int, ...]) -> str:
    """``W[1,2]``, or the bare name for an array without axes."""
    return f"{name}[{','.join(map(str, index))}]" if index else name


def _layout(items: list[tuple[str, tuple[int, ...], np.dtype[Any]]], mapping: bool) -> Layout:
    sizes = [int(np.prod(shape, dtype=np.int64)) for _, shape, _ in items]
    starts = [0, *accumulate(sizes)]
    return Layout(tuple(Leaf(*item, start) for item, start in zip(items, starts, strict=False)), mapping)


def parse_parameters(x0: Structure, *, copy: bool = True) -> tuple[Layout, list[NDArray[Any]]]:
    """Check x0 and take it apart.

    Parameters
    ----------
    x0 : array_like or mapping
        An array of floats of any shape, or a nested mapping of them.
    copy : bool
        False to share memory with x0 where that is possible.

    Returns
    -------
    layout : Layout
    arrays : list of ndarray
        A private C-contiguous copy of each leaf, in the order of the layout.

    Raises
    ------
    InputError
        If x0 is empty, not floating point, not finite, or has names that cannot be stored.
    """
    mapping = isinstance(x0, Mapping)
    found = named_leaves(x0)
    arrays = [_parse_leaf(name, value, copy) for name, value in found]
    if not sum(array.size for array in arrays):
        raise InputError("x0 is empty: there is no parameter to differentiate; expected at least one element")
    items = [(name, array.shape, array.dtype) for (name, _), array in zip(found, arrays, strict=True)]
    return _layout(items, mapping), arrays


def _parse_leaf(name: str, value: Any, copy: bool) -> NDArray[Any]:
    if isinstance(value, np.ma.MaskedArray | np.matrix):
        raise InputError(f"x0: array {name!r} is a {type(value).__name__}; expected a plain array: np.asarray(...) it")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(
            f"x0: array {name!r} is not an array ({error}); expected floats; several arrays go into a mapping of names"
        ) from None
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        remedy = ": convert it with .astype(float)" if array.dtype.kind in "iub" else " of 64, 32 or 16 bits"
        raise InputError(f"x0: array {name!r} has dtype {array.dtype}; expected real floating point{remedy}")
    if not _is_finite(array):
        where = label(name, tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0]))
        raise InputError(f"x0: {where} is {array[~np.isfinite(array)][0]}; expected finite parameters")
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=copy or None)


def _is_finite(array: NDArray[Any]) -> bool:
    """Whether all elements are finite; large arrays are looked at piece by piece."""
    if array.size <= PIECE or not array.ndim:
        return bool(np.isfinite(array).all())
    return all(
        _is_finite(part) for part in (array if array.ndim > 1 else np.array_split(array, -(-array.size // PIECE)))
    )


def _is_name(key: Any) -> bool:
    """Whether a name can be part of a path in a store."""
    if not isinstance(key, str) or not 0 < len(os.fsencode(key)) <= 200 or key in _RESERVED:
        return False
    return not any(c in "/\\\0" or "\ud800" <= c <= "\udfff" for c in key)


def _walk(value: Any, what: str, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Leaves of a nested mapping with their joined names, in order."""
    for key, item in value.items():
        if not _is_name(key):
            raise InputError(
                f"{what}: {key!r} cannot name an array; expected a text of 1 to 200 bytes without '/' or '\\'"
            )
        if isinstance(item, Mapping):
            yield from _walk(item, what, (*path, key))
        else:
            yield "/".join((*path, key)), item


def named_leaves(x: Structure) -> list[tuple[str, Any]]:
    """Arrays of a structure with their names, in order."""
    return list(_walk(x, "x0", ())) if isinstance(x, Mapping) else [(SINGLE, x)]


def leaves_like(layout: Layout, value: Structure, what: str) -> list[Any]:
    """Take a structure apart that must have the names of x0, in the order of x0.

    Raises
    ------
    InputError
        If a name is missing or not in x0, or if one is a mapping and the other is not.
    """
    if isinstance(value, Mapping) is not layout.mapping:
        kinds = ("a mapping of named arrays", "an array")
        got, expected = kinds if isinstance(value, Mapping) else kinds[::-1]
        raise InputError(f"{what} is {got}, but x0 is {expected}; both must have the same structure")
    if not layout.mapping:
        return [value]
    found = dict(_walk(value, what, ()))
    names = [leaf.name for leaf in layout.leaves]
    for name in names:
        if name not in found:
            extra = [key for key in found if key not in names]
            hint = f" (it has {extra[0]!r}, which x0 has not)" if extra else ""
            raise InputError(f"{what} has no array {name!r}{hint}; expected the same names as x0")
    for name in found:
        if name not in names:
            raise InputError(f"{what} has an array {name!r} that x0 has not; {closest(name, names)}")
    return [found[name] for name in names]


def parse_gradient(layout: Layout, value: Structure) -> FloatArray:
    """Check an analytical gradient against x0 and lay it out flat.

    Returns
    -------
    ndarray of float64, shape (n,)
        A copy: grad may return a view of its argument, which the engine goes on to perturb.

    Raises
    ------
    InputError
        For a missing or extra name, a wrong shape, or a dtype that is not real floating point.
    """
    flat = np.empty(layout.size)
    for leaf, item in zip(layout.leaves, leaves_like(layout, value, "grad"), strict=True):
        try:
            array = np.asarray(item)
        except ValueError as error:  # of lists of different lengths
            raise InputError(f"grad: array {leaf.name!r} is no array: {error}") from None
        if array.dtype.kind != "f":
            raise InputError(f"grad: array {leaf.name!r} has dtype {array.dtype}; expected real floating point like x0")
        if array.shape != leaf.shape:
            raise InputError(
                f"grad: array {leaf.name!r} has shape {array.shape}; expected the shape of x0, {leaf.shape}"
                f"{_likely(array.shape, leaf.shape)}"
            )
        flat[leaf.start : leaf.stop] = array.reshape(-1)
    return flat


def _likely(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """How a shape may have become another.

    >>> _likely((3, 2), (2, 3)), _likely((8, 3), (3,))
    (': it is transposed', ': not summed over an axis')
    >>> _likely((2, 1), (2,)), _likely((2,), (2, 3))
    (': it has an axis of length 1 more', ': an axis was summed away')
    """
    if len(found) > 1 and found == wanted[::-1]:
        return ": it is transposed"
    if tuple(length for length in found if length != 1) == tuple(length for length in wanted if length != 1):
        return f": it has an axis of length 1 {'more' if len(found) > len(wanted) else 'less'}"
    if len(found) == len(wanted) + 1 and any(found[:i] + found[i + 1 :] == wanted for i in range(len(found))):
        return ": not summed over an axis"
    if len(found) + 1 == len(wanted) and any(wanted[:i] + wanted[i + 1 :] == found for i in range(len(wanted))):
        return ": an axis was summed away"
    return ""


def parameters_digest(layout: Layout, arrays: list[NDArray[Any]]) -> str:
    """SHA-256 of names, shapes, dtypes and numbers of x0."""
    digest = hashlib.sha256(json.dumps(layout.to_json()).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def flatten(layout: Layout, arrays: list[NDArray[Any]]) -> FloatArray:
    """The leaves one after another as float64, shape (n,)."""
    return np.concatenate([np.asarray(a, dtype=np.float64).reshape(-1) for a in arrays])


def unflatten(layout: Layout, flat: FloatArray) -> Structure:
    """A flat vector of shape (n,) in the structure of x0, as float64 (views)."""
    return layout.structure([flat[leaf.start : leaf.stop].reshape(leaf.shape) for leaf in layout.leaves])


def parse_typical(layout: Layout, typical: float | Mapping[str, float] | None) -> tuple[float, ...]:
    """Typical size of the parameters of each array, 1 where none is given.

    Parameters
    ----------
    typical : None, float or mapping of str to float
        One size for all, or sizes by the names of arrays (``encoder/W1``).
    """
    if not isinstance(typical, Mapping):
        return (1.0 if typical is None else float(typical),) * len(layout.leaves)
    names = [leaf.name for leaf in layout.leaves]
    for name in typical:
        if name not in names:
            raise InputError(f"typical: no array {name!r}; {closest(name, names)}")
    return tuple(float(typical.get(name, 1.0)) for name in names)
