"""What an audit would not have let pass: known faults, planted in a copy of the derivative and judged as it was."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pardiff.comparison.compared import ComparedChunk, Comparison
from pardiff.problem.named_arrays import NamedArray
from pardiff.problem.space import FloatArray
from pardiff.storage.format import FAIL, KINK, NONFINITE, PASS

FACTOR = 1.01
"""The factor that is planted."""
MOST = 1 << 22
"""Entries of an array up to which slices and transposes are planted too: they are looked at in one piece."""


@dataclass(frozen=True)
class SelfTest:
    """What would not have passed in one array; every count is of faults planted one at a time."""

    array: str
    entries: int
    """Entries that pass and so can hold a planted fault."""
    factor: int
    """Entries of which a factor of 1.01 would not have passed."""
    sign: int
    """Entries of which a wrong sign would not have passed."""
    flat: int
    """Entries with a derivative of 0, in which neither makes a difference."""
    slices: tuple[int, int]
    """Slices of any axis that could not have been dropped, set to 0, and passed, and all of them; (0, 0) where the
    array is a scalar or too large."""
    transposed: bool | None
    """Whether the transpose of the last two axes would not have passed; None where there is none."""
    median_error: float
    """Relative error that would not have passed in half of the entries."""
    largest_error: float
    """The smallest relative error that would not have passed in any entry whatever, those with a derivative of 0 aside;
    infinite where some entry would have hidden its own size."""


def self_test(comparison: Comparison) -> tuple[SelfTest, ...]:
    """Plant faults in each array of an audit; fun is not called.

    A fault counts where the altered derivative lies outside of tolerance and error bar, ``|r| - u > t``. It would have
    failed once a second look had supported that, and been inconclusive where there is none, as with ``refine="none"``,
    a budget that is spent, or values in single precision.

    Parameters
    ----------
    comparison : Comparison
        Of an audit, finished or not; entries that do not pass are left out.

    Returns
    -------
    tuple of SelfTest
        One for each array in which nothing fails; empty where there is no analytical derivative.
    """
    if not comparison.has_analytical:
        return ()
    tests = [_of_array(comparison, array) for array in comparison.arrays]
    return tuple(test for test in tests if test is not None)


def _of_array(comparison: Comparison, array: NamedArray) -> SelfTest | None:
    factor = sign = flat = entries = 0
    errors: list[FloatArray] = []
    whole: list[ComparedChunk] = []
    for chunk in comparison.chunks(array):
        if np.isin(chunk.verdict, (FAIL, NONFINITE)).any():
            return None  # what is planted in a wrong derivative is not seen for what it is
        right = np.isin(chunk.verdict, (PASS, KINK))
        entries += int(np.count_nonzero(right))
        flat += int(np.count_nonzero(right & (chunk.analytical == 0)))
        factor += int(np.count_nonzero(_caught(chunk, FACTOR * chunk.analytical) & right))
        sign += int(np.count_nonzero(_caught(chunk, -chunk.analytical) & right))
        errors.append(_least(chunk)[right & (chunk.analytical != 0)])
        if array.size <= MOST:
            whole.append(chunk)
    least = np.concatenate(errors) if errors else np.zeros(0)
    slices, transposed = (0, 0), None
    if whole and array.shape:
        slices, transposed = _in_one_piece(array, whole)
    return SelfTest(
        array=array.name,
        entries=entries,
        factor=factor,
        sign=sign,
        flat=flat,
        slices=slices,
        transposed=transposed,
        median_error=float(np.median(least)) if len(least) else math.inf,
        largest_error=float(least.max()) if len(least) else math.inf,
    )


def _caught(chunk: ComparedChunk, altered: FloatArray) -> np.ndarray:
    """Tell for each entry whether another analytical derivative would not have passed."""
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = chunk.tolerance.allowed(altered, chunk.numerical, chunk.rms)
        return np.asarray(np.abs(altered - chunk.numerical) - chunk.uncertainty > allowed)


def _least(chunk: ComparedChunk) -> FloatArray:
    """The relative error of each analytical derivative that would just not have passed, whatever its sign."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        reach = chunk.allowed + chunk.uncertainty + np.abs(chunk.residual)
        # the tolerance grows with the derivative
        return np.asarray(reach / (np.abs(chunk.analytical) * (1 - min(chunk.tolerance.rtol, 0.5))))


def _in_one_piece(array: NamedArray, whole: list[ComparedChunk]) -> tuple[tuple[int, int], bool | None]:
    """Dropped slices, and the transpose."""
    shape = array.shape
    dropped = np.concatenate([_caught(chunk, np.zeros_like(chunk.analytical)) for chunk in whole]).reshape(shape)
    seen = total = 0
    for axis, length in enumerate(shape):
        others = tuple(i for i in range(len(shape)) if i != axis)
        if length > 1:
            seen += int(np.count_nonzero(dropped.any(axis=others)))
            total += length
    inner = array.leaf.shape
    if len(inner) < 2 or inner[-1] != inner[-2] or inner[-1] < 2:
        return (seen, total), None
    altered = np.concatenate([chunk.analytical for chunk in whole]).reshape(shape).swapaxes(-1, -2).reshape(-1)
    transposed = any(bool(_caught(chunk, altered[chunk.start : chunk.stop]).any()) for chunk in whole)
    return (seen, total), transposed
