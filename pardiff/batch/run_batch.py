"""A batch: every problem of some targets on one cluster, an audit each, and an index of all."""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pardiff.audit.keeping import InStore
from pardiff.audit.run_audit import run_audit
from pardiff.batch.index import Outcome, write_index
from pardiff.comparison.verdicts import worst_status
from pardiff.errors import FingerprintError, InputError, PardiffError, TargetError
from pardiff.execution.executors import Executor, open_executor
from pardiff.execution.progress import Watcher
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


def open_cluster(
    scheduler: str | None,
    scheduler_file: str | None,
    workers: int | None,
    tls: tuple[str | None, str | None, str | None] = (None, None, None),
    insecure: bool = False,
    patience: float | None = None,
) -> AbstractContextManager[Any]:
    """The executor of a command: a running scheduler, this process (0 workers) or an embedded cluster."""
    if scheduler and scheduler_file:
        raise InputError("got --scheduler and --scheduler-file; expected one of them")
    if scheduler_file or scheduler:
        from pardiff.execution.cluster import connect
        from pardiff.execution.security import Tls

        if scheduler and "://" not in scheduler:
            scheduler = f"{'tls' if any(tls) else 'tcp'}://{scheduler}"
        return connect(scheduler, scheduler_file, tls=Tls(*tls), insecure=insecure, patience=patience)
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
    keyword: str = "",
    fresh: bool = False,
    patience: float | None = None,
    tls: tuple[str | None, str | None, str | None] = (None, None, None),
    insecure: bool = False,
    options: Options | None = None,
    progress: Watcher | None = None,
    announce: Callable[[Outcome], None] | None = None,
    begin: Callable[[str], None] | None = None,
    end: Callable[[str], None] | None = None,
    crashed: Mapping[str, str] | None = None,
    over: Container[str] = (),
) -> Batch:
    """Audit every problem that the targets name; what the command ``pardiff run`` does.

    A problem that cannot be imported, or that raises, never stops the others. An audit that is there
    already goes on where it stopped.

    Parameters
    ----------
    *targets : str
        ``FILE.py``, ``FILE.py::problem``, ``package.module:factory``, folders, ``JOB.toml``.
    out : path
        Folder for the audits, or prefix of an object store, with one for each (default ``audits``, or what the job
        file says).
    scheduler, scheduler_file : str
        A running Dask scheduler.
    workers : int
        Processes of an embedded cluster; 0 for this process; default one per core.
    keyword : str
        Selects problems by name.
    fresh : bool
        Start over instead of going on.
    patience : float
        Seconds without a scheduler or a worker after which the run gives up (default 60).
    tls : tuple of str or None
        Files of the authority, the client's certificate and its key, for a ``tls://`` scheduler; what is None comes
        from Dask's configuration.
    insecure : bool
        Talk to a scheduler on another machine in plain text.
    options : Settings
        Options that go over those of job files and problems.
    progress : callable
        Called with a `Progress` after each block.
    announce : callable
        Called with the outcome of each problem.
    begin, end : callable
        Called with the name of each problem before it is begun, and of each file before and after it is imported.
    crashed : mapping
        Problems and files that are not to be tried, as they have ended a process, and how.
    over : container of str
        Problems that were finished a moment ago, and are not made afresh.

    Returns
    -------
    Batch
    """
    if patience is not None and not 0 <= patience < float("inf"):
        raise InputError(f"patience: got {patience:g}; expected seconds")

    @contextmanager
    def importing(name: str) -> Iterator[None]:
        if name in (crashed or {}):
            raise TargetError(f"{name}: {(crashed or {})[name]}")
        if begin is not None:
            begin(name)
        yield
        if end is not None:
            end(name)

    selection = select(targets, keyword, importing)
    location = open_location(out or selection.out or DEFAULT_OUT)
    location.check_usable()
    outcomes: list[Outcome] = []
    interrupted = False

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        event("outcome", problem=outcome.name, verdict=outcome.word, exit_status=outcome.status, reason=outcome.error)
        if announce:
            announce(outcome)

    here = scheduler is not None or scheduler_file is not None or workers is not None
    cluster = open_cluster(
        scheduler if here else selection.scheduler,
        scheduler_file if here else selection.scheduler_file,
        workers if here else selection.workers,
        tls,
        insecure,
        patience,
    )
    for broken in (t for t in selection.targets if isinstance(t, Broken)):
        note(Outcome(broken.name, broken.text, location.child(broken.name), error=broken.error, status=2))
    usable = [t for t in selection.targets if isinstance(t, Target)]
    left: list[Outcome] = []
    try:
        if usable:
            with cluster as executor:
                if patience is not None:
                    executor.patience = patience
                for target in usable:
                    where = location.child(target.name)
                    if target.name in (crashed or {}):
                        note(Outcome(target.name, target.text, where, error=(crashed or {})[target.name], status=4))
                        continue
                    if begin is not None:
                        begin(target.name)
                    anew = fresh and target.name not in over
                    note(_one(target, where, executor, anew, options or Options(), progress))
    except KeyboardInterrupt:
        interrupted = True
        left = _left(usable, outcomes, location, "interrupted, or not begun when the run was", 4)
    except PardiffError as error:  # of the cluster
        _index([*outcomes, *_left(usable, outcomes, location, str(error), error.exit_status)], location)
        raise
    index = _index([*outcomes, *left], location)
    return Batch(tuple(outcomes), location, index, interrupted)


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
