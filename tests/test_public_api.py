import inspect
import subprocess
import sys

import pytest

import pardiff
from pardiff.comparison.ranking import Entry
from pardiff.comparison.reconcile import ArrayResult


def test_all_is_what_is_public():
    """``__all__`` lists every public name, sorted."""
    public = {n for n, v in vars(pardiff).items() if not n.startswith("_") and not inspect.ismodule(v)}

    assert sorted(pardiff.__all__) == pardiff.__all__
    assert set(pardiff.__all__) - {"__version__"} == public - {
        "annotations",
        "version",
        "PackageNotFoundError",
    }


@pytest.mark.parametrize("name", [n for n in pardiff.__all__ if n != "__version__"])
def test_public_names_have_docstrings(name):
    """Everything public says what it is."""
    assert inspect.getdoc(getattr(pardiff, name))


def test_signature_of_gradcheck():
    """The options of gradcheck have the agreed names, in the agreed order."""
    names = list(inspect.signature(pardiff.gradcheck).parameters)

    agreed = [
        "fun", "grad", "x0", "args", "bounds", "executor", "store", "progress", "method", "order", "rel_step",
        "abs_step", "rtol", "atol", "mode", "block_size", "seed", "jitter",
    ]  # fmt: skip
    assert [name for name in names if name in agreed] == agreed
    assert set(names) - set(agreed) == {
        "vjp", "terms", "stencil", "refine", "typical", "batch_fun", "incremental", "batch_size", "memory", "deadline",
        "budget", "probes", "confirm", "partial", "self_test", "fresh",
    }  # fmt: skip


def test_result_surface():
    """Results carry the agreed attributes."""
    result = pardiff.gradcheck(lambda x: float(x @ x), lambda x: 2 * x, [1.0, 2.0])

    assert result.passed
    assert list(result.counts) == ["missing", "pass", "fail", "inconclusive", "kink", "nonfinite", "error"]
    assert {"name", "shape", "counts", "max_error", "certified_rtol", "finding"} <= set(
        ArrayResult.__dataclass_fields__
    )
    assert {
        "array", "index", "label", "numerical", "analytical", "residual", "uncertainty", "verdict",
    } <= set(Entry.__dataclass_fields__)  # fmt: skip
    assert result.seconds > 0


def test_import_is_light():
    """``import pardiff`` imports neither Dask, nor Zarr, nor anything for reports."""
    code = "import sys, pardiff; print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    for heavy in ("'distributed'", "'zarr'", "'jinja2'", "'rich'", "'xarray'", "'click'"):
        assert heavy not in modules
