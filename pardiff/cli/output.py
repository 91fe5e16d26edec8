"""What ``pardiff run`` prints at the end, and leaves for CI."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "BROKEN": "red", "INCOMPLETE": "yellow"}

MOST_SUMMARY = 900_000
"""Bytes of a step's summary; GitHub takes a little more."""


def write_step_summary(outcomes: Sequence[Any]) -> None:
    """Append to the summary of a step, where this is one of GitHub Actions."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    from pardiff.reporting.markdown import escape, render_markdown

    text = ""
    for outcome in sorted(outcomes, key=lambda outcome: outcome.status == 0):
        if outcome.result:
            part = render_markdown(outcome.result.summary)
        else:
            part = f"### ❌ {outcome.word} · {escape(outcome.name)}\n\n{escape(outcome.error)}\n"
        if len((text + part).encode()) > MOST_SUMMARY:
            text += "… and more, in the reports.\n"
            break
        text += f"{part}\n"
    try:
        with Path(file).open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except OSError as error:
        click.echo(f"pardiff: cannot write the step's summary to {file}: {error.strerror}", err=True)


def print_report(text: str) -> None:
    """Print a report, its verdict in colour."""
    verdict, rest = text.split(" ", 1)
    click.echo(click.style(verdict, fg=COLOURS[verdict], bold=True) + " " + rest)


def print_batch(outcomes: Sequence[Any]) -> None:
    """Print a line for each problem."""
    from pardiff.reporting.text import table

    rows = []
    for outcome in outcomes:
        summary = outcome.result.summary if outcome.result else None
        numbers = (
            [f"{summary.parameters:,}", f"{summary.nfev:,}", f"{summary.seconds:.2f}"] if summary else ["", "", ""]
        )
        rows.append([outcome.name, outcome.word, *numbers])
    for line in table(("problem", "verdict", "parameters", "passes", "seconds"), rows, left=2):
        click.echo(line)
