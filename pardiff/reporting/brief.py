"""The report in about twenty lines: which arrays, findings and entries are shown, for terminal and Markdown alike."""

from __future__ import annotations

from dataclasses import dataclass

from pardiff.reporting.summary import Summary
from pardiff.reporting.text import array_rows, finding_line, self_test_rows, worst_rows

LINES = 20
ARRAYS, FINDINGS, ENTRIES = 6, 4, 3
"""Rows of each kind, where all three are needed."""
FRAME = 7
"""Lines for the verdict, what the audit cost, heads of tables and gaps."""


@dataclass(frozen=True)
class Brief:
    """What is shown; the rest is counted."""

    arrays: list[list[str]]
    more_arrays: int
    findings: list[str]
    more_findings: int
    entries: list[list[str]]
    self_test: list[list[str]]


def brief(summary: Summary, worst: int = ENTRIES, *, everything: bool = False) -> Brief:
    """Choose what matters: arrays that do not pass come first.

    Parameters
    ----------
    worst : int
        Entries to list; none are listed where all pass.
    everything : bool
        Show all arrays and findings, up to a few hundred.
    """
    rows = array_rows(summary)
    if summary.verdict != "PASS":
        rows = sorted(rows, key=lambda row: row[2] == "PASS")
    entries = worst_rows(summary, worst) if summary.verdict != "PASS" else []
    lines = [finding_line(finding) for finding in summary.findings]
    findings = len(lines) if everything else max(FINDINGS, LINES - FRAME - min(len(rows), ARRAYS) - len(entries))
    shown = lines[:findings]
    arrays = 500 if everything else max(ARRAYS, LINES - FRAME - len(shown) - len(entries))
    return Brief(
        rows[:arrays],
        max(0, len(rows) - arrays),
        shown,
        len(lines) - len(shown),
        entries,
        self_test_rows(summary)[:arrays],
    )
