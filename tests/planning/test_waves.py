import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pardiff.planning.plan import make_plan
from pardiff.planning.waves import MOST_BLOCKS, Wave, block_size
from pardiff.problem.settings import Settings


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_blocks_cover_the_wave_once(count, size):
    """Every coordinate is in exactly one block, and no block is longer than the others."""
    wave = Wave(1, count, size)
    blocks = [wave.coordinates(b) for b in range(wave.blocks)]

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


def test_planning_a_huge_problem_is_cheap():
    """A plan for 1e8 parameters holds no array."""
    plan = make_plan("huge", 10**8, Settings().resolved(1e-6), 1e-3, 1000)

    assert plan.passes == 2 * 10**8
    assert plan.blocks <= MOST_BLOCKS + 1
    assert plan.seconds == 200.0
