"""fun at points displaced along the imaginary axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.evaluation.failures import is_interrupt
from pardiff.evaluation.lines import Direction, Lines, Values
from pardiff.evaluation.observe import Observe, Products
from pardiff.numerics.tuning import REAL_PART
from pardiff.problem.space import FloatArray, IntArray, Space


class ImaginarySteps:
    """Evaluates fun on a complex128 copy of x0, whatever the dtypes of x0: 16 bytes a parameter.

    Parameters
    ----------
    fun, args
        As of the problem.
    space : Space
    arrays : list of ndarray
        The leaves of x0.
    observe : Observe or None
        What is taken of fun's value; None where it is the loss itself.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        space: Space,
        arrays: list[NDArray[Any]],
        observe: Observe | None,
    ) -> None:
        self.fun = fun
        self.args = args
        self.space = space
        self.observe = observe
        copies = [np.array(array, dtype=np.complex128, order="C") for array in arrays]
        self.x = space.structure(copies)
        self._flat = [array.reshape(-1) for array in copies]
        self._origin = np.full(1, np.nan)
        self._slack = np.zeros(1)

    def take_origin(self, value: float) -> None:
        """Take what the real parts are compared with: of outputs and of terms their sum, not its change."""
        if isinstance(self.observe, Products):
            pairs = list(zip(self.observe.cotangents.weights, self.observe.start, strict=True))
            self._origin = np.concatenate([(weights * start).sum(axis=1) for weights, start in pairs])
            sizes = [np.sqrt(((weights * start) ** 2).sum(axis=1)) for weights, start in pairs]
            self._slack = REAL_PART * np.finfo(np.float64).eps * np.concatenate(sizes)
        else:
            self._origin = np.array([value if self.observe is None else self.observe.known])

    def along(self, lines: Lines, t: FloatArray, step: float) -> Values:
        """Derivatives, and deviations of the real part; of outputs, beyond the rounding of their sum."""
        values = (
            self._along_direction(lines, t[0], step) if isinstance(lines, Direction) else self._axes(lines.index, step)
        )
        return Values(values.imag / step, np.maximum(np.abs(values.real - self._origin) - self._slack, 0.0))

    def _axes(self, index: IntArray, step: float) -> NDArray[np.complex128]:
        """Take the complex step from x0 itself, one coordinate after the other."""
        values = np.full((len(index), 1, len(self._origin)), complex(np.nan, np.nan))
        owner = self.space.owner(index)
        local = (index - self.space.starts[owner]).tolist()
        for j, (number, i) in enumerate(zip(owner.tolist(), local, strict=True)):
            flat = self._flat[number]
            saved = flat[i]
            flat[i] = complex(saved.real, step)
            try:
                values[j, 0] = self._call()
            except BaseException as error:
                if is_interrupt(error):
                    raise
                # NaN, for the step search to look at: a real argument may be all that fun can take
            finally:
                flat[i] = saved
        return values

    def _along_direction(self, line: Direction, t: FloatArray, step: float) -> NDArray[np.complex128]:
        """Take the complex step from points of a line; whatever fun raises goes to the caller."""
        assert line.index is None
        values = np.full((1, len(t), len(self._origin)), complex(np.nan, np.nan))
        saved = [flat.copy() for flat in self._flat]
        try:
            for j, move in enumerate(t.tolist()):
                for flat, start, leaf in zip(self._flat, saved, self.space.leaves, strict=True):
                    flat[:] = start + complex(move, step) * line.vector[leaf.start : leaf.stop]
                values[0, j] = self._call()
        finally:
            for flat, start in zip(self._flat, saved, strict=True):
                flat[:] = start
        return values

    def _call(self) -> Any:
        returned = self.fun(self.x, *self.args)
        if isinstance(self.observe, Products):
            return self.observe.imaginary(returned)
        value = np.asarray(returned)
        # a real number where a complex one went in means that the imaginary part was dropped
        return complex(value.sum()) if value.dtype.kind == "c" else complex(np.nan, np.nan)
