"""Every workflow and every planted fault in workflows/, run for real."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers import complaints

from pardiff.batch.run_batch import run
from pardiff.problem.problem import ProblemFactory
from pardiff.source.targets import _names

WORKFLOWS = sorted((Path(__file__).parent.parent / "workflows").glob("*.py"))
WORKFLOWS = [path for path in WORKFLOWS if "@pardiff.problem" in path.read_text()]  # and not what only runs others

FAULTS = {
    "textbook_sign": ({"x"}, 2),
    "diabetes_intercept": ({"x"}, 1),
    "digits_softmax_no_decay": ({"W"}, 638),
    "digits_mlp_transposed": ({"hidden2/W"}, 552),
    "heat_adjoint_last_step": ({"x"}, 200),
}
"""Array that is wrong, and how many of its entries, by planted fault."""


def problems(batch):
    return [
        (path, name)
        for path in WORKFLOWS
        for name, value in _names(path, nullcontext).items()
        if isinstance(value, ProblemFactory) and value.batch is batch
    ]


@pytest.mark.parametrize(("path", "name"), problems(True), ids=lambda v: v if isinstance(v, str) else "")
def test_right_gradients_pass(path, name, tmp_path):
    """Every workflow's own gradient passes."""
    (outcome,) = run(f"{path}::{name}", out=tmp_path, workers=0).outcomes

    assert outcome.result.verdict.name == "PASS", str(outcome.result)


SLOW = ("heat_adjoint_last_step", "digits_softmax_no_decay")
"""Faults that concern many parameters, all of which the second wave looks at."""


@pytest.mark.parametrize(
    ("path", "name"),
    [pytest.param(*pair, marks=[pytest.mark.slow] if pair[1] in SLOW else []) for pair in problems(False)],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_planted_faults_are_found(path, name, tmp_path):
    """Every planted fault is found in its array, in as many entries as it touches, and in no other."""
    (outcome,) = run(f"{path}::{name}", out=tmp_path, workers=0).outcomes
    arrays, entries = FAULTS[name]

    assert {array.name for array in outcome.result.arrays if array.counts["fail"]} == arrays
    assert outcome.result.counts["fail"] == entries
    assert outcome.result.counts["pass"] + entries == sum(outcome.result.counts.values())


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_each_runs_as_a_script(path, tmp_path):
    """A workflow runs by itself, with the options of the command."""
    done = subprocess.run(
        [sys.executable, str(path), "--out", str(tmp_path), "--workers", "1"], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert complaints(done.stderr) == []


@pytest.mark.cluster
@pytest.mark.slow
def test_the_nightly_job(tmp_path, command):
    """The job file runs every workflow as one batch on one cluster."""
    done = command("run", WORKFLOWS[0].parent / "nightly.toml", "--out", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())

    assert done.returncode == 0, done.stdout + done.stderr
    assert {p["verdict"] for p in summary["problems"]} == {"PASS"}
    assert len(summary["problems"]) == 5


@pytest.mark.slow
@pytest.mark.cluster
def test_demo(command, tmp_path):
    """The demo shows a pass and a failure, and where the reports are."""
    done = command("demo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS  digits_mlp" in done.stdout
    assert "FAIL  digits_mlp_transposed" in done.stdout
    assert (tmp_path / "audits" / "demo" / "digits_mlp_transposed" / "report.html").is_file()
