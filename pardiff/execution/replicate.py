"""Some results of every worker, evaluated again by another one: who computes something else is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pardiff.evaluation.fixed_stencil import Estimates
from pardiff.planning.waves import Wave
from pardiff.problem.space import FloatArray
from pardiff.storage.records import Records

DEFAULT = 0.005
"""Part of all coordinates that is evaluated again: half a per cent of the work, and enough to find a worker that is
wrong at one coordinate in a hundred in a job of some thousand."""
LEAST_SECONDS = 4.0
"""Work of a wave below which nothing is done again unless asked for: the tasks for it would take longer than it."""


@dataclass(frozen=True)
class Stretch:
    """Coordinates of a wave that one worker has done, by their numbers in it."""

    wave: int
    start: int
    stop: int
    worker: str


def choose(wave: Wave, records: Records, fraction: float | None) -> list[Stretch]:
    """A stretch of one block of each worker, all of them together about a part of the wave.

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
            found.append(Stretch(wave.number, start, start + length, worker))
            left -= length
            if not left:
                break
    return found


def compare(wave: Wave, stretch: Stretch, by: str, there: Estimates, again: FloatArray) -> dict[str, Any]:
    """How often two evaluations differ, and the entry at which they contradict each other most.

    Parameters
    ----------
    by : str
        The worker of the second.
    there : Estimates
        Of the first.
    again : ndarray, shape (quantities, k)
        Of the second.
    """
    here = Estimates.from_matrix(again)
    same = (there.numerical == here.numerical) | (np.isnan(there.numerical) & np.isnan(here.numerical))
    with np.errstate(invalid="ignore"):
        beyond = np.abs(there.numerical - here.numerical) - (there.uncertainty + here.uncertainty)
    one_is_none = np.isnan(there.numerical) != np.isnan(here.numerical)
    wrong = (beyond > 0) | one_is_none
    found: dict[str, Any] = {
        "coordinates": len(same),
        "other_bits": int((~same).sum()),
        "contradicting": int(wrong.sum()),
        "nfev": int(here.nfev.sum()),
        "workers": [stretch.worker, by],
    }
    if wrong.any():
        row = int(np.argmax(np.where(one_is_none, np.inf, np.where(wrong, beyond, -np.inf))))
        found |= {
            "wave": stretch.wave,
            "number": stretch.start + row,
            "coordinate": int(wave.coordinates(stretch.start + row, stretch.start + row + 1)[0]),
            "values": [float(there.numerical[row]), float(here.numerical[row])],
            "uncertainties": [float(there.uncertainty[row]), float(here.uncertainty[row])],
        }
    return found
