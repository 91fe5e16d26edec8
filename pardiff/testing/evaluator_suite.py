"""What every evaluator must do, as tests that a subclass runs over its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pardiff.evaluation.evaluator import Evaluator, axes_of
from pardiff.evaluation.lines import Direction
from pardiff.evaluation.pointwise import Pointwise
from pardiff.numerics.difference import Precision
from pardiff.problem.space import IntArray

CLOSE = 1e-9
"""Relative difference of two changes of fun at steps of `STEP` that rounding cannot explain."""
STEP = 2.0**-10
"""Part of 1 by which coordinates are moved: a change so large stands out of the rounding."""


class EvaluatorSuite:
    """Tests of an evaluator; a subclass gives two pytest fixtures.

    ``evaluator`` is the one under test; its fun and x0 are any whose values near x0 are finite. ``plain`` is a
    `Pointwise` of the same fun at the same x0, which says what is right.

    Examples
    --------
    >>> import numpy as np
    >>> import pytest
    >>> from pardiff.evaluation.batched import Batched
    >>> from pardiff.evaluation.pointwise import Pointwise
    >>> from pardiff.problem.parsing import parse_x0
    >>> from pardiff.testing.evaluator_suite import EvaluatorSuite
    >>> class TestBatched(EvaluatorSuite):
    ...     @pytest.fixture
    ...     def plain(self):
    ...         return Pointwise(lambda x: float(np.sum(x**2)), (), *parse_x0(np.ones(5)))
    ...
    ...     @pytest.fixture
    ...     def evaluator(self):
    ...         plain = Pointwise(lambda x: float(np.sum(x**2)), (), *parse_x0(np.ones(5)))
    ...         plain.at_start()
    ...         return Batched(plain, lambda rows: (rows**2).sum(axis=1), 4)
    """

    @pytest.fixture
    def evaluator(self) -> Evaluator:
        """The evaluator under test."""
        raise NotImplementedError("a subclass of EvaluatorSuite gives the fixture 'evaluator'")

    @pytest.fixture
    def plain(self) -> Pointwise:
        """fun itself, one pass a point."""
        raise NotImplementedError("a subclass of EvaluatorSuite gives the fixture 'plain'")

    @pytest.fixture
    def index(self, plain: Pointwise) -> IntArray:
        """Some coordinates, the first and the last among them."""
        n = plain.space.size
        return np.unique(np.linspace(0, n - 1, min(n, 9)).astype(np.int64))

    def test_x0(self, evaluator: Evaluator, plain: Pointwise, index: IntArray) -> None:
        """The value at x0 and what is said of the coordinates are those of fun itself."""
        assert evaluator.at_start() == plain.at_start()
        for found, expected in zip(evaluator.point(index), plain.point(index), strict=True):
            np.testing.assert_array_equal(found, expected)

    def test_changes_are_those_of_fun(self, evaluator: Evaluator, plain: Pointwise, index: IntArray) -> None:
        """Along axes values have the shape (k, points, q), and move from x0 as fun does."""
        moves = STEP * np.tile([1.0, -1.0, 2.0], (len(index), 1))
        found, expected = self._changes(evaluator, index, moves), self._changes(plain, index, moves)
        assert found.shape == (len(index), 3, len(evaluator.origin.value))
        np.testing.assert_allclose(found, expected, rtol=CLOSE, atol=CLOSE * np.abs(expected).max())

    def test_directions(self, evaluator: Evaluator, plain: Pointwise, index: IntArray) -> None:
        """Along a direction of all of x0, and of one coordinate, values move as fun does, shape (1, points, q)."""
        vector = np.random.default_rng(0).uniform(-1.0, 1.0, plain.space.size)
        one = Direction(np.ones(1), index[-1:])
        for line in (Direction(vector), one):
            found, expected = (self._along(e, line, np.array([[STEP, -STEP]])) for e in (evaluator, plain))
            assert found.shape == (1, 2, len(evaluator.origin.value))
            np.testing.assert_allclose(found, expected, rtol=CLOSE, atol=CLOSE * np.abs(expected).max())

    def test_bits_do_not_depend_on_company(self, evaluator: Evaluator, index: IntArray) -> None:
        """A value has the same bits alone, among others, and asked for again."""
        evaluator.at_start()
        moves = STEP * np.tile([1.0, -1.0], (len(index), 1))
        axes = axes_of(evaluator, index, None, self._typical(evaluator, index))
        together, again = (evaluator.along(axes, moves).value for _ in range(2))
        assert together.tobytes() == again.tobytes()
        for row in range(len(index)):
            alone = evaluator.along(axes[row : row + 1], moves[row : row + 1]).value
            assert alone.tobytes() == together[row : row + 1].tobytes()

    def test_nan_asks_for_nothing(self, evaluator: Evaluator, index: IntArray) -> None:
        """A displacement of NaN gives NaN and is no failure; the other points are not touched by it."""
        evaluator.at_start()
        axes = axes_of(evaluator, index, None, self._typical(evaluator, index))
        moves = np.full((len(index), 2), STEP)
        whole = evaluator.along(axes, moves).value
        moves[:, 1] = np.nan
        part = evaluator.along(axes, moves).value
        assert np.isnan(part[:, 1]).all()
        assert part[:, 0].tobytes() == whole[:, 0].tobytes()
        assert evaluator.failures == {}

    def test_x0_is_left_as_it_was(self, evaluator: Evaluator, index: IntArray) -> None:
        """After all evaluations x0 is the same to the last bit."""
        before = evaluator.point(index)
        evaluator.at_start()
        axes = axes_of(evaluator, index, None, self._typical(evaluator, index))
        evaluator.along(axes, np.full((len(index), 1), STEP))
        evaluator.check_unchanged()
        assert evaluator.point(index).x.tobytes() == before.x.tobytes()

    def test_what_is_kept_agrees_with_fun(self, evaluator: Evaluator, index: IntArray) -> None:
        """The evaluator's own comparison with fun finds nothing."""
        evaluator.at_start()
        axes = axes_of(evaluator, index, None, self._typical(evaluator, index))
        evaluator.along(axes, np.full((len(index), 2), STEP))
        mismatch, nfev = evaluator.verify(Precision(2.0**-50, 0.0))
        assert mismatch == ""
        assert nfev >= 0

    @staticmethod
    def _typical(evaluator: Evaluator, index: IntArray) -> tuple[float, ...]:
        return (1.0,) * (int(evaluator.point(index).array.max()) + 1)

    def _changes(self, evaluator: Evaluator, index: IntArray, moves: Any) -> Any:
        evaluator.at_start()
        axes = axes_of(evaluator, index, None, self._typical(evaluator, index))
        return evaluator.along(axes, moves).value - evaluator.origin.value

    @staticmethod
    def _along(evaluator: Evaluator, line: Direction, moves: Any) -> Any:
        evaluator.at_start()
        return evaluator.along(line, moves).value - evaluator.origin.value
