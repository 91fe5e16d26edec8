"""Folders that go with their process."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pardiff.source import scratch

MAKE = """
import sys, time
from pardiff.source.scratch import make_scratch
made = make_scratch()
print(made.name, flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(scratch, "_handle", -1)
    return tmp_path


def start(seconds):
    process = subprocess.Popen([sys.executable, "-c", MAKE, str(seconds)], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def make_old(folder):
    long_ago = time.time() - 2 * scratch.AGE
    os.utime(folder, (long_ago, long_ago))


def test_it_goes_with_its_process(temporary):
    process, folder = start(0)
    assert folder.startswith(str(temporary))
    process.communicate()
    assert list(temporary.iterdir()) == []


def test_what_is_left_by_a_kill_goes_with_the_next(temporary):
    """That of a process that lives stays, however old it is, and so does one that may just be made."""
    killed, left = start(60)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    young, fresh = start(60)
    young.send_signal(signal.SIGKILL)
    young.communicate()
    living, held = start(60)
    try:
        for folder in (left, held):
            make_old(folder)
        made = scratch.make_scratch()
        assert not Path(left).exists()
        assert Path(fresh).exists()
        assert Path(held).exists()
        made.cleanup()
    finally:
        living.kill()
        living.communicate()


def test_what_is_not_its_own_stays(temporary):
    target = temporary / "elsewhere"
    target.mkdir()
    (target / scratch.HELD).touch()
    (temporary / f"{scratch.PREFIX}link").symlink_to(target)
    other = temporary / f"{scratch.PREFIX}other"  # without the mark
    other.mkdir()
    make_old(other)
    scratch.make_scratch().cleanup()
    assert (target / scratch.HELD).exists()
    assert other.exists()
