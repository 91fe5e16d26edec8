"""Records of blocks, kept as columns."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardiff.planning.waves import Wave
from pardiff.storage.format import BlockRecord
from pardiff.storage.records import Records

WAVE = Wave(2, 23, 5)


def record_of(number, worker="w", **fields):
    start, stop = WAVE.bounds(number)
    record = BlockRecord(WAVE.number, number, start, stop, "done", 4_000_000_000, 7, 0.5, 1, worker, 1.25)
    return replace(record, **fields)


steps = st.lists(
    st.tuples(
        st.booleans(),
        st.builds(
            record_of,
            st.integers(0, WAVE.blocks - 1),
            st.sampled_from(["a", "b", "tls://host:1"]),
            nfev=st.integers(0, 2**40),
            seconds=st.floats(0, 1e6),
            base=st.floats(allow_nan=False),
            errors=st.dictionaries(st.integers(0, 99).map(str), st.text(), max_size=2),
        ),
    )
)


@given(steps)
def test_they_are_those_of_a_dictionary(steps):
    """Whatever is put in and taken out, in ascending order."""
    records, expected = Records(WAVE), {}
    for keep, record in steps:
        if keep:
            records[record.block] = expected[record.block] = record
        elif record.block in expected:
            del records[record.block], expected[record.block]

    assert dict(records) == expected
    assert list(records) == sorted(expected)
    assert len(records) == len(expected)
    assert records.coordinates == sum(r.stop - r.start for r in expected.values())
    assert records.workers == {r.worker for r in expected.values()}
    assert records.errors == {block: r.errors for block, r in expected.items() if r.errors}
    ordered = [expected[block] for block in sorted(expected)]
    for name in ("nfev", "seconds", "base", "checksum"):
        assert records.column(name).tolist() == [getattr(r, name) for r in ordered]
    assert list(zip(records.starts, records.stops, strict=True)) == [(r.start, r.stop) for r in ordered]
    assert [records.names[number] for number in records.column("worker")] == [r.worker for r in ordered]


@pytest.mark.parametrize("wrong", [{"wave": 1}, {"block": 2}, {"stop": 9}, {"start": 6}])
def test_a_record_of_another_block(wrong):
    records = Records(WAVE)
    with pytest.raises(ValueError, match="no record of block 1"):
        records[1] = record_of(1, **wrong)
    assert len(records) == 0


def test_blocks_that_are_not_done():
    records = Records(WAVE)
    for block in (0, -1, 5, 99, "1"):
        assert block not in records
        with pytest.raises(KeyError):
            records[block]
        with pytest.raises(KeyError):
            del records[block]


def test_a_hundred_bytes_a_block():
    """A client has as many as a hundred thousand."""
    wave = Wave(1, 200_000, 10)
    tracemalloc.start()
    try:
        records = Records(wave)
        for block in range(wave.blocks):
            start, stop = wave.bounds(block)
            records[block] = BlockRecord(1, block, start, stop, "done", block, 20, 0.1 + block, 1, "w", 1.0)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 100 * wave.blocks
    assert np.array_equal(records.column("checksum"), np.arange(wave.blocks))
