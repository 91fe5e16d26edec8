"""The analytical and the numerical derivatives of an audit side by side, judged once, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.comparison.verdicts import RootMeanSquare, Tolerance, judge
from pardiff.problem.named_arrays import NamedArray
from pardiff.problem.space import FloatArray
from pardiff.storage.ledger import Ledger, array_chunks, estimates

MOST_KEPT = 1 << 20
"""Entries whose judged chunks are kept for the next look, some 100 bytes each; of larger audits they are made again."""


@dataclass(frozen=True)
class ComparedChunk:
    """A part of one array, judged; every array has shape (k,)."""

    array: NamedArray
    start: int
    """Number of its first entry in the array."""
    rms: float
    """Root mean square of the numerical derivative over the whole array."""
    tolerance: Tolerance
    analytical: FloatArray
    numerical: FloatArray
    uncertainty: FloatArray
    margin: FloatArray
    residual: FloatArray
    """Analytical minus numerical."""
    verdict: NDArray[np.int8]
    state: NDArray[Any]
    nfev: NDArray[Any]
    step: FloatArray

    @property
    def stop(self) -> int:
        """Number after its last entry."""
        return self.start + len(self.verdict)

    @cached_property
    def allowed(self) -> FloatArray:
        """Tolerance of each entry."""
        return self.tolerance.allowed(self.analytical, self.numerical, self.rms)


class Comparison:
    """What a ledger holds now, judged with some tolerance; writes nothing.

    Parameters
    ----------
    ledger : Ledger
        An audit; entries of unfinished blocks are ``missing``. Results that come later are not seen.
    tolerance : Tolerance or None
        None for that of the audit.
    """

    def __init__(self, ledger: Ledger, tolerance: Tolerance | None = None) -> None:
        resolved = ledger.info.settings
        self.ledger = ledger
        self.tolerance = tolerance or Tolerance(resolved.rtol, resolved.atol)
        self.arrays = tuple(array for array in ledger.arrays if array.size)
        self._rms: dict[str, float] = {}
        self._keeps = sum(array.size for array in self.arrays) <= MOST_KEPT
        self._chunks: dict[str, list[ComparedChunk]] = {}

    @property
    def has_analytical(self) -> bool:
        """Whether there is an analytical derivative to compare with."""
        return self.ledger.info.has_analytical

    def rms(self, array: NamedArray) -> float:
        """Root mean square of the numerical derivative of one array."""
        if array.name not in self._rms:
            rms = RootMeanSquare()
            for start, stop in array_chunks(array):
                rms.add(estimates(self.ledger, array, start, stop).numerical)
            self._rms[array.name] = rms.value
        return self._rms[array.name]

    def chunks(self, array: NamedArray) -> Iterator[ComparedChunk]:
        """One array, chunk by chunk, from what the blocks delivered."""
        if not self._keeps:
            return self._judged(array)
        if array.name not in self._chunks:
            self._chunks[array.name] = list(self._judged(array))
        return iter(self._chunks[array.name])

    def _judged(self, array: NamedArray) -> Iterator[ComparedChunk]:
        rms = self.rms(array)
        for start, stop in array_chunks(array):
            found = estimates(self.ledger, array, start, stop)
            analytical = self.ledger.read("analytical", array, start, stop)
            residual, verdict = judge(analytical, found, rms, self.tolerance, has_analytical=self.has_analytical)
            yield ComparedChunk(
                array, start, rms, self.tolerance, analytical, found.numerical, found.uncertainty, found.margin,
                residual, verdict,
                found.state, found.nfev, found.step,
            )  # fmt: skip


def save(comparison: Comparison) -> None:
    """Write residuals and verdicts into the arrays by name."""
    for array in comparison.arrays:
        for chunk in comparison.chunks(array):
            comparison.ledger.write("residual", array, chunk.start, chunk.stop, chunk.residual)
            comparison.ledger.write("verdict", array, chunk.start, chunk.stop, chunk.verdict)
