"""The report as Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from pardiff.reporting.brief import ENTRIES, brief
from pardiff.reporting.printable import printable
from pardiff.reporting.summary import Summary
from pardiff.reporting.text import SELF_TEST_COLUMNS, SELF_TEST_LEGEND, WORST_COLUMNS, array_columns, effort

SIGNS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔"}


def render_markdown(summary: Summary, worst: int = ENTRIES) -> str:
    """The report as GitHub-flavoured Markdown, with everything from user code escaped."""
    shown = brief(summary, worst)
    lines = [
        f"### {SIGNS[summary.verdict]} {summary.verdict} · {escape(summary.name)}",
        "",
        escape(summary.headline),
        "",
        *_table(array_columns(summary), shown.arrays),
    ]
    if shown.more_arrays:
        lines += ["", f"… and {shown.more_arrays} more arrays"]
    if shown.findings:
        lines += ["", *(f"- {escape(line)}" for line in shown.findings)]
        if shown.more_findings:
            lines.append(f"- … and {shown.more_findings} more")
    if shown.entries:
        lines += ["", *_table(WORST_COLUMNS, shown.entries)]
    if shown.self_test:
        lines += ["", "Planted faults that would not pass:", "", *_table(SELF_TEST_COLUMNS, shown.self_test)]
        lines += ["", escape(SELF_TEST_LEGEND)]
    return "\n".join([*lines, "", escape(effort(summary)), ""])


def escape(text: str) -> str:
    """Text that Markdown and HTML leave as it is.

    >>> escape("<b> a|b *c*")
    '&lt;b> a\\\\|b \\\\*c\\\\*'
    """
    out = printable(text).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for sign in "`*_[]|~#@":
        out = out.replace(sign, f"\\{sign}")
    return out


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return lines + ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
