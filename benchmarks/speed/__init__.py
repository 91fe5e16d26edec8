"""How fast gradients are checked, on seven workloads, beside other packages and plain loops."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

QUICK = {"workloads": "W1a", "peers": "scipy,loop", "seconds": 0.1, "repeats": 1}
"""To see that it runs."""


def run(quick, **options):
    """Run it in a process of its own, in which all have the same allocator; returns the rows of its table."""
    chosen = {**(QUICK if quick else {}), **options}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        flags = [part for key, value in chosen.items() for part in (f"--{key}", str(value))]
        subprocess.run([sys.executable, "-m", "benchmarks.speed", *flags, "--json", str(rows)], check=True)
        return json.loads(rows.read_text())
