"""Relations of single entries: an analytical derivative that is some function of the derivative at the same entry and
of x0 there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.diagnosis.evidence import TRUE_OF_PART, WORD, Candidate, Evidence, Mask, Region, fits
from pardiff.diagnosis.names import name_factor
from pardiff.problem.space import FloatArray, IntArray

SIMPLE_BITS, KNOWN_BITS = 4.0, 10.0
"""Length of a relation without a number of its own, among a few and among many."""
SPREAD = 1e-3
"""Relative spread of a function of x0 from which it is told from a constant."""
SAMPLE, PROMISING = 64, 0.4
"""Failing entries of a large region on which a relation is tried first, and share of them that it must fit."""
FLAT = 1e-6
"""Factor below which an analytical derivative does not depend on the derivative."""
NOTHING = 1e-9
"""Part of the analytical derivative below which a term of it is the rounding of a fit."""
DUST = 1e-9
"""Factor below which an analytical derivative is what rounding has left of zero."""
CLIPPED = 2
"""Entries of the same largest size from which a clip is seen."""


@dataclass(frozen=True)
class Fit:
    """What a relation predicts of the analytical derivative at the entries of a region."""

    kind: str
    says: str
    bits: float
    predicted: FloatArray
    bar: FloatArray
    numbers: dict[str, Any]
    unknowns: int = 0
    exact: bool = False
    """The analytical derivative must be what is predicted to the last bit."""


@dataclass(frozen=True)
class Rows:
    """The known entries of a region, each field of shape (k,)."""

    a: FloatArray
    d: FloatArray
    u: FloatArray
    x: FloatArray
    allowed: FloatArray
    fail: Mask

    def at(self, rows: IntArray) -> Rows:
        """Some of them."""
        return Rows(self.a[rows], self.d[rows], self.u[rows], self.x[rows], self.allowed[rows], self.fail[rows])

    def fits(self, fit: Fit) -> Mask:
        """Tell where the analytical derivative is what is predicted."""
        if fit.exact:
            return np.asarray(fit.predicted == self.a)
        return fits(fit.predicted, fit.bar, self.a, self.d, self.u, self.allowed, self.fail)


def _median(fail: Mask, numerator: FloatArray, denominator: FloatArray) -> float:
    """Median ratio at the failing entries where it is well known; NaN if there is none."""
    rows = fail & (np.abs(denominator) > 0) & np.isfinite(denominator) & np.isfinite(numerator)
    ratio, weight = numerator[rows] / denominator[rows], np.abs(denominator[rows])
    if not len(ratio):
        return float("nan")
    ratio = ratio[weight >= 0.1 * np.median(weight)]
    middle = np.sort(ratio)[(len(ratio) - 1) // 2]
    near = ratio[np.abs(ratio - middle) <= 1e-4 * abs(middle)]
    return float(np.median(near)) if len(near) else float(middle)


def related(evidence: Evidence, region: Region, sizes: Mapping[int, str]) -> Iterator[Candidate]:
    """Descriptions of the analytical derivative within a region, the derivative being right outside of it."""
    inside = region.mask & evidence.known
    fail = evidence.fail[inside]
    a, d, u, x = (values[inside] for values in (evidence.a, evidence.d, evidence.u, evidence.x))
    rows = Rows(a, d, u, x, evidence.allowed[inside], fail)
    if not fail.any():
        return
    few = _some(fail)
    with np.errstate(all="ignore"):
        for relation in RELATIONS:
            if few is not None:  # what fits none of a few entries is not looked at in all of them
                sample = rows.at(few)
                shares = [np.count_nonzero(sample.fits(fit)) for fit in relation(sample, sizes)]
                if max(shares, default=0) < PROMISING * len(few):
                    continue
            for fit in relation(rows, sizes):
                right = np.array(~evidence.fail)
                right[inside] = rows.fits(fit)
                yield Candidate(
                    fit.kind, fit.says, fit.bits + region.bits, right, evidence.known, region, fit.numbers, fit.unknowns
                )


def _some(fail: Mask) -> IntArray | None:
    """A few of many failing entries; None where they are few."""
    rows = np.flatnonzero(fail)
    if len(rows) <= 4 * SAMPLE:
        return None
    return np.random.default_rng(len(rows)).choice(rows, SAMPLE, replace=False)


def _zero(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    zero = np.zeros_like(rows.a)
    yield Fit("zero", "is exactly zero", SIMPLE_BITS, zero, zero, {}, exact=True)


def _sign(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    yield Fit("sign", "has the wrong sign", SIMPLE_BITS, -rows.d, rows.u, {"factor": -1.0})
    yield Fit("absolute", "is the size of the derivative, without its sign", 12.0, np.abs(rows.d), rows.u, {})


def _factor(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    factor = _median(rows.fail, rows.a, rows.d)
    if not np.isfinite(factor) or factor == 0 or abs(factor + 1) < 1e-6:
        return
    if abs(factor) < DUST:
        largest, zero = float(np.abs(rows.a).max()), np.zeros_like(rows.a)
        says = f"is zero but for rounding, {largest:.1g} at the most"
        yield Fit("zero", says, KNOWN_BITS, zero, np.full_like(rows.a, largest), {})
        return
    named = name_factor(factor, sizes)
    text, bits = named or (f"{factor:.7g}", WORD)
    says = f"is the derivative times {text}" + (", and so of the wrong sign" if factor < 0 else "")
    yield Fit("factor", says, bits, factor * rows.d, factor * rows.u, {"factor": factor}, unknowns=1)


def _clipped(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    if not len(rows.a):
        return
    largest = float(np.abs(rows.a).max())
    # an accident of one entry, or of all, is no clip
    most = np.abs(rows.a) == largest
    if np.count_nonzero(most) >= CLIPPED and largest > 0 and (np.abs(rows.d[most]) > largest).all():
        predicted = np.clip(rows.d, -largest, largest)
        says = f"is clipped to at most {largest:g} in size"
        yield Fit("clipped", says, 12.0, predicted, rows.u, {"limit": largest}, unknowns=1)


def _offset(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    offset = _median(rows.fail, rows.a - rows.d, np.ones_like(rows.d))
    if np.isfinite(offset) and offset:
        says = f"is the derivative {'plus' if offset > 0 else 'minus'} {abs(offset):.6g}"
        yield Fit("affine", says, WORD, rows.d + offset, rows.u, {"offset": offset, "factor": 1.0}, unknowns=1)


def _affine(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    if np.count_nonzero(rows.fail) < 4:
        return
    keep = np.ones(len(rows.a), dtype=bool)
    slope = offset = 0.0
    for _ in range(2):
        (slope, offset), *_ = np.linalg.lstsq(
            np.column_stack([rows.d[keep], np.ones(np.count_nonzero(keep))]), rows.a[keep], rcond=None
        )
        off = np.abs(slope * rows.d + offset - rows.a)
        keep = off <= np.quantile(off, 0.9)
    if np.isfinite(slope) and np.isfinite(offset) and abs(slope) > FLAT:
        sign = "+" if offset > 0 else "-"
        says = f"is the derivative times {slope:.6g}, {sign} {abs(offset):.6g}"
        numbers = {"factor": float(slope), "offset": float(offset)}
        yield Fit("affine", says, 2 * WORD, slope * rows.d + offset, slope * rows.u, numbers, unknowns=2)


def _constant(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    value = float(np.sort(rows.a[rows.fail])[np.count_nonzero(rows.fail) // 2])
    if value and np.ptp(rows.d) > SPREAD * np.abs(rows.d).max(initial=0.0):
        says = f"is {value:.6g} everywhere, whatever the derivative is"
        yield Fit("affine", says, WORD, np.full_like(rows.d, value), 0 * rows.d, {"factor": 0.0, "offset": value}, 1)


def _proportional(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    for term, words, value in (("x0", "weight decay, L2", rows.x), ("sign(x0)", "L1", np.sign(rows.x))):
        if not np.ptp(value) > SPREAD * np.abs(value).max(initial=0.0):
            continue
        factor = _median(rows.fail, rows.a - rows.d, value)
        if not np.isfinite(factor) or factor == 0:
            continue
        does = "lacks" if factor < 0 else "has an extra"
        says = f"{does}{' a' if factor < 0 else ''} term {abs(factor):.6g} · {term} ({words})"
        bits = WORD + (2.0 if term != "x0" else 0.0)
        yield Fit("proportional", says, bits, rows.d + factor * value, rows.u, {"factor": factor}, unknowns=1)


FUNCTIONS: tuple[tuple[str, Callable[[FloatArray], FloatArray]], ...] = (
    ("x0", lambda x: x),
    ("1/x0", lambda x: 1 / x),
    ("exp(x0)", np.exp),
    ("exp(-x0)", lambda x: np.exp(-x)),
    ("x0²", lambda x: x**2),
    ("1/x0²", lambda x: x**-2),
    ("exp(2 x0)", lambda x: np.exp(2 * x)),
    ("exp(-2 x0)", lambda x: np.exp(-2 * x)),
    ("|x0|", np.abs),
    ("sign(x0)", np.sign),
    ("√x0", np.sqrt),
    ("1/√x0", lambda x: 1 / np.sqrt(x)),
    ("1/(1 + exp(-x0))", lambda x: 1 / (1 + np.exp(-x))),
    ("1 + exp(-x0)", lambda x: 1 + np.exp(-x)),
    ("x0 (1 - x0)", lambda x: x * (1 - x)),
    ("1/(x0 (1 - x0))", lambda x: 1 / (x * (1 - x))),
    ("1 - tanh²(x0)", lambda x: 1 - np.tanh(x) ** 2),
    ("1/(1 - tanh²(x0))", lambda x: 1 / (1 - np.tanh(x) ** 2)),
    ("1 - x0²", lambda x: 1 - x**2),
    ("1/(1 - x0²)", lambda x: 1 / (1 - x**2)),
    ("cos(x0)", np.cos),
    ("1/cos(x0)", lambda x: 1 / np.cos(x)),
    ("sigmoid'(x0)", lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    ("1/sigmoid'(x0)", lambda x: (1 + np.exp(-x)) ** 2 / np.exp(-x)),
)
"""Factors that are left out, or put in twice, where a parameter is a function of another."""


def _chain(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    for name, function in FUNCTIONS:
        value = function(rows.x)
        at = value[rows.fail]
        at = at[np.isfinite(at)]
        if len(at) < 2 or not np.ptp(at) > SPREAD * np.abs(at).max():
            continue
        factor = _median(rows.fail, rows.a, rows.d * value)
        if not np.isfinite(factor) or factor == 0:
            continue
        if abs(factor - 1) < 1e-5:
            text, bits, factor, unknowns = f"times {name}", KNOWN_BITS, 1.0, 0
        else:
            named = name_factor(factor, {})
            text, bits = f"times {factor:.6g} · {name}", KNOWN_BITS + (named[1] if named else WORD)
            unknowns = 1
        bar = factor * value * rows.u
        says = f"is the derivative {text}: perhaps the chain rule was not applied, or was applied twice"
        yield Fit("chain", says, bits, factor * value * rows.d, bar, {"function": name, "factor": factor}, unknowns)


def _mixed(rows: Rows, sizes: Mapping[int, str]) -> Iterator[Fit]:
    """A factor in all but a term of x0, such as weight decay."""
    if np.count_nonzero(rows.fail) < 5 or not np.ptp(rows.x) > 0:
        return
    columns = np.column_stack([rows.d, rows.x])
    keep = np.ones(len(rows.a), dtype=bool)
    factor = term = 0.0
    for _ in range(2):
        (factor, term), *_ = np.linalg.lstsq(columns[keep], rows.a[keep], rcond=None)
        off = np.abs(factor * rows.d + term * rows.x - rows.a)
        keep = off <= np.quantile(off, 0.9)
    if not (np.isfinite(factor) and np.isfinite(term)):
        return
    named = name_factor(factor, sizes)
    text = named[0] if named else f"{factor:.7g}"
    if np.abs(factor * rows.d).max() < NOTHING * np.abs(rows.a).max():
        says = f"is {term:.6g} · x0 and nothing else: the rest of the derivative is missing"
    else:
        says = (
            f"is the derivative times {text}, {'plus' if term > 0 else 'minus'} {abs(term):.6g} · x0: perhaps all but "
            f"a weight decay has that factor"
        )
    predicted = factor * rows.d + term * rows.x
    numbers = {"factor": float(factor), "term": float(term)}
    yield Fit("factor", says, 2 * WORD, predicted, factor * rows.u, numbers, unknowns=2)


RELATIONS: tuple[Callable[[Rows, Mapping[int, str]], Iterator[Fit]], ...] = (
    _zero,
    _sign,
    _factor,
    _clipped,
    _offset,
    _constant,
    _proportional,
    _chain,
    _affine,
    _mixed,
)


PRECISIONS = (("bfloat16", 8, 8.0), ("float16", 11, 32.0), ("float32", 24, 256.0))
"""Types that an analytical derivative may have been computed in: name, significant bits, and the roundings that its
sums may collect."""
SPARE = 2
"""Bits of a type that numbers of it need not all leave unused: those that do are whole, or simple fractions."""
BIASED, LEAST_BIASED = 3.0, 4
"""Deviations of the mean from 0 up to which errors go both ways, as those of rounding do, from so many entries on."""
RANGE_BITS = 6.0


def precision_of(evidence: Evidence) -> tuple[str, float] | None:
    """The type that an analytical derivative was computed in, and the relative error that its sums may have; None for
    float64.
    """
    a = evidence.a[evidence.known]
    for name, significant, roundings in PRECISIONS:
        if _has_bits(a, significant) and not _has_bits(a, significant - SPARE):
            return name, roundings * 2.0 ** (1 - significant)
    return None


def rounded(evidence: Evidence) -> Iterator[Candidate]:
    """The analytical derivative was computed in a lower precision."""
    a, d = evidence.a[evidence.known], evidence.d[evidence.known]
    if not len(a):
        return
    # the median, as one large entry says nothing of the others
    size = np.maximum(np.maximum(np.abs(d), np.median(np.abs(d))), np.finfo(float).tiny)
    listed = Region("", "", evidence.fail, 0.0)  # what passes needs no word
    error = (a - d) * np.sign(d) / size
    limit = min(0.8, BIASED / math.sqrt(len(a)))
    biased = len(a) < LEAST_BIASED or abs(float(error.mean())) > limit * float(np.abs(error).mean())
    found = precision_of(evidence)
    near = np.abs(a - d) <= found[1] * size if found else None
    if found is not None and not biased and near is not None and near.mean() >= TRUE_OF_PART:
        name, _ = found
        right = np.array(~evidence.fail)
        right[evidence.known] = near
        says = f"is right but for the precision of {name}: every entry of it is a {name} number"
        yield Candidate(
            "precision", says, SIMPLE_BITS, right, evidence.known, listed, {"dtype": name}, entry_bits=RANGE_BITS
        )
        return
    right = np.array(~evidence.fail)
    right[evidence.known] = np.abs(a - d) <= SMALL * size
    off = np.abs(a - d) / size
    says = (
        f"is off by little, at most {float(off.max()):.1g} of the derivative, and in no pattern, as by a step in lower "
        f"precision, an iteration that ends early, or a small constant such as the eps of a normalisation"
    )
    yield Candidate("precision", says, WORD, right, evidence.known, listed, {}, entry_bits=SMALL_BITS)


SMALL, SMALL_BITS = 1e-4, 14.0
"""Relative size up to which differences without structure are called small, and bits to list one."""


def _has_bits(a: NDArray[Any], significant: int) -> bool:
    """Whether all numbers have so few significant bits."""
    mantissa, _ = np.frexp(a[a != 0])
    scaled = mantissa * 2.0**significant
    return bool(len(scaled)) and bool((scaled == np.rint(scaled)).all())
