"""The end of a process that has used Zarr."""

import subprocess
import sys

import pytest

BUSY = """
import time
import zarr
{imported}
from zarr.core.sync import _get_loop
zarr.create_array({{}}, shape=(2,), dtype="f8")[:] = 1.0
_get_loop().call_soon_threadsafe(time.sleep, 1.0)
"""


@pytest.mark.parametrize("imported", ["", "import pardiff.storage.zarr_ledger"])
def test_a_busy_machine_makes_no_noise(imported):
    """The thread of Zarr is late by a second; without pardiff that is complained of, so this test can fail."""
    done = subprocess.run([sys.executable, "-c", BUSY.format(imported=imported)], capture_output=True, text=True)
    assert done.returncode == 0
    assert ("did not finish cleanly" in done.stderr) == (not imported)
    assert bool(done.stderr) == (not imported)
