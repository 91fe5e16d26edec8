import numpy as np
import pytest
from hypothesis import given

from pardiff.errors import InputError
from pardiff.problem.parsing import parse_gradient, parse_x0
from pardiff.problem.space import Space, flatten, unflatten
from pardiff.testing import structures


@given(structures())
def test_flattening_is_undone(x0):
    """Taking a structure apart and putting it together again gives the same numbers, names and shapes."""
    space, arrays = parse_x0(x0)
    again, arrays2 = parse_x0(unflatten(space, flatten(arrays)))

    assert again == space
    assert all(np.array_equal(a, b) for a, b in zip(arrays, arrays2, strict=True))


@given(structures())
def test_layout_survives_json(x0):
    """A layout read from an audit is the one that was written."""
    space, _ = parse_x0(x0)

    assert Space.from_json(space.to_json()) == space


@given(structures())
def test_labels_name_elements(x0):
    """Every coordinate has its own label."""
    space, _ = parse_x0(x0)

    assert len({space.label(i) for i in range(space.size)}) == space.size


def test_x0_is_copied():
    """The caller's array is not the one that is perturbed."""
    x0 = np.ones(3)
    _, (array,) = parse_x0(x0)
    array[0] = 5

    assert x0[0] == 1


def test_empty_leaves_are_skipped():
    """An array without elements may stand among others."""
    space, _ = parse_x0({"a": np.zeros(0), "b": np.ones(2), "c": np.zeros((0, 3))})

    assert [space.label(i) for i in range(space.size)] == ["b[0]", "b[1]"]


@pytest.mark.parametrize(
    ("x0", "said"),
    [
        ([True, False], "dtype bool; expected real floating point: convert it with .astype"),
        ([1j], "dtype complex128"),
        ([1.0, np.nan], "x[1] is nan; expected finite"),
        ({"W": [[1.0, np.inf]]}, "W[0,1] is inf"),
        ({"a/b": [1.0]}, "'a/b' cannot name an array"),
        ({"..": [1.0]}, "'..' cannot name an array"),
        ({"zarr.json": [1.0]}, "cannot name an array"),
        ({3: [1.0]}, "3 cannot name an array"),
        ({"W": "text"}, "dtype <U4"),
        ([[1.0], [1.0, 2.0]], "is not an array"),
    ],
)
def test_bad_x0(x0, said):
    """Each bad x0 gets one sentence that says where and what was expected."""
    with pytest.raises(InputError, match="x0") as caught:
        parse_x0(x0)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("grad", "said"),
    [
        ({"W": np.zeros((2, 2))}, "grad has no array 'b'"),
        (
            {"W": np.zeros((2, 2)), "bias": np.zeros(2)},
            "grad has no array 'b' (it has 'bias', which x0 has not)",
        ),
        ({"W": np.zeros((2, 2)), "b": np.zeros(2), "W2": 0.0}, "'W2' that x0 has not; did you mean 'W'?"),
        ({"W": np.zeros((2, 3)), "b": np.zeros(2)}, "'W' has shape (2, 3); expected the shape of x0, (2, 2)"),
        ({"W": np.zeros((2, 2), complex), "b": np.zeros(2)}, "dtype complex128"),
        ({"W": np.zeros((2, 2)), "b": np.zeros(2, bool)}, "dtype bool"),
        (np.zeros(6), "grad is an array, but x0 is a mapping"),
    ],
)
def test_bad_gradient(grad, said):
    """Each bad gradient gets one sentence that names the array."""
    space, _ = parse_x0({"W": np.zeros((2, 2)), "b": np.zeros(2)})

    with pytest.raises(InputError) as caught:
        parse_gradient(space, grad)

    assert said in str(caught.value)
