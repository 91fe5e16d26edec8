"""Two audits side by side: what fails newly, what is mended, and which derivatives have changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pardiff.comparison.compared import array_rms, stretches
from pardiff.problem.options import OPERATIONAL
from pardiff.problem.space import Leaf, label
from pardiff.storage.format import FAIL, KINK, NONFINITE, PASS
from pardiff.storage.ledger import Ledger

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
    mended: int = 0
    """Entries that pass, and failed."""
    changed: int = 0
    """Entries whose numerical derivative has changed by more than both error bars."""
    claims: int = 0
    """Entries whose claim has changed by more than the tolerance."""
    named: tuple[str, ...] = ()
    """Labels of some of these, failing ones first."""
    finding: str = ""
    """What is wrong with it now."""

    @property
    def differs(self) -> bool:
        """Whether there is anything to say."""
        return self.state != "both" or bool(self.failing or self.mended or self.changed or self.claims)


@dataclass(frozen=True)
class Difference:
    """What has changed between two audits of one problem."""

    name: str
    arrays: tuple[ArrayDifference, ...]
    settings: Mapping[str, tuple[Any, Any]]
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


def compare(
    name: str, before: Ledger, after: Ledger, verdicts: tuple[str, str], findings: Mapping[str, str]
) -> Difference:
    """Compare two audits, each by its own tolerances.

    Parameters
    ----------
    verdicts : tuple of str
        Of the two.
    findings : mapping of str to str
        What is wrong with arrays of the second.
    """
    theirs = {leaf.name: leaf for leaf in before.layout.leaves if leaf.size}
    ours = {leaf.name: leaf for leaf in after.layout.leaves if leaf.size}
    arrays = []
    for array, leaf in ours.items():
        old = theirs.get(array)
        if old is None or old.shape != leaf.shape:
            failing = sum(int(np.count_nonzero(_wrong(verdict))) for verdict in _verdicts(after, leaf))
            arrays.append(ArrayDifference(array, "added" if old is None else "reshaped", failing))
        else:
            arrays.append(_array(before, old, after, leaf))
    arrays += [ArrayDifference(array, "removed") for array in theirs if array not in ours]
    options = (before.info["settings"], after.info["settings"])
    names = sorted({*options[0], *options[1]} - set(OPERATIONAL))
    arrays = [replace(array, finding=findings.get(array.array, "")) for array in arrays]
    settings = {key: (options[0].get(key), options[1].get(key)) for key in names}
    return Difference(
        name=name,
        arrays=tuple(arrays),
        settings={key: pair for key, pair in settings.items() if pair[0] != pair[1]},
        verdicts=verdicts,
        point=any(
            not np.array_equal(before.array("x0", theirs[array]), after.array("x0", ours[array]))
            for array in ours
            if array in theirs and theirs[array].shape == ours[array].shape
        ),
        source=before.info.get("fingerprint", {}).get("source") != after.info.get("fingerprint", {}).get("source"),
    )


def _wrong(verdict: np.ndarray) -> np.ndarray:
    return np.isin(verdict, (FAIL, NONFINITE))


def _verdicts(ledger: Ledger, leaf: Leaf) -> Iterator[np.ndarray]:
    settings = ledger.info["settings"]
    for part in stretches(ledger, leaf, array_rms(ledger, leaf), settings["rtol"], settings["atol"]):
        yield part.verdict


def _array(before: Ledger, old: Leaf, after: Ledger, new: Leaf) -> ArrayDifference:
    parts = [
        stretches(
            ledger, leaf, array_rms(ledger, leaf), ledger.info["settings"]["rtol"], ledger.info["settings"]["atol"]
        )
        for ledger, leaf in ((before, old), (after, new))
    ]
    rtol = after.info["settings"]["rtol"]
    failing = mended = changed = claims = 0
    named: dict[str, None] = {}
    others: dict[str, None] = {}
    for one, other in zip(*parts, strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            moved = np.abs(one.numerical - other.numerical) > one.uncertainty + other.uncertainty
            size = np.maximum(np.abs(one.analytical), np.abs(other.analytical))
            claimed = np.abs(one.analytical - other.analytical) > rtol * size
            claimed |= np.isfinite(one.analytical) != np.isfinite(other.analytical)
        newly = _wrong(other.verdict) & ~_wrong(one.verdict)
        fixed = _wrong(one.verdict) & np.isin(other.verdict, (PASS, KINK))
        failing, mended = failing + int(newly.sum()), mended + int(fixed.sum())
        changed, claims = changed + int(moved.sum()), claims + int(claimed.sum())
        for rows, names in ((newly, named), ((fixed | moved | claimed) & ~newly, others)):
            for row in np.flatnonzero(rows)[:NAMED]:
                place = tuple(int(i) for i in np.unravel_index(one.start + int(row), new.shape))
                names[label(new.name, place)] = None
    return ArrayDifference(new.name, "both", failing, mended, changed, claims, tuple([*named, *others][:NAMED]))
