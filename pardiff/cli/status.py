"""What ``pardiff status`` tells of an audit, from its store alone."""

from __future__ import annotations

import time

import numpy as np

from pardiff.audit.keeping import has_parameters
from pardiff.cli.progress_bar import duration
from pardiff.comparison.verify import altered_arrays
from pardiff.errors import StoreError
from pardiff.planning.waves import Wave
from pardiff.reporting.printable import printable
from pardiff.storage.block_table import altered_columns
from pardiff.storage.info import COMPLETE
from pardiff.storage.ledger import passes
from pardiff.storage.records import Records
from pardiff.storage.zarr_ledger import ZarrLedger

MOST_NAMES = 10
"""Blocks or arrays that are named."""
RECENT = 50
"""Blocks at the end from which the rate is taken."""


def status_lines(audit: ZarrLedger, *, verify: bool) -> tuple[list[str], bool]:
    """Lines of text, and whether the audit is complete and, if verified, undamaged."""
    info = audit.info
    held = audit.location.held()
    running = info.state != COMPLETE and held
    lines, whole = [], info.state == COMPLETE
    dropped = audit.drop_damaged() if verify else []
    for wave in audit.waves:
        records = audit.records(wave.number)
        done = records.coordinates
        whole = whole and len(records) == wave.blocks
        lines.append(
            f"  wave {wave.number} ({wave.kind}): {len(records):,} of {wave.blocks:,} blocks, {done:,} of "
            f"{wave.count:,} parameters ({done / wave.count:.0%}), {records.column('nfev').sum():,} passes"
        )
    every = [audit.records(wave.number) for wave in audit.waves]
    blocks = sum(len(records) for records in every)
    if blocks:
        workers = set().union(*(records.workers for records in every))
        work = sum(records.column("seconds").sum() for records in every)
        runs = " of all runs" if info.runs > 1 else ""
        lines.append(f"  {len(workers):,} worker{'s' if len(workers) > 1 else ''}{runs}, {duration(work)} of work")
        rest = passes(audit) - sum(records.column("nfev").sum() for records in every)
        lines.append(f"  {rest:,} more passes: at the start, for step sweeps, and for repeats")
    failed = sum(len(raised) for records in every for raised in records.errors.values())
    if failed:
        lines.append(f"  parameters at which fun failed: {failed:,} or more")
    if info.budget_spent:
        lines.append("  its budget is spent; give a larger one to continue")
    elif info.state != COMPLETE:
        lines.append(f"  {_pace(audit, every) if running and blocks else 'the same command goes on'}")
    faults = []
    if verify:
        faults = [] if held else _faults(audit, dropped)
        if held:
            lines.append("  a run is at work on it; what it has finished is looked at when it has ended")
        lines += faults or [f"  finished blocks: {blocks:,}, every checksum is right"]
    damaged = bool(faults) or (info.state == COMPLETE and not whole)
    whole = whole and not damaged
    state = "running" if running else "complete" if whole else "damaged" if damaged else "stopped"
    started = f"started {info.timings.started}" + (f", {info.runs} runs" if info.runs > 1 else "")
    return [printable(f"{info.problem}  {state}  ({started})"), *lines], whole


def _faults(audit: ZarrLedger, damaged: list[tuple[int, int]]) -> list[str]:
    """What of an audit is not as it was written."""
    faults, complete = [], audit.info.state == COMPLETE
    if complete:  # records that are gone, or are none
        gone = [(wave.number, block) for wave in audit.waves for block in _missing(audit, wave)]
        damaged = sorted({*damaged, *gone})
    if damaged:
        names = ", ".join(f"{block} of wave {wave}" for wave, block in damaged[:MOST_NAMES])
        faults.append(f"damaged blocks, which the next run does again: {names}{_more(len(damaged))}")
    if not has_parameters(audit):
        faults.append("x0 is damaged; the next run writes it anew")
    try:
        if audit.info.analytical_checksum is not None or complete:  # it is written after the audit is made
            audit.check_analytical()
    except StoreError as error:
        faults.append(str(error))
    if audit.lost_wave:
        faults.append(f"the plan of wave {audit.lost_wave} is damaged; the next run makes it anew, and its blocks")
    if not faults and complete:  # the arrays by name are written from these
        altered = [*audit.damaged_groups(), *altered_arrays(audit), *altered_columns(audit)]
        if altered:
            names = ", ".join(altered[:MOST_NAMES]) + _more(len(altered))
            faults.append(f"damaged arrays, which the next run writes anew: {names}")
    return [printable(f"  {fault}") for fault in faults]


def _missing(audit: ZarrLedger, wave: Wave) -> list[int]:
    """Blocks of a wave without a record."""
    blocks: list[int] = np.setdiff1d(np.arange(wave.blocks), audit.records(wave.number).blocks).tolist()
    return blocks


def _more(count: int) -> str:
    return f" and {count - MOST_NAMES} more" if count > MOST_NAMES else ""


def _pace(audit: ZarrLedger, every: list[Records]) -> str:
    """Rate and time left, from the blocks that were finished last."""
    ended = np.concatenate([records.column("ended") for records in every])
    took = np.concatenate([records.column("seconds") for records in every])
    sizes = np.concatenate([records.stops - records.starts for records in every])
    last = np.argsort(ended, kind="stable")[-RECENT:]
    ago = time.time() - ended[last[-1]]
    rate = sizes[last].sum() / max(ended[last[-1]] - ended[last[0]] + took[last[0]], 1e-3)
    left = sum(wave.count for wave in audit.waves) - int(sizes.sum())
    text = f"{rate:,.3g} parameters/s, last block {duration(max(ago, 0.0))} ago"
    return f"{text}, about {duration(left / rate)} left" if left else text
