"""Folders are layers: what may import what, and other rules of the house that a program can check."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pardiff"

ROUTE = (
    "errors", "logs", "numerics", "problem", "source", "evaluation", "structured", "planning", "storage", "execution",
    "diagnosis", "comparison", "reporting", "audit", "batch", "api", "cli",
)  # fmt: skip
"""The route of the data: a stage imports only from those before it."""

NOT = {
    "numerics": {"logs"},
    "problem": {"logs"},
    "source": {"logs", "numerics"},
    "evaluation": {"logs", "source"},
    "structured": {"logs", "numerics", "source", "evaluation"},
    "planning": {"logs", "source", "structured"},
    "storage": {"logs", "source", "structured"},
    "execution": {"structured"},
    "diagnosis": {"logs", "numerics", "source", "evaluation", "structured", "planning", "storage", "execution"},
    "comparison": {"logs", "source", "structured", "execution"},
    "reporting": {"logs", "source", "structured", "execution"},
}
"""Earlier stages that a stage has no business with."""
ROOT = {"__init__", "api", "errors", "logs", "pytest_plugin"}
"""Modules that belong to no stage."""

OWNERS = {
    "zarr": {
        "storage/block_table.py", "storage/zarr_arrays.py", "storage/zarr_layout.py", "storage/zarr_ledger.py",
        "storage/zarr_store.py", "storage/zarr_thread.py", "storage/location/local.py",
        "storage/location/object_store.py",
    },
    "obstore": {"storage/location/object_store.py"},
    "xarray": {"audit/to_xarray.py"},
    "distributed": {
        "execution/dask_executor.py",
        "execution/dask_task.py",
        "execution/cluster.py",
        "execution/security.py",
    },
    "dask": {"execution/cluster.py", "execution/security.py"},
    "jinja2": {"reporting/html.py"},
    "click": {"cli/main.py", "cli/option_flags.py", "cli/group.py", "cli/look_back.py", "cli/output.py"},
    "rich": {"cli/progress_bar.py"},
}  # fmt: skip

MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if "workflows" not in p.parts[len(PACKAGE.parts) :]]


def name_of(path):
    """The dotted name of a module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path):
    """Names of modules that a file imports, anywhere in it but for type checkers."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in hidden or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_layers(path):
    """A module imports only from the stages before its own."""
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if layer in ("__init__", "pytest_plugin", "testing"):
        return  # what users import
    used = {name.split(".")[1] for name in imports(path) if name.startswith("pardiff.")} - {layer}

    assert used <= set(ROUTE[: ROUTE.index(layer)]) - NOT.get(layer, set())


def test_no_circles():
    """No module imports itself by way of others, not even from within a function."""
    names = {name_of(path) for path in MODULES}
    edges = defaultdict(set)
    for path in MODULES:
        for target in imports(path):
            known = target if target in names else target.rpartition(".")[0]
            if known in names and known != name_of(path) and known != "pardiff":
                edges[name_of(path)].add(known)
    done, found = set(), []

    def visit(name, above):
        if name in above:
            found.append([*above[above.index(name) :], name])
        elif name not in done:
            for other in sorted(edges[name]):
                visit(other, [*above, name])
            done.add(name)

    for name in sorted(names):
        visit(name, [])
    packages = {name_of(path) for path in MODULES if path.name == "__init__.py"}

    assert [circle for circle in found if not set(circle) & packages] == []


def test_no_private_attributes_from_outside():
    """What begins with an underscore is used by its own class or module alone."""
    found = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        own |= {target.id for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign)
                for target in ast.walk(node) if isinstance(target, ast.Name)}  # fmt: skip
        own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name) and node.value.id == "self"}  # fmt: skip
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
                continue
            if node.attr not in own and ast.unparse(node) not in ALLOWED:
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}")

    assert found == []


ALLOWED = {
    "os._exit", "sys._getframe",  # public in all but name
    "pyfuncitem._fixtureinfo", "pyfuncitem.config._tmp_path_factory",  # pytest has no other way
}  # fmt: skip


def test_no_two_modules_share_a_name():
    """A name of a file means one thing."""
    stems = defaultdict(list)
    for path in MODULES:
        if path.name != "__init__.py":
            stems[path.stem].append(path.relative_to(PACKAGE).as_posix())
    folders = {path.parent.name for path in MODULES} - {"pardiff"}

    assert {stem: paths for stem, paths in stems.items() if len(paths) > 1} == {}
    # a module may be named after its own folder, as the one that the others serve
    assert {s: p for s, p in stems.items() if s in folders and not p[0].startswith(f"{s}/")} == {}


def test_nothing_is_homeless():
    """At the root are only the surface, errors and logs."""
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT


@pytest.mark.parametrize("package", OWNERS)
def test_owners(package):
    """Each heavy dependency is imported by the modules that own it, and by no other."""
    users = {p.relative_to(PACKAGE).as_posix() for p in MODULES if package in {n.split(".")[0] for n in imports(p)}}

    assert users == OWNERS[package]


def test_modules_are_short():
    """A module has one thought: none is longer than 400 lines."""
    assert [p.name for p in MODULES if len(p.read_text().splitlines()) > 400] == []
