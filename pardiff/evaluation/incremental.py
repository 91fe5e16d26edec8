"""Evaluation by something that knows what one changed parameter reaches, such as a `Chain`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from pardiff.evaluation.crosscheck import CrossChecked, EvaluatorMismatch
from pardiff.evaluation.failures import described, is_interrupt
from pardiff.evaluation.lines import Axes
from pardiff.evaluation.pointwise import Pointwise
from pardiff.problem.space import FloatArray, IntArray, Structure

PIECE = 1 << 14
"""Changes asked for in one call where the evaluator does not say how many it takes: what is computed with them
stays in the cache."""


class Changes(Protocol):
    """Changes of fun from one point."""

    def changes(
        self, array: str, index: IntArray, displacement: FloatArray
    ) -> tuple[FloatArray, FloatArray | None] | FloatArray:
        """Changes of fun with one element of an array alone moved.

        Parameters
        ----------
        array : str
            Its name: the path in x0, or ``x`` where x0 is an array.
        index : ndarray of int64, shape (k,)
            Elements of the flattened array.
        displacement : ndarray of float64, shape (k, m)
            By how much; m for each element.

        Returns
        -------
        changes : ndarray, shape (k, m)
            ``fun(x + displacement) - fun(x)``. A row must not depend on the other rows, not even in its last bits.
        sizes : ndarray, shape (k, m), optional
            What the rounding of each change is in proportion to: of a sum, the root of the sum of squares of the
            terms that change, or the sum of their absolute values, which is more. By default the size of fun
            itself, which makes error bars as wide as those of fun.
        """


class Incremental(Protocol):
    """What ``incremental=`` takes: something that can be prepared at a point.

    ``prepare(x)`` returns an object with a method ``changes(array, index, displacement)``. It gets the name of an
    array (its path in x0, or ``"x"``), elements of the flattened array, shape (k,), and displacements, shape (k, m),
    of each alone; it returns ``fun(x + displacement) - fun(x)``, shape (k, m), and, if it likes, what the rounding of
    each is in proportion to: of a sum, the root of the sum of squares of the terms that change. Without, that is fun
    itself. A row must not depend on the others, not even in its last bits.

    An optional method of what it returns, ``group(array, points) -> int``, says how many elements of an array, at so
    many displacements each, one call of ``changes`` may have.

    Examples
    --------
    Of a separable function one term changes:

    >>> import numpy as np, pardiff
    >>> class Quartic:
    ...     def prepare(self, x):
    ...         return QuarticAt(x.copy())
    >>> class QuarticAt:
    ...     def __init__(self, x):
    ...         self.x = x
    ...     def changes(self, array, index, displacement):
    ...         before = self.x[index][:, None] ** 4
    ...         after = (self.x[index][:, None] + displacement) ** 4
    ...         return after - before, np.maximum(before, after)
    >>> x = np.linspace(1, 2, 1000)
    >>> result = pardiff.gradcheck(lambda x: float(np.sum(x**4)), lambda x: 4 * x**3, x, incremental=Quartic())
    >>> result.passed
    True
    """

    def prepare(self, x: Structure) -> Changes:
        """What passes at x share, computed once per worker. x may be kept, and must not be written to."""


class IncrementalEvaluator(CrossChecked):
    """An evaluator that asks an `Incremental` for changes.

    Parameters
    ----------
    plain : Pointwise
        Which has been called at x0.
    incremental : Incremental

    Raises
    ------
    EvaluatorMismatch
        If it cannot be prepared.
    """

    def __init__(self, plain: Pointwise, incremental: Incremental) -> None:
        super().__init__(plain)
        try:
            self.prepared: Any = incremental.prepare(plain.space.structure(plain.copied()))
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise EvaluatorMismatch(f"it cannot be prepared: {described(error)}") from error

    def along_axes(self, lines: Axes, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes, array by array."""
        index = lines.index
        changes, sizes = (np.empty(t.shape, order="F") for _ in range(2))
        for number, rows in self.space.parts(index):
            found = self._of_array(number, index[rows], t[rows])
            self.note(number, index[rows], t[rows], *found)
            if rows == slice(0, len(index)):
                return found
            changes[rows], sizes[rows] = found
        return changes, sizes

    def along_one(self, index: int, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Changes and sizes along one coordinate."""
        number = int(self.space.owner(np.array([index]))[0])
        changes, sizes = self._of_array(number, np.array([index]), t[None])
        return changes[0], sizes[0]

    def _of_array(self, number: int, index: IntArray, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        leaf = self.space.leaves[number]
        count, points = displacement.shape
        piece = self._piece(leaf.name, points)
        lost = np.isnan(displacement)
        moves = np.where(lost, 0.0, displacement) if lost.any() else displacement
        if count <= piece:
            changes, sizes = self._ask(leaf.name, index - leaf.start, moves)
        else:
            changes, sizes = (np.empty(displacement.shape, order="F") for _ in range(2))
            for start in range(0, count, max(1, piece)):
                rows = slice(start, start + max(1, piece))
                changes[rows], sizes[rows] = self._ask(leaf.name, index[rows] - leaf.start, moves[rows])
        return (np.where(lost, np.nan, changes) if moves is not displacement else changes), sizes

    def _piece(self, array: str, points: int) -> int:
        """Elements of an array in one call."""
        group = getattr(self.prepared, "group", None)
        if group is None:
            return max(1, PIECE // points)
        try:
            return max(1, int(group(array, points)))
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise EvaluatorMismatch(f"its group() for array {array!r} raised {described(error)}") from error

    def _ask(self, array: str, index: IntArray, displacement: FloatArray) -> tuple[FloatArray, FloatArray]:
        try:
            # copies: what is done to them there must not count here
            answer = self.prepared.changes(array, index.copy(), displacement.copy(order="K"))
            changes, sizes = answer if isinstance(answer, tuple) else (answer, None)
            if np.iscomplexobj(changes) or np.iscomplexobj(sizes):
                raise TypeError("its changes are complex numbers")
            changes = np.asarray(changes, dtype=np.float64)
            sizes = (
                np.abs(changes) + float(self.plain.origin.size[0])
                if sizes is None
                else np.asarray(sizes, dtype=np.float64)
            )
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise EvaluatorMismatch(f"for array {array!r} it raised {described(error)}") from error
        if changes.shape != displacement.shape or sizes.shape != displacement.shape:
            raise EvaluatorMismatch(
                f"for array {array!r} it returned changes of shape {changes.shape} and sizes of shape {sizes.shape}; "
                f"expected the shape of the displacements, {displacement.shape}, and the change of fun, not its value"
            )
        finite = np.isfinite(changes)
        if not ((sizes[finite] >= 0) & np.isfinite(sizes[finite])).all():
            raise EvaluatorMismatch(f"for array {array!r} it returned sizes that are negative or not finite")
        return changes, np.fmax(sizes, np.abs(changes))
