"""Audits in an object store: a real server, real processes, and the same bits as in a folder."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr
from helpers import complaints

import pardiff
from pardiff.errors import InputError, StoreError
from pardiff.storage.location import open_location

pytestmark = pytest.mark.cluster

JOB = """
import numpy as np
import pardiff

X0 = {"a": np.linspace(1.0, 2.0, 40), "b": {"c": np.ones((2, 3))}}


def fun(x):
    return float(np.sum(x["a"] ** 3) + np.sum(np.exp(x["b"]["c"])))


def grad(x):
    g = {"a": 3 * x["a"] ** 2, "b": {"c": np.exp(x["b"]["c"])}}
    g["a"][7] *= 1.1
    return g


@pardiff.problem
def job():
    return pardiff.Problem(fun, grad, X0)
"""


def arrays(group):
    """Bytes of the results."""
    return {
        path: array[...].tobytes()
        for path, array in group.members(max_depth=None)
        if isinstance(array, zarr.Array) and path.split("/")[0] in ("x0", "numerical", "uncertainty", "verdict", "nfev")
    }


@pytest.mark.slow
def test_end_to_end(s3, command, tmp_path):
    """run, status, show, reconcile, report and resume; nothing is written to the disk here."""
    address, folder = s3
    (tmp_path / "job.py").write_text(JOB)
    run = command("run", "job.py", "--out", address, "--workers", "2", "--block-size", "5")
    local = command("run", "job.py", "--out", "local", "--workers", "0")
    where = f"{address}/job"

    assert run.returncode == 1, run.stdout + run.stderr
    assert complaints(run.stderr) == []
    assert f"report: {where}/report.html" in run.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.py", "local", "server"]
    assert (folder / "job" / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (folder / "summary.json").is_file()
    assert not (folder / "job" / ".lease").exists()

    there = zarr.open_group(open_location(where).zarr("audit.zarr", write=False), mode="r")
    assert arrays(there) == arrays(zarr.open_group(tmp_path / "local" / "job" / "audit.zarr", mode="r"))
    assert local.stdout.splitlines()[0] == run.stdout.splitlines()[0]

    assert "complete" in command("status", where).stdout
    assert "a[7]" in command("show", where).stdout
    assert command("reconcile", where, "--rtol", "0.2").returncode == 0
    assert f"{where}/report.md" in command("report", where).stdout
    again = command("run", "job.py", "--out", address, "--workers", "0")
    assert again.returncode == 1
    assert command("run", "job.py", "--out", address, "--workers", "0", "--fresh").returncode == 1
    nothing = command("show", address)
    assert nothing.returncode == 2
    assert "it holds audits: job" in nothing.stderr


@pytest.mark.slow
def test_from_python(s3):
    """gradcheck takes an address, and xarray reads what is there."""
    where = s3[0] + "/one"
    result = pardiff.gradcheck(lambda x: float(np.sum(x**3)), lambda x: 3 * x**2, np.ones(4), store=where)

    assert result.passed
    assert result.folder is None
    assert result.location.address == where
    np.testing.assert_allclose(result.to_xarray()["numerical/x"], 3.0)


@pytest.mark.slow
def test_a_second_client_is_told(s3):
    """Who is alive holds the place; who has given no sign of life for a while does not."""
    location = open_location(s3[0])
    with (
        location.locked(),
        pytest.raises(StoreError, match=r"worked on by another run \(process \d+ on"),
        location.locked(),
    ):
        pass
    location.write(".lease", b"1 a dead process")
    with location.locked():
        pass
    assert not location.has(".lease")


def test_a_server_that_is_gone(s3, monkeypatch):
    """One sentence, after some attempts."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("pardiff.storage.location.object_store.RETRY_SECONDS", 1)
    with pytest.raises(StoreError, match=r"cannot read the audit at s3://bucket/some/runs: .*finished blocks are kept"):
        open_location(s3[0]).has("audit.zarr")


def refusals(location):
    """What reading, listing and writing say."""
    for act in (location.read, location.has, lambda name: location.write(name, b"1")):
        with pytest.raises(StoreError) as caught:
            act("audit.zarr")
        yield str(caught.value)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the store refuses it with these credentials (403 Forbidden)"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no credentials are set"),
    ],
)
def test_credentials_that_are_none(variables, said, s3, monkeypatch):
    """The cause, and what to do; nothing of a secret."""
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr("pardiff.storage.location.object_store.RETRY_SECONDS", 1)
    for text in refusals(open_location(s3[0])):
        assert said in text
        assert "wrong" not in text
        assert len(text.splitlines()) == 1


def test_a_bucket_that_is_none(s3):
    """Writing to it says so; one object that is not there is no error of the store."""
    with pytest.raises(StoreError, match=r"the store knows no such bucket \(404 Not Found\)"):
        open_location("s3://nobody/x").write("audit.zarr", b"1")


def test_places_that_are_none():
    """Memory, and schemes that nobody knows."""
    with pytest.raises(InputError, match="gone with the process"):
        open_location("memory://x")
    with pytest.raises(InputError, match="s3://, gs://, az://"):
        open_location("ftp://x/y")


SLOW = """
import os, time
import numpy as np
import pardiff

X0 = np.linspace(1, 2, 200)


def fun(x):
    time.sleep(float(os.environ["PAUSE"]))
    return float(np.sum(x**3))


def grad(x):
    found = 3 * x**2
    found[7] *= float(os.environ["FACTOR"])
    return found


@pardiff.problem
def slow():
    return pardiff.Problem(fun, grad, X0)
"""


@pytest.mark.slow
def test_a_client_that_sleeps_through_a_takeover(s3, command, tmp_path):
    """It notices who has come, says so, and leaves alone what the other has made."""
    address, folder = s3
    (tmp_path / "slow.py").write_text(SLOW)
    pardiff_ = str(Path(sys.executable).parent / "pardiff")
    arguments = ["run", "slow.py", "--workers", "0", "--block-size", "10", "--out", address]
    first = subprocess.Popen(
        [pardiff_, *arguments], cwd=tmp_path, env={**os.environ, "PAUSE": "0.02", "FACTOR": "1.5"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    while not (folder / "slow" / "audit.zarr" / "blocks" / "wave1" / "record" / "c" / "2").exists():
        time.sleep(0.05)
    (client,) = psutil.Process(first.pid).children()
    client.suspend()
    second = command(*arguments, "--fresh", env={**os.environ, "PAUSE": "0.001", "FACTOR": "1"})
    client.resume()
    said, _ = first.communicate(timeout=60)

    assert second.returncode == 0, second.stdout + second.stderr
    assert first.returncode == 4, said
    assert "has taken over the audit" in said or "has begun an audit" in said
    assert command("show", f"{address}/slow").returncode == 0
    assert "every checksum is right" in command("status", f"{address}/slow", "--verify").stdout
