"""What ``pardiff status --verify`` finds in an audit that was damaged."""

import shutil

import numpy as np
import pytest

import pardiff
from pardiff.cli.status import status_lines
from pardiff.storage.format import QUANTITIES
from pardiff.storage.zarr_ledger import ZarrLedger


def check(folder):
    """An audit of two arrays, with one wrong entry."""
    x0 = {"a": np.linspace(1, 2, 6), "b": {"c": np.linspace(2, 3, 4).reshape(2, 2)}}

    def grad(x):
        wrong = 3 * x["a"] ** 2
        wrong[2] *= 1.1
        return {"a": wrong, "b": {"c": 3 * x["b"]["c"] ** 2}}

    def fun(x):
        return float(np.sum(x["a"] ** 3) + np.sum(x["b"]["c"] ** 3))

    return pardiff.gradcheck(fun, grad, x0, store=folder, block_size=3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "audit"
    check(folder)
    return folder


def verified(folder):
    lines, right = status_lines(ZarrLedger.open(folder), verify=True)
    return "\n".join(lines), right


def test_one_that_is_whole(whole):
    text, right = verified(whole)
    assert right
    assert "finished blocks: 5, every checksum is right" in text


FILES = [f"{quantity}/{leaf}" for quantity in ("x0", *QUANTITIES) for leaf in ("a", "b/c")]


@pytest.mark.parametrize(
    ("array", "how"), list(zip(FILES, ["altered", "deleted", "deleted", "altered"] * 6, strict=False))
)
def test_every_array_is_looked_at(array, how, whole, tmp_path):
    """And the next run mends it."""
    folder = tmp_path / "audit"
    shutil.copytree(whole, folder)
    (chunk,) = (path for path in (folder / "audit.zarr" / array / "c").rglob("*") if path.is_file())
    if how == "deleted":
        chunk.unlink()
    else:
        store = ZarrLedger.open(folder, write=True).store.group[array]
        store[...] = np.asarray(store[...]) + 1
    text, right = verified(folder)
    assert not right
    assert "damaged" in text.partition("\n")[0]
    assert "every checksum" not in text
    if not array.startswith(("x0", "analytical")):
        assert f"damaged arrays, which the next run writes anew: {array}" in text
    check(folder)
    assert verified(folder)[1]


@pytest.mark.parametrize("how", ["altered", "deleted"])
def test_records_and_results(how, whole, tmp_path):
    for name in ("record/c/1", "values/c/0/1/0"):
        folder = tmp_path / name.partition("/")[0]
        shutil.copytree(whole, folder)
        file = folder / "audit.zarr" / "blocks" / "wave1" / name
        file.unlink() if how == "deleted" else file.write_bytes(file.read_bytes()[:-1] + b"?")
        text, right = verified(folder)
        assert not right
        assert "damaged blocks, which the next run does again: 1 of wave 1" in text
        check(folder)
        assert verified(folder)[1]


def test_groups_the_table_and_plans(whole, tmp_path):
    """What is around the arrays, without which other readers do not find them."""
    store = tmp_path / "audit" / "audit.zarr"
    for damage in (
        lambda: (store / "verdict" / "zarr.json").unlink(),
        lambda: (store / "numerical" / "b" / "zarr.json").write_bytes(b"0"),
        lambda: shutil.rmtree(store / "blocks" / "nfev" / "c"),
        lambda: shutil.rmtree(store / "blocks" / "wave2" / "index" / "c"),
    ):
        shutil.rmtree(tmp_path / "audit", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "audit")
        damage()
        text, right = verified(tmp_path / "audit")
        assert not right
        assert "damaged" in text
        assert "every checksum" not in text
        check(tmp_path / "audit")
        assert verified(tmp_path / "audit")[1]


def test_one_that_is_being_written(whole, tmp_path):
    """Nothing is called damaged that is not finished."""
    shutil.copytree(whole, tmp_path / "audit")
    audit = ZarrLedger.open(tmp_path / "audit", write=True)
    audit.store.group["verdict/a"][...] = 0
    with audit.location.locked():
        text, _ = verified(tmp_path / "audit")
    assert "damaged" not in text
    assert "a run is at work on it" in text
