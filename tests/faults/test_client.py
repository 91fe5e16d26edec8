"""A client that is killed at any point: what is finished stays, no process is left, and the next run goes on."""

import random
import signal
import time

import pytest
from chaos import Run, alive, kill, started_again, write_job
from helpers import bits, complaints

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again(seed, tmp_path):
    """SIGKILL, SIGTERM and SIGINT after random times, from before the audit is made to its report."""
    rng = random.Random(seed)
    whole = tmp_path / "whole"
    whole.mkdir()
    write_job(whole, n=200, pause=0)
    assert Run(whole, "--workers", "0").finish()[0] == 0
    write_job(tmp_path, n=200, pause=2e-3)
    for number in range(40):
        run = Run(tmp_path, "--workers", "2", "--block-size", "10")
        how = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        wait = rng.uniform(0.5, 2.5 + number / 4)
        time.sleep(wait)
        guarded = run.guarded  # before, Python itself is starting
        if run.running:
            run.process.send_signal(how)
        status, out, err = run.finish()
        assert alive(run.process.pid) == []
        if status == 0:
            break
        if how != signal.SIGKILL and guarded:
            assert status == 4
            assert "Traceback" not in out + err
            assert len(complaints(err)) <= 1

    assert status == 0, out + err
    assert started_again(run.log) == []
    assert bits(tmp_path / "out" / "job") == bits(whole / "out" / "job")


def test_two_clients_of_one_audit(tmp_path):
    """The second is told who is at work."""
    write_job(tmp_path, n=2000, pause=4e-3)
    first = Run(tmp_path, "--workers", "2")
    first.started()
    status, out, _ = Run(tmp_path, "--workers", "2").finish()
    assert status == 4
    assert f"is being worked on by another run (process {first.client} on" in out
    status, out, err = first.finish()
    assert status == 0, out + err


@pytest.fixture
def no_locks(tmp_path, monkeypatch):
    """A file system on which nothing can be locked."""
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, fcntl\ndef flock(*_): raise OSError(errno.ENOLCK, 'No locks available')\nfcntl.flock = flock\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_two_clients_where_nothing_can_be_locked(no_locks, tmp_path):
    """The second is told as well, and what a kill leaves is gone on with."""
    write_job(tmp_path, n=300, pause=1e-2)
    first = Run(tmp_path, "--workers", "1", "--block-size", "10")
    first.started()
    status, out, _ = Run(tmp_path, "--workers", "1").finish()
    assert status == 4
    assert f"is being worked on by another run (process {first.client} on" in out
    kill(first.process.pid, first.client)
    first.finish()
    status, out, err = Run(tmp_path, "--workers", "1", "--block-size", "10").finish()
    assert status == 0, out + err
    assert started_again(first.log) == []
    assert not (tmp_path / "out" / "job" / ".lease").exists()


def test_a_client_that_wakes_up_in_another_audit(no_locks, tmp_path):
    """It was suspended, its place was taken over, and the source has changed: none of what it does gets in there."""
    write_job(tmp_path, n=200, pause=5e-3)
    first = Run(tmp_path, "--workers", "1", "--block-size", "5")
    first.started(2)
    sleeper = first.client
    kill(sleeper, how=signal.SIGSTOP)
    text = (tmp_path / "job.py").read_text()
    (tmp_path / "job.py").write_text(text.replace("np.sum(x**3)", "np.sum(x**3 + (x > 1.5) * (x - 1.5) ** 2)"))
    second = Run(tmp_path, "--workers", "1", "--block-size", "5", "--fresh", "--log", str(tmp_path / "second.jsonl"))
    second.log = tmp_path / "second.jsonl"
    second.started(2)
    kill(sleeper, how=signal.SIGCONT)
    status, out, err = second.finish()

    assert status == 1, out + err
    assert "100 of 200 entries are wrong" in out
    status, out, err = first.finish()
    assert status == 4
    assert "another run has" in out
    assert "Traceback" not in out + err
