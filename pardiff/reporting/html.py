"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pardiff.diagnosis.rules import KINDS
from pardiff.reporting.brief import brief
from pardiff.reporting.plots import heat_map, histogram, scatter, step_curve
from pardiff.reporting.printable import printable
from pardiff.reporting.summary import Summary
from pardiff.reporting.sweep_text import verdict_of
from pardiff.reporting.text import (
    SELF_TEST_COLUMNS,
    SELF_TEST_LEGEND,
    WORST_COLUMNS,
    array_columns,
    array_rows,
    coverage,
    effort,
    self_test_rows,
    worst_rows,
)

MOST_FINDINGS = 100
"""Findings on a page; of several hundred wrong arrays the rest is in report.json."""
CAPTION = 160
"""Characters of a finding below a map."""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pardiff.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["printable"] = printable
    script = (resources.files("pardiff.reporting") / "templates" / "page.js").read_text(encoding="utf-8")
    # the page allows this script and no other, whatever a name in it may hold
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(script=Markup(script), script_hash=f"sha256-{digest}")
    return environment


def render_html(summary: Summary) -> str:
    """The report of one audit."""
    total = max(1, sum(summary.counts.values()))
    rest = total - sum(summary.counts[kind] for kind in ("pass", "fail", "inconclusive", "missing"))
    shares = [(kind, 100 * summary.counts[kind] / total) for kind in ("pass", "fail", "inconclusive")]
    # the pictures are made of numbers and of names that plots.py escapes
    return (
        _environment()
        .get_template("report.html")
        .render(
            summary=summary,
            effort=effort(summary),
            coverage=coverage(summary),
            shares=[*shares, ("rest", 100 * rest / total)],
            legend=_legend(summary, rest),
            findings=[_finding(finding) for finding in summary.findings[:MOST_FINDINGS]],
            more_findings=max(0, len(summary.findings) - MOST_FINDINGS),
            array_columns=array_columns(summary),
            arrays=sorted(array_rows(summary), key=lambda row: row[2] == "PASS"),
            worst_columns=WORST_COLUMNS,
            worst=worst_rows(summary, len(summary.worst)),
            maps=[
                (m.array, _extent(m.shape), _short(m.words.partition(";")[0]), Markup(heat_map(m)))
                for m in summary.maps
            ],
            unknown=any(share for m in summary.maps for row in m.unknown for share in row),
            marked=any(m.rows or m.columns for m in summary.maps),
            scatter=Markup(scatter(summary.points)),
            sampled=_sampled(summary),
            histogram=Markup(histogram(summary.histogram)),
            curves=[(c.label, verdict_of(c), Markup(picture)) for c in summary.curves if (picture := step_curve(c))],
            self_test_columns=SELF_TEST_COLUMNS,
            self_test=self_test_rows(summary),
            self_test_legend=SELF_TEST_LEGEND,
            workers=[[w.worker, f"{w.blocks:,}", f"{w.nfev:,}", f"{w.seconds:.2f}"] for w in summary.workers],
        )
    )


def _legend(summary: Summary, rest: int) -> list[tuple[str, str]]:
    """Colours of the bar, with how many entries each stands for."""
    counts = {**summary.counts, "other": rest, "ground": summary.counts["missing"]}
    words = {
        "pass": "pass",
        "fail": "fail",
        "inconclusive": "inconclusive",
        "other": "kink, not finite, or error",
        "ground": "not evaluated",
    }
    return [(kind, f"{counts[kind]:,} {text}") for kind, text in words.items() if counts[kind]]


def _extent(shape: Sequence[int]) -> str:
    """A shape, in words where it is short."""
    if len(shape) > 1:
        return "×".join(map(str, shape))
    return f"{shape[0]:,} entries" if shape else "scalar"


def _sampled(summary: Summary) -> str:
    """How many entries are in the plot, where they are not all that can be."""
    counts = summary.counts
    known = sum(counts[kind] for kind in ("pass", "fail", "inconclusive", "kink"))
    shown = len(summary.points)
    return f"{shown:,} of {known:,} entries, evenly from all over x0" if shown < known else ""


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A finding as the page shows it."""
    wrong = finding["kind"] in KINDS
    title = finding["array"] or ("several arrays" if wrong else "this run")
    return {**finding, "wrong": wrong, "title": title}


def _short(text: str) -> str:
    return text if len(text) <= CAPTION else f"{text[: CAPTION - 1]}…"


COLOURS = {"PASS": "#157347", "FAIL": "#c2262e", "INCONCLUSIVE": "#a15c00"}


def render_fragment(summary: Summary) -> str:
    """The report in brief, as a part of a page, such as a notebook."""
    shown = brief(summary)
    return (
        _environment()
        .get_template("fragment.html")
        .render(
            summary=summary,
            shown=shown,
            colour=COLOURS[summary.verdict],
            tables=[("Arrays", array_columns(summary), shown.arrays), ("Worst entries", WORST_COLUMNS, shown.entries)],
            effort=effort(summary),
        )
    )


def render_index(
    rows: Sequence[dict[str, object]],
    headline: str,
    verdict: str,
    created: str,
    trends: Mapping[str, str] | None = None,
    runs: Sequence[Mapping[str, object]] = (),
) -> str:
    """The index of a batch.

    Parameters
    ----------
    rows : sequence of dict
        ``name``, ``verdict``, ``headline``, ``parameters``, ``nfev``, ``seconds``, ``created`` and ``link`` of each.
    trends : mapping of str to str
        By problem, what has changed since the last run.
    runs : sequence of mapping
        ``created``, ``verdict``, ``count``, ``wrong``, ``nfev`` and ``seconds`` of the last runs, the newest first.
    """
    return (
        _environment()
        .get_template("index.html")
        .render(rows=rows, headline=headline, verdict=verdict, created=created, trends=trends or {}, runs=runs)
    )
