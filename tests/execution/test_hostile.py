"""What strangers may have made: bundles, names, and a log or report that must not tell secrets."""

import io
import zipfile

import numpy as np
import pytest

import pardiff
from pardiff.errors import InputError, WorkerError
from pardiff.source.bundle import Code, load_factory, sha256

SECRETS = {"AWS_SECRET_ACCESS_KEY": "xyzzy-secret-1", "GITHUB_TOKEN": "xyzzy-secret-2", "PASSWORD": "xyzzy-secret-3"}

JOB = """
import numpy as np
import pardiff

NAMES = [
    "<script>alert(1)<script>", "<img src=x onerror=1>", "\\x1b[31mred", "a]]>b", "x|y`z", "line\\nbreak",
    "\\u202egnp.exe", "'\\"onload=1",
]


def fun(x):
    return float(sum(np.sum(v**2) for v in x.values()))


def grad(x):
    return {k: 2.02 * v for k, v in x.items()}


@pardiff.problem
def hostile():
    return pardiff.Problem(fun, grad, {name: np.ones(2) for name in NAMES})
"""


@pytest.mark.parametrize("member", ["../outside.py", "/tmp/pardiff-outside.py", "a/../../outside.py"])
def test_bundles_stay_in_their_folder(member, tmp_path):
    """Even one whose hash is right, as whoever has made it can make it so."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "print('outside')")
        archive.writestr("job.py", "raise SystemExit")
    data = buffer.getvalue()
    code = Code("file", "job.py", "f", sha256(data))

    with pytest.raises(WorkerError, match="outside its folder"):
        load_factory(code, lambda _: data)


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", "..", ".", "", "x" * 300])
def test_names_that_are_paths(name):
    """They would be places in the store."""
    with pytest.raises(InputError, match="cannot name an array"):
        pardiff.gradcheck(lambda x: 1.0, None, {name: np.ones(2)})


def test_hostile_names_and_secrets(command, tmp_path, monkeypatch):
    """No report holds a name as it is where it would mean something, and nothing holds the environment."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "job.py").write_text(JOB)
    done = command("run", "job.py", "--out", "out", "--log", "log.jsonl", "--workers", "1")
    shown = command("show", "out/hostile")
    said = done.stdout + done.stderr + shown.stdout
    html = (tmp_path / "out" / "hostile" / "report.html").read_text()

    assert done.returncode == 1, said
    assert "\x1b[31m" not in said
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"xyzzy-secret" not in path.read_bytes(), path
    assert "xyzzy-secret" not in said
