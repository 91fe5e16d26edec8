"""diff and history: what fails newly, what is mended, what has changed."""

import json
import shutil

import pytest

JOB = """
import numpy as np
import pardiff

WRONG = {wrong}
SHIFT = {shift}
rng = np.random.default_rng(0)
X0 = {{"W": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}}


def fun(x):
    return float(np.sum(np.exp(x["W"])) + np.sum(x["b"] ** 3) * (1 + SHIFT))


def grad(x):
    g = {{"W": np.exp(x["W"]), "b": 3 * x["b"] ** 2 * (1 + SHIFT)}}
    if WRONG:
        g["W"][WRONG - 1] *= -1
    return g


@pardiff.problem
def one():
    return pardiff.Problem(fun, grad, X0{options})


@pardiff.problem
def two():
    return pardiff.Problem(lambda x: float(x @ x), lambda x: 2 * x, np.array([1.0, 2.0]))
"""


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Runs into new folders, each made once."""
    return tmp_path_factory.mktemp("known"), {}


@pytest.fixture
def run(command, tmp_path, known):
    """Run the job with a fault, into a folder."""

    def go(out, wrong=0, shift=0.0, options="", again=False):
        (tmp_path / "job.py").write_text(JOB.format(wrong=wrong, shift=shift, options=options))
        folder, done = known
        key, new = (wrong, shift, options), not (again or (tmp_path / out).exists())
        if not new or key not in done:
            finished = command("run", "job.py", "--workers", "0", "--out", out, "--fresh")
            if new:
                done[key] = finished
                shutil.copytree(tmp_path / out, folder / str(len(done)))
            return finished
        shutil.copytree(folder / str(1 + list(done).index(key)), tmp_path / out)
        return done[key]

    return go


def test_newly_failing(run, command):
    """Entries that fail now and did not; exit status 1."""
    run("before")
    run("after", wrong=2)
    done = command("diff", "before/one", "after/one", "--json", "diff.json")

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "one",
        "  PASS has become FAIL",
        "  W: 3 newly failing, 3 analytical derivatives changed (W[1,0], W[1,1], W[1,2]); W[1, :] has the wrong sign",
        "  the source of the problem has changed",
        "in all 3 entries newly failing, 0 newly fixed",
    ]


def test_newly_fixed(run, command, tmp_path):
    """What is mended is no failure, also among the audits of two folders."""
    run("before", wrong=1)
    run("after")
    done = command("diff", "before", "after", "--json", "diff.json")
    data = json.loads((tmp_path / "diff.json").read_text())

    assert done.returncode == 0, done.stdout + done.stderr
    assert "W: 3 newly fixed, 3 analytical derivatives changed" in done.stdout
    assert [pair["name"] for pair in data["pairs"]] == ["one", "two"]


@pytest.mark.slow
def test_derivatives_and_settings(run, command):
    """Derivatives that changed beyond both bars, and options that differ."""
    run("before")
    run("after", shift=1e-4, options=", rtol=1e-5")
    done = command("diff", "before/one", "after/one")

    assert done.returncode == 0
    assert "  b: 3 derivatives changed beyond both error bars, 3 analytical derivatives changed" in done.stdout
    assert "  rtol: 1e-06 has become 1e-05" in done.stdout


def test_nothing_has_changed(run, command):
    """Two runs of the same."""
    run("before")
    run("after")
    done = command("diff", "before", "after")

    assert (done.returncode, done.stdout) == (0, "nothing has changed\n")


@pytest.mark.slow
def test_problems_that_come_and_go(run, command, tmp_path):
    """Those that only one folder has; a new one that fails counts."""
    run("before")
    run("after", wrong=1)
    (tmp_path / "before" / "one").rename(tmp_path / "before" / "old")
    done = command("diff", "before", "after")

    assert done.returncode == 1
    assert "old: only in before, PASS" in done.stdout
    assert "one: only in after, FAIL" in done.stdout


@pytest.mark.parametrize(("pair", "said"), [
    (("before", "before/one"), "one is an audit, the other a folder of them"),
    (("nowhere", "before"), "nowhere is no audit, and holds none"),
])  # fmt: skip
def test_what_cannot_be_compared(pair, said, run, command):
    """One sentence, exit status 2."""
    run("before")
    done = command("diff", *pair)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_history(run, command, tmp_path):
    """Every run is remembered, with what has changed; the index says so too."""
    run("out")
    run("out", wrong=1)
    run("out", wrong=1)
    run("out")
    done = command("history", "out")
    lines = done.stdout.splitlines()
    index = (tmp_path / "out" / "index.html").read_text()

    assert done.returncode == 0
    assert [line.split()[1] for line in lines[1:]] == ["PASS", "FAIL", "FAIL", "PASS"]
    assert lines[1].endswith("one was FAIL, is PASS")
    assert lines[3].endswith("one was PASS, is FAIL")
    assert "was FAIL" in index
    assert index.count("<tr>") >= 6


def test_a_folder_without_history(command, tmp_path):
    """One sentence."""
    done = command("history", str(tmp_path))

    assert done.returncode == 2
    assert "has no history of runs" in done.stderr


def test_step_summary(run, command, tmp_path, monkeypatch):
    """In GitHub Actions the report is appended to the summary of the step, what is wrong first."""
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    run("out", wrong=2, again=True)
    text = file.read_text()

    assert text.startswith("before\n### ❌ FAIL · one")
    assert "has the wrong sign" in text
    assert "### ✅ PASS · two" in text


@pytest.mark.slow
def test_self_test_and_jitter(run, command, tmp_path):
    """Both are options of a run."""
    run("out")
    done = command("run", "job.py", "--workers", "0", "--out", "moved", "--self-test", "--jitter", "0.1")

    assert done.returncode == 0
    assert "planted faults that would not pass:" in done.stdout
    assert "12 of 12" in done.stdout
    assert command("diff", "out/one", "moved/one").stdout.splitlines()[1] == (
        "  x0 is another point, so that both derivatives differ"
    )


@pytest.mark.slow
@pytest.mark.parametrize("problems", ["{", '{"one": 5}', '{"one": {"wrong": "many"}}'])
def test_damaged_history(problems, run, command, tmp_path):
    """What cannot be read is left out, and the index is written all the same."""
    run("out")
    text = f'{{"created": "x", "verdict": "FAIL", "problems": {problems}}}'
    (tmp_path / "out" / ".history" / "9.json").write_text(text)
    again = run("out", wrong=1)
    done = command("history", "out")

    assert again.returncode == 1
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)


def test_a_broken_file_stops_no_other(command, tmp_path):
    """Also where it is named with others."""
    (tmp_path / "bad.py").write_text("import pardiff\nraise ValueError('no')\n")
    (tmp_path / "job.py").write_text(JOB.format(wrong=0, shift=0.0, options=""))
    done = command("run", "bad.py", "job.py", "--workers", "0", "--out", "out")

    assert done.returncode == 2
    assert "BROKEN  bad: bad.py: ValueError: no" in done.stdout
    assert done.stdout.count("entries agree") == 2


BROKEN = """
import pardiff


@pardiff.problem
def one():
    raise ValueError("no data")


@pardiff.problem
def three():
    raise ValueError("no data")
"""


def test_a_problem_that_comes_to_no_verdict(run, command, tmp_path):
    """It passed, and cannot be built now: that is no less than a failure."""
    run("before")
    run("after")
    (tmp_path / "job.py").write_text(BROKEN)
    command("run", "job.py", "--workers", "0", "--out", "after")
    done = command("diff", "before", "after")

    assert done.returncode == 1
    assert done.stdout.splitlines() == ["one: PASS has become BROKEN", "three: not there has become BROKEN"]


def test_no_entry_is_named_twice(run, command):
    """One of them fails newly, and its claim has changed as well."""
    run("before")
    run("after", wrong=2)
    (line,) = [line for line in command("diff", "before", "after").stdout.splitlines() if "newly failing," in line][:1]
    names = line[line.index("(") + 1 : line.index(")")].split(", ")
    assert len(set(names)) == len(names)


def test_out_is_a_file(command, tmp_path):
    """One sentence, and nothing of blocks that are kept."""
    (tmp_path / "job.py").write_text(JOB.format(wrong=0, shift=0.0, options=""))
    (tmp_path / "taken").write_text("")
    for out in ("taken", "taken/below", "x" * 300):
        done = command("run", "job.py", "--workers", "0", "--out", out)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "expected a folder for the audits" in done.stderr
