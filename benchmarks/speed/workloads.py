"""Functions with hand-written gradients, and what pardiff may know of their structure.

Every function is an object that builds its data where it is first called, once in each process, so that none of it
travels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

import pardiff


def once(build):
    """A property that is built once in each process, for all equal functions."""
    return property(cache(build))


class Function:
    """A function of parameters with a gradient."""

    def __call__(self, x):
        """The value."""
        raise NotImplementedError

    def gradient(self, x):
        """The gradient, by hand."""
        raise NotImplementedError


@dataclass(frozen=True)
class LeastSquares(Function):
    """``sum((y - X w)**2)``."""

    rows: int
    columns: int

    @once
    def data(self):
        """X and y."""
        rng = np.random.default_rng(0)
        return rng.normal(size=(self.rows, self.columns)), rng.normal(size=self.rows)

    @property
    def x0(self):
        """The point."""
        return 0.01 * np.random.default_rng(1).normal(size=self.columns)

    def __call__(self, w):
        """The loss."""
        X, y = self.data
        r = y - X @ w
        return float(r @ r)

    def gradient(self, w):
        """-2 X'(y - X w)."""
        X, y = self.data
        return -2.0 * (X.T @ (y - X @ w))

    def batch(self, w):
        """Many points at once: one matrix product."""
        X, y = self.data
        r = y - w @ X.T
        return np.einsum("bs,bs->b", r, r)

    @once
    def chain(self):
        """One affine stage."""
        X, y = self.data
        return pardiff.Chain([pardiff.Affine("x")], pardiff.SquaredError(y), X)


@dataclass(frozen=True)
class Softmax(Function):
    """Softmax regression of scikit-learn's digits."""

    @once
    def data(self):
        """Images and classes."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.data / 16.0, digits.target

    @property
    def x0(self):
        """The point."""
        return {"W": 0.1 * np.random.default_rng(1).normal(size=(64, 10)), "b": np.zeros(10)}

    def __call__(self, x):
        """Cross entropy."""
        X, y = self.data
        z = X @ x["W"] + x["b"]
        return _cross_entropy(z, y)

    def gradient(self, x):
        """X'(p - onehot)."""
        X, y = self.data
        p = _softmax_residual(X @ x["W"] + x["b"], y)
        return {"W": X.T @ p, "b": p.sum(axis=0)}

    def batch(self, x):
        """Many points at once."""
        X, y = self.data
        return _cross_entropy(np.matmul(X, x["W"]) + x["b"][:, None, :], y)

    @once
    def chain(self):
        """One affine stage."""
        X, y = self.data
        return pardiff.Chain([pardiff.Affine("W", "b")], pardiff.SoftmaxCrossEntropy(y), X)


@dataclass(frozen=True)
class Perceptron(Function):
    """Layers with tanh between, and a cross entropy."""

    sizes: tuple[int, ...]
    samples: int

    @once
    def data(self):
        """Images and classes: digits where the inputs have 64 features, random numbers otherwise."""
        if self.sizes[0] == 64:
            X, y = Softmax().data
            return X[: self.samples], y[: self.samples]
        rng = np.random.default_rng(2)
        return rng.normal(size=(self.samples, self.sizes[0])), rng.integers(0, self.sizes[-1], self.samples)

    @property
    def x0(self):
        """The point."""
        rng = np.random.default_rng(1)
        x = {}
        for layer, (inputs, outputs) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), 1):
            x[f"W{layer}"] = rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
            x[f"b{layer}"] = 0.1 * rng.normal(size=outputs)
        return x

    def __call__(self, x):
        """Forward pass."""
        a, y = self.data
        last = len(self.sizes) - 1
        for layer in range(1, last):
            a = np.tanh(a @ x[f"W{layer}"] + x[f"b{layer}"])
        return _cross_entropy(a @ x[f"W{last}"] + x[f"b{last}"], y)

    def gradient(self, x):
        """Backpropagation."""
        X, y = self.data
        last = len(self.sizes) - 1
        a = [X]
        for layer in range(1, last):
            a.append(np.tanh(a[-1] @ x[f"W{layer}"] + x[f"b{layer}"]))
        d = _softmax_residual(a[-1] @ x[f"W{last}"] + x[f"b{last}"], y)
        g = {}
        for layer in range(last, 0, -1):
            g[f"W{layer}"], g[f"b{layer}"] = a[layer - 1].T @ d, d.sum(axis=0)
            d = (d @ x[f"W{layer}"].T) * (1 - a[layer - 1] ** 2)
        return {name: g[name] for name in x}

    def batch(self, x):
        """Many points at once."""
        a, y = self.data
        last = len(self.sizes) - 1
        for layer in range(1, last):
            a = np.tanh(np.matmul(a, x[f"W{layer}"]) + x[f"b{layer}"][:, None, :])
        return _cross_entropy(np.matmul(a, x[f"W{last}"]) + x[f"b{last}"][:, None, :], y)

    @once
    def chain(self):
        """Affine stages with tanh between."""
        X, y = self.data
        stages = []
        for layer in range(1, len(self.sizes)):
            stages += [pardiff.Affine(f"W{layer}", f"b{layer}"), pardiff.Elementwise(np.tanh)]
        return pardiff.Chain(stages[:-1], pardiff.SoftmaxCrossEntropy(y), X)


@dataclass(frozen=True)
class Heat(Function):
    """Misfit of a 1-D heat equation in its 200 diffusivities, by explicit steps; gradient by the discrete adjoint."""

    cells: int = 201
    steps: int = 2000

    @once
    def data(self):
        """State at the start, and what was observed at the end."""
        s = np.linspace(0, 1, self.cells)
        return np.sin(np.pi * s) + 0.5 * np.sin(3 * np.pi * s), np.exp(-20 * (s - 0.5) ** 2)

    @property
    def x0(self):
        """Diffusivities between the cells, times the time step, over the squared size of a cell."""
        return 0.2 + 0.1 * np.random.default_rng(1).uniform(size=self.cells - 1)

    def __call__(self, k):
        """March, and compare."""
        start, observed = self.data
        u = start.copy()
        for _ in range(self.steps):
            flux = k * (u[1:] - u[:-1])
            u[:-1] += flux
            u[1:] -= flux
        r = u - observed
        return float(r @ r)

    def gradient(self, k):
        """The adjoint, backwards through all states."""
        start, observed = self.data
        states = [start.copy()]
        for _ in range(self.steps):
            u = states[-1].copy()
            flux = k * (u[1:] - u[:-1])
            u[:-1] += flux
            u[1:] -= flux
            states.append(u)
        v, g = 2 * (states[-1] - observed), np.zeros_like(k)
        for u in reversed(states[:-1]):
            d = v[:-1] - v[1:]
            g += d * (u[1:] - u[:-1])
            v = v.copy()
            v[1:] += k * d
            v[:-1] -= k * d
        return g

    def batch(self, k):
        """Many points at once; the points are innermost, so that every step is made of long rows."""
        start, observed = self.data
        k = np.ascontiguousarray(k.T)
        u = np.repeat(start[:, None], k.shape[1], axis=1)
        flux = np.empty_like(k)
        for _ in range(self.steps):
            np.subtract(u[1:], u[:-1], out=flux)
            flux *= k
            u[:-1] += flux
            u[1:] -= flux
        u -= observed[:, None]
        return np.einsum("ib,ib->b", u, u)


@dataclass(frozen=True)
class Rosenbrock(Function):
    """The chained Rosenbrock function: a coordinate is in two terms."""

    n: int

    @property
    def x0(self):
        """The point."""
        return np.random.default_rng(1).uniform(-1.5, 1.5, self.n)

    def __call__(self, x):
        """The sum of the terms."""
        return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))

    def gradient(self, x):
        """By hand."""
        g = np.zeros_like(x)
        r = x[1:] - x[:-1] ** 2
        g[:-1] = -400.0 * x[:-1] * r - 2.0 * (1.0 - x[:-1])
        g[1:] += 200.0 * r
        return g

    def batch(self, x):
        """Many points at once."""
        return np.sum(100.0 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1.0 - x[:, :-1]) ** 2, axis=1)

    def prepare(self, x):
        """What evaluates changes; see `pardiff.Incremental`."""
        return RosenbrockChanges(x)


class RosenbrockChanges:
    """Changes of the chained Rosenbrock function with one coordinate moved."""

    def __init__(self, x):
        # beyond the ends, neighbours that make both terms vanish: x of 0 before, and none after
        self.x = x
        self.before = np.concatenate([[np.nan], x[:-1]])
        self.after = np.concatenate([x[1:], [np.nan]])

    def changes(self, array, index, displacement):
        """The two terms that a coordinate is in, as differences of squares: (r + d)**2 - r**2 = d (2 r + d)."""
        x = self.x[index]
        ahead = self.after[index] - x * x
        behind = x - self.before[index] ** 2
        here = x - 1.0
        changes, sizes = np.empty(displacement.shape, order="F"), np.empty(displacement.shape, order="F")
        for j in range(displacement.shape[1]):
            d = displacement[:, j]
            turn = -d * (2.0 * x + d)
            first = 100.0 * turn * (2.0 * ahead + turn) + d * (2.0 * here + d)
            second = 100.0 * d * (2.0 * behind + d)
            if index[-1] == len(self.x) - 1:
                first = np.where(index == len(self.x) - 1, 0.0, first)
            if index[0] == 0:
                second = np.where(index == 0, 0.0, second)
            changes[:, j] = first + second
            sizes[:, j] = np.abs(first) + np.abs(second)
        return changes, sizes


def _cross_entropy(z, y):
    top = z.max(axis=-1)
    total = np.log(np.exp(z - top[..., None]).sum(axis=-1)) + top
    return (total - z[..., np.arange(len(y)), y]).sum(axis=-1)


def _softmax_residual(z, y):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1.0
    return p


WORKLOADS = {
    "W1a": (LeastSquares(200, 1000), "least squares 200 x 1000"),
    "W1b": (LeastSquares(1000, 10000), "least squares 1000 x 10000"),
    "W2": (Softmax(), "softmax regression, digits"),
    "W3": (Perceptron((64, 128, 64, 10), 256), "MLP 64-128-64-10, 256 samples"),
    "W4": (Perceptron((784, 256, 128, 10), 64), "MLP 784-256-128-10, 64 samples"),
    "W5": (Heat(), "heat equation, 200 diffusivities"),
    "W6": (Rosenbrock(100_000), "chained Rosenbrock"),
}
"""Functions by their short names, and in words."""
