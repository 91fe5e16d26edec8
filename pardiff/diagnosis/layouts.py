"""Structures of whole arrays: an analytical derivative that holds the right numbers in the wrong places, or sums of
them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pardiff.diagnosis.evidence import WORD, Candidate, Evidence
from pardiff.problem.space import FloatArray, IntArray

MOST_AXES = 4
"""Axes up to which all of their orders are tried; beyond, two are swapped, or all reversed."""
DISTINCT = 0.9
"""Share of different numbers among those that are moved, from which a permutation means something."""
SHIFTS = (1, -1, 2, -2, 3, -3)


def structured(evidence: Evidence) -> Iterator[Candidate]:
    """Descriptions by structures of the array."""
    if evidence.a.size < 2:
        return
    with np.errstate(all="ignore"):
        yield from _transposed(evidence)
        yield from _reordered(evidence)
        yield from _flipped(evidence)
        yield from _shifted(evidence)
        yield from _symmetrised(evidence)
        yield from _reduced(evidence)
        yield from _cumulative(evidence)
        yield from _permuted(evidence)


def _placed(evidence: Evidence, kind: str, says: str, bits: float, source: IntArray, **numbers: Any) -> Candidate:
    """A description by which each entry is the derivative at another one; -1 where it comes from nowhere."""
    index = np.where(source < 0, 0, source).reshape(-1)
    shape = evidence.a.shape
    predicted = evidence.d.reshape(-1)[index].reshape(shape)
    bar = evidence.u.reshape(-1)[index].reshape(shape)
    told = evidence.known.reshape(-1)[index].reshape(shape) & evidence.known & (source >= 0)
    return Candidate(kind, says, bits, evidence.fits(predicted, bar), told, numbers=numbers)


def _computed(
    evidence: Evidence, kind: str, says: str, bits: float, predicted: FloatArray, bar: FloatArray, **numbers: Any
) -> Candidate:
    """A description by numbers made from the derivative; they are NaN where not all of what they need is known."""
    told = evidence.known & np.isfinite(predicted) & np.isfinite(bar)
    return Candidate(kind, says, bits, evidence.fits(predicted, bar), told, numbers=numbers)


def _numbers(evidence: Evidence) -> IntArray:
    return np.arange(evidence.a.size).reshape(evidence.a.shape)


def _same_axes(evidence: Evidence, order: tuple[int, ...]) -> bool:
    """Whether axes may be permuted so: the same indices are held along those that change places."""
    return all(
        evidence.shape[i] == evidence.shape[j] and np.array_equal(evidence.axes[i], evidence.axes[j])
        for i, j in enumerate(order)
    )


def _transposed(evidence: Evidence) -> Iterator[Candidate]:
    dims = evidence.a.ndim
    orders: Iterator[tuple[int, ...]]
    if dims <= MOST_AXES:
        orders = itertools.permutations(range(dims))
    else:
        swaps = (_swap(dims, i, j) for i, j in itertools.combinations(range(dims), 2))
        orders = itertools.chain(swaps, [tuple(reversed(range(dims)))])
    for order in orders:
        if order != tuple(range(dims)) and _same_axes(evidence, order):
            says = "is the transpose of the derivative" if dims == 2 else f"has its axes in the order {order}"
            yield _placed(evidence, "transposed", says, 6.0, _numbers(evidence).transpose(order), order=list(order))


def _swap(dims: int, i: int, j: int) -> tuple[int, ...]:
    order = list(range(dims))
    order[i], order[j] = order[j], order[i]
    return tuple(order)


def _reordered(evidence: Evidence) -> Iterator[Candidate]:
    """Memory orders mixed up: of the whole array, or of any group of neighbouring axes."""
    if not evidence.is_whole:
        return
    numbers, shape, dims = _numbers(evidence), evidence.a.shape, evidence.a.ndim
    for first, last in itertools.combinations(range(dims), 2):
        inner = shape[first : last + 1]
        if min(inner) < 2 or inner == inner[::-1]:  # of a square it is the transpose
            continue
        rest = (*shape[:first], math.prod(inner), *shape[last + 1 :])
        which = "" if (first, last) == (0, dims - 1) else f" over axes {first} to {last}"
        axes = tuple(reversed(range(first, last + 1)))
        order = (*range(first), *axes, *range(last + 1, dims))
        read = numbers.transpose(order).reshape(rest).reshape(shape)
        written = numbers.reshape(shape[:first] + inner[::-1] + shape[last + 1 :]).transpose(order)
        for what in (read, written):
            says = f"has its entries in column-major order{which}: flattened in one order and shaped in the other"
            yield _placed(evidence, "reordered", says, 9.0, what)


def _flipped(evidence: Evidence) -> Iterator[Candidate]:
    numbers, dims = _numbers(evidence), evidence.a.ndim
    mirrored = [
        bool(np.array_equal(held, length - 1 - held[::-1])) and length > 1
        for held, length in zip(evidence.axes, evidence.shape, strict=True)
    ]
    able = [axis for axis in range(dims) if mirrored[axis]][:MOST_AXES]
    for count in range(1, len(able) + 1):
        for axes in itertools.combinations(able, count):
            says = f"is the derivative reversed{_along(evidence, axes)}"
            yield _placed(evidence, "flipped", says, 8.0, np.flip(numbers, axes), axes=list(axes))
    for i, j in itertools.combinations(range(dims), 2):
        if _same_axes(evidence, _swap(dims, i, j)) and mirrored[i]:
            for axis in (i, j):
                turned = np.flip(numbers.transpose(_swap(dims, i, j)), axis)
                says = f"is the derivative turned by a quarter in axes {i} and {j}"
                yield _placed(evidence, "flipped", says, 10.0, turned, axes=[i, j])


def _along(evidence: Evidence, axes: tuple[int, ...]) -> str:
    if len(evidence.shape) == 1:
        return ""
    return f" along ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"


def _shifted(evidence: Evidence) -> Iterator[Candidate]:
    numbers = _numbers(evidence)
    for axis, (held, length) in enumerate(zip(evidence.axes, evidence.shape, strict=True)):
        if length < 3:
            continue
        for shift in SHIFTS:
            if abs(shift) >= length - 1:
                continue
            by = f"by {abs(shift)} towards {'higher' if shift > 0 else 'lower'} indices{_along(evidence, (axis,))}"
            for wraps in (False, True):  # the first of two that say the same
                source = held - shift
                place = np.searchsorted(held, source % length)
                place[place == len(held)] = 0
                there = held[place] == source % length
                if not wraps:
                    there &= (source >= 0) & (source < length)
                shape = [-1 if i == axis else 1 for i in range(numbers.ndim)]
                moved = np.where(there.reshape(shape), np.take(numbers, place, axis=axis), -1)
                says = f"is the derivative {'rolled' if wraps else 'shifted'} {by}"
                yield _placed(evidence, "shifted", says, 10.0, moved, axis=axis, shift=shift)


def _symmetrised(evidence: Evidence) -> Iterator[Candidate]:
    dims = evidence.a.ndim
    d, u = np.where(evidence.known, evidence.d, np.nan), evidence.u
    for i, j in itertools.combinations(range(dims), 2):
        order = _swap(dims, i, j)
        if not _same_axes(evidence, order) or evidence.shape[i] < 2:
            continue
        turned, bar = d.transpose(order), u + u.transpose(order)
        grids = np.meshgrid(*evidence.axes, indexing="ij", sparse=True)
        diagonal = np.where(grids[i] == grids[j], d, 0.0)
        name = "its transpose" if dims == 2 else f"itself with axes {i} and {j} swapped"
        for says, value in (
            (f"is the mean of the derivative and {name}", (d + turned) / 2),
            (f"is the sum of the derivative and {name}", d + turned),
            (f"is the sum of the derivative and {name}, without the diagonal twice", d + turned - diagonal),
            (f"is half of the derivative minus {name}", (d - turned) / 2),
            (f"is the derivative minus {name}", d - turned),
        ):
            yield _computed(evidence, "symmetrised", says, 8.0, value, bar)


def _reduced(evidence: Evidence) -> Iterator[Candidate]:
    """Sums and means, broadcast; what is left of the mean; all over one axis or over all."""
    dims = evidence.a.ndim
    d = np.where(evidence.known, evidence.d, np.nan)
    axes: list[tuple[int, ...]] = [(axis,) for axis in range(dims)]
    if dims > 1:
        axes += [*itertools.combinations(range(dims), 2), *([tuple(range(dims))] if dims > 2 else [])]
    for over in axes:
        if not all(len(evidence.axes[i]) == evidence.shape[i] > 1 for i in over):
            continue
        count = math.prod(evidence.shape[i] for i in over)
        total = np.broadcast_to(d.sum(axis=over, keepdims=True), d.shape)
        bar = np.broadcast_to(evidence.u.sum(axis=over, keepdims=True), d.shape)
        along = "" if dims == 1 else f" over ax{'is' if len(over) == 1 else 'es'} {', '.join(map(str, over))}"
        yield _computed(
            evidence, "reduction", f"is the mean of the derivative{along}, repeated", 8.0, total / count, bar / count
        )
        yield _computed(evidence, "reduction", f"is the sum of the derivative{along}, repeated", 8.0, total, bar)
        says = f"is the derivative without its mean{along}"
        yield _computed(evidence, "centred", says, 8.0, d - total / count, evidence.u + bar / count)


def _cumulative(evidence: Evidence) -> Iterator[Candidate]:
    d = np.where(evidence.known, evidence.d, np.nan)
    for axis, (held, length) in enumerate(zip(evidence.axes, evidence.shape, strict=True)):
        if len(held) != length or length < 3:
            continue
        along, bar = _along(evidence, (axis,)), np.cumsum(evidence.u, axis=axis)
        back = np.flip(np.cumsum(np.flip(d, axis), axis=axis), axis)
        ahead = np.diff(d, axis=axis, prepend=0.0)
        behind = -np.diff(d, axis=axis, append=0.0)
        wide = np.full_like(bar, 0.0) + 2 * evidence.u.max(axis=axis, keepdims=True)
        for says, value, width in (
            (f"is the cumulative sum of the derivative{along}", np.cumsum(d, axis=axis), bar),
            (f"is the cumulative sum of the derivative{along}, from the end", back, np.flip(bar, axis)),
            (f"is the difference of neighbours in the derivative{along}", ahead, wide),
            (f"is the difference of neighbours in the derivative{along}", behind, wide),
        ):
            yield _computed(evidence, "cumulative", says, 10.0, value, width)


def _permuted(evidence: Evidence) -> Iterator[Candidate]:
    """Slices of an axis in another order, and entries in any order."""
    if not (evidence.known.all() and np.isfinite(evidence.d).all()):
        return
    numbers = _numbers(evidence)
    for axis, (held, length) in enumerate(zip(evidence.axes, evidence.shape, strict=True)):
        if len(held) != length or length < 2 or evidence.a.size == length:
            continue
        a = np.moveaxis(evidence.a, axis, 0).reshape(length, -1)
        d = np.moveaxis(evidence.d, axis, 0).reshape(length, -1)
        order = _matched(a @ _probe(a.shape[1]), d @ _probe(a.shape[1]))
        moved = np.flatnonzero(order != np.arange(length))
        if not len(moved):
            continue
        bits = 6.0 + len(moved) * math.log2(length)
        word = ("row", "column")[axis] if len(evidence.shape) == 2 else f"slice of axis {axis}"
        if len(moved) == 2:
            says = f"has its {word}s {moved[0]} and {moved[1]} swapped"
        else:
            some = ", ".join(f"{i} is {order[i]}" for i in moved[:6]) + (", …" if len(moved) > 6 else "")
            says = f"has its {word}s permuted ({some})"
        yield _placed(
            evidence, "permuted", says, bits, np.take(numbers, order, axis=axis), axis=axis, order=order[:1000].tolist()
        )
    if evidence.is_whole:
        order = _matched(evidence.a.reshape(-1), evidence.d.reshape(-1))
        moved = np.flatnonzero(order != np.arange(order.size))
        if len(np.unique(evidence.d.reshape(-1)[moved])) < DISTINCT * len(moved):
            return  # of equal numbers any order is as good
        bits = 6.0 + len(moved) * math.log2(max(2, order.size))
        says = f"has the right numbers at the wrong places: {len(moved):,} entries are permuted"
        source = order.reshape(evidence.a.shape)
        yield _placed(evidence, "permuted", says, min(bits, WORD * len(moved) - 1), source)


def _probe(length: int) -> FloatArray:
    return np.random.default_rng(length).normal(size=length)


def _matched(a: FloatArray, d: FloatArray) -> IntArray:
    """For each number of a, the place in d of the one of the same rank; places that agree anyway are kept."""
    order = np.empty(len(a), dtype=np.int64)
    same = np.isclose(a, d, rtol=1e-6, atol=0.0)
    order[same] = np.flatnonzero(same)
    left = np.flatnonzero(~same)
    order[left[np.argsort(a[left], kind="stable")]] = left[np.argsort(d[left], kind="stable")]
    return order
