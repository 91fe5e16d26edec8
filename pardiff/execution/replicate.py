"""Some results of every worker, evaluated again by another one: who computes something else is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pardiff.numerics.estimates import Estimates
from pardiff.planning.waves import Wave
from pardiff.problem.space import FloatArray
from pardiff.storage.info import Replication
from pardiff.storage.records import Records

DEFAULT = 0.005
"""Part of all coordinates that is evaluated again: half a per cent of the work, and enough to find a worker that is
wrong at one coordinate in a hundred in a job of some thousand."""
LEAST_SECONDS = 4.0
"""Work of a wave below which nothing is done again unless asked for: the tasks for it would take longer than it."""


@dataclass(frozen=True)
class Span:
    """Lines of a wave that one worker has done, by their numbers in it."""

    wave: int
    start: int
    stop: int
    worker: str


def choose(wave: Wave, records: Records, fraction: float | None) -> list[Span]:
    """Some lines of one block of each worker, all of them together about a part of the wave.

    Parameters
    ----------
    fraction : float or None
        The part; None for the default, where the wave is long enough.
    """
    if fraction is None and records.column("seconds").sum() < LEAST_SECONDS:
        return []
    number, starts, stops = records.column("worker"), records.starts, records.stops
    by_worker = {name: np.flatnonzero(number == k) for k, name in enumerate(records.names) if (number == k).any()}
    if len(by_worker) < 2 or fraction == 0:
        return []
    rng = np.random.default_rng(wave.number)
    found = []
    for worker, mine in sorted(by_worker.items()):
        left = max(1, round((fraction or DEFAULT) * int((stops - starts)[mine].sum())))
        for row in mine[rng.permutation(len(mine))].tolist():
            size = int(stops[row] - starts[row])
            length = min(left, size)
            start = int(starts[row]) + int(rng.integers(size - length + 1))
            found.append(Span(wave.number, start, start + length, worker))
            left -= length
            if not left:
                break
    return found


def compare_again(
    wave: Wave, span: Span, by: str, there: Estimates, again: FloatArray, label: Callable[[int, int], str]
) -> Replication:
    """How often two evaluations differ, and the entry at which they contradict each other most.

    Parameters
    ----------
    by : str
        The worker of the second.
    there : Estimates
        Of the first, shape (k, q).
    again : ndarray, shape (quantities, k, q)
        Of the second.
    label : callable
        From a coordinate and an observable to the name of the entry.
    """
    here = Estimates.from_matrix(again)
    same = (there.numerical == here.numerical) | (np.isnan(there.numerical) & np.isnan(here.numerical))
    with np.errstate(invalid="ignore"):
        beyond = np.abs(there.numerical - here.numerical) - (there.uncertainty + here.uncertainty)
    one_is_none = np.isnan(there.numerical) != np.isnan(here.numerical)
    wrong = (beyond > 0) | one_is_none
    found = Replication(
        wave=span.wave,
        coordinates=len(same),
        other_bits=int((~same).sum()),
        contradicting=int(wrong.sum()),
        nfev=int(here.nfev[:, 0].sum()),
        workers=(span.worker, by),
    )
    if not wrong.any():
        return found
    worst = np.where(one_is_none, np.inf, np.where(wrong, beyond, -np.inf))
    row, observable = (int(i) for i in np.unravel_index(int(np.argmax(worst)), worst.shape))
    number = span.start + row
    return replace(
        found,
        label=label(int(wave.coordinates(number, number + 1)[0]), observable),
        values=(float(there.numerical[row, observable]), float(here.numerical[row, observable])),
        uncertainties=(float(there.uncertainty[row, observable]), float(here.uncertainty[row, observable])),
    )
