"""The plain evaluator: one element of one buffer is changed in place, and restored, for each pass."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.problem.parameters import FloatArray, IntArray, Layout, leaves_like

LONGEST = 500
"""Characters kept of a message of fun's."""


def described(error: BaseException) -> str:
    """An exception in words, whatever its own methods do."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    return (text if len(text) <= LONGEST else text[:LONGEST] + "…").encode("utf-8", "backslashreplace").decode()


def _is_interrupt(error: BaseException) -> bool:
    """Whether it is a Ctrl-C of the user's; in any other thread than the first it can only come from fun."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


class Pointwise:
    """Evaluates ``fun(x, *args)`` at displaced points; owns its copy of x0.

    Parameters
    ----------
    fun : callable
    args : tuple
    layout : Layout
    arrays : list of ndarray
        The leaves of x0; the evaluator perturbs these very arrays, so they must be its own.
    """

    def __init__(
        self, fun: Callable[..., Any], args: tuple[Any, ...], layout: Layout, arrays: list[NDArray[Any]]
    ) -> None:
        self.fun = fun
        self.args = args
        self.layout = layout
        self.x = layout.structure(arrays)
        self.failures: dict[int, str] = {}
        self._arrays = arrays
        self._flat = [array.reshape(-1) for array in arrays]
        self._checksums = [zlib.crc32(array.data) for array in self._flat]

    def at_start(self) -> float:
        """fun at x0; whatever it raises goes to the caller."""
        return float(self.fun(self.x, *self.args))

    def point(self, index: IntArray) -> tuple[FloatArray, IntArray]:
        """Values of the coordinates in x0, and the bytes of their dtype."""
        x = np.empty(len(index))
        itemsize = np.empty(len(index), dtype=np.int64)
        owner = self._owner(index)
        for number in np.unique(owner):
            rows = owner == number
            leaf = self.layout.leaves[number]
            x[rows] = self._flat[number][index[rows] - leaf.start]
            itemsize[rows] = leaf.dtype.itemsize
        return x, itemsize

    def along_coordinates(self, index: IntArray, displacement: FloatArray) -> FloatArray:
        """fun with one coordinate moved, for each pair of index and displacement."""
        fun, args, x = self.fun, self.args, self.x
        values = np.full(len(index), np.nan)
        owner = self._owner(index)
        local = (index - self.layout.starts[owner]).tolist()
        flats = [self._flat[number] for number in owner.tolist()]
        for j, (flat, i, move) in enumerate(zip(flats, local, displacement.tolist(), strict=True)):
            if move != move:
                continue
            saved = flat[i]
            flat[i] = float(saved) + move
            try:
                values[j] = fun(x, *args)
            except BaseException as error:
                if _is_interrupt(error):
                    raise
                self.failures[int(index[j])] = described(error)
            finally:
                flat[i] = saved
        return values

    def along_direction(self, direction: FloatArray, displacement: FloatArray) -> FloatArray:
        """fun at points on a line through x0; NaN where it raises."""
        values = np.full(len(displacement), np.nan)
        saved = [flat.copy() for flat in self._flat]
        parts = [direction[leaf.start : leaf.stop] for leaf in self.layout.leaves]
        try:
            for j, move in enumerate(displacement.tolist()):
                for flat, start, part in zip(self._flat, saved, parts, strict=True):
                    flat[:] = start + move * part
                try:
                    values[j] = self.fun(self.x, *self.args)
                except BaseException as error:
                    if _is_interrupt(error):
                        raise
                    # a point where fun raises shows no noise; what it means is seen entry by entry
        finally:
            for flat, start in zip(self._flat, saved, strict=True):
                flat[:] = start
        return values

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun has written to x, or has put other arrays in its place."""
        current = leaves_like(self.layout, self.x, "x as fun left it")
        for leaf, array, flat, held, checksum in zip(
            self.layout.leaves, self._arrays, self._flat, current, self._checksums, strict=True
        ):
            if held is not array or array.shape != leaf.shape or zlib.crc32(flat.data) != checksum:
                raise InputError(
                    f"fun or grad changed its argument (array {leaf.name!r}); x is perturbed in place and "
                    f"must be left as it is: work on a copy, x = x.copy()"
                )

    def _owner(self, index: IntArray) -> IntArray:
        return np.searchsorted(self.layout.starts, index, side="right") - 1
