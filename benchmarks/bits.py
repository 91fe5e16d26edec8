"""Digests of derivatives, bars, margins, verdicts and passes, to compare two checkouts on one machine.

``python -m benchmarks.bits`` prints them for this checkout: those of the tests, and of problems that need BLAS and
vector units, which round otherwise on other processors: the textbook, the toys on every executor, and all workflows.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import pardiff
from pardiff import testing

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "bits"))

from bit_cases import cases  # noqa: E402
from bit_record import digest  # noqa: E402

WORKFLOWS = {
    "linear_regression.py": 0, "digits_softmax.py": 0, "digits_mlp.py": 0, "heat_adjoint.py": 0, "fast_paths.py": 0,
}  # fmt: skip
X, Y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([1.0, 2.0, 3.0])


def loss(w):
    """The textbook problem."""
    return np.sum((Y - X @ w) ** 2)


def gradient(w):
    """Its gradient."""
    return -2 * X.T @ (Y - X @ w)


def workflow_problems():
    """Factories of all workflows by name."""
    import importlib.util

    for file in WORKFLOWS:
        spec = importlib.util.spec_from_file_location(f"bits_{Path(file).stem}", ROOT / "workflows" / file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        for name, item in vars(module).items():
            if type(item).__name__ == "ProblemFactory":
                yield f"{file}::{name}", item()


def all_digests():
    """Digests by name."""
    found = {f"case {name}": digest(pardiff.gradcheck(problem)) for name, problem in cases().items()}
    found["textbook"] = digest(pardiff.gradcheck(loss, gradient, np.array([0.1, 0.2]), abs_step=1e-5))
    for build in testing.TOYS.values():
        for problem in (build(), testing.plant(build(), (0, 4), 1.5)):
            for executor in (None, "threads", map):
                with tempfile.TemporaryDirectory() as folder:
                    for store in (None, f"{folder}/audit"):
                        label = f"toy {problem.name} {getattr(executor, '__name__', executor)} {bool(store)}"
                        found[label] = digest(pardiff.gradcheck(problem, executor=executor, store=store))
    for name, problem in workflow_problems():
        options = {} if problem.batch_fun is None else {"batch_size": 16}  # what is tuned by time differs anyway
        found[f"workflow {name}"] = digest(pardiff.gradcheck(problem, **options))
    return found


if __name__ == "__main__":
    print(json.dumps(all_digests(), indent=1))
