import numpy as np

from pardiff import gradcheck
from pardiff.evaluation.baseline import measure_baseline
from pardiff.evaluation.evaluator import axes_of
from pardiff.evaluation.searches import by_search
from pardiff.problem.problem import Problem

X0 = np.concatenate([np.linspace(-2, 2, 23), [0.0, 1e-9, 0.3, 40.0]])


def rugged(x):
    """Smooth, kinked, coarse and fast by turns, so that searches take very different ways."""
    parts = [np.exp(x[::4]).sum(), np.abs(x[1::4]).sum(), np.round(x[2::4], 4).sum(), np.sin(300 * x[3::4]).sum()]
    return float(sum(parts))


def ready(fun, x0, **options):
    """What a search needs."""
    problem = Problem(fun, None, x0, **options)
    start, evaluator = measure_baseline(problem, problem.options)
    spec = start.spec(problem.options.resolved(start.rtol))
    return evaluator, spec, axes_of(evaluator, np.arange(start.space.size), start.bounds, start.typical)


def test_side_by_side_as_one_by_one():
    """Searches that are done side by side find what each finds by itself, bit for bit, with as many passes."""
    evaluator, spec, at = ready(rugged, X0, bounds=(-2.0, 40.0))
    together = by_search(evaluator, spec, at).to_matrix()
    alone = np.concatenate([by_search(evaluator, spec, at[i : i + 1]).to_matrix() for i in range(len(X0))], axis=1)

    np.testing.assert_array_equal(together, alone)
    assert len(np.unique(together[3])) > 3  # numbers of passes


def test_searches_of_a_batch_are_calls_of_it():
    """With batch_fun, searches are batches too, whose bits do not depend on blocks; fun is called for checks alone."""
    calls, found = [], []

    def fun(x):
        calls.append(1)
        return float(np.sum(np.cosh(x)))

    x0 = np.linspace(-2, 2, 60)
    for block_size in (60, 7, 1):
        calls.clear()
        result = gradcheck(
            fun,
            np.sinh(x0) * 1.001,
            x0,
            batch_fun=lambda x: np.cosh(x).sum(axis=1),
            batch_size=32,
            block_size=block_size,
        )
        checks = sum(
            record.checks for wave in result.ledger.waves for record in result.ledger.records(wave.number).values()
        )
        sweeps = sum(swept.nfev for swept in result.ledger.info.sweeps)
        assert result.counts["fail"] == 60
        confirmed = 2 * 60  # what would fail is compared with fun
        assert len(calls) - checks - sweeps - confirmed < 100 < result.ledger.lines(0, 60).nfev.sum() - 120
        found.append(result.ledger.lines(0, 60).numerical.tobytes())

    assert len(set(found)) == 1
