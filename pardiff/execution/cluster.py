"""The embedded cluster, and the connection to one that is already there."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from pardiff.errors import ClusterError
from pardiff.execution.dask_executor import DaskExecutor

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

MALLOC = {"MALLOC_TRIM_THRESHOLD_": 1 << 26, "MALLOC_MMAP_THRESHOLD_": 1 << 26}
"""Keep freed temporaries of up to 64 MiB in the process: with the nanny's own default of 64 KiB, NumPy's
temporaries go back to the kernel and are faulted in again at every call of fun."""

CONFIG = {
    # a worker gets no task before it is free: a block that kills its worker then takes no other with it
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 2,
    # pausing makes a worker whose fun leaks stall for ever; being restarted at 95 % is a clear end
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.preload": ["pardiff.execution.preload"],
    "distributed.nanny.pre-spawn-environ": {**dict.fromkeys(THREADS, 1), **MALLOC},
}

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
        raise SystemExit("pardiff: start worker processes only under  if __name__ == '__main__':")
    environment = {name: os.environ.get(name) for name in CONFIG["distributed.nanny.pre-spawn-environ"]}  # type: ignore[attr-defined]
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        with dask.config.set(CONFIG), _local_cluster(workers) as cluster, _client(cluster) as client:
            yield DaskExecutor(client)
    finally:
        # the nanny sets its workers' variables in this process too
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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


def _client(cluster: LocalCluster) -> Client:
    return Client(cluster, set_as_default=False)


@contextmanager
def connect(address: str | None = None, scheduler_file: str | None = None) -> Iterator[DaskExecutor]:
    """A client of a running scheduler.

    Parameters
    ----------
    address : str
        ``tcp://host:port`` or ``tls://host:port``.
    scheduler_file : str
        The file that ``dask scheduler --scheduler-file`` writes, instead of an address.

    Raises
    ------
    ClusterError
        If no scheduler answers, or it has no worker, within some seconds.
    """
    where = address or scheduler_file
    if scheduler_file is not None and not Path(scheduler_file).is_file():
        raise ClusterError(f"no scheduler file {scheduler_file!r}; start 'dask scheduler --scheduler-file' first")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = Client(
            address=address,
            scheduler_file=scheduler_file,
            timeout=CONNECT_SECONDS,
            set_as_default=False,
        )
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {where} within {CONNECT_SECONDS} s ({type(error).__name__}); "
            f"check the address, or leave it out to use this machine"
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise ClusterError(
                f"the scheduler at {where} has no worker after {CONNECT_SECONDS} s; start 'dask worker {where}'"
            ) from None
        yield DaskExecutor(client)
    finally:
        client.close()
