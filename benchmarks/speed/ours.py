"""pardiff on the same functions, by every path and on every executor that is compared."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pardiff
from benchmarks.speed.peers import Flat, Some
from benchmarks.speed.workloads import Rosenbrock
from pardiff.execution.cluster import embedded_cluster


def problem_of(function, path, count=None):
    """The problem, by a path; with plain fun of the first coordinates alone, where there are too many."""
    more = {}
    if path == "incremental":
        more["incremental"] = function if isinstance(function, Rosenbrock) else Later(function)
    elif path == "batched":
        more["batch_fun"] = Batch(function)
    if count is None:
        return pardiff.Problem(Call(function), Gradient(function), function.x0, **more)
    flat = Flat(function)
    x0 = flat.x0
    if path == "batched":
        more["batch_fun"] = SomeBatch(function, x0, count)
    gradient = Gradient(function)(function.x0)
    if isinstance(gradient, dict):
        import numpy as np

        gradient = np.concatenate([array.reshape(-1) for array in gradient.values()])
    return pardiff.Problem(Some(flat, x0, count), gradient[:count].copy(), x0[:count].copy(), **more)


class Call:
    """The function."""

    def __init__(self, function):
        self.function = function

    def __call__(self, x):
        """Its value."""
        return self.function(x)


class Gradient(Call):
    """Its gradient."""

    def __call__(self, x):
        """By hand."""
        return self.function.gradient(x)


class Batch(Call):
    """Its values at many points."""

    def __call__(self, x):
        """By one call."""
        return self.function.batch(x)


class SomeBatch(Some):
    """The same with the first coordinates alone free."""

    def __call__(self, z):
        """Values; the batch of all coordinates is kept, as it would be by a caller of the whole."""
        import numpy as np

        flat = Flat(self.fun)
        if getattr(self, "rows", None) is None or len(self.rows) != len(z):
            self.rows = np.repeat(self.x[None], len(z), axis=0)
        self.rows[:, : self.count] = z
        if flat.parts is None:
            return self.fun.batch(self.rows)
        return self.fun.batch({n: self.rows[:, part].reshape(-1, *shape) for n, part, shape in flat.parts})


class Later(Call):
    """Its chain, built where it is used."""

    def prepare(self, x):
        """What evaluates changes."""
        return self.function.chain.prepare(x)


class Ours:
    """Executors that stay warm over many measurements."""

    def __init__(self):
        self.stack = ExitStack()
        self._cluster = None

    def __enter__(self):
        """Nothing is started before it is needed."""
        return self

    def __exit__(self, *_):
        """Stop what was started."""
        self.stack.close()

    def executor(self, name):
        """``here``, ``threads`` or ``2 workers``."""
        if name == "2 workers":
            if self._cluster is None:
                self._cluster = self.stack.enter_context(embedded_cluster(2))
            return self._cluster.client
        return {"here": None, "threads": "threads"}[name]

    def measure(self, function, path, where, count=None, store=False, **options):
        """One audit.

        Returns
        -------
        dict
            ``waves``: seconds of the passes and what is made of them, from the plan of the first wave to the last
            result; ``whole``: of the call; ``passes`` for each coordinate; whether all agree.
        """
        problem = problem_of(function, path, count)
        executor = self.executor(where)
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            result = pardiff.gradcheck(
                problem, executor=executor, store=Path(folder) / "audit" if store else None, **options
            )
            whole = time.perf_counter() - begin
        info = result.ledger.info
        n = result.ledger.space.size
        return {
            "waves": info.timings.waves,
            "whole": whole,
            "passes": (result.nfev - info.baseline.nfev) / n,
            "passed": result.passed,
            "strategy": info.baseline.strategy,
            "rows": info.baseline.rows,
        }
