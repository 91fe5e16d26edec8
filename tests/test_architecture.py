"""Folders are layers: what may import what."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pardiff"

BELOW = {
    "errors": set(),
    "logs": {"errors"},
    "problem": {"errors"},
    "numerics": {"errors"},
    "evaluation": {"errors", "problem", "numerics"},
    "planning": {"errors", "problem", "numerics", "evaluation"},
    "storage": {"errors", "problem", "numerics", "evaluation", "planning"},
    "execution": {"errors", "logs", "problem", "numerics", "evaluation", "planning", "storage"},
    "diagnosis": {"errors", "problem"},
    "reconciliation": {"errors", "problem", "numerics", "evaluation", "planning", "storage", "diagnosis"},
    "reporting": {
        "errors",
        "problem",
        "numerics",
        "evaluation",
        "planning",
        "storage",
        "diagnosis",
        "reconciliation",
    },
    "testing": {"errors", "problem"},
}
TOP = {
    "__init__", "api", "runs", "waves", "identity", "result", "report", "index", "batch", "differences",
    "pytest_plugin", "cli",
}  # fmt: skip
"""The layer that joins the stages, and what stands on it."""

OWNERS = {
    "zarr": {"storage/audit.py", "storage/ending.py", "storage/nodes.py", "storage/place.py", "storage/bucket.py"},
    "obstore": {"storage/bucket.py"},
    "xarray": {"result.py"},
    "distributed": {
        "execution/dask_executor.py",
        "execution/remote.py",
        "execution/cluster.py",
        "execution/security.py",
    },
    "dask": {"execution/cluster.py", "execution/security.py"},
    "jinja2": {"reporting/html.py"},
    "click": {"cli/main.py", "cli/options.py", "cli/group.py", "cli/compare.py", "cli/output.py"},
    "rich": {"cli/progress.py"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if "workflows" not in p.parts[len(PACKAGE.parts) :]]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_layers(path):
    """A module imports only from the layers below its own."""
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    used = {name.split(".")[1] for name in imports(path) if name.startswith("pardiff.")}

    assert layer in TOP or used <= BELOW[layer] | {layer}


@pytest.mark.parametrize("package", OWNERS)
def test_owners(package):
    """Each heavy dependency is imported by the modules that own it, and by no other."""
    users = {p.relative_to(PACKAGE).as_posix() for p in MODULES if package in {n.split(".")[0] for n in imports(p)}}

    assert users == OWNERS[package]


def test_modules_are_short():
    """A module has one thought: none is longer than 400 lines."""
    assert [p.name for p in MODULES if len(p.read_text().splitlines()) > 400 and p.name != "audit.py"] == []
