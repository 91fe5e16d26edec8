"""Lengths of the data of a problem: whatever there is to look at, only hints are lost."""

import functools
from collections.abc import Mapping

import numpy as np
import pytest

import pardiff
from pardiff.problem.data_axes import data_lengths


def lengths(fun, args=()):
    return data_lengths(pardiff.Problem(fun, None, np.ones(2), args=args))


def test_arguments_closures_and_globals():
    X, labels = np.ones((30, 5)), {"train": np.ones(17)}
    assert lengths(lambda w: float(X.sum())) == {30: "axis 0 of X", 5: "axis 1 of X"}
    assert lengths(lambda w, y: 0.0, (labels,)) == {17: "args[0]['train']"}


def test_methods_and_partials():
    class Model:
        def __init__(self):
            self.data = np.ones(11)

        def loss(self, w):
            return 0.0

    assert lengths(Model().loss) == {11: "self.data"}
    assert lengths(functools.partial(lambda X, w: 0.0, np.ones(13))) == {13: "args of <lambda>"}


class Raising:
    @property
    def shape(self):
        raise RuntimeError("no shape yet")


class Proxy:
    def __getattr__(self, name):
        raise RuntimeError(name)


class Lazy(Mapping):
    """It must not be loaded, and has no end."""

    def __len__(self):
        return 3

    def __iter__(self):
        raise AssertionError("was looked into")

    def __getitem__(self, key):
        raise AssertionError("was looked into")


itself = []
itself.append(itself)


ODD = {
    "raising": Raising(), "proxy": Proxy(), "lazy": Lazy(), "itself": itself, "key": {Raising(): 1}, "large": 10**400,
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_objects(name):
    odd, known = ODD[name], np.ones(23)
    result = pardiff.gradcheck(lambda x: float((x**2).sum()) if odd is not known else 0.0, lambda x: 2 * x, np.ones(2))
    assert result.passed
    assert lengths(lambda w, a, b: 0.0, (odd, known)) == {23: "args[1]"}
