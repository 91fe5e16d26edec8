"""Findings on the arrays that fail: each for itself, and what they have in common."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.comparison.compared import Stretch, stretches
from pardiff.comparison.gather import gather, share, vectors
from pardiff.diagnosis.across import Case, across
from pardiff.diagnosis.evidence import Evidence
from pardiff.diagnosis.finding import LIKELY, POSSIBLE, Finding
from pardiff.diagnosis.rules import Diagnosis, diagnose
from pardiff.evaluation.fixed_stencil import KINKED
from pardiff.problem.space import FloatArray, Leaf, label
from pardiff.storage.format import FAIL
from pardiff.storage.ledger import Ledger, leaf_tiles

MOST_ARRAYS = 100
"""Failing arrays that are diagnosed; of more, the first ones."""
MOST_SIZES = 1000
MOST_OWNERS = 3
"""Lengths of axes by which factors are named."""
NEAR = 10.0
"""Error bars within which a claim that fails without a pattern casts doubt on the bar."""


@dataclass(frozen=True)
class Diagnosed:
    """What was found."""

    by_array: Mapping[str, Sequence[Finding]]
    together: Sequence[Finding]
    """Of several arrays."""


@dataclass(frozen=True)
class Failing:
    """An array that fails, with the sentence that says where."""

    leaf: Leaf
    rms: float
    message: str
    evidence: dict[str, Any]


def diagnose_arrays(
    ledger: Ledger, failing: Sequence[Failing], wrong: Sequence[str], passing: Sequence[str], rtol: float, atol: float
) -> Diagnosed:
    """Say what is wrong with arrays that fail.

    Parameters
    ----------
    failing : sequence of Failing
    wrong, passing : sequence of str
        Names of all arrays that are wrong, those with claims that are not finite among them, and of those that pass.
    rtol, atol : float
    """
    names = [leaf.name for leaf in ledger.layout.leaves if leaf.size]
    sizes = _sizes(ledger)
    others = vectors(ledger, ledger.layout.leaves)
    cases, by_array = [], {}
    for array in failing[:MOST_ARRAYS]:
        most = share(min(len(failing), MOST_ARRAYS))
        parts = _Parts(ledger, array, rtol, atol)
        evidence = gather(ledger, array.leaf, parts, array.rms, rtol, most, others)
        if not (evidence.fail & evidence.known).any():
            continue
        found = _diagnosed(evidence, sizes)
        if not found:
            continue
        if parts.kinks == parts.fails:
            found = [_kink()]
        elif found[0].kind in ("unstructured", "elements") and parts.nearest < NEAR:
            found = [_doubtful(parts.nearest)]
        cases.append(Case(evidence, found, parts.norm))
        by_array[array.leaf.name] = [_finding(array, number, one, evidence) for number, one in enumerate(found)]
    norm = math.hypot(*(_norm(ledger, leaf) for leaf in ledger.layout.leaves)) if len(cases) > 1 else 0.0
    return Diagnosed(by_array, across(cases, names, wrong, passing, norm, sizes))


def _diagnosed(evidence: Evidence, sizes: Mapping[int, str]) -> list[Diagnosis]:
    """Descriptions of an array; none, and a line in the log, if a rule raises: a verdict is not lost to its reason."""
    try:
        with np.errstate(all="ignore"):
            return diagnose(evidence, sizes)
    except Exception:
        logging.getLogger("pardiff").exception("the diagnosis of %s failed", evidence.name)
        return []


class _Parts:
    """Goes through the stretches of an array, and takes note of what they are."""

    def __init__(self, ledger: Ledger, array: Failing, rtol: float, atol: float) -> None:
        self._source = (ledger, array.leaf, array.rms, rtol, atol)
        self.fails = self.kinks = 0
        self.nearest = 0.0
        """Largest distance of a failing claim from the derivative, in error bars."""
        self.norm = 0.0

    def __call__(self) -> Iterator[tuple[int, FloatArray, FloatArray, FloatArray, NDArray[np.int8]]]:
        self.fails = self.kinks = 0
        self.nearest = self.norm = 0.0
        for part in stretches(*self._source):
            self._note(part)
            yield part.start, part.analytical, part.numerical, part.uncertainty, part.verdict

    def _note(self, part: Stretch) -> None:
        rows = part.verdict == FAIL
        self.fails += int(np.count_nonzero(rows))
        self.kinks += int(np.count_nonzero(rows & (part.state == KINKED)))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            bars = np.abs(part.residual[rows]) / part.uncertainty[rows]
            self.norm = math.hypot(self.norm, float(np.linalg.norm(part.analytical[np.isfinite(part.analytical)])))
        self.nearest = max(self.nearest, float(np.nan_to_num(bars, nan=np.inf).max(initial=0.0)))


def _kink() -> Diagnosis:
    says = (
        "lies outside of both slopes beside a kink of fun: it is wrong, unless several kinks meet there; move x0 off "
        "the kink (--jitter) to judge it"
    )
    return Diagnosis("kink", says, "", LIKELY, 0, "", {})


def _doubtful(bars: float) -> Diagnosis:
    says = (
        f"is within {bars:.1f} error bars of the derivative wherever it fails, and in no pattern: the bars may be "
        f"too narrow here, see the derivatives at many steps"
    )
    return Diagnosis("numerical", says, "", POSSIBLE, 0, "", {"bars": bars})


def _finding(array: Failing, number: int, found: Diagnosis, evidence: Evidence) -> Finding:
    name = array.leaf.name
    subject = found.where if found.where else "the claim" if number == 0 else "the rest"
    if len(subject) > 60:
        subject = f"{subject[:57]}…"
    text = f"{subject} {found.says}"
    if found.rival:
        text += f" (or it {found.rival})"
    if found.confidence == POSSIBLE and "single entry" not in text and found.kind != "numerical":
        text += "; so few entries do not tell this from other causes"
    if not evidence.is_whole:
        text += f" (looked at in {evidence.a.size:,} of {math.prod(evidence.shape):,} entries)"
    if number == 0:
        text += f"; {array.message}"
    numbers = {**(array.evidence if number == 0 else {}), **found.numbers, "explained": found.explained}
    return Finding(name, found.kind, text, numbers, found.where, found.confidence)


def nonfinite_claims(ledger: Ledger, leaf: Leaf, counts: Mapping[str, int], wrong: int) -> list[Finding]:
    """Where a claim is not finite, of an array of which other entries fail too."""
    number = wrong - counts["fail"]
    if not counts["fail"] or number <= 0:
        return []
    labels: list[str] = []
    for start, stop in leaf_tiles(leaf):
        rows = np.flatnonzero(~np.isfinite(ledger.read("analytical", leaf, start, stop)))
        places = (np.unravel_index(start + int(row), leaf.shape) for row in rows[:NAMED])
        labels += [label(leaf.name, tuple(int(i) for i in place)) for place in places]
    some = ", ".join(labels[:NAMED]) + (", …" if number > NAMED else "")
    message = f"the claim is not a finite number at {number:,} of {leaf.size:,} entries: {some}"
    return [Finding(leaf.name, "nonfinite", message, {"count": number})]


NAMED = 3
"""Entries that are named."""


def _sizes(ledger: Ledger) -> dict[int, str]:
    """Lengths of axes and sizes of arrays, with whose they are: of the data, of x0, and of whole arrays of it."""
    owners: dict[int, list[str]] = {}
    for length, of in ledger.info["start"]["lengths"]:
        owners.setdefault(length, []).append(of)
    for leaf in ledger.layout.leaves[:MOST_SIZES]:
        for axis, length in enumerate(leaf.shape):
            of = f"axis {axis} of {leaf.name}" if len(leaf.shape) > 1 else leaf.name
            owners.setdefault(length, []).append(of)
    for leaf in ledger.layout.leaves[:MOST_SIZES]:
        if len(leaf.shape) > 1:
            owners.setdefault(leaf.size, [f"{leaf.name}, taken flat"])
    return {length: " or ".join(some[:MOST_OWNERS]) for length, some in owners.items()}


def _norm(ledger: Ledger, leaf: Leaf) -> float:
    """Euclidean norm of a claim."""
    total = 0.0
    for start, stop in leaf_tiles(leaf):
        with np.errstate(over="ignore", invalid="ignore"):
            total = math.hypot(total, float(np.linalg.norm(ledger.read("analytical", leaf, start, stop))))
    return total
