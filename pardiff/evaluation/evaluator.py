"""The protocol that numerics, screening and fast paths share."""

from __future__ import annotations

from typing import Protocol

from pardiff.problem.parameters import FloatArray, IntArray


class Evaluator(Protocol):
    """Values of fun at points displaced from x0."""

    failures: dict[int, str]
    """What fun raised, by coordinate, since it was last cleared."""

    def at_start(self) -> float:
        """fun at x0."""

    def point(self, index: IntArray) -> tuple[FloatArray, IntArray]:
        """Values of the coordinates in x0, and the bytes of their dtype, each of shape (k,)."""

    def along_coordinates(self, index: IntArray, displacement: FloatArray) -> FloatArray:
        """fun with coordinate ``index[j]`` alone moved by ``displacement[j]``, shape (k,).

        NaN where fun raised (noted in ``failures``) or where the displacement is NaN (no pass is spent).
        """

    def along_direction(self, direction: FloatArray, displacement: FloatArray) -> FloatArray:
        """fun at ``x0 + displacement[j] * direction``, with direction of shape (n,); shape (k,)."""

    def check_unchanged(self) -> None:
        """Raise `InputError` if fun has changed its argument."""
