import gc

import numpy as np
import pytest

import pardiff
from pardiff.testing import sphere

X = np.random.default_rng(0).normal(size=(20, 8))


def loss(w):
    return float(np.sum((1 - X @ w) ** 2))


def gradient(w):
    return -2 * X.T @ (1 - X @ w)


PROBLEMS = {
    "loss": lambda: pardiff.Problem(loss, gradient, np.linspace(-1, 1, 8)),
    "wrong": lambda: pardiff.Problem(loss, lambda w: 1.1 * gradient(w), np.linspace(-1, 1, 8)),
    "outputs": lambda: pardiff.Problem(lambda w: X @ w, vjp=lambda w, u: X.T @ u, x0=np.linspace(-1, 1, 8)),
    "incremental": lambda: pardiff.Problem(
        loss,
        gradient,
        np.linspace(-1, 1, 8),
        incremental=pardiff.Chain([pardiff.Affine("x")], pardiff.SquaredError(np.ones(20)), X),
    ),
    "batched": lambda: pardiff.Problem(
        loss, gradient, np.linspace(-1, 1, 8), batch_fun=lambda w: ((1 - w @ X.T) ** 2).sum(axis=1)
    ),
}


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_nothing_is_left_for_the_garbage_collector(name, stored, tmp_path):
    """An audit makes no reference cycle of its own: its arrays are freed with its result, and not some time later."""
    pardiff.gradcheck(sphere())  # what is made once
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        pardiff.gradcheck(PROBLEMS[name](), store=tmp_path / "audit" if stored else None)
        gc.collect()
        left = {type(one).__name__ for one in gc.garbage if type(one).__module__.startswith("pardiff")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == set()
