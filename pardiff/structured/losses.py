"""Losses as a final stage over samples, and what one changed column of their argument does to them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.problem.space import FloatArray, IntArray
from pardiff.structured.stages import rows_of


class Loss(Protocol):
    """A loss that knows what a change of one feature does.

    Any function from activations of shape (..., samples, features) to terms of shape (..., samples) is a loss; one
    that has these methods too is cheaper after a last affine stage.
    """

    def __call__(self, z: FloatArray) -> FloatArray:
        """Terms, one per sample."""

    def prepare(self, z: FloatArray) -> tuple[Any, FloatArray]:
        """What column changes need of the activations at x0, of shape (features, samples); and the sizes that the
        rounding of each term is in proportion to, shape (samples,).
        """

    def column(self, prepared: Any, j: IntArray, delta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Change of the sum of the terms with feature ``j[i]`` alone moved by ``delta[i, c]``, and its size beyond that
        of the terms at x0; each of shape (k, m).

        j has shape (k,), delta (k, m, samples). delta may be overwritten.
        """


class SquaredError:
    """``sum((z - y)**2)``, over samples and features.

    Parameters
    ----------
    targets : array_like
        y, of shape (samples, features), or (samples,).
    reduction : {"sum", "mean"}
        ``mean`` divides by the number of samples.
    """

    def __init__(self, targets: Any, reduction: str = "sum") -> None:
        try:
            self.targets = np.array(targets, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"SquaredError: targets are no array of numbers: {error}") from None
        if self.targets.ndim not in (1, 2):
            raise InputError(
                f"SquaredError: targets have shape {self.targets.shape}; expected (samples, features) or (samples,)"
            )
        self.weight = _weight(reduction, len(self.targets))

    def __call__(self, z: FloatArray) -> FloatArray:
        """Terms, one per sample."""
        if z.shape[-self.targets.ndim :] != self.targets.shape:
            raise InputError(
                f"SquaredError: got activations of shape {z.shape} for targets of shape {self.targets.shape}; "
                f"expected the same shape"
            )
        terms = (z - self.targets) ** 2
        return self.weight * (terms.sum(axis=-1) if self.targets.ndim == 2 else terms)

    def prepare(self, z: FloatArray) -> tuple[tuple[FloatArray, FloatArray], FloatArray]:
        """Twice the residuals, and the sizes of what they are differences of, both (features, samples); the terms."""
        targets = self.targets.T if self.targets.ndim == 2 else self.targets[None]
        residual = z - targets
        return (2.0 * residual, 2.0 * (np.abs(z) + np.abs(targets))), self.weight * np.sum(residual**2, axis=0)

    def line(
        self, prepared: tuple[FloatArray, FloatArray], j: IntArray, rows: FloatArray, displacement: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Change with ``delta[i, c] = displacement[i, c] rows[i]``: ``h (2 r a + h a a)``, in two products for all c.

        A loss need not have this method.
        """
        residual, reach = (rows_of(part, j) for part in prepared)
        slope = np.vecdot(rows, residual)[:, None]
        square = np.vecdot(rows, rows)[:, None]
        change = self.weight * (displacement * (slope + displacement * square))
        rounded = rows * reach  # of residuals, which is the same at every displacement
        size = self.weight * np.abs(displacement) * np.sqrt(np.vecdot(rounded, rounded))[:, None]
        return change, np.abs(change) + size

    def column(
        self, prepared: tuple[FloatArray, FloatArray], j: IntArray, delta: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """``(r + d)**2 - r**2 = d (2 r + d)``, summed."""
        residual, reach = (rows_of(part, j)[:, None] for part in prepared)
        change = self.weight * np.vecdot(delta, delta + residual)
        delta *= reach
        return change, np.abs(change) + self.weight * np.sqrt(np.vecdot(delta, delta))


class SoftmaxCrossEntropy:
    """``log(sum(exp(z))) - z[class]``, one term per sample.

    Parameters
    ----------
    classes : array_like of int, shape (samples,)
    reduction : {"sum", "mean"}
        ``mean`` divides by the number of samples.
    """

    def __init__(self, classes: Any, reduction: str = "sum") -> None:
        self.classes: NDArray[np.int64] = np.asarray(classes)
        if self.classes.ndim != 1 or self.classes.dtype.kind not in "iu":
            raise InputError(
                f"SoftmaxCrossEntropy: got classes of shape {self.classes.shape} and dtype {self.classes.dtype}; "
                f"expected one integer per sample; of one-hot rows take argmax(axis=1)"
            )
        self.weight = _weight(reduction, len(self.classes))
        self._samples = np.arange(len(self.classes))

    def __call__(self, z: FloatArray) -> FloatArray:
        """Terms, one per sample."""
        if self.classes.size and not 0 <= self.classes.min() <= self.classes.max() < z.shape[-1]:
            raise InputError(
                f"SoftmaxCrossEntropy: classes go from {self.classes.min()} to {self.classes.max()}; expected 0 to "
                f"{z.shape[-1] - 1}, one for each feature of the last stage"
            )
        top = z.max(axis=-1)
        powers = z - top[..., None]
        total = np.exp(powers, out=powers).sum(axis=-1)
        np.log(total, out=total)
        total += top
        total -= z[..., self._samples, self.classes]
        total *= self.weight
        return np.asarray(total)

    def prepare(self, z: FloatArray) -> tuple[tuple[FloatArray, FloatArray, FloatArray], FloatArray]:
        """Probabilities, those of all other classes, and whether a class is the true one; each (features, samples)."""
        p = np.exp(z - z.max(axis=0))
        p /= p.sum(axis=0)
        others = np.stack([np.delete(p, j, axis=0).sum(axis=0) for j in range(len(p))])
        true = np.zeros_like(p)
        true[self.classes, self._samples] = 1.0
        # exp and log round as numbers near 1 do, however small a term is
        return (p, others, true), self.weight * np.maximum(1.0, np.abs(self(z.T)))

    def column(self, prepared: tuple[FloatArray, ...], j: IntArray, delta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``log(others + p exp(d))``, less d where the class is the true one."""
        p, others, true = (rows_of(part, j)[:, None] for part in prepared)
        change = np.vecdot(delta, true)
        np.exp(delta, out=delta)
        delta *= p
        delta += others
        np.log(delta, out=delta)
        change = self.weight * (delta.sum(axis=-1) - change)
        return change, np.abs(change)


def _weight(reduction: str, samples: int) -> float:
    if not isinstance(reduction, str) or reduction not in ("sum", "mean"):
        raise InputError(f"reduction: got {reduction!r}; expected 'sum' or 'mean'")
    if not samples:
        raise InputError("loss: there are no samples; expected at least one")
    return 1.0 if reduction == "sum" else 1.0 / samples
