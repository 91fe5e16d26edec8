"""Lengths of the axes of a problem's data, as far as it can be seen: factors of a gradient are often one of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pardiff.problem.problem import Problem

MOST = 100
"""Lengths that are kept."""
MOST_ITEMS = 1000
"""Names that are looked at."""
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
    for label, item in [*_items(problem)][:MOST_ITEMS]:
        try:
            shapes = list(islice(_shapes(label, item, 0), MOST))
        except Exception:  # whatever an object of the user's does when it is looked at: only a hint is lost
            continue
        for name, shape in shapes:
            for axis, length in enumerate(shape):
                if length > 2 and len(found) < MOST:
                    found.setdefault(int(length), f"axis {axis} of {name}" if len(shape) > 1 else name)
    return found


def _items(problem: Problem) -> list[tuple[str, Any]]:
    items = [(f"args[{number}]", item) for number, item in enumerate(problem.args)]
    for function in (problem.fun, problem.grad):
        try:
            items += _referred(function)
        except Exception:  # a callable that is none of Python's own
            continue
    return items


def _shapes(label: str, item: Any, depth: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Shapes of the arrays in an item; only Python's own containers are looked into: others may load what they hold."""
    if type(item) in (list, tuple, dict):
        if depth < DEEPEST and len(item) <= MOST:
            for key, part in item.items() if type(item) is dict else enumerate(item):
                yield from _shapes(f"{label}[{key!r}]", part, depth + 1)
    elif isinstance(shape := getattr(item, "shape", None), tuple) and all(type(n) is int for n in shape):
        yield label, shape


def _referred(function: Any) -> list[tuple[str, Any]]:
    """What a function refers to by name: its closure, globals that it mentions, and the object it is a method of."""
    if isinstance(function, functools.partial):
        own = [(f"args of {name_of(function)}", item) for item in function.args]
        return own if isinstance(function.func, functools.partial) else [*own, *_referred(function.func)]
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
