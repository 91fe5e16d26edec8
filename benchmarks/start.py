"""What comes before and after the passes: import, an audit in process, an audit in a store."""

import subprocess
import sys
import tempfile
import time

import numpy as np

import pardiff

X, Y, W = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2])


def loss(w):
    """The textbook loss."""
    return np.sum((Y - X @ w) ** 2)


def gradient(w):
    """Its gradient."""
    return -2 * X.T @ (Y - X @ w)


def seconds(function, repeats):
    """Median duration of a call."""
    found = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        found.append(time.perf_counter() - begin)
    return sorted(found)[repeats // 2]


def imported(module):
    """Seconds that a fresh interpreter takes to import a module."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def run(quick):
    """All rows."""
    repeats = 3 if quick else 15
    numpy, ours = (sorted(imported(m) for _ in range(repeats))[repeats // 2] for m in ("numpy", "pardiff"))
    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(1000))
        stored = seconds(lambda: pardiff.gradcheck(loss, gradient, W, store=f"{folder}/{next(numbers)}"), repeats)
    return [
        {
            "workload": "textbook problem",
            "import, ms": ours * 1e3,
            "of that numpy, ms": numpy * 1e3,
            "gradcheck in memory, ms": seconds(lambda: pardiff.gradcheck(loss, gradient, W), repeats) * 1e3,
            "gradcheck in a store, ms": stored * 1e3,
        }
    ]
