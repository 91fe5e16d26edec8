"""How a problem is checked: options as they are given, and as they are once every default is filled in.

An option is written down once, as a field of `Options` with its check and its sentence of help. The flags of the
command line, the keys of job files, the keywords of `gradcheck` and the table in the documentation follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypedDict

from pardiff.errors import InputError, closest
from pardiff.problem import option_checks as check
from pardiff.problem.budget import Budget

ORDERS = {"central": (2, 4, 6, 8), "forward": (1, 2, 3, 4), "backward": (1, 2, 3, 4), "richardson": (4, 6, 8)}
"""Orders of accuracy by method."""
DEFAULT_ORDER = {"central": 2, "forward": 1, "backward": 1, "richardson": 4}
LONGEST_DEADLINE = 1e7
"""Seconds, a third of a year; clocks count no further than some hundred years."""
MEMORY = 32e6
"""Bytes of a batch of parameters: what the last level of a usual cache holds."""
MOST_PROBES = 1000
PROBES = 3
"""Cotangents of each output: a fault of one element is seen by every one of them, and one that a random cotangent hides
is not hidden by three."""
FORMULA = ("method", "order", "stencil")
"""Options that name the formula; one of them replaces those of an earlier choice."""


def _option(checked: check.Check, text: str, *, metavar: str = "", finds: bool = True) -> Any:
    """A field of `Options`; ``finds`` says whether it changes what an audit finds, and not only how it is run."""
    return field(default=None, metadata={"check": checked, "help": text, "metavar": metavar, "finds": finds})


@dataclass(frozen=True)
class Options:
    """Options of a check as they are given; the rest of this docstring is made from the fields, below."""

    method: str | None = _option(
        check.one_of(*ORDERS, "complex"),
        "How derivatives are formed: central, forward or backward differences, richardson (central differences at "
        "steps h, 2h, 4h, ..., extrapolated), or complex (one pass with an imaginary step, for an analytic fun).  "
        "[default: central]",
    )
    order: int | None = _option(
        check.whole(1),
        "Order of accuracy: 2, 4, 6 or 8 for central, 1 to 4 for forward and backward, 4, 6 or 8 for richardson.  "
        "[default: 2, 1, 4]",
    )
    stencil: Sequence[int] | None = _option(
        check.offsets,
        "Offsets of any other stencil in units of the step, such as -2,-1,1,2, in place of method and order.",
        metavar="OFFSETS",
    )
    refine: str | None = _option(
        check.one_of("auto", "all", "none"),
        "auto: search for the best step where an entry does not clearly pass. all: also use two steps for every entry, "
        "which doubles the passes. none: never search; a wrong gradient is then INCONCLUSIVE.  [default: auto; all "
        "without a gradient]",
    )
    typical: float | Mapping[str, Any] | None = _option(
        check.sizes,
        "Typical size of a parameter, which sets the step where x is near 0. A job file or a Problem may give one for "
        "each array.  [default: 1]",
    )
    rel_step: float | None = _option(
        check.number(positive=True),
        "Step of the first wave relative to max(|x|, typical).  [default: from the precision of fun]",
    )
    abs_step: float | None = _option(
        check.number(positive=True), "Step of the first wave in the units of the parameters, in place of rel_step."
    )
    rtol: float | None = _option(
        check.number(positive=False),
        "Relative tolerance of a verdict.  [default: 1e-6; 1e-3 where fun returns float32, 1e-2 float16]",
    )
    atol: float | None = _option(check.number(positive=False), "Absolute tolerance of a verdict.  [default: 0]")
    mode: str | None = _option(
        check.one_of("full"), "full checks every entry; it is the only mode so far.  [default: full]"
    )
    probes: int | None = _option(
        check.whole(1, MOST_PROBES),
        f"Random cotangents of each output with which a vjp is checked.  [default: {PROBES}]",
    )
    block_size: int | None = _option(
        check.whole(1), "Parameters in a block.  [default: about a second of work]", finds=False
    )
    batch_size: int | None = _option(
        check.whole(1),
        "Points in one call of batch_fun. With 1, batch_fun is not used.  [default: found by a short timing run]",
        finds=False,
    )
    memory: float | None = _option(
        check.number(positive=True),
        "Bytes that the parameters of a batch may take.  [default: 32e6]",
        metavar="BYTES",
        finds=False,
    )
    seed: int | None = _option(
        check.whole(0),
        "Seed of what is drawn: cotangents, jitter, and the directions in which noise is measured.  [default: 0]",
    )
    jitter: float | None = _option(
        check.number(positive=True),
        "Move each parameter of x0 by a random amount, at most this fraction of max(|x|, typical). The seed fixes the "
        "amounts.",
        metavar="FRACTION",
    )
    deadline: float | None = _option(
        check.number(positive=True, most=LONGEST_DEADLINE, unit=" s"),
        "Seconds after which a parameter counts as hung.  [default: 60, or 100 times its measured cost]",
        metavar="SECONDS",
        finds=False,
    )
    budget: str | float | None = _option(
        check.budget,
        "Passes (1e6) or time (90s, 10m, 2h) that all runs of an audit together may spend.",
        metavar="AMOUNT",
        finds=False,
    )
    confirm: float | None = _option(
        check.number(positive=False, most=1.0),
        "Fraction of the parameters that a second worker also evaluates.  [default: 0.005 in long jobs]",
        metavar="FRACTION",
        finds=False,
    )
    partial: bool | None = _option(
        check.boolean,
        "If the budget runs out, exit with the verdict of the checked entries, and not with 4.",
        finds=False,
    )
    self_test: bool | None = _option(
        check.boolean, "Say in the report which known faults would not have passed.", finds=False
    )

    def __post_init__(self) -> None:
        """Check each option that is set."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                object.__setattr__(self, each.name, each.metadata["check"](each.name, value))
        if self.stencil is not None and (self.method or self.order):
            raise InputError("stencil: got one together with a method or an order; it takes the place of both")
        method = self.method or "central"
        if self.order is not None and method == "complex":
            raise InputError(f"order: got {self.order} with method 'complex', which has none: its error vanishes")
        if self.order is not None and self.order not in ORDERS[method]:
            orders = ", ".join(map(str, ORDERS[method]))
            raise InputError(f"order: got {self.order} with method {method!r}; expected one of {orders}")

    def __repr__(self) -> str:
        """Only what is set."""
        return f"Options({', '.join(f'{name}={value!r}' for name, value in self.chosen().items())})"

    def over(self, base: Options) -> Options:
        """These options where they are set, and those of ``base`` elsewhere.

        A stencil here replaces the method and order there, and the other way round; a method replaces the
        order there too.
        """
        mine, theirs = self.chosen(), base.chosen()
        if "method" in mine or "stencil" in mine or ("order" in mine and "stencil" in theirs):
            theirs = {name: value for name, value in theirs.items() if name not in FORMULA}
        return Options(**{**theirs, **mine})

    def chosen(self) -> dict[str, Any]:
        """The options that are set, as plain data."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def resolved(self, rtol: float, *, has_analytical: bool = True) -> Resolved:
        """Fill in the defaults.

        Parameters
        ----------
        rtol : float
            The default that fits fun's precision.
        has_analytical : bool
            Whether there is an analytical derivative. Without one, nothing but the error bar tells a good
            derivative from a bad one, and every entry gets one from two steps.
        """
        given = self.chosen()
        method = order = None
        if self.stencil is None:
            method = self.method or "central"
            order = None if method == "complex" else self.order or DEFAULT_ORDER[method]
        defaults = {
            "refine": "auto" if has_analytical else "all", "rtol": rtol, "atol": 0.0, "mode": "full", "seed": 0,
            "probes": PROBES, "memory": MEMORY, "partial": False, "self_test": False,
        }  # fmt: skip
        return Resolved(**{**dict.fromkeys(NAMES), **defaults, **given, "method": method, "order": order})

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any], where: str, others: Sequence[str] = ()) -> Options:
        """Make options from names and values; an unknown name is an `InputError` that names the closest.

        Parameters
        ----------
        others : sequence of str
            Names that are known there besides, and may have been meant.
        """
        for key in options:
            if key not in NAMES:
                raise InputError(f"{where}: unknown key {key!r}; {closest(key, [*NAMES, *others])}")
        return cls(**options)


NAMES = tuple(each.name for each in fields(Options))
Options.__doc__ = "\n".join(
    [
        "Options of a check as they are given; None means that nobody has chosen.",
        "",
        "Parameters",
        "----------",
        *(
            f"{each.name} : {each.type}\n    {each.metadata['help']}".replace(
                "max(|x|, typical)", "``max(|x|, typical)``"
            )
            for each in fields(Options)
        ),
        "",
        "Examples",
        "--------",
        ">>> Options(order=4).over(Options(order=2, rtol=1e-5))",
        "Options(order=4, rtol=1e-05)",
    ]
)
OPERATIONAL = tuple(each.name for each in fields(Options) if not each.metadata["finds"])
"""Options that change how an audit is carried out and not what it finds."""


class OptionKeywords(TypedDict, total=False):
    """The keywords of `gradcheck` and `Problem` that are fields of `Options`, for type checkers."""

    method: str | None
    order: int | None
    stencil: Sequence[int] | None
    refine: str | None
    typical: float | Mapping[str, Any] | None
    rel_step: float | None
    abs_step: float | None
    rtol: float | None
    atol: float | None
    mode: str | None
    probes: int | None
    block_size: int | None
    batch_size: int | None
    memory: float | None
    seed: int | None
    jitter: float | None
    deadline: float | None
    budget: str | float | None
    confirm: float | None
    partial: bool | None
    self_test: bool | None


@dataclass(frozen=True)
class Resolved:
    """Options of a check with every default filled in; None is left where an option is off, or chosen by the engine."""

    method: str | None
    """None where a stencil takes its place."""
    order: int | None
    """None with a stencil, and with the complex step, which has none."""
    stencil: tuple[int, ...] | None
    refine: str
    typical: float | Mapping[str, float] | None
    rel_step: float | None
    abs_step: float | None
    rtol: float
    atol: float
    mode: str
    probes: int
    block_size: int | None
    batch_size: int | None
    memory: float
    seed: int
    jitter: float | None
    deadline: float | None
    budget: str | float | None
    confirm: float | None
    partial: bool
    self_test: bool

    @property
    def limit(self) -> Budget:
        """The budget; infinite where none is set."""
        return Budget() if self.budget is None else Budget.parse(self.budget)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Resolved:
        """The inverse of :meth:`to_json`; an `InputError` or a TypeError where it is altered."""
        given = Options.from_mapping(data, "options")
        return cls(**{**data, "stencil": given.stencil, "typical": given.typical})

    def as_options(self) -> Options:
        """The same as options that are all chosen."""
        return Options(**{name: value for name, value in vars(self).items() if value is not None})
