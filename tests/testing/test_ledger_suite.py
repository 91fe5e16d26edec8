"""Our ledgers pass the suite that is shipped for everybody's."""

import pytest

from pardiff.storage.memory import MemoryLedger
from pardiff.storage.zarr_ledger import ZarrLedger
from pardiff.testing.ledger_suite import LedgerSuite, empty_ledger


class TestMemory(LedgerSuite):
    @pytest.fixture
    def new_ledger(self):
        return MemoryLedger


class TestZarr(LedgerSuite):
    @pytest.fixture
    def new_ledger(self, tmp_path):
        def new(space, x0, analytical, info, first):
            ledger = ZarrLedger.create(tmp_path / "audit", space, x0, info, first)
            if analytical is not None:
                ledger.write_analytical(analytical)
            return ledger

        return new

    def deliver(self, ledger, record, matrix):
        ledger.accept(ledger.commit(record, matrix), None)

    def test_another_client_sees_the_same(self, ledger):
        """What was written is there when the place is opened anew."""
        self._deliver(ledger, 1, seed=0)
        other = ZarrLedger.open(ledger.location)

        start, stop = ledger.waves[0].bounds(1)
        assert other.lines(start, stop).to_matrix().tobytes() == ledger.lines(start, stop).to_matrix().tobytes()
        assert other.info == ledger.info
        assert other.records(1)[1] == ledger.records(1)[1]


def test_it_finds_a_ledger_that_is_wrong():
    """A ledger that forgets the passes of later waves is found."""

    class Forgetful(MemoryLedger):
        def lines(self, start, stop):
            return self._results[1].part(slice(start, stop))

    suite = LedgerSuite()
    ledger = empty_ledger(Forgetful, outputs=False)
    with pytest.raises(AssertionError):
        suite.test_later_waves_go_over_the_first(ledger)
