"""x0 as arrays, mappings, lists and tuples: fun and grad get what was given."""

import numpy as np
import pytest

import pardiff
from pardiff.errors import InputError
from pardiff.problem.parsing import leaves_like, parse_x0
from pardiff.problem.space import Space

A, B = np.arange(1.0, 4.0), np.array([[0.5, -1.0], [2.0, 0.25]])

STRUCTURES = {
    "tuple": (A, B),
    "list": [A, B],
    "nested tuple": ((A,), {"b": B}),
    "mapping of lists": {"a": [A, A + 1], "b": {"c": (B,)}},
    "list of equal arrays": [A, 2 * A],
    "with an empty array": {"a": A, "none": np.zeros((0, 3))},
}


def leaves(x):
    if isinstance(x, dict):
        return [leaf for item in x.values() for leaf in leaves(item)]
    if isinstance(x, list | tuple):
        return [leaf for item in x for leaf in leaves(item)]
    return [x]


def like(x, change):
    """A structure with other arrays in it."""
    if isinstance(x, dict):
        return {key: like(item, change) for key, item in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(like(item, change) for item in x)
    return change(x)


def shape_of(x):
    """The structure, without numbers."""
    return like(x, lambda array: np.shape(array))


@pytest.mark.parametrize("name", STRUCTURES)
def test_fun_and_grad_get_what_was_given(name):
    """Types, nesting and shapes arrive as they were given, and the results have them too."""
    x0, seen = STRUCTURES[name], []

    def fun(x):
        seen.append((type(x), shape_of(x)))
        return float(sum((leaf**3).sum() for leaf in leaves(x)))

    def grad(x):
        seen.append((type(x), shape_of(x)))
        return like(x, lambda leaf: 3 * leaf**2)

    result = pardiff.gradcheck(fun, grad, x0)

    assert result.passed
    assert set(map(str, seen)) == {str((type(x0), shape_of(x0)))}
    for values in (result.numerical, result.analytical, result.uncertainty, result.verdicts, result.nfev_by_entry):
        assert shape_of(values) == shape_of(x0)
    for found, exact in zip(leaves(result.numerical), leaves(grad(x0)), strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-8)


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_wrong_entry_is_named(name):
    """A fault in one array of the structure fails that array alone."""
    x0 = STRUCTURES[name]
    number = len(leaves(x0)) // 2 if "empty" not in name else 0
    count = iter(range(100))

    def grad(x):
        return like(x, lambda leaf: (3.3 if next(count) % len(leaves(x0)) == number else 3.0) * leaf**2)

    result = pardiff.gradcheck(lambda x: float(sum((leaf**3).sum() for leaf in leaves(x))), grad, x0)

    assert [array.verdict.name for array in result.arrays if array.counts["fail"]] == ["FAIL"]
    assert result.counts["fail"] == leaves(x0)[number].size


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_survive_a_store(name, tmp_path):
    """An audit that is read again has the structure, and goes on from its store."""
    x0 = STRUCTURES[name]
    for _ in range(2):
        result = pardiff.gradcheck(
            lambda x: float(sum((leaf**3).sum() for leaf in leaves(x))),
            lambda x: like(x, lambda leaf: 3 * leaf**2),
            x0,
            store=tmp_path / "audit",
        )
        assert result.passed
    again = pardiff.open_result(tmp_path / "audit")

    assert shape_of(again.numerical) == shape_of(x0)
    space, _ = parse_x0(x0)
    assert Space.from_json(space.to_json()) == space


def test_names_of_a_sequence():
    """Arrays of a tuple are numbered behind x."""
    space, _ = parse_x0((A, {"w": B}))

    assert [leaf.name for leaf in space.leaves] == ["x/0", "x/1/w"]
    assert space.label(4) == "x/1/w[0,1]"


def test_lists_of_numbers_are_arrays():
    """As everywhere in NumPy."""
    assert pardiff.gradcheck(lambda x: float(x @ x), lambda x: 2 * x, [1.0, 2.0]).passed
    assert pardiff.gradcheck(lambda x: float((x * x).sum()), lambda x: 2 * x, [[1.0, 2.0], [3.0, 4.0]]).passed


def test_a_gradient_may_be_a_list_for_a_tuple():
    """jax and torch give tuples for lists, and the other way round."""
    assert pardiff.gradcheck(lambda x: float(x[0] @ x[1]), lambda x: [x[1], x[0]], (A, 2 * A)).passed


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (A, "grad is an array, but x0 is a sequence of arrays"),
        ((A,), "grad has no array 'x/1'"),
        ((A, B, B), "grad has an array 'x/2' that x0 has not"),
        ({"x/0": A}, "grad is a mapping of named arrays, but x0 is a sequence of arrays"),
    ],
)
def test_another_structure_is_refused(value, said):
    """With one sentence."""
    space, _ = parse_x0((A, B))

    with pytest.raises(InputError) as caught:
        leaves_like(space, value, "grad")
    assert said in str(caught.value)


@pytest.mark.parametrize("dtype", [int, np.int8, np.uint16])
def test_integers_are_taken_as_floats(dtype):
    """And a finding says so; a gradient of integers is right if its numbers are."""
    seen = set()

    def fun(x):
        seen.add(x.dtype)
        return float(x @ x)

    result = pardiff.gradcheck(fun, lambda x: (2 * x).astype(int), np.arange(1, 4).astype(dtype))

    assert result.passed
    assert seen == {np.dtype(float)}
    assert "x0 holds integers in x" in next(f.message for f in result.findings if f.kind == "precision")


@pytest.mark.parametrize("x0", [np.zeros(0), {}, {"a": np.zeros((0, 3))}, []])
def test_nothing_is_not_a_pass(x0, tmp_path):
    """An x0 without entries is no error, and says that there was nothing to check."""
    for store in (None, tmp_path / "audit"):
        result = pardiff.gradcheck(lambda x: 1.0, lambda x: x, x0, store=store)

        assert (result.verdict.name, sum(result.counts.values())) == ("INCONCLUSIVE", 0)
        assert "nothing to check" in str(result)
        assert shape_of(result.numerical) == shape_of(x0 if not isinstance(x0, list) else np.zeros(0))
    assert pardiff.gradient(lambda x: 1.0, x0).nfev >= 2


def test_bounds_like_x0():
    """Bounds have the structure of x0, or are numbers for all."""
    seen = []

    def fun(x):
        seen.append(min(leaf.min() for leaf in x))
        return float(sum(np.sqrt(leaf).sum() for leaf in x))

    x0 = (np.array([1e-9, 1.0]), np.array([0.5]))
    result = pardiff.gradcheck(
        fun, lambda x: tuple(0.5 / np.sqrt(leaf) for leaf in x), x0, bounds=((0.0, 0.0), (2.0, [3.0]))
    )

    assert result.counts["fail"] == 0
    assert min(seen) >= 0


def test_a_named_tuple_is_refused():
    """fun could not be given it again on a worker."""
    from collections import namedtuple

    with pytest.raises(InputError, match="got a Point; expected a mapping, or a plain list or tuple"):
        parse_x0(namedtuple("Point", "a b")(A, B))


def test_two_arrays_of_one_name_are_refused():
    """A mapping may not name what the number of a list is."""
    with pytest.raises(InputError, match=r"two arrays would be named 'a/b'|cannot name an array"):
        parse_x0({"a": {"b": A}, "a/b": B})
