"""Flags that stand for `Options`, made from its fields, and shared by the commands that evaluate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from functools import wraps
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
    """Flags that stand for `Options`, given as ``options``, and ``-k`` to select problems, given as ``keyword``."""
    names = [option.name for option in fields(Options)]

    @wraps(command)
    def called(**given: Any) -> None:
        command(options=Options(**{name: given.pop(name) for name in names}), **given)

    for option in reversed(fields(Options)):
        called = _flag(option)(called)
    select = "Select problems by parts of their names, joined by and, or, not: 'mlp and not slow'."
    return click.option("-k", "keyword", default="", metavar="EXPR", help=select)(called)


CLUSTER = (
    click.option("--scheduler", metavar="ADDR", help="Address of a running Dask scheduler."),
    click.option("--scheduler-file", metavar="FILE", help="File that a Dask scheduler has written."),
    click.option(
        "--workers", type=int, help="Processes of the embedded cluster; 0 for this process.  [default: one per core]"
    ),
)
CONNECTION = (
    click.option("--tls-ca", metavar="FILE", help="Authority of the certificates of a tls:// scheduler."),
    click.option("--tls-cert", metavar="FILE", help="Certificate of this client."),
    click.option("--tls-key", metavar="FILE", help="Its key."),
    click.option("--insecure", is_flag=True, help="Talk to a scheduler on another machine in plain text."),
    click.option("--patience", type=float, metavar="SECONDS", help="How long to wait for a lost scheduler or worker."),
)


def cluster_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Flags that say where fun is evaluated, given as ``cluster``: a mapping for `pardiff.run`."""

    @wraps(command)
    def called(tls_ca: Any, tls_cert: Any, tls_key: Any, insecure: bool, patience: Any, **given: Any) -> None:
        from pardiff.batch.run_batch import Connection
        from pardiff.execution.security import Tls

        cluster = {name: given.pop(name) for name in ("scheduler", "scheduler_file", "workers")}
        cluster["connection"] = Connection(Tls(tls_ca, tls_cert, tls_key), insecure, patience)
        command(cluster=cluster, **given)

    for flag in reversed((*CLUSTER, *CONNECTION)):
        called = flag(called)
    return called
