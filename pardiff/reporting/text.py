"""Words and tables that the text renderers share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pardiff.comparison.reconcile import ArrayResult
from pardiff.comparison.verdicts import Verdict
from pardiff.problem.options import Resolved
from pardiff.reporting.summary import Summary, upward

WORST_COLUMNS = ("entry", "verdict", "analytical", "numerical", "± uncertainty", "tolerance", "step")


WAYS = {
    "pointwise": "",
    "batched": "; batches of {rows} by batch_fun, {compared}",
    "incremental": "; evaluated incrementally, {compared}",
}
"""How fun was evaluated, in words."""


def number(value: float, digits: int = 3) -> str:
    """A float for people.

    >>> number(1.23456e-7), number(float("nan"))
    ('1.23e-07', '-')
    """
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def derivative(value: float) -> str:
    """A derivative: nan and inf are themselves here."""
    return f"{value:.8g}"


def array_columns(summary: Summary) -> tuple[str, ...]:
    """Titles of the table of arrays."""
    first = "output / input" if summary.outputs else "array"
    return (first, "shape", "verdict", "pass", "fail", "inconclusive", "other", "max error", "certified rtol")


def array_rows(summary: Summary) -> list[list[str]]:
    """A row per array, in the order of `array_columns`."""
    return [
        [
            array.name,
            "×".join(map(str, array.shape)) or "scalar",
            array.verdict.name,
            f"{array.counts['pass']:,}",
            f"{array.counts['fail']:,}",
            f"{array.counts['inconclusive']:,}",
            f"{sum(array.counts[kind] for kind in ('kink', 'nonfinite', 'error', 'missing')):,}",
            number(array.max_error),
            _certified(array),
        ]
        for array in summary.arrays
    ]


def _certified(array: ArrayResult) -> str:
    """The tolerance that is proved; of an array that is wrong, its error says all."""
    if array.verdict is Verdict.FAIL:
        return "-"
    return upward(array.certified_rtol, 3) if math.isfinite(array.certified_rtol) else "not certified"


def worst_rows(summary: Summary, count: int) -> list[list[str]]:
    """A row per entry, in the order of `WORST_COLUMNS`; where some entries do not pass, only those."""
    known = [entry for entry in summary.worst if entry.verdict != "missing"]
    entries = [entry for entry in known if entry.verdict != "pass"] or known
    return [
        [
            entry.label,
            entry.verdict,
            derivative(entry.analytical),
            derivative(entry.numerical),
            number(entry.uncertainty, 2),
            number(entry.tolerance, 2),
            number(entry.step, 2),
        ]
        for entry in entries[:count]
    ]


def coverage(summary: Summary) -> str:
    """How much of x0 was checked, in a sentence."""
    total, missing = sum(summary.counts.values()), summary.counts["missing"]
    if not missing:
        return "1 entry, and it was checked." if total == 1 else f"All {total:,} entries were checked."
    parts = [
        f"{1 - array.counts['missing'] / max(1, sum(array.counts.values())):.0%} of {array.name}"
        for array in summary.arrays
        if array.counts["missing"]
    ]
    some = ", ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")
    return f"{total - missing:,} of {total:,} entries were checked ({1 - missing / total:.1%}): {some}."


SELF_TEST_COLUMNS = ("array", "× 1.01", "sign", "at 0", "lost slices", "transposed", "error in half", "in any entry")
"""Head of the table of planted faults that would have been caught."""
SELF_TEST_LEGEND = (
    "faults that would be noticed. × 1.01: entries in which a factor of 1.01 would be. sign: the same for a wrong"
    " sign. at 0: entries that are 0, where neither shows. lost slices: slices that were set to 0. transposed: "
    "whether a transpose would be. error in half, in any entry: the smallest relative error that would be noticed"
    " there. Arrays that fail are left out"
)


def self_test_rows(summary: Summary) -> list[list[str]]:
    """A row per array, in the order of `SELF_TEST_COLUMNS`."""
    return [
        [
            test.array,
            f"{test.factor:,} of {test.entries - test.flat:,}",
            f"{test.sign:,} of {test.entries - test.flat:,}",
            f"{test.flat:,}",
            f"{test.slices[0]:,} of {test.slices[1]:,}" if test.slices[1] else "-",
            "-" if test.transposed is None else "yes" if test.transposed else "no",
            upward(test.median_error) if math.isfinite(test.median_error) else "-",
            upward(test.largest_error) if math.isfinite(test.largest_error) else "-",
        ]
        for test in summary.self_test
    ]


def effort(summary: Summary) -> str:
    """What the audit cost, and how it was made."""
    settings = summary.settings
    time = "" if math.isnan(summary.seconds) else f" in {summary.seconds:.2f} s"
    return (
        f"{summary.nfev:,} passes of fun{time}; {formula(settings)}, rtol {settings.rtol:g}, "
        f"atol {settings.atol:g}{_products(summary)}{_moved(settings)}{_way(summary)}{_events(summary)}"
    )


def _products(summary: Summary) -> str:
    """Say with what the outputs of fun were multiplied."""
    if not summary.outputs:
        return ""
    probes = summary.settings.probes
    drawn = f"{probes} random cotangents, u0 to u{probes - 1}," if probes > 1 else "a random cotangent, u0,"
    of = "1 output" if summary.outputs == 1 else f"each of {summary.outputs} outputs"
    return f"; {drawn} for {of}, the first axis of each shape"


def _moved(settings: Resolved) -> str:
    """Say by how much x0 was moved."""
    return f"; x0 was moved by a jitter of {settings.jitter:g}" if settings.jitter else ""


def _events(summary: Summary) -> str:
    """What happened on the way."""
    said = f"; {summary.confirmed:,} entries were evaluated again by another worker" if summary.confirmed else ""
    for what, words in (("workers", "a worker was lost"), ("scheduler", "the scheduler was lost")):
        times = summary.troubles.get(what, 0)
        if times:
            said += f"; {words} {'once' if times == 1 else f'{times} times'}, and its blocks done again"
    return said


def _way(summary: Summary) -> str:
    """How fun was evaluated, and how often a fast path was compared with it."""
    facts = summary.baseline
    if facts.declined:
        return "; fun pass by pass, as batch_fun is no faster"
    compared = f"compared with fun at {summary.checks:,} points"
    return WAYS[facts.strategy].format(rows=facts.rows, compared=compared)


def formula(settings: Resolved) -> str:
    """How derivatives are formed, in words.

    >>> from pardiff.problem.options import Options
    >>> formula(Options().resolved(1e-6))
    'central differences of order 2'
    """
    if settings.stencil:
        return f"differences at offsets {', '.join(map(str, settings.stencil))}"
    if settings.method == "complex":
        return "complex step"
    if settings.method == "richardson":
        return f"central differences extrapolated to order {settings.order}"
    return f"{settings.method} differences of order {settings.order}"


def finding_line(finding: dict[str, Any]) -> str:
    """A finding as one line."""
    return f"{finding['array']}: {finding['message']}" if finding["array"] else str(finding["message"])


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of an aligned table; the first ``left`` columns are set to the left, the others to the right."""
    widths = [max(len(cell) for cell in cells) for cells in zip(columns, *rows, strict=True)]
    lines = []
    for row in (columns, *rows):
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
