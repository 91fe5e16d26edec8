"""Writes reports: one problem's beside its audit, and a batch's index over all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pardiff.api import open_result
from pardiff.reporting.markdown import render_markdown
from pardiff.reporting.summary import Summary
from pardiff.storage.location.base import Folder, Place


def _html(summary: Summary) -> str:
    from pardiff.reporting.html import render_html

    return render_html(summary)


def _junit(summary: Summary) -> str:
    from pardiff.reporting.junit import render_junit

    return render_junit([summary])


def _json(summary: Summary) -> str:
    return json.dumps(summary.to_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


RENDERERS: dict[str, Callable[[Summary], str]] = {
    "html": _html,
    "markdown": render_markdown,
    "json": _json,
    "junit": _junit,
}
"""Renderers of a single audit by their name."""

FILES = {"html": "report.html", "markdown": "report.md", "json": "report.json", "junit": "junit.xml"}


def write_reports(summary: Summary, paths: Mapping[str, str | Path]) -> list[Path]:
    """Render a summary into files.

    Parameters
    ----------
    paths : mapping
        File by name of renderer: ``html``, ``markdown``, ``json``, ``junit``.
    """
    for kind, path in paths.items():
        write_text(Folder(Path(path).parent), Path(path).name, RENDERERS[kind](summary))
    return [Path(path) for path in paths.values()]


def write_beside(summary: Summary, place: Place) -> list[str]:
    """Write all reports of a summary beside its audit; returns their paths or addresses."""
    for kind, name in FILES.items():
        write_text(place, name, RENDERERS[kind](summary))
    return [f"{place.address}/{name}" for name in FILES.values()]


def write_text(place: Place, name: str, text: str) -> None:
    """Write a text file, whatever is in the text."""
    place.write(name, text.encode("utf-8", errors="backslashreplace"))


def report(
    store: str | Path,
    *,
    html: str | Path | None = None,
    markdown: str | Path | None = None,
    json: str | Path | None = None,
    junit: str | Path | None = None,
) -> list[str]:
    """Write reports of an audit, finished or not; nothing in it is executed.

    Parameters
    ----------
    store : path
        The audit's folder, or the ``audit.zarr`` in it.
    html, markdown, json, junit : path or None
        Files to write; with none given, all four beside the audit.

    Returns
    -------
    list of str
        Paths or addresses of the files written.
    """
    result = open_result(store)
    asked = {"html": html, "markdown": markdown, "json": json, "junit": junit}
    paths: dict[str, str | Path] = {kind: path for kind, path in asked.items() if path is not None}
    if not paths:
        assert result.place is not None
        return write_beside(result.summary, result.place)
    return [str(path) for path in write_reports(result.summary, paths)]
