"""Places that are held by signs of life."""

import errno
import fcntl
import os
import threading
import time

import pytest

from pardiff.errors import StoreError
from pardiff.storage.location import LocalFolder, lease
from pardiff.storage.location.lease import LEASE, Lease


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT", 0.2)
    monkeypatch.setattr(lease, "SILENCE", 0.5)
    monkeypatch.setattr(lease, "SETTLING", 0.2)


@pytest.fixture
def no_locks(monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_the_second_is_told(tmp_path):
    with (
        Lease(LocalFolder(tmp_path)).hold(),
        pytest.raises(StoreError, match=rf"worked on by another run \(process {os.getpid()} on"),
        Lease(LocalFolder(tmp_path)).hold(),
    ):
        pass
    assert not (tmp_path / LEASE).exists()


@pytest.mark.parametrize("left", [b"1 a dead process", b""])
def test_what_a_dead_one_leaves_is_taken_over(left, tmp_path):
    (tmp_path / LEASE).write_bytes(left)
    with Lease(LocalFolder(tmp_path)).hold():
        assert f"process {os.getpid()} on" in (tmp_path / LEASE).read_text()
    assert not (tmp_path / LEASE).exists()


def test_one_that_slept_is_stopped(tmp_path):
    """What the other has written stays."""
    mine = Lease(LocalFolder(tmp_path))
    with mine.hold():
        (tmp_path / LEASE).write_bytes(b"2 another process")
        time.sleep(0.5)
        with pytest.raises(StoreError, match="taken over"):
            mine.check()
    assert (tmp_path / LEASE).read_bytes() == b"2 another process"


@pytest.mark.parametrize("left", [None, b"1 a dead process"])
def test_many_that_begin_at_once(left, tmp_path):
    """One of them gets it, and the others are told, also where all have waited for the same dead one."""
    if left:
        (tmp_path / LEASE).write_bytes(left)
    barrier, ended = threading.Barrier(8), threading.Event()
    outcomes = []

    def begin():
        barrier.wait()
        try:
            with Lease(LocalFolder(tmp_path)).hold():
                outcomes.append("held")
                if len(outcomes) < 8:
                    ended.wait(20)
        except StoreError:
            outcomes.append("told")
        if len(outcomes) == 8:
            ended.set()

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] + ["told"] * 7


def test_a_folder_without_locks(no_locks, tmp_path):
    folder = LocalFolder(tmp_path / "job")
    assert not folder.held()
    with folder.locked():
        assert folder.held()
        assert LocalFolder(tmp_path / "job").held()
        folder.check_held()
        with pytest.raises(StoreError, match="worked on by another run"), LocalFolder(tmp_path / "job").locked():
            pass
    assert not folder.held()


def test_a_folder_with_locks_has_no_signs(tmp_path):
    with LocalFolder(tmp_path).locked():
        assert not (tmp_path / LEASE).exists()
        with pytest.raises(StoreError, match="worked on by another run"), LocalFolder(tmp_path).locked():
            pass


def test_a_look_that_fails_ends_no_signs(tmp_path, monkeypatch):
    """File systems that need signs of life are those on which a read may fail."""
    read, failures = LocalFolder.read, []

    def failing(self, name):
        if name == LEASE and len(failures) < 2:
            failures.append(name)
            raise OSError(errno.ESTALE, "Stale file handle")
        return read(self, name)

    with Lease(LocalFolder(tmp_path)).hold():
        first = (tmp_path / LEASE).read_bytes()
        monkeypatch.setattr(LocalFolder, "read", failing)
        time.sleep(1.5)
        assert len(failures) == 2
        assert (tmp_path / LEASE).read_bytes() != first


def test_a_lease_that_cannot_be_read(tmp_path):
    (tmp_path / LEASE).mkdir()
    with pytest.raises(StoreError, match="cannot read who works on the audit"), Lease(LocalFolder(tmp_path)).hold():
        pass


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_children_keep_no_lock(tmp_path):
    """fun may fork, and a child may live on when the client is killed."""
    ready, started = os.pipe()
    with LocalFolder(tmp_path).locked():
        child = os.fork()
        if not child:
            os.write(started, b"1")
            time.sleep(30)
            os._exit(0)
        os.read(ready, 1)
    try:
        with LocalFolder(tmp_path).locked():
            pass
        assert not LocalFolder(tmp_path).held()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(started)
