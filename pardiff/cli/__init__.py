"""The command line: parses, calls the library, turns verdicts into exit statuses."""

from pardiff.cli.main import cli, main

__all__ = ["cli", "main"]
