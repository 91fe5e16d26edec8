"""The benchmark of planted faults, run once: what is wrong is named, and nothing is said of what is right."""

import json
import sys

import pytest

from benchmarks.diagnosis.__main__ import main


@pytest.mark.slow
@pytest.mark.parametrize("half", ["open", "held"])
def test_planted_faults(half, capsys, monkeypatch):
    """At least nineteen of twenty faults of each half are named, and no right array has a finding."""
    monkeypatch.setattr(sys, "argv", ["benchmarks.diagnosis", "--half", half, "--seeds", "1"])
    with pytest.raises(SystemExit) as end:
        main()
    faults, right = (json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{"))

    assert faults["named"] >= 0.95 * faults["faults"]
    assert faults["raised"] == 0
    assert right["with a finding"] == 0
    assert not end.value.code
