"""An audit that lives in memory: `gradcheck` without a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.numerics.estimates import Estimates
from pardiff.planning.waves import Wave
from pardiff.problem.named_arrays import NamedArray, named_arrays
from pardiff.problem.space import FloatArray, Leaf, Space
from pardiff.storage.format import QUANTITIES, BlockRecord
from pardiff.storage.info import AuditInfo
from pardiff.storage.ledger import overlay
from pardiff.storage.records import Records


class MemoryLedger:
    """Arrays of numbers per quantity, and the records of the blocks."""

    def __init__(
        self, space: Space, arrays: list[NDArray[Any]], analytical: FloatArray | None, info: AuditInfo, first: Wave
    ) -> None:
        self.space = space
        self.info = info
        self.waves: list[Wave] = []
        self.arrays = named_arrays(space, info.spec.cotangents)
        self._x0 = [array.copy() for array in arrays]
        self._records: dict[int, Records] = {}
        self._results: dict[int, Estimates] = {}
        size = self.arrays[-1].stop if self.arrays else 0
        self._by_name: dict[str, NDArray[Any]] = {
            name: np.full(size, quantity.fill, dtype=quantity.dtype)
            for name, quantity in QUANTITIES.items()
            if name != "analytical"
        }
        self._by_name["analytical"] = np.full(size, np.nan) if analytical is None else analytical
        self.add_wave(first)

    def update(self, **changes: Any) -> None:
        """Change fields of ``info``."""
        self.info = replace(self.info, **changes)

    def add_wave(self, wave: Wave) -> None:
        """Make room for the results of a wave."""
        self.waves.append(wave)
        self._records[wave.number] = Records(wave)
        self._results[wave.number] = Estimates.empty(wave.count, self.info.spec.observables)

    def records(self, wave: int) -> Records:
        """Records of the blocks that are done."""
        return self._records[wave]

    def accept(self, record: BlockRecord, matrix: FloatArray | None) -> None:
        """Keep the results of a block."""
        assert matrix is not None
        self._results[record.wave].put(slice(record.start, record.stop), Estimates.from_matrix(matrix))
        self._records[record.wave][record.block] = record

    def check_results(self) -> None:
        """Nobody else can write to them."""

    def results(self, wave: Wave, start: int, stop: int) -> Estimates:
        """What the blocks of one wave have found, by numbers in the wave."""
        return self._results[wave.number].part(slice(start, stop))

    def lines(self, start: int, stop: int) -> Estimates:
        """Results of all waves for some coordinates, not to be written to."""
        first, *later = self.waves
        found = self._results[first.number].part(slice(start, stop), copy=bool(later))
        for wave in later:
            assert wave.index is not None
            low, high = (int(i) for i in np.searchsorted(wave.index, (start, stop)))
            overlay(found, start, wave.part(low, high), self._results[wave.number].part(slice(low, high), copy=False))
        return found

    def parameters(self, leaf: Leaf) -> NDArray[Any]:
        """An array of x0, in its own shape and dtype."""
        return self._x0[self.space.leaves.index(leaf)]

    def read(self, quantity: str, array: NamedArray, start: int, stop: int) -> NDArray[Any]:
        """A part of an array by name."""
        return self._by_name[quantity][array.start + start : array.start + stop]

    def write(self, quantity: str, array: NamedArray, start: int, stop: int, values: NDArray[Any]) -> None:
        """Write such a part."""
        self._by_name[quantity][array.start + start : array.start + stop] = values

    def array(self, quantity: str, array: NamedArray) -> NDArray[Any]:
        """An array by name, in its own shape."""
        return self._by_name[quantity][array.start : array.stop].reshape(array.shape)
