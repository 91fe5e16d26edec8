"""The embedded cluster, and the connection to one that is already there."""

from __future__ import annotations

import ast
import json
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import dask
from distributed import Client, LocalCluster
from distributed.core import Status
from distributed.security import Security
from tornado.ioloop import PeriodicCallback

from pardiff.errors import ClusterError, InputError
from pardiff.execution.dask_executor import DaskExecutor
from pardiff.execution.security import Tls, check_address, check_certificate
from pardiff.execution.signals import held
from pardiff.execution.worker_environment import OURS
from pardiff.logs import event

# what was sent last is kept for those who debug Dask: messages hold whole tasks, and schedulers every transition
FORGETFUL = {"distributed.admin.low-level-log-length": 10}
CONFIG = {
    **FORGETFUL,
    # a worker gets no task before it is free: a block that kills its worker then takes no other with it
    "distributed.scheduler.worker-saturation": 1.0,
    # a worker that has been gone for some time is on its way back, if its nanny lives; others are replaced here
    "distributed.deploy.lost-worker-timeout": "1h",
    # a block that has lost its worker is given back at once, and counted
    "distributed.scheduler.allowed-failures": 0,
    # pausing makes a worker whose fun leaks stall for ever; being restarted at 95 % is a clear end
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.profile.enabled": False,
    # looks at the process take the interpreter from fun, and a core from a worker
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.worker.preload": ["pardiff.execution.preload"],
    "distributed.nanny.pre-spawn-environ": OURS,
}

GUARD = "worker processes import the script that starts them: put the call under if __name__ == '__main__':"

GIVEN_UP = (Status.closed, Status.failed)
"""What a nanny is that will start no other worker."""
SUPERVISION = 1.0
"""Seconds between looks at the nannies: about what a worker needs to start."""

CONNECT_SECONDS = 15
"""How long to wait for a scheduler and its first worker."""


@contextmanager
def embedded_cluster(workers: int | None = None) -> Iterator[DaskExecutor]:
    """Worker processes of one thread each on this machine, closed at the end.

    Parameters
    ----------
    workers : int or None
        Number of processes; default one per core.

    Raises
    ------
    SystemExit
        If it is started again by the import of the user's script in a worker.
    ClusterError
        If the processes cannot be started.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(GUARD)
    check_guard()
    environment = {name: os.environ.get(name) for name in OURS}
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        with dask.config.set(CONFIG), ExitStack() as stack:
            with held(), _without_interrupts():  # what is interrupted as it starts or ends leaves processes behind
                cluster = stack.enter_context(_local_cluster(workers))
                client = stack.enter_context(_client(cluster))
                _supervise(cluster)
            try:
                yield DaskExecutor(client, ours=True)
            finally:
                with held():
                    stack.close()
    finally:
        # the nanny sets its workers' variables in this process too
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold SIGINT off this thread, and for good off those that it starts, and off the processes that they start.

    A terminal sends it to all of them, and a worker that is being started would tell of it in its own words.
    """
    resource_tracker.ensure_running()  # what starts it later takes SIGINT on again in its thread
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_guard() -> None:
    """Raise `InputError` where the script that is running would start itself again in every worker.

    Workers import the main module, as the spawn method of `multiprocessing` does. A call at the top of
    that module, outside of ``if __name__ == "__main__"``, would be repeated there.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None:
        return  # python -c, a notebook: there is nothing to import
    if not Path(file).is_file():
        raise InputError(f"worker processes cannot import the script from {file}; run it from a file, or use -c")
    frame = sys._getframe()
    while frame is not None and not (frame.f_code.co_name == "<module>" and frame.f_globals is vars(main)):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return
    try:
        statements = ast.parse(Path(file).read_bytes()).body
    except (SyntaxError, ValueError):
        return  # a console script that is not Python source
    for node in statements:
        if node.lineno <= frame.f_lineno <= (node.end_lineno or node.lineno):
            guarded = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
            if not guarded:
                raise InputError(GUARD)


def _local_cluster(workers: int | None) -> LocalCluster:
    try:
        return LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:
        raise ClusterError(f"cannot start worker processes on this machine: {error}") from error


def _supervise(cluster: LocalCluster) -> None:
    """Replace nannies that have given up: one replaces a worker that dies, but not one that dies as it starts."""

    def replace() -> None:
        if cluster.status != Status.running:  # all of them end
            return
        gone = [name for name, nanny in cluster.workers.items() if nanny.status in GIVEN_UP]
        for name in gone:
            event("nanny replaced", logging.WARNING, worker=name)
            del cluster.workers[name]
        if gone or len(cluster.workers) < len(cluster.worker_spec):
            cluster.scale(len(cluster.worker_spec))  # starts what is missing

    async def start() -> None:
        look = cluster.periodic_callbacks["pardiff"] = PeriodicCallback(replace, 1000 * SUPERVISION)
        look.start()  # it ends with the cluster

    cluster.sync(start)


def _client(cluster: LocalCluster) -> Client:
    return Client(cluster, set_as_default=False)


def _address_in(scheduler_file: str) -> str:
    """The address that a scheduler has written into a file."""
    try:
        return str(json.loads(Path(scheduler_file).read_text(encoding="utf-8"))["address"])
    except FileNotFoundError:
        raise ClusterError(
            f"no scheduler file {scheduler_file!r}; start 'dask scheduler --scheduler-file' first"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"{scheduler_file!r} is not a file that a Dask scheduler has written ({type(error).__name__})"
        ) from None


def _within(seconds: float, address: str, security: Security | None) -> Client:
    """A client, or a `ClusterError` after some seconds; what answers need not be a scheduler.

    In a thread, since a server of another kind can keep the handshake waiting for ever.
    """
    found: list[Client | BaseException] = []

    def open_client() -> None:
        try:
            with dask.config.set(FORGETFUL):
                found.append(Client(address=address, timeout=seconds, security=security, set_as_default=False))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=open_client, daemon=True)
    thread.start()
    thread.join(seconds + 5)
    if found and isinstance(found[0], Client):
        return found[0]
    reason = type(found[0]).__name__ if found else "what answers there is no scheduler"
    hint = "check the address, or leave it out to use this machine"
    if "Comm" in reason or reason == "RuntimeError":  # something answers, and does not agree
        encrypted = address.startswith(("tls", "wss"))
        hint = (
            "check that both sides have certificates of one authority" if encrypted else "if it expects TLS, say tls://"
        )
    raise ClusterError(f"no scheduler answers at {address} within {seconds:g} s ({reason}); {hint}")


@contextmanager
def connect(
    address: str | None = None,
    scheduler_file: str | None = None,
    *,
    tls: Tls | None = None,
    insecure: bool = False,
    patience: float | None = None,
) -> Iterator[DaskExecutor]:
    """A client of a running scheduler.

    Parameters
    ----------
    address : str
        ``tcp://host:port`` or ``tls://host:port``.
    scheduler_file : str
        The file that ``dask scheduler --scheduler-file`` writes, instead of an address.
    tls : Tls or None
        Certificates; None for those of Dask's configuration.
    insecure : bool
        Talk to another machine in plain text, if that is what the address says.
    patience : float or None
        Seconds to wait for the scheduler, and for the first worker, which may be in a queue; default 15.

    Raises
    ------
    ClusterError
        If plain text would leave this machine, no scheduler answers, or it has no worker, within some seconds.
    """
    if scheduler_file is not None:
        address = _address_in(scheduler_file)
    if address is None or not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://\S+:\d+/?", address):
        raise InputError(f"scheduler: got {address!r}; expected an address such as 'tcp://host:8786'")
    where = address
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    check_address(address, insecure=insecure)
    tls = tls or Tls()
    security = tls.security()
    check_certificate(address, tls)
    waited = CONNECT_SECONDS if patience is None else patience
    client = _within(waited, address, security)
    try:
        try:
            client.wait_for_workers(1, timeout=waited)
        except TimeoutError:
            raise ClusterError(
                f"the scheduler at {where} has no worker after {waited:g} s; start 'dask worker {where}'"
            ) from None
        executor = DaskExecutor(client)
        try:
            yield executor
        finally:
            executor.close()
    finally:
        client.close()
