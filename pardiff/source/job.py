"""Job files: TOML data that lists checks, the cluster and the store; never executed."""

from __future__ import annotations

import re
import tomllib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pardiff.errors import InputError, TargetError, closest
from pardiff.problem.options import NAMES, Options
from pardiff.source.targets import Broken, Importing, Target, find_targets

_TOP = ("out", "cluster", "check")
_CLUSTER = {"scheduler": str, "scheduler_file": str, "workers": int}


@dataclass(frozen=True)
class Job:
    """A job file, read."""

    targets: list[Target | Broken]
    out: str | None
    """Folder for the audits, relative to the job file, or an address of an object store."""
    scheduler: str | None
    scheduler_file: str | None
    workers: int | None


def read_job(path: Path, importing: Importing = nullcontext) -> Job:
    """Read and check a job file, and find the problems it names.

    Raises
    ------
    InputError
        If it is not TOML, has an unknown key (the closest is named) or a value of the wrong type.
    TargetError
        If there is no such file, or one of its targets does not exist.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetError(f"cannot read the job file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    _known(data, _TOP, str(path))
    cluster = data.get("cluster", {})
    _known(cluster, tuple(_CLUSTER), f"{path} [cluster]")
    for key, kind in _CLUSTER.items():
        if key in cluster and (not isinstance(cluster[key], kind) or isinstance(cluster[key], bool)):
            raise InputError(f"{path} [cluster] {key}: got {cluster[key]!r}; expected {kind.__name__}")
    checks = data.get("check", [])
    if not isinstance(checks, list) or not checks:
        raise InputError(f"{path}: no checks; expected one or more tables [[check]] with a target each")
    out = data.get("out")
    if out is not None and not isinstance(out, str):
        raise InputError(f"{path} out: got {out!r}; expected a folder")
    return Job(
        targets=[t for number, check in enumerate(checks, 1) for t in _check(path, number, check, importing)],
        out=out if out is None or "://" in out else str(path.parent / out),
        scheduler=cluster.get("scheduler"),
        scheduler_file=cluster.get("scheduler_file"),
        workers=cluster.get("workers"),
    )


def _known(table: Any, keys: tuple[str, ...], where: str) -> None:
    if not isinstance(table, dict):
        raise InputError(f"{where}: got {table!r}; expected a table")
    for key in table:
        if key not in keys:
            raise InputError(f"{where}: unknown key {key!r}; {closest(key, keys)}")


def _check(path: Path, number: int, check: Any, importing: Importing) -> list[Target | Broken]:
    where = f"{path} [[check]] {number}"
    names = ("target", "name", *NAMES)
    _known(check, names, where)
    target, name = check.get("target"), check.get("name")
    if not isinstance(target, str):
        got = "is missing" if target is None else f"got {target!r}"
        raise InputError(f"{where}: target: {got}; expected a text such as 'FILE.py::name'")
    try:
        options = Options(**{k: v for k, v in check.items() if k not in ("target", "name")})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    is_file = "::" in target or ":" not in target
    found = find_targets(str(path.parent / target) if is_file else target, importing)
    if name is not None:
        if len(found) != 1 or not isinstance(found[0], Target):
            raise InputError(f"{where}: name {name!r} needs a target that is one problem, not {len(found)}")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][\w-]*", name):
            raise InputError(f"{where}: name: got {name!r}; expected letters, digits, '_' or '-'")
        found = [replace(found[0], name=name, factory=found[0].factory or found[0].name)]
    return [replace(t, options=options) if isinstance(t, Target) else t for t in found]
