"""What all commands share: errors of the library become sentences and exit statuses."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from pardiff.errors import PardiffError, WorkerError, closest

INTERRUPTED = "interrupted; finished blocks are kept, the same command goes on"


class _Failure(click.ClickException):
    """A `PardiffError` on its way to the shell."""

    def __init__(self, error: PardiffError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_status  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        from pardiff.reporting.printable import printable

        click.echo(f"pardiff: {printable(self.message)}", err=True)


class Group(click.Group):
    """Turns errors of the library into sentences, and names the closest command."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PardiffError as error:
            raise _Failure(error) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            raise _Failure(WorkerError(INTERRUPTED)) from None
        except BrokenPipeError:  # whoever read the output has gone; that says nothing of the gradient
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the process ends
            raise SystemExit(4) from None
        except Exception as error:  # exit status 1 would say that a gradient is wrong
            if os.environ.get("PARDIFF_DEBUG"):
                raise
            unexpected = WorkerError(
                f"unexpected {type(error).__name__}: {error} (PARDIFF_DEBUG=1 shows where; please report it)"
            )
            raise _Failure(unexpected) from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}; {closest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)
