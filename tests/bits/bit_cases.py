"""Problems whose derivatives are compared bit for bit: products, sums and square roots alone.

BLAS, and the vector units behind ``sin`` and ``exp``, round otherwise on other processors; these operations do not.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import pardiff
from pardiff.testing import plant, rosenbrock, sphere


@dataclass(frozen=True)
class Rational:
    """``sum(a / (1 + x^2) + b x^3) + sum(c x_i x_(i+1)) + sum(sqrt(1 + d x^2))``, and variations of it."""

    coefficients: Any
    kink: int = -1
    """An element whose absolute value is added; none where negative."""
    quantum: float = 0.0
    """Values are rounded to multiples of it."""
    terms: bool = False
    single: bool = False

    def parts(self, x):
        a, b, c, d = self.coefficients
        parts = a / (1 + x * x) + b * x * x * x + np.sqrt(1 + d * x * x)
        parts[..., :-1] += c[:-1] * x[..., :-1] * x[..., 1:]
        if self.kink >= 0:
            parts[..., self.kink] += np.abs(x[..., self.kink])
        return parts

    def __call__(self, x):
        parts = self.parts(x)
        if self.terms:
            return parts
        value = parts.sum()
        if self.quantum:
            value = np.rint(value / self.quantum) * self.quantum
        return np.float32(value) if self.single else value if np.iscomplexobj(value) else float(value)

    def batch(self, x):
        return np.array([self.parts(row).sum() for row in x])

    def gradient(self, x):
        a, b, c, d = self.coefficients
        found = -2 * a * x / ((1 + x * x) * (1 + x * x)) + 3 * b * x * x + d * x / np.sqrt(1 + d * x * x)
        found[:-1] += c[:-1] * x[1:]
        found[1:] += c[:-1] * x[:-1]
        if self.kink >= 0:
            found[self.kink] += np.sign(x[self.kink])
        return found


@dataclass(frozen=True)
class Nested:
    """A rational function of two arrays in a nested mapping."""

    fun: Rational
    shape: tuple[int, int] = (2, 3)

    def join(self, x):
        return np.concatenate([x["layer"]["W"].reshape(-1), x["b"]])

    def __call__(self, x):
        return self.fun(self.join(x))

    def gradient(self, x):
        flat = self.fun.gradient(self.join(x).astype(float))
        size = self.shape[0] * self.shape[1]
        return {"layer": {"W": flat[:size].reshape(self.shape)}, "b": flat[size:]}


@dataclass(frozen=True)
class Separable:
    """``sum(a x^4)``, evaluated by the one term that changes."""

    a: Any
    x: Any = field(default=None)

    def __call__(self, x):
        return float((self.a * x * x * x * x).sum())

    def gradient(self, x):
        return 4 * self.a * x * x * x

    def prepare(self, x):
        return Separable(self.a, x.copy())

    def changes(self, array, index, displacement):
        before = self.x[index][:, None] * np.ones_like(displacement)
        after = before + displacement
        one, other = (self.a[index][:, None] * v * v * v * v for v in (before, after))
        return other - one, np.maximum(np.abs(one), np.abs(other))


def rational(seed, n=9, **options):
    """A random one, and a point."""
    rng = np.random.default_rng(seed)
    coefficients = rng.uniform(-1, 1, (4, n))
    coefficients[3] = np.abs(coefficients[3])
    x = rng.uniform(-1.5, 1.5, n)
    return Rational(coefficients, **options), x


def textbook(x):
    """The least squares of the README without BLAS."""
    a, b = x[0], x[1]
    return (1 - (a + 2 * b)) ** 2 + (2 - (3 * a + 4 * b)) ** 2 + (3 - (5 * a + 6 * b)) ** 2


def textbook_gradient(x):
    """Its gradient."""
    a, b = x[0], x[1]
    one, two, three = 1 - (a + 2 * b), 2 - (3 * a + 4 * b), 3 - (5 * a + 6 * b)
    return np.array([-2 * (one + 3 * two + 5 * three), -2 * (2 * one + 4 * two + 6 * three)])


METHODS = (
    {},
    {"order": 4},
    {"order": 8},
    {"method": "forward"},
    {"method": "backward", "order": 3},
    {"method": "richardson", "order": 6},
    {"method": "complex"},
    {"stencil": (-3, -1, 1, 2)},
    {"refine": "all"},
    {"refine": "none"},
)
WRONG = ((), (2,), (0, 4), tuple(range(9)))


def _problem(fun, x, options, wrong, **more):
    built = pardiff.Problem(fun, fun.gradient, x, **more, **options)
    return plant(built, wrong, 1.5) if wrong else built


def cases():
    """Problems by name."""
    w = np.array([0.1, 0.2])
    found = {
        "textbook": pardiff.Problem(textbook, textbook_gradient, w, abs_step=1e-5),
        "textbook, wrong sign": pardiff.Problem(textbook, lambda x: -textbook_gradient(x), w, abs_step=1e-5),
        "textbook, automatic step": pardiff.Problem(textbook, textbook_gradient, w),
        "textbook, numerical alone": pardiff.Problem(textbook, None, w),
        "sphere": sphere(),
        "sphere, planted": plant(sphere(), (0, 4), 1.5),
        "rosenbrock": rosenbrock(),
        "rosenbrock, planted": plant(rosenbrock(), (0, 4), 1.5),
    }
    for seed in range(30):
        fun, x = rational(seed, terms=seed % 7 == 3)
        options = METHODS[seed % len(METHODS)]
        more = {"terms": True} if fun.terms else {}
        if seed % 5 == 2 and not fun.terms and "method" not in options:
            more["batch_fun"] = fun.batch
            options = {**options, "batch_size": 6}
        found[f"rational {seed}"] = _problem(fun, x, options, WRONG[seed % len(WRONG)], **more)
    fun, x = rational(100)
    found["bounds"] = _problem(fun, x, {}, (1,), bounds=(x - 1e-7 * (np.arange(9) % 2), x + 1.0))
    found["steps"] = _problem(fun, x, {"rel_step": 1e-4, "typical": 0.1}, (3,))
    found["jitter"] = _problem(fun, x, {"jitter": 0.1, "seed": 3}, ())
    kinked, x = rational(101, kink=2)
    x[2] = 0.0
    found["kink"] = _problem(kinked, x, {}, (5,))
    coarse, x = rational(102, quantum=1e-9)
    found["coarse"] = _problem(coarse, x, {}, (5,))
    single, x = rational(103, single=True)
    found["float32 value"] = _problem(single, x, {}, (0,))
    found["float32 parameters"] = _problem(rational(104)[0], rational(104)[1].astype(np.float32), {}, (0,))
    found["nested"] = _problem(Nested(rational(105)[0]), _nested(rational(105)[1]), {}, (0, 7))
    found["blocks"] = _problem(fun, rational(106)[1], {"block_size": 2}, (0, 8))
    separable = Separable(np.linspace(0.5, 2, 12))
    x = np.linspace(1, 2, 12)
    for name, wrong in (("incremental", ()), ("incremental, planted", (0, 7))):
        found[name] = _problem(separable, x, {}, wrong, incremental=separable)
    flat = Rational(np.vstack([np.zeros(9), np.arange(9.0), np.zeros(9), np.zeros(9)]))
    found["flat"] = _problem(flat, rational(107)[1], {}, (4,))
    return found


def _nested(x):
    return {"layer": {"W": x[:6].reshape(2, 3).copy()}, "b": x[6:].copy()}
