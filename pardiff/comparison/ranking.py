"""The entries that matter most: wrong ones first, then those nearest to their tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pardiff.comparison.compared import ComparedChunk, Comparison
from pardiff.numerics.estimates import STATES
from pardiff.problem.named_arrays import NamedArray
from pardiff.storage.format import ERROR, FAIL, INCONCLUSIVE, KINK, MISSING, NONFINITE, PASS, VERDICTS

SEVERITY = {FAIL: 6, NONFINITE: 5, ERROR: 4, INCONCLUSIVE: 3, KINK: 2, PASS: 1, MISSING: 0}
"""Order in which entries are shown; of one that is missing there is nothing to show."""

Ranked = tuple[tuple[int, float], "Entry"]
"""An entry behind its severity and its distance in units of the tolerance."""


@dataclass(frozen=True)
class Entry:
    """One derivative, with all that is known of it."""

    array: str
    index: tuple[int, ...]
    """The index in the array; the number of the cotangent stands first where fun has outputs."""
    label: str
    numerical: float
    analytical: float
    residual: float
    """Analytical minus numerical."""
    uncertainty: float
    margin: float
    """Distance from the numerical derivative beyond which, with the tolerance, the entry fails."""
    tolerance: float
    step: float
    nfev: int
    verdict: str
    state: str
    """What became of the numerical derivative: ``done``, ``searched``, ``kink``, ..."""


def worst_of(comparison: Comparison, array: NamedArray, count: int, only: int | None = None) -> list[Entry]:
    """The entries of an array that matter most: failures first, each kind by distance from its tolerance.

    Parameters
    ----------
    only : int or None
        Code of the one verdict that counts.
    """
    return [entry for _, entry in _ranked(comparison, array, count, only)]


def worst(comparison: Comparison, count: int, arrays: Sequence[NamedArray] | None = None) -> list[Entry]:
    """The entries of the whole audit, or of some arrays, that matter most."""
    chosen = comparison.arrays if arrays is None else arrays
    ranked = [item for array in chosen for item in _ranked(comparison, array, count)]
    ranked.sort(key=lambda item: item[0], reverse=True)
    return [entry for _, entry in ranked[:count]]


def _ranked(comparison: Comparison, array: NamedArray, count: int, only: int | None = None) -> list[Ranked]:
    severity = np.array([SEVERITY[code] for code in range(len(VERDICTS))])
    ranked: list[Ranked] = []
    for chunk in comparison.chunks(array):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            excess = (np.abs(chunk.residual) + chunk.uncertainty) / chunk.allowed
        excess[np.isnan(excess)] = np.inf
        ranks = severity[chunk.verdict]
        order = np.lexsort((np.arange(len(excess), 0, -1), excess, ranks))[::-1]
        for row in order[:count] if only is None else order[chunk.verdict[order] == only][:count]:
            ranked.append(((int(ranks[row]), float(excess[row])), _entry(chunk, int(row))))
    ranked.sort(key=lambda item: item[0], reverse=True)
    return ranked[:count]


def _entry(chunk: ComparedChunk, row: int) -> Entry:
    array, number = chunk.array, chunk.start + row
    return Entry(
        array=array.name,
        index=tuple(int(i) for i in np.unravel_index(number, array.shape)),
        label=array.label(number),
        numerical=float(chunk.numerical[row]),
        analytical=float(chunk.analytical[row]),
        residual=float(chunk.residual[row]),
        uncertainty=float(chunk.uncertainty[row]),
        margin=float(chunk.margin[row]),
        tolerance=float(chunk.allowed[row]),
        step=float(chunk.step[row]),
        nfev=int(chunk.nfev[row]),
        verdict=VERDICTS[chunk.verdict[row]],
        state=STATES[int(chunk.state[row])],
    )
