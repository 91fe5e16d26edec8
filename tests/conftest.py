"""Fixtures that several folders share."""

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pardiff.execution.worker_environment import OURS

settings.register_profile(
    "pardiff", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("pardiff")

ROOT = Path(__file__).parent.parent
WORKFLOWS = ROOT / "workflows"


@pytest.fixture(scope="session")
def embedded():
    """An embedded cluster of two processes, shared by all tests that do not break it."""
    from pardiff.execution.cluster import embedded_cluster

    with embedded_cluster(2) as executor:
        yield executor


@pytest.fixture
def external(tmp_path):
    """Address of a scheduler with two workers, started as commands from a folder without any workflow."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    file = folder / "scheduler.json"
    dask = str(Path(sys.executable).parent / "dask")
    # nor what an embedded cluster sets for its own workers
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", *OURS)}
    commands = [
        [
            dask,
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--scheduler-file",
            str(file),
            "--no-dashboard",
        ],
        *[
            [
                dask,
                "worker",
                "--scheduler-file",
                str(file),
                "--nthreads",
                "1",
                "--no-dashboard",
                "--host",
                "127.0.0.1",
            ]
        ]
        * 2,
    ]
    processes = []
    try:
        for command in commands:
            processes.append(
                subprocess.Popen(
                    command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            for _ in range(300):
                if file.is_file() and file.stat().st_size:
                    break
                time.sleep(0.05)
        import json

        yield json.loads(file.read_text())["address"], file
    finally:
        scheduler, *workers = processes  # a worker whose scheduler has gone first tries to find it again
        for some in (workers, [scheduler]):
            for process in some:
                process.terminate()
            for process in some:
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@pytest.fixture
def command(tmp_path):
    """Run ``pardiff`` as a user does, in a folder of its own; returns the finished process."""

    def run(*arguments, cwd=tmp_path, timeout=120, **options):
        return subprocess.run(
            [str(Path(sys.executable).parent / "pardiff"), *map(str, arguments)],
            cwd=cwd, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **options,
        )  # fmt: skip

    return run


@pytest.fixture(autouse=True)
def _quiet_distributed():
    """Its loggers would write to streams that pytest has closed."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


@pytest.fixture
def s3(tmp_path, monkeypatch):
    """Address of a bucket of an S3 server on loopback, and the folder in which it keeps its objects."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "server"
    (folder / "bucket").mkdir(parents=True)
    rclone = shutil.which("rclone") or str(Path(sys.executable).parent / "rclone")
    command = [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "key,secretsecret", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secretsecret",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        for _ in range(100):
            with contextlib.suppress(urllib.error.HTTPError, OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield "s3://bucket/some/runs", folder / "bucket" / "some" / "runs"
    finally:
        server.terminate()
        server.wait(20)
