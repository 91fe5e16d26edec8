"""What must be the same for two runs to be of one audit: the code of a problem, its point and its options."""

from __future__ import annotations

import hashlib
import inspect
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError
from pardiff.problem.options import OPERATIONAL, Resolved
from pardiff.problem.parsing import parameters_digest
from pardiff.problem.problem import Problem
from pardiff.problem.space import FloatArray, Space
from pardiff.source.bundle import Code, sha256

DEEPEST = 6
"""Levels of objects within objects that count for what something is."""


@dataclass(frozen=True)
class Source:
    """The code of a problem, for workers and for the fingerprint."""

    target: str
    """The target as the user wrote it."""
    code: Code
    bundle: bytes
    """Content of the bundle; empty for an importable module."""
    digest: str
    """SHA-256 of the source text."""


def fingerprint_of(
    space: Space,
    arrays: list[NDArray[Any]],
    bounds: tuple[FloatArray, FloatArray] | None,
    resolved: Resolved,
    source: Source,
    problem: Problem,
) -> dict[str, Any]:
    """What must be the same for two runs to be one audit; the sizes of blocks and batches need not be."""
    chosen = {key: value for key, value in resolved.to_json().items() if key not in OPERATIONAL}
    identity = {
        "source": source.digest,
        "x0": parameters_digest(space, arrays),
        "bounds": None if bounds is None else sha256(bounds[0].tobytes() + bounds[1].tobytes()),
        "terms": problem.terms,
        "vjp": problem.vjp is not None,
        "batch_fun": _description(problem.batch_fun),
        "incremental": _description(problem.incremental),
        **chosen,
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity))  # tuples become lists, as they do in a store
    return plain


def pickled_source(problem: Problem) -> Source:
    """Code of a problem that was given as Python objects."""
    import cloudpickle

    try:
        bundle: bytes = cloudpickle.dumps(problem.without_point())
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
