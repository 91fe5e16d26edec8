"""Fixtures that several folders share."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pardiff.execution.environment import OURS

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
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(20)
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
