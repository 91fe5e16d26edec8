"""A batch: every problem of some targets on one cluster, an audit each, and an index of all."""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pardiff.audit.keeping import InStore
from pardiff.audit.run_audit import run_audit
from pardiff.batch.index import Outcome, write_index
from pardiff.comparison.verdicts import worst_status
from pardiff.errors import FingerprintError, InputError, PardiffError, TargetError
from pardiff.execution.executors import Executor, open_executor
from pardiff.execution.progress import Watcher
from pardiff.execution.security import Tls
from pardiff.logs import event
from pardiff.problem.options import Options
from pardiff.reporting.write import write_beside
from pardiff.source.bundle import sha256
from pardiff.source.fingerprint import Source
from pardiff.source.job import read_job
from pardiff.source.targets import Broken, Importing, Target, find_targets, unique_names
from pardiff.storage.location import StorageLocation, open_location

DEFAULT_OUT = "audits"
MOST_WORKERS = 64
"""Processes per core that a machine is asked to start; more is a slip of the keyboard."""


@dataclass(frozen=True)
class Batch:
    """Outcomes of a run; ``exit_status`` is that of the command."""

    outcomes: tuple[Outcome, ...]
    out: StorageLocation
    index: str | None
    """``index.html``; None where nothing was run."""
    interrupted: bool = False

    @property
    def exit_status(self) -> int:
        """The gravest: 1 mismatch, 2 bad input, 4 incomplete, 3 inconclusive, 0 pass."""
        statuses = [outcome.status for outcome in self.outcomes]
        return worst_status([*statuses, 4] if self.interrupted else statuses)


@dataclass(frozen=True)
class Selection:
    """Problems to be run, and where the job file among the targets wants them."""

    targets: tuple[Target | Broken, ...]
    out: str | None
    scheduler: str | None
    scheduler_file: str | None
    workers: int | None


def select(texts: Sequence[str], keyword: str = "", importing: Importing = nullcontext) -> Selection:
    """Find the problems that targets and an expression name.

    Parameters
    ----------
    texts : sequence of str
        ``FILE.py``, ``FILE.py::problem``, ``package.module:factory``, folders and ``JOB.toml``.
    keyword : str
        Parts of names joined by ``and``, ``or``, ``not``, as for pytest's ``-k``.
    importing : callable
        Called with the name of each file or module that is imported.
    """
    targets: list[Target | Broken] = []
    jobs = []
    here = Path.cwd()
    for text in texts:
        if text.endswith(".toml"):
            jobs.append(read_job(Path(text), importing))
            targets += jobs[-1].targets
        else:
            try:
                targets += find_targets(text, importing)
            except TargetError as error:
                file = Path(text.partition("::")[0])
                if len(texts) == 1 or not file.is_file():
                    raise
                targets.append(Broken(text, file.stem, str(error)))
        os.chdir(here)  # wherever the code of a target has gone
    if len(jobs) > 1:
        raise InputError("got several job files; expected one at a time, since each names a cluster and a store")
    # a file that cannot be imported may hold what is asked for, so that it is never left out
    chosen = tuple(t for t in targets if not keyword or isinstance(t, Broken) or matches(keyword, t.name))
    if not chosen:
        names = ", ".join(t.name for t in targets) or "none (those with batch=False run only as FILE.py::name)"
        raise TargetError(f"no problem to run{f' matches -k {keyword!r}' if keyword else ''}; found: {names}")
    unique_names(list(chosen))
    job = jobs[0] if jobs else None
    return Selection(
        chosen,
        job.out if job else None,
        job.scheduler if job else None,
        job.scheduler_file if job else None,
        job.workers if job else None,
    )


def matches(expression: str, name: str) -> bool:
    """Whether a name contains what an expression asks for.

    >>> matches("digits and not mlp", "digits_softmax"), matches("digits and not mlp", "digits_mlp")
    (True, False)
    """

    def value(node: ast.AST) -> bool:
        if isinstance(node, ast.BoolOp):
            return (all if isinstance(node.op, ast.And) else any)(value(item) for item in node.values)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return not value(node.operand)
        if isinstance(node, ast.Name):
            return node.id in name
        raise InputError(f"-k {expression!r}: expected parts of names joined by and, or, not")

    try:
        return value(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError:
        if " " in expression:
            raise InputError(f"-k {expression!r}: expected parts of names joined by and, or, not") from None
        return expression in name


@dataclass(frozen=True)
class Connection:
    """How to talk to the cluster of a batch."""

    tls: Tls = field(default_factory=Tls)
    """What is None in it comes from Dask's configuration."""
    insecure: bool = False
    """Talk to a scheduler on another machine in plain text."""
    patience: float | None = None
    """Seconds without a scheduler or a worker after which the run gives up; None for the default, 60."""

    def __post_init__(self) -> None:
        """Check the patience."""
        if self.patience is not None and not 0 <= self.patience < float("inf"):
            raise InputError(f"patience: got {self.patience:g}; expected seconds")


class Hooks:
    """What is told of a batch while it runs, and what it is told of processes that ran before it."""

    crashed: Mapping[str, str] = MappingProxyType({})
    """Problems and files that are not to be tried, as they have ended a process, and how."""
    over: Container[str] = ()
    """Problems that were finished a moment ago, and are not made afresh."""

    def begin(self, name: str) -> None:
        """A problem is begun, or a file is to be imported."""

    def end(self, name: str) -> None:
        """A file is imported."""

    def announce(self, outcome: Outcome) -> None:
        """A problem has an outcome."""


def open_cluster(
    scheduler: str | None, scheduler_file: str | None, workers: int | None, connection: Connection | None = None
) -> AbstractContextManager[Any]:
    """The executor of a command: a running scheduler, this process (0 workers) or an embedded cluster."""
    connection = connection or Connection()
    if scheduler and scheduler_file:
        raise InputError("got --scheduler and --scheduler-file; expected one of them")
    if scheduler_file or scheduler:
        from pardiff.execution.cluster import connect

        if scheduler and "://" not in scheduler:
            scheduler = f"{'tls' if connection.tls != Tls() else 'tcp'}://{scheduler}"
        return connect(
            scheduler, scheduler_file, tls=connection.tls, insecure=connection.insecure, patience=connection.patience
        )
    most = MOST_WORKERS * (os.cpu_count() or 1)
    if workers is not None and not 0 <= workers <= most:
        raise InputError(f"workers: got {workers}; expected 0 (this process) to {most} on this machine")
    return open_executor(None if workers == 0 else "processes", workers)


def run(
    *targets: str,
    out: str | Path | None = None,
    scheduler: str | None = None,
    scheduler_file: str | None = None,
    workers: int | None = None,
    connection: Connection | None = None,
    keyword: str = "",
    fresh: bool = False,
    options: Options | None = None,
    progress: Watcher | None = None,
    hooks: Hooks | None = None,
) -> Batch:
    """Audit every problem that the targets name; what the command ``pardiff run`` does.

    A problem that cannot be imported, or that raises, never stops the others. An audit that is there
    already goes on where it stopped.

    Parameters
    ----------
    *targets : str
        ``FILE.py``, ``FILE.py::problem``, ``package.module:factory``, folders, ``JOB.toml``.
    out : path or None
        Folder for the audits, or prefix of an object store, with one for each (default ``audits``, or what the job
        file says).
    scheduler, scheduler_file : str or None
        A running Dask scheduler.
    workers : int or None
        Processes of an embedded cluster; 0 for this process; default one per core.
    connection : Connection or None
        Certificates, and how long to wait for a lost scheduler.
    keyword : str
        Selects problems by name.
    fresh : bool
        Start over instead of going on.
    options : Options or None
        Options that go over those of job files and problems.
    progress : callable or None
        Called with a `Progress` after each block.
    hooks : Hooks or None
        Told of each problem.

    Returns
    -------
    Batch

    Raises
    ------
    PardiffError
        If no problem is named, the folder cannot be used, or the cluster fails.
    """
    connection, hooks = connection or Connection(), hooks or Hooks()

    @contextmanager
    def importing(name: str) -> Iterator[None]:
        if name in hooks.crashed:
            raise TargetError(f"{name}: {hooks.crashed[name]}")
        hooks.begin(name)
        yield
        hooks.end(name)

    selection = select(targets, keyword, importing)
    location = open_location(out or selection.out or DEFAULT_OUT)
    location.check_usable()
    if (scheduler, scheduler_file, workers) == (None, None, None):
        scheduler, scheduler_file, workers = selection.scheduler, selection.scheduler_file, selection.workers
    cluster = open_cluster(scheduler, scheduler_file, workers, connection)
    batch = _Run(selection, location, options or Options(), fresh, progress, hooks)
    return batch.on(cluster, connection.patience)


@dataclass
class _Run:
    """A batch under way."""

    selection: Selection
    location: StorageLocation
    options: Options
    fresh: bool
    progress: Watcher | None
    hooks: Hooks
    outcomes: list[Outcome] = field(default_factory=list)

    def on(self, cluster: AbstractContextManager[Any], patience: float | None) -> Batch:
        """Audit all problems on a cluster, which is started only if there is something to do."""
        for broken in (t for t in self.selection.targets if isinstance(t, Broken)):
            where = self.location.child(broken.name)
            self._note(Outcome(broken.name, broken.text, where, error=broken.error, status=2))
        usable = [t for t in self.selection.targets if isinstance(t, Target)]
        left: list[Outcome] = []
        interrupted = False
        try:
            if usable:
                with cluster as executor:
                    if patience is not None:
                        executor.patience = patience
                    for target in usable:
                        self._audit(target, executor)
        except KeyboardInterrupt:
            interrupted = True
            left = _left(usable, self.outcomes, self.location, "interrupted, or not begun when the run was", 4)
        except PardiffError as error:  # of the cluster
            left = _left(usable, self.outcomes, self.location, str(error), error.exit_status)
            _index([*self.outcomes, *left], self.location)
            raise
        index = _index([*self.outcomes, *left], self.location)
        return Batch(tuple(self.outcomes), self.location, index, interrupted)

    def _audit(self, target: Target, executor: Executor) -> None:
        hooks, where = self.hooks, self.location.child(target.name)
        if target.name in hooks.crashed:
            self._note(Outcome(target.name, target.text, where, error=hooks.crashed[target.name], status=4))
            return
        hooks.begin(target.name)
        fresh = self.fresh and target.name not in hooks.over
        self._note(_one(target, where, executor, fresh, self.options, self.progress))

    def _note(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        event("outcome", problem=outcome.name, verdict=outcome.word, exit_status=outcome.status, reason=outcome.error)
        self.hooks.announce(outcome)


def _left(
    targets: list[Target], outcomes: list[Outcome], location: StorageLocation, error: str, status: int
) -> list[Outcome]:
    """Outcomes of the problems that have none."""
    known = {outcome.name for outcome in outcomes}
    return [
        Outcome(target.name, target.text, location.child(target.name), error=error, status=status)
        for target in targets
        if target.name not in known
    ]


def _index(outcomes: list[Outcome], location: StorageLocation) -> str | None:
    """Write the index, unless the only problem could not be run and no earlier run has left one."""
    if len(outcomes) > 1 or any(outcome.result for outcome in outcomes) or location.has("summary.json"):
        return write_index(outcomes, location)
    return None


def _one(
    target: Target,
    location: StorageLocation,
    executor: Executor,
    fresh: bool,
    options: Options,
    progress: Watcher | None,
) -> Outcome:
    try:
        problem, code, bundle = target.load()
        chosen = options.over(target.options.over(problem.options))
        source = Source(target.text, code, bundle, sha256(target.source()))
        kept = InStore(location, problem, source, fresh)
        result = run_audit(problem, target.name, chosen, executor, kept, progress)
        write_beside(result.summary, location)
    except PardiffError as error:
        refused = isinstance(error, FingerprintError)
        return Outcome(target.name, target.text, location, error=str(error), status=error.exit_status, refused=refused)
    except Exception as error:  # a defect of pardiff or of what it calls must not stop the batch either
        logging.getLogger("pardiff").exception("unexpected error in %s", target.text)
        return Outcome(
            target.name, target.text, location, error=f"unexpected {type(error).__name__}: {error}", status=4
        )
    return Outcome(target.name, target.text, location, result, status=result.exit_status)
