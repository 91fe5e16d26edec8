"""The SLURM example: the script of a job, and a whole run with a batch system that starts jobs on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import zarr

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "workflows" / "slurm.py"

SBATCH = """#!{python}
import subprocess, sys
job = subprocess.Popen(["bash", sys.argv[-1]], stdin=subprocess.DEVNULL, stdout=open("job.log", "a"),
                       stderr=subprocess.STDOUT, start_new_session=True)
print("Submitted batch job", job.pid)
"""
SCANCEL = """#!{python}
import os, signal, sys
for job in sys.argv[1:]:
    try:
        os.killpg(int(job), signal.SIGTERM)
    except ProcessLookupError:
        pass
"""


def test_the_script_of_a_job(tmp_path):
    """Workers of one thread by TLS, which end before the wall time."""
    arguments = [
        "--print",
        "--interface",
        "lo",
        "--queue",
        "short",
        "--cores",
        "8",
        "--memory",
        "16GB",
        "--walltime",
        "02:00:00",
    ]
    arguments += ["--lifetime", "110m"]
    done = subprocess.run([sys.executable, EXAMPLE, *arguments], cwd=tmp_path, capture_output=True, text=True)
    lines = done.stdout.splitlines()

    assert done.returncode == 0, done.stderr
    assert lines[0] == "#!/usr/bin/env bash"
    assert "#SBATCH -p short" in lines
    assert "#SBATCH --cpus-per-task=8" in lines
    assert "#SBATCH --mem=15G" in lines
    assert "#SBATCH -t 02:00:00" in lines
    assert "export OPENBLAS_NUM_THREADS=1" in lines
    (worker,) = [line for line in lines if "dask_worker" in line]
    assert "--nworkers 8 --nanny" in worker
    assert "--nthreads 1" in worker
    assert "--lifetime 110m --lifetime-stagger 4m" in worker
    assert "tls://" in worker
    assert "--tls-key" in worker
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.cluster
def test_a_run(tmp_path):
    """Jobs that sbatch starts here do the blocks, and scancel ends them."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, script in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (tools / name).write_text(script.format(python=sys.executable))
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    target = str(ROOT / "workflows" / "linear_regression.py")
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--jobs", "2", "--cores", "1", "--memory", "2GB", "--interface", "lo", target],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "job.log").read_text()
    assert "PASS" in done.stdout
    audits = sorted((tmp_path / "audits").glob("*/audit.zarr"))
    assert [audit.parent.name for audit in audits] == ["diabetes", "textbook"]
    for audit in audits:
        assert all((verdicts[...] == 1).all() for _, verdicts in zarr.open_group(audit, mode="r")["verdict"].arrays())
    assert "tls://" in (tmp_path / "job.log").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audits", "bin", "job.log"]
