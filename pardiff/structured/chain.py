"""A forward pass as a chain of stages, of which a changed parameter reaches only a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.problem.parsing import named_leaves
from pardiff.problem.space import FloatArray, Structure
from pardiff.structured.forward import forward, loss_terms, names_of
from pardiff.structured.propagation import Propagation
from pardiff.structured.stages import Affine, Stage

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
        memory: float = MEMORY,
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
        return Propagation(self, dict(named_leaves(x)))
