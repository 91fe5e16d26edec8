import json
import os
import shutil
import struct
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray
import zarr
from helpers import bits
from hypothesis import given, settings

import pardiff
from pardiff.errors import FingerprintError, InputError, NotAnAuditError, StoreError
from pardiff.storage.location import LocalFolder
from pardiff.storage.zarr_layout import sealed
from pardiff.storage.zarr_ledger import ZarrLedger
from pardiff.storage.zarr_store import remove_audit
from pardiff.testing import plant, structures, two_layers


def tree_of(folder):
    return xarray.open_datatree(folder / "audit.zarr", engine="zarr", consolidated=False)


def test_xarray_reads_it_unaided(tmp_path):
    """The store opens with names, dimensions and CF flags, nested names as nested groups."""
    result = pardiff.gradcheck(plant(two_layers(), 5, -1.0), store=tmp_path / "a")
    tree = tree_of(tmp_path / "a")

    assert {
        "x0",
        "numerical",
        "uncertainty",
        "analytical",
        "residual",
        "verdict",
        "step",
        "nfev",
        "blocks",
    } <= set(tree.children)
    verdict = tree["verdict/first/W"]
    assert verdict.dims == ("first/W.axis0", "first/W.axis1")
    meanings = dict(zip(verdict.attrs["flag_values"], verdict.attrs["flag_meanings"].split(), strict=True))
    assert meanings[int(verdict[1, 2])] == "fail"
    assert tree.attrs["pardiff_schema"] == 3
    np.testing.assert_allclose(
        tree["residual/first/W"], tree["analytical/first/W"] - tree["numerical/first/W"], rtol=1e-12
    )
    swept = sum(sweep["nfev"] for sweep in tree.attrs["sweeps"])
    assert int(tree["blocks/nfev"].sum()) == result.nfev - tree.attrs["baseline"]["nfev"] - swept
    assert list(tree["blocks/wave"].values)[-1] == 2


def test_it_opens_without_options(tmp_path):
    """``open_datatree(store, engine="zarr")`` works too; xarray merely remarks on the metadata."""
    pardiff.gradcheck(two_layers(), store=tmp_path / "a")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        tree = xarray.open_datatree(tmp_path / "a" / "audit.zarr", engine="zarr")
    assert tree["numerical/first/W"].shape == (4, 3)


@given(structures())
@settings(max_examples=10)
def test_memory_and_store_agree(tmp_path_factory, x0):
    """An audit in a store holds the same bits as one in memory, for any structure, and xarray shows both alike."""
    folder = tmp_path_factory.mktemp("audit")

    def fun(x):
        total = 0.0
        for leaf in _leaves(x):
            total += float(np.sum(np.sin(leaf) + leaf**2))
        return total

    kept = pardiff.gradcheck(fun, None, x0, store=folder / "a").to_xarray()
    held = pardiff.gradcheck(fun, None, x0).to_xarray()
    for node in held.subtree:
        for name, values in node.data_vars.items():
            assert values.to_numpy().tobytes() == kept[node.path][name].to_numpy().tobytes()
            assert values.dims == kept[node.path][name].dims


def _leaves(x):
    return [leaf for value in x.values() for leaf in _leaves(value)] if isinstance(x, dict) else [x]


def test_going_on_redoes_only_what_is_missing(tmp_path):
    """A second run trusts block records alone, redoes the missing and the damaged, and yields the same bits."""
    problem = plant(two_layers(), 5)
    pardiff.gradcheck(problem, store=tmp_path / "whole", block_size=4)
    pardiff.gradcheck(problem, store=tmp_path / "a", block_size=4)
    group = zarr.open_group(tmp_path / "a" / "audit.zarr")
    group["blocks/wave1/record"][2] = ""  # never committed
    chunk = tmp_path / "a" / "audit.zarr" / "blocks" / "wave1" / "values" / "c" / "0" / "1" / "0"
    chunk.write_bytes(chunk.read_bytes()[:100])  # truncated

    seen = []
    pardiff.gradcheck(
        problem, store=tmp_path / "a", block_size=4, progress=lambda p: seen.append((p.wave, p.done, p.nfev))
    )

    assert seen[0] == (1, 10, 0)
    assert (1, 18, 16) in seen
    assert bits(tmp_path / "a") == bits(tmp_path / "whole")
    attempts = [r.attempt for r in ZarrLedger.open(tmp_path / "a").records(1).values()]
    assert sorted(attempts) == [1, 1, 1, 2, 2]


def test_block_size_does_not_matter(tmp_path):
    """The same bits come from blocks of any size."""
    for size in (1, 3, 18):
        pardiff.gradcheck(plant(two_layers(), (0, 17)), store=tmp_path / str(size), block_size=size)

    assert bits(tmp_path / "1") == bits(tmp_path / "3") == bits(tmp_path / "18")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(order=4), "another order (there: 2, now: 4)"),
        (dict(rtol=1e-3), "another rtol (there: 1e-06, now: 0.001)"),
        (dict(x0=np.array([1.0, 3.0])), "another x0"),
        (dict(bounds=(0.0, 9.0)), "another bounds (there: not set"),
        (dict(fun=lambda x: float(x @ x) + 0.0), "another source"),
    ],
)
def test_another_run_is_refused(tmp_path, change, named):
    """An audit of other parameters, settings or source is left alone, and the difference is named."""
    given = dict(fun=lambda x: float(x @ x), x0=np.array([1.0, 2.0]))
    pardiff.gradcheck(**given, store=tmp_path / "a")
    before = bits(tmp_path / "a")

    with pytest.raises(FingerprintError) as caught:
        pardiff.gradcheck(**given | change, store=tmp_path / "a")

    assert named in str(caught.value)
    assert "--fresh" in str(caught.value)
    assert bits(tmp_path / "a") == before


def test_other_data_is_refused(tmp_path):
    """The same source with other data gives another value at x0, and is not mixed with the first."""

    def run(scale):
        return pardiff.gradcheck(lambda x: scale * float(x @ x), None, [1.0, 2.0], store=tmp_path / "a")

    run(1.0)
    with pytest.raises(FingerprintError, match="another value of fun at x0"):
        run(2.0)


def test_a_mended_gradient_needs_no_new_pass(tmp_path):
    """Going on with another gradient compares the stored derivatives with the new one."""
    fun, x0 = (lambda x: float(x @ x)), np.array([1.0, 2.0])
    assert pardiff.gradcheck(fun, np.array([2.0, 5.0]), x0, store=tmp_path / "a").counts["fail"] == 1
    seen = []
    again = pardiff.gradcheck(
        fun, np.array([2.0, 4.0]), x0, store=tmp_path / "a", progress=lambda p: seen.append(p.nfev)
    )

    assert again.passed
    assert set(seen) == {0}


@pytest.mark.parametrize("what", ["file", "folder", "zarr", "future"])
def test_what_is_not_an_audit_is_left_alone(tmp_path, what):
    """Something else at the place of the store is refused, even with --fresh, and not touched."""
    location = tmp_path / "a" / "audit.zarr"
    if what == "file":
        (tmp_path / "a").write_text("mine")
    elif what == "folder":
        location.mkdir(parents=True)
        (location / "precious.txt").write_text("mine")
    else:
        zarr.create_group(location, attributes={} if what == "zarr" else {"pardiff_schema": 99})
    before = sorted(p for p in tmp_path.rglob("*"))

    with pytest.raises(NotAnAuditError):
        pardiff.gradcheck(lambda x: float(x @ x), None, [1.0], store=tmp_path / "a")

    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_opening_executes_nothing(tmp_path, monkeypatch):
    """Reading, reconciling and reporting never unpickle or import what lies beside the store."""
    pardiff.gradcheck(two_layers(), store=tmp_path / "a")
    for bundle in (tmp_path / "a" / "code").iterdir():
        bundle.write_bytes(b"not what it was")
    monkeypatch.setattr("pickle.loads", None)

    assert pardiff.open_result(tmp_path / "a").passed
    assert pardiff.reconcile(tmp_path / "a", rtol=1e-3).passed
    assert pardiff.report(tmp_path / "a")
    assert not [
        p
        for p in (tmp_path / "a" / "audit.zarr").rglob("*")
        if b"cloudpickle" in (p.read_bytes() if p.is_file() else b"")
    ]


def test_nothing_is_left_of_a_failed_start(tmp_path):
    """A problem that cannot be started writes nothing."""
    with pytest.raises(pardiff.InputError):
        pardiff.gradcheck(lambda x: x, None, [1.0, 2.0], store=tmp_path / "a")

    assert list(tmp_path.iterdir()) == []


def test_other_tolerances_without_a_pass(tmp_path):
    """Reconciling anew changes verdicts and nothing numerical."""
    pardiff.gradcheck(plant(two_layers(), 3, 1 + 1e-4), store=tmp_path / "a")
    before = bits(tmp_path / "a")
    loose = pardiff.reconcile(tmp_path / "a", rtol=1e-3)
    after = bits(tmp_path / "a")

    assert loose.passed
    assert {k for k in before if before[k] != after[k]} == {"verdict/first/W"}
    assert (
        json.loads((tmp_path / "a" / "audit.zarr" / "zarr.json").read_text())["attributes"]["settings"]["rtol"] == 1e-3
    )


def test_urls_of_other_stores_are_refused_with_a_sentence(tmp_path):
    """An address is not mistaken for a folder."""
    with pytest.raises(InputError, match="audits are kept in folders, or in an object store: s3://"):
        pardiff.gradcheck(lambda x: float(x @ x), None, [1.0], store="ftp://host/run")


def test_results_that_are_gone_are_not_read_as_missing(tmp_path):
    """A chunk that disappears from under its record is an error, not a gap."""
    result = pardiff.gradcheck(two_layers(), store=tmp_path / "a", block_size=9)
    (tmp_path / "a" / "audit.zarr" / "blocks" / "wave1" / "values" / "c" / "0" / "1" / "0").unlink()

    with pytest.raises(StoreError, match="is damaged"):
        result.ledger.lines(0, 12)
    assert pardiff.gradcheck(two_layers(), store=tmp_path / "a", block_size=9).passed


def test_two_clients_do_not_share_an_audit(tmp_path):
    """A second run on an audit that is being worked on is refused, with the holder named."""
    seen = []

    def second(_):
        if not seen:
            with pytest.raises(StoreError, match=r"worked on by another run \(process") as caught:
                pardiff.gradcheck(two_layers(), store=tmp_path / "a")
            seen.append(caught)

    assert pardiff.gradcheck(two_layers(), store=tmp_path / "a", block_size=5, progress=second).passed
    assert seen


FILES = [
    "blocks/wave1/values/c/0/1/0",
    "blocks/wave1/record/c/1",
    "blocks/wave2/index/c/0",
    "blocks/wave2/record/c/0",
    "x0/second/c/0",
]


@pytest.mark.parametrize("damage", FILES)
@pytest.mark.parametrize("how", ["delete", "truncate", "alter", "empty"])
def test_damage_is_noticed_and_mended(tmp_path, damage, how):
    """A damaged file never changes a verdict: readers call the audit unfinished, and a run mends it, bit for bit."""
    problem = plant(two_layers(), (0, 5))
    pardiff.gradcheck(problem, store=tmp_path / "a", block_size=5)
    whole = bits(tmp_path / "a")
    file = tmp_path / "a" / "audit.zarr" / damage
    content = file.read_bytes()
    altered = {"truncate": content[: len(content) // 2], "empty": b"", "alter": content[:-3] + b"\x01\x02\x03"}
    file.unlink() if how == "delete" else file.write_bytes(altered[how])

    if damage.startswith("blocks"):
        try:
            assert pardiff.open_result(tmp_path / "a").exit_status in (1, 4)
            assert not pardiff.open_result(tmp_path / "a").passed
        except StoreError as error:
            assert "damaged" in str(error)  # noqa: PT017
    pardiff.gradcheck(problem, store=tmp_path / "a", block_size=5)

    assert bits(tmp_path / "a") == whole


def test_fresh_removes_nothing_of_the_user(tmp_path):
    """Starting over leaves files that pardiff has not made, and no report of what is gone."""
    from pardiff.storage.zarr_store import remove_audit

    pardiff.gradcheck(two_layers(), store=tmp_path / "a")
    pardiff.report(tmp_path / "a")
    (tmp_path / "a" / "code" / "main.py").write_text("precious")
    remove_audit(tmp_path / "a")

    assert sorted(p.name for p in (tmp_path / "a").rglob("*")) == [".lock", "code", "main.py"]


def test_workers_with_other_data_let_nothing_pass(tmp_path):
    """Where a block was evaluated with another fun than the client's, the audit does not pass."""
    from dataclasses import replace

    from pardiff.execution.executors import SerialExecutor

    class Elsewhere(SerialExecutor):
        def map(self, task, blocks):
            for receipt in super().map(task, blocks):
                yield replace(receipt, record=replace(receipt.record, base=2 * receipt.record.base, worker="other:1"))

    result = pardiff.gradcheck(two_layers(), executor=Elsewhere())

    assert not result.passed
    assert "nothing passes on it" in str(result)


def test_an_interrupted_audit_never_looks_finished(tmp_path):
    """Before the second wave has looked at an entry it does not fail, and the audit is incomplete."""

    class Stop(Exception):
        pass

    def stop(progress):
        if progress.wave == 2:
            raise Stop

    with pytest.raises(Stop):
        pardiff.gradcheck(plant(two_layers(), 3), store=tmp_path / "a", progress=stop)
    result = pardiff.open_result(tmp_path / "a")

    assert (result.counts["fail"], result.counts["inconclusive"], result.exit_status) == (0, 1, 4)
    assert "not finished" in str(result)


def cubes(folder, **options):
    """A small audit with one wrong entry."""
    x0 = {"a": np.linspace(1, 2, 6), "b": {"c": np.ones((2, 2))}}

    def grad(x):
        wrong = 3 * x["a"] ** 2
        wrong[2] *= 1.1
        return {"a": wrong, "b": {"c": 3 * x["b"]["c"] ** 2}}

    return pardiff.gradcheck(
        lambda x: float(np.sum(x["a"] ** 3) + np.sum(x["b"]["c"] ** 3)), grad, x0, store=folder, block_size=3, **options
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with such an audit."""
    folder = tmp_path_factory.mktemp("whole") / "a"
    cubes(folder)
    return folder


ODD = b'{"wave": 1, "block": 1, "start": 3, "stop": 6, "state": "done", "checksum": -1, "nfev": 1e99, '
ODD += b'"seconds": "long", "attempt": [], "worker": "w", "base": 0.0, "errors": 5}'
"""A record of no numbers."""


@pytest.mark.parametrize(
    "content",
    [struct.pack("<II", 1, len(ODD)) + ODD, b"", b"null", b'{"zarr_format":3}', b"\xff\xff\xff\x7f" + b"x" * 40, b"{}"],
)
def test_records_that_are_damaged(content, whole, tmp_path):
    """Whatever they hold, they are read in no time, and their block is done again."""
    shutil.copytree(whole, tmp_path / "a")
    (tmp_path / "a" / "audit.zarr" / "blocks" / "wave1" / "record" / "c" / "1").write_bytes(content)

    assert len(ZarrLedger.open(tmp_path / "a").records(1)) == 3
    assert cubes(tmp_path / "a").counts["fail"] == 1
    assert bits(tmp_path / "a") == bits(whole)


DESCRIPTIONS = (
    "x0/a", "analytical/b/c", "numerical/a", "uncertainty/a", "verdict/a", "step/a", "state/a",
    "blocks/wave1/values", "blocks/wave1/record", "blocks/wave2/values", "blocks/wave2/record",
)  # fmt: skip


@pytest.mark.parametrize(("path", "content"), list(zip(DESCRIPTIONS, [None, b"1"] * 6, strict=False)))
def test_descriptions_that_are_damaged(path, content, whole, tmp_path):
    """The next run makes the array anew, and what was in it."""
    shutil.copytree(whole, tmp_path / "a")
    file = tmp_path / "a" / "audit.zarr" / path / "zarr.json"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    cubes(tmp_path / "a")

    assert bits(tmp_path / "a") == bits(whole)


def test_attributes_that_are_altered(tmp_path):
    """They have a checksum: it is said at once, and --fresh starts over."""
    cubes(tmp_path / "a")
    root = tmp_path / "a" / "audit.zarr" / "zarr.json"
    data = json.loads(root.read_text())
    data["attributes"]["settings"]["rtol"] = 1.0
    root.write_text(json.dumps(data))

    with pytest.raises(StoreError, match="its attributes are not those that were written; --fresh"):
        ZarrLedger.open(tmp_path / "a")
    with pytest.raises(StoreError, match="--fresh"):
        cubes(tmp_path / "a")
    remove_audit(tmp_path / "a")
    assert cubes(tmp_path / "a").counts["fail"] == 1


def test_small_changes_of_the_data_are_noticed(tmp_path):
    """A value of fun that differs by more than rounding is that of another problem."""
    x0 = np.linspace(0.1, 1, 10)
    shift = [0.0]

    def fun(x):
        return float(1000 + np.sum(x**2) + shift[0] * x[5])

    pardiff.gradcheck(fun, lambda x: 2 * x, x0, store=tmp_path / "a")
    shift[0] = 1e-6
    with pytest.raises(FingerprintError, match="another value of fun at x0"):
        pardiff.gradcheck(fun, lambda x: 2 * x, x0, store=tmp_path / "a")


def test_names_are_counted_in_bytes():
    """File systems do so."""
    with pytest.raises(InputError, match="1 to 200 bytes"):
        pardiff.gradcheck(lambda x: 1.0, None, {"é" * 150: np.ones(2)})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("waves", [[1, "stencil", 10**12, 3, 0]]),
        ("waves", [[1, "stencil", 10, 0, 0]]),
        ("waves", [[1, "stencil", 10, -1, 0]]),
        ("waves", [[1, "stencil", 1e300, 3, 0]]),
        ("space", {"structure": None, "arrays": [["a", [10**12], "float64"], ["b/c", [2, 2], "float64"]]}),
        ("space", {"structure": None, "arrays": [["a", [6], "float64"]] * 2}),
    ],
)
def test_attributes_of_a_stranger(key, value, whole, tmp_path):
    """With a right checksum, and counts that do not agree: it is said at once, and nothing is allocated."""
    shutil.copytree(whole, tmp_path / "a")
    root = tmp_path / "a" / "audit.zarr" / "zarr.json"
    data = json.loads(root.read_text())
    data["attributes"] = sealed(data["attributes"] | {key: value})
    root.write_text(json.dumps(data))

    with pytest.raises(StoreError, match="damaged"):
        ZarrLedger.open(tmp_path / "a")


def test_a_worker_of_an_audit_that_is_gone(tmp_path):
    """What it has done, perhaps by another source, does not get into the audit that stands in the place now."""
    cubes(tmp_path / "a")
    old = ZarrLedger.open(tmp_path / "a", write=True)
    record, matrix = old.records(1)[1], np.array(old.store.group["blocks/wave1/values"])[:, 3:6]
    remove_audit(tmp_path / "a")
    cubes(tmp_path / "a")
    before = bits(tmp_path / "a")

    with pytest.raises(StoreError, match="another run has begun an audit"):
        old.commit(record, matrix)
    assert ZarrLedger.open(tmp_path / "a").record(1, 1).audit != old.id

    # it may have looked just before
    new = ZarrLedger.open(tmp_path / "a", write=True)
    file = tmp_path / "a" / "audit.zarr" / "blocks" / "wave1" / "record" / "c" / "1"
    text = replace(new.record(1, 1), audit=old.id).to_json().encode()
    file.write_bytes(struct.pack("<II", 1, len(text)) + text)
    assert new.record(1, 1) is None
    cubes(tmp_path / "a")
    assert bits(tmp_path / "a") == before


def test_results_that_others_write_over(tmp_path):
    """While a run is at work: it ends with a sentence, and the next one does them again."""
    cubes(tmp_path / "a")
    audit = ZarrLedger.open(tmp_path / "a", write=True)
    audit.check_results()
    audit.store.group["blocks/wave1/values"][0, 3:6] = 7.0
    with pytest.raises(StoreError, match="written to by others while it ran: 1 of its blocks"):
        audit.check_results()


def test_reconciling_while_a_run_is_at_work(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "a")
    with LocalFolder(tmp_path / "a").locked(), pytest.raises(StoreError, match="being worked on by another run"):
        pardiff.reconcile(tmp_path / "a", rtol=1e-3)
    assert pardiff.reconcile(tmp_path / "a", rtol=1e-3).counts["fail"] == 1


RESUME = """
import sys
import numpy as np
import pardiff

def fun(x, names):
    return float(np.sum(x**2))

result = pardiff.gradcheck(fun, lambda x, names: 2 * x, np.ones(3), args=({"a", "b", "c", "d"},), store=sys.argv[1])
print(result.passed)
"""


def test_sets_in_args_do_not_keep_from_resuming(tmp_path):
    """Their order is another one in each process."""
    (tmp_path / "script.py").write_text(RESUME)
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "script.py", "a"], cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout == "True\n", done.stderr
