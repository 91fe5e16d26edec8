"""The workflows of a folder on the nodes of a SLURM cluster, by dask-jobqueue.

    pip install 'pardiff[workflows,tls]' dask-jobqueue
    python workflows/slurm.py --jobs 20 --queue short --out /scratch/$USER/audits workflows/
    python workflows/slurm.py --print                  # only show the script that each job is submitted with

Options that are not its own are those of pardiff run: --fresh, --budget 10h, --log FILE.

Each job of the batch system is one node with a worker per core. Jobs end before their wall time and are submitted
anew until all is done; workers that are gone, or not yet started, cost nothing: what is finished is in the audit, which
lies on a file system that all nodes share (or, as s3://bucket/prefix, nowhere near them). Should the script itself be
ended, run it again to go on.
"""

import argparse
import tempfile
from pathlib import Path

import dask
from dask_jobqueue import SLURMCluster
from distributed.security import Security

from pardiff.cli import main as pardiff
from pardiff.execution.certificates import make_certificates

WORKER = {
    # as in the embedded cluster of pardiff: one thread for each worker, and malloc that keeps its pages
    "OMP_NUM_THREADS": 1,
    "MKL_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    "MALLOC_TRIM_THRESHOLD_": 67108864,
    "MALLOC_MMAP_THRESHOLD_": 67108864,
    # a worker that needs much memory is ended and started again, where pausing could last for ever
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "false",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "false",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "false",
}


def make_cluster(options, certificates):
    """A cluster whose scheduler is here, and whose workers are jobs; nothing is submitted yet."""
    ca, cert, key = map(str, make_certificates(certificates))
    security = Security(
        tls_ca_file=ca, tls_scheduler_cert=cert, tls_scheduler_key=key, tls_worker_cert=cert, tls_worker_key=key,
        tls_client_cert=cert, tls_client_key=key, require_encryption=True,
    )  # fmt: skip
    return SLURMCluster(
        queue=options.queue,
        cores=options.cores,
        processes=options.cores,
        memory=options.memory,
        walltime=options.walltime,
        job_name="pardiff",
        job_script_prologue=[f"export {name}={value}" for name, value in WORKER.items()],
        # end by themselves before the wall time, not all at once
        worker_extra_args=["--lifetime", options.lifetime, "--lifetime-stagger", "4m"],
        protocol="tls://",
        interface=options.interface,
        security=security,
        shared_temp_directory=str(certificates),
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    )


def parse(arguments):
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", default=["workflows/"])
    parser.add_argument("--out", default="audits")
    parser.add_argument("--jobs", type=int, default=4, help="nodes to ask for")
    parser.add_argument("--queue", default=None)
    parser.add_argument("--interface", default=None, help="network on which all can talk, such as ib0")
    parser.add_argument("--cores", type=int, default=16, help="of a node")
    parser.add_argument("--memory", default="32GB", help="of a node")
    parser.add_argument("--walltime", default="01:00:00")
    parser.add_argument("--lifetime", default="50m", help="a little less than the wall time")
    parser.add_argument("--patience", type=float, default=86400.0, help="seconds to wait for the first job, or another")
    parser.add_argument("--print", action="store_true", help="print the script of a job and end")
    options, more = parser.parse_known_args(arguments)
    options.more = more  # of "pardiff run": --fresh, --budget, --log, ...
    return options


def main(arguments=None):
    """Start the jobs, run the targets on them, and end with the exit status of pardiff."""
    options = parse(arguments)
    dask.config.set({"distributed.scheduler.worker-saturation": 1.0})  # a worker gets a block when it is free
    # in the working folder, which the nodes share
    with (
        tempfile.TemporaryDirectory(prefix=".pardiff-tls-", dir=".") as folder,
        make_cluster(options, Path(folder).resolve()) as cluster,
    ):
        if options.print:
            print(cluster.job_script())
            return
        # jobs that end, as all do at the end of their lifetime, are submitted anew
        cluster.adapt(minimum_jobs=options.jobs, maximum_jobs=options.jobs, interval="2s")
        tls = [argument for name in ("ca", "cert", "key") for argument in (f"--tls-{name}", f"{folder}/{name}.pem")]
        where = ["--scheduler", cluster.scheduler_address, "--out", options.out, "--patience", str(options.patience)]
        pardiff(["run", *options.targets, *where, *tls, *options.more])


if __name__ == "__main__":
    main()
