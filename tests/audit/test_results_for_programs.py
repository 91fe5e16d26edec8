"""What programs, and people at a prompt, get from a result and from a mistake."""

import math

import numpy as np
import pytest

import pardiff
from pardiff.testing import sphere


def outputs():
    A = np.random.default_rng(0).normal(size=(3, 4))
    return pardiff.Problem(lambda x: A @ x, vjp=lambda x, u: A.T @ u, x0=np.arange(1.0, 5.0), name="outputs")


def test_worst_gives_all_where_no_number_is_wanted():
    """``worst(None)`` is a table of all entries, with their margins."""
    result = pardiff.gradcheck(sphere(7))
    entries = result.worst(None)

    assert len(entries) == 7
    assert all(entry.margin >= entry.uncertainty for entry in entries)
    assert {entry.index[0]: entry.margin for entry in entries} == dict(enumerate(result.margin))
    with pytest.raises(pardiff.InputError, match="worst: got 'a'"):
        result.worst("a")


def test_a_page_is_returned_or_written(tmp_path):
    """``to_html()`` gives the page, ``to_html(path)`` writes it, into a folder that is there."""
    result = pardiff.gradcheck(sphere())
    page = result.to_html()

    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert result.to_html(tmp_path / "a.html") is None
    assert (tmp_path / "a.html").read_text() == page
    with pytest.raises(pardiff.InputError, match="there is no folder"):
        result.to_html(tmp_path / "nowhere" / "a.html")


@pytest.mark.parametrize("text", ["y·u1 / x[2]", "y.u1 / x[2]", "y.u1/x[2]"])
def test_labels_can_be_typed(text):
    """The dot of a label is on every keyboard, and blanks do not matter; the sweep has the label of reports."""
    assert pardiff.sweep(outputs(), text).label == "y·u1 / x[2]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("y·u1 / x[9]", r"array 'x' has the shape \(4,\)"),
        ("y·u7 / x[1]", r"no entry 'y·u7 / x\[1\]'; entries are 'y·u0 / x\[0\]' to 'y·u2 / x\[3\]'"),
        ("x[1]", r"entries are 'y·u0 / x\[0\]' to 'y·u2 / x\[3\]'"),
    ],
)
def test_a_label_that_names_nothing(text, said):
    """The sentence shows labels that are good."""
    with pytest.raises(pardiff.InputError, match=said):
        pardiff.sweep(outputs(), text)


def test_a_sweep_is_by_fun_alone():
    """A fast path that is wrong at small steps does not bend the curve."""

    class Wrong:
        def prepare(self, x):
            self.x = x.copy()
            return self

        def changes(self, array, index, t):
            x = self.x[index][:, None]
            change = np.sin(x + t) - np.sin(x)
            return np.where(np.abs(t) < 1e-3, 1.01 * change, change), np.abs(np.sin(x + t))

    x0 = np.array([0.3, 0.7, 1.1])
    problem = pardiff.Problem(lambda x: float(np.sum(np.sin(x))), np.cos, x0, incremental=Wrong())
    found = pardiff.sweep(problem, "x[1]")

    assert min(abs(d - math.cos(0.7)) for d in found.derivatives) < 1e-8
    assert np.median(np.abs(np.array(found.derivatives) - math.cos(0.7))) < 1e-3


@pytest.mark.parametrize(
    ("key", "meant"), [("executer", "executor"), ("vpj", "vjp"), ("term", "terms"), ("stor", "store"), ("rotl", "rtol")]
)
def test_misspelt_keywords(key, meant):
    """The closest of all keywords is suggested, whether it is an option or not."""
    with pytest.raises(pardiff.InputError, match=f"unknown key '{key}'; did you mean '{meant}'"):
        pardiff.gradcheck(lambda x: 1.0, None, np.ones(2), **{key: 1})


def test_how_a_vjp_is_called_is_said():
    """Arguments in the wrong order are the likeliest reason why a vjp raises."""
    with pytest.raises(pardiff.InputError, match=r"it is called as vjp\(x, u\)"):
        pardiff.gradcheck(lambda x: {"a": x}, vjp=lambda u, x: u["a"], x0=np.ones(3))


def test_what_fun_raised_at_larger_steps_is_said():
    """An entry that could be differentiated with a tiny step only has the reason in the report."""

    def fun(x):
        if abs(x[1] - 0.7) > 1e-9 and x[0] == 0.3 and x[2] == -1.1:
            raise ZeroDivisionError("division by zero")
        return float(np.sum(x**3))

    result = pardiff.gradcheck(fun, lambda x: 3 * x**2, np.array([0.3, 0.7, -1.1]))

    assert result.verdict is pardiff.Verdict.INCONCLUSIVE
    assert "at x[1] fun raised ZeroDivisionError: division by zero" in str(result)


def test_an_unfinished_audit_gives_no_advice(tmp_path):
    """Before later waves are done, entries are not said to need another tolerance."""
    x0 = np.append(np.linspace(0.1, 1.2, 30), [np.pi / 2 - 1e-4, np.pi / 2 - 3e-5])
    calls = []

    def stop(progress):
        calls.append(progress)
        if len(calls) == 2:
            raise KeyboardInterrupt

    options = {"store": tmp_path / "a", "block_size": 32, "atol": 1e-11, "rtol": 1e-7}
    problem = pardiff.Problem(lambda x: float(np.sum(np.sin(x))), np.cos, x0)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        pardiff.gradcheck(problem, progress=stop, **options)

    assert interrupted.value.__notes__ == [f"finished blocks are kept in {tmp_path / 'a'}; the same call resumes"]
    stopped = str(pardiff.open_result(tmp_path / "a"))
    assert "a closer look follows once the run resumes" in stopped
    assert "would pass" not in stopped
    assert pardiff.gradcheck(problem, **options).passed


def test_a_term_of_rounding_is_no_term():
    """A gradient that is the weight decay alone is said to be that, without a factor of 1e-17."""
    k = np.random.default_rng(0).normal(size=(4, 5))
    result = pardiff.gradcheck(lambda k: float(np.sum(np.sin(k)) + 0.1 * np.sum(k**2)), lambda k: 0.2 * k, k)

    assert result.findings[0].message.startswith("the analytical derivative is 0.2 · x0 and nothing else")


def test_an_object_that_is_nearly_an_executor():
    """What it lacks is named."""

    class Pool:
        def map(self, task, blocks):
            return map(task, blocks)

    with pytest.raises(pardiff.InputError, match=r"executor: Pool lacks .*workers"):
        pardiff.gradcheck(sphere(), executor=Pool())


@pytest.mark.parametrize(("x0", "said"), [("cyclic", "too deep, or holds itself"), ("probes", "expected at most 1000")])
def test_what_would_never_end(x0, said):
    """A structure that holds itself, and a number of cotangents beyond all reason, are refused at once."""
    cyclic = {}
    cyclic["a"] = cyclic
    point, options = (cyclic, {}) if x0 == "cyclic" else (np.ones(2), {"probes": 10**13})
    with pytest.raises(pardiff.InputError, match=said):
        pardiff.gradcheck(np.sin, vjp=lambda x, u: u * np.cos(x), x0=point, **options)
