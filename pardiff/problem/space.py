"""Named arrays laid out one after another on a flat axis of n coordinates.

A single array is one leaf named ``x``. In a (nested) mapping, list or tuple each array is a leaf named by its path
(``encoder/W1``, ``x/0``, ``layers/2``). Coordinate numbers, and with them blocks, Zarr chunks and labels, follow the
order of the structure and C order within a leaf.
"""

from __future__ import annotations

import math
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
"""An array, or a (nested) mapping, list or tuple of arrays: what fun and grad receive."""
Template = Any
"""A structure without its arrays: None for an array, ``{"mapping": {key: template}}``, ``{"list": [...]}`` or
``{"tuple": [...]}``."""


@dataclass(frozen=True)
class Leaf:
    """One named array."""

    name: str
    """Path of names joined by ``/``."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    """float16, float32 or float64."""
    start: int
    """Flat coordinate of its first element."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        """Flat coordinate after its last element."""
        return self.start + self.size

    @property
    def path(self) -> str:
        """Its path in a store."""
        return self.name

    def label(self, element: int) -> str:
        """Name of an element of the flattened array, as reports write it: ``W[1,2]``."""
        return label(self.name, tuple(int(i) for i in np.unravel_index(element, self.shape)))


@dataclass(frozen=True)
class Space:
    """Names, shapes and dtypes of the leaves, and the structure in which they are given."""

    leaves: tuple[Leaf, ...]
    template: Template

    @property
    def size(self) -> int:
        """n, the number of coordinates."""
        return self.leaves[-1].stop if self.leaves else 0

    @cached_property
    def starts(self) -> IntArray:
        """Flat coordinate of the first element of each leaf, shape (leaves,)."""
        return np.array([leaf.start for leaf in self.leaves], dtype=np.int64)

    def structure(self, arrays: list[Any]) -> Structure:
        """The arrays, one for each leaf, in the structure that was given (no copy)."""
        return _filled(self.template, iter(arrays))

    def owner(self, index: IntArray) -> IntArray:
        """Numbers of the leaves that hold some ascending flat coordinates."""
        owner = np.empty(len(index), dtype=np.int64)
        for number, rows in self.parts(index):
            owner[rows] = number
        return owner

    def parts(self, index: IntArray) -> Iterator[tuple[int, slice]]:
        """Numbers of the leaves that hold some ascending flat coordinates, and where those of each are."""
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

    def label(self, coordinate: int) -> str:
        """Name of a coordinate, as reports write it.

        >>> space = space_of([("W", (2, 3), np.dtype(float)), ("b", (), np.dtype(float))], None)
        >>> space.label(4), space.label(6)
        ('W[1,1]', 'b')
        """
        leaf = self.leaf_of(coordinate)
        return leaf.label(coordinate - leaf.start)

    def coordinate(self, label: str) -> int:
        """The inverse of :meth:`label`; `InputError` where there is no such coordinate.

        >>> space = space_of([("W", (2, 3), np.dtype(float)), ("b", (), np.dtype(float))], None)
        >>> space.coordinate("W[1,1]"), space.coordinate("b")
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

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the attributes of an audit."""
        return {
            "structure": self.template,
            "arrays": [[leaf.name, list(leaf.shape), leaf.dtype.str] for leaf in self.leaves],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Space:
        """The inverse of :meth:`to_json`."""
        return space_of([(n, tuple(s), np.dtype(d)) for n, s, d in data["arrays"]], data["structure"])


def space_of(items: list[tuple[str, tuple[int, ...], np.dtype[Any]]], template: Template) -> Space:
    """The space of some arrays, given as name, shape and dtype in their order."""
    starts = [0, *accumulate(math.prod(shape) for _, shape, _ in items)]
    return Space(tuple(Leaf(*item, start) for item, start in zip(items, starts, strict=False)), template)


def _filled(template: Template, arrays: Iterator[Any]) -> Structure:
    """A template with arrays in the place of its leaves."""
    if template is None:
        return next(arrays)
    if "mapping" in template:
        return {key: _filled(inner, arrays) for key, inner in template["mapping"].items()}
    (kind, items) = next(iter(template.items()))
    filled = [_filled(inner, arrays) for inner in items]
    return tuple(filled) if kind == "tuple" else filled


def grouped(owner: IntArray) -> Iterator[tuple[int, IntArray | slice]]:
    """Numbers of leaves that own some coordinates, each with the positions of its own among them."""
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


def flatten(arrays: list[NDArray[Any]]) -> FloatArray:
    """Arrays one after another as float64, shape (n,)."""
    return np.concatenate([np.empty(0), *(np.asarray(a, dtype=np.float64).reshape(-1) for a in arrays)])


def unflatten(space: Space, flat: NDArray[Any]) -> Structure:
    """A flat vector of shape (n,) in the structure of a space (views)."""
    return space.structure([flat[leaf.start : leaf.stop].reshape(leaf.shape) for leaf in space.leaves])
