"""An external scheduler that is killed: the run waits for it and goes on, or ends in time and resumes elsewhere."""

import random
import socket
import time

import pytest
from chaos import BIN, Run, Supervised, events, kill, started_again, write_job
from helpers import bits, complaints

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def cluster(tmp_path):
    """Address of a supervised scheduler with two supervised workers, and the scheduler."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    log = tmp_path / "log.jsonl"
    address = f"tcp://127.0.0.1:{port}"
    scheduler = [BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [BIN / "dask", "worker", address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
    worker += ["--preload", "pardiff.execution.preload"]
    running = [Supervised(folder, log, *map(str, command)) for command in (scheduler, worker, worker)]
    yield address, running
    for one in reversed(running):
        one.stop()


def test_a_scheduler_that_comes_back(cluster, tmp_path):
    """The client finds it again, and does the blocks that are not in the store."""
    address, running = cluster
    write_job(tmp_path, n=600, pause=4e-3)
    run = Run(tmp_path, "--scheduler", address, "--block-size", "20")
    run.started(5)
    kill(running[0].process.pid)
    status, out, err = run.finish()
    names = [event["event"] for event in events(run.log)]

    assert status == 0, out + err
    assert complaints(err) == []
    assert "scheduler lost" in names
    assert "scheduler found" in names
    assert started_again(run.log) == []


def test_a_scheduler_that_dies_again_and_again(cluster, tmp_path):
    """At any moment of a batch, so between two problems too: all of them are finished."""
    address, running = cluster
    write_job(tmp_path, n=40, pause=5e-3)
    job = (tmp_path / "job.py").read_text()
    for number in range(4):
        job += f"\n\n@pardiff.problem\ndef job{number}():\n    return pardiff.Problem(fun, lambda x: 3 * x**2, X0)\n"
    (tmp_path / "job.py").write_text(job)
    rng = random.Random(1)
    run = Run(tmp_path, "--scheduler", address, "--block-size", "5")
    run.started(2)
    kills = 0
    while run.running:
        kill(running[0].process.pid)
        kills += 1
        found = len([event for event in events(run.log) if event["event"] == "scheduler found"])
        end = time.monotonic() + 40
        while run.running and time.monotonic() < end:
            if len([event for event in events(run.log) if event["event"] == "scheduler found"]) > found:
                break
            time.sleep(0.1)
        time.sleep(rng.uniform(0, 3))
    status, out, err = run.finish()

    assert kills >= 2
    assert status == 0, out + err
    assert out.count("PASS ") >= 5
    assert "Traceback" not in out + err


def test_a_scheduler_that_is_gone_for_good(cluster, tmp_path):
    """The run ends with status 4 soon after its patience has, and goes on elsewhere."""
    address, running = cluster
    write_job(tmp_path, n=600, pause=4e-3)
    run = Run(tmp_path, "--scheduler", address, "--block-size", "20", "--patience", "5")
    run.started(5)
    for one in running:
        one.stopping = True
    kill(running[0].process.pid)
    begin = time.monotonic()
    status, out, err = run.finish()

    assert status == 4, out + err
    assert time.monotonic() - begin < 60
    assert f"the scheduler at {address} is gone since 5 s" in out
    assert "finished blocks are kept" in out

    done = len([event for event in events(run.log) if event["event"] == "done"])
    status, out, err = Run(tmp_path, "--workers", "2").finish()
    assert status == 0, out + err
    assert started_again(run.log) == []
    assert done >= 5
    (tmp_path / "whole").mkdir()
    write_job(tmp_path / "whole", pause=0)
    assert Run(tmp_path / "whole", "--workers", "0").finish()[0] == 0
    assert bits(tmp_path / "out" / "job") == bits(tmp_path / "whole" / "out" / "job")
