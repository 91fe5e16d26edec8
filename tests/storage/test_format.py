import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardiff.storage.format import BlockRecord, chunk_shape, chunks


@given(st.lists(st.integers(0, 7), max_size=4).map(tuple), st.integers(1, 40))
def test_chunks_are_contiguous(shape, most):
    """Every chunk of an array is one part of its flattened self, and they cover it once."""
    flat = np.arange(int(np.prod(shape)))
    array = flat.reshape(shape)
    found = [(array[selection].reshape(-1), start, stop) for selection, start, stop in chunks(shape, most)]

    assert all(np.array_equal(values, np.arange(start, stop)) for values, start, stop in found)
    assert sum(stop - start for _, start, stop in found) == flat.size
    assert all(stop - start <= most for _, start, stop in found)
    assert all(size >= 1 for size in chunk_shape(shape, most))


@given(st.floats(), st.dictionaries(st.integers(0, 99).map(str), st.text()))
def test_records_survive_json(base, errors):
    """A block record comes back as it was written, to the last bit; a base that is not finite is nan."""
    record = BlockRecord(1, 2, 3, 4, "done", 5, 6, 0.1, 1, "host:1", base, errors=errors)
    again = BlockRecord.from_json(record.to_json())

    if math.isfinite(base):
        assert again == record
    else:
        assert math.isnan(again.base)


@pytest.mark.parametrize(
    "wrong",
    [
        {"checksum": -1}, {"checksum": 2**32}, {"nfev": 1e99}, {"nfev": 2**70}, {"stop": "4"}, {"seconds": "long"},
        {"seconds": [1]}, {"errors": 5}, {"errors": {"x": "y"}}, {"attempt": None}, {"other": 1},
        {"state": "failed"}, {"seconds": math.nan}, {"seconds": -1.0}, {"ended": math.inf}, {"worker": "\ud800"},
    ],
)  # fmt: skip
def test_what_is_no_record(wrong):
    """A file that was damaged so that it still is JSON."""
    text = BlockRecord(1, 2, 3, 4, "done", 5, 6, 0.1, 1, "host:1", 1.5).to_json()
    with pytest.raises((ValueError, TypeError, AttributeError)):
        BlockRecord.from_json(json.dumps(json.loads(text) | wrong))
