"""Arrays made many at a time are those that Zarr makes one by one."""

import json
import math

import numpy as np
import pytest
import zarr

from pardiff.storage.zarr_arrays import Node, create

NODES = {
    "float": (Node("float64", math.nan, (3, 4), (2, 4), ("a", "b"), {"long_name": "x"}), {"fill_value": math.nan}),
    "short": (Node("<f4", 0, (5,), (5,), ("a",)), {"fill_value": 0}),
    "code": (Node("int8", 0, (3,), (1,), ("a",)), {"fill_value": 0}),
    "raw": (
        Node("<f8", math.nan, (2, 3), (2, 1), ("a", "b"), compressed=False),
        {"compressors": None, "fill_value": math.nan},
    ),
    "text": (Node("str", "", (3,), (1,), ("a",), compressed=False), {"compressors": None, "fill_value": ""}),
    "nothing": (Node("float64", math.nan, (), (), ()), {"fill_value": math.nan}),
}


@pytest.mark.parametrize("name", NODES)
def test_the_same_array(name, tmp_path):
    """Metadata, and what comes back, are the same; what was there before is gone."""
    node, options = NODES[name]
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    for _ in range(2):
        made = create(group, {f"deep/{name}": node})[f"deep/{name}"]
        plain = group.create_array(
            f"plain/{name}", shape=node.shape, chunks=node.chunks, dtype=str if node.dtype == "str" else node.dtype,
            dimension_names=node.names, attributes=dict(node.attributes), overwrite=True, **options,
        )  # fmt: skip

        texts = [(tmp_path / "a.zarr" / where / name / "zarr.json").read_text() for where in ("deep", "plain")]
        assert json.loads(texts[0]) == json.loads(texts[1])
        assert made.metadata.codecs == plain.metadata.codecs
        values = np.full(node.shape, "é" if node.dtype == "str" else 1, dtype=made.dtype)
        assert (made[...] != values).all()
        made[...] = values
        assert (zarr.open_array(tmp_path / "a.zarr" / "deep" / name)[...] == values).all()
