"""report.json is what docs/report-schema.json says."""

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import pardiff
from pardiff.diagnosis.rules import KINDS
from pardiff.testing import TOYS, plant

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report-schema.json").read_text())


def raising(x):
    if x[1] != 1.0:
        raise ValueError("no")
    return float(x @ x)


AUDITS = {
    "right": lambda: pardiff.gradcheck(TOYS["two_layers"]()),
    "wrong": lambda: pardiff.gradcheck(plant(TOYS["two_layers"](), (3, 5), -1.0)),
    "raises": lambda: pardiff.gradcheck(raising, lambda x: 2 * x, np.ones(3)),
    "not finite": lambda: pardiff.gradcheck(lambda x: float(x @ x), np.array([np.nan, 2.0]), np.ones(2)),
    "kink": lambda: pardiff.gradcheck(lambda x: float(np.abs(x).sum()), np.array([0.5, 1.0]), np.array([0.0, 1.0])),
    "no gradient": lambda: pardiff.gradcheck(lambda x: float(x @ x), None, np.ones(3)),
    "budget": lambda: pardiff.gradcheck(TOYS["sphere"](200), budget=100, block_size=10),
}


@pytest.mark.parametrize("name", AUDITS)
def test_reports_follow_the_schema(name):
    """Whatever the verdict."""
    data = json.loads(json.dumps(AUDITS[name]().summary.to_json(), allow_nan=False))

    Draft202012Validator.check_schema(SCHEMA)
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(data)] == []


def test_self_tests_follow_the_schema(tmp_path, command):
    """The file that the command line writes, with all that it may hold."""
    (tmp_path / "job.py").write_text(
        "import pardiff\nfrom pardiff.testing import two_layers\njob = pardiff.problem(two_layers)\n"
    )
    done = command("run", "job.py", "--self-test", "--workers", "0", "--out", "out")
    data = json.loads((tmp_path / "out" / "job" / "report.json").read_text())

    assert done.returncode == 0, done.stderr
    assert len(data["self_test"]) == 3
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(data)] == []


def test_every_kind_is_in_the_schema():
    """A finding of a kind that programs do not know would be no use to them."""
    assert set(KINDS) <= set(SCHEMA["$defs"]["finding"]["properties"]["kind"]["enum"])
