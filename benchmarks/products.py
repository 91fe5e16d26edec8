"""A vector-Jacobian product checked for random cotangents, beside the whole Jacobian by columns and by rows.

The peer is the rule of torch's gradcheck, written in NumPy: each column of the Jacobian by central differences with a
fixed step (2 n passes), each row by one call of the vjp with a unit vector (m calls), and the two compared with rtol
and atol. Both check the same right and the same wrong products, in one process, in turn.

    python -m benchmarks.products --outputs 1000 --parameters 1000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pardiff

STEP, RTOL, ATOL = 1e-6, 1e-3, 1e-5
"""Defaults of torch.autograd.gradcheck."""


class Layer:
    """fun(x) = tanh(A x), and its products, each call of which is counted."""

    def __init__(self, outputs: int, parameters: int) -> None:
        rng = np.random.default_rng(0)
        self.A = rng.normal(size=(outputs, parameters)) / np.sqrt(parameters)
        self.x0 = rng.normal(size=parameters)
        self.passes = self.products = 0

    def fun(self, x: Any) -> Any:
        """One pass."""
        self.passes += 1
        return np.tanh(self.A @ x)

    def vjp(self, x: Any, u: Any) -> Any:
        """The right product."""
        self.products += 1
        return self.A.T @ (u * (1 - np.tanh(self.A @ x) ** 2))

    def ignores_u(self, x: Any, u: Any) -> Any:
        """The gradient of the sum."""
        return self.vjp(x, np.ones_like(u))

    def one_wrong(self, x: Any, u: Any) -> Any:
        """The derivative of one output with respect to one parameter has the wrong sign."""
        found = self.vjp(x, u)
        found[3] -= 2 * u[5] * (1 - np.tanh(self.A[5] @ x) ** 2) * self.A[5, 3]
        return found


def by_jacobian(layer: Layer, vjp: Callable[..., Any]) -> bool:
    """The rule of torch's gradcheck: whether all entries of both Jacobians agree."""
    x, columns = layer.x0.copy(), []
    for i in range(len(x)):
        saved = x[i]
        x[i] = saved + STEP
        above = layer.fun(x)
        x[i] = saved - STEP
        columns.append((above - layer.fun(x)) / (2 * STEP))
        x[i] = saved
    numerical = np.stack(columns, axis=1)
    rows = [vjp(x, unit) for unit in np.eye(len(layer.A))]
    return bool(np.allclose(np.stack(rows), numerical, rtol=RTOL, atol=ATOL))


def by_products(layer: Layer, vjp: Callable[..., Any]) -> bool:
    """Ours, with three cotangents."""
    return pardiff.gradcheck(layer.fun, vjp=vjp, x0=layer.x0).passed


def main() -> None:
    """Measure both on each product, in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=int, default=1000)
    parser.add_argument("--parameters", type=int, default=1000)
    asked = parser.parse_args()
    print(f"fun(x) = tanh(A x), {asked.outputs:,} outputs, {asked.parameters:,} parameters")
    print(f"{'':24}{'says':>7}{'passes':>9}{'products':>10}{'seconds':>9}{'ratio':>7}")
    for name in ("vjp", "ignores_u", "one_wrong"):
        seconds = []
        for title, check in (("Jacobian, both ways", by_jacobian), ("pardiff, 3 cotangents", by_products)):
            layer = Layer(asked.outputs, asked.parameters)
            begin = time.perf_counter()
            says = "PASS" if check(layer, getattr(layer, name)) else "FAIL"
            seconds.append(time.perf_counter() - begin)
            ratio = f"{seconds[0] / seconds[-1]:.2f}"
            row = f"{layer.passes:>9,}{layer.products:>10,}{seconds[-1]:>9.2f}{ratio:>7}"
            print(f"{title:<24}{says:>7}{row}   {name}")


if __name__ == "__main__":
    main()
