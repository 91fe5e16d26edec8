"""The index of a batch, and the history of the batches in a folder."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pardiff.audit.result import GradcheckResult
from pardiff.comparison.verdicts import worst_status
from pardiff.diagnosis.rules import KINDS
from pardiff.errors import StoreError
from pardiff.reporting.text import finding_line
from pardiff.reporting.write import write_text
from pardiff.storage.location import StorageLocation
from pardiff.storage.provenance import now

BATCH_VERDICT = {0: "PASS", 1: "FAIL", 2: "BROKEN", 3: "INCONCLUSIVE", 4: "INCOMPLETE"}
"""What an exit status is called in an index."""
ORDER = ("FAIL", "BROKEN", "REFUSED", "INCOMPLETE", "INCONCLUSIVE", "PARTIAL", "PASS")
"""The order in which problems are listed."""
HISTORY = ".history"
"""The folder with a file for each run; no problem can have this name."""
SHOWN = 20
"""Runs on the index."""
REFUSED = "REFUSED"
"""Verdict of a problem whose audit is another run's: nothing was run, and the audit is as it was."""


@dataclass(frozen=True)
class Outcome:
    """What became of one problem of a batch."""

    name: str
    target: str
    location: StorageLocation
    result: GradcheckResult | None = None
    error: str = ""
    """One sentence, where there is no result."""
    status: int = 0
    """Exit status."""
    refused: bool = False
    """Whether an audit of another run is in the way."""

    @property
    def word(self) -> str:
        """The verdict, or why there is none."""
        if self.refused:
            return REFUSED
        partial = self.status == 0 and self.result is not None and not self.result.passed
        return "PARTIAL" if partial else BATCH_VERDICT[self.status]

    @property
    def headline(self) -> str:
        """The verdict in words, or the error."""
        return self.result.summary.headline if self.result else self.error


@dataclass(frozen=True)
class Run:
    """One batch, as it is remembered."""

    created: str
    verdict: str
    problems: Mapping[str, Mapping[str, Any]]
    """Maps names to ``verdict``, ``wrong`` entries, ``parameters``, ``nfev`` and ``seconds``."""

    @property
    def row(self) -> dict[str, Any]:
        """Sums over the problems."""
        sums = {key: sum(p.get(key) or 0 for p in self.problems.values()) for key in ("wrong", "nfev", "seconds")}
        return {"created": self.created, "verdict": self.verdict, "count": len(self.problems), **sums}


def write_index(outcomes: Sequence[Outcome], out: StorageLocation) -> str:
    """Write ``index.html``, ``summary.json`` and ``junit.xml`` of a batch, and remember it; returns the index."""
    from pardiff.reporting.html import render_index
    from pardiff.reporting.junit import render_junit

    created = now()
    rows = [_row(outcome) | {"created": created} for outcome in outcomes]
    before = read_history(out, SHOWN)
    run = Run(created, _verdict(rows), _remembered(rows))
    _remember(out, run)
    rows += _earlier(out, {row["name"] for row in rows})
    verdict = _verdict(rows)
    counts = Counter(row["verdict"] for row in rows)
    rows.sort(key=lambda row: ORDER.index(row["verdict"]) if row["verdict"] in ORDER else 0)
    problems = "1 problem" if len(rows) == 1 else f"{len(rows)} problems"
    headline = f"{problems}: " + ", ".join(f"{n} {v.lower()}" for v, n in sorted(counts.items()))
    runs = [past.row for past in (run, *before)][:SHOWN]
    write_text(out, "index.html", render_index(rows, headline, verdict, created, trends(run, before), runs))
    data = {"verdict": verdict, "created": created, "problems": rows}
    write_text(out, "summary.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    summaries = [outcome.result.summary for outcome in outcomes if outcome.result]
    broken = [(outcome.name, outcome.error) for outcome in outcomes if not outcome.result]
    write_text(out, "junit.xml", render_junit(summaries, broken))
    return f"{out.address}/index.html"


def _verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """The verdict of some problems together."""
    verdict = BATCH_VERDICT[worst_status(int(row["exit_status"]) for row in rows)]
    verdicts = {row["verdict"] for row in rows}
    if verdict == "PASS" and "PARTIAL" in verdicts:
        return "PARTIAL"
    return REFUSED if verdict == "BROKEN" and "BROKEN" not in verdicts else verdict


def trends(run: Run, before: Sequence[Run]) -> dict[str, str]:
    """How each problem compares with the last run before that had it; empty where there was none at all.

    >>> one, other = (Run("", "", {"a": {"verdict": v, "wrong": n}}) for v, n in (("PASS", 0), ("FAIL", 3)))
    >>> trends(other, [one]), trends(other, [other]), trends(one, [])
    ({'a': 'was PASS'}, {'a': 'same'}, {})
    """
    found: dict[str, str] = {}
    for name, this in run.problems.items():
        if this["verdict"] == REFUSED:
            continue
        known = (past.problems[name] for past in before if name in past.problems)
        last = next((problem for problem in known if problem["verdict"] != REFUSED), None)
        more = 0 if last is None else (this["wrong"] or 0) - (last["wrong"] or 0)
        if last is None:
            found[name] = "new"
        elif last["verdict"] != this["verdict"]:
            found[name] = f"was {last['verdict']}"
        elif more:
            found[name] = f"{abs(more):,} {'more' if more > 0 else 'fewer'} wrong"
        else:
            found[name] = "same"
    return found if before else {}


def read_history(out: StorageLocation, most: int | None = None) -> list[Run]:
    """Runs in a folder, the newest first; what cannot be read is left out."""
    try:
        names = sorted(out.listing(HISTORY), reverse=True)[:most]
    except (OSError, StoreError):
        return []
    runs = []
    for text in out.read_many([f"{HISTORY}/{name}" for name in names]):
        try:
            data = json.loads(text or b"")
            problems = {str(name): _problem(problem) for name, problem in data["problems"].items()}
            runs.append(Run(str(data["created"]), str(data["verdict"]), problems))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return runs


def _problem(data: Mapping[str, Any]) -> dict[str, Any]:
    """One problem of a run, with numbers where numbers belong."""
    numbers = {key: float(data[key] or 0) for key in ("wrong", "parameters", "nfev", "seconds")}
    if not all(math.isfinite(number) for number in numbers.values()):
        raise ValueError
    whole = {key: int(number) if key != "seconds" else number for key, number in numbers.items()}
    return {"verdict": str(data["verdict"]), **whole}


def _remember(out: StorageLocation, run: Run) -> None:
    """Write a file of its own, so that two runs that end together are both kept."""
    stamp = f"{time.time_ns():020d}"  # runs may follow each other within a second
    data = {"created": run.created, "verdict": run.verdict, "problems": run.problems}
    write_text(out, f"{HISTORY}/{stamp}-{uuid.uuid4().hex[:8]}.json", json.dumps(data, ensure_ascii=False) + "\n")


def _remembered(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    kept = ("verdict", "wrong", "parameters", "nfev", "seconds")
    return {row["name"]: {key: row[key] for key in kept} for row in rows}


def _earlier(out: StorageLocation, names: set[str]) -> list[dict[str, Any]]:
    """Rows of the index that stands there, of problems that were not run this time and still have a report."""
    try:
        rows = json.loads(out.read("summary.json"))["problems"]
        return [row for row in rows if row["name"] not in names and out.child(row["name"]).has("report.html")]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _headline(outcome: Outcome) -> str:
    """The verdict in words, with the first thing that is wrong."""
    if outcome.result is None:
        return outcome.headline
    wrong = [finding for finding in outcome.result.summary.findings if finding["kind"] in KINDS]
    if not wrong:
        return outcome.headline
    more = f", and {len(wrong) - 1} findings more" if len(wrong) > 2 else ""
    first = wrong[0]
    named = first["array"] and outcome.headline.endswith(f"in {first['array']}")  # then it is not said again
    text = str(first["message"]) if named else finding_line(first)
    return f"{outcome.headline}: {text.partition('; ')[0]}{more}"


def _row(outcome: Outcome) -> dict[str, Any]:
    summary = outcome.result.summary if outcome.result else None
    return {
        "name": outcome.name,
        "target": outcome.target,
        "verdict": outcome.word,
        "headline": _headline(outcome),
        "exit_status": outcome.status,
        "parameters": summary.parameters if summary else None,
        "nfev": summary.nfev if summary else None,
        "seconds": round(summary.seconds, 3) if summary and math.isfinite(summary.seconds) else None,
        "counts": summary.counts if summary else None,
        "wrong": sum(array.wrong for array in summary.arrays) if summary else None,
        "link": f"{quote(outcome.name)}/report.html" if summary or outcome.refused else "",
    }
