"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pardiff.reporting.plots import heat_map, scatter, step_curve
from pardiff.reporting.summary import Summary
from pardiff.reporting.sweep import verdict_of
from pardiff.reporting.terminal import printable
from pardiff.reporting.text import (
    ARRAY_COLUMNS,
    WORST_COLUMNS,
    array_rows,
    effort,
    finding_line,
    worst_rows,
)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pardiff.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["printable"] = printable
    return environment


def render_html(summary: Summary) -> str:
    """The report of one audit."""
    # the pictures are made of numbers and of names that plots.py escapes
    return (
        _environment()
        .get_template("report.html")
        .render(
            summary=summary,
            effort=effort(summary),
            findings=[(finding["kind"], finding_line(finding)) for finding in summary.findings],
            array_columns=ARRAY_COLUMNS,
            arrays=array_rows(summary),
            worst_columns=WORST_COLUMNS,
            worst=worst_rows(summary, len(summary.worst)),
            maps=[(m.array, "×".join(map(str, m.shape)), Markup(heat_map(m))) for m in summary.maps],
            scatter=Markup(scatter(summary.points)),
            curves=[(c.label, verdict_of(c), Markup(picture)) for c in summary.curves if (picture := step_curve(c))],
        )
    )


def render_index(rows: Sequence[dict[str, object]], headline: str, verdict: str, created: str) -> str:
    """The index of a batch.

    Parameters
    ----------
    rows : sequence of dict
        ``name``, ``verdict``, ``headline``, ``parameters``, ``nfev``, ``seconds``, ``created`` and ``link`` of each.
    """
    return (
        _environment().get_template("index.html").render(rows=rows, headline=headline, verdict=verdict, created=created)
    )
