"""Two audits side by side: what fails newly, what is fixed, and which derivatives have changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pardiff.comparison.compared import Comparison
from pardiff.problem.named_arrays import NamedArray
from pardiff.problem.options import OPERATIONAL
from pardiff.storage.format import FAIL, KINK, NONFINITE, PASS

NAMED = 3
"""Entries that are named of each array."""


@dataclass(frozen=True)
class ArrayDifference:
    """What has changed in one array."""

    array: str
    state: str
    """``both``, ``added``, ``removed`` or ``reshaped``."""
    failing: int = 0
    """Entries that fail, and did not."""
    fixed: int = 0
    """Entries that pass, and failed."""
    changed: int = 0
    """Entries whose numerical derivative has changed by more than both error bars."""
    analytical_changed: int = 0
    """Entries whose analytical derivative has changed by more than the tolerance."""
    named: tuple[str, ...] = ()
    """Labels of some of these, failing ones first."""
    finding: str = ""
    """What is wrong with it now."""

    @property
    def differs(self) -> bool:
        """Whether there is anything to say."""
        return self.state != "both" or bool(self.failing or self.fixed or self.changed or self.analytical_changed)


@dataclass(frozen=True)
class Difference:
    """What has changed between two audits of one problem."""

    name: str
    arrays: tuple[ArrayDifference, ...]
    options: Mapping[str, tuple[Any, Any]]
    """Options that differ, before and after."""
    verdicts: tuple[str, str]
    point: bool
    """Whether x0 is another one."""
    source: bool
    """Whether the source of the problem is another one."""

    @property
    def newly_failing(self) -> bool:
        """Whether something fails that did not before."""
        return any(array.failing for array in self.arrays)


def compare_audits(
    name: str, before: Comparison, after: Comparison, verdicts: tuple[str, str], findings: Mapping[str, str]
) -> Difference:
    """Compare two audits, each by its own tolerances.

    Parameters
    ----------
    verdicts : tuple of str
        Of the two.
    findings : mapping of str to str
        What is wrong with arrays of the second.
    """
    theirs = {array.name: array for array in before.arrays}
    ours = {array.name: array for array in after.arrays}
    arrays = []
    for label, array in ours.items():
        old = theirs.get(label)
        if old is None or old.shape != array.shape:
            failing = sum(int(np.count_nonzero(_wrong(chunk.verdict))) for chunk in after.chunks(array))
            arrays.append(ArrayDifference(label, "added" if old is None else "reshaped", failing))
        else:
            arrays.append(_array(before, old, after, array))
    arrays += [ArrayDifference(label, "removed") for label in theirs if label not in ours]
    was, now = before.ledger.info, after.ledger.info
    options = (was.settings.to_json(), now.settings.to_json())
    names = sorted({*options[0], *options[1]} - set(OPERATIONAL))
    arrays = [replace(array, finding=findings.get(array.array, "")) for array in arrays]
    changed = {key: (options[0].get(key), options[1].get(key)) for key in names}
    return Difference(
        name=name,
        arrays=tuple(arrays),
        options={key: pair for key, pair in changed.items() if pair[0] != pair[1]},
        verdicts=verdicts,
        point=_point_differs(before, after),
        source=was.fingerprint.get("source") != now.fingerprint.get("source"),
    )


def _point_differs(before: Comparison, after: Comparison) -> bool:
    """Whether arrays of x0 that both have are not the same."""
    theirs = {leaf.name: leaf for leaf in before.ledger.space.leaves}
    return any(
        not np.array_equal(before.ledger.parameters(theirs[leaf.name]), after.ledger.parameters(leaf))
        for leaf in after.ledger.space.leaves
        if leaf.name in theirs and theirs[leaf.name].shape == leaf.shape
    )


def _wrong(verdict: np.ndarray) -> np.ndarray:
    return np.isin(verdict, (FAIL, NONFINITE))


def _array(before: Comparison, old: NamedArray, after: Comparison, new: NamedArray) -> ArrayDifference:
    failing = fixed = changed = analytical_changed = 0
    named: dict[str, None] = {}
    others: dict[str, None] = {}
    for one, other in zip(before.chunks(old), after.chunks(new), strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            moved = np.abs(one.numerical - other.numerical) > one.uncertainty + other.uncertainty
            size = np.maximum(np.abs(one.analytical), np.abs(other.analytical))
            altered = np.abs(one.analytical - other.analytical) > after.tolerance.rtol * size
            altered |= np.isfinite(one.analytical) != np.isfinite(other.analytical)
        newly = _wrong(other.verdict) & ~_wrong(one.verdict)
        mended = _wrong(one.verdict) & np.isin(other.verdict, (PASS, KINK))
        failing, fixed = failing + int(newly.sum()), fixed + int(mended.sum())
        changed, analytical_changed = changed + int(moved.sum()), analytical_changed + int(altered.sum())
        for rows, names in ((newly, named), ((mended | moved | altered) & ~newly, others)):
            for row in np.flatnonzero(rows)[:NAMED]:
                names[new.label(one.start + int(row))] = None
    return ArrayDifference(
        new.name, "both", failing, fixed, changed, analytical_changed, tuple([*named, *others][:NAMED])
    )
