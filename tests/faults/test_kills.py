"""Workers that are killed, all the time: nothing is lost, nothing is blamed, and no bit is another."""

import random
import time

import pytest
from chaos import Run, events, kill, started_again, starts, write_job
from helpers import bits, complaints

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Bits of the job when nobody disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_job(folder, n=300, pause=0)
    status, out, err = Run(folder, "--workers", "0").finish()
    assert status == 0, out + err
    return bits(folder / "out" / "job")


@pytest.mark.parametrize("everyone", [False, True], ids=["one", "all"])
def test_workers_are_killed_every_second(everyone, undisturbed, tmp_path):
    """kill -9 of a worker, or of all of them within half a second of the first block of new ones, until the end."""
    rng = random.Random(1)
    write_job(tmp_path, n=300, pause=8e-3)
    run = Run(tmp_path, "--workers", "2", "--block-size", "10")
    run.started()
    kills = 0
    while run.running:
        workers = run.workers()
        victims = workers if everyone else workers[kills % 2 : kills % 2 + 1]
        before = sum(starts(run.log).values())
        kill(*victims)
        kills += bool(victims)
        while run.running and sum(starts(run.log).values()) == before:  # a busy machine needs longer to start workers
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
    status, out, err = run.finish()

    assert kills >= 4
    assert status == 0, out + err
    assert complaints(err) == []
    assert "PASS" in out
    assert bits(tmp_path / "out" / "job") == undisturbed
    assert started_again(run.log) == []
    assert sum(starts(run.log).values()) >= 30
    assert not [event for event in events(run.log) if event["event"] == "parameter crashed"]


def test_a_killed_worker_costs_its_block(undisturbed, tmp_path):
    """One worker is killed in the middle: one block more is started than there are."""
    write_job(tmp_path, n=300, pause=2e-3)
    run = Run(tmp_path, "--workers", "2", "--block-size", "10")
    run.started(3)
    kill(run.workers()[0])
    status, out, err = run.finish()

    assert status == 0, out + err
    assert bits(tmp_path / "out" / "job") == undisturbed
    assert started_again(run.log) == []
    assert sum(starts(run.log).values()) - len(starts(run.log)) <= 1
