"""pardiff: parallel numerical differentiation that audits gradients.

The main entry points are `gradcheck`, `gradient`, `Problem` and `problem`; the command line is
``pardiff``. See ``docs/design.md`` for how the parts fit together.
"""

from __future__ import annotations

from pardiff.api import gradcheck, gradient, open_result, plan
from pardiff.api import reconcile_store as reconcile
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
from pardiff.execution.progress import Progress
from pardiff.problem.problem import Problem, problem
from pardiff.reporting.write import report
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
    "PardiffError",
    "Problem",
    "Progress",
    "SoftmaxCrossEntropy",
    "SquaredError",
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
]
