"""The report as plain text, for a terminal or ``print(result)``."""

from __future__ import annotations

from pardiff.reporting.summary import Summary
from pardiff.reporting.text import (
    ARRAY_COLUMNS,
    WORST_COLUMNS,
    array_rows,
    effort,
    finding_line,
    table,
    worst_rows,
)

MOST_ARRAYS = 40
"""Rows shown; arrays that did not pass are kept first."""


def render_terminal(summary: Summary, worst: int = 8) -> str:
    """The report in a few dozen lines.

    Parameters
    ----------
    worst : int
        Entries to list; none are listed where all pass.
    """
    lines = [f"{summary.verdict}  {printable(summary.name)}: {printable(summary.headline)}", ""]
    rows = (
        sorted(array_rows(summary), key=lambda row: row[2] == "PASS")
        if summary.verdict != "PASS"
        else array_rows(summary)
    )
    lines += table(ARRAY_COLUMNS, [[printable(cell) for cell in row] for row in rows[:MOST_ARRAYS]], left=3)
    if len(rows) > MOST_ARRAYS:
        lines.append(f"… and {len(rows) - MOST_ARRAYS} more arrays")
    if summary.findings:
        lines += ["", *(f"• {printable(finding_line(finding))}" for finding in summary.findings)]
    if summary.verdict != "PASS" and summary.worst and worst:
        entries = [[printable(cell) for cell in row] for row in worst_rows(summary, worst)]
        lines += ["", *table(WORST_COLUMNS, entries, left=2)]
    return "\n".join([*lines, "", effort(summary)])


def printable(text: str) -> str:
    """Without control characters, which could rewrite the terminal: user code chooses names and messages.

    >>> printable("W\\x1b[2J")
    'W\\\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
