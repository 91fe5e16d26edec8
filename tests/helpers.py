"""What several tests need."""

import re

import zarr

BY_NAME = (
    "x0", "numerical", "uncertainty", "analytical", "residual", "verdict", "step", "nfev", "state", "scheme",
)  # fmt: skip


def complaints(err):
    """Lines of stderr that are no progress."""
    return [line for line in err.splitlines() if not re.match(r"[\w, ]+: [\d,]+ of [\d,]+ parameters", line)]


def bits(folder):
    """Bytes of every array by name of an audit."""
    group = zarr.open_group(folder / "audit.zarr", mode="r")
    return {
        path: array[...].tobytes()
        for path, array in group.members(max_depth=None)
        if isinstance(array, zarr.Array) and path.split("/")[0] in BY_NAME
    }
