"""What is wrong, in sentences: per array, and with the run as a whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pardiff.diagnosis.finding import Finding
from pardiff.evaluation.noise import CONFIDENCE
from pardiff.planning.budget_tracker import CONFIDENCE as SEEN
from pardiff.planning.budget_tracker import least_seen
from pardiff.problem.space import FloatArray
from pardiff.storage.ledger import Ledger

SAME_VALUE, SAME_SINGLE = 1e-10, 1e-5
"""Relative difference of values of fun up to which other hardware or libraries may explain it; in single precision."""


NAMED = 3
"""Entries of an array that are named."""
CRASHES = ("fun ended the process", "fun did not come back", "fun was not tried")
"""How the reasons begin why fun has no value, where it is not that it raised."""


def array_finding(
    name: str,
    size: int,
    counts: Mapping[str, int],
    wrong_claims: int,
    worst: Sequence[Mapping[str, Any]],
    rtol: float,
    start: Mapping[str, Any],
) -> Finding:
    """The gravest thing to be said of an array that did not pass.

    Parameters
    ----------
    wrong_claims : int
        Entries where the analytical derivative is not finite although fun can be differentiated.
    worst : sequence of mappings
        Its worst entries, as fields of `Entry`; those of the gravest verdict are named.
    rtol : float
        The smallest relative tolerance with which it would pass; infinite if there is none.
    start : mapping
        What is known of fun's values: whether they repeat, and their precision.
    """
    first = worst[0]
    named = [entry["label"] for entry in worst if entry["verdict"] == first["verdict"]][:NAMED]
    labels = ", ".join(named)
    of = _entries(size)
    values = f"{first['label']} is {first['analytical']:.6g} analytically, {_numerical(first)} numerically"
    if counts["fail"]:
        kind = "mismatch"
        differ = "differs" if counts["fail"] == 1 else "differ"
        values = f"{first['analytical']:.6g} analytically, {_numerical(first)} numerically"
        most = "most of all " if counts["fail"] > 1 else ""
        message = f"{counts['fail']:,} of {of} {differ}, {most}{first['label']}: {values}"
    elif wrong_claims:
        kind = "nonfinite"
        message = f"the analytical derivative is not finite at {wrong_claims:,} of {of}: {labels}"
    elif counts["error"]:
        kind = "error"
        message = f"fun failed at {counts['error']:,} of {of}: {labels}"
    elif counts["missing"]:
        kind = "incomplete"
        verb = "has" if counts["missing"] == 1 else "have"
        message = f"{counts['missing']:,} of {of} {verb} no numerical derivative yet"
        open_ = worst[-1]
        if open_["verdict"] == "inconclusive" and _differs(open_):
            message += (
                f"; {open_['label']} differs ({open_['analytical']:.6g} analytically, {_numerical(open_)} numerically)"
                f", but nothing fails without a second look, which refine='none' or a budget has left out"
            )
    elif counts["nonfinite"]:
        kind = "nonfinite"
        message = f"fun is not finite near x0 at {counts['nonfinite']:,} of {of}: {labels}"
    elif counts["kink"] + counts["pass"] == size:
        kind = "kink"
        lie = "lies" if counts["kink"] == 1 else "lie"
        message = (
            f"{counts['kink']:,} of {of} {lie} at a kink of fun, where any slope between those on its two sides is as "
            f"good: {values}"
        )
    elif math.isnan(first["numerical"]):
        kind = "inconclusive"
        message = f"bounds leave no room for a step at {labels}"
    elif _differs(first):
        kind = "inconclusive"
        message = (
            f"{counts['inconclusive']:,} of {of} are open: {values}, which is more than tolerance and error bar allow, "
            f"but nothing fails without a second look, which refine='none' or a budget has left out"
        )
    else:
        kind = "inconclusive"
        message = (
            f"{counts['inconclusive']:,} of {of} cannot be decided, as the error bar exceeds the tolerance: {values}; "
            f"{_remedy(first, rtol, start)}"
        )
    return Finding(name, kind, message + _coverage(size, counts["missing"]), {"counts": dict(counts), "worst": named})


def _differs(entry: Mapping[str, Any]) -> bool:
    """Whether a claim is farther from the derivative than tolerance and error bar allow."""
    return bool(abs(entry["residual"]) > entry["tolerance"] + entry["uncertainty"])


def _coverage(size: int, missing: int) -> str:
    """What share of an array is checked, and which faults that excludes; empty where all of it is."""
    if not missing:
        return ""
    least = least_seen(size - missing, size)
    seen = (
        f", so that a fault at {least:,} or more entries here and there would have been seen with {SEEN:.0%} confidence"
        if least < size - missing
        else ""
    )
    return f"; {1 - missing / size:.1%} are checked{seen}"


def _numerical(entry: Mapping[str, Any]) -> str:
    if entry["state"] == "kink":
        low, high = (entry["numerical"] + side * entry["uncertainty"] for side in (-1, 1))
        return f"from {low:.4g} to {high:.4g} (a kink of fun)"
    return f"{entry['numerical']:.6g} ± {entry['uncertainty']:.1g}"


def _remedy(entry: Mapping[str, Any], rtol: float, start: Mapping[str, Any]) -> str:
    """What would let an undecided array pass, as far as is known."""
    reach = abs(entry["residual"]) + entry["uncertainty"]
    if start["value"] != start["repeat"]:
        return "fix the seed of fun, or average it over many"
    if start["single_precision"]:
        return "evaluate fun in float64" + (f", or give an rtol of {rtol:.1e}" if rtol < 0.1 else "")
    if abs(entry["analytical"]) <= entry["uncertainty"] or not rtol < 1:
        return f"if a derivative of this size is as good as none, an atol of {reach:.1e} would pass it"
    return f"an rtol of {rtol:.1e} would pass, or try a higher order, or a fun of higher precision"


def run_findings(ledger: Ledger) -> list[Finding]:
    """What the values of fun at x0, and its errors, say about the run."""
    findings = []
    start = ledger.info["start"]
    value, repeat = start["value"], start["repeat"]
    if value != repeat:
        message = (
            f"fun is not deterministic: called twice at x0 it gave {value!r} and {repeat!r}; its values scatter by "
            f"{start['sigma']:.1e}, for which the error bars of all entries together allow with {CONFIDENCE:.0%} "
            f"confidence; fix its seed to certify more"
        )
        findings.append(Finding("", "nondeterministic", message, {"values": [value, repeat], "sigma": start["sigma"]}))
    if start["unsteady"]:
        names = ", ".join(start["unsteady"][:4])
        message = (
            f"grad is not deterministic: called twice at x0 it gave different derivatives in {names}; what is said of "
            f"the claim is of the first"
        )
        findings.append(Finding("", "nondeterministic", message, {"arrays": start["unsteady"]}))
    findings += [Finding("", "environment", message) for message in ledger.info.get("environment", [])]
    if start["doubt"]:
        message = f"the fast path was not taken, fun was called for every pass: {start['doubt']}"
        findings.append(Finding("", "fast_path", message))
    if start["single_precision"] and start["path"] != "incremental":
        message = (
            "fun returns float32 precision, whatever its dtype: rtol is 1e-3 unless given, and error bars are wide; "
            "evaluate it in float64 to certify more"
        )
        findings.append(Finding("", "precision", message))
    others = _bases(ledger, lambda base: ~np.isin(base, (value, repeat)))
    far = other_values(ledger)
    if others and value == repeat:
        worker, base = sorted(others.items())[0]
        more = f" and {len(others) - 1} more workers" if len(others) > 1 else ""
        message = (
            f"fun at x0 is {value!r} in the client, but {base!r} on {worker}{more}: "
            f"other hardware, libraries or data, or a fun that is not deterministic"
            f"{'; that is more than rounding, and nothing passes on it' if far else ''}"
        )
        findings.append(Finding("", "heterogeneous", message, {"client": value, "workers": others}))
    findings += _confirmed(ledger)
    errors = sorted(
        (int(i), text)
        for wave in ledger.waves
        for raised in ledger.records(wave.number).errors.values()
        for i, text in raised.items()
    )
    if errors:
        coordinate, text = errors[0]
        message = f"at {ledger.layout.label(coordinate)} {text if text.startswith(CRASHES) else f'fun raised {text}'}"
        evidence = {"errors": {ledger.layout.label(i): text for i, text in errors[:20]}}
        findings.append(Finding("", "error", message, evidence))
    return findings


def _confirmed(ledger: Ledger) -> list[Finding]:
    """What was found when workers have repeated what others had done."""
    found = ledger.info.get("confirmed", [])
    total = sum(entry["coordinates"] for entry in found)
    wrong = [entry for entry in found if entry["contradicting"]]
    if wrong and ledger.info["start"]["value"] == ledger.info["start"]["repeat"]:
        first = wrong[0]
        count = sum(entry["contradicting"] for entry in wrong)
        values = " and ".join(
            f"{value:.9g} ± {bar:.1g} on {worker}"
            for value, bar, worker in zip(first["values"], first["uncertainties"], first["workers"], strict=True)
        )
        suspects = Counter(worker for entry in wrong for worker in entry["workers"])
        (name, times), *others = suspects.most_common(2)
        suspect = f"; {name} is in each of them" if times > 1 and times > (others[0][1] if others else 0) else ""
        message = (
            f"{count:,} of {total:,} derivatives that another worker has evaluated again contradict the first: "
            f"{ledger.layout.label(first['coordinate'])} is {values}{suspect}; hardware that fails, another version of "
            f"a library, or a state that fun keeps: nothing passes on it"
        )
        return [Finding("", "heterogeneous", message, {"confirmed": found})]
    bits = sum(entry["other_bits"] for entry in found)
    if bits and not wrong:
        message = (
            f"{bits:,} of {total:,} derivatives that another worker has evaluated again have other last bits there, "
            f"within their error bars: another processor or BLAS"
        )
        return [Finding("", "environment", message, {"confirmed": found})]
    return []


def contradictions(ledger: Ledger) -> bool:
    """Whether workers contradict each other."""
    return any(finding.kind == "heterogeneous" for finding in _confirmed(ledger))


def other_values(ledger: Ledger) -> dict[str, float]:
    """Values of fun at x0 by worker, where they differ from the client's by more than rounding."""
    start = ledger.info["start"]
    if start["value"] != start["repeat"]:
        return {}
    allowed = same_value(start, start["value"])
    return _bases(ledger, lambda base: ~(np.abs(base - start["value"]) <= allowed))


def _bases(ledger: Ledger, which: Callable[[FloatArray], NDArray[np.bool_]]) -> dict[str, float]:
    """Values of fun at x0 by worker, of those blocks whose value is of some kind."""
    found: dict[str, float] = {}
    for wave in ledger.waves:
        records = ledger.records(wave.number)
        base = records.column("base")
        rows = which(base)
        workers = records.column("worker")[rows].tolist()
        found |= {records.names[number]: float(value) for number, value in zip(workers, base[rows], strict=True)}
    return found


def same_value(start: Mapping[str, Any], value: float) -> float:
    """By how much a value of fun may differ from another one that is taken to be the same."""
    relative = SAME_SINGLE if start["single_precision"] else SAME_VALUE
    return relative * abs(value) + 10 * float(start["noise"])


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"
