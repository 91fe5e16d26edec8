"""docker-compose.yml as it is: containers that are killed, and audits that are read here."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = "pardiff-test"

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(900)]


def docker(*arguments):
    """What a command of docker prints."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def compose(tmp_path):
    """Starts docker-compose with its own project and folder; all is removed at the end."""
    if shutil.which("docker-compose") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no container engine")
    audits = tmp_path / "audits"
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": PROJECT, "PARDIFF_AUDITS": str(audits)}

    def start(*arguments, **variables):
        return subprocess.Popen(
            ["docker-compose", *arguments], cwd=ROOT, env={**environment, **variables},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    try:
        yield start, audits
    finally:
        start("--profile", "s3", "down", "-v", "--remove-orphans").communicate()


def containers(service):
    """Names of the running containers of a service."""
    labels = [f"label=com.docker.compose.project={PROJECT}", f"label=com.docker.compose.service={service}"]
    return docker("ps", "--format", "{{.Names}}", *[x for label in labels for x in ("--filter", label)]).split()


def end(container):
    """End a container's process as a crash would; what `docker kill` ends, Docker does not start again."""
    os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", container)), signal.SIGKILL)


def test_containers_are_killed(compose):
    """A worker and the scheduler are killed while they are at work. All problems pass, and are read here."""
    start, audits = compose
    up = start("up", "--build", "--scale", "worker=3", "--exit-code-from", "submit", "submit")
    limit = time.monotonic() + 600
    while time.monotonic() < limit and up.poll() is None and not list(audits.glob("*/report.json")):
        time.sleep(0.5)
    workers = containers("worker")
    end(workers[0])
    inspected = json.loads(docker("inspect", workers[1], *containers("submit")))
    time.sleep(3)
    end(containers("scheduler")[0])
    out, _ = up.communicate(timeout=600)

    assert up.returncode == 0, out[-3000:]
    assert len(workers) == 3
    for container in inspected:
        assert container["HostConfig"]["ReadonlyRootfs"]
        assert container["Config"]["User"] == "1000:1000"
        assert container["HostConfig"]["Memory"] == 2 << 30
    summary = json.loads((audits / "summary.json").read_text())
    assert summary["verdict"] == "PASS"
    assert len(summary["problems"]) >= 6
    owners = {path.stat().st_uid for path in audits.rglob("*")}
    assert owners == {1000}
    for problem in summary["problems"]:
        done = subprocess.run(
            ["pardiff", "status", str(audits / problem["name"]), "--verify"], capture_output=True, text=True
        )
        assert "every checksum is right" in done.stdout, done.stdout + done.stderr


def test_an_object_store(compose):
    """The profile s3: nothing is in the folder, everything in the store."""
    start, audits = compose
    up = start(
        "--profile", "s3", "up", "--build", "--exit-code-from", "submit-s3", "submit-s3",
        PARDIFF_TARGETS="workflows/linear_regression.py",
    )  # fmt: skip
    out, _ = up.communicate(timeout=600)

    assert up.returncode == 0, out[-3000:]
    assert "index: s3://audits/runs/index.html" in out
    assert list(audits.iterdir()) == []
