"""What pictures are made of: maps of arrays, a sample of entries, and counts of all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pardiff.comparison.compared import ComparedChunk, Comparison
from pardiff.diagnosis.finding import Finding
from pardiff.problem.named_arrays import NamedArray
from pardiff.storage.format import ERROR, FAIL, INCONCLUSIVE, MISSING, NONFINITE, PASS

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
    """A picture of where the entries of an array fail, over its rows and its last axis."""

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


def heat_map(comparison: Comparison, array: NamedArray, finding: Finding | None) -> HeatMap:
    """The map of an array."""
    columns = array.shape[-1] if array.shape else 1
    rows = array.size // columns
    height, width = min(rows, MAP_ROWS), min(columns, MAP_COLUMNS)
    shape = (height, width)
    total, failing, unclear, unknown = (np.zeros(shape) for _ in range(4))
    for chunk in comparison.chunks(array):
        flat = np.arange(chunk.start, chunk.stop)
        cell = (flat // columns) * height // rows * width + (flat % columns) * width // columns
        wrong = np.isin(chunk.verdict, (FAIL, NONFINITE))
        for grid, rows_in in (
            (total, slice(None)),
            (failing, wrong),
            (unclear, chunk.verdict == INCONCLUSIVE),
            (unknown, np.isin(chunk.verdict, (MISSING, ERROR))),
        ):
            grid += np.bincount(cell[rows_in], minlength=grid.size).reshape(shape)
    total = np.maximum(total, 1)
    across = _marked(finding, len(array.leaf.shape) - 1, columns, width)
    down = _marked(finding, 0, rows, height) if len(array.shape) == 2 and array.output is None else ()
    return HeatMap(
        array.name, array.shape, (failing / total).tolist(), (unclear / total).tolist(), (unknown / total).tolist(),
        down, across, finding.message if finding else "",
    )  # fmt: skip


def _marked(finding: Finding | None, axis: int, length: int, cells: int) -> tuple[int, ...]:
    """Cells of the indices of an axis that a finding names."""
    if finding is None or axis < 0 or finding.evidence.get("slice_axis") != axis:
        return ()
    indices = finding.evidence.get("slice_indices", [])
    found = sorted({int(index) * cells // length for index in indices})
    return tuple(found) if len(found) <= MARKS else ()


def sample(comparison: Comparison) -> tuple[tuple[Point, ...], Histogram]:
    """Some entries evenly from all over the arrays, and a histogram of all."""
    bins = np.zeros((3, 2 * (HIGHEST - LOWEST)), dtype=np.int64)
    points: list[Point] = []
    size = sum(array.size for array in comparison.arrays)
    stride = max(1, math.ceil(size / POINTS))
    for array in comparison.arrays:
        for chunk in comparison.chunks(array):
            points += _points(chunk, -(array.start + chunk.start) % stride, stride)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                decade = np.log10(np.abs(chunk.residual) / chunk.uncertainty)
            known = ~np.isnan(decade)
            half = np.clip(np.floor(2 * (decade[known] - LOWEST)), 0, bins.shape[1] - 1).astype(np.int64)
            kind = np.where(chunk.verdict == PASS, 0, np.where(chunk.verdict == FAIL, 1, 2))[known]
            bins += np.bincount(kind * bins.shape[1] + half, minlength=bins.size).reshape(bins.shape)
    return tuple(points), Histogram(*(tuple(row.tolist()) for row in bins))


def _points(chunk: ComparedChunk, first: int, stride: int) -> Iterator[Point]:
    for row in range(first, len(chunk.verdict), stride):
        a, d, u = float(chunk.analytical[row]), float(chunk.numerical[row]), float(chunk.uncertainty[row])
        if math.isfinite(a) and math.isfinite(d) and math.isfinite(u):
            yield Point(a, d, u, int(chunk.verdict[row]))
