"""Peak memory of the client and of a worker for many parameters, beyond that of a tiny audit: it must be O(n)."""

import json
import subprocess
import sys

CODE = """
import json, resource, sys, tempfile
import numpy as np, pardiff
from benchmarks.functions import first, first_gradient
from pardiff.execution.cluster import embedded_cluster

def peak():
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

if __name__ == "__main__":
    n = int(sys.argv[1])
    with embedded_cluster(2) as executor, tempfile.TemporaryDirectory() as folder:
        pardiff.gradcheck(first, first_gradient, np.ones(4), executor=executor.client, store=folder + "/first")
        before = peak(), max(executor.client.run(peak).values())
        result = pardiff.gradcheck(
            first, first_gradient, np.linspace(1, 2, n), executor=executor.client, store=folder + "/a", atol=1e-6
        )
        assert result.passed, str(result)
        after = peak(), max(executor.client.run(peak).values())
        print(json.dumps({"n": n, "before": before, "after": after, "seconds": result.seconds, "nfev": result.nfev}))
"""


def measure(n):
    """Growth of the peak, beyond that of a tiny audit, in MB and in doubles per parameter."""
    done = subprocess.run([sys.executable, "-c", CODE, str(n)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    client, worker = (a - b for a, b in zip(found["after"], found["before"], strict=True))
    return {
        "workload": f"cheap fun, n = {n:,}, {found['nfev']:,} passes in {found['seconds']:.0f} s",
        "client growth, MB": client,
        "worker growth, MB": worker,
        "client, doubles/n": client * 1e6 / 8 / n,
        "worker, doubles/n": worker * 1e6 / 8 / n,
    }


def run(quick):
    """All rows."""
    return [measure(n) for n in ([20_000] if quick else [100_000, 1_000_000])]
