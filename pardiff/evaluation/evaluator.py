"""The protocol that numerics, screening and fast paths share."""

from __future__ import annotations

from typing import Protocol

from pardiff.evaluation.lines import Axes, Bounds, Lines, Point, Values
from pardiff.numerics.difference import Precision
from pardiff.problem.space import FloatArray, IntArray


class Evaluator(Protocol):
    """Values of fun at points displaced from x0.

    fun gives q numbers at each point, its observables: the loss itself (q = 1), or products of its value with q
    cotangents. A number comes with the size that its rounding is in proportion to: its own, or that of the terms it is
    the sum of. Where fun returns terms or an array, the numbers are changes from x0.
    """

    failures: dict[int, str]
    """What fun raised, by coordinate, since it was last cleared."""
    origin: Values
    """Values at x0 and their sizes, each of shape (q,); known once `at_start` was called."""

    def at_start(self) -> float:
        """Call fun at x0, and return a number by which its value is known again."""

    def point(self, index: IntArray) -> Point:
        """What x0 says of some coordinates."""

    def along(self, lines: Lines, t: FloatArray) -> Values:
        """Values at ``x0 + t v`` of each line, of shape (k, points, q) for displacements t of shape (k, points).

        NaN where fun raised (along axes noted in ``failures``), or where the displacement is NaN, which costs no pass.
        The bits of a value do not depend on what else is asked for.
        """

    def along_imaginary(self, lines: Lines, t: FloatArray, step: float) -> Values:
        """``Im fun(x0 + (t + i step) v) / step``, and how far the real part is from fun at x0, in place of values.

        NaN where fun raised along an axis, or did not return a complex number.
        """

    def confirm(self, lines: Lines, t: FloatArray) -> None:
        """Keep the changes at a displacement of each line, shape (k,), for `verify`: searches have chosen them."""

    def verify(self, precision: Precision) -> tuple[str, int]:
        """Compare some of the last values with fun itself: what is wrong with them, if anything, and passes spent."""

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun has changed its argument."""


def axes_of(
    evaluator: Evaluator, index: IntArray, bounds: Bounds | None, typical: tuple[float, ...], first: int = 0
) -> Axes:
    """Lines along some coordinates of an evaluator's x0.

    Parameters
    ----------
    typical : tuple of float
        Typical size by array.
    first : int
        Number of the first in its wave; the others follow it.
    """
    return Axes.of(index, evaluator.point(index), bounds, typical, first)
