"""For pytest: the fixture ``gradcheck`` and the marker of the same name. They come with pardiff.

Examples
--------
A test that checks a gradient, and one that is a problem::

    def test_layer(gradcheck):
        gradcheck(layer.loss, layer.backward, x0, rtol=1e-7)

    @pytest.mark.gradcheck(order=4)
    def test_other_layer():
        return pardiff.Problem(loss, backward, x0)
"""

from __future__ import annotations

import hashlib
import inspect
import re
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("pardiff.testing")

COUNT = pytest.StashKey[int]()


def hide_frames(info: Any) -> bool:
    """Whether the frames of this plugin are left out: a report says all, another error needs them."""
    from pardiff.errors import GradientMismatchError

    return bool(info.errisinstance(GradientMismatchError))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says where audits are kept."""
    group = parser.getgroup("gradcheck", "gradient audits by pardiff")
    group.addoption("--gradcheck-out", metavar="DIR", help="Keep the audit of every gradcheck here, with its reports.")
    parser.addini("gradcheck_out", "Keep the audit of every gradcheck here, with its reports.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "gradcheck(**options): options of the fixture gradcheck in this test; a test that returns a pardiff.Problem is "
        "checked itself",
    )


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Check a gradient as `pardiff.gradcheck` does, and fail the test with the report unless it passes.

    It takes the arguments of `pardiff.gradcheck`, goes over the options of the marker, and returns the result. No Dask
    is started unless ``executor`` asks for it. Where the test fails, a report is written into its ``tmp_path``, or,
    with ``--gradcheck-out``, beside the audit; its path is in the test's output and in the property
    ``gradcheck_report`` of JUnit files.
    """

    def check(*args: Any, **options: Any) -> Any:
        __tracebackhide__ = hide_frames
        return _checked(request.node, lambda: Path(request.getfixturevalue("tmp_path")), args, options)

    return check


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse what would never be checked."""
    own = any(marker.name == "gradcheck" for marker in item.own_markers)
    for marker in item.iter_markers("gradcheck"):
        _check_marker(item, marker)
    if own and issubclass(getattr(item, "cls", None) or object, unittest.TestCase):
        pytest.fail(
            f"{item.nodeid}: what a unittest.TestCase returns cannot be checked; use a function or a plain class",
            pytrace=False,
        )


def _check_marker(item: pytest.Item, marker: pytest.Mark) -> None:
    """Refuse a marker of which something would be ignored, or raise somewhere within."""
    from pardiff.api import gradcheck as check
    from pardiff.errors import closest

    known = [name for name in inspect.signature(check).parameters if name not in ("fun", "grad", "x0", "args")]
    unknown = next((name for name in marker.kwargs if name not in known), None)
    if marker.args:
        pytest.fail(
            f"{item.nodeid}: the marker gradcheck takes options by name alone; got {marker.args}", pytrace=False
        )
    if unknown is not None:
        pytest.fail(f"{item.nodeid}: gradcheck has no option {unknown!r}; {closest(unknown, known)}", pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Check what a marked test returns."""
    __tracebackhide__ = hide_frames
    if pyfuncitem.get_closest_marker("gradcheck") is None or inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    from pardiff.problem.problem import Problem, ProblemFactory

    names = pyfuncitem._fixtureinfo.argnames
    problem = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    if not isinstance(problem, Problem | ProblemFactory):
        own = any(marker.name == "gradcheck" for marker in pyfuncitem.own_markers)
        if problem is not None or (own and "gradcheck" not in pyfuncitem.fixturenames):
            pytest.fail(
                f"{pyfuncitem.nodeid} is marked with gradcheck and returned {type(problem).__name__}; expected a "
                f"pardiff.Problem, or a use of the fixture gradcheck",
                pytrace=False,
            )
        return True

    def folder() -> Path:
        factory: pytest.TempPathFactory = pyfuncitem.config._tmp_path_factory  # type: ignore[attr-defined]
        return factory.mktemp("gradcheck")

    _checked(pyfuncitem, folder, (problem,), {})
    return True


def _empty(store: Path) -> Path:
    """A place for an audit; the one of an earlier run makes way."""
    from pardiff.storage.audit_folder import audit_location, has_audit
    from pardiff.storage.zarr_store import remove_audit

    location = audit_location(store)
    if has_audit(location):
        with location.locked():
            remove_audit(location)
    return store


def _checked(item: pytest.Item, folder: Callable[[], Path], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Run a check, keep what there is to keep, and raise if it does not pass."""
    __tracebackhide__ = hide_frames
    import pardiff
    from pardiff.reporting.write import write_beside, write_reports

    for marker in item.iter_markers("gradcheck"):
        options = {**marker.kwargs, **options}
    number = item.stash.get(COUNT, 0) + 1
    item.stash[COUNT] = number
    out = item.config.getoption("--gradcheck-out") or item.config.getini("gradcheck_out")
    if out and "store" not in options:
        # the digest keeps tests apart whose names differ only in what a folder cannot be called
        digest = hashlib.sha256(item.nodeid.encode()).hexdigest()[:8]
        name = re.sub(r"[^\w.-]+", "_", item.nodeid)[:120] + f"-{digest}" + (f".{number}" if number > 1 else "")
        options["store"] = _empty(Path(item.config.rootpath, out, name))
    result = pardiff.gradcheck(*args, **options)
    if result.location is not None:
        write_beside(result.summary, result.location)
        report = f"{result.location.address}/report.html"
    elif not result.passed:
        file = folder() / f"gradcheck{number if number > 1 else ''}.html"
        write_reports(result.summary, {"html": file})
        report = str(file)
    else:
        return result
    item.user_properties.append(("gradcheck_report", report))
    if not result.passed:
        item.add_report_section("call", "gradcheck", f"report: {report}")
    return result.raise_for_verdict()
