"""Records of the finished blocks of a wave, as columns: some tens of bytes a block, where a client has 1e5 of them."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.planning.waves import Wave
from pardiff.storage.format import BlockRecord

_COLUMNS = np.dtype(
    [
        ("done", "?"), ("checksum", "u4"), ("nfev", "i8"), ("seconds", "f8"), ("attempt", "i4"),
        ("worker", "i4"), ("base", "f8"), ("checks", "i8"), ("ended", "f8"),
    ]
)  # fmt: skip


class Records(MutableMapping[int, BlockRecord]):
    """Records by the number of the block, in its order.

    Parameters
    ----------
    wave : Wave
        What the blocks are of; it tells where each begins and ends.
    """

    def __init__(self, wave: Wave) -> None:
        self._wave = wave
        self._table = np.zeros(wave.blocks, dtype=_COLUMNS)
        self._numbers: dict[str, int] = {}
        self.names: list[str] = []
        """Names of the workers, as the column ``worker`` numbers them."""
        self.errors: dict[int, dict[str, str]] = {}
        """What fun raised, by flat coordinate, of those blocks in which it did."""

    def __setitem__(self, block: int, record: BlockRecord) -> None:
        """Keep a record; an error of numpy's if it is not one of this block."""
        if (record.wave, record.block, (record.start, record.stop)) != (
            self._wave.number, block, self._wave.bounds(block),
        ):  # fmt: skip
            raise ValueError(f"no record of block {block} of wave {self._wave.number}")
        worker = self._numbers.setdefault(record.worker, len(self.names))
        if worker == len(self.names):
            self.names.append(record.worker)
        fields = (
            True, record.checksum, record.nfev, record.seconds, record.attempt,
            worker, record.base, record.checks, record.ended,
        )  # fmt: skip
        self._table[block] = np.array(fields, dtype=_COLUMNS)  # first whole: a table would take half of it
        self.errors.pop(block, None)
        if record.errors:
            self.errors[block] = dict(record.errors)

    def __getitem__(self, block: int) -> BlockRecord:
        if block not in self:
            raise KeyError(block)
        _, checksum, nfev, seconds, attempt, worker, base, checks, ended = self._table[block].item()
        start, stop = self._wave.bounds(block)
        return BlockRecord(
            self._wave.number, block, start, stop, "done", checksum, nfev, seconds, attempt,
            self.names[worker], base, checks, ended, errors=self.errors.get(block, {}),
        )  # fmt: skip

    def __delitem__(self, block: int) -> None:
        if block not in self:
            raise KeyError(block)
        self._table[block] = np.zeros((), dtype=_COLUMNS)
        self.errors.pop(block, None)

    def __contains__(self, block: object) -> bool:
        return isinstance(block, int) and 0 <= block < len(self._table) and bool(self._table["done"][block])

    def __iter__(self) -> Iterator[int]:
        return iter(self.blocks.tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self._table["done"]))

    @property
    def blocks(self) -> NDArray[np.int64]:
        """Numbers of the finished blocks, ascending."""
        return np.flatnonzero(self._table["done"])

    @property
    def starts(self) -> NDArray[np.int64]:
        """Their first coordinates, counted within the wave."""
        return self.blocks * self._wave.block_size

    @property
    def stops(self) -> NDArray[np.int64]:
        """Their ends."""
        return np.minimum(self.starts + self._wave.block_size, self._wave.count)

    @property
    def coordinates(self) -> int:
        """How many coordinates are done."""
        return int((self.stops - self.starts).sum())

    @property
    def workers(self) -> set[str]:
        """Who has done them."""
        return {self.names[number] for number in np.unique(self.column("worker"))}

    def column(self, name: str) -> NDArray[Any]:
        """A field of them: ``nfev``, ``seconds``, ``base`` and the like, and ``worker`` as a number."""
        return np.asarray(self._table[name][self.blocks])
