"""Other ways to the same numerical gradient, of the first ``count`` coordinates of a flat vector.

Long ones are measured on some coordinates and scaled up, which flatters those whose cost grows faster than n.
"""

from __future__ import annotations

import multiprocessing
import time
import warnings
from itertools import pairwise

import numpy as np

STEP = 1e-5


class Flat:
    """A function of named arrays as one of a flat vector."""

    def __init__(self, function):
        x0 = function.x0
        self.function = function
        self.parts = None
        if isinstance(x0, dict):
            stops = np.cumsum([0, *(array.size for array in x0.values())])
            self.parts = [
                (name, slice(start, stop), array.shape)
                for (name, array), start, stop in zip(x0.items(), stops[:-1], stops[1:], strict=True)
            ]

    @property
    def x0(self):
        """The point."""
        x0 = self.function.x0
        return np.concatenate([array.reshape(-1) for array in x0.values()]) if self.parts else x0

    def __call__(self, v):
        """The value; views of the vector, no copies."""
        if self.parts is None:
            return self.function(v)
        return self.function({name: v[part].reshape(shape) for name, part, shape in self.parts})


class Some:
    """The same with the first coordinates alone free: what peers see that take no part of a gradient."""

    def __init__(self, fun, x0, count):
        self.fun, self.x, self.count = fun, x0.copy(), count

    def __call__(self, z):
        """The value; only the free coordinates are copied."""
        self.x[: self.count] = np.asarray(z).reshape(-1)
        return self.fun(self.x)


def textbook(fun, x, start, stop):
    """Central differences with a copy for each pass."""
    out = []
    for i in range(start, stop):
        up, down = x.copy(), x.copy()
        up[i] += STEP
        down[i] -= STEP
        out.append((fun(up) - fun(down)) / (2 * STEP))
    return out


def in_place(fun, x, start, stop):
    """Central differences in place."""
    out = []
    for i in range(start, stop):
        saved = x[i]
        x[i] = saved + STEP
        up = fun(x)
        x[i] = saved - STEP
        down = fun(x)
        x[i] = saved
        out.append((up - down) / (2 * STEP))
    return out


def timed(call):
    """Seconds that a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def loop_textbook(fun, x, count):
    """The yardstick of all ratios."""
    return timed(lambda: textbook(fun, x, 0, count))


def loop_in_place(fun, x, count):
    """The best that one core can do with a plain function."""
    return timed(lambda: in_place(fun, x, 0, count))


def _half(job):
    return in_place(*job)


def fork_of_two(fun, x, count):
    """Two forked processes with static halves, started before."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(_half, [(fun, x, 0, 1)] * 2)
        half = count // 2
        return timed(lambda: pool.map(_half, [(fun, x, 0, half), (fun, x, half, count)]))


def joblib_chunks(fun, x, count):
    """Eight chunks by joblib, on two processes."""
    from joblib import Parallel, delayed

    edges = np.linspace(0, count, 9).astype(int).tolist()
    with Parallel(n_jobs=2, max_nbytes=None) as parallel:  # arrays that are mapped could not be changed in place
        parallel(delayed(in_place)(fun, x.copy(), 0, 1) for _ in range(2))
        jobs = [delayed(in_place)(fun, x.copy(), a, b) for a, b in pairwise(edges)]
        return timed(lambda: parallel(jobs))


def scipy_3point(fun, x, count):
    """scipy.differentiate's older sibling, as its optimisers use it."""
    from scipy.optimize._numdiff import approx_derivative

    some = Some(fun, x, count)
    return timed(lambda: approx_derivative(some, x[:count].copy(), method="3-point"))


def scipy_3point_workers(fun, x, count):
    """The same with a pool of two."""
    from scipy.optimize._numdiff import approx_derivative

    some = Some(fun, x, count)
    with multiprocessing.get_context("fork").Pool(2, initializer=fun, initargs=(x,)) as pool:
        return timed(lambda: approx_derivative(some, x[:count].copy(), method="3-point", workers=pool.map))


def numdifftools(fun, x, count):
    """Richardson extrapolation, about 30 passes an entry."""
    import numdifftools as nd

    some = Some(fun, x, count)
    return timed(lambda: nd.Gradient(some)(x[:count].copy()))


def jacobi(fun, x, count):
    """Ridders' method, about 15 passes an entry."""
    from jacobi import jacobi as differentiate

    some = Some(fun, x, count)
    return timed(lambda: differentiate(some, x[:count].copy()))


def optimagic(fun, x, count):
    """Central differences of optimagic on one core."""
    import optimagic as om

    some = Some(fun, x, count)
    return timed(lambda: om.first_derivative(some, x[:count].copy(), method="central"))


def one_delayed_a_coordinate(fun, x, count):
    """The obvious use of Dask: a task for each coordinate, on the same cluster."""
    import dask

    from pardiff.execution.cluster import embedded_cluster

    with embedded_cluster(2) as executor:
        client = executor.client
        client.run(warm, fun, x)
        tasks = [dask.delayed(in_place)(fun, x.copy(), i, i + 1) for i in range(count)]
        return timed(lambda: client.gather(client.compute(tasks)))


def warm(fun, x):
    """Build the data of a function in a worker."""
    fun(x)


def torch_gradcheck(fun, x, count):
    """torch.autograd.gradcheck of the same function written in torch; None where there is none."""
    import torch

    from benchmarks.speed.torch_functions import of

    torch.set_num_threads(1)
    function = of(fun.function)
    if function is None:
        return None
    base = torch.tensor(x)

    def some(z):
        return function(torch.cat([z, base[count:]]))

    def check():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # it fails some right gradients: its step is fixed, and its tolerance knows nothing of rounding
            torch.autograd.gradcheck(some, torch.tensor(x[:count], requires_grad=True), raise_exception=False)

    return timed(check)


PEERS = {
    "textbook loop": loop_textbook,
    "loop in place": loop_in_place,
    "fork of 2": fork_of_two,
    "joblib chunks": joblib_chunks,
    "scipy 3-point": scipy_3point,
    "scipy 3-point, workers": scipy_3point_workers,
    "numdifftools": numdifftools,
    "jacobi": jacobi,
    "optimagic": optimagic,
    "dask.delayed each": one_delayed_a_coordinate,
    "torch gradcheck": torch_gradcheck,
}
"""Peers by name; all but the first two need a package, a pool or a cluster."""

PASSES = {"numdifftools": 30, "jacobi": 16, "dask.delayed each": 8}
"""Passes of a coordinate where they are not 2; they decide how many coordinates are measured."""
