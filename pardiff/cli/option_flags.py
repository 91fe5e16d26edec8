"""Flags that stand for `Settings`, shared by the commands that evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pardiff.problem.options import METHODS, REFINEMENTS


def _offsets(_: Any, __: Any, text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"got {text!r}; expected whole numbers with commas between, as in -2,-1,1,2") from None


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Flags that stand for `Settings`."""
    for option in (
        click.option(
            "--seed", type=int, help="Of the directions in which noise is measured, and of --jitter.  [default: 0]"
        ),
        click.option("--jitter", type=float, metavar="PART", help="Move x0 by up to this part of max(|x|, typical)."),
        click.option(
            "--confirm",
            type=float,
            metavar="PART",
            help="Share that another worker evaluates again.  [default: 0.005]",
        ),
        click.option(
            "--partial",
            is_flag=True,
            default=None,
            help="Exit by what the --budget has allowed to check.",
        ),
        click.option("--self-test", is_flag=True, default=None, help="Say which known faults would not pass."),
        click.option("--budget", metavar="AMOUNT", help="Passes (1e6) or time (90s, 10m, 2h) that may be spent."),
        click.option(
            "--deadline",
            type=float,
            metavar="SECONDS",
            help="For a parameter, until it hangs.  [default: far above its cost]",
        ),
        click.option("--memory", type=float, metavar="BYTES", help="What a batch of batch_fun may take."),
        click.option("--batch-size", type=int, help="Points in a call of batch_fun; 1 uses fun alone."),
        click.option("--block-size", type=int, help="Parameters in a block.  [default: about a second of work]"),
        click.option("--rel-step", type=float, help="Step of the first wave, relative to max(|x|, typical)."),
        click.option("--abs-step", type=float, help="Step of the first wave, in the units of the parameters."),
        click.option("--atol", type=float, help="Absolute tolerance.  [default: 0]"),
        click.option("--rtol", type=float, help="Relative tolerance.  [default: 1e-6; 1e-3 for a fun in float32]"),
        click.option("--order", type=int, help="Order of accuracy of the differences.  [default: 2]"),
        click.option(
            "--typical", type=float, help="Typical size of the parameters (by array in a job file or a Problem)."
        ),
        click.option(
            "--refine",
            type=click.Choice(REFINEMENTS),
            help="Search for the best step: where needed, everywhere, never.  [default: auto]",
        ),
        click.option("--stencil", callback=_offsets, metavar="OFFSETS", help="Any other stencil, such as -2,-1,1,2."),
        click.option("--method", type=click.Choice(METHODS), help="How derivatives are formed.  [default: central]"),
        click.option(
            "-k",
            "keyword",
            default="",
            metavar="EXPR",
            help="Select by parts of names, and/or/not.",
        ),
    ):
        command = option(command)
    return command
