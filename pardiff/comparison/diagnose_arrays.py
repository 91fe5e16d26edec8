"""Findings on the arrays that fail: each for itself, and what they have in common."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pardiff.comparison.compared import Comparison
from pardiff.comparison.gather import Part, gather, share, vectors
from pardiff.diagnosis.across import Case, across
from pardiff.diagnosis.evidence import Evidence
from pardiff.diagnosis.finding import CERTAIN, LIKELY, POSSIBLE, Finding
from pardiff.diagnosis.rules import Diagnosis, diagnose
from pardiff.numerics.estimates import KINKED
from pardiff.problem.named_arrays import NamedArray
from pardiff.storage.format import FAIL
from pardiff.storage.ledger import Ledger, array_chunks

MOST_ARRAYS = 100
"""Failing arrays that are diagnosed; of more, the first ones."""
MOST_SIZES = 1000
MOST_OWNERS = 3
"""Lengths of axes by which factors are named."""
NEAR = 10.0
"""Error bars within which a derivative that fails without a pattern makes the bar itself doubtful."""
NAMED = 3
"""Entries that are named."""
LONGEST = 60
"""Characters of the part of an array that a sentence begins with."""
SAME = 1e-12
"""Relative difference of products with different cotangents that are the same."""

IGNORED = "is the same for every cotangent: vjp ignores u"
NONLINEAR = "is not linear in the cotangent: vjp(x, u0 + u1) is not vjp(x, u0) + vjp(x, u1)"


@dataclass(frozen=True)
class Diagnosed:
    """What was found."""

    by_array: Mapping[str, Sequence[Finding]]
    together: Sequence[Finding]
    """What several arrays have in common."""


@dataclass(frozen=True)
class Failing:
    """An array that fails, with the sentence that says where."""

    array: NamedArray
    message: str
    evidence: dict[str, Any]


def diagnose_arrays(
    comparison: Comparison, failing: Sequence[Failing], wrong: Sequence[str], passing: Sequence[str]
) -> Diagnosed:
    """Say what is wrong with arrays that fail.

    Parameters
    ----------
    failing : sequence of Failing
    wrong, passing : sequence of str
        Names of all arrays that are wrong, those whose analytical derivative is not finite among them, and of those
        that pass.
    """
    ledger = comparison.ledger
    names = [array.name for array in comparison.arrays]
    sizes = _sizes(ledger)
    others = vectors(ledger)
    cases: list[Case] = []
    by_array: dict[str, list[Finding]] = {}
    for one in failing[:MOST_ARRAYS]:
        most = share(min(len(failing), MOST_ARRAYS))
        parts = _Parts(comparison, one.array)
        evidence = gather(comparison, one.array, parts, most, others)
        if not (evidence.fail & evidence.known).any():
            continue
        found = _diagnosed(evidence, sizes)
        if not found:
            continue
        if _ignores_cotangent(ledger, one.array):
            found = [_cotangent(IGNORED)]
        elif one.array.output is not None and one.array.output.name in ledger.info.baseline.nonlinear_outputs:
            found = [_cotangent(NONLINEAR)]
        elif parts.kinks == parts.fails:
            found = [_kink()]
        elif found[0].kind in ("unstructured", "elements") and parts.nearest < NEAR:
            found = [_doubtful(parts.nearest)]
        cases.append(Case(evidence, found, parts.norm))
        by_array[one.array.name] = [_finding(one, number, each, evidence) for number, each in enumerate(found)]
    norm = math.hypot(*(_norm(ledger, array) for array in ledger.arrays)) if len(cases) > 1 else 0.0
    # what arrays have in common is said of gradients; pairs of an output and an array are no layers
    together = across(cases, names, wrong, passing, norm, sizes) if ledger.info.spec.cotangents is None else []
    return Diagnosed(by_array, together)


def _diagnosed(evidence: Evidence, sizes: Mapping[int, str]) -> list[Diagnosis]:
    """Descriptions of an array; none, and a line in the log, if a rule raises: a verdict is not lost to its reason."""
    try:
        with np.errstate(all="ignore"):
            return diagnose(evidence, sizes)
    except Exception:
        logging.getLogger("pardiff").exception("the diagnosis of %s failed", evidence.name)
        return []


class _Parts:
    """Goes through an array, or through the products with the one cotangent at which most fails, and takes note."""

    def __init__(self, comparison: Comparison, array: NamedArray) -> None:
        self._comparison, self._array = comparison, array
        self.fails = self.kinks = 0
        self.nearest = 0.0
        """Largest distance of a failing derivative from the numerical one, in error bars."""
        self.norm = 0.0
        counts = np.zeros(array.probes, dtype=np.int64)
        for chunk in comparison.chunks(array) if array.probes > 1 else ():
            probe = (chunk.start + np.flatnonzero(chunk.verdict == FAIL)) // array.leaf.size
            counts += np.bincount(probe, minlength=array.probes)
        self.probe = int(np.argmax(counts))
        """The cotangent."""

    def __call__(self) -> Iterator[Part]:
        self.fails = self.kinks = 0
        self.nearest = self.norm = 0.0
        low, high = self.probe * self._array.leaf.size, (self.probe + 1) * self._array.leaf.size
        for chunk in self._comparison.chunks(self._array):
            rows = slice(max(low - chunk.start, 0), max(high - chunk.start, 0))
            verdict = chunk.verdict[rows]
            if not len(verdict):
                continue
            fail = verdict == FAIL
            analytical, bar = chunk.analytical[rows], chunk.uncertainty[rows]
            self.fails += int(np.count_nonzero(fail))
            self.kinks += int(np.count_nonzero(fail & (chunk.state[rows] == KINKED)))
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                bars = np.abs(chunk.residual[rows][fail]) / bar[fail]
                self.norm = math.hypot(self.norm, float(np.linalg.norm(analytical[np.isfinite(analytical)])))
            self.nearest = max(self.nearest, float(np.nan_to_num(bars, nan=np.inf).max(initial=0.0)))
            yield max(chunk.start - low, 0), analytical, chunk.numerical[rows], bar, verdict


def _ignores_cotangent(ledger: Ledger, array: NamedArray) -> bool:
    """Whether all cotangents have the same product, which is not zero: a pullback is linear in its cotangent."""
    if array.probes < 2:
        return False
    products = ledger.array("analytical", array)
    size = np.abs(products).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        return bool(size > 0 and (np.abs(products - products[:1]) <= SAME * size).all())


def _cotangent(says: str) -> Diagnosis:
    return Diagnosis("cotangent", f"{says}. It must return the derivative of sum(u * fun(x))", "", CERTAIN, 0, "", {})


def _kink() -> Diagnosis:
    says = (
        "lies outside of both slopes beside a kink of fun: it is wrong, unless several kinks meet there; move x0 off "
        "the kink (--jitter) to judge it"
    )
    return Diagnosis("kink", says, "", LIKELY, 0, "", {})


def _doubtful(bars: float) -> Diagnosis:
    says = (
        f"is within {bars:.1f} error bars of the numerical one wherever it fails, and in no pattern: the bars may be "
        f"too narrow here, see the derivatives at many steps"
    )
    return Diagnosis("numerical", says, "", POSSIBLE, 0, "", {"bars": bars})


def _finding(failing: Failing, number: int, found: Diagnosis, evidence: Evidence) -> Finding:
    subject = found.where if found.where else "the analytical derivative" if number == 0 else "the rest"
    if len(subject) > LONGEST:
        subject = f"{subject[: LONGEST - 3]}…"
    text = f"{subject} {found.says}"
    if found.rival:
        text += f" (or it {found.rival})"
    if found.confidence == POSSIBLE and "single entry" not in text and found.kind != "numerical":
        text += "; so few entries do not tell this from other causes"
    if not evidence.is_whole:
        text += f" (looked at in {evidence.a.size:,} of {math.prod(evidence.shape):,} entries)"
    if number == 0:
        text += f"; {failing.message}"
    numbers = {**(failing.evidence if number == 0 else {}), **found.numbers, "explained": found.explained}
    return Finding(failing.array.name, found.kind, text, numbers, found.where, found.confidence)


def nonfinite_analytical(
    comparison: Comparison, array: NamedArray, counts: Mapping[str, int], wrong: int
) -> list[Finding]:
    """Say where the analytical derivative is not finite, in an array of which other entries fail too."""
    number = wrong - counts["fail"]
    if not counts["fail"] or number <= 0:
        return []
    labels: list[str] = []
    for start, stop in array_chunks(array):
        rows = np.flatnonzero(~np.isfinite(comparison.ledger.read("analytical", array, start, stop)))
        labels += [array.label(start + int(row)) for row in rows[:NAMED]]
    some = ", ".join(labels[:NAMED]) + (", …" if number > NAMED else "")
    message = f"the analytical derivative is not a finite number at {number:,} of {array.size:,} entries: {some}"
    return [Finding(array.name, "nonfinite", message, {"count": number})]


def _sizes(ledger: Ledger) -> dict[int, str]:
    """Lengths of axes and sizes of arrays, with whose they are: of the data, of x0, and of whole arrays of it."""
    owners: dict[int, list[str]] = {}
    for length, of in ledger.info.baseline.lengths:
        owners.setdefault(length, []).append(of)
    for leaf in ledger.space.leaves[:MOST_SIZES]:
        for axis, length in enumerate(leaf.shape):
            of = f"axis {axis} of {leaf.name}" if len(leaf.shape) > 1 else leaf.name
            owners.setdefault(length, []).append(of)
    for leaf in ledger.space.leaves[:MOST_SIZES]:
        if len(leaf.shape) > 1:
            owners.setdefault(leaf.size, [f"{leaf.name}, taken flat"])
    return {length: " or ".join(some[:MOST_OWNERS]) for length, some in owners.items()}


def _norm(ledger: Ledger, array: NamedArray) -> float:
    """Euclidean norm of an analytical derivative."""
    total = 0.0
    for start, stop in array_chunks(array):
        with np.errstate(over="ignore", invalid="ignore"):
            total = math.hypot(total, float(np.linalg.norm(ledger.read("analytical", array, start, stop))))
    return total
