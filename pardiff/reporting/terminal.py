"""The report as plain text, for a terminal or ``print(result)``."""

from __future__ import annotations

from pardiff.reporting.brief import ENTRIES, brief
from pardiff.reporting.printable import printable
from pardiff.reporting.summary import Summary
from pardiff.reporting.text import SELF_TEST_COLUMNS, SELF_TEST_LEGEND, WORST_COLUMNS, array_columns, effort, table

__all__ = ["printable", "render_terminal"]


def render_terminal(summary: Summary, worst: int = ENTRIES, *, everything: bool = False) -> str:
    """The report in about twenty lines.

    Parameters
    ----------
    worst : int
        Entries to list; none are listed where all pass.
    everything : bool
        Show all arrays and findings.
    """
    shown = brief(summary, worst, everything=everything)
    lines = [f"{summary.verdict}  {printable(summary.name)}: {printable(summary.headline)}", ""]
    lines += _table(array_columns(summary), shown.arrays, 3)
    if shown.more_arrays:
        lines.append(f"… and {shown.more_arrays} more arrays")
    if shown.findings:
        lines += ["", *(f"• {printable(line)}" for line in shown.findings)]
        if shown.more_findings:
            lines.append(f"… and {shown.more_findings} more findings")
    if shown.entries:
        lines += ["", *_table(WORST_COLUMNS, shown.entries, 2)]
    if shown.self_test:
        lines += ["", "planted faults that would not pass:", *_table(SELF_TEST_COLUMNS, shown.self_test, 1)]
        lines.append(f"({SELF_TEST_LEGEND})")
    return "\n".join([*lines, "", effort(summary)])


def _table(columns: tuple[str, ...], rows: list[list[str]], left: int) -> list[str]:
    return table(columns, [[printable(cell) for cell in row] for row in rows], left=left)
