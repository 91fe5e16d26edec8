"""Names, dtypes and flags of what an audit holds; ``docs/store-format.md`` says the same in prose."""

from __future__ import annotations

import json
import math
import operator
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pardiff.numerics.estimates import STATES
from pardiff.numerics.stencils import SCHEMES

SCHEMA = 3
"""Version of the format."""

VERDICTS = ("missing", "pass", "fail", "inconclusive", "kink", "nonfinite", "error")
"""Verdicts of a coordinate by their code."""
MISSING, PASS, FAIL, INCONCLUSIVE, KINK, NONFINITE, ERROR = range(7)

CHUNK = 1 << 20
"""Elements of a chunk of an array by name: 8 MiB, large enough to read fast and small enough to hold."""


@dataclass(frozen=True)
class Quantity:
    """A kind of array by name: ``numerical/W1`` and the like."""

    dtype: str
    fill: float
    flags: tuple[str, ...] = ()
    """Meanings of the values 0, 1, ... as CF ``flag_meanings``."""
    description: str = ""

    def attributes(self) -> dict[str, Any]:
        """Attributes as the CF conventions name them."""
        attributes: dict[str, Any] = {"long_name": self.description}
        if self.flags:
            attributes |= {"flag_values": list(range(len(self.flags))), "flag_meanings": " ".join(self.flags)}
        return attributes


QUANTITIES: dict[str, Quantity] = {
    "numerical": Quantity("float64", math.nan, (), "numerical derivative of fun"),
    "uncertainty": Quantity("float64", math.nan, (), "half width of the error bar of the numerical derivative"),
    "analytical": Quantity("float64", math.nan, (), "analytical derivative, as the problem computes it"),
    "residual": Quantity("float64", math.nan, (), "analytical minus numerical derivative"),
    "verdict": Quantity("int8", MISSING, VERDICTS, "verdict on the analytical derivative"),
    "step": Quantity("float64", math.nan, (), "finite-difference step, in the units of the parameter"),
    "nfev": Quantity("int32", 0, (), "forward passes spent"),
    "state": Quantity("int8", 0, STATES, "what became of the numerical derivative"),
    "scheme": Quantity("int8", 0, SCHEMES, "side of the parameter on which fun was taken"),
    "margin": Quantity("float64", math.nan, (), "distance from the numerical derivative within which nothing fails"),
}


LIMITS = {"checksum": 1 << 32, "attempt": 1 << 31}
"""The largest of most whole numbers in a record; that of the others is 2^63."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """What is written of a block, last, after its numbers."""

    wave: int
    block: int
    start: int
    """First coordinate, counted within the wave."""
    stop: int
    state: str
    """``done``."""
    checksum: int
    """CRC-32 of the block's results, little-endian float64 of shape (quantities, coordinates)."""
    nfev: int
    """Forward passes spent on the block, checks included."""
    seconds: float
    """Wall time on the worker."""
    attempt: int
    """Number of the run that did it, counted from 1."""
    worker: str
    base: float
    """fun at x0 on that worker."""
    checks: int = 0
    """Values of a fast path that were compared with fun."""
    ended: float = 0.0
    """When it was finished, in seconds since 1970."""
    audit: str = ""
    """Identity of the audit that it was done for: a worker of a run that is gone may still write into the place of
    another."""
    errors: dict[str, str] = field(default_factory=dict)
    """What fun raised, by flat coordinate; at most `MOST_ERRORS` are kept."""

    def to_json(self) -> str:
        """One line of JSON; a non-finite base is null."""
        data = asdict(self)
        data["base"] = self.base if math.isfinite(self.base) else None
        return json.dumps(data, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> BlockRecord:
        """The inverse of :meth:`to_json`; a ValueError, TypeError or the like for a text that holds other things."""
        data = json.loads(text)
        data["base"] = math.nan if data["base"] is None else data["base"]
        for name in ("state", "worker"):
            data[name] = sys.intern(str(data[name]))  # the same in most of them
        for name in ("wave", "block", "start", "stop", "checksum", "nfev", "attempt", "checks"):
            if not 0 <= operator.index(data.get(name, 0)) < LIMITS.get(name, 1 << 63):
                raise ValueError(f"{name} is {data[name]}")
        for name in ("seconds", "base", "ended"):
            data[name] = float(data.get(name, 0.0))
        if data["state"] != "done" or not 0.0 <= data["seconds"] < math.inf or not 0.0 <= data["ended"] < math.inf:
            raise ValueError(f"no record of a block that is done: {text[:200]}")
        data["worker"].encode()  # text that can be written
        data["errors"] = {str(int(label)): str(reason) for label, reason in data.get("errors", {}).items()}
        return cls(**data)


MOST_ERRORS = 100
"""Messages kept of a block: enough to see what is wrong, bounded where everything is."""


def chunk_shape(shape: tuple[int, ...], most: int = CHUNK) -> tuple[int, ...]:
    """Chunk of an array by name: whole trailing axes, so that a chunk is one piece in C order.

    >>> chunk_shape((1000, 1000, 10)), chunk_shape((3, 4)), chunk_shape(())
    ((104, 1000, 10), (3, 4), ())
    """
    chunk = list(shape)
    for axis in range(len(shape)):
        inner = math.prod(shape[axis + 1 :])
        chunk[axis] = max(1, min(shape[axis], most // max(1, inner)))
        if inner <= most:
            break
    return tuple(max(1, size) for size in chunk)


def chunks(shape: tuple[int, ...], most: int = CHUNK) -> Iterator[tuple[tuple[slice, ...], int, int]]:
    """Chunks of an array in C order: their selection, and start and stop on the flattened array."""
    chunk = chunk_shape(shape, most)
    size = math.prod(shape)
    if not size:
        return
    counts = [-(-extent // length) for extent, length in zip(shape, chunk, strict=True)]
    start = 0
    for position in np.ndindex(*counts):
        selection = tuple(
            slice(p * length, min((p + 1) * length, extent))
            for p, length, extent in zip(position, chunk, shape, strict=True)
        )
        stop = start + math.prod(s.stop - s.start for s in selection)
        yield selection, start, stop
        start = stop
