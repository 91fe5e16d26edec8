"""What every executor must do, as tests that a subclass runs over its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import pardiff
from pardiff.evaluation.baseline import measure_baseline
from pardiff.execution.executors import Executor
from pardiff.execution.tasks import Limits, MemoryTask, Receipt, Shared
from pardiff.numerics.estimates import QUANTITIES
from pardiff.planning.waves import Wave
from pardiff.problem.options import Options
from pardiff.testing.problems import TOYS, plant, two_layers

COUNT = 18
"""Parameters of the problem that is evaluated."""


class ExecutorSuite:
    """Tests of an executor; a subclass gives it as a pytest fixture named ``executor``.

    Examples
    --------
    >>> import pytest
    >>> from pardiff.execution.executors import ThreadExecutor
    >>> from pardiff.testing.executor_suite import ExecutorSuite
    >>> class TestThreads(ExecutorSuite):
    ...     @pytest.fixture
    ...     def executor(self):
    ...         return ThreadExecutor(2)
    """

    @pytest.fixture
    def executor(self) -> Executor:
        """The executor under test."""
        raise NotImplementedError("a subclass of ExecutorSuite gives the fixture 'executor'")

    def test_it_is_an_executor(self, executor: Executor) -> None:
        """It has all that the protocol asks for, and does at least one block at a time."""
        assert isinstance(executor, Executor)
        assert executor.workers >= 1
        assert executor.patience >= 0
        assert isinstance(executor.troubles, Mapping)
        assert isinstance(executor.dashboard, str)
        assert all(isinstance(warning, str) for warning in executor.environment_warnings())

    @pytest.mark.parametrize("blocks", [[], [4], [5, 0, 3, 1, 2, 4]])
    def test_every_block_is_delivered_once(self, executor: Executor, blocks: list[int]) -> None:
        """Each block that is asked for has one receipt, in any order, with the bits of this process."""
        task, wave = _task(block_size=3)
        found = [(_block(receipt), receipt.matrix) for receipt in executor.map(task, iter(blocks))]

        assert sorted(block for block, _ in found) == sorted(blocks)
        for block, matrix in found:
            expected = task.again(*wave.bounds(block))[1]
            assert matrix is not None
            assert matrix.shape == (len(QUANTITIES), 3, 1)
            assert matrix.tobytes() == expected.tobytes()

    def test_an_error_reaches_the_caller(self, executor: Executor) -> None:
        """What a task raises is raised by ``map``, with its message, and not swallowed."""
        task, _ = _task(block_size=3)
        with pytest.raises(pardiff.PardiffError, match="no such block"):
            list(executor.map(_Refusing(task.shared, task.wave, task.limits), [0, 1]))

    def test_it_can_be_left_early(self, executor: Executor) -> None:
        """A caller that takes one receipt and closes the iterator may use the executor again."""
        task, _ = _task(block_size=3)
        receipts: Iterator[Receipt] = iter(executor.map(task, range(6)))
        next(receipts)
        close = getattr(receipts, "close", None)
        if close is not None:
            close()

        assert sorted(_block(receipt) for receipt in executor.map(task, range(6))) == list(range(6))

    def test_nothing_is_repeated_unasked(self, executor: Executor) -> None:
        """Without lines to repeat there is no result."""
        task, _ = _task(block_size=3)
        assert list(executor.repeat(task, [])) == []

    @pytest.mark.parametrize("name", sorted(TOYS))
    def test_an_audit_has_the_same_bits(self, executor: Executor, name: str) -> None:
        """`gradcheck` by this executor and in process agree to the last bit, planted fault included."""
        problem = plant(TOYS[name](), (0, 4), 1.5)
        plain = pardiff.gradcheck(problem, block_size=3)
        other = pardiff.gradcheck(problem, block_size=4, executor=executor)

        assert other.verdict.name == plain.verdict.name == "FAIL"
        assert _bits(other) == _bits(plain)


def _task(block_size: int) -> tuple[MemoryTask, Wave]:
    """The first wave of an audit in memory."""
    problem = two_layers()
    baseline, _ = measure_baseline(problem, Options())
    spec = baseline.spec(Options().resolved(baseline.rtol))
    wave = Wave(1, COUNT, block_size)
    arrays = [array.copy() for array in baseline.arrays]
    return MemoryTask(Shared(problem.without_point(), baseline.space, arrays, spec), wave, Limits(60, 60, 60)), wave


class _Refusing(MemoryTask):
    """A task whose blocks all raise."""

    def __call__(self, block: int) -> Receipt:
        """Refuse."""
        raise pardiff.PardiffError(f"no such block: {block}")


def _block(receipt: Receipt) -> int:
    assert receipt.record is not None, receipt.mismatch
    return receipt.record.block


def _bits(result: Any) -> dict[tuple[str, str], bytes]:
    names = ("numerical", "uncertainty", "verdict", "step", "nfev", "state", "scheme", "margin")
    ledger = result.ledger
    return {
        (name, array.name): np.asarray(ledger.array(name, array)).tobytes() for name in names for array in ledger.arrays
    }
