"""What is compared of a result: each derivative, bar, margin, verdict and number of passes, as bytes."""

import hashlib

import numpy as np

from pardiff.storage.format import VERDICTS


def leaves(structure):
    """Arrays of a structure, in order."""
    if isinstance(structure, dict):
        return [leaf for item in structure.values() for leaf in leaves(item)]
    if isinstance(structure, list | tuple):
        return [leaf for item in structure for leaf in leaves(item)]
    return [np.asarray(structure)]


def codes(array):
    """Verdicts as numbers, which take a byte each."""
    return np.vectorize(VERDICTS.index, otypes=["i1"])(array) if array.dtype.kind == "U" else array


def digest(result):
    """Digests by quantity, and the numbers that a person would look at first."""
    found = {}
    for name, kind in (
        ("numerical", "f8"), ("uncertainty", "f8"), ("margin", "f8"), ("verdicts", "i1"), ("nfev_by_entry", "i8"),
    ):  # fmt: skip
        arrays = (codes(leaf) for leaf in leaves(getattr(result, name)))
        data = b"".join(np.ascontiguousarray(array, kind).tobytes() for array in arrays)
        found[name] = hashlib.sha256(data).hexdigest()[:16]
    swept = sum(sweep.nfev for sweep in result.ledger.info.sweeps)  # for reports alone
    return {**found, "verdict": result.verdict.name, "nfev": int(result.nfev) - swept}
