"""What a planted fault is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.diagnosis.model import Model

# fmt: off
KINDS = frozenset({
    "nonfinite", "detached", "zero", "sign", "factor", "clipped", "absolute", "swapped", "transposed", "flipped",
    "shifted", "reordered", "permuted", "symmetrised", "triangle", "precision", "slice", "mask", "slice_factor",
    "proportional", "chain", "affine", "low_rank", "normalisation", "reduction", "centred", "cumulative", "kink",
    "elements", "unstructured", "common_factor", "upstream",
})
"""What a finding may call a mistake."""
# fmt: on


@dataclass(frozen=True)
class Fault:
    """A model whose gradient has one mistake, and what a helpful finding would call it."""

    name: str
    model: Model
    grad: Callable[[Any], Any]
    array: str
    """The array to be named; empty where the mistake spans several."""
    kinds: frozenset[str]
    where: str | None = None
    """The part of the array that is wrong, in NumPy's notation; None where it is not judged."""


def planter(faults):
    """A decorator that makes a fault of a function and adds it to a list.

    The function gets the right gradient, the values of the pass and the point; it changes the gradient or returns
    another.
    """

    def plant(model, array, *kinds, where=None):
        if not kinds or not KINDS.issuperset(kinds):
            raise ValueError(f"unknown kinds {kinds}")

        def add(mistake):
            def grad(x):
                t = model.forward(x)
                right = model.backward(x, t)
                wrong = mistake(right, t, x)
                return right if wrong is None else wrong

            faults.append(Fault(mistake.__name__, model, grad, array, frozenset(kinds), where))
            return mistake

        return add

    return plant
