"""The arrays by name that an audit compares: one for each array of x0, or for each pair of an output and an array."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pardiff.numerics.estimates import QUANTITIES, Estimates
from pardiff.problem.outputs import Cotangents
from pardiff.problem.space import Leaf, Space, Structure, label


@dataclass(frozen=True)
class NamedArray:
    """Derivatives of one output, or of the loss, with respect to one array of x0."""

    name: str
    """The name as reports write it: ``encoder/W1``, or ``logits / encoder/W1``."""
    path: str
    """Its path in a store, below a quantity."""
    shape: tuple[int, ...]
    """The shape of the array of x0, behind an axis of cotangents where fun has outputs."""
    start: int
    """Number of its first entry among those of all arrays by name."""
    leaf: Leaf
    """The array of x0."""
    observables: tuple[int, int]
    """First observable, and the one after the last."""
    output: Leaf | None = None

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.leaf.size * (self.observables[1] - self.observables[0])

    @property
    def stop(self) -> int:
        """Number after its last entry."""
        return self.start + self.size

    @property
    def probes(self) -> int:
        """Cotangents of its output; 1 for a loss."""
        return self.observables[1] - self.observables[0]

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of its axes in a store."""
        axes = tuple(f"{self.leaf.name}.axis{axis}" for axis in range(len(self.leaf.shape)))
        return axes if self.output is None else (f"{self.output.name}.cotangent", *axes)

    def label(self, entry: int) -> str:
        """Name of an entry of the flattened array, as reports write it.

        ``W[1,2]``, or ``y·u0 / W[1,2]`` for the derivative of ``sum(u0 * y)``, where u0 is a cotangent of y.
        """
        probe, element = divmod(entry, max(1, self.leaf.size))
        inner = label(self.leaf.name, tuple(int(i) for i in np.unravel_index(element, self.leaf.shape)))
        return inner if self.output is None else f"{self.output.name}·u{probe} / {inner}"

    def lines(self, start: int, stop: int) -> tuple[int, int]:
        """Flat coordinates of x0 that some entries belong to; they lie within one observable, or make up whole ones."""
        size = self.leaf.size
        if start // size == (stop - 1) // size:
            return self.leaf.start + start % size, self.leaf.start + (stop - 1) % size + 1
        return self.leaf.start, self.leaf.stop

    def part(self, lines: Estimates, start: int, stop: int) -> Estimates:
        """Estimates of the entries from start to stop, of shape (stop - start,), from those of their lines, (k, q)."""
        low = self.observables[0] + start // self.leaf.size
        high = self.observables[0] + (stop - 1) // self.leaf.size + 1
        if high - low == 1:
            return Estimates(*(getattr(lines, name)[:, low] for name in QUANTITIES))
        return Estimates(*(getattr(lines, name)[:, low:high].T.reshape(-1) for name in QUANTITIES))

    def position(self, entry: int) -> tuple[int, int]:
        """The coordinate of x0 and the observable of an entry."""
        probe, element = divmod(entry, self.leaf.size)
        return self.leaf.start + element, self.observables[0] + probe


def named_arrays(space: Space, cotangents: Cotangents | None) -> tuple[NamedArray, ...]:
    """The arrays by name of a problem, those of the first output first."""
    if cotangents is None:
        return tuple(NamedArray(leaf.name, leaf.name, leaf.shape, leaf.start, leaf, (0, 1)) for leaf in space.leaves)
    found: list[NamedArray] = []
    start = 0
    for number, output in enumerate(cotangents.outputs.leaves):
        observables = (number * cotangents.probes, (number + 1) * cotangents.probes)
        for leaf in space.leaves:
            found.append(
                NamedArray(
                    name=f"{output.name} / {leaf.name}",
                    path=f"{output.name}/{leaf.name}",
                    shape=(cotangents.probes, *leaf.shape),
                    start=start,
                    leaf=leaf,
                    observables=observables,
                    output=output,
                )
            )
            start = found[-1].stop
    return tuple(found)


def label_at(arrays: Sequence[NamedArray], coordinate: int, observable: int) -> str:
    """Name of the entry that belongs to a coordinate of x0 and an observable."""
    for array in arrays:
        low, high = array.observables
        if low <= observable < high and array.leaf.start <= coordinate < array.leaf.stop:
            return array.label((observable - low) * array.leaf.size + coordinate - array.leaf.start)
    raise LookupError(f"coordinate {coordinate}, observable {observable}")


def in_structure(space: Space, cotangents: Cotangents | None, arrays: list[Any]) -> Structure:
    """Arrays by name in the structure of x0; with outputs, such a structure in each place of fun's value."""
    if cotangents is None:
        return space.structure(arrays)
    each = len(space.leaves)
    rows = [space.structure(arrays[first : first + each]) for first in range(0, len(arrays), each)]
    return cotangents.outputs.structure(rows)


def find_entry(arrays: tuple[NamedArray, ...], text: str) -> tuple[NamedArray, int]:
    """The array and the entry that a label names; ``y.u0/W[1]`` is as good as ``y·u0 / W[1]``.

    Raises
    ------
    LookupError
        If no array has such a name, or so many cotangents.
    InputError
        If the array has no such element.
    """
    parts = re.fullmatch(r"(.+)[·.]u(\d+)\s*/\s*(.+)", text)
    for array in arrays:
        probe, inner = 0, text
        if array.output is not None:
            if parts is None or parts[1] != array.output.name or int(parts[2]) >= array.probes:
                continue
            probe, inner = int(parts[2]), parts[3]
        if _names(array.leaf, inner):
            element = Space((array.leaf,), None).coordinate(inner) - array.leaf.start
            return array, probe * array.leaf.size + element
    raise LookupError(text)


def _names(leaf: Leaf, text: str) -> bool:
    return text == leaf.name if not leaf.shape else text.startswith(f"{leaf.name}[") and text.endswith("]")
