"""A problem: a function, its analytical derivative and the point at which they are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Unpack, overload

import numpy as np

from pardiff.errors import InputError
from pardiff.problem.options import OptionKeywords, Options
from pardiff.problem.space import Structure


@dataclass(frozen=True)
class Problem:
    """A function with an analytical derivative to be audited.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``, or with ``vjp`` an array or a (nested) mapping, list or tuple of arrays. ``x`` has
        the structure of ``x0``. The engine perturbs ``x`` in place, one element at a time: fun must neither change nor
        keep it.
    grad : callable, structure or None
        ``grad(x, *args)`` with the structure, names and shapes of ``x0``; or the gradient already
        computed; or None, for the numerical gradient alone.
    x0 : array_like, mapping, list or tuple
        The point: numbers of any shape, or a (nested) mapping, list or tuple of arrays. Integers are taken as float64.
    vjp : callable or None
        ``vjp(x, u, *args)``, the pullback: the derivative of ``sum(u * fun(x))``, in the structure of ``x0``. ``u`` has
        the structure of fun's value. It takes the place of grad.
    args : tuple
        Further arguments of fun, grad and vjp.
    bounds : pair or None
        ``(lower, upper)``, each a scalar or a structure like ``x0``. fun is never evaluated outside.
    terms : bool
        fun returns an array of terms whose sum is the loss, one per sample, say. They are differenced
        first and summed after, which removes the rounding noise of a long sum.
    batch_fun : callable or None
        ``batch_fun(x_batch, *args) -> (B,)``: fun of B points in one call. Every array of ``x_batch`` has a leading
        axis of B. It is used where it is faster, with a B that a short timing run finds. Without fun, fun is made
        from it.
    incremental : Incremental or None
        Something that evaluates fun with one parameter changed without a whole pass, such as a `Chain`.
    name : str or None
        Name of the audit in `gradcheck`; on the command line it is the factory's.
    **options
        Any field of `Options` that this problem pins, such as ``order=4`` or ``rtol=1e-7``.

    Raises
    ------
    InputError
        If something cannot be used; nothing is called.

    Examples
    --------
    >>> import numpy as np
    >>> problem = Problem(lambda x: float(np.sum(x**2)), lambda x: 2 * x, np.array([1.0, 2.0]), order=4)
    >>> problem.options
    Options(order=4)
    """

    fun: Callable[..., Any]
    grad: Callable[..., Structure] | Structure | None
    x0: Structure
    vjp: Callable[..., Structure] | None
    args: tuple[Any, ...]
    bounds: Any
    terms: bool
    batch_fun: Callable[..., Any] | None
    incremental: Any
    name: str | None
    options: Options = field(default_factory=Options)

    def __init__(
        self,
        fun: Callable[..., Any] | None = None,
        grad: Callable[..., Structure] | Structure | None = None,
        x0: Structure = None,
        *,
        vjp: Callable[..., Structure] | None = None,
        args: tuple[Any, ...] = (),
        bounds: Any = None,
        terms: bool = False,
        batch_fun: Callable[..., Any] | None = None,
        incremental: Any = None,
        name: str | None = None,
        **options: Unpack[OptionKeywords],
    ) -> None:
        """Check what can be checked without calling anything."""
        _check_fast_paths(batch_fun, incremental)
        if fun is None and batch_fun is not None:
            fun = OneByOne(batch_fun)
        if fun is None and callable(incremental):
            fun = incremental  # a chain is its own loss
        if not callable(fun):
            raise InputError(f"fun: got {type(fun).__name__}; expected a callable that returns a float")
        if x0 is None:
            raise InputError("x0 is missing; expected an array of floats or a mapping of named arrays")
        _check_vjp(vjp, grad=grad, terms=terms, batch_fun=batch_fun, incremental=incremental)
        args = tuple(args) if isinstance(args, tuple | list) else (args,)
        values = dict(
            fun=fun, grad=grad, x0=x0, vjp=vjp, args=args, bounds=bounds, terms=bool(terms), batch_fun=batch_fun,
            incremental=incremental, name=name, options=Options.from_mapping(options, "Problem"),
        )  # fmt: skip
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def has_analytical(self) -> bool:
        """Whether there is an analytical derivative to compare with."""
        return self.grad is not None or self.vjp is not None

    @property
    def title(self) -> str:
        """Its name, or that of fun."""
        return self.name or name_of(self.fun)

    def replaced(self, **changes: Any) -> Problem:
        """The problem with some of its parts changed."""
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "options"}
        return Problem(**{**parts, **self.options.chosen(), **changes})

    def without_point(self) -> Problem:
        """The problem as workers need it: x0 reaches them on its own way, and they never call grad or vjp."""
        vjp = None if self.vjp is None else _never_called
        return self.replaced(grad=None, vjp=vjp, x0=np.zeros(1))


def _never_called(*_: Any) -> None:
    """Takes the place of a pullback where only the kind of the problem matters."""
    raise AssertionError("workers do not call vjp")


def name_of(fun: Callable[..., Any]) -> str:
    """Name of a function, for a problem that has none of its own."""
    name = getattr(fun, "__name__", type(fun).__name__)
    return "gradcheck" if name == "<lambda>" else str(name)


def _check_fast_paths(batch_fun: Any, incremental: Any) -> None:
    if batch_fun is not None and not callable(batch_fun):
        raise InputError(f"batch_fun: got {type(batch_fun).__name__}; expected a callable that returns B floats")
    if incremental is not None and (
        isinstance(incremental, type) or not callable(getattr(incremental, "prepare", None))
    ):
        what = f"the class {incremental.__name__}" if isinstance(incremental, type) else type(incremental).__name__
        raise InputError(f"incremental: got {what}; expected a Chain, or another object with a method prepare(x)")


def _check_vjp(vjp: Any, **others: Any) -> None:
    if vjp is None:
        return
    if not callable(vjp):
        raise InputError(
            f"vjp: got {type(vjp).__name__}; expected a callable vjp(x, u) that returns a structure like x0"
        )
    for name, value in others.items():
        if value is not None and value is not False:
            raise InputError(f"vjp: got one beside {name}, which is for a fun that returns one number; leave one out")


@dataclass(frozen=True)
class OneByOne:
    """fun, from the batch_fun of a problem that has no other."""

    batch_fun: Callable[..., Any]

    def __call__(self, x: Structure, *args: Any) -> Any:
        """fun of one point, as a batch of one."""
        values = np.asarray(self.batch_fun(_with_axis(x), *args))
        if not values.shape or len(values) != 1:
            raise InputError(
                f"batch_fun returned the shape {values.shape} for a batch of 1; expected (1,), a value for each row: "
                f"the batch is the first axis of every array"
            )
        return values[0]

    @property
    def __name__(self) -> str:
        """Name of the function behind it."""
        return str(getattr(self.batch_fun, "__name__", type(self.batch_fun).__name__))


def _with_axis(x: Structure) -> Structure:
    if isinstance(x, Mapping):
        return {name: _with_axis(item) for name, item in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(_with_axis(item) for item in x)
    return x[None]


@dataclass(frozen=True)
class ProblemFactory:
    """What `problem` makes of a function: called once per worker, it builds the `Problem`."""

    build: Callable[[], Problem]
    batch: bool
    """Whether a file or folder as a target includes it; otherwise only its own name does."""

    @property
    def name(self) -> str:
        """Name of the problem, and of its audit's folder."""
        return self.build.__name__

    def __call__(self) -> Problem:
        """Build the problem.

        Raises
        ------
        InputError
            If the factory returns something else.
        """
        built = self.build()
        if not isinstance(built, Problem):
            raise InputError(f"{self.name}() returned {type(built).__name__}; expected a pardiff.Problem")
        return built


@overload
def problem(factory: Callable[[], Problem], /) -> ProblemFactory: ...
@overload
def problem(*, batch: bool = True) -> Callable[[Callable[[], Problem]], ProblemFactory]: ...


def problem(factory: Callable[[], Problem] | None = None, /, *, batch: bool = True) -> Any:
    """Mark a function without arguments as a factory of a `Problem`, to be found by ``pardiff run``.

    Parameters
    ----------
    factory : callable
        Loads its data and returns the problem. It runs once in the client and once on each worker:
        the data is loaded where it is used and never travels.
    batch : bool
        False keeps the problem out of a run of its whole file or folder; it then runs only as
        ``FILE.py::name``.

    Examples
    --------
    >>> import numpy as np
    >>> @problem
    ... def sphere():
    ...     return Problem(lambda x: float(x @ x), lambda x: 2 * x, np.ones(3))
    >>> sphere.name, sphere().x0.shape
    ('sphere', (3,))
    """
    if factory is None:
        return lambda function: _factory(function, batch)
    return _factory(factory, batch)


def _factory(function: Any, batch: bool) -> ProblemFactory:
    if not callable(function):
        raise InputError(f"@problem: got {type(function).__name__}; expected a function that returns a Problem")
    return ProblemFactory(function, batch)
