"""The finding on a test point that hides faults."""

from __future__ import annotations

import numpy as np

from pardiff.diagnosis.finding import POSSIBLE, Finding
from pardiff.diagnosis.hidden_faults import hidden_by_lengths, hidden_by_values, properties
from pardiff.problem.space import Leaf
from pardiff.storage.ledger import Ledger

MOST = 1 << 14
"""Entries of an array that are looked at; a larger one is looked at in its first ones, as a line."""
MOST_ARRAYS = 200


def point_findings(ledger: Ledger) -> list[Finding]:
    """What x0, and the derivative at it, would not show; nothing where there is nothing to test."""
    if not ledger.info.has_analytical:
        return []
    leaves = [leaf for leaf in ledger.space.leaves if leaf.size][:MOST_ARRAYS]
    named = [(leaf.name, _properties(ledger, leaf)) for leaf in leaves]
    lengths = [length for leaf in ledger.space.leaves for length in leaf.shape]
    values, extents = hidden_by_values(named), hidden_by_lengths(lengths)
    parts = []
    if values:
        moved = ledger.info.settings.jitter
        parts.append(values + ("" if moved else "; a jitter of 0.1 tests beside it"))
    if extents:
        parts.append(f"{extents}; a problem of another size would show them")
    if not parts:
        return []
    evidence = {"arrays": {name: found for name, found in named if found}}
    text = f"this point may hide faults: {'; '.join(parts)}"
    return [Finding("", "test_point", text, evidence, confidence=POSSIBLE)]


def _properties(ledger: Ledger, leaf: Leaf) -> list[str]:
    """Properties of one array, and of its derivative, over all observables where there are several."""
    count = min(leaf.size, MOST)
    shape = leaf.shape if count == leaf.size else (count,)
    x = np.asarray(ledger.parameters(leaf), dtype=float).reshape(-1)[:count]
    found = ledger.lines(leaf.start, leaf.start + count)
    numerical, uncertainty = found.numerical[:, 0], found.uncertainty[:, 0]
    if found.numerical.shape[1] > 1:
        numerical, uncertainty = (np.abs(part).max(axis=1) for part in (found.numerical, found.uncertainty))
    return properties(x.reshape(shape), numerical.reshape(shape), uncertainty.reshape(shape))
