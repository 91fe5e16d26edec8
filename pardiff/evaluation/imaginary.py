"""fun at points displaced along the imaginary axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation.failures import is_interrupt
from pardiff.problem.space import FloatArray, IntArray, Layout


class ComplexStep:
    """Evaluates fun on a complex128 copy of x0, whatever the dtypes of x0: 16 bytes a parameter.

    Parameters
    ----------
    fun, args
        As of the problem.
    layout : Layout
    arrays : list of ndarray
        The leaves of x0.
    value : float
        fun at x0.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        layout: Layout,
        arrays: list[NDArray[Any]],
        value: float,
    ) -> None:
        self.fun = fun
        self.args = args
        self.layout = layout
        self.value = value
        copies = [np.array(array, dtype=np.complex128, order="C") for array in arrays]
        self.x = layout.structure(copies)
        self._flat = [array.reshape(-1) for array in copies]

    def along_coordinates(self, index: IntArray, step: float) -> tuple[FloatArray, FloatArray]:
        """Derivatives and deviations of the real part, one coordinate after the other."""
        values = np.full(len(index), complex(np.nan, np.nan))
        owner = self.layout.owner(index)
        local = (index - self.layout.starts[owner]).tolist()
        for j, (number, i) in enumerate(zip(owner.tolist(), local, strict=True)):
            flat = self._flat[number]
            saved = flat[i]
            flat[i] = complex(saved.real, step)
            try:
                values[j] = self._call()
            except BaseException as error:
                if is_interrupt(error):
                    raise
                # NaN, for the step search to look at: a real argument may be all that fun can take
            finally:
                flat[i] = saved
        return values.imag / step, np.abs(values.real - self.value)

    def along_direction(
        self, direction: FloatArray, displacement: FloatArray, step: float
    ) -> tuple[FloatArray, FloatArray]:
        """The same at ``x0 + (displacement[j] + i step) direction``; whatever fun raises goes to the caller."""
        values = np.full(len(displacement), complex(np.nan, np.nan))
        saved = [flat.copy() for flat in self._flat]
        try:
            for j, move in enumerate(displacement.tolist()):
                for flat, start, leaf in zip(self._flat, saved, self.layout.leaves, strict=True):
                    flat[:] = start + complex(move, step) * direction[leaf.start : leaf.stop]
                values[j] = self._call()
        finally:
            for flat, start in zip(self._flat, saved, strict=True):
                flat[:] = start
        return values.imag / step, np.abs(values.real - self.value)

    def _call(self) -> complex:
        value = np.asarray(self.fun(self.x, *self.args))
        # a real number where a complex one went in means that the imaginary part was dropped
        return complex(value.sum()) if value.dtype.kind == "c" else complex(np.nan, np.nan)
