"""What pictures are made of: maps of arrays, a sample of entries, and counts of all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pardiff.comparison.compared import Stretch, stretches
from pardiff.comparison.reconcile import ArrayResult
from pardiff.diagnosis.finding import Finding
from pardiff.problem.space import Leaf
from pardiff.storage.format import ERROR, FAIL, INCONCLUSIVE, MISSING, NONFINITE, PASS
from pardiff.storage.ledger import Ledger

MAP_ROWS, MAP_COLUMNS = 40, 80
"""Cells of a heat map; a cell of a larger array stands for several entries."""
MOST_MAPS = 24
"""Heat maps in a report; arrays that did not pass come first."""
POINTS = 1500
"""Entries in the plot of one gradient against the other."""
LOWEST, HIGHEST = -6, 8
"""Decades of the histogram of residuals in error bars; what lies beyond is counted in the last ones."""
MARKS = 12
"""Rows or columns of a map that are marked."""


@dataclass(frozen=True)
class HeatMap:
    """Where the entries of an array fail, over its rows and its last axis."""

    array: str
    shape: tuple[int, ...]
    failing: list[list[float]]
    """Share of the entries of each cell that fail, by row and column."""
    unclear: list[list[float]]
    """Share that is inconclusive."""
    unknown: list[list[float]]
    """Share that was not evaluated, or could not be."""
    rows: tuple[int, ...]
    """Rows that the finding is about, as indices of the map's cells."""
    columns: tuple[int, ...]
    """Columns, likewise."""
    words: str
    """What the finding says of it."""


@dataclass(frozen=True)
class Point:
    """One entry in a plot."""

    analytical: float
    numerical: float
    uncertainty: float
    verdict: int
    """Code of the verdict."""


@dataclass(frozen=True)
class Histogram:
    """Entries by ``log10(|residual| / uncertainty)``, in bins of half a decade from `LOWEST` to `HIGHEST`."""

    passing: tuple[int, ...]
    failing: tuple[int, ...]
    other: tuple[int, ...]


def heat_map(ledger: Ledger, leaf: Leaf, result: ArrayResult, rtol: float, atol: float) -> HeatMap:
    """The map of an array."""
    columns = leaf.shape[-1] if leaf.shape else 1
    rows = leaf.size // columns
    height, width = min(rows, MAP_ROWS), min(columns, MAP_COLUMNS)
    shape = (height, width)
    total, failing, unclear, unknown = (np.zeros(shape) for _ in range(4))
    for part in stretches(ledger, leaf, result.rms, rtol, atol):
        flat = np.arange(part.start, part.start + len(part.verdict))
        cell = (flat // columns) * height // rows * width + (flat % columns) * width // columns
        wrong = np.isin(part.verdict, (FAIL, NONFINITE))
        for grid, rows_in in (
            (total, slice(None)),
            (failing, wrong),
            (unclear, part.verdict == INCONCLUSIVE),
            (unknown, np.isin(part.verdict, (MISSING, ERROR))),
        ):
            grid += np.bincount(cell[rows_in], minlength=grid.size).reshape(shape)
    total = np.maximum(total, 1)
    across = _marked(result.finding, len(leaf.shape) - 1, columns, width)
    down = _marked(result.finding, 0, rows, height) if len(leaf.shape) == 2 else ()
    return HeatMap(
        leaf.name, leaf.shape, (failing / total).tolist(), (unclear / total).tolist(), (unknown / total).tolist(),
        down, across, result.finding.message if result.finding else "",
    )  # fmt: skip


def _marked(finding: Finding | None, axis: int, length: int, cells: int) -> tuple[int, ...]:
    """Cells of the indices of an axis that a finding names."""
    if finding is None or axis < 0 or finding.evidence.get("slice_axis") != axis:
        return ()
    indices = finding.evidence.get("slice_indices", [])
    found = sorted({int(index) * cells // length for index in indices})
    return tuple(found) if len(found) <= MARKS else ()


def sample(
    ledger: Ledger, arrays: Sequence[ArrayResult], leaves: Mapping[str, Leaf], rtol: float, atol: float
) -> tuple[tuple[Point, ...], Histogram]:
    """Some entries evenly from all over x0, and a histogram of all."""
    bins = np.zeros((3, 2 * (HIGHEST - LOWEST)), dtype=np.int64)
    points: list[Point] = []
    stride = max(1, math.ceil(ledger.layout.size / POINTS))
    for array in arrays:
        leaf = leaves[array.name]
        for part in stretches(ledger, leaf, array.rms, rtol, atol):
            points += _points(part, -(leaf.start + part.start) % stride, stride)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                place = np.log10(np.abs(part.residual) / part.uncertainty)
            known = ~np.isnan(place)
            half = np.clip(np.floor(2 * (place[known] - LOWEST)), 0, bins.shape[1] - 1).astype(np.int64)
            kind = np.where(part.verdict == PASS, 0, np.where(part.verdict == FAIL, 1, 2))[known]
            bins += np.bincount(kind * bins.shape[1] + half, minlength=bins.size).reshape(bins.shape)
    return tuple(points), Histogram(*(tuple(row.tolist()) for row in bins))


def _points(part: Stretch, first: int, stride: int) -> Iterator[Point]:
    for row in range(first, len(part.verdict), stride):
        a, d, u = float(part.analytical[row]), float(part.numerical[row]), float(part.uncertainty[row])
        if math.isfinite(a) and math.isfinite(d) and math.isfinite(u):
            yield Point(a, d, u, int(part.verdict[row]))
