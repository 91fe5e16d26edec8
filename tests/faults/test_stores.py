"""Stores that fail: a full disk, one that may not be written, an object store on a bad day. Nothing is lost."""

import os
import random
import shutil
import signal
import subprocess
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from chaos import BIN, Run, kill, started_again, write_job
from helpers import bits
from proxy import proxy

import pardiff
from pardiff.errors import StoreError
from pardiff.storage.location import open_location

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FULL = """
cd {folder} && mkdir out && mount -t tmpfs -o size=2000k tmpfs out
head -c 3000000 /dev/zero > out/ballast 2> ballast.err
truncate -s -{left}k out/ballast
{run} > first.txt 2>&1; echo $? > first.status
rm out/ballast
{run} > second.txt 2>&1; echo $? > second.status
cp -r out kept
"""


def in_a_namespace(script):
    """Run a shell script that mounts things, where nobody else sees it."""
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, timeout=200)
    if "Operation not permitted" in done.stderr:
        pytest.skip("mounting needs root")


# nothing, the creation of the audit, some blocks, and all of them with nothing left for the report
@pytest.mark.parametrize("left", [4, 100, 250, 700])
def test_the_disk_is_full(left, tmp_path):
    """One sentence, exit status 4, and the same command goes on once there is space."""
    write_job(tmp_path, n=300, pause=0)
    run = f"{BIN}/pardiff run job.py --out out --workers 2 --block-size 5"
    in_a_namespace(FULL.format(folder=tmp_path, left=left, run=run))
    first = (tmp_path / "first.txt").read_text()
    write_job(tmp_path, n=300, pause=0)
    whole = tmp_path / "whole"
    subprocess.run([BIN / "pardiff", "run", "job.py", "--out", whole, "--workers", "0"], cwd=tmp_path, check=True)

    assert (tmp_path / "first.status").read_text() == "4\n", first
    assert "No space left on device; free some space and run again: finished blocks are kept" in first
    assert "Traceback" not in first
    assert (tmp_path / "second.status").read_text() == "0\n", (tmp_path / "second.txt").read_text()
    assert bits(tmp_path / "kept" / "job") == bits(whole / "job")


def test_a_read_only_file_system(tmp_path):
    """It is said before anything is computed."""
    write_job(tmp_path, n=30, pause=0)
    (tmp_path / "out").mkdir()
    in_a_namespace(
        f"cd {tmp_path} && mount --bind out out && mount -o remount,ro,bind out && "
        f"{BIN}/pardiff run job.py --out out --workers 0 > said.txt 2>&1; echo $? > {tmp_path}/status"
    )
    said = (tmp_path / "said.txt").read_text()
    assert (tmp_path / "status").read_text() == "4\n", said
    assert "the file system is read-only; choose another --out" in said
    assert len(said.strip().splitlines()) == 1


def test_no_permission(tmp_path):
    """As root without the right to ignore permissions, where the tests run as root."""
    write_job(tmp_path, n=30, pause=0)
    (tmp_path / "out").mkdir(mode=0o500)
    os.chmod(tmp_path / "out", 0o500)  # noqa: PTH101
    bound = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*bound, BIN / "pardiff", "run", "job.py", "--out", "out", "--workers", "0"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Permission denied; choose another --out or change its permissions" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def cube(x):
    """A loss."""
    return float(np.sum(x**3))


def slope(x):
    """Its gradient."""
    return 3 * x**2


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_answers_with_errors(status, s3, monkeypatch, tmp_path):
    """A fifth of all requests fails and another is slow: they are repeated, and nothing is another."""
    rng = random.Random(status)
    fault = lambda _: rng.choice([status, 0.1, None, None, None])
    port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
    pardiff.gradcheck(cube, slope, np.linspace(1, 2, 40), store=tmp_path / "plain")
    with proxy(port, fault) as (front, counts):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{front}")
        result = pardiff.gradcheck(cube, slope, np.linspace(1, 2, 40), store=s3[0] + "/one")

    assert counts["faults"] > 10
    assert result.passed
    assert bits(s3[1] / "one") == bits(tmp_path / "plain")


def test_a_server_that_fails_for_good(s3, monkeypatch):
    """After some time of attempts one sentence; once the server is back, the audit goes on."""
    monkeypatch.setattr("pardiff.storage.location.object_store.RETRY_SECONDS", 2)
    port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
    broken = [False]
    fault = lambda number: 503 if broken[0] and number > 60 else None
    check = lambda: pardiff.gradcheck(cube, slope, np.linspace(1, 2, 40), store=s3[0] + "/one", block_size=4)
    with proxy(port, fault) as (front, counts):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{front}")
        broken[0] = True
        begin = time.monotonic()
        with pytest.raises(StoreError, match=r"s3://bucket/some/runs/one.*503.*finished blocks are kept"):
            check()
        assert time.monotonic() - begin < 60
        assert counts["faults"] > 1
        broken[0] = False
        assert check().passed


def test_workers_are_killed_while_they_write_objects(s3, tmp_path):
    """Blocks are short, so that most of their time is spent in the store."""
    address, folder = s3
    write_job(tmp_path, n=300, pause=0)
    assert Run(tmp_path, "--workers", "0").finish()[0] == 0
    shutil.move(tmp_path / "out", tmp_path / "whole")
    (tmp_path / "log.jsonl").unlink()
    kills = 0
    for number in range(30):
        run = Run(tmp_path, "--workers", "2", "--block-size", "2", "--out", address)
        run.started(3) if number == 0 else time.sleep(2.0)
        end = time.monotonic() + 8.0
        while run.running and time.monotonic() < end:
            workers = run.workers()
            kill(*workers[number % 2 : number % 2 + 1])
            kills += bool(workers)
            time.sleep(1.0)
        if run.running and number < 3:  # and the client
            run.process.send_signal(signal.SIGKILL)
        status, out, err = run.finish()
        if status == 0:
            break

    assert status == 0, out + err
    assert kills >= 4
    assert started_again(run.log) == []
    assert bits(folder / "job") == bits(tmp_path / "whole" / "job")
    assert not open_location(address).child("job").has(".lease")
