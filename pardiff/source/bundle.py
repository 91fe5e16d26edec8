"""How the code of a problem travels: content-addressed bytes that only the run that wrote them executes.

A workflow file travels by value, as a zip of the file and of the modules beside it that it imports; an
importable package travels by name; a function given to `gradcheck` travels as a cloudpickle.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import io
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pardiff.errors import TargetError, WorkerError, closest
from pardiff.problem.problem import ProblemFactory
from pardiff.source.scratch import make_scratch


@dataclass(frozen=True)
class Code:
    """Tells a worker where to find the factory of a problem."""

    kind: str
    """``file`` (a zip of sources), ``module`` (imported by name) or ``pickle`` (a cloudpickle)."""
    entry: str
    """The file within the zip, or the name of the module; empty for a pickle."""
    name: str
    """The factory's name; empty for a pickle."""
    sha256: str
    """Digest of the bundle; empty for a module."""

    @property
    def filename(self) -> str:
        """Name of the bundle within the folder ``code``."""
        return f"{self.sha256}.{'zip' if self.kind == 'file' else 'pkl'}"


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def zip_sources(path: Path) -> bytes:
    """The file and the modules beside it that it imports, as a zip with the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sorted(set(_local_sources(path.resolve()))):
            # a fixed date, so that the digest depends on the content alone
            info = zipfile.ZipInfo(source.relative_to(path.resolve().parent).as_posix(), (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, source.read_bytes())
    return buffer.getvalue()


def _local_sources(path: Path) -> Iterator[Path]:
    """The file and, transitively, the modules and packages in its folder that it names in an import."""
    folder, todo, seen = path.parent, [path], set[Path]()
    while todo:
        source = todo.pop()
        if source in seen:
            continue
        seen.add(source)
        yield source
        for name in _imported(source):
            top = name.split(".")[0]
            if top == "pardiff":  # installed everywhere, also where a workflow lies beside its sources
                continue
            if (module := folder / f"{top}.py").is_file():
                todo.append(module)
            elif (package := folder / top).is_dir():
                todo.extend(package.rglob("*.py"))


def _imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


_active = threading.RLock()
_sources: set[Path] = set()
"""Files of the problem at hand."""


def execute_file(path: Path) -> dict[str, Any]:
    """Import a file under its own name, with its folder first on the path, and return its names.

    The modules of the file that was executed before are forgotten, so that two folders may each
    have, say, a ``common.py``.
    """
    path = path.resolve()
    with _active:
        sources = set(_local_sources(path))
        if _sources and sources != _sources:
            _forget()
        _sources.update(sources)
        if sys.path[0] != str(path.parent):
            sys.path.insert(0, str(path.parent))
        importlib.invalidate_caches()
        spec = importlib.util.spec_from_file_location(f"pardiff_target_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise TargetError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return vars(module)


def _forget() -> None:
    for folder in {str(source.parent) for source in _sources}:
        if folder in sys.path:
            sys.path.remove(folder)
    for name, module in list(sys.modules.items()):
        source = getattr(module, "__file__", None)
        if name != "__main__" and source and Path(source) in _sources:
            del sys.modules[name]
    _sources.clear()


def module_sources(module: str) -> bytes:
    """What of an importable module's source goes into a fingerprint: its package, or it and what lies beside it."""
    file = getattr(importlib.import_module(module), "__file__", None)
    if file is None:
        return module.encode()
    path = Path(file)
    package = getattr(importlib.import_module(module.partition(".")[0]), "__file__", None)
    if package is None or Path(package).name != "__init__.py":
        return zip_sources(path)
    return b"".join(source.read_bytes() for source in sorted(Path(package).parent.rglob("*.py")))


def find_factory(names: dict[str, Any], name: str, where: str) -> ProblemFactory:
    """The factory of that name, or a `TargetError` that names the closest."""
    found = {key: value for key, value in names.items() if isinstance(value, ProblemFactory)}
    if name in found:
        return found[name]
    if callable(names.get(name)):
        raise TargetError(f"{where}: {name!r} is not a problem; put @pardiff.problem above it")
    raise TargetError(f"{where}: no problem {name!r}; {closest(name, found)}")


def load_factory(code: Code, read: Callable[[str], bytes]) -> Callable[[], Any]:
    """The factory that a `Code` names; runs in the process that evaluates.

    Parameters
    ----------
    code : Code
    read : callable
        Gives the bytes of a bundle by its file name.

    Raises
    ------
    WorkerError
        If the bundle is not the one that was named, or its code cannot be imported here.
    """
    with _active:
        return _load(code, read)


def _load(code: Code, read: Callable[[str], bytes]) -> Callable[[], Any]:
    try:
        if code.kind == "module":
            return find_factory(vars(importlib.import_module(code.entry)), code.name, code.entry)
        data = read(code.filename)
        if sha256(data) != code.sha256:
            raise WorkerError(f"code/{code.filename} does not have the content it is named for; not executed")
        if code.kind == "pickle":
            import cloudpickle

            problem = cloudpickle.loads(data)
            return lambda: problem
        return find_factory(execute_file(_unpack(code, data)), code.name, code.entry)
    except (WorkerError, TargetError):
        raise
    except Exception as error:
        what = code.entry or "the pickled function"
        raise WorkerError(f"cannot load {what} here: {type(error).__name__}: {error}") from error


_unpacked: tuple[str, tempfile.TemporaryDirectory[str]] | None = None
"""Digest and sources of the problem at hand: they stay while it may import more of them, and go with the process."""


def _unpack(code: Code, data: bytes) -> Path:
    global _unpacked
    if _unpacked is not None and _unpacked[0] == code.sha256:  # another thread of this worker was first
        return Path(_unpacked[1].name) / code.entry
    if _unpacked is not None:
        _unpacked[1].cleanup()
    made = make_scratch()
    _unpacked = (code.sha256, made)
    folder = Path(made.name)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            target = (folder / info.filename).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise WorkerError(f"code/{code.filename} has an entry outside its folder: {info.filename!r}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(info))
    return folder / code.entry
