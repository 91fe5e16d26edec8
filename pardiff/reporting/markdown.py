"""The report as Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from pardiff.reporting.summary import Summary
from pardiff.reporting.terminal import printable
from pardiff.reporting.text import ARRAY_COLUMNS, WORST_COLUMNS, array_rows, effort, finding_line, worst_rows

SIGNS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔"}


def render_markdown(summary: Summary, worst: int = 10) -> str:
    """The report as GitHub-flavoured Markdown, with everything from user code escaped."""
    lines = [
        f"### {SIGNS[summary.verdict]} {summary.verdict} · {escape(summary.name)}",
        "",
        escape(summary.headline),
        "",
        *_table(ARRAY_COLUMNS, array_rows(summary)),
    ]
    if summary.findings:
        lines += ["", *(f"- {escape(finding_line(finding))}" for finding in summary.findings)]
    if summary.verdict != "PASS" and summary.worst:
        lines += ["", *_table(WORST_COLUMNS, worst_rows(summary, worst))]
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
