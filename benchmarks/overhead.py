"""What blocks, tasks and commits cost beside fun: efficiency against perfect halves and against a plain fork."""

import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

import pardiff
from benchmarks.functions import Busy, gradient
from pardiff.execution.cluster import embedded_cluster


def _half(job):
    fun, x, start, stop = job
    out = []
    for i in range(start, stop):
        saved = x[i]
        h = 1e-5
        x[i] = saved + h
        up = fun(x)
        x[i] = saved - h
        down = fun(x)
        x[i] = saved
        out.append((up - down) / (2 * h))
    return out


def fork_of_two(fun, x):
    """Wall seconds of two forked processes with static halves: the least that two cores can take."""
    n = len(x)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(_half, [(fun, x, 0, 1)] * 2)  # both processes are up
        begin = time.perf_counter()
        pool.map(_half, [(fun, x, 0, n // 2), (fun, x, n // 2, n)])
        return time.perf_counter() - begin


def measure(n, seconds):
    """Rows of the table for one function.

    Parameters
    ----------
    n : int
        Parameters.
    seconds : float
        Duration of a pass.
    """
    fun, x = Busy(seconds), np.linspace(1, 2, n)
    plain = fork_of_two(fun, x)
    with embedded_cluster(2) as executor, tempfile.TemporaryDirectory() as folder:
        pardiff.gradcheck(fun, gradient, x[:4], executor=executor.client)  # workers have imported everything
        begin = time.perf_counter()
        result = pardiff.gradcheck(fun, gradient, x, executor=executor.client, store=Path(folder) / "audit", rtol=1e-3)
        wall = time.perf_counter() - begin
    assert result.nfev < 2.02 * n + 100  # half a per cent is done again by the other worker
    bound = 2 * n * seconds / 2
    return {
        "workload": f"busy {seconds * 1e3:g} ms, n = {n}, 2 workers, Zarr",
        "wall": wall,
        "2 n t_f / (2 wall)": bound / wall,
        "wall / fork of two": wall / plain,
    }


def run(quick):
    """All rows."""
    sizes = [(200, 1e-3)] if quick else [(4000, 1e-3), (16000, 1e-3), (20000, 1e-4), (200_000, 1e-5)]
    return [measure(*size) for size in sizes]
