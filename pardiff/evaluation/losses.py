"""Losses as a final stage over samples, and what one changed column of their argument does to them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.evaluation.stages import rows_of
from pardiff.problem.parameters import FloatArray, IntArray


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

    def column(self, prepared: Any, j: IntArray, delta: FloatArray) -> FloatArray:
        """Change of the sum of the terms, shape (k, m), with feature ``j[i]`` alone moved by ``delta[i, c]``.

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
        self.targets = np.asarray(targets, dtype=np.float64)
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

    def prepare(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Twice the residuals, (features, samples), and the terms."""
        residual = z - (self.targets.T if self.targets.ndim == 2 else self.targets[None])
        return 2.0 * residual, self.weight * np.sum(residual**2, axis=0)

    def line(self, prepared: FloatArray, j: IntArray, rows: FloatArray, displacement: FloatArray) -> FloatArray:
        """Change with ``delta[i, c] = displacement[i, c] rows[i]``: ``h (2 r a + h a a)``, in two products for all c.

        A loss need not have this method.
        """
        slope = np.vecdot(rows, rows_of(prepared, j))[:, None]
        square = np.vecdot(rows, rows)[:, None]
        return np.asarray(self.weight * (displacement * (slope + displacement * square)))

    def column(self, prepared: FloatArray, j: IntArray, delta: FloatArray) -> FloatArray:
        """``(r + d)**2 - r**2 = d (2 r + d)``, summed."""
        return np.asarray(self.weight * np.vecdot(delta, delta + rows_of(prepared, j)[:, None]))


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
                f"expected one integer per sample"
            )
        self.weight = _weight(reduction, len(self.classes))
        self._samples = np.arange(len(self.classes))

    def __call__(self, z: FloatArray) -> FloatArray:
        """Terms, one per sample."""
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

    def column(self, prepared: tuple[FloatArray, ...], j: IntArray, delta: FloatArray) -> FloatArray:
        """``log(others + p exp(d))``, less d where the class is the true one."""
        p, others, true = (rows_of(part, j)[:, None] for part in prepared)
        change = np.vecdot(delta, true)
        np.exp(delta, out=delta)
        delta *= p
        delta += others
        np.log(delta, out=delta)
        return np.asarray(self.weight * (delta.sum(axis=-1) - change))


def _weight(reduction: str, samples: int) -> float:
    if reduction not in ("sum", "mean"):
        raise InputError(f"reduction: got {reduction!r}; expected 'sum' or 'mean'")
    return 1.0 if reduction == "sum" else 1.0 / samples
