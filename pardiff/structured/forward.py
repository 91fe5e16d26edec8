"""A plain forward pass through the stages of a chain, with the features first and the samples innermost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from pardiff.errors import InputError, closest
from pardiff.problem.space import FloatArray, IntArray
from pardiff.structured.stages import Affine, Elementwise, Stage


class Stages(Protocol):
    """What of a `Chain` a pass needs."""

    stages: tuple[Stage, ...]
    loss: Callable[[FloatArray], FloatArray]
    inputs: FloatArray
    penalties: dict[str, Callable[[FloatArray], FloatArray]]
    memory: float


def names_of(stage: Any) -> tuple[str, ...]:
    """The arrays that a stage uses."""
    return tuple(getattr(stage, "names", ()))


def forward(chain: Stages, arrays: Mapping[str, Any]) -> tuple[list[FloatArray], list[bool]]:
    """Inputs of all stages and of the loss, each of shape (features, samples), and whether they have no axis of
    features for the user.
    """
    activations, flats = [np.ascontiguousarray(chain.inputs.T)], [False]
    for stage in chain.stages:
        missing = [name for name in names_of(stage) if name not in arrays]
        if missing:
            raise InputError(f"Chain: a stage uses an array {missing[0]!r}; {closest(missing[0], list(arrays))} of x0")
        a, flat = activations[-1], flats[-1]
        if isinstance(stage, Affine):
            weight = np.asarray(arrays[stage.weight])
            matrix = stage.matrix(weight)
            if len(matrix) != len(a):
                raise InputError(
                    f"Chain: array {stage.weight!r} has shape {weight.shape}, and takes {len(matrix)} features, but "
                    f"its inputs have {len(a)}; expected (inputs, outputs), or (outputs, inputs) with transposed=True"
                )
            z = matrix.T @ a
            if stage.bias is not None:
                z += bias_of(stage, arrays, len(z))[:, None]
            flat = weight.ndim == 1
        elif isinstance(stage, Elementwise):
            z = stage(a.copy())
            if z.shape != a.shape:
                raise InputError(f"Chain: an elementwise stage changes the shape {a.shape} to {z.shape}")
        else:
            z, flat = apply(stage, a, flat, [np.asarray(arrays[name]) for name in names_of(stage)])
        activations.append(np.ascontiguousarray(z, dtype=np.float64))
        flats.append(flat)
    return activations, flats


def bias_of(stage: Affine, arrays: Mapping[str, Any], outputs: int) -> FloatArray:
    """The bias of an affine stage as float64 of shape (outputs,)."""
    assert stage.bias is not None
    bias = np.asarray(arrays[stage.bias], dtype=np.float64)
    if bias.size != outputs or bias.ndim > 1:
        raise InputError(f"Chain: array {stage.bias!r} has shape {bias.shape}; expected ({outputs},)")
    return bias.reshape(-1)


def apply(stage: Any, a: FloatArray, flat: bool, arrays: list[Any]) -> tuple[FloatArray, bool]:
    """A stage of the user's, on activations with the features first; and whether its result has no such axis."""
    given = a[0] if flat else np.moveaxis(a, 0, -1)
    found = np.asarray(stage(given, *arrays), dtype=np.float64)
    if found.shape == a.shape[1:]:
        return found[None], True
    if found.shape[:-1] != a.shape[1:]:
        raise InputError(
            f"Chain: stage {type(stage).__name__} returned the shape {found.shape} for {given.shape}; expected samples "
            f"and leading axes as they were"
        )
    return np.moveaxis(found, -1, 0), False


def loss_terms(chain: Stages, z: FloatArray, flat: bool) -> FloatArray:
    """Terms of the loss from activations with the features first; shape (..., samples)."""
    terms = np.asarray(chain.loss(z[0] if flat else np.moveaxis(z, 0, -1)), dtype=np.float64)
    if terms.shape != z.shape[1:]:
        raise InputError(
            f"Chain: the loss returned the shape {terms.shape} for activations of samples {z.shape[1:]}; expected a "
            f"term for each of them: sum over axis=-1 alone, since leading axes are stacked passes"
        )
    return terms


def split(index: IntArray, stage: Affine, shape: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Inputs and outputs that flat elements of a weight connect."""
    if len(shape) == 1:
        return index, np.zeros_like(index)
    first, second = np.divmod(index, shape[1])
    return (second, first) if stage.transposed else (first, second)
