"""What ``pardiff status`` tells of an audit, from its store alone."""

from __future__ import annotations

import time
from typing import Any

from pardiff.cli.progress import duration
from pardiff.reporting.terminal import printable

RECENT = 50
"""Blocks at the end from which the rate is taken."""
QUIET = 120.0
"""Seconds without a finished block after which a run that was not completed may have ended."""


def status_lines(audit: Any, *, verify: bool) -> tuple[list[str], bool]:
    """Lines of text, and whether the audit is complete and, if verified, undamaged."""
    info = audit.info
    state = "stopped" if info.get("budget_spent") else info["state"]
    line = f"{info['problem']}  {state}  (run {info['runs']}, started {info['timings']['started']})"
    lines, whole = [printable(line)], info["state"] == "complete"
    damaged = audit.drop_damaged() if verify else []
    for wave in audit.waves:
        records = audit.records(wave.number)
        done = sum(record.stop - record.start for record in records.values())
        whole = whole and len(records) == wave.blocks
        lines.append(
            f"  wave {wave.number} ({wave.kind}): {len(records):,} of {wave.blocks:,} blocks, {done:,} of "
            f"{wave.count:,} parameters ({done / wave.count:.0%}), {sum(r.nfev for r in records.values()):,} passes"
        )
    every = [record for wave in audit.waves for record in audit.records(wave.number).values()]
    if every:
        workers = {record.worker for record in every}
        work = sum(record.seconds for record in every)
        lines.append(f"  {len(workers):,} worker{'s' if len(workers) > 1 else ''}, {duration(work)} of work")
    failed = sum(len(record.errors) for record in every)
    if failed:
        lines.append(f"  parameters at which fun failed: {failed:,} or more")
    if info.get("budget_spent"):
        lines.append("  its budget is spent; a larger one goes on")
    elif info["state"] != "complete" and every:
        lines.append(f"  {_pace(audit, every)}")
    if verify:
        names = ", ".join(f"{block} of wave {wave}" for wave, block in damaged[:10])
        more = f" and {len(damaged) - 10} more" if len(damaged) > 10 else ""
        lines.append(
            f"  damaged blocks, which the next run does again: {names}{more}"
            if damaged
            else f"  finished blocks: {len(every):,}, every checksum is right"
        )
    return lines, whole and not damaged


def _pace(audit: Any, records: list[Any]) -> str:
    """Rate and time left, from the blocks that were finished last."""
    last = sorted(records, key=lambda record: float(record.ended))[-RECENT:]
    ago = time.time() - last[-1].ended
    span = last[-1].ended - last[0].ended + last[0].seconds
    rate = sum(record.stop - record.start for record in last) / max(span, 1e-3)
    left = sum(wave.count for wave in audit.waves) - sum(record.stop - record.start for record in records)
    text = f"{rate:,.3g} parameters/s, last block {duration(max(ago, 0.0))} ago"
    if ago > QUIET:
        return f"{text}: it seems to have stopped; the same command goes on"
    return f"{text}, about {duration(left / rate)} left" if left else text
