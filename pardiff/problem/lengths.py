"""Lengths of the axes of a problem's data, as far as it can be seen: factors of a gradient are often one of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from pardiff.problem.problem import Problem

MOST = 100
"""Lengths that are kept."""
DEEPEST = 3
"""Levels of lists and mappings that are looked into."""


def data_lengths(problem: Problem) -> dict[int, str]:
    """Lengths of axes, and of which array: those in ``args``, and those that fun and grad refer to.

    Examples
    --------
    >>> import numpy as np
    >>> data_lengths(Problem(lambda w, X: 0.0, None, np.ones(2), args=(np.ones((30, 5)),)))
    {30: 'axis 0 of args[0]', 5: 'axis 1 of args[0]'}
    """
    found: dict[int, str] = {}
    items = [(f"args[{number}]", item) for number, item in enumerate(problem.args)]
    for function in (problem.fun, problem.grad):
        items += _referred(function)
    for label, item in items:
        for name, shape in _shapes(label, item, 0):
            for axis, length in enumerate(shape):
                if length > 2 and len(found) < MOST:
                    found.setdefault(int(length), f"axis {axis} of {name}" if len(shape) > 1 else name)
    return found


def _shapes(label: str, item: Any, depth: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Shapes of the arrays in an item."""
    if isinstance(shape := getattr(item, "shape", None), tuple) and all(isinstance(n, int) for n in shape):
        yield label, shape
    elif depth < DEEPEST and isinstance(item, list | tuple) and len(item) <= MOST:
        for number, part in enumerate(item):
            yield from _shapes(f"{label}[{number}]", part, depth + 1)
    elif depth < DEEPEST and isinstance(item, Mapping) and len(item) <= MOST:
        for key, part in item.items():
            yield from _shapes(f"{label}[{key!r}]", part, depth + 1)


def _referred(function: Any) -> list[tuple[str, Any]]:
    """What a function refers to by name: its closure, globals that it mentions, and the object it is a method of."""
    if isinstance(function, functools.partial):
        return [*((f"args of {name_of(function)}", item) for item in function.args), *_referred(function.func)]
    owner = getattr(function, "__self__", None)
    own = [(f"self.{name}", item) for name, item in vars(owner).items()] if hasattr(owner, "__dict__") else []
    code = getattr(function, "__code__", None)
    if code is None:
        return own
    cells = getattr(function, "__closure__", None) or ()
    closed = [(name, _content(cell)) for name, cell in zip(code.co_freevars, cells, strict=False)]
    known = getattr(function, "__globals__", {})
    return [*own, *closed, *((name, known[name]) for name in code.co_names if name in known)]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def name_of(function: functools.partial[Any]) -> str:
    """Name of what a partial calls."""
    return str(getattr(function.func, "__name__", "fun"))
