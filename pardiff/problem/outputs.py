"""What fun returns where it is not one number, and the cotangents by which its derivative is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.problem.parsing import named_leaves, template_of
from pardiff.problem.space import FloatArray, Space, Structure, space_of

ROOM = 6
"""Binary orders between a cotangent and the ends of its dtype's range."""
OUTPUT = "y"
"""Name of the only output where fun returns an array."""


def parse_outputs(value: Structure) -> tuple[Space, list[FloatArray]]:
    """Take fun's value apart: the space of its outputs, and their numbers.

    Raises
    ------
    InputError
        If it is no array, or no structure of arrays, of finite real numbers.
    """
    if value is None or isinstance(value, str | bytes):
        raise InputError(f"fun: got {type(value).__name__} {value!r} at x0; expected an array, or a mapping of arrays")
    found = named_leaves(value, OUTPUT, "fun's value")
    arrays = [_parse_output(name, item) for name, item in found]
    if not sum(array.size for array in arrays):
        raise InputError("fun: its value at x0 has no elements; expected at least one")
    items = [(name, array.shape, array.dtype) for (name, _), array in zip(found, arrays, strict=True)]
    space = space_of(items, template_of(value, "fun's value"))
    return space, [np.array(array, dtype=np.float64).reshape(-1) for array in arrays]  # fun may use its own again


def _parse_output(name: str, item: Any) -> NDArray[Any]:
    try:
        array = np.asarray(item)
    except Exception as error:  # ragged lists, objects of the user's
        raise InputError(f"fun: output {name!r} at x0 is not an array ({error})") from None
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise InputError(f"fun: output {name!r} at x0 has dtype {array.dtype}; expected real numbers")
    if array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"fun: output {name!r} at x0 is not finite; expected finite values: move x0 into its domain")
    return array


@dataclass(frozen=True)
class Cotangents:
    """Seeded Gaussian cotangents of each output, as a recipe from which every process makes the same numbers.

    The cotangents of one output are zero on all others, so that a wrong derivative is seen at the output that it
    belongs to. Each output's are divided by its root mean square at x0, so that outputs in different units count alike.
    """

    outputs: Space
    probes: int
    """r, cotangents of each output."""
    seed: int
    scales: tuple[float, ...]
    """What the numbers of each output are divided by."""

    @classmethod
    def drawn(cls, outputs: Space, values: list[FloatArray], probes: int, seed: int) -> Cotangents:
        """Cotangents for some outputs at x0."""
        return cls(
            outputs,
            probes,
            seed,
            tuple(_scale(array, leaf.dtype) for array, leaf in zip(values, outputs.leaves, strict=True)),
        )

    @property
    def count(self) -> int:
        """q, the number of products: r for each output."""
        return self.probes * len(self.outputs.leaves)

    @cached_property
    def weights(self) -> list[FloatArray]:
        """The numbers, an array of shape (r, size) for each output, as its dtype holds them."""
        rng = np.random.default_rng([self.seed, self.probes])
        found = []
        for leaf, scale in zip(self.outputs.leaves, self.scales, strict=True):
            drawn = rng.standard_normal((self.probes, leaf.size)) / scale
            found.append(drawn.astype(leaf.dtype).astype(np.float64))
        return found

    def structure(self, output: int, *probes: int) -> Structure:
        """One cotangent, or the sum of several, in the structure, shapes and dtypes of fun's value, as new arrays."""
        arrays = [np.zeros(leaf.shape, leaf.dtype) for leaf in self.outputs.leaves]
        leaf = self.outputs.leaves[output]
        arrays[output] = self.weights[output][list(probes)].sum(axis=0).astype(leaf.dtype).reshape(leaf.shape)
        return self.outputs.structure(arrays)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "outputs": self.outputs.to_json(), "probes": self.probes, "seed": self.seed, "scales": list(self.scales),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cotangents:
        """The inverse of :meth:`to_json`."""
        return cls(Space.from_json(data["outputs"]), int(data["probes"]), int(data["seed"]), tuple(data["scales"]))


def _scale(values: FloatArray, dtype: np.dtype[Any]) -> float:
    """A power of two near the root mean square: last bits of values must not change what is drawn.

    It leaves room for the numbers that are divided by it to be normal ones of the output's dtype.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not largest:
        return 1.0
    rms = largest * float(np.sqrt(np.mean((values / largest) ** 2)))
    if not 2.0**-1000 < rms < 2.0**1000:
        return 1.0
    least, most = (int(np.frexp(float(bound))[1]) for bound in (np.finfo(dtype).tiny, np.finfo(dtype).max))
    return float(2.0 ** np.clip(np.frexp(rms)[1], ROOM - most, -least - ROOM))
