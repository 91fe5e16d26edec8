"""fun and its derivative called at x0, and everything about their values checked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pardiff.errors import InputError
from pardiff.evaluation.determinism import differing_arrays
from pardiff.evaluation.failures import described
from pardiff.evaluation.observe import Observe, Products, Terms
from pardiff.evaluation.pointwise import Pointwise
from pardiff.problem.derivative import Pullback, derivative_of
from pardiff.problem.named_arrays import named_arrays
from pardiff.problem.options import PROBES, Options
from pardiff.problem.outputs import Cotangents, parse_outputs
from pardiff.problem.problem import OneByOne, Problem
from pardiff.problem.space import FloatArray, Space


@dataclass(frozen=True)
class AtX0:
    """What fun and its derivative are at x0."""

    first: float
    """The value, or a number by which it is known again."""
    second: float
    """The value of another call."""
    deterministic: bool
    """Whether fun, called again, gave the same value."""
    itemsizes: tuple[int, ...]
    """Bytes of the precision of the value's dtype, for each observable."""
    parts: tuple[FloatArray, ...]
    """What fun returned, flattened, for each observable: the loss, its terms, or an output."""
    cotangents: Cotangents | None
    analytical: FloatArray | None
    """Flat, in the order of the arrays by name."""
    nondeterministic_arrays: tuple[str, ...]
    """Arrays whose analytical derivative, called again, is another."""
    nonlinear_outputs: tuple[str, ...]
    """Outputs in whose cotangents the vjp is not linear."""
    seconds: float
    """Duration of the second call of fun."""
    nfev: int
    """Calls of fun that are counted."""


def open_pointwise(
    problem: Problem, space: Space, arrays: list[Any], cotangents: Cotangents | None = None
) -> Pointwise:
    """The evaluator of fun itself."""
    observe: Observe | None = Terms() if problem.terms else None
    if cotangents is not None:
        observe = Products(cotangents)
    return Pointwise(problem.fun, problem.args, space, arrays, observe)


def call_at_x0(problem: Problem, options: Options, space: Space, arrays: list[Any]) -> tuple[Pointwise, AtX0]:
    """Call fun and its derivative twice, and see that neither changes anything.

    Raises
    ------
    InputError
        With one sentence on what is wrong.
    """
    plain = open_pointwise(problem, space, arrays)
    raw = call("fun", problem.fun, plain.x, *plain.args)
    cotangents, itemsizes, parts = _checked(problem, options, raw)
    if cotangents is not None:
        plain = open_pointwise(problem, space, arrays, cotangents)
    plain.check_unchanged()
    first = plain.take(raw)
    begin = time.perf_counter()
    again = call("fun", problem.fun, plain.x, *plain.args)
    seconds = time.perf_counter() - begin
    second, same = _again(plain, cotangents, first, parts, again)
    _check_finite(first, second)
    plain.check_unchanged()
    analytical, differing, third, third_same, more = _derivative(
        problem, plain, space, cotangents, first, second, parts
    )
    second = third if third != first else second  # a fun that is random now and then
    deterministic = same and third_same and first == second
    nonlinear: tuple[str, ...] = ()
    derivative = derivative_of(problem, cotangents)
    if isinstance(derivative, Pullback) and analytical is not None and not differing:
        nonlinear = derivative.nonlinear(call, plain.x, plain.args, space, analytical)
        plain.check_unchanged()
    found = AtX0(
        first, second, deterministic, itemsizes, parts, cotangents, analytical, differing, nonlinear, seconds, 2 + more
    )
    return plain, found


def _derivative(
    problem: Problem,
    plain: Pointwise,
    space: Space,
    cotangents: Cotangents | None,
    first: float,
    second: float,
    parts: tuple[FloatArray, ...],
) -> tuple[FloatArray | None, tuple[str, ...], float, bool, int]:
    """The analytical derivative, arrays in which it is not deterministic, and fun once more behind it."""
    derivative = derivative_of(problem, cotangents)
    if derivative is None:
        return None, (), second, True, 0
    analytical = derivative.predict(call, plain.x, plain.args, space)
    plain.check_unchanged()
    if not derivative.is_called:
        return analytical, (), second, True, 0
    again = derivative.predict(call, plain.x, plain.args, space)
    plain.check_unchanged()
    differing = differing_arrays(named_arrays(space, cotangents), analytical, again)
    value = call("fun", problem.fun, plain.x, *plain.args)
    third, same = _again(plain, cotangents, first, parts, value)
    if first == second != third and third == plain.take(call("fun", problem.fun, plain.x, *plain.args)):
        name = "vjp" if cotangents is not None else "grad"
        raise InputError(
            f"{name} changes what fun computes: fun at x0 has another value after {name} was called; {name} must not "
            f"change args or other data that fun uses"
        )
    return analytical, differing, third, same, 1


def _again(
    plain: Pointwise, cotangents: Cotangents | None, first: float, parts: tuple[FloatArray, ...], value: Any
) -> tuple[float, bool]:
    """A later value of fun at x0, and whether every output is the same as at first."""
    if cotangents is None:
        number = plain.take(value)
        return number, number == first
    outputs, arrays = parse_outputs(value)
    if outputs != cotangents.outputs:
        raise InputError("fun: its value at x0 has other names, shapes or dtypes when it is called again")
    same = all(np.array_equal(one, other) for one, other in zip(arrays, parts[:: cotangents.probes], strict=True))
    return plain.take(value), same


def _checked(
    problem: Problem, options: Options, raw: Any
) -> tuple[Cotangents | None, tuple[int, ...], tuple[FloatArray, ...]]:
    """Cotangents, if fun has outputs; and by observable the bytes of its precision and the numbers it is made of."""
    if problem.vjp is None:
        itemsize = check_terms(raw) if problem.terms else check_value(raw)
        return None, (itemsize,), (np.asarray(raw, dtype=float).reshape(-1),)
    outputs, arrays = parse_outputs(raw)
    probes = PROBES if options.probes is None else options.probes
    cotangents = Cotangents.drawn(outputs, arrays, probes, options.seed or 0)
    itemsizes = tuple(leaf.dtype.itemsize for leaf in outputs.leaves for _ in range(probes))
    return cotangents, itemsizes, tuple(array for array in arrays for _ in range(probes))


def call(what: str, function: Any, *arguments: Any) -> Any:
    """Call a function of the user's at x0; what it raises becomes a sentence."""
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        how = "; it is called as vjp(x, u), with a cotangent u like fun(x)" if what == "vjp" else ""
        raise InputError(f"{what} raised at x0: {described(error)}{how}") from error


def fun_name(problem: Problem) -> str:
    """What the user has given as fun."""
    return "batch_fun" if isinstance(problem.fun, OneByOne) else "fun"


def check_value(value: Any) -> int:
    """Bytes of the precision of fun's value; `InputError` if it is not one real number."""
    if isinstance(value, str | bytes) or value is None:
        raise InputError(f"fun: got {type(value).__name__} {value!r} at x0; expected one float")
    array = _array(value)
    if array.ndim or array.dtype.kind == "O":
        what = f"an array of shape {array.shape}" if array.ndim else f"a {type(value).__name__}"
        raise InputError(
            f"fun: got {what} at x0; expected one float: sum or average it, or index its only element; if its elements "
            f"are terms whose sum is the loss, say terms=True; if its derivative is a pullback, give vjp="
        )
    if array.dtype.kind not in "fiub":
        raise InputError(f"fun: got a value of dtype {array.dtype} at x0; expected one real float")
    return min(8, array.dtype.itemsize) if array.dtype.kind == "f" else 8


def check_terms(value: Any) -> int:
    """Bytes of the precision of fun's terms; `InputError` if they are no array of real numbers."""
    array = _array(value)
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise InputError(
            f"fun: got {type(value).__name__} of shape {array.shape} and dtype {array.dtype} at x0; with terms=True "
            f"expected an array of real terms whose sum is the loss"
        )
    return min(8, array.dtype.itemsize) if array.dtype.kind == "f" else 8


def _array(value: Any) -> Any:
    try:
        return np.asarray(value)
    except Exception as error:  # lists of different lengths, tensors that need detaching
        raise InputError(f"fun: its value at x0 is no array: {error}") from None


def _check_finite(*values: float) -> None:
    for value in values:
        if not np.isfinite(value):
            raise InputError(f"fun: got {value} at x0; expected a finite value: move x0 into its domain")
