"""What the stages see of an audit, whether it is kept in memory or in a store."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pardiff.numerics.estimates import Estimates
from pardiff.planning.waves import Wave
from pardiff.problem.named_arrays import NamedArray
from pardiff.problem.space import FloatArray, Leaf, Space
from pardiff.storage.format import CHUNK, QUANTITIES, BlockRecord, chunks
from pardiff.storage.info import AuditInfo
from pardiff.storage.records import Records

WORKING = ("numerical", "uncertainty", "step", "nfev", "state", "scheme", "margin")
"""Quantities that blocks deliver; the rest is made from them and the analytical derivative."""


class Ledger(Protocol):
    """Parameters, results and block records of one audit.

    Blocks deliver results by waves of lines, of shape (quantities, k, q). They are read as arrays by name.
    """

    @property
    def space(self) -> Space:
        """Names, shapes and dtypes of x0."""

    @property
    def arrays(self) -> tuple[NamedArray, ...]:
        """The arrays by name."""

    @property
    def info(self) -> AuditInfo:
        """Name, options, provenance and the like."""

    @property
    def waves(self) -> list[Wave]:
        """Waves planned so far."""

    def update(self, **changes: Any) -> None:
        """Change fields of ``info``."""

    def add_wave(self, wave: Wave) -> None:
        """Make room for the results of a wave."""

    def records(self, wave: int) -> Records:
        """Records of the blocks of a wave that are done."""

    def accept(self, record: BlockRecord, matrix: FloatArray | None) -> None:
        """Take note of a finished block; ``matrix`` holds its results where no worker has stored them."""

    def check_results(self) -> None:
        """Raise `StoreError` if results are not those that were delivered."""

    def results(self, wave: Wave, start: int, stop: int) -> Estimates:
        """What the blocks of one wave have found, of shape (stop - start, q), by numbers in the wave."""

    def lines(self, start: int, stop: int) -> Estimates:
        """Results of the flat coordinates from start to stop, of shape (stop - start, q); not to be written to.

        Those of later waves go over those of the first.
        """

    def parameters(self, leaf: Leaf) -> NDArray[Any]:
        """An array of x0, in its own shape and dtype."""

    def read(self, quantity: str, array: NamedArray, start: int, stop: int) -> NDArray[Any]:
        """A part of an array by name, flat; start and stop are those of one of :func:`array_chunks`."""

    def write(self, quantity: str, array: NamedArray, start: int, stop: int, values: NDArray[Any]) -> None:
        """Write such a part."""

    def array(self, quantity: str, array: NamedArray) -> NDArray[Any]:
        """A whole array by name, in its own shape."""


def array_chunks(array: NamedArray) -> Iterator[tuple[int, int]]:
    """Parts in which an array is read and written, each one chunk of a store."""
    for _, start, stop in chunks(array.shape, CHUNK):
        yield start, stop


def estimates(ledger: Ledger, array: NamedArray, start: int, stop: int) -> Estimates:
    """Results of the entries of an array from start to stop, of shape (stop - start,); not to be written to."""
    if start == stop:
        return Estimates.empty(0)
    return array.part(ledger.lines(*array.lines(start, stop)), start, stop)


def checksum(matrix: FloatArray) -> int:
    """CRC-32 of the results of a block."""
    return zlib.crc32(np.ascontiguousarray(matrix, dtype="<f8").data)


def write_named_arrays(ledger: Ledger) -> None:
    """Write the results of all waves into the arrays by name."""
    for array in ledger.arrays:
        for start, stop in array_chunks(array):
            found = estimates(ledger, array, start, stop)
            for quantity in WORKING:
                values = getattr(found, quantity).astype(QUANTITIES[quantity].dtype)
                ledger.write(quantity, array, start, stop, values)


def overlay(found: Estimates, start: int, wave: Wave, results: Estimates) -> None:
    """Put the results of a later wave over those of the lines that begin at ``start``, each of shape (k, q).

    Passes add up. A search that found nothing leaves the first result in place.
    """
    assert wave.index is not None
    rows = wave.index - start
    spent = found.nfev[rows] + results.nfev
    better = np.isfinite(results.uncertainty) | ~np.isfinite(found.uncertainty[rows])
    line, observable = np.nonzero(better & (results.state > 0))
    for name in WORKING:
        getattr(found, name)[rows[line], observable] = getattr(results, name)[line, observable]
    found.nfev[rows] = spent


def passes(ledger: Ledger) -> int:
    """Forward passes spent on an audit so far."""
    info = ledger.info
    records = [ledger.records(wave.number) for wave in ledger.waves]
    workers = set().union(*(some.workers for some in records)) - {info.client}
    more = sum(sweep.nfev for sweep in info.sweeps) + sum(one.nfev for one in info.replications) + info.more_nfev
    return info.baseline.nfev + len(workers) + sum(int(some.column("nfev").sum()) for some in records) + more
