"""Where an audit is kept while it runs: in memory, or in a store from which it can go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pardiff.errors import FingerprintError, NotAnAuditError, StoreError
from pardiff.evaluation.baseline import Baseline
from pardiff.execution.session import Session, keep
from pardiff.execution.tasks import Limits, MemoryTask, Shared, StoredTask, Task
from pardiff.planning.waves import Wave
from pardiff.problem.parsing import parameters_digest
from pardiff.problem.problem import Problem
from pardiff.source.fingerprint import Source, fingerprint_of
from pardiff.storage.audit_folder import audit_location, has_audit
from pardiff.storage.info import RUNNING, AuditInfo
from pardiff.storage.ledger import Ledger
from pardiff.storage.location import StorageLocation
from pardiff.storage.memory import MemoryLedger

if TYPE_CHECKING:
    from pardiff.storage.zarr_ledger import ZarrLedger

MakeTask = Callable[[Wave, Limits], Task]


class InMemory:
    """An audit that goes with its result."""

    target = "in memory"
    location: StorageLocation | None = None

    def check(self) -> None:
        """There is nothing that could be in the way."""

    def held(self) -> AbstractContextManager[None]:
        """Nobody else can work on it."""
        return nullcontext()

    def open(self, baseline: Baseline, info: AuditInfo, first: Wave, *, anew: bool) -> Ledger:
        """A new ledger."""
        return MemoryLedger(baseline.space, baseline.arrays, baseline.analytical, info, first)

    def tasks(self, problem: Problem, baseline: Baseline, ledger: Ledger, session: Session | None) -> MakeTask:
        """What makes the task of a wave; with a session, one that never leaves this thread."""
        if session is None:  # what is sent to workers has no x0 and no derivative of its own
            arrays = [array.copy() for array in baseline.arrays]
            shared = Shared(problem.without_point(), baseline.space, arrays, ledger.info.spec)
        else:
            shared = Shared(problem, baseline.space, baseline.arrays, ledger.info.spec)
            keep("session", shared.key, session)
        return lambda wave, limits: MemoryTask(shared, wave, limits)

    def stopped(self, ledger: Ledger, seconds: float) -> None:
        """What was done is lost."""

    def finished(self, ledger: Ledger) -> None:
        """There is nothing to be laid out."""


@dataclass(frozen=True)
class InStore:
    """An audit in a folder, or in an object store."""

    location: StorageLocation
    problem: Problem
    source: Source
    fresh: bool = False
    """Whether an audit that is there is removed, whatever it is of."""

    @classmethod
    def at(cls, store: str | Path | StorageLocation, problem: Problem, source: Source, *, fresh: bool) -> InStore:
        """At a path or an address, ``OUT/NAME``."""
        return cls(audit_location(store), problem, source, fresh)

    @property
    def target(self) -> str:
        """The target, as the user wrote it."""
        return self.source.target

    def check(self) -> None:
        """Refuse what is not an audit, before anything is done."""
        if not has_audit(self.location):
            return
        from pardiff.storage.zarr_ledger import ZarrLedger

        try:
            ZarrLedger.open(self.location)
        except NotAnAuditError:
            raise
        except StoreError:
            if not self.fresh:
                raise

    def held(self) -> AbstractContextManager[None]:
        """Hold the place for this client."""
        return self.location.locked()

    def open(self, baseline: Baseline, info: AuditInfo, first: Wave, *, anew: bool) -> Ledger:
        """A new audit, or the one that is there if it is of the same run; ``anew`` removes it."""
        from pardiff.storage.zarr_ledger import ZarrLedger
        from pardiff.storage.zarr_store import remove_audit

        fingerprint = fingerprint_of(
            baseline.space, baseline.arrays, baseline.bounds, info.settings, self.source, self.problem
        )
        there = has_audit(self.location)
        if there and (self.fresh or anew):
            remove_audit(self.location)
            there = False
        if there:
            ledger = self._resumed(baseline, info, fingerprint)
        else:
            info = replace(info, fingerprint=fingerprint)
            ledger = ZarrLedger.create(self.location, baseline.space, baseline.arrays, info, first)
        if self.source.bundle:
            ledger.store.write_code(self.source.code.filename, self.source.bundle)
        if baseline.analytical is not None:
            ledger.write_analytical(baseline.analytical)
        ledger.update(settings=info.settings, has_analytical=info.has_analytical)
        return ledger

    def _resumed(self, baseline: Baseline, info: AuditInfo, fingerprint: dict[str, object]) -> ZarrLedger:
        """The audit that is there, repaired; refused if it is another run's."""
        from pardiff.storage.zarr_ledger import ZarrLedger

        ledger = ZarrLedger.open(self.location, write=True)
        _check_fingerprint(ledger, fingerprint)
        _check_value(ledger, baseline)
        ledger.repair()
        ledger.drop_damaged(erase=True)
        if not has_parameters(ledger):
            ledger.write_parameters(baseline.arrays)
        ledger.update(runs=ledger.info.runs + 1, state=RUNNING, budget_spent=False)
        return ledger

    def tasks(self, problem: Problem, baseline: Baseline, ledger: Ledger, session: Session | None) -> MakeTask:
        """What makes the task of a wave; with a session, one that never leaves this thread."""
        from pardiff.storage.zarr_ledger import ZarrLedger

        assert isinstance(ledger, ZarrLedger)
        audit = ledger

        def task(wave: Wave, limits: Limits) -> Task:
            info = audit.info
            made = StoredTask(
                self.location.address, audit.id, self.source.code, wave.number, info.runs, info.spec.strategy, limits
            )
            if session is not None:
                keep("ledger", made.ledger_key, audit)
                keep("session", made.session_key, session)
            return made

        return task

    def stopped(self, ledger: Ledger, seconds: float) -> None:
        """Keep how long an interrupted run took."""
        timings = ledger.info.timings
        with suppress(StoreError):
            ledger.update(timings=replace(timings, seconds=timings.seconds + seconds))

    def finished(self, ledger: Ledger) -> None:
        """Lay the block records out."""
        from pardiff.storage.block_table import write_block_table
        from pardiff.storage.zarr_ledger import ZarrLedger

        assert isinstance(ledger, ZarrLedger)
        write_block_table(ledger)


def has_parameters(ledger: ZarrLedger) -> bool:
    """Whether x0 in a store is whole."""
    try:
        return bool(parameters_digest(ledger.space, ledger.all_parameters()) == ledger.info.fingerprint["x0"])
    except StoreError:
        return False


def _check_value(ledger: ZarrLedger, baseline: Baseline) -> None:
    """Refuse to go on where fun at x0 has changed, as it does when its data has."""
    before, now = ledger.info.baseline, baseline.facts
    if ledger.info.spec.cotangents != baseline.cotangents:
        raise FingerprintError(
            f"the audit at {ledger.address} was started with other outputs of fun; its data or source must have "
            f"changed: --fresh (in Python fresh=True) starts over"
        )
    if not (before.deterministic and now.deterministic):
        return  # that is a finding of its own
    pairs = [("at x0", before.value, now.value), ("near x0", before.probe, now.probe)]
    for where, there, here in pairs:
        if not abs(here - there) <= before.same_value(there):
            raise FingerprintError(
                f"the audit at {ledger.address} was started with another value of fun {where} (there: {there!r}, "
                f"now: {here!r}); its data or source must have changed: --fresh (in Python fresh=True) starts over"
            )


def _check_fingerprint(ledger: ZarrLedger, fingerprint: Mapping[str, object]) -> None:
    """Raise `FingerprintError`, naming what differs, unless the audit is of the same run."""
    stored = ledger.info.fingerprint
    for key in dict.fromkeys(["jitter", *fingerprint, *stored]):  # a jitter moves x0, and is the reason then
        if stored.get(key) != fingerprint.get(key):
            was, now = (_short(f.get(key)) for f in (stored, fingerprint))
            remedy = "" if key not in ("rtol", "atol") else "'pardiff reconcile' compares anew without a pass; "
            raise FingerprintError(
                f"the audit at {ledger.address} was started with another {key} (there: {was}, now: {now}); "
                f"{remedy}--fresh (in Python fresh=True) starts over, another --out (store=) keeps both"
            )


def _short(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 24 else text[:12] + "…"
