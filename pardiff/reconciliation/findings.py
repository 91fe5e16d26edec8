"""What is wrong, in sentences: per array, and with the run as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pardiff.storage.ledger import Ledger


@dataclass(frozen=True)
class Finding:
    """Something that a reader of the report should know."""

    array: str
    """Name of the array, or empty where it concerns the whole run."""
    kind: str
    """``mismatch``, ``nonfinite``, ``error``, ``incomplete``, ``inconclusive``, ``nondeterministic``,
    ``heterogeneous`` or ``precision``."""
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)
    """Numbers behind the sentence."""


def array_finding(
    name: str, size: int, counts: Mapping[str, int], wrong_claims: int, worst: Sequence[Mapping[str, Any]]
) -> Finding:
    """The gravest thing to be said of an array that did not pass.

    Parameters
    ----------
    wrong_claims : int
        Entries where the analytical derivative is not finite although fun can be differentiated.
    worst : sequence of mappings
        Its worst entries, as fields of `Entry`.
    """
    labels = ", ".join(entry["label"] for entry in worst)
    first = worst[0]
    of = _entries(size)
    if counts["fail"]:
        kind = "mismatch"
        message = (
            f"{counts['fail']} of {of} {_differ(counts['fail'])}, most of all {labels}: "
            f"{first['label']} is {first['analytical']:.6g} analytically, "
            f"{first['numerical']:.6g} ± {first['uncertainty']:.1g} numerically"
        )
    elif wrong_claims:
        kind = "nonfinite"
        message = f"the analytical derivative is not finite at {wrong_claims} of {of}, first {labels}"
    elif counts["error"]:
        kind = "error"
        message = f"fun raised at {counts['error']} of {of}: {labels}"
    elif counts["missing"]:
        kind = "incomplete"
        message = f"{counts['missing']} of {of} have no numerical derivative yet"
    elif counts["nonfinite"]:
        kind = "nonfinite"
        message = f"fun is not finite near x0 at {counts['nonfinite']} of {of}: {labels}"
    else:
        kind = "inconclusive"
        message = (
            f"{counts['inconclusive']} of {of} agree no better than their error bars let one see, worst {labels}: "
            f"{first['label']} is {first['analytical']:.6g} analytically, "
            f"{first['numerical']:.6g} ± {first['uncertainty']:.1g} numerically"
        )
    evidence = {"counts": dict(counts), "worst": [entry["label"] for entry in worst]}
    return Finding(name, kind, message, evidence)


def run_findings(ledger: Ledger) -> list[Finding]:
    """What the values of fun at x0, and its errors, say about the run."""
    findings = []
    value, repeat = ledger.info["start"]["value"], ledger.info["start"]["repeat"]
    if value != repeat:
        findings.append(
            Finding(
                "",
                "nondeterministic",
                f"fun is not deterministic: called twice at x0 it gave {value!r} and {repeat!r}; fix its seed",
                {"values": [value, repeat]},
            )
        )
    if ledger.info["start"]["single_precision"]:
        findings.append(
            Finding(
                "",
                "precision",
                "fun returns float32 precision, whatever its dtype: rtol is 1e-3 unless given, and error bars are "
                "wide; evaluate it in float64 to certify more",
            )
        )
    records = [record for wave in ledger.waves for record in ledger.records(wave.number).values()]
    others = {record.worker: record.base for record in records if record.base not in (value, repeat)}
    if others and value == repeat:
        worker, base = sorted(others.items())[0]
        findings.append(
            Finding(
                "",
                "heterogeneous",
                f"fun at x0 is {value!r} in the client, but {base!r} on {worker}"
                f"{f' and {len(others) - 1} more workers' if len(others) > 1 else ''}: "
                f"other hardware, libraries or data, or a fun that is not deterministic",
                {"client": value, "workers": others},
            )
        )
    errors = [(int(i), text) for record in records for i, text in record.errors.items()]
    if errors:
        coordinate, text = min(errors)
        findings.append(
            Finding(
                "",
                "error",
                f"fun raised at {_entries(len(errors))}, first at {ledger.layout.label(coordinate)}: {text}",
                {"errors": {ledger.layout.label(i): text for i, text in sorted(errors)[:20]}},
            )
        )
    return findings


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"


def _differ(count: int) -> str:
    return "differs" if count == 1 else "differ"
