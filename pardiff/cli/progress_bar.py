"""Progress of a run: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pardiff.execution.progress import Progress, Watcher

EVERY = 10.0
"""Seconds between lines where the output is not a terminal."""


@contextmanager
def watching() -> Iterator[Watcher]:
    """A watcher for the output that there is."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[tuple[str, int], Any] = {}
        shown: list[str] = []

        def watch(progress: Progress) -> None:
            key = (progress.name, progress.wave)
            if key not in tasks:
                if progress.dashboard and not shown:
                    shown.append(progress.dashboard)
                    bar.console.print(f"dashboard: {progress.dashboard}", markup=False)
                for old in tasks.values():
                    bar.remove_task(old)
                tasks.clear()
                tasks[key] = bar.add_task(escape(title(progress)), total=progress.total, rate="", left="")
            bar.update(
                tasks[key],
                completed=progress.done,
                rate=f"{rate(progress):,.0f} passes/s",
                left=f"{duration(progress.remaining)} left",
            )

        yield watch


class _Lines:
    def __init__(self) -> None:
        self._last = time.monotonic()
        self._shown = False

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._last < EVERY:
            return
        self._last = time.monotonic()
        where = "" if self._shown or not progress.dashboard else f"; dashboard: {progress.dashboard}"
        self._shown = True
        print(
            f"{title(progress)}: {progress.done:,} of {progress.total:,} parameters, "
            f"{rate(progress):,.0f} passes/s, {duration(progress.remaining)} left{where}",
            file=sys.stderr,
            flush=True,
        )


def title(progress: Progress) -> str:
    """What is being done."""
    return progress.name if progress.wave == 1 else f"{progress.name}, a closer look"


def rate(progress: Progress) -> float:
    """Forward passes per second."""
    return progress.nfev / progress.seconds if progress.seconds > 0 else 0.0


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(59.2), duration(3700), duration(float("inf"))
    ('59 s', '1 h 02 min', '?')
    """
    if seconds == float("inf"):
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
