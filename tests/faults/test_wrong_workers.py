"""A worker that computes something else is named, and nothing passes on it."""

import pytest
from chaos import Run, write_job

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

WRONG = """
MARK = os.path.join({folder!r}, "bad")
BAD = None


def fun(x):
    global BAD
    if BAD is None:
        BAD = False
        if "spawn_main" in open("/proc/self/cmdline").read():  # the first worker that comes here
            try:
                os.close(os.open(MARK, os.O_CREAT | os.O_EXCL))
                BAD = True
            except FileExistsError:
                pass
    moved = x != X0
    wrong = {wrong} * float(np.sum((x - X0)[moved])) if BAD and moved.any() else 0.0
    time.sleep(2e-3)
    return float(np.sum(x**3)) + wrong


def honest(x):"""


@pytest.mark.parametrize(("wrong", "status"), [(1e-7, 3), (0.0, 0)])
def test_a_worker_that_computes_something_else(wrong, status, tmp_path):
    """One of two workers adds a small slope to fun away from x0, where its value there tells nothing."""
    write_job(tmp_path, n=300, pause=0)
    job = (tmp_path / "job.py").read_text()
    (tmp_path / "job.py").write_text(
        job.replace("def fun(x):", WRONG.format(folder=str(tmp_path), wrong=wrong)).replace(
            "np.linspace", "np.linspace"
        )
    )
    run = Run(tmp_path, "--workers", "2", "--block-size", "10", "--confirm", "0.1", "--rtol", "1e-6")
    found, out, err = run.finish()

    assert found == status, out + err
    assert ("contradict the first" in out) == (wrong > 0)
    assert (tmp_path / "bad").exists()


def test_nothing_is_repeated_on_one_worker(tmp_path):
    """Nor in short jobs, unless asked for."""
    write_job(tmp_path, n=40, pause=0)
    status, _, _ = Run(tmp_path, "--workers", "1", "--confirm", "1").finish()
    assert status == 0
