"""What the stages see of an audit, whether it is kept in memory or in a store."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation.fixed_stencil import Estimates
from pardiff.planning.waves import Wave
from pardiff.problem.space import FloatArray, Layout, Leaf
from pardiff.storage.format import QUANTITIES, TILE, BlockRecord, tiles
from pardiff.storage.records import Records

WORKING = ("numerical", "uncertainty", "step", "nfev", "state", "scheme", "margin")
"""Quantities that blocks deliver; the rest is made from them and the analytical gradient."""


class Ledger(Protocol):
    """Parameters, results and block records of one audit."""

    @property
    def layout(self) -> Layout:
        """Names, shapes and dtypes of x0."""

    @property
    def info(self) -> dict[str, Any]:
        """Name, settings, provenance and the like, as plain data."""

    @property
    def waves(self) -> list[Wave]:
        """Waves planned so far."""

    def add_wave(self, wave: Wave) -> None:
        """Make room for the results of a wave."""

    def records(self, wave: int) -> Records:
        """Records of the blocks of a wave that are done."""

    def accept(self, record: BlockRecord, matrix: FloatArray | None) -> None:
        """Take note of a finished block; ``matrix`` holds its results where no worker has stored them."""

    def check_results(self) -> None:
        """Raise `StoreError` if results are not those that were delivered."""

    def results(self, wave: Wave, start: int, stop: int) -> Estimates:
        """What the blocks of one wave have found, by numbers in the wave; of those that are done."""

    def estimates(self, start: int, stop: int) -> Estimates:
        """Results of the flat coordinates from start to stop; what later waves found goes over the first."""

    def read(self, quantity: str, leaf: Leaf, start: int, stop: int) -> NDArray[Any]:
        """A stretch of an array by name, flat; start and stop are those of one of :func:`leaf_tiles`."""

    def write(self, quantity: str, leaf: Leaf, start: int, stop: int, values: NDArray[Any]) -> None:
        """Write such a stretch."""

    def array(self, quantity: str, leaf: Leaf) -> NDArray[Any]:
        """A whole array by name, in its own shape (for ``x0``, in its own dtype)."""

    def update(self, **info: Any) -> None:
        """Change entries of ``info``."""


def leaf_tiles(leaf: Leaf) -> Iterator[tuple[int, int]]:
    """Stretches in which an array is read and written, each one chunk."""
    for _, start, stop in tiles(leaf.shape, TILE):
        yield start, stop


def checksum(matrix: FloatArray) -> int:
    """CRC-32 of the results of a block."""
    return zlib.crc32(np.ascontiguousarray(matrix, dtype="<f8").data)


def lay_out(ledger: Ledger) -> None:
    """Write the results of all waves into the arrays by name."""
    for leaf in ledger.layout.leaves:
        for start, stop in leaf_tiles(leaf):
            found = ledger.estimates(leaf.start + start, leaf.start + stop)
            for quantity in WORKING:
                values = getattr(found, quantity).astype(QUANTITIES[quantity].dtype)
                ledger.write(quantity, leaf, start, stop, values)


def overlay(found: Estimates, start: int, wave: Wave, results: Estimates) -> None:
    """Put the results of a later wave over those of the coordinates that begin at ``start``.

    Passes add up. A search that found nothing leaves the first result in place.
    """
    assert wave.index is not None
    rows = wave.index - start
    spent = found.nfev[rows] + results.nfev
    better = np.isfinite(results.uncertainty) | ~np.isfinite(found.uncertainty[rows])
    known = results.state > 0
    take = better & known
    found.put(rows[take], results.part(np.flatnonzero(take)))
    found.nfev[rows] = spent
