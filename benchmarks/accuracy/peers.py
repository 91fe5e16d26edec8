"""Numerical gradients by other packages, each as its documentation says, at its defaults."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Peer:
    """A way to differentiate: takes fun of a flat vector, x0 and bounds, gives values and error bars."""

    name: str
    gradient: Callable[[Any, Any, Any], tuple[Any, Any]]
    """Bars are NaN where the package gives none."""
    rtol: float = 1e-5
    atol: float = 0.0
    """The verdict is ``|numerical - analytical| <= atol + rtol |analytical| + bar``."""


def _none(value: Any) -> tuple[Any, Any]:
    value = np.asarray(value, dtype=float).ravel()
    return value, np.full(value.shape, np.nan)


def available() -> Iterator[Peer]:
    """The peers that are installed."""
    yield Peer("fixed step 1e-6 (rule of torch.autograd.gradcheck)", _fixed, rtol=1e-3, atol=1e-5)
    try:
        from scipy.optimize import _numdiff, approx_fprime

        def three_points(fun: Any, x: Any, bounds: Any) -> tuple[Any, Any]:
            limits = (-np.inf, np.inf) if bounds is None else bounds
            return _none(_numdiff.approx_derivative(fun, x, method="3-point", bounds=limits))

        yield Peer("scipy approx_fprime (check_grad)", lambda fun, x, bounds: _none(approx_fprime(x, fun)))
        yield Peer("scipy approx_derivative 3-point", three_points)
    except ImportError:
        pass
    try:
        from scipy.differentiate import jacobian

        def adaptive(fun: Any, x: Any, bounds: Any) -> tuple[Any, Any]:
            def columns(points: Any) -> Any:
                flat = points.reshape(len(x), -1)
                values = np.array([float(fun(np.ascontiguousarray(column))) for column in flat.T])
                return values.reshape(points.shape[1:])

            found = jacobian(columns, x)
            return np.asarray(found.df).ravel(), np.asarray(found.error).ravel()

        yield Peer("scipy.differentiate.jacobian", adaptive)
    except ImportError:
        pass
    try:
        from statsmodels.tools.numdiff import approx_fprime as centered

        yield Peer("statsmodels approx_fprime centered", lambda fun, x, b: _none(centered(x, fun, centered=True)))
    except ImportError:
        pass
    try:
        import numdifftools

        def extrapolated(fun: Any, x: Any, bounds: Any) -> tuple[Any, Any]:
            found = numdifftools.Gradient(fun, method="central", full_output=True)(x)
            return np.ravel(found.estimate), np.ravel(found.error_estimate)

        yield Peer("numdifftools Gradient", extrapolated)
    except ImportError:
        pass
    try:
        import jacobi

        def fitted(fun: Any, x: Any, bounds: Any) -> tuple[Any, Any]:
            found, error = jacobi.jacobi(fun, x)
            return np.ravel(found), np.ravel(error)

        yield Peer("jacobi", fitted)
    except ImportError:
        pass


def _fixed(fun: Any, x: Any, bounds: Any) -> tuple[Any, Any]:
    found = np.empty(len(x))
    for i in range(len(x)):
        up, down = x.copy(), x.copy()
        up[i], down[i] = x[i] + 1e-6, x[i] - 1e-6
        found[i] = (fun(up) - fun(down)) / 2e-6
    return _none(found)


def run(peer: Peer, fun: Any, x: Any, bounds: Any) -> tuple[Any, Any, int]:
    """Values, bars and passes of a peer; NaN where it raises."""
    passes = 0

    def counted(point: Any, *_: Any) -> Any:
        nonlocal passes
        passes += 1
        return float(fun(np.asarray(point, dtype=float)))

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            value, bar = peer.gradient(counted, x.copy(), bounds)
        except Exception:
            value = bar = np.full(len(x), np.nan)
    return value, bar, passes
