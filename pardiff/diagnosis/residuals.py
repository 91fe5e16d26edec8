"""Residuals of whole arrays: factors per slice, terms of low rank, and what a normalisation leaves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.diagnosis.evidence import BARS, TRUE_OF_PART, WORD, Candidate, Evidence, Mask
from pardiff.problem.space import FloatArray

MOST_SLICES = 4096
"""Indices of an axis up to which each gets a factor of its own."""
MOST_TIMES = 1e6
"""Times that something may occur."""
MOST_ROWS = 1024
"""Sides of a matrix whose rank is looked at."""
LEAST_SIDE = 3
"""Sides of a matrix from which a low rank says something."""


def residual(evidence: Evidence) -> Iterator[Candidate]:
    """Descriptions by the residual, or the ratio, along an axis."""
    if evidence.a.ndim == 0 or evidence.a.size < 4:
        return
    with np.errstate(all="ignore"):
        for axis in range(evidence.a.ndim):
            if 2 <= len(evidence.axes[axis]) <= MOST_SLICES:
                yield from _slice_factors(evidence, axis)
                yield from _normalised(evidence, axis)
        yield from _low_rank(evidence)


def _unfolded(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """A row for each index of an axis."""
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _folded(rows: FloatArray, evidence: Evidence, axis: int) -> FloatArray:
    shape = evidence.a.shape
    return np.moveaxis(rows.reshape(shape[axis], *shape[:axis], *shape[axis + 1 :]), 0, axis)


def _slice_factors(evidence: Evidence, axis: int) -> Iterator[Candidate]:
    """A factor for each index of an axis."""
    a, d, known = (_unfolded(v, axis) for v in (evidence.a, evidence.d, evidence.known))
    weight = np.where(known, np.abs(d), 0.0)
    sure = weight > 0.3 * weight.max(axis=1, keepdims=True)
    if a.shape[1] < 2 and a.shape[0] == a.size:  # a vector: a factor for each entry says nothing, unless it has a name
        yield from _named_factors(evidence, axis, np.where(known & (d != 0), a / d, np.nan)[:, 0])
        return
    some = sure.any(axis=1)
    factors = np.full(len(a), np.nan)
    factors[some] = np.nanmedian(np.where(sure, a / d, np.nan)[some], axis=1)
    if np.count_nonzero(np.abs(factors - 1) > 1e-5) < 2:
        return
    yield from _named_factors(evidence, axis, factors)
    full = np.where(np.isfinite(factors), factors, 1.0)
    right = _unfolded(_with_each(evidence, axis, full), axis) & known
    # one that is the ratio of few of its entries is no factor of theirs
    full[right.sum(axis=1) < TRUE_OF_PART * known.sum(axis=1)] = 1.0
    off = np.flatnonzero(np.abs(full - 1) > 1e-5)
    if len(off) < 2:
        return
    if evidence.a.ndim == 2 and 2 * len(off) > len(full) and rank_of(evidence.d, evidence) < 2:
        return  # whatever has the same rows, or columns, but for their size has such factors
    numbers = {"axis": axis, "factors": full[:100].tolist()}
    says = f"has a factor of its own for each {_word(evidence, axis)}: {_list(full)}"
    fits = _with_each(evidence, axis, full)
    yield Candidate("slice_factor", says, 8 + WORD * len(off), fits, evidence.known, numbers=numbers, unknowns=len(off))


def _named_factors(evidence: Evidence, axis: int, factors: FloatArray) -> Iterator[Candidate]:
    """Factors that are those of another vector of x0, or one over a whole number."""
    told = np.isfinite(factors)
    if np.count_nonzero(told) < 2 or np.ptp(factors[told]) <= 1e-3 * np.abs(factors[told]).max():
        return
    word = _word(evidence, axis)
    held = evidence.axes[axis]
    for name, values in evidence.others.items():
        if len(values) != evidence.shape[axis] or name == evidence.name:
            continue
        vector = values[held]
        for form, power in (("{}", 1.0), ("1/{}", -1.0), ("{}²", 2.0), ("1/{}²", -2.0), ("exp({})", None)):
            by = np.exp(vector) if power is None else vector**power
            ratio = factors / by
            scale = float(np.median(ratio[np.isfinite(ratio)])) if np.isfinite(ratio).any() else 0.0
            if not math.isfinite(scale) or scale == 0 or not np.ptp(by) > 1e-3 * np.abs(by).max():
                continue
            bits = 12.0 + (0.0 if abs(scale - 1) < 1e-5 else WORD)
            scale = 1.0 if abs(scale - 1) < 1e-5 else scale
            text = form.format(name) if scale == 1.0 else f"{scale:.6g} · {form.format(name)}"
            says = f"is the derivative times {text}, along {'its entries' if evidence.a.ndim == 1 else f'each {word}'}"
            yield _with_factors(evidence, axis, scale * by, bits, says)
    whole = np.rint(1 / factors)
    if not (whole[told] <= MOST_TIMES).all():
        return
    if (np.abs(1 / factors - whole)[told] <= 1e-5 * whole[told]).all() and (whole[told] >= 1).all():
        some = np.count_nonzero(whole[told] > 1)
        says = (
            f"is 1/k of the derivative, with a whole number k for each {word} ({_list(np.where(told, whole, 1.0))}): "
            f"overwritten, or averaged, where what occurs k times is to be summed"
        )
        yield _with_factors(evidence, axis, np.where(told, 1 / whole, 1.0), 10.0 + 8.0 * some, says)


def _with_factors(evidence: Evidence, axis: int, factors: FloatArray, bits: float, says: str) -> Candidate:
    fits = _with_each(evidence, axis, factors)
    numbers = {"axis": axis, "factors": factors[:100].tolist()}
    return Candidate("slice_factor", says, bits, fits, evidence.known, numbers=numbers)


def _with_each(evidence: Evidence, axis: int, factors: FloatArray) -> Mask:
    """Look whether the analytical derivative is the derivative with a factor for each index of an axis."""
    by = factors.reshape([-1 if i == axis else 1 for i in range(evidence.a.ndim)])
    return evidence.fits(by * evidence.d, np.abs(by) * evidence.u)


def _list(values: FloatArray) -> str:
    some = ", ".join(f"{value:.6g}" for value in values[:6])
    return some + (", …" if len(values) > 6 else "")


def _word(evidence: Evidence, axis: int) -> str:
    if len(evidence.shape) == 1:
        return "entry"
    return ("row", "column")[axis] if len(evidence.shape) == 2 else f"index of axis {axis}"


def _normalised(evidence: Evidence, axis: int) -> Iterator[Candidate]:
    """A residual that along each slice is a constant, or one and a multiple of x0."""
    r, x, known, u = (_unfolded(v, axis) for v in (evidence.a - evidence.d, evidence.x, evidence.known, evidence.u))
    slices, length = r.shape
    if length < 4:
        return
    weight = known.astype(float)
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    zero = np.where(known, r, 0.0)
    mean_r, mean_x = zero.sum(axis=1, keepdims=True) / count, (x * weight).sum(axis=1, keepdims=True) / count
    constant = np.broadcast_to(mean_r, r.shape)
    centred = (x - mean_x) * weight
    slope = (zero * centred).sum(axis=1, keepdims=True) / (centred**2).sum(axis=1, keepdims=True)
    sloped = mean_r + np.where(np.isfinite(slope), slope, 0.0) * (x - mean_x)
    scale = (zero * x).sum(axis=1, keepdims=True) / (x**2 * weight).sum(axis=1, keepdims=True)
    scaled = np.where(np.isfinite(scale), scale, 0.0) * x
    word = _word(evidence, axis)
    bar = np.broadcast_to(u.max(axis=1, keepdims=True), u.shape) * BARS
    for says, fitted, each in (
        (
            f"is off by a constant in each {word}, as where the mean of a normalisation is held fixed",
            constant,
            1,
        ),
        (
            f"is off by a multiple of x0 in each {word}, as where a norm is held fixed, or weights decay",
            scaled,
            1,
        ),
        (
            f"is off by a constant and a multiple of x0 in each {word}, as where mean and variance of a normalisation "
            f"are held fixed",
            sloped,
            2,
        ),
    ):
        predicted = evidence.d + _folded(fitted, evidence, axis)
        fits = evidence.fits(predicted, _folded(bar, evidence, axis))
        bits = 10 + each * WORD * slices
        yield Candidate(
            "normalisation", says, bits, fits, evidence.known, numbers={"axis": axis}, unknowns=each * slices
        )


def rank_of(matrix: FloatArray, evidence: Evidence) -> int:
    """Rank of an analytical or a numerical derivative, as far as the error bars let it be seen; the largest possible if
    it has gaps.
    """
    if not np.isfinite(matrix).all():
        return int(min(matrix.shape))
    noise = float(np.linalg.norm(BARS * evidence.u[evidence.known])) + evidence.rtol * float(np.linalg.norm(matrix))
    return int(np.count_nonzero(np.linalg.svd(matrix, compute_uv=False) > noise))


def spans(evidence: Evidence) -> str:
    """What the rows and columns of an analytical derivative tell of a matrix that is a product of two factors; empty
    for nothing.

    The gradient of a dense layer is the product of its inputs and of what comes back from behind it. If there are fewer
    samples than rows, an analytical derivative whose columns are combinations of the derivative's columns has the right
    inputs.
    """
    a, d = evidence.a, evidence.d
    if a.ndim != 2 or not evidence.known.all() or max(a.shape) > MOST_ROWS:
        return ""
    with np.errstate(all="ignore"):
        rank = rank_of(d, evidence)
        left, _, right = np.linalg.svd(d, full_matrices=False)
        left, right = left[:, :rank], right[:rank]
        least = 1e-3 * float(np.linalg.norm(a - d))  # what is small itself lies near any span
        same_columns = rank < a.shape[0] and float(np.linalg.norm(a - left @ (left.T @ a))) <= least
        same_rows = rank < a.shape[1] and float(np.linalg.norm(a - (a @ right.T) @ right)) <= least
    for same, what, good, bad in ((same_columns, "columns", "rows", "columns"), (same_rows, "rows", "columns", "rows")):
        if same and same_columns != same_rows:
            return (
                f"; its {what} are combinations of those of the derivative, which is of rank {rank}: if it is a "
                f"product, the factor along the {good} is right and the one along the {bad} wrong"
            )
    return ""


def _low_rank(evidence: Evidence) -> Iterator[Candidate]:
    """A residual that is a sum of few outer products."""
    if evidence.a.ndim < 2 or not evidence.known.all():
        return
    for axis in range(evidence.a.ndim if evidence.a.ndim > 2 else 1):
        r = _unfolded(evidence.a - evidence.d, axis)
        noise = _unfolded(BARS * evidence.u + evidence.allowed, axis)
        rows, columns = r.shape
        if not min(r.shape) >= LEAST_SIDE or max(r.shape) > MOST_ROWS or not np.isfinite(r).all():
            continue
        left, sizes, right = np.linalg.svd(r, full_matrices=False)
        floor = float(np.linalg.norm(noise))
        rank = int(np.count_nonzero(sizes > floor))
        if not 0 < rank <= min(r.shape) // 2:
            continue
        if rank >= min(rank_of(_unfolded(values, axis), evidence) for values in (evidence.a, evidence.d)):
            continue  # so is the difference of any two matrices of that rank, as gradients of few samples are
        predicted = evidence.d + _folded((left[:, :rank] * sizes[:rank]) @ right[:rank], evidence, axis)
        product = "an outer product" if rank == 1 else f"{rank} outer products"
        sizes_off = float(np.linalg.norm(r) / max(float(np.linalg.norm(evidence.d)), 1e-300))
        says = (
            f"is off by a matrix of rank {rank}: {product} of vectors, {sizes_off:.2g} times the derivative in size, "
            f"is missing or too much, as of a second use of the array, or of one sample"
        )
        bits = 10 + WORD * rank * (rows + columns - rank)
        numbers = {"rank": rank, "axis": axis}
        spread = _folded(np.full_like(r, floor / math.sqrt(r.size)), evidence, axis)
        yield Candidate(
            "low_rank", says, bits, evidence.fits(predicted, evidence.u + spread), evidence.known, numbers=numbers,
            unknowns=rank * (rows + columns),
        )  # fmt: skip
