"""What a model is, and the little mathematics that many share."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Model:
    """A scalar loss with its hand-derived gradient at a point."""

    name: str
    forward: Callable[[Any], SimpleNamespace]
    """The intermediate values of a forward pass, with ``loss`` and the data among them."""
    backward: Callable[[Any, SimpleNamespace], Any]
    """The gradient; adds the adjoints that it finds on the way to the intermediate values."""
    x0: Any

    def fun(self, x):
        """The loss."""
        return float(self.forward(x).loss)

    def grad(self, x):
        """The gradient, in fresh arrays."""
        return self.backward(x, self.forward(x))


def tape(**values):
    """The intermediate values of a pass, by name."""
    return SimpleNamespace(**values)


def softmax(scores):
    """Along the last axis."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def softplus(z):
    """A smooth relu."""
    return np.logaddexp(0, z)


def sigmoid(z):
    """The derivative of `softplus`."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def cross_entropy(scores, classes):
    """Sum over the rows of minus the logarithm of the probability of the right class."""
    top = scores.max(axis=-1)
    rest = np.log(np.exp(scores - top[..., None]).sum(axis=-1))
    return np.sum(top + rest - np.take_along_axis(scores, classes[..., None], -1)[..., 0])


def one_hot(classes, count):
    """Rows of the identity."""
    return np.eye(count)[classes]
