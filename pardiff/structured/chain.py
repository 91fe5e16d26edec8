"""A forward pass as a chain of stages, of which a changed parameter reaches only a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pardiff.errors import InputError, closest
from pardiff.problem.parsing import named_leaves
from pardiff.problem.space import FloatArray, IntArray, Structure
from pardiff.structured.stages import Affine, Elementwise, Stage

MEMORY = 1 << 21
"""Bytes of the stacked activations of one group of passes: they stay in a core's share of the cache, and the
interpreter's work per group is small beside theirs."""


class Chain:
    """A loss as stages, for evaluation with one parameter changed at a time.

    What comes before the stage of a parameter is computed once. A changed weight of an affine stage changes one
    column of its output; elementwise stages keep it one column; the next affine stage is changed by a product of
    rank one. From there on the passes of many parameters are stacked, so that one matrix product serves them all.
    Everything is computed in float64, and differences are taken sample by sample before they are summed.

    Parameters
    ----------
    stages : sequence of Affine, Elementwise, Stage or callable
        From the inputs to the argument of the loss. A callable without ``names`` is a stage without parameters.
    loss : callable
        From activations of shape (..., samples, features) to terms of shape (..., samples), whose sum is the loss:
        `SquaredError`, `SoftmaxCrossEntropy`, or any function that keeps leading axes apart.
    inputs : array_like, shape (samples, features)
        What the first stage is applied to.
    penalties : mapping of str to callable, optional
        Elementwise terms of arrays by name, added to the loss: ``{"W1": lambda w: 0.5 * decay * w**2}``.
    memory : int
        Bytes of the stacked activations of a group of passes.

    Notes
    -----
    Called with parameters, a chain is the loss itself: ``Problem(chain, grad, x0, incremental=chain)``. Better is a
    plain function of your own as fun: then each block checks one pass per array against it.

    Examples
    --------
    >>> import numpy as np, pardiff
    >>> X, y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([1.0, 2.0, 3.0])
    >>> chain = Chain([Affine("w")], pardiff.SquaredError(y), X)
    >>> def loss(x): return float(np.sum((y - X @ x["w"]) ** 2))
    >>> def grad(x): return {"w": -2 * X.T @ (y - X @ x["w"])}
    >>> pardiff.gradcheck(loss, grad, {"w": np.array([0.1, 0.2])}, incremental=chain).passed
    True
    """

    def __init__(
        self,
        stages: Sequence[Any],
        loss: Callable[[FloatArray], FloatArray],
        inputs: Any,
        *,
        penalties: Mapping[str, Callable[[FloatArray], FloatArray]] | None = None,
        memory: int = MEMORY,
    ) -> None:
        """Check what can be checked without parameters."""
        if not isinstance(stages, Sequence) or isinstance(stages, str):
            raise InputError(f"Chain: stages are a {type(stages).__name__}; expected a list of stages")
        self.stages: tuple[Stage, ...] = tuple(stages)
        self.loss = loss
        try:
            self.inputs = np.array(inputs, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"Chain: inputs are no array of numbers: {error}") from None
        if penalties is not None and not isinstance(penalties, Mapping):
            raise InputError(
                f"Chain: penalties are a {type(penalties).__name__}; expected a mapping of names to functions"
            )
        self.penalties = dict(penalties or {})
        self.memory = memory
        if not callable(loss):
            raise InputError(f"Chain: loss is a {type(loss).__name__}; expected a function of activations")
        if self.inputs.ndim != 2:
            raise InputError(f"Chain: inputs have shape {self.inputs.shape}; expected (samples, features)")
        if not len(self.inputs):
            raise InputError("Chain: inputs have no samples; expected at least one")
        if not isinstance(memory, int | float) or not 0 < memory < float("inf"):
            raise InputError(f"Chain: memory is {memory!r}; expected a positive number of bytes")
        seen: set[str] = set()
        for stage in self.stages:
            if isinstance(stage, type) or not (callable(stage) or isinstance(stage, Affine)):
                what = f"the class {stage.__name__}" if isinstance(stage, type) else f"a {type(stage).__name__}"
                raise InputError(f"Chain: a stage is {what}; expected Affine(...), Elementwise(...) or a callable")
            for name in names_of(stage):
                if name in seen:
                    raise InputError(f"Chain: array {name!r} is used by two stages; expected one stage for each array")
                seen.add(name)

    def __call__(self, x: Structure) -> float:
        """The loss, by a plain forward pass."""
        return float(np.sum(self.terms(x))) + sum(
            float(np.sum(penalty(np.asarray(array, dtype=np.float64))))
            for name, array in named_leaves(x)
            if (penalty := self.penalties.get(name)) is not None
        )

    def terms(self, x: Structure) -> FloatArray:
        """Terms of the loss, one per sample, by a plain forward pass; shape (samples,)."""
        activations, flat = forward(self, dict(named_leaves(x)))
        return loss_terms(self, activations[-1], flat[-1])

    def prepare(self, x: Structure) -> Any:
        """What evaluates changes from x; see `Incremental`."""
        from pardiff.structured.propagation import Propagation

        return Propagation(self, dict(named_leaves(x)))


def names_of(stage: Any) -> tuple[str, ...]:
    """The arrays that a stage uses."""
    return tuple(getattr(stage, "names", ()))


def forward(chain: Chain, arrays: Mapping[str, Any]) -> tuple[list[FloatArray], list[bool]]:
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


def loss_terms(chain: Chain, z: FloatArray, flat: bool) -> FloatArray:
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
