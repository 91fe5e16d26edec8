"""Problems with exact gradients: smooth and well scaled, and awkward in one way each.

Each is a function of a random generator, so that every seed is another instance.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """A function, its exact gradient, and a point."""

    fun: Callable[[Any], Any]
    grad: Callable[[Any], Any]
    x0: Any
    options: dict[str, Any] = field(default_factory=dict)
    """Options of `gradcheck`, such as bounds."""
    tolerance: float = 1e-6
    """rtol of the check."""
    biased: bool = False
    """Whether fun as it is computed has another gradient than the exact one, by less than the tolerance."""


@dataclass(frozen=True)
class Problem:
    """A named family of cases."""

    name: str
    kind: str
    """``smooth``, ``awkward`` or ``kink``."""
    make: Callable[[np.random.Generator], Case]
    analytic: bool
    """Whether fun takes complex arguments and is analytic."""

    def case(self, seed: int) -> Case:
        """The instance of a seed."""
        return self.make(np.random.default_rng([seed, zlib.crc32(self.name.encode())]))


PROBLEMS: dict[str, Problem] = {}


def _add(kind: str, *, analytic: bool = True) -> Callable[[Any], Any]:
    def register(make: Any) -> Any:
        PROBLEMS[make.__name__] = Problem(make.__name__, kind, make, analytic)
        return make

    return register


# smooth and well scaled


@_add("smooth")
def least_squares(rng: np.random.Generator) -> Case:
    X, y, w = rng.normal(size=(40, 10)), rng.normal(size=40), rng.normal(size=10)
    return Case(lambda w: np.sum((y - X @ w) ** 2), lambda w: -2 * X.T @ (y - X @ w), w)


@_add("smooth")
def rosenbrock(rng: np.random.Generator) -> Case:
    def grad(x):
        g = np.zeros_like(x)
        g[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
        g[1:] += 200 * (x[1:] - x[:-1] ** 2)
        return g

    def fun(x):
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    return Case(fun, grad, rng.uniform(-1.5, 1.5, 50))


@_add("smooth")
def logistic(rng: np.random.Generator) -> Case:
    X, w = rng.normal(size=(60, 12)), rng.normal(size=12)
    y = (rng.random(60) < 0.5).astype(float)

    def fun(w):
        z = X @ w
        return np.mean(np.log(1 + np.exp(z)) - y * z)

    return Case(fun, lambda w: X.T @ (1 / (1 + np.exp(-X @ w)) - y) / 60, w)


@_add("smooth")
def softmax(rng: np.random.Generator) -> Case:
    X, labels = rng.normal(size=(30, 6)), rng.integers(0, 4, 30)
    hot = np.eye(4)[labels]

    def fun(p):
        z = X @ p["W"] + p["b"]
        return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(30), labels])

    def grad(p):
        e = np.exp(X @ p["W"] + p["b"])
        d = (e / e.sum(axis=1, keepdims=True) - hot) / 30
        return {"W": X.T @ d, "b": d.sum(axis=0)}

    return Case(fun, grad, {"W": rng.normal(size=(6, 4)), "b": rng.normal(size=4)})


@_add("smooth")
def tanh_network(rng: np.random.Generator) -> Case:
    X, y = rng.normal(size=(20, 5)), rng.normal(size=20)

    def fun(p):
        return np.mean((np.tanh(X @ p["W"] + p["b"]) @ p["v"] - y) ** 2)

    def grad(p):
        a = np.tanh(X @ p["W"] + p["b"])
        e = 2 * (a @ p["v"] - y) / 20
        d = np.outer(e, p["v"]) * (1 - a**2)
        return {"W": X.T @ d, "b": d.sum(axis=0), "v": a.T @ e}

    return Case(fun, grad, {"W": rng.normal(size=(5, 6)), "b": rng.normal(size=6), "v": rng.normal(size=6)})


@_add("smooth")
def quadratic_form(rng: np.random.Generator) -> Case:
    A = rng.normal(size=(30, 30))
    return Case(lambda x: x @ A @ x, lambda x: (A + A.T) @ x, rng.normal(size=30))


@_add("smooth")
def poisson(rng: np.random.Generator) -> Case:
    X, b = rng.normal(size=(50, 8)) * 0.5, rng.normal(size=8)
    y = rng.poisson(2.0, 50).astype(float)
    return Case(lambda b: np.sum(np.exp(X @ b) - y * (X @ b)), lambda b: X.T @ (np.exp(X @ b) - y), b)


@_add("smooth")
def log_determinant(rng: np.random.Generator) -> Case:
    B = rng.normal(size=(8, 8))
    A = B @ B.T + 8 * np.eye(8)

    def fun(x):
        return np.log(np.linalg.det(A + np.diag(x)))

    return Case(fun, lambda x: np.diag(np.linalg.inv(A + np.diag(x))), rng.uniform(0.5, 2, 8))


@_add("smooth")
def heat_adjoint(rng: np.random.Generator) -> Case:
    n, steps, r = 24, 12, 0.2
    A = np.eye(n) * (1 - 2 * r) + r * (np.eye(n, k=1) + np.eye(n, k=-1))
    P = np.linalg.matrix_power(A, steps)
    target = rng.normal(size=n)

    def fun(u):
        for _ in range(steps):
            u = A @ u
        return np.sum((u - target) ** 2)

    return Case(fun, lambda u: 2 * P.T @ (P @ u - target), rng.normal(size=n))


@_add("smooth")
def log_sum_exp(rng: np.random.Generator) -> Case:
    def grad(x):
        e = np.exp(x)
        return e / e.sum()

    return Case(lambda x: np.log(np.sum(np.exp(x))), grad, rng.normal(size=20))


@_add("smooth")
def student_t(rng: np.random.Generator) -> Case:
    y, nu = rng.standard_t(3, size=20), 3.0
    return Case(
        lambda x: np.sum((nu + 1) / 2 * np.log(1 + (y - x) ** 2 / nu)),
        lambda x: (nu + 1) * (x - y) / (nu + (y - x) ** 2),
        rng.normal(size=20),
    )


# awkward, in one way each


@_add("awkward")
def ill_scaled(rng: np.random.Generator) -> Case:
    s = 10.0 ** np.arange(-8, 9)
    return Case(lambda x: np.sum(np.exp(-x / s)), lambda x: -np.exp(-x / s) / s, s * rng.uniform(0.5, 1.5, 17))


@_add("awkward")
def tiny_arguments(rng: np.random.Generator) -> Case:
    x = np.array([0.0, 1e-300, 1e-100, 1e-30, 1e-12, 1e-6, 1e-3]) * rng.choice([-1.0, 1.0], 7)
    a = rng.uniform(0.5, 2, 7)
    return Case(lambda x: np.sum(np.sin(a * x) + np.cos(x)), lambda x: a * np.cos(a * x) - np.sin(x), x)


@_add("awkward")
def steep_at_zero(rng: np.random.Generator) -> Case:
    x = rng.uniform(-2, 2, 5) * 1e-5
    return Case(lambda x: np.sum(np.tanh(x / 1e-5)), lambda x: 1e5 / np.cosh(x / 1e-5) ** 2, x)


@_add("awkward", analytic=False)
def additive_noise(rng: np.random.Generator) -> Case:
    def fun(x):
        noise = zlib.crc32(np.asarray(x, dtype=float).tobytes()) / 2.0**32 - 0.5
        return np.sum(np.sin(x)) + 1e-8 * noise

    return Case(fun, np.cos, rng.uniform(-1, 1, 10))


@_add("awkward", analytic=False)
def relu_network(rng: np.random.Generator) -> Case:
    X, y = rng.normal(size=(25, 6)), rng.normal(size=25)

    def fun(p):
        return np.mean((np.maximum(X @ p["W"] + p["b"], 0) @ p["v"] - y) ** 2)

    def grad(p):
        z = X @ p["W"] + p["b"]
        a = np.maximum(z, 0)
        e = 2 * (a @ p["v"] - y) / 25
        d = np.outer(e, p["v"]) * (z > 0)
        return {"W": X.T @ d, "b": d.sum(axis=0), "v": a.T @ e}

    return Case(fun, grad, {"W": rng.normal(size=(6, 7)), "b": rng.normal(size=7), "v": rng.normal(size=7)})


@_add("awkward")
def log_near_bound(rng: np.random.Generator) -> Case:
    x = 10.0 ** np.array([-8.0, -6, -4, -2, 0]) * rng.uniform(0.5, 1.5, 5)
    return Case(lambda x: np.sum(np.log(x)), lambda x: 1 / x, x, {"bounds": (0.0, np.inf)})


@_add("awkward")
def log_without_bound(rng: np.random.Generator) -> Case:
    def fun(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sum(np.log(x))

    return Case(fun, lambda x: 1 / x, 10.0 ** np.array([-8.0, -6, -4, -2, 0]) * rng.uniform(0.5, 1.5, 5))


@_add("awkward")
def fast_sine(rng: np.random.Generator) -> Case:
    return Case(lambda x: np.sum(np.sin(1e3 * x)), lambda x: 1e3 * np.cos(1e3 * x), rng.uniform(-2, 2, 6))


@_add("awkward", analytic=False)
def single_precision(rng: np.random.Generator) -> Case:
    def fun(x):
        return float(np.sum(np.sin(x.astype(np.float32)) * np.float32(2)))

    def grad(x):
        return 2 * np.cos(x)

    return Case(fun, grad, rng.uniform(-1, 1, 8), tolerance=1e-3)


@_add("awkward", analytic=False)
def float32_network(rng: np.random.Generator) -> Case:
    X, y = rng.normal(size=(16, 5)).astype(np.float32), rng.normal(size=16).astype(np.float32)
    x0 = {"W": rng.normal(size=(5, 6)).astype(np.float32), "v": rng.normal(size=6).astype(np.float32)}

    def fun(p):
        return np.mean((np.tanh(X @ p["W"]) @ p["v"] - y) ** 2)

    def grad(p):
        W, v = p["W"].astype(float), p["v"].astype(float)
        a = np.tanh(X @ W)
        e = 2 * (a @ v - y) / 16
        return {"W": X.T.astype(float) @ (np.outer(e, v) * (1 - a**2)), "v": a.T @ e}

    return Case(fun, grad, x0, tolerance=1e-3)


@_add("awkward", analytic=False)
def float32_parameters(rng: np.random.Generator) -> Case:
    x = rng.uniform(0.5, 2, 8).astype(np.float32)
    return Case(lambda x: np.sum(np.sin(x.astype(float))), lambda x: np.cos(x.astype(float)), x)


@_add("awkward", analytic=False)
def float16_parameters(rng: np.random.Generator) -> Case:
    x = rng.uniform(0.5, 2, 8).astype(np.float16)
    return Case(lambda x: np.sum(np.exp(x.astype(float))), lambda x: np.exp(x.astype(float)), x)


@_add("awkward")
def large_offset(rng: np.random.Generator) -> Case:
    return Case(lambda x: 1e6 + np.sum(np.sin(x)), np.cos, rng.uniform(-1, 1, 6))


@_add("awkward")
def runge(rng: np.random.Generator) -> Case:
    return Case(lambda x: np.sum(1 / (1 + 25 * x**2)), lambda x: -50 * x / (1 + 25 * x**2) ** 2, rng.uniform(-1, 1, 6))


@_add("awkward", analytic=False)
def adaptive_ode(rng: np.random.Generator) -> Case:
    """Logistic growth by an integrator with step control: rough on the scale of its tolerance."""

    def end(r):
        u, t, h = 0.1, 0.0, 0.1
        while t < 1.0 - 1e-14:
            h = min(h, 1.0 - t)
            k1 = r * u * (1 - u)
            v = u + h * k1 / 2
            k2 = r * v * (1 - v)
            v = u + 0.75 * h * k2
            k3 = r * v * (1 - v)
            new = u + h * (2 * k1 + 3 * k2 + 4 * k3) / 9
            k4 = r * new * (1 - new)
            error = abs(h * (-5 / 72 * k1 + k2 / 12 + k3 / 9 - k4 / 8)) / (1e-9 + 1e-6 * abs(new))
            if error <= 1.0:
                t, u = t + h, new
            h *= min(5.0, max(0.2, 0.9 * (error + 1e-12) ** (-1 / 3)))
        return u

    def grad(r):
        e = np.exp(r)
        return 0.09 * e / (0.9 + 0.1 * e) ** 2

    return Case(lambda r: sum(end(v) for v in r), grad, rng.uniform(1, 3, 3), tolerance=1e-4, biased=True)


@_add("awkward")
def at_a_minimum(rng: np.random.Generator) -> Case:
    a = rng.normal(size=4)
    return Case(lambda x: np.sum(np.cosh(x - a)), lambda x: np.sinh(x - a), a.copy())


@_add("awkward")
def mixed_magnitudes(rng: np.random.Generator) -> Case:
    c = 10.0 ** np.array([-6.0, -3, 0, 3, 6]) * rng.uniform(1, 2, 5)
    return Case(lambda x: np.sum(c * np.sin(x)), lambda x: c * np.cos(x), rng.uniform(-1, 1, 5))


@_add("awkward")
def variance_of_large(rng: np.random.Generator) -> Case:
    def fun(x):
        return np.mean((x - np.mean(x)) ** 2)

    def grad(x):
        exact = x - 1e5
        return 2 * (exact - np.mean(exact)) / len(x)

    return Case(fun, grad, 1e5 + rng.normal(size=12))


@_add("awkward")
def narrow_peak(rng: np.random.Generator) -> Case:
    x = 1 + rng.uniform(-2, 2, 5) * 1e-3

    def fun(x):
        return np.sum(np.exp(-1e6 * (x - 1) ** 2))

    return Case(fun, lambda x: -2e6 * (x - 1) * np.exp(-1e6 * (x - 1) ** 2), x)


@_add("awkward", analytic=False)
def root_at_bound(rng: np.random.Generator) -> Case:
    x = np.concatenate([[0.0], 10.0 ** rng.uniform(-6, 0, 4)])
    return Case(lambda x: np.sum(x**1.5 + x), lambda x: 1.5 * np.sqrt(x) + 1, x, {"bounds": (0.0, np.inf)})


@_add("awkward")
def lennard_jones(rng: np.random.Generator) -> Case:
    x = rng.uniform(0.85, 2.0, 6)
    return Case(lambda x: np.sum(4 * (x**-12 - x**-6)), lambda x: 4 * (-12 * x**-13 + 6 * x**-7), x)


@_add("awkward", analytic=False)
def stopped_iteration(rng: np.random.Generator) -> Case:
    """A root by bisection to 1e-11: fun is a staircase."""
    c = rng.uniform(1, 5, 4)

    def root(a):
        low, high = 0.0, 10.0
        while high - low > 1e-11:
            middle = (low + high) / 2
            low, high = (middle, high) if middle**3 + middle < a else (low, middle)
        return (low + high) / 2

    def grad(a):
        u = np.array([root(v) for v in a])
        return 1 / (3 * u**2 + 1)

    return Case(lambda a: sum(root(v) for v in a), grad, c)


@_add("awkward")
def saturated(rng: np.random.Generator) -> Case:
    """Sigmoids far out: derivatives from 1 down to e**-20 beside each other."""
    x = np.concatenate([rng.uniform(-20, -10, 3), rng.uniform(-2, 2, 3)])

    def grad(x):
        s = 1 / (1 + np.exp(-x))
        return s * (1 - s)

    return Case(lambda x: np.sum(1 / (1 + np.exp(-x))), grad, x)


@_add("awkward")
def huge_arguments(rng: np.random.Generator) -> Case:
    x = 10.0 ** rng.uniform(3, 12, 6)
    return Case(lambda x: np.sum(np.sqrt(1 + x)), lambda x: 0.5 / np.sqrt(1 + x), x)


@_add("awkward", analytic=False)
def near_kink(rng: np.random.Generator) -> Case:
    x = 10.0 ** np.array([-9.0, -7, -5, -3]) * rng.uniform(1, 3, 4) * rng.choice([-1.0, 1.0], 4)
    a = rng.uniform(0.5, 2, 4)
    return Case(lambda x: np.sum(a * np.abs(x) + x), lambda x: a * np.sign(x) + 1, x)


# at a kink: the derivative does not exist, and any number between the slopes may be claimed


@_add("kink", analytic=False)
def absolute_at_zero(rng: np.random.Generator) -> Case:
    x = np.array([0.0, 0.0, 1.0])
    a = rng.uniform(0.5, 2, 3)
    return Case(lambda x: np.sum(a * np.abs(x)), lambda x: a * np.sign(x), x)


@_add("kink", analytic=False)
def relu_at_zero(rng: np.random.Generator) -> Case:
    a = rng.uniform(0.5, 2, 4)
    x = np.array([0.0, 0.0, 0.7, -0.3])
    return Case(lambda x: np.sum(a * np.maximum(x, 0)) + np.sum(np.sin(x)), lambda x: a * (x > 0) + np.cos(x), x)


@_add("kink", analytic=False)
def tie_of_maximum(rng: np.random.Generator) -> Case:
    top = rng.uniform(1, 2)
    x = np.array([top, 0.3, top, -1.0])

    def grad(x):
        g = np.zeros_like(x)
        g[np.argmax(x)] = 1.0
        return g + 2 * x

    return Case(lambda x: np.max(x) + x @ x, grad, x)


@_add("kink", analytic=False)
def clipped(rng: np.random.Generator) -> Case:
    x = np.array([1.0, 0.0, 0.4, 1.7])
    a = rng.uniform(0.5, 2, 4)
    return Case(
        lambda x: np.sum(a * np.clip(x, 0, 1) ** 2) + np.sum(x),
        lambda x: 2 * a * np.clip(x, 0, 1) * ((x > 0) & (x < 1)) + 1,
        x,
    )
