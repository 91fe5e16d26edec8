"""Scheduler, workers and client with certificates, on one machine and in network namespaces as on four."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from helpers import bits

from pardiff.errors import InputError
from pardiff.execution.certificates import make_certificates

pytestmark = [pytest.mark.cluster]

BIN = Path(sys.executable).parent

JOB = """
import time
import numpy as np
import pardiff


def fun(x):
    time.sleep(1e-3)
    return float(np.sum(x**3))


@pardiff.problem
def job():
    return pardiff.Problem(fun, lambda x: 3 * x**2, np.linspace(1.0, 2.0, 400))
"""


def test_certificates(tmp_path):
    """The key is for its owner alone, the certificate is the authority's, and nothing is overwritten."""
    ca, cert, key = make_certificates(tmp_path / "tls")
    verified = subprocess.run(["openssl", "verify", "-CAfile", ca, cert], capture_output=True, text=True, check=False)

    assert verified.stdout.strip() == f"{cert}: OK", verified.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="there already"):
        make_certificates(tmp_path / "tls")


class Members:
    """Processes of a cluster, each perhaps in a network namespace."""

    def __init__(self, folder, files):
        self.folder, self.files, self.processes = folder, files, []

    def flags(self):
        """Of Dask's commands."""
        names = ("--tls-ca-file", "--tls-cert", "--tls-key")
        return [str(word) for pair in zip(names, self.files, strict=True) for word in pair]

    def start(self, *command, namespace=None):
        """Start one of Dask's commands."""
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        process = subprocess.Popen(
            [*inside, str(BIN / "dask"), *command, *self.flags(), "--no-dashboard"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "MALLOC_TRIM_THRESHOLD_": str(1 << 26), "MALLOC_MMAP_THRESHOLD_": str(1 << 26)},
        )  # fmt: skip
        self.processes.append(process)
        return process

    def stop(self):
        """End all of them."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def members(tmp_path):
    """The processes of a cluster, and the files of its certificates."""
    found = Members(tmp_path, make_certificates(tmp_path / "tls"))
    yield found
    found.stop()


def tls_flags(files):
    """Of pardiff."""
    return [word for pair in zip(("--tls-ca", "--tls-cert", "--tls-key"), files, strict=True) for word in pair]


@pytest.mark.slow
def test_a_cluster_with_certificates(members, command, tmp_path):
    """With certificates from flags, and from Dask's configuration, it works; with those of others, it does not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tls://127.0.0.1:{port}"
    (tmp_path / "job.py").write_text(JOB)
    members.start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--protocol", "tls")
    members.start("worker", address, "--nthreads", "1", "--host", "127.0.0.1")
    names = ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
    configured = {f"DASK_DISTRIBUTED__COMM__TLS__{n}": str(f) for n, f in zip(names, members.files, strict=True)}

    by_flags = command("run", "job.py", "--out", "a", "--scheduler", address, *tls_flags(members.files))
    by_config = command("run", "job.py", "--out", "b", "--scheduler", address, env={**os.environ, **configured})
    strange = make_certificates(tmp_path / "others")
    refused = command("run", "job.py", "--out", "c", "--scheduler", address, *tls_flags(strange))
    plain = command("run", "job.py", "--out", "d", "--scheduler", address.replace("tls", "tcp"))

    assert by_flags.returncode == 0, by_flags.stdout + by_flags.stderr
    assert by_config.returncode == 0, by_config.stdout + by_config.stderr
    for failed in (refused, plain):
        assert failed.returncode == 4
        assert "no scheduler answers at" in failed.stderr
        assert "Traceback" not in failed.stderr


@contextlib.contextmanager
def hosts(*names):
    """Network namespaces on one switch: the namespace, the address and the cable of each; and the switch."""
    tag = f"pd{uuid.uuid4().hex[:4]}"
    run = lambda *words: subprocess.run(["ip", *words], check=True, capture_output=True)
    made, switch = {}, f"{tag}switch"
    try:
        run("netns", "add", switch)  # in a namespace too, where no firewall of this machine looks at what passes
        run("-n", switch, "link", "add", "bridge", "type", "bridge")
        run("-n", switch, "link", "set", "bridge", "up")
        for number, name in enumerate(names, 1):
            space, cable = f"{tag}{name}", f"cable{number}"
            run("netns", "add", space)
            made[name] = space, f"10.213.7.{number}", cable
            run("-n", switch, "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            run("-n", switch, "link", "set", cable, "master", "bridge", "up")
            run("-n", space, "addr", "add", f"10.213.7.{number}/24", "dev", "eth0")
            run("-n", space, "link", "set", "eth0", "up")
            run("-n", space, "link", "set", "lo", "up")
        yield made, switch
    finally:
        for space in (*(space for space, _, _ in made.values()), switch):
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)


def can_make_hosts():
    """Whether network namespaces can be made here."""
    if os.geteuid() or not shutil.which("ip"):
        return False
    try:
        with hosts("x"):
            return True
    except subprocess.CalledProcessError:
        return False


@pytest.mark.slow
@pytest.mark.skipif("not can_make_hosts()", reason="needs root, ip, and network namespaces")
@pytest.mark.parametrize("partition", [False, True])
def test_four_hosts(partition, members, command, tmp_path):
    """Scheduler, two workers and the client on hosts of their own, with a folder in common, over TLS.

    A worker that is cut off costs the block that it was at.
    """
    (tmp_path / "job.py").write_text(JOB.replace("1e-3", "4e-3") if partition else JOB)
    environment = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s", "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "12s"}
    os.environ.update(environment)
    with hosts("scheduler", "one", "two", "client") as (made, switch):
        try:
            space, host, _ = made["scheduler"]
            address = f"tls://{host}:8786"
            members.start("scheduler", "--host", host, "--port", "8786", "--protocol", "tls", namespace=space)
            for name in ("one", "two"):
                space, host, _ = made[name]
                members.start("worker", address, "--nthreads", "1", "--host", host, namespace=space)
            client = subprocess.Popen(
                ["ip", "netns", "exec", made["client"][0], BIN / "pardiff", "run", "job.py", "--scheduler", address,
                 "--out", "out", "--block-size", "20", "--log", "log.jsonl", *tls_flags(members.files)],
                cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            if partition:
                folder = tmp_path / "out" / "job" / "audit.zarr" / "blocks" / "wave1" / "record" / "c"
                for _ in range(600):
                    if folder.exists() and len(list(folder.iterdir())) >= 4:
                        break
                    time.sleep(0.05)
                subprocess.run(["ip", "-n", switch, "link", "set", made["two"][2], "down"], check=True)
            out, err = client.communicate(timeout=120)
        finally:
            members.stop()
            for name in environment:
                del os.environ[name]

    assert client.returncode == 0, out + err
    whole = command("run", "job.py", "--out", "here", "--workers", "0")
    assert whole.returncode == 0
    assert bits(tmp_path / "out" / "job") == bits(tmp_path / "here" / "job")
    report = json.loads((tmp_path / "out" / "job" / "report.json").read_text())
    assert report["verdict"] == "PASS"
