"""The fixture and the marker, in tests of their own."""

import sys
from xml.etree import ElementTree

import pytest

TESTS = """
    import sys
    import numpy as np
    import pardiff
    import pytest

    def fun(x):
        return float(np.sum(x**3))

    def right(x):
        return 3 * x**2

    X0 = np.array([1.0, 2.0, 3.0])

    def test_right(gradcheck):
        assert gradcheck(fun, right, X0).passed
        assert "distributed" not in sys.modules

    def test_wrong(gradcheck):
        gradcheck(fun, lambda x: -right(x), X0)

    @pytest.mark.gradcheck(rtol=0.1)
    def test_options_of_the_marker(gradcheck):
        gradcheck(fun, lambda x: 1.05 * right(x), X0)

    @pytest.mark.gradcheck(order=4)
    @pytest.mark.parametrize("power", [2, 3])
    def test_a_problem(power):
        return pardiff.Problem(lambda x: float(np.sum(x**power)), lambda x: power * x ** (power - 1), X0)

    @pytest.mark.gradcheck
    def test_a_wrong_problem():
        return pardiff.Problem(fun, lambda x: right(x)[::-1], X0)

    @pytest.mark.gradcheck
    def test_no_problem():
        return 3

    def test_expected(gradcheck):
        with pytest.raises(AssertionError, match="wrong sign"):
            gradcheck(fun, lambda x: -right(x), X0)
"""


@pytest.fixture
def run(tmp_path):
    """pytest in a process of its own."""
    import subprocess
    import textwrap

    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))

    def go(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "--strict-markers",
             "--junitxml", "junit.xml", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    return go


def test_fixture_and_marker(run, tmp_path):
    """What fails says what is wrong, and where the report is; what passes starts no Dask."""
    done = run()
    cases = {case.get("name"): case for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")}
    (report,) = cases["test_wrong"].iter("property")

    assert "3 failed, 5 passed" in done.stdout, done.stdout
    assert "x: the analytical derivative has the wrong sign; 3 of 3 entries are wrong" in done.stdout
    assert "is the derivative reversed" in done.stdout
    assert "is marked with gradcheck and returned int; expected a pardiff.Problem" in done.stdout
    assert report.get("name") == "gradcheck_report"
    assert f"report: {report.get('value')}" in done.stdout
    assert "pytest_plugin.py" not in done.stdout


SILENT = """
    import unittest
    import numpy as np
    import pardiff
    import pytest

    def loss(x):
        return float(np.sum(x**2))

    X = np.array([1.0, 2.0])

    def wrong():
        return pardiff.Problem(loss, lambda x: -2 * x, X)

    class TestUnittest(unittest.TestCase):
        @pytest.mark.gradcheck
        def test_in_unittest(self):
            return wrong()

    @pytest.mark.gradcheck
    def test_with_the_fixture(gradcheck):
        return wrong()

    @pytest.fixture
    def weights(gradcheck):
        gradcheck(loss, lambda x: 2 * x, X)
        return X

    @pytest.mark.gradcheck
    def test_by_another_fixture(weights):
        return wrong()

    @pytest.mark.gradcheck
    class TestClass:
        def test_wrong_in_a_class(self):
            return wrong()

        def test_plain(self):
            assert True
"""


@pytest.mark.slow
def test_no_wrong_problem_passes(tmp_path, run):
    """However a marked test comes to its problem; others in a marked class are left alone."""
    import textwrap

    (tmp_path / "test_it.py").write_text(textwrap.dedent(SILENT))
    done = run()

    assert "3 failed, 1 passed, 1 error" in done.stdout, done.stdout
    assert "what a unittest.TestCase returns cannot be checked" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_audits_do_not_clash(workers, tmp_path, run):
    """Tests whose names look the same as folders have audits of their own."""
    (tmp_path / "test_it.py").write_text(
        "import numpy as np, pytest\n"
        "@pytest.mark.parametrize('name', ['in/out', 'in_out', 'in out'])\n"
        "def test_p(gradcheck, name):\n"
        "    sign = -1 if name == 'in/out' else 1\n"
        "    gradcheck(lambda x: float(x @ x), lambda x: 2 * sign * x, np.ones(2))\n"
    )
    done = run("--gradcheck-out", "audits", *workers)
    verdicts = [
        (path / "report.json").read_text().count('"verdict": "FAIL"') for path in (tmp_path / "audits").iterdir()
    ]

    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert sorted(bool(count) for count in verdicts) == [False, False, True]


@pytest.mark.slow
def test_audits_are_kept(run, tmp_path):
    """Every check has an audit with its reports; another run takes their place."""
    for _ in range(2):
        done = run("--gradcheck-out", "audits", "-k", "right or wrong")
        assert "2 failed, 1 passed" in done.stdout, done.stdout
    kept = sorted(path.name for path in (tmp_path / "audits").iterdir())

    assert [name.rpartition("-")[0] for name in kept] == [
        "test_it.py_test_a_wrong_problem", "test_it.py_test_right", "test_it.py_test_wrong",
    ]  # fmt: skip
    assert (tmp_path / "audits" / kept[1] / "audit.zarr").is_dir()
    assert (tmp_path / "audits" / kept[2] / "report.html").is_file()


MARKERS = """
import pytest

@pytest.mark.gradcheck(oder=4)
def test_misspelt():
    raise AssertionError("is not run")

@pytest.mark.gradcheck(4)
def test_by_position():
    raise AssertionError("is not run")
"""


def test_markers_of_which_something_would_be_ignored(run, tmp_path):
    (tmp_path / "test_markers.py").write_text(MARKERS)
    done = run("test_markers.py")
    assert "gradcheck has no option 'oder'; did you mean 'order'?" in done.stdout
    assert "takes options by name alone; got (4,)" in done.stdout
    assert "is not run" not in done.stdout
    assert "Traceback" not in done.stdout
