"""How much an audit may spend: passes of fun, or wall time, over all runs of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pardiff.errors import InputError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Budget:
    """A limit; one of the two is infinite."""

    passes: float = math.inf
    seconds: float = math.inf

    @classmethod
    def parse(cls, text: str | float) -> Budget:
        """Read a number of passes, or a time with a unit.

        Examples
        --------
        >>> Budget.parse("1e6"), Budget.parse("1.5h")
        (Budget(passes=1000000.0, seconds=inf), Budget(passes=inf, seconds=5400.0))

        Raises
        ------
        InputError
            If it is neither.
        """
        match = re.fullmatch(r"\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*([smhd]?)\s*", str(text))
        number = float(match[1]) if match else 0.0
        number *= UNITS[match[2]] if match and match[2] else 1.0
        if match is None or not 0 < number < math.inf:
            raise InputError(f"budget: got {text!r}; expected passes, such as 1e6, or a time, such as 90s, 10m or 2h")
        return cls(seconds=number) if match[2] else cls(passes=number)

    def leaves(self, passes: float, seconds: float, part: float = 1.0) -> bool:
        """Whether something is left of a part of it."""
        return passes < part * self.passes and seconds < part * self.seconds
