"""The command line as a user meets it: exit statuses, sentences, files."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import pardiff
from pardiff.cli import cli
from pardiff.testing import plant, two_layers

WORK = """
import numpy as np, pardiff

def fun(x): return float(x @ x)
def grad(x): return 2 * x

@pardiff.problem
def right(): return pardiff.Problem(fun, grad, np.ones(3))

@pardiff.problem
def wrong(): return pardiff.Problem(fun, lambda x: 2.02 * x, np.ones(3))

@pardiff.problem
def weak(): return pardiff.Problem(lambda x: 1e6 + 1e-6 * fun(x), lambda x: 2e-6 * x, np.ones(3))

@pardiff.problem
def raises(): return pardiff.Problem(lambda x: 1 / 0, grad, np.ones(3))

@pardiff.problem
def bad_factory(): raise RuntimeError("no data here")

@pardiff.problem
def poisoned():
    def fun(x):
        if x[1] != 1.0: raise ValueError("poison")
        return float(x @ x)
    return pardiff.Problem(fun, grad, np.ones(3))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work.py").write_text(WORK)

    def run(*arguments):
        return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)

    return run


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("right", 0, "PASS  right: 3 of 3 entries agree"),
        ("wrong", 1, "FAIL  wrong: 3 of 3 entries are wrong, in x"),
        ("raises", 2, "BROKEN  raises: fun raised at x0: ZeroDivisionError: division by zero"),
        ("bad_factory", 2, "RuntimeError: no data here"),
        ("weak", 3, "INCONCLUSIVE  weak:"),
        ("poisoned", 4, "INCONCLUSIVE  poisoned: 2 of 3 entries agree; 1 raised an error"),
    ],
)
def test_exit_statuses(run, name, status, said):
    """0 pass, 1 mismatch, 2 bad input, 3 inconclusive, 4 incomplete."""
    done = run("run", f"work.py::{name}", "--workers", 0)

    assert done.exit_code == status
    assert said in done.output


def test_a_batch_goes_on(run, tmp_path):
    """Problems that raise never stop the others; the index lists them all, and a mismatch wins."""
    done = run("run", "work.py", "--workers", 0, "--out", "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    verdicts = {problem["name"]: problem["verdict"] for problem in summary["problems"]}
    suites = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()

    assert done.exit_code == 1
    assert verdicts == {
        "right": "PASS", "wrong": "FAIL", "weak": "INCONCLUSIVE", "raises": "BROKEN", "bad_factory": "BROKEN",
        "poisoned": "INCOMPLETE",
    }  # fmt: skip
    assert all(name in (tmp_path / "out" / "index.html").read_text() for name in verdicts)
    assert len(suites) == 6
    assert (tmp_path / "out" / "wrong" / "report.html").is_file()


def test_files_that_cannot_be_imported_do_not_stop_a_folder(run, tmp_path):
    """A folder with a broken file still runs the rest and says what is broken."""
    (tmp_path / "broken.py").write_text("import pardiff, no_such_thing\n@pardiff.problem\ndef f(): ...\n")
    done = run("run", ".", "--workers", 0, "-k", "right or broken")

    assert done.exit_code == 2
    assert "BROKEN  broken: broken.py: ModuleNotFoundError: No module named 'no_such_thing'" in done.output
    assert "PASS  right" in done.output


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["run", "wrk.py"], 2, "pardiff: no file 'wrk.py'; did you mean 'work.py'?"),
        (["run", "work.py::rihgt"], 2, "no problem 'rihgt'; did you mean 'right'?"),
        (["run", "work.py", "-k", "nothing"], 2, "no problem to run matches -k 'nothing'"),
        (["run", "work.py", "-k", "a b"], 2, "expected parts of names joined by and, or, not"),
        (["run", "work.py::right", "--order", "3"], 2, "order: got 3"),
        (["run", "work.py::right", "--rtol", "-1"], 2, "rtol: got -1.0"),
        (["run", "work.py::right", "--workers", "-1"], 2, "workers: got -1"),
        (["run", "job.toml"], 2, "cannot read the job file"),
        (["run", "work.py::right", "--scheduler-file", "none.json"], 4, "no scheduler file 'none.json'"),
        (["run"], 2, "Missing argument"),
        (["rnu", "work.py"], 2, "no command 'rnu'; did you mean 'run'?"),
        (["status", "nowhere"], 2, "nowhere: there is no audit.zarr in it"),
        (["show", "work.py"], 2, "work.py is a file; expected a folder"),
        (["report", "a", "b", "--html", "x"], 2, "goes with one STORE"),
        (["reconcile", "nowhere"], 2, "nowhere: there is no audit.zarr in it"),
        (["plan", "wrk.py"], 2, "did you mean 'work.py'?"),
    ],
)
def test_bad_input_is_one_sentence(run, tmp_path, arguments, status, said):
    """A mistake gets one sentence and leaves nothing behind."""
    done = run(*arguments)

    assert done.exit_code == status
    assert said in done.output
    assert "Traceback" not in done.output
    assert "audits" not in os.listdir(tmp_path)


BAD = {
    "array": ("lambda x: x", "grad", "np.ones(3)", "got an array of shape (3,) at x0; expected one float"),
    "text": ("lambda x: 'three'", "grad", "np.ones(3)", "got str 'three' at x0"),
    "none": ("lambda x: None", "grad", "np.ones(3)", "got NoneType None at x0"),
    "nan": ("lambda x: float('nan')", "grad", "np.ones(3)", "got nan at x0; expected a finite value"),
    "complex": ("lambda x: 1j", "grad", "np.ones(3)", "dtype complex128 at x0"),
    "missing": (
        "fun2",
        "lambda x: {'a': x['a']}",
        "{'a': np.ones(2), 'b': np.ones(2)}",
        "grad has no array 'b'",
    ),
    "extra": (
        "fun2",
        "lambda x: dict(x, c=1.0)",
        "{'a': np.ones(2), 'b': np.ones(2)}",
        "an array 'c' that x0 has not",
    ),
    "shape": ("fun", "lambda x: x[:2]", "np.ones(3)", "shape (2,); expected the shape of x0, (3,)"),
    "complex grad": ("fun", "lambda x: x + 0j", "np.ones(3)", "dtype complex128"),
    "no grad": ("fun", "lambda x: None", "np.ones(3)", "grad returned None"),
    "infinite x0": ("fun", "grad", "np.array([1.0, np.inf, 1.0])", "x[1] is inf"),
    "outside": ("fun", "grad", "np.ones(3), bounds=(0, 0.5)", "x[0] = 1 lies outside its bounds [0, 0.5]"),
    "bad bounds": ("fun", "grad", "np.ones(3), bounds=3", "expected a pair (lower, upper)"),
    "mutates": ("mutates", "grad", "np.ones(3)", "changed its argument (array 'x')"),
    "not callable": ("3", "grad", "np.ones(3)", "fun: got int; expected a callable"),
    "option": ("fun", "grad", "np.ones(3), ordre=4", "unknown key 'ordre'; did you mean 'order'?"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_problems_are_one_sentence(run, tmp_path, case):
    """Each way in which a problem can be unusable gets one sentence, exit status 2, and writes nothing."""
    fun, grad, x0, said = BAD[case]
    (tmp_path / "bad.py").write_text(
        "import numpy as np, pardiff\n"
        "def fun(x): return float(x @ x)\n"
        "def fun2(x): return float(x['a'] @ x['b'])\n"
        "def grad(x): return 2 * x\n"
        "def mutates(x):\n    x += 1\n    return float(x @ x)\n"
        f"@pardiff.problem\ndef bad(): return pardiff.Problem({fun}, {grad}, {x0})\n"
    )
    done = run("run", "bad.py", "--workers", 0)

    assert done.exit_code == 2
    assert said in done.output
    assert len([line for line in done.output.splitlines() if line.strip()]) == 1
    assert not (tmp_path / "audits").exists()


def test_a_mutation_that_x0_does_not_show(run, tmp_path):
    """A fun that changes its argument only elsewhere is caught at the end of its block."""
    (tmp_path / "bad.py").write_text(
        "import numpy as np, pardiff\n"
        "def fun(x):\n    if x[0] != 1.0: x[2] += 1e-3\n    return float(x @ x)\n"
        "@pardiff.problem\ndef bad(): return pardiff.Problem(fun, lambda x: 2 * x, np.ones(3))\n"
    )
    done = run("run", "bad.py", "--workers", 0)

    assert done.exit_code == 2
    assert "changed its argument (array 'x')" in done.output


@pytest.mark.parametrize("location", ["/proc/audits", "file/audits"])
def test_unwritable_places(run, tmp_path, location):
    """A place that cannot be written is one sentence and exit status 4 (2 where a file is in the way)."""
    (tmp_path / "file").write_text("mine")
    done = run("run", "work.py::right", "--workers", 0, "--out", location)

    assert done.exit_code in (2, 4)
    assert "INCOMPLETE  right: cannot write the audit at" in done.output or "is a file" in done.output
    assert "Traceback" not in done.output


@pytest.mark.slow
@pytest.mark.parametrize("option", ["size=300k", "ro"])
def test_full_and_read_only_disks(run, tmp_path, option):
    """A full or read-only disk is one sentence and exit status 4; with room again the run goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        (tmp_path / "big.py").write_text(
            "import numpy as np, pardiff\n"
            "@pardiff.problem\n"
            "def big():\n"
            "    return pardiff.Problem(lambda x: float(x @ x), lambda x: 2 * x, np.ones(8000), block_size=500)\n"
        )
        done = run("run", "big.py", "--workers", 0, "--out", disk)
        assert done.exit_code == 4
        assert ("No space left on device; free some space" if "size" in option else "read-only") in done.output
        assert done.output.count("\n") == 2
        subprocess.run(["mount", "-o", "remount,rw,size=50m", str(disk)], check=True)
        assert run("run", "big.py", "--workers", 0, "--out", disk).exit_code == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_flags_go_over_what_the_problem_pins(run, tmp_path):
    """A flag on the command line wins over the job file, which wins over the problem."""
    (tmp_path / "pin.py").write_text(
        "import numpy as np, pardiff\n"
        "@pardiff.problem\n"
        "def pin(): return pardiff.Problem(lambda x: float(x @ x), None, np.ones(2), order=4, rtol=0.5)\n"
    )
    (tmp_path / "job.toml").write_text(
        'out = "jobs"\n[cluster]\nworkers = 0\n[[check]]\ntarget = "pin.py"\nrtol = 0.25\n'
    )
    run("run", "job.toml", "--order", 6)
    settings = pardiff.open_result(tmp_path / "jobs" / "pin").summary.settings

    assert (settings.order, settings.rtol) == (6, 0.25)


def test_plan_evaluates_nothing_but_the_start(run, tmp_path):
    """A plan tells passes, blocks and bytes, and writes nothing."""
    done = run("plan", "work.py", "-k", "right or raises", "--workers", 4)

    assert "right" in done.output
    assert done.exit_code == 2
    assert "ZeroDivisionError" in done.output
    assert sorted(os.listdir(tmp_path)) == ["work.py"]


@pytest.fixture
def audit(tmp_path):
    pardiff.gradcheck(plant(two_layers(), 5, -1.0), store=tmp_path / "audit")
    return tmp_path / "audit"


def test_show(run, audit):
    """Show prints the report of a stored audit, or of one array, with as many entries as asked."""
    whole = run("show", audit, "--worst", 1)
    one = run("show", audit / "audit.zarr", "--array", "second")

    assert whole.exit_code == 1
    assert whole.output.splitlines()[-3].startswith("first/W[1,2]  fail")
    assert "second" in one.output
    assert "first/W[" not in one.output
    assert run("show", audit, "--array", "secnd").exit_code == 2


def test_sweeps(run, audit, tmp_path):
    """A stored sweep is shown as it is; another needs a target, and a label that is none is refused."""
    held = run("show", audit, "--sweep", "first/W[1,2]")
    other = run("show", audit, "--sweep", "second[0]")
    none = run("show", audit, "--sweep", "second[9]")
    target = f"{tmp_path / 'work.py'}::right"

    assert held.exit_code == 0
    assert "◂ near the chosen" in held.output
    assert "no step comes nearer" in held.output
    assert (other.exit_code, none.exit_code) == (2, 2)
    assert "--target" in other.output
    assert "no entry 'second[9]'" in none.output
    assert run("run", target, "--out", tmp_path / "out", "--workers", 0).exit_code == 0
    made = run("show", tmp_path / "out" / "right", "--sweep", "x[0]", "--target", target)
    assert made.exit_code == 0
    assert "within the error bar" in made.output


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (["--method", "complex"], 2, "fun returns no complex number"),
        (["--method", "richardson"], 0, "central differences extrapolated to order 4"),
        (["--stencil=-3,-1,1,3"], 0, "differences at offsets -3, -1, 1, 3"),
        (["--stencil", "a,b"], 2, "expected whole numbers with commas between"),
        (["--refine", "none", "--typical", "0.1"], 0, "central differences of order 2"),
        (["--refine", "never"], 2, "never"),
        (["--typical", "-1"], 2, "expected a positive number"),
    ],
)
def test_ways_to_differentiate(run, tmp_path, flags, status, words):
    """The flags for method, stencil, refinement and typical size reach the audit, or are refused with a sentence."""
    done = run("run", "work.py::right", "--out", tmp_path / "out", "--workers", 0, *flags)

    assert done.exit_code == status
    assert words in done.output


def test_status_and_reconcile(run, audit):
    """Status reads the store alone; reconciling with another tolerance changes the exit status."""
    assert "complete" in run("status", audit).output
    assert run("reconcile", audit, "--rtol", "3").exit_code == 0
    assert run("show", audit).exit_code == 0
    assert run("reconcile", audit, "--rtol", "1e-6").exit_code == 1


def test_reports(run, audit, tmp_path):
    """Reports go where they are asked for, or beside the audit."""
    assert run("report", audit, "--html", "r.html", "--junit", "sub/j.xml").exit_code == 0
    assert sorted(p.name for p in tmp_path.rglob("*.html")) == ["r.html"]
    assert (tmp_path / "sub" / "j.xml").is_file()
    assert run("report", audit).exit_code == 0
    assert {"report.html", "report.md", "report.json", "junit.xml"} <= {p.name for p in audit.iterdir()}


def test_dask_knows_the_command():
    """``dask pardiff`` is the same command."""
    dask = Path(sys.executable).parent / "dask"
    done = subprocess.run([dask, "pardiff", "--help"], capture_output=True, text=True)

    assert "Audit hand-derived gradients" in done.stdout
