"""``pardiff show --sweep``: the derivative of one entry at many steps."""

from __future__ import annotations

from pardiff.api import sweep
from pardiff.audit.result import GradcheckResult
from pardiff.audit.sweeps import entry_named
from pardiff.errors import InputError, TargetError
from pardiff.reporting.printable import printable
from pardiff.reporting.summary import step_curve
from pardiff.reporting.sweep_text import render_sweep
from pardiff.source.targets import Broken, find_targets


def swept_text(result: GradcheckResult, label: str, target: str | None) -> str:
    """A step sweep as text: the one that the audit holds, or a new one."""
    info = result.ledger.info
    entry_named(result.ledger.arrays, label)  # refuses what is no entry
    held = {swept.label: swept for swept in info.sweeps}
    if target is not None:
        found = find_targets(target)
        if len(found) != 1:
            names = ", ".join(one.text for one in found)
            raise TargetError(f"--target {target}: expected one problem, got {len(found)}: {names}")
        if isinstance(found[0], Broken):
            raise TargetError(found[0].error)
        swept = sweep(found[0].load()[0], label, options=info.settings.as_options())
    elif label in held:
        swept = held[label]
    else:
        some = f" (those of {', '.join(held)} are)" if held else ""
        raise InputError(
            f"no step sweep of {printable(label)} is kept in this audit{printable(some)}; "
            f"--target {printable(info.target)} evaluates fun and makes it"
        )
    return "\n".join(printable(line) for line in render_sweep(step_curve(result.comparison, swept)).split("\n"))
