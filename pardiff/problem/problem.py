"""A problem: a function, its claimed gradient and the point at which they are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, overload

from pardiff.errors import InputError
from pardiff.problem.parameters import Structure
from pardiff.problem.settings import Settings


@dataclass(frozen=True)
class Problem:
    """A function with an analytical gradient to be audited.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``. ``x`` has the structure of ``x0``. The engine perturbs ``x`` in
        place, one element at a time: fun must neither change nor keep it.
    grad : callable, structure or None
        ``grad(x, *args)`` with the structure, names and shapes of ``x0``; or the gradient already
        computed; or None, for the numerical gradient alone.
    x0 : array_like or mapping
        The point: floats of any shape, or a nested mapping of named arrays.
    args : tuple
        Further arguments of fun and grad.
    bounds : pair or None
        ``(lower, upper)``, each a scalar or a structure like ``x0``. fun is never evaluated outside.
    terms : bool
        fun returns an array of terms whose sum is the loss, one per sample, say. They are differenced
        first and summed after, which removes the rounding noise of a long sum.
    name : str or None
        Name of the audit in `gradcheck`; on the command line it is the factory's.
    **options
        Any option of `gradcheck` that this problem pins: ``method``, ``order``, ``rel_step``,
        ``abs_step``, ``stencil``, ``refine``, ``typical``, ``rtol``, ``atol``, ``mode``, ``block_size``, ``seed``.

    Examples
    --------
    >>> import numpy as np
    >>> problem = Problem(lambda x: float(np.sum(x**2)), lambda x: 2 * x, np.array([1.0, 2.0]), order=4)
    >>> problem.options.order
    4
    """

    fun: Callable[..., Any]
    grad: Callable[..., Structure] | Structure | None
    x0: Structure
    args: tuple[Any, ...]
    bounds: Any
    terms: bool
    name: str | None
    options: Settings = field(default_factory=Settings)

    def __init__(
        self,
        fun: Callable[..., Any],
        grad: Callable[..., Structure] | Structure | None = None,
        x0: Structure = None,
        *,
        args: tuple[Any, ...] = (),
        bounds: Any = None,
        terms: bool = False,
        name: str | None = None,
        **options: Any,
    ) -> None:
        """Check what can be checked without calling anything."""
        if not callable(fun):
            raise InputError(f"fun: got {type(fun).__name__}; expected a callable that returns a float")
        if x0 is None:
            raise InputError("x0 is missing; expected an array of floats or a mapping of named arrays")
        args = tuple(args) if isinstance(args, tuple | list) else (args,)
        settings = Settings.from_mapping(options, "Problem")
        for key, value in dict(
            fun=fun, grad=grad, x0=x0, args=args, bounds=bounds, terms=bool(terms), name=name, options=settings
        ).items():
            object.__setattr__(self, key, value)


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
