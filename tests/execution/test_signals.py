"""The first signal waits for the end, the second does not."""

import signal
import threading
import time

import pytest

from pardiff.execution.signals import SAME, SIGNALS, held


@pytest.fixture
def got():
    """Signals that arrive, instead of ending the tests."""
    arrived = []
    before = {number: signal.signal(number, lambda number, _: arrived.append(number)) for number in SIGNALS}
    yield arrived
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_waits(number, got):
    """It arrives when all is done."""
    with held():
        signal.raise_signal(number)
        assert got == []
    assert got == [number]


def test_the_second_does_not(got):
    """Who asks twice means it; the first is not lost."""
    with held():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)  # at once: the same, to a process and to its group
        assert got == []
        time.sleep(SAME)
        signal.raise_signal(signal.SIGTERM)
        assert got == [signal.SIGTERM]
    assert got == [signal.SIGTERM, signal.SIGINT]


def test_what_is_ignored_stays_so(got):
    """A signal that was ignored is no signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held():
        signal.raise_signal(signal.SIGINT)
    assert got == []
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_error_passes(got):
    """What fails inside is not hidden."""
    with pytest.raises(ZeroDivisionError), held():
        1 / 0
    assert got == []


def test_in_another_thread(got):
    """Signals go to the main thread, whatever another holds."""
    inside, done = threading.Event(), threading.Event()

    def hold():
        with held():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    signal.raise_signal(signal.SIGINT)
    done.set()
    thread.join()
    assert got == [signal.SIGINT]
