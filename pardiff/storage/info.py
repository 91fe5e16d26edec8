"""What an audit knows beside its numbers: one typed object, and the plain data that a store keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pardiff.evaluation.baseline import Facts
from pardiff.evaluation.spec import DifferentiationSpec
from pardiff.evaluation.step_sweep import StepSweep
from pardiff.problem.options import Resolved

RUNNING, COMPLETE = "running", "complete"
"""Whether an audit has come to its end."""


@dataclass(frozen=True)
class Timings:
    """When and how long, over all runs of an audit."""

    started: str
    """UTC, ISO 8601."""
    finished: str | None = None
    start: float = 0.0
    """Seconds before the first block."""
    waves: float = 0.0
    """Seconds of the waves."""
    seconds: float = 0.0
    """Wall time."""


@dataclass(frozen=True)
class Replication:
    """How results of one worker compare with those of another that has evaluated them again."""

    wave: int
    coordinates: int
    """Lines that were evaluated again."""
    other_bits: int
    """Derivatives that are not the same to the last bit."""
    contradicting: int
    """Derivatives that differ by more than both error bars."""
    nfev: int
    workers: tuple[str, str]
    label: str = ""
    """The entry at which they contradict each other most."""
    values: tuple[float, float] | None = None
    uncertainties: tuple[float, float] | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Replication:
        """Make one from plain data."""
        pairs = {name: _pair(data[name]) for name in ("workers", "values", "uncertainties")}
        return cls(**{**data, **pairs})


def _pair(items: Any) -> Any:
    return None if items is None else tuple(items)


@dataclass(frozen=True)
class AuditInfo:
    """All that an audit knows, but for its arrays, waves and block records."""

    problem: str
    """Its name."""
    target: str
    """The target as the user wrote it."""
    settings: Resolved
    """All options, defaults filled in."""
    has_analytical: bool
    """Whether there is an analytical derivative to compare with."""
    baseline: Facts
    """What was known before the first block."""
    spec: DifferentiationSpec
    client: str
    """Host and process that called fun at x0."""
    provenance: Mapping[str, Any]
    """Versions, machine and time, as plain data."""
    timings: Timings
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    """What must be the same for two runs to be one audit, as plain data; empty in memory."""
    runs: int = 1
    """Runs that have worked on it."""
    state: str = RUNNING
    budget_spent: bool = False
    """Whether a budget has ended the last run before everything was done."""
    environment: tuple[str, ...] = ()
    """Sentences on what makes the workers slow."""
    troubles: Mapping[str, int] = field(default_factory=dict)
    """How often workers and the scheduler were lost, in all runs."""
    more_nfev: int = 0
    """Passes by which entries that would fail were compared with fun."""
    sweeps: tuple[StepSweep, ...] = ()
    replications: tuple[Replication, ...] = ()
    analytical_checksum: int | None = None
    """CRC-32 of the analytical derivative in a store, once it is written."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        typed = {name: plain[name].to_json() for name in ("settings", "baseline", "spec")}
        return {
            **plain,
            **typed,
            "timings": asdict(self.timings),
            "environment": list(self.environment),
            "sweeps": [sweep.to_json() for sweep in self.sweeps],
            "replications": [asdict(one) for one in self.replications],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AuditInfo:
        """The inverse of :meth:`to_json`; a LookupError, TypeError or ValueError for other data."""
        given = {each.name: data[each.name] for each in fields(cls)}
        return cls(
            **{
                **given,
                "settings": Resolved.from_json(data["settings"]),
                "baseline": Facts.from_json(data["baseline"]),
                "spec": DifferentiationSpec.from_json(data["spec"]),
                "timings": Timings(**data["timings"]),
                "environment": tuple(data["environment"]),
                "sweeps": tuple(StepSweep.from_json(sweep) for sweep in data["sweeps"]),
                "replications": tuple(Replication.from_json(one) for one in data["replications"]),
            }
        )
