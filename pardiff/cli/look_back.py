"""Commands that look back: ``diff`` and ``history``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pardiff.errors import NotAnAuditError, StoreError
from pardiff.reporting.printable import printable
from pardiff.reporting.text import table


@click.command()
@click.argument("before")
@click.argument("after")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all of it, for programs.")
def diff(before: str, after: str, file: Path | None) -> None:
    """Compare two audits, or the folders of two batches: what fails now, what is repaired, what has changed.

    The exit status is 1 if an entry fails now that did not before, or if a problem has lost its verdict.
    """
    from pardiff.batch.diff_batches import differences

    found = differences(before, after)
    lines = [line for one in found.pairs for line in _lines(one)]
    lines += [f"{name}: {was} has become {now}" for name, (was, now) in {**found.stopped, **found.begun}.items()]
    lines += [f"{name}: only in {before}, {verdict}" for name, verdict in found.removed.items()]
    lines += [f"{name}: only in {after}, {verdict}" for name, verdict in found.added.items()]
    for line in lines or ["nothing has changed"]:
        click.echo(printable(line))
    arrays = [array for one in found.pairs for array in one.arrays]
    failing, fixed = sum(array.failing for array in arrays), sum(array.fixed for array in arrays)
    if failing or fixed:
        click.echo(f"in all {failing:,} entries newly failing, {fixed:,} newly fixed")
    if file is not None:
        data = {"pairs": [asdict(one) for one in found.pairs], "removed": found.removed, "added": found.added}
        data["stopped"] = {name: list(words) for name, words in found.stopped.items()}
        file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.exit(1 if found.newly_failing else 0)


def _lines(one: Any) -> list[str]:
    """What is to be said of a pair of audits."""
    told = []
    if one.verdicts[0] != one.verdicts[1]:
        told.append(f"  {one.verdicts[0]} has become {one.verdicts[1]}")
    if one.point:
        told.append("  x0 is another point, so that both derivatives differ")
    for array in one.arrays:
        if not array.differs:
            continue
        counts = [
            f"{count:,} {words}"
            for count, words in (
                (array.failing, "newly failing"),
                (array.fixed, "newly fixed"),
                (0 if one.point else array.changed, "derivatives changed beyond both error bars"),
                (0 if one.point else array.analytical_changed, "analytical derivatives changed"),
            )
            if count
        ]
        if not counts and array.state == "both":
            continue
        state = [array.state] if array.state != "both" else []
        most = max(array.failing, array.fixed, 0 if one.point else max(array.changed, array.analytical_changed))
        named = f" ({', '.join(array.named)}{', …' if most > len(array.named) else ''})"
        now = f"; {array.finding}" if array.failing and array.finding else ""
        told.append(f"  {array.array}: {', '.join([*state, *counts])}{named if array.named else ''}{now}")
    if one.source:
        told.append("  the source of the problem has changed")
    told += [f"  {key}: {_option(old)} has become {_option(new)}" for key, (old, new) in one.options.items()]
    return [one.name, *told] if told else []


def _option(value: Any) -> str:
    return "not set" if value is None else str(value)


@click.command()
@click.argument("folder")
@click.option("--most", type=click.IntRange(1), default=20, show_default=True, help="Runs to list.")
def history(folder: str, most: int) -> None:
    """List the runs of a folder of audits, the newest first, with what has changed from one to the next."""
    from pardiff.batch.index import read_history, trends
    from pardiff.storage.location import open_location

    runs = read_history(open_location(folder), most + 1)
    if not runs:
        try:
            names = open_location(folder).names()
        except StoreError:
            names = []
        known = f"; it holds {', '.join(names[:4])}" if names else ""
        raise NotAnAuditError(f"{folder} has no history of runs{known}; expected the --out of 'pardiff run'")
    rows = []
    for number, run in enumerate(runs[:most]):
        changes = [
            f"{name} {text}" + (f", is {run.problems[name]['verdict']}" if text.startswith("was ") else "")
            for name, text in trends(run, runs[number + 1 :]).items()
            if text != "same"
        ]
        row = run.row
        rows.append(
            [
                run.created, run.verdict, f"{row['count']:,}", f"{row['wrong']:,}", f"{row['nfev']:,}",
                f"{row['seconds']:.2f}", _short(changes),
            ]
        )  # fmt: skip
    columns = ("when", "verdict", "problems", "wrong entries", "passes", "seconds", "")
    for line in table(columns, [[printable(cell) for cell in row] for row in rows], left=2):
        click.echo(line)


def _short(changes: Sequence[str]) -> str:
    return "; ".join(changes[:3]) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")
