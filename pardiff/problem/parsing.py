"""What users give as x0, as a gradient or as bounds, taken apart and checked against the structure of x0."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.errors import InputError, closest
from pardiff.problem.space import FloatArray, Space, Structure, Template, label, space_of

SINGLE = "x"
"""Name of the only leaf where x0 is an array."""
PIECE = 1 << 20
"""Elements that are tested for being finite in one go."""
_RESERVED = ("zarr.json", ".", "..")


def is_sequence(value: Any) -> bool:
    """Whether a list or tuple holds arrays; one of numbers, or of lists of numbers, is itself an array.

    >>> is_sequence([np.ones(2), np.ones(3)]), is_sequence([1.0, 2.0]), is_sequence([[1.0], [2.0]])
    (True, False, False)
    """
    return isinstance(value, list | tuple) and any(
        isinstance(item, Mapping) or is_sequence(item) or (hasattr(item, "shape") and not isinstance(item, np.generic))
        for item in value
    )


def template_of(value: Structure, what: str = "x0") -> Template:
    """A structure without its arrays.

    >>> template_of({"a": np.ones(2), "b": (np.ones(1), np.ones(3))})
    {'mapping': {'a': None, 'b': {'tuple': [None, None]}}}
    """
    if isinstance(value, Mapping):
        for key in value:
            if not _is_name(key):
                raise InputError(
                    f"{what}: {key!r} cannot name an array; expected a text of 1 to 200 bytes without '/' or '\\'"
                )
        return {"mapping": {key: template_of(item, what) for key, item in value.items()}}
    if not is_sequence(value):
        return None
    if type(value) not in (list, tuple):
        raise InputError(
            f"{what}: got a {type(value).__name__}; expected a mapping, or a plain list or tuple, of arrays"
        )
    return {type(value).__name__: [template_of(item, what) for item in value]}


def _is_name(key: Any) -> bool:
    """Whether a name can be part of a path in a store."""
    if not isinstance(key, str) or not 0 < len(os.fsencode(key)) <= 200 or key in _RESERVED:
        return False
    return not any(c in "/\\\0" or "\ud800" <= c <= "\udfff" for c in key)


def _walk(value: Any, template: Template, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Items of a value by their joined names, as far as it and the template allow to go down."""
    if isinstance(value, Mapping):
        inner = (template or {}).get("mapping", {})
        for key, item in value.items():
            yield from _walk(item, inner.get(key), (*path, str(key)))
    elif template is not None and "mapping" not in template and isinstance(value, list | tuple):
        (items,) = template.values()
        for number, item in enumerate(value):
            yield from _walk(item, items[number] if number < len(items) else None, (*path, str(number)))
    else:
        yield "/".join(path), value


def named_leaves(x: Structure, single: str = SINGLE, what: str = "x0") -> list[tuple[str, Any]]:
    """Arrays of a structure with their names, in order.

    ``single`` names the only one of a bare array, and is the first part of the names of a sequence: ``x/0``, ``x/1``.
    """
    try:
        template = template_of(x, what)
    except RecursionError:
        raise InputError(f"{what}: the structure is too deep, or holds itself") from None
    return list(_walk(x, template, _prefix(template, single)))


def _prefix(template: Template, single: str) -> tuple[str, ...]:
    """The first part of the names of leaves: those of a mapping begin with its own names."""
    return () if template is not None and "mapping" in template else (single,)


def parse_x0(x0: Structure, *, copy: bool = True) -> tuple[Space, list[NDArray[Any]]]:
    """Check x0 and take it apart.

    Parameters
    ----------
    x0 : array_like, mapping, list or tuple
        An array of floats or integers of any shape, or a (nested) mapping, list or tuple of them.
    copy : bool
        False to share memory with x0 where that is possible.

    Returns
    -------
    space : Space
    arrays : list of ndarray
        A private C-contiguous copy of each leaf, in the order of the space; integers as float64.

    Raises
    ------
    InputError
        If x0 is not real, not finite, or has names that cannot be stored.
    """
    found = named_leaves(x0)
    arrays = [_parse_leaf(name, value, copy) for name, value in found]
    items = [(name, array.shape, array.dtype) for (name, _), array in zip(found, arrays, strict=True)]
    names = [name for name, _ in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"x0: two arrays would be named {twice!r}; rename one")
    return space_of(items, template_of(x0)), arrays


def integer_leaves(x0: Structure) -> tuple[str, ...]:
    """Names of the arrays of x0 that hold integers."""
    return tuple(name for name, value in named_leaves(x0) if np.asarray(value).dtype.kind in "iu")


def _parse_leaf(name: str, value: Any, copy: bool) -> NDArray[Any]:
    if isinstance(value, np.ma.MaskedArray | np.matrix):
        raise InputError(f"x0: array {name!r} is a {type(value).__name__}; expected a plain array: np.asarray(...) it")
    array = _as_array(value, f"x0: array {name!r}", "; several arrays go into a mapping, a list or a tuple")
    if array.dtype.kind in "iu":
        array, copy = array.astype(np.float64), False
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        remedy = ": convert it with .astype(float)" if array.dtype.kind == "b" else " of 64, 32 or 16 bits"
        raise InputError(f"x0: array {name!r} has dtype {array.dtype}; expected real floating point{remedy}")
    if not _is_finite(array):
        where = label(name, tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0]))
        raise InputError(f"x0: {where} is {array[~np.isfinite(array)][0]}; expected finite parameters")
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=copy or None)


def _as_array(value: Any, what: str, hint: str = "") -> NDArray[Any]:
    """An array, or an `InputError` in a sentence whatever the value does when it is converted."""
    try:
        return np.asarray(value)
    except Exception as error:  # ragged lists, tensors that need detaching, objects of the user's
        raise InputError(f"{what} is not an array ({error}); expected numbers{hint}") from None


def _is_finite(array: NDArray[Any]) -> bool:
    """Whether all elements are finite; large arrays are tested piece by piece."""
    if array.size <= PIECE or not array.ndim:
        return bool(np.isfinite(array).all())
    return all(
        _is_finite(part) for part in (array if array.ndim > 1 else np.array_split(array, -(-array.size // PIECE)))
    )


def leaves_like(space: Space, value: Structure, what: str, like: str = "x0") -> list[Any]:
    """Take a structure apart that must have the names of a space, in the order of the space.

    A list may stand for a tuple, and the other way round.

    Parameters
    ----------
    what : str
        What the value is called in errors.
    like : str
        What has the structure that is expected.

    Raises
    ------
    InputError
        If a name is missing or too much, or if the structure is another.
    """
    expected = _kind(space.template)
    got = "a mapping of named arrays" if isinstance(value, Mapping) else "an array"
    if isinstance(value, list | tuple) and (is_sequence(value) or "sequence" in expected):
        got = "a sequence of arrays"
    if got != expected and not (expected == "an array" and got == "a sequence of arrays" and not is_sequence(value)):
        raise InputError(f"{what} is {got}, but {like} is {expected}; both must have the same structure")
    if space.template is None:
        return [value]
    names = [leaf.name for leaf in space.leaves]
    single = names[0].partition("/")[0] if names else SINGLE
    found = dict(_walk(value, space.template, _prefix(space.template, single)))
    for name in names:
        if name not in found:
            extra = [key for key in found if key not in names]
            hint = f" (it has {extra[0]!r}, which {like} has not)" if extra else ""
            raise InputError(f"{what} has no array {name!r}{hint}; expected the same names as {like}")
    for name in found:
        if name not in names and not _is_empty_container(found[name]):
            raise InputError(f"{what} has an array {name!r} that {like} has not; {closest(name, names)}")
    return [found[name] for name in names]


def _is_empty_container(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) and not len(value)


def _kind(template: Template) -> str:
    if template is None:
        return "an array"
    return "a mapping of named arrays" if "mapping" in template else "a sequence of arrays"


def parse_gradient(space: Space, value: Structure, what: str = "grad") -> FloatArray:
    """Check an analytical gradient against x0 and lay it out flat.

    Returns
    -------
    ndarray of float64, shape (n,)
        A copy: grad may return a view of its argument, which the engine goes on to perturb.

    Raises
    ------
    InputError
        For a missing or extra name, a wrong shape, or a dtype that is not real.
    """
    flat = np.empty(space.size)
    for leaf, item in zip(space.leaves, leaves_like(space, value, what), strict=True):
        array = _as_array(item, f"{what}: array {leaf.name!r}")
        if array.dtype.kind not in "fiu":
            raise InputError(f"{what}: array {leaf.name!r} has dtype {array.dtype}; expected real numbers like x0")
        if array.shape != leaf.shape:
            raise InputError(
                f"{what}: array {leaf.name!r} has shape {array.shape}; expected the shape of x0, {leaf.shape}"
                f"{_likely(array.shape, leaf.shape)}"
            )
        flat[leaf.start : leaf.stop] = array.reshape(-1)
    return flat


def _likely(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """How a shape may have become another.

    >>> _likely((3, 2), (2, 3)), _likely((8, 3), (3,))
    (': it is transposed', ': not summed over an axis')
    >>> _likely((2, 1), (2,)), _likely((2,), (2, 3))
    (': it has an axis of length 1 more', ': an axis was summed away')
    """
    if len(found) > 1 and found == wanted[::-1]:
        return ": it is transposed"
    if tuple(length for length in found if length != 1) == tuple(length for length in wanted if length != 1):
        return f": it has an axis of length 1 {'more' if len(found) > len(wanted) else 'less'}"
    if len(found) == len(wanted) + 1 and any(found[:i] + found[i + 1 :] == wanted for i in range(len(found))):
        return ": not summed over an axis"
    if len(found) + 1 == len(wanted) and any(wanted[:i] + wanted[i + 1 :] == found for i in range(len(wanted))):
        return ": an axis was summed away"
    return ""


def parameters_digest(space: Space, arrays: list[NDArray[Any]]) -> str:
    """SHA-256 of names, shapes, dtypes and numbers of x0."""
    digest = hashlib.sha256(json.dumps(space.to_json()).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def parse_typical(space: Space, typical: float | Mapping[str, float] | None) -> tuple[float, ...]:
    """Typical size of the parameters of each array, 1 where none is given.

    Parameters
    ----------
    typical : None, float or mapping of str to float
        One size for all, or sizes by the names of arrays (``encoder/W1``).
    """
    if not isinstance(typical, Mapping):
        return (1.0 if typical is None else float(typical),) * len(space.leaves)
    names = [leaf.name for leaf in space.leaves]
    for name in typical:
        if name not in names:
            raise InputError(f"typical: no array {name!r}; {closest(name, names)}")
    return tuple(float(typical.get(name, 1.0)) for name in names)
