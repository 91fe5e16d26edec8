"""What every ledger must do, as tests that a subclass runs over its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pardiff.evaluation.baseline import measure_baseline
from pardiff.execution.tasks import worker_name
from pardiff.numerics.estimates import DONE, MISSING, SEARCHED, Estimates
from pardiff.planning.waves import SEARCH, Wave
from pardiff.problem.options import Options
from pardiff.problem.problem import Problem
from pardiff.problem.space import FloatArray, Space
from pardiff.storage.format import QUANTITIES, BlockRecord
from pardiff.storage.info import COMPLETE, RUNNING, AuditInfo, Timings
from pardiff.storage.ledger import Ledger, array_chunks, estimates, passes, write_named_arrays

NewLedger = Callable[[Space, list[NDArray[Any]], "FloatArray | None", AuditInfo, Wave], Ledger]
"""Makes an empty ledger, given the space of x0, its arrays, the analytical derivative, the facts and the first wave."""

SHAPES = {"a": (2, 3), "b": (), "c": (4,)}


class LedgerSuite:
    """Tests of a ledger; a subclass gives a pytest fixture named ``new_ledger`` that returns a `NewLedger`.

    Override :meth:`deliver` where workers store results themselves.

    Examples
    --------
    >>> import pytest
    >>> from pardiff.storage.memory import MemoryLedger
    >>> from pardiff.testing.ledger_suite import LedgerSuite
    >>> class TestMemory(LedgerSuite):
    ...     @pytest.fixture
    ...     def new_ledger(self):
    ...         return MemoryLedger
    """

    @pytest.fixture
    def new_ledger(self) -> NewLedger:
        """What makes a ledger."""
        raise NotImplementedError("a subclass of LedgerSuite gives the fixture 'new_ledger'")

    def deliver(self, ledger: Ledger, record: BlockRecord, matrix: FloatArray) -> None:
        """Hand a finished block to the ledger, as a run does."""
        ledger.accept(record, matrix)

    @pytest.fixture(params=[False, True], ids=["loss", "outputs"])
    def ledger(self, request: pytest.FixtureRequest, new_ledger: NewLedger) -> Ledger:
        """An empty ledger: of a loss, and of a fun with two outputs."""
        return empty_ledger(new_ledger, outputs=request.param)

    def test_it_beginsempty_ledger(self, ledger: Ledger) -> None:
        """Nothing is recorded, every result is missing, and every array holds its fill value."""
        assert len(ledger.records(1)) == 0
        assert (ledger.lines(0, ledger.space.size).state == MISSING).all()
        assert passes(ledger) == ledger.info.baseline.nfev
        for array in ledger.arrays:
            for name in ("numerical", "verdict", "nfev"):
                found = ledger.array(name, array)
                assert found.shape == array.shape
                assert found.dtype == np.dtype(QUANTITIES[name].dtype)
                np.testing.assert_array_equal(found, QUANTITIES[name].fill)

    def test_x0_comes_back(self, ledger: Ledger) -> None:
        """The parameters are those that were given, in their own shapes and dtypes."""
        for leaf, expected in zip(ledger.space.leaves, _x0().values(), strict=True):
            found = ledger.parameters(leaf)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)

    def test_a_block_comes_back(self, ledger: Ledger) -> None:
        """Results of a delivered block are read to the last bit, those of the others are missing."""
        matrix = self._deliver(ledger, 1, seed=0)
        start, stop = ledger.waves[0].bounds(1)

        assert ledger.results(ledger.waves[0], start, stop).to_matrix().tobytes() == matrix.tobytes()
        assert np.isnan(ledger.lines(0, start).numerical).all()
        assert list(ledger.records(1)) == [1]
        assert ledger.records(1)[1].nfev == 7
        assert passes(ledger) == ledger.info.baseline.nfev + 7
        ledger.check_results()

    def test_later_waves_go_over_the_first(self, ledger: Ledger) -> None:
        """A line has the results of the last wave that has found any, and passes add up."""
        for block in range(ledger.waves[0].blocks):
            self._deliver(ledger, block, seed=block)
        before = ledger.lines(0, ledger.space.size)
        index = np.array([1, 6, 10])
        wanted = None if before.numerical.shape[1] == 1 else np.ones((3, before.numerical.shape[1]), dtype=bool)
        ledger.add_wave(Wave(2, 3, 2, SEARCH, index, wanted))
        self._deliver(ledger, 0, seed=9, wave=2)
        after = ledger.lines(0, ledger.space.size)

        assert after.state[index[:2]].tolist() == np.full_like(after.state[:2], SEARCHED).tolist()
        np.testing.assert_array_equal(after.nfev[1], before.nfev[1] * 2)
        untouched = np.setdiff1d(np.arange(ledger.space.size), index[:2])
        np.testing.assert_array_equal(after.numerical[untouched], before.numerical[untouched])

    def test_named_arrays_follow_the_lines(self, ledger: Ledger) -> None:
        """What blocks delivered by lines is read by names, whole and in parts, and the same once written."""
        for block in range(ledger.waves[0].blocks):
            self._deliver(ledger, block, seed=block)
        write_named_arrays(ledger)
        whole = ledger.lines(0, ledger.space.size)
        for array in ledger.arrays:
            low, high = array.observables
            expected = whole.numerical[array.leaf.start : array.leaf.stop, low:high].T.reshape(array.shape)
            np.testing.assert_array_equal(ledger.array("numerical", array), expected)
            for start, stop in array_chunks(array):
                found = estimates(ledger, array, start, stop)
                np.testing.assert_array_equal(found.numerical, expected.reshape(-1)[start:stop])

    def test_parts_are_written_and_read(self, ledger: Ledger) -> None:
        """A part that is written is read again, in the quantity's dtype, and no other array changes."""
        first, second = ledger.arrays[:2]
        for start, stop in array_chunks(first):
            ledger.write("verdict", first, start, stop, np.full(stop - start, 1, dtype=QUANTITIES["verdict"].dtype))
            assert (ledger.read("verdict", first, start, stop) == 1).all()
        assert (ledger.array("verdict", first) == 1).all()
        assert (ledger.array("verdict", second) == QUANTITIES["verdict"].fill).all()

    def test_the_analytical_derivative_comes_back(self, new_ledger: NewLedger) -> None:
        """It is read by names in the order in which it was given, flat."""
        ledger = empty_ledger(new_ledger, outputs=False, analytical=np.arange(11.0))
        found = [ledger.array("analytical", array).reshape(-1) for array in ledger.arrays]
        np.testing.assert_array_equal(np.concatenate(found), np.arange(11.0))

    def test_facts_are_changed(self, ledger: Ledger) -> None:
        """``update`` changes what is named, and keeps the rest."""
        before = ledger.info
        ledger.update(state=COMPLETE, troubles={"workers lost": 2})
        assert ledger.info == replace(before, state=COMPLETE, troubles={"workers lost": 2})

    def _deliver(self, ledger: Ledger, block: int, seed: int, wave: int = 1) -> FloatArray:
        planned = ledger.waves[wave - 1]
        start, stop = planned.bounds(block)
        found = Estimates.empty(stop - start, ledger.info.spec.observables)
        rng = np.random.default_rng(seed)
        for name in ("numerical", "uncertainty", "step", "margin"):
            getattr(found, name)[...] = rng.uniform(0.5, 1.0, found.numerical.shape)
        found.nfev[...], found.state[...] = 2, DONE if wave == 1 else SEARCHED
        matrix = found.to_matrix()
        record = BlockRecord(
            wave, block, start, stop, "done", 0, 7, 0.1, 1, worker=ledger.info.client, base=0.0, checks=1, ended=0.0
        )
        self.deliver(ledger, record, matrix)
        return matrix


def _x0() -> dict[str, NDArray[Any]]:
    return {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(0.5), "c": np.linspace(1.0, 2.0, 4)}


def _loss(x: Any) -> float:
    return float(sum(np.sum(array) for array in x.values()))


def _outputs(x: Any) -> Any:
    return {"mean": np.mean(x["a"]) * np.ones(2), "sum": np.sum(x["c"]) + x["b"]}


def _pullback(x: Any, u: Any) -> Any:
    return x


def empty_ledger(new_ledger: NewLedger, *, outputs: bool, analytical: FloatArray | None = None) -> Ledger:
    """A ledger of a small problem, with nothing done."""
    problem = Problem(_outputs, vjp=_pullback, x0=_x0()) if outputs else Problem(_loss, None, _x0())
    baseline, _ = measure_baseline(problem, Options())
    resolved = Options().resolved(baseline.rtol, has_analytical=analytical is not None)
    info = AuditInfo(
        problem="suite",
        target="suite",
        settings=resolved,
        has_analytical=analytical is not None,
        baseline=baseline.facts,
        spec=baseline.spec(resolved),
        client=worker_name(),
        provenance={},
        timings=Timings(started="2020-01-01T00:00:00+00:00"),
        state=RUNNING,
    )
    return new_ledger(baseline.space, baseline.arrays, analytical, info, Wave(1, baseline.space.size, 4))
