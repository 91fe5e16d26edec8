"""Derivatives, bars, margins, verdicts and passes are those of the digest file, bit for bit.

A change that alters them on purpose says so in its commit, and writes the file anew: delete it, and run this test.
"""

import json
from pathlib import Path

import pytest
from bit_cases import cases
from bit_record import digest

import pardiff

FILE = Path(__file__).parent / "digest.json"
CASES = cases()


@pytest.fixture(scope="module")
def known():
    if not FILE.exists():
        found = {name: digest(pardiff.gradcheck(problem)) for name, problem in CASES.items()}
        FILE.write_text(json.dumps(found, indent=1) + "\n")
        pytest.fail(f"{FILE} was not there and has been written; look at what has changed in it")
    return json.loads(FILE.read_text())


def test_every_case_is_in_the_file(known):
    """A case that is added or removed changes the file."""
    assert sorted(known) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_same_bits_as_recorded(known, name):
    """An audit in this process gives the recorded bits."""
    assert digest(pardiff.gradcheck(CASES[name])) == known[name]


def by_entry(result):
    """The digest without the passes that depend on the workers."""
    return digest(result) | {"nfev": None}


@pytest.mark.parametrize("name", ["rational 0", "rational 13", "rational 22", "nested", "incremental, planted", "flat"])
@pytest.mark.parametrize("stored", [False, True])
def test_same_bits_on_threads(known, name, stored, tmp_path):
    """So do threads, in memory and in a store, in other blocks."""
    result = pardiff.gradcheck(
        CASES[name], executor="threads", block_size=4, store=tmp_path / "audit" if stored else None
    )

    assert by_entry(result) == known[name] | {"nfev": None}


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.parametrize("name", CASES)
def test_same_bits_on_processes(known, name, embedded, tmp_path):
    """So do processes of Dask, in a store."""
    result = pardiff.gradcheck(CASES[name], executor=embedded.client, store=tmp_path / "audit")

    assert by_entry(result) == known[name] | {"nfev": None}
