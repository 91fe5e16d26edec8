"""How a problem is checked: the options that `gradcheck`, `Problem`, job files and flags share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from pardiff.errors import InputError, closest

METHODS = ("central", "forward", "backward")
ORDERS = {"central": (2, 4, 6, 8), "forward": (1, 2, 3, 4), "backward": (1, 2, 3, 4)}
MODES = ("full",)
DEFAULT_ORDER = {"central": 2, "forward": 1, "backward": 1}


@dataclass(frozen=True)
class Settings:
    """Options of a check; None means that nobody has chosen."""

    method: str | None = None
    """``central``, ``forward`` or ``backward`` (default central)."""
    order: int | None = None
    """Order of accuracy of the stencil: central 2, 4, 6, 8 (default 2); one-sided 1 to 4 (default 1)."""
    rel_step: float | None = None
    """Step relative to ``max(|x|, 1)``; default from the precision of fun."""
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
    seed: int | None = None
    """Seed of what is drawn (default 0): the directions in which the noise of fun is measured."""

    def __post_init__(self) -> None:
        """Check each option that is set."""
        _choice("method", self.method, METHODS)
        _choice("mode", self.mode, MODES)
        for name in ("rel_step", "abs_step"):
            object.__setattr__(self, name, _number(name, getattr(self, name), positive=True))
        for name in ("rtol", "atol"):
            object.__setattr__(self, name, _number(name, getattr(self, name), positive=False))
        for name in ("order", "block_size", "seed"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise InputError(f"{name}: got {value!r}; expected a whole number")
            object.__setattr__(self, name, int(value))
        if self.block_size is not None and self.block_size < 1:
            raise InputError(f"block_size: got {self.block_size}; expected at least 1")
        if self.order is not None and self.order not in ORDERS[self.method or "central"]:
            orders = ", ".join(map(str, ORDERS[self.method or "central"]))
            raise InputError(
                f"order: got {self.order} with method {self.method or 'central'!r}; expected one of {orders}"
            )

    def over(self, base: Settings) -> Settings:
        """These options where they are set, and those of ``base`` elsewhere."""
        return Settings(**{**base.chosen(), **self.chosen()})

    def chosen(self) -> dict[str, Any]:
        """The options that are set, as plain data."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def resolved(self, rtol: float) -> Settings:
        """With the defaults filled in; ``rtol`` is the default that fits fun's precision."""
        method = self.method or "central"
        return self.over(Settings(method, DEFAULT_ORDER[method], rtol=rtol, atol=0.0, mode="full", seed=0))

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any], where: str) -> Settings:
        """From names to values; an unknown name is an `InputError` that names the closest."""
        names = [field.name for field in fields(cls)]
        for key in options:
            if key not in names:
                raise InputError(f"{where}: unknown key {key!r}; {closest(key, names)}")
        return cls(**options)


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise InputError(f"{name}: got {value!r}; {closest(str(value), choices)}")


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
