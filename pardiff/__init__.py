"""pardiff: parallel numerical differentiation that audits gradients.

The main entry points are `gradcheck`, `gradient`, `Problem` and `problem`; the command line is
``pardiff``. See ``docs/design.md`` for how the parts fit together.
"""

from __future__ import annotations

from pardiff.api import gradcheck, gradient, plan, report, sweep
from pardiff.audit.reopen import open_result, reconcile
from pardiff.audit.result import GradcheckResult, GradientResult
from pardiff.batch.run_batch import run
from pardiff.comparison.verdicts import Verdict
from pardiff.diagnosis.finding import Finding
from pardiff.errors import (
    ClusterError,
    FingerprintError,
    GradientMismatchError,
    InputError,
    NotAnAuditError,
    PardiffError,
    StoreError,
    TargetError,
    WorkerError,
)
from pardiff.evaluation.incremental import Incremental
from pardiff.evaluation.step_sweep import StepSweep
from pardiff.execution.progress import Progress
from pardiff.planning.cost import Plan
from pardiff.problem.options import Options
from pardiff.problem.problem import Problem, problem
from pardiff.structured.chain import Chain
from pardiff.structured.losses import SoftmaxCrossEntropy, SquaredError
from pardiff.structured.stages import Affine, Elementwise


def __getattr__(name: str) -> str:
    """The version, looked up when asked for: reading the metadata of packages takes as long as importing NumPy."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pardiff")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


__all__ = [
    "Affine",
    "Chain",
    "ClusterError",
    "Elementwise",
    "Finding",
    "FingerprintError",
    "GradcheckResult",
    "GradientMismatchError",
    "GradientResult",
    "Incremental",
    "InputError",
    "NotAnAuditError",
    "Options",
    "PardiffError",
    "Plan",
    "Problem",
    "Progress",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "StepSweep",
    "StoreError",
    "TargetError",
    "Verdict",
    "WorkerError",
    "__version__",
    "gradcheck",
    "gradient",
    "open_result",
    "plan",
    "problem",
    "reconcile",
    "report",
    "run",
    "sweep",
]
