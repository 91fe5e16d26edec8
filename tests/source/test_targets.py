import pytest

from pardiff.errors import InputError, TargetError
from pardiff.source.bundle import Code, execute_file, load_factory, sha256, zip_sources
from pardiff.source.job import read_job
from pardiff.source.targets import Broken, find_targets, unique_names

PROBLEM = """
import numpy as np, pardiff
from helper import SCALE

@pardiff.problem
def right():
    return pardiff.Problem(lambda x: SCALE * float(x @ x), lambda x: 2 * SCALE * x, np.ones(2))

@pardiff.problem(batch=False)
def wrong():
    return pardiff.Problem(lambda x: float(x @ x), lambda x: x, np.ones(2))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "helper.py").write_text("SCALE = 3.0\n")
    (tmp_path / "work.py").write_text(PROBLEM)
    return tmp_path


def names(text):
    return [target.name for target in find_targets(str(text))]


def test_kinds_of_targets(folder, monkeypatch):
    """A file and a folder give their batch; a name gives that problem; a module is imported."""
    assert names(folder / "work.py") == ["right"]
    assert names(folder) == ["right"]
    assert names(f"{folder / 'work.py'}::wrong") == ["wrong"]
    monkeypatch.syspath_prepend(str(folder))
    assert names("work:wrong") == ["wrong"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wrk.py", "did you mean 'work.py'?"),
        ("work.py::rigth", "no problem 'rigth'; did you mean 'right'?"),
        ("helper.py", "has no problem"),
        ("work.py::np", "no problem 'np'"),
        ("no_such_module_here:f", "cannot import 'no_such_module_here'"),
        ("nothing", "no target 'nothing'"),
    ],
)
def test_missing_targets(folder, monkeypatch, text, said):
    """A target that is not there gets one sentence with the closest match."""
    monkeypatch.chdir(folder)

    with pytest.raises(TargetError) as caught:
        find_targets(text)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"), [("1/0", "ZeroDivisionError"), ("def (", "SyntaxError"), ("exit(3)", "SystemExit")]
)
def test_broken_files_do_not_hide_the_rest(folder, body, said):
    """In a folder, a file that cannot be imported is reported beside the others."""
    (folder / "bad.py").write_text(f"import pardiff\n@pardiff.problem\ndef f(): ...\n{body}\n")

    bad, good = find_targets(str(folder))

    assert isinstance(bad, Broken)
    assert said in bad.error
    assert good.name == "right"


def test_bundles_are_deterministic_and_complete(folder):
    """A file travels with the modules that it imports, and the same sources give the same bytes."""
    data = zip_sources(folder / "work.py")

    assert data == zip_sources(folder / "work.py")
    code = Code("file", "work.py", "right", sha256(data))
    (folder / "helper.py").unlink()
    problem = load_factory(code, lambda name: data)()
    assert problem.fun(problem.x0) == 6.0


def test_altered_bundles_are_not_executed(folder):
    """Code whose content is not what it was named for is refused."""
    data = zip_sources(folder / "work.py")

    with pytest.raises(Exception, match="not executed"):
        load_factory(Code("file", "work.py", "right", sha256(data)), lambda name: data + b" ")


def test_folders_do_not_share_modules(tmp_path):
    """Two folders may each have a helper of the same name."""
    for name, value in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(f"VALUE = {value}")
        (tmp_path / name / "work.py").write_text("from helper import VALUE")

    found = [execute_file(tmp_path / name / "work.py")["VALUE"] for name in ("one", "two", "one")]

    assert found == [1, 2, 1]


def test_equal_names_are_refused(folder):
    """Two problems that would share a folder are told apart before anything runs."""
    (folder / "more.py").write_text(PROBLEM)

    with pytest.raises(TargetError, match="two problems are named 'right'"):
        unique_names(find_targets(str(folder)))


def test_job_file(folder):
    """A job file names checks, the cluster and the store, relative to itself."""
    job = folder / "job.toml"
    job.write_text(
        'out = "here"\n[cluster]\nworkers = 2\n'
        '[[check]]\ntarget = "work.py"\norder = 4\n'
        '[[check]]\ntarget = "work.py::wrong"\nname = "other"\nrtol = 0.5\n'
    )

    read = read_job(job)

    assert (read.out, read.workers) == (str(folder / "here"), 2)
    assert [(t.name, t.options.order, t.options.rtol) for t in read.targets] == [
        ("right", 4, None),
        ("other", None, 0.5),
    ]
    assert read.targets[1].load()[0].x0.shape == (2,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chek = 1", "unknown key 'chek'; did you mean 'check'?"),
        ("", "no checks"),
        ('[[check]]\ntarget = "work.py"\nordr = 4', "unknown key 'ordr'; did you mean 'order'?"),
        ('[[check]]\ntarget = "work.py"\norder = 3', "[[check]] 1: order: got 3"),
        ("[[check]]\ntarget = 3", "target: got 3"),
        ('[cluster]\nworkers = "two"\n[[check]]\ntarget="work.py"', "workers: got 'two'"),
        ('[[check]]\ntarget = "work.py"\nname = "../up"', "name: got '../up'"),
        ("= 1", "is not valid TOML"),
    ],
)
def test_bad_job_files(folder, text, said):
    """Each mistake in a job file gets one sentence."""
    (folder / "job.toml").write_text(text)

    with pytest.raises(InputError) as caught:
        read_job(folder / "job.toml")

    assert said in str(caught.value)


def test_problems_are_known_by_the_name_that_holds_them(tmp_path):
    """A factory made without a decorator, of a lambda or a partial, is found in a folder and run by its name."""
    (tmp_path / "made.py").write_text(
        "import functools, numpy as np, pardiff\n"
        "def build(k): return pardiff.Problem(lambda x: k * float(x @ x), lambda x: 2 * k * x, np.ones(2))\n"
        "three = pardiff.problem(functools.partial(build, 3.0))\n"
        "four = pardiff.problem(lambda: build(4.0))\n"
    )

    assert names(tmp_path) == ["three", "four"]
    (target,) = find_targets(f"{tmp_path / 'made.py'}::four")
    assert target.load()[0].fun(__import__("numpy").ones(2)) == 8.0


def test_odd_files_do_not_stop_a_folder(folder):
    """Dangling links, folders named like files and files that are no text are no obstacle."""
    (folder / ".#work.py").symlink_to("/nowhere/at/all")
    (folder / "dir.py").mkdir()
    (folder / "nul.py").write_bytes(b"\0problem")

    assert "right" in names(folder)
