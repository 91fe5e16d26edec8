"""Gathers a failing array for its diagnosis: all of it, or of a large one some indices of each axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from pardiff.comparison.compared import Comparison
from pardiff.diagnosis.evidence import MATCH, Evidence
from pardiff.numerics.tuning import FLOOR
from pardiff.problem.named_arrays import NamedArray
from pardiff.problem.space import FloatArray, IntArray
from pardiff.storage.format import FAIL, INCONCLUSIVE, MISSING
from pardiff.storage.ledger import Ledger

MOST_TOGETHER = 1 << 20
"""Entries of all failing arrays that are looked at, 8 bytes times some dozen arrays each."""
MOST, LEAST = 1 << 16, 1 << 12
"""Entries of one array, at the most and at the least."""
FAR = 100.0
"""Error bars between the two derivatives from which the analytical one is most likely wrong, before a second look."""
GROSS = 0.01
"""Relative difference that it must have as well: the first bar is a guess, and may leave truncation out."""
LOOSEST = 1e-3
"""Relative tolerance of a description, at the most."""
VECTOR = 4096
"""Entries of a vector of x0 with which factors are compared, at the most."""
VECTORS = 50

Part = tuple[int, FloatArray, FloatArray, FloatArray, NDArray[np.int8]]
"""Number of the first entry, and analytical and numerical derivative, its bar and the verdict of some entries."""
Parts = Callable[[], Iterable[Part]]
"""Goes through an array once."""


def gather(
    comparison: Comparison, array: NamedArray, parts: Parts, most: int, others: Mapping[str, FloatArray]
) -> Evidence:
    """The evidence on one array, in the shape of the array of x0.

    Parameters
    ----------
    parts : callable
        Goes through the array once, each time it is called; twice for one that is larger than ``most``.
    most : int
        Entries to be held.
    """
    leaf, rms, rtol = array.leaf, comparison.rms(array), comparison.tolerance.rtol
    parameters = np.asarray(comparison.ledger.parameters(leaf), dtype=float).reshape(-1)
    shape = leaf.shape
    failing = [np.zeros(length, dtype=np.int64) for length in shape]
    comparable = [np.zeros(length, dtype=np.int64) for length in shape]
    for start, a, d, u, verdict in parts():
        known = _known(a, d, verdict)
        wrong = _wrong(a, d, u, verdict)
        places = np.unravel_index(np.arange(start, start + len(a)), shape) if shape else ()
        for axis, place in enumerate(places):
            failing[axis] += np.bincount(place[wrong], minlength=shape[axis])
            comparable[axis] += np.bincount(place[known], minlength=shape[axis])
    axes = _axes(shape, most, failing)
    held = tuple(len(some) for some in axes)
    flat = np.ravel_multi_index(np.ix_(*axes), shape).reshape(-1) if shape else np.zeros(1, dtype=np.int64)
    values = np.full((4, len(flat)), np.nan)
    fail, known_all = np.zeros(len(flat), dtype=bool), np.zeros(len(flat), dtype=bool)
    for start, a, d, u, verdict in parts():
        low, high = np.searchsorted(flat, (start, start + len(a)))
        rows = flat[low:high] - start
        for number, part in enumerate((a, d, u)):
            values[number, low:high] = part[rows]
        values[3, low:high] = parameters[flat[low:high]]
        fail[low:high] = _wrong(a, d, u, verdict)[rows]
        known_all[low:high] = _known(a[rows], d[rows], verdict[rows])
    a, d, u, x = (row.reshape(held) for row in values)
    tolerance = min(max(rtol, MATCH), LOOSEST)
    return Evidence(
        array.name, shape, axes, a, d, u, x, fail.reshape(held), known_all.reshape(held), tolerance,
        FLOOR * tolerance * rms, tuple(failing), tuple(comparable), others,
    )  # fmt: skip


def _known(a: FloatArray, d: FloatArray, verdict: NDArray[np.int8]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(a) & np.isfinite(d) & (verdict != MISSING))


def _wrong(a: FloatArray, d: FloatArray, u: FloatArray, verdict: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Entries that fail, and those that would, most likely, had the budget allowed a second look at them.

    Nothing fails by them; but taken for right they would contradict what is true of all that is wrong.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.abs(a - d) > np.maximum(FAR * u, GROSS * np.maximum(np.abs(a), np.abs(d)))
    return np.asarray((verdict == FAIL) | ((verdict == INCONCLUSIVE) & far))


def share(arrays: int) -> int:
    """Entries to be held of each of some arrays."""
    return max(LEAST, min(MOST, MOST_TOGETHER // max(1, arrays)))


def vectors(ledger: Ledger) -> dict[str, FloatArray]:
    """Small vectors of x0 by name."""
    some = [leaf for leaf in ledger.space.leaves if len(leaf.shape) == 1 and 2 <= leaf.size <= VECTOR][:VECTORS]
    return {leaf.name: np.asarray(ledger.parameters(leaf), dtype=float) for leaf in some}


def _axes(shape: tuple[int, ...], most: int, failing: list[IntArray]) -> tuple[IntArray, ...]:
    """Indices of each axis that are held: the same ones along axes of the same length, and with each its mirror image.

    So they may be transposed, and reversed, and parts of them shifted. Those where most fails are among them.
    """
    lengths = list(shape)
    while math.prod(lengths) > most:
        longest = max(lengths)
        lengths = [math.ceil(n / 2) if n == longest else n for n in lengths]
    chosen: dict[int, IntArray] = {}
    for length in set(shape):
        least = min(held for held, whole in zip(lengths, shape, strict=True) if whole == length)
        counts = [failing[axis] for axis, whole in enumerate(shape) if whole == length]
        chosen[length] = _some(length, least, counts)
    return tuple(chosen[length] for length in shape)


def _some(length: int, count: int, failing: list[IntArray]) -> IntArray:
    """So many indices of an axis."""
    if count >= length:
        return np.arange(length)
    some = max(1, count // (4 * len(failing)))
    # of each of the axes those where most fails, in turn, so that none crowds the others out
    worst = np.stack([np.argsort(-counts, kind="stable")[:some] for counts in failing], axis=1).reshape(-1)
    total = np.sum(failing, axis=0)
    ranked = np.concatenate([worst[total[worst] > 0], np.arange(max(1, count // 4)), np.arange(length)])
    if count > 8:
        middle = np.random.default_rng(length).permutation(length)
        ranked = np.concatenate([ranked[: len(ranked) - length], middle])
    with_mirror = np.stack([ranked, length - 1 - ranked], axis=1).reshape(-1)
    _, first = np.unique(with_mirror, return_index=True)
    kept = with_mirror[np.sort(first)][: count - count % 2 or 1]
    return np.sort(kept)
