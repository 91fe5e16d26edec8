"""How a problem is checked: the options that `gradcheck`, `Problem`, job files and flags share."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from typing import Any

import numpy as np

from pardiff.errors import InputError, closest
from pardiff.problem.budget import Budget

ORDERS = {"central": (2, 4, 6, 8), "forward": (1, 2, 3, 4), "backward": (1, 2, 3, 4), "richardson": (4, 6, 8)}
"""Orders of accuracy by method."""
METHODS = (*ORDERS, "complex")
REFINEMENTS = ("auto", "all", "none")
MODES = ("full",)
DEFAULT_ORDER = {"central": 2, "forward": 1, "backward": 1, "richardson": 4}
MOST_OFFSETS = 16
"""Points of a stencil: weights of wider ones lose their digits."""
LONGEST_DEADLINE = 1e7
"""Seconds, a third of a year; clocks count no further than some hundred years."""
OPERATIONAL = ("block_size", "batch_size", "memory", "deadline", "budget", "confirm", "partial", "self_test")
"""Options that change how an audit is carried out and not what it finds."""
FARTHEST_OFFSET = 64
"""Of a stencil; beyond it a step small enough for the farthest point is too small for the nearest."""


@dataclass(frozen=True)
class Settings:
    """Options of a check; None means that nobody has chosen."""

    method: str | None = None
    """``central`` (default), ``forward``, ``backward``, ``richardson`` or ``complex``."""
    order: int | None = None
    """Order of accuracy: central 2, 4, 6, 8 (default 2); one-sided 1 to 4 (default 1); richardson 4, 6, 8
    (default 4)."""
    stencil: Sequence[int] | None = None
    """Offsets of any other stencil, in units of the step; takes the place of method and order."""
    refine: str | None = None
    """``auto`` (default): search for the best step where an entry is no clear PASS; ``all`` (default where there is no
    gradient to compare with): an error bar from two steps for every entry first; ``none``: no search."""
    typical: float | Mapping[str, float] | None = None
    """Typical size of the parameters (default 1), or sizes by name of the array."""
    rel_step: float | None = None
    """Step relative to ``max(|x|, typical)``; default from the precision of fun."""
    abs_step: float | None = None
    """Step in the units of x; overrides ``rel_step``."""
    rtol: float | None = None
    """Relative tolerance of the verdict; default 1e-6, or 1e-3 where fun returns float32 or less."""
    atol: float | None = None
    """Absolute tolerance of the verdict (default 0)."""
    mode: str | None = None
    """``full``: every coordinate."""
    block_size: int | None = None
    """Coordinates in a block; default from a timed call of fun."""
    batch_size: int | None = None
    """Points in a call of batch_fun; default from a timing run. 1 for calls of fun alone."""
    memory: float | None = None
    """Bytes that the parameters of a batch may take (default 32e6)."""
    seed: int | None = None
    """Seed of what is drawn (default 0): the directions in which the noise of fun is measured."""
    jitter: float | None = None
    """Move x0, and with it the test, by up to this part of ``max(|x|, typical)``, the same way in every run."""
    deadline: float | None = None
    """Seconds that the passes of one parameter may take on a Dask worker until they count as hung; default a minute,
    or a hundred times what was measured."""
    budget: str | float | None = None
    """What all runs of an audit together may spend: passes (``1e6``) or wall time (``"10m"``, ``"2h"``). Blocks are
    taken from all over x0, and a fifth is kept for a closer look at what they leave open."""
    confirm: float | None = None
    """Part of all parameters that another worker evaluates again (default 0.005 of long jobs on several workers)."""
    partial: bool | None = None
    """Whether an audit that its budget has ended is judged by what it has checked, instead of being incomplete."""
    self_test: bool | None = None
    """Whether reports say which known faults the audit would not let pass."""

    def __post_init__(self) -> None:
        """Check each option that is set."""
        _choice("method", self.method, METHODS)
        _choice("mode", self.mode, MODES)
        _choice("refine", self.refine, REFINEMENTS)
        object.__setattr__(self, "stencil", _stencil(self.stencil))
        object.__setattr__(self, "typical", _typical(self.typical))
        if self.budget is not None:
            Budget.parse(self.budget)
        object.__setattr__(self, "confirm", _number("confirm", self.confirm, positive=False))
        if self.confirm is not None and self.confirm > 1:
            raise InputError(f"confirm: got {self.confirm:g}; expected a part, from 0 to 1")
        for name in ("partial", "self_test"):
            if not isinstance(getattr(self, name), bool | None):
                raise InputError(f"{name}: got {getattr(self, name)!r}; expected true or false")
        if self.stencil is not None and (self.method or self.order):
            raise InputError("stencil: got one together with a method or an order; it takes the place of both")
        for name in ("rel_step", "abs_step", "memory", "jitter", "deadline"):
            object.__setattr__(self, name, _number(name, getattr(self, name), positive=True))
        if self.deadline is not None and self.deadline > LONGEST_DEADLINE:
            raise InputError(f"deadline: got {self.deadline:g} s; expected at most {LONGEST_DEADLINE:g}")
        for name in ("rtol", "atol"):
            object.__setattr__(self, name, _number(name, getattr(self, name), positive=False))
        for name in ("order", "block_size", "batch_size", "seed"):
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, _whole(name, value))
        for name, least in (("block_size", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name}: got {value}; expected at least {least}")
        method = self.method or "central"
        if self.order is not None and method == "complex":
            raise InputError(f"order: got {self.order} with method 'complex', which has none: its error vanishes")
        if self.order is not None and self.order not in ORDERS[method]:
            orders = ", ".join(map(str, ORDERS[method]))
            raise InputError(f"order: got {self.order} with method {method!r}; expected one of {orders}")

    def over(self, base: Settings) -> Settings:
        """These options where they are set, and those of ``base`` elsewhere.

        A stencil here replaces the method and order there, and the other way round; a method replaces the
        order there too.
        """
        mine, theirs = self.chosen(), base.chosen()
        formula = ("method", "order", "stencil")
        if "method" in mine or "stencil" in mine or ("order" in mine and "stencil" in theirs):
            theirs = {name: value for name, value in theirs.items() if name not in formula}
        return Settings(**{**theirs, **mine})

    def chosen(self) -> dict[str, Any]:
        """The options that are set, as plain data."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def resolved(self, rtol: float, *, claimed: bool = True) -> Settings:
        """With the defaults filled in.

        Parameters
        ----------
        rtol : float
            The default that fits fun's precision.
        claimed : bool
            Whether there is an analytical gradient. Without one, nothing but the error bar tells a good
            derivative from a bad one, and every entry gets one from two steps.
        """
        defaults = Settings(refine="auto" if claimed else "all", rtol=rtol, atol=0.0, mode="full", seed=0)
        if self.stencil is None:
            method = self.method or "central"
            order = None if method == "complex" else self.order or DEFAULT_ORDER[method]
            return replace(self.over(defaults), method=method, order=order)
        return self.over(defaults)

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any], where: str) -> Settings:
        """From names to values; an unknown name is an `InputError` that names the closest."""
        names = [field.name for field in fields(cls)]
        for key in options:
            if key not in names:
                raise InputError(f"{where}: unknown key {key!r}; {closest(key, names)}")
        return cls(**options)


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value is not None and not (isinstance(value, str) and value in choices):
        raise InputError(f"{name}: got {value!r}; {closest(str(value), choices)}")


def _stencil(offsets: Any) -> tuple[int, ...] | None:
    if offsets is None:
        return None
    whole = isinstance(offsets, Iterable) and not isinstance(offsets, str | bytes | Mapping)
    found = list(islice(offsets, MOST_OFFSETS + 2)) if whole else []
    if not found:
        raise InputError(f"stencil: got {offsets!r}; expected whole numbers, as in (-2, -1, 1, 2)")
    found = [_whole("stencil", offset) for offset in found]
    distinct = {int(offset) for offset in found} - {0}
    if len(distinct) < len(found) - (0 in found) or not 0 < len(distinct) <= MOST_OFFSETS:
        raise InputError(f"stencil: got {offsets!r}; expected 1 to {MOST_OFFSETS} different offsets other than 0")
    if max(map(abs, distinct)) > FARTHEST_OFFSET:
        raise InputError(f"stencil: got {offsets!r}; expected offsets from -{FARTHEST_OFFSET} to {FARTHEST_OFFSET}")
    return tuple(sorted(distinct))


def _whole(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return int(operator.index(value))
    except TypeError:
        raise InputError(f"{name}: got {value!r}; expected a whole number") from None


def _typical(sizes: Any) -> float | dict[str, float] | None:
    if sizes is None:
        return None
    if not isinstance(sizes, Mapping):
        return _number("typical", sizes, positive=True)
    flat: dict[str, float] = {}
    for name, size in sizes.items():
        inner = _typical(size)
        if isinstance(inner, dict):
            flat |= {f"{name}/{below}": value for below, value in inner.items()}
        elif inner is not None:
            flat[str(name)] = inner
    return flat


def _number(name: str, value: Any, *, positive: bool) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"{name}: got {value!r}; expected a finite number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{name}: got {value!r}; expected a finite number")
    if number < 0 or (positive and number == 0):
        raise InputError(f"{name}: got {value!r}; expected a {'positive' if positive else 'non-negative'} number")
    return number
