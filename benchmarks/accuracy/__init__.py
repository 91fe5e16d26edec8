"""How right the derivatives, bars and verdicts are: a suite of problems, and peers on the same problems."""

from benchmarks.accuracy.measure import run

__all__ = ["run"]
