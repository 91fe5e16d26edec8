"""Whether two runs are one audit: the code of a problem, its fingerprint, and values that must not change."""

from __future__ import annotations

import hashlib
import inspect
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pardiff.comparison.findings import same_value
from pardiff.errors import FingerprintError, InputError, StoreError
from pardiff.evaluation.baseline import Start
from pardiff.problem.options import OPERATIONAL, Settings
from pardiff.problem.problem import Problem
from pardiff.problem.space import parameters_digest
from pardiff.source.bundle import Code, sha256

DEEPEST = 6
"""Levels of objects within objects that count for what something is."""


@dataclass(frozen=True)
class Source:
    """Where the code of a problem comes from, for workers and for the fingerprint."""

    target: str
    """As the user wrote it."""
    code: Code
    bundle: bytes
    """Content of the bundle; empty for an importable module."""
    digest: str
    """Of the source text."""


def fingerprint_of(start: Start, settings: Settings, source: Source, problem: Problem) -> dict[str, Any]:
    """What must be the same for two runs to be one audit; the sizes of blocks and batches need not be."""
    bounds = None if start.bounds is None else sha256(start.bounds[0].tobytes() + start.bounds[1].tobytes())
    chosen = {k: v for k, v in asdict(settings).items() if k not in OPERATIONAL}
    identity = {
        "source": source.digest,
        "x0": parameters_digest(start.layout, start.arrays),
        "bounds": bounds,
        "terms": problem.terms,
        "batch_fun": _description(problem.batch_fun),
        "incremental": _description(problem.incremental),
        **chosen,
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity))  # tuples become lists, as they do in a store
    return plain


def has_parameters(ledger: Any, digest: str) -> bool:
    """Whether x0 in a store is whole."""
    try:
        return parameters_digest(ledger.layout, ledger.parameters()) == digest
    except StoreError:
        return False


def check_value(ledger: Any, start: Start) -> None:
    """Refuse to go on where fun at x0 has changed, as it does when its data has."""
    before = ledger.info["start"]
    if before["value"] != before["repeat"] or start.value != start.repeat:
        return  # not deterministic; that is a finding of its own
    pairs = [("at x0", before["value"], start.value), ("near x0", before["probe"], start.probe)]
    for where, there, here in pairs:
        if not abs(here - there) <= same_value(before, there):
            raise FingerprintError(
                f"the audit at {ledger.address} was started with another value of fun {where} (there: {there!r}, "
                f"now: {here!r}); its data or source must have changed: --fresh (or removing the folder) starts over"
            )


def pickled_source(problem: Problem) -> Source:
    """Code of a problem that was given as Python objects."""
    import cloudpickle

    try:
        bundle: bytes = cloudpickle.dumps(without_point(problem))
    except Exception as error:
        raise InputError(
            f"fun cannot be sent to workers or kept with an audit: {type(error).__name__}: {error}"
        ) from error
    digest = hashlib.sha256(_source_of(problem.fun))
    try:
        digest.update(pickle.dumps(_ordered(problem.args)))
    except Exception:  # arguments without a fixed form are left to the comparison of values of fun
        digest.update(repr(type(problem.args)).encode())
    return Source("in memory", Code("pickle", "", "", sha256(bundle)), bundle, digest.hexdigest())


def _ordered(item: Any) -> Any:
    """Lists and mappings with sets in a fixed order, which is another in each process."""
    if isinstance(item, set | frozenset):
        return [type(item).__name__, *sorted(map(repr, item))]
    if type(item) in (list, tuple):
        return type(item)(_ordered(part) for part in item)
    if type(item) is dict:
        return {key: _ordered(part) for key, part in item.items()}
    return item


def _description(item: Any) -> str | None:
    """Digest of what an object is made of, as far as it has a fixed form; None for None."""
    if item is None:
        return None
    digest = hashlib.sha256()
    _take_in(digest, item, 0)
    return digest.hexdigest()


def _take_in(digest: Any, item: Any, depth: int) -> None:
    if depth > DEEPEST:
        return
    if isinstance(item, np.ndarray):
        digest.update(f"{item.dtype} {item.shape}".encode() + np.ascontiguousarray(item).tobytes())
    elif item is None or isinstance(item, str | bytes | int | float | complex | np.generic):
        digest.update(repr(item).encode())
    elif isinstance(item, list | tuple):
        for part in item:
            _take_in(digest, part, depth + 1)
    elif isinstance(item, dict):
        for key, part in item.items():
            digest.update(repr(key).encode())
            _take_in(digest, part, depth + 1)
    elif isinstance(item, set | frozenset):
        _take_in(digest, _ordered(item), depth + 1)
    elif isinstance(item, np.ufunc):
        digest.update(item.__name__.encode())
    elif callable(item) and hasattr(item, "__code__"):
        digest.update(_source_of(item))
    else:
        digest.update(type(item).__qualname__.encode())
        with suppress(OSError, TypeError):
            digest.update(inspect.getsource(type(item)).encode())
        _take_in(digest, {k: v for k, v in getattr(item, "__dict__", {}).items() if not k.startswith("_")}, depth + 1)


def _source_of(fun: Callable[..., Any]) -> bytes:
    """Source text where there is one, the compiled code otherwise. Pickles differ from run to run."""
    try:
        return inspect.getsource(fun).encode()
    except (OSError, TypeError):
        code = getattr(fun, "__code__", None)
        return type(fun).__qualname__.encode() if code is None else code.co_code + repr(code.co_names).encode()


def name_of(fun: Callable[..., Any]) -> str:
    """Name of a problem that has none of its own."""
    name = getattr(fun, "__name__", type(fun).__name__)
    return "gradcheck" if name == "<lambda>" else str(name)


def without_point(problem: Problem) -> Problem:
    """The problem as workers need it: x0 reaches them on its own way, and they never call grad."""
    return problem.replaced(grad=None, x0=np.zeros(1))
