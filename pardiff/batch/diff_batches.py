"""Compares audits, or the batches of two folders, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pardiff.audit.reopen import open_result
from pardiff.audit.result import GradcheckResult
from pardiff.batch.index import read_history
from pardiff.comparison.diff import Difference, compare_audits
from pardiff.errors import NotAnAuditError
from pardiff.storage.audit_folder import audit_location, has_audit
from pardiff.storage.location import StorageLocation, open_location


@dataclass(frozen=True)
class Differences:
    """What has changed between two audits, or two folders of audits."""

    pairs: tuple[Difference, ...]
    removed: Mapping[str, str]
    """Problems that only the first has, with their verdicts."""
    added: Mapping[str, str]
    """Problems that only the second has, with their verdicts."""
    stopped: Mapping[str, tuple[str, str]]
    """Problems that came to no verdict in the last run of the second, BROKEN and the like, and did in that of the
    first, or were not there."""
    begun: Mapping[str, tuple[str, str]]
    """Problems of which the opposite is true."""

    @property
    def newly_failing(self) -> bool:
        """Whether something fails that did not before."""
        return any(p.newly_failing for p in self.pairs) or "FAIL" in self.added.values() or bool(self.stopped)


def differences(before: str | Path, after: str | Path) -> Differences:
    """Compare two audits, or two folders of audits; nothing in them is executed.

    Parameters
    ----------
    before, after : path or address
        An audit each, or a folder each that ``pardiff run`` has filled.

    Raises
    ------
    NotAnAuditError
        If one of them is neither, or one an audit and the other a folder of many.
    """
    theirs, ours = _audits(before), _audits(after)
    if set(theirs) == {""} or set(ours) == {""}:
        if set(theirs) != {""} or set(ours) != {""}:
            raise NotAnAuditError(f"{before} and {after}: one is an audit, the other a folder of them; give two alike")
        return Differences((_pair(theirs[""], ours[""]),), {}, {}, {}, {})
    was, now = (_last(open_location(address)) for address in (before, after))
    stopped = {name: (was.get(name, "not there"), word) for name, word in now.items() if word in NONE}
    stopped = {name: words for name, words in stopped.items() if words[0] not in NONE}
    begun = {name: (word, now[name]) for name, word in was.items() if word in NONE and now.get(name, word) not in NONE}
    # what an earlier run has left of a problem says nothing of this one
    pairs = tuple(_pair(theirs[name], ours[name]) for name in ours if name in theirs and name not in stopped)
    removed = {name: verdict for name, verdict in _verdicts(theirs, ours).items() if name not in stopped}
    return Differences(pairs, removed, _verdicts(ours, theirs), stopped, begun)


RUNS = 100
"""Runs that are looked back at."""
NONE = frozenset({"BROKEN", "REFUSED", "INCOMPLETE"})
"""Words for a problem that came to no verdict."""


def _last(location: StorageLocation) -> dict[str, str]:
    """What became of each problem of a folder in the last run that it was in."""
    runs = reversed(read_history(location, RUNS))
    return {name: str(about["verdict"]) for run in runs for name, about in run.problems.items()}


def _verdicts(some: Mapping[str, StorageLocation], others: Mapping[str, StorageLocation]) -> dict[str, str]:
    """Verdicts of audits that the others have not."""
    return {name: open_result(location.address).verdict.name for name, location in some.items() if name not in others}


def _pair(before: StorageLocation, after: StorageLocation) -> Difference:
    one, other = open_result(before.address), open_result(after.address)
    verdicts = (one.verdict.name, other.verdict.name)
    return compare_audits(other.summary.name, one.comparison, other.comparison, verdicts, _findings(other))


def _findings(result: GradcheckResult) -> dict[str, str]:
    """What is wrong with each array, in brief."""
    return {a.name: a.finding.message.partition("; ")[0] for a in result.arrays if a.finding is not None}


def _audits(address: str | Path) -> dict[str, StorageLocation]:
    """Audits at an address by name; one that is the address itself has an empty name."""
    location = audit_location(address)
    if has_audit(location):
        return {"": location}
    folder = open_location(address)
    found = {name: folder.child(name) for name in folder.names() if has_audit(folder.child(name))}
    if not found:
        raise NotAnAuditError(f"{address} is no audit, and holds none")
    return found
