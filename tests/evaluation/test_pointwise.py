import numpy as np
import pytest

from pardiff.errors import InputError
from pardiff.evaluation.evaluator import axes_of
from pardiff.evaluation.pointwise import Pointwise
from pardiff.problem.parsing import parse_x0


def evaluator(fun, x0):
    return Pointwise(fun, (), *parse_x0(x0))


def along(e, index, t):
    """Values along axes, shape (k, points)."""
    return e.along(axes_of(e, np.array(index), None, (1.0,) * len(e.space.leaves)), np.array(t)).value[:, :, 0]


def test_one_element_moves_and_comes_back():
    """Each pass sees x0 with one coordinate moved, and x0 is untouched afterwards, bit for bit."""
    seen = []
    x0 = {"a": np.array([1.0, 2.0], np.float32), "b": {"c": np.array([[0.1]])}}

    def fun(x):
        seen.append((x["a"].copy(), x["b"]["c"].copy()))
        return 0.0

    e = evaluator(fun, x0)
    along(e, [0, 1, 2], [[-1.0], [0.5], [0.25]])
    e.check_unchanged()

    assert [(a.tolist(), c.item()) for a, c in seen] == [([0, 2], 0.1), ([1, 2.5], 0.1), ([1, 2], 0.35)]


def test_no_copy_per_pass():
    """fun receives the very same arrays at every pass."""
    seen = set()
    e = evaluator(lambda x: seen.add(id(x["w"])) or 1.0, {"w": np.ones(50)})
    along(e, np.arange(50), np.full((50, 1), 1e-3))

    assert len(seen) == 1


def test_failures_are_noted_by_coordinate():
    """What fun raises at one coordinate is kept, and the rest goes on."""

    def fun(x):
        if x[1] != 1.0:
            raise RuntimeError("no such point")
        return float(x.sum())

    e = evaluator(fun, np.ones(3))
    values = along(e, np.arange(3), np.full((3, 1), 0.5))

    assert values[::2, 0].tolist() == [3.5, 3.5]
    assert np.isnan(values[1])
    assert e.failures == {1: "RuntimeError: no such point"}
    e.check_unchanged()


def overwrite(x):
    x["w"][0] += 1
    return 0.0


def replace(x):
    x["w"] = x["w"] + 1
    return 0.0


@pytest.mark.parametrize("fun", [overwrite, replace])
def test_a_changed_argument_is_noticed(fun):
    """fun may neither write to its argument nor put another array in its place."""
    e = evaluator(fun, {"w": np.ones(2)})
    along(e, [1], [[0.5]])

    with pytest.raises(InputError, match="changed its argument \\(array 'w'\\)"):
        e.check_unchanged()
