"""The shortest description of what is wrong with one array."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pardiff.diagnosis.evidence import WORD, Candidate, Evidence, Mask, Region
from pardiff.diagnosis.finding import CERTAIN, LIKELY, POSSIBLE
from pardiff.diagnosis.layouts import structured
from pardiff.diagnosis.regions import ANYWHERE, ELEMENTS, regions
from pardiff.diagnosis.relations import precision_of, related, rounded
from pardiff.diagnosis.residuals import residual, spans
from pardiff.problem.space import FloatArray

KINDS = {
    "nonfinite": "the analytical derivative is not a finite number",
    "detached": "the whole analytical derivative is exactly zero",
    "zero": "a part of the analytical derivative is exactly zero",
    "sign": "the sign is wrong",
    "factor": "a constant factor",
    "clipped": "values are clipped",
    "absolute": "the sign is lost",
    "swapped": "two arrays are swapped",
    "transposed": "axes are permuted",
    "flipped": "an axis is reversed",
    "shifted": "entries are shifted along an axis",
    "reordered": "row-major and column-major order are mixed up",
    "permuted": "slices or entries are permuted",
    "symmetrised": "the analytical derivative is mixed with its transpose",
    "triangle": "one triangle of a matrix is not filled",
    "precision": "the analytical derivative was computed in lower precision",
    "slice": "a row, a column, a border, a tail or a stride is wrong",
    "mask": "what is wrong lies on a diagonal, off it, or where x0 has some property",
    "slice_factor": "a factor for each index of an axis",
    "proportional": "a term proportional to x0 or its sign is missing or too much",
    "chain": "an inner derivative that depends on x0 is missing or too much",
    "affine": "a constant is added",
    "low_rank": "a term of low rank is missing or too much",
    "normalisation": "mean or variance of a normalisation is taken to be fixed",
    "reduction": "a sum or mean takes the place of the entries",
    "centred": "the mean is missing",
    "cumulative": "a cumulative sum, or differences, take the place of the entries",
    "elements": "a few single entries are wrong",
    "unstructured": "no pattern was found",
    "numerical": "the numerical derivative itself is doubtful",
    "cotangent": "the product with a cotangent does not depend on the cotangent",
    "kink": "the analytical derivative is none of the slopes beside a kink",
    "mismatch": "not looked into, as too many arrays fail",
    "common_factor": "all arrays have the same factor",
    "upstream": "all arrays before a layer are wrong: its backward pass is",
}
"""Kinds of findings on a wrong gradient."""

MOST_FINDINGS = 3
"""Descriptions of one array, one for what the others leave open."""
LEAST_SAVED = 4.0
"""Bits that a description must save."""
SURE, APART = 60.0, 20.0
"""Bits saved, and by which no other kind comes near, from which a description is certain."""
RIVAL = 8.0
"""Bits within which another description is named too."""
GENERAL = frozenset({"permuted", "slice_factor", "affine", "low_rank", "normalisation", "slice", "mask"})
"""Kinds with so much freedom that they hold others as special cases, of which they are no rivals."""
PLAIN = frozenset({"sign", "factor", "zero", "transposed", "flipped", "shifted", "reordered", "permuted", "reduction"})
"""Kinds that can be told from each other to the precision of a short type as well."""
GUESSED = frozenset({"precision"})
"""Kinds of which the cause is a guess, however well the description fits."""
NEARLY_ALL = 0.85
"""Share of what fails that a part must hold to be called wrong without a relation: of a few entries here and there,
some are in any part."""
OPEN_BITS = 16.0
"""Bits for the number of an entry whose place is known."""
MANY, SAYS_ALL = 16, 36.0
"""Failing entries of which one short description of all of them is no chance, and the bits that it may take: parts of
the array need not be looked at then."""
NAMED = 3
"""Entries that are named."""
LEFT_OVER = 0.02
"""Share of the failing entries that may be left without a description of their own."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with an array, or a part of it."""

    kind: str
    says: str
    """The sentence from the verb on."""
    where: str
    confidence: str
    explained: int
    """Failing entries that it explains, of those that were looked at."""
    rival: str
    """Another description that is about as short; empty if there is none."""
    numbers: dict[str, object]


def diagnose(evidence: Evidence, sizes: Mapping[int, str]) -> list[Diagnosis]:
    """Descriptions of what is wrong with an array, the one that explains most first.

    Descriptions are compared by their length in bits, as in the minimum description length principle [1]_: a relation,
    a part of the array and each number in them cost some bits, and each failing entry that is not explained, or passing
    one that is contradicted, costs as much as listing it does.

    Parameters
    ----------
    evidence : Evidence
    sizes : mapping of int to str
        Lengths of axes of the problem, by which factors are named.

    Returns
    -------
    list of Diagnosis
        Never empty where something fails; the last is ``unstructured`` or ``elements`` where nothing fits.

    References
    ----------
    .. [1] J. Rissanen, "Modeling by shortest data description", Automatica 14 (1978) 465-471.
    """
    found = _described_in_parts(evidence, sizes)
    if found[0].kind in ("unstructured", "elements"):
        computed = precision_of(evidence)
        if computed is not None and computed[1] > evidence.rtol:
            name, relative = computed
            others = _described_in_parts(replace(evidence, rtol=relative), sizes)
            if others[0].kind in PLAIN:
                found = [_as_computed(others[0], name)]
    return found


def _as_computed(found: Diagnosis, name: str) -> Diagnosis:
    """A description that holds to the precision of a type."""
    says = f"{found.says}, to the precision of {name}, in which it was computed"
    return replace(found, says=says, confidence=LIKELY if found.confidence == CERTAIN else found.confidence)


def _described_in_parts(evidence: Evidence, sizes: Mapping[int, str]) -> list[Diagnosis]:
    """One description after the other, each of what those before it leave open."""
    left = evidence.fail & evidence.known
    total = int(np.count_nonzero(left))
    found: list[Diagnosis] = []
    while len(found) < MOST_FINDINGS and np.count_nonzero(left) > (LEFT_OVER * total if found else 0):
        ranked = _ranked(evidence, left, sizes, first=not found)
        if not ranked or ranked[0][0] < LEAST_SAVED:
            break
        best = ranked[0][3]
        if best.kind == "unstructured":
            break
        explained = left & best.fits & best.compared
        found.append(_described(best, ranked, evidence, explained))
        left &= ~explained
    rest = int(np.count_nonzero(left))
    if not found or (rest > LEFT_OVER * total and len(found) < MOST_FINDINGS):
        found.append(_rest(evidence, left, rest, total))
    elif rest:
        found[-1] = replace(found[-1], says=f"{found[-1].says}{_left_over(evidence, left, rest)}")
    return found


def _left_over(evidence: Evidence, left: Mask, rest: int) -> str:
    """Entries that no description explains."""
    places = [
        ",".join(str(int(held[i])) for held, i in zip(evidence.axes, place, strict=True))
        for place in np.argwhere(left)[:NAMED].tolist()
    ]
    named = ", ".join(f"{evidence.name}[{place}]" for place in places) + (", …" if rest > NAMED else "")
    return f" (that does not explain {named})"


def _ranked(
    evidence: Evidence, left: Mask, sizes: Mapping[int, str], first: bool
) -> list[tuple[float, float, int, Candidate]]:
    """Descriptions by the bits that they save, the best first; of many entries, the first that says all is enough."""
    total = int(np.count_nonzero(left))
    ranked: list[tuple[float, float, int, Candidate]] = []
    for number, candidate in enumerate(_candidates(evidence, left, sizes, first)):
        if candidate is not None:
            ranked.append((candidate.saved(evidence, left), -candidate.bits, number, candidate))
        elif total >= MANY and max(item[0] for item in ranked) >= WORD * total - SAYS_ALL:
            break
    return sorted(ranked, key=lambda item: item[:2], reverse=True)


def _candidates(evidence: Evidence, left: Mask, sizes: Mapping[int, str], first: bool) -> Iterator[Candidate | None]:
    """Descriptions of the whole array, then None, then those of its parts and of its residual."""
    whole, *parts = regions(evidence, left)
    total = np.count_nonzero(left)
    if first or np.count_nonzero(left) > ELEMENTS:  # a few that are left are better called by their names
        yield from related(evidence, whole, sizes)
    yield _wrong(evidence, whole)
    if first:
        yield from structured(evidence)
    yield None
    for region in parts:
        yield from related(evidence, region, sizes)
        held = np.count_nonzero(left & region.mask)
        if region.words not in ("single entries", "a single entry", ANYWHERE) and held >= NEARLY_ALL * total:
            yield _wrong(evidence, region)
    if first:
        yield from residual(evidence)
        yield from rounded(evidence)


def _wrong(evidence: Evidence, region: Region) -> Candidate:
    """A region is wrong, in no relation that is known."""
    fits = evidence.fail & region.mask | ~evidence.fail
    if not region.where:
        return Candidate("unstructured", "", 0.0, fits, evidence.known, region, entry_bits=OPEN_BITS)
    kind = "slice" if region.axis is not None or ":" in region.where else "mask"
    says = f"is wrong ({region.words}), in no pattern that pardiff knows"
    return Candidate(kind, says, region.bits, fits, evidence.known, region, entry_bits=OPEN_BITS)


def _described(
    best: Candidate, ranked: list[tuple[float, float, int, Candidate]], evidence: Evidence, explained: Mask
) -> Diagnosis:
    count = int(np.count_nonzero(explained))
    kind, says = _renamed(best, evidence)
    where = best.region.where if best.region else ""
    saved = ranked[0][0]
    rivals = [
        (s, c)
        for s, _, _, c in ranked[1:]
        if _renamed(c, evidence)[0] != kind and (c.kind not in GENERAL or kind in GENERAL)
    ]
    gap = saved - rivals[0][0] if rivals else SURE
    if count <= best.unknowns + (best.unknowns > 0):
        confidence = POSSIBLE
    else:
        confidence = CERTAIN if saved >= SURE and gap >= APART and kind not in GUESSED else LIKELY
    rival = rivals[0][1].says if rivals and gap < RIVAL and rivals[0][0] >= LEAST_SAVED else ""
    numbers = dict(best.numbers)
    if best.region is not None and best.region.axis is not None:
        numbers |= {"slice_axis": best.region.axis, "slice_indices": list(best.region.indices)}
    return Diagnosis(kind, says, where, confidence, count, rival, numbers)


def _renamed(candidate: Candidate, evidence: Evidence) -> tuple[str, str]:
    """Kind and words, where a region gives a relation a name of its own."""
    where = candidate.region.where if candidate.region else ""
    if candidate.kind == "zero":
        if not where and not evidence.a[evidence.known].any():
            return "detached", "is exactly zero everywhere: perhaps this array is not used in the backward code"
        if "[i <" in where or "[i >" in where:
            assert candidate.region is not None
            return "triangle", f"is exactly zero {candidate.region.words}: only the other triangle is filled"
    return candidate.kind, candidate.says


def _angle(a: FloatArray, d: FloatArray) -> tuple[float, float]:
    """Cosine between two vectors and ratio of their norms, whatever their sizes; NaN if one of them is 0."""
    largest = np.abs(a).max(initial=0.0), np.abs(d).max(initial=0.0)
    if not (largest[0] and largest[1]):
        return float("nan"), float("nan")
    one, other = a / largest[0], d / largest[1]
    norms = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    with np.errstate(over="ignore", under="ignore"):
        return float(one @ other / (norms[0] * norms[1])), float(norms[0] / norms[1] * (largest[0] / largest[1]))


def _rest(evidence: Evidence, left: Mask, rest: int, total: int) -> Diagnosis:
    """What nothing describes."""
    a, d = evidence.a[left], evidence.d[left]
    if evidence.a.size == 1:
        ratio, difference = float(a[0] / d[0]) if d[0] else math.inf, float(a[0] - d[0])
        is_ = f"{ratio:.6g} times the derivative, or " if math.isfinite(ratio) else ""
        says = (
            f"is {is_}{abs(difference):.6g} {'more' if difference > 0 else 'less'} than the derivative: a single entry "
            f"does not tell whether a factor or a term is wrong"
        )
        return Diagnosis("factor", says, "", POSSIBLE, rest, "", {"factor": ratio, "offset": difference})
    if rest <= ELEMENTS and rest < total + (rest < 0.2 * evidence.a.size):
        return Diagnosis("elements", "is wrong in single entries, in no pattern", "", LIKELY, rest, "", {})
    cosine, ratio = _angle(a, d)
    if not np.isfinite(cosine):
        says = "is not 0 where the derivative is" if not d.any() else "is 0 where the derivative is not"
        return Diagnosis("unstructured", says, "", LIKELY, rest, "", {})
    says = (
        f"follows no pattern that pardiff knows: over these entries the cosine between the two derivatives is "
        f"{cosine:.6g}, and |analytical| / |numerical| is {ratio:.6g}{spans(evidence) if rest == total else ''}"
    )
    return Diagnosis("unstructured", says, "", LIKELY, rest, "", {"cosine": cosine, "norm_ratio": ratio})


__all__ = ["KINDS", "WORD", "Diagnosis", "diagnose"]
