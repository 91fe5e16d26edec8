"""Flags that stand for `Options`, made from its fields, and shared by the commands that evaluate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any

import click

from pardiff.problem.options import Options


def _offsets(_: Any, __: Any, text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"got {text!r}; expected whole numbers with commas between, as in -2,-1,1,2") from None


def _flag(option: Field[Any]) -> Callable[..., Any]:
    """The flag of an option."""
    more: dict[str, Any] = {"help": option.metadata["help"]}
    kind = str(option.type)
    if kind.startswith("bool"):
        more |= {"is_flag": True, "default": None}
    elif choices := getattr(option.metadata["check"], "choices", None):
        more["type"] = click.Choice(choices)
    elif kind.startswith("Sequence"):
        more["callback"] = _offsets
    elif kind.startswith(("int", "float")):
        more["type"] = int if kind.startswith("int") else float
    if option.metadata["metavar"]:
        more["metavar"] = option.metadata["metavar"]
    return click.option(f"--{option.name.replace('_', '-')}", option.name, **more)


def options_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Flags that stand for `Options`, and ``-k`` to select problems."""
    for option in reversed(fields(Options)):
        command = _flag(option)(command)
    select = "Select problems by parts of their names, joined by and, or, not."
    return click.option("-k", "keyword", default="", metavar="EXPR", help=select)(command)
