"""Parts of an array in which all that fails lies: slices, borders, diagonals, triangles, and conditions on x0."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pardiff.diagnosis.evidence import Evidence, Mask, Region
from pardiff.problem.space import IntArray

DENSE = 0.6
"""Share of an index's entries that fail from which the index is one of those that are wrong."""
LISTED = 16
"""Indices of an axis that are listed where they follow no rule."""
ELEMENTS = 8
"""Single entries that are listed."""
KEPT = 0.3
"""Share of the failing entries that a region must hold to be looked at."""
SHAPE_BITS, CONDITION_BITS, THRESHOLD_BITS = 6.0, 8.0, 24.0


@dataclass(frozen=True)
class _Selection:
    """Some indices of an axis."""

    text: str
    words: str
    """With a gap for the word for a slice."""
    indices: IntArray
    bits: float


def regions(evidence: Evidence, left: Mask) -> Iterator[Region]:
    """Regions that hold most of the entries that are left, the whole array first.

    Parameters
    ----------
    left : ndarray of bool
        Failing entries that nothing explains so far.
    """
    yield Region("", "", np.ones(evidence.a.shape, dtype=bool), 0.0)
    total = np.count_nonzero(left)
    if not evidence.a.ndim:
        return
    shortest: dict[bytes, Region] = {}
    for region in itertools.chain(
        _slices(evidence, left),
        _shapes(evidence),
        _conditions(evidence, left),
        _elements(evidence, left),
        _anywhere(evidence, left),
    ):
        inside = np.count_nonzero(left & region.mask)
        if inside < KEPT * total or not inside or (region.mask | ~evidence.known).all():
            continue
        key = np.packbits(region.mask & evidence.known).tobytes()
        if key not in shortest or region.bits < shortest[key].bits:
            shortest[key] = region
    yield from shortest.values()


def _slices(evidence: Evidence, left: Mask) -> Iterator[Region]:
    """Some indices of one axis, and of several at once."""
    whole = bool((left == evidence.fail).all())
    found: dict[bool, list[_Selection | None]] = {}
    for dense in (False, True):
        found[dense] = []
        for axis, length in enumerate(evidence.shape):
            if whole:
                failing, known = evidence.failing[axis], evidence.comparable[axis]
            else:
                failing, known = _by_index(evidence, left, axis), _by_index(evidence, evidence.known, axis)
            wrong = failing >= np.maximum(DENSE * known, 1) if dense else failing > 0
            found[dense].append(_selection(np.flatnonzero(wrong), np.flatnonzero(known), length))
    zero = left & (evidence.a == 0)
    if whole and zero.any():  # those that are not filled, among others that are wrong
        for axis, length in enumerate(evidence.shape):
            failing, unfilled = _by_index(evidence, left, axis), _by_index(evidence, zero, axis)
            empty = np.flatnonzero((unfilled > 0) & (unfilled == failing))
            choice = _selection(empty, np.flatnonzero(_by_index(evidence, evidence.known, axis)), length)
            if choice is not None:
                yield _product(evidence, {axis: choice})
    for dense in (False, True):
        choices = found[dense]
        some = [axis for axis, choice in enumerate(choices) if choice is not None]
        for count in range(1, len(some) + 1):
            for axes in itertools.combinations(some, count) if len(some) <= 4 else [tuple(some)]:
                yield _product(evidence, {axis: choice for axis in axes if (choice := choices[axis]) is not None})


def _by_index(evidence: Evidence, mask: Mask, axis: int) -> IntArray:
    """Entries of a mask by index of an axis, in the whole array's indices."""
    others = tuple(i for i in range(mask.ndim) if i != axis)
    counts = np.zeros(evidence.shape[axis], dtype=np.int64)
    counts[evidence.axes[axis]] = np.count_nonzero(mask, axis=others)
    return counts


def _selection(wrong: IntArray, known: IntArray, length: int) -> _Selection | None:
    """The shortest way to name some indices; None where they are all, or follow no rule and are many."""
    if not len(wrong) or len(wrong) >= len(known):
        return None
    each = math.log2(max(2, length))
    first, last = int(wrong[0]), int(wrong[-1])
    if len(wrong) == 1:
        return _Selection(str(first), "{} " + str(first), wrong, 4 + each)
    place = np.searchsorted(known, wrong)
    if place[-1] - place[0] + 1 == len(wrong):
        if place[0] == 0:
            return _Selection(f":{last + 1}", f"the first {last + 1} {{}}s", wrong, 5 + each)
        if place[-1] == len(known) - 1:
            return _Selection(f"{first}:", f"the last {length - first} {{}}s", wrong, 5 + each)
        return _Selection(f"{first}:{last + 1}", f"{{}}s {first} to {last}", wrong, 6 + 2 * each)
    if len(wrong) == 2 and place[0] == 0 and place[1] == len(known) - 1:
        return _Selection("[0, -1]", "the first and the last {}", wrong, 5.0)
    step = int(np.gcd.reduce(np.diff(wrong)))
    if step > 1 and len(wrong) > 2 and np.array_equal(known[known % step == first % step], wrong):
        start = "" if first % step == 0 else str(first % step)
        return _Selection(
            f"{start}::{step}", f"each {step}th {{}} from {first % step} on", wrong, 8 + 2 * math.log2(step)
        )
    rest = np.setdiff1d(known, wrong)
    if len(rest) == 1:
        return _Selection(f"≠{rest[0]}", f"all {{}}s but {rest[0]}", wrong, 6 + each)
    if len(wrong) <= LISTED:
        named = ", ".join(map(str, wrong[:-1])) + f" and {wrong[-1]}"
        return _Selection(f"[{', '.join(map(str, wrong))}]", f"{{}}s {named}", wrong, len(wrong) * each)
    return None


def _product(evidence: Evidence, choices: dict[int, _Selection]) -> Region:
    mask = np.ones(evidence.a.shape, dtype=bool)
    for axis, choice in choices.items():
        held = np.isin(evidence.axes[axis], choice.indices)
        mask &= held.reshape([-1 if i == axis else 1 for i in range(mask.ndim)])
    texts = [choices[axis].text if axis in choices else ":" for axis in range(mask.ndim)]
    words = ", ".join(
        choice.words.format(_noun(evidence, axis)) + _of_axis(evidence, axis) for axis, choice in choices.items()
    )
    bits = sum(choice.bits for choice in choices.values())
    (axis, choice), *more = choices.items()
    indices = tuple(choice.indices.tolist()) if not more and len(choice.indices) <= 1000 else ()
    return Region(f"{evidence.name}[{', '.join(texts)}]", words, mask, bits, None if more else axis, indices)


def _noun(evidence: Evidence, axis: int) -> str:
    if len(evidence.shape) == 1:
        return "element"
    return ("row", "column")[axis] if len(evidence.shape) == 2 else "slice"


def _of_axis(evidence: Evidence, axis: int) -> str:
    return f" of axis {axis}" if len(evidence.shape) > 2 else ""


def _shapes(evidence: Evidence) -> Iterator[Region]:
    """Diagonals, triangles, borders and checkerboards."""
    name, dims = evidence.name, evidence.a.ndim
    grids = np.meshgrid(*evidence.axes, indexing="ij", sparse=True)
    full = np.zeros(evidence.a.shape, dtype=bool)
    for i, j in itertools.combinations(range(dims), 2):
        if evidence.shape[i] != evidence.shape[j] or evidence.shape[i] < 2:
            continue
        of = "" if dims == 2 else f" of axes {i} and {j}"
        for sign, text in (("=", "on the diagonal"), ("≠", "off the diagonal")):
            equal = grids[i] == grids[j]
            mask = full | (equal if sign == "=" else ~equal)
            yield Region(f"{name}[i {sign} j]", f"{text}{of}", mask, SHAPE_BITS)
        for sign, text, mask in (
            ("<", "above the diagonal", grids[i] < grids[j]),
            (">", "below the diagonal", grids[i] > grids[j]),
            ("≤", "on and above the diagonal", grids[i] <= grids[j]),
            ("≥", "on and below the diagonal", grids[i] >= grids[j]),
        ):
            yield Region(f"{name}[i {sign} j]", f"{text}{of}", full | mask, SHAPE_BITS)
    long = [axis for axis in range(dims) if evidence.shape[axis] > 2]
    if len(long) > 1:
        edges = [(grids[axis] == 0) | (grids[axis] == evidence.shape[axis] - 1) for axis in long[-2:]]
        border = full | edges[0] | edges[1]
        yield Region(f"{name}[border]", "on the border", border, SHAPE_BITS)
        yield Region(f"{name}[interior]", "in the interior", ~border, SHAPE_BITS)
    if dims > 1:
        odd = full | (np.asarray(sum(grids)) % 2 == 1)
        yield Region(f"{name}[i + j odd]", "on the odd fields of a checkerboard", odd, SHAPE_BITS)
        yield Region(f"{name}[i + j even]", "on the even fields of a checkerboard", ~odd, SHAPE_BITS)


def _conditions(evidence: Evidence, left: Mask) -> Iterator[Region]:
    """Parts of the array in which x0 or the derivative has a property."""
    x, d, name = evidence.x, evidence.d, evidence.name
    with np.errstate(invalid="ignore"):
        for text, mask in (
            ("x0 < 0", x < 0),
            ("x0 > 0", x > 0),
            ("x0 = 0", x == 0),
            ("|x0| > 1", np.abs(x) > 1),
            ("|x0| < 1", np.abs(x) < 1),
            ("derivative < 0", d < 0),
            ("derivative > 0", d > 0),
        ):
            yield Region(f"{name}[{text}]", f"where {'the ' if text[0] == 'd' else ''}{text}", mask, CONDITION_BITS)
    values, counts = np.unique(x, return_counts=True)
    if 1 < len(values) < x.size:
        repeated = np.isin(x, values[counts > 1])
        yield Region(f"{name}[x0 repeated]", "where a value of x0 occurs more than once", repeated, CONDITION_BITS)
    for text, value in (("x0", x), ("|x0|", np.abs(x))):
        yield from _threshold(evidence, left, text, value)


def _threshold(evidence: Evidence, left: Mask, text: str, value: np.ndarray) -> Iterator[Region]:
    """Above or below a threshold, if one separates what fails from what does not."""
    wrong, right = value[left], value[evidence.known & ~evidence.fail]
    if not (len(wrong) and len(right)):
        return
    for sign, lower, upper in ((">", right, wrong), ("<", wrong, right)):
        low, high = float(lower.max()), float(upper.min())
        if low < high:
            limit = _short(low, high)
            mask = value > limit if sign == ">" else value < limit
            yield Region(
                f"{evidence.name}[{text} {sign} {limit:g}]", f"where {text} {sign} {limit:g}", mask, THRESHOLD_BITS
            )


def _short(low: float, high: float) -> float:
    """A number between two with few digits."""
    for digits in range(1, 16):
        value = float(f"{(low + high) / 2:.{digits}g}")
        if low < value < high:
            return value
    return (low + high) / 2


def _anywhere(evidence: Evidence, left: Mask) -> Iterator[Region]:
    """All that fails, in no pattern; which entries these are takes the entropy of a random choice."""
    known = int(np.count_nonzero(evidence.known))
    share = int(np.count_nonzero(left)) / max(1, known)
    if 0 < share < 1:
        each = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
        bits = 8.0 + each * known
        yield Region(f"{evidence.name}[where it fails]", ANYWHERE, left.copy(), bits)


ANYWHERE = "wherever it fails, in no pattern"


def _elements(evidence: Evidence, left: Mask) -> Iterator[Region]:
    """A few single entries."""
    count = np.count_nonzero(left)
    if 0 < count <= ELEMENTS:
        each = 4 + math.log2(max(2, evidence.a.size))
        places = [
            "[" + ",".join(str(int(held[i])) for held, i in zip(evidence.axes, place, strict=True)) + "]"
            for place in np.argwhere(left).tolist()
        ]
        named = ", ".join(f"{evidence.name}{place}" for place in places)
        named = f"each of {named}" if count > 1 else named
        yield Region(named, "single entries" if count > 1 else "a single entry", left.copy(), each * count)
