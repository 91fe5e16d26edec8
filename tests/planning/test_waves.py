import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import pardiff
from pardiff.planning.cost import make_plan
from pardiff.planning.waves import MOST_BLOCKS, Wave, block_size
from pardiff.problem.options import Options


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_blocks_cover_the_wave_once(count, size):
    """Every coordinate is in exactly one block, and no block is longer than the others."""
    wave = Wave(1, count, size)
    blocks = [wave.coordinates(*wave.bounds(b)) for b in range(wave.blocks)]

    assert np.concatenate(blocks).tolist() == list(range(count))
    assert max(map(len, blocks)) <= size


@given(st.integers(1, 10**9), st.integers(1, 30), st.floats(1e-7, 1e4), st.integers(1, 2000))
def test_block_size(count, passes, seconds, workers):
    """A block has at least one coordinate, at most about two seconds of work, and there are not too many."""
    size = block_size(count, passes, seconds, workers)

    assert 1 <= size <= count
    assert -(-count // size) <= MOST_BLOCKS
    assert size * passes * seconds <= 2 + passes * seconds or -(-count // size) >= MOST_BLOCKS / 2


def test_each_worker_gets_several_blocks():
    """Where there is enough work, no worker idles for long at the end."""
    assert Wave(1, 4000, block_size(4000, 2, 1e-3, 2)).blocks >= 8


@given(st.integers(1, 10**6), st.floats(1e-7, 1.0), st.integers(1, 64), st.integers(1, 600))
def test_ends_are_balanced(count, seconds, workers, multiple):
    """Where there are several blocks, all workers get as many, but for what the last is shorter or batches round."""
    size = block_size(count, 2, seconds, workers, multiple)
    blocks = -(-count // size)

    assert size % multiple == 0 or size < multiple
    if multiple == 1 and 1 < blocks < count:
        rounds = -(-blocks // workers)
        assert rounds * workers * size >= count
        assert (rounds * workers - blocks) * size <= rounds * workers + size * workers


def test_the_first_results_come_soon():
    """A block of a big job takes about a second."""
    for seconds in (1e-5, 1e-3, 0.1):
        assert 2 * seconds * block_size(10**5, 2, seconds, 4) <= 1.0 + 2 * seconds


class Counted:
    """A function that counts its calls, and knows its argument."""

    def __init__(self, x):
        self.calls, self.x = 0, x

    def __call__(self, x):
        self.calls += 1
        assert np.shares_memory(x, self.x)
        return float(x[0])


def test_a_plan_is_a_glance():
    """Two calls of fun, with x0 itself and no copy of it."""
    x = np.ones(1000)
    fun = Counted(x)
    plan = pardiff.plan(pardiff.Problem(fun, lambda x: 1 / 0, x))

    assert fun.calls == 2
    assert (plan.passes, plan.strategy) == (2000, "pointwise")


def test_a_plan_knows_the_fast_path():
    """Its predicted time is that of the path that would be taken."""
    chain = pardiff.Chain([pardiff.Affine("x")], pardiff.SquaredError(np.ones(3)), np.ones((3, 2)))

    assert pardiff.plan(pardiff.Problem(chain, None, np.ones(2), incremental=chain)).strategy == "incremental"


def test_planning_a_huge_problem_is_cheap():
    """A plan for 1e8 parameters holds no array."""
    plan = make_plan("huge", 10**8, Options().resolved(1e-6), 1e-3, 1000)

    assert plan.passes == 2 * 10**8
    assert plan.blocks <= MOST_BLOCKS + 1
    assert plan.seconds == 200.0
