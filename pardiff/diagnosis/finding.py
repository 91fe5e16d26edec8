"""A finding: what travels from the rules to the reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"
"""How sure a finding is: far shorter than a list of the entries, shorter, or one of several that fit as well."""


@dataclass(frozen=True)
class Finding:
    """One sentence of a report: what is wrong with an array, or on what the numbers of a run depend."""

    array: str
    """Name of the array, or empty where it concerns the whole run or several arrays."""
    kind: str
    """One of `pardiff.diagnosis.KINDS` where a gradient is wrong; of the run ``error``, ``incomplete``,
    ``inconclusive``, ``nondeterministic``, ``heterogeneous``, ``environment``, ``fast_path``, ``precision`` or
    ``test_point``."""
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)
    """Numbers behind the sentence."""
    where: str = ""
    """The part of the array that is meant, as NumPy would index it; empty for all of it."""
    confidence: str = CERTAIN
    """``certain``, ``likely``, or ``possible`` where the entries do not suffice to tell."""
