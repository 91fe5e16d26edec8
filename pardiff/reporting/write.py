"""Reports of an audit, rendered and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pardiff.reporting.markdown import render_markdown
from pardiff.reporting.summary import Summary
from pardiff.storage.location import LocalFolder, StorageLocation


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


def render(kind: str, summary: Summary) -> str:
    """A report as text: ``html``, ``markdown``, ``json`` or ``junit``."""
    return RENDERERS[kind](summary)


def write_reports(summary: Summary, paths: Mapping[str, str | Path]) -> list[Path]:
    """Render a summary into files.

    Parameters
    ----------
    paths : mapping
        File by name of renderer: ``html``, ``markdown``, ``json``, ``junit``.
    """
    for kind, path in paths.items():
        write_text(LocalFolder(Path(path).parent), Path(path).name, RENDERERS[kind](summary))
    return [Path(path) for path in paths.values()]


def write_beside(summary: Summary, location: StorageLocation) -> list[str]:
    """Write all reports of a summary beside its audit; returns their paths or addresses."""
    for kind, name in FILES.items():
        write_text(location, name, RENDERERS[kind](summary))
    return [f"{location.address}/{name}" for name in FILES.values()]


def write_text(location: StorageLocation, name: str, text: str) -> None:
    """Write a text file, whatever is in the text."""
    location.write(name, text.encode("utf-8", errors="backslashreplace"))
