"""Commands of ``pardiff``. Exit status: 0 pass, 1 mismatch, 2 bad input, 3 inconclusive, 4 incomplete."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from pardiff.cli.group import INTERRUPTED, Group
from pardiff.cli.guard import GUARD, guard, leave_now, open_streams
from pardiff.cli.interrupts import interruptible
from pardiff.cli.look_back import diff, history
from pardiff.cli.option_flags import cluster_flags, options_flags
from pardiff.cli.output import print_batch, print_report, write_step_summary
from pardiff.errors import PardiffError, TargetError
from pardiff.execution.progress import Progress
from pardiff.execution.signals import SIGNALS
from pardiff.logs import LEVELS, configure
from pardiff.planning.cost import Plan
from pardiff.problem.options import Options

PLANNED = (
    "\nThe table counts the first wave only. A parameter that needs a closer look costs 4 to 30 passes more. The start "
    "of an audit costs some dozens to hundreds. Workers need about a second to start."
)
"""What is said below the table of plans."""


@click.group("pardiff", cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="pardiff", message="%(package)s %(version)s")
def cli() -> None:
    """Audit hand-derived gradients against parallel numerical differentiation.

    Exit status: 0 pass, 1 gradient mismatch, 2 usage or configuration, 3 inconclusive, 4 incomplete
    or infrastructure.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; a workflow script ends with ``main(["run", __file__])``."""
    # a script has imported what it likes by now, which a fork may not agree with
    own = guard if arguments is None else None
    status = 0
    open_streams()
    try:
        cli.main(args=None if arguments is None else list(arguments), prog_name="pardiff", obj=own)
        raise SystemExit(0)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except Exception:  # the sentence on an error could not be printed either; 1 would be a verdict
        status = 4
        raise SystemExit(4) from None
    finally:  # what is left is to close what was started; a signal would only make noise
        GUARD.end()
        leave_now(lambda: os._exit(status))
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _targets(command: Callable[..., None]) -> Callable[..., None]:
    return click.argument("targets", nargs=-1, required=True, metavar="TARGET...")(command)


@cli.command()
@_targets
@click.option(
    "--out", metavar="DIR", help="Folder of the audits and reports, or s3://bucket/prefix.  [default: audits]"
)
@cluster_flags
@click.option("--fresh", is_flag=True, help="Start over instead of resuming.")
@click.option("--log", metavar="FILE", help="Append what happens, as JSON lines, here and in embedded workers.")
@click.option("--log-level", type=click.Choice(LEVELS), help="Least level of what is logged.  [default: info]")
@options_flags
def run(
    targets: tuple[str, ...],
    out: str | None,
    cluster: dict[str, Any],
    fresh: bool,
    log: str | None,
    log_level: str | None,
    keyword: str,
    options: Options,
) -> None:
    """Audit every problem of the targets: FILE.py, FILE.py::problem, package.module:factory, a folder, JOB.toml.

    An audit that is there already goes on where it stopped; --fresh starts over.
    """
    if click.get_current_context().obj is guard:  # as a command, not as a function within a larger program
        guard(options.deadline)
    from pardiff.batch.run_batch import run as run_batch
    from pardiff.cli.progress_bar import watching

    configure(log_level, log)
    with interruptible(), watching() as watch:

        def told(progress: Progress) -> None:
            GUARD.start(progress.name)
            watch(progress)

        batch = run_batch(
            *targets, out=out, keyword=keyword, fresh=fresh, options=options, progress=told, hooks=_hooks(), **cluster
        )
    _conclude(batch)


def _conclude(batch: Any) -> NoReturn:
    """Say what has become of a batch, and exit with its status."""
    write_step_summary(batch.outcomes)
    if len(batch.outcomes) > 1:
        print_batch(batch.outcomes)
    if batch.interrupted:
        click.echo(f"pardiff: {INTERRUPTED}", err=True)
    reports = [f"{o.location.address}/report.html" for o in batch.outcomes if o.result]
    if len(batch.outcomes) > 1 and batch.index:
        click.echo(f"\nindex: {batch.index}")
    elif reports:
        click.echo(f"report: {reports[0]}")
    sys.exit(batch.exit_status)


def _hooks() -> Any:
    """What joins a batch with the process that guards it."""
    from pardiff.batch.run_batch import Hooks

    hooks = Hooks()
    hooks.crashed, hooks.over = GUARD.crashed, GUARD.over
    hooks.begin, hooks.end, hooks.announce = GUARD.begin, GUARD.finish, _announce  # type: ignore[method-assign]
    return hooks


def _announce(outcome: Any) -> None:
    """Print what became of a problem."""
    from pardiff.reporting.printable import printable

    if outcome.name in GUARD.over:
        return  # said already, by a process that was ended later
    GUARD.finish(outcome.name)
    if outcome.result:
        print_report(str(outcome.result))
    else:
        click.echo(
            f"{click.style(outcome.word, fg='red', bold=True)}  {printable(outcome.name)}: {printable(outcome.error)}"
        )
    click.echo()


@cli.command()
@_targets
@click.option("--workers", type=int, help="Worker processes to plan for.  [default: one per core]")
@options_flags
def plan(targets: tuple[str, ...], workers: int | None, keyword: str, options: Options) -> None:
    """Tell what an audit would cost, from a few calls of fun."""
    from pardiff.api import plan as make
    from pardiff.batch.run_batch import select
    from pardiff.reporting.printable import printable
    from pardiff.reporting.text import table
    from pardiff.source.targets import Broken

    count = max(1, workers or os.cpu_count() or 1)
    plans: list[Plan] = []
    broken: list[tuple[str, PardiffError]] = []
    for target in select(targets, keyword).targets:
        try:
            if isinstance(target, Broken):
                raise TargetError(target.error)
            found = make(target.load()[0], workers=count, name=target.name, options=options.over(target.options))
            plans.append(found)
        except PardiffError as error:
            broken.append((target.text, error))
    if plans:
        columns = (
            "problem",
            "parameters",
            "passes",
            "a pass",
            "blocks",
            "store",
            f"on {count} worker{'s' * (count > 1)}",
        )
        click.echo("\n".join(table(columns, [_planned(found) for found in plans])))
        click.echo(PLANNED)
    for found in plans:
        if found.fallback_reason:
            click.echo(printable(f"{found.name}: the fast path would not be taken: {found.fallback_reason}"))
    for text, failure in broken:
        prefix = "" if str(failure).startswith(text) else f"{text}: "
        click.echo(printable(f"pardiff: {prefix}{failure}"), err=True)
    sys.exit(max((failure.exit_status for _, failure in broken), default=0))


def _planned(found: Plan) -> list[str]:
    """A row of the table of plans."""
    from pardiff.cli.progress_bar import duration

    return [
        found.name,
        f"{found.parameters:,}",
        f"{found.passes:,}",
        f"{found.seconds_per_pass * 1e3:.3g} ms{'' if found.strategy == 'pointwise' else f' {found.strategy}'}",
        f"{found.blocks:,} × {found.block_size:,}",
        f"{found.bytes / 1e6:,.1f} MB",
        duration(found.seconds) if found.seconds >= 1 else f"{found.seconds:.2g} s",
    ]


@cli.command()
@click.argument("store")
@click.option("--verify", is_flag=True, help="Check every checksum, and name the blocks that are damaged.")
def status(store: str, verify: bool) -> None:
    """Show the progress of an audit. Only its store is read.

    The exit status is 4 while the audit is not complete, or if it is damaged.
    """
    from pardiff.cli.status import status_lines
    from pardiff.storage.zarr_ledger import ZarrLedger

    lines, whole = status_lines(ZarrLedger.open(store), verify=verify)
    click.echo("\n".join(lines))
    sys.exit(0 if whole else 4)


@cli.command()
@click.argument("store")
@click.option("--rtol", type=float, help="Relative tolerance.")
@click.option("--atol", type=float, help="Absolute tolerance.")
def reconcile(store: str, rtol: float | None, atol: float | None) -> None:
    """Compare the gradients of an audit again with other tolerances; no forward pass.

    The verdicts, the tolerances and the reports of the audit are those of the last comparison.
    """
    from pardiff.audit.reopen import reconcile as reconcile_store
    from pardiff.reporting.write import write_beside

    result = reconcile_store(store, rtol=rtol, atol=atol)
    assert result.location is not None
    write_beside(result.summary, result.location)
    print_report(str(result))
    sys.exit(result.exit_status)


@cli.command()
@click.argument("stores", nargs=-1, required=True, metavar="STORE...")
@click.option("--html", type=click.Path(path_type=Path), help="One self-contained page.")
@click.option("--markdown", type=click.Path(path_type=Path), help="For a pull request.")
@click.option("--json", type=click.Path(path_type=Path), help="For programs.")
@click.option("--junit", type=click.Path(path_type=Path), help="For CI.")
def report(stores: tuple[str, ...], **files: Path | None) -> None:
    """Write reports of audits. Without a flag, all four kinds are written into the folder of each audit."""
    from pardiff.api import report as write

    if len(stores) > 1 and any(files.values()):
        raise click.UsageError("a file to write goes with one STORE; without a flag each report goes beside its audit")
    for store in stores:
        for path in write(store, **files):
            click.echo(path)


@cli.command()
@click.argument("store")
@click.option("--worst", type=click.IntRange(0), default=8, show_default=True, help="Entries to list.")
@click.option("--array", metavar="NAME", help="Only this array.")
@click.option("--sweep", metavar="LABEL", help="The derivative of one entry at many steps, such as W1[3,17].")
@click.option("--target", metavar="TARGET", help="Problem to evaluate for a --sweep that the audit does not hold.")
def show(store: str, worst: int, array: str | None, sweep: str | None, target: str | None) -> None:
    """Print verdicts, findings and the worst entries of an audit.

    No code of yours is run unless you give --target. Without it, --sweep works for the worst entries, whose sweeps
    are stored.
    """
    from dataclasses import replace

    from pardiff.audit.reopen import open_result
    from pardiff.reporting.terminal import render_terminal

    result = open_result(store)
    if sweep is not None:
        from pardiff.cli.show_sweep import swept_text

        click.echo(swept_text(result, sweep, target))
        return
    summary = replace(result.summary, worst=tuple(result.worst(worst, array)))
    if array is not None:
        summary = replace(
            summary,
            arrays=tuple(a for a in summary.arrays if a.name == array),
            findings=tuple(f for f in summary.findings if f["array"] in ("", array)),
        )
    print_report(render_terminal(summary, worst, everything=True))
    sys.exit(result.exit_status)


cli.add_command(diff)
cli.add_command(history)


@cli.command()
@click.argument("folder")
@click.option("--days", type=click.IntRange(1), default=365, show_default=True, help="How long they are valid.")
def certificates(folder: str, days: int) -> None:
    """Make the certificates of a cluster of your own: ca.pem, cert.pem and key.pem for all of its members.

    Dask's scheduler and workers take them by --tls-ca-file, --tls-cert and --tls-key, 'pardiff run' by --tls-ca,
    --tls-cert and --tls-key. Whoever holds key.pem can run code on the cluster.
    """
    from pardiff.execution.certificates import make_certificates

    for path in make_certificates(folder, days=days):
        click.echo(path)


@cli.command()
@click.option("--out", metavar="DIR", default="audits/demo", show_default=True)
@click.option("--workers", type=int, help="Processes of the embedded cluster; 0 for this process.")
def demo(out: str, workers: int | None) -> None:
    """Audit a right and a faulty gradient of a neural network on real data, and report on both."""
    from pardiff.batch.run_batch import run as run_batch
    from pardiff.cli.progress_bar import watching

    file = _workflows() / "digits_mlp.py"
    click.echo(
        "A multilayer perceptron on scikit-learn's digits, its gradient by hand-written backprop: once right,\n"
        "and once with the gradient of one layer transposed.\n"
    )
    with interruptible(), watching() as watch:
        batch = run_batch(
            f"{file}::digits_mlp",
            f"{file}::digits_mlp_transposed",
            out=out,
            workers=workers,
            fresh=True,
            progress=watch,
            hooks=_hooks(),
        )
    for outcome in batch.outcomes:
        if outcome.result:
            click.echo(f"report: {outcome.location.address}/report.html")
    if batch.index:
        click.echo(f"index:  {batch.index}")
    click.echo(
        "\nFor a gradient of your own: pardiff.gradcheck(fun, grad, x0), or a file like the one of this demo,\n"
        + str(file)
    )
    expected = [0, 1]
    sys.exit(0 if [outcome.status for outcome in batch.outcomes] == expected else 4)


def _workflows() -> Path:
    """The workflows that come with pardiff: within the package, or beside it in a checkout."""
    import pardiff

    package = Path(pardiff.__file__).parent
    for folder in (package / "workflows", package.parent / "workflows"):
        if folder.is_dir():
            return folder
    raise TargetError("the workflows of the demo are not installed; reinstall pardiff")
