"""An audit that lives in memory: `gradcheck` without a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation.fixed_stencil import Estimates
from pardiff.planning.waves import Wave
from pardiff.problem.space import FloatArray, Layout, Leaf, flatten
from pardiff.storage.format import QUANTITIES, BlockRecord
from pardiff.storage.ledger import overlay
from pardiff.storage.records import Records


class MemoryLedger:
    """Arrays of n numbers per quantity, and the records of the blocks."""

    def __init__(
        self, layout: Layout, arrays: list[NDArray[Any]], analytical: FloatArray | None, info: dict[str, Any]
    ) -> None:
        self.layout = layout
        self.info = info
        self.waves: list[Wave] = []
        self._x0 = [array.copy() for array in arrays]
        self._records: dict[int, Records] = {}
        self._results: dict[int, Estimates] = {}
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.full(layout.size, quantity.fill, dtype=quantity.dtype)
            for name, quantity in QUANTITIES.items()
            if name != "analytical"
        }
        self._arrays["analytical"] = np.full(layout.size, np.nan) if analytical is None else analytical

    @property
    def x0(self) -> FloatArray:
        """The parameters, flat, as float64."""
        return flatten(self.layout, self._x0)

    def add_wave(self, wave: Wave) -> None:
        """Make room for the results of a wave."""
        self.waves.append(wave)
        self._records[wave.number] = Records(wave)
        self._results[wave.number] = Estimates.empty(wave.count)

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

    def estimates(self, start: int, stop: int) -> Estimates:
        """Results of all waves for some coordinates, not to be written to."""
        first, *later = self.waves
        found = self._results[first.number].part(slice(start, stop), copy=bool(later))
        for wave in later:
            assert wave.index is not None
            low, high = np.searchsorted(wave.index, (start, stop))
            part = replace(wave, count=int(high - low), index=wave.index[low:high])
            overlay(found, start, part, self._results[wave.number].part(slice(low, high)))
        return found

    def read(self, quantity: str, leaf: Leaf, start: int, stop: int) -> NDArray[Any]:
        """A stretch of an array by name."""
        if quantity == "x0":
            return self._x0[self.layout.leaves.index(leaf)].reshape(-1)[start:stop]
        return self._arrays[quantity][leaf.start + start : leaf.start + stop]

    def write(self, quantity: str, leaf: Leaf, start: int, stop: int, values: NDArray[Any]) -> None:
        """Write such a stretch."""
        self._arrays[quantity][leaf.start + start : leaf.start + stop] = values

    def update(self, **info: Any) -> None:
        """Change entries of ``info``."""
        self.info.update(info)

    def array(self, quantity: str, leaf: Leaf) -> NDArray[Any]:
        """An array by name, in its own shape (for ``x0``, in its own dtype)."""
        if quantity == "x0":
            return self._x0[self.layout.leaves.index(leaf)]
        return self._arrays[quantity][leaf.start : leaf.stop].reshape(leaf.shape)
