"""Which entries ask for a closer look: those without a clear verdict, and those that would fail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pardiff.comparison.compared import ComparedChunk, Comparison
from pardiff.comparison.verdicts import relative
from pardiff.numerics import estimates
from pardiff.numerics.tuning import ROUNDING
from pardiff.planning.waves import SEARCH, Wave
from pardiff.problem.space import FloatArray, IntArray
from pardiff.storage.format import FAIL, PASS

NAMED = 3
"""Entries that the finding of an array names."""
LOOKED_AT = (estimates.DONE, estimates.NONFINITE, estimates.ERROR, estimates.FLAT)
"""States of derivatives that no step search has found."""


@dataclass(frozen=True)
class Refinement:
    """Entries that ask for a closer look; an entry is numbered by ``coordinate * q + observable``."""

    entries: IntArray
    """Those without a PASS for which no step search has been made, ascending, shape (k,)."""
    within_tolerance: IntArray
    """Those among them that have been in no later wave, whose analytical derivative lies within the tolerance, and
    whose rounding would leave room for a verdict: only a guess of the truncation error stands against it."""
    distance: FloatArray
    """How far the two derivatives of each entry are apart, relative to the larger of them, shape (k,)."""


def needs_refinement(comparison: Comparison, error: float) -> Refinement:
    """What the results so far leave open.

    Without an analytical derivative these are the entries whose error bar is wider than the tolerance.

    Parameters
    ----------
    error : float
        Error of fun's values.
    """
    q = comparison.ledger.info.spec.observables
    found: list[IntArray] = [np.empty(0, dtype=np.int64)]
    close: list[IntArray] = [np.empty(0, dtype=np.int64)]
    far: list[FloatArray] = [np.empty(0)]
    for array in comparison.arrays:
        for chunk in comparison.chunks(array):
            rows = np.flatnonzero(_is_open(comparison, chunk))
            probe, element = np.divmod(chunk.start + rows, array.leaf.size)
            entries = (array.leaf.start + element) * q + array.observables[0] + probe
            allowed, size = chunk.allowed[rows], np.abs(chunk.residual[rows])
            within = (size <= allowed) & (ROUNDING * error <= allowed * chunk.step[rows])
            off = relative(size, chunk.analytical[rows], chunk.numerical[rows], chunk.rms)
            found.append(entries)
            close.append(entries[within])
            far.append(np.nan_to_num(off, nan=np.inf))
    entries, within_tolerance, distance = np.concatenate(found), np.concatenate(close), np.concatenate(far)
    for wave in comparison.ledger.waves[1:]:
        done = entries_of(wave, q)
        within_tolerance = np.setdiff1d(within_tolerance, done, assume_unique=True)
        if wave.kind == SEARCH:
            keep = ~np.isin(entries, done)
            entries, distance = entries[keep], distance[keep]
    if q > 1:  # the arrays by name are in another order
        order = np.argsort(entries)
        entries, distance = entries[order], distance[order]
        within_tolerance = np.sort(within_tolerance)
    return Refinement(entries, within_tolerance, distance)


def _is_open(comparison: Comparison, chunk: ComparedChunk) -> np.ndarray:
    if comparison.has_analytical:
        unclear = (chunk.verdict != PASS) & np.isfinite(chunk.analytical)
    else:
        allowed = comparison.tolerance.allowed(chunk.numerical, chunk.numerical, chunk.rms)
        unclear = ~(chunk.uncertainty <= allowed) & (chunk.state != estimates.FLAT)
    return np.asarray(unclear & np.isin(chunk.state, LOOKED_AT))


def entries_of(wave: Wave, q: int) -> IntArray:
    """Entries that a later wave covers, ascending."""
    assert wave.index is not None
    if wave.wanted is None:
        return (wave.index[:, None] * q + np.arange(q)).reshape(-1) if q > 1 else wave.index
    line, observable = np.nonzero(wave.wanted)
    return wave.index[line] * q + observable


def wave_of(number: int, entries: IntArray, q: int, block_size: int, kind: str) -> Wave:
    """A wave along the lines of some entries, which are ascending."""
    if q == 1:
        return Wave(number, len(entries), max(1, min(block_size, len(entries))), kind, entries)
    index, line = np.unique(entries // q, return_inverse=True)
    wanted = np.zeros((len(index), q), dtype=bool)
    wanted[line, entries % q] = True
    return Wave(number, len(index), max(1, min(block_size, len(index))), kind, index, wanted)


def would_fail(comparison: Comparison, most: int) -> tuple[IntArray, FloatArray]:
    """Coordinates that would fail, and their steps: those that a report names of each array, and some at random.

    Parameters
    ----------
    most : int
        Coordinates, at the most.

    Returns
    -------
    ndarray of int64, shape (k,)
        Ascending.
    ndarray of float64, shape (k,)
    """
    rng = np.random.default_rng(most)
    found: list[tuple[float, int, float]] = []
    for array in comparison.arrays:
        wrong: list[tuple[float, int, float]] = []
        for chunk in comparison.chunks(array):
            rows = np.flatnonzero((chunk.verdict == FAIL) & (chunk.step > 0))
            reach = np.abs(chunk.residual[rows]) + chunk.uncertainty[rows]
            excess = reach / np.maximum(chunk.allowed[rows], np.finfo(float).tiny)
            rank = np.full(len(rows), 2.0) + rng.random(len(rows))
            for number, row in enumerate(np.argsort(-excess)[:NAMED]):
                rank[row] = number / NAMED  # before all of those at random, the worst of each array first
            keep = np.argsort(rank)[:most]
            columns = rank[keep], array.leaf.start + chunk.start + rows[keep], chunk.step[rows[keep]]
            wrong += zip(*(column.tolist() for column in columns), strict=True)
        found = sorted([*found, *wrong])[:most]
    chosen = sorted((coordinate, step) for _, coordinate, step in found)
    return np.array([c for c, _ in chosen], dtype=np.int64), np.array([step for _, step in chosen])
