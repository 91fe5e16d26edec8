"""Targets of the command line: what they name, and the problems behind them."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from inspect import isfunction
from pathlib import Path
from typing import Any

from pardiff.errors import PardiffError, TargetError, closest
from pardiff.problem.options import Options
from pardiff.problem.problem import Problem, ProblemFactory
from pardiff.source.bundle import Code, execute_file, find_factory, module_sources, sha256, zip_sources


@dataclass(frozen=True)
class Target:
    """One problem to be checked: where its factory is, and what a job file sets for it."""

    text: str
    """The target as the user would write it: ``FILE.py::name`` or ``package.module:name``."""
    name: str
    """Name of the problem and of its audit's folder."""
    path: Path | None
    """The workflow file, or None for an importable module."""
    module: str
    """The module's name, or empty for a file."""
    options: Options = field(default_factory=Options)
    """Options set by the job file; they go over those that the problem pins."""
    factory: str = ""
    """Name of the factory where it is not that of the problem."""

    def load(self) -> tuple[Problem, Code, bytes]:
        """Build the problem here, and the code that builds it elsewhere (and its bundle).

        Raises
        ------
        TargetError
            If the code raises, with its sentence.
        """
        factory = self.factory or self.name
        try:
            if self.path is None:
                problem = find_factory(vars(importlib.import_module(self.module)), factory, self.module)()
                return problem, Code("module", self.module, factory, ""), b""
            bundle = zip_sources(self.path)
            problem = find_factory(execute_file(self.path), factory, str(self.path))()
            return problem, Code("file", self.path.name, factory, sha256(bundle)), bundle
        except PardiffError:
            raise
        except (Exception, SystemExit) as error:
            raise TargetError(f"{self.text}: {type(error).__name__}: {error}") from error

    def source(self) -> bytes:
        """What of the problem's source goes into the fingerprint."""
        if self.path is not None:
            return zip_sources(self.path)
        return module_sources(self.module)


@dataclass(frozen=True)
class Broken:
    """A target of a batch whose file cannot be imported."""

    text: str
    name: str
    error: str


Importing = Callable[[str], AbstractContextManager[Any]]
"""Surrounds the import of a file or module; may raise `TargetError`."""


def find_targets(text: str, importing: Importing = nullcontext) -> list[Target | Broken]:
    """All problems that one target of the command line names.

    Parameters
    ----------
    text : str
        ``FILE.py``, ``FILE.py::problem``, ``package.module:factory`` or a folder.
    importing : callable
        Called with the name of each file or module that is imported.

    Raises
    ------
    TargetError
        If there is no such file, folder, module or problem; the closest match is named.
    """
    head, colons, name = text.partition("::")
    path = Path(head)
    if path.is_dir() and not colons:
        return _in_folder(path, importing)
    if head.endswith(".py"):
        if not path.is_file():
            raise TargetError(f"no file {head!r}; {_closest_file(path)}")
        if not colons:
            return _in_file(path, importing)
        where = path.resolve()  # before its code can change the working directory
        find_factory(_names(path, importing), name, head)
        return [_target(path, name, where)]
    module, colon, factory = text.partition(":")
    if colon and not colons and module.replace(".", "").isidentifier():
        return [_in_module(module, factory, importing)]
    if path.exists():
        raise TargetError(f"{text!r} is not a target; expected FILE.py, FILE.py::name, a folder or a .toml job")
    raise TargetError(f"no target {text!r}; {_closest_file(path)}")


def _target(path: Path, name: str, where: Path) -> Target:
    return Target(f"{path}::{name}", name, where, "")


def _names(path: Path, importing: Importing) -> dict[str, Any]:
    try:
        with importing(str(path)):
            return execute_file(path)
    except TargetError:
        raise
    except (Exception, SystemExit) as error:
        raise TargetError(f"{path}: {type(error).__name__}: {error}") from error


def _in_file(path: Path, importing: Importing) -> list[Target | Broken]:
    where = path.resolve()
    found = {name: f for name, f in _names(path, importing).items() if isinstance(f, ProblemFactory)}
    if not found:
        raise TargetError(f"{path} has no problem; put @pardiff.problem above a function that returns one")
    module = f"pardiff_target_{path.stem}"
    # what is imported from another file belongs to that file
    own = {n: f for n, f in found.items() if not isfunction(f.build) or f.build.__module__ == module} or found
    first = {id(f): name for name, f in reversed(own.items())}
    return [_target(path, name, where) for name, f in own.items() if f.batch and first[id(f)] == name]


def _in_folder(folder: Path, importing: Importing) -> list[Target | Broken]:
    targets: list[Target | Broken] = []
    here = Path.cwd()
    for path in sorted(folder.glob("*.py")):
        os.chdir(here)  # wherever the code of another has gone
        try:
            if path.is_file() and _mentions_problem(path):
                targets.extend(_in_file(path, importing))
        except Exception as error:  # whatever is in a file, the others are run
            text = str(error) if isinstance(error, TargetError) else f"{path}: {type(error).__name__}: {error}"
            targets.append(Broken(str(path), path.stem, text))
    if not targets:
        raise TargetError(f"{folder} has no workflow; expected .py files with @pardiff.problem in them")
    return targets


def _mentions_problem(path: Path) -> bool:
    """Whether the file could define problems; helpers need not be imported, nor files that are not Python."""
    names = {
        getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "name", None)
        for node in ast.walk(ast.parse(path.read_bytes()))
    }
    return "problem" in names


def _in_module(module: str, factory: str, importing: Importing) -> Target:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with importing(module):
            names = vars(importlib.import_module(module))
    except TargetError:
        raise
    except ModuleNotFoundError as error:
        raise TargetError(f"cannot import {module!r}: {error}; install it or run from its folder") from error
    except (Exception, SystemExit) as error:
        raise TargetError(f"cannot import {module!r}: {type(error).__name__}: {error}") from error
    found = find_factory(names, factory, module)
    return Target(f"{module}:{factory}", found.name, None, module, factory=factory)


def _closest_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {str(folder)!r} either"
    names = [p.name for p in folder.iterdir() if p.suffix in (".py", ".toml") or p.is_dir()]
    return closest(path.name, names) if len(names) <= 12 else closest(path.name, names).split(";")[0]


def unique_names(targets: list[Target | Broken]) -> None:
    """Raise `TargetError` where two problems would share an audit's folder."""
    seen: dict[str, str] = {}
    for target in targets:
        if target.name in seen and isinstance(target, Target):
            raise TargetError(
                f"two problems are named {target.name!r} ({seen[target.name]} and {target.text}); rename one, "
                f"or run them with different --out"
            )
        seen[target.name] = target.text
