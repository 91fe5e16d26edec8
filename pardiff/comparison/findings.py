"""What is wrong, in sentences: per array, and with the run as a whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pardiff.comparison.ranking import Entry
from pardiff.diagnosis.finding import Finding
from pardiff.evaluation.baseline import Facts
from pardiff.numerics.tuning import CONFIDENCE
from pardiff.planning.budget_tracker import CONFIDENCE as SEEN
from pardiff.planning.budget_tracker import least_seen
from pardiff.problem.space import FloatArray
from pardiff.storage.ledger import Ledger

NAMED = 3
"""Entries of an array that are named."""
CRASHES = ("fun ended the process", "fun did not come back", "fun was not tried")
"""How the reasons begin why fun has no value, where it is not that it raised."""
OURS = "InputError: "
"""How the reasons begin why a value of fun cannot be used, although it raised nothing: another shape than at x0."""
LATER = "a closer look follows once the run resumes"
"""What is said of entries that cannot be decided while a run is not at its end."""
SECOND_LOOK = "an entry fails only after a second look, which refine='none' or a budget has left out"


def array_finding(
    name: str,
    size: int,
    counts: Mapping[str, int],
    wrong_analytical: int,
    worst: Sequence[Entry],
    remedy: str,
) -> Finding:
    """The gravest thing to be said of an array that did not pass.

    Parameters
    ----------
    wrong_analytical : int
        Entries where the analytical derivative is not finite although fun can be differentiated.
    worst : sequence of Entry
        Its worst entries; those of the gravest verdict are named.
    remedy : str
        What would let it pass, where its entries cannot be decided.
    """
    first = worst[0]
    named = [entry.label for entry in worst if entry.verdict == first.verdict][:NAMED]
    kind, message = _gravest(size, counts, wrong_analytical, worst, named, remedy)
    return Finding(name, kind, message + _coverage(size, counts["missing"]), {"counts": dict(counts), "worst": named})


def _gravest(
    size: int,
    counts: Mapping[str, int],
    wrong_analytical: int,
    worst: Sequence[Entry],
    named: Sequence[str],
    remedy: str,
) -> tuple[str, str]:
    """Kind and sentence."""
    first, labels, of = worst[0], ", ".join(named), _entries(size)
    values = f"{first.label} is {first.analytical:.6g} analytically, {_numerical(first)} numerically"
    if counts["fail"]:
        are = "is wrong:" if counts["fail"] == 1 else "are wrong, most of all"
        values = f"{first.analytical:.6g} analytically, {_numerical(first)} numerically"
        return "mismatch", f"{counts['fail']:,} of {of} {are} {first.label}: {values}"
    if wrong_analytical:
        return "nonfinite", f"the analytical derivative is not finite at {wrong_analytical:,} of {of}: {labels}"
    if counts["error"]:
        return "error", f"fun failed at {counts['error']:,} of {of}: {labels}"
    if counts["missing"]:
        return "incomplete", _incomplete(counts["missing"], of, worst[-1])
    if counts["nonfinite"]:
        return "nonfinite", f"fun is not finite near x0 at {counts['nonfinite']:,} of {of}: {labels}"
    if counts["kink"] + counts["pass"] == size:
        return "kink", (
            f"fun has a kink at {counts['kink']:,} of {of}; any slope between those on the two sides counts as right: "
            f"{values}"
        )
    if math.isnan(first.numerical):
        return "inconclusive", f"bounds leave no room for a step at {labels}"
    if _differs(first):
        return "inconclusive", (
            f"{counts['inconclusive']:,} of {of} are open: {values}. The difference exceeds the tolerance plus the "
            f"error bar, but {SECOND_LOOK}"
        )
    return "inconclusive", (
        f"{counts['inconclusive']:,} of {of} cannot be decided, as the error bar exceeds the tolerance: {values}; "
        f"{remedy}"
    )


def _incomplete(missing: int, of: str, open_entry: Entry) -> str:
    message = f"{missing:,} of {of} {'has' if missing == 1 else 'have'} no numerical derivative yet"
    if open_entry.verdict == "inconclusive" and _differs(open_entry):
        message += (
            f"; {open_entry.label} differs ({open_entry.analytical:.6g} analytically, {_numerical(open_entry)} "
            f"numerically), but {SECOND_LOOK}"
        )
    return message


def _differs(entry: Entry) -> bool:
    """Whether the two derivatives are farther apart than tolerance and error bar allow."""
    return abs(entry.residual) > entry.tolerance + entry.uncertainty


def _coverage(size: int, missing: int) -> str:
    """What share of an array is checked, and which faults that excludes; empty where all of it is."""
    if not missing:
        return ""
    least = least_seen(size - missing, size)
    seen = (
        f"; if {least:,} or more entries were wrong at random places, one would have been seen with {SEEN:.0%} "
        f"probability"
        if least < size - missing
        else ""
    )
    return f"; {1 - missing / size:.1%} are checked{seen}"


def _numerical(entry: Entry) -> str:
    if entry.state == "kink":
        low, high = (entry.numerical + side * entry.uncertainty for side in (-1, 1))
        return f"from {low:.4g} to {high:.4g} (a kink of fun)"
    return f"{entry.numerical:.6g} ± {entry.uncertainty:.1g}"


def remedy_of(entry: Entry, rtol: float, facts: Facts) -> str:
    """What would let an undecided array pass, as far as is known.

    Parameters
    ----------
    entry : Entry
        The worst of the array.
    rtol : float
        The smallest relative tolerance with which it would pass; infinite if there is none.
    facts : Facts
        What is known of fun's values: whether they repeat, and their precision.
    """
    reach = abs(entry.residual) + entry.uncertainty
    if not facts.deterministic:
        return "fix the seed of fun, or average it over many"
    if facts.single_precision:
        return "evaluate fun in float64" + (f", or give an rtol of {rtol:.1e}" if rtol < 0.1 else "")
    if abs(entry.analytical) <= entry.uncertainty or not rtol < 1:
        return f"if a derivative of this size is as good as none, an atol of {reach:.1e} would pass it"
    return f"rtol={rtol:.1e} would pass; to keep your rtol, try a higher order, or compute fun in higher precision"


def run_findings(ledger: Ledger) -> list[Finding]:
    """What the values of fun at x0, and its errors, say about the run."""
    facts, environment = ledger.info.baseline, ledger.info.environment
    findings = [*_nondeterministic(ledger), *(Finding("", "environment", message) for message in environment)]
    if facts.fallback_reason:
        message = f"fun was called for every pass, as the fast path could not be used: {facts.fallback_reason}"
        findings.append(Finding("", "fast_path", message))
    if facts.integers:
        names = ", ".join(facts.integers[:4])
        message = f"x0 holds integers in {names}: fun was evaluated at the same numbers as float64"
        findings.append(Finding("", "precision", message, {"arrays": list(facts.integers)}))
    if not ledger.space.size:
        findings.append(Finding("", "empty", "x0 has no entries, so that there was nothing to check"))
    if facts.single_precision and facts.strategy != "incremental":
        message = (
            "fun returns float32 precision or less, whatever its dtype: rtol is 1e-3 unless given, or 1e-2 in float16, "
            "and error bars are wide; evaluate it in float64 to certify more"
        )
        findings.append(Finding("", "precision", message))
    return [*findings, *_heterogeneous(ledger), *_replicated(ledger), *_raised(ledger)]


def _nondeterministic(ledger: Ledger) -> list[Finding]:
    facts = ledger.info.baseline
    findings = []
    if not facts.deterministic:
        message = (
            f"fun is not deterministic: called twice at x0 it gave {facts.value!r} and {facts.repeat!r}; its values "
            f"scatter by {facts.sigma:.1e}. The error bars include that scatter ({CONFIDENCE:.0%} confidence for all "
            f"entries together). Fix the seed of fun to get narrower bars"
        )
        evidence = {"values": [facts.value, facts.repeat], "sigma": facts.sigma}
        findings.append(Finding("", "nondeterministic", message, evidence))
    if facts.nondeterministic_arrays:
        names = ", ".join(facts.nondeterministic_arrays[:4])
        message = (
            f"the analytical derivative is not deterministic: called twice at x0 it was different in {names}; the "
            f"first one was compared"
        )
        evidence = {"arrays": list(facts.nondeterministic_arrays)}
        findings.append(Finding("", "nondeterministic", message, evidence))
    return findings


def _heterogeneous(ledger: Ledger) -> list[Finding]:
    """Workers on which fun has another value at x0."""
    facts = ledger.info.baseline
    others = _bases(ledger, lambda base: ~np.isin(base, (facts.value, facts.repeat)))
    if not others or not facts.deterministic:
        return []
    worker, base = sorted(others.items())[0]
    more = f" and {len(others) - 1} more workers" if len(others) > 1 else ""
    far = "; that is more than rounding, and nothing passes on it" if other_values(ledger) else ""
    message = (
        f"fun at x0 is {facts.value!r} in the client, but {base!r} on {worker}{more}: other hardware, libraries or "
        f"data, or a fun that is not deterministic{far}"
    )
    return [Finding("", "heterogeneous", message, {"client": facts.value, "workers": others})]


def is_ours(reason: str) -> bool:
    """Whether fun did not raise, but returned what cannot be used."""
    return reason.startswith(OURS)


def _raised(ledger: Ledger) -> list[Finding]:
    """What fun raised, and at which parameters."""
    errors = sorted(
        (int(i), text)
        for wave in ledger.waves
        for raised in ledger.records(wave.number).errors.values()
        for i, text in raised.items()
    )
    if not errors:
        return []
    ours = [error for error in errors if is_ours(error[1])]
    coordinate, text = (ours or errors)[0]
    said = text.removeprefix(OURS) if ours or text.startswith(CRASHES) else f"fun raised {text}"
    message = f"{'with' if ours else 'at'} {ledger.space.label(coordinate)}{' moved,' if ours else ''} {said}"
    return [Finding("", "error", message, {"errors": {ledger.space.label(i): text for i, text in errors[:20]}})]


def _replicated(ledger: Ledger) -> list[Finding]:
    """What was found when workers have repeated what others had done."""
    found = ledger.info.replications
    total = sum(one.coordinates for one in found)
    wrong = [one for one in found if one.contradicting]
    evidence = {"replications": [vars(one) for one in found]}
    if wrong and ledger.info.baseline.deterministic:
        first = wrong[0]
        count = sum(one.contradicting for one in wrong)
        values = " and ".join(
            f"{value:.9g} ± {bar:.1g} on {worker}"
            for value, bar, worker in zip(first.values or (), first.uncertainties or (), first.workers, strict=True)
        )
        suspects = Counter(worker for one in wrong for worker in one.workers)
        (name, times), *others = suspects.most_common(2)
        suspect = f"; {name} is in each of them" if times > 1 and times > (others[0][1] if others else 0) else ""
        message = (
            f"{count:,} derivatives on {total:,} lines that another worker has evaluated again contradict the first: "
            f"{first.label} is {values}{suspect}; hardware that fails, another version of "
            f"a library, or a state that fun keeps: nothing passes on it"
        )
        return [Finding("", "heterogeneous", message, evidence)]
    bits = sum(one.other_bits for one in found)
    if bits and not wrong:
        message = (
            f"{bits:,} derivatives on {total:,} lines that another worker has evaluated again have other last bits "
            f"there, within their error bars: another processor or BLAS"
        )
        return [Finding("", "environment", message, evidence)]
    return []


def contradictions(ledger: Ledger) -> bool:
    """Whether workers contradict each other."""
    return any(finding.kind == "heterogeneous" for finding in _replicated(ledger))


def other_values(ledger: Ledger) -> dict[str, float]:
    """Values of fun at x0 by worker, where they differ from the client's by more than rounding."""
    facts = ledger.info.baseline
    if not facts.deterministic:
        return {}
    allowed = facts.same_value(facts.value)
    return _bases(ledger, lambda base: ~(np.abs(base - facts.value) <= allowed))


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


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"
