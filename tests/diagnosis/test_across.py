"""Findings on several arrays, and on test points."""

import numpy as np
import pytest

import pardiff

RNG = np.random.default_rng(3)
SHAPES = {"enc1": {"W": (5, 4), "b": (4,)}, "enc2": {"W": (4, 4), "b": (4,)}, "head": {"W": (4, 3), "b": (3,)}}
X0 = {layer: {name: RNG.normal(size=shape) for name, shape in arrays.items()} for layer, arrays in SHAPES.items()}
WEIGHTS = {layer: {name: RNG.normal(size=shape) for name, shape in arrays.items()} for layer, arrays in SHAPES.items()}


def fun(x):
    return float(sum(np.sum(WEIGHTS[i][j] * np.sin(x[i][j])) for i in x for j in x[i]))


def grad(x):
    return {i: {j: WEIGHTS[i][j] * np.cos(x[i][j]) for j in x[i]} for i in x}


def check(change, **options):
    """An audit of a gradient that was changed."""

    def changed(x):
        g = grad(x)
        change(g)
        return g

    return pardiff.gradcheck(fun, changed, X0, **options)


def each(g, operation):
    for arrays in g.values():
        for name in arrays:
            arrays[name] = operation(arrays[name])


def test_swapped_arrays():
    """Two arrays that hold each other's derivatives."""

    def swap(g):
        g["enc1"]["b"], g["enc2"]["b"] = g["enc2"]["b"], g["enc1"]["b"]

    first = check(swap).findings[0]

    assert (first.array, first.kind) == ("", "swapped")
    assert first.evidence["arrays"] == ["enc1/b", "enc2/b"]


@pytest.mark.parametrize(("factor", "text"), [(0.25, "1/4"), (-1.0, "wrong sign"), (3.7, "3.7")])
def test_one_factor_in_all(factor, text):
    """A factor that all arrays have is said once, first."""
    first = check(lambda g: each(g, lambda a: factor * a)).findings[0]

    assert first.kind == "common_factor"
    assert text in first.message


def test_clipping_by_norm():
    """A claim whose norm is a round number is clipped."""

    def clip(g):
        norm = np.sqrt(sum(float(np.sum(a**2)) for arrays in g.values() for a in arrays.values()))
        each(g, lambda a: a / norm)

    first = check(clip).findings[0]

    assert first.kind == "common_factor"
    assert "the norm of the whole analytical derivative is 1" in first.message


def test_the_backward_of_a_layer():
    """All arrays up to a layer are wrong, and those behind it are right."""

    def spoil(g):
        rng = np.random.default_rng(0)
        for layer in ("enc1", "enc2"):
            for name in g[layer]:
                g[layer][name] = g[layer][name] + rng.normal(size=g[layer][name].shape)

    first = check(spoil).findings[0]

    assert first.kind == "upstream"
    assert "from head" in first.message
    assert first.evidence["wrong"] == ["enc1/W", "enc1/b", "enc2/W", "enc2/b"]


def spoiled(*names):
    """Noise in some arrays."""

    def spoil(g):
        rng = np.random.default_rng(0)
        for name in names:
            layer, _, array = name.partition("/")
            g[layer][array] = g[layer][array] + rng.normal(size=g[layer][array].shape)

    return spoil


def test_the_last_layer_alone_is_its_own_fault():
    """The gradient comes from there, and is right where it has got to."""
    assert "upstream" not in {f.kind for f in check(spoiled("head/W", "head/b")).findings}


def test_arrays_side_by_side_are_no_layers():
    """Names such as Wq and Wk do not tell which is behind which."""
    names = ("Wq", "Wk", "Wv", "Wo")
    weights = {name: np.random.default_rng(i).normal(size=(4, 4)) for i, name in enumerate(names)}
    x0 = {name: np.random.default_rng(9 + i).normal(size=(4, 4)) for i, name in enumerate(names)}

    def grad(x):
        wrong = {"Wq": np.tanh, "Wk": np.exp}
        return {name: wrong.get(name, np.cos)(x[name]) * weights[name] for name in names}

    first = pardiff.gradcheck(
        lambda x: float(sum(np.sum(weights[name] * np.sin(x[name])) for name in names)), grad, x0
    ).findings[0]
    assert first.kind == "upstream"
    assert "carried back" not in first.message
    assert "Wq, Wk are wrong all over" in first.message


def test_a_swap_says_it_all():
    def swap(g):
        g["enc1"]["b"], g["enc2"]["b"] = g["enc2"]["b"], g["enc1"]["b"]

    assert [f.kind for f in check(swap).findings if not f.array] == ["swapped"]


def test_nothing_across_one_array():
    """A single wrong array is no matter of several."""

    def spoil(g):
        g["enc2"]["W"] = g["enc2"]["W"].T.copy()

    assert [f.kind for f in check(spoil).findings] == ["transposed"]


def test_a_gradient_that_changes():
    """grad is called twice; arrays that differ are named."""
    rng = np.random.default_rng(0)

    def dropout(x):
        g = grad(x)
        g["head"]["W"] = g["head"]["W"] * (rng.random(size=(4, 3)) < 0.5)
        return g

    first = pardiff.gradcheck(fun, dropout, X0).findings[0]

    assert first.kind == "nondeterministic"
    assert "head/W" in first.message


POINTS = {
    "0 everywhere": np.zeros(5),
    "the same": np.ones(5),
    "few different values": np.array([1.0, 2.0, 1.0, 2.0, 1.0]),
    "is symmetric": np.array([[1.0, 5.0], [5.0, 3.0]]),
}


@pytest.mark.parametrize("words", POINTS)
def test_points_that_hide_faults(words):
    """x0 with zeros, ones, repeats or a symmetry is told of; a jitter ends that, the same way each time."""
    x0 = POINTS[words]
    weights = np.random.default_rng(1).uniform(1, 2, x0.shape)

    def run(**options):
        return pardiff.gradcheck(
            lambda x: float(np.sum(weights * np.exp(x))), lambda x: weights * np.exp(x), x0, **options
        )

    (found,) = run().findings
    moved, again = run(jitter=0.1), run(jitter=0.1)

    assert found.kind == "test_point"
    assert words in found.message
    assert moved.passed
    assert not moved.findings
    points = [np.asarray(result.to_xarray()["x0/x"]) for result in (moved, again)]
    np.testing.assert_array_equal(*points)
    assert np.all(np.abs(points[0] - x0) >= 0.05 * np.maximum(1, np.abs(x0)) - 1e-12)


def test_a_derivative_that_hides_faults():
    """A symmetric derivative hides a transposition, and an array that fun does not use hides everything."""
    x0 = {"W": np.random.default_rng(0).normal(size=(3, 3)), "unused": np.array([1.0, 2.0])}
    (found,) = pardiff.gradcheck(
        lambda x: float(np.sum(x["W"]) ** 2),
        lambda x: {"W": np.full((3, 3), 2 * np.sum(x["W"])), "unused": np.zeros(2)},
        x0,
    ).findings

    assert "the same all over W" in found.message
    assert "the derivative is 0 all over unused" in found.message


def test_lengths_that_divide_evenly():
    """Sizes that are all multiples of a tile are told of."""
    x0 = {"a": np.random.default_rng(0).normal(size=(16, 8)), "b": np.random.default_rng(1).normal(size=24)}
    (found,) = pardiff.gradcheck(
        lambda x: float(np.sum(x["a"] ** 3) + np.sum(x["b"] ** 3)), lambda x: {k: 3 * v**2 for k, v in x.items()}, x0
    ).findings

    assert "multiples of 8" in found.message


def test_jitter_stays_within_bounds():
    """Moves that would leave the bounds are made the other way."""
    x0 = np.array([0.0, 1.0, 0.5, 1e-9])
    result = pardiff.gradcheck(lambda x: float(np.sum(x**2)), lambda x: 2 * x, x0, bounds=(0.0, 1.0), jitter=0.3)
    moved = np.asarray(result.to_xarray()["x0/x"])

    assert result.passed
    assert np.all((moved >= 0) & (moved <= 1))
    assert np.all(moved != x0)


def test_jitter_needs_a_callable():
    """Numbers hold at x0 alone."""
    with pytest.raises(pardiff.InputError, match="jitter: grad is given as numbers"):
        pardiff.gradcheck(lambda x: float(x @ x), np.ones(2), np.ones(2), jitter=0.1)
