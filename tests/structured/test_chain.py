"""Chains: the same changes as differences of a plain forward pass, for every stage and loss, bit for bit repeatable."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pardiff
from pardiff import Affine, Chain, Elementwise, SoftmaxCrossEntropy, SquaredError
from pardiff.errors import InputError

SAMPLES = 7
RNG = np.random.default_rng(0)
X = RNG.normal(size=(SAMPLES, 4))
CLASSES = np.array([0, 1, 2, 0, 1, 2, 2])


class Scale:
    """A stage of the user's own: features times a vector, of which the square is taken too."""

    names = ("scale",)

    def __call__(self, a, scale):
        return np.concatenate([a * scale, (a * scale) ** 2], axis=-1)


def relu(a):
    return np.maximum(a, 0.0)


def point(*sizes, **more):
    x = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        x[f"W{layer}"] = RNG.normal(size=(inputs, outputs))
        x[f"b{layer}"] = RNG.normal(size=outputs)
    return {**x, **more}


def layers(count, function=np.tanh):
    stages = []
    for layer in range(1, count + 1):
        stages += [Affine(f"W{layer}", f"b{layer}"), Elementwise(function)]
    return stages[:-1]


CHAINS = {
    "one column": (Chain([Affine("w")], SquaredError(RNG.normal(size=SAMPLES)), X), {"w": RNG.normal(size=4)}),
    "one column and bias": (
        Chain([Affine("w", "b")], SquaredError(RNG.normal(size=SAMPLES), reduction="mean"), X),
        {"w": RNG.normal(size=4), "b": np.array(0.3)},
    ),
    "linear": (Chain([Affine("W1", "b1")], SquaredError(RNG.normal(size=(SAMPLES, 3))), X), point(4, 3)),
    "softmax": (Chain([Affine("W1", "b1")], SoftmaxCrossEntropy(CLASSES), X), point(4, 3)),
    "softmax mean": (Chain([Affine("W1")], SoftmaxCrossEntropy(CLASSES, "mean"), X), {"W1": RNG.normal(size=(4, 3))}),
    "transposed": (
        Chain([Affine("W", "b", transposed=True)], SoftmaxCrossEntropy(CLASSES), X),
        {"W": RNG.normal(size=(3, 4)), "b": RNG.normal(size=3)},
    ),
    "two layers": (Chain(layers(2), SoftmaxCrossEntropy(CLASSES), X), point(4, 5, 3)),
    "three layers": (Chain(layers(3), SoftmaxCrossEntropy(CLASSES), X), point(4, 5, 6, 3)),
    "four layers of relu": (
        Chain(layers(4, relu), SquaredError(RNG.normal(size=(SAMPLES, 2))), X), point(4, 5, 6, 3, 2)
    ),
    "two elementwise": (
        Chain([Affine("W1"), Elementwise(np.tanh), Elementwise(np.exp), Affine("w")], lambda z: z**2, X),
        {"W1": RNG.normal(size=(4, 3)), "w": RNG.normal(size=3)},
    ),
    "elementwise at the end": (
        Chain([Affine("W1", "b1"), Elementwise(np.tanh), Affine("W2", "b2"), Elementwise(np.tanh)],
              lambda z: np.sum(np.abs(z - 0.1) ** 3, axis=-1), X),
        point(4, 5, 3),
    ),
    "loss of the user's": (Chain(layers(2), lambda z: np.sum(z**4, axis=-1), X), point(4, 5, 3)),
    "stage of the user's": (
        Chain([Affine("W1", "b1"), Scale(), Affine("W2"), Elementwise(np.tanh)], lambda z: np.sum(z, axis=-1), X),
        {**point(4, 5), "scale": RNG.normal(size=5), "W2": RNG.normal(size=(10, 2))},
    ),
    "a callable as a stage": (
        Chain([Affine("W1"), lambda a: a / (1 + np.sum(a**2, axis=-1, keepdims=True)), Affine("w")],
              SquaredError(np.ones(SAMPLES)), X),
        {"W1": RNG.normal(size=(4, 3)), "w": RNG.normal(size=3)},
    ),
    "narrow middle": (Chain(layers(3), SquaredError(np.ones((SAMPLES, 2))), X), point(4, 1, 5, 2)),
    "penalties": (
        Chain(layers(2), SoftmaxCrossEntropy(CLASSES), X, penalties={"W1": lambda w: 0.1 * w**2, "free": np.cosh}),
        point(4, 5, 3, free=np.array([0.3, 0.4])),
    ),
    "nested names": (
        Chain([Affine("first/W"), Elementwise(np.tanh), Affine("second/w", "second/b")],
              SquaredError(np.zeros(SAMPLES)), X),
        {"first": {"W": RNG.normal(size=(4, 3))}, "second": {"w": RNG.normal(size=3), "b": np.array(0.1)}},
    ),
}  # fmt: skip


def moved(x, name, i, displacement):
    """A copy of x with one element moved."""
    copy = {key: moved(value, name.partition("/")[2], i, displacement) if isinstance(value, dict) else value.copy()
            for key, value in x.items()}  # fmt: skip
    if name in copy:
        copy[name].reshape(-1)[i] += displacement
    return copy


def leaves(x, prefix=""):
    for key, value in x.items():
        yield from leaves(value, f"{prefix}{key}/") if isinstance(value, dict) else [(prefix + key, value)]


def plain_move(x, name, i, d):
    head, _, tail = name.partition("/")
    return {**x, head: moved(x[head], tail, i, d)} if tail else moved(x, name, i, d)


@pytest.mark.parametrize("size", [1e-6, 0.03, -2.0])
@pytest.mark.parametrize("name", CHAINS)
def test_changes_are_those_of_a_plain_pass(name, size):
    """Each element of each array, moved a little or far, changes the loss as a forward pass says."""
    chain, x = CHAINS[name]
    prepared = chain.prepare(x)
    for array, values in leaves(x):
        moves = np.array([[size, -0.5 * size]] * values.size)
        found, sizes = prepared.changes(array, np.arange(values.size), moves)
        plain = [[chain(plain_move(x, array, i, d)) - chain(x) for d in row] for i, row in enumerate(moves.tolist())]

        np.testing.assert_allclose(found, plain, rtol=1e-12, atol=1e-12 * abs(chain(x)))
        assert (sizes >= 0).all()


@pytest.mark.parametrize("name", CHAINS)
def test_small_changes_are_known_better_than_a_plain_pass_knows_them(name):
    """The reported size bounds the error of a small step, as the derivative from large ones shows."""
    chain, x = CHAINS[name]
    prepared = chain.prepare(x)
    for array, values in leaves(x):
        h = 2.0**-20
        d, size = prepared.changes(array, np.arange(values.size), np.array([[h, -h]] * values.size))
        slope = (d[:, 0] - d[:, 1]) / (2 * h)
        wide = 2.0**-9
        four = [prepared.changes(array, np.arange(values.size), np.full((values.size, 1), k * wide))[0][:, 0]
                for k in (-4, -3, -2, -1, 1, 2, 3, 4)]  # fmt: skip
        weights = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 4 / 5, -1 / 5, 4 / 105, -1 / 280]) / wide
        reference = weights @ np.array(four)
        smooth = "relu" not in name and "elementwise at the end" not in name
        if smooth:
            assert (np.abs(slope - reference) <= 1e-7 * np.abs(reference) + 20 * 2.2e-16 * size[:, 0] / h + 1e-9).all()


@pytest.mark.parametrize("name", CHAINS)
def test_bits_do_not_depend_on_the_group(name):
    """A change is the same to the last bit alone, among others, and with any memory."""
    chain, x = CHAINS[name]
    small = Chain(chain.stages, chain.loss, chain.inputs, penalties=chain.penalties, memory=1)
    prepared, other = chain.prepare(x), small.prepare(x)
    for array, values in leaves(x):
        moves = np.asfortranarray(np.random.default_rng(1).normal(size=(values.size, 2)) * 1e-5)
        index = np.arange(values.size)
        whole = prepared.changes(array, index, moves)
        backwards = [part[::-1] for part in prepared.changes(array, index[::-1], moves[::-1])]
        singly = [np.concatenate(parts) for parts in zip(
            *(other.changes(array, index[i : i + 1], moves[i : i + 1]) for i in index), strict=True
        )]  # fmt: skip

        assert other.group(array, 2) == 1
        for one, two, three in zip(whole, backwards, singly, strict=True):
            assert one.tobytes() == np.ascontiguousarray(two).tobytes() == three.tobytes()


@given(st.floats(-3, 3), st.floats(-2e-4, 2e-4))
@settings(deadline=None, max_examples=60)
def test_tanh_of_a_sum(z, d):
    """The addition theorem gives tanh(z + d) to the last bits, on both sides of where it is used."""
    chain = Chain(
        [Affine("w"), Elementwise(lambda a: a), Affine("V"), Elementwise(np.tanh)], lambda z: z[..., 0], np.ones((1, 1))
    )
    prepared = chain.prepare({"w": np.array([z]), "V": np.array([[1.0, 0.5]])})
    found = prepared.changes("w", np.array([0]), np.array([[d]]))[0].item()

    assert found == pytest.approx(np.tanh(z + d) - np.tanh(z), rel=1e-10, abs=4e-16)


def test_the_whole_way():
    """A chain gives the verdicts of its fun, in fewer seconds, and says that it was used."""
    chain, x = CHAINS["three layers"]
    right = pardiff.gradient(chain, x).value
    wrong = {**right, "W2": right["W2"].T.reshape(right["W2"].shape)}
    for gradient, verdict in ((right, "PASS"), (wrong, "FAIL")):
        plain = pardiff.gradcheck(chain, gradient, x)
        fast = pardiff.gradcheck(chain, gradient, x, incremental=chain)

        assert fast.verdict.name == plain.verdict.name == verdict
        assert fast.counts == plain.counts
        assert "evaluated incrementally" in str(fast)
        assert "incrementally" not in str(plain)


def test_float32_parameters():
    """Parameters of float32 are moved by what they can hold, and the chain computes in float64."""
    chain, x = CHAINS["two layers"]
    x = {name: value.astype(np.float32) for name, value in x.items()}

    def fun(x):
        return chain({name: value.astype(np.float64) for name, value in x.items()})

    result = pardiff.gradcheck(fun, pardiff.gradient(fun, x).value, x, incremental=chain)

    assert result.passed
    assert "evaluated incrementally" in str(result)


def test_bits_do_not_depend_on_large_neighbours():
    """Whether tanh is taken by its addition theorem is decided for each coordinate by itself."""
    rng = np.random.default_rng(0)
    x = {"W1": 0.3 * rng.normal(size=(4, 20)), "W2": 0.3 * rng.normal(size=(20, 12)), "W3": rng.normal(size=(12, 3))}
    x["W2"][3] *= 40
    stages = [Affine("W1"), Elementwise(np.tanh), Affine("W2"), Elementwise(np.tanh), Affine("W3")]
    wide, narrow = (Chain(stages, SoftmaxCrossEntropy(CLASSES), X, memory=m).prepare(x) for m in (1 << 21, 1))
    index, moves = np.arange(80), np.full((80, 2), 1e-5)
    singly = np.concatenate([narrow.changes("W1", index[i : i + 1], moves[i : i + 1])[0] for i in index])

    assert wide.changes("W1", index, moves)[0].tobytes() == singly.tobytes()


BAD = {
    "no list": (lambda: Chain(Affine("w"), np.sum, X), "expected a list of stages"),
    "a class": (lambda: Chain([Elementwise], np.sum, X), "the class Elementwise"),
    "an array for a name": (lambda: Affine(X), "expected the name of an array"),
    "penalties": (lambda: Chain([], np.sum, X, penalties=["w"]), "expected a mapping of names to functions"),
    "inputs of text": (lambda: Chain([], np.sum, "abc"), "no array of numbers"),
    "no samples": (lambda: Chain([], np.sum, X[:0]), "no samples"),
    "targets": (lambda: SquaredError(np.zeros((2, 2, 2))), "expected (samples, features)"),
    "targets of text": (lambda: SquaredError("abc"), "no array of numbers"),
    "one-hot": (lambda: SoftmaxCrossEntropy(np.eye(3)), "argmax(axis=1)"),
    "no loss": (lambda: Chain([], None, X), "loss is a NoneType"),
    "inputs": (lambda: Chain([], np.sum, X[0]), "expected (samples, features)"),
    "twice": (lambda: Chain([Affine("w"), Affine("w")], np.sum, X), "used by two stages"),
    "a stage": (lambda: Chain([3], np.sum, X), "a stage is a int"),
    "classes": (lambda: SoftmaxCrossEntropy([0.5, 1.0]), "one integer per sample"),
    "reduction": (lambda: SquaredError([1.0], reduction="median"), "expected 'sum' or 'mean'"),
    "memory": (lambda: Chain([], np.sum, X, memory=0), "positive number of bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_chain(name):
    """One sentence says what is wrong."""
    make, said = BAD[name]
    with pytest.raises(InputError) as raised:
        make()

    assert said in str(raised.value)


MISFITS = {
    "a penalty": ([Affine("w")], {"w": np.ones(4)}, "penalties has an array 'W'"),
    "a name": ([Affine("v")], {"w": np.ones(4)}, "'v'"),
    "a shape": ([Affine("w")], {"w": np.ones(5)}, "takes 5 features, but its inputs have 4"),
    "an idle array": ([Affine("w")], {"w": np.ones(4), "idle": np.ones(2)}, "'idle' of x0 is used by no stage"),
    "a bias": ([Affine("w", "b")], {"w": np.ones(4), "b": np.ones(2)}, "expected (1,)"),
    "a stage": ([lambda a: a[:2], Affine("w")], {"w": np.ones(4)}, "leading axes"),
    "elementwise": ([Elementwise(lambda a: a[:2]), Affine("w")], {"w": np.ones(4)}, "changes the shape"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_chain_that_does_not_fit_steps_aside(name):
    """fun is called instead, and the report says why."""
    stages, x, said = MISFITS[name]
    result = pardiff.gradcheck(
        lambda x: float(np.sum(x["w"] ** 2)), lambda x: {k: 2 * v if k == "w" else 0 * v for k, v in x.items()}, x,
        incremental=Chain(
            stages, SquaredError(np.ones(SAMPLES)), X, penalties={"W": np.square} if name == "a penalty" else None
        ),
    )  # fmt: skip

    assert result.passed
    (finding,) = (f for f in result.findings if f.kind != "test_point")
    assert finding.kind == "fast_path"
    assert said in finding.message
