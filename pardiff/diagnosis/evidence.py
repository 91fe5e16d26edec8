"""A failing array as the rules see it, and what they may say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.problem.space import FloatArray, IntArray

Mask = NDArray[np.bool_]

MATCH = 1e-5
"""Relative difference up to which an analytical derivative is taken to be what a description says, beside the error
bars: analytical derivatives that were computed in part in single precision differ by as much. A factor that is found in
a thousand entries to five digits is no chance."""
BARS = 3.0
"""Error bars within which a description may be off."""
EXPLAINED = 0.05
"""Part of the residual of a failing entry that a description may leave."""
LAST_DIGITS = 1e-9
"""Relative difference below which a description says nothing else than the derivative."""
TRUE_OF_PART, TRUE_OF_ALL = 0.85, 0.6
"""Share of the entries of a named part, or of the whole array, of which a description must be true; what it leaves of
the whole is described next."""
WORD = 24.0
"""Bits of a number, and of an entry that has to be listed by its index and its number: the precision of `MATCH`, and
some more."""


def fits(
    predicted: FloatArray,
    bar: FloatArray,
    a: FloatArray,
    d: FloatArray,
    u: FloatArray,
    allowed: FloatArray,
    fail: Mask,
) -> Mask:
    """Tell where an analytical derivative is what a description predicts: near enough, and nowhere farther from it than
    from the derivative.

    The second counts where the two can be told apart at all: where all is nearly right, a description that explains the
    few entries that fail must be seen in the others too. A bar that is as wide as the residual explains nothing.
    """
    off = np.abs(predicted - a)
    bar = np.abs(bar)
    same = np.abs(predicted - d) <= 2 * BARS * np.maximum(bar, u) + LAST_DIGITS * np.abs(d)
    residual = np.abs(a - d)
    telling = ~fail | (2 * BARS * bar <= residual)
    return np.asarray((off <= allowed + BARS * bar) & (same | (off <= residual)) & telling)


@dataclass(frozen=True)
class Evidence:
    """The analytical and the numerical derivative of one array, or of a part of it that has the same structure.

    Every field but the last has the shape of the part.
    """

    name: str
    shape: tuple[int, ...]
    """What holds for the whole array."""
    axes: tuple[IntArray, ...]
    """Indices along each axis that the part consists of."""
    a: FloatArray
    """Claimed derivative."""
    d: FloatArray
    """Numerical derivative."""
    u: FloatArray
    """Its error bar."""
    x: FloatArray
    """x0."""
    fail: Mask
    """Entries that fail."""
    known: Mask
    """Entries where the two can be compared."""
    rtol: float
    """Relative tolerance of a description."""
    floor: float
    """Absolute tolerance of a description."""
    failing: tuple[IntArray, ...]
    """Number of failing entries by index of each axis, over the whole array."""
    comparable: tuple[IntArray, ...]
    """The same of the entries that can be compared."""
    others: Mapping[str, FloatArray] = field(default_factory=dict)
    """Small vectors of x0 by name, with which factors are compared."""

    @property
    def is_whole(self) -> bool:
        """Whether this is all of the array."""
        return all(len(held) == length for held, length in zip(self.axes, self.shape, strict=True))

    @cached_property
    def allowed(self) -> FloatArray:
        """How far an analytical derivative may be off, without the error bar: what fails must be explained, not
        just tolerated.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            allowed = self.rtol * np.abs(self.a) + self.floor
            return np.where(self.fail, np.minimum(allowed, EXPLAINED * np.abs(self.a - self.d)), allowed)

    def fits(self, predicted: FloatArray, bar: FloatArray, rows: Any = ...) -> Mask:
        """Tell where the analytical derivative is what a description predicts, with the description's own error bar."""
        with np.errstate(invalid="ignore", over="ignore"):
            return fits(predicted, bar, self.a[rows], self.d[rows], self.u[rows], self.allowed[rows], self.fail[rows])


@dataclass(frozen=True)
class Region:
    """A part of an array that can be named."""

    where: str
    """The part as NumPy indexes it, or a condition; empty for the whole array."""
    words: str
    mask: Mask
    bits: float
    axis: int | None = None
    """The axis of which it is some indices, if it is."""
    indices: tuple[int, ...] = ()
    """These indices, at most a thousand."""


@dataclass(frozen=True)
class Candidate:
    """A description of how the analytical derivative came about."""

    kind: str
    says: str
    """What is to be said of the analytical derivative, from the verb on."""
    bits: float
    """Its length."""
    fits: Mask
    """Entries at which the analytical derivative is as described."""
    compared: Mask
    """Entries at which that can be told."""
    region: Region | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
    unknowns: int = 0
    """Numbers in it that were taken from the analytical derivative."""
    entry_bits: float = 0.0
    """Bits for each entry of the region, where the description leaves open what the analytical derivative is there."""

    def holds(self, evidence: Evidence, open_entries: Mask) -> bool:
        """Whether it is true of nearly all of the entries of which it is said, whatever else it would save.

        Entries that fail and are explained already do not count.
        """
        inside = self.compared & evidence.known & (open_entries | ~evidence.fail)
        if self.region is not None:
            inside = inside & self.region.mask
        least = TRUE_OF_PART if self.region is not None and self.region.where else TRUE_OF_ALL
        return bool(np.count_nonzero(inside & self.fits) >= least * np.count_nonzero(inside))

    def saved(self, evidence: Evidence, open_entries: Mask) -> float:
        """Bits by which this is shorter than a list of the failing entries."""
        if not self.entry_bits and not self.holds(evidence, open_entries):
            return -np.inf
        explained = np.count_nonzero(open_entries & self.fits & self.compared)
        broken = np.count_nonzero(~evidence.fail & ~self.fits & self.compared)
        listed = 0.0
        if self.entry_bits and self.region is not None:
            listed = self.entry_bits * np.count_nonzero(self.region.mask & evidence.known)
        return WORD * (explained - broken) - self.bits - listed
