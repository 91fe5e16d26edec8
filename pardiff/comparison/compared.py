"""The two gradients of an audit side by side, stretch by stretch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.comparison.verdicts import RootMeanSquare, judge
from pardiff.problem.space import FloatArray, Leaf
from pardiff.storage.ledger import Ledger, leaf_tiles


@dataclass(frozen=True)
class Stretch:
    """A part of one array, compared; every field has shape (k,)."""

    leaf: Leaf
    start: int
    analytical: FloatArray
    numerical: FloatArray
    uncertainty: FloatArray
    residual: FloatArray
    verdict: NDArray[np.int8]
    state: NDArray[Any]
    nfev: NDArray[Any]
    step: FloatArray


def stretches(ledger: Ledger, leaf: Leaf, rms: float, rtol: float, atol: float) -> Iterator[Stretch]:
    """Compare one array, stretch by stretch, from what the blocks delivered."""
    claimed = bool(ledger.info["claimed"])
    for start, stop in leaf_tiles(leaf):
        found = ledger.estimates(leaf.start + start, leaf.start + stop)
        analytical = ledger.read("analytical", leaf, start, stop)
        residual, verdict = judge(
            analytical, found.numerical, found.uncertainty, found.margin, found.state, rms, rtol, atol, claimed=claimed
        )
        yield Stretch(
            leaf, start, analytical, found.numerical, found.uncertainty, residual, verdict,
            found.state, found.nfev, found.step,
        )  # fmt: skip


def array_rms(ledger: Ledger, leaf: Leaf) -> float:
    """Root mean square of the numerical derivative of one array."""
    rms = RootMeanSquare()
    for start, stop in leaf_tiles(leaf):
        rms.add(ledger.estimates(leaf.start + start, leaf.start + stop).numerical)
    return rms.value
