"""Our evaluators pass the suite that is shipped for everybody's."""

import numpy as np
import pytest

import pardiff
from pardiff.evaluation.batched import Batched
from pardiff.evaluation.incremental import IncrementalEvaluator
from pardiff.evaluation.observe import Products, Terms
from pardiff.evaluation.pointwise import Pointwise
from pardiff.problem.outputs import Cotangents, parse_outputs
from pardiff.problem.parsing import parse_x0
from pardiff.testing.evaluator_suite import EvaluatorSuite

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 6)), RNG.normal(size=20)
X0 = {"w": RNG.normal(size=6), "b": np.array(0.25)}


def terms(x):
    return (Y - X @ x["w"] - x["b"]) ** 2


def loss(x):
    return float(np.sum(terms(x)))


def outputs(x):
    return {"residual": Y - X @ x["w"], "size": np.sum(x["w"] ** 2) + x["b"]}


def losses(batch):
    return np.array([np.sum((Y - X @ w - b) ** 2) for w, b in zip(batch["w"], batch["b"], strict=True)])


def pointwise(fun, observe=None):
    return Pointwise(fun, (), *parse_x0(X0), observe)


def started(plain):
    plain.at_start()
    return plain


def products():
    return Products(Cotangents.drawn(*parse_outputs(outputs(X0)), probes=2, seed=0))


class TestLoss(EvaluatorSuite):
    @pytest.fixture
    def plain(self):
        return pointwise(loss)

    @pytest.fixture
    def evaluator(self):
        return pointwise(loss)


class TestTerms(EvaluatorSuite):
    @pytest.fixture
    def plain(self):
        return pointwise(terms, Terms())

    @pytest.fixture
    def evaluator(self):
        return pointwise(terms, Terms())


class TestProducts(EvaluatorSuite):
    @pytest.fixture
    def plain(self):
        return pointwise(outputs, products())

    @pytest.fixture
    def evaluator(self):
        return pointwise(outputs, products())


class TestBatched(EvaluatorSuite):
    @pytest.fixture
    def plain(self):
        return pointwise(loss)

    @pytest.fixture
    def evaluator(self):
        return Batched(started(pointwise(loss)), losses, 4)


class TestIncremental(EvaluatorSuite):
    @pytest.fixture
    def plain(self):
        return pointwise(loss)

    @pytest.fixture
    def evaluator(self):
        chain = pardiff.Chain([pardiff.Affine("w", "b")], pardiff.SquaredError(Y), X)
        return IncrementalEvaluator(started(pointwise(loss)), chain)


def test_it_finds_an_evaluator_that_is_wrong():
    """One whose values depend on what else is asked for is found."""

    class Sloppy(Pointwise):
        def along(self, lines, t):
            found = super().along(lines, t)
            return found._replace(value=found.value + 1e-15 * len(lines) * np.abs(found.value))

    evaluator = Sloppy(loss, (), *parse_x0(X0))
    with pytest.raises(AssertionError):
        EvaluatorSuite().test_bits_do_not_depend_on_company(evaluator, np.arange(7))
